r"""A path: a schedule and a law, or a denoiser in its place. A state of it is located by its clock, time and value.

``clock="lam"``: time is ``lam = -log s`` and the state is ``y = x/alpha``; no schedule enters (every path is the same
one there). ``clock="tau"``: time is ``tau = 1 - t`` and the state is ``x``. Both clocks increase toward the data.
"""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from .._errors import InputError
from .._types import Clock, Time
from ..kernels import Tilt
from ._denoiser import AbstractDenoiser
from ._law import AbstractLaw
from ._point import Point
from ._schedule import AbstractSchedule, require_schedule


CLOCKS = ("lam", "tau")


class DiffusionPath(eqx.Module):
    """A noise schedule and the law of the data it corrupts.

    Arguments:
        schedule: any `AbstractSchedule`, checked on a grid to be positive and monotone.
        law: any `AbstractLaw`; or any `AbstractDenoiser`, which has flows and no energy.
    """

    schedule: AbstractSchedule
    law: AbstractDenoiser

    def __check_init__(self) -> None:
        require_schedule(self.schedule)

    def locate(self, clock: Clock, t: Time, x: Float[Array, " D"]) -> Point:
        """The point at time ``t`` of the clock and state ``x`` (D,) of that clock."""
        if clock == "lam":
            noise = jnp.exp(-jnp.asarray(t, x.dtype))
            return Point(x, jnp.ones_like(noise), noise)
        noise_time = 1 - jnp.asarray(t)
        return Point(
            x, self.schedule.alpha(noise_time).astype(x.dtype), self.schedule.sigma(noise_time).astype(x.dtype)
        )

    def mean(self, point: Point) -> Float[Array, " D"]:
        """The denoised state at the point, shape (D,): the posterior mean ``m`` of a law."""
        return self.law.mean(point)

    def tilt(self, point: Point) -> Tilt:
        """The law tilted by the point: log normaliser, posterior mean, trace, KL. A denoiser alone has none."""
        if not isinstance(self.law, AbstractLaw):
            msg = (
                f"law={type(self.law).__name__}: a denoiser has no energy of its own; give the path a law "
                "(dm.Empirical, dm.GaussianMixture), use dm.GuidedEnergy for guidance of laws, or follow the free "
                "energy along its flow with dm.Tracked"
            )
            raise InputError(msg)
        return self.law.tilt(point.eta, point.kappa)


def require_clock(clock: str) -> None:
    """Raise unless the clock is "lam" or "tau"."""
    if clock not in CLOCKS:
        msg = f"clock={clock!r}: choose 'lam' (time -log s, state x/alpha) or 'tau' (time 1 - t, state x)"
        raise InputError(msg)
