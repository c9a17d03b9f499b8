r"""How large a rise floating point alone can make.

Model: an energy computed as a sum of terms of total absolute size ``M`` carries an error of at most ``C eps M`` with
``C = 32``, so that a difference of two is trusted beyond ``C eps (M_0 + M_1)``. Energies of dynamem state ``M``
themselves; for a function of the user's it is taken as ``|E| + |x|.|grad E| + 1``, the effect of rounding its input.
The constant covers the sums of some hundred terms met here (errors add like square roots); it is a model that the
tests measure, not a bound that has been proved.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Scalar

from .._types import EnergyFn
from ..energies import AbstractEnergy
from ._generator import Rate


CONSTANT = 32.0


def magnitude(energy: EnergyFn, t: Scalar, x: Float[Array, " D"]) -> Scalar:
    """Total absolute size of the terms summed in ``E(t, x)``."""
    if isinstance(energy, AbstractEnergy):
        return energy.magnitude(t, x)
    value, slope = jax.value_and_grad(energy, argnums=1)(t, x)
    return jnp.abs(value) + jnp.abs(x) @ jnp.abs(slope) + 1


def rounding_bound(size: Float[Array, "*n"]) -> Float[Array, "*n"]:
    """``C eps M`` for magnitudes ``M``."""
    return CONSTANT * jnp.finfo(size.dtype).eps * size


def rate_bound(rate: Rate, size: Float[Array, "*n"]) -> Float[Array, "*n"]:
    """Rounding of a rate: ``C eps`` times the magnitude of the energy and of the rate's parts."""
    parts = jnp.abs(rate.schedule) + jnp.abs(rate.dissipation) + jnp.abs(rate.drift) + jnp.abs(rate.ito)
    return rounding_bound(size + parts)
