r"""A mixture of isotropic Gaussians: a continuous memory with an exact denoiser.

Tilting ``N(mu, c^2 I)`` gives ``N((c^2 eta + mu)/q, c^2/q I)`` with ``q = 1 + kappa c^2`` and log normaliser
``(c^2 |eta|^2 + 2 eta.mu - kappa |mu|^2)/(2 q) - D log(q)/2``; ``c = 0`` is a point mass.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Scalar

from .._errors import InputError
from .._validate import require_patterns, require_positive, require_weights
from ..kernels import Tilt
from ._law import AbstractLaw


class GaussianMixture(AbstractLaw):
    """``p_0 = sum_k w_k N(mu_k, c_k^2 I)``.

    Arguments:
        means: ``mu``, shape (K, D).
        scales: standard deviations ``c``, shape (K,), non-negative.
        weights: ``w``, shape (K,), non-negative, summing to one; uniform if not given.
    """

    means: Float[Array, "K D"]
    scales: Float[Array, " K"]
    weights: Float[Array, " K"]

    def __init__(
        self, means: Float[Array, "K D"], scales: Float[Array, " K"], weights: Float[Array, " K"] | None = None
    ) -> None:
        self.means, self.scales = jnp.asarray(means), jnp.asarray(scales)
        count = self.means.shape[0]
        self.weights = jnp.full(count, 1.0 / count, self.means.dtype) if weights is None else jnp.asarray(weights)

    def __check_init__(self) -> None:
        require_patterns("means", self.means)
        if self.scales.shape != self.means.shape[:1]:
            msg = f"scales.shape={self.scales.shape!r}: need one scale for each of the {self.means.shape[0]} means"
            raise InputError(msg)
        require_positive("scales", self.scales, zero=True)
        require_weights("weights", self.weights, self.means.shape[0])

    def tilt(self, eta: Float[Array, " D"], kappa: Scalar) -> Tilt:
        """Moments of the tilted mixture, by the laws of total mean, variance and relative entropy."""
        means, scales, weights = (part.astype(eta.dtype) for part in (self.means, self.scales, self.weights))
        dim, c2 = eta.shape[0], scales * scales
        q = 1 + kappa * c2
        eta2, along, norm2 = eta @ eta, means @ eta, jnp.sum(means * means, axis=1)
        gain = (c2 * eta2 + 2 * along - kappa * norm2) / (2 * q) - 0.5 * dim * jnp.log1p(kappa * c2)
        safe = jnp.where(weights > 0, weights, jnp.ones_like(weights))
        logits = jnp.where(weights > 0, gain + jnp.log(safe), jnp.full_like(gain, -jnp.inf))
        log_partition = jax.nn.logsumexp(logits)
        r = jnp.exp(logits - log_partition)
        mean = (r @ (c2 / q)) * eta + (r / q) @ means
        second = (c2 * c2 * eta2 + 2 * c2 * along + norm2) / (q * q)
        between = jnp.maximum(r @ second - mean @ mean, jnp.zeros_like(eta2))
        lean = c2 * (eta2 - 2 * kappa * along + kappa * kappa * norm2) / (2 * q * q)
        within = 0.5 * dim * (jnp.log1p(kappa * c2) - kappa * c2 / q) + jnp.maximum(lean, jnp.zeros_like(lean))
        kl = jnp.maximum(r @ jnp.where(r > 0, gain - log_partition + within, jnp.zeros_like(r)), jnp.zeros_like(eta2))
        return Tilt(log_partition, mean, dim * (r @ (c2 / q)) + between, kl)
