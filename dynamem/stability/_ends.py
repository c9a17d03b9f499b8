r"""Where states end, many at once: Diffrax solves by chunks, or the steps of a map in a pool that is refilled.

A state ends at the nearest attractor if it lies within the tolerance of it. Of the others it is said why: it came to
rest elsewhere, it still moves, it left (beyond a bound, or to what is no number), or its solve failed. Memory is that
of one chunk: the solves keep distances on a grid of times and no states, the pool keeps nothing but its states.
"""

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import diffrax as dfx
import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray, PyTree

from ..flows import AbstractFlow, Map
from ..lyapunov import brownian, controlled, levy_area


ELSEWHERE, UNSETTLED, ESCAPED, FAILED, NOT_RUN = -1, -2, -3, -4, -5
"""Labels of states that end at no attractor: at rest elsewhere, still moving, left, not solved, not tried."""
LATE = 0.95
"""At rest is what moved less than the rest tolerance after this part of the time."""
BLOCK = 4
"""Steps of a map between two looks of the host."""
SMALLEST = 8
"""A pool has no fewer places."""


class Judge(eqx.Module):
    """When a state is at an attractor, at rest, or gone.

    Attributes:
        attractors: shape (K, D).
        tolerance: largest distance from an attractor.
        rest: largest move of what is at rest.
        bound: norm beyond which a state has left.
    """

    attractors: Float[Array, "K D"]
    tolerance: Float[Array, ""]
    rest: Float[Array, ""]
    bound: Float[Array, ""]

    def nearest(self, x: Float[Array, "B D"]) -> tuple[Int[Array, " B"], Float[Array, " B"]]:
        """The nearest attractor of each state, and how far it is (the norm of the difference, which cancels less)."""
        squares = jnp.sum(self.attractors**2, axis=1)[None, :] - 2 * (x @ self.attractors.T)
        found = jnp.argmin(squares, axis=1)
        return found, jnp.linalg.norm(x - self.attractors[found], axis=1)

    def near(self, x: Float[Array, "B D"]) -> Int[Array, " B"]:
        """The attractor that each state lies at, -1 where it lies at none."""
        found, distance = self.nearest(x)
        return jnp.where(distance <= self.tolerance, found, -1)

    def gone(self, x: Float[Array, "*B D"]) -> Bool[Array, "*B"]:
        """Whether a state is no number or beyond the bound."""
        return ~(jnp.linalg.norm(x, axis=-1) <= self.bound)


class How(eqx.Module):
    """How a flow is solved.

    Attributes:
        span: start and end.
        solver: any Diffrax solver.
        controller: any Diffrax controller.
        dt0: first step, None for a controller that finds it.
        args: what the user's terms are given.
        max_steps: steps allowed.
    """

    span: tuple[Float[Array, ""], Float[Array, ""]]
    solver: dfx.AbstractSolver
    controller: dfx.AbstractStepSizeController
    dt0: Float[Array, ""] | None
    args: PyTree
    max_steps: int = eqx.field(static=True)


class Solved(eqx.Module):
    """What a chunk of solves gives.

    Attributes:
        x: final states, shape (B, D).
        labels: shape (B,).
        which: the nearest attractor at each time of the grid, a float as times after an escape are infinite, (B, n).
        far: how far it is, shape (B, n).
    """

    x: Float[Array, "*B D"]
    labels: Int[Array, "*B"]
    which: Float[Array, "*B n"]
    far: Float[Array, "*B n"]


@eqx.filter_jit
def solved(
    flow: AbstractFlow, judge: Judge, states: Float[Array, "B D"], how: How, keys: Array | None, *, nodes: int
) -> Solved:
    """Solve from every state; distances are kept at ``nodes`` times (0: none), interpolated by the solver."""
    t0, t1 = how.span
    grid = jnp.linspace(t0, t1, nodes)

    def at(t: Any, y: Array, args: Any) -> tuple[Array, Array]:
        del t, args
        which, far = judge.nearest(y[None])
        return which[0].astype(far.dtype), far[0]

    def one(x0: Float[Array, " D"], key: PRNGKeyArray | None) -> Solved:
        control = None
        if key is not None:
            noise = flow.diffusion(t0, x0, how.args)
            adaptive = not isinstance(how.controller, dfx.ConstantStepSize)
            control = brownian(noise, how.span, adaptive, levy_area(how.solver), key)
        late = t0 + LATE * (t1 - t0)
        saves = [dfx.SubSaveAt(t1=True), dfx.SubSaveAt(ts=late[None])]
        saves += [dfx.SubSaveAt(ts=grid, fn=at)] if nodes else []
        solution: Any = dfx.diffeqsolve(
            controlled(flow, control), how.solver, t0, t1, how.dt0, x0, how.args, max_steps=how.max_steps,
            saveat=dfx.SaveAt(subs=saves), stepsize_controller=how.controller, adjoint=dfx.ForwardMode(), throw=False,
            event=dfx.Event(lambda t, y, args, **_: judge.gone(y)),
        )  # fmt: skip
        x, before = solution.ys[0][0], solution.ys[1][0]
        which, far = solution.ys[2] if nodes else (jnp.zeros(0, x0.dtype), jnp.zeros(0, x0.dtype))
        ended = (solution.result == dfx.RESULTS.successful) | (solution.result == dfx.RESULTS.event_occurred)
        near, still = judge.near(x[None])[0], jnp.linalg.norm(x - before) <= judge.rest
        label = jnp.where(near >= 0, near, jnp.where(still, ELSEWHERE, UNSETTLED))
        return Solved(x, jnp.where(judge.gone(x), ESCAPED, jnp.where(ended, label, FAILED)), which, far)

    return jax.vmap(one, in_axes=(0, None if keys is None else 0))(states, keys)


def arrivals(ts: np.ndarray, labels: np.ndarray, which: np.ndarray, far: np.ndarray, tolerance: float) -> np.ndarray:
    """From when on each state stays within the tolerance of its attractor (B,): NaN where it ends at none.

    Between two times of the grid (n,) the logarithm of the distance is interpolated, which is exact for exponentials.
    """
    at = (which == labels[:, None]) & (far <= tolerance)
    stays = np.flip(np.logical_and.accumulate(np.flip(at, 1), axis=1), 1)
    first = np.argmax(stays, axis=1)
    found, rows = np.where(labels >= 0, ts[first], np.nan), np.arange(len(labels))
    before = np.maximum(first - 1, 0)
    good = (labels >= 0) & (first > 0) & (which[rows, before] == labels) & (far[rows, first] > 0)
    start, end = (np.log(far[rows, place], where=good, out=np.zeros(len(rows))) for place in (before, first))
    part = np.divide(start - math.log(tolerance), start - end, where=good & (start > end), out=np.ones(len(rows)))
    return np.where(good, ts[before] + np.clip(part, 0, 1) * (ts[first] - ts[before]), found)


class Pool(eqx.Module):
    """States of a map under way.

    Attributes:
        x: shape (P, D).
        steps: steps made, shape (P,).
        near: the attractor that a state lies at, -1 for none, shape (P,).
        since: the step since which it lies there, shape (P,).
        moved: length of the last step, shape (P,).
        done: whether nothing more is to be done, shape (P,).
    """

    x: Float[Array, "P D"]
    steps: Int[Array, " P"]
    near: Int[Array, " P"]
    since: Int[Array, " P"]
    moved: Float[Array, " P"]
    done: Bool[Array, " P"]


@eqx.filter_jit
def turned(step: Map, judge: Judge, pool: Pool, most: Int[Array, ""]) -> Pool:
    """`BLOCK` further steps of every state that is not done."""

    def one(pool: Pool, _: None) -> tuple[Pool, None]:
        x = jax.vmap(step)(pool.x)
        moved, near, steps = jnp.linalg.norm(x - pool.x, axis=1), judge.near(x), pool.steps + 1
        done = (moved <= judge.rest) | judge.gone(x) | (steps >= most)
        new = Pool(x, steps, near, jnp.where(near == pool.near, pool.since, steps), moved, done)
        return jax.tree.map(lambda a, b: jnp.where(pool.done.reshape(-1, *(1,) * (a.ndim - 1)), a, b), pool, new), None

    fresh = pool.steps == 0
    near = jax.lax.cond(jnp.any(fresh), lambda: jnp.where(fresh, judge.near(pool.x), pool.near), lambda: pool.near)
    return jax.lax.scan(one, eqx.tree_at(lambda one: one.near, pool, near), None, length=BLOCK)[0]


@dataclasses.dataclass
class Found:
    """Labels (B,), arrival times (B,) and final states (B, D), filled in as they come."""

    labels: np.ndarray
    times: np.ndarray
    x: np.ndarray


def found_none(states: np.ndarray) -> Found:
    """As many entries as there are states, none of them tried."""
    size = len(states)
    return Found(np.full(size, NOT_RUN), np.full(size, np.nan), np.full(states.shape, np.nan, states.dtype))


def run_flow(
    flow: AbstractFlow, judge: Judge, states: np.ndarray, how: How, key: PRNGKeyArray | None, found: Found, *,
    chunk: int, nodes: int, tell: Callable[[str], None],
) -> None:  # fmt: skip
    """Solve chunk by chunk; what is done when Ctrl-C comes stays in ``found``."""
    ts = np.linspace(float(how.span[0]), float(how.span[1]), nodes)
    for start in range(0, len(states), chunk):
        part = states[start : start + chunk]
        padded = jnp.asarray(np.concatenate([part, np.repeat(part[-1:], chunk - len(part), axis=0)]))
        keys = None if key is None else jax.vmap(lambda i: jr.fold_in(key, i))(jnp.arange(start, start + chunk))
        got: Any = jax.device_get(solved(flow, judge, padded, how, keys, nodes=nodes))
        place, count = slice(start, start + len(part)), len(part)
        found.labels[place], found.x[place] = got.labels[:count], got.x[:count]
        if nodes:
            found.times[place] = arrivals(
                ts, *(one[:count] for one in (got.labels, got.which, got.far)), float(judge.tolerance)
            )
        tell(f"basins: {start + len(part)} of {len(states)} states")


def run_map(
    step: Map, judge: Judge, states: np.ndarray, most: int, found: Found, *, chunk: int, tell: Callable[[str], None]
) -> None:
    """Step a pool of states; those that are done make place for the next ones, so that slow ones hold up none."""
    chunk = min(chunk, len(states))
    rows, asked, done, told = np.arange(chunk), chunk, 0, 0
    pool: Any = _fresh(states[rows])
    while np.any(rows >= 0):
        pool, rows = _compacted(pool, rows) if asked == len(states) else (pool, rows)
        pool = jax.device_get(turned(step, judge, jax.tree.map(jnp.asarray, pool), jnp.asarray(most)))
        places = np.flatnonzero(pool.done & (rows >= 0))
        _write(found, judge, rows[places], _at(pool, places))
        done += len(places)
        rows[places] = -1
        taken = places[: len(states) - asked]
        rows[taken] = np.arange(asked, asked + len(taken))
        asked += len(taken)
        pool = _refilled(pool, taken, states[rows[taken]])
        if done // chunk > told:
            told = done // chunk
            tell(f"basins: {done} of {len(states)} states")


def _fresh(states: np.ndarray) -> Any:
    """A pool of NumPy arrays."""
    none = jnp.zeros(len(states), int)
    moved = jnp.zeros(len(states), states.dtype)
    return jax.device_get(Pool(jnp.asarray(states), none, none - 1, none, moved, none > 0))


def _at(pool: Any, places: np.ndarray) -> Any:
    return jax.tree.map(lambda leaf: leaf[places], pool)


def _refilled(pool: Pool, places: np.ndarray, states: np.ndarray) -> Pool:
    """New states at these places."""

    def put(old: np.ndarray, new: np.ndarray) -> np.ndarray:
        old = np.array(old)
        old[places] = new
        return old

    return jax.tree.map(put, pool, _fresh(states)) if len(places) else pool


def _compacted(pool: Any, rows: np.ndarray) -> tuple[Any, np.ndarray]:
    """A quarter of the places, where no more are needed: the last and slow ones should not pay for the others."""
    alive = np.flatnonzero(rows >= 0)
    if len(rows) < 4 * SMALLEST or 4 * len(alive) > len(rows):
        return pool, rows
    places = np.concatenate([alive, np.flatnonzero(rows < 0)])[: len(rows) // 4]
    return _at(pool, places), rows[places]


def _write(found: Found, judge: Judge, rows: np.ndarray, pool: Any) -> None:
    still, gone = pool.moved <= float(judge.rest), ~(np.linalg.norm(pool.x, axis=1) <= float(judge.bound))
    label = np.where(pool.near >= 0, pool.near, np.where(still, ELSEWHERE, UNSETTLED))
    found.labels[rows] = np.where(gone, ESCAPED, label)
    found.times[rows] = np.where((pool.near >= 0) & ~gone, pool.since, np.nan)
    found.x[rows] = pool.x
