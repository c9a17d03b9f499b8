"""`dynamem audit`: run the systems, say which energy descends along what, and write it down."""

import argparse
from pathlib import Path
from typing import Any

from ._arguments import check_seed, data_options, output_options, seed_option
from ._expect import RUNGS, exit_code


STATES, QUICK_STATES = 32, 8

DESCRIPTION = """\
Run memories and diffusion samplers on the data, follow every energy along them, and print for each pair whether the
energy ever rose: a table on standard output, one mark for each row of the audit."""


def register(commands: argparse._SubParsersAction) -> None:
    """Add the command and its options."""
    parser = commands.add_parser(
        "audit",
        help="which energy descends along which dynamics, with evidence",
        description=DESCRIPTION,
        allow_abbrev=False,
    )
    parser.set_defaults(run=run)
    data_options(parser)
    what = parser.add_argument_group("what to run")
    what.add_argument("--system", metavar="NAME", nargs="+", action="extend", default=[],
                      help="names from `dynamem list`, or module:attribute for a dynamem.System of your own "
                      "(default: all built-in ones)")  # fmt: skip
    what.add_argument("--states", metavar="N", type=int,
                      help=f"start states of each row (default: {STATES}, with --quick {QUICK_STATES})")  # fmt: skip
    seed_option(what)
    what.add_argument("--prove", action="store_true", help="prove the theorems that cover rows (half a minute more): "
                      "those that hold then say proved")  # fmt: skip
    what.add_argument("--certify", action="store_true", help="ask about the rates of your own systems of up to 3 "
                      "coordinates on the whole box of their initial states")  # fmt: skip
    what.add_argument(
        "--quick",
        action="store_true",
        help="fewer states, memories and samplers, and a coarser report without its certified map, for a first look",
    )
    output = output_options(parser, "write all rows for machines", "write the report, one file without scripts")
    output.add_argument("--expect", choices=RUNGS, help="exit 4, 1 or 3 unless every row is on this rung or above")


def run(args: argparse.Namespace) -> int:
    """Run the command; everything that can be refused is refused before the computation starts."""
    from .._output import check_all
    from ..catalog._names import system_names
    from ._collector import still
    from ._data import load, require_states
    from ._messages import note
    from ._systems import check_names

    states = args.states if args.states is not None else QUICK_STATES if args.quick else STATES
    check_seed(args.seed)
    check_names(args.system, system_names())
    data = load(args.data, args.weights, standardise=args.standardise)
    require_states(states, data.patterns.shape[1], args.system or system_names())
    paths = check_all({"json": args.json, "html": args.html}, {"data": args.data, "weights": args.weights})
    with still():
        audit = _compute(args, data, states)
    for text in audit.errors:
        note(text)
    _deliver(audit, paths)
    return exit_code((row["verdict"] for row in audit.rows), args.expect)


def _compute(args: argparse.Namespace, data: Any, states: int) -> Any:
    from ._cache import prepare_jax
    from ._messages import note
    from ._progress import progress
    from ._systems import check_own

    notes = [*data.notes, *prepare_jax(raising=any(":" in name for name in args.system))]
    from .. import catalog

    for text in (*notes, *check_own(args.system, catalog.load_system)):
        note(text)
    options = catalog.AuditOptions(
        data=catalog.DataSet(
            name=data.name, patterns=data.patterns, image_shape=data.image_shape, weights=data.weights
        ),
        states=states,
        seed=args.seed,
        quick=args.quick,
        prove=args.prove,
        certify=args.certify,
        systems=tuple(dict.fromkeys(args.system)),
    )
    with progress(verbose=args.verbose) as report:
        return catalog.run_audit(options, report)


def _deliver(audit: Any, paths: dict[str, Path]) -> None:
    """The table first and the report last, so that whatever goes wrong in one does not lose what came before it."""
    from .._output import staged
    from ._json import audit_text
    from ._messages import say
    from ._table import audit_table

    say(audit_table(audit.rows, audit.claims))
    if "json" in paths:
        with staged("json", paths["json"]) as draft:
            draft.write_text(audit_text(audit.environment, audit.rows, audit.claims), encoding="utf-8")
    if "html" in paths:
        from ..report import write_html

        with staged("html", paths["html"]) as draft:
            write_html(audit, draft)
