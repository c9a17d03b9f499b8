r"""The free energy: the Lyapunov function that diffusion models do have.

    V = -s^2 log Z,        dV/dlam = -|y - m|^2 - 2 s^2 KL(w || u) <= 0

along the probability flow of every schedule, and ``V`` falls at every DDIM step however coarse. It is the Helmholtz
free energy of retrieval at temperature ``s^2``: ``V = |y - m|^2/2 + tr C/2 + s^2 KL >= 0``. With churn ``zeta``,
``V_zeta = V + zeta D s^2/2`` is a supermartingale of the reverse SDE.
"""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, Scalar

from .._types import Clock
from .._validate import require_positive
from ..kernels import Tilt
from ._energy import AbstractPathEnergy, cancelling, curvature
from ._path import DiffusionPath
from ._point import Point


class FreeEnergy(AbstractPathEnergy):
    """``-s^2 log Z + churn D s^2/2``, evaluated at ``y`` on either clock; no claim where ``alpha = 0``."""

    path: DiffusionPath
    churn: Float[Array, ""] = eqx.field(default=0.0, converter=jnp.asarray)
    clock: Clock = eqx.field(default="lam", static=True)

    def __check_init__(self) -> None:
        require_positive("churn", self.churn, zero=True, scalar=True)

    def of(self, point: Point, tilt: Tilt) -> Scalar:
        """``s^2 (Q - A + churn D/2)``."""
        floor = 0.5 * point.x.shape[0] * self.churn.astype(point.x.dtype)
        return (point.half_square - tilt.log_partition + floor) / point.kappa

    def magnitude_of(self, point: Point, tilt: Tilt) -> Scalar:
        """``s^2 (Q + |A| + churn D/2)``."""
        floor = 0.5 * point.x.shape[0] * self.churn.astype(point.x.dtype)
        return (cancelling(point, tilt) + floor) / point.kappa

    def laplacian_of(self, point: Point, tilt: Tilt) -> Scalar:
        """``s^2/noise^2 (D - tr C/s^2)``."""
        return curvature(point, tilt) / point.kappa
