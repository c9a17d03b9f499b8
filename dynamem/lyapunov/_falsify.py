r"""`falsify`: look for a state at which the energy rises, by ascent on its rate.

Uniform sampling misses many false claims, so the search climbs. The objective is the rate divided by the total size of
its parts, which lies in [-1, 1] and has no scale; it is climbed in time and state from four kinds of start: the states
given, points between pairs of them, points along trajectories, and random points around all of these.
"""

from typing import Any

import diffrax as dfx
import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray, Scalar

from .._types import EnergyFn
from ..flows import AbstractFlow
from ._check import _region, _validated, rates_at
from ._dynamics import dynamics_of
from ._generator import Generator, generator
from ._verdict import Verdict, Witness


def falsify(
    energy: EnergyFn,
    flow: Any,
    states: Any,
    *,
    t0: float,
    t1: float,
    key: PRNGKeyArray,
    starts: int = 128,
    steps: int = 80,
) -> Verdict:
    """Search for a rise of the energy's rate over times ``[t0, t1]``.

    Arguments:
        energy: any ``E(t, x)`` on the flow's clock.
        flow: a dynamem flow or any Diffrax terms.
        states: seeds of the search, shape (B, D), float64.
        t0: earliest time.
        t1: latest time.
        key: JAX key.
        starts: number of climbs, a quarter of each kind.
        steps: steps of a climb, each shrunk until it helps.

    Returns:
        ``broken`` with a witness whose rate replays, ``holds`` if no climb found one, ``failed`` if undefined.
    """
    states, span = _validated(states, t0, t1)
    dynamics = dynamics_of(flow)
    rate = generator(energy, dynamics)
    ts, xs = _starts(dynamics, states, span, jr.split(key, starts), starts)
    ts, xs = _climb(rate, ts, xs, span, steps)
    total, bound = (values[:, 0] for values in rates_at(energy, dynamics, ts[:, None], xs[:, None]))
    region = f"{_region(states, span, f'{starts} climbs of the rate')}, unbounded in state"
    defined = np.isfinite(total) & np.isfinite(bound)  # a NaN energy can have a finite rate, but no bound
    if not defined.all():
        return Verdict(
            "failed", f"the rate is NaN or infinite at {int((~defined).sum())} climbs", region, 0.0, None, {}
        )
    evidence = {"climbs": int(total.size), "rises": int((total > bound).sum()), "largest_rate": float(total.max())}
    tolerance = float(bound.max())
    if not evidence["rises"]:
        return Verdict("holds", f"no rise found in {starts} climbs of the rate", region, tolerance, None, evidence)
    best = int(np.argmax(np.where(total > bound, total, -np.inf)))
    witness = Witness("rate", float(ts[best]), xs[best], None, None, float(total[best]))
    reason = (
        f"the rate is {witness.change:.3e} > 0 at time {witness.t0:.6g} ({evidence['rises']} climbs ended in a rise)"
    )
    return Verdict("broken", reason, region, tolerance, witness, evidence)


def _starts(flow: AbstractFlow, states: Array, span: tuple, keys: Array, starts: int) -> tuple[Array, Array]:
    """Times (starts,) and states (starts, D): a quarter each of given, between, along trajectories, random."""
    rows = jax.vmap(lambda k: jr.randint(jr.fold_in(k, 0), (2,), 0, states.shape[0]))(keys)
    mix = jax.vmap(lambda k: jr.uniform(jr.fold_in(k, 1), (), states.dtype))(keys)
    noise = jax.vmap(lambda k: jr.normal(jr.fold_in(k, 2), states.shape[1:], states.dtype))(keys)
    ts = span[0] + (span[1] - span[0]) * jax.vmap(lambda k: jr.uniform(jr.fold_in(k, 3), (), states.dtype))(keys)
    visited = _visited(flow, states[rows[:, 0]], span, ts)
    other = _visited(flow, states[rows[:, 1]], span, ts)
    between = mix[:, None] * visited + (1 - mix[:, None]) * other
    scale = jnp.std(visited) + jnp.asarray(1e-3, states.dtype)
    kind = jnp.arange(starts) % 4
    choices = [states[rows[:, 0]], between, visited, visited + scale * noise * mix[:, None]]
    return ts, jnp.select([(kind == k)[:, None] for k in range(4)], choices)


@eqx.filter_jit
def _visited(flow: AbstractFlow, x0: Array, span: tuple, ts: Array) -> Array:
    """States that the drift reaches from ``x0`` (S, D) at times ``ts`` (S,); the start where a solve fails."""

    def one(x: Array, t: Scalar) -> Array:
        solution: Any = dfx.diffeqsolve(
            dfx.ODETerm(flow.drift),
            dfx.Tsit5(),
            span[0],
            jnp.maximum(t, span[0] + 1e-6 * (span[1] - span[0])),
            None,
            x,
            stepsize_controller=dfx.PIDController(rtol=1e-4, atol=1e-6),
            max_steps=2048,
            throw=False,
        )
        return jnp.where(jnp.all(jnp.isfinite(solution.ys[0])), solution.ys[0], x)

    return jax.vmap(one)(x0, ts)


def _relative(rate: Generator, t: Scalar, x: Float[Array, " D"]) -> Scalar:
    """Rate over the total size of its parts, in [-1, 1]."""
    parts = rate(t, x, None)
    size = jnp.abs(parts.schedule) + jnp.abs(parts.dissipation) + jnp.abs(parts.drift) + jnp.abs(parts.ito)
    return parts.total / (size + jnp.finfo(x.dtype).tiny)


@eqx.filter_jit
def _climb(rate: Generator, ts: Array, xs: Array, span: tuple, steps: int) -> tuple[Array, Array]:
    """Normalised gradient ascent; a step that does not help is undone and halved, one that does grows by half."""
    length, reach = span[1] - span[0], jnp.std(xs) + jnp.asarray(1e-3, xs.dtype)
    slope = jax.value_and_grad(lambda point: _relative(rate, *point))

    def one(t: Scalar, x: Array) -> tuple[Scalar, Array]:
        def step(state: tuple, _: None) -> tuple[tuple, None]:
            (t, x), (value, (dt, dx)), size = state
            dt, dx = jnp.nan_to_num(dt) * length, jnp.nan_to_num(dx) * reach
            norm = jnp.sqrt(dt * dt + dx @ dx) + jnp.finfo(x.dtype).tiny
            new = (jnp.clip(t + size * length * dt / norm, *span), x + size * reach * dx / norm)
            found = slope(new)
            better = found[0] > value
            keep = lambda a, b: jnp.where(better, a, b)  # noqa: E731
            point, result = jax.tree.map(keep, (new, found), ((t, x), (value, (dt / length, dx / reach))))
            return (point, result, jnp.where(better, 1.5 * size, 0.5 * size)), None

        first = ((t, x), slope((t, x)), jnp.asarray(0.3, x.dtype))
        return jax.lax.scan(step, first, length=steps)[0][0]

    return jax.vmap(one)(ts, xs)
