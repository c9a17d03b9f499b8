"""A user's memory: wells with heavy tails, their descent, an update, and a schedule of one's own."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Scalar


class Wells(eqx.Module):
    """``E = -log sum_i 1/(1 + |x - xi_i|^2)``.

    Attributes:
        xi: patterns, shape (N, D).
    """

    xi: Float[Array, "N D"] = eqx.field(converter=jnp.asarray)

    def __call__(self, t: Scalar, x: Float[Array, " D"]) -> Scalar:
        """The energy, which ignores the time."""
        del t
        return -jnp.log(jnp.sum(1 / (1 + jnp.sum((x[None] - self.xi) ** 2, axis=1))))

    def pull(self, t: Scalar, x: Float[Array, " D"], args: object = None) -> Float[Array, " D"]:
        """``-grad E``, written by hand: what a Diffrax term takes."""
        del t, args
        near = 1 / (1 + jnp.sum((x[None] - self.xi) ** 2, axis=1))
        weights = near**2 / jnp.sum(near)
        return 2 * weights @ (self.xi - x[None])

    def update(self, x: Float[Array, " D"]) -> Float[Array, " D"]:
        """The mean of the patterns by their pull (majorisation: it cannot raise E)."""
        near = 1 / (1 + jnp.sum((x[None] - self.xi) ** 2, axis=1))
        return near**2 @ self.xi / jnp.sum(near**2)


class Stale(Wells):
    """The same with a slip in the pull: the weights are not squared."""

    def pull(self, t: Scalar, x: Float[Array, " D"], args: object = None) -> Float[Array, " D"]:
        """Not ``-grad E``."""
        del t, args
        near = 1 / (1 + jnp.sum((x[None] - self.xi) ** 2, axis=1))
        return 2 * near @ (self.xi - x[None]) / jnp.sum(near)


class Quadratic(eqx.Module):
    """``sigma = t^2`` with the signal that keeps the variance."""

    def alpha(self, t: Scalar) -> Scalar:
        """``sqrt(1 - t^4)``, without cancellation at t = 1."""
        return jnp.sqrt((1 - t) * (1 + t) * (1 + t**2))

    def sigma(self, t: Scalar) -> Scalar:
        """``t^2``."""
        return t**2


def turn(x: Float[Array, " D"]) -> Float[Array, " D"]:
    """A symmetry: the coordinates in reverse order."""
    return jax.numpy.flip(x)
