"""The empirical law of stored patterns: its denoiser is one retrieval step of a modern Hopfield network."""

import jax.numpy as jnp
from jaxtyping import Array, Float, Scalar

from .._validate import require_patterns, require_weights
from ..kernels import Tilt, tilt
from ._law import AbstractLaw


class Empirical(AbstractLaw):
    """``p_0 = sum_i u_i delta(xi_i)``.

    Arguments:
        xi: patterns, shape (N, D), finite.
        weights: prior ``u`` (N,), non-negative, summing to one; uniform if not given.
    """

    xi: Float[Array, "N D"]
    weights: Float[Array, " N"] | None

    def __init__(self, xi: Float[Array, "N D"], weights: Float[Array, " N"] | None = None) -> None:
        self.xi = jnp.asarray(xi)
        self.weights = None if weights is None else jnp.asarray(weights)

    def __check_init__(self) -> None:
        require_patterns("xi", self.xi)
        if self.weights is not None:
            require_weights("weights", self.weights, self.xi.shape[0])

    def tilt(self, eta: Float[Array, " D"], kappa: Scalar) -> Tilt:
        """Retrieval over all patterns in one pass."""
        log_weights = None if self.weights is None else jnp.log(self.weights).astype(eta.dtype)
        return tilt(self.xi.astype(eta.dtype), log_weights, eta, kappa)
