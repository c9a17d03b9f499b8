"""Trajectories of many states at once: Diffrax's own solve, vmapped, with every step kept."""

from collections.abc import Callable
from typing import Any

import diffrax as dfx
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray, Scalar

from .._errors import InputError
from .._types import EnergyFn
from ..flows import AbstractFlow, AbstractODEFlow, AbstractSDEFlow
from ._dynamics import TermDynamics


CHUNK = 256


class Trajectory(eqx.Module):
    """Steps of B solves (or of one), padded at the end by repeating the last one.

    Attributes:
        ts: times, shape (B, n).
        xs: states, shape (B, n, D).
        count: number of valid entries of each row, shape (B,).
        ok: whether the solve ended well with finite states, shape (B,).
        dense_ts: times of the dense output, shape (B, m), empty if not asked for.
        dense_xs: the interpolated states, shape (B, m, D).
        result: Diffrax's own outcome of each solve, None for updates of a map.
        limit: steps that each solve was allowed, shape (B,).
        rejected: steps tried in vain, shape (B,).
    """

    ts: Float[Array, "*B n"]
    xs: Float[Array, "*B n D"]
    count: Int[Array, "*B"]
    ok: Bool[Array, "*B"]
    dense_ts: Float[Array, "*B m"]
    dense_xs: Float[Array, "*B m D"]
    result: Any = None
    limit: Int[Array, "*B"] | None = None
    rejected: Int[Array, "*B"] | None = None

    def trimmed(self, multiple: int = 32) -> "Trajectory":
        """Without the columns that no row uses, their number rounded up so that few shapes are compiled."""
        used = int(np.max(np.asarray(self.count)))
        width = min(self.ts.shape[1], -(-used // multiple) * multiple)
        kept = [jnp.asarray(np.asarray(part)[:, :width]) for part in (self.ts, self.xs)]  # JAX would compile each width
        return eqx.tree_at(lambda one: (one.ts, one.xs), self, kept)


def is_adaptive(controller: Any) -> bool:
    """Whether step sizes depend on the states."""
    return not isinstance(controller, dfx.ConstantStepSize | dfx.StepTo)


def controlled(flow: Any, control: Any) -> Any:
    """The terms of a flow or of the user, driven by one path's own noise."""
    if isinstance(flow, AbstractODEFlow):
        return flow.terms()
    if isinstance(flow, AbstractSDEFlow | TermDynamics):
        return flow.terms(control)
    msg = f"flow={type(flow).__name__} has no terms: derive it from AbstractODEFlow or AbstractSDEFlow"
    raise InputError(msg)


def levy_area(solver: Any) -> Any:
    """What a solver needs of a Brownian path beyond its increments (the SRK solvers name it)."""
    least = getattr(getattr(solver, "solver", solver), "minimal_levy_area", dfx.BrownianIncrement)
    if issubclass(least, dfx.AbstractSpaceTimeTimeLevyArea):
        return dfx.SpaceTimeTimeLevyArea
    return dfx.SpaceTimeLevyArea if issubclass(least, dfx.AbstractSpaceTimeLevyArea) else dfx.BrownianIncrement


def brownian(noise: Any, span: tuple, adaptive: bool, area: Any, key: PRNGKeyArray) -> Any:
    """One path's Brownian motion with a `levy_area`, a component for each column of ``noise``.

    It is keyed by the step's ends for fixed steps, and a virtual tree for adaptive ones, the same for all solvers.
    """
    how: dict[str, Any] = {"shape": (noise.in_size(),), "key": key}
    if not adaptive:
        return dfx.UnsafeBrownianPath(**how, levy_area=area)
    tree: Any = area if issubclass(area, dfx.AbstractSpaceTimeTimeLevyArea) else dfx.SpaceTimeLevyArea
    t0, t1 = span
    return dfx.VirtualBrownianTree(t0, t1, tol=1e-4 * (t1 - t0), **how, levy_area=tree)


@eqx.filter_jit
def solve(
    flow: AbstractFlow,
    states: Float[Array, "B D"],
    span: tuple,
    solver: dfx.AbstractSolver,
    controller: dfx.AbstractStepSizeController,
    dt0: Float[Array, ""] | None,
    keys: Any,
    *,
    max_steps: int,
    dense: int = 0,
    args: Any = None,
    shared: bool = False,
) -> Trajectory:
    """Solve from every state over ``span = (t0, t1)``, keeping all steps and ``dense`` interpolated points.

    ``keys`` are those of Brownian paths, shape (B,), or paths of the caller's with a leading axis B, or None without
    noise. ``shared`` lets fixed steps of any size see one Brownian path of a key, as adaptive ones do.
    """
    t0, t1 = span
    adaptive = shared or is_adaptive(controller)
    nodes, area = jnp.linspace(t0, t1, dense) if dense else None, levy_area(solver)

    def one(x0: Float[Array, " D"], key: Any) -> Trajectory:
        control = key
        if key is not None and not isinstance(key, dfx.AbstractPath):
            control = brownian(flow.diffusion(t0, x0, args), span, adaptive, area, key)
        steps = dfx.SubSaveAt(t0=True, steps=True)
        saves = steps if nodes is None else [steps, dfx.SubSaveAt(ts=nodes)]
        solution: Any = dfx.diffeqsolve(
            controlled(flow, control),
            solver,
            t0,
            t1,
            dt0,
            x0,
            args,
            saveat=dfx.SaveAt(subs=saves),
            stepsize_controller=controller,
            adjoint=dfx.ForwardMode(),
            max_steps=max_steps,
            throw=False,
        )
        ts, xs = (solution.ts, solution.ys) if nodes is None else (solution.ts[0], solution.ys[0])
        empty = (jnp.zeros(0, x0.dtype), jnp.zeros((0, *x0.shape), x0.dtype))
        dense_ts, dense_xs = empty if nodes is None else (solution.ts[1], solution.ys[1])
        count = solution.stats["num_accepted_steps"] + 1
        rest = (solution.result, jnp.asarray(max_steps), solution.stats["num_rejected_steps"])
        return _padded(ts, xs, count, (dense_ts, dense_xs), rest)

    return jax.vmap(one, in_axes=(0, None if keys is None else 0))(states, keys)


def _padded(ts: Array, xs: Array, count: Array, dense: tuple, rest: tuple) -> Trajectory:
    """Repeat the last valid step into the unused slots."""
    index = jnp.minimum(jnp.arange(ts.shape[0]), count - 1)
    ts, xs = ts[index], xs[index]
    finite = jnp.all(jnp.isfinite(xs)) & jnp.all(jnp.isfinite(ts))
    return Trajectory(ts, xs, count, dfx.is_okay(rest[0]) & finite, *dense, *rest)


def along(function: Callable, ts: Any, xs: Any, *more: Any, chunk: int = CHUNK) -> Any:
    """``function(t, x, ...)`` at all points ts (...), xs (..., D): NumPy leaves with the leading shape of ``ts``.

    Points go through in chunks of one size, so that a function compiles once whatever the trajectories' lengths.
    """
    shape = np.shape(ts)
    flat = [np.reshape(np.asarray(part), (-1, *np.shape(part)[len(shape) :])) for part in (ts, xs, *more)]
    count = flat[0].shape[0]
    padded = [np.concatenate([part, np.repeat(part[-1:], -count % chunk, axis=0)]) for part in flat]
    pieces = [
        _vmapped(function, *(jnp.asarray(part[start : start + chunk]) for part in padded))
        for start in range(0, count, chunk)
    ]
    return jax.tree.map(lambda *leaves: _joined(leaves, count, shape), *jax.device_get(pieces))


@eqx.filter_jit
def _vmapped(function: Callable, *points: Any) -> Any:
    return jax.vmap(function)(*points)


def _joined(leaves: tuple, count: int, shape: tuple) -> np.ndarray:
    whole = np.concatenate(leaves)[:count]
    return whole.reshape(*shape, *whole.shape[1:])


def kicks(
    flow: AbstractFlow,
    run: Trajectory,
    keys: Array,
    span: tuple,
    *,
    adaptive: bool,
    solver: Any = None,
    args: Any = None,
) -> Array:
    """The noise ``g dW`` of every step, computed again from the path that drove it, shape (B, n - 1, D)."""
    return _kicks(flow, run.ts, run.xs, keys, span, adaptive, levy_area(solver), args)


@eqx.filter_jit
def _kicks(
    flow: AbstractFlow, times: Array, states: Array, keys: Array, span: tuple, adaptive: bool, area: Any, args: Any
) -> Array:
    """One program for all solvers that see the same paths."""

    def one(ts: Array, xs: Array, key: PRNGKeyArray) -> Array:
        control = brownian(flow.diffusion(ts[0], xs[0], args), span, adaptive, area, key)
        real = ts[1:] > ts[:-1]  # padding repeats a time, and a path has no increment over nothing
        if adaptive:  # a tree knows the path at each time, so that each is asked for once
            increments = jnp.diff(jax.vmap(control.evaluate)(ts), axis=0)
        else:
            ends = jnp.where(real, ts[:-1], span[0]), jnp.where(real, ts[1:], span[1])
            increments = jax.lax.map(lambda pair: control.evaluate(*pair), ends)

        def step(start: tuple) -> Array:
            t0, x0, increment, counts = start
            noise: Any = flow.diffusion(t0, x0, args)
            kick = noise.mv(increment)
            return jnp.where(counts, kick, jnp.zeros_like(kick))

        return jax.lax.map(step, (ts[:-1], xs[:-1], increments, real))

    return jax.vmap(one)(times, states, keys)


class Directional(eqx.Module):
    """``(t, x, v) -> grad E . v``: with ``v = g dW`` the martingale part of a step."""

    energy: EnergyFn

    def __call__(self, t: Scalar, x: Float[Array, " D"], v: Float[Array, " D"]) -> Scalar:
        """The derivative of the energy at ``(t, x)`` along ``v``."""
        return jax.jvp(lambda z: self.energy(t, z), (x,), (v,))[1]
