r"""How far a denoiser is from the exact one, against how far it may be.

``V`` of the data's law falls along the flow of any denoiser ``m'``, and at any step of DDIM with it, where

    |m' - m|^2 <= Q = |y - m|^2 + 2 s^2 KL(w || u) = 2 V - tr C.

The condition is sufficient and not necessary.
"""

from typing import NamedTuple

from jaxtyping import Array, Bool, Float, Scalar

from .._types import Time
from ..diffusion import AbstractDenoiser, AbstractLaw


class Margin(NamedTuple):
    """``|m' - m|^2``, the ``Q`` that it may reach, and whether it stays within; NaN is never within."""

    error: Scalar
    allowed: Scalar
    inside: Bool[Array, ""]


def margin(model: AbstractDenoiser, law: AbstractLaw, y: Float[Array, " D"], s: Time) -> Margin:
    """The margin of a denoiser at one state.

    Arguments:
        model: the denoiser in question.
        law: the law of the data, whose denoiser is exact.
        y: canonical state, shape (D,); `jax.vmap` for more, and the mean of ``inside`` is the fraction of them.
        s: noise level, positive.

    Raises:
        InputError: a noise level that is not positive.
    """
    moments = law.moments(y, s)
    wrong, move = model.denoise(y, s) - moments.mean, y - moments.mean
    allowed = move @ move + 2 * s**2 * moments.kl
    error = wrong @ wrong
    return Margin(error, allowed, error <= allowed)
