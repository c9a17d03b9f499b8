r"""The Hopfield energy ``-log Z = -log E_{p_0} exp(-|y - xi|^2/(2 s^2))``: the density without its Gaussian factor.

Along the probability flow ``dE/dlam = tr C/s^2 >= 0``: it never falls. It is an anti-Lyapunov function.
"""

import equinox as eqx
from jaxtyping import Scalar

from .._types import Clock
from ..kernels import Tilt
from ._energy import AbstractPathEnergy, cancelling, curvature
from ._path import DiffusionPath
from ._point import Point


class HopfieldEnergy(AbstractPathEnergy):
    """``-log Z``, evaluated at ``y`` on either clock."""

    path: DiffusionPath
    clock: Clock = eqx.field(default="lam", static=True)

    def of(self, point: Point, tilt: Tilt) -> Scalar:
        """``Q - A``."""
        return point.half_square - tilt.log_partition

    def magnitude_of(self, point: Point, tilt: Tilt) -> Scalar:
        """``Q + |A|``."""
        return cancelling(point, tilt)

    def laplacian_of(self, point: Point, tilt: Tilt) -> Scalar:
        """``(D - tr C/s^2)/noise^2``."""
        return curvature(point, tilt)
