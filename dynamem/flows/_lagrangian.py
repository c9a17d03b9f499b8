r"""Lagrangian memories: ``tau dx/dt = -dE/dg`` (Hopfield 1984; Krotov & Hopfield 2021, arXiv 2008.06996, eq. 9).

``dE/dt = -sum tau x'.(Hess L) x' <= 0`` for a convex Lagrangian: gradient flow with mobility ``(Hess L)^{-}/tau``,
where ``(Hess L)^{-}`` is any generalised inverse, since ``grad E = (Hess L) dE/dg`` lies in the Hessian's range. Units
that a Lagrangian couples (softmax, norms) must share one ``tau``: otherwise ``(Hess L)/tau`` need not be positive.
"""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import lineax as lx
from jaxtyping import Array, Float, PyTree

from .._types import Time
from .._validate import require_positive
from ..energies import AbstractLagrangianEnergy
from ._base import AbstractODEFlow


class LagrangianFlow(AbstractODEFlow):
    """``dx/dt = -dual_gradient(t, x)/tau``.

    Arguments:
        energy: an energy with a Lagrangian, such as `Hopfield` or `HAM`.
        tau: time constant, a positive scalar or one for each unit, shape (D,); the energy's own if not given.
    """

    energy: AbstractLagrangianEnergy
    tau: Float[Array, "..."]

    def __init__(self, energy: AbstractLagrangianEnergy, tau: Any = None) -> None:
        self.energy = energy
        self.tau = jnp.asarray(energy.tau if tau is None else tau)

    def __check_init__(self) -> None:
        require_positive("tau", self.tau)

    def drift(self, t: Time, x: Float[Array, " D"], args: PyTree) -> Float[Array, " D"]:
        """``-(dE/dg)/tau``."""
        return -self.energy.dual_gradient(t, x) / self.tau.astype(x.dtype)

    def mobility(self, t: Time, x: Float[Array, " D"]) -> lx.AbstractLinearOperator:
        """``(Hess L)^{-}/tau``; zero where the Hessian vanishes, since the energy's gradient vanishes there too."""
        function = eqx.Partial(_mobile, self, x)
        return lx.FunctionLinearOperator(function, jax.eval_shape(lambda: x), closure_convert=False)


def _mobile(flow: LagrangianFlow, x: Float[Array, " D"], v: Float[Array, " D"]) -> Float[Array, " D"]:
    return flow.energy.lagrangian.solve(x, v) / flow.tau.astype(x.dtype)
