"""Grids of steps: noise times at which a sampler stops, falling from noise to data."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from .._errors import InputError
from .._validate import require_positive
from ._schedule import AbstractSchedule


_CHUNK = 128


def grid_between(schedule: AbstractSchedule, s_start: float, s_end: float, steps: int) -> Float[Array, " n"]:
    """Times ``t`` uniform between those of noise levels ``s_start > s_end``, shape (steps + 1,), falling."""
    require_positive("s_start", s_start)
    require_positive("s_end", s_end)
    if not s_start > s_end or steps < 1:
        msg = f"s_start={s_start!r}, s_end={s_end!r}, steps={steps!r}: noise must fall in at least one step"
        raise InputError(msg)
    ends = times_of(schedule, -jnp.log(jnp.asarray([s_start, s_end], dtype=float)))
    if not bool(jnp.all(jnp.isfinite(ends))):
        msg = f"s_start={s_start!r}, s_end={s_end!r}: {type(schedule).__name__} does not reach both noise levels"
        raise InputError(msg)
    return jnp.linspace(ends[0], ends[1], steps + 1)


def times_of(schedule: AbstractSchedule, lams: Float[Array, " n"]) -> Float[Array, " n"]:
    """`AbstractSchedule.t_of_lam` of many, compiled once whatever their number; NaN where one is not reached."""
    padded = jnp.pad(lams, (0, -lams.shape[0] % _CHUNK), mode="edge")
    return jnp.concatenate([_times(schedule, part) for part in padded.reshape(-1, _CHUNK)])[: lams.shape[0]]


@eqx.filter_jit
def _times(schedule: AbstractSchedule, lams: Float[Array, " n"]) -> Float[Array, " n"]:
    return jax.vmap(schedule.t_of_lam)(lams)


def karras_grid(sigma_max: float, sigma_min: float, steps: int, rho: float = 7.0) -> Float[Array, " n"]:
    """Noise levels ``s_k = (s_max^(1/rho) + k/n (s_min^(1/rho) - s_max^(1/rho)))^rho``, shape (steps + 1,).

    Source: Karras et al. 2022 (arXiv 2206.00364), eq. 5, without the final zero.
    """
    require_positive("sigma_max", sigma_max)
    require_positive("sigma_min", sigma_min)
    require_positive("rho", rho)
    if not sigma_max > sigma_min or steps < 1:
        msg = f"sigma_max={sigma_max!r}, sigma_min={sigma_min!r}, steps={steps!r}: noise must fall in at least one step"
        raise InputError(msg)
    high, low = jnp.asarray(sigma_max, dtype=float) ** (1 / rho), jnp.asarray(sigma_min, dtype=float) ** (1 / rho)
    return jnp.linspace(high, low, steps + 1) ** rho
