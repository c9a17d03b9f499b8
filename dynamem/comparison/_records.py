"""What a comparison is asked and what it finds: plain records, so that tables, JSON and figures read the same ones."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import diffrax as dfx
import numpy as np
from jaxtyping import Array, Bool, Float

from .._types import EnergyFn


@dataclasses.dataclass(frozen=True)
class Problem:
    """Dynamics to be solved, and the energies that should fall along them.

    Attributes:
        name: a short name.
        flow: a dynamem flow or any Diffrax terms.
        states: initial states, shape (B, D).
        t0: start.
        t1: end, later than ``t0``.
        energies: ``E(t, x)`` on the flow's clock, by name; the first is the one that should fall, by which runs are
            judged, the others are there to compare with.
        exact: final states (B, D), or a function of them: ``(states, t0, t1) -> (B, D)``; None asks for a fine solve.
        memories: patterns (N, D) that a final state may be near, None if there are none.
        grids: what makes the times ``(t0, ..., t1)`` of n steps, by name; "uniform" is always there.
        limits: largest safe steps that theory has, by the solver's class.
        tags: words to choose by.
        title: one line for people.
    """

    name: str
    flow: Any
    states: Float[Array, "B D"]
    t0: float
    t1: float
    energies: Mapping[str, EnergyFn]
    exact: Any = None
    memories: Float[Array, "N D"] | None = None
    grids: Mapping[str, Callable[[int], Float[Array, " n"]]] = dataclasses.field(default_factory=dict)
    limits: Mapping[str, float] = dataclasses.field(default_factory=dict)
    tags: tuple[str, ...] = ()
    title: str = ""


@dataclasses.dataclass(frozen=True)
class Setting:
    """What a problem was, in words and numbers.

    Attributes:
        name: its name.
        title: one line for people, or "".
        tags: its tags.
        energies: names of its energies, the one by which runs are judged first.
        states: number of initial states.
        dimension: coordinates of a state.
        t0: start.
        t1: end.
        reference_error: median over states of the distance between the reference and a coarser one, 0 if it is exact.
    """

    name: str
    title: str
    tags: tuple[str, ...]
    energies: tuple[str, ...]
    states: int
    dimension: int
    t0: float
    t1: float
    reference_error: float


@dataclasses.dataclass(frozen=True)
class Method:
    """A solver, and how its steps are chosen: a ladder of fixed grids, or of tolerances of an adaptive controller.

    Attributes:
        solver: any Diffrax solver, or ``"scipy:RK45"`` and the like for `scipy.integrate.solve_ivp`.
        steps: numbers of steps of fixed grids; empty for an adaptive method.
        grid: name of the problem's grid.
        tolerances: relative tolerances of an adaptive method; empty for a fixed one.
        controller: ``rtol -> controller`` of an adaptive method, `diffrax.PIDController` by default.
        name: how it is called; the solver's class by default.
        order: order that theory gives it (strong for an SDE), None if unknown.
        tags: words to choose by.
    """

    solver: dfx.AbstractSolver | str
    steps: tuple[int, ...] = ()
    grid: str = "uniform"
    tolerances: tuple[float, ...] = ()
    controller: Callable[[float], dfx.AbstractStepSizeController] | None = None
    name: str = ""
    order: float | None = None
    tags: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Ascent:
    """What one energy did along the runs of one row; a rise is beyond the stated rounding bound.

    Attributes:
        pairs: neighbouring steps that were compared.
        rises: how many of them rose.
        largest: the largest rise, 0 if none.
        total: sum of all rises.
        first: time of the first rise, None if none.
        dense_rises: rises of the dense output, None where there is none.
        dense_largest: the largest of these.
        mean_rises: for an SDE, steps whose mean over paths rose with confidence; None for an ODE.
    """

    pairs: int
    rises: int
    largest: float
    total: float
    first: float | None
    dense_rises: int | None = None
    dense_largest: float | None = None
    mean_rises: int | None = None

    @property
    def risen(self) -> int:
        """Rises that speak against the energy: in steps, and with noise in the mean of steps."""
        return self.rises if self.mean_rises is None else self.mean_rises


@dataclasses.dataclass(frozen=True)
class Row:
    """One solve of a problem by a method with one grid or tolerance.

    Attributes:
        problem: its name.
        method: its name.
        grid: name of the grid, None if adaptive.
        steps: number of fixed steps, None if adaptive.
        tolerance: relative tolerance, None if fixed.
        evaluations: calls of the vector field for one state, a mean over states: known for explicit solvers and
            samplers with fixed steps or Diffrax's own controllers, counted for others.
        accepted: steps taken, mean over states.
        rejected: steps tried in vain, mean over states.
        seconds: wall time of one warm solve of all states.
        compile_seconds: what tracing and compiling its program took, beside others.
        error: root mean square over states of ``|x - reference|/sqrt(D)`` at the end (strong error of an SDE).
        typical_error: median over states of the same distance, to which orders are fitted.
        weak_error: of the mean of ``|x|^2/D`` over paths, None for an ODE.
        energies: what each energy did, by name.
        recalled: fraction of states that end nearest to the memory the reference ends nearest to, None without any.
        status: "ok" or "failed".
        reason: why it failed, or "".
        tags: of problem and method.
    """

    problem: str
    method: str
    grid: str | None
    steps: int | None
    tolerance: float | None
    evaluations: float | None
    accepted: float | None
    rejected: float | None
    seconds: float | None
    compile_seconds: float | None
    error: float | None
    typical_error: float | None
    weak_error: float | None
    energies: dict[str, Ascent]
    recalled: float | None
    status: str
    reason: str
    tags: tuple[str, ...]

    @property
    def judged(self) -> Ascent | None:
        """What the first energy did, None where there is none or the run failed."""
        return next(iter(self.energies.values()), None)


@dataclasses.dataclass(frozen=True)
class Curve:
    """An energy along one run.

    Attributes:
        problem: its name.
        method: its name, with the steps or the tolerance.
        energy: its name.
        evaluations: calls of the vector field up to each step, shape (n,).
        values: energies, shape (n,).
        rising: steps that rose beyond rounding, shape (n - 1,).
    """

    problem: str
    method: str
    energy: str
    evaluations: Float[np.ndarray, " n"]
    values: Float[np.ndarray, " n"]
    rising: Bool[np.ndarray, " m"]


@dataclasses.dataclass(frozen=True)
class Order:
    """A slope of log error against log step as the step goes to 0; see `_orders`.

    Attributes:
        problem: name.
        method: name.
        kind: "ode", "strong" or "weak".
        order: the slope, of the median error over states ("weak": of the error of a mean over paths).
        low: lower end of its 95 % interval.
        high: upper end.
        theory: order that theory gives, None if unknown.
        points: rows that were fitted.
    """

    problem: str
    method: str
    kind: str
    order: float
    low: float
    high: float
    theory: float | None
    points: int


@dataclasses.dataclass(frozen=True)
class StepLimit:
    """Up to which step an energy is safe: found by bisection between a step that is and one that is not.

    Attributes:
        problem: name.
        method: name.
        energy: name.
        safe: largest step found without a rise, of all that were tried below it.
        unsafe: least step found with one (or whose solve failed); infinity, in JSON null, if none was: then ``safe`` is
            the largest step that was tried.
        theory: bound known from theory, None if none is.
        witness: state, time and step of a rise; None if none was found.
    """

    problem: str
    method: str
    energy: str
    safe: float
    unsafe: float
    theory: float | None
    witness: dict[str, Any] | None
