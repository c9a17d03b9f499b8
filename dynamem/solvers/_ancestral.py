r"""Euler ancestral (the sampler of k-diffusion, after Song et al. 2021, arXiv 2011.13456) on the clock ``lam``.

In ``y = x/alpha``, the noise of the next level is split, ``s+^2 = s_down^2 + s_up^2``; Euler's step in s goes to
``s_down``, and the rest is new:

    s_up = min(s+, eta s+ sqrt(1 - rho^2)),     y+ = m + (s_down/s) (y - m) + s_up z,     z ~ N(0, I).

For ``eta <= 1`` this is DDIM(eta), in other words. With floats the textbook's difference ``s^2 - s+^2`` may leave
``s_up > s+`` and ``s_down`` NaN; both are sums of positive numbers here. No step raises ``V + eta^2 D s^2/2`` in mean
(D14); single paths rise.
"""

from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, Scalar

from .._types import Time
from .._validate import require_positive
from ._sampler import AbstractSampler, Sight


class EulerAncestral(AbstractSampler):
    """Euler ancestral for `ReverseSDE` with ``churn = eta^2`` on clock "lam"; see `AbstractSampler`.

    Arguments:
        eta: share of new noise, non-negative; above 1 it stops where all of it is new.
    """

    eta: Float[Array, ""] = eqx.field(default=1.0, converter=jnp.asarray)

    def __check_init__(self) -> None:
        require_positive("eta", self.eta, zero=True, scalar=True)

    def order(self, terms: Any) -> int:
        """First order."""
        del terms
        return 1

    def strong_order(self, terms: Any) -> int:
        """First order for ``eta <= 1``: the noise is additive on this clock."""
        del terms
        return 1

    def churn(self, *, noisy: bool) -> Scalar:
        """``eta^2``."""
        del noisy
        return jnp.square(self.eta)

    def start(self, t0: Time, y0: Float[Array, " D"]) -> None:
        """Nothing."""
        del t0, y0

    def move(self, sight: Sight, y0: Float[Array, " D"], memory: None) -> tuple[Float[Array, " D"], None]:
        """``m + (s_down/s) (y - m) + s_up z``."""
        up, down = ancestral_levels(sight.h, self.eta.astype(y0.dtype))
        s1 = jnp.exp(-jnp.asarray(sight.t1, y0.dtype))
        y1 = y0 + (1 - jnp.exp(-sight.h) * down) * sight.pull(sight.t0, y0)
        return (y1 if sight.control is None else y1 + s1 * up * sight.normal()), None


def ancestral_levels(h: Scalar, eta: Scalar) -> tuple[Scalar, Scalar]:
    """``s_up/s+`` and ``s_down/s+`` of a step h of ``lam``, both in [0, 1] in every precision."""
    lost = -jnp.expm1(-2 * h)
    kept = (1 - eta**2) + eta**2 * jnp.exp(-2 * h)
    return jnp.minimum(eta * jnp.sqrt(lost), 1), jnp.sqrt(jnp.maximum(kept, 0))
