"""`check`: run the dynamics as the user would, and look whether the energy rises.

Three statements are kept apart: values at the solver's own steps, values of its dense output (reported, never decisive:
interpolation is not part of the flow), and the rate of the generator at the visited states. For an SDE the statement is
in mean, over paths, and pathwise rises are only counted.
"""

import math
from typing import Any

import diffrax as dfx
import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray, Scalar

from .._errors import InputError
from .._types import EnergyFn
from .._validate import concrete
from ..flows import AbstractFlow, Map
from ._dynamics import dynamics_of
from ._generator import Generator, generator
from ._rises import Rises, rises_of
from ._rounding import magnitude, rate_bound
from ._supermartingale import MeanTest, mean_test
from ._trajectory import Directional, Trajectory, along, kicks, solve
from ._verdict import Verdict, Witness


def check(
    energy: EnergyFn,
    flow: Any,
    states: Any,
    *,
    t0: float,
    t1: float,
    solver: dfx.AbstractSolver | None = None,
    stepsize_controller: dfx.AbstractStepSizeController | None = None,
    dt0: float | None = None,
    key: PRNGKeyArray | None = None,
    dense: int = 129,
    max_steps: int | None = None,
    error: float = 1e-3,
) -> Verdict:
    """Does the energy fall along these runs?

    Arguments:
        energy: any ``E(t, x)`` on the flow's clock.
        flow: a dynamem flow, any Diffrax terms, or a `Map` (then ``t1 - t0`` counts updates and no solver is used).
        states: initial states, shape (B, D), float64.
        t0: start.
        t1: end, later than ``t0``.
        solver: any Diffrax solver, one for the Ito sense if the flow has noise.
        stepsize_controller: any Diffrax controller; constant steps of ``dt0`` by default.
        dt0: first or constant step.
        key: JAX key, needed where there is noise; path ``b`` uses ``fold_in(key, b)``.
        dense: points of dense output to evaluate.
        max_steps: steps kept for each state; by default what a fixed grid needs, 4096 for adaptive ones.
        error: chance that the statement in mean is wrong where the true mean does not rise.

    Returns:
        ``holds``, ``broken`` with a witness, ``undecided`` (in mean only), or ``failed``.
    """
    states, span = _validated(states, t0, t1)
    if isinstance(flow, Map):
        trajectory = _iterate(flow, states, span)
        return _verdict_of_steps(energy, trajectory, None, _region(states, span, "updates"))
    dynamics = dynamics_of(flow)
    if solver is None:
        msg = "solver=None: name a Diffrax solver, for instance diffrax.Tsit5()"
        raise InputError(msg)
    noisy = dynamics.diffusion(span[0], states[0], None) is not None
    if noisy and key is None:
        msg = "key=None: a flow with noise needs a JAX key, for instance jax.random.key(0)"
        raise InputError(msg)
    keys = _path_keys(key, states.shape[0]) if noisy else None
    controller = dfx.ConstantStepSize() if stepsize_controller is None else stepsize_controller
    limit = max_steps or _steps_of(controller, span, dt0)
    step = None if dt0 is None else jnp.asarray(dt0, states.dtype)
    points = 0 if noisy else dense
    run = solve(dynamics, states, span, solver, controller, step, keys, max_steps=limit, dense=points).trimmed()
    region = _region(states, span, f"steps of {type(solver).__name__}")
    if keys is None:
        return _verdict_of_steps(energy, run, dynamics, region)
    adaptive = not isinstance(controller, dfx.ConstantStepSize | dfx.StepTo)
    return _verdict_in_mean(energy, run, dynamics, (keys, span, adaptive, error), region)


def _path_keys(key: Any, count: int) -> Array:
    """One key for each path."""
    return jax.vmap(lambda b: jr.fold_in(key, b))(jnp.arange(count))


def _validated(states: Any, t0: float, t1: float) -> tuple[Float[Array, "B D"], tuple[Scalar, Scalar]]:
    states = jnp.asarray(states)
    if states.ndim != 2 or 0 in states.shape:
        msg = f"states.shape={states.shape!r}: need (B, D), one state a row"
        raise InputError(msg)
    if states.dtype != jnp.float64:
        msg = (
            f"states.dtype={states.dtype!s}: checks need float64; switch it on with "
            "jax.config.update('jax_enable_x64', True) and pass float64 states"
        )
        raise InputError(msg)
    if not np.all(np.isfinite(np.asarray(states))):
        msg = "states hold NaN or infinity: a check starts from finite states"
        raise InputError(msg)
    if not (math.isfinite(t0) and math.isfinite(t1) and t0 < t1):
        msg = f"t0={t0!r}, t1={t1!r}: need finite times with t0 < t1 (clocks increase toward the memory)"
        raise InputError(msg)
    return states, (jnp.asarray(t0, states.dtype), jnp.asarray(t1, states.dtype))


def _steps_of(controller: Any, span: tuple, dt0: float | None) -> int:
    if isinstance(controller, dfx.StepTo):
        return len(controller.ts)
    if isinstance(controller, dfx.ConstantStepSize):
        known = concrete(dt0)
        if known is None or not float(known) > 0:
            msg = f"dt0={dt0!r}: constant steps need a positive dt0"
            raise InputError(msg)
        return math.ceil(float(span[1] - span[0]) / float(known)) + 2
    return 4096


def _region(states: Array, span: tuple, what: str) -> str:
    return (
        f"{states.shape[0]} states of dimension {states.shape[1]}, times [{float(span[0]):.6g}, {float(span[1]):.6g}], "
        f"{what}, float64"
    )


def _iterate(update: Map, states: Array, span: tuple) -> Trajectory:
    """``t1 - t0`` updates of every state."""
    count = max(1, round(float(span[1] - span[0])))
    run = _iterated(update, states, count)
    ts = jnp.broadcast_to(span[0] + jnp.arange(count + 1, dtype=run.dtype), run.shape[:2])
    finite = jnp.all(jnp.isfinite(run), axis=(1, 2))
    whole = jnp.full(states.shape[0], count + 1)
    return Trajectory(ts, run, whole, finite, ts[:, :0], run[:, :0])


@eqx.filter_jit
def _iterated(update: Map, states: Array, count: int) -> Array:
    def one(x0: Array) -> Array:
        last, before = jax.lax.scan(lambda x, _: (update(x), x), x0, length=count)
        return jnp.concatenate([before, last[None]])

    return jax.vmap(one)(states)


class _SizedRate(eqx.Module):
    energy: EnergyFn
    rate: Generator

    def __call__(self, t: Scalar, x: Float[Array, " D"]) -> tuple[Scalar, Scalar]:
        rate = self.rate(t, x, None)
        return rate.total, rate_bound(rate, magnitude(self.energy, t, x))


def rates_at(energy: EnergyFn, flow: AbstractFlow, ts: Any, xs: Any) -> tuple[np.ndarray, np.ndarray]:
    """Total rate and its rounding bound at states (B, n, D): two arrays of shape (B, n)."""
    return along(_SizedRate(energy, generator(energy, flow)), ts, xs)


def _failure(energy: EnergyFn, run: Trajectory, rises: Rises, region: str) -> Verdict | None:
    """A ``failed`` verdict where the solve or the energy went wrong."""
    del energy
    if not bool(jnp.all(run.ok)):
        bad = int(jnp.argmin(run.ok))
        reason = f"the solve failed or left the finite numbers from {int((~run.ok).sum())} states, first state {bad}"
        return Verdict("failed", reason, region, 0.0, None, {})
    if rises.undefined:
        bad = int(np.argwhere(~np.isfinite(rises.values))[0, 0])
        reason = f"the energy is NaN or infinite along the run from state {bad}"
        return Verdict("failed", reason, region, 0.0, None, {})
    return None


def _verdict_of_steps(energy: EnergyFn, run: Trajectory, flow: AbstractFlow | None, region: str) -> Verdict:
    """Pathwise: steps decide, then the rate at visited states; dense output is reported."""
    rises = rises_of(energy, run.ts, run.xs, run.count)
    failure = _failure(energy, run, rises, region)
    if failure is not None:
        return failure
    evidence, rate_witness = {"steps": rises.summary()}, None
    if run.dense_ts.shape[1] > 1:
        full = jnp.full(run.ts.shape[0], run.dense_ts.shape[1])
        evidence["dense"] = rises_of(energy, run.dense_ts, run.dense_xs, full).summary()
    if flow is not None:
        evidence["rate"], rate_witness = _rate_evidence(energy, flow, run)
        if evidence["rate"]["undefined"]:
            reason = f"the rate is NaN or infinite at {evidence['rate']['undefined']} visited states"
            return Verdict("failed", reason, region, rises.tolerance, None, evidence)
    witness = _step_witness(rises, run) or rate_witness
    count, pairs = evidence["steps"]["rises"], evidence["steps"]["pairs"]
    if witness is None:
        reason = f"no rise beyond rounding over {pairs} steps" + (" and at their states" if flow is not None else "")
        return Verdict("holds", reason, region, rises.tolerance, None, evidence)
    where = f"{count} of {pairs} steps rise" if count else "no step rises, but the rate is positive at visited states"
    reason = f"{where}; the worst at time {witness.t0:.6g} by {witness.change:.3e}"
    return Verdict("broken", reason, region, rises.tolerance, witness, evidence)


def _step_witness(rises: Rises, run: Trajectory) -> Witness | None:
    place = rises.largest()
    if place is None:
        return None
    row, k = place
    ends = (float(run.ts[row, k]), run.xs[row, k], float(run.ts[row, k + 1]), run.xs[row, k + 1])
    return Witness("step", *ends, float(rises.change[row, k]))


def _rate_evidence(energy: EnergyFn, flow: AbstractFlow, run: Trajectory) -> tuple[dict[str, Any], Witness | None]:
    total, bound = rates_at(energy, flow, run.ts, run.xs)
    valid = np.arange(total.shape[1])[None, :] < np.asarray(run.count)[:, None]
    defined = np.isfinite(total) & np.isfinite(bound)
    rising = valid & defined & (total > bound)
    evidence = {
        "states": int(valid.sum()),
        "undefined": int((valid & ~defined).sum()),
        "rises": int(rising.sum()),
        "largest_rate": float(np.max(np.where(valid & defined, total, -np.inf))),
        "tolerance": float(np.max(np.where(valid & defined, bound, 0.0))),
    }
    if not rising.any():
        return evidence, None
    row, k = np.unravel_index(int(np.argmax(np.where(rising, total, -np.inf))), total.shape)
    return evidence, Witness("rate", float(run.ts[row, k]), run.xs[row, k], None, None, float(total[row, k]))


def _verdict_in_mean(energy: EnergyFn, run: Trajectory, flow: AbstractFlow, how: tuple, region: str) -> Verdict:
    """In mean over paths, with the realised martingale part taken out; adaptive steps are tested in aggregate."""
    keys, span, adaptive, error = how
    rises = rises_of(energy, run.ts, run.xs, run.count)
    failure = _failure(energy, run, rises, region)
    if failure is not None:
        return failure
    noise = kicks(flow, run, keys, span, adaptive=adaptive)
    parts = along(Directional(energy), run.ts[:, :-1], run.xs[:, :-1], noise) * rises.valid
    rate, rate_witness = _rate_evidence(energy, flow, run)
    change, bound = rises.change, rises.bound * rises.valid
    if adaptive:
        change, parts, bound = (part.sum(axis=1, keepdims=True) for part in (change, parts, bound))
    else:
        used = rises.valid.any(axis=0)
        change, parts, bound = change[:, used], parts[:, used], bound[:, used]
    test = mean_test(change, parts, bound, error)
    evidence = {"pathwise": rises.summary(), "rate": rate, "mean": _mean_evidence(test)}
    if test.status != "broken" and rate_witness is None:
        open_steps = f"; {test.open} of {test.mean.size} steps stay open" if test.status == "undecided" else ""
        reason = f"mean change over {test.paths} paths, joint confidence {1 - error:g}: {test.status}{open_steps}"
        return Verdict(test.status, reason, region, rises.tolerance, None, evidence)
    witness = rate_witness or _compensated_witness(change - parts, run)
    reason = (
        f"{int(test.rising.sum())} of {test.mean.size} steps surely rise in mean over {test.paths} paths; "
        f"the generator is positive at {rate['rises']} of {rate['states']} visited states"
    )
    return Verdict("broken", reason, region, rises.tolerance, witness, evidence)


def _compensated_witness(rest: np.ndarray, run: Trajectory) -> Witness:
    """The step that rises most once its martingale part is taken out."""
    row, k = (int(i) for i in np.unravel_index(int(np.argmax(rest)), rest.shape))
    last = k + 1 if rest.shape[1] > 1 else run.ts.shape[1] - 1
    ends = (float(run.ts[row, k]), run.xs[row, k], float(run.ts[row, last]), run.xs[row, last])
    return Witness("step", *ends, float(rest[row, k]))


def _mean_evidence(test: MeanTest) -> dict[str, Any]:
    worst = int(np.argmax(test.low))
    return {
        "paths": test.paths,
        "steps": int(test.mean.size),
        "rises": int(test.rising.sum()),
        "open": test.open,
        "error": test.error,
        "worst": {
            "step": worst,
            "mean": float(test.mean[worst]),
            "interval": [float(test.low[worst]), float(test.high[worst])],
        },
    }
