r"""A path: a schedule and a law. A state of it is located by its clock, time and value.

``clock="lam"``: time is ``lam = -log s`` and the state is ``y = x/alpha``; no schedule enters (every path is the same
one there). ``clock="tau"``: time is ``tau = 1 - t`` and the state is ``x``. Both clocks increase toward the data.
"""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, Scalar

from .._errors import InputError
from .._types import Clock, Time
from ..kernels import Tilt
from ._law import AbstractLaw
from ._schedule import AbstractSchedule, require_schedule


CLOCKS = ("lam", "tau")


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


class DiffusionPath(eqx.Module):
    """A noise schedule and the law of the data it corrupts.

    Arguments:
        schedule: any `AbstractSchedule`, checked on a grid to be positive and monotone.
        law: any `AbstractLaw`.
    """

    schedule: AbstractSchedule
    law: AbstractLaw

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

    def tilt(self, point: Point) -> Tilt:
        """The law tilted by the point: log normaliser, posterior mean, trace, KL."""
        return self.law.tilt(point.eta, point.kappa)


def require_clock(clock: str) -> None:
    """Raise unless the clock is "lam" or "tau"."""
    if clock not in CLOCKS:
        msg = f"clock={clock!r}: choose 'lam' (time -log s, state x/alpha) or 'tau' (time 1 - t, state x)"
        raise InputError(msg)
