r"""What a search for a grid needs where there is noise: paths that move with the grid, the distance of two laws, means.

The normals of a run stay while its times move: over a step h the path's increment is ``sqrt(h) z_k``, so that the end
has a derivative in every time, and in the churn. Paths have no error of their own; laws have. Of ends ``x_b`` and those
of a fine solve ``x*_b`` the error is the energy distance (Szekely & Rizzo 2013, J. Stat. Plan. Inference 143:1249)

    d^2 = mean over a != b of 2 |x_a - x*_b| - |x_a - x_b| - |x*_a - x*_b|,     |x| here over sqrt(D),

without bias for starts that are drawn independently from one law (or all equal): for equal laws it is 0 in mean, and it
may be negative. The search draws new normals in every round,
as it would fit the grid to those of one. An energy may rise along a path; its mean must not: from each step's change
its martingale part ``grad E . g dW``, of mean 0, is taken before means over the states are.
"""

from typing import Any, ClassVar

import diffrax as dfx
import jax
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, Float, Key, Scalar

from .._types import EnergyFn
from ..lyapunov import Directional


NEAR = 1e-3
"""Part of a step by which a time may miss a node of the grid."""


class Normals(dfx.AbstractPath):
    """A path with increments ``sqrt(h) z``, where z depends on the step's number (and its part), not on its times.

    Or many paths, with a leading axis.
    """

    grid: Float[Array, "*B n"]
    key: Key[Array, "*B"]
    like: Float[Array, "*B m"]
    t0: ClassVar[Any] = -jnp.inf
    t1: ClassVar[Any] = jnp.inf

    def evaluate(self, t0: Any, t1: Any = None, left: bool = True, use_levy: bool = False) -> Float[Array, " m"]:
        """The increment over a step, or over one of equal parts of it, shape (m,)."""
        del left, use_levy
        grid, begin, length = jax.lax.stop_gradient((self.grid, t0, t1 - t0))
        step = jnp.searchsorted(grid, begin + NEAR * length, side="right") - 1
        part = jnp.round((begin - grid[step]) / length).astype(int)
        z = jr.normal(jr.fold_in(jr.fold_in(self.key, step), part), self.like.shape, self.like.dtype)
        return jnp.sqrt(t1 - t0) * z


def normals_of(flow: Any, states: Float[Array, "B D"], grid: Float[Array, " n"], keys: Array) -> Normals:
    """A path for each state, with a component for each column of the flow's noise."""
    noise: Any = flow.diffusion(grid[0], states[0], None)
    count = len(states)
    like = jnp.zeros((count, noise.in_size()), states.dtype)
    return Normals(jnp.broadcast_to(grid, (count, len(grid))), keys, like)


def law_distance(ends: Float[Array, "B D"], goal: Float[Array, "B D"]) -> Scalar:
    """``d^2`` of two samples of one size; row b of both may have one start."""
    count, centre = len(ends), jax.lax.stop_gradient(jnp.mean(goal, axis=0, keepdims=True))
    ends, goal = ends - centre, goal - centre
    pairs = 2 * _apart(ends, goal) - _apart(ends, ends) - _apart(goal, goal)
    return jnp.sum(jnp.where(jnp.eye(count, dtype=bool), 0.0, pairs)) / (count * (count - 1))


def spread(goal: Float[Array, "B D"]) -> Scalar:
    """Mean distance of two ends, in the same units; 1 where all are one."""
    found = jnp.mean(_apart(goal, goal))
    return jnp.where(found > 0, found, 1.0)


def _apart(a: Float[Array, "B D"], b: Float[Array, "B D"]) -> Float[Array, "B B"]:
    """``|a - b|/sqrt(D)`` of all pairs, with derivative 0 where it is 0 to rounding."""
    sizes = jnp.sum(a**2, axis=1)[:, None] + jnp.sum(b**2, axis=1)[None]
    square = sizes - 2 * a @ b.T
    away = square > 8 * jnp.finfo(square.dtype).eps * sizes
    return jnp.where(away, jnp.sqrt(jnp.where(away, square, 1.0) / a.shape[1]), 0.0)


def martingales(
    energy: EnergyFn, flow: Any, paths: Normals, ts: Float[Array, "B n"], xs: Float[Array, "B n D"]
) -> Float[Array, "B m"]:
    """``grad E . g dW`` of each step, shape (B, n - 1)."""

    def one(path: Normals, t0: Scalar, t1: Scalar, x: Float[Array, " D"]) -> Scalar:
        noise: Any = flow.diffusion(t0, x, None)
        return Directional(energy)(t0, x, noise.mv(path.evaluate(t0, t1)))

    return jax.vmap(jax.vmap(one, in_axes=(None, 0, 0, 0)))(paths, ts[:, :-1], ts[:, 1:], xs[:, :-1])
