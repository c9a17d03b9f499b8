r"""Guidance: a denoiser that leans toward what is asked for.

Classifier guidance (Dhariwal & Nichol 2021, arXiv 2105.05233) and classifier-free guidance (Ho & Salimans 2022, arXiv
2207.12598) both change the posterior mean by ``w`` times the gradient of a log-probability of the condition ``c``:

    m_g = m + w s^2 grad_y log p(c | y, s),        m_g = m_u + w (m_c - m_u).

They are one where ``p(c | y, s)`` is Bayes' rule for two laws, ``log p = log Z_c - log Z_u + log P(c)``. ``w = 0`` is
no guidance and ``w = 1`` the conditional law itself; the guidance scale of Ho & Salimans is ``w - 1``, that of
diffusers ``w``. The guided mean is a gradient, of the ``A_g`` below in ``eta = y/s^2``: `GuidedEnergy` is its energy.
"""

import abc
from collections.abc import Callable
from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Scalar

from .._errors import InputError
from .._types import Time
from .._validate import require_finite
from ._denoiser import AbstractDenoiser
from ._energy import cancelling
from ._law import AbstractLaw
from ._parametrisation import nonzero
from ._point import Point
from ._prediction import own_state
from ._schedule import AbstractSchedule


class AbstractGuidance(AbstractDenoiser):
    """A denoiser changed by guidance."""

    weight: eqx.AbstractVar[Float[Array, ""]]

    @abc.abstractmethod
    def parts(self) -> tuple[AbstractDenoiser, ...]:
        """The denoisers that are guided; there is an energy where all of them are laws."""

    @abc.abstractmethod
    def log_partition(self, point: Point) -> tuple[Scalar, Scalar]:
        """``A_g`` with ``m_g = grad A_g`` in ``eta``, and the size of the terms summed in it; of laws only."""

    def __check_init__(self) -> None:
        if jnp.shape(self.weight) != ():
            msg = f"weight.shape={jnp.shape(self.weight)!r}: need one number, use jax.vmap for several"
            raise InputError(msg)
        require_finite("weight", self.weight[None])


class ClassifierFreeGuidance(AbstractGuidance):
    """``m_u + w (m_c - m_u)``: finite wherever both denoisers are.

    Arguments:
        conditional: denoiser ``m_c`` of the patterns that are asked for.
        unconditional: denoiser ``m_u`` of all patterns.
        weight: ``w``, any number; 1 gives ``m_c``.
    """

    conditional: AbstractDenoiser
    unconditional: AbstractDenoiser
    weight: Float[Array, ""] = eqx.field(converter=partial(jnp.asarray, dtype=float))

    def mean(self, point: Point) -> Float[Array, " D"]:
        """``m_u + w (m_c - m_u)``, shape (D,)."""
        free = self.unconditional.mean(point)
        return free + self.weight.astype(free.dtype) * (self.conditional.mean(point) - free)

    def parts(self) -> tuple[AbstractDenoiser, ...]:
        """Both denoisers."""
        return self.conditional, self.unconditional

    def log_partition(self, point: Point) -> tuple[Scalar, Scalar]:
        """``(1 - w) A_u + w A_c``."""
        weight = self.weight.astype(point.x.dtype)
        (wanted, large), (free, size) = (_log_partition(part, point) for part in self.parts())
        return (1 - weight) * free + weight * wanted, jnp.abs(1 - weight) * size + jnp.abs(weight) * large


class ClassifierGuidance(AbstractGuidance):
    """``m + w s^2 grad_y log p(c | y, s)``; no value where ``alpha = 0``, since a classifier sees only noise there.

    Arguments:
        denoiser: what is guided, ``m``; a law for one that has an energy.
        log_probability: function ``(state (D,), time) -> log p(c | state)``, a scalar. State and time are ``(y, s)``,
            or the schedule's own ``(x, t)`` where there is one.
        weight: ``w``, any number; 1 is Bayes' rule.
        schedule: the schedule that the classifier was trained on.
    """

    denoiser: AbstractDenoiser
    log_probability: Callable
    weight: Float[Array, ""] = eqx.field(converter=partial(jnp.asarray, dtype=float))
    schedule: AbstractSchedule | None = None

    def mean(self, point: Point) -> Float[Array, " D"]:
        """``m + w (sigma^2/alpha) grad_x log p``, which is ``s^2 grad_y`` in any of its coordinates; shape (D,)."""
        scale = nonzero(point.scale, point.scale, point.noise, "log_probability", "x0")
        x, t, alpha, sigma = own_state(Point(point.x, scale, point.noise), self.schedule)
        step = self.weight.astype(x.dtype) * sigma * sigma / alpha
        return self.denoiser.mean(point) + step * jax.grad(self._log_probability)(x, t)

    def parts(self) -> tuple[AbstractDenoiser, ...]:
        """The denoiser."""
        return (self.denoiser,)

    def log_partition(self, point: Point) -> tuple[Scalar, Scalar]:
        """``A + w log p``."""
        x, t, _, _ = own_state(point, self.schedule)
        free, size = _log_partition(self.denoiser, point)
        lean = self.weight.astype(x.dtype) * self._log_probability(x, t)
        return free + lean, size + jnp.abs(lean)

    def _log_probability(self, x: Float[Array, " D"], t: Time) -> Scalar:
        value = self.log_probability(x, t)
        if jnp.shape(value) != ():
            name = getattr(self.log_probability, "__name__", type(self.log_probability).__name__)
            msg = f"log_probability={name}: gives shape {jnp.shape(value)!r}, need one number log p(c | state)"
            raise InputError(msg)
        return value


def _log_partition(law: AbstractDenoiser, point: Point) -> tuple[Scalar, Scalar]:
    """``A`` of a law, and the size of its terms."""
    if not isinstance(law, AbstractLaw):
        msg = f"{type(law).__name__} is no law: guidance has an energy only where all that it guides are laws"
        raise InputError(msg)
    tilt = law.tilt(point.eta, point.kappa)
    return tilt.log_partition, cancelling(point, tilt)
