"""Output files that are either whole or not there.

Every path is tried before the computation starts, so that an hour of it is not lost to a misspelt folder. What is
written goes to a temporary file in the same folder, which takes its name at the end: a crash, a full disk or Ctrl-C
leaves whatever was there before.
"""

import os
import stat
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from ._errors import InputError


PREFIX = ".dynamem-"  # short, as the name of the file itself may already be as long as is allowed


def _refuse(label: str, why: object, remedy: str) -> InputError:
    return InputError(f"{label} {why}; {remedy}")


def _is_special(path: Path) -> bool:
    """Whether it is a device or a pipe (`/dev/stdout`), which is written to and never replaced."""
    return path.exists() and not stat.S_ISREG(path.stat().st_mode)


def _is_stream(file: str) -> bool:
    return file.startswith(("/dev/std", "/dev/fd/", "/proc/"))


def _existing_ancestor(folder: Path) -> Path:
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return folder


def _try_folder(folder: Path, label: str) -> None:
    """Create and remove a file in the nearest folder that exists; permissions alone do not tell (root, read-only)."""
    nearest = _existing_ancestor(folder)
    if not nearest.is_dir():
        raise _refuse(label, f"lies below {str(nearest)!r}, which is no folder", "choose another path")
    with tempfile.TemporaryFile(prefix=PREFIX, dir=nearest):
        pass


def check(argument: str, file: str) -> Path:
    """Make sure that a file can be written, and leave nothing behind.

    Args:
        argument: the name of the option, for messages.
        file: its value.

    Returns:
        The path with links resolved, so that a link is followed and not replaced.

    Raises:
        InputError: if the file is a folder or cannot be written.
    """
    label = f"{argument}={file!r}"
    if file in ("", "-"):
        raise _refuse(label, "names no file", "give a path")
    try:
        return _checked(Path(file), file, label)
    except InputError:
        raise
    except (OSError, RuntimeError, ValueError) as error:  # of links that lead in a circle, of a null character
        why = getattr(error, "strerror", None) or error
        raise _refuse(label, f"cannot be written: {why}", "choose another path") from None


def _checked(path: Path, file: str, label: str) -> Path:
    if path.is_dir() or file.endswith(os.sep):
        raise _refuse(label, "is a folder", "name a file in it")
    if path.exists() and not os.access(path, os.W_OK):
        raise _refuse(label, "is write-protected", "choose another path")
    if _is_special(path):
        return path
    if _is_stream(file):
        raise _refuse(label, "is a stream that goes to a file or nowhere", "give the path of a file")
    path = path.resolve()
    _try_folder(path.parent, label)
    return path


def check_all(outputs: Mapping[str, str | None], inputs: Mapping[str, str | None]) -> dict[str, Path]:
    """Check every output file that was asked for.

    Args:
        outputs: option -> file or None.
        inputs: option -> file or None; an output must not be one of them.

    Returns:
        option -> path, for those asked for.

    Raises:
        InputError: as `check`, or if two options name the same file.
    """
    taken = {Path(file).resolve(): name for name, file in inputs.items() if file is not None}
    paths = {}
    for name, file in outputs.items():
        if file is None:
            continue
        path = check(name, file)
        if path in taken and not _is_special(path):
            label = f"{name}={file!r}"
            raise _refuse(label, f"is the same file as {taken[path]}", "choose another path")
        taken[path] = name
        paths[name] = path
    return paths


@contextmanager
def staged(argument: str, path: Path) -> Iterator[Path]:
    """A temporary file that becomes `path` when the block ends, and vanishes if it raises.

    Args:
        argument: the name of the option, for messages.
        path: the final path, as `check` returned it. Missing parent folders are created.

    Yields:
        The path to write to.

    Raises:
        InputError: if a folder or a file cannot be created, or the disk is full.
    """
    draft = path
    try:
        if not _is_special(path):
            draft = _draft(path)
        yield draft
        if draft != path:
            draft.replace(path)
    except OSError as error:
        label = f"{argument}={str(path)!r}"
        raise _refuse(label, f"cannot be written: {error}", "choose another path or free some space") from None
    finally:
        if draft != path:
            with suppress(OSError):
                draft.unlink(missing_ok=True)


def _draft(path: Path) -> Path:
    """An empty file next to `path`, with the rights that `path` has or would get."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=PREFIX, suffix=path.suffix, dir=path.parent)
    os.close(handle)
    mask = os.umask(0)
    os.umask(mask)
    os.chmod(name, stat.S_IMODE(path.stat().st_mode) if path.exists() else 0o666 & ~mask)
    return Path(name)
