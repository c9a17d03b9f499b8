"""Programs made ahead: traced one after the other, compiled beside each other, all before anything is timed."""

import os
import time
from collections.abc import Callable, Hashable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, NamedTuple

from ..lyapunov import solve


SOLVE: Any = solve
"""Compiled on demand, which the type checkers take for a plain function."""


class Program(NamedTuple):
    """A compiled `solve`, which takes the same arguments, and what tracing and compiling it took."""

    run: Callable
    seconds: float


class Ahead:
    """Compiles solves on all cores while the next ones are traced; as a context it ends with its threads."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(os.cpu_count() or 1)
        self._made: dict[Hashable, Future | Exception] = {}

    def prepare(self, name: Hashable, asked: Callable[[], tuple[tuple, dict[str, Any]] | None]) -> None:
        """Trace the solve of ``asked() = (arguments, keywords)``, if any; what it raises is for who gets it."""
        if name in self._made:
            return
        begin = time.perf_counter()
        try:
            arguments = asked()
            if arguments is None:
                return
            lowered = SOLVE.lower(*arguments[0], **arguments[1])
        except Exception as error:  # of a solver or a flow of the user's
            self._made[name] = error
            return
        self._made[name] = self._pool.submit(_compiled, lowered, time.perf_counter() - begin)

    def get(self, name: Hashable) -> Program:
        """The program, once it is compiled."""
        made = self._made[name]
        if isinstance(made, Exception):
            raise made
        return made.result()

    def wait(self) -> None:
        """Until nothing is being compiled, so that nothing that is timed has company."""
        for made in self._made.values():
            if isinstance(made, Future):
                made.exception()

    def __enter__(self) -> "Ahead":
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(cancel_futures=True)


def _compiled(lowered: Any, tracing: float) -> Program:
    begin = time.perf_counter()
    return Program(lowered.compile(), tracing + time.perf_counter() - begin)
