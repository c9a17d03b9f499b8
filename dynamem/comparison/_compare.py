"""`compare`: problems times methods times steps, each solved, timed, and asked whether its energies rose."""

import contextlib
import dataclasses
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np

from .._errors import DynamemError, InputError
from ..catalog import System
from ..lyapunov import Directional, Rises, along, mean_test, rises_of
from ._ahead import Ahead
from ._limits import limit_of
from ._orders import orders_of
from ._records import Ascent, Curve, Method, Order, Problem, Row, Setting, StepLimit
from ._reference import distances, prepare_reference, reference
from ._solving import OUTSIDE, Asked, Solved, asked, prepare, reason_of, solved


SHOWN = 6
"""Methods of a problem whose energy is kept along a run."""
REFERENCE, ROUNDING = 5.0, 1e-14
"""Orders are fitted to errors above so much of the reference's own, and of the states' size."""


@dataclasses.dataclass(frozen=True)
class Comparison:
    """What a comparison found.

    Attributes:
        problems: what was solved.
        rows: one for each problem, method, and number of steps or tolerance.
        orders: fitted orders of fixed ladders.
        limits: largest safe steps.
        curves: energies along runs of the first state.
        errors: what failed, a sentence each.
    """

    problems: list[Setting]
    rows: list[Row]
    orders: list[Order]
    limits: list[StepLimit]
    curves: list[Curve]
    errors: list[str]

    def merge(self, other: "Comparison") -> "Comparison":
        """Both; a problem of both is named once."""
        names = ("rows", "orders", "limits", "curves", "errors")
        both = (getattr(self, name) + getattr(other, name) for name in names)
        return Comparison(list(dict.fromkeys(self.problems + other.problems)), *both)

    def filter(self, *, problem: str | None = None, method: str | None = None, tag: str | None = None) -> "Comparison":
        """What is of a problem, of a method (part of its name will do), and of runs that have a tag."""
        kept = {
            (row.problem, row.method)
            for row in self.rows
            if problem in (None, row.problem) and (method or "") in row.method and (tag is None or tag in row.tags)
        }
        parts = (
            [one for one in part if (one.problem, one.method) in kept] for part in (self.rows, self.orders, self.limits)
        )
        curves = [one for one in self.curves if (one.problem, _without_steps(one)) in kept]
        problems = [one for one in self.problems if any(one.name == p for p, _ in kept)]
        return Comparison(problems, *parts, curves, self.errors)


def compare(
    problem: Problem | System, methods: Sequence[Method | Any], *, seed: int = 0, limits: bool = True,
    progress: Callable[[str, int, int], None] | None = None,
) -> Comparison:  # fmt: skip
    """Solve a problem by each method and measure cost, error, and rises of its energies.

    Arguments:
        problem: what is solved; of a `System` the energy is called "own".
        methods: `Method` records, or Diffrax solvers, which then run in 8 to 128 uniform steps.
        seed: of the Brownian paths.
        limits: whether to look for the largest safe step of each method too (ODEs).
        progress: told ``(label, done, total)`` while programs are compiled and after each run.

    Raises:
        InputError: no method, an energy that is not a number at a state, or a problem without a reference.
    """
    ready = [one if isinstance(one, Method) else Method(one, steps=(8, 16, 32, 64, 128)) for one in methods]
    return compare_all([(problem, ready)], seed=seed, limits=limits, progress=progress or (lambda *_: None))


def compare_all(
    questions: Iterable[tuple[Problem | System, Sequence[Method]]], *, seed: int = 0, limits: bool = True,
    progress: Callable[[str, int, int], None],
) -> Comparison:  # fmt: skip
    """`compare` for several problems, each with methods of its own; one that cannot be asked is told in `errors`."""
    questions = [(problem_of(problem), [_named(one) for one in methods]) for problem, methods in questions]
    total = sum(len(method.steps or method.tolerances) for _, methods in questions for method in methods)
    found = Comparison([], [], [], [], [], [])
    with Ahead() as ahead:
        posed = []
        for problem, methods in questions:
            with _told(problem, found.errors, alone=len(questions) == 1):
                ask = _checked(problem, methods, seed)
                prepare_reference(ahead, ask)
                rungs = [(method, *rung) for method in methods for rung in _ladder(method)]
                for rung in rungs:
                    progress(f"{problem.name}: compiling {rung[0].name}", 0, total)
                    prepare(ahead, ask, *rung)
                posed.append((ask, methods, rungs))
        ahead.wait()
        for ask, methods, rungs in posed:
            with _told(ask.problem, found.errors, alone=len(questions) == 1):
                goal, gap = reference(ask, ahead)
                found.problems.append(_setting(ask.problem, gap))
                for rung in rungs:
                    row, curve = _row(ask, *rung, ahead, goal, found.errors)
                    found.rows.append(row)
                    found.curves.extend(curve)
                    progress(f"{ask.problem.name}: {rung[0].name}", len(found.rows), total)
                _judge(found, ask, methods, goal, gap, limits=limits)
    return dataclasses.replace(found, curves=_few(found.curves))


@contextlib.contextmanager
def _told(problem: Problem, errors: list[str], *, alone: bool) -> Iterator[None]:
    """A problem that cannot be asked is told, and the others go on; alone it raises."""
    try:
        yield
    except DynamemError as error:
        if alone:
            raise
        errors.append(f"{problem.name}: {error}")


def _judge(
    found: Comparison, ask: Asked, methods: Sequence[Method], goal: np.ndarray, gap: float, *, limits: bool
) -> None:
    """Orders of a problem's ladders, and its largest safe steps."""
    problem = ask.problem
    theory = {(problem.name, method.name): _theory(ask, method) for method in methods}
    floor = REFERENCE * gap + ROUNDING * (1 + float(np.abs(goal).max()))
    found.orders.extend(orders_of((row for row in found.rows if row.problem == problem.name), theory, floor=floor))
    for method in methods if limits else ():
        try:
            found.limits.extend(limit_of(ask, method))
        except Exception as error:  # of a solver or a flow of the user's
            found.errors.append(f"{problem.name}, {method.name}, safe step: {reason_of(error)}")


def problem_of(given: Problem | System) -> Problem:
    """A `Problem`, also from a `System`."""
    if isinstance(given, Problem):
        return given
    if isinstance(given, System):
        return Problem(
            "system", given.flow, given.states, given.t0, given.t1, {"own": given.energy}, memories=given.memories
        )
    msg = f"problem={type(given).__name__}: give a dynamem.Problem or a dynamem.System"
    raise InputError(msg)


def _setting(problem: Problem, gap: float) -> Setting:
    states, dimension = problem.states.shape
    words = problem.name, problem.title, tuple(problem.tags), tuple(problem.energies)
    return Setting(*words, states, dimension, float(problem.t0), float(problem.t1), gap)


def _named(method: Method) -> Method:
    """With its name, once its ladder is seen to be one."""
    steps, outside = method.steps, isinstance(method.solver, str)
    if not steps and not method.tolerances:
        msg = f"method={method.solver!r:.60}: give numbers of steps, or tolerances of an adaptive method"
        raise InputError(msg)
    if any(n < 1 for n in steps) or any(a >= b for a, b in itertools.pairwise(steps)):
        msg = f"steps={steps!r} of method {method.solver!r:.60}: need increasing whole numbers from 1"
        raise InputError(msg)
    if any(not rtol > 0 for rtol in method.tolerances):
        msg = f"tolerances={method.tolerances!r} of method {method.solver!r:.60}: need numbers above 0"
        raise InputError(msg)
    if outside and (steps or method.solver not in OUTSIDE):
        msg = f"solver={method.solver!r}, steps={steps!r}: need tolerances, and one of {list(OUTSIDE)}"
        raise InputError(msg)
    return dataclasses.replace(method, name=method.name or (method.solver if outside else type(method.solver).__name__))


def _theory(ask: Asked, method: Method) -> float | None:
    """The order that theory gives; with noise it depends on the noise, so that only the method's own counts."""
    if method.order is not None or ask.keys is not None or isinstance(method.solver, str):
        return method.order
    try:
        order = method.solver.order(ask.flow)
    except ValueError:  # a solver of Ito's equations has none without noise, and its rows fail
        return None
    return None if order is None else float(order)


def _ladder(method: Method) -> list[tuple[int | None, float | None]]:
    return [(n, None) for n in method.steps] or [(None, rtol) for rtol in method.tolerances]


def _checked(problem: Problem, methods: Sequence[Method], seed: int) -> Asked:
    """Refuse what cannot be asked, before anything runs."""
    if not methods:
        msg = f"methods=[]: name at least one for problem {problem.name!r}"
        raise InputError(msg)
    ask = asked(problem, seed)
    if ask.keys is not None and any(isinstance(method.solver, str) for method in methods):
        msg = f"problem {problem.name!r} has noise, which scipy's solve_ivp does not know: leave its methods out"
        raise InputError(msg)
    return ask


# --------------------------------------------------------------------------------- rows


def _row(
    ask: Asked, method: Method, steps: int | None, rtol: float | None, ahead: Ahead, goal: np.ndarray, errors: list[str]
) -> tuple[Row, list[Curve]]:
    """One measurement; a method that raises or ends in numbers that are not finite is a failed row."""
    empty = Row(
        ask.problem.name, method.name, method.grid if steps else None, steps, rtol, None, None, None, None, None, None,
        None, None, {}, None, "failed", "", (*ask.problem.tags, *method.tags),
    )  # fmt: skip
    try:
        done = solved(ask, method, steps, rtol, ahead)
    except Exception as error:  # of a solver or a flow of the user's
        if isinstance(error, InputError):
            raise
        reason = reason_of(error)
        errors.append(f"{ask.problem.name}, {method.name}: {reason}")
        return dataclasses.replace(empty, reason=reason), []
    run = done.run
    cost = {
        "evaluations": done.evaluations, "accepted": float(np.mean(np.asarray(run.count) - 1)),
        "rejected": float(np.mean(np.asarray(run.rejected))), "seconds": done.seconds,
        "compile_seconds": done.compile_seconds,
    }  # fmt: skip
    bad = int(np.sum(~np.asarray(run.ok)))
    if bad:
        reason = f"{bad} of {len(np.asarray(run.ok))} runs did not end well with finite states"
        return dataclasses.replace(empty, reason=reason, **cost), []
    ends = np.asarray(run.xs)[:, -1]
    rises = {name: rises_of(energy, run.ts, run.xs, run.count) for name, energy in ask.problem.energies.items()}
    energies = {name: _ascent(ask, name, one, done) for name, one in rises.items()}
    apart = distances(ends, goal)
    weak = None if ask.keys is None else float(np.abs(np.mean(ends**2) - np.mean(goal**2)))
    row = dataclasses.replace(
        empty, error=float(np.sqrt(np.mean(apart**2))), typical_error=float(np.median(apart)), weak_error=weak,
        energies=energies, recalled=_recalled(ask.problem, ends, goal), status="ok", **cost,
    )  # fmt: skip
    return row, _curve(row, method, rises, done)


def _ascent(ask: Asked, name: str, rises: Rises, done: Solved) -> Ascent:
    energy, run = ask.problem.energies[name], done.run
    rising, change = rises.rising, rises.change
    first = float(np.asarray(run.ts)[:, 1:][rising].min()) if rising.any() else None
    up = change[rising]
    found = Ascent(int(rises.valid.sum()), int(rising.sum()), float(up.max(initial=0.0)), float(up.sum()), first)
    if ask.keys is not None:
        kick = along(Directional(energy), run.ts[:, :-1], run.xs[:, :-1], done.noise) * rises.valid
        used = rises.valid.any(axis=0)
        test = mean_test(change[:, used], kick[:, used], (rises.bound * rises.valid)[:, used])
        return dataclasses.replace(found, mean_rises=int(test.rising.sum()))
    if not run.dense_ts.shape[1]:
        return found
    every = jnp.full(len(run.dense_ts), run.dense_ts.shape[1])
    between = rises_of(energy, run.dense_ts, run.dense_xs, every)
    largest = float(between.change[between.rising].max(initial=0.0))
    return dataclasses.replace(found, dense_rises=int(between.rising.sum()), dense_largest=largest)


def _recalled(problem: Problem, ends: np.ndarray, goal: np.ndarray) -> float | None:
    """Fraction of states that end nearest to the memory that the reference ends nearest to."""
    if problem.memories is None:
        return None
    xi = np.asarray(problem.memories)
    near = [np.argmin((xi**2).sum(1) - 2 * states @ xi.T, axis=1) for states in (ends, goal)]
    return float(np.mean(near[0] == near[1]))


def _curve(row: Row, method: Method, rises: dict[str, Rises], done: Solved) -> list[Curve]:
    """The first energy along the first state's run."""
    if not rises:
        return []
    name, one = next(iter(rises.items()))
    count = int(np.asarray(done.run.count)[0])
    told = f"{row.method} {row.steps}" if row.steps else f"{row.method} {row.tolerance:g}"
    calls = np.linspace(0.0, float(row.evaluations or 0), count)
    return [Curve(row.problem, told, name, calls, one.values[0, :count], one.rising[0, : count - 1])]


def _without_steps(curve: Curve) -> str:
    """Its method's name."""
    return curve.method.rpartition(" ")[0]


def _few(curves: list[Curve]) -> list[Curve]:
    """Of each problem a few: those that rise first, and of each method its coarsest run."""
    kept: list[Curve] = []
    for problem in dict.fromkeys(one.problem for one in curves):
        coarse: dict[str, Curve] = {}
        for one in curves:
            if one.problem == problem:
                coarse.setdefault(_without_steps(one), one)
        order = sorted(coarse.values(), key=lambda one: not one.rising.any())
        kept.extend(order[:SHOWN])
    return kept
