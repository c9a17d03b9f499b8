"""A discrete update ``x -> f(x)`` as dynamics: the energy's change is ``E(f(x)) - E(x)``."""

from collections.abc import Callable

import equinox as eqx
from jaxtyping import Array, Float


class Map(eqx.Module):
    """One step of a discrete update, such as `LogSumExp.update`.

    Arguments:
        f: function from state (D,) to state (D,); a bound method of a Module compiles once.
    """

    f: Callable

    def __call__(self, x: Float[Array, " D"]) -> Float[Array, " D"]:
        """``f(x)``, shape (D,)."""
        return self.f(x)
