"""What people read: results on standard output, `dynamem: note: ...` and `dynamem: error: ...` on standard error."""

import os
import sys
from contextlib import suppress


def one_line(text: object) -> str:
    """`str(text)` on one line, whatever line breaks it has."""
    return " ".join(str(text).split())


def say(text: str) -> None:
    """Write a result on standard output.

    A reader that closed the pipe (`| head`) has seen enough: that is no error and does not change the exit code. What
    the terminal's encoding lacks is replaced.
    """
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    try:
        sys.stdout.write(text.encode(encoding, "replace").decode(encoding))
        sys.stdout.flush()
    except BrokenPipeError:
        with suppress(OSError, ValueError):  # or Python complains once more when it closes it
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def complain(line: str) -> None:
    """Write a line on standard error; a closed one is no reason to fail."""
    with suppress(OSError):
        sys.stderr.write(line.encode("utf-8", "backslashreplace").decode("utf-8") + "\n")
        sys.stderr.flush()


def note(text: str) -> None:
    """Tell about something that dynamem did to the input and that is not an error."""
    complain(f"dynamem: note: {one_line(text)}")
