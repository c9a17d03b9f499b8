r"""Basins on a plane through three states, and overlaps of what is retrieved with what is stored."""

import dataclasses
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import PRNGKeyArray, Shaped

from .._errors import InputError
from .._types import Given
from .._validate import floats, require_patterns, require_positive
from ..catalog import corruption_of
from ..rigour import plane
from ._basins import Basins, basins


@dataclasses.dataclass(frozen=True)
class BasinMap:
    """Where the states ``a + B (u, v)`` of a grid end.

    Attributes:
        u: shape (R,).
        v: shape (R,).
        labels: as in `Basins`, entry ``[i, j]`` for ``(u[j], v[i])``, shape (R, R).
        times: shape (R, R).
        a: a point of the plane, shape (D,).
        b: orthonormal directions, shape (D, 2).
        corners: ``(u, v)`` of the three points, shape (3, 2).
        basins: the record behind; its intervals are about a grid, so no statement about random states.
    """

    u: np.ndarray
    v: np.ndarray
    labels: np.ndarray
    times: np.ndarray
    a: np.ndarray
    b: np.ndarray
    corners: np.ndarray
    basins: Basins

    def states(self, labels: np.ndarray | None = None) -> np.ndarray:
        """The states of the grid, row by row (``labels`` is a mask of those that are wanted), shape (n, D)."""
        points = grid_states(self.a, self.b, self.u, self.v)
        return points if labels is None else points[np.ravel(labels)]


def grid_states(a: np.ndarray, b: np.ndarray, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """``a + B (u, v)`` for all pairs, v in rows, shape (len(v) len(u), D)."""
    pairs = np.stack(np.meshgrid(u, v), axis=-1).reshape(-1, 2)
    return a[None, :] + pairs @ b.T


def basin_map(
    flow: Any,
    points: Shaped[Given, "3 D"],
    attractors: Shaped[Given, "K D"],
    *,
    resolution: int = 64,
    margin: float = 0.5,
    **how: Any,
) -> BasinMap:
    """Basins on the plane through three points.

    Arguments:
        flow: a flow, any Diffrax terms, or a `Map`.
        points: three states that span a plane, three patterns for instance, shape (3, D).
        attractors: shape (K, D).
        resolution: states along each side.
        margin: how far the map goes beyond the points, in parts of their extent.
        how: what `basins` takes.

    Raises:
        InputError: the points span no plane, or an argument that cannot be used.
    """
    points = np.asarray(floats("points", points))
    if points.shape[:1] != (3,) or points.ndim != 2 or resolution < 2:
        msg = f"points.shape={points.shape!r}, resolution={resolution!r}: need (3, D), and at least 2 states a side"
        raise InputError(msg)
    require_positive("margin", margin, zero=True, scalar=True)
    a, b, corners = plane(points)
    low, high = corners.min(axis=0), corners.max(axis=0)
    low, high = low - margin * (high - low), high + margin * (high - low)
    u, v = (np.linspace(low[i], high[i], resolution) for i in (0, 1))
    found = basins(flow, grid_states(a, b, u, v).astype(points.dtype), attractors, **how)
    shape = (resolution, resolution)
    return BasinMap(u, v, found.labels.reshape(shape), found.times.reshape(shape), a, b, corners, found)


@dataclasses.dataclass(frozen=True)
class OverlapCurve:
    """Cosines between patterns and what is retrieved from corrupted ones; shares that are recalled: `recall_rate`.

    Attributes:
        levels: strengths of the corruption, shape (L,).
        cue: mean cosine of the corrupted patterns, shape (L,).
        mean: mean cosine of the retrieved states, shape (L,).
        q: which quantiles.
        quantiles: of the retrieved states, over patterns, shape (L, len(q)).
        tried: number of patterns.
    """

    levels: np.ndarray
    cue: np.ndarray
    mean: np.ndarray
    q: tuple[float, ...]
    quantiles: np.ndarray
    tried: int


def overlap_curve(
    update: Callable[[Any], Any],
    xi: Shaped[Given, "N D"],
    corruption: Any,
    levels: Any,
    key: PRNGKeyArray,
    *,
    q: tuple[float, ...] = (0.1, 0.5, 0.9),
    image_shape: tuple[int, int] | None = None,
    trials: int | None = None,
    batch: int = 256,
) -> OverlapCurve:
    """How near to a pattern retrieval ends, against how much the pattern was corrupted.

    Arguments:
        update: retrieval, from states (batch, D) to states (batch, D).
        xi: stored patterns, shape (N, D).
        corruption: a name of `dynamem.catalog.CORRUPTIONS`, or a function ``(key, x (B, D), level) -> (B, D)``.
        levels: shape (L,).
        key: JAX key; levels share their random numbers.
        q: quantiles that are kept.
        image_shape: (H, W), for "blur".
        trials: number of patterns tried, drawn at random; all if not given.
        batch: states at a time.

    Raises:
        InputError: an argument that cannot be used.
    """
    xi, levels = floats("xi", xi), np.asarray(levels, float)
    require_patterns("xi", xi)
    require_positive("levels", levels, zero=True)
    if levels.ndim != 1 or not all(0 <= one <= 1 for one in q):
        msg = f"levels.shape={levels.shape!r}, q={q!r}: need levels (L,), and quantiles from 0 to 1"
        raise InputError(msg)
    corrupt = corruption_of(corruption, xi, levels, image_shape) if isinstance(corruption, str) else corruption
    pick, key = jr.split(key)
    order = np.asarray(jr.permutation(pick, len(xi)))[: trials or len(xi)]
    found = np.zeros((2, len(levels), len(order)))
    for start in range(0, len(order), batch):
        rows = order[start : start + batch]
        x, place = xi[jnp.asarray(np.resize(rows, batch))], slice(start, start + len(rows))
        for i, level in enumerate(levels):
            pair = _cosines(update, corrupt, jr.fold_in(key, start), x, jnp.asarray(level, xi.dtype))
            found[:, i, place] = np.asarray(pair)[:, : len(rows)]
    cue, end = found
    quantiles = np.quantile(end, q, axis=1).T
    return OverlapCurve(levels, cue.mean(axis=1), end.mean(axis=1), tuple(q), quantiles, len(order))


@eqx.filter_jit
def _cosines(update: Any, corrupt: Any, key: PRNGKeyArray, x: Any, level: Any) -> Any:
    """Of the cue and of what is retrieved from it with the pattern, shape (2, B)."""
    cue = corrupt(key, x, level)

    def cosine(one: jax.Array) -> jax.Array:
        sizes = jnp.linalg.norm(one, axis=1) * jnp.linalg.norm(x, axis=1)
        return jnp.sum(one * x, axis=1) / jnp.where(sizes > 0, sizes, jnp.ones_like(sizes))

    return jnp.stack([cosine(cue), cosine(update(cue))])
