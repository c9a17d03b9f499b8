r"""Sparse softmax: the maps from scores to the simplex that Tsallis' entropies make (Peters et al. 2019, 1905.05702).

    Omega_a(p) = sum_i p_i (p_i^{a-1} - 1)/(a (a - 1))           (a = 1: sum_i p_i log p_i),
    entmax_a(z) = argmax_p p.z - Omega_a(p),      p_i^{a-1} = max(0, 1 + (a - 1)(z_i - c)),

with the ``c`` for which ``sum_i p_i = 1``: softmax for ``a = 1``, where ``c`` is the log-sum-exp, sparsemax for ``a =
2``. Since ``p_i = 1`` needs ``c = z_i``, all weight lies on one score iff it leads the others by ``1/(a - 1)``. The
largest ``p`` lies between ``1/N`` and 1, which encloses ``c``.

Derivatives are those of the equations: ``dp_i = s_i (dz_i - dc) + g_i da``, ``s_i = p_i^{2-a}`` on the support and
``dc = (s.dz + sum g da)/sum s``; ``g`` is that of Correia, Niculae & Martins 2019 (1909.00015).
"""

from math import factorial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Scalar, ScalarLike

from .._errors import InputError
from .._validate import concrete, require_positive


MOST = 128
"""Most steps of Newton's method and of bisection: a dozen are usual."""
LOOSE = 0.4
"""Power of the rounding unit by which a sum of weights may miss 1: 5e-7 in float64, 2e-3 in float32."""
TERMS = 9
"""Terms of a series that is used where its argument is below 0.1: the rest is below rounding."""


def entmax(z: Float[Array, " N"], alpha: ScalarLike) -> Float[Array, " N"]:
    """Weights from scores: softmax at ``alpha = 1``, sparsemax at 2; differentiable in both arguments.

    NaN where no ``c`` of this precision makes the sum 1: at orders above 10 or so, small weights may need more digits.

    Arguments:
        z: scores, shape (N,).
        alpha: order of Tsallis' entropy, at least 1.

    Raises:
        InputError: a smaller ``alpha``.
    """
    require_order(alpha)
    return _entmax(z, jnp.asarray(alpha, z.dtype))


def entmax_value(z: Float[Array, " N"], alpha: ScalarLike) -> Scalar:
    """``max_p p.z - Omega_alpha(p)``, whose gradient in ``z`` is `entmax`: log-sum-exp at ``alpha = 1``."""
    require_order(alpha)
    return _value(z, jnp.asarray(alpha, z.dtype))


def require_order(alpha: ScalarLike) -> None:
    """Raise unless ``alpha``, if known, is one finite number of at least 1."""
    require_positive("alpha", alpha, scalar=True)
    known = concrete(alpha)
    if known is not None and known < 1:
        msg = f"alpha={known!s}: need an order of at least 1; 1 is softmax, and larger ones are sparse"
        raise InputError(msg)


@jax.custom_jvp
def _entmax(z: Float[Array, " N"], alpha: Scalar) -> Float[Array, " N"]:
    u = z - jax.lax.stop_gradient(jnp.max(z))
    weights, _ = _weights(u - _threshold(u, alpha - 1), alpha - 1)
    total = jnp.sum(weights)
    known = jnp.abs(total - 1) <= jnp.finfo(z.dtype).eps ** LOOSE
    return jnp.where(known, weights / total, jnp.asarray(jnp.nan, z.dtype))


def _threshold(u: Float[Array, " N"], a: Scalar) -> Scalar:
    """The ``c`` for scores whose largest is 0, by Newton's method.

    For ``a <= 1`` the sum is convex in ``c`` and Newton climbs to it from 0, until rounding stops it; otherwise steps
    stay inside a bracket, and every other one halves it.
    """
    eps, count = jnp.finfo(u.dtype).eps, jnp.log(jnp.asarray(u.shape[0], u.dtype))
    start = (jnp.zeros_like(a), jnp.zeros_like(a), count * _expm1_over(-a * count), jnp.asarray(0))

    def step(state: tuple[Scalar, Scalar, Scalar, Scalar]) -> tuple[Scalar, Scalar, Scalar, Scalar]:
        c, low, high, k = state
        weights, slopes = _weights(u - c, a)
        gap = jnp.sum(weights) - 1
        low, high = jnp.where(gap >= 0, c, low), jnp.where(gap >= 0, high, c)
        newton, middle = c + gap / jnp.sum(slopes), 0.5 * (low + high)
        inside = (newton > low) & (newton < high) & (k % 2 == 0)
        after = jnp.where(a <= 1, jnp.maximum(newton, c), jnp.where(inside, newton, middle))
        after = jnp.where(jnp.abs(gap) <= 4 * eps, c, after)
        return after, low, high, jnp.where(after == c, MOST, k + 1)

    return jax.lax.while_loop(lambda state: state[3] < MOST, step, start)[0]


@_entmax.defjvp
def _(primals: tuple[Array, Array], tangents: tuple[Array, Array]) -> tuple[Array, Array]:
    (z, alpha), (dz, dalpha) = primals, tangents
    p = _entmax(z, alpha)
    on = p > 0
    log_p = jnp.log(jnp.where(on, p, jnp.ones_like(p)))
    slope = jnp.where(on, jnp.exp((2 - alpha) * log_p), jnp.zeros_like(p))
    change = slope * dz + slope * log_p**2 * _bend((alpha - 1) * log_p) * dalpha
    return p, change - slope * (jnp.sum(change) / jnp.sum(slope))


@jax.custom_jvp
def _value(z: Float[Array, " N"], alpha: Scalar) -> Scalar:
    p = _entmax(z, alpha)
    top = jnp.max(z)
    return top + p @ (z - top) - _entropy(p, alpha)


@_value.defjvp
def _(primals: tuple[Array, Array], tangents: tuple[Array, Array]) -> tuple[Array, Array]:
    (z, alpha), (dz, dalpha) = primals, tangents
    p = _entmax(z, alpha)
    log_p = jnp.log(jnp.where(p > 0, p, jnp.ones_like(p)))
    steeper = -(p @ (log_p**2 * _bend((alpha - 1) * log_p))) - _entropy(p, alpha)  # alpha dOmega/dalpha at this p
    return _value(z, alpha), p @ dz - steeper / alpha * dalpha


def _entropy(p: Float[Array, " N"], alpha: Scalar) -> Scalar:
    """``Omega_alpha(p) = sum_i p_i log p_i (e^w - 1)/w / alpha``, ``w = (alpha - 1) log p_i``: at most 0."""
    log_p = jnp.log(jnp.where(p > 0, p, jnp.ones_like(p)))
    return p @ (log_p * _expm1_over((alpha - 1) * log_p)) / alpha


def _weights(v: Float[Array, " N"], a: Scalar) -> tuple[Float[Array, " N"], Float[Array, " N"]]:
    """``w = max(0, 1 + a v)^{1/a}``, ``exp(v)`` at ``a = 0``, and ``dw/dv = w/(1 + a v)``."""
    base, flat, none = a * v, a == 0, jnp.zeros_like(v)
    on = base > -1
    inside = jnp.where(on, base, none)
    log = jnp.log1p(inside) / jnp.where(flat, jnp.ones_like(a), a)
    weights = jnp.where(on, jnp.exp(jnp.where(flat, v, log)), none)
    return weights, weights / (1 + inside)


def _expm1_over(w: Array) -> Array:
    """``(e^w - 1)/w``, 1 at ``w = 0``."""
    zero = w == 0
    return jnp.where(zero, jnp.ones_like(w), jnp.expm1(w) / jnp.where(zero, jnp.ones_like(w), w))


def _bend(w: Array) -> Array:
    """``((e^w - 1)/w - e^w)/w``, by its series where the difference cancels."""
    near = jnp.abs(w) < 0.1
    safe = jnp.where(near, jnp.ones_like(w), w)
    series = jnp.zeros_like(w)
    for k in reversed(range(TERMS)):
        series = series * w - (k + 1) / factorial(k + 2)
    return jnp.where(near, series, (_expm1_over(safe) - jnp.exp(safe)) / safe)
