"""What `dynamem stability` finds: landscapes of systems, the tree and the critical times of a diffusion, capacity."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from functools import partial
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
        interrupted: whether Ctrl-C left something out.
    """

    data: str
    landscapes: tuple[Landscape, ...]
    recall: OverlapCurve | None
    tree: Tree | None
    times: dict[str, CriticalTimes]
    capacities: dict[str, Capacity]
    errors: tuple[str, ...]
    interrupted: bool = False


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
    parts = [part for name in names for part in _parts(name, data, states, at, budget_s, seed)]
    if sweep:
        parts.append(("capacity", lambda say: {"capacities": _capacities(seed, store, say)}))
    found: dict[str, Any] = {"landscapes": (), "recall": None, "tree": None, "times": {}, "capacities": {}}
    errors, interrupted = [], False
    for done, (name, part) in enumerate(parts):
        try:
            more = part(lambda words, name=name, done=done: tell(f"{name}: {words}", done, len(parts)))
        except DynamemError as error:
            errors.append(f"{name}: {error}")
        except KeyboardInterrupt:
            interrupted = True
            errors.append(f"{name}: interrupted")
        else:
            found = _joined(found, more)
        interrupted |= any(one.interrupted for one in found["landscapes"])
        if interrupted:
            break
        tell(name, done + 1, len(parts))
    errors += [f"{one.name}: {text}" for one in found["landscapes"] for text in one.errors]
    return Study(data.name, errors=tuple(errors), interrupted=interrupted, **found)


def _joined(found: dict[str, Any], more: dict[str, Any]) -> dict[str, Any]:
    """Landscapes one after the other, times of all schedules, and what is new."""
    times, landscapes = found["times"] | more.get("times", {}), found["landscapes"] + more.get("landscapes", ())
    return found | more | {"times": times, "landscapes": landscapes}


def _parts(
    name: str, data: DataSet, states: int, at: float | None, budget_s: float, seed: int
) -> list[tuple[str, Callable[[Any], dict[str, Any]]]]:
    """What a name asks for: functions of whom to tell, each with its name."""
    if name == DIFFUSION:
        weights = None if data.weights is None else jnp.asarray(data.weights)
        law = Empirical(jnp.asarray(data.patterns), weights)
        tree: Any = lambda say: {"tree": memory_tree(law, report=say)}  # noqa: E731
        times = [(f"critical times, {one}", partial(_times, law, one, seed)) for one in SCHEDULES]
        return [("tree of fixed points", tree), *times]

    def one(say: Callable[[str], None]) -> dict[str, Any]:
        system, title = _system(name, data, states, seed)
        found = landscape(
            system, name, title=title, at=at, states=states, budget_s=budget_s, seed=seed, tell=say
        )  # fmt: skip
        return {"landscapes": (found,), **({} if found.interrupted else _recall(system, name, data, seed))}

    return [(name, one)]


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


def _times(law: Empirical, schedule: str, seed: int, say: Callable[[str], None]) -> dict[str, Any]:
    say("by every criterion")
    return {"times": {schedule: critical_times(DiffusionPath(schedule_of(schedule), law), seed=seed)}}


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
