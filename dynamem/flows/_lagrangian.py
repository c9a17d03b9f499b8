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
import numpy as np
from jaxtyping import Array, Float, PyTree

from .._errors import InputError
from .._types import Time
from .._validate import concrete, require_positive
from ..energies import AbstractLagrangianEnergy, Elementwise, LayersLagrangian
from ._base import AbstractODEFlow


class LagrangianFlow(AbstractODEFlow):
    """``dx/dt = -dual_gradient(t, x)/tau``.

    Arguments:
        energy: an energy with a Lagrangian, such as `Hopfield` or `HAM`.
        tau: time constant, a positive scalar or one for each unit, shape (D,), the same for units that a Lagrangian
            couples; the energy's own if not given.

    Raises:
        InputError: another shape, a time constant that is not positive, or coupled units with different ones.
    """

    energy: AbstractLagrangianEnergy
    tau: Float[Array, "..."]

    def __init__(self, energy: AbstractLagrangianEnergy, tau: Any = None) -> None:
        self.energy = energy
        self.tau = jnp.asarray(energy.tau if tau is None else tau)

    def __check_init__(self) -> None:
        require_positive("tau", self.tau)
        wanted = jnp.shape(self.energy.tau)
        if self.tau.ndim > 1 or (wanted and self.tau.ndim and self.tau.shape != wanted):
            msg = f"tau.shape={self.tau.shape!r}: need one number, or one for each unit, {wanted or '(D,)'!s}"
            raise InputError(msg)
        known, lagrangian = concrete(self.tau), self.energy.lagrangian
        if known is None or known.ndim == 0 or not isinstance(lagrangian, LayersLagrangian):
            return
        parts = np.split(known, np.cumsum([layer.size for layer in lagrangian.layers])[:-1])
        for layer, part in zip(lagrangian.layers, parts, strict=True):
            if not isinstance(layer.lagrangian, Elementwise) and part.min() < part.max():
                name = type(layer.lagrangian).__name__
                msg = f"tau={part.min()!s} and {part.max()!s} in a layer of {name}: coupled units need the same one"
                raise InputError(msg)

    def drift(self, t: Time, x: Float[Array, " D"], args: PyTree) -> Float[Array, " D"]:
        """``-(dE/dg)/tau``."""
        return -self.energy.dual_gradient(t, x) / self.tau.astype(x.dtype)

    def mobility(self, t: Time, x: Float[Array, " D"]) -> lx.AbstractLinearOperator:
        """``(Hess L)^{-}/tau``; zero where the Hessian vanishes, since the energy's gradient vanishes there too."""
        function = eqx.Partial(_mobile, self, x)
        return lx.FunctionLinearOperator(function, jax.eval_shape(lambda: x), closure_convert=False)


def _mobile(flow: LagrangianFlow, x: Float[Array, " D"], v: Float[Array, " D"]) -> Float[Array, " D"]:
    return flow.energy.lagrangian.solve(x, v) / flow.tau.astype(x.dtype)
