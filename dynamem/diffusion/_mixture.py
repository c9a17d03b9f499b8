r"""A mixture of isotropic Gaussians: a continuous memory with an exact denoiser.

Tilting ``N(mu, c^2 I)`` gives ``N(m_k, v I)`` with ``m_k = mu + v delta``, ``delta = eta - kappa mu``, ``v = c^2/q``,
``q = 1 + z``, ``z = kappa c^2``, and log mass ``gain = (c^2 |eta|^2 + 2 eta.mu - kappa |mu|^2)/(2 q) - D log(q)/2``.
At ``c = 0`` it is a point mass. By the laws of total variance and of relative entropy, with ``r ~ w e^gain``,

    tr C = sum r D v + sum r |m_k - m|^2,
    KL = sum r (D (log q - z/q)/2 + c^2 |delta|^2/(2 q^2)) + KL(r || w),

sums of terms of one sign, relatively accurate where they are small. Means are taken relative to that of the likeliest
component ``*``, with ``d = mu - mu_*``: ``m_k - m_* = d/q + (v - v_*) delta_*`` and ``delta = delta_* - kappa d``, so
that one component alone leaves nothing to rounding, and all the rest are matrix products.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Scalar, Shaped

from .._errors import InputError
from .._types import Given
from .._validate import floats, require_patterns, require_positive, require_state, require_weights
from ..kernels import Tilt, log_prior, relative_entropy_density
from ._law import AbstractLaw


FLAT = 0.5
"""Below this relative entropy the sum of densities is used, whose terms do not cancel."""


class GaussianMixture(AbstractLaw):
    """``p_0 = sum_k w_k N(mu_k, c_k^2 I)``; a scale of 0 is a point mass, as in `Empirical`.

    It holds (K,) numbers for each state; for many point masses `Empirical` streams.

    Arguments:
        means: ``mu``, shape (K, D), finite; whole numbers are converted, with a warning.
        scales: standard deviations ``c``, shape (K,), non-negative.
        weights: ``w``, shape (K,), non-negative, summing to one; uniform if not given.
    """

    means: Float[Array, "K D"]
    scales: Float[Array, " K"]
    weights: Float[Array, " K"]

    def __init__(
        self, means: Shaped[Given, "K D"], scales: Shaped[Given, " K"], weights: Shaped[Given, " K"] | None = None
    ) -> None:
        self.means, self.scales = floats("means", means), floats("scales", scales)
        require_patterns("means", self.means)
        count = self.means.shape[0]
        self.weights = jnp.full(count, 1.0 / count, self.means.dtype) if weights is None else floats("weights", weights)

    def __check_init__(self) -> None:
        if self.scales.shape != self.means.shape[:1]:
            msg = f"scales.shape={self.scales.shape!r}: need one scale for each of the {self.means.shape[0]} means"
            raise InputError(msg)
        require_positive("scales", self.scales, zero=True)
        require_weights("weights", self.weights, self.means.shape[0])

    def tilt(self, eta: Float[Array, " D"], kappa: Scalar) -> Tilt:
        """Moments of the tilted mixture."""
        require_state(eta, "means", self.means)
        means, scales, weights = (part.astype(eta.dtype) for part in (self.means, self.scales, self.weights))
        size, c2, norms = eta.shape[0], scales * scales, jnp.sum(means * means, axis=1)
        z = kappa * c2
        q = 1 + z
        v = c2 / q
        gain = (c2 * (eta @ eta) + 2 * (means @ eta) - kappa * norms) / (2 * q) - 0.5 * size * jnp.log1p(z)
        log_partition, r, between = _mix(gain, weights)
        best = jnp.argmax(r)
        near, others = means[best], jnp.arange(r.shape[0]) != best
        delta, lift, rest = eta - kappa * near, v - v[best], jnp.where(others, r, 0)
        square, along = delta @ delta, jnp.where(others, means @ delta - near @ delta, 0)
        d2 = jnp.where(others, jnp.maximum(norms - 2 * (means @ near) + near @ near, 0), 0)
        away = (rest / q) @ means - jnp.sum(rest / q) * near + (rest @ lift) * delta
        apart = rest @ (d2 / (q * q) + 2 * lift * along / q + lift * lift * square) - away @ away
        lean = c2 * jnp.maximum(square - 2 * kappa * along + kappa * kappa * d2, 0) / (q * q)
        kl = between + 0.5 * (r @ (size * _narrowing(z) + lean))
        return Tilt(log_partition, near + v[best] * delta + away, size * (r @ v) + jnp.maximum(apart, 0), kl)


def _mix(gain: Float[Array, " K"], weights: Float[Array, " K"]) -> tuple[Scalar, Float[Array, " K"], Scalar]:
    """``A = log sum w e^gain``, ``r = w e^(gain - A)`` and ``KL(r || w)``.

    Around the mean gain ``a``, ``KL = -log1p(-sum w phi(gain - a))`` and ``A = a - KL`` where KL is small, as in the
    kernel; elsewhere from ``log r``, which is exact where ``r`` is one-hot, however large the gains.
    """
    log_w = log_prior(weights)
    log_r = jax.nn.log_softmax(gain + log_w)
    r = jnp.exp(log_r)
    middle = r @ gain
    bulk = weights @ relative_entropy_density(gain - middle)
    kl = jnp.maximum(r @ (log_r - log_w), 0)
    flat = kl < FLAT
    fine = -jnp.log1p(-jnp.where(flat, bulk, jnp.zeros_like(bulk)))
    return jnp.where(flat, middle - fine, jax.nn.logsumexp(gain + log_w)), r, jnp.where(flat, fine, kl)


def _narrowing(z: Float[Array, " K"]) -> Float[Array, " K"]:
    """``log q - z/q`` at ``q = 1 + z``: ``phi(log q)/q`` where that is small."""
    small = jnp.minimum(z, 1)
    return jnp.where(z < 1, relative_entropy_density(jnp.log1p(small)) / (1 + small), jnp.log1p(z) - z / (1 + z))
