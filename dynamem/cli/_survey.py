"""`dynamem table`: the survey's comparison of memories and diffusion models, computed for any systems."""

import argparse
import json
from pathlib import Path
from typing import Any

from .._errors import InputError
from ._arguments import check_seed, data_options, output_options, seed_option


SCHEMA = "dynamem.table/1"
STATES = 24
DEFAULT = ("log_sum_exp", "probability_flow/VP", "learned")

DESCRIPTION = """\
The comparison table of Hoover et al. (arXiv 2309.16750), computed: for each system, what its field is, how far its time
goes, which steps are safe, whether runs end at fixed points, which corruptions are undone, and which energies fall."""


def register(commands: argparse._SubParsersAction) -> None:
    """Add the command and its options."""
    parser = commands.add_parser(
        "table",
        help="the survey's table of memories and diffusion models, computed",
        description=DESCRIPTION,
        allow_abbrev=False,
    )
    parser.set_defaults(run=run)
    parser.add_argument("systems", metavar="SYSTEM", nargs="*", help="names from `dynamem list`, or "
                        f"module:attribute for a dynamem.System of yours (default: {' '.join(DEFAULT)})")  # fmt: skip
    data_options(parser)
    what = parser.add_argument_group("what to run")
    what.add_argument("--states", metavar="N", type=int, default=STATES, help=f"runs of a system (default: {STATES})")
    seed_option(what)
    output_options(
        parser, "write all cells with their evidence for machines", "write a page with the table and the recall curves"
    )


def run(args: argparse.Namespace) -> int:
    """Run the command; everything that can be refused is refused before the computation starts."""
    from .._output import check_all
    from ..catalog._names import system_names
    from ._collector import still
    from ._data import load, require_states
    from ._messages import note, say
    from ._systems import check_names

    check_seed(args.seed)
    check_names(args.systems, system_names())
    data = load(args.data, args.weights, standardise=args.standardise)
    names = _chosen(args, note)
    require_states(args.states, data.patterns.shape[1], names)
    paths = check_all({"json": args.json, "html": args.html}, {"data": args.data, "weights": args.weights})
    with still():
        table, environment = _compute(args, names, data)
    for text in table.errors:
        note(text)
    say(table_text(table))
    _deliver(table, environment, data.image_shape, paths)
    return 0


def _chosen(args: argparse.Namespace, note: Any) -> list[str]:
    """The systems, each once; the network was trained on the digits as they are, and is left out for other data."""
    names = list(dict.fromkeys(args.systems)) or list(DEFAULT)
    if "learned" in names and (args.data is not None or args.standardise):
        if args.systems:
            msg = "system='learned' was trained on the digits in [0, 1]; leave out --data and --standardise, or it"
            raise InputError(msg)
        note("the learned denoiser is left out: it was trained on the digits in [0, 1]")
        names.remove("learned")
    return names


def _compute(args: argparse.Namespace, names: list[str], data: Any) -> tuple[Any, dict[str, Any]]:
    from ._cache import prepare_jax
    from ._messages import note
    from ._progress import progress
    from ._systems import check_own

    notes = [*data.notes, *prepare_jax(raising=any(":" in name for name in names))]
    from .. import catalog
    from ..catalog._audit import environment
    from ..survey import survey_table

    for text in (*notes, *check_own(names, catalog.load_system)):
        note(text)
    patterns = catalog.DataSet(
        name=data.name, patterns=data.patterns, image_shape=data.image_shape, weights=data.weights
    )
    options = catalog.AuditOptions(data=patterns, states=args.states, seed=args.seed)
    with progress(verbose=args.verbose) as report:
        table = survey_table(names, patterns, states=args.states, seed=args.seed, progress=report)
    return table, environment(options)


def table_text(table: Any) -> str:
    """The table for people, at most `WIDTH` columns."""
    from rich.table import Table
    from rich.text import Text

    from ._table import page_of

    grid = Table(box=None, padding=(0, 2, 0, 0), header_style="bold", show_edge=False)
    grid.add_column("", style="bold", width=14)
    for name, title in table.systems.items():
        grid.add_column(Text(f"{name}\n{title}"), ratio=1)
    for row in table.rows:
        grid.add_row(Text(row.name), *(Text(_answer(row.cells[name])) for name in table.systems))
        grid.add_row()
    return page_of([grid])


def _answer(cell: Any) -> str:
    return cell.text if cell.verdict is None else f"[{cell.verdict}] {cell.text}"


def document(table: Any, environment: dict[str, Any]) -> dict[str, Any]:
    """The JSON document: rows of the survey's table with a cell for each system."""
    from ._json import plain

    rows = [
        {
            "property": row.name,
            "measured": row.measured,
            "cells": {name: {"text": cell.text, "verdict": cell.verdict, "evidence": cell.evidence}
                      for name, cell in row.cells.items()},
        }
        for row in table.rows
    ]  # fmt: skip
    return plain({
        "schema": SCHEMA, "environment": environment, "systems": table.systems, "rows": rows, "errors": table.errors,
    })  # fmt: skip


def _deliver(
    table: Any, environment: dict[str, Any], image_shape: tuple[int, int] | None, paths: dict[str, Path]
) -> None:
    from .._output import staged

    if "json" in paths:
        with staged("json", paths["json"]) as draft:
            draft.write_text(json.dumps(document(table, environment), allow_nan=False) + "\n", encoding="utf-8")
    if "html" in paths:
        from ..report import write_survey_html

        write_survey_html(table, environment, image_shape, paths["html"])
