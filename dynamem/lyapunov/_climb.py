"""Starts of a search, and the ascent from each of them."""

from typing import Any

import diffrax as dfx
import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, PRNGKeyArray, PyTree, Scalar

from ..flows import Map
from ._domain import Domain
from ._gains import AbstractGain
from ._inputs import Question


FIRST_STEP = 0.3
LEAST = 1e-3


def starts_of(
    ask: Question, domain: Domain, states: Array, start: Scalar, key: PRNGKeyArray, count: int
) -> tuple[Array, Array]:
    """Times (count,) and states (count, D): a quarter each of given, between, along trajectories, random."""
    keys = [jr.fold_in(key, purpose) for purpose in range(5)]
    shape = (count, states.shape[1])
    rows = jr.randint(keys[0], (2, count), 0, states.shape[0])
    mix, when = (jr.uniform(k, (count,), states.dtype) for k in keys[1:3])
    noise, where = jr.normal(keys[3], shape, states.dtype), jr.uniform(keys[4], shape, states.dtype)
    ts = domain.low[-1] + (domain.high[-1] - domain.low[-1]) * when
    if isinstance(ask.dynamics, Map):
        ts = start + jnp.round(ts - start)
    visited, other = (_visited(ask.dynamics, states[which], start, ts, ask.args) for which in rows)
    between = mix[:, None] * visited + (1 - mix[:, None]) * other
    around = visited + spread(visited) * noise * mix[:, None]
    low, high = domain.low[None, :-1], domain.high[None, :-1]
    random = jnp.where(jnp.isfinite(high - low), low + where * (high - low), around)
    kind = jnp.arange(count) % 4
    choices = [states[rows[0]], between, visited, random]
    xs = jnp.select([(kind == k)[:, None] for k in range(4)], choices)
    return jax.vmap(domain.project)(ts, xs)


def spread(xs: Array) -> Scalar:
    """A length of the search: the states' standard deviation, or a thousandth where they are all the same."""
    found = jnp.std(xs)
    return jnp.where(found > 0, found, jnp.asarray(LEAST, xs.dtype))


@eqx.filter_jit
def _visited(dynamics: Any, x0: Array, start: Scalar, ts: Array, args: PyTree) -> Array:
    """States that updates or the drift reach from ``x0`` (S, D) at times ``ts`` (S,); the start where that fails."""

    def updated(x: Array, t: Scalar) -> Array:
        return jax.lax.fori_loop(0, (t - start).astype(int), lambda _, z: dynamics(z), x)

    def solved(x: Array, t: Scalar) -> Array:
        solution: Any = dfx.diffeqsolve(
            dfx.ODETerm(dynamics.drift),
            dfx.Tsit5(),
            start,
            t,
            None,
            x,
            args,
            stepsize_controller=dfx.PIDController(rtol=1e-4, atol=1e-6),
            max_steps=2048,
            throw=False,
        )
        return solution.ys[0]

    def one(x: Array, t: Scalar) -> Array:
        reached = updated(x, t) if isinstance(dynamics, Map) else solved(x, t)
        return jnp.where(jnp.all(jnp.isfinite(reached)), reached, x)

    return jax.vmap(one)(x0, ts)


@eqx.filter_jit
def climb(gain: AbstractGain, domain: Domain, ts: Array, xs: Array, steps: int) -> tuple[Array, Array, Array]:
    """Normalised gradient ascent: times (S, n), states (S, n, D) of all points, and which of them are new.

    The objective is the gain over the size of its parts plus their median over the starts: a ratio without scale where
    the parts are large, and the gain itself where they are small, so that no climb runs to a place where all vanishes
    only because the ratio is best there. A step that does not help is undone and halved, one that does grows by half.
    """
    length, reach = domain.high[-1] - domain.low[-1], spread(xs)
    usual = jnp.nanmedian(jax.vmap(gain.sized)(ts, xs)[1]) + jnp.finfo(xs.dtype).tiny

    def objective(point: tuple) -> Scalar:
        value, size = gain.sized(*point)
        return value / (size + usual)

    def seen(point: tuple) -> tuple:
        value, slope = jax.value_and_grad(objective)(point)
        return jnp.where(domain.admits(*point), value, -jnp.inf), slope

    def one(t: Scalar, x: Array) -> tuple[Array, Array, Array]:
        def step(state: tuple, _: None) -> tuple[tuple, tuple]:
            (t, x), (value, (dt, dx)), size = state
            along_t, along_x = jnp.nan_to_num(dt) * length, jnp.nan_to_num(dx) * reach
            norm = jnp.sqrt(along_t * along_t + along_x @ along_x) + jnp.finfo(x.dtype).tiny
            new = domain.project(t + size * length * along_t / norm, x + size * reach * along_x / norm)
            found = seen(new)
            better = found[0] > value
            keep = lambda a, b: jnp.where(better, a, b)  # noqa: E731
            point, result = jax.tree.map(keep, (new, found), ((t, x), (value, (dt, dx))))
            return (point, result, jnp.where(better, 1.5 * size, 0.5 * size)), (*point, better)

        first = ((t, x), seen((t, x)), jnp.asarray(FIRST_STEP, x.dtype))
        times, states, new = jax.lax.scan(step, first, length=steps)[1]
        begun = jnp.ones(1, bool)
        return jnp.append(t[None], times), jnp.concatenate([x[None], states]), jnp.concatenate([begun, new])

    return jax.vmap(one)(ts, xs)
