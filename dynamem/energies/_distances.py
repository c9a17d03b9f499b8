"""Squared distances from a state to all patterns, accurate where the patterns lie far from the origin."""

import jax.numpy as jnp
from jaxtyping import Array, Float


def squared_distances(xi: Float[Array, "N D"], x: Float[Array, " D"]) -> Float[Array, " N"]:
    """``|x - xi_i|^2`` for patterns (N, D) and a state (D,), shape (N,), by one matrix product.

    About the patterns' mean: ``|x|^2 - 2 x.xi + |xi|^2`` itself loses all digits in float32 once the norms are a few
    thousand times the distances.
    """
    away, there = _centred(xi, x)
    return there @ there - 2 * (away @ there) + jnp.sum(away * away, axis=1)


def distance_sizes(xi: Float[Array, "N D"], x: Float[Array, " D"]) -> Float[Array, " N"]:
    """What `squared_distances` adds: ``(|x - c| + |xi_i - c|)^2`` about the mean c, shape (N,)."""
    away, there = _centred(xi, x)
    return (jnp.linalg.norm(there) + jnp.linalg.norm(away, axis=1)) ** 2


def _centred(xi: Float[Array, "N D"], x: Float[Array, " D"]) -> tuple[Float[Array, "N D"], Float[Array, " D"]]:
    centre = jnp.mean(xi, axis=0)
    return xi - centre[None], x - centre
