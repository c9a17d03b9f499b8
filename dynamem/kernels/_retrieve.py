r"""Retrieval in the usual variables: posterior averages at a query and a noise level.

    w_i ~ u_i exp(-|q - xi_i|^2 / 2 s^2),   lse = log sum_i u_i exp(-|q - xi_i|^2 / 2 s^2).

``lse`` is put together as ``-(|q - m|^2 + tr C) / 2 s^2 - KL(w || u)`` (Gibbs' variational principle at its optimum):
three terms of one sign, hence no cancellation at any ``s``.
"""

from typing import Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Scalar, ScalarLike

from ._carry import FLOOR
from ._record import Retrieval
from ._tilt import common_dtype, sums


Precision = Literal["input", "mixed"]


def _one(
    patterns: Float[Array, "N D"], log_u: Float[Array, " N"] | None, query: Float[Array, " D"], s: Scalar
) -> Retrieval:
    kappa = 1.0 / (s * s)
    _, mean, trace, kl, cross = sums(patterns, log_u, kappa * query, kappa)
    offset = query - mean
    lse = -0.5 * kappa * (jnp.sum(offset * offset) + trace) - kl
    return Retrieval(lse, mean, trace, kl, jnp.maximum(-kl - cross, 0.0))


def _safe_log(weights: Float[Array, " N"]) -> Float[Array, " N"]:
    """``log u``, finite and with a finite derivative where ``u = 0``."""
    some = weights > 0.0
    return jnp.where(some, jnp.log(jnp.where(some, weights, 1.0)), FLOOR)


def _logit_dtype(patterns: Array, queries: Array, precision: Precision) -> jnp.dtype:
    if precision == "input":
        return common_dtype(patterns, queries)
    if precision != "mixed":
        msg = f"precision={precision!r}: choose 'input' or 'mixed'"
        raise ValueError(msg)
    if not jax.config.read("jax_enable_x64"):
        msg = f"precision={precision!r} computes logits in float64: set jax.config.update('jax_enable_x64', True)"
        raise ValueError(msg)
    return jnp.dtype("float64")


def retrieve(
    patterns: Float[Array, "N D"],
    queries: Float[Array, "*B D"],
    s: ScalarLike | Float[Array, "*B"],
    weights: Float[Array, " N"] | None = None,
    *,
    precision: Precision = "input",
) -> Retrieval:
    """Posterior mean, trace, KL and entropy of the patterns given noisy queries, in one pass over the patterns.

    Arguments:
        patterns: ``xi``, shape (N, D).
        queries: ``q``, shape (B, D) or (D,).
        s: noise level, positive, shape (B,) or ().
        weights: prior weights ``u``, shape (N,), summing to 1, zeros allowed; ``None``: ``1/N`` each.
        precision: ``"mixed"`` computes logits and scalars in float64 and averages in the dtype of the patterns
            (small ``s`` with float32 patterns); needs x64. Results have the dtype of ``"input"`` either way.

    Raises:
        ValueError: ``precision`` is unknown, or ``"mixed"`` without x64.
    """
    wide = _logit_dtype(patterns, queries, precision)
    narrow = common_dtype(patterns, queries)
    noise = jnp.asarray(s).astype(wide)
    log_u = None if weights is None else _safe_log(weights.astype(wide))
    if queries.ndim == 1:
        result = _one(patterns, log_u, queries.astype(wide), noise)
    else:
        noise = jnp.broadcast_to(noise, queries.shape[:1])
        result = jax.vmap(_one, in_axes=(None, None, 0, 0))(patterns, log_u, queries.astype(wide), noise)
    return jax.tree.map(lambda leaf: leaf.astype(narrow), result)
