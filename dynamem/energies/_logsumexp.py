r"""The log-sum-exp memory, or modern Hopfield network (Ramsauer et al. 2021, arXiv 2008.02217).

    E(x) = |x|^2/2 - log sum_i exp(beta (xi_i.x - |xi_i|^2/2)) / beta,      grad E = x - sum_i w_i xi_i.

With the norm bias ``-|xi|^2/2`` the weights are ``softmax(-beta |x - xi|^2/2)``: one gradient step of size 1 is one
denoising step of a diffusion model at noise level ``s = 1/sqrt(beta)``. The Hessian ``I - beta C`` never exceeds
``I``, so that an Euler step of any size up to 2 does not raise the energy at any ``beta``.
"""

from functools import partial

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, Scalar

from .._types import Time
from .._validate import floats, require_patterns, require_positive
from ..kernels import tilt
from ._base import AbstractEnergy


class LogSumExp(AbstractEnergy):
    """``E = |x|^2/2 - LSE_i(beta (xi_i.x - |xi_i|^2/2)) / beta``; without the norm bias ``LSE_i(beta xi_i.x)``.

    Arguments:
        xi: patterns, shape (N, D).
        beta: inverse temperature, positive and finite.
        norm_bias: subtract ``|xi|^2/2`` in the exponent, so that patterns of every norm can be recalled.
    """

    xi: Float[Array, "N D"] = eqx.field(converter=partial(floats, "xi"))
    beta: Float[Array, ""] = eqx.field(converter=jnp.asarray)
    norm_bias: bool = eqx.field(default=True, static=True)

    def __check_init__(self) -> None:
        require_patterns("xi", self.xi)
        require_positive("beta", self.beta, scalar=True)

    def __call__(self, t: Time, x: Float[Array, " D"]) -> Scalar:
        """The energy at ``x``, shape (D,)."""
        beta = self.beta.astype(x.dtype)
        count = jnp.log(jnp.asarray(self.xi.shape[0], x.dtype))
        return 0.5 * (x @ x) - (self._tilt(x).log_partition + count) / beta

    def magnitude(self, t: Time, x: Float[Array, " D"]) -> Scalar:
        """``|x|^2`` plus the largest squared norm of a pattern, plus ``log N / beta``."""
        norms = jnp.max(jnp.sum(self.xi * self.xi, axis=1)).astype(x.dtype)
        return x @ x + norms + jnp.log(jnp.asarray(self.xi.shape[0] + 1.0, x.dtype)) / self.beta.astype(x.dtype)

    def update(self, x: Float[Array, " D"]) -> Float[Array, " D"]:
        """Retrieval ``T(x) = sum_i w_i xi_i``: the concave-convex step, equal to an Euler step of size 1."""
        return self._tilt(x).mean

    def _tilt(self, x: Float[Array, " D"]):  # noqa: ANN202
        beta = self.beta.astype(x.dtype)
        return tilt(self.xi, None, beta * x, beta if self.norm_bias else jnp.zeros_like(beta))
