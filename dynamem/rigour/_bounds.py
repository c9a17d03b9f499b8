r"""Bounds of the number that is asked about, on many boxes at once: the natural form and the mean-value form.

    f(X) in f_natural(X),      f(X) in f(c) + sum_i (df/dx_i)(X) (X_i - c_i)     (c the midpoint),

and both are met. The second needs a function that is continuous on the box: where a ``where``, a ``sign`` or a
``floor`` is undecided there it is left out. Its slopes are those that JAX differentiated, in the same program.
"""

import dataclasses
from typing import Any

import numpy as np

from ..programs import INTERVAL, Interval, Program, down, evaluate, mul, up


@dataclasses.dataclass
class Bounds:
    """What is known of B boxes.

    Attributes:
        lo: lower bound of the number, shape (B,).
        hi: upper bound, shape (B,).
        ok: whether number and constraints are defined all over the box, shape (B,).
        bad: whether the number is defined nowhere in it, shape (B,).
        inside: whether all constraints surely hold, shape (B,).
        outside: whether some constraint surely fails, shape (B,).
        reach: how much each coordinate may move the number, shape (B, n).
    """

    lo: np.ndarray
    hi: np.ndarray
    ok: np.ndarray
    bad: np.ndarray
    inside: np.ndarray
    outside: np.ndarray
    reach: np.ndarray


class Bounder:
    """Bounds of one question's program ``(number, constraints..., slope)``."""

    def __init__(self, program: Program, constraints: int) -> None:
        self.program, self.constraints = program, constraints

    def __call__(self, lo: np.ndarray, hi: np.ndarray) -> Bounds:
        """Bounds on boxes with ends of shape (B, n)."""
        torn = np.zeros(len(lo), bool)
        rules = _watched(torn)
        with np.errstate(all="ignore"):
            value, *bounds, slope = evaluate(self.program, rules, [Interval(lo, hi)])
            made = self._plain(value, bounds, len(lo))
            self._sharpen(made, slope, lo, hi, torn)
        return made

    def at(self, points: np.ndarray) -> tuple[Bounds, np.ndarray]:
        """Bounds at points (B, n), and the slope there."""
        with np.errstate(all="ignore"):
            value, *bounds, slope = evaluate(self.program, INTERVAL, [Interval(points, points.copy())])
            made = self._plain(value, bounds, len(points))
            middle = np.broadcast_to(0.5 * (slope.lo + slope.hi), points.shape)
        return made, np.where(np.isfinite(middle), middle, 0.0)

    def _plain(self, value: Interval, bounds: list[Interval], count: int) -> Bounds:
        everywhere, nowhere = _column(value.ok, count, True), _column(value.bad, count, False)
        inside, outside = np.ones(count, bool), np.zeros(count, bool)
        for bound in bounds:
            fine = _column(bound.ok, count, True)
            everywhere = everywhere & fine
            inside &= fine & _wide(bound.hi <= 0, count)
            outside |= fine & _wide(bound.lo > 0, count)
        lo, hi = _wide(value.lo, count), _wide(value.hi, count)
        lo, hi = np.where(np.isnan(lo), -np.inf, lo), np.where(np.isnan(hi), np.inf, hi)
        return Bounds(lo, hi, everywhere, nowhere, inside, outside, np.zeros((count, 1)))

    def _sharpen(self, made: Bounds, slope: Interval, lo: np.ndarray, hi: np.ndarray, torn: np.ndarray) -> None:
        """Meet the natural form with the mean-value form."""
        centre = 0.5 * (lo + hi)
        fine = _whole(slope.ok, lo.shape) & made.ok & ~torn
        shift = Interval(down(lo - centre), up(hi - centre))
        moves = mul(None, slope, shift)
        made.reach = np.where(np.isfinite(moves.hi - moves.lo), moves.hi - moves.lo, np.inf)
        if not np.any(fine):
            return
        value = evaluate(self.program, INTERVAL, [Interval(centre, centre.copy())])[0]
        units = len(lo[0]) + 2
        low, high = (np.sum(end, axis=1) for end in (moves.lo, moves.hi))
        slack = up(np.sum(np.maximum(np.abs(moves.lo), np.abs(moves.hi)), axis=1), 4.0) * units * 2.0**-52
        least, most = down(value.lo[:, 0] + down(low - slack)), up(value.hi[:, 0] + up(high + slack))
        fine &= np.isfinite(least) & np.isfinite(most)
        made.lo = np.where(fine, np.maximum(made.lo, least), made.lo)
        made.hi = np.where(fine, np.minimum(made.hi, most), made.hi)


def _wide(row: np.ndarray, count: int) -> np.ndarray:
    return np.broadcast_to(row[:, 0], (count,)).copy()


def _column(mark: np.ndarray | None, count: int, default: bool) -> np.ndarray:
    return np.full(count, default) if mark is None else np.broadcast_to(mark[:, 0], (count,)).copy()


def _whole(mark: np.ndarray | None, shape: tuple[int, ...]) -> np.ndarray:
    return np.ones(shape[0], bool) if mark is None else np.broadcast_to(mark.all(axis=1), shape[:1])


def _watched(torn: np.ndarray) -> dict[str, Any]:
    """The rules, which also note in which boxes a jump may lie."""

    def select(node: Any, which: Any, yes: Any, no: Any) -> Any:
        torn[:] |= np.any(which.may & which.may_not, axis=1)
        return INTERVAL["select"](node, which, yes, no)

    def stepped(name: str) -> Any:
        def rule(node: Any, x: Any) -> Any:
            made = INTERVAL[name](node, x)
            torn[:] |= np.any(made.lo != made.hi, axis=1)
            return made

        return rule

    return INTERVAL | {"select": select, "sign": stepped("sign"), "floor": stepped("floor")}
