"""Branch and bound: split the region until every box is decided, worst first, and look for a witness on the way."""

import concurrent.futures
import dataclasses
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from ..programs import Program
from ._bounds import Bounder, Bounds
from ._summits import Summits
from ._tree import Tree


BATCH = 4096
CLIMBERS, CLIMB_STEPS = 32, 6
SCATTER, SCATTER_STEPS = 256, 40
THINNEST = 2.0**-40
"""Boxes thinner than this part of the region, in every direction, are not split further."""
CORNERS = 10
"""All corners of regions of at most so many dimensions are tried."""


@dataclasses.dataclass
class Found:
    """What a search ended with.

    Attributes:
        tree: how the region was cut, and what decides each part.
        points: the points that its words ``e0``, ``e1``, ... speak of.
        open: boxes that are not.
        share: part of the region's volume that the open boxes make up.
        rise: a point at which the number has the wrong sign, if one was confirmed.
        hole: a point at which the question is undefined, if one was confirmed.
        boxes: how many boxes were bounded.
        seconds: wall time.
        interrupted: whether it was stopped by Ctrl-C.
    """

    tree: Tree
    points: list[list[float]]
    open: np.ndarray
    share: float
    rise: np.ndarray | None
    hole: np.ndarray | None
    boxes: int
    seconds: float
    interrupted: bool = False


class Search:
    """One search; ``run`` returns when all is decided, a witness is found, or the budget is spent."""

    def __init__(
        self,
        program: Program,
        bounder: Bounder,
        box: np.ndarray,
        *,
        strict: bool,
        confirm: Callable[[np.ndarray], str],
        budget_s: float,
        most_boxes: int = 20_000_000,
    ) -> None:
        self.bounder, self.box, self.strict, self.confirm = bounder, box, strict, confirm
        self.start, self.budget, self.most = time.monotonic(), budget_s, most_boxes
        self.tree, self.summits = Tree(), Summits(program, bounder)
        self.thin: list[np.ndarray] = []
        self.rise: np.ndarray | None = None
        self.hole: np.ndarray | None = None
        self.boxes, self.interrupted = 0, False

    def run(self) -> Found:
        """Search."""
        lo, hi, key, parts = self.box[None, :, 0], self.box[None, :, 1], np.asarray([np.inf]), np.zeros(1, np.int64)
        with concurrent.futures.ThreadPoolExecutor(2) as pool, threadpool_limits(1):
            self._try(_corners(self.box))
            self._scatter()
            try:
                while len(lo) and self.hole is None and self._time():
                    order = np.argpartition(-key, BATCH)[:BATCH] if len(key) > BATCH else np.arange(len(key))
                    rest = np.ones(len(key), bool)
                    rest[order] = False
                    made = self._round(pool, lo[order], hi[order], parts[order])
                    lo, hi, key, parts = (
                        np.concatenate([old[rest], new]) for old, new in zip((lo, hi, key, parts), made, strict=True)
                    )
                    if self.rise is not None:
                        self.budget = min(self.budget, time.monotonic() - self.start + 2.0)
            except KeyboardInterrupt:
                self.interrupted = True  # what is decided so far is returned, the rest is open
        rest = np.concatenate([np.concatenate([lo, hi], axis=1), *self.thin])
        return Found(
            self.tree, self.summits.points,
            rest, _share(rest, self.box), self.rise, self.hole, self.boxes, time.monotonic() - self.start,
            self.interrupted,
        )  # fmt: skip

    def _time(self, share: float = 1.0) -> bool:
        return time.monotonic() - self.start < share * self.budget and self.boxes < self.most

    def _round(
        self, pool: concurrent.futures.Executor, lo: np.ndarray, hi: np.ndarray, parts: np.ndarray
    ) -> tuple[np.ndarray, ...]:
        """Bound boxes, keep what is open, split it."""
        found = self._bounds(pool, lo, hi)
        self.boxes += len(lo)
        words = self._words(found)
        doubtful = np.flatnonzero((words == "") & found.ok)
        if not self.strict and self.rise is None:
            words[doubtful] = self.summits.words(lo[doubtful], hi[doubtful], found.hi[doubtful])
        self.tree.close(parts[words != ""], words[words != ""])
        left = words == ""
        if self.rise is not None:
            left &= ~found.ok  # only whether the question is defined is still of interest
        lo, hi, parts, found = lo[left], hi[left], parts[left], _chosen(found, left)
        if not len(lo):
            return lo, hi, np.zeros(0), parts
        self._probe(lo, hi, found)
        wide = np.any(hi - lo > THINNEST * (self.box[:, 1] - self.box[:, 0]), axis=1)
        self.thin.append(np.concatenate([lo[~wide], hi[~wide]], axis=1))
        return self._split(lo[wide], hi[wide], parts[wide], _chosen(found, wide))

    def _words(self, found: Bounds) -> np.ndarray:
        """What decides each box, as certificates say it: a constraint, the natural form, slopes; "" if nothing does."""
        low, natural = ((top < 0 if self.strict else top <= 0) for top in (found.hi, found.natural))
        words = np.where(found.ok & low, np.where(natural, "v", "m"), "").astype("<U12")
        words[found.outside] = np.char.add("c", found.fails[found.outside].astype("<U11"))
        return words

    def _split(self, lo: np.ndarray, hi: np.ndarray, parts: np.ndarray, found: Bounds) -> tuple[np.ndarray, ...]:
        """Halve each box where the number may move most, or where it is widest if that says nothing."""
        width = (hi - lo) / _sides(self.box)
        reach = np.where(np.isfinite(found.reach), found.reach, 0.0)
        told = np.all(np.isfinite(found.reach), axis=1) & (reach.max(axis=1, initial=0.0) > 0)
        score = np.where(told[:, None], reach, width)
        score = np.where(width > 0.02 * width.max(axis=1, keepdims=True), score, -1.0)  # no needles
        axis = np.argmax(score, axis=1)
        rows = np.arange(len(lo))
        ends = lo[rows, axis], hi[rows, axis]
        middle = np.clip(0.5 * ends[0] + 0.5 * ends[1], *ends)  # as whoever replays it cuts (see `middle`)
        left, right = hi.copy(), lo.copy()
        left[rows, axis], right[rows, axis] = middle, middle
        key = np.where(np.isfinite(found.hi), found.hi, np.inf)
        halves = np.concatenate(self.tree.split(parts, axis))
        return np.concatenate([lo, right]), np.concatenate([left, hi]), np.concatenate([key, key]), halves

    def _bounds(self, pool: concurrent.futures.Executor, lo: np.ndarray, hi: np.ndarray) -> Bounds:
        if len(lo) < 256:
            return self.bounder(lo, hi)
        half = len(lo) // 2
        parts = [pool.submit(self.bounder, lo[cut], hi[cut]) for cut in (slice(half), slice(half, None))]
        first, second = (part.result() for part in parts)
        return Bounds(*(np.concatenate([getattr(one, name.name) for one in (first, second)]) for name in FIELDS))

    def _probe(self, lo: np.ndarray, hi: np.ndarray, found: Bounds) -> None:
        """Try the middles of open boxes, climb from the best, and try corners where something is undefined."""
        if self.rise is None:
            order = np.argsort(-found.hi)[: 8 * CLIMBERS]
            middles = 0.5 * (lo[order] + hi[order])
            self._try(np.concatenate([middles, lo[order], hi[order]]))  # where cuts met 0, corners are at it
            if self.rise is None:
                self._climb(middles[:CLIMBERS], (hi - lo)[order[:CLIMBERS]])
        doubtful = ~found.ok
        if np.any(doubtful) and self.hole is None:
            some = np.flatnonzero(doubtful)[:64]
            self._try(np.concatenate([0.5 * (lo[some] + hi[some]), lo[some], hi[some]]))

    def _try(self, points: np.ndarray) -> None:
        """Ask the deciding arithmetic about the most suspicious points."""
        if not len(points):
            return
        found = self.bounder.natural(points, points)
        holes = np.flatnonzero(~found.ok & ~found.outside)[:8] if self.hole is None else []
        worth = ~found.outside & found.ok & ((found.hi >= 0) if self.strict else (found.hi > 0))
        best = np.flatnonzero(worth)[np.argsort(-found.lo[worth])][:4] if self.rise is None else []
        for place in (*holes, *best):
            verdict = self.confirm(points[place])
            if verdict == "rise" and self.rise is None:
                self.rise = points[place]
            elif verdict == "hole":
                self.hole = points[place]
                return

    def _scatter(self) -> None:
        """Climb from points on shells of all sizes; along the shells too, as a rise may be large only far out.

        It may take half of the time, so that some is left for boxes on a slow machine too.
        """
        random = np.random.default_rng(0)
        middle, half = self.box.mean(axis=1), 0.5 * (self.box[:, 1] - self.box[:, 0])
        directions = random.uniform(-1.0, 1.0, (SCATTER, len(self.box)))
        points = middle + half * directions * 10.0 ** -random.uniform(0.0, 3.0, (SCATTER, 1))
        how: dict[str, Any] = {"widths": 0.2 * half * np.ones_like(points), "steps": SCATTER_STEPS, "share": 0.5}
        self._climb(points, **how)
        if self.rise is None:
            self._climb(points, **how, shells=True)

    @np.errstate(over="ignore", invalid="ignore")
    def _climb(
        self, points: np.ndarray, widths: np.ndarray, steps: int = CLIMB_STEPS, *, share: float = 1.0,
        shells: bool = False,
    ) -> None:  # fmt: skip
        """A few projected steps uphill; on ``shells`` the distance from the middle is kept."""
        best, slope = self.bounder.at(points)
        value = np.where(best.outside, -np.inf, best.hi)
        reach = np.maximum(widths, 1e-3 * (self.box[:, 1] - self.box[:, 0]))
        middle = self.box.mean(axis=1)
        for _ in range(steps):
            if not self._time(share):
                break
            if shells:
                away = points - middle
                square = np.sum(away**2, axis=1, keepdims=True)
                slope = slope - away * np.sum(away * slope, axis=1, keepdims=True) / np.where(square > 0, square, 1.0)
            size = np.max(np.abs(slope) * reach, axis=1, keepdims=True)
            step = np.where(size > 0, slope * reach**2 / np.where(size > 0, size, 1.0), 0.0)
            step = np.where(np.isfinite(step), step, 0.0)  # slopes may be huge
            trial = np.clip(points + step, self.box[:, 0], self.box[:, 1])
            found, new_slope = self.bounder.at(trial)
            gain = np.where(found.outside, -np.inf, found.hi) > value
            points = np.where(gain[:, None], trial, points)
            slope = np.where(gain[:, None], new_slope, slope)
            value = np.where(gain, found.hi, value)
            reach = np.where(gain[:, None], 1.5 * reach, 0.4 * reach)
        self._try(points)


FIELDS = dataclasses.fields(Bounds)


def _chosen(found: Bounds, rows: np.ndarray) -> Bounds:
    return Bounds(*(getattr(found, field.name)[rows] for field in FIELDS))


def _corners(box: np.ndarray) -> np.ndarray:
    """Corners and middle of the region."""
    if len(box) > CORNERS:
        return np.stack([box[:, 0], box[:, 1], box.mean(axis=1)])
    grid = np.meshgrid(*box, indexing="ij")
    return np.concatenate([np.stack([axis.ravel() for axis in grid], axis=1), box.mean(axis=1)[None]])


def _share(rows: np.ndarray, box: np.ndarray) -> float:
    """Volume of boxes, as a part of the region's."""
    n = len(box)
    flat = box[:, 0] == box[:, 1]
    sides = np.where(flat, 1.0, (rows[:, n:] - rows[:, :n]) / _sides(box))
    return float(np.sum(np.prod(sides, axis=1)))


def _sides(box: np.ndarray) -> np.ndarray:
    """Lengths of the region's sides, 1 where it is flat."""
    side = box[:, 1] - box[:, 0]
    return np.where(side > 0, side, 1.0)
