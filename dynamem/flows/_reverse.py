r"""The reverse SDE with churn ``zeta`` (Song et al. 2021, eq. 6 at ``zeta = 1``; Karras et al. 2022, eq. 6).

    dy = -(1 + zeta)(y - m) dlam + s sqrt(2 zeta) dW

in canonical coordinates; ``zeta = 0`` is the probability flow, and noise ``eta g`` has ``zeta = eta^2``. In the path's
own, with ``tau = 1 - t``, the score ``-(x - alpha m)/sigma^2`` enters ``(1 + zeta) g^2/2`` times, and the noise is
``sqrt(zeta) g dW``.
"""

import equinox as eqx
import jax.numpy as jnp
import lineax as lx
from jaxtyping import Array, Float, PyTree, Scalar

from .._types import Clock, Time
from .._validate import require_positive
from ..diffusion import DiffusionPath, require_clock
from ._base import AbstractSDEFlow, isotropic
from ._probability import own_velocity


class ReverseSDE(AbstractSDEFlow):
    """The reverse-time SDE of a path with churn ``zeta >= 0``, on either clock.

    Arguments:
        path: schedule and law, or a denoiser in its place.
        churn: ``zeta``, non-negative.
        clock: "lam" (time ``-log s``, state ``y``) or "tau" (time ``1 - t``, state ``x``).
    """

    path: DiffusionPath
    churn: Float[Array, ""] = eqx.field(default=1.0, converter=jnp.asarray)
    clock: Clock = eqx.field(default="lam", static=True)

    def __check_init__(self) -> None:
        require_clock(self.clock)
        require_positive("churn", self.churn, zero=True)

    def drift(self, t: Time, x: Float[Array, " D"], args: PyTree) -> Float[Array, " D"]:
        """``(1 + zeta)(m - y)`` on "lam", its image under the schedule on "tau"."""
        mean = self.path.mean(self.path.locate(self.clock, t, x))
        churn = self.churn.astype(x.dtype)
        if self.clock == "lam":
            return (1 + churn) * (mean - x)
        schedule, noise_time = self.path.schedule, 1 - t
        sigma = schedule.sigma(noise_time)
        rate = schedule.sigma_dot(noise_time) / sigma + 0.5 * self.churn * schedule.g2(noise_time) / sigma**2
        return own_velocity(schedule, noise_time, x, mean, rate)

    def diffusion(self, t: Time, x: Float[Array, " D"], args: PyTree) -> lx.AbstractLinearOperator:
        """``noise(t, x)`` times the identity."""
        return isotropic(self.noise(t, x), x)

    def noise(self, t: Time, x: Float[Array, " D"]) -> Scalar:
        """``s sqrt(2 zeta)`` on "lam", ``sqrt(zeta) g`` on "tau", in the precision of ``x``."""
        if self.clock == "lam":
            return jnp.exp(-jnp.asarray(t, x.dtype)) * jnp.sqrt(2 * self.churn).astype(x.dtype)
        return jnp.sqrt(self.churn * self.path.schedule.g2(1 - t)).astype(x.dtype)

    def mobility(self, t: Time, x: Float[Array, " D"]) -> None:
        """None: the identity."""
