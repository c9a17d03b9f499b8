r"""Maps: a region cut into boxes where an energy certainly falls, where it certainly rises, and where that is open.

Boxes are halved level by level, all by the same bounds as in `certify`, so that every budget of boxes gives one map,
the same at each run.
"""

import concurrent.futures
import dataclasses
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from .._errors import InputError
from .._types import EnergyFn
from ._affine import affine_of
from ._bounds import Bounder, Bounds
from ._question import Question, question
from ._setting import hold_against_jax, narrowest, region_of, where_of


FALLS, OPEN, RISES = -1, 0, 1
THREADS = 2
THINNEST = 2.0**-40
"""Boxes thinner than this part of the region, in every direction, are not cut."""
LEAST, MOST, ENTRIES = 16, 4096, 131_072
"""Boxes that are bounded together: as many as keep the widest line of the program in the cache."""
SAMPLE, WORTH, WIDE, WORTH_WIDE = 32, 0.1, 256, 0.4
"""Of so many boxes slopes have to settle more than this part, or a level goes without them; more than that part where
a line of the program has so many entries that slopes cost ten times what they refine."""
SLENDEREST = 0.25
"""Boxes are cut across if they would become more slender than this, in parts of the region's sides."""


@dataclasses.dataclass(frozen=True)
class RateMap:
    """Boxes that cover a region, and what is certain on each.

    Attributes:
        lo: lower ends of the boxes, shape (B, n): the state's coordinates (or those of a slice), then time, if any.
        hi: upper ends, shape (B, n).
        signs: -1 where ``LE <= 0`` all over the box, 1 where ``LE > 0`` all over it, 0 where neither is shown (or
            the rate is undefined somewhere in it), shape (B,).
        names: names of the coordinates.
        region: what is covered, in words, with the semantics.
        bounded: how many boxes were bounded on the way.
        seconds: wall time.
    """

    lo: np.ndarray
    hi: np.ndarray
    signs: np.ndarray
    names: tuple[str, ...]
    region: str
    bounded: int
    seconds: float

    @property
    def shares(self) -> dict[str, float]:
        """Parts of the region's volume: ``falls``, ``rises`` and ``open``."""
        sides = self.hi - self.lo
        volume = np.prod(np.where(np.max(sides, axis=0) > 0, sides, 1.0), axis=1)
        whole = float(np.sum(volume))
        found = {"falls": FALLS, "rises": RISES, "open": OPEN}
        return {name: float(np.sum(volume[self.signs == sign])) / whole for name, sign in found.items()}

    def at(self, value: float, axis: int = -1) -> "RateMap":
        """The boxes that a coordinate, time if nothing else is said, crosses at a value, without that coordinate.

        Raises:
            InputError: the value is not in the region.
        """
        lower, upper = self.lo[:, axis], self.hi[:, axis]
        first, last = float(np.min(lower)), float(np.max(upper))
        if not first <= value <= last:
            msg = f"value={value!r}: {self.names[axis]} runs from {first!r} to {last!r}"
            raise InputError(msg)
        met = (lower <= value) & ((value < upper) | (upper == last))
        names = tuple(np.delete(np.asarray(self.names), axis).tolist())
        ends = (np.delete(end[met], axis, axis=1) for end in (self.lo, self.hi))
        region = f"{self.names[axis]} = {value:g}; {self.region}"
        return RateMap(*ends, self.signs[met], names, region, self.bounded, self.seconds)


def rate_map(
    energy: EnergyFn, flow: Any, box: Any, *, affine: Any = None, boxes: int = 100_000, budget_s: float = 20.0
) -> RateMap:
    """Where an energy certainly falls, and where it certainly rises.

    Arguments:
        energy: any ``E(t, x)``.
        flow: a dynamem flow, any Diffrax terms (noise in the Ito sense), or a `Map` (then ``E(f(x)) - E(x)`` stands in
            the place of the rate ``LE``).
        box: rows ``(lo, hi)``, one for each coordinate of the state and one more, last, for time if anything reads it;
            a row may be a single value.
        affine: ``(a, B)`` as for `certify`: the states are ``x = a + B u`` and the rows those of ``u``.
        boxes: how many boxes are bounded at most. A map that stops at it is the same at every run.
        budget_s: seconds; Ctrl-C ends it as well, and the rest is open.

    Raises:
        InputError: the box is malformed, or the code uses a primitive that is not understood.
        TranslationError: the program does not compute what the code computes.
    """
    until = _until(boxes, budget_s)
    region = region_of(box, bounded=True)
    asked = question(energy, flow, len(region), (), "nonincrease", affine_of(affine)).pinned(region)
    return _covered(asked, _bounder(asked, region), region, boxes, until)


def rate_maps(
    energy: EnergyFn, flow: Any, box: Any, times: Sequence[float], *, affine: Any = None, boxes: int = 100_000,
    budget_s: float = 20.0,
) -> list[RateMap]:  # fmt: skip
    """`rate_map` at several times: the box has no row for time, ``boxes`` is for each map, ``budget_s`` for all.

    The code is read once, with time as an input; where it takes a schedule's coordinates apart, `rate_map` at each
    single time bounds closer.
    """
    until = _until(boxes, budget_s)
    rows = region_of(box, bounded=True)
    regions = [np.concatenate([rows, [[value, value]]]) for value in times]
    whole = np.concatenate([rows, [[min(times), max(times)]]])
    asked = question(energy, flow, len(whole), (), "nonincrease", affine_of(affine))
    bounder = _bounder(asked, whole)
    return [_covered(asked, bounder, region, boxes, until) for region in regions]


def _until(boxes: int, budget_s: float) -> float:
    if boxes < 1 or not budget_s > 0:
        msg = f"boxes={boxes!r}, budget_s={budget_s!r}: both must be positive"
        raise InputError(msg)
    return time.monotonic() + budget_s


def _bounder(asked: Question, region: np.ndarray) -> Bounder:
    plain = asked.program()
    hold_against_jax(asked, plain, region)
    return Bounder(narrowest(asked, plain, region), 0)


def _covered(asked: Question, bounder: Bounder, region: np.ndarray, boxes: int, until: float) -> RateMap:
    start = time.monotonic()
    cover = _Cover(bounder, region, boxes, until)
    lo, hi, signs = cover.run(max(LEAST, min(MOST, ENTRIES // bounder.widest)))
    return RateMap(lo, hi, signs, asked.names(), where_of(asked, region), cover.count, time.monotonic() - start)


class _Cover:
    """One map in the making: the boxes of a level, how many of them are bounded, and the halves for the next one."""

    def __init__(self, bounder: Bounder, region: np.ndarray, most: int, until: float) -> None:
        self.bounder, self.region, self.most, self.until = bounder, region, most, until
        self.lo, self.hi, self.place, self.count = region[None, :, 0], region[None, :, 1], 0, 0
        self.bound: Callable[[np.ndarray, np.ndarray], Bounds] = bounder
        self.halves: list[tuple[np.ndarray, np.ndarray]] = []
        self.done: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []

    def run(self, rows: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Bound ``THREADS`` times ``rows`` boxes at a time, until a budget is spent; what is left is open."""
        try:
            with concurrent.futures.ThreadPoolExecutor(THREADS) as pool, threadpool_limits(1):
                while len(self.lo) and self.count < self.most and time.monotonic() < self.until:
                    self._step(pool, rows)
        except KeyboardInterrupt:
            pass  # what is decided so far is returned
        for lo, hi in ((self.lo[self.place :], self.hi[self.place :]), *self.halves):
            self.done.append((lo, hi, np.full(len(lo), OPEN)))
        lo, hi, signs = (np.concatenate(parts) for parts in zip(*self.done, strict=True))
        return lo, hi, signs.astype(np.int8)

    def _step(self, pool: concurrent.futures.Executor, rows: int) -> None:
        stop = self.place + min(THREADS * rows, self.most - self.count)
        lo, hi = self.lo[self.place : stop], self.hi[self.place : stop]
        starts = range(0, len(lo), rows)
        if self.place == 0:
            self.bound = self.bounder if self._worthwhile() else self.bounder.natural
        found = list(pool.map(self.bound, *([end[start : start + rows] for start in starts] for end in (lo, hi))))
        signs = np.concatenate([_signs(bounds) for bounds in found])
        reach = np.concatenate([bounds.reach for bounds in found])
        cut = (signs == OPEN) & np.any(hi - lo > THINNEST * (self.region[:, 1] - self.region[:, 0]), axis=1)
        self.done.append((lo[~cut], hi[~cut], signs[~cut]))
        self.halves.append(self._halved(lo[cut], hi[cut], reach[cut]))
        self.count, self.place = self.count + len(lo), self.place + len(lo)
        if self.place == len(self.lo):
            self.lo, self.hi = (np.concatenate(ends) for ends in zip(*self.halves, strict=True))
            self.place, self.halves = 0, []

    def _worthwhile(self) -> bool:
        """Whether slopes settle many of the boxes of this level that the natural form leaves open: a few are tried."""
        some = np.unique(np.linspace(0, len(self.lo) - 1, SAMPLE).astype(int))
        found = self.bounder(self.lo[some], self.hi[some])
        tried = np.all(np.isfinite(found.reach), axis=1)
        least = WORTH if self.bounder.widest < WIDE else WORTH_WIDE
        return bool(np.sum(tried & (_signs(found) != OPEN)) > least * np.sum(tried))

    def _halved(self, lo: np.ndarray, hi: np.ndarray, reach: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Cut where the rate may change most, if that is known."""
        side = self.region[:, 1] - self.region[:, 0]
        width = (hi - lo) / np.where(side > 0, side, 1.0)
        known = np.all(np.isfinite(reach), axis=1, keepdims=True)
        score = np.where(known, np.where(np.isfinite(reach), reach, 0.0), width)
        score = np.where(width > SLENDEREST * width.max(axis=1, keepdims=True), score, -1.0)
        rows, axis = np.arange(len(lo)), np.argmax(score, axis=1)
        middle = 0.5 * (lo[rows, axis] + hi[rows, axis])
        left, right = hi.copy(), lo.copy()
        left[rows, axis], right[rows, axis] = middle, middle
        return np.concatenate([lo, right]), np.concatenate([left, hi])


def _signs(found: Bounds) -> np.ndarray:
    """What is certain on each box."""
    return np.where(found.ok & (found.hi <= 0), FALLS, np.where(found.ok & (found.lo > 0), RISES, OPEN))
