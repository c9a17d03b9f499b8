"""How much memory an array may take: asked before it is read, so that a file too large is an error and not a swap."""

import os
from pathlib import Path

from .._errors import InputError


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text().split("\n")
    except OSError:
        return []


def _of_machine() -> int | None:
    for line in _lines("/proc/meminfo"):
        if line.startswith("MemAvailable:"):
            return 1024 * int(line.split()[1])
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return None


def _of_container() -> int | None:
    limit = _lines("/sys/fs/cgroup/memory.max")
    used = _lines("/sys/fs/cgroup/memory.current")
    if limit and used and limit[0].isdigit() and used[0].isdigit():
        return max(0, int(limit[0]) - int(used[0]))
    return None


def available() -> int | None:
    """Bytes that can be had without swapping, or None where the system does not tell."""
    known = [n for n in (_of_machine(), _of_container()) if n is not None]
    return min(known) if known else None


def require(n_bytes: int, what: str, remedy: str = "give fewer or smaller patterns") -> None:
    """Refuse what does not fit.

    Args:
        n_bytes: bytes that are going to be allocated.
        what: the argument and its value, for the message.
        remedy: what to do about it.

    Raises:
        InputError: if more is asked for than is available.
    """
    free = available()
    if free is not None and n_bytes > free:
        msg = f"{what} needs {n_bytes / 2**30:.3g} GiB and {free / 2**30:.3g} GiB are available; {remedy}"
        raise InputError(msg)
