"""A state of a path in natural parameters, whatever clock it is on: all that a denoiser needs to know."""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, Scalar

from .._types import Time
from .._validate import require_positive


class Point(eqx.Module):
    """A state of a path in natural parameters, finite also where ``alpha = 0``.

    Attributes:
        x: the state on its own clock, shape (D,).
        scale: ``alpha`` of that clock's state (1 on "lam").
        noise: its noise scale: ``s`` on "lam", ``sigma`` on "tau".
    """

    x: Float[Array, " D"]
    scale: Scalar
    noise: Scalar

    @property
    def kappa(self) -> Scalar:
        """``1/s^2``."""
        return (self.scale / self.noise) ** 2

    @property
    def eta(self) -> Float[Array, " D"]:
        """``y/s^2 = alpha x/sigma^2``, shape (D,)."""
        return (self.scale / self.noise**2) * self.x

    @property
    def half_square(self) -> Scalar:
        """``|y|^2/(2 s^2) = |x|^2/(2 sigma^2)``."""
        return 0.5 * (self.x @ self.x) / self.noise**2


def canonical(y: Float[Array, " D"], s: Time) -> Point:
    """The point with state ``y = xi + s eps`` (D,) at noise level ``s > 0``."""
    require_positive("s", s)
    noise = jnp.asarray(s, y.dtype)
    return Point(y, jnp.ones_like(noise), noise)
