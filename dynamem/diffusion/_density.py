r"""The density energy ``E = -log p_t``: what the survey calls the energy of a diffusion model.

    -log p(state) = D log(2 pi noise^2)/2 + |x|^2/(2 noise^2) - A,

``noise`` being ``s`` for ``y`` on "lam", ``sigma`` for ``x`` on "tau". Along the probability flow it rises exactly
where ``tr C > D c(t)``, ``c = -s^2 d log(noise)/d lam``, a threshold that the schedule sets.
"""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Scalar

from .._types import Clock
from ..kernels import Tilt
from ._energy import AbstractPathEnergy, cancelling, curvature
from ._path import DiffusionPath
from ._point import Point


class DensityEnergy(AbstractPathEnergy):
    """``-log`` of the density of the clock's state (``y`` or ``x``), Gaussian factor included."""

    path: DiffusionPath
    clock: Clock = eqx.field(default="lam", static=True)

    def of(self, point: Point, tilt: Tilt) -> Scalar:
        """``D log(2 pi noise^2)/2 + Q - A``."""
        return self._factor(point) + (point.half_square - tilt.log_partition)

    def magnitude_of(self, point: Point, tilt: Tilt) -> Scalar:
        """``|D log(2 pi noise^2)/2| + Q + |A|``."""
        return jnp.abs(self._factor(point)) + cancelling(point, tilt)

    def laplacian_of(self, point: Point, tilt: Tilt) -> Scalar:
        """``(D - tr C/s^2)/noise^2``."""
        return curvature(point, tilt)

    def _factor(self, point: Point) -> Scalar:
        return point.x.shape[0] * (0.5 * jnp.log(jnp.asarray(2 * jnp.pi, point.x.dtype)) + jnp.log(point.noise))
