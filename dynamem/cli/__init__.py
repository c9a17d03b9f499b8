"""The command line: `dynamem COMMAND ...`, tables on standard output, messages and progress on standard error.

Nothing here imports NumPy, JAX or Rich before a command runs, because `dynamem --help` has to answer at once: every
module of this package that needs them is imported inside the command that uses it.

Exit codes: 0 done; with `--expect` 4, 1, 3 or 0 by the verdicts; 2 for usage and input errors; 70 for a defect of
dynamem, with its traceback; 130 after Ctrl-C.
"""

import argparse
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Sequence
from typing import NoReturn

from .._errors import InputError
from . import _audit, _certify, _compare, _list, _mutants, _prove, _stability, _survey, _verify
from ._messages import complain, one_line


OK = 0
BAD_INPUT = 2
DEFECT = 70
INTERRUPTED = 130
GRACE = 1.0  # seconds that threads get to end by themselves after Ctrl-C

EPILOG = """\
exit codes:
  0    the run finished (verdicts do not matter, unless --expect names one)
  1    --expect: a row is broken or on a weaker rung than expected; prove: not all are proved;
       verify: the certificate does not replay; mutants: fewer are seen than --least asks
  2    usage or input error, found before anything is computed or written; or a full disk;
       verify: the file is no certificate
  3    --expect: a row is undecided
  4    --expect: a row failed
  70   a defect of dynamem, with a traceback
  130  interrupted with Ctrl-C; no file is left half-written

`dynamem COMMAND --help` shows the options of a command.
"""


class _Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one line, as every other error of this command line."""

    def error(self, message: str) -> NoReturn:
        """Raise a usage error as an `InputError`; argparse would print the whole usage before it."""
        msg = f"{message} (see {self.prog} --help)"
        raise InputError(msg)


class _Version(argparse.Action):
    """`--version`, which looks the version up only when asked."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> NoReturn:
        """Print name and version and leave."""
        from .._versions import version_of

        sys.stdout.write(f"dynamem {version_of('dynamem', '(not installed)')}\n")
        parser.exit()


def make_parser() -> argparse.ArgumentParser:
    """The parser with every command; each command puts its `run(args) -> int` under `args.run`."""
    parser = _Parser(
        prog="dynamem",
        description="Which energy does which dynamics descend, and by which evidence?",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="print the version and exit")
    commands = parser.add_subparsers(metavar="COMMAND", dest="command", required=True, title="commands")
    _audit.register(commands)
    _compare.register(commands)
    _stability.register(commands)
    _survey.register(commands)
    _prove.register(commands)
    _certify.register(commands)
    _verify.register(commands)
    _mutants.register(commands)
    _list.register(commands)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        argv: the arguments after the program's name; those of the process if None.

    Returns:
        The exit code. Errors in the input are one line on standard error, never a traceback.
    """
    try:
        try:
            args = make_parser().parse_args(argv)
        except SystemExit as leave:  # after --help and --version
            return OK if leave.code is None else int(leave.code)
        return args.run(args)
    except InputError as error:
        complain(f"dynamem: error: {one_line(error)}")
        return BAD_INPUT
    except KeyboardInterrupt:
        complain("dynamem: interrupted")
        if argv is None:
            _leave(INTERRUPTED)
        return INTERRUPTED
    except Exception as error:
        traceback.print_exc()
        complain(f"dynamem: defect: {type(error).__name__}: {one_line(error)}; please report it")
        return DEFECT


def _leave(code: int) -> None:
    """End the process although a thread may be in a long computation, which nothing can interrupt.

    Only this thread writes files that the user named, and it has put them away by now.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # one Ctrl-C is enough, and more do no harm
    deadline = time.monotonic() + GRACE
    others = [one for one in threading.enumerate() if one is not threading.current_thread() and not one.daemon]
    for thread in others:
        thread.join(max(0.0, deadline - time.monotonic()))
    if any(thread.is_alive() for thread in others):
        os._exit(code)
