r"""Dense associative memory (Krotov & Hopfield 2016, arXiv 1606.01164; exponential: Demircigil et al. 2017).

    E(x) = -sum_i F(xi_i . x),      F(z) = z^n,  max(z, 0)^n  or  exp(z).

The energy is unbounded below off the hypercube or a sphere: its gradient flow is run on one of those, or for a
time short enough that it stays finite.
"""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Scalar

from .._errors import InputError
from .._types import Time
from ._base import AbstractEnergy


KINDS = ("power", "rectified", "exp")


class DenseMemory(AbstractEnergy):
    """``E = -sum_i F(xi_i . x)`` with ``F`` a power, a rectified power, an exponential, or a function.

    Arguments:
        xi: patterns, shape (N, D).
        F: "power" (``z^n``), "rectified" (``max(z, 0)^n``), "exp" (``e^z``), or a scalar function of a scalar.
        n: the power, at least 1; unused by "exp" and by a function.
    """

    xi: Float[Array, "N D"] = eqx.field(converter=jnp.asarray)
    F: str | Callable = eqx.field(default="power", static=True)
    n: int = eqx.field(default=3, static=True)

    def __check_init__(self) -> None:
        if self.xi.ndim != 2 or 0 in self.xi.shape:
            msg = f"xi.shape={self.xi.shape!r}: patterns are a non-empty array of shape (N, D)"
            raise InputError(msg)
        if not callable(self.F) and self.F not in KINDS:
            msg = f"F={self.F!r} is unknown; choose one of {KINDS} or pass a function"
            raise InputError(msg)
        if self.n < 1:
            msg = f"n={self.n!r}: the power of a dense memory is at least 1"
            raise InputError(msg)

    def _values(self, x: Float[Array, " D"]) -> Float[Array, " N"]:
        z = self.xi @ x
        if callable(self.F):
            return jax.vmap(self.F)(z)
        if self.F == "exp":
            return jnp.exp(z)
        return (jax.nn.relu(z) if self.F == "rectified" else z) ** self.n

    def __call__(self, t: Time, x: Float[Array, " D"]) -> Scalar:
        """``-sum_i F(xi_i . x)``."""
        return -jnp.sum(self._values(x))

    def magnitude(self, t: Time, x: Float[Array, " D"]) -> Scalar:
        """``sum_i |F(xi_i . x)|`` and the first-order effect of rounding the overlaps."""
        overlap = jnp.abs(self.xi) @ jnp.abs(x)
        _, change = jax.jvp(lambda z: jnp.sum(z), (overlap,), (overlap,))
        slope = jax.grad(lambda s: jnp.sum(self._values(s * x)))(jnp.ones((), x.dtype))
        return jnp.sum(jnp.abs(self._values(x))) + jnp.abs(slope) + change
