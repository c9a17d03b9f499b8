"""`dynamem compare`: which solver and which steps keep the energies falling, and at what cost."""

import argparse
import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .._errors import InputError
from ._arguments import check_seed, data_options, output_options, seed_option
from ._expect import exit_code


SCHEMA = "dynamem.compare/1"
STATES = 16

DESCRIPTION = """\
Solve problems with many solvers, on ladders of steps and of tolerances, and measure for each: calls of the vector
field, error, order, time, whether the energies that should fall ever rose, and up to which step they do not."""


def register(commands: argparse._SubParsersAction) -> None:
    """Add the command and its options."""
    parser = commands.add_parser(
        "compare",
        help="which solver and which steps keep the energies falling, and at what cost",
        description=DESCRIPTION,
        allow_abbrev=False,
    )
    parser.set_defaults(run=run)
    parser.add_argument("problems", metavar="PROBLEM", nargs="*", help="names from `dynamem list`, or module:attribute "
                        "for a dynamem.Problem or dynamem.System of your own (default: all built-in ones)")  # fmt: skip
    data_options(parser)
    what = parser.add_argument_group("what to run")
    what.add_argument("--solver", metavar="NAME", nargs="+", action="extend", default=[],
                      help="only methods whose name contains one of these")  # fmt: skip
    what.add_argument("--tag", metavar="TAG", nargs="+", action="extend", default=[],
                      help="only methods with one of these tags: explicit, implicit, sampler, stable")  # fmt: skip
    what.add_argument("--every", action="store_true", help="every solver that applies, for minutes more")
    what.add_argument("--steps", metavar="N", type=int, nargs="+",
                      help="numbers of fixed steps, in place of each method's own")  # fmt: skip
    what.add_argument("--states", metavar="B", type=int, default=STATES, help=f"runs of a problem (default: {STATES})")
    seed_option(what)
    output = output_options(
        parser, "write all measurements for machines", "write a page with figures, tables and counterexamples"
    )
    output.add_argument("--expect", choices=("holds",), help="exit 4 if a run failed, 1 if the first energy rose")


def run(args: argparse.Namespace) -> int:
    """Run the command; everything that can be refused is refused before the computation starts."""
    from .._output import check_all
    from ..catalog._names import PROBLEMS
    from ._collector import still
    from ._data import load, require_states
    from ._ladders import compare_text
    from ._messages import note, say
    from ._systems import check_names

    check_seed(args.seed)
    check_names(args.problems, list(PROBLEMS), "problem")
    if args.steps is not None and min(args.steps) < 1:
        msg = f"steps={min(args.steps)} is below 1; give numbers of fixed steps, for instance 8 16 32"
        raise InputError(msg)
    data = load(args.data, args.weights, standardise=args.standardise)
    require_states(args.states, data.patterns.shape[1], args.problems)
    paths = check_all({"json": args.json, "html": args.html}, {"data": args.data, "weights": args.weights})
    with still():
        found, environment, pictures = _compute(args, list(dict.fromkeys(args.problems)) or list(PROBLEMS), data)
    for text in found.errors:
        note(text)
    say(compare_text(found))
    _deliver(found, environment, pictures, paths)
    return exit_code(map(verdict_of, found.rows), args.expect)


def verdict_of(row: Any) -> str:
    """``failed``, ``broken`` if the first energy rose in a step (for an SDE: in mean), or ``holds``."""
    if row.status != "ok":
        return "failed"
    return "broken" if row.judged is not None and row.judged.risen else "holds"


def _compute(args: argparse.Namespace, names: Sequence[str], data: Any) -> tuple[Any, dict[str, Any], Any]:
    """The comparison, its environment, and the maps and exhibits of the page if there will be one."""
    from ._cache import prepare_jax
    from ._messages import note
    from ._progress import progress

    for text in (*data.notes, *prepare_jax(raising=any(":" in name for name in names))):
        note(text)
    from .. import catalog, comparison
    from ..catalog._audit import environment

    patterns = catalog.DataSet(
        name=data.name, patterns=data.patterns, image_shape=data.image_shape, weights=data.weights
    )
    problems = comparison.problems(names, patterns, states=args.states, seed=args.seed)
    options = catalog.AuditOptions(data=patterns, states=args.states, seed=args.seed)
    asked = [(problem, _chosen(args, comparison.methods_for(problem, every=args.every))) for problem in problems]
    if not any(methods for _, methods in asked):
        msg = f"solver={args.solver!r}, tag={args.tag!r}: no method of these problems; `dynamem compare` names them all"
        raise InputError(msg)
    with progress(verbose=args.verbose) as report:
        found = comparison.compare_all(asked, seed=args.seed, progress=report)
        pictures = (comparison.rise_maps(report), comparison.gallery()) if args.html else None
    return found, environment(options), pictures


def _chosen(args: argparse.Namespace, methods: Sequence[Any]) -> list[Any]:
    """Those asked for, with the steps asked for."""
    words = [word.lower() for word in args.solver]
    kept = [
        one
        for one in methods
        if (not words or any(word in one.name.lower() for word in words))
        and (not args.tag or set(args.tag) & set(one.tags))
    ]
    if args.steps is None:
        return kept
    steps = tuple(sorted(set(args.steps)))
    return [dataclasses.replace(one, steps=steps) if one.steps else one for one in kept]


def document(found: Any, environment: dict[str, Any]) -> dict[str, Any]:
    """The JSON document: the records as they are."""
    from ._json import plain

    kinds = ("problems", "rows", "orders", "limits", "curves")
    parts = {name: list(map(dataclasses.asdict, getattr(found, name))) for name in kinds}
    return plain({"schema": SCHEMA, "environment": environment, **parts, "errors": found.errors})


def _deliver(found: Any, environment: dict[str, Any], pictures: Any, paths: dict[str, Path]) -> None:
    from .._output import staged

    if "json" in paths:
        with staged("json", paths["json"]) as draft:
            draft.write_text(json.dumps(document(found, environment), allow_nan=False) + "\n", encoding="utf-8")
    if "html" in paths:
        from ..report import write_compare_html

        write_compare_html(found, *pictures, environment, paths["html"])
