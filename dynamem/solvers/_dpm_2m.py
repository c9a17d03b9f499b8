r"""DPM-Solver++(2M) (Lu et al. 2022, arXiv 2211.01095, algorithm 2) on the clock ``lam``.

In ``y = x/alpha``, with the step h, the one before ``h'``, ``rho = e^-h`` and m' remembered from the step before,

    y+ = rho y + (1 - rho) (m + h/(2 h') (m - m')).

The first step has no ``m'`` and is DDIM's. On a uniform grid the free energy can rise at every ``rho < 1/3`` (D20);
from 1/3 on y is a convex combination of the start and of all denoisers seen, and no rise was found.
"""

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float

from .._types import Time
from ._sampler import AbstractSampler, Remembered, Sight


class DPMSolver2M(AbstractSampler):
    """DPM-Solver++(2M) for `ProbabilityFlow` on clock "lam"; see `AbstractSampler`."""

    def order(self, terms: Any) -> int:
        """Second order."""
        del terms
        return 2

    def churn(self, *, noisy: bool) -> float:
        """Zero: the probability flow."""
        del noisy
        return 0.0

    def start(self, t0: Time, y0: Float[Array, " D"]) -> Remembered:
        """No denoiser yet."""
        return Remembered.none(y0)

    def move(self, sight: Sight, y0: Float[Array, " D"], memory: Remembered) -> tuple[Float[Array, " D"], Remembered]:
        """``rho y + (1 - rho) (m + h/(2 h') (m - m'))``."""
        pull = sight.pull(sight.t0, y0)
        ahead, memory = memory.ahead(sight.h, y0 + pull)
        return y0 - jnp.expm1(-sight.h) * (pull + ahead), memory
