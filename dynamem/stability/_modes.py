r"""Stable fixed points of the frozen canonical flow, for many starts at once, each at a noise level of its own.

    y <- m(y, s),    V(m(y, s)) <= V(y),    V = -s^2 log Z,    hess V = I - C/s^2

is mean shift: it descends, and slowly where the slack ``1 - lambda_max(C)/s^2`` is small. What has not settled is
finished by Newton's method in a trust region of half the noise, the equations solved by conjugate gradients
that stop at negative curvature (T. Steihaug, SIAM Journal on Numerical Analysis 20 (1983) 626); a step that does not
lower V is shortened, at last replaced by one of mean shift. So no saddle is taken for a mode, and nothing of size
(D, D) is made. Starts are moved by a millionth of the noise: a point of symmetry that is no mode does not hold them.
"""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Scalar

from ..diffusion import AbstractLaw


SHIFTS, ROUNDS = 12, 60
"""Mean-shift steps at the start, and the most rounds in all."""
CG_STEPS, CG_RTOL = 24, 0.02
"""Conjugate gradients for one Newton step."""
TRUST, NUDGE = 0.5, 1e-6
"""Longest Newton step, and the length by which starts are moved, in units of the noise."""
SHARES = (1.0, 0.25, 0.0625, 0.015625)
"""Parts of a step that are tried in turn, until V falls by enough."""
SETTLED = 1e-9
"""A step of `followed` that is shorter than this part of the noise is its last."""
TILES, NEWTON_TILES = (512, 64), (32, 4)
"""Points at a time, and for a last few: each shape is a compilation, and a batch of Newton steps lasts as long as its
slowest."""


@eqx.filter_jit
def _shifted(
    law: AbstractLaw, ys: Float[Array, "B D"], sigmas: Float[Array, " B"], settled: Scalar
) -> tuple[Array, Array]:
    """Mean-shift steps until all have settled: the points, and the length of the last step over the noise."""

    def going(carry: tuple[Array, Array, Array]) -> Array:
        count, _, moved = carry
        return (count < SHIFTS) & jnp.any(moved > settled)

    def body(carry: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        count, ys, _ = carry
        means = jax.vmap(law.denoise)(ys, sigmas)
        return count + 1, means, jnp.linalg.norm(means - ys, axis=1) / sigmas

    start = (jnp.zeros((), jnp.int32), ys, jnp.full_like(sigmas, jnp.inf))
    return jax.lax.while_loop(going, body, start)[1:]


def _trust(push: Callable[[Array], Array], g: Array, radius: Scalar) -> Array:
    """The step ``p`` with ``p - push(p) = g``, cut off at the radius, or led there along a negative curvature."""

    def going(carry: tuple) -> Array:
        count, _, r, _, done = carry
        return (count < CG_STEPS) & ~done & (jnp.linalg.norm(r) > CG_RTOL * jnp.linalg.norm(g))

    def body(carry: tuple) -> tuple:
        count, p, r, d, _ = carry
        pushed = d - push(d)
        curvature, rest = d @ pushed, r @ r
        alpha = rest / jnp.where(curvature > 0, curvature, jnp.ones_like(rest))
        pd, dd = p @ d, d @ d
        edge = (jnp.sqrt(pd**2 + dd * jnp.maximum(radius**2 - p @ p, 0)) - pd) / jnp.where(dd > 0, dd, 1)
        out = (curvature <= 0) | (alpha >= edge)
        r_new = r - alpha * pushed
        d_new = r_new + (r_new @ r_new) / jnp.where(rest > 0, rest, 1) * d
        return count + 1, p + jnp.where(out, edge, alpha) * d, jnp.where(out, r, r_new), d_new, out

    start = (jnp.zeros((), jnp.int32), jnp.zeros_like(g), g, g, jnp.zeros((), bool))
    return jax.lax.while_loop(going, body, start)[1]


@eqx.filter_jit
def _newton(
    law: AbstractLaw, ys: Float[Array, "B D"], sigmas: Float[Array, " B"], settled: Scalar
) -> tuple[Array, Array]:
    """A step of Newton's method for each point, of mean shift where that does not descend; its length over the noise.

    ``-V/s^2`` is summed from terms of one sign, so that rounding is relative to it.
    """
    del settled

    def one(y: Array, sigma: Scalar) -> tuple[Array, Array]:
        mean, push = jax.linearize(lambda z: law.denoise(z, sigma), y)
        step = _trust(push, mean - y, TRUST * sigma)
        trials = y[None] + jnp.asarray(SHARES, y.dtype)[:, None] * step[None]
        before, after = law.moments(y, sigma).log_z, jax.vmap(lambda z: law.moments(z, sigma).log_z)(trials)
        wanted = 1e-4 * jnp.asarray(SHARES, y.dtype) * ((mean - y) @ step) / sigma**2 - 1e-13 * (1 + jnp.abs(before))
        good = after - before >= wanted
        new = jnp.where(jnp.any(good), trials[jnp.argmax(good)], mean)
        return new, jnp.linalg.norm(new - y) / sigma

    return jax.vmap(one)(ys, sigmas)


@eqx.filter_jit
def _linearised(law: AbstractLaw, ys: Float[Array, "B D"], sigmas: Float[Array, " B"]) -> tuple[Array, Array]:
    """``m`` and ``C/s^2`` at each point."""

    def one(y: Array, sigma: Scalar) -> tuple[Array, Array]:
        mean, push = jax.linearize(lambda z: law.denoise(z, sigma), y)
        reduced = jax.vmap(push)(jnp.eye(y.shape[0], dtype=y.dtype))
        return mean, 0.5 * (reduced + reduced.T)

    return jax.vmap(one)(ys, sigmas)


def tiled(
    function: Any, law: Any, ys: np.ndarray, sigmas: np.ndarray, tiles: tuple[int, ...], *more: Any
) -> list[np.ndarray]:
    """A batched function on any number of points, in batches of the given sizes."""
    made, start = [], 0
    while start < len(ys):
        left = len(ys) - start
        size = tiles[-1] if left <= tiles[-1] else tiles[0]
        rows = np.minimum(np.arange(start, start + size), len(ys) - 1)
        found = function(law, jnp.asarray(ys[rows]), jnp.asarray(sigmas[rows]), *more)
        made.append([np.asarray(part)[: min(left, size)] for part in found])
        start += size
    return [np.concatenate(parts) for parts in zip(*made, strict=True)]


def settle(
    law: Any, ys: Float[np.ndarray, "B D"], sigmas: Float[np.ndarray, " B"], settled: float, *, careful: bool
) -> tuple[np.ndarray, np.ndarray]:
    """The modes to which mean shift and Newton's method lead, and which points have not settled.

    A step of mean shift is shorter than what is left by the factor of the slack. The ``careful`` way is by Newton's
    method alone, whose steps are as long as what is left.
    """
    ways = np.random.default_rng(0).normal(size=ys.shape)
    ys = ys + NUDGE * sigmas[:, None] * ways / np.linalg.norm(ways, axis=1, keepdims=True)
    open_, bound = np.arange(len(ys)), jnp.asarray(settled)
    for turn in range(ROUNDS):
        how = (_newton, NEWTON_TILES) if turn or careful else (_shifted, TILES)
        ys[open_], moved = tiled(how[0], law, ys[open_], sigmas[open_], how[1], bound)
        open_, moved = open_[~(moved <= settled)], moved[~(moved <= settled)]
        open_ = open_[np.argsort(moved)]  # the slow ones together
        if not len(open_):
            break
    left = np.zeros(len(ys), bool)
    left[open_] = True
    return ys, left


def slacks(law: Any, ys: Float[np.ndarray, "B D"], sigmas: Float[np.ndarray, " B"]) -> np.ndarray:
    """``1 - lambda_max(C)/s^2`` at each point, shape (B,)."""
    return 1 - np.linalg.eigvalsh(tiled(_linearised, law, ys, sigmas, NEWTON_TILES[-1:])[1])[:, -1]


def followed(law: Any, y: Float[np.ndarray, " D"], sigma: float) -> tuple[np.ndarray, float, np.ndarray] | None:
    """The fixed point near ``y``, stable or not, its slack and critical direction; None where Newton leaves it."""
    start = y
    for _ in range(50):
        mean, reduced = (part[0] for part in tiled(_linearised, law, y[None], np.asarray([sigma]), NEWTON_TILES[-1:]))
        sizes, vectors = np.linalg.eigh(reduced)
        with np.errstate(divide="ignore", invalid="ignore"):
            step = vectors @ ((vectors.T @ (mean - y)) / (1 - sizes))
        y = y + step
        if not np.linalg.norm(y - start) < 0.5 * sigma:  # also where it is no number
            return None
        if np.linalg.norm(step) <= SETTLED * sigma:
            return y, float(1 - sizes[-1]), vectors[:, -1]
    return None
