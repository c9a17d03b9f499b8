r"""A second pass for the two ends of the noise scale, where the sums of the first one round away.

Large s (all ``a_i`` nearly equal). Around the posterior mean of ``a`` itself, ``a0 = eta.m - kappa E|xi|^2/2``, put
``r = a - a0``. Then ``sum u e^r = exp(-KL)`` and ``sum u r e^r = 0``, so that with
``phi(r) = e^r (r - 1) + 1 >= 0`` (by its series for small r)

    KL = -log1p(-sum u phi(r)),        A = a0 - KL,

sums of terms of one sign: relatively accurate however small they are.

Small s (``eps kappa R^2`` not small). Against the winner ``*`` = argmax l,

    kappa tr C / 2 = -(E_w[l - l_* - log u] + log u_*) + (m - xi_*).(eta - kappa (m + xi_*)/2),

both terms of which vanish exactly when the posterior is one-hot, whatever the size of the logits.
"""

import math

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from ._absorb import Sums, absorb, normalise
from ._carry import Carry, empty, merge
from ._chunk import EXACT, fold, scores, take
from ._plan import Plan


Second = tuple[Carry, Float[Array, " B"], Int[Array, " B"]]

SERIES_TERMS = 14
SERIES_RADIUS = 0.5
LARGEST_EXPONENT = 60.0


def flat(kl: Float[Array, " B"]) -> Bool[Array, " B"]:
    """Queries whose KL is so small that its rounding, eps log N, matters."""
    return kl < float(jnp.finfo(kl.dtype).eps) ** 0.4


def sharp(kappas: Float[Array, " B"], second: Float[Array, " B"]) -> Bool[Array, " B"]:
    """Queries whose logits are so large that ``eps kappa E|xi|^2`` shows in the trace."""
    eps = float(jnp.finfo(kappas.dtype).eps)
    return kappas * second * eps > eps**0.4


def relative_entropy_density(r: Float[Array, "*S"]) -> Float[Array, "*S"]:
    """``phi(r) = e^r (r - 1) + 1 = sum_{k >= 2} (k-1) r^k / k!``, relatively accurate for every r."""
    small = jnp.clip(r, -SERIES_RADIUS, SERIES_RADIUS)
    series = jnp.zeros_like(r)
    for k in range(SERIES_TERMS, 1, -1):
        series = (k - 1) / math.factorial(k) + small * series
    large = jnp.minimum(r, LARGEST_EXPONENT)
    return jnp.where(jnp.abs(r) < SERIES_RADIUS, small * small * series, jnp.exp(large) * (large - 1.0) + 1.0)


def _again(
    patterns: Float[Array, "N D"],
    log_u: Float[Array, " N"] | None,
    etas: Float[Array, "B D"],
    kappas: Float[Array, " B"],
    shift: Float[Array, " B"],
    cut: Plan,
) -> Second:
    """The second pass: an exact record, ``sum u phi(a - a0)`` and the index of the largest logit."""
    count = patterns.shape[0]

    def step(state: Second, index: Int[Array, ""]) -> Second:
        carry, bulk, winner = state
        chunk = take(patterns, log_u, cut.chunk, index, etas.dtype)
        block = absorb(chunk, etas, kappas, exact=True)
        a = scores(chunk, etas, kappas)
        density = relative_entropy_density(a - shift[:, None])
        u = jnp.ones_like(chunk.norms) if chunk.log_u is None else jnp.exp(chunk.log_u)
        bulk = bulk + jnp.matmul(density, u / count if log_u is None else u, precision=EXACT)
        logits = a if chunk.log_u is None else a + chunk.log_u[None, :]
        place = jnp.argmax(logits, axis=1).astype(jnp.int32) + chunk.start
        return merge(carry, block), bulk, jnp.where(block.top > carry.top, place, winner)

    start = empty(etas.shape[0], etas.shape[1], etas.dtype)
    return fold(step, (start, jnp.zeros_like(kappas), jnp.zeros(kappas.shape, jnp.int32)), cut.chunks)


def correct(
    patterns: Float[Array, "N D"],
    log_u: Float[Array, " N"] | None,
    etas: Float[Array, "B D"],
    kappas: Float[Array, " B"],
    sums: Sums,
    second: Float[Array, " B"],
    cut: Plan,
) -> Sums:
    """Better ``A``, ``tr C`` and ``KL`` for the queries at either end; ``second = E_w|xi|^2`` of the first pass."""
    log_count = math.log(patterns.shape[0]) if log_u is None else 0.0
    shift = jnp.sum(etas * sums[1], axis=1) - 0.5 * kappas * second
    carry, bulk, winner = _again(patterns, log_u, etas, kappas, shift, cut)
    partition, mean, trace, kl, cross = normalise(carry, log_count)
    is_flat, is_sharp = flat(kl), sharp(kappas, second)
    fine = -jnp.log1p(-jnp.minimum(bulk, 0.5))
    closest = jnp.take(patterns, winner, axis=0).astype(etas.dtype)
    lever = jnp.sum((mean - closest) * (etas - 0.5 * kappas[:, None] * (mean + closest)), axis=1)
    drop = carry.drop / carry.total if log_u is None else carry.drop / carry.total + jnp.take(log_u, winner)
    spread = 2.0 * (lever - drop) / jnp.where(is_sharp, kappas, 1.0)
    return (
        jnp.where(is_flat, shift - fine, partition),
        mean,
        jnp.where(is_sharp, jnp.maximum(spread, 0.0), trace),
        jnp.where(is_flat, fine, kl),
        cross,
    )
