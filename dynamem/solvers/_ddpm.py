r"""Ancestral sampling of DDPM (Ho, Jain & Abbeel 2020, arXiv 2006.11239, algorithm 2) on the clock ``lam``.

In ``y = x/alpha``, with ``rho = s+/s``, the posterior of the next state given this one and ``x_0 = m`` has

    y+ = m + rho^2 (y - m) + n z,     z ~ N(0, I),

and the paper's two variances (section 3.2) are, for its tables with ``alpha^2 + sigma^2 = 1``, whose ``beta = 1 -
alpha^2/alpha+^2``,

    posterior  beta (1 - alpha+^2)/(1 - alpha^2)    n^2 = s+^2 (1 - rho^2)
    upper      beta                                 n^2 = (s^2 - s+^2) (1 + s+^2)/(1 + s^2).

The first is that of data at a point and is DDIM with ``eta = 1``, the second that of data that are normal with variance
one. Neither raises ``V + D s^2/2`` in mean (D14, as ``n^2 <= s^2 - s+^2``).
"""

from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from .._errors import InputError
from .._types import Time
from ._sampler import AbstractSampler, Sight


class DDPM(AbstractSampler):
    """DDPM's ancestral sampling for `ReverseSDE` with churn 1 on clock "lam"; see `AbstractSampler`.

    Arguments:
        variance: "posterior" (the lower one) or "upper".
    """

    variance: str = eqx.field(default="posterior", static=True)

    def __check_init__(self) -> None:
        if self.variance not in ("posterior", "upper"):
            msg = f"variance={self.variance!r}: choose 'posterior' (the lower one) or 'upper'"
            raise InputError(msg)

    def order(self, terms: Any) -> int:
        """First order."""
        del terms
        return 1

    def strong_order(self, terms: Any) -> int:
        """First order: the noise is additive on this clock."""
        del terms
        return 1

    def churn(self, *, noisy: bool) -> float:
        """One."""
        del noisy
        return 1.0

    def start(self, t0: Time, y0: Float[Array, " D"]) -> None:
        """Nothing."""
        del t0, y0

    def move(self, sight: Sight, y0: Float[Array, " D"], memory: None) -> tuple[Float[Array, " D"], None]:
        """``m + rho^2 (y - m) + n z``."""
        lost = -jnp.expm1(-2 * sight.h)
        s, s1 = (jnp.exp(-jnp.asarray(lam, y0.dtype)) for lam in (sight.t0, sight.t1))
        size = s1 * jnp.sqrt(lost)
        if self.variance == "upper":
            size = jnp.sqrt(lost) * jnp.sqrt((1 + s1**2) / (1 + s**-2))
        return y0 + lost * sight.pull(sight.t0, y0) + size * sight.normal(), None
