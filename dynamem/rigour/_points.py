"""Where a claim fails: points found in floats and confirmed in Arb, before and after a proof is tried."""

import itertools
import time
from collections.abc import Sequence

import numpy as np

from ..programs import Program
from ._bounds import Bounder
from ._decide import decide
from ._search import Search


REACHES = (1.0, 16.0, 1024.0)
"""Where a region has no end, parts of it of these sizes are searched."""
SIMPLE = (0.0, 1.0, -1.0, 0.5, -0.5, 2.0, -2.0)
MOST_POINTS = 4096
CONFIRMED = 24


class Points:
    """Looks for points of a region at which a number has the wrong sign, or none.

    Arguments:
        program: outputs ``(number, constraints...)``.
        constraints: how many there are.
        box: rows (lo, hi), infinite ends allowed.
        strict: whether 0 is a wrong sign too.
    """

    def __init__(self, program: Program, constraints: int, box: np.ndarray, *, strict: bool) -> None:
        self.program, self.constraints, self.box, self.strict = program, constraints, box, strict
        self.bounder = Bounder(program, constraints)

    def decided(self, point: np.ndarray) -> str:
        """What Arb says of one point."""
        return decide(self.program, self.constraints, point.tolist(), strict=self.strict)

    def parts(self) -> list[np.ndarray]:
        """The region, or bounded parts of it."""
        if np.all(np.isfinite(self.box)):
            return [self.box]
        return [bounded(self.box, reach) for reach in REACHES]

    def simple(self) -> tuple[str, np.ndarray] | None:
        """Points with simple coordinates: ends, middles, 0, 1, 1/2."""
        points = simple_points(self.box)
        found, _ = self.bounder.at(points)
        holes = np.flatnonzero(~found.ok & ~found.outside)[:CONFIRMED]
        worth = ~found.outside & found.ok & ((found.hi >= 0) if self.strict else (found.hi > 0))
        best = np.flatnonzero(worth)[np.argsort(-found.lo[worth], kind="stable")][:CONFIRMED]
        for place, wanted in itertools.chain(((p, "hole") for p in holes), ((p, "rise") for p in best)):
            if self.decided(points[place]) == wanted:
                return wanted, points[place]
        return None

    def search(self, seconds: float, *, holes: bool = False) -> tuple[str, np.ndarray] | None:
        """Branch and bound for a while, for the sake of what it meets; with ``holes`` a rise does not end it."""
        rise, stop = None, time.monotonic() + seconds
        for part in self.parts():
            left = stop - time.monotonic()
            if left <= 0:
                break
            share = left if np.all(np.isfinite(self.box)) else left / 2
            how = {"strict": self.strict, "confirm": self.decided, "budget_s": share}
            found = Search(self.program, self.bounder, part, **how).run()
            if found.interrupted:
                raise KeyboardInterrupt
            if found.hole is not None:
                return "hole", found.hole
            rise = found.rise if rise is None else rise
            if rise is not None and not holes:
                break
        return None if rise is None else ("rise", rise)

    def inside(self) -> np.ndarray | None:
        """A point that surely satisfies all constraints."""
        random = np.random.default_rng(1)
        for part in self.parts():
            points = np.concatenate(
                [simple_points(part), random.uniform(part[:, 0], part[:, 1], (MOST_POINTS, len(part)))]
            )
            found, _ = self.bounder.at(points)
            good = np.flatnonzero(found.inside & found.ok)
            if len(good):
                return points[good[0]]
        return None


def bounded(box: np.ndarray, reach: float) -> np.ndarray:
    """The part of a box within some reach of its finite ends, or of 0."""
    lo, hi = box.T
    low = np.where(np.isfinite(lo), lo, np.where(np.isfinite(hi), hi - reach, -reach))
    high = np.where(np.isfinite(hi), hi, np.where(np.isfinite(lo), lo + reach, reach))
    return np.stack([low, high], axis=1)


def simple_points(box: np.ndarray) -> np.ndarray:
    """A grid, or part of one, of coordinates that make exact values likely."""
    axes: list[Sequence[float]] = []
    for lo, hi in bounded(box, 4.0).tolist():
        axes.append(sorted({lo, hi, 0.5 * (lo + hi), *(value for value in SIMPLE if lo <= value <= hi)}))
    count = int(np.prod([float(len(axis)) for axis in axes]).clip(0, 1e9))
    if count <= MOST_POINTS:
        return np.asarray(list(itertools.product(*axes)))
    random = np.random.default_rng(2)
    return np.stack([random.choice(np.asarray(axis), MOST_POINTS) for axis in axes], axis=1)
