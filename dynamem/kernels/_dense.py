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
