"""What `dynamem stability` finds: landscapes of systems, the tree and the critical times of a diffusion, capacity."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np

from .._errors import DynamemError, InputError
from ..catalog import MEMORIES, DataSet, System, load_system, memory, schedule_of
from ..diffusion import DiffusionPath, Empirical
from ..energies import LogSumExp
from ._capacity import Capacity, capacity, exponent, finite_size
from ._critical_time import CriticalTimes
from ._landscape import Landscape, landscape
from ._plane import OverlapCurve, overlap_curve
from ._times import critical_times
from ._tree import Tree, memory_tree


DIFFUSION = "diffusion"
SCHEDULES = ("VP", "VE")
SPREAD = np.asarray([0.6, 0.8, 1.0, 1.2, 1.5])
LEVELS, TRIALS = np.linspace(0.0, 1.0, 9), 256
CAPACITIES: dict[str, dict[str, Any]] = {
    "classical, n = 2": {"sizes": (500, 1000, 2000), "loads": (0.12, 0.14, 0.15, 0.16, 0.17, 0.19, 0.21)},
    "one sweep, n = 2": {"sizes": (100, 200, 400), "loads": 0.3696 * SPREAD, "n": 2, "sweeps": 1},
    "one sweep, n = 3": {"sizes": (40, 80, 160), "loads": 0.1232 * SPREAD, "n": 3, "sweeps": 1},
    "one sweep, n = 4": {"sizes": (40, 60, 80, 100), "loads": 0.02464 * SPREAD, "n": 4, "sweeps": 1},
}
"""Sweeps of recall against load, by name."""


@dataclasses.dataclass(frozen=True)
class Study:
    """Everything that was asked for.

    Attributes:
        data: name of the patterns.
        landscapes: one for each system.
        recall: overlap against corruption of a log-sum-exp memory of the patterns, if that was a system.
        tree: of the patterns' diffusion, if it was asked for.
        times: critical times by schedule.
        capacities: by name.
        errors: what could not be computed, a sentence each.
    """

    data: str
    landscapes: tuple[Landscape, ...]
    recall: OverlapCurve | None
    tree: Tree | None
    times: dict[str, CriticalTimes]
    capacities: dict[str, Capacity]
    errors: tuple[str, ...]


def study(
    names: Sequence[str], data: DataSet, *, states: int = 256, at: float | None = None, budget_s: float = 10.0,
    seed: int = 0, sweep: bool = False, store: Path | None = None,
    tell: Callable[[str, int, int], None] = lambda *_: None,
) -> Study:  # fmt: skip
    """Study systems, and the diffusion of the data where "diffusion" is among the names.

    Arguments:
        names: of memories, ``module:attribute`` of a `System`, or "diffusion".
        data: patterns.
        states: initial states of each system.
        at: time at which a flow that reads it is held.
        budget_s: seconds for enclosing all fixed points of a small system.
        seed: of everything random.
        sweep: whether recall is swept against load too.
        store: a file by which that resumes.
        tell: told ``(label, done, total)`` as parts begin.
    """
    total, errors = len(names) + sweep, []
    found: dict[str, Any] = {"landscapes": (), "recall": None, "tree": None, "times": {}, "capacities": {}}
    parts = [(name, _part(name, data, states, at, budget_s, seed)) for name in names]
    if sweep:
        parts.append(("capacity", lambda say: {"capacities": _capacities(seed, store, say)}))
    for done, (name, part) in enumerate(parts):
        try:
            more = part(lambda words, name=name, done=done: tell(f"{name}: {words}", done, total))
        except DynamemError as error:
            errors.append(f"{name}: {error}")
        else:
            more["landscapes"] = (*found["landscapes"], *more.get("landscapes", ()))
            found |= more
        tell(name, done + 1, total)
        if any(one.interrupted for one in found["landscapes"]):
            break
    errors += [f"{one.name}: {text}" for one in found["landscapes"] for text in one.errors]
    return Study(data.name, errors=tuple(errors), **found)


def _part(name: str, data: DataSet, states: int, at: float | None, budget_s: float, seed: int) -> Callable[[Any], dict]:
    """What a name asks for, as a function of whom to tell."""
    if name == DIFFUSION:
        return lambda say: _diffusion(data, seed, say)

    def one(say: Callable[[str], None]) -> dict[str, Any]:
        system, title = _system(name, data, states, seed)
        found = landscape(
            system, name, title=title, at=at, states=states, budget_s=budget_s, seed=seed, tell=say
        )  # fmt: skip
        return {"landscapes": (found,), **_recall(system, name, data, seed)}

    return one


def _system(name: str, data: DataSet, states: int, seed: int) -> tuple[System, str]:
    if ":" in name:
        return load_system(name), ""
    return memory(name, jnp.asarray(data.patterns), states, jr.key(seed)), MEMORIES[name]


def _recall(system: System, name: str, data: DataSet, seed: int) -> dict[str, Any]:
    energy: Any = system.energy
    if ":" in name or not isinstance(energy, LogSumExp):
        return {}
    curve = overlap_curve(
        jax.vmap(energy.update), data.patterns, "gaussian", LEVELS, jr.key(seed), trials=min(TRIALS, len(data.patterns))
    )
    return {"recall": curve}


def _diffusion(data: DataSet, seed: int, say: Callable[[str], None]) -> dict[str, Any]:
    weights = None if data.weights is None else jnp.asarray(data.weights)
    law = Empirical(jnp.asarray(data.patterns), weights)
    say("the tree of its fixed points")
    tree = memory_tree(law, report=say)
    times = {}
    for name in SCHEDULES:
        say(f"critical times, {name}")
        times[name] = critical_times(DiffusionPath(schedule_of(name), law), seed=seed)
    return {"tree": tree, "times": times}


def _capacities(seed: int, store: Path | None, say: Callable[[str], None]) -> dict[str, Capacity]:
    found = {}
    for number, (name, how) in enumerate(CAPACITIES.items()):
        place = None if store is None else store.with_name(f"{store.stem}-{number}{store.suffix}")
        found[name] = capacity("power", **how, seed=seed, store=place, tell=say)
    return found


def fits_of(found: Mapping[str, Capacity]) -> dict[str, str]:
    """What the sizes of each sweep are fitted to, in words: the load of infinite size, or the exponent."""
    told = {}
    for name, one in found.items():
        try:
            fit = finite_size(one) if name.startswith("classical") else exponent(one)
        except InputError as error:
            told[name] = str(error)
            continue
        what = "load of infinite size" if name.startswith("classical") else "patterns grow with D to the power"
        told[name] = f"{what} {fit.value:.3g} ({fit.low:.3g} to {fit.high:.3g})"
    return told
