"""`check`: run the dynamics as the user would, and look whether the energy rises.

Three statements are kept apart: values at the solver's own steps, values of its dense output (reported, never decisive:
interpolation is not part of the flow), and the rate of the generator at the visited states. For an SDE the statement is
in mean, over paths, and pathwise rises are only counted; its noise is meant in the solver's sense, Ito or Stratonovich.
"""

from typing import Any

import diffrax as dfx
import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, PRNGKeyArray, PyTree

from .._errors import InputError
from .._journal import recorded
from .._types import EnergyFn
from ..flows import Map
from ._inputs import question, region_of, span_of, states_of, steps_of
from ._judge import judge_mean, judge_steps
from ._trajectory import Trajectory, is_adaptive, kicks, solve
from ._verdict import Verdict


@recorded
def check(
    energy: EnergyFn,
    flow: Any,
    states: Any,
    *,
    t0: float,
    t1: float,
    solver: dfx.AbstractSolver | None = None,
    stepsize_controller: dfx.AbstractStepSizeController | None = None,
    dt0: float | None = None,
    key: PRNGKeyArray | None = None,
    args: PyTree = None,
    tolerance: float = 0.0,
    dense: int = 129,
    max_steps: int | None = None,
    error: float = 1e-3,
) -> Verdict:
    """Does the energy fall along these runs?

    Arguments:
        energy: any ``E(t, x)`` on the flow's clock.
        flow: a dynamem flow, any Diffrax terms, or a `Map` (then ``t1 - t0`` counts updates and no solver is used).
        states: initial states, shape (B, D), float64 (integers are converted).
        t0: start.
        t1: end, later than ``t0``.
        solver: any Diffrax solver; it says in which sense noise is meant.
        stepsize_controller: any Diffrax controller; constant steps of ``dt0`` by default.
        dt0: first or constant step.
        key: JAX key, needed where there is noise; path ``b`` uses ``fold_in(key, b)``.
        args: what the terms are given, as in `diffrax.diffeqsolve`.
        tolerance: rise, of the energy or of its rate, that is forgiven on top of the rounding model.
        dense: points of dense output to evaluate.
        max_steps: steps kept for each state; by default what a fixed grid needs, 4096 for adaptive ones.
        error: chance that the statement in mean is wrong where the true mean does not rise.

    Returns:
        ``holds``, ``broken`` with a witness, ``undecided`` (in mean only), or ``failed``.

    Raises:
        InputError: an argument that cannot be used, or an energy and a flow on different clocks.
    """
    states, span = states_of(states), span_of(t0, t1)
    sense = "stratonovich" if isinstance(solver, dfx.AbstractStratonovichSolver) else "ito"
    ask = question(energy, flow, states, span, args=args, tolerance=tolerance, interpretation=sense)
    if isinstance(ask.dynamics, Map):
        return judge_steps(ask, _iterate(ask.dynamics, states, span), region_of(states, span, "updates"))
    if solver is None:
        msg = "solver=None: name a Diffrax solver, for instance diffrax.Tsit5()"
        raise InputError(msg)
    if ask.noisy and key is None:
        msg = "key=None: a flow with noise needs a JAX key, for instance jax.random.key(0)"
        raise InputError(msg)
    controller = dfx.ConstantStepSize() if stepsize_controller is None else stepsize_controller
    needed = steps_of(controller, span, dt0)
    limit = needed if max_steps is None else max_steps
    step = None if dt0 is None else jnp.asarray(dt0, states.dtype)
    how = (states, span, solver, controller, step)
    region = region_of(states, span, f"steps of {type(solver).__name__}")
    if not ask.noisy:
        run = solve(ask.dynamics, *how, None, max_steps=limit, dense=dense, args=args).trimmed()
        return judge_steps(ask, run, region)
    keys = _path_keys(key, states.shape[0])
    run = solve(ask.dynamics, *how, keys, max_steps=limit, args=args).trimmed()
    whole = is_adaptive(controller)
    noise = kicks(ask.dynamics, run, keys, span, adaptive=whole, solver=solver, args=args)
    return judge_mean(ask, run, noise, f"{region}, noise in the {sense.title()} sense", whole=whole, error=error)


def _path_keys(key: Any, count: int) -> Array:
    """One key for each path."""
    return jax.vmap(lambda b: jr.fold_in(key, b))(jnp.arange(count))


def _iterate(update: Map, states: Array, span: tuple) -> Trajectory:
    """``t1 - t0`` updates of every state."""
    count = max(1, round(float(span[1] - span[0])))
    run = _iterated(update, states, count)
    ts = jnp.broadcast_to(span[0] + jnp.arange(count + 1, dtype=run.dtype), run.shape[:2])
    finite = jnp.all(jnp.isfinite(run), axis=(1, 2))
    whole = jnp.full(states.shape[0], count + 1)
    return Trajectory(ts, run, whole, finite, ts[:, :0], run[:, :0])


@eqx.filter_jit
def _iterated(update: Map, states: Array, count: int) -> Array:
    def one(x0: Array) -> Array:
        last, before = jax.lax.scan(lambda x, _: (update(x), x), x0, length=count)
        return jnp.concatenate([before, last[None]])

    return jax.vmap(one)(states)
