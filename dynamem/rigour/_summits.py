"""Points where the number is 0 and greatest: no cutting decides the boxes around them, curvature does.

Candidates are the simplest binary fractions in open boxes; what `Parts` says of them is exact. The box around one is
decided where the number is concave (see `Parts`), which is bounded here by intervals for many boxes at once.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..programs import INTERVAL, Interval, Program, pivots, prepared, slopes
from ._bounds import Bounder
from ._parts import Parts, downhill


LOOKED_AT, ASKED, MOST, MOST_ASKED = 64, 8, 32, 200
"""Boxes and candidates in each round, summits that are kept, and candidates in all that Arb is asked about."""
WIDEST = 12
"""In more dimensions there are too many second slopes."""


class Summits:
    """The summits of one question, and the boxes they decide.

    Arguments:
        program: outputs ``(number, constraints...)``.
        bounder: its bounds.
    """

    def __init__(self, program: Program, bounder: Bounder) -> None:
        self.program, self.bounder, self.parts = program, bounder, Parts(program)
        self.points: list[list[float]] = []
        self.signs: list[list[tuple[bool, bool]]] = []
        self.tried: set[tuple[float, ...]] = set()
        self.asked = 0

    @functools.cached_property
    def _pivots(self) -> Callable[[Sequence[Any]], list[Any]]:
        with np.errstate(all="ignore"):
            return prepared(pivots(slopes(slopes(self.program))), INTERVAL)

    def words(self, lo: np.ndarray, hi: np.ndarray, top: np.ndarray) -> np.ndarray:
        """For each of some open boxes the word of the summit that decides it, or ""."""
        words = np.full(len(lo), "", dtype="<U12")
        if not len(lo) or lo.shape[1] > WIDEST:
            return words
        self._look(lo, hi, top)
        for place, (point, signs) in enumerate(zip(self.points, self.signs, strict=True)):
            at = np.asarray(point)
            near = (words == "") & np.all((at >= lo - (hi - lo)) & (at <= hi + (hi - lo)), axis=1)
            rows = [
                row for row in np.flatnonzero(near).tolist()
                if downhill(point, signs, list(zip(lo[row].tolist(), hi[row].tolist(), strict=True)))
            ]  # fmt: skip
            if rows:
                good = self._concave(np.minimum(lo[rows], at), np.maximum(hi[rows], at))
                words[np.asarray(rows)[good]] = f"e{place}"
        return words

    def _concave(self, lo: np.ndarray, hi: np.ndarray) -> np.ndarray:
        with np.errstate(all="ignore"):
            good = self.bounder.natural(lo, hi).ok
            for program in (self.bounder.slopes, self._pivots):
                (found,) = program([Interval(lo, hi)])
                good = good & (True if found.ok is None else found.ok.all(axis=1))
            return good & np.all(found.lo >= 0, axis=1)

    def _look(self, lo: np.ndarray, hi: np.ndarray, top: np.ndarray) -> None:
        """New candidates in the boxes where the number is nearest to 0."""
        if len(self.points) >= MOST or self.asked >= MOST_ASKED:
            return
        order = np.argsort(top)[:LOOKED_AT]
        found = {tuple(point) for point in simplest(lo[order], hi[order]).tolist()} - self.tried
        if not found:
            return
        self.tried |= found
        candidates = np.asarray(sorted(found))
        with np.errstate(all="ignore"):
            bounds = self.bounder.natural(candidates, candidates)
        worth = np.flatnonzero(bounds.ok & (bounds.hi >= 0) & (bounds.lo <= 0))[:ASKED]
        for point in candidates[worth].tolist():
            self.asked += 1
            signs = self.parts.summit(point)
            if signs is not None and all(any(pair) for pair in signs):
                self.points.append(point)
                self.signs.append(signs)


def simplest(lo: np.ndarray, hi: np.ndarray) -> np.ndarray:
    """The number with the fewest binary digits in each interval, 0 if it is there."""
    small, large = np.minimum(np.abs(lo), np.abs(hi)), np.maximum(np.abs(lo), np.abs(hi))
    _, power = np.frexp(large)
    found, open_ = np.where(large == small, large, 0.0), (lo > 0) | (hi < 0)
    open_ &= large > small
    for step in range(1, 54):
        unit = np.ldexp(1.0, power - step)
        trial = np.floor(large / unit) * unit
        hit = open_ & (trial >= small)
        found = np.where(hit, trial, found)
        open_ &= ~hit
    return np.where((lo <= 0) & (hi >= 0), 0.0, np.where(open_, 0.5 * (lo + hi), np.copysign(found, lo)))
