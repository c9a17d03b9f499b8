"""Rows of energy and flow alone: the built-in memories, and any system of the user's."""

import time
from collections.abc import Callable
from typing import Any

import diffrax as dfx
import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Float, Scalar

from .._types import EnergyFn
from ..lyapunov import (
    Directional,
    Generator,
    Rate,
    Trajectory,
    along,
    attribute,
    clock_of,
    dynamics_of,
    falsify,
    generator,
    kicks,
    magnitude,
    rate_bound,
    rises_of,
    solve,
)
from ._evidence import (
    Course,
    attribute_all,
    in_mean,
    mean_rise,
    pathwise,
    places,
    rates,
    step_rise,
    worst_rate,
)
from ._memories import THEOREMS, between
from ._names import LEARNED, STEPS
from ._regions import on_region
from ._rows import PARTS, fraction, row
from ._runs import ATOL, MOST, RTOL
from ._size import MOST_STEPS, PATHS
from ._system import System, is_noisy


METHODS = {"Tsit5": dfx.Tsit5, "Euler": dfx.Euler, "Heun": dfx.Heun}
ODE = (("Tsit5", None), *((solver, steps) for solver in ("Euler", "Heun") for steps in STEPS))
SDE = tuple(("EulerMaruyama", steps) for steps in STEPS)


def planned(name: str, system: System | None) -> list[dict[str, Any]]:
    """What identifies the rows of a system (None: a built-in one), in their order, without computing any."""
    noisy = system is not None and is_noisy(system)
    statements = ("pathwise", "mean") if noisy else ("pathwise",)
    clock = row_clock(system) if system is not None else "lam" if name == LEARNED else "tau"
    rows = [_identity(name, clock, *how, statement) for how in (SDE if noisy else ODE) for statement in statements]
    return [*rows, _identity(name, clock, None, None, "rate")]


def _identity(name: str, clock: str, solver: str | None, steps: int | None, statement: str) -> dict[str, Any]:
    exact = solver in ("Tsit5", None)
    theorem = THEOREMS.get(name) if exact or (name == "log_sum_exp" and solver == "Euler") else None
    fields = {"system": name, "dynamics": "gradient", "schedule": None, "solver": solver, "steps": steps}
    return fields | {"clock": clock, "energy": "own", "statement": statement, "theorem": theorem}


def row_clock(system: System) -> str:
    """The clock on which the flow or the energy runs; "tau" where neither names one, as their time just goes on."""
    clocks = map(clock_of, (dynamics_of(system.flow), system.energy))
    return next((str(clock) for clock, runs in clocks if runs), "tau")


def system_rows(
    name: str, system: System, key: Any, proceed: Callable[[], None], *, certify: bool = False
) -> tuple[list[dict[str, Any]], Trajectory | None]:
    """Rows of one system under the audit's solvers and of its rate; an ODE's adaptive run too, for the pictures.

    ``proceed`` is called between the solvers and may raise; with ``certify`` see `on_region`.
    """
    dynamics = dynamics_of(system.flow)
    t0, t1 = jnp.asarray(system.t0, system.states.dtype), jnp.asarray(system.t1, system.states.dtype)
    if is_noisy(system):
        rows = _noisy(name, system, dynamics, (t0, t1), key, proceed)
        return [*rows, _searched_rates(name, system, dynamics, key, certify=certify)], None
    rows, run = _quiet(name, system, dynamics, (t0, t1), proceed)
    proceed()
    if ":" not in name:
        return [*rows, _visited_rates(name, system, dynamics, run)], run
    return [*rows, _searched_rates(name, system, dynamics, key, certify=certify)], run


def _course(system: System, run: Trajectory) -> Course:
    ts = np.asarray(run.ts)
    rises = rises_of(system.energy, run.ts, run.xs, run.count)
    lam = ts if row_clock(system) == "lam" else None
    return Course(ts, lam, lambda b, k: run.xs[b, k], rises, np.asarray(run.ok))


def _quiet(name: str, system: System, dynamics: Any, span: tuple, proceed: Callable) -> tuple[list, Trajectory]:
    """Rows of an ODE, and its adaptive run."""
    rows, runs = [], []
    for solver, steps in ODE:
        proceed()
        start = time.perf_counter()
        run = _solved(dynamics, system.states, span, solver, steps)
        runs.append(run)
        found = pathwise(_course(system, run))
        if "witness" in found:
            b, k = found["witness"]["state"], found["witness"]["step"]
            parts = _attributed(
                system.energy, dynamics, (run.ts[b, k], run.xs[b, k], run.ts[b, k + 1], run.xs[b, k + 1])
            )
            found["attribution"] = {part: float(getattr(parts, part)) for part in PARTS}
        identity = _identity(name, row_clock(system), solver, steps, "pathwise")
        seconds = time.perf_counter() - start
        rows.append(row(**identity, **found, states=system.states.shape[0], seconds=seconds))
    return rows, runs[0]


def _solved(dynamics: Any, states: Any, span: tuple, solver: str, steps: int | None) -> Trajectory:
    method = METHODS[solver]()
    if steps is None:
        how = (dfx.PIDController(rtol=RTOL, atol=ATOL), None)
        return solve(dynamics, states, span, method, *how, None, max_steps=MOST_STEPS).trimmed()
    how = (dfx.ConstantStepSize(), (span[1] - span[0]) / steps)
    return solve(dynamics, states, span, method, *how, None, max_steps=MOST).trimmed()


@eqx.filter_jit
def _attributed(energy: Any, dynamics: Any, step: tuple) -> Any:
    return attribute(energy, dynamics, step)


def _noisy(name: str, system: System, dynamics: Any, span: tuple, key: Any, proceed: Callable) -> list[dict[str, Any]]:
    """Rows of an SDE: pathwise and in mean, Euler-Maruyama."""
    rows, states = [], jnp.tile(system.states, (PATHS, 1))
    keys = jax.vmap(lambda b: jr.fold_in(key, b))(jnp.arange(states.shape[0]))
    for solver, steps in SDE:
        proceed()
        start = time.perf_counter()
        how = (dfx.Euler(), dfx.ConstantStepSize(), (span[1] - span[0]) / steps)
        run = solve(dynamics, states, span, *how, keys, max_steps=MOST).trimmed(1)
        course = _course(system, run)
        noise = kicks(dynamics, run, keys, span, adaptive=False)
        martingale = along(Directional(system.energy), run.ts[:, :-1], run.xs[:, :-1], noise)
        found = {"pathwise": pathwise(course), "mean": in_mean(course, martingale)}
        made = {
            statement: row(
                **_identity(name, row_clock(system), solver, steps, statement), **fields, states=states.shape[0]
            )
            for statement, fields in found.items()
        }
        rises = [*step_rise(made["pathwise"], 0, martingale), *mean_rise(made["mean"], 0)]
        if rises:
            attribute_all(rises, _started(system.energy, dynamics, run, *places(rises)))
        seconds = time.perf_counter() - start
        rows += [one | {"seconds": seconds} for one in made.values()]
    return rows


def _started(energy: Any, dynamics: Any, run: Trajectory, paths: np.ndarray, steps: np.ndarray) -> Any:
    """Parts (P, 1) of those steps' changes: the rates at their starts times their lengths."""
    ts, xs = np.asarray(run.ts), np.asarray(run.xs)
    length = ts[paths, steps + 1] - ts[paths, steps]
    rate = along(generator(energy, dynamics), ts[paths, steps], xs[paths, steps])
    return jax.tree.map(lambda part: (part * length)[:, None], rate)


def _searched_rates(name: str, system: System, dynamics: Any, key: Any, *, certify: bool) -> dict[str, Any]:
    """The rate's sign, by ascent: a falsification, not only samples."""
    start = time.perf_counter()
    span: dict[str, Any] = {"t0": system.t0, "t1": system.t1}
    verdict = falsify(system.energy, system.flow, system.states, **span, key=key, starts=64, steps=40)
    verdict = on_region(system, verdict) if certify and verdict.status == "holds" else verdict
    climbs, rises = (int(verdict.evidence.get(count, 0)) for count in ("climbs", "rises"))
    found = {"verdict": verdict.status, "reason": verdict.reason, "tolerance": verdict.tolerance, "rises": rises}
    found |= {"rise_fraction": fraction(rises, climbs), "largest_rise": 0.0}
    worst = verdict.witness
    if worst is not None:
        lam = worst.t0 if row_clock(system) == "lam" else None
        point = (np.asarray([worst.t0]), np.asarray(worst.x0)[None])
        rate = along(generator(system.energy, dynamics), *point)
        parts = {name: float(getattr(rate, name)[0]) for name in ("total", *PARTS[:4])}
        found |= {"first_rise": {"clock": worst.t0, "lam": lam}} | worst_rate(worst.t0, worst.x0, parts)
    identity = _identity(name, row_clock(system), None, None, "rate")
    return row(**identity, **found, states=climbs, seconds=time.perf_counter() - start)


def _visited_rates(name: str, system: System, dynamics: Any, run: Trajectory) -> dict[str, Any]:
    """The rate's sign at the states of a run, and at states between those of different runs."""
    start = time.perf_counter()
    ts, xs = np.asarray(run.ts), np.asarray(run.xs)
    ts, xs = np.concatenate([ts, ts]), np.concatenate([xs, between(name, xs)])
    rate, bound = along(_SizedRate(system.energy, generator(system.energy, dynamics)), ts, xs)
    clock = row_clock(system)
    found = rates(ts, ts if clock == "lam" else None, lambda b, k: xs[b, k], rate, bound)
    identity = _identity(name, clock, None, None, "rate")
    return row(**identity, **found, states=int(ts.size), seconds=time.perf_counter() - start)


class _SizedRate(eqx.Module):
    """``(t, x) -> `` the rate and the rounding of its total."""

    energy: EnergyFn
    rate: Generator

    def __call__(self, t: Scalar, x: Float[Array, " D"]) -> tuple[Rate, Scalar]:
        rate = self.rate(t, x)
        return rate, rate_bound(rate, magnitude(self.energy, t, x))
