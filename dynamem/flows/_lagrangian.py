r"""Lagrangian memories: ``tau dx/dt = -dE/dg`` (Hopfield 1984; Krotov & Hopfield 2021, arXiv 2008.06996, eq. 9).

``dE/dt = -sum tau x'.(Hess L) x' <= 0`` for a convex Lagrangian: gradient flow with mobility ``(Hess L)^{-1}/tau``.
"""

import equinox as eqx
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
        energy: an energy with a Lagrangian, such as `Hopfield`.
        tau: time constant, a positive scalar or one for each unit, shape (D,).
    """

    energy: AbstractLagrangianEnergy
    tau: Float[Array, "..."] = eqx.field(default=1.0, converter=jnp.asarray)

    def __check_init__(self) -> None:
        require_positive("tau", self.tau)

    def drift(self, t: Time, x: Float[Array, " D"], args: PyTree) -> Float[Array, " D"]:
        """``-(dE/dg)/tau``."""
        return -self.energy.dual_gradient(t, x) / self.tau.astype(x.dtype)

    def mobility(self, t: Time, x: Float[Array, " D"]) -> lx.AbstractLinearOperator:
        """``1/(tau g'(x))``; zero where ``g'`` vanishes, since the energy's gradient vanishes there too."""
        slope = self.energy.slope(x)
        flat = slope <= 0
        inverse = jnp.where(flat, jnp.zeros_like(slope), 1 / jnp.where(flat, jnp.ones_like(slope), slope))
        return lx.DiagonalLinearOperator(inverse / self.tau.astype(x.dtype))
