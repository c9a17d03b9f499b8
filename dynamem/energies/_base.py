"""What an energy is: a scalar of time and state, with the size of the terms that are summed in it.

The sign is the one of associative memories: low energy is a memory, and the flow is ``dx/dt = -grad E``.
"""

import abc

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Scalar

from .._types import EnergyFn, Time
from ._lagrangian import AbstractLagrangian


class AbstractEnergy(eqx.Module):
    """A scalar function ``E(t, x)`` that a flow may or may not descend.

    Any function of ``(t, x)`` serves as an energy in every check; a subclass also states how large the terms
    are that it sums, from which the checks take their rounding bound.
    """

    @abc.abstractmethod
    def __call__(self, t: Time, x: Float[Array, " D"]) -> Scalar:
        """The energy at time ``t`` and state ``x`` of shape (D,)."""

    @abc.abstractmethod
    def magnitude(self, t: Time, x: Float[Array, " D"]) -> Scalar:
        """Sum of the absolute values of the terms added in ``E``: rounding is a few eps times this."""


def magnitude(energy: EnergyFn, t: Time, x: Float[Array, " D"]) -> Scalar:
    """Total absolute size of the terms summed in ``E(t, x)``.

    A function of the user's does not state it: it is taken as ``|E| + |x|.|grad E| + 1``, the effect of rounding ``x``.
    """
    if isinstance(energy, AbstractEnergy):
        return energy.magnitude(t, x)
    value, slope = jax.value_and_grad(energy, argnums=1)(t, x)
    return jnp.abs(value) + jnp.abs(x) @ jnp.abs(slope) + 1


class AbstractLagrangianEnergy(AbstractEnergy):
    """An energy of units with a Lagrangian ``L``: activation ``g = dL/dx`` and ``E = (x-b).g - L + E_syn(g)``.

    Source: Krotov & Hopfield 2021 (arXiv 2008.06996), eq. 6; Hoover et al. 2022 (HAMUX).

    Attributes:
        lagrangian: ``L``, a function of the whole state.
        tau: time constants of the units, one number or shape (D,).
    """

    lagrangian: eqx.AbstractVar[AbstractLagrangian]
    tau: eqx.AbstractVar[Float[Array, "..."]]

    @abc.abstractmethod
    def dual_gradient(self, t: Time, x: Float[Array, " D"]) -> Float[Array, " D"]:
        """``dE/dg = x - b + dE_syn/dg``, well defined also where the Hessian of ``L`` is singular."""
