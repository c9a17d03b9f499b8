"""Noisy states of a law: the same patterns and noises at every level, so that estimates at two levels compare."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, Float, PRNGKeyArray, Scalar

from .._errors import InputError
from ..diffusion import Empirical, GaussianMixture
from ..kernels import log_prior


def draw(law: Any, key: PRNGKeyArray) -> tuple[Float[Array, " D"], Float[Array, " D"]]:
    """A pattern of the law and a standard normal of its shape, each (D,).

    Arguments:
        law: `Empirical` or `GaussianMixture`.
        key: JAX key.

    Raises:
        InputError: another law, which may have no way to draw from it.
    """
    which, inner, outer = jr.split(key, 3)
    if not isinstance(law, Empirical | GaussianMixture):
        msg = f"law={type(law).__name__}: patterns can be drawn from dm.Empirical and dm.GaussianMixture"
        raise InputError(msg)
    centres = law.xi if isinstance(law, Empirical) else law.means
    count = centres.shape[0]
    index = jr.randint(which, (), 0, count) if law.weights is None else jr.categorical(which, log_prior(law.weights))
    pattern = centres[index]
    if isinstance(law, GaussianMixture):
        pattern = pattern + law.scales[index] * jr.normal(inner, pattern.shape, pattern.dtype)
    return pattern, jr.normal(outer, pattern.shape, pattern.dtype)


@eqx.filter_jit
def states_at(law: Any, keys: Array, s: Scalar) -> Float[Array, "B D"]:
    """States ``y = xi + s z`` of ``p_s``, one for each key, shape (B, D)."""

    def one(key: PRNGKeyArray) -> Array:
        pattern, noise = draw(law, key)
        return pattern + s.astype(pattern.dtype) * noise

    return jax.vmap(one)(keys)


def level_of(s: float) -> Float[Array, ""]:
    """A noise level as an array, so that programs compile once for all of them."""
    return jnp.asarray(s, jnp.result_type(float))
