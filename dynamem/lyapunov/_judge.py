"""From trajectories to verdicts: why a run failed, what its steps and rates say, and what paths say in mean."""

from typing import Any

import diffrax as dfx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from ..flows import Map
from ._gains import rates_at
from ._inputs import Question
from ._rises import Rises, rises_of
from ._supermartingale import MeanTest, mean_test
from ._trajectory import Directional, Trajectory, along
from ._verdict import Verdict, Witness


def judge_steps(ask: Question, run: Trajectory, region: str) -> Verdict:
    """Pathwise: steps decide, then the rate at visited states; dense output is reported."""
    rises = _rises(ask, run)
    failure = _failure(run, rises, region)
    if failure is not None:
        return failure
    evidence, rate_witness = {"steps": rises.summary()}, None
    if run.dense_ts.shape[1] > 1:
        full = jnp.full(run.ts.shape[0], run.dense_ts.shape[1])
        evidence["dense"] = rises_of(ask.energy, run.dense_ts, run.dense_xs, full, ask.tolerance).summary()
    if not isinstance(ask.dynamics, Map):
        evidence["rate"], rate_witness = _rate_evidence(ask, run)
        if evidence["rate"]["undefined"]:
            return _undefined_rate(evidence, region, rises.tolerance)
    witness = _step_witness(rises, run) or rate_witness
    count, pairs = evidence["steps"]["rises"], evidence["steps"]["pairs"]
    if witness is None:
        at_states = " and at their states" if "rate" in evidence else ""
        reason = f"no rise beyond rounding over {pairs} steps{at_states}"
        return Verdict("holds", reason, region, rises.tolerance, None, evidence)
    where = f"{count} of {pairs} steps rise" if count else "no step rises, but the rate is positive at visited states"
    reason = f"{where}; the worst at time {witness.t0:.6g} by {witness.change:.3e}"
    return Verdict("broken", reason, region, rises.tolerance, witness, evidence)


def judge_mean(ask: Question, run: Trajectory, noise: Array, region: str, *, whole: bool, error: float) -> Verdict:
    """In mean over paths, with the realised martingale part taken out of each step, or of a ``whole`` path.

    ``noise`` is ``g dW`` of every step, shape (B, n - 1, D).
    """
    rises = _rises(ask, run)
    failure = _failure(run, rises, region)
    if failure is not None:
        return failure
    rate, rate_witness = _rate_evidence(ask, run)
    evidence = {"pathwise": rises.summary(), "rate": rate}
    if rate["undefined"]:
        return _undefined_rate(evidence, region, rises.tolerance)
    parts = along(Directional(ask.energy), run.ts[:, :-1], run.xs[:, :-1], noise) * rises.valid
    change, bound = rises.change, rises.bound * rises.valid
    if whole:
        change, parts, bound = (part.sum(axis=1, keepdims=True) for part in (change, parts, bound))
    else:
        used = rises.valid.any(axis=0)
        change, parts, bound = change[:, used], parts[:, used], bound[:, used]
    test = mean_test(change, parts, bound, error)
    evidence["mean"] = _mean_evidence(test)
    if test.status != "broken" and rate_witness is None:
        open_steps = f"; {test.open} of {test.mean.size} steps stay open" if test.status == "undecided" else ""
        reason = f"mean change over {test.paths} paths, joint confidence {1 - error:g}: {test.status}{open_steps}"
        return Verdict(test.status, reason, region, rises.tolerance, None, evidence)
    reason = (
        f"{int(test.rising.sum())} of {test.mean.size} steps surely rise in mean over {test.paths} paths; "
        f"the generator is positive at {rate['rises']} of {rate['states']} visited states"
    )
    witness = rate_witness or _compensated_witness(change, parts, run)
    return Verdict("broken", reason, region, rises.tolerance, witness, evidence)


def _rises(ask: Question, run: Trajectory) -> Rises:
    return rises_of(ask.energy, run.ts, run.xs, run.count, ask.tolerance)


def _failure(run: Trajectory, rises: Rises, region: str) -> Verdict | None:
    """A ``failed`` verdict where the solve or the energy went wrong."""
    if not bool(jnp.all(run.ok)):
        bad = int(jnp.argmin(run.ok))
        lost = f"the solve failed from {int((~run.ok).sum())} of {run.ok.shape[0]} states: state {bad}"
        return Verdict("failed", f"{lost} {_why(run, bad)}", region, 0.0, None, {})
    if rises.undefined:
        row, k = (int(i) for i in np.argwhere(~np.isfinite(rises.values))[0])
        reason = f"the energy is NaN or infinite along the run from state {row} at time {float(run.ts[row, k]):.6g}"
        return Verdict("failed", reason, region, 0.0, None, {})
    return None


def _why(run: Trajectory, row: int) -> str:
    """What became of one solve that did not end well."""
    ts, finite = np.asarray(run.ts[row]), np.isfinite(np.asarray(run.xs[row])).all(axis=-1)
    if not finite.all():
        return f"turned NaN or infinite at time {ts[int(np.argmin(finite))]:.6g}"
    end = f"stopped at time {ts[-1]:.6g}, before t1"
    result: Any = jax.tree.map(lambda part: part[row], run.result)
    if bool(result == dfx.RESULTS.max_steps_reached):
        limit = int(np.asarray(run.limit)[row])
        return f"{end}, as max_steps={limit} was reached: raise max_steps, or ask for less accuracy"
    if bool(result == dfx.RESULTS.dt_min_reached):
        return f"{end}, as its steps fell below dtmin: lower dtmin, or ask for less accuracy"
    return f"{end}: {' '.join(dfx.RESULTS[result].split())}"


def _undefined_rate(evidence: dict[str, Any], region: str, tolerance: float) -> Verdict:
    reason = f"the rate is NaN or infinite at {evidence['rate']['undefined']} visited states"
    return Verdict("failed", reason, region, tolerance, None, evidence)


def _step_witness(rises: Rises, run: Trajectory) -> Witness | None:
    place = rises.largest()
    return None if place is None else _between(rises.change[place], run, place[0], place[1], place[1] + 1)


def _compensated_witness(change: np.ndarray, parts: np.ndarray, run: Trajectory) -> Witness:
    """The step that rises most once its martingale part is taken out."""
    row, k = (int(i) for i in np.unravel_index(int(np.argmax(change - parts)), change.shape))
    last = k + 1 if change.shape[1] > 1 else run.ts.shape[1] - 1
    return _between(change[row, k], run, row, k, last, float(parts[row, k]))


def _between(change: Any, run: Trajectory, row: int, k: int, last: int, martingale: float = 0.0) -> Witness:
    ends = (float(run.ts[row, k]), run.xs[row, k], float(run.ts[row, last]), run.xs[row, last])
    return Witness("step", *ends, float(change), martingale)


def _rate_evidence(ask: Question, run: Trajectory) -> tuple[dict[str, Any], Witness | None]:
    total, bound = rates_at(ask.energy, ask.dynamics, run.ts, run.xs, args=ask.args, interpretation=ask.interpretation)
    bound = bound + ask.tolerance
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
    return evidence, Witness(
        "rate", float(run.ts[row, k]), run.xs[row, k], None, None, float(total[row, k]), 0.0, ask.interpretation
    )


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
