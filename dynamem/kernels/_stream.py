r"""One pass over the patterns for a batch of queries, then corrections where rounding would show.

    a_i = eta.xi_i - kappa |xi_i|^2/2,  l_i = log u_i + a_i,  A = log sum exp l,  w = softmax(l),
    m = sum w xi,  tr C = sum w |xi|^2 - |m|^2,  KL = sum w a - A,  cross = sum w log u.

The sums are taken relative to the running maximum and normalised once, at the end (late normalisation).
"""

import math

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Int

from ._absorb import Sums, absorb, normalise
from ._carry import Carry, empty, merge
from ._chunk import fold, scores, take
from ._correct import correct, flat, sharp
from ._plan import DENSE_LOGITS, Plan, plan


def _tile(
    patterns: Float[Array, "N D"],
    log_u: Float[Array, " N"] | None,
    etas: Float[Array, "B D"],
    kappas: Float[Array, " B"],
    cut: Plan,
) -> Sums:
    """All patterns against one tile of queries."""

    def step(carry: Carry, index: Int[Array, ""]) -> Carry:
        chunk = take(patterns, log_u, cut.chunk, index, etas.dtype)
        block = absorb(chunk, etas, kappas)
        return block if cut.chunks == 1 else merge(carry, block)

    carry = fold(step, empty(etas.shape[0], patterns.shape[1], etas.dtype), cut.chunks)
    sums = normalise(carry, math.log(patterns.shape[0]) if log_u is None else 0.0)
    second = carry.second / carry.total

    def corrected() -> Sums:
        return correct(patterns, log_u, etas, kappas, sums, second, cut)

    if cut.chunks == 1 and etas.shape[0] * patterns.shape[0] <= DENSE_LOGITS:
        return corrected()
    return lax.cond(jnp.any(flat(sums[3]) | sharp(kappas, second)), corrected, lambda: sums)


def _alone(
    patterns: Float[Array, "1 D"],
    log_u: Float[Array, " 1"] | None,
    etas: Float[Array, "B D"],
    kappas: Float[Array, " B"],
) -> Sums:
    """One pattern has all the weight: nothing is left to rounding."""
    chunk = take(patterns, log_u, 1, jnp.zeros((), jnp.int32), etas.dtype)
    zero = jnp.zeros_like(kappas)
    mean = jnp.broadcast_to(patterns.astype(etas.dtype), etas.shape)
    return scores(chunk, etas, kappas)[:, 0], mean, zero, zero, zero


def stream(
    patterns: Float[Array, "N D"],
    log_u: Float[Array, " N"] | None,
    etas: Float[Array, "B D"],
    kappas: Float[Array, " B"],
) -> Sums:
    """``(A, m, tr C, KL, cross)`` for a batch; ``log_u`` is finite. No derivative is taken through this."""
    queries, coordinates = etas.shape
    if patterns.shape[0] == 1:
        return _alone(patterns, log_u, etas, kappas)
    cut = plan(queries, *patterns.shape, etas.dtype.itemsize)
    if cut.tiles == 1:
        return _tile(patterns, log_u, etas, kappas, cut)
    spare = cut.tile * cut.tiles - queries
    etas = jnp.pad(etas, ((0, spare), (0, 0))).reshape(cut.tiles, cut.tile, coordinates)
    kappas = jnp.pad(kappas, (0, spare), mode="edge").reshape(cut.tiles, cut.tile)
    sums = lax.map(lambda tile: _tile(patterns, log_u, *tile, cut), (etas, kappas))
    return jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:])[:queries], sums)
