"""What checks and assertions found in this process, told to those who listen, as the pytest plugin does.

Free of JAX, so that listening costs no project its start. Nothing is kept where nobody listens.
"""

import functools
import math
import sys
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ParamSpec, TypeVar


P = ParamSpec("P")
T = TypeVar("T")


@dataclass
class Entry:
    """What one call found.

    Attributes:
        asked: name of the function.
        place: file and line of the call.
        status: that of its verdict; of an assertion "holds", "broken", or "failed" where it could not be asked.
        reason: a sentence.
        region: where it was asked.
        margin: how near to a failure an assertion came: what was found over what is forgiven, above 1 it fails; None
            where it is not measured so.
        climb: called with seconds, asks the same of the whole box of the states; None where that cannot be done.
        certificate: of a verdict that has one.
    """

    asked: str
    place: str = ""
    status: str = "holds"
    reason: str = ""
    region: str = ""
    margin: float | None = None
    climb: Callable[[float], dict[str, Any]] | None = None
    certificate: dict[str, Any] | None = None


LISTENERS: list[Callable[[Entry], None]] = []
_open: ContextVar[Entry | None] = ContextVar("open", default=None)


def note(*, margin: float | None = None, **found: Any) -> None:
    """Add to the entry of the call that is under way; of margins the largest stays."""
    entry = _open.get()
    if entry is None:
        return
    if margin is not None and math.isfinite(margin):
        entry.margin = margin if entry.margin is None else max(entry.margin, margin)
    for name, value in found.items():
        setattr(entry, name, value)


def recorded(function: Callable[P, T]) -> Callable[P, T]:
    """Tell listeners what each call found; not of calls within a call, which are its own affair."""

    @functools.wraps(function)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> T:
        if not LISTENERS or _open.get() is not None:
            return function(*args, **kwargs)
        caller = sys._getframe(1)
        entry = Entry(function.__name__, f"{Path(caller.f_code.co_filename).name}:{caller.f_lineno}")
        token = _open.set(entry)
        try:
            found = function(*args, **kwargs)
            _take(entry, found)
        except Exception as error:
            entry.status = "broken" if isinstance(error, AssertionError) else "failed"
            entry.reason = str(error) or type(error).__name__
            _tell(entry)
            raise
        finally:
            _open.reset(token)
        _tell(entry)
        return found

    return wrapper


def _tell(entry: Entry) -> None:
    for listen in LISTENERS:
        listen(entry)


def _take(entry: Entry, found: Any) -> None:
    """What a verdict says; an assertion that returns held."""
    status = getattr(found, "status", None)
    if isinstance(status, str):
        entry.status, entry.reason, entry.region = status, found.reason, found.region
        entry.certificate = found.evidence.get("certificate")
