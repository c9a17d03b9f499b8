"""What a flow is: a drift, perhaps a diffusion, and the Diffrax terms made of them.

Vector fields are bound methods of Modules, so that a solve compiles once for all values of their numbers.
"""

import abc

import diffrax as dfx
import equinox as eqx
import jax.numpy as jnp
import lineax as lx
from jaxtyping import Array, Float, PyTree, Scalar

from .._types import Time


class AbstractFlow(eqx.Module):
    """``dx = drift dt + diffusion dW`` in the Ito sense, on a clock that increases toward the memory."""

    @abc.abstractmethod
    def drift(self, t: Time, x: Float[Array, " D"], args: PyTree) -> Float[Array, " D"]:
        """The drift, shape (D,)."""

    @abc.abstractmethod
    def diffusion(self, t: Time, x: Float[Array, " D"], args: PyTree) -> lx.AbstractLinearOperator | None:
        """The matrix ``g`` as a Lineax operator, None for an ODE."""

    @abc.abstractmethod
    def mobility(self, t: Time, x: Float[Array, " D"]) -> lx.AbstractLinearOperator | None:
        """``M`` in ``dx/dt = -M grad E``, None where the flow names none (the identity)."""


class AbstractODEFlow(AbstractFlow):
    """A flow without noise."""

    def diffusion(self, t: Time, x: Float[Array, " D"], args: PyTree) -> None:
        """None: there is no noise."""

    def terms(self) -> dfx.ODETerm:
        """The term that `diffrax.diffeqsolve` takes."""
        return dfx.ODETerm(self.drift)


class AbstractSDEFlow(AbstractFlow):
    """A flow with noise, driven by any Diffrax Brownian path of shape (D,)."""

    def terms(self, control: dfx.AbstractPath) -> dfx.MultiTerm:
        """The terms that `diffrax.diffeqsolve` takes, for a Brownian path of shape (D,)."""
        return dfx.MultiTerm(dfx.ODETerm(self.drift), dfx.ControlTerm(self.diffusion, control))


def isotropic(scale: Scalar, x: Float[Array, " D"]) -> lx.AbstractLinearOperator:
    """``scale`` times the identity on states like ``x``."""
    return lx.IdentityLinearOperator(eqx.filter_eval_shape(jnp.asarray, x)) * scale
