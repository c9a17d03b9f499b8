"""An energy frozen at one time: what a memory would descend if its temperature stood still."""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, Scalar

from .._types import EnergyFn, Time
from ..energies import AbstractEnergy, magnitude


class Frozen(AbstractEnergy):
    """``(tau, x) -> energy(t, x)`` with ``t`` fixed.

    It is not monotone along the probability flow; it is along the frozen flow ``dy/dtau = -grad V(y, t)``.

    Arguments:
        energy: any function ``E(t, x)``.
        t: the time at which it is frozen, on the energy's clock.
    """

    energy: EnergyFn
    t: Float[Array, ""] = eqx.field(converter=jnp.asarray)

    def __call__(self, t: Time, x: Float[Array, " D"]) -> Scalar:
        """``energy(self.t, x)``."""
        return self.energy(self.t, x)

    def magnitude(self, t: Time, x: Float[Array, " D"]) -> Scalar:
        """Magnitude of the energy at the frozen time."""
        return magnitude(self.energy, self.t, x)
