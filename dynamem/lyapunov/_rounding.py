"""The size of what an energy and its rate add up, and the rounding that it allows (see `energies._rounding`)."""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree, Scalar

from .._types import EnergyFn
from ..energies import AbstractEnergy, rounding_bound
from ._generator import Generator, Rate
from ._sizes import size_of


def magnitude(energy: EnergyFn, t: Scalar, x: Float[Array, " D"]) -> Scalar:
    """Total absolute size of the terms summed in ``E(t, x)``."""
    if isinstance(energy, AbstractEnergy):
        return energy.magnitude(t, x)
    return size_of(energy, t, x)


def total_size(rate: Rate) -> Scalar:
    """Sum of the absolute values of a rate's parts."""
    return jnp.abs(rate.schedule) + jnp.abs(rate.dissipation) + jnp.abs(rate.drift) + jnp.abs(rate.ito)


def rate_bound(rate: Rate, size: Float[Array, "*n"]) -> Float[Array, "*n"]:
    """Rounding of a rate: ``C eps`` times the magnitude of the energy and of the rate's parts."""
    return rounding_bound(size + total_size(rate))


class BoundedRate(eqx.Module):
    """``(t, x) -> (total rate, its rounding bound)``."""

    generator: Generator
    args: PyTree

    def __call__(self, t: Scalar, x: Float[Array, " D"]) -> tuple[Scalar, Scalar]:
        """At time ``t`` and state ``x`` (D,)."""
        rate = self.generator(t, x, self.args)
        if isinstance(self.generator.energy, AbstractEnergy):
            return rate.total, rate_bound(rate, self.generator.energy.magnitude(t, x))
        nothing = 0 * self.generator.energy(t, x)  # NaN where the energy is: its derivatives may well be finite there
        size = size_of(self._total, t, x)
        return rate.total, rounding_bound(size + nothing.astype(size.dtype))

    def _total(self, t: Scalar, x: Float[Array, " D"]) -> Scalar:
        return self.generator(t, x, self.args).total
