"""`dynamem list`: the names that an audit knows, one line each."""

import argparse
import textwrap

from ._messages import say


def register(commands: argparse._SubParsersAction) -> None:
    """Add the command."""
    text = "the names of systems, discrete updates, schedules, energies and solvers"
    parser = commands.add_parser("list", help=text, description=f"Print {text}.", allow_abbrev=False)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print the names."""
    del args
    from ..catalog import _names
    from ..catalog._pieces import PIECES

    paths = {
        f"{dynamics}/{schedule}": f"{text}, on the {schedule} schedule"
        for dynamics, text in _names.DYNAMICS.items()
        for schedule in _names.SCHEDULES
    }
    known = _names.MEMORIES | paths
    systems = {name: known.get(name, "") for name in _names.system_names()}
    groups = {
        "systems (--system NAME, or module:attribute for your own)": systems,
        "energies of the audit": _names.ENERGIES,
        **PIECES,
        "problems (dynamem compare)": _names.PROBLEMS,
        "solvers, with V the free energy and rho = s+/s the ratio of noise levels in a step": _names.SOLVERS,
    }
    say("\n".join(_group(title, names) for title, names in groups.items()) + "\n")
    return 0


WIDTH = 100


def _group(title: str, names: dict[str, str]) -> str:
    width = max(map(len, names), default=0)
    indent = " " * (width + 4)
    lines = [
        textwrap.fill(f"  {name:<{width}}  {text}", WIDTH, subsequent_indent=indent) for name, text in names.items()
    ]
    return "\n".join([title, *lines, ""])
