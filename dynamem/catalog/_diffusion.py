"""The audit of one schedule: probability flow and reverse SDE against the energies of its path."""

import dataclasses
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np

from ..diffusion import AbstractLaw, times_of
from ..lyapunov import along, differences
from ._attribution import parts_of
from ._evidence import (
    Course,
    Rise,
    attribute_all,
    in_mean,
    mean_rise,
    mean_witness,
    pathwise,
    places,
    rates,
    step_rise,
    tested,
)
from ._ledger import CLOCKS, NAMES, Along, Energies, Rates
from ._names import STEPS
from ._rows import fraction, row
from ._runs import Run, Sampler
from ._size import PATHS


MORE_ODE = ("EDMHeun", "DPMSolver2M", "DPMSolver2S", "ExponentialAB")
MORE_SDE = ("EulerAncestral", "DPMSolverSDE", "EDMHeun", "PredictorCorrector", "AnnealedLangevin")
"""Samplers that a quick audit leaves out."""
CHURN = 1.0
AFFINE = ("EDM", "FlowMatching")


@dataclasses.dataclass(frozen=True)
class Found:
    """A run with all energies along it: values, sizes and martingale parts (B, n, 6), and its moments."""

    run: Run
    values: np.ndarray
    sizes: np.ndarray
    slopes: np.ndarray
    moments: dict[str, np.ndarray]


@dataclasses.dataclass(frozen=True)
class Sweep:
    """All that was measured of one dynamics on one schedule, for the rows, the claims and the figures."""

    dynamics: str
    schedule: str
    sampler: Sampler
    runs: list[Found]
    rows: list[dict[str, Any]]
    probes: dict[str, Any]


def sweep(
    dynamics: str,
    name: str,
    law: AbstractLaw,
    states: Any,
    levels: tuple[float, float],
    key: Any,
    proceed: Callable[[], None],
    *,
    quick: bool = False,
) -> Sweep:
    """Run every solver of one dynamics on one schedule and judge every energy.

    ``states`` are canonical (B, D); ``proceed`` is called between the solvers and may raise; ``quick`` runs fewer.
    """
    sampler = Sampler(name, law, levels)
    energies = Energies(sampler.path, jnp.asarray(CHURN), jnp.zeros(()))
    many = jnp.tile(states, (PATHS, 1))
    keys = jax.vmap(lambda b: jr.fold_in(key, b))(jnp.arange(many.shape[0]))
    if dynamics == "probability_flow":
        solves = [partial(sampler.ode, *how, states) for how in _runs_of(dynamics, quick)]
    else:
        solves = [partial(sampler.sde, *how, many, keys, CHURN) for how in _runs_of(dynamics, quick)]
    rows, runs, rises = [], [], []
    for solve in solves:
        proceed()
        run = solve()
        proceed()
        runs.append(Found(run, *along(Along(energies), run.tau, run.ys, run.lam, run.noise)))
        made, rising = _solver_rows(runs[-1], energies, dynamics, name)
        rows, rises = rows + made, [*rises, rising]
    proceed()
    if any(rises):
        places_of_runs = [(found.run, *places(rising)) for found, rising in zip(runs, rises, strict=True)]
        parts = parts_of(energies, places_of_runs, noisy=dynamics == "reverse_sde")
        attribute_all([one for rising in rises for one in rising], parts)
    proceed()
    visited = runs[0] if dynamics == "probability_flow" else runs[-1]
    probes = _probes(energies, visited.run, states.shape[0])
    rows += _rate_rows(sampler, probes, dynamics, name)
    return Sweep(dynamics, name, sampler, runs, rows, probes)


def _runs_of(dynamics: str, quick: bool) -> list[tuple[str, Any]]:
    """Solvers and numbers of steps, None for adaptive ones; the figures show the first and the last."""
    if dynamics == "probability_flow":
        solvers = ("Euler", "DDIM", *(() if quick else MORE_ODE), "Heun")
        return [("Tsit5", None), *((solver, steps) for solver in solvers for steps in STEPS)]
    solvers = ("EulerMaruyama", *(() if quick else MORE_SDE), "DDPM")
    return [(solver, steps) for solver in solvers for steps in STEPS]


def _energies_of(dynamics: str) -> tuple[str, ...]:
    """`free_churn` speaks about noise."""
    return NAMES[:-1] if dynamics == "probability_flow" else NAMES


def _statements_of(dynamics: str) -> tuple[str, ...]:
    return ("pathwise",) if dynamics == "probability_flow" else ("pathwise", "mean")


def planned(dynamics: str, schedule: str, *, quick: bool = False) -> list[dict[str, Any]]:
    """What identifies the rows of a sweep, in their order, without computing any."""
    cells = [(*how, statement) for how in _runs_of(dynamics, quick) for statement in _statements_of(dynamics)]
    return [
        _identity(dynamics, schedule, energy, *cell)
        for cell in (*cells, (None, None, "rate"))
        for energy in _energies_of(dynamics)
    ]


def _identity(
    dynamics: str, schedule: str, energy: str, solver: str | None, steps: int | None, statement: str
) -> dict[str, Any]:
    return {
        "system": f"{dynamics}/{schedule}",
        "dynamics": dynamics,
        "schedule": schedule,
        "solver": solver,
        "steps": steps,
        "clock": CLOCKS[energy],
        "energy": energy,
        "statement": statement,
        "theorem": theorem_of(dynamics, energy, solver, schedule, statement),
    }


def theorem_of(dynamics: str, energy: str, solver: str | None, schedule: str, statement: str) -> str | None:
    """The statement that speaks about this cell, None where there is none."""
    if dynamics == "reverse_sde":
        if statement == "rate" and energy in ("free", "free_churn"):
            return "D8"
        if statement == "rate" and energy == "density" and schedule == "VE":
            return "D8"
        ancestral = statement == "mean" and energy == "free_churn" and solver in ("DDPM", "EulerAncestral")
        return "D14" if ancestral else None
    if solver in ("Tsit5", None):
        return {"density": "D2", "density_canonical": "D3", "hopfield": "D5", "frozen": "D6", "free": "D4"}[energy]
    if energy == "free" and (solver == "DDIM" or (solver == "Euler" and schedule in AFFINE)):
        return "D7"
    return "D13" if energy == "free" and solver == "DPMSolver2S" else None


def _course(found: Found, energies: Energies, index: int) -> Course:
    """One energy along a run, on its own clock: the density in own coordinates, the others in canonical ones."""
    run, own = found.run, CLOCKS[NAMES[index]] == "tau"
    schedule = energies.path.schedule

    def state(b: int, k: int) -> np.ndarray:
        return np.asarray(schedule.alpha(1 - run.tau[b, k])) * run.ys[b, k] if own else run.ys[b, k]

    rises = differences(found.values[..., index], found.sizes[..., index], run.count)
    return Course(run.tau if own else run.lam, run.lam, state, rises, run.ok)


def _solver_rows(found: Found, energies: Energies, dynamics: str, schedule: str) -> tuple[list, list[Rise]]:
    """Rows of one run, and its rises: 'no step raises the energy', and for an SDE that none does in mean."""
    run, rises, noisy = found.run, [], dynamics == "reverse_sde"
    measured = {"states": int(run.ys.shape[0]), "seconds": run.seconds}
    rows: dict[str, list[dict[str, Any]]] = {statement: [] for statement in _statements_of(dynamics)}
    for index, energy in enumerate(_energies_of(dynamics)):
        course, martingale = _course(found, energies, index), found.slopes[:, :-1, index]
        for statement, made in rows.items():
            identity = _identity(dynamics, schedule, energy, run.solver, run.steps, statement)
            if statement == "pathwise":
                made.append(row(**identity, **measured, **pathwise(course)))
                rises += step_rise(made[-1], index, martingale if noisy else None)
            else:
                fields, inside = _in_mean(found, course, martingale, energy)
                made.append(row(**identity, **measured, **fields))
                rises += mean_rise(made[-1], index, inside)
    return [one for made in rows.values() for one in made], rises


def _in_mean(found: Found, course: Course, martingale: np.ndarray, energy: str) -> tuple[dict[str, Any], Any]:
    """Fields of the supermartingale statement, step by step and below the noise floor, and the pairs it is about."""
    fields = in_mean(course, martingale)
    if "verdict" not in fields or energy not in ("free", "free_churn"):
        return fields, None
    inside = _below_floor(found)
    floor = floor_fields(course, martingale, inside)
    return (fields | floor, inside) if floor else (fields, None)


def _below_floor(found: Found) -> np.ndarray:
    """Steps (B, n - 1) that start where V's own generator is positive: a set known at their start.

    There ``(1 + zeta)|y - m|^2 + 2 s^2 KL < zeta (D s^2 - tr C)``.
    """
    moments = {name: values[:, :-1] for name, values in found.moments.items()}
    level = np.exp(-2 * found.run.lam[:, :-1])
    spent = (1 + CHURN) * moments["residual"] + 2 * level * moments["kl"]
    return spent < CHURN * (found.run.ys.shape[-1] * level - moments["trace"])


def floor_fields(course: Course, martingale: np.ndarray, inside: np.ndarray) -> dict[str, Any]:
    """What a supermartingale must also pass: no mean rise over the (path, step) pairs of a set known at their start.

    Every path's changes are summed over its steps in the set; ``rises`` counts the steps whose mean over the set rose.
    """
    change, noise, bound = (part * inside for part in (course.rises.change, martingale, course.rises.bound))
    sums = [part.sum(axis=1) for part in (change, noise, bound)]
    test = tested(*(part[:, None] for part in sums))
    if test.status != "broken":
        return {}
    rising = (change - noise).sum(axis=0) > bound.sum(axis=0)
    count, paths = int(rising.sum()), inside.any(axis=1)
    reason = (
        f"rises in mean over the {int(inside.sum())} steps of {int(paths.sum())} paths that start below the noise "
        "floor, at confidence 0.999"
    )
    used = np.flatnonzero(inside.any(axis=0))
    ends = {"t0": float(course.times[0, used[0]]), "t1": float(course.times[0, used[-1] + 1])}
    return {
        "verdict": "broken",
        "reason": reason,
        "rises": count,
        "rise_fraction": fraction(count, rising.size),
        "largest_rise": float(test.mean[0]),
        "first_rise": course.first(rising),
        "witness": mean_witness(test, 0, (sums[0], sums[1])) | ends,
    }


def _probes(energies: Energies, run: Run, count: int) -> dict[str, Any]:
    """Rates at the states of one run, and at states between pairs of its ends."""
    tau, lam, ys = (_thinned(values[:count]) for values in (run.tau, run.lam, run.ys))
    between = _between(energies, ys[:, -1], lam[:1])
    tau, lam, ys = (np.concatenate(pair) for pair in zip((tau, lam, ys), between, strict=True))
    start = time.perf_counter()
    ode, sde = along(Rates(energies), tau, ys, lam)
    _, _, _, moments = along(Along(energies), tau, ys, lam, np.zeros_like(ys))
    seconds = time.perf_counter() - start
    return {"tau": tau, "lam": lam, "ys": ys, "ode": ode, "sde": sde, "moments": moments, "seconds": seconds}


def _thinned(values: np.ndarray, width: int = 25) -> np.ndarray:
    """At most ``width`` columns, ends included, so that all probes share one shape."""
    return values[:, np.linspace(0, values.shape[1] - 1, width).round().astype(int)]


def _between(energies: Energies, ends: np.ndarray, lam: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Midpoints of neighbouring end states at every probed time: where two memories compete."""
    middle = 0.5 * (ends + np.roll(ends, 1, axis=0))[: max(1, len(ends) // 2)]
    grid = np.linspace(lam.min(), lam.max(), lam.shape[1])
    lams = np.broadcast_to(grid, (middle.shape[0], grid.size))
    times = 1 - np.asarray(times_of(energies.path.schedule, jnp.asarray(grid)))
    return np.broadcast_to(times, lams.shape), lams, np.repeat(middle[:, None], grid.size, axis=1)


def _rate_rows(sampler: Sampler, probes: dict[str, Any], dynamics: str, schedule: str) -> list[dict[str, Any]]:
    """Rows of the statement 'the generator is never positive', at all probed states, per unit of each row's clock."""
    rate, bound = probes["ode" if dynamics == "probability_flow" else "sde"]
    tau, lam, ys = probes["tau"], probes["lam"], probes["ys"]
    alpha, sigma, _, g2 = sampler.coefficients(1 - tau)
    clocks = {"tau": (tau, alpha[..., None] * ys, g2 / (2 * sigma**2)), "lam": (lam, ys, np.ones_like(lam))}
    rows = []
    for index, energy in enumerate(_energies_of(dynamics)):
        times, xs, pace = clocks[CLOCKS[energy]]
        one, slack = jax.tree.map(lambda part, index=index, pace=pace: part[..., index] * pace, (rate, bound))
        found = rates(times, lam, lambda b, k, xs=xs: xs[b, k], one, slack)
        identity = _identity(dynamics, schedule, energy, None, None, "rate")
        rows.append(row(**identity, **found, states=int(times.size), seconds=probes["seconds"]))
    return rows
