r"""Is a denoiser the gradient of anything? ``|J - J^T|/|J|`` of its Jacobian ``J = dm/dy``, in the Frobenius norm.

It is 0 for a posterior mean (``J = C/s^2``) and for an energy's gradient, and at most 2, for an antisymmetric ``J``. In
high dimension both norms come from random sign vectors ``v``: ``|M|^2 = E |M v|^2``.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, Float, PRNGKeyArray, Scalar

from .._errors import InputError
from .._types import Time
from ..diffusion import AbstractDenoiser


class Asymmetry(NamedTuple):
    """``|J - J^T|/|J|``, 0 where ``J`` is, and its standard error, 0 where it is exact."""

    value: Scalar
    error: Scalar


def asymmetry(
    model: AbstractDenoiser,
    y: Float[Array, " D"],
    s: Time,
    *,
    probes: int | None = None,
    key: PRNGKeyArray | None = None,
) -> Asymmetry:
    """How far the Jacobian of a denoiser is from symmetric, at one state.

    Arguments:
        model: the denoiser.
        y: canonical state, shape (D,); `jax.vmap` for more.
        s: noise level, positive.
        probes: random vectors to estimate from, at least 2; all D derivatives, without an error, if not given.
        key: JAX key of the probes, needed for them.

    Raises:
        InputError: too few probes, or no key for them.
    """

    def mean(at: Float[Array, " D"]) -> Float[Array, " D"]:
        return model.denoise(at, s)

    if probes is None:
        jacobian = jax.jacfwd(mean)(y)
        skew, whole = jnp.sum((jacobian - jacobian.T) ** 2), jnp.sum(jacobian**2)
        return Asymmetry(_ratio(skew, whole), jnp.zeros_like(whole))
    if probes < 2 or key is None:
        msg = f"probes={probes!r}, key={key!r}: random probes need a key, and at least 2 a standard error"
        raise InputError(msg)
    skews, wholes = skewness(mean, y, jr.rademacher(key, (probes, y.shape[0]), y.dtype))
    value = _ratio(jnp.mean(skews), jnp.mean(wholes))
    # the delta method: the spread of skew - value^2 whole, over the slope 2 value |J|^2
    spread = jnp.std(skews - value**2 * wholes, ddof=1) / probes**0.5
    slope = 2 * value * jnp.mean(wholes)
    return Asymmetry(value, jnp.where(slope > 0, spread / jnp.where(slope > 0, slope, 1), spread))


def skewness(
    field: Callable, y: Float[Array, " D"], signs: Float[Array, "P D"]
) -> tuple[Float[Array, " P"], Float[Array, " P"]]:
    """``|(J - J^T) v|^2`` and ``|J v|^2`` at ``y`` for each vector ``v``, a row of ``signs``."""
    back = jax.vjp(field, y)[1]
    forth = jax.vmap(lambda v: jax.jvp(field, (y,), (v,))[1])(signs)
    return jnp.sum((forth - jax.vmap(lambda v: back(v)[0])(signs)) ** 2, axis=1), jnp.sum(forth**2, axis=1)


def _ratio(skew: Scalar, whole: Scalar) -> Scalar:
    """``sqrt(skew/whole)``, 0 where both are 0; NaN stays."""
    none = whole == 0
    return jnp.sqrt(jnp.where(none, 0, skew) / jnp.where(none, 1, whole))
