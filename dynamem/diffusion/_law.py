r"""A data law is a probability measure over patterns; noise tilts it, and the mean of the tilted law denoises.

For a prior ``p_0`` the tilted law has density proportional to ``exp(eta.xi - kappa |xi|^2/2)`` over it. With
``eta = y/s^2 = alpha x/sigma^2`` and ``kappa = 1/s^2 = alpha^2/sigma^2`` it is the posterior of the pattern given
the noisy state, and stays finite where ``alpha = 0``. Its log normaliser ``A`` gives ``log Z = A - |y|^2/(2 s^2)``,
``Z = E_{p_0} exp(-|y - xi|^2/(2 s^2))``.
"""

import abc
from typing import NamedTuple

from jaxtyping import Array, Float, Scalar

from .._types import Time
from ..kernels import Tilt
from ._denoiser import AbstractDenoiser
from ._point import Point, canonical


class Moments(NamedTuple):
    """``log Z``, posterior mean (D,), trace of the posterior covariance, and KL(posterior || prior)."""

    log_z: Scalar
    mean: Float[Array, " D"]
    trace: Scalar
    kl: Scalar


class AbstractLaw(AbstractDenoiser):
    """A measure over patterns whose tilted moments are known exactly: its posterior mean is the ideal denoiser."""

    @abc.abstractmethod
    def tilt(self, eta: Float[Array, " D"], kappa: Scalar) -> Tilt:
        """Log normaliser, mean, trace of the covariance and KL of the law tilted by ``eta`` (D,) and ``kappa``."""

    def mean(self, point: Point) -> Float[Array, " D"]:
        """Posterior mean of the pattern at a point of a path, shape (D,)."""
        return self.tilt(point.eta, point.kappa).mean

    def moments(self, y: Float[Array, " D"], s: Time) -> Moments:
        """``(log_z, mean, trace, kl)`` at state ``y`` (D,) and noise level ``s > 0``.

        ``log_z = -(|y - m|^2 + tr C)/(2 s^2) - KL``: three terms of one sign, so that nothing cancels.
        """
        point = canonical(y, s)
        kappa, tilt = point.kappa, self.tilt(point.eta, point.kappa)
        move = y - tilt.mean
        return Moments(-0.5 * kappa * (move @ move + tilt.trace) - tilt.kl, tilt.mean, tilt.trace, tilt.kl)
