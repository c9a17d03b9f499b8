r"""What the energies of a path share: each is a function of ``Q = |y|^2/(2 s^2)`` and the log normaliser ``A``.

``log Z = A - Q``, ``grad_x A = (alpha/sigma^2) m``, and the Laplacian of ``-log Z`` in that clock's state is
``(D - tr C/s^2)/noise^2``, with ``noise`` the noise scale of the state (``s`` or ``sigma``).
"""

import abc

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, Scalar

from .._types import Clock, Time
from ..energies import AbstractEnergy
from ..kernels import Tilt
from ._path import DiffusionPath, require_clock
from ._point import Point


class AbstractPathEnergy(AbstractEnergy):
    """An energy of a path, on one of its clocks; ``of`` computes it from moments that others may share."""

    path: eqx.AbstractVar[DiffusionPath]
    clock: eqx.AbstractVar[Clock]

    @abc.abstractmethod
    def of(self, point: Point, tilt: Tilt) -> Scalar:
        """The energy at a located point whose tilted moments are known."""

    @abc.abstractmethod
    def magnitude_of(self, point: Point, tilt: Tilt) -> Scalar:
        """Sum of the absolute values of the terms added in `of`."""

    @abc.abstractmethod
    def laplacian_of(self, point: Point, tilt: Tilt) -> Scalar:
        """Laplacian in the clock's own state, from ``tr C``."""

    def __check_init__(self) -> None:
        require_clock(self.clock)

    def __call__(self, t: Time, x: Float[Array, " D"]) -> Scalar:
        """The energy at time ``t`` and state ``x`` (D,) of the energy's clock."""
        point = self.path.locate(self.clock, t, x)
        return self.of(point, self.path.tilt(point))

    def magnitude(self, t: Time, x: Float[Array, " D"]) -> Scalar:
        """Sum of the absolute values of the terms added."""
        point = self.path.locate(self.clock, t, x)
        return self.magnitude_of(point, self.path.tilt(point))

    def laplacian(self, t: Time, x: Float[Array, " D"]) -> Scalar:
        """Laplacian at ``(t, x)``: closed form, no Hessian."""
        point = self.path.locate(self.clock, t, x)
        return self.laplacian_of(point, self.path.tilt(point))


def curvature(point: Point, tilt: Tilt) -> Scalar:
    """Laplacian of ``-log Z`` in the clock's state: ``(D - tr C/s^2)/noise^2``."""
    return (point.x.shape[0] - point.kappa * tilt.trace) / point.noise**2


def cancelling(point: Point, tilt: Tilt) -> Scalar:
    """``Q + |A|``: what cancels in ``-log Z = Q - A``, whose logits are of size ``Q`` themselves."""
    return point.half_square + jnp.abs(tilt.log_partition) + 1
