r"""The Lagrangian of an activation, ``L(x) = int_0^x g``, by Gauss-Legendre rules on panels that are fitted to ``g``.

A panel is halved until two rules agree on it to rounding, relative to ``|x g(x)|``, one of them skewed, so that no
symmetry of ``g`` makes both wrong alike: kinks and jumps end up in panels so short that they no longer matter. The
panels are laid once, when the units are made; after that ``L(x)`` is the sum from 0 to the last edge before ``x`` and
one rule over the rest, and the difference of the two rules, summed likewise, is the estimate of its error.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Scalar

from .._errors import InputError


LARGEST = 10
"""Panels reach from ``-2^10`` to ``2^10``, as far as ``g`` is finite; beyond them a single rule is left."""
NEAREST = 2.0**-20
"""Closer to 0 than this, accuracy relative to ``|x g(x)|`` is not asked for."""
BATCH, MOST = 32, 2048


def _rule(order: int, skew: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Nodes and weights on [0, 1], in the variable ``p`` of ``t = p + skew p (1 - p)``."""
    nodes, weights = np.polynomial.legendre.leggauss(order)
    p = 0.5 * (nodes + 1.0)
    return p + skew * p * (1 - p), 0.5 * weights * (1 + skew * (1 - 2 * p))


(_FINE, _FINE_WEIGHTS), (_COARSE, _COARSE_WEIGHTS) = _rule(20), _rule(16, skew=0.3)
_NODES = np.concatenate([_FINE, _COARSE, [0.0, 1.0]])


class Panels(NamedTuple):
    """Edges in rising order, 0 among them, with the integral from 0 to each and the estimate of its error."""

    edges: Float[np.ndarray, " P"]
    sums: Float[np.ndarray, " P"]
    doubts: Float[np.ndarray, " P"]


def lay(g: Callable) -> Panels:
    """Panels fitted to ``g``, which must be known."""
    dtype = jnp.result_type(float)
    eps = float(jnp.finfo(dtype).eps)
    values = jax.jit(jax.vmap(jax.vmap(g)))
    todo, done = _dyadic(g, dtype), []
    while todo:
        batch, todo = todo[:BATCH], todo[BATCH:]
        a, b = np.transpose(batch + batch[-1:] * (BATCH - len(batch)))
        found = np.asarray(values(jnp.asarray(a[:, None] + (b - a)[:, None] * _NODES, dtype)), float)
        fine = (b - a) * (found[:, : len(_FINE)] @ _FINE_WEIGHTS)
        doubt = np.abs(fine - (b - a) * (found[:, len(_FINE) : -2] @ _COARSE_WEIGHTS))
        reach = np.maximum(np.maximum(np.abs(a), np.abs(b)), NEAREST)
        agreed = (doubt <= 4 * eps * reach * np.max(np.abs(found[:, -2:]), axis=1)) | (b - a <= 2 * eps * reach)
        for k, (start, end) in enumerate(batch):
            if agreed[k] or len(todo) + len(done) >= MOST:
                done.append((start, end, fine[k], doubt[k]))
            else:
                todo += [(start, 0.5 * (start + end)), (0.5 * (start + end), end)]
    return _joined(sorted(done))


def _dyadic(g: Callable, dtype: jnp.dtype) -> list[tuple[float, float]]:
    """The panels to begin with: between 0 and the powers of two of either sign, as far as ``g`` is finite."""
    powers = 2.0 ** np.arange(LARGEST + 1)
    edges = np.concatenate([-powers[::-1], [0.0], powers])
    edges = edges[np.isfinite(np.asarray(jax.vmap(g)(jnp.asarray(edges, dtype))))]
    return list(zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True))


def _joined(rows: list[tuple[float, float, float, float]]) -> Panels:
    """Integrals and doubts summed up from 0 outwards, to either side."""
    starts, ends, parts, doubts = np.transpose(rows)
    edges = np.append(starts, ends[-1])
    origin = int(np.searchsorted(edges, 0.0))

    def outwards(values: np.ndarray) -> np.ndarray:
        return np.concatenate([np.cumsum(values[:origin][::-1])[::-1], [0.0], np.cumsum(values[origin:])])

    return Panels(edges, np.where(edges < 0, -1.0, 1.0) * outwards(parts), outwards(doubts))


def integral(g: Callable) -> tuple[Callable, Callable]:
    """``L(x) = int_0^x g``, with ``g`` itself as its derivative, and the estimate of its absolute error."""
    with jax.ensure_compile_time_eval():
        grid = lay(g)
    near = np.abs(grid.edges) <= 8.0
    doubt, size = np.max(grid.doubts[near]), np.max(np.abs(grid.sums[near]))
    if not doubt <= float(jnp.finfo(jnp.result_type(float)).eps) ** 0.5 * size:
        msg = (
            f"activation={g!r} is too rough: its integral over [-8, 8] is known to {doubt:.1e} only; pass lagrangian=, "
            "a function whose derivative it is"
        )
        raise InputError(msg)

    def measure(x: Scalar) -> tuple[Scalar, Scalar]:
        edges, sums, doubts, *rules = (
            jnp.asarray(part, x.dtype) for part in (*grid, _FINE, _FINE_WEIGHTS, _COARSE, _COARSE_WEIGHTS)
        )
        inward = jnp.where(x < 0, jnp.sum(edges < x), jnp.sum(edges <= x) - 1)
        start, whole, doubt = (part[inward] for part in (edges, sums, doubts))
        fine, coarse = (
            (x - start) * (jax.vmap(g)(start + (x - start) * nodes) @ weights)
            for nodes, weights in (rules[:2], rules[2:])
        )
        return whole + fine, doubt + jnp.abs(fine - coarse)

    @jax.custom_jvp
    def lagrangian(x: Scalar) -> Scalar:
        return measure(x)[0]

    @lagrangian.defjvp
    def _jvp(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
        (x,), (dx,) = primals, tangents
        return lagrangian(x), g(x) * dx

    return lagrangian, lambda x: measure(x)[1]
