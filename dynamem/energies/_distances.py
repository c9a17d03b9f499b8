"""Squared distances from a state to all patterns, accurate where the patterns lie far from the origin."""

import jax.numpy as jnp
from jaxtyping import Array, Float


def squared_distances(xi: Float[Array, "N D"], x: Float[Array, " D"]) -> Float[Array, " N"]:
    """``|x - xi_i|^2`` for patterns (N, D) and a state (D,), shape (N,), by one matrix product.

    About the patterns' mean: ``|x|^2 - 2 x.xi + |xi|^2`` itself loses all digits in float32 once the norms are a few
    thousand times the distances.
    """
    centre = jnp.mean(xi, axis=0)
    away, there = xi - centre[None], x - centre
    return there @ there - 2 * (away @ there) + jnp.sum(away * away, axis=1)
