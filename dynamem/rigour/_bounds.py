r"""Bounds of the number that is asked about, on many boxes at once: the natural form and the mean-value form.

    f(X) in f_natural(X),      f(X) <= f(c) + sum_i |d_i f(X)| |X_i - c_i|,      f(X) >= f(c') - ...

and both are met. The sum is over the coordinates along which f may turn; where it only rises or falls, ``c_i`` and
``c'_i`` are ends of ``X_i``, elsewhere its middle. The slopes are those of the program itself (see `slopes`), undefined
where there may be a jump: there, and where the question may be undefined, only the natural form counts.
"""

import dataclasses

import numpy as np

from ..programs import INTERVAL, Interval, Program, down, prepared, slopes, up


TINY = 1e-300


@dataclasses.dataclass
class Bounds:
    """What is known of B boxes.

    Attributes:
        lo: lower bound of the number, shape (B,).
        hi: upper bound, shape (B,).
        natural: upper bound by the natural form alone, shape (B,).
        ok: whether number and constraints are defined all over the box, shape (B,).
        bad: whether the number is defined nowhere in it, shape (B,).
        inside: whether all constraints surely hold, shape (B,).
        fails: a constraint that surely fails, -1 if there is none, shape (B,).
        reach: how much each coordinate may move the number, infinite where that is not known, shape (B, n).
    """

    lo: np.ndarray
    hi: np.ndarray
    natural: np.ndarray
    ok: np.ndarray
    bad: np.ndarray
    inside: np.ndarray
    fails: np.ndarray
    reach: np.ndarray

    @property
    def outside(self) -> np.ndarray:
        """Whether some constraint surely fails, shape (B,)."""
        return self.fails >= 0


class Bounder:
    """Bounds of one question's program ``(number, constraints...)``.

    Attributes:
        widest: entries of its longest line that depends on an input: what one box costs in memory.
    """

    def __init__(self, program: Program, constraints: int) -> None:
        self.constraints, self.widest = constraints, _widest(program)
        with np.errstate(all="ignore"):
            self.values, self.slopes = prepared(program, INTERVAL), prepared(slopes(program), INTERVAL)

    @np.errstate(all="ignore")
    def __call__(self, lo: np.ndarray, hi: np.ndarray) -> Bounds:
        """Bounds on boxes with ends of shape (B, n); where the natural form settles the sign, no other is tried."""
        made = self.natural(lo, hi)
        rows = np.flatnonzero(~made.outside & ~(made.ok & ((made.hi < 0) | (made.lo > 0))))
        if len(rows):
            self._sharpen(made, rows, lo[rows], hi[rows])
        return made

    @np.errstate(all="ignore")
    def at(self, points: np.ndarray) -> tuple[Bounds, np.ndarray]:
        """Bounds at points (B, n), and the slope there."""
        made = self.natural(points, points)
        (slope,) = self.slopes([Interval(points, points.copy())])
        middle = np.broadcast_to(0.5 * (slope.lo + slope.hi), points.shape)
        return made, np.where(np.isfinite(middle), middle, 0.0)

    @np.errstate(all="ignore")
    def natural(self, low: np.ndarray, high: np.ndarray) -> Bounds:
        """Bounds by the natural form alone; ``reach`` is not known."""
        count = len(low)
        value, *bounds = self.values([Interval(low, high.copy())])[: 1 + self.constraints]
        everywhere, nowhere = _column(value.ok, count, True), _column(value.bad, count, False)
        inside, fails = np.ones(count, bool), np.full(count, -1)
        for place, bound in enumerate(bounds):
            fine = _column(bound.ok, count, True)
            everywhere = everywhere & fine
            inside &= fine & _wide(bound.hi <= 0, count)
            fails[fine & _wide(bound.lo > 0, count) & (fails < 0)] = place
        lo, hi = _wide(value.lo, count), _wide(value.hi, count)
        lo, hi = np.where(np.isnan(lo), -np.inf, lo), np.where(np.isnan(hi), np.inf, hi)
        return Bounds(lo, hi, hi.copy(), everywhere, nowhere, inside, fails, np.full(low.shape, np.inf))

    def _sharpen(self, made: Bounds, rows: np.ndarray, lo: np.ndarray, hi: np.ndarray) -> None:
        """Meet the natural form with the mean-value form in some rows."""
        (slope,) = self.slopes([Interval(lo, hi)])
        low, high = (np.broadcast_to(end, lo.shape) for end in (slope.lo, slope.hi))
        size = np.maximum(np.abs(low), np.abs(high))
        reach = size * (hi - lo)
        made.reach[rows] = np.where(np.isfinite(reach), reach, np.inf)
        fine = made.ok[rows] if slope.ok is None else made.ok[rows] & slope.ok.all(axis=1)
        if not np.any(fine):
            return
        middle, rises, falls = 0.5 * (lo + hi), low >= 0, high <= 0
        radius = up(np.maximum(hi - middle, middle - lo))
        moves = np.where(rises | falls, 0.0, up(size * radius, 2.0) + TINY)
        spread = up(np.sum(moves, axis=1), lo.shape[1] + 2.0)
        highest, lowest = np.where(falls, lo, middle), np.where(falls, hi, middle)
        ends = np.concatenate([np.where(rises, hi, highest), np.where(rises, lo, lowest)])
        value, count = self.values([Interval(ends, ends.copy())])[0], len(rows)
        most = up(_wide(value.hi, 2 * count)[:count] + spread)
        least = down(_wide(value.lo, 2 * count)[count:] - spread)
        fine &= np.isfinite(least) & np.isfinite(most)
        made.lo[rows] = np.where(fine, np.maximum(made.lo[rows], least), made.lo[rows])
        made.hi[rows] = np.where(fine, np.minimum(made.hi[rows], most), made.hi[rows])


def _widest(program: Program) -> int:
    """Entries of the longest line that depends on an input."""
    moving = set(program.inputs)
    for place, node in enumerate(program.nodes):
        if not moving.isdisjoint(node.args):
            moving.add(place)
    return max(program.nodes[place].length for place in moving)


def _wide(row: np.ndarray, count: int) -> np.ndarray:
    return np.broadcast_to(row[:, 0], (count,)).copy()


def _column(mark: np.ndarray | None, count: int, default: bool) -> np.ndarray:
    return np.full(count, default) if mark is None else np.broadcast_to(mark[:, 0], (count,)).copy()
