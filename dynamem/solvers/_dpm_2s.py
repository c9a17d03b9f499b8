r"""DPM-Solver++(2S) (Lu et al. 2022, arXiv 2211.01095, algorithm 1) on the clock ``lam``.

In ``y = x/alpha``, with the step h, ``rho = e^-h`` and m' the denoiser at DDIM's point of the step ``r h``,

    y+ = rho y + (1 - rho) ((1 - 1/2r) m + 1/2r m').

``r = 1/2`` is the exponential midpoint rule. For ``1/2 <= r <= 1`` no step raises the free energy (D13).
"""

from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from .._errors import InputError
from .._types import Time
from .._validate import concrete, require_positive
from ._sampler import AbstractSampler, Sight


class DPMSolver2S(AbstractSampler):
    """DPM-Solver++(2S) for `ProbabilityFlow` on clock "lam"; see `AbstractSampler`.

    Arguments:
        r: where in the step the denoiser is seen again, in (0, 1].
    """

    r: Float[Array, ""] = eqx.field(default=0.5, converter=jnp.asarray)

    def __check_init__(self) -> None:
        require_positive("r", self.r, scalar=True)
        known = concrete(self.r)
        if known is not None and known > 1:
            msg = f"r={known!s}: must be at most 1, the end of the step"
            raise InputError(msg)

    def order(self, terms: Any) -> int:
        """Second order."""
        del terms
        return 2

    def churn(self, *, noisy: bool) -> float:
        """Zero: the probability flow."""
        del noisy
        return 0.0

    def start(self, t0: Time, y0: Float[Array, " D"]) -> None:
        """Nothing."""
        del t0, y0

    def move(self, sight: Sight, y0: Float[Array, " D"], memory: None) -> tuple[Float[Array, " D"], None]:
        """``rho y + (1 - rho) ((1 - 1/2r) m + 1/2r m')``."""
        r, pull = self.r.astype(y0.dtype), sight.pull(sight.t0, y0)
        inner = y0 - jnp.expm1(-r * sight.h) * pull
        change = inner + sight.pull(sight.t0 + self.r.astype(sight.h.dtype) * sight.h, inner) - (y0 + pull)
        return y0 - jnp.expm1(-sight.h) * (pull + change / (2 * r)), None
