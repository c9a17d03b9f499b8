r"""Lagrangians that are sums over units, ``L(x) = sum_i l(x_i)``: an activation ``g = l'`` elementwise.

The Legendre transform ``x g - l(x)`` is the integral of ``g^{-1}`` in Hopfield's energy (1984, eq. 5). A gain ``beta``
makes it ``l(beta x)/beta`` with activation ``g(beta x)``.
"""

from collections.abc import Callable
from functools import cache, partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Scalar

from .._errors import InputError
from .._types import Given
from .._validate import floats, require_positive
from ._integral import integral
from ._lagrangian import AbstractLagrangian


class Elementwise(AbstractLagrangian):
    """Elementwise units with activation ``g`` and Lagrangian ``L``, ``L' = g``.

    Arguments:
        activation: "identity", "relu", "repu" (``max(x, 0)^(n-1)``), "tanh", "sigmoid", "exp", or a non-decreasing
            scalar function, which is integrated.
        lagrangian: a scalar convex function ``l``, in place of an activation, which is its derivative.
        n: the power of "repu", at least 2: ``l = max(x, 0)^n/n``.
        beta: gain, positive; 1 if not given.
        nonconvex: take a decreasing activation too; the energy then may rise.
    """

    lagrangian: Callable
    activation: Callable
    error: Callable
    beta: Float[Array, ""] | None
    nonconvex: bool = eqx.field(static=True)

    def __init__(
        self,
        activation: str | Callable | None = None,
        *,
        lagrangian: Callable | None = None,
        n: int = 2,
        beta: float | Given | None = None,
        nonconvex: bool = False,
    ) -> None:
        self.error = jnp.zeros_like
        if lagrangian is not None:
            if activation is not None:
                msg = f"activation={activation!r} and lagrangian={lagrangian!r}: give one of the two"
                raise InputError(msg)
            self.lagrangian, self.activation = lagrangian, jax.grad(lagrangian)
        elif callable(activation):
            self.lagrangian, self.error = integral(activation)
            self.activation = activation
        elif activation == "repu" and isinstance(n, int) and n >= 2:
            self.lagrangian, self.activation = _rectified_power(n)
        elif activation in NAMED:
            self.lagrangian, self.activation = NAMED[activation]
        else:
            msg = f"activation={activation!r} is unknown; choose one of {NAMES} or pass a function"
            raise InputError(f"n={n!r}: need a whole number, at least 2" if activation == "repu" else msg)
        self.beta = None if beta is None else floats("beta", beta)
        self.nonconvex = nonconvex

    def __check_init__(self) -> None:
        if self.beta is not None:
            require_positive("beta", self.beta, scalar=True)
        with jax.ensure_compile_time_eval():
            grid = jnp.linspace(-8.0, 8.0, 257)
            values = np.asarray(jax.vmap(self.activation)(grid))
        sizes = np.maximum(np.abs(values[:-1]), np.abs(values[1:]))  # large values elsewhere hide no fall
        rise = np.diff(values) + 1e-6 * sizes + np.finfo(values.dtype).eps * np.ptp(values)
        fall = int(np.argmin(rise))
        rises = rise[fall] >= 0 or self.nonconvex
        if not np.all(np.isfinite(values)) or not rises:
            msg = (
                f"activation={self.activation!r} is not non-decreasing: it falls near x = {float(grid[fall]):.3g}; "
                "a memory needs a convex Lagrangian (an increasing activation); nonconvex=True takes this one too"
            )
            raise InputError(msg)

    def __call__(self, x: Float[Array, "..."]) -> Scalar:
        """``sum_i l(beta x_i)/beta``."""
        return self._shrunk(jnp.sum(_each(self.lagrangian, self._stretched(x))))

    def g(self, x: Float[Array, "..."]) -> Float[Array, "..."]:
        """``g(beta x_i)``, of the shape of ``x``."""
        return _each(self.activation, self._stretched(x))

    def solve(self, x: Float[Array, "..."], v: Float[Array, "..."]) -> Float[Array, "..."]:
        """``v/(beta g'(beta x))``, 0 where ``g'`` vanishes."""
        slope = _each(jax.grad(self.activation), self._stretched(x))
        flat = slope == 0
        return self._shrunk(jnp.where(flat, jnp.zeros_like(v), v / jnp.where(flat, jnp.ones_like(slope), slope)))

    def size(self, x: Float[Array, "..."]) -> Scalar:
        """``sum_i |l(beta x_i)|/beta``, the error of ``l`` counted as if it were rounding."""
        z = self._stretched(x)
        errors = _each(self.error, z) / float(jnp.finfo(x.dtype).eps)
        return self._shrunk(jnp.sum(jnp.abs(_each(self.lagrangian, z)) + errors))

    def _stretched(self, x: Float[Array, "..."]) -> Float[Array, "..."]:
        return x if self.beta is None else self.beta.astype(x.dtype) * x

    def _shrunk(self, x: Float[Array, "..."]) -> Float[Array, "..."]:
        return x if self.beta is None else x / self.beta.astype(x.dtype)


def _each(function: Callable, x: Float[Array, "..."]) -> Float[Array, "..."]:
    return jax.vmap(function)(x.reshape(-1)).reshape(x.shape)


def _log_cosh(x: Scalar) -> Scalar:
    return jnp.logaddexp(x, -x) - jnp.log(2.0).astype(x.dtype)


def _half_square(x: Scalar) -> Scalar:
    return 0.5 * x * x


def _half_square_relu(x: Scalar) -> Scalar:
    return 0.5 * jnp.square(jax.nn.relu(x))


def _identity(x: Scalar) -> Scalar:
    return x


def _power_over_n(x: Scalar, n: int) -> Scalar:
    return jax.nn.relu(x) ** n / n


def _power(x: Scalar, n: int) -> Scalar:
    return jax.nn.relu(x) ** n


@cache
def _rectified_power(n: int) -> tuple[Callable, Callable]:
    """One pair of functions for each ``n``, so that layers alike compile once."""
    return partial(_power_over_n, n=n), partial(_power, n=n - 1)


NAMED = {
    "identity": (_half_square, _identity),
    "relu": (_half_square_relu, jax.nn.relu),
    "tanh": (_log_cosh, jnp.tanh),
    "sigmoid": (jax.nn.softplus, jax.nn.sigmoid),
    "exp": (jnp.exp, jnp.exp),
}
NAMES = sorted([*NAMED, "repu"])
