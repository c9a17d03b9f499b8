r"""Retrieval in the usual variables: posterior averages at a query and a noise level.

    w_i ~ u_i exp(-|q - xi_i|^2 / 2 s^2),   lse = log sum_i u_i exp(-|q - xi_i|^2 / 2 s^2).

``lse`` is put together as ``-(|q - m|^2 + tr C) / 2 s^2 - KL(w || u)`` (Gibbs' variational principle at its optimum):
three terms of one sign, hence no cancellation at any ``s``.
"""

from typing import Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Scalar, ScalarLike, Shaped

from .._errors import InputError
from .._types import Given
from .._validate import floats, require_patterns, require_positive, require_weights
from ._record import Retrieval
from ._tilt import common_dtype, log_prior, sums


Precision = Literal["input", "mixed"]


def _one(
    patterns: Float[Array, "N D"], log_u: Float[Array, " N"] | None, query: Float[Array, " D"], s: Scalar
) -> Retrieval:
    kappa = 1.0 / (s * s)
    _, mean, trace, kl, cross = sums(patterns, log_u, kappa * query, kappa)
    offset = query - mean
    lse = -0.5 * kappa * (jnp.sum(offset * offset) + trace) - kl
    return Retrieval(lse, mean, trace, kl, jnp.maximum(-kl - cross, 0.0))


def _logit_dtype(patterns: Array, queries: Array, precision: Precision) -> jnp.dtype:
    if precision == "input":
        return common_dtype(patterns, queries)
    if precision != "mixed":
        msg = f"precision={precision!r}: choose 'input' or 'mixed'"
        raise InputError(msg)
    if not jax.config.read("jax_enable_x64"):
        msg = f"precision={precision!r} computes logits in float64: set jax.config.update('jax_enable_x64', True)"
        raise InputError(msg)
    return jnp.dtype("float64")


def _require_batch(patterns: Array, queries: Array, s: ScalarLike | Float[Array, "*B"]) -> None:
    """Raise unless there is one query or a batch of them, with one noise level for all or one for each."""
    if queries.ndim not in (1, 2) or queries.shape[-1] != patterns.shape[1]:
        size = patterns.shape[1]
        msg = f"queries.shape={queries.shape!r}: patterns of shape {patterns.shape!r} need ({size},) or (B, {size})"
        raise InputError(msg)
    if jnp.shape(s) not in ((), queries.shape[:-1]):
        msg = f"s.shape={jnp.shape(s)!r}: need () or one noise level for each query, shape {queries.shape[:-1]!r}"
        raise InputError(msg)
    require_positive("s", s)


def retrieve(
    patterns: Shaped[Given, "N D"],
    queries: Shaped[Given, "*B D"],
    s: ScalarLike | Float[Array, "*B"],
    weights: Shaped[Given, " N"] | None = None,
    *,
    precision: Precision = "input",
) -> Retrieval:
    """Posterior mean, trace, KL and entropy of the patterns given noisy queries, in one pass over the patterns.

    Arguments:
        patterns: ``xi``, shape (N, D), finite.
        queries: ``q``, shape (B, D) or (D,).
        s: noise level, positive, shape (B,) or ().
        weights: prior weights ``u``, shape (N,), summing to 1, zeros allowed; ``None``: ``1/N`` each.
        precision: ``"mixed"`` computes in float64 from float32 patterns (small ``s``, patterns far from the origin):
            no float64 copy of them is held. Needs x64; results have the dtype of ``"input"`` either way.

    Raises:
        InputError: a value or a shape is not as above, an array holds no numbers, or ``"mixed"`` without x64. What
            is not known, under ``jax.jit`` for instance, is not checked.
    """
    patterns, queries = floats("patterns", patterns), floats("queries", queries)
    require_patterns("patterns", patterns)
    _require_batch(patterns, queries, s)
    wide, narrow = _logit_dtype(patterns, queries, precision), common_dtype(patterns, queries)
    log_u, noise = None, jnp.asarray(s).astype(wide)
    if weights is not None:
        weights = floats("weights", weights)
        require_weights("weights", weights, patterns.shape[0])
        log_u = log_prior(weights.astype(wide))
    if queries.ndim == 1:
        result = _one(patterns, log_u, queries.astype(wide), noise)
    else:
        noise = jnp.broadcast_to(noise, queries.shape[:1])
        result = jax.vmap(_one, in_axes=(None, None, 0, 0))(patterns, log_u, queries.astype(wide), noise)
    return jax.tree.map(lambda leaf: leaf.astype(narrow), result)
