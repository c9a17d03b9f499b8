"""The defining formula in plain JAX, (N,) logits at a time: what derivatives in the patterns and weights go through."""

import math

import jax.numpy as jnp
from jax.scipy.special import logsumexp
from jaxtyping import Array, Float

from ._chunk import EXACT
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
    weight = jnp.full_like(norms, -math.log(patterns.shape[0])) if log_u is None else log_u
    partition = logsumexp(a + weight)
    w = jnp.exp(a + weight - partition)
    mean = jnp.matmul(w, xi, precision=EXACT)
    trace = jnp.dot(w, norms, precision=EXACT) - jnp.dot(mean, mean, precision=EXACT)
    return partition, mean, trace, jnp.dot(w, a, precision=EXACT) - partition, jnp.dot(w, weight, precision=EXACT)
