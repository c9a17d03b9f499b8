r"""What all samplers share: how a step reads the posterior mean and normals from Diffrax's terms.

On the clock ``lam = -log s``, in ``y = x/alpha``, a published sampler is a formula in the state y, the noise level s,
the posterior mean m (the denoiser at y and s) and normals z ~ N(0, I), whatever the schedule. The drift of the reverse
SDE with churn zeta is ``(1 + zeta)(m - y)`` (zeta = 0: the probability flow), so a sampler that knows zeta reads
``m - y`` from it; and an increment of its Brownian path over its standard deviation is z.

So a sampler means nothing for another churn or on another clock, which it refuses where it can see them: in the terms
of dynamem's own flows. Of terms of the user's own the drift has to be that one, and the noise a Brownian path of shape
(D,), of which only the increments are read.
"""

import abc
from collections.abc import Callable
from typing import Any, ClassVar

import diffrax as dfx
import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Scalar

from .._errors import InputError
from .._types import Time
from .._validate import concrete
from ..flows import ProbabilityFlow, ReverseSDE


class Sight(eqx.Module):
    """What a sampler sees of the terms in one step, in the precision of the state.

    Attributes:
        drift: the term of the drift.
        control: the term of the noise, None for an ODE.
        scale: ``1 + zeta``.
        t0: start of the step, a ``lam``.
        t1: its end.
        args: what the vector fields are given.
    """

    drift: Any
    control: Any
    scale: Scalar
    t0: Time
    t1: Time
    args: Any

    @property
    def h(self) -> Scalar:
        """``lam+ - lam = -log rho``, with ``rho = s+/s``."""
        return jnp.asarray(self.t1 - self.t0, self.scale.dtype)

    def pull(self, lam: Time, y: Float[Array, " D"]) -> Float[Array, " D"]:
        """``m - y`` at any time and state, shape (D,)."""
        return self.drift.vf(lam, y, self.args) / self.scale

    def normal(self, part: Any = 0, parts: int = 1) -> Float[Array, " D"]:
        """The step's normal number ``part`` of ``parts``, shape (D,): each has a sub-interval of the step."""
        length = (self.t1 - self.t0) / parts
        ends = self.t0 + part * length, self.t1 if parts == 1 else self.t0 + (part + 1) * length
        return self.control.contr(*ends) / jnp.sqrt(jnp.asarray(ends[1] - ends[0], self.scale.dtype))


class AbstractSampler(dfx.AbstractItoSolver):
    """A step of the probability flow or of the reverse SDE on clock "lam", for fixed grids (`diffrax.StepTo`).

    A flow on another clock raises; a flow of another churn does too where its value is known, and otherwise (in a
    `diffrax.diffeqsolve`, which is compiled) every step of it is NaN.
    """

    term_structure: ClassVar = dfx.AbstractTerm
    interpolation_cls: ClassVar[Callable[..., dfx.LocalLinearInterpolation]] = dfx.LocalLinearInterpolation

    @abc.abstractmethod
    def churn(self, *, noisy: bool) -> Any:
        """``zeta`` of the flow that this steps, given whether its terms have noise."""

    @abc.abstractmethod
    def start(self, t0: Time, y0: Float[Array, " D"]) -> Any:
        """What is remembered before the first step, None if nothing."""

    @abc.abstractmethod
    def move(self, sight: Sight, y0: Float[Array, " D"], memory: Any) -> tuple[Float[Array, " D"], Any]:
        """The state after a step from ``y0``, shape (D,), and what is remembered."""

    def init(self, terms: dfx.AbstractTerm, t0: Time, t1: Time, y0: Any, args: Any) -> Any:
        """What is remembered before the first step."""
        del terms, t1, args
        return self.start(t0, y0)

    def step(
        self, terms: dfx.AbstractTerm, t0: Time, t1: Time, y0: Array, args: Any, solver_state: Any, made_jump: Any
    ) -> tuple[Array, None, dict, Any, dfx.RESULTS]:
        """One step from ``lam = t0`` to ``t1``."""
        del made_jump
        drift, control = terms.terms if isinstance(terms, dfx.MultiTerm) else (terms, None)
        churn = jnp.asarray(self.churn(noisy=control is not None)).astype(y0.dtype)
        sight = Sight(drift, control, 1 + _matched(terms, churn, type(self).__name__), t0, t1, args)
        y1, memory = self.move(sight, y0, solver_state)
        return y1, None, {"y0": y0, "y1": y1}, memory, dfx.RESULTS.successful

    def func(self, terms: dfx.AbstractTerm, t0: Time, y0: Array, args: Any) -> Any:
        """The vector field."""
        return terms.vf(t0, y0, args)


class Remembered(eqx.Module):
    """The denoiser of the step before and that step's length, infinite where there was none.

    Attributes:
        mean: m', shape (D,).
        h: h'.
    """

    mean: Float[Array, " D"]
    h: Scalar

    @staticmethod
    def none(y0: Float[Array, " D"]) -> "Remembered":
        """Before the first step."""
        return Remembered(jnp.zeros_like(y0), jnp.asarray(jnp.inf, y0.dtype))

    def ahead(self, h: Scalar, mean: Float[Array, " D"]) -> tuple[Float[Array, " D"], "Remembered"]:
        """``h/(2 h') (m - m')``, by which m is taken to be ahead in the middle of a step h; and what to remember."""
        return h / (2 * self.h) * (mean - self.mean), Remembered(mean, h)


def split(h: Scalar, eta2: Scalar) -> tuple[Scalar, Scalar]:
    """``a`` and ``n/s+`` of ``m + a (y - m) + n z`` with ``n^2 = eta^2 s+^2 (1 - rho^2)``, ``a^2 s^2 + n^2 = s+^2``.

    In sums of positive numbers for ``eta <= 1``, so that ``n <= s+`` in every precision, at steps of every size.
    """
    rho2, lost = jnp.exp(-2 * h), -jnp.expm1(-2 * h)
    return jnp.exp(-h) * jnp.sqrt((1 - eta2) + eta2 * rho2), jnp.sqrt(eta2 * lost)


def shortened(off: Float[Array, " D"], allowed: Scalar) -> tuple[Float[Array, " D"], Bool[Array, ""]]:
    """``off``, cut to ``|off|^2 <= allowed``, and whether it was longer."""
    length = off @ off
    outside = length > allowed
    return jnp.sqrt(jnp.where(outside, allowed / jnp.where(outside, length, 1), 1)) * off, outside


def flows_of(terms: dfx.AbstractTerm) -> list[Any]:
    """The objects whose bound methods are vector fields of ODE terms, None for any other field."""
    parts = jax.tree.leaves(terms, is_leaf=lambda node: isinstance(node, dfx.ODETerm))
    return [getattr(part.vector_field, "__self__", None) for part in parts if isinstance(part, dfx.ODETerm)]


def _matched(terms: dfx.AbstractTerm, churn: Scalar, name: str) -> Scalar:
    """The churn, unless the terms are those of a flow of ours which it does not fit, or lack the noise it needs."""
    for flow in flows_of(terms):
        if isinstance(flow, ProbabilityFlow | ReverseSDE):
            churn = _fitting(flow, churn, name)
    if isinstance(terms, dfx.MultiTerm):
        return churn
    msg = f"terms={type(terms).__name__}: {name} needs noise, give it a MultiTerm of drift and Brownian control"
    return _refused(churn != 0, churn, msg)


def _fitting(flow: ProbabilityFlow | ReverseSDE, churn: Scalar, name: str) -> Scalar:
    if flow.clock != "lam":
        msg = f"clock={flow.clock!r}: {name} steps on clock 'lam', make the flow with clock='lam'"
        raise InputError(msg)
    found = flow.churn.astype(churn.dtype) if isinstance(flow, ReverseSDE) else jnp.zeros_like(churn)
    msg = f"churn={found!s}: {name} here is a step of the flow of churn {churn!s}, make it ReverseSDE(path, {churn!s})"
    return _refused(jnp.abs(found - churn) > 1e-5, churn, msg)


def _refused(off: Array, churn: Scalar, msg: str) -> Scalar:
    """Raise where it is known that something is off; NaN where that turns out later."""
    known = concrete(off)
    if known is not None and known:
        raise InputError(msg)
    return jnp.where(off, jnp.asarray(jnp.nan, churn.dtype), churn)
