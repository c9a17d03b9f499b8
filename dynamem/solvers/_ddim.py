r"""DDIM (Song, Meng & Ermon 2021, arXiv 2010.02502, eq. 12) as a Diffrax solver on the clock ``lam``.

On every schedule the step is, in ``y = x/alpha`` and with ``rho = s+/s = exp(-(lam+ - lam))``,

    y+ = m + a (y - m) + n z,     n = eta s+ sqrt(1 - rho^2),   a = rho sqrt(1 - eta^2 (1 - rho^2)),   z ~ N(0, I).

At ``eta = 0`` it is the exponential Euler step of ``dy/dlam = m - y`` and never raises the free energy, at any step;
at ``eta = 1`` it is ancestral sampling (DDPM). The solver reads ``m - y`` from the drift ``(1 + eta^2)(m - y)`` of the
reverse SDE with churn ``eta^2``, and ``z`` from the increment of its Brownian path. So it means nothing for another
churn or on another clock, which it refuses where it can see them: in the terms of dynamem's own flows.
"""

from collections.abc import Callable
from typing import Any, ClassVar

import diffrax as dfx
import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Scalar

from .._errors import InputError
from .._types import Time
from .._validate import concrete, require_positive
from ..flows import ProbabilityFlow, ReverseSDE


class DDIM(dfx.AbstractItoSolver):
    """DDIM(eta) for `ProbabilityFlow` (eta = 0) or `ReverseSDE` with ``churn = eta^2``, both on clock "lam".

    A flow on another clock raises; a flow of another churn does too where its value is known, and otherwise (in a
    `diffrax.diffeqsolve`, which is compiled) every step of it is NaN.

    Arguments:
        eta: 0 is deterministic DDIM, 1 ancestral sampling; in [0, 1].
    """

    eta: Float[Array, ""] = eqx.field(default=0.0, converter=jnp.asarray)
    term_structure: ClassVar = dfx.AbstractTerm
    interpolation_cls: ClassVar[Callable[..., dfx.LocalLinearInterpolation]] = dfx.LocalLinearInterpolation

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
        keep, spread = _factors(jnp.asarray(t1 - t0, y0.dtype), _matched(terms, eta2))
        y1 = y0 + (1 - keep) / (1 + eta2) * drift.vf(t0, y0, args)
        if noisy:
            noise = terms.terms[1]
            y1 = y1 + spread * noise.vf_prod(t0, y0, args, noise.contr(t0, t1))
        return y1, None, {"y0": y0, "y1": y1}, None, dfx.RESULTS.successful

    def func(self, terms: dfx.AbstractTerm, t0: Time, y0: Array, args: Any) -> Any:
        """The vector field."""
        return terms.vf(t0, y0, args)


def _matched(terms: dfx.AbstractTerm, eta2: Scalar) -> Scalar:
    """``eta^2``, unless the drift is that of a flow of ours which it does not fit."""
    for part in jax.tree.leaves(terms, is_leaf=lambda node: isinstance(node, dfx.ODETerm)):
        flow = getattr(part.vector_field, "__self__", None) if isinstance(part, dfx.ODETerm) else None
        if isinstance(flow, ProbabilityFlow | ReverseSDE):
            eta2 = _fitting(flow, eta2)
    return eta2


def _fitting(flow: ProbabilityFlow | ReverseSDE, eta2: Scalar) -> Scalar:
    if flow.clock != "lam":
        msg = f"clock={flow.clock!r}: DDIM steps on clock 'lam', make the flow with clock='lam'"
        raise InputError(msg)
    churn = flow.churn.astype(eta2.dtype) if isinstance(flow, ReverseSDE) else jnp.zeros_like(eta2)
    off = jnp.abs(churn - eta2) > 1e-5
    known = concrete(off)
    if known is not None and known:
        msg = f"churn={churn!s}, eta={jnp.sqrt(eta2)!s}: DDIM(eta) is a step of the flow with churn = eta^2={eta2!s}"
        raise InputError(msg)
    return jnp.where(off, jnp.asarray(jnp.nan, eta2.dtype), eta2)


def _factors(h: Scalar, eta2: Scalar) -> tuple[Scalar, Scalar]:
    """``a``, and what turns the increment ``s eta sqrt(2) dW`` into ``n z``: ``rho sqrt((1 - rho^2)/(2 h))``."""
    rho = jnp.exp(-h)
    lost = -jnp.expm1(-2 * h)
    return rho * jnp.sqrt(1 - eta2 * lost), rho * jnp.sqrt(lost / (2 * h))
