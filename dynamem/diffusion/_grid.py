"""Grids of steps: noise levels at which a sampler stops, falling from noise to data.

`time_grid` is uniform in the schedule's t, `geometric_grid` in lam, `karras_grid` in ``s^(1/rho)``; on clock "lam" the
steps of a solve are ``diffrax.StepTo(-log(levels))``. `index_grid` picks entries of a `BetaTable`, whose ``levels`` are
a grid too.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

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


def time_grid(schedule: AbstractSchedule, sigma_max: float, sigma_min: float, steps: int) -> Float[Array, " n"]:
    """Noise levels at times uniform in the schedule's ``t``, shape (steps + 1,), falling."""
    levels = jnp.exp(-_lams(schedule, grid_between(schedule, sigma_max, sigma_min, steps)))
    return levels.at[0].set(sigma_max).at[-1].set(sigma_min)


@eqx.filter_jit
def _lams(schedule: AbstractSchedule, ts: Array) -> Array:
    return jax.vmap(schedule.lam)(ts)


def geometric_grid(sigma_max: float, sigma_min: float, steps: int) -> Float[Array, " n"]:
    """Noise levels uniform in ``lam = -log s``, shape (steps + 1,), falling: the limit of `karras_grid` in rho."""
    _require_levels(sigma_max, sigma_min, steps)
    return jnp.geomspace(jnp.asarray(sigma_max, float), jnp.asarray(sigma_min, float), steps + 1)


def index_grid(count: int, steps: int, spacing: str = "trailing") -> Int[Array, " n"]:
    """Entries of a table of ``count`` rates at which a sampler stops, shape (steps,), falling.

    ``"leading"`` takes every ``count // steps``-th from 0 on and never begins at the noisiest entry, ``"trailing"``
    every ``count/steps``-th down from the noisiest, which ``"linspace"`` has too, and the least noisy one.

    The next stop is the next entry of this grid, never ``i - count // steps``, which only fits "leading". The last
    entry still has noise.

    Source: Lin et al. 2024 (arXiv 2305.08891), table 2, whose entries are numbered from 1.
    """
    if not (isinstance(steps, int) and 1 <= steps <= count):
        msg = f"steps={steps!r}, count={count!r}: take a whole number between 1 and {count!r}"
        raise InputError(msg)
    if spacing == "leading":
        return jnp.asarray((count // steps) * np.arange(steps)[::-1])
    if spacing == "trailing":
        return jnp.asarray(np.round(count - np.arange(steps) * (count / steps)).astype(int) - 1)
    if spacing == "linspace":
        return jnp.asarray(np.round(np.linspace(count - 1, 0, steps)).astype(int))
    msg = f"spacing={spacing!r}: choose 'leading', 'trailing' or 'linspace'"
    raise InputError(msg)


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
    require_positive("rho", rho)
    _require_levels(sigma_max, sigma_min, steps)
    high, low = jnp.asarray(sigma_max, dtype=float) ** (1 / rho), jnp.asarray(sigma_min, dtype=float) ** (1 / rho)
    return jnp.linspace(high, low, steps + 1) ** rho


def _require_levels(sigma_max: float, sigma_min: float, steps: int) -> None:
    require_positive("sigma_max", sigma_max)
    require_positive("sigma_min", sigma_min)
    if not sigma_max > sigma_min or steps < 1:
        msg = f"sigma_max={sigma_max!r}, sigma_min={sigma_min!r}, steps={steps!r}: noise must fall in at least one step"
        raise InputError(msg)
