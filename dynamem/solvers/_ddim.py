r"""DDIM (Song, Meng & Ermon 2021, arXiv 2010.02502, eq. 12) as a Diffrax solver on the clock ``lam``.

On every schedule the step is, in ``y = x/alpha`` and with ``rho = s+/s = exp(-(lam+ - lam))``,

    y+ = m + a (y - m) + n z,     n = eta s+ sqrt(1 - rho^2),   a = rho sqrt(1 - eta^2 (1 - rho^2)),   z ~ N(0, I).

At ``eta = 0`` it is the exponential Euler step of ``dy/dlam = m - y`` and never raises the free energy, at any step;
at ``eta = 1`` it is ancestral sampling (DDPM). The solver reads ``m - y`` from the drift ``(1 + eta^2)(m - y)`` of the
reverse SDE with churn ``eta^2``, and ``z`` from the increment of its Brownian path.
"""

from collections.abc import Callable
from typing import Any, ClassVar

import diffrax as dfx
import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, Scalar

from .._types import Time
from .._validate import require_positive


class DDIM(dfx.AbstractItoSolver):
    """DDIM(eta) for `ProbabilityFlow` (eta = 0) or `ReverseSDE` with ``churn = eta^2``, both on clock "lam".

    Arguments:
        eta: 0 is deterministic DDIM, 1 ancestral sampling.
    """

    eta: Float[Array, ""] = eqx.field(default=0.0, converter=jnp.asarray)
    term_structure: ClassVar = dfx.AbstractTerm
    interpolation_cls: ClassVar[Callable[..., dfx.LocalLinearInterpolation]] = dfx.LocalLinearInterpolation

    def __check_init__(self) -> None:
        require_positive("eta", self.eta, zero=True)

    def order(self, terms: Any) -> int:
        """First order."""
        del terms
        return 1

    def strong_order(self, terms: Any) -> int:
        """First order: the noise is additive on this clock."""
        del terms
        return 1

    def init(self, terms: dfx.AbstractTerm, t0: Time, t1: Time, y0: Any, args: Any) -> None:
        """No state."""
        del terms, t0, t1, y0, args

    def step(
        self, terms: dfx.AbstractTerm, t0: Time, t1: Time, y0: Array, args: Any, solver_state: None, made_jump: Any
    ) -> tuple[Array, None, dict, None, dfx.RESULTS]:
        """One step from ``lam = t0`` to ``t1``."""
        del solver_state, made_jump
        noisy = isinstance(terms, dfx.MultiTerm)
        drift = terms.terms[0] if noisy else terms
        eta2 = jnp.square(self.eta).astype(y0.dtype)
        keep, spread = _factors(jnp.asarray(t1 - t0, y0.dtype), eta2)
        y1 = y0 + (1 - keep) / (1 + eta2) * drift.vf(t0, y0, args)
        if noisy:
            noise = terms.terms[1]
            y1 = y1 + spread * noise.vf_prod(t0, y0, args, noise.contr(t0, t1))
        return y1, None, {"y0": y0, "y1": y1}, None, dfx.RESULTS.successful

    def func(self, terms: dfx.AbstractTerm, t0: Time, y0: Array, args: Any) -> Any:
        """The vector field."""
        return terms.vf(t0, y0, args)


def _factors(h: Scalar, eta2: Scalar) -> tuple[Scalar, Scalar]:
    """``a``, and what turns the increment ``s eta sqrt(2) dW`` into ``n z``: ``rho sqrt((1 - rho^2)/(2 h))``."""
    rho = jnp.exp(-h)
    lost = -jnp.expm1(-2 * h)
    return rho * jnp.sqrt(1 - eta2 * lost), rho * jnp.sqrt(lost / (2 * h))
