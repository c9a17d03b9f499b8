"""`dynamem stability`: fixed points, basins, exponents, the tree of a diffusion, critical times, capacity."""

import argparse
import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .._errors import InputError
from ._arguments import check_seed, data_options, output_options, seed_option


SCHEMA = "dynamem.stability/1"
STATES = 256
DIFFUSION = "diffusion"
MOST_POINTS = 64
"""Levels of a tree with more points have null in their place: of 1,797 patterns they would be 60 MB."""
DEFAULT = ("log_sum_exp", DIFFUSION)

DESCRIPTION = """\
The landscape of memories and of diffusion models: fixed points with their kind and spectrum, the share of states that
ends at each, the smallest shock that changes where a state ends, Lyapunov exponents; for a diffusion of the data the
tree of its fixed points as noise falls, and the critical times of the literature, each with its criterion."""


def register(commands: argparse._SubParsersAction) -> None:
    """Add the command and its options."""
    parser = commands.add_parser(
        "stability",
        help="fixed points, basins, exponents, critical times and capacity",
        description=DESCRIPTION,
        allow_abbrev=False,
    )
    parser.set_defaults(run=run)
    parser.add_argument("systems", metavar="SYSTEM", nargs="*", help="names of memories from `dynamem list`, "
                        "module:attribute for a dynamem.System of your own, or 'diffusion' for the patterns' diffusion "
                        f"(default: {' '.join(DEFAULT)})")  # fmt: skip
    data_options(parser)
    what = parser.add_argument_group("what to run")
    what.add_argument("--states", metavar="B", type=int, default=STATES,
                      help=f"initial states of a system (default: {STATES})")  # fmt: skip
    what.add_argument("--at", metavar="T", type=float,
                      help="time at which a flow that depends on time is held for its fixed points "
                      "(default: the end of its span)")  # fmt: skip
    what.add_argument("--budget", metavar="S", type=float, default=10.0,
                      help="seconds for enclosing all fixed points of systems of up to 3 coordinates "
                      "(default: 10)")  # fmt: skip
    what.add_argument("--capacity", action="store_true", help="recall against load of random patterns too, for minutes")
    what.add_argument("--store", metavar="FILE", help="a file by which --capacity resumes where it was cut")
    seed_option(what)
    output_options(parser, "write everything that was found for machines", "write a page with figures and tables")


def run(args: argparse.Namespace) -> int:
    """Run the command; everything that can be refused is refused before the computation starts."""
    from .._output import check, check_all
    from ..catalog._names import MEMORIES
    from ._collector import still
    from ._data import load, require_states
    from ._messages import note, say
    from ._stability_text import stability_text
    from ._systems import check_names

    check_seed(args.seed)
    _check_numbers(args)
    check_names(args.systems, [*MEMORIES, DIFFUSION])
    names = list(dict.fromkeys(args.systems)) or list(DEFAULT)
    data = load(args.data, args.weights, standardise=args.standardise)
    require_states(args.states, data.patterns.shape[1], names)
    paths = check_all({"json": args.json, "html": args.html}, {"data": args.data, "weights": args.weights})
    store = None if args.store is None else check("store", args.store)
    with still():
        found, environment = _compute(args, names, data, store)
    for text in found.errors:
        note(text)
    say(stability_text(found))
    _deliver(found, environment, data.image_shape, paths)
    if found.interrupted:  # with what there is on the screen and in the files
        raise KeyboardInterrupt
    return 0


def _check_numbers(args: argparse.Namespace) -> None:
    if not 0 < args.budget < float("inf"):
        msg = f"budget={args.budget!r}: give a positive number of seconds"
        raise InputError(msg)
    if args.at is not None and not abs(args.at) < float("inf"):
        msg = f"at={args.at!r}: give a finite time on the flow's clock"
        raise InputError(msg)
    if args.store is not None and not args.capacity:
        msg = f"store={args.store!r}: it is the sweep of --capacity that resumes; give both"
        raise InputError(msg)


def _compute(args: argparse.Namespace, names: Sequence[str], data: Any, store: Any) -> tuple[Any, dict[str, Any]]:
    from ._cache import prepare_jax
    from ._messages import note
    from ._progress import progress
    from ._systems import check_own

    notes = [*data.notes, *prepare_jax(raising=any(":" in name for name in names))]
    from .. import catalog, stability
    from ..catalog._audit import environment

    for text in (*notes, *check_own(names, catalog.load_system)):
        note(text)
    patterns = catalog.DataSet(
        name=data.name, patterns=data.patterns, image_shape=data.image_shape, weights=data.weights
    )
    options = catalog.AuditOptions(data=patterns, states=args.states, seed=args.seed)
    with progress(verbose=args.verbose) as report:
        found = stability.study(
            names, patterns, states=args.states, at=args.at, budget_s=args.budget, seed=args.seed,
            sweep=args.capacity, store=store, tell=report,
        )  # fmt: skip
    return found, environment(options)


def records(value: Any) -> Any:
    """Records as dictionaries by their fields, what is in them as it is; complex numbers as their two parts."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: records(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {key: records(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [records(item) for item in value]
    if getattr(getattr(value, "dtype", None), "kind", "") == "c":
        parts: Any = value
        return {"real": parts.real, "imag": parts.imag}
    return value


def document(found: Any, environment: dict[str, Any]) -> dict[str, Any]:
    """The JSON document: the records as they are, but for the points of levels of a tree that have many."""
    from ._json import plain

    made = records(found)
    if found.tree is not None:
        made["tree"]["points"] = [points if len(points) <= MOST_POINTS else None for points in found.tree.points]
    return plain({"schema": SCHEMA, "environment": environment, **made})


def _deliver(found: Any, environment: dict[str, Any], shape: Any, paths: dict[str, Path]) -> None:
    from .._output import staged

    if "json" in paths:
        with staged("json", paths["json"]) as draft:
            draft.write_text(json.dumps(document(found, environment), allow_nan=False) + "\n", encoding="utf-8")
    if "html" in paths:
        from ..report import write_stability_html

        write_stability_html(found, environment, shape, paths["html"])
