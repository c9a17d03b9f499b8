"""One system from every side: its fixed points, who arrives where, how strongly they hold, what its runs do.

Each part is computed by itself and kept if another fails; what failed is told. Ctrl-C ends the part that is running
and those that would follow.
"""

import dataclasses
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import jax.random as jr
import numpy as np
import optimistix as optx
from jaxtyping import Float

from .._errors import DynamemError
from ..catalog import System, is_noisy
from ..lyapunov import dynamics_of
from ..rigour import reads_time
from ._basins import Basins, basins
from ._enclose import Enclosures, enclose_fixed_points
from ._exponents import Exponents, lyapunov_exponents
from ._fixed_points import FixedPoint, FixedPoints, fixed_points
from ._measures import Measures, measures
from ._plane import BasinMap, basin_map
from ._shocks import Shock, minimal_shock


ENCLOSED = 3
"""Systems of at most so many coordinates have all their fixed points enclosed."""
MARGIN = 0.5
"""The box of the states is widened by so much of its sides, half of it at either end."""
SAME, MIDPOINTS = 1e-3, 16
"""Ends nearer than this part of their spread are one start; so many midpoints of ends are starts too."""
NEWTON = optx.Newton(rtol=1e-9, atol=1e-11)
"""From ends of runs it takes a few steps."""
MEASURED, EXPONENTS, TRAJECTORIES = 8, 3, 4
"""Points with local measures, exponents, and trajectories that they are averaged over."""
SHOCKED = 2
SHOCK: dict[str, Any] = {"directions": 8, "rounds": 5}
"""Points with a smallest shock, and how much is spent on each."""
RESOLUTION, FLAT = 40, 1e-3
"""States along a side of the map of basins; its corners span a plane if their triangle is this wide for its length."""


@dataclasses.dataclass(frozen=True)
class Landscape:
    """What was found about one system.

    Attributes:
        name: what was asked for.
        title: in words.
        dimension: D.
        time: at which a flow that reads the time is held for its fixed points, None for one that does not.
        law: where the initial states are from, in words.
        starts: these states, shape (B, D).
        points: fixed points from these states and the memories.
        enclosures: all fixed points in a box, of systems of at most three coordinates.
        basins: which share of the states ends at which stable point, in the order of ``points.stable``.
        measures: local measures at stable points with large shares, by their place in ``points.stable``.
        shocks: smallest shocks found there, likewise.
        exponents: along runs of the first states.
        plane: basins of the states of a plane: of two coordinates the box of the states, of more the plane through a
            stable point with a large share and the two that are nearest to it.
        errors: what could not be computed, a sentence each.
        seconds: wall time of each part.
    """

    name: str
    title: str
    dimension: int
    time: float | None
    law: str
    starts: Float[np.ndarray, "B D"]
    points: FixedPoints | None = None
    enclosures: Enclosures | None = None
    basins: Basins | None = None
    measures: dict[int, Measures] = dataclasses.field(default_factory=dict)
    shocks: dict[int, Shock] = dataclasses.field(default_factory=dict)
    exponents: Exponents | None = None
    plane: BasinMap | None = None
    errors: tuple[str, ...] = ()
    seconds: dict[str, float] = dataclasses.field(default_factory=dict)

    @property
    def ordered(self) -> list[tuple[FixedPoint, int | None]]:
        """Stable points by falling share, each with its place in ``points.stable``, then the others with None."""
        if self.points is None:
            return []
        stable = list(enumerate(self.points.stable))
        if self.basins is not None:
            shares = self.basins.shares
            stable.sort(key=lambda pair: -shares[pair[0]].share)
        found: list[tuple[FixedPoint, int | None]] = [(point, place) for place, point in stable]
        return found + [(point, None) for point in self.points.points if not point.stable]

    @property
    def interrupted(self) -> bool:
        """Whether Ctrl-C ended it."""
        return any(text.startswith("interrupted") for text in self.errors)


def landscape(
    system: System, name: str = "system", *, title: str = "", at: float | None = None, states: int = 256,
    budget_s: float = 10.0, seed: int = 0, tell: Callable[[str], None] = lambda _: None,
) -> Landscape:  # fmt: skip
    """The landscape of a system.

    Arguments:
        system: flow, energy, initial states, span and, if there are any, memories.
        name: for tables.
        title: in words.
        at: time at which a flow that reads it is held; the end of its span if not given.
        states: how many initial states: the system's own, and beyond these uniform ones in their box, widened.
        budget_s: seconds for enclosing all fixed points.
        seed: of the states that are drawn.
        tell: takes a sentence when a part begins.
    """
    work = _Work(system, at, states, budget_s, seed, tell)
    parts = (work.points, work.enclosures, work.basins, work.measures, work.shocks, work.exponents, work.plane)
    for part in parts:
        if not work.interrupted:
            work.part(part)
    return Landscape(
        name, title, work.size, work.time, work.law, work.states, errors=tuple(work.errors), seconds=work.seconds,
        **work.found,
    )  # fmt: skip


class _Work:
    """The parts of a landscape, and what they have found."""

    def __init__(self, system: System, at: float | None, states: int, budget_s: float, seed: int, tell: Any) -> None:
        self.system, self.budget_s, self.seed, self.tell = system, budget_s, seed, tell
        self.size = system.states.shape[1]
        self.dynamics, self.noisy = dynamics_of(system.flow), is_noisy(system)
        self.span: dict[str, Any] = {"t0": float(system.t0), "t1": float(system.t1)}
        self.time = (system.t1 if at is None else at) if self._timed() else None
        self.states, self.law = _drawn(np.asarray(system.states, float), states, seed)
        self.key = jr.key(seed) if self.noisy else None
        self.found: dict[str, Any] = {}
        self.errors: list[str] = []
        self.seconds: dict[str, float] = {}
        self.interrupted = False

    def _timed(self) -> bool:
        """Whether the flow reads the time; one that cannot be read is taken to."""
        try:
            return reads_time(lambda t, x: x[0], self.dynamics, (), self.size)
        except Exception:  # of the user's code; the parts will say what it is
            return True

    def part(self, compute: Callable[[], Any]) -> None:
        """Keep what a part finds; a failure is a sentence."""
        label = compute.__name__
        self.tell(label)
        with _timed(self.seconds, label):
            try:
                value = compute()
            except KeyboardInterrupt:
                self.interrupted = True
                self.errors.append(f"interrupted in {label}")
            except DynamemError as error:
                self.errors.append(f"{label}: {error}")
            except Exception as error:  # of a flow of the user's
                self.errors.append(f"{label}: {type(error).__name__}: {' '.join(str(error).split())[:200]}")
            else:
                if value is not None:
                    self.found[label] = value
                if _cut(value):
                    self.interrupted = True
                    self.errors.append(f"interrupted in {label}, what was done is kept")

    def points(self) -> FixedPoints:
        """Fixed points from where the states end, and from between these ends; of small systems from the states too."""
        some = self.states[:1]
        ends = basins(self.dynamics, self.states, some, tolerance=1e-9, key=self.key, **self.span).ends
        ends = _distinct(ends[np.isfinite(ends).all(axis=1)])
        small = self.size <= ENCLOSED
        starts = np.concatenate([ends, _between(ends, self.seed), self.states if small else some])
        return fixed_points(
            self.dynamics, starts, t=self.time, memories=self.system.memories, energy=self.system.energy,
            deflate=4 if small else 0, solver=None if small else NEWTON,
        )  # fmt: skip

    def enclosures(self) -> Enclosures | None:
        """All fixed points in the box of the states, widened."""
        if self.size > ENCLOSED:
            return None
        lo, hi = _box(np.asarray(self.system.states, float))
        return enclose_fixed_points(self.dynamics, np.stack([lo, hi], axis=1), t=self.time, budget_s=self.budget_s)

    def _stable(self) -> list[Any]:
        points = self.found.get("points")
        return [] if points is None else list(points.stable)

    def basins(self) -> Basins | None:
        """Where the states end."""
        stable = self._stable()
        if not stable:
            return None
        return basins(self.dynamics, self.states, np.stack([one.x for one in stable]), key=self.key, **self.span)

    def _first(self, count: int) -> list[int]:
        """Places of stable points, those with the largest shares."""
        places = range(len(self._stable()))
        shares = self.found["basins"].shares if "basins" in self.found else None
        return sorted(places, key=lambda k: 0.0 if shares is None else -shares[k].share)[:count]

    def measures(self) -> dict[int, Measures]:
        """At stable points with large shares."""
        stable = self._stable()
        return {k: measures(self.dynamics, stable[k].x, self.time) for k in self._first(MEASURED)}

    def shocks(self) -> dict[int, Shock] | None:
        """At stable points with large shares, toward the others."""
        stable = self._stable()
        if len(stable) < 2 or self.time is not None or self.noisy:
            return None
        xs = np.stack([one.x for one in stable])
        return {
            k: minimal_shock(
                self.dynamics, xs[k], _nearest(np.delete(xs, k, axis=0), xs[k]), seed=self.seed, **self.span, **SHOCK
            )
            for k in self._first(SHOCKED)
        }

    def exponents(self) -> Exponents | None:
        """Along runs of the first states, over the span of the system."""
        if self.noisy:
            return None
        count = min(EXPONENTS, self.size)
        return lyapunov_exponents(self.dynamics, self.states[:TRAJECTORIES], count=count, segments=100, **self.span)

    def plane(self) -> BasinMap | None:
        """Basins on a plane, without noise."""
        stable = self._stable()
        if self.noisy or self.size < 2 or not stable:
            return None
        xs, margin = np.stack([one.x for one in stable]), 0.0
        if self.size == 2:
            lo, hi = _box(np.asarray(self.system.states, float))
            corners: np.ndarray | None = np.asarray([lo, [hi[0], lo[1]], [lo[0], hi[1]]])
        else:
            corners, margin = _corners(xs, self._first(1)[0]), MARGIN
        if corners is None:
            return None
        how: dict[str, Any] = {"resolution": RESOLUTION, "margin": margin, **self.span}
        return basin_map(self.dynamics, corners, xs, **how)


def _corners(xs: np.ndarray, first: int) -> np.ndarray | None:
    """A point, the nearest of the others, and the next that is not on a line with both; None if there is none."""
    near = xs[np.argsort(np.sum((xs - xs[first]) ** 2, axis=1))]  # the first is itself
    for third in near[2:]:
        corners = np.stack([near[0], near[1], third])
        wide, thin = np.linalg.svd(corners[1:] - corners[0], compute_uv=False)
        if thin > FLAT * wide:
            return corners
    return None


@contextmanager
def _timed(seconds: dict[str, float], label: str) -> Iterator[None]:
    begin = time.perf_counter()
    try:
        yield
    finally:
        seconds[label] = time.perf_counter() - begin


def _box(states: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Ends of the states' box, widened; where they do not vary, by their size."""
    lo, hi = states.min(axis=0), states.max(axis=0)
    side = np.where(hi > lo, hi - lo, np.maximum(1.0, np.abs(hi)))
    return lo - 0.5 * MARGIN * side, hi + 0.5 * MARGIN * side


def _drawn(states: np.ndarray, count: int, seed: int) -> tuple[np.ndarray, str]:
    """So many initial states, and where they are from."""
    given = len(states)
    if count <= given:
        return states[:count], f"the first {count} states of the system"
    lo, hi = _box(states)
    more = np.random.default_rng(seed).uniform(lo, hi, (count - given, states.shape[1]))
    words = f"the system's {given} states and {count - given} uniform ones in their box, widened by {MARGIN:.0%}"
    return np.concatenate([states, more]), words


def _distinct(points: np.ndarray) -> np.ndarray:
    """One of each group of points that lie within `SAME` of the spread of one of them."""
    kept: list[np.ndarray] = []
    reach = SAME * float(np.max(np.ptp(points, axis=0), initial=0.0))
    for point in points:
        if not kept or np.min(np.linalg.norm(np.stack(kept) - point, axis=1)) > reach:
            kept.append(point)
    return np.stack(kept) if kept else points


def _between(points: np.ndarray, seed: int) -> np.ndarray:
    """Midpoints of some pairs, where saddles are likely."""
    if len(points) < 2:
        return points[:0]
    random = np.random.default_rng(seed)
    pairs = [random.choice(len(points), 2, replace=False) for _ in range(MIDPOINTS)]
    return np.stack([points[list(pair)].mean(axis=0) for pair in pairs])


def _cut(value: Any) -> bool:
    """Whether Ctrl-C ended a part that keeps what it has."""
    runs = value.basins if isinstance(value, BasinMap) else value
    return (isinstance(runs, Basins) and runs.tried < len(runs.labels)) or (
        isinstance(value, Enclosures) and "interrupted" in value.reason
    )


def _nearest(others: np.ndarray, x: np.ndarray, count: int = 4) -> np.ndarray:
    """The nearest of the others."""
    return others[np.argsort(np.sum((others - x) ** 2, axis=1))[:count]]
