r"""A denoiser that is the gradient of a network with one output, so that an energy exists.

    V(y, s) = (1 - c_skip) |y - centre|^2/2 - s sigma_d g(z, c_noise),     g = z . F(z, c_noise),
    m = y - grad V = centre + c_skip (y - centre) + c_out grad g,

because ``s sigma_d = c_out/c_in``. Such an energy is what Salimans & Ho 2021 ("Should EBMs model the energy or the
score?") compare with free vector fields. ``dm/dy`` is symmetric. Nothing makes ``V`` fall along the flow: its time
derivative is whatever the network has learned; `ConcaveDenoiser` is the one whose energy has to fall.
"""

import abc

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray, Scalar

from .._types import Time
from ..diffusion import Point, canonical
from ..energies import AbstractEnergy
from ._mlp import Layers
from ._network import AbstractPreconditioned, about_data, as_precise, precondition


class AbstractPotential(eqx.Module):
    """What a denoiser with an energy of its own has besides: ``V``, with ``m = y - grad V``."""

    @abc.abstractmethod
    def potential(self, point: Point) -> Scalar:
        """``V`` at a point of a path where ``alpha > 0``."""


class LearnedEnergy(AbstractEnergy):
    """The energy ``V(y, s)`` of a denoiser that has one, on the clock "lam": ``E(lam, y)``, ``s = exp(-lam)``.

    Arguments:
        denoiser: `EnergyDenoiser`, `ConcaveDenoiser`, or any `AbstractPotential`.
    """

    denoiser: AbstractPotential

    def __call__(self, t: Time, x: Float[Array, " D"]) -> Scalar:
        """``V`` at ``lam = t`` and ``y = x`` (D,)."""
        return self.denoiser.potential(canonical(x, jnp.exp(-jnp.asarray(t, x.dtype))))

    def magnitude(self, t: Time, x: Float[Array, " D"]) -> Scalar:
        """``|V| + |y|^2``: the quadratic part and the network's, which nearly cancel."""
        return jnp.abs(self(t, x)) + x @ x


class EnergyDenoiser(AbstractPreconditioned, AbstractPotential):
    """``m = y - grad V`` for a network ``V`` with one output, in the preconditioning of EDM.

    Arguments:
        size: coordinates D of a state.
        width: units of a hidden layer.
        depth: hidden layers.
        centre: mean of the data, shape (D,); zero if not given.
        sigma_data: standard deviation of the data about it.
        key: JAX key of the random initial weights.

    Raises:
        InputError: a size that is not positive, or a mean of another size.
    """

    layers: Layers
    centre: Float[Array, " D"]
    sigma_data: Float[Array, ""]
    size: int = eqx.field(static=True)
    width: int = eqx.field(static=True)
    depth: int = eqx.field(static=True)

    def __init__(
        self,
        size: int,
        width: int = 224,
        depth: int = 3,
        *,
        centre: Float[Array, "..."] | None = None,
        sigma_data: Float[Array, ""] | float = 1.0,
        key: PRNGKeyArray,
    ) -> None:
        self.centre, self.sigma_data = about_data(size, centre, sigma_data)
        self.layers = Layers(size, width, depth, key)
        self.size, self.width, self.depth = size, width, depth

    @property
    def sizes(self) -> dict[str, int]:
        """``size``, ``width`` and ``depth``."""
        return {"size": self.size, "width": self.width, "depth": self.depth}

    def field(self, z: Float[Array, " D"], noise: Scalar) -> Float[Array, " D"]:
        """``grad g``, shape (D,)."""
        return jax.grad(lambda at: at @ self.layers(at, noise))(z)

    def potential(self, point: Point) -> Scalar:
        """``V`` at a point."""
        net = as_precise(self, point.x)
        at = precondition(point, net.centre, net.sigma_data)
        y, s = point.x / point.scale, point.noise / point.scale
        shifted = y - net.centre
        return 0.5 * (1 - at.keep) * (shifted @ shifted) - s * net.sigma_data * (at.z @ net.layers(at.z, at.noise))
