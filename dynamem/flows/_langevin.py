r"""Langevin dynamics ``dx = -grad E dt + sqrt(2 T) dW``: ``L E = -|grad E|^2 + T lap E`` is positive near minima."""

import equinox as eqx
import jax
import jax.numpy as jnp
import lineax as lx
from jaxtyping import Array, Float, PyTree

from .._types import EnergyFn, Time
from .._validate import require_positive
from ._base import AbstractSDEFlow, isotropic


class Langevin(AbstractSDEFlow):
    """``dx = -grad E dt + sqrt(2 temperature) dW``.

    Arguments:
        energy: any function ``E(t, x)``.
        temperature: non-negative.
    """

    energy: EnergyFn
    temperature: Float[Array, ""] = eqx.field(converter=jnp.asarray)

    def __check_init__(self) -> None:
        require_positive("temperature", self.temperature, zero=True)

    def drift(self, t: Time, x: Float[Array, " D"], args: PyTree) -> Float[Array, " D"]:
        """``-grad E``."""
        return -jax.grad(self.energy, argnums=1)(t, x)

    def diffusion(self, t: Time, x: Float[Array, " D"], args: PyTree) -> lx.AbstractLinearOperator:
        """``sqrt(2 T)`` times the identity."""
        return isotropic(jnp.sqrt(2 * self.temperature).astype(x.dtype), x)

    def mobility(self, t: Time, x: Float[Array, " D"]) -> None:
        """None: the identity."""
