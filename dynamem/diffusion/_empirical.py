"""The empirical law of stored patterns: its denoiser is one retrieval step of a modern Hopfield network."""

from jaxtyping import Array, Float, Scalar, Shaped

from .._types import Given
from .._validate import floats, require_patterns, require_weights
from ..kernels import Tilt, log_prior, tilt
from ._law import AbstractLaw


class Empirical(AbstractLaw):
    """``p_0 = sum_i u_i delta(xi_i)``.

    Arguments:
        xi: patterns, shape (N, D), finite; whole numbers are converted, with a warning.
        weights: prior ``u`` (N,), non-negative, summing to one; uniform if not given.
    """

    xi: Float[Array, "N D"]
    weights: Float[Array, " N"] | None

    def __init__(self, xi: Shaped[Given, "N D"], weights: Shaped[Given, " N"] | None = None) -> None:
        self.xi = floats("xi", xi)
        self.weights = None if weights is None else floats("weights", weights)

    def __check_init__(self) -> None:
        require_patterns("xi", self.xi)
        if self.weights is not None:
            require_weights("weights", self.weights, self.xi.shape[0])

    def tilt(self, eta: Float[Array, " D"], kappa: Scalar) -> Tilt:
        """Retrieval over all patterns in one pass."""
        log_weights = None if self.weights is None else log_prior(self.weights.astype(eta.dtype))
        return tilt(self.xi.astype(eta.dtype), log_weights, eta, kappa)
