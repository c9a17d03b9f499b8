r"""SDE-DPM-Solver++(2M) (Lu et al. 2022, arXiv 2211.01095) on the clock ``lam``.

In ``y = x/alpha``, with the step h, the one before ``h'``, ``rho = e^-h`` and m' remembered from the step before,

    y+ = rho^2 y + (1 - rho^2) (m + h/(2 h') (m - m')) + s+ sqrt(1 - rho^2) z,     z ~ N(0, I).

The first step has no ``m'`` and is `DDPM`'s.
"""

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float

from .._types import Time
from ._sampler import AbstractSampler, Remembered, Sight


class DPMSolverSDE(AbstractSampler):
    """SDE-DPM-Solver++(2M) for `ReverseSDE` with churn 1 on clock "lam"; see `AbstractSampler`."""

    def order(self, terms: Any) -> int:
        """Second order where there is no noise."""
        del terms
        return 2

    def strong_order(self, terms: Any) -> int:
        """First order: the noise is additive on this clock."""
        del terms
        return 1

    def churn(self, *, noisy: bool) -> float:
        """One."""
        del noisy
        return 1.0

    def start(self, t0: Time, y0: Float[Array, " D"]) -> Remembered:
        """No denoiser yet."""
        return Remembered.none(y0)

    def move(self, sight: Sight, y0: Float[Array, " D"], memory: Remembered) -> tuple[Float[Array, " D"], Remembered]:
        """``rho^2 y + (1 - rho^2) (m + h/(2 h') (m - m')) + s+ sqrt(1 - rho^2) z``."""
        pull, lost = sight.pull(sight.t0, y0), -jnp.expm1(-2 * sight.h)
        ahead, memory = memory.ahead(sight.h, y0 + pull)
        size = jnp.exp(-jnp.asarray(sight.t1, y0.dtype)) * jnp.sqrt(lost)
        return y0 + lost * (pull + ahead) + size * sight.normal(), memory
