"""`dynamem verify`: replay a certificate in exact arithmetic, without JAX and without NumPy."""

import argparse

from ._messages import complain, one_line, say


REPLAYS, DOES_NOT, UNREADABLE = 0, 1, 2

EPILOG = """\
exit codes: 0 it replays; 1 it does not; 2 it cannot be read, or usage; 130 after Ctrl-C.
A certificate speaks of the program that it holds, in real arithmetic; that this program is the one of your code is what
`dynamem certify` tests when it reads the code.
"""


def register(commands: argparse._SubParsersAction) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "verify",
        help="replay a certificate in exact arithmetic",
        description="Replay a certificate that `dynamem certify --certificate` wrote: every part of its region is "
        "bounded again by Arb. Needs neither JAX nor NumPy.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("file", metavar="FILE", help="the certificate")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run the command."""
    from ..rigour import Unreadable, verify

    try:
        good, reason = verify(args.file)
    except Unreadable as error:
        complain(f"dynamem: error: {one_line(error)}")
        return UNREADABLE
    say(f"{'replays' if good else 'does not replay'}: {reason}\n")
    return REPLAYS if good else DOES_NOT
