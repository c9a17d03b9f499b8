"""`dynamem prove`: theorems about the code that runs, collected from files and folders as pytest collects tests."""

import argparse
import json
import textwrap
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from .._errors import InputError
from ._messages import complain, say


SCHEMA = "dynamem.prove/1"
FIELDS = ("name", "title", "status", "domain", "method", "seconds", "reason")
WIDTH = 100
ALL_PROVED, NOT_ALL, INTERRUPTED = 0, 1, 130

EPILOG = """\
exit codes: 0 all are proved; 1 some are undecided or failed; 2 usage or input error; 130 after Ctrl-C.
Files are run as Python code, as pytest runs tests: name only those that you trust.
"""


def register(commands: argparse._SubParsersAction) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "prove",
        help="prove theorems about the code that runs",
        description="Prove theorems, dynamem's own or those of your files: symbolically on the traced code, with "
        "numbers of the running code and witnesses that the hypotheses are needed.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("places", metavar="FOLDER_OR_FILE", nargs="*", help="default: dynamem's own theorems")
    parser.add_argument("-k", metavar="EXPR", default="", help="only those whose name, file or title has these words: "
                        "'d4 or ddim and not euler'; what they cite is proved with them")  # fmt: skip
    parser.add_argument("--json", metavar="FILE", help="write the outcomes for machines")
    parser.add_argument("--timeout", metavar="S", type=float, help="seconds for all of them; the rest is undecided")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run the command; what can be refused is refused before the first proof."""
    from .._output import check_all
    from ._cache import prepare_jax

    if args.timeout is not None and not 0 < args.timeout < float("inf"):
        msg = f"timeout={args.timeout!r}: must be a positive number of seconds"
        raise InputError(msg)
    paths = check_all({"json": args.json}, {})
    for text in prepare_jax(raising=True):
        complain(f"dynamem: note: {text}")
    from .. import theorems

    places = [Path(place) for place in args.places] or [theorems.own_folder()]
    everything = theorems.collect(places)
    found = theorems.select(everything, args.k)
    if not found:
        msg = f"-k {args.k!r} matches no theorem: leave it out to see their names"
        raise InputError(msg)
    outcomes = theorems.prove(found, lambda one: say(_entry(one)), among=everything, budget_s=args.timeout)
    _rest(outcomes, theorems.STOPPED)
    say(_summary(outcomes))
    if "json" in paths:
        with _draft(paths["json"]) as draft:
            draft.write_text(document(outcomes), encoding="utf-8")
    if any(one.reason == theorems.STOPPED for one in outcomes):
        return INTERRUPTED
    return ALL_PROVED if all(one.status == "proved" for one in outcomes) else NOT_ALL


@contextmanager
def _draft(path: Path) -> Iterator[Path]:
    from .._output import staged

    with staged("json", path) as draft:
        yield draft


def _rest(outcomes: Sequence[Any], stopped: str) -> None:
    """Those that Ctrl-C kept from being reported one by one."""
    for one in outcomes:
        if one.reason == stopped:
            say(_entry(one))


def _entry(outcome: Any) -> str:
    """One theorem for people: name, status, seconds and title, then domain and method, or the reason."""
    head = f"{outcome.name:<6} {outcome.status:<9} {outcome.seconds:6.1f} s  "
    lines = [textwrap.fill(head + outcome.title, WIDTH, subsequent_indent=" " * len(head))]
    for text in (
        outcome.domain and f"for {outcome.domain}",
        outcome.method,
        outcome.reason and f"why: {outcome.reason}",
    ):
        if text:
            indent = " " * len(head)
            lines.append(textwrap.fill(text, WIDTH, initial_indent=indent, subsequent_indent=indent))
    return "\n".join(lines) + "\n"


def _summary(outcomes: Sequence[Any]) -> str:
    kinds = [one.status for one in outcomes]
    counts = ", ".join(f"{kinds.count(kind)} {kind}" for kind in ("proved", "undecided", "failed") if kind in kinds)
    return f"{len(outcomes)} theorems: {counts}, in {sum(one.seconds for one in outcomes):.0f} s\n"


def document(outcomes: Sequence[Any]) -> str:
    """The JSON document, a theorem a line; ``evidence`` lists the steps of each."""
    rows = []
    for one in outcomes:
        evidence = [{"kind": step.kind, "name": step.name, "detail": step.detail} for step in one.steps]
        row = {field: getattr(one, field) for field in FIELDS} | {"evidence": evidence}
        rows.append(json.dumps(row, allow_nan=False))
    return f'{{"schema": "{SCHEMA}", "theorems": [\n' + ",\n".join(rows) + "\n]}\n"
