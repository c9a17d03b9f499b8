r"""The schedules of the field, each as ``alpha`` and ``sigma`` alone.

| class | alpha | sigma | source |
|---|---|---|---|
| VP | exp(-B/2) | sqrt(1 - exp(-B)), B = beta_min t + (beta_max - beta_min) t^2/2 | arXiv 2011.13456, eq. 32 |
| SubVP | exp(-B/2) | 1 - exp(-B) | arXiv 2011.13456, eq. 14 |
| VE | 1 | sigma_min (sigma_max/sigma_min)^t | arXiv 2011.13456, eq. 30 |
| Cosine | cos(a)/cos(a_0), a = (t + o)/(1 + o) pi/2 | sqrt(1 - alpha^2) | arXiv 2102.09672, eq. 17 |
| EDM | 1 | sigma_max t | arXiv 2206.00364, table 1 |
| FlowMatching | 1 - t | t | arXiv 2210.02747, 2209.03003 |
| Trigonometric | cos(pi t/2) | sin(pi t/2) | arXiv 2209.15571, 2303.08797 |

The last two are one-sided stochastic interpolants between noise and data, in time ``1 - t``.
"""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, Scalar

from .._errors import InputError
from .._types import Time
from .._validate import concrete, require_positive, unit_time
from ._schedule import AbstractSchedule


def _half_integral(beta_min: Array, beta_max: Array, t: Scalar) -> Scalar:
    """``B(t)``, the integral of ``beta_min + (beta_max - beta_min) t``."""
    return t * (beta_min + 0.5 * (beta_max - beta_min) * t)


def _require_rates(beta_min: Array, beta_max: Array) -> None:
    require_positive("beta_min", beta_min, zero=True, scalar=True)
    require_positive("beta_max", beta_max, scalar=True)
    low, high = concrete(beta_min), concrete(beta_max)
    if low is not None and high is not None and low > high:
        msg = f"beta_min={float(low)!r} exceeds beta_max={float(high)!r}: the noise rate must not fall"
        raise InputError(msg)


class VP(AbstractSchedule):
    """Variance preserving, linear rate from ``beta_min`` to ``beta_max``: ``alpha^2 + sigma^2 = 1``."""

    beta_min: Float[Array, ""] = eqx.field(default=0.1, converter=jnp.asarray)
    beta_max: Float[Array, ""] = eqx.field(default=20.0, converter=jnp.asarray)

    def __check_init__(self) -> None:
        _require_rates(self.beta_min, self.beta_max)

    def alpha(self, t: Time) -> Scalar:
        """``exp(-B(t)/2)``."""
        return jnp.exp(-0.5 * _half_integral(self.beta_min, self.beta_max, unit_time(t)))

    def sigma(self, t: Time) -> Scalar:
        """``sqrt(1 - exp(-B(t)))``."""
        return jnp.sqrt(-jnp.expm1(-_half_integral(self.beta_min, self.beta_max, unit_time(t))))


class SubVP(AbstractSchedule):
    """Sub-variance preserving: VP's ``alpha`` with ``sigma = 1 - alpha^2`` (a standard deviation)."""

    beta_min: Float[Array, ""] = eqx.field(default=0.1, converter=jnp.asarray)
    beta_max: Float[Array, ""] = eqx.field(default=20.0, converter=jnp.asarray)

    def __check_init__(self) -> None:
        _require_rates(self.beta_min, self.beta_max)

    def alpha(self, t: Time) -> Scalar:
        """``exp(-B(t)/2)``."""
        return jnp.exp(-0.5 * _half_integral(self.beta_min, self.beta_max, unit_time(t)))

    def sigma(self, t: Time) -> Scalar:
        """``1 - exp(-B(t))``."""
        return -jnp.expm1(-_half_integral(self.beta_min, self.beta_max, unit_time(t)))


class VE(AbstractSchedule):
    """Variance exploding, geometric from ``sigma_min`` to ``sigma_max``.

    ``x_t = x_0 + sigma(t) eps`` with ``sigma(0) = sigma_min``: the path starts at that noise, not at the data.
    """

    sigma_min: Float[Array, ""] = eqx.field(default=0.01, converter=jnp.asarray)
    sigma_max: Float[Array, ""] = eqx.field(default=50.0, converter=jnp.asarray)

    def __check_init__(self) -> None:
        require_positive("sigma_min", self.sigma_min, scalar=True)
        require_positive("sigma_max", self.sigma_max, scalar=True)
        low, high = concrete(self.sigma_min), concrete(self.sigma_max)
        if low is not None and high is not None and low >= high:
            msg = f"sigma_min={float(low)!r} is not below sigma_max={float(high)!r}: noise must grow with t"
            raise InputError(msg)

    def alpha(self, t: Time) -> Scalar:
        """One."""
        return jnp.ones_like(unit_time(t))

    def sigma(self, t: Time) -> Scalar:
        """``sigma_min (sigma_max/sigma_min)^t``."""
        return self.sigma_min * jnp.exp(unit_time(t) * jnp.log(self.sigma_max / self.sigma_min))


class Cosine(AbstractSchedule):
    """Cosine: ``alpha = cos(a)/cos(a_0)``, ``a = (t + offset)/(1 + offset) pi/2``; ``alpha(1) = 0``."""

    offset: Float[Array, ""] = eqx.field(default=0.008, converter=jnp.asarray)

    def __check_init__(self) -> None:
        require_positive("offset", self.offset, zero=True, scalar=True)

    def _angles(self, t: Time) -> tuple[Scalar, Scalar]:
        quarter = 0.5 * jnp.pi / (1 + self.offset)
        return quarter * self.offset, quarter * unit_time(t)

    def alpha(self, t: Time) -> Scalar:
        """``cos(a)/cos(a_0)``, written ``sin(pi/2 - a)`` so that it vanishes exactly at ``t = 1``."""
        start, _ = self._angles(t)
        return jnp.sin((0.5 * jnp.pi / (1 + self.offset)) * (1 - unit_time(t))) / jnp.cos(start)

    def sigma(self, t: Time) -> Scalar:
        """``sqrt(1 - alpha^2) = sqrt(sin(a - a_0) sin(a + a_0))/cos(a_0)``, accurate near ``t = 0``."""
        start, turn = self._angles(t)
        return jnp.sqrt(jnp.sin(turn) * jnp.sin(turn + 2 * start)) / jnp.cos(start)


class EDM(AbstractSchedule):
    """Karras et al.: ``alpha = 1``, ``sigma = sigma_max t``; use `karras_grid` for its spacing of steps."""

    sigma_max: Float[Array, ""] = eqx.field(default=80.0, converter=jnp.asarray)

    def __check_init__(self) -> None:
        require_positive("sigma_max", self.sigma_max, scalar=True)

    def alpha(self, t: Time) -> Scalar:
        """One."""
        return jnp.ones_like(unit_time(t))

    def sigma(self, t: Time) -> Scalar:
        """``sigma_max t``."""
        return self.sigma_max * unit_time(t)


class FlowMatching(AbstractSchedule):
    """Rectified flow: ``alpha = 1 - t``, ``sigma = t``; at ``t = 1`` the state is pure noise."""

    def alpha(self, t: Time) -> Scalar:
        """``1 - t``."""
        return 1 - unit_time(t)

    def sigma(self, t: Time) -> Scalar:
        """``t``."""
        return unit_time(t)


class Trigonometric(AbstractSchedule):
    """``alpha = cos(pi t/2)``, ``sigma = sin(pi t/2)``: `Cosine` without offset, and smooth at both ends."""

    def alpha(self, t: Time) -> Scalar:
        """``cos(pi t/2)``, written ``sin(pi (1 - t)/2)`` so that it vanishes exactly at ``t = 1``."""
        return jnp.sin(0.5 * jnp.pi * (1 - unit_time(t)))

    def sigma(self, t: Time) -> Scalar:
        """``sin(pi t/2)``."""
        return jnp.sin(0.5 * jnp.pi * unit_time(t))
