r"""`falsify`: look for a state at which the energy rises, by ascent on its rate.

Uniform sampling misses many false claims, so the search climbs, in time and state, from four kinds of start: the states
given, points between pairs of them, points along trajectories, and random points around all of these, or in the box
that is given. Every point that a climb passes is judged, its start among them. For a `Map` the rate is the change over
one update.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import PRNGKeyArray, PyTree

from .._journal import recorded
from .._types import EnergyFn
from ..flows import Map
from ._climb import climb, starts_of
from ._domain import domain_of
from ._gains import AbstractGain, gain_of
from ._generator import Sense
from ._inputs import question, region_of, span_of, states_of
from ._trajectory import along
from ._verdict import Verdict


@recorded
def falsify(
    energy: EnergyFn,
    flow: Any,
    states: Any,
    *,
    t0: float,
    t1: float,
    key: PRNGKeyArray,
    args: PyTree = None,
    box: Any = None,
    constraints: Sequence[Callable] = (),
    tolerance: float = 0.0,
    interpretation: Sense = "ito",
    starts: int = 128,
    steps: int = 80,
) -> Verdict:
    """Search for a rise of the energy's rate over times ``[t0, t1]``.

    Arguments:
        energy: any ``E(t, x)`` on the flow's clock.
        flow: a dynamem flow, any Diffrax terms, or a `Map`.
        states: seeds of the search, shape (B, D), float64 (integers are converted).
        t0: earliest time.
        t1: latest time.
        key: JAX key.
        args: what the terms are given.
        box: rows (lo, hi), one for each coordinate and perhaps a last one for time: the search stays inside.
        constraints: functions ``c(t, x)``; only points where all are at most 0 count.
        tolerance: rate that is forgiven on top of the rounding model.
        interpretation: sense of the noise, "ito" or "stratonovich".
        starts: number of climbs, a quarter of each kind.
        steps: steps of a climb, each shrunk until it helps.

    Returns:
        ``broken`` with a witness whose rate replays, ``holds`` if no climb found one, ``failed`` if undefined.

    Raises:
        InputError: an argument that cannot be used, or an energy and a flow on different clocks.
    """
    states, span = states_of(states), span_of(t0, t1)
    ask = question(energy, flow, states, span, args=args, tolerance=tolerance, interpretation=interpretation)
    last = span[1]
    if isinstance(ask.dynamics, Map):
        last = jnp.maximum(span[0], span[1] - 1)
    domain = domain_of(box, constraints, (span[0], last), states[0])
    gain = gain_of(ask)
    first = starts_of(ask, domain, states, span[0], key, starts)
    ts, xs, new = (np.asarray(part) for part in climb(gain, domain, *first, steps))
    climbs = np.broadcast_to(np.arange(starts)[:, None], new.shape)[new]
    inside = along(domain.admits, ts[new], xs[new])
    region = f"{region_of(states, span, f'{starts} climbs of the rate')}, {domain.words()}"
    if not inside.any():
        reason = "no climb reached a point of the box where all constraints hold: give states that lie inside"
        return Verdict("failed", reason, region, 0.0, None, {})
    return _judged(gain, ts[new][inside], xs[new][inside], climbs[inside], tolerance, region)


def _judged(
    gain: AbstractGain, ts: np.ndarray, xs: np.ndarray, climbs: np.ndarray, tolerance: float, region: str
) -> Verdict:
    """The verdict on points ts (n,), xs (n, D), each passed by one of the ``climbs`` (n,)."""
    total, bound = gain.bounded(ts, xs)
    bound = bound + tolerance
    count = np.unique(climbs).size
    defined = np.isfinite(total) & np.isfinite(bound)  # a NaN energy can have a finite rate, but no bound
    if not defined.all():
        reason = f"the rate is NaN or infinite on {np.unique(climbs[~defined]).size} of {count} climbs"
        return Verdict("failed", reason, region, 0.0, None, {})
    rising = total > bound
    rises = np.unique(climbs[rising]).size
    evidence = {"climbs": count, "points": int(total.size), "rises": rises, "largest_rate": float(total.max())}
    forgiven = float(bound.max())
    if not rises:
        return Verdict("holds", f"no rise found in {count} climbs of the rate", region, forgiven, None, evidence)
    best = int(np.argmax(np.where(rising, total, -np.inf)))
    witness = gain.witness(jnp.asarray(ts[best]), jnp.asarray(xs[best]), float(total[best]))
    reason = f"the rate is {witness.change:.3e} > 0 at time {witness.t0:.6g} ({rises} of {count} climbs met a rise)"
    return Verdict("broken", reason, region, forgiven, witness, evidence)
