r"""Step grids found by gradient: those of least error whose steps raise no energy, or the nearest that do not.

The interior times of a grid ``t_0 < ... < t_n`` are ``t_k = t_0 + (t_n - t_0) sum_{i<k} softmax(z)_i``, so that it
increases for every z. Adam (Kingma & Ba 2015) lowers

    log mean |x(t_n) - x*|^2/D + w R,    or, to repair a grid,    mean (z - z_given)^2 + w R,
    R = mean_k [mean relu(E_{k+1} - E_k) / mean |E_{k+1} - E_k|],

by the derivative of Diffrax's own solve on `diffrax.StepTo`, taken forward, so that any solver passes; means are over
states, and an energy that is no number counts as 1. The weight w grows while an energy rises. Of all grids visited the
best without a rise beyond rounding is kept, and asked again by a plain solve. A repaired grid is then drawn back toward
the given one, by bisection of the segment between their z, as far as it stays without a rise.

With noise the error is that of the law of the ends, not in logarithms, and what must not rise is the mean (see
`_noisy`): in R it is ``relu(mean (E_{k+1} - E_k))``. Of grids visited the last without a rise is kept, as an error of
one round is a random number, and the plain solve, on paths of its own, tests each step's mean.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import diffrax as dfx
import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import optax
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float

from .._errors import InputError
from .._types import EnergyFn
from .._validate import require_positive
from ..catalog import System
from ..lyapunov import Sized, mean_test, rises_of, rounding_bound, solve
from ._compare import problem_of
from ._noisy import Normals, law_distance, martingales, normals_of, spread
from ._records import Problem
from ._reference import reference
from ._solving import Asked, asked


ROUNDS, RATE, GROWTH = 200, 0.05, 1.1
BISECTIONS = 12
SURE = 3.0
"""A mean rises that is so many standard errors above 0."""


@dataclasses.dataclass(frozen=True)
class Schedule:
    """A grid and a solver, and how they do.

    Attributes:
        ts: times, shape (n + 1,).
        solver: the solver, with its tuned arrays.
        error: root mean square over states of ``|x - reference|/sqrt(D)`` at the end, with noise the energy distance of
            the ends from the reference's, 0 where its estimate is negative; infinite if a solve fails.
        rises: steps of all states in which the energy rose beyond rounding; with noise steps whose mean rises, at
            confidence 0.999 for all together.
        largest: the largest such rise, 0 if there is none.
        held_error: the error of states that were held out, None without any.
        held_rises: their rises.
    """

    ts: Float[np.ndarray, " n"]
    solver: Any
    error: float
    rises: int
    largest: float
    held_error: float | None = None
    held_rises: int | None = None


@dataclasses.dataclass(frozen=True)
class OptimisedSchedule:
    """What a search for a grid found.

    Attributes:
        status: "holds" if no step of ``after`` raises the energy of the states that were fitted, and it is as exact
            as was asked; else "failed".
        reason: why it failed, or "".
        before: the grid that was given.
        after: the best grid; of a search without any grid that is free of rises, the one of the least R.
        distance: root mean square distance of the logarithms of the steps of the two, None if their numbers differ.
        history: error and R of each round, shape (rounds, 2).
    """

    status: str
    reason: str
    before: Schedule
    after: Schedule
    distance: float | None
    history: Float[np.ndarray, "r 2"]


class Trial(eqx.Module):
    """Runs on grids of one number of steps; a function of ``(z, tuned arrays)``."""

    flow: Any
    states: Float[Array, "B D"]
    span: tuple
    goal: Float[Array, "B D"]
    given: Float[Array, " n"]
    energy: EnergyFn | None
    solver: dfx.AbstractSolver
    keys: Array | None
    where: Callable | None = eqx.field(static=True)
    repair: bool = eqx.field(static=True)

    def grid(self, z: Float[Array, " n"]) -> Float[Array, " m"]:
        """Times, shape (n + 1,)."""
        t0, t1 = self.span
        return jnp.concatenate([t0[None], t0 + (t1 - t0) * jnp.cumsum(jax.nn.softmax(z))[:-1], t1[None]])

    def tuned(self, arrays: Any) -> dfx.AbstractSolver:
        """The solver with other arrays."""
        return self.solver if self.where is None else eqx.tree_at(self.where, self.solver, arrays)

    def __call__(self, point: tuple, weight: Float[Array, ""]) -> tuple[Array, dict]:
        """What is lowered; and error, R, whether a step rises beyond rounding, and the distance of the grids."""
        z, arrays = point
        grid = self.grid(z)
        paths = None if self.keys is None else normals_of(self.flow, self.states, grid, self.keys)
        run = solve(
            self.flow, self.states, self.span, self.tuned(arrays), dfx.StepTo(grid), None, paths, max_steps=len(z)
        )
        square, (risk, rising) = _square(run.xs[:, -1], self.goal, noisy=paths is not None), self._rises(run, paths)
        apart = jnp.mean((jax.nn.log_softmax(z) - jax.nn.log_softmax(self.given)) ** 2)
        error = jnp.log(square) if paths is None else square / spread(self.goal)
        goal = apart if self.repair else error
        found = {
            "error": jnp.sqrt(jax.nn.relu(square)),
            "risk": risk,
            "rising": rising | ~jnp.all(run.ok),
            "apart": apart,
        }
        return goal + weight * risk, found

    def _rises(self, run: Any, paths: Normals | None) -> tuple[Array, Array]:
        if self.energy is None:
            return jnp.zeros(()), jnp.asarray(False)
        values, sizes = jax.vmap(jax.vmap(Sized(self.energy)))(run.ts, run.xs)
        change, bound = jnp.diff(values), rounding_bound(sizes)
        if paths is not None:
            rest = change - martingales(self.energy, self.flow, paths, run.ts, run.xs)
            mean, error = jnp.mean(rest, axis=0), jnp.std(rest, axis=0, ddof=1) / jnp.sqrt(len(rest))
            scale = jax.lax.stop_gradient(jnp.mean(jnp.abs(change), axis=0)) + jnp.finfo(change.dtype).tiny
            share = jnp.where(jnp.isfinite(mean), jax.nn.relu(mean) / scale, 1.0)
            return jnp.mean(share), ~jnp.all(mean - SURE * error <= jnp.mean(bound[:, 1:] + bound[:, :-1], axis=0))
        finite = jnp.isfinite(change)
        scale = jnp.mean(jnp.where(finite, jnp.abs(change), 0.0), axis=0) + jnp.finfo(change.dtype).tiny
        risk = jnp.mean(jnp.where(finite, jax.nn.relu(change) / jax.lax.stop_gradient(scale)[None], 1.0))
        return risk, ~jnp.all(change <= bound[:, 1:] + bound[:, :-1])  # an energy that is no number counts as risen


def _square(ends: Array, goal: Array, *, noisy: bool) -> Array:
    """The square of the error: of laws with noise, which may be below 0, else of states."""
    return law_distance(ends, goal) if noisy else jnp.mean((ends - goal) ** 2)


def _slope(trial: Trial, point: tuple, weight: Array) -> tuple[Any, dict]:
    flat, unravel = ravel_pytree(point)
    gradient, found = jax.jacfwd(lambda v: trial(unravel(v), weight), has_aux=True)(flat)
    return unravel(gradient), found


@eqx.filter_jit
def _round(trial: Trial, point: tuple, weight: Array, rate: Array, state: Any) -> tuple[Any, Any, dict, Array]:
    """One step of Adam: the next point and state, what was found at this one, and whether the slope is finite."""
    gradient, found = _slope(trial, point, weight)
    with jax.numpy_dtype_promotion("standard"):  # Optax mixes integers and floats
        updates, state = optax.adam(rate).update(gradient, state)
    finite = jnp.all(jnp.stack([jnp.all(jnp.isfinite(part)) for part in jax.tree.leaves(gradient)]))
    return optax.apply_updates(point, updates), state, found, finite


def optimise_schedule(
    problem: Problem | System, solver: dfx.AbstractSolver, ts: Any, *, where: Callable | None = None,
    repair: bool = False, tolerance: float | None = None, held_out: Any = None, rounds: int = ROUNDS,
    rate: float = RATE,
) -> OptimisedSchedule:  # fmt: skip
    """The grid of least error none of whose steps raises the problem's first energy; or the nearest, or the shortest.

    Arguments:
        problem: flow, states to fit (with noise drawn from one law, or all equal), energies (the first must not rise,
            with noise in mean; none asks for error alone), and reference, as for `compare`.
        solver: any Diffrax solver or sampler; with noise one that asks for increments only.
        ts: the grid to start from, shape (n + 1,), on the flow's clock; its ends stay.
        where: arrays of the solver that are tuned too, as in `equinox.tree_at`: ``lambda solver: solver.r``, or
            ``lambda solver: solver.S_churn``.
        repair: look for the grid nearest to ``ts`` instead, by the logarithms of the steps.
        tolerance: an error to be reached; then the grid of fewest steps, at most n, that does is looked for. Not
            with noise.
        held_out: more states, shape (B', D), to test the result on.
        rounds: steps of the optimiser.
        rate: its rate, in units of the logarithms of steps.

    Raises:
        InputError: a grid that does not increase or has one step only, an energy that is not a number at a state, or
            no reference.
    """
    ready = problem_of(problem)
    grid = _checked(ready, ts, tolerance, repair=repair)
    ready = dataclasses.replace(ready, t0=float(grid[0]), t1=float(grid[-1]))
    ask = asked(ready, 0)
    if ask.keys is not None:
        _sampled(ready, tolerance, held_out)
    if where is not None:
        _named(solver, where)
    goal = reference(ask)[0]
    search = lambda times: _search(ask, goal, solver, times, where, rounds, rate, repair=repair)  # noqa: E731
    given = _plain(ask, goal, solver, grid)
    found = search(grid) if tolerance is None else _fewest(search, grid, float(tolerance))
    status, reason, after, history = found
    if held_out is not None:
        other = asked(dataclasses.replace(ready, states=held_out, exact=_other(ready.exact)), 1)
        ends = reference(other)[0]
        given, after = (_held(one, _plain(other, ends, one.solver, one.ts)) for one in (given, after))
    steps = [np.log(np.diff(one.ts)) for one in (given, after)]
    apart = float(np.sqrt(np.mean((steps[0] - steps[1]) ** 2))) if len(steps[0]) == len(steps[1]) else None
    return OptimisedSchedule(status, reason, given, after, apart, history)


def _sampled(problem: Problem, tolerance: float | None, held_out: Any) -> None:
    """Refuse what cannot be asked of the law of some states."""
    if tolerance is not None:
        msg = f"tolerance={tolerance!r}: problem {problem.name!r} has noise, where errors are estimates; leave it out"
        raise InputError(msg)
    for name, states in (("problem.states", problem.states), ("held_out", held_out)):
        if states is not None and len(states) < 2:
            msg = f"{name} has {len(states)} states: a law needs two or more, drawn independently"
            raise InputError(msg)


def _named(solver: Any, where: Callable) -> None:
    """Refuse what cannot be tuned."""
    try:
        named = where(solver)
    except AttributeError as error:
        msg = f"where: {error}"
        raise InputError(msg) from error
    leaves = jax.tree.leaves(named)
    if not leaves or not all(map(eqx.is_inexact_array, leaves)):
        msg = f"where: names {named!r:.80} of {type(solver).__name__}, need arrays of numbers"
        raise InputError(msg)


def _other(exact: Any) -> Any:
    """What is exact for other states: a function, but no numbers."""
    return exact if callable(exact) else None


def _held(one: Schedule, test: Schedule) -> Schedule:
    return dataclasses.replace(one, held_error=test.error, held_rises=test.rises)


def _checked(problem: Problem, ts: Any, tolerance: float | None, *, repair: bool) -> Float[np.ndarray, " n"]:
    grid = np.asarray(ts, float)
    if grid.ndim != 1 or len(grid) < 3 or not np.all(np.diff(grid) > 0):
        msg = f"ts={grid!r:.100}: need at least 3 increasing times of {problem.name!r} (falling noise)"
        raise InputError(msg)
    if tolerance is not None:
        require_positive("tolerance", tolerance, scalar=True)
    if repair and (tolerance is not None or not problem.energies):
        msg = (
            f"repair=True, tolerance={tolerance!r}: a repair keeps the steps' number, and an energy of {problem.name!r}"
        )
        raise InputError(msg)
    return grid


def _plain(ask: Asked, goal: Any, solver: Any, ts: Any) -> Schedule:
    """A grid's error and rises by a solve of its own."""
    grid = jnp.asarray(ts, ask.states.dtype)
    keys = None if ask.keys is None else _folded(ask.keys, 1)
    paths = None if keys is None else normals_of(ask.flow, ask.states, grid, keys)
    run = solve(ask.flow, ask.states, ask.span, solver, dfx.StepTo(grid), None, paths, max_steps=len(ts) - 1)
    error = float("inf")
    if bool(jnp.all(run.ok)):
        square = _square(run.xs[:, -1], jnp.asarray(goal), noisy=keys is not None)
        error = float(np.sqrt(max(square, 0.0)))
    rises, largest = 0, 0.0
    for energy in list(ask.problem.energies.values())[:1]:
        found = rises_of(energy, run.ts, run.xs, run.count)
        change, rising = found.change, found.rising
        if paths is not None:
            test = mean_test(change, np.asarray(_martingales(energy, ask.flow, paths, run.ts, run.xs)), found.bound)
            change, rising = test.mean, test.rising
        rises, largest = int(rising.sum()), float(change[rising].max(initial=0.0))
        error = error if not found.undefined else float("inf")
    return Schedule(np.asarray(ts), solver, error, rises, largest)


def _folded(keys: Array, number: int) -> Array:
    """Keys of other normals."""
    return jax.vmap(lambda key: jr.fold_in(key, number))(keys)


_martingales = eqx.filter_jit(martingales)


def _search(
    ask: Asked, goal: Any, solver: Any, ts: Any, where: Any, rounds: int, rate: float, *, repair: bool
) -> tuple[str, str, Schedule, np.ndarray]:
    """Status, reason, the best schedule of this number of steps, and the history."""
    z = jnp.log(jnp.diff(jnp.asarray(ts, ask.states.dtype)))
    energy = next(iter(ask.problem.energies.values()), None)
    trial = Trial(ask.flow, ask.states, ask.span, jnp.asarray(goal), z, energy, solver, ask.keys, where, repair)
    point: Any = (z, None if where is None else where(solver))
    state, weight, history, speed = optax.adam(rate).init(point), 1.0, [], jnp.asarray(rate, z.dtype)
    best: tuple[tuple, tuple] = ((True, np.inf), point)  # with no round this is what was given
    for number in range(rounds):
        if ask.keys is not None:
            trial = eqx.tree_at(lambda one: one.keys, trial, _folded(ask.keys, 2 + number))
        further, state, found, finite = _round(trial, point, jnp.asarray(weight, z.dtype), speed, state)
        rising = bool(found["rising"])
        key = "risk" if rising else "apart" if repair else "error"
        size = _number(found[key]) if rising or ask.keys is None else -number
        best = min(best, ((rising, size), point), key=lambda one: one[0])
        history.append((_number(found["error"]), _number(found["risk"])))
        if not finite:
            break
        point = further if _allowed(trial.tuned(further[1])) else (further[0], point[1])
        weight = weight * (GROWTH if rising else 1.0)
    plain = lambda at: _plain(ask, goal, trial.tuned(at[1]), trial.grid(at[0]))  # noqa: E731
    after = plain(best[1])
    if repair and not after.rises:
        after = _nearest(plain, (z, best[1][1]), best[1], after)
    status, reason = ("holds", "") if not after.rises and np.isfinite(after.error) else ("failed", _why(after))
    return status, reason, after, np.asarray(history)


def _allowed(solver: Any) -> bool:
    """Whether the solver's own check lets its arrays be what they are."""
    check = getattr(solver, "__check_init__", None)
    try:
        return check is None or check() is None
    except InputError:
        return False


def _number(value: Any) -> float:
    """As a float; what is not a number is infinite, so that it is never the best."""
    return float(value) if np.isfinite(value) else float("inf")


def _why(after: Schedule) -> str:
    if not np.isfinite(after.error):
        return "no grid tried ends with finite states and energies"
    steps = len(after.ts) - 1
    return f"no grid of {steps} steps tried is free of rises ({after.rises} remain), try more steps"


def _nearest(plain: Callable, given: tuple, found: tuple, kept: Schedule) -> Schedule:
    """The grid nearest to the given one, on the segment from the one that was found to it, that raises nothing."""
    low, high, share = 0.0, 1.0, 1.0
    for _ in range(1 + BISECTIONS):
        one = plain(jax.tree.map(lambda a, b, share=share: a + share * (b - a), found, given))
        if one.rises or not np.isfinite(one.error):
            high = share
        else:
            low, kept = share, one
        if low == high:
            break
        share = 0.5 * (low + high)
    return kept


def _fewest(search: Callable, grid: np.ndarray, tolerance: float) -> tuple[str, str, Schedule, np.ndarray]:
    """By bisection of the number of steps, which takes it that more steps can do what fewer can."""
    low, high = 1, len(grid) - 1
    kept = search(grid)
    if kept[0] != "holds" or kept[2].error > tolerance:
        reason = kept[1] or f"the best grid of {high} steps has error {kept[2].error:.3g}, give one of more steps"
        return ("failed", reason, *kept[2:])
    while high - low > 1:
        middle = (low + high) // 2
        coarse = np.interp(np.linspace(0, len(grid) - 1, middle + 1), np.arange(len(grid)), grid)
        found = search(coarse)
        if found[0] == "holds" and found[2].error <= tolerance:
            high, kept = middle, found
        else:
            low = middle
    return kept
