r"""A denoiser: an estimate of the pattern behind a noisy state, exact (the posterior mean of a law) or learned.

It is all that the flows need: ``dy/dlam = m - y``. Whether some energy is descended is another question, which a law
answers (`FreeEnergy`) and a network may not: its ``m - y`` need not be a gradient.
"""

import abc

import equinox as eqx
from jaxtyping import Array, Float

from .._types import Time
from ._point import Point, canonical


class AbstractDenoiser(eqx.Module):
    """``m(y, s)``, an estimate of the pattern ``xi`` given ``y = xi + s eps``."""

    @abc.abstractmethod
    def mean(self, point: Point) -> Float[Array, " D"]:
        """The denoised state at a point of a path, shape (D,); finite also where ``alpha = 0``."""

    def denoise(self, y: Float[Array, " D"], s: Time) -> Float[Array, " D"]:
        """``m(y, s)`` at state ``y`` (D,) and noise level ``s > 0``, shape (D,)."""
        return self.mean(canonical(y, s))
