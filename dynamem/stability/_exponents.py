r"""Lyapunov exponents: at which rates neighbouring states part, from products of tangent maps kept apart by QR.

    dx/dt = F(t, x),    dV/dt = J(t, x) V,    V = Q R,    lambda_i = lim (1/T) sum log R_ii

(G. Benettin, L. Galgani, A. Giorgilli, J.-M. Strelcyn, Meccanica 15 (1980) 9). State and tangents are solved together
by Diffrax, segment by segment, and made orthonormal after each. Of a `Map` a segment is one step and exact.

All ``D`` exponents sum to the mean divergence (Liouville). That mean is computed apart, from the trace of the Jacobian
along the solution and not from the tangents, and both must agree: a wrong variational equation does not pass.
"""

import dataclasses
import itertools
from typing import Any

import diffrax as dfx
import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Bool, Float, PyTree, Scalar, Shaped

from .._errors import InputError
from .._types import Given
from .._validate import floats, require_finite
from ..flows import AbstractFlow, Map
from ..lyapunov import dynamics_of


BLOCKS = 20
AGREES = 1e-3
"""How far the sum of all exponents may be from the mean divergence, relative to the sum of their sizes."""


@dataclasses.dataclass(frozen=True)
class Exponents:
    """Lyapunov exponents of one trajectory, or the mean over several.

    Attributes:
        values: the exponents, largest first as a rule, per unit of the flow's time (of a map: per step), shape (k,).
        errors: standard errors of the means over blocks of time and over trajectories, shape (k,); infinity where
            there are fewer than two blocks. They say how much the finite time matters, not what the solver errs.
        times: ends of the segments, shape (n,).
        history: the running estimates at these times, shape (n, k).
        divergence: mean of ``tr J`` (of a map ``log |det f'|``) along the trajectories, None unless ``k = D``.
        consistent: whether the sum of exponents equals the divergence to 0.1 % of their sizes, None unless ``k = D``.
        ends: last finite states, shape (B, D).
        complete: whether every trajectory stayed finite up to the end.
        reason: what ended it early, "" if nothing did.
    """

    values: Float[np.ndarray, " k"]
    errors: Float[np.ndarray, " k"]
    times: Float[np.ndarray, " n"]
    history: Float[np.ndarray, "n k"]
    divergence: float | None
    consistent: bool | None
    ends: Float[np.ndarray, "B D"]
    complete: bool
    reason: str


@dataclasses.dataclass(frozen=True)
class Stretching:
    """Finite-time rates at which states near given ones part.

    Attributes:
        rates: ``log(singular values of dx(t1)/dx(t0)) / (t1 - t0)``, largest first, shape (B, D); NaN where the
            trajectory did not stay finite.
        ends: states at the end, shape (B, D).
        finite: which trajectories stayed finite, shape (B,).
        contracts: whether all rates of a trajectory are below 0, shape (B,).
    """

    rates: Float[np.ndarray, "B D"]
    ends: Float[np.ndarray, "B D"]
    finite: Bool[np.ndarray, " B"]
    contracts: Bool[np.ndarray, " B"]


def variational(dynamics: Any, t: Scalar, x: Array, tangents: Array, args: PyTree) -> tuple[Array, Array]:
    """``F`` and ``J V`` (of a map ``f`` and ``f' V``) for tangents ``V`` of shape (D, k)."""

    def field(x: Array) -> Array:
        return dynamics(x) if isinstance(dynamics, Map) else dynamics.drift(t, x, args)

    moved = jax.vmap(lambda v: jax.jvp(field, (x,), (v,))[1], in_axes=1, out_axes=1)(tangents)
    return field(x), moved


def _divergence(dynamics: AbstractFlow, t: Scalar, x: Array, args: PyTree) -> Scalar:
    return jnp.trace(jax.jacfwd(lambda z: dynamics.drift(t, z, args))(x))


class _Tangent(eqx.Module):
    """The joint field of state, tangents, and the integral of the divergence where it is wanted."""

    dynamics: AbstractFlow
    whole: bool = eqx.field(static=True)

    def __call__(self, t: Any, y: tuple[Array, Array, Array], args: PyTree) -> tuple[Array, Array, Array]:
        x, tangents, volume = y
        drift, moved = variational(self.dynamics, t, x, tangents, args)
        return drift, moved, _divergence(self.dynamics, t, x, args) if self.whole else jnp.zeros_like(volume)


class _Plan(eqx.Module):
    """How a run is solved."""

    dynamics: AbstractFlow | Map
    solver: dfx.AbstractSolver
    controller: dfx.AbstractStepSizeController
    dt0: Float[Array, ""] | None
    args: PyTree
    whole: bool = eqx.field(static=True)
    max_steps: int = eqx.field(static=True)

    def advance(self, t0: Scalar, t1: Scalar, x: Array, tangents: Array) -> tuple[Array, Array, Array]:
        """State, tangents and growth of volume after a segment."""
        if isinstance(self.dynamics, Map):
            new, moved = variational(self.dynamics, t0, x, tangents, None)
            if not self.whole:
                return new, moved, jnp.zeros((), x.dtype)
            return new, moved, jnp.linalg.slogdet(jax.jacfwd(self.dynamics)(x))[1]
        solution: Any = dfx.diffeqsolve(
            dfx.ODETerm(_Tangent(self.dynamics, self.whole)),
            self.solver,
            t0,
            t1,
            self.dt0,
            (x, tangents, jnp.zeros((), x.dtype)),
            self.args,
            stepsize_controller=self.controller,
            adjoint=dfx.ForwardMode(),
            max_steps=self.max_steps,
            throw=False,
        )
        fine = solution.result == dfx.RESULTS.successful
        new, moved, volume = jax.tree.map(lambda leaf: leaf[-1], solution.ys)
        return jnp.where(fine, new, jnp.full_like(new, jnp.nan)), moved, volume


@eqx.filter_jit
def _run(plan: _Plan, states: Array, tangents: Array, ts: Array) -> tuple[Array, Array, Array, Array]:
    """Tangents at the end; of every segment the logarithms (n, B, k), volumes (n, B) and states (n, B, D)."""

    def segment(carry: tuple[Array, Array], ends: tuple[Array, Array]) -> tuple[tuple[Array, Array], tuple]:
        xs, frames = carry
        xs, moved, volumes = jax.vmap(lambda x, v: plan.advance(*ends, x, v))(xs, frames)
        frames, triangles = jnp.linalg.qr(moved)
        diagonal = jnp.diagonal(triangles, axis1=1, axis2=2)
        frames = frames * jnp.where(diagonal < 0, -1.0, 1.0)[:, None, :]
        return (xs, frames), (jnp.log(jnp.abs(diagonal)), volumes, xs)

    (_, frames), (logs, volumes, xs) = jax.lax.scan(segment, (states, tangents), (ts[:-1], ts[1:]))
    return frames, logs, volumes, xs


def lyapunov_exponents(
    flow: Any,
    x0: Shaped[Given, "*B D"],
    *,
    t1: float | int,
    t0: float | int = 0.0,
    count: int | None = None,
    transient: float | int = 0.0,
    segments: int = 1000,
    solver: dfx.AbstractSolver | None = None,
    controller: dfx.AbstractStepSizeController | None = None,
    dt0: float | None = None,
    args: PyTree = None,
    seed: int = 0,
    max_steps: int = 4096,
) -> Exponents:
    """The first ``count`` Lyapunov exponents along the trajectory from ``x0``; the drift's, of a flow with noise.

    Arguments:
        flow: a dynamem flow, Diffrax terms or a `Map`. Of one that reads the time these are finite-time exponents.
        x0: one state (D,), or several (B, D) whose estimates are averaged.
        t1: end of the time (a map: number of steps).
        t0: start.
        count: how many exponents; all D if not given.
        transient: time (steps) that is left out at the start, while the state reaches its attractor and the tangents
            turn into their directions. Give one unless the exponents of just this stretch of time are wanted.
        segments: how often the tangents are made orthonormal (a map: after each step).
        solver: Diffrax's; `diffrax.Tsit5` by default.
        controller: Diffrax's; by default `diffrax.PIDController` with tolerances 1e-9, fixed steps if ``dt0`` is given.
        dt0: the first step, or all of them.
        args: what the user's terms are given.
        seed: of the first tangents.
        max_steps: of one segment.

    Raises:
        InputError: an argument that cannot be used. A trajectory that does not stay finite is told in the result.
    """
    states, dynamics = _states(x0), flow if isinstance(flow, Map) else dynamics_of(flow)
    size, whole = states.shape[1], count is None or count == states.shape[1]
    count = size if count is None else int(count)
    if not 1 <= count <= size or segments < 1:
        msg = f"count={count!r}, segments={segments!r}: need between 1 and {size} exponents, and at least one segment"
        raise InputError(msg)
    early, late = _times(dynamics, t0, t1, transient, segments)
    plan = _plan(dynamics, solver, controller, dt0, args, whole, max_steps)
    frame = jnp.linalg.qr(jr.normal(jr.key(seed), (size, count), states.dtype))[0]
    frames = jnp.broadcast_to(frame[None], (len(states), size, count))
    if len(early) > 1:
        frames, *_, xs = _run(plan, states, frames, early)
        if not np.all(np.isfinite(np.asarray(xs[-1]))):
            return _nothing(count, np.asarray(states), "a trajectory did not stay finite in the transient")
        states = xs[-1]
    _, logs, volumes, xs = _run(plan, states, frames, late)
    return _summary(np.asarray(late), *map(np.asarray, (logs, volumes, xs, states)), whole=whole)


def _states(x0: Any) -> Array:
    given = floats("x0", x0)
    require_finite("x0", given)
    if given.ndim not in (1, 2) or 0 in given.shape:
        msg = f"x0.shape={given.shape!r}: need one state (D,) or several (B, D)"
        raise InputError(msg)
    return jnp.atleast_2d(given).astype(jnp.result_type(float))


def _times(
    dynamics: Any, t0: float | int, t1: float | int, transient: float | int, segments: int
) -> tuple[Array, Array]:
    """Ends of the segments of the transient, and of what is measured."""
    if not (np.isfinite([t0, t1, transient]).all() and transient >= 0 and t1 - t0 > transient):
        msg = f"t0={t0!r}, t1={t1!r}, transient={transient!r}: need finite times with 0 <= transient < t1 - t0"
        raise InputError(msg)
    if isinstance(dynamics, Map):
        begin, left, end = (round(value) for value in (t0, t0 + transient, t1))
        if end - left < 1:
            msg = f"t1={t1!r}: of a map these are steps; need at least one after the transient"
            raise InputError(msg)
        return jnp.arange(begin, left + 1.0), jnp.arange(left, end + 1.0)
    middle = t0 + transient
    length = (t1 - middle) / segments
    before = max(int(np.ceil(transient / length)), 1) if transient > 0 else 0
    return jnp.linspace(t0, middle, before + 1), jnp.linspace(middle, t1, segments + 1)


def _plan(
    dynamics: Any, solver: Any, controller: Any, dt0: float | None, args: PyTree, whole: bool, max_steps: int
) -> _Plan:
    if controller is None:
        controller = dfx.PIDController(rtol=1e-9, atol=1e-9) if dt0 is None else dfx.ConstantStepSize()
    first = None if dt0 is None else jnp.asarray(dt0, jnp.result_type(float))
    return _Plan(dynamics, solver or dfx.Tsit5(), controller, first, args, whole, max_steps)


def _nothing(count: int, states: np.ndarray, reason: str) -> Exponents:
    none = np.full(count, np.nan)
    return Exponents(none, none, np.zeros(0), np.zeros((0, count)), None, None, states, False, reason)


def _summary(
    ts: np.ndarray, logs: np.ndarray, volumes: np.ndarray, xs: np.ndarray, states: np.ndarray, *, whole: bool
) -> Exponents:
    """Means, their errors and the check, over the segments in which everything is a number."""
    finite: Any = np.isfinite(xs).all(axis=(1, 2)) & ~np.isnan(logs).any(axis=(1, 2)) & (logs < np.inf).all(axis=(1, 2))
    kept = len(finite) if finite.all() else int(np.argmin(finite))
    reason = "" if kept == len(finite) else f"a trajectory did not stay finite beyond t = {ts[kept]:.6g}"
    if not kept:
        return _nothing(logs.shape[2], states, reason)
    logs, spans = logs[:kept], np.diff(ts)[:kept]
    passed = np.cumsum(spans)
    history = np.cumsum(logs.mean(axis=1), axis=0) / passed[:, None]
    values = history[-1]
    volume = float(volumes[:kept].mean(axis=1).sum() / passed[-1]) if whole else None
    agrees = None if volume is None else bool(abs(values.sum() - volume) <= AGREES * max(np.abs(values).sum(), 1e-12))
    errors = _errors(logs, spans)
    return Exponents(values, errors, ts[1 : kept + 1], history, volume, agrees, xs[kept - 1], not reason, reason)


def _errors(logs: np.ndarray, spans: np.ndarray) -> np.ndarray:
    """Standard errors of the mean from means over blocks, whose number is at most 20 a trajectory."""
    count = min(BLOCKS, len(spans))
    edges = np.linspace(0, len(spans), count + 1).astype(int)
    means = [logs[a:b].sum(axis=0) / spans[a:b].sum() for a, b in itertools.pairwise(edges)]
    blocks = np.concatenate(means)  # (blocks B, k)
    if len(blocks) < 2:
        return np.full(logs.shape[2], np.inf)
    return blocks.std(axis=0, ddof=1) / np.sqrt(len(blocks))


def finite_time_contraction(
    flow: Any,
    states: Shaped[Given, "*B D"],
    *,
    t1: float | int,
    t0: float | int = 0.0,
    solver: dfx.AbstractSolver | None = None,
    controller: dfx.AbstractStepSizeController | None = None,
    dt0: float | None = None,
    args: PyTree = None,
    max_steps: int = 16384,
) -> Stretching:
    """Rates at which the neighbours of each state part between ``t0`` and ``t1``: singular values of the tangent map.

    Arguments:
        flow: a dynamem flow, Diffrax terms or a `Map` (then times are whole numbers of steps).
        states: shape (D,) or (B, D).
        t1: end.
        t0: start.
        solver: as for `lyapunov_exponents`.
        controller: as there.
        dt0: as there.
        args: what the user's terms are given.
        max_steps: of the solve.

    Raises:
        InputError: an argument that cannot be used.
    """
    given, dynamics = _states(states), flow if isinstance(flow, Map) else dynamics_of(flow)
    _, ts = _times(dynamics, t0, t1, 0.0, 1)
    plan = _plan(dynamics, solver, controller, dt0, args, False, max_steps)
    ends, sizes = map(np.asarray, _stretched(plan, given, ts))
    finite: Any = np.isfinite(ends).all(axis=1) & np.isfinite(sizes).all(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        rates = np.where(finite[:, None], np.log(sizes) / float(ts[-1] - ts[0]), np.nan)
    return Stretching(rates, ends, finite, finite & (np.nan_to_num(rates, nan=np.inf) < 0).all(axis=1))


@eqx.filter_jit
def _stretched(plan: _Plan, states: Array, ts: Array) -> tuple[Array, Array]:
    """Ends (B, D), and singular values of the tangent maps (B, D)."""

    def one(x: Array) -> tuple[Array, Array]:
        def segment(carry: tuple[Array, Array], ends: tuple[Array, Array]) -> tuple[tuple[Array, Array], None]:
            new, moved, _ = plan.advance(*ends, *carry)
            return (new, moved), None

        (end, tangents), _ = jax.lax.scan(segment, (x, jnp.eye(x.shape[0], dtype=x.dtype)), (ts[:-1], ts[1:]))
        return end, jnp.linalg.svd(tangents, compute_uv=False)

    return jax.vmap(one)(states)
