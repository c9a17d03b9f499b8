r"""Dense associative memory (Krotov & Hopfield 2016, arXiv 1606.01164; exponential: Demircigil et al. 2017).

    E(x) = -sum_i F(xi_i . x),      F(z) = z^n,  max(z, 0)^n  or  exp(z).

The energy is unbounded below off the hypercube or a sphere: its gradient flow is run on one of those, or for a
time short enough that it stays finite.
"""

from collections.abc import Callable
from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Scalar

from .._errors import InputError
from .._types import Time
from .._validate import floats, require_patterns, require_state
from ._base import AbstractEnergy


KINDS = ("power", "rectified", "exp")


class DenseMemory(AbstractEnergy):
    """``E = -sum_i F(xi_i . x)`` with ``F`` a power, a rectified power, an exponential, or a function.

    Arguments:
        xi: patterns, shape (N, D).
        F: "power" (``z^n``), "rectified" (``max(z, 0)^n``), "exp" (``e^z``), or a scalar function of a scalar.
        n: the power, at least 1; unused by "exp" and by a function.
    """

    xi: Float[Array, "N D"] = eqx.field(converter=partial(floats, "xi"))
    F: str | Callable = eqx.field(default="power", static=True)
    n: int = eqx.field(default=3, static=True)

    def __check_init__(self) -> None:
        require_patterns("xi", self.xi)
        if not callable(self.F) and self.F not in KINDS:
            msg = f"F={self.F!r} is unknown; choose one of {KINDS} or pass a function"
            raise InputError(msg)
        if not isinstance(self.n, int) or self.n < 1:
            msg = f"n={self.n!r}: the power of a dense memory is a whole number, at least 1"
            raise InputError(msg)

    def _values(self, z: Float[Array, " N"]) -> Float[Array, " N"]:
        if callable(self.F):
            return jax.vmap(self.F)(z)
        if self.F == "exp":
            return jnp.exp(z)
        return (jax.nn.relu(z) if self.F == "rectified" else z) ** self.n

    def __call__(self, t: Time, x: Float[Array, " D"]) -> Scalar:
        """``-sum_i F(xi_i . x)``."""
        require_state(x, "xi", self.xi)
        return -jnp.sum(self._values(self.xi @ x))

    def magnitude(self, t: Time, x: Float[Array, " D"]) -> Scalar:
        """``sum_i |F(xi_i . x)|`` and the first-order effect of rounding the overlaps, ``sum_i |F'| |xi_i|.|x|``."""
        values, changes = jax.jvp(self._values, (self.xi @ x,), (jnp.abs(self.xi) @ jnp.abs(x),))
        return jnp.sum(jnp.abs(values) + jnp.abs(changes))
