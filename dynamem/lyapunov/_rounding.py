r"""How large a rise floating point alone can make.

Model: a number computed as a sum of terms of total absolute size ``M`` carries an error of at most ``C eps M`` with
``C = 32``, so that a difference of two is trusted beyond ``C eps (M_0 + M_1)``. Energies of dynamem state ``M``
themselves; for a function of the user's it is read off the function's program (`_sizes`), for the energy and for its
rate alike, so that it scales with the energy, the state and the clock: nothing is forgiven in absolute terms. The
constant covers what one operation may add, the sums of some hundred terms among them (errors add like square roots);
it is a model that the tests measure, not a bound that has been proved, and callers can add a tolerance of their own.
"""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree, Scalar

from .._types import EnergyFn
from ..energies import AbstractEnergy
from ._generator import Generator, Rate
from ._sizes import size_of


CONSTANT = 32.0


def magnitude(energy: EnergyFn, t: Scalar, x: Float[Array, " D"]) -> Scalar:
    """Total absolute size of the terms summed in ``E(t, x)``."""
    if isinstance(energy, AbstractEnergy):
        return energy.magnitude(t, x)
    return size_of(energy, t, x)


def rounding_bound(size: Float[Array, "*n"]) -> Float[Array, "*n"]:
    """``C eps M`` for magnitudes ``M``."""
    return CONSTANT * jnp.finfo(size.dtype).eps * size


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
        return rate.total, rounding_bound(size_of(self._total, t, x) + nothing)

    def _total(self, t: Scalar, x: Float[Array, " D"]) -> Scalar:
        return self.generator(t, x, self.args).total
