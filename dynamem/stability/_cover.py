"""Branch and bound for zeros: boxes without one are put aside, boxes around one are certified, the rest is halved.

Every box is accounted for: it is free of zeros, or inside the box of a zero that Arb has certified to be the only one
there, or open. Boxes of zeros are grown around points that Newton's method finds, so that they reach over the cuts,
on which no halving could decide a zero.
"""

import dataclasses
import time

import numpy as np

from ..programs import Program
from ._balls import FINE, Balls, outer
from ._krawczyk import Krawczyk, Step


BATCH, ENTRIES = 2048, 2_000_000
"""Boxes that are bounded together, and numbers that their Jacobians may have."""
MOST_OPEN = 10_000
"""With more boxes waiting than this the search ends: zeros that are not isolated are never used up."""
THINNEST = 2.0**-40
"""Boxes thinner than this part of the region, in every direction, are not halved."""
CUT = 0.5 + 1 / 64
"""Where a side is cut: not in its middle, where symmetric fields have their zeros."""
SCATTER, TRIED, NEWTON, FEW = 64, 32, 24, 6
RADII = 0.5 ** np.arange(2, 42, 1.5)
"""Half sides of the boxes that are tried around a zero, as parts of the region's sides, largest first."""
SLACK = 1e-9
"""What is added to ``K(X)``, relative to the box, so that Arb's is inside it."""
WORTH, ENOUGH = 0.9, 0.5
"""A contraction to this part of the volume counts, and to this part it makes halving unnecessary."""


@dataclasses.dataclass(frozen=True)
class Zero:
    """A zero that Arb has certified.

    Attributes:
        alone: a box (D, 2) in which it is the only zero.
        ends: a much smaller one around it, pairs of exact Arb numbers.
        box: the same in floats, outward, shape (D, 2).
    """

    alone: np.ndarray
    ends: list
    box: np.ndarray


class Cover:
    """One search; `run` ends when no box is open, the budget is spent, or too many boxes are open."""

    def __init__(self, program: Program, region: np.ndarray, until: float) -> None:
        self.operator, self.balls, self.fine = Krawczyk(program), Balls(program), Balls(program, FINE)
        self.region, self.until, self.sides = region, until, region[:, 1] - region[:, 0]
        self.zeros: list[Zero] = []
        self.failed = np.zeros((0, len(region)))
        self.free: list[np.ndarray] = []
        self.shrunk: list[np.ndarray] = []
        self.covered: list[np.ndarray] = []
        self.thin: list[np.ndarray] = []
        self.open = np.zeros((0, len(region), 2))
        self.hole: np.ndarray | None = None
        self.boxes, self.why, self.interrupted = 0, "", False

    def run(self) -> None:
        """Search."""
        lo, hi = self.region[None, :, 0], self.region[None, :, 1]
        most = max(1, min(BATCH, ENTRIES // len(self.region) ** 2))
        try:
            self._scatter()
            while len(lo) and self.hole is None and self._goes_on(len(lo)):
                width = np.max((hi - lo) / self.sides, axis=1)
                order = np.argsort(-width, kind="stable")
                first, rest = order[:most], order[most:]
                made = self._round(lo[first], hi[first])
                lo, hi = (np.concatenate([old[rest], new]) for old, new in zip((lo, hi), made, strict=True))
        except KeyboardInterrupt:
            self.interrupted, self.why = True, "it was interrupted"
        self.open = np.concatenate([np.stack([lo, hi], axis=2), *self.thin])

    def _goes_on(self, waiting: int) -> bool:
        if time.monotonic() > self.until:
            self.why = "the budget is spent"
        elif waiting > MOST_OPEN:
            self.why = f"more than {MOST_OPEN} boxes are open: zeros that are not isolated, or too many dimensions"
        return not self.why

    def _round(self, lo: np.ndarray, hi: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Decide boxes, contract or halve the rest."""
        inside = self._covered(lo, hi)
        self.covered.append(np.stack([lo[inside], hi[inside]], axis=2))
        lo, hi = lo[~inside], hi[~inside]
        if not len(lo):
            return lo, hi
        found = self.operator(lo, hi)
        self.boxes += len(lo)
        if np.any(found.bad):
            worst = int(np.argmax(found.bad))
            self.hole = np.stack([lo[worst], hi[worst]], axis=1)
            return lo, hi
        gone = found.free
        self.free.append(np.stack([lo[gone], hi[gone]], axis=2))
        left = ~gone
        lo, hi, found = lo[left], hi[left], _chosen(found, left)
        self._look(lo, hi, found)
        lo, hi, share = self._contracted(lo, hi, found)
        thin = np.all(hi - lo <= THINNEST * self.sides, axis=1)
        self.thin.append(np.stack([lo[thin], hi[thin]], axis=2))
        kept = (share <= ENOUGH) & ~thin
        halves = self._halved(lo[~kept & ~thin], hi[~kept & ~thin], found.moves[~kept & ~thin])
        return np.concatenate([lo[kept], halves[0]]), np.concatenate([hi[kept], halves[1]])

    def _covered(self, lo: np.ndarray, hi: np.ndarray) -> np.ndarray:
        inside = np.zeros(len(lo), bool)
        for zero in self.zeros:
            inside |= np.all((lo >= zero.alone[:, 0]) & (hi <= zero.alone[:, 1]), axis=1)
        return inside

    def _contracted(self, lo: np.ndarray, hi: np.ndarray, found: Step) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Boxes met with ``K(X)`` where that gains something, and the part of the volume that is left."""
        slack = SLACK * (hi - lo)
        low, high = np.maximum(lo, found.lo - slack), np.minimum(hi, found.hi + slack)
        share = np.prod((high - low) / (hi - lo), axis=1)
        gains = (share <= WORTH) & np.all(high > low, axis=1)
        ends = [end[gains] for end in (lo, hi, low, high)]
        self.shrunk.append(np.stack(ends, axis=2))
        lo, hi = np.where(gains[:, None], low, lo), np.where(gains[:, None], high, hi)
        return lo, hi, np.where(gains, share, 1.0)

    def _halved(self, lo: np.ndarray, hi: np.ndarray, moves: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Cut boxes where they move ``F`` most, or where they are widest if that says nothing."""
        width = (hi - lo) / self.sides
        told = np.all(np.isfinite(moves), axis=1) & (np.max(moves, axis=1, initial=0.0) > 0)
        score = np.where(told[:, None], moves, width)
        score = np.where(width > 0.05 * width.max(axis=1, keepdims=True, initial=0.0), score, -1.0)  # no needles
        axis, rows = np.argmax(score, axis=1), np.arange(len(lo))
        ends = lo[rows, axis], hi[rows, axis]
        cut = np.clip((1 - CUT) * ends[0] + CUT * ends[1], *ends)
        left, right = hi.copy(), lo.copy()
        left[rows, axis], right[rows, axis] = cut, cut
        return np.concatenate([lo, right]), np.concatenate([left, hi])

    # Zeros

    def _scatter(self) -> None:
        """Candidates from all over the region, before anything is cut."""
        random = np.random.default_rng(0)
        points = random.uniform(self.region[:, 0], self.region[:, 1], (SCATTER, len(self.region)))
        self._candidates(np.concatenate([self.region.mean(axis=1)[None], points]), NEWTON)

    def _look(self, lo: np.ndarray, hi: np.ndarray, found: Step) -> None:
        """Candidates in boxes: those that hold their ``K(X)`` first, then the smallest."""
        if len(lo):
            inside = np.all((found.lo > lo) & (found.hi < hi), axis=1)
            order = np.lexsort((np.max((hi - lo) / self.sides, axis=1), ~inside))[:TRIED]
            self._candidates(0.5 * (lo[order] + hi[order]), FEW)

    def _candidates(self, points: np.ndarray, steps: int) -> None:
        points, last = self.operator.newton(points, steps, 1e-12 * float(np.min(self.sides)))
        room = 0.01 * self.sides
        near = np.all((points >= self.region[:, 0] - room) & (points <= self.region[:, 1] + room), axis=1)
        good = near & (last <= 1e-6 * np.max(self.sides))
        for point in points[good]:
            if self._known(point) or time.monotonic() > self.until:
                continue
            if not self._certify(point):
                self.failed = np.concatenate([self.failed, point[None]])

    def _known(self, point: np.ndarray) -> bool:
        inside = (np.all((point >= one.alone[:, 0]) & (point <= one.alone[:, 1])) for one in self.zeros)
        return any(inside) or bool(np.any(np.all(np.abs(self.failed - point) <= 1e-6 * self.sides, axis=1)))

    def _certify(self, point: np.ndarray) -> bool:
        """Keep the largest box around a point that Arb certifies; False if there is none."""
        reach = RADII[:, None] * self.sides
        lo, hi = point - reach, point + reach
        found = self.operator(lo, hi)
        for row in np.flatnonzero(np.all((found.lo > lo) & (found.hi < hi), axis=1) & found.ok).tolist():
            box = np.stack([lo[row], hi[row]], axis=1)
            if self.balls.single(box):
                ends = self.fine.tightened(box)
                self._keep(Zero(box, ends, outer(ends)))
                return True
        return False

    def _keep(self, new: Zero) -> None:
        """Add a zero unless it is one that is known, or may be."""
        for old in self.zeros:
            if np.all((new.box[:, 1] >= old.alone[:, 0]) & (new.box[:, 0] <= old.alone[:, 1])):
                return
        self.zeros.append(new)

    # Accounts

    def share(self, boxes: np.ndarray) -> float:
        """Volume of boxes (B, D, 2), as a part of the region's."""
        return float(np.sum(np.prod((boxes[:, :, 1] - boxes[:, :, 0]) / self.sides, axis=1)))

    def accounted(self) -> float:
        """The part of the region's volume that the boxes make up: 1, if none was lost."""
        shrunk = np.concatenate(self.shrunk) if self.shrunk else np.zeros((0, len(self.sides), 4))
        parts = [self.share(np.concatenate([self.open[:0], *boxes])) for boxes in (self.free, self.covered)]
        return sum(parts) + self.share(self.open) + self.share(shrunk[..., :2]) - self.share(shrunk[..., 2:])

    def verified(self, until: float) -> tuple[int, int]:
        """Ask Arb about all boxes that were put aside: how many were confirmed, out of how many.

        A box that Arb leaves open is open from then on.
        """
        free = np.concatenate([self.open[:0], *self.free])
        shrunk = np.concatenate([np.zeros((0, len(self.sides), 4)), *self.shrunk])
        done, opened = 0, []
        for place in range(len(free) + len(shrunk)):
            if time.monotonic() > until:
                break
            if place < len(free):
                good, rest = self.balls.free(free[place]), free[place]
            else:
                row = shrunk[place - len(free)]
                good, rest = self.balls.shrinks(row[:, :2], row[:, 2:]), row[:, :2]
            done += good
            opened += [] if good else [rest]
        self.open = np.concatenate([self.open, *(one[None] for one in opened)])
        return done, len(free) + len(shrunk)


def _chosen(found: Step, rows: np.ndarray) -> Step:
    return Step(*(getattr(found, field.name)[rows] for field in dataclasses.fields(Step)))
