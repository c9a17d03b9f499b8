"""`dynamem mutants`: the assertions of `dynamem.testing`, attacked with programs that have one slip."""

import argparse
import dataclasses
import json
import os
from typing import Any

from .._errors import InputError


SCHEMA = "dynamem.mutants/1"
KINDS = ("energy", "drift", "noise", "update", "slip", "schedule", "sampler", "score")
QUICK = "--xla_backend_optimization_level=1 --xla_cpu_use_fusion_emitters=false"  # each program runs for a moment only

DESCRIPTION = """\
Make slips in the energies, flows, updates, schedules, samplers and scores of the catalogue, one at a time (a sign, a
factor, an index, a term, a branch, a precision, a stale parameter, another clock or gauge), and count which of them
the assertions see. A mutant that computes the same numbers is equivalent and does not count."""

EPILOG = """\
exit codes: 0 done; 1 with --least, if fewer are killed or a correct program raised an alarm; 2 usage or input error;
130 after Ctrl-C.
"""


def register(commands: argparse._SubParsersAction) -> None:
    """Add the command and its options."""
    parser = commands.add_parser(
        "mutants", help="attack the assertions for tests with wrong programs", description=DESCRIPTION, epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False,
    )  # fmt: skip
    parser.add_argument("--kind", metavar="KIND", choices=KINDS, action="append",
                        help=f"of what is mutated: {', '.join(KINDS)} (default: all)")  # fmt: skip
    parser.add_argument("--examples", metavar="N", type=int, default=40, help="for each mutant (default: 40)")
    parser.add_argument("--draws", metavar="N", type=int, default=40, help="of each correct program (default: 40)")
    parser.add_argument("--seed", metavar="N", type=int, default=0, help="of Hypothesis (default: 0)")
    parser.add_argument("--json", metavar="FILE", help="write every mutant for machines")
    parser.add_argument("--least", metavar="SHARE", type=float, help="exit 1 if a smaller share is killed")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run the command; what can be refused is refused before anything is computed."""
    from .._output import check_all, staged
    from ._cache import prepare_jax
    from ._messages import complain, note, say

    if args.least is not None and not 0 <= args.least <= 1:
        msg = f"least={args.least!r}: need a share between 0 and 1"
        raise InputError(msg)
    paths = check_all({"json": args.json}, {})
    os.environ.setdefault("XLA_FLAGS", QUICK)
    for text in prepare_jax():
        complain(f"dynamem: note: {text}")
    try:
        from ..testing import run_attack
    except ImportError as error:
        raise InputError(str(error)) from error

    found = run_attack(
        tuple(args.kind or KINDS), number=args.seed, examples=args.examples, draws=args.draws, tell=note
    )  # fmt: skip
    say(table(found))
    if "json" in paths:
        with staged("json", paths["json"]) as draft:
            draft.write_text(document(found), encoding="utf-8")
    return int(args.least is not None and (bool(found.alarms) or not found.score() >= args.least))


def table(found: Any) -> str:
    """Counts by kind, what survived, and what was equivalent for which reason."""
    lines = [f"{'kind':10s} {'mutants':>8s} {'equivalent':>11s} {'killed':>7s} {'survived':>9s} {'score':>7s}"]
    kinds = [kind for kind in KINDS if any(one.kind == kind for one in found.mutants)]
    for kind in (*kinds, ""):
        some = [one for one in found.mutants if one.kind == (kind or one.kind)]
        counts = [sum(one.found == word for one in some) for word in ("equivalent", "killed", "survived")]
        numbers = f"{len(some):8d} {counts[0]:11d} {counts[1]:7d} {counts[2]:9d} {found.score(kind):7.1%}"
        lines.append(f"{kind or 'all':10s} {numbers}")
    lines += ["", *_list("survived", "survived", found), *_list("equivalent", "equivalent", found)]
    lines += [f"FALSE ALARM: {one}" for one in found.alarms] or [f"no false alarm in {found.draws} draws"]
    patterns, dimensions = found.median()
    lines.append(f"median shrunk counterexample: {patterns:g} patterns, {dimensions:g} dimensions")
    lines.append(f"seed {found.seed}, {found.seconds:.0f} s")
    return "\n".join(lines) + "\n"


def _list(word: str, head: str, found: Any) -> list[str]:
    some = [
        f"  {one.kind} {one.name}, {one.slip}: {one.words}; {one.why}" for one in found.mutants if one.found == word
    ]
    return [f"{head}:", *some, ""] if some else []


def document(found: Any) -> str:
    """The attack as JSON, a mutant a line."""
    from ._json import plain

    head = {"schema": SCHEMA, "seed": found.seed, "seconds": found.seconds, "draws": found.draws,
            "alarms": list(found.alarms), "score": found.score()}  # fmt: skip
    lines = ",\n".join(json.dumps(dataclasses.asdict(one), allow_nan=False) for one in found.mutants)
    return json.dumps(plain(head), allow_nan=False)[:-1] + ',\n"mutants": [\n' + lines + "\n]}\n"
