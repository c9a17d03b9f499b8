r"""The record of one chunk, and what a record over all patterns says.

    A = top + log total,  m = first/total,  tr C = second/total - |m|^2,  KL = drop/total - log total.

``drop = sum p (a - top)`` follows from the other sums as ``eta.first - kappa second/2 - top total``: a pass of its own
over ``p`` would cost up to a fifth of the kernel. That loses ``eps kappa R^2``, as the logits themselves do; an
``exact`` record sums the differences instead, and is zero when one-hot.
"""

import jax.numpy as jnp
from jaxtyping import Array, Float

from ._carry import Carry
from ._chunk import EXACT, Chunk, average, scores
from ._exp import exp
from ._plan import DENSE_LOGITS


Sums = tuple[Float[Array, " B"], Float[Array, "B D"], Float[Array, " B"], Float[Array, " B"], Float[Array, " B"]]
"""``(A, m, tr C, KL, E_w log u)``."""


def absorb(chunk: Chunk, etas: Float[Array, "B D"], kappas: Float[Array, " B"], *, exact: bool = False) -> Carry:
    """The record of one chunk."""
    logits = scores(chunk, etas, kappas)
    if chunk.log_u is not None:
        logits = logits + chunk.log_u[None, :]
    top = jnp.max(logits, axis=1)
    fall = logits - top[:, None]
    p = jnp.exp(fall) if fall.size <= DENSE_LOGITS else exp(fall)
    total = jnp.sum(p, axis=1)
    second = jnp.matmul(p, chunk.norms, precision=EXACT)
    cross = jnp.zeros_like(total) if chunk.log_u is None else jnp.matmul(p, chunk.log_u, precision=EXACT)
    first = average(p, chunk.xi)
    if exact:
        drop = jnp.sum(p * (fall if chunk.log_u is None else fall - chunk.log_u[None, :]), axis=1)
    else:
        drop = jnp.sum(etas * first, axis=1) - 0.5 * kappas * second - top * total
    return Carry(top, total, drop, cross, first, second)


def normalise(carry: Carry, log_count: float) -> Sums:
    """``(A, m, tr C, KL, E_w log u)``; ``log_count`` is the part of ``-log u`` that was left out of the logits."""
    mean = carry.first / carry.total[:, None]
    log_total = jnp.log(carry.total)
    trace = carry.second / carry.total - jnp.sum(mean * mean, axis=1)
    kl = carry.drop / carry.total - log_total + log_count
    return (
        carry.top + log_total - log_count,
        mean,
        jnp.maximum(trace, 0.0),
        jnp.maximum(kl, 0.0),
        carry.cross / carry.total - log_count,
    )
