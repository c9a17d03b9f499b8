"""The defining formula in plain JAX, (N,) logits at a time: what derivatives in the patterns and weights go through."""

import jax.numpy as jnp
from jax.scipy.special import logsumexp
from jaxtyping import Array, Float

from ._chunk import EXACT, log_of
from ._covariance import Primal


def dense(
    patterns: Float[Array, "N D"],
    log_u: Float[Array, " N"] | None,
    eta: Float[Array, " D"],
    kappa: Float[Array, ""],
) -> Primal:
    """``(A, m, tr C, KL, E_w log u)`` of one query; ``log_u`` must be finite."""
    xi = patterns.astype(eta.dtype)
    norms = jnp.sum(xi * xi, axis=1)
    a = jnp.matmul(xi, eta, precision=EXACT) - 0.5 * kappa * norms
    weight = jnp.broadcast_to(-log_of(patterns.shape[0], norms), norms.shape) if log_u is None else log_u
    partition = logsumexp(a + weight)
    w = jnp.exp(a + weight - partition)
    mean = jnp.matmul(w, xi, precision=EXACT)
    trace = jnp.dot(w, jnp.sum((xi - mean[None, :]) ** 2, axis=1), precision=EXACT)
    return partition, mean, trace, jnp.dot(w, a - partition, precision=EXACT), jnp.dot(w, weight, precision=EXACT)


def centred(
    patterns: Float[Array, "N D"],
    log_u: Float[Array, " N"] | None,
    eta: Float[Array, " D"],
    kappa: Float[Array, ""],
    centre: Float[Array, " D"],
) -> Primal:
    """The same by moments about a fixed centre ``c``, for exact arithmetic and for intervals: shorter, and tighter.

    ``m = c + e``, ``e = sum_i w_i (xi_i - c)``, ``tr C = sum_i w_i |xi_i - c|^2 - |e|^2``; floats would cancel here.
    """
    partition, _, _, kl, cross = dense(patterns, log_u, eta, kappa)
    xi = patterns.astype(eta.dtype)
    weight = jnp.broadcast_to(-log_of(xi.shape[0], xi[:, 0]), xi.shape[:1]) if log_u is None else log_u
    a = jnp.matmul(xi, eta, precision=EXACT) - 0.5 * kappa * jnp.sum(xi * xi, axis=1)
    w = jnp.exp(a + weight - partition)
    away = xi - centre[None, :]
    error = jnp.matmul(w, away, precision=EXACT)
    trace = jnp.dot(w, jnp.sum(away * away, axis=1), precision=EXACT) - jnp.sum(error * error)
    return partition, centre + error, trace, kl, cross
