"""One solve of a problem by a method: Diffrax's own, or SciPy's as an outside reference."""

import time
from collections.abc import Callable
from typing import Any, NamedTuple

import diffrax as dfx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import scipy.integrate
from jaxtyping import Array, Float

from .._errors import InputError
from ..lyapunov import Trajectory, dynamics_of, kicks
from ._ahead import Ahead
from ._evaluations import calls_of, counting, evaluations_of, fixed_step
from ._records import Method, Problem


MOST_STEPS = 4096
DENSE = 65
ATOL = 1e-3  # of an adaptive method, in units of its relative tolerance
OUTSIDE = tuple(f"scipy:{kind}" for kind in ("RK45", "RK23", "DOP853", "Radau", "BDF", "LSODA"))
"""Methods of `scipy.integrate.solve_ivp`."""
BRIEF = 0.1
"""A run of fewer seconds is made twice, and the second one told, as a program's first has to find its memory."""


class Solved(NamedTuple):
    """A run of all states, what it cost, and the noise ``g dW`` of its steps (None for an ODE)."""

    run: Trajectory
    evaluations: float
    seconds: float
    compile_seconds: float
    noise: Any


class Asked(NamedTuple):
    """A problem made ready: its dynamics, times as arrays, and a key for each path (None for an ODE)."""

    problem: Problem
    flow: Any
    states: Float[Array, "B D"]
    span: tuple
    keys: Any


def reason_of(error: Exception) -> str:
    """An error in one line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())[:160]}"


def asked(problem: Problem, seed: int) -> Asked:
    """The problem with its dynamics read from whatever terms it has.

    Raises:
        InputError: ends that do not increase, or an energy that is not a number at a state.
    """
    if not problem.t0 < problem.t1:
        msg = f"t0={problem.t0!r}, t1={problem.t1!r}: need t0 < t1, as clocks run toward the memory"
        raise InputError(msg)
    flow, states = dynamics_of(problem.flow), jnp.asarray(problem.states)
    span = (jnp.asarray(problem.t0, states.dtype), jnp.asarray(problem.t1, states.dtype))
    for name, energy in problem.energies.items():
        try:
            shape = jax.eval_shape(energy, span[0], states[0]).shape
        except (TypeError, ValueError) as error:
            msg = f"energy={name!r} takes no states of shape {states.shape[1:]!r}: {reason_of(error)}"
            raise InputError(msg) from error
        if shape != ():
            msg = f"energy={name!r} has values of shape {shape!r} on states of shape {states.shape[1:]!r}: need ()"
            raise InputError(msg)
    noisy = flow.diffusion(span[0], states[0], None) is not None
    keys = jr.split(jr.key(seed), states.shape[0]) if noisy else None
    return Asked(problem, flow, states, span, keys)


def solved(ask: Asked, method: Method, steps: int | None, rtol: float | None, ahead: Ahead | None = None) -> Solved:
    """Run a method with so many steps of its grid, or with a relative tolerance, by programs made ahead."""
    if isinstance(method.solver, str):
        return _outside(ask, method.solver, rtol)
    if ahead is None:
        with Ahead() as own:
            prepare(own, ask, method, steps, rtol)
            return solved(ask, method, steps, rtol, own)
    how, kept = _how(ask, method, steps, rtol)
    name, counter = _program(method, steps), None
    program = ahead.get(name)
    if calls_of(how) is None:
        counter = ahead.get((*name, "counted")).run
    run, seconds = _timed(lambda: program.run(ask.flow, *how, **kept))
    if seconds < BRIEF:
        run, seconds = _timed(lambda: program.run(ask.flow, *how, **kept))
    calls = evaluations_of(ask.flow, run, how, counter, **kept)
    noise = None if ask.keys is None else kicks(ask.flow, run, ask.keys, ask.span, adaptive=True, solver=method.solver)
    kept_run = run.trimmed(1)  # energies are asked for at the steps that were made only
    noise = None if noise is None else np.asarray(noise)[:, : kept_run.ts.shape[1] - 1]
    return Solved(kept_run, calls, seconds, program.seconds, noise)


def _timed(run: Callable[[], Trajectory]) -> tuple[Trajectory, float]:
    """A run and its seconds."""
    begin = time.perf_counter()
    done = jax.block_until_ready(run())
    return done, time.perf_counter() - begin


def prepare(ahead: Ahead, ask: Asked, method: Method, steps: int | None, rtol: float | None) -> None:
    """Have the programs made that `solved` asks for."""
    if isinstance(method.solver, str):
        return
    name = _program(method, steps)

    def timed() -> tuple:
        how, kept = _how(ask, method, steps, rtol)
        return (ask.flow, *how), kept

    def watched() -> tuple | None:
        how, kept = _how(ask, method, steps, rtol)
        return counting(ask.flow, how, 0, **kept) if calls_of(how) is None else None

    ahead.prepare(name, timed)
    ahead.prepare((*name, "counted"), watched)


def _program(method: Method, steps: int | None) -> tuple:
    """A ladder shares one, unless the number of times of its grid is a shape."""
    return id(method), None if method.grid == "uniform" else steps


def _how(ask: Asked, method: Method, steps: int | None, rtol: float | None) -> tuple[tuple, dict[str, Any]]:
    """Arguments of `solve` after the flow, and its keywords."""
    kept: dict[str, Any] = kept_of(ask, method)
    if steps is None:
        make: Any = method.controller or (lambda tolerance: dfx.PIDController(rtol=tolerance, atol=ATOL * tolerance))
        controller, dt0 = make(jnp.asarray(rtol)), None
    elif method.grid == "uniform":
        controller, dt0 = dfx.ConstantStepSize(), fixed_step(ask.span, steps)
    else:
        grid = _grid(ask.problem, method.grid, steps)
        controller, dt0, kept = dfx.StepTo(grid), None, kept | {"max_steps": len(grid)}
    return (ask.states, ask.span, method.solver, controller, dt0, ask.keys), kept


def kept_of(ask: Asked, method: Method) -> dict[str, Any]:
    """Arguments of `solve` that a ladder of a method shares, so that it is compiled once."""
    most = max(method.steps) + 2 if method.steps else MOST_STEPS
    return {"max_steps": most, "dense": 0 if ask.keys is not None else DENSE, "shared": True}


def _grid(problem: Problem, name: str, steps: Any) -> Float[Array, " n"]:
    """Times of a named grid, increasing from t0 to t1."""
    if name not in problem.grids:
        msg = f"grid={name!r}: problem {problem.name!r} has {['uniform', *problem.grids]}"
        raise InputError(msg)
    grid = jnp.asarray(problem.grids[name](steps))
    times = np.asarray(grid)
    if times.ndim != 1 or len(times) != steps + 1 or not np.all(np.diff(times) > 0):
        msg = f"grid={name!r} of {steps} steps: need {steps + 1} increasing times (falling noise), got {times!r:.80}"
        raise InputError(msg)
    return grid.at[0].set(problem.t0).at[-1].set(problem.t1)


def _outside(ask: Asked, name: str, rtol: float | None) -> Solved:
    """SciPy's `solve_ivp`, a state after the other; times and evaluations are its own."""
    _, _, kind = name.partition(":")
    drift = jax.jit(lambda t, x: ask.flow.drift(t, x, None))
    slope = jax.jit(jax.jacfwd(lambda t, x: ask.flow.drift(t, x, None), argnums=1))
    jax.block_until_ready([function(ask.span[0], ask.states[0]) for function in (drift, slope)])
    begin, ends = time.perf_counter(), [float(end) for end in ask.span]
    how: dict[str, Any] = {"method": kind, "rtol": rtol, "atol": ATOL * float(rtol or 0)}
    if kind in ("Radau", "BDF", "LSODA"):
        how["jac"] = lambda t, x: np.asarray(slope(t, x))
    field = lambda t, x: np.asarray(drift(t, x))  # noqa: E731
    runs = [scipy.integrate.solve_ivp(field, ends, state, **how) for state in np.asarray(ask.states)]
    seconds, width = time.perf_counter() - begin, max(len(one.t) for one in runs)
    ts = np.stack([np.pad(one.t, (0, width - len(one.t)), mode="edge") for one in runs])
    xs = np.stack([np.pad(one.y.T, ((0, width - len(one.t)), (0, 0)), mode="edge") for one in runs])
    count = jnp.asarray([len(one.t) for one in runs])
    ok = jnp.asarray([bool(one.success and np.isfinite(one.y).all()) for one in runs])
    none = jnp.zeros((len(runs), 0)), jnp.zeros((len(runs), 0, xs.shape[2]))
    run = Trajectory(jnp.asarray(ts), jnp.asarray(xs), count, ok, *none, rejected=jnp.zeros_like(count))
    return Solved(run, float(np.mean([one.nfev + one.njev for one in runs])), seconds, 0.0, None)
