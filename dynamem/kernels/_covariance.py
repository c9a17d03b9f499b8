r"""The second pass that derivatives need: posterior covariances, linear in the tangents.

With ``n_i = |xi_i|^2`` and the centred change of the logits

    c_i = (xi_i - m).d_eta - (n_i - E_w n) d_kappa / 2,

    d m = sum w c (xi - m),   d tr C = sum w c n - 2 m.d m,   d KL = sum w c (a - A - KL),   d cross = sum w c log u.

Plain JAX throughout, hence differentiable again; the chunks are recomputed rather than stored.
"""

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Int

from ._chunk import EXACT, fold, log_of, take
from ._plan import reverse_plan


Primal = tuple[Float[Array, ""], Float[Array, " D"], Float[Array, ""], Float[Array, ""], Float[Array, ""]]
"""``(A, m, tr C, KL, cross)`` of one query."""
Moments = tuple[Float[Array, ""], Float[Array, " D"], Float[Array, ""], Float[Array, ""], Float[Array, ""]]
"""``sum w c``, and ``w c`` summed against ``xi``, ``n``, ``a - A`` and ``log u``."""


def partition_tangent(
    primal: Primal, d_eta: Float[Array, " D"] | None, d_kappa: Float[Array, ""] | None
) -> Float[Array, ""]:
    """``dA = m.d_eta - E_w|xi|^2 d_kappa / 2``: needs no second pass."""
    _, mean, trace, _, _ = primal
    tangent = jnp.zeros_like(trace)
    if d_eta is not None:
        tangent = tangent + jnp.dot(mean, d_eta, precision=EXACT)
    if d_kappa is not None:
        tangent = tangent - 0.5 * (trace + jnp.dot(mean, mean, precision=EXACT)) * d_kappa
    return tangent


def covariance(
    patterns: Float[Array, "N D"],
    log_u: Float[Array, " N"] | None,
    eta: Float[Array, " D"],
    kappa: Float[Array, ""],
    primal: Primal,
    d_eta: Float[Array, " D"] | None,
    d_kappa: Float[Array, ""] | None,
) -> tuple[Float[Array, " D"], Float[Array, ""], Float[Array, ""], Float[Array, ""]]:
    """Tangents of ``(m, tr C, KL, cross)`` for one query; ``None`` stands for a tangent that is zero."""
    partition, mean, trace, kl, cross = primal
    second = trace + jnp.dot(mean, mean, precision=EXACT)
    size, chunks = reverse_plan(*patterns.shape, eta.dtype.itemsize)
    log_count = log_of(patterns.shape[0], eta) if log_u is None else 0.0

    def step(state: Moments, index: Int[Array, ""]) -> Moments:
        chunk = take(patterns, log_u, size, index, eta.dtype)
        xi = chunk.xi.astype(eta.dtype)
        score = jnp.matmul(xi, eta, precision=EXACT) - 0.5 * kappa * chunk.norms
        logit = score - log_count if chunk.log_u is None else score - log_count + chunk.log_u
        excess = logit - partition
        w = jnp.exp(excess - lax.stop_gradient(jnp.maximum(excess, 0.0)))
        change = jnp.zeros_like(w)
        if d_eta is not None:
            change = change + (jnp.matmul(xi, d_eta, precision=EXACT) - jnp.dot(mean, d_eta, precision=EXACT))
        if d_kappa is not None:
            change = change - 0.5 * (chunk.norms - second) * d_kappa
        wc = w * change
        block = (
            jnp.sum(wc),
            jnp.matmul(wc, xi, precision=EXACT),
            jnp.sum(wc * chunk.norms),
            jnp.sum(wc * (score - partition)),
            jnp.zeros_like(kl) if chunk.log_u is None else jnp.sum(wc * chunk.log_u),
        )
        return jax.tree.map(jnp.add, state, block)

    zero = jnp.zeros_like(kl)
    body = step if chunks == 1 else jax.checkpoint(step, prevent_cse=False)
    left, first, norms, scores, logs = fold(body, (zero, jnp.zeros_like(mean), zero, zero, zero), chunks)
    d_mean = first - left * mean
    d_trace = norms - left * second - 2.0 * jnp.dot(mean, d_mean, precision=EXACT)
    return d_mean, d_trace, scores - left * kl, logs - left * (cross + log_count)
