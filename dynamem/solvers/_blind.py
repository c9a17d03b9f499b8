r"""The blind sampler (Kadkhodaie & Simoncelli 2020, arXiv 2007.13640, algorithm 1): a memory's flow with noise.

A blind denoiser D(y) is told no noise level; its residual ``d = D(y) - y`` has the size of the noise that it sees,
``sigma = |d|/sqrt(D)`` in D coordinates. Iteration t = 1, 2, ... goes part of the way and puts some noise back,

    y+ = y + h d + gamma z,   h = h0 t/(1 + h0 (t - 1)),   gamma^2 = ((1 - beta h)^2 - (1 - h)^2) sigma^2,

with z ~ N(0, I), so that, where the residual is the noise, ``E sigma+^2 = (1 - beta h)^2 sigma^2``. The terms are
autonomous, for example those of `Langevin` for a memory, whose gradient flow is ``D(y) - y``; their clock only
numbers the iterations, and each step of Diffrax, of whatever length, is one.
"""

from collections.abc import Callable
from typing import Any, ClassVar

import diffrax as dfx
import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from .._errors import InputError
from .._types import Time
from .._validate import concrete, require_positive
from ..flows import ProbabilityFlow, ReverseSDE
from ._sampler import Sight, flows_of


class BlindSampler(dfx.AbstractItoSolver):
    """The blind sampler, for terms of a residual ``D(y) - y`` and a Brownian path of shape (D,).

    Flows of a path, which depend on the noise level, raise; so do terms without noise.

    Arguments:
        h0: first step, in (0, 1]; 0.01 in the paper.
        beta: share of the way that is not made up by noise, in [0, 1]; 1 adds none, 0.01 in the paper.
    """

    h0: Float[Array, ""] = eqx.field(default=0.01, converter=jnp.asarray)
    beta: Float[Array, ""] = eqx.field(default=0.01, converter=jnp.asarray)
    term_structure: ClassVar = dfx.AbstractTerm
    interpolation_cls: ClassVar[Callable[..., dfx.LocalLinearInterpolation]] = dfx.LocalLinearInterpolation

    def __check_init__(self) -> None:
        require_positive("h0", self.h0, scalar=True)
        require_positive("beta", self.beta, zero=True, scalar=True)
        for name, value in (("h0", concrete(self.h0)), ("beta", concrete(self.beta))):
            if value is not None and value > 1:
                msg = f"{name}={value!s}: must be at most 1, the whole way"
                raise InputError(msg)

    def init(self, terms: dfx.AbstractTerm, t0: Time, t1: Time, y0: Any, args: Any) -> Int[Array, ""]:
        """The number of the first iteration."""
        del t0, t1, y0, args
        if not isinstance(terms, dfx.MultiTerm):
            msg = f"terms={type(terms).__name__}: BlindSampler needs noise, give it a MultiTerm of drift and control"
            raise InputError(msg)
        for flow in flows_of(terms):
            if isinstance(flow, ProbabilityFlow | ReverseSDE):
                msg = f"flow={type(flow).__name__}: it is told the noise level; give a residual that depends on y alone"
                raise InputError(msg)
        return jnp.asarray(1)

    def step(
        self,
        terms: dfx.MultiTerm,
        t0: Time,
        t1: Time,
        y0: Array,
        args: Any,
        solver_state: Int[Array, ""],
        made_jump: Any,
    ) -> tuple[Array, None, dict, Int[Array, ""], dfx.RESULTS]:
        """One iteration."""
        del made_jump
        sight = Sight(*terms.terms, jnp.ones((), y0.dtype), t0, t1, args)
        h0, beta, t = (part.astype(y0.dtype) for part in (self.h0, self.beta, solver_state))
        h, residual = h0 * t / (1 + h0 * (t - 1)), sight.pull(t0, y0)
        gamma2 = h * (1 - beta) * (2 - (1 + beta) * h) * (residual @ residual) / y0.size
        y1 = y0 + h * residual + jnp.sqrt(gamma2) * sight.normal()
        return y1, None, {"y0": y0, "y1": y1}, solver_state + 1, dfx.RESULTS.successful

    def func(self, terms: dfx.AbstractTerm, t0: Time, y0: Array, args: Any) -> Any:
        """The vector field."""
        return terms.vf(t0, y0, args)
