"""How far a run is, on standard error: a bar on a terminal, plain lines with --verbose, otherwise silence."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from ._messages import complain


Report = Callable[[str, int, int], None]


def _silent(label: str, done: int, total: int) -> None:
    del label, done, total


def _plain(label: str, done: int, total: int) -> None:
    complain(f"dynamem: {done}/{total} {label}")


@contextmanager
def progress(*, verbose: bool) -> Iterator[Report]:
    """A function that takes what is being done, how much is done and out of how much; call it once a chunk.

    Args:
        verbose: plain lines where standard error is no terminal.
    """
    if not sys.stderr.isatty():
        yield _plain if verbose else _silent
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=None)

        def report(label: str, done: int, total: int) -> None:
            bar.update(task, description=label[:50], completed=done, total=total)

        yield report
