"""Programs made ahead: traced one after the other, compiled beside each other, all before anything is timed.

Only compiling and running happens in threads: tracing reads JAX's settings, which contexts set for one thread.
"""

import os
import time
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, NamedTuple

import jax

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
        return self._result(name)

    def _result(self, name: Hashable) -> Any:
        made = self._made[name]
        if isinstance(made, Exception):
            raise made
        return made.result()

    def run(self, name: Hashable, function: Any, calls: Sequence[tuple]) -> None:
        """Make a program of a jitted function of arrays and run it with each of the arguments, of one shape."""
        try:
            lowered = function.lower(*calls[0])
        except Exception as error:  # of a solver or a flow of the user's
            self._made[name] = error
            return
        self._made[name] = self._pool.submit(_results, lowered, calls)

    def results(self, name: Hashable) -> list[Any]:
        """What a program of `run` gave, as NumPy arrays."""
        return self._result(name)

    def wait(self) -> None:
        """Until nothing is being compiled or run, so that nothing that is timed has company."""
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


def _results(lowered: Any, calls: Sequence[tuple]) -> list[Any]:
    program = lowered.compile()
    return [jax.device_get(program(*call)) for call in calls]
