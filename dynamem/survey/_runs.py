"""Runs of a column: the states along them, and where they end."""

from typing import Any

import diffrax as dfx
import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array

from ..flows import AbstractFlow
from ..lyapunov import controlled
from ._column import Column


SDE_STEPS = 200
LIMIT = 4096
ALONG = 9
BATCH = 64


def ends(column: Column, cues: np.ndarray, level: float, key: Array) -> np.ndarray:
    """Where runs from ``cues`` (B, D), started as `Column.start` says for the level, end; NaN where a solve failed."""
    return runs(column.flow, cues, (column.start(level), column.span[1]), key, noisy=column.noisy)[:, -1]


def visited(column: Column, key: Array) -> tuple[np.ndarray, np.ndarray]:
    """Times (B, 9) and states (B, 9, D) along the runs from the column's own states."""
    xs = runs(column.flow, np.asarray(column.states), column.span, key, noisy=column.noisy)
    return np.broadcast_to(np.linspace(*column.span, ALONG), xs.shape[:2]), xs


def runs(flow: AbstractFlow, states: np.ndarray, span: tuple[float, float], key: Array, *, noisy: bool) -> np.ndarray:
    """States (B, 9, D) at equal times from ``states`` (B, D), solved in batches of one size; noise is keyed by row."""
    if not span[1] > span[0]:
        return np.repeat(np.asarray(states)[:, None], ALONG, axis=1)
    count = len(states)
    padded = np.concatenate([states, np.repeat(states[-1:], -count % BATCH, axis=0)])
    keys = jax.vmap(lambda b: jr.fold_in(key, b))(jnp.arange(len(padded)))
    t0, t1 = (jnp.asarray(t, jnp.asarray(states).dtype) for t in span)
    pieces = [
        np.asarray(_solved(flow, jnp.asarray(padded[k : k + BATCH]), t0, t1, keys[k : k + BATCH] if noisy else None))
        for k in range(0, len(padded), BATCH)
    ]
    return np.concatenate(pieces)[:count]


@eqx.filter_jit
def _solved(flow: AbstractFlow, states: Array, t0: Array, t1: Array, keys: Array | None) -> Array:
    """One batch: Tsit5 to 1e-6 for an ODE, Euler-Maruyama in 200 steps where there is noise."""

    def one(x: Array, key: Any) -> Array:
        if key is None:
            how, control = (dfx.Tsit5(), None), None
            controller: Any = dfx.PIDController(rtol=1e-6, atol=1e-8)
        else:
            noise: Any = flow.diffusion(t0, x, None)
            control = dfx.UnsafeBrownianPath((noise.in_size(),), key)
            how, controller = (dfx.Euler(), (t1 - t0) / SDE_STEPS), dfx.ConstantStepSize()
        solver, step = how
        solution: Any = dfx.diffeqsolve(
            controlled(flow, control), solver, t0, t1, step, x,
            saveat=dfx.SaveAt(ts=jnp.linspace(t0, t1, ALONG)), stepsize_controller=controller,
            max_steps=LIMIT, throw=False, adjoint=dfx.ForwardMode(),
        )  # fmt: skip
        good = dfx.is_okay(solution.result) & jnp.all(jnp.isfinite(solution.ys))
        return jnp.where(good, solution.ys, jnp.nan)

    return jax.vmap(one, in_axes=(0, None if keys is None else 0))(states, keys)
