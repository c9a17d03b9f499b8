"""Units: an activation ``g`` and the Lagrangian ``L`` with ``L' = g``, elementwise.

The Legendre transform ``x g - L(x)`` is the integral of ``g^{-1}`` in Hopfield's energy (1984, eq. 5).
"""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Scalar

from .._errors import InputError
from ._integral import integral


class Units(eqx.Module):
    """Elementwise units with activation ``g`` and Lagrangian ``L``, ``L' = g``.

    Attributes:
        lagrangian: scalar function ``L``.
        activation: scalar function ``g = L'``, non-decreasing, so that ``L`` is convex.
        error: scalar function, the absolute error of ``L`` beside rounding.
    """

    lagrangian: Callable
    activation: Callable
    error: Callable = jnp.zeros_like

    def __check_init__(self) -> None:
        with jax.ensure_compile_time_eval():
            grid = jnp.linspace(-8.0, 8.0, 257)
            values = np.asarray(jax.vmap(self.activation)(grid))
        fall = int(np.argmin(np.diff(values)))
        if not np.all(np.isfinite(values)) or np.diff(values)[fall] < -1e-6 * np.ptp(values):
            msg = (
                f"activation={self.activation!r} is not non-decreasing: it falls near x = {float(grid[fall]):.3g}; "
                "a memory needs a convex Lagrangian (an increasing activation)"
            )
            raise InputError(msg)

    def total(self, x: Float[Array, " D"]) -> Scalar:
        """``sum_i L(x_i)``."""
        return jnp.sum(jax.vmap(self.lagrangian)(x))

    def size(self, x: Float[Array, " D"]) -> Scalar:
        """``sum_i |L(x_i)|``, the error of ``L`` counted as if it were rounding."""
        errors = jax.vmap(self.error)(x) / float(jnp.finfo(x.dtype).eps)
        return jnp.sum(jnp.abs(jax.vmap(self.lagrangian)(x)) + errors)

    def g(self, x: Float[Array, " D"]) -> Float[Array, " D"]:
        """``g(x_i)``, shape (D,)."""
        return jax.vmap(self.activation)(x)

    def slope(self, x: Float[Array, " D"]) -> Float[Array, " D"]:
        """``g'(x_i)``, shape (D,)."""
        return jax.vmap(jax.grad(self.activation))(x)


def _log_cosh(x: Scalar) -> Scalar:
    return jnp.logaddexp(x, -x) - jnp.log(2.0).astype(x.dtype)


def _half_square(x: Scalar) -> Scalar:
    return 0.5 * x * x


def _half_square_relu(x: Scalar) -> Scalar:
    return 0.5 * jnp.square(jax.nn.relu(x))


def _identity(x: Scalar) -> Scalar:
    return x


NAMED = {
    "tanh": (_log_cosh, jnp.tanh),
    "sigmoid": (jax.nn.softplus, jax.nn.sigmoid),
    "relu": (_half_square_relu, jax.nn.relu),
    "identity": (_half_square, _identity),
}


def as_units(activation: str | Callable | Units, lagrangian: Callable | None) -> Units:
    """Units from a name, an elementwise activation, or an elementwise Lagrangian."""
    if lagrangian is not None:
        return Units(lagrangian, jax.grad(lagrangian))
    if isinstance(activation, Units):
        return activation
    if callable(activation):
        antiderivative, error = integral(activation)
        return Units(antiderivative, activation, error)
    if activation not in NAMED:
        msg = f"activation={activation!r} is unknown; choose one of {sorted(NAMED)} or pass a function"
        raise InputError(msg)
    return Units(*NAMED[activation])
