r"""Basins: which share of initial states ends at which attractor, with an interval, and how long they take.

The share of n independent states has Wilson's interval (Wilson 1927) at a stated level; basin stability (Menck et al.
2013, Nature Physics 9:89) is this share for states from a stated law. A state counts for the nearest attractor if it
ends within a tolerance of it; whatever ends at none is counted apart, by what became of it.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import diffrax as dfx
import jax.numpy as jnp
import numpy as np
from jaxtyping import PRNGKeyArray, PyTree, Shaped

from .._errors import InputError
from .._types import Given
from .._validate import floats, require_patterns, require_positive
from ..catalog import wilson
from ..flows import AbstractODEFlow, Map
from ..lyapunov import TermDynamics, dynamics_of
from ._ends import ELSEWHERE, ESCAPED, FAILED, NOT_RUN, UNSETTLED, Found, How, Judge, found_none, run_flow, run_map


REST = {"elsewhere": ELSEWHERE, "unsettled": UNSETTLED, "escaped": ESCAPED, "failed": FAILED}
"""What becomes of states that end at no attractor: at rest elsewhere, still moving, beyond the bound or no number,
not solved within the steps allowed."""
NODES, CHUNK = 129, 512


def silent(words: str) -> None:
    """Tells nobody."""


@dataclasses.dataclass(frozen=True)
class Share:
    """A share of independent trials with Wilson's interval.

    Attributes:
        count: how many.
        share: of those tried.
        low: lower end.
        high: upper end.
    """

    count: int
    share: float
    low: float
    high: float


@dataclasses.dataclass(frozen=True)
class Basins:
    """Where states ended.

    Attributes:
        labels: the attractor that each state ended at, or -1 at rest elsewhere, -2 still moving, -3 beyond the bound
            or no number, -4 not solved, -5 not tried (Ctrl-C), shape (B,).
        times: from when on it stayed within the tolerance, on the flow's clock or in steps of a map; NaN for those
            that end at none; shape (B,).
        ends: final states, shape (B, D).
        attractors: shape (K, D).
        tolerance: distance that counts as being at an attractor.
        level: of the intervals.
    """

    labels: np.ndarray
    times: np.ndarray
    ends: np.ndarray
    attractors: np.ndarray
    tolerance: float
    level: float

    @property
    def tried(self) -> int:
        """How many states were tried: all, unless Ctrl-C came."""
        return int(np.sum(self.labels != NOT_RUN))

    @property
    def shares(self) -> tuple[Share, ...]:
        """The share of each attractor."""
        return tuple(self._share(place) for place in range(len(self.attractors)))

    @property
    def rest(self) -> dict[str, Share]:
        """The shares of those that end at no attractor, by what became of them (`REST`)."""
        return {name: self._share(code) for name, code in REST.items()}

    def quantiles(self, q: tuple[float, ...] = (0.25, 0.5, 0.75)) -> np.ndarray:
        """Quantiles of the times to each attractor, shape (K, len(q)); NaN where no state ended."""
        found = np.full((len(self.attractors), len(q)), np.nan)
        for place in range(len(found)):
            times = self.times[self.labels == place]
            if len(times):
                found[place] = np.quantile(times, q)
        return found

    def _share(self, label: int) -> Share:
        count, tried = int(np.sum(self.labels == label)), self.tried
        if not tried:
            return Share(0, float("nan"), 0.0, 1.0)
        (low,), (high,) = wilson(np.asarray([count]), tried, self.level)
        low, high = (
            (0.0 if count == 0 else float(low)),
            (1.0 if count == tried else float(high)),
        )  # exact, not to rounding
        return Share(count, count / tried, low, high)


def basins(
    flow: Any,
    states: Shaped[Given, "B D"],
    attractors: Shaped[Given, "K D"],
    *,
    t0: float = 0.0,
    t1: float | None = None,
    solver: dfx.AbstractSolver | None = None,
    stepsize_controller: dfx.AbstractStepSizeController | None = None,
    dt0: float | None = None,
    tolerance: float | None = None,
    rest: float | None = None,
    bound: float | None = None,
    steps: int = 1000,
    max_steps: int = 4096,
    level: float = 0.95,
    key: PRNGKeyArray | None = None,
    args: PyTree = None,
    chunk: int = CHUNK,
    tell: Callable[[str], None] = silent,
) -> Basins:
    """The share of states that ends at each attractor.

    Arguments:
        flow: a flow, any Diffrax terms, or a `Map` (a memory's retrieval is ``Map(memory.update)``).
        states: initial states, shape (B, D); independent draws, or the intervals mean nothing.
        attractors: shape (K, D).
        t0: start.
        t1: end; a map needs none.
        solver: any Diffrax solver, Tsit5 if not given.
        stepsize_controller: PIDController(rtol=1e-6, atol=1e-9) if not given.
        dt0: first step, which fixed steps need.
        tolerance: distance that counts as being at an attractor; if not given, 1/100 of the least distance between
            two attractors (of the norm of a single one, and of 1 where that is 0).
        rest: what moves less is at rest, in the last twentieth of the time or in one step of a map: by default 1/100
            of ``tolerance``. A map's state that is at rest is iterated no further.
        bound: norm beyond which a state has left; by default 1,000 times the largest norm of what is given, plus 1.
        steps: of a map, at most.
        max_steps: of a solve, at most.
        level: of the intervals.
        key: for a flow with noise; each state has its own path.
        args: what the user's terms are given.
        chunk: states at a time.
        tell: takes a sentence on progress after every chunk.

    Returns:
        Labels, times and shares. Ctrl-C leaves the states that were not reached untried.

    Raises:
        InputError: an argument that cannot be used, or the tolerance reaches two attractors at once.
    """
    given, judge = judged(states, attractors, tolerance, rest, bound)
    if not 0 < level < 1 or chunk < 1 or steps < 1:
        msg = f"level={level!r}, chunk={chunk!r}, steps={steps!r}: need a level between 0 and 1, and whole numbers >= 1"
        raise InputError(msg)
    found = found_none(given)
    try:
        if isinstance(flow, Map):
            run_map(flow, judge, given, steps, found, chunk=chunk, tell=tell)
        else:
            how = solving(judge, t0, t1, solver, stepsize_controller, dt0, args, max_steps)
            chunk = min(chunk, len(given))
            run_flow(_dynamics(flow, key), judge, given, how, key, found, chunk=chunk, nodes=NODES, tell=tell)
    except KeyboardInterrupt:
        tell("basins: interrupted, what is done is kept")
    return _recorded(found, judge, level)


def _recorded(found: Found, judge: Judge, level: float) -> Basins:
    return Basins(found.labels, found.times, found.x, np.asarray(judge.attractors), float(judge.tolerance), level)


def judged(states: Any, attractors: Any, tolerance: Any, rest: Any, bound: Any) -> tuple[np.ndarray, Judge]:
    """States, and when they are at an attractor, with the defaults of `basins`."""
    states, attractors = floats("states", states), floats("attractors", attractors)
    require_patterns("states", states)
    require_patterns("attractors", attractors)
    if states.shape[1] != attractors.shape[1]:
        msg = f"states.shape={states.shape!r}, attractors.shape={attractors.shape!r}: need (B, D) and (K, D)"
        raise InputError(msg)
    given, known = np.asarray(states), np.asarray(attractors, np.asarray(states).dtype)
    apart = least_distance(known)
    if tolerance is None:
        size = apart if np.isfinite(apart) else float(np.linalg.norm(known)) or 1.0
        tolerance = size / 100
    require_positive("tolerance", tolerance, scalar=True)
    if not float(tolerance) < apart / 2:
        msg = f"tolerance={float(tolerance)!r}: attractors are {apart:.3g} apart: remove doubles, or take less"
        raise InputError(msg)
    rest = float(tolerance) / 100 if rest is None else rest
    largest = max(float(np.max(np.linalg.norm(one, axis=1))) for one in (given, known))
    bound = 1000 * (largest + 1) if bound is None else bound
    require_positive("rest", rest, zero=True, scalar=True)
    require_positive("bound", bound, scalar=True)
    return given, Judge(jnp.asarray(known), *(jnp.asarray(one, given.dtype) for one in (tolerance, rest, bound)))


def least_distance(points: np.ndarray) -> float:
    """Between two of some points (K, D), infinite for a single one."""
    if len(points) < 2:
        return float("inf")
    squares = np.sum(points**2, axis=1)
    found = squares[:, None] + squares[None, :] - 2 * points @ points.T
    np.fill_diagonal(found, np.inf)
    row, column = np.unravel_index(np.argmin(found), found.shape)
    return float(np.linalg.norm(points[row] - points[column]))


def solving(
    judge: Judge,
    t0: float,
    t1: float | None,
    solver: Any,
    controller: Any,
    dt0: float | None,
    args: Any,
    max_steps: int,
) -> How:
    """How a flow is solved, with the defaults of `basins`."""
    if t1 is None or not t0 < t1 or not np.isfinite(t0) or not np.isfinite(t1):
        msg = f"t0={t0!r}, t1={t1!r}: a flow needs both times, finite, the end after the start"
        raise InputError(msg)
    if isinstance(controller, dfx.ConstantStepSize) and dt0 is None:
        msg = "dt0=None: fixed steps need their size"
        raise InputError(msg)
    dtype = judge.attractors.dtype
    span = (jnp.asarray(t0, dtype), jnp.asarray(t1, dtype))
    first = None if dt0 is None else jnp.asarray(dt0, dtype)
    controller = dfx.PIDController(rtol=1e-6, atol=1e-9) if controller is None else controller
    return How(span, dfx.Tsit5() if solver is None else solver, controller, first, args, max_steps)


def _dynamics(flow: Any, key: Any) -> Any:
    if key is None:
        return deterministic(flow)
    dynamics = dynamics_of(flow)
    if not _noisy(dynamics):
        msg = "key: a flow without noise takes none"
        raise InputError(msg)
    return dynamics


def deterministic(flow: Any) -> Any:
    """A flow or terms as a flow, if it has no noise."""
    dynamics = dynamics_of(flow)
    if _noisy(dynamics):
        msg = "key=None: a flow with noise needs a key, where states of a noisy flow can be used at all"
        raise InputError(msg)
    return dynamics


def _noisy(dynamics: Any) -> bool:
    return bool(dynamics.noises) if isinstance(dynamics, TermDynamics) else not isinstance(dynamics, AbstractODEFlow)
