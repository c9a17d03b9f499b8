r"""The probability-flow ODE (Song et al. 2021, arXiv 2011.13456, eq. 13), run from noise to data.

In canonical coordinates every linear-Gaussian path has one and the same flow, modern Hopfield retrieval with inverse
temperature ``exp(2 lam)``:

    dy/dlam = m - y.

In its own, with ``tau = 1 - t``, ``dx/dtau = -(sigma'/sigma)(x - alpha m) - alpha' m``, finite also at ``alpha = 0``.
"""

import equinox as eqx
from jaxtyping import Array, Float, PyTree, Scalar

from .._types import Clock, Time
from ..diffusion import AbstractSchedule, DiffusionPath, require_clock
from ._base import AbstractODEFlow


class ProbabilityFlow(AbstractODEFlow):
    """The flow that carries noise to data along a path, on either clock.

    Arguments:
        path: schedule and law, or a denoiser in its place.
        clock: "lam" (time ``-log s``, state ``y``) or "tau" (time ``1 - t``, state ``x``).
    """

    path: DiffusionPath
    clock: Clock = eqx.field(default="lam", static=True)

    def __check_init__(self) -> None:
        require_clock(self.clock)

    def drift(self, t: Time, x: Float[Array, " D"], args: PyTree) -> Float[Array, " D"]:
        """``m - y`` on "lam", its image under the schedule on "tau"."""
        mean = self.path.mean(self.path.locate(self.clock, t, x))
        if self.clock == "lam":
            return mean - x
        schedule, noise_time = self.path.schedule, 1 - t
        rate = schedule.sigma_dot(noise_time) / schedule.sigma(noise_time)
        return own_velocity(schedule, noise_time, x, mean, rate)

    def mobility(self, t: Time, x: Float[Array, " D"]) -> None:
        """None: the identity."""


def own_velocity(
    schedule: AbstractSchedule, t: Time, x: Float[Array, " D"], mean: Float[Array, " D"], rate: Scalar
) -> Float[Array, " D"]:
    """``dx/dtau = -rate (x - alpha m) - alpha' m`` at noise time ``t``, shape (D,)."""
    alpha, slope = schedule.alpha(t).astype(x.dtype), schedule.alpha_dot(t).astype(x.dtype)
    return -rate.astype(x.dtype) * (x - alpha * mean) - slope * mean
