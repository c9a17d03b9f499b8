r"""What one pass over any subset of the patterns leaves behind, and how two such records merge.

With ``a_i = eta.xi_i - kappa |xi_i|^2/2``, ``l_i = a_i + log u_i`` and ``p_i = exp(l_i - top)``, per query:

    top = max l_i,  total = sum p,  drop = sum p (l - top - log u),  first = sum p xi,  second = sum p |xi|^2.

``merge`` is associative and commutative up to rounding, so that a reduction may be split over chunks or devices.
It is the online softmax (Milakov & Gimelshein 2018, arXiv 1805.02867) carried on to the entropy and second moment.
"""

import equinox as eqx
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float


FLOOR = -1e30
"""Stands for log 0: finite, so that no difference of logits is ever inf - inf, and far below every real logit."""


class Carry(eqx.Module):
    """Unnormalised sums over a subset of the patterns for B queries, relative to ``top``."""

    top: Float[Array, " B"]
    total: Float[Array, " B"]
    drop: Float[Array, " B"]
    cross: Float[Array, " B"]
    """``sum p log u`` (zero where the weights are uniform)."""
    first: Float[Array, "B D"]
    second: Float[Array, " B"]


def empty(queries: int, coordinates: int, dtype: DTypeLike) -> Carry:
    """The neutral element of ``merge``."""
    zero = jnp.zeros((queries,), dtype)
    return Carry(zero + FLOOR, zero, zero, zero, jnp.zeros((queries, coordinates), dtype), zero)


def merge(a: Carry, b: Carry) -> Carry:
    """The record of the union of two disjoint subsets."""
    top = jnp.maximum(a.top, b.top)
    fall_a, fall_b = a.top - top, b.top - top
    scale_a, scale_b = jnp.exp(fall_a), jnp.exp(fall_b)
    return Carry(
        top=top,
        total=scale_a * a.total + scale_b * b.total,
        drop=scale_a * (a.drop + fall_a * a.total) + scale_b * (b.drop + fall_b * b.total),
        cross=scale_a * a.cross + scale_b * b.cross,
        first=scale_a[:, None] * a.first + scale_b[:, None] * b.first,
        second=scale_a * a.second + scale_b * b.second,
    )
