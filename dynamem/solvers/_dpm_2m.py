r"""DPM-Solver++(2M) (Lu et al. 2022, arXiv 2211.01095, algorithm 2) on the clock ``lam``.

In ``y = x/alpha``, with the step h, the one before ``h'``, ``rho = e^-h`` and m' remembered from the step before,

    y+ = rho y + (1 - rho) (m + h/(2 h') (m - m')).

The first step has no ``m'`` and is DDIM's. On a uniform grid the free energy can rise at every ``rho < 1/3`` (D20);
from 1/3 on y is a convex combination of the start and of all denoisers seen, and no rise was found.

By D12 a step ``rho y + (1 - rho) m^`` of any ``rho`` does not raise it where ``|m^ - m| <= |y - m|``. So the limited
solver cuts what it adds to m to that length, which asks for nothing that the step does not have:

    y+ = rho y + (1 - rho) (m + a c),   a = h/(2 h') (m - m'),   c = min(1, |y - m|/|a|).

V then never rises, on every grid and for every law of the data (of a learned denoiser, as far as it is exact). As
steps shrink a vanishes and ``|y - m|`` does not, so that the order stays 2.
"""

from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from .._types import Time
from ._sampler import AbstractSampler, Remembered, Sight, shortened


class DPMSolver2M(AbstractSampler):
    """DPM-Solver++(2M) for `ProbabilityFlow` on clock "lam"; see `AbstractSampler`.

    Arguments:
        limited: cut what is added to m to the length of ``y - m``, so that no step raises the free energy (D12).
    """

    limited: bool = eqx.field(default=False, static=True)

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
        if self.limited:
            ahead, _ = shortened(ahead, pull @ pull)
        return y0 - jnp.expm1(-sight.h) * (pull + ahead), memory
