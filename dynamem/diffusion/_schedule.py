r"""A schedule is two functions of noise time ``t`` in [0, 1]: ``x_t = alpha(t) x_0 + sigma(t) eps``.

All else follows from these two (Song et al. 2021, arXiv 2011.13456; Karras et al. 2022, arXiv 2206.00364):

    f = alpha'/alpha,   g^2 = d(sigma^2)/dt - 2 f sigma^2,   s = sigma/alpha,   lam = log(alpha/sigma) = -log s,

for the forward SDE ``dx = f x dt + g dW``. ``lam`` falls strictly with ``t``; retrieval runs the other way.
"""

import abc
from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Scalar

from .._errors import InputError
from .._types import Time
from .._validate import concrete, into_unit, unit_time


class AbstractSchedule(eqx.Module):
    """``alpha(t)`` and ``sigma(t)``, with everything that is derived from them. ``t`` is a scalar in [0, 1].

    A known ``t`` outside [0, 1] raises; a traced one gives NaN.
    """

    @abc.abstractmethod
    def alpha(self, t: Time) -> Scalar:
        """Signal scale, positive for ``t < 1``."""

    @abc.abstractmethod
    def sigma(self, t: Time) -> Scalar:
        """Noise scale, positive for ``t > 0``."""

    def alpha_dot(self, t: Time) -> Scalar:
        """``d alpha / dt``."""
        return _derivative(self.alpha, t)

    def sigma_dot(self, t: Time) -> Scalar:
        """``d sigma / dt``."""
        return _derivative(self.sigma, t)

    def f(self, t: Time) -> Scalar:
        """Forward drift coefficient ``alpha'/alpha``."""
        return _derivative(lambda u: jnp.log(self.alpha(u)), t)

    def g2(self, t: Time) -> Scalar:
        """Squared forward diffusion ``d(sigma^2)/dt - 2 f sigma^2 = -2 sigma^2 d lam / dt``."""
        return _derivative(lambda u: self.sigma(u) ** 2, t) - 2 * self.f(t) * self.sigma(t) ** 2

    def s(self, t: Time) -> Scalar:
        """Noise level ``sigma/alpha`` of the variance-exploding state ``y = x/alpha``."""
        return self.sigma(t) / self.alpha(t)

    def lam(self, t: Time) -> Scalar:
        """Half log signal-to-noise ratio ``log(alpha/sigma)``, strictly decreasing in ``t``."""
        return jnp.log(self.alpha(t)) - jnp.log(self.sigma(t))

    def t_of_lam(self, lam: Time) -> Scalar:
        """The ``t`` at which ``lam(t) = lam``; NaN (or an error, for a known value) if there is none.

        Bisection and a Newton step in ``log t`` or ``log(1-t)``, whichever end is nearer, give the value; two plain
        Newton steps make its derivatives (to third order, in ``lam`` and in the schedule) right.
        """
        lam = jnp.asarray(lam)
        lam = lam if jnp.issubdtype(lam.dtype, jnp.floating) else lam.astype(jnp.result_type(float))
        t = jax.lax.stop_gradient(_settle(self.lam, lam, _bisect(self.lam, lam)))
        for _ in range(2):
            t = into_unit(t + _newton(self.lam, lam, t))
        low, high = self.lam(jnp.ones_like(t)), self.lam(jnp.zeros_like(t))
        slack = jnp.asarray(1e3 * jnp.finfo(t.dtype).eps, t.dtype)
        outside = (lam < low - slack) | (lam > high + slack) | jnp.isnan(lam)
        known = concrete(outside)
        if known is not None and np.any(known):
            msg = f"lam={np.asarray(lam)!s} is not reached: this schedule's lam lies in [{low!s}, {high!s}]"
            raise InputError(msg)
        return jnp.where(outside, jnp.asarray(jnp.nan, t.dtype), t)


class AnySchedule(AbstractSchedule):
    """One of several schedules, chosen by an array: a sweep over schedules compiles once.

    Attributes:
        schedules: the candidates.
        index: which of them, a scalar integer array.
    """

    schedules: tuple[AbstractSchedule, ...]
    index: Array = eqx.field(converter=jnp.asarray)

    def alpha(self, t: Time) -> Scalar:
        """Signal scale of the chosen schedule."""
        return _chosen(self, unit_time(t))[0]

    def sigma(self, t: Time) -> Scalar:
        """Noise scale of the chosen schedule."""
        return _chosen(self, unit_time(t))[1]


@eqx.filter_jit
def _chosen(one_of: AnySchedule, t: Time) -> tuple[Scalar, Scalar]:
    """``(alpha, sigma)`` of the chosen schedule; traced once, however often a program asks."""
    pairs = [(one.alpha(t), one.sigma(t)) for one in one_of.schedules]
    alphas, sigmas = (jnp.stack(column) for column in zip(*pairs, strict=True))
    return alphas[one_of.index], sigmas[one_of.index]


def require_schedule(schedule: AbstractSchedule) -> None:
    """Raise unless alpha and sigma are positive and ``lam`` falls strictly on a grid of 257 times."""
    if any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves(schedule)):
        return
    with jax.ensure_compile_time_eval():
        grid = jnp.linspace(0.0, 1.0, 257)[1:-1]
        alpha, sigma, lam = (np.asarray(values) for values in _sampled(schedule, grid))
    for name, values in (("alpha", alpha), ("sigma", sigma)):
        if not np.all(np.isfinite(values) & (values > 0)):
            where = float(grid[int(np.argmin(np.isfinite(values) & (values > 0)))])
            msg = f"schedule={type(schedule).__name__}: {name}(t) is not positive and finite at t={where:.4g}"
            raise InputError(msg)
    wrong = ~(np.diff(lam) < 0)
    rise = int(np.argmax(wrong))
    if wrong[rise]:
        msg = (
            f"schedule={type(schedule).__name__} is not monotone: lam(t) = log(alpha/sigma) does not fall "
            f"near t={float(grid[rise]):.4g}; noise must grow with t"
        )
        raise InputError(msg)


@eqx.filter_jit
def _sampled(schedule: AbstractSchedule, grid: Array) -> tuple[Array, Array, Array]:
    return jax.vmap(lambda t: (schedule.alpha(t), schedule.sigma(t), schedule.lam(t)))(grid)


def _derivative(function: Callable, t: Time) -> Scalar:
    """``d function / dt``, one rounding step inside [0, 1] so that ends with infinite slopes stay finite."""
    t = unit_time(t)
    t = t + jax.lax.stop_gradient(jnp.maximum(1e-30 - t, 0))
    return jax.jvp(function, (t,), (jnp.ones_like(t),))[1]


def _bisect(lam: Callable, target: Scalar) -> Scalar:
    """``t`` with ``lam(t) = target`` to an absolute 1e-16, by halving [0, 1]: ``lam`` falls from one end to the other.

    A plain loop rather than a root finder's: those raise from inside compiled code where there is no root, and a host
    callback keeps a program out of JAX's persistent compilation cache.
    """

    def halve(_: Array, ends: tuple[Scalar, Scalar]) -> tuple[Scalar, Scalar]:
        low, high = ends
        middle = 0.5 * (low + high)
        above = lam(middle) > target
        return jnp.where(above, middle, low), jnp.where(above, high, middle)

    low, high = jax.lax.fori_loop(0, 54, halve, (jnp.zeros_like(target), jnp.ones_like(target)))
    return 0.5 * (low + high)


def _newton(lam: Callable, target: Scalar, t: Scalar) -> Scalar:
    """The Newton step of ``lam(t) = target``, zero where it is not finite."""
    value, slope = jax.jvp(lam, (t,), (jnp.ones_like(t),))
    step = (target - value) / slope
    return jnp.where(jnp.isfinite(step), step, jnp.zeros_like(step))


def _settle(lam: Callable, target: Scalar, t: Scalar) -> Scalar:
    """One Newton step in ``log t`` for small ``t``, in ``log(1 - t)`` near one: it cannot leave (0, 1)."""
    t = jnp.clip(t, jnp.asarray(1e-300 if t.dtype == jnp.float64 else 1e-30, t.dtype), 1 - jnp.finfo(t.dtype).eps / 2)
    step = _newton(lam, target, t)
    near_data = t * jnp.exp(jnp.clip(step / t, -1.0, 1.0))
    near_noise = 1 - (1 - t) * jnp.exp(jnp.clip(-step / (1 - t), -1.0, 1.0))
    return jnp.where(t < 0.5, near_data, near_noise)
