r"""DDIM (Song, Meng & Ermon 2021, arXiv 2010.02502, eq. 12) as a Diffrax solver on the clock ``lam``.

On every schedule the step is, in ``y = x/alpha`` and with ``rho = s+/s = exp(-(lam+ - lam))``,

    y+ = m + a (y - m) + n z,     n = eta s+ sqrt(1 - rho^2),   a = rho sqrt(1 - eta^2 (1 - rho^2)),   z ~ N(0, I).

At ``eta = 0`` it is the exponential Euler step of ``dy/dlam = m - y`` and never raises the free energy, at any step
(D7); at ``eta = 1`` it is ancestral sampling (`DDPM`). With noise it never raises ``V + eta^2 D s^2/2`` in mean (D14).
"""

from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, Scalar

from .._errors import InputError
from .._types import Time
from .._validate import concrete, require_positive
from ._sampler import AbstractSampler, Sight, split


class DDIM(AbstractSampler):
    """DDIM(eta) for `ProbabilityFlow` (eta = 0) or `ReverseSDE` with ``churn = eta^2``, both on clock "lam".

    A flow on another clock raises; a flow of another churn does too where its value is known, and otherwise (in a
    `diffrax.diffeqsolve`, which is compiled) every step of it is NaN.

    Arguments:
        eta: 0 is deterministic DDIM, 1 ancestral sampling; in [0, 1].
    """

    eta: Float[Array, ""] = eqx.field(default=0.0, converter=jnp.asarray)

    def __check_init__(self) -> None:
        require_positive("eta", self.eta, zero=True, scalar=True)
        known = concrete(self.eta)
        if known is not None and known > 1:
            msg = f"eta={known!s}: must be at most 1, where all noise is new"
            raise InputError(msg)

    def order(self, terms: Any) -> int:
        """First order."""
        del terms
        return 1

    def strong_order(self, terms: Any) -> int:
        """First order: the noise is additive on this clock."""
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
        """``m + a (y - m) + n z``."""
        keep, up = split(sight.h, jnp.square(self.eta).astype(y0.dtype))
        y1 = y0 + (1 - keep) * sight.pull(sight.t0, y0)
        if sight.control is not None:
            y1 = y1 + jnp.exp(-jnp.asarray(sight.t1, y0.dtype)) * up * sight.normal()
        return y1, None
