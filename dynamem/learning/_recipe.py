r"""Denoising score matching (Vincent 2011; Karras et al. 2022, arXiv 2206.00364, eq. 2 and table 1).

For a pattern ``x``, a noise level ``s`` and ``eps ~ N(0, I)`` the loss is

    (s^2 + sigma_d^2)/(s sigma_d)^2 |m(x + s eps, s) - x|^2/D,

EDM's weighting, under which a network in EDM's preconditioning predicts a target of unit variance at every level. Its
minimum over all functions is the posterior mean of the law of the patterns, its least value is not zero.
"""

from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import jax.random as jr
import optax
from jaxtyping import Array, Float, PRNGKeyArray, Scalar

from .._errors import InputError
from ..diffusion import AbstractDenoiser
from ._network import SINGLE


class Recipe(NamedTuple):
    """How a denoiser is trained. All of it belongs to the description of a checkpoint.

    Attributes:
        batch: noisy patterns in a step.
        rate: step size of Adam after ``warmup`` steps; from step ``hold`` on it falls as ``1/sqrt(step)``.
        warmup: steps in which the step size grows from 0.
        hold: steps before it falls.
        average: decay of the exponential moving average of the weights, which is what is used afterwards.
        levels: law of the noise levels: "lognormal", 95 % of it between ``low`` and ``high``, or "uniform" in
            ``log s`` between the two.
        low: low noise level.
        high: high noise level.
        sigma_data: standard deviation of the data, for the weights of the loss.
        seed: of all random numbers: step ``k`` uses ``fold_in(key(seed), k)``.
    """

    batch: int = 128
    rate: float = 2e-3
    warmup: int = 100
    hold: int = 1000
    average: float = 0.998
    levels: Literal["lognormal", "uniform"] = "lognormal"
    low: float = 0.02
    high: float = 10.0
    sigma_data: float = 0.3
    seed: int = 0


def require_recipe(recipe: Recipe) -> None:
    """Raise unless a training can follow it."""
    if recipe.levels not in ("lognormal", "uniform"):
        msg = f"levels={recipe.levels!r}: choose 'lognormal' or 'uniform'"
        raise InputError(msg)
    if not 0 < recipe.low < recipe.high:
        msg = f"low={recipe.low!r}, high={recipe.high!r}: noise levels need 0 < low < high"
        raise InputError(msg)
    if not 0 <= recipe.average < 1:
        msg = f"average={recipe.average!r}: the decay of a moving average is in [0, 1)"
        raise InputError(msg)
    for name in ("batch", "rate", "warmup", "hold", "sigma_data"):
        value = getattr(recipe, name)
        if not value > 0:
            msg = f"{name}={value!r}: must be positive"
            raise InputError(msg)


def noise_levels(recipe: Recipe, key: PRNGKeyArray, count: int) -> Float[Array, " B"]:
    """``count`` random noise levels, shape (B,)."""
    middle, half = 0.5 * jnp.log(recipe.low * recipe.high), 0.5 * jnp.log(recipe.high / recipe.low)
    if recipe.levels == "lognormal":
        return jnp.exp(middle + 0.5 * half * jr.normal(key, (count,), SINGLE)).astype(SINGLE)
    return jnp.exp(middle + half * jr.uniform(key, (count,), SINGLE, -1, 1)).astype(SINGLE)


def loss(
    denoiser: AbstractDenoiser,
    patterns: Float[Array, "B D"],
    noises: Float[Array, "B D"],
    levels: Float[Array, " B"],
    sigma_data: float,
) -> Scalar:
    """The mean loss over patterns (B, D), standard normal noises (B, D) and noise levels (B,); no units."""
    sigma = jnp.asarray(sigma_data, patterns.dtype)

    def one(x: Float[Array, " D"], eps: Float[Array, " D"], s: Scalar) -> Scalar:
        wrong = denoiser.denoise(x + s * eps, s) - x
        return (s**2 + sigma**2) / (s * sigma) ** 2 * jnp.mean(wrong**2)

    return jnp.mean(jax.vmap(one)(patterns, noises, levels))


def optimiser(recipe: Recipe) -> optax.GradientTransformation:
    """Adam (Kingma & Ba 2015) on gradients of norm at most 1."""

    def rate(step: Any) -> Array:
        passed = (jnp.asarray(step) + 1).astype(SINGLE)
        return recipe.rate * jnp.minimum(passed / recipe.warmup, 1) / jnp.sqrt(jnp.maximum(passed / recipe.hold, 1))

    return optax.chain(optax.clip_by_global_norm(1.0), optax.adam(rate, b2=0.99))
