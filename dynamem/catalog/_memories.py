"""Rows of energy and flow alone: the built-in memories, and any system of the user's."""

import time
from typing import Any

import diffrax as dfx
import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import lineax as lx
import numpy as np
from jaxtyping import Array, Float, Scalar

from ..energies import DenseMemory, Hopfield, LogSumExp
from ..flows import GradientFlow, LagrangianFlow
from ..lyapunov import (
    Directional,
    Rises,
    Trajectory,
    along,
    attribute,
    dynamics_of,
    falsify,
    kicks,
    mean_test,
    rates_at,
    rises_of,
    solve,
)
from ._names import STEPS
from ._rows import fraction, listed, row
from ._runs import ATOL, MOST, RTOL
from ._system import System


SPAN = 8.0
CORRUPTION = 0.3
HEBBIAN = 4
THEOREMS = {"log_sum_exp": "A5", "dense_memory": "A1", "hopfield_1984": "A2"}


def memory(name: str, patterns: Any, count: int, key: Any) -> System:
    """A built-in memory on the user's patterns, started from corrupted ones."""
    pick, noise = jr.split(key)
    rows = jr.permutation(pick, patterns.shape[0])[jnp.arange(count) % patterns.shape[0]]
    kick = CORRUPTION * jr.normal(noise, (count, patterns.shape[1]), patterns.dtype)
    if name == "log_sum_exp":
        energy = LogSumExp(patterns, 1 / CORRUPTION**2)
        return System(energy, GradientFlow(energy), patterns[rows] + kick, 0.0, SPAN)
    unit = _unit(patterns - jnp.mean(patterns, axis=0))
    if name == "dense_memory":
        energy = DenseMemory(unit, "rectified", 3)
        return System(energy, GradientFlow(energy, tangent), _unit(unit[rows] + 0.5 * kick), 0.0, SPAN / len(unit))
    signs = jnp.where(unit >= 0, 1.0, -1.0).astype(patterns.dtype)[:HEBBIAN]
    energy = Hopfield(2 * signs.T @ signs / signs.shape[1])
    return System(energy, LagrangianFlow(energy), signs[rows % signs.shape[0]] + kick, 0.0, SPAN)


def tangent(t: Scalar, x: Float[Array, " D"]) -> lx.AbstractLinearOperator:
    """Projection ``I - x x^T/|x|^2`` onto the sphere's tangent space: positive semidefinite, as descent needs."""
    del t
    return lx.FunctionLinearOperator(lambda v: v - x * (x @ v) / (x @ x), jax.eval_shape(lambda: x))


def _unit(x: Float[Array, "N D"]) -> Float[Array, "N D"]:
    norms = jnp.linalg.norm(x, axis=1, keepdims=True)
    return x / jnp.where(norms > 0, norms, jnp.ones_like(norms))


def system_rows(name: str, system: System, key: Any) -> tuple[list[dict[str, Any]], Trajectory | None]:
    """Rows of one system under the audit's solvers and of its rate; the adaptive run too, for the pictures."""
    dynamics = dynamics_of(system.flow)
    t0, t1 = jnp.asarray(system.t0, system.states.dtype), jnp.asarray(system.t1, system.states.dtype)
    if dynamics.diffusion(t0, system.states[0], None) is not None:
        return [*_noisy(name, system, dynamics, (t0, t1), key), _rate_row(name, system, key)], None
    rows, runs = [], []
    for solver, steps in (("Tsit5", None), *((s, n) for s in ("Euler", "Heun") for n in STEPS)):
        start = time.perf_counter()
        run = _solved(dynamics, system.states, (t0, t1), solver, steps)
        runs.append(run)
        rises = rises_of(system.energy, run.ts, run.xs, run.count)
        base = _base(name, solver, steps, "pathwise", system.states.shape[0]) | {"seconds": time.perf_counter() - start}
        rows.append(row(**base, **_judged(system, dynamics, run, rises)))
    rate = _rate_row(name, system, key) if ":" in name else _visited_rates(name, system, dynamics, runs[0])
    return [*rows, rate], runs[0]


def _solved(dynamics: Any, states: Any, span: tuple, solver: str, steps: int | None) -> Trajectory:
    method = {"Tsit5": dfx.Tsit5, "Euler": dfx.Euler, "Heun": dfx.Heun}[solver]()
    if steps is None:
        how = (dfx.PIDController(rtol=RTOL, atol=ATOL), None)
        return solve(dynamics, states, span, method, *how, None, max_steps=1024).trimmed()
    how = (dfx.ConstantStepSize(), (span[1] - span[0]) / steps)
    return solve(dynamics, states, span, method, *how, None, max_steps=MOST).trimmed()


def _base(name: str, solver: str | None, steps: int | None, statement: str, count: int) -> dict[str, Any]:
    exact = solver in ("Tsit5", None)
    theorem = THEOREMS.get(name) if exact or (name == "log_sum_exp" and solver == "Euler") else None
    fields = {"system": name, "dynamics": "gradient", "schedule": None, "solver": solver, "steps": steps}
    return fields | {"clock": "t", "energy": "own", "statement": statement, "theorem": theorem, "states": count}


def _judged(system: System, dynamics: Any, run: Trajectory, rises: Rises) -> dict[str, Any]:
    if not bool(jnp.all(run.ok)):
        return {"reason": f"{int((~run.ok).sum())} of {run.ok.shape[0]} solves failed or left the finite numbers"}
    if rises.undefined:
        return {"reason": "the energy is NaN or infinite on the way"}
    count, pairs, place = int(rises.rising.sum()), int(rises.valid.sum()), rises.largest()
    found = {"tolerance": rises.tolerance, "rises": count, "rise_fraction": fraction(count, pairs)}
    if place is None:
        return found | {"verdict": "holds", "reason": f"no rise in {pairs} steps", "largest_rise": 0.0}
    b, k = place
    step = (run.ts[b, k], run.xs[b, k], run.ts[b, k + 1], run.xs[b, k + 1])
    parts = _attributed(system.energy, dynamics, step)
    earliest = float(np.min(np.where(rises.rising, np.asarray(run.ts)[:, :-1], np.inf)))
    return found | {
        "verdict": "broken",
        "reason": f"{count} of {pairs} steps rise",
        "largest_rise": float(rises.change[place]),
        "first_rise": {"clock": earliest, "lam": None},
        "witness": {"kind": "step", "state": b, "step": k, "t0": float(step[0]), "x0": listed(step[1])}
        | {"t1": float(step[2]), "x1": listed(step[3]), "change": float(rises.change[place])},
        "attribution": {part: float(getattr(parts, part)) for part in parts.__dataclass_fields__},
    }


@eqx.filter_jit
def _attributed(energy: Any, dynamics: Any, step: tuple) -> Any:
    return attribute(energy, dynamics, step)


def _rate_row(name: str, system: System, key: Any) -> dict[str, Any]:
    """The rate's sign, by ascent: a falsification, not only samples."""
    start = time.perf_counter()
    verdict = falsify(
        system.energy, system.flow, system.states, t0=system.t0, t1=system.t1, key=key, starts=64, steps=40
    )
    witness = verdict.witness
    climbs = int(verdict.evidence.get("climbs", 0))
    rises = int(verdict.evidence.get("rises", 0))
    found = {
        "verdict": verdict.status,
        "reason": verdict.reason,
        "tolerance": verdict.tolerance,
        "rises": rises,
        "rise_fraction": fraction(rises, climbs),
        "largest_rise": witness.change if witness else 0.0,
        "first_rise": {"clock": witness.t0, "lam": None} if witness else None,
        "witness": {"kind": "rate", "t0": witness.t0, "x0": listed(witness.x0), "change": witness.change}
        if witness
        else None,
        "seconds": time.perf_counter() - start,
    }
    return row(**_base(name, None, None, "rate", climbs), **found)


def _visited_rates(name: str, system: System, dynamics: Any, run: Trajectory) -> dict[str, Any]:
    """The rate's sign at the states of a run, and at states between pairs of its starts and ends."""
    start = time.perf_counter()
    ts, xs = np.asarray(run.ts), np.asarray(run.xs)
    mixed = 0.5 * (xs + np.roll(xs, 1, axis=0)[:, ::-1])
    ts, xs = np.concatenate([ts, ts]), np.concatenate([xs, mixed])
    total, bound = rates_at(system.energy, dynamics, ts, xs)
    base = _base(name, None, None, "rate", int(total.size)) | {"seconds": time.perf_counter() - start}
    if not np.all(np.isfinite(total)):
        return row(**base, reason="the rate is NaN or infinite at a probed state")
    rising = total > bound
    count, place = int(rising.sum()), np.unravel_index(int(np.argmax(total - bound)), total.shape)
    found = {"tolerance": float(bound.max()), "rises": count, "rise_fraction": fraction(count, total.size)}
    reason = f"the rate is positive at {count} of {total.size} states"
    if not count:
        return row(**base, **found, verdict="holds", reason=reason, largest_rise=0.0)
    witness = {"kind": "rate", "t0": float(ts[place]), "x0": listed(xs[place]), "change": float(total[place])}
    first = {"clock": float(np.min(np.where(rising, ts, np.inf))), "lam": None}
    return row(
        **base,
        **found,
        verdict="broken",
        reason=reason,
        largest_rise=witness["change"],
        first_rise=first,
        witness=witness,
    )


def _noisy(name: str, system: System, dynamics: Any, span: tuple, key: Any) -> list[dict[str, Any]]:
    """Rows of an SDE of the user's: pathwise and in mean, Euler-Maruyama."""
    rows, states = [], jnp.tile(system.states, (4, 1))
    keys = jax.vmap(lambda b: jr.fold_in(key, b))(jnp.arange(states.shape[0]))
    for steps in STEPS:
        how = (dfx.Euler(), dfx.ConstantStepSize(), (span[1] - span[0]) / steps)
        run = solve(dynamics, states, span, *how, keys, max_steps=MOST).trimmed()
        rises = rises_of(system.energy, run.ts, run.xs, run.count)
        base = _base(name, "EulerMaruyama", steps, "pathwise", states.shape[0])
        path = _judged(system, dynamics, run, rises)
        rows.append(row(**base, **(path | {"attribution": None})))
        if path.get("verdict") is None:
            rows.append(row(**(base | {"statement": "mean"}), **path))
            continue
        noise = kicks(dynamics, run, keys, span, adaptive=False)
        parts = along(Directional(system.energy), run.ts[:, :-1], run.xs[:, :-1], noise)
        used = rises.valid.any(axis=0)
        test = mean_test(rises.change[:, used], parts[:, used], rises.bound[:, used])
        surely = int(test.rising.sum())
        found = {
            "verdict": test.status,
            "reason": f"mean change over {test.paths} paths: {test.status}",
            "rises": surely,
        }
        more = {"tolerance": rises.tolerance, "rise_fraction": fraction(surely, test.mean.size)}
        rows.append(
            row(**(base | {"statement": "mean"}), **found, **more, largest_rise=max(0.0, float(test.low.max())))
        )
    return rows
