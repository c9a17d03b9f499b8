r"""Intervals: inf-sup arithmetic in float64 NumPy, rounded outward by declared budgets, on many boxes at once.

A value has shape (B, n) for B boxes (or (1, n) for a constant). NumPy rounds to nearest, so a computed sum ``s`` is off
by at most half an ulp, and ``s + 2^-52 |s|`` is not below the true one; products may also underflow, which costs an
absolute ``TINY``. Elementary functions are trusted to the ulps in `ULPS`, twice or more what was ever seen
against 200-bit arithmetic. Nothing of this runs inside XLA, which reorders, fuses and flushes.

What is undefined somewhere in a box is marked ``ok = False``, what is undefined everywhere ``bad = True`` (decorations
``trv`` and ``ill`` of IEEE 1788); the bounds then hold wherever the value is defined.
"""

import dataclasses
import math
from fractions import Fraction
from typing import Any

import numpy as np

from ._program import exact


EPS = 2.0**-52
TINY = 1e-305
SMALL = 1e-290
ULPS = {
    "exp": 4.0, "expm1": 8.0, "log": 4.0, "log1p": 8.0, "sin": 8.0, "cos": 8.0, "tan": 16.0, "asin": 8.0, "acos": 8.0,
    "atan": 8.0, "sinh": 8.0, "cosh": 8.0, "tanh": 8.0, "logistic": 8.0, "erf": 16.0, "sqrt": 1.0, "cbrt": 4.0,
    "pow": 8.0,
}  # fmt: skip
"""Error of NumPy's and SciPy's functions that is allowed for, in units of 2^-52 of the value."""


@dataclasses.dataclass
class Interval:
    """Bounds of shape (B, n) or (1, n); ``ok`` and ``bad`` are None where no entry is marked."""

    lo: np.ndarray
    hi: np.ndarray
    ok: np.ndarray | None = None
    bad: np.ndarray | None = None

    def __post_init__(self) -> None:
        self.ok, self.bad = (_stretched(mark, self.lo.shape[1]) for mark in (self.ok, self.bad))

    @property
    def thin(self) -> bool:
        """Whether it is a constant."""
        return self.lo is self.hi


@dataclasses.dataclass
class Truth:
    """Truth values: whether each may be true, may be false."""

    may: np.ndarray
    may_not: np.ndarray
    ok: np.ndarray | None = None
    bad: np.ndarray | None = None

    def __post_init__(self) -> None:
        self.ok, self.bad = (_stretched(mark, self.may.shape[1]) for mark in (self.ok, self.bad))


def _stretched(mark: np.ndarray | None, length: int) -> np.ndarray | None:
    """Marks of one entry that goes with many."""
    return mark if mark is None or mark.shape[1] == length else np.broadcast_to(mark, (mark.shape[0], length))


def marks(*values: Any) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Marks of a result from those of its arguments."""
    ok = bad = None
    for value in values:
        if value.ok is not None:
            ok = value.ok if ok is None else ok & value.ok
        if value.bad is not None:
            bad = value.bad if bad is None else bad | value.bad
    return ok, bad


def sealed(lo: np.ndarray, hi: np.ndarray, *values: Any) -> Interval:
    """An interval in which an end that is not a number is infinite, with the marks of its arguments."""
    if np.isnan(lo.min(initial=0.0)) or np.isnan(hi.max(initial=0.0)) or np.isnan(hi.min(initial=0.0)):
        lo, hi = (
            np.where(np.isnan(lo) | (lo == np.inf), -np.inf, lo),
            np.where(np.isnan(hi) | (hi == -np.inf), np.inf, hi),
        )
    return Interval(lo, hi, *marks(*values))


def down(x: np.ndarray, units: float = 1.0) -> np.ndarray:
    """A lower bound of what was rounded to ``x``."""
    return x - np.abs(x) * (units * EPS)


def up(x: np.ndarray, units: float = 1.0) -> np.ndarray:
    """An upper bound of what was rounded to ``x``."""
    return x + np.abs(x) * (units * EPS)


def flagged(value: Interval, wrong: np.ndarray, never: np.ndarray) -> Interval:
    """The value, marked where it may be undefined and where it surely is."""
    if np.any(wrong):
        value.ok = _stretched(~wrong if value.ok is None else value.ok & ~wrong, value.lo.shape[1])
    if np.any(never):
        value.bad = _stretched(never if value.bad is None else value.bad | never, value.lo.shape[1])
    return value


def const(node: Any) -> Interval | Truth:
    """Constants: floats are exact, fractions are rounded outward."""
    values = np.asarray(node.data)
    if values.dtype == bool:
        return Truth(values[None], ~values[None])
    if values.dtype == object:
        ends = np.asarray([_nearest(exact(value)) for value in node.data])
        return Interval(ends[None, :, 0], ends[None, :, 1])
    row = values[None]
    return Interval(row, row)


def _nearest(value: Fraction) -> tuple[float, float]:
    """The floats next to a fraction, both the same if it is one of them."""
    try:
        found = float(value)
    except OverflowError:
        found = math.inf if value > 0 else -math.inf
    if math.isinf(found):
        largest = float(np.finfo(np.float64).max)
        return (largest, math.inf) if value > 0 else (-math.inf, -largest)
    if value == Fraction(found):
        return found, found
    return (found, math.nextafter(found, math.inf)) if value > found else (math.nextafter(found, -math.inf), found)


def take(node: Any, *args: Any) -> Any:
    """Entries of the arguments laid end to end."""
    index = np.asarray(node.data)
    names = ("may", "may_not") if isinstance(args[0], Truth) else ("lo", "hi")
    if len(args) == 1:
        arg = args[0]
        first = getattr(arg, names[0])[:, index]
        second = first if getattr(arg, names[0]) is getattr(arg, names[1]) else getattr(arg, names[1])[:, index]
        picked = (None if mark is None else mark[:, index] for mark in (arg.ok, arg.bad))
        return type(arg)(first, second, *picked)
    parts = (getattr(arg, name) for arg in args for name in (*names, "ok", "bad"))
    boxes = max(part.shape[0] for part in parts if part is not None)

    def laid(name: str, default: bool | None = None) -> Any:
        parts = [getattr(arg, name) for arg in args]
        if default is not None and all(part is None for part in parts):
            return None
        lengths = [getattr(arg, names[0]).shape[1] for arg in args]
        full = [
            np.broadcast_to(np.asarray(default) if part is None else part, (boxes, length))
            for part, length in zip(parts, lengths, strict=True)
        ]
        return np.concatenate(full, axis=1)[:, index]

    first = laid(names[0])
    second = first if all(arg.lo is arg.hi for arg in args if names[0] == "lo") and names[0] == "lo" else laid(names[1])
    return type(args[0])(first, second, laid("ok", True), laid("bad", False))


# Arithmetic


def neg(node: Any, x: Interval) -> Interval:
    """Exact."""
    lo = -x.hi
    return Interval(lo, lo if x.thin else -x.lo, x.ok, x.bad)


def add(node: Any, x: Interval, y: Interval) -> Interval:
    """Sums of floats never underflow, and a zero sum is exact."""
    return sealed(down(x.lo + y.lo), up(x.hi + y.hi), x, y)


def sub(node: Any, x: Interval, y: Interval) -> Interval:
    """``x + (-y)``."""
    return sealed(down(x.lo - y.hi), up(x.hi - y.lo), x, y)


def mul(node: Any, x: Interval, y: Interval) -> Interval:
    """The hull of four products; a product with an exact zero is exact."""
    lo, hi = hull_of_products(x.lo, x.hi, y.lo, y.hi)
    return sealed(lo, hi, x, y)


def hull_of_products(a: np.ndarray, b: np.ndarray, c: np.ndarray, d: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Bounds of ``[a, b] [c, d]``."""
    if a is b:
        ends = [(a, c), (a, d)]
    elif c is d:
        ends = [(a, c), (b, c)]
    else:
        ends = [(a, c), (a, d), (b, c), (b, d)]
    products = [p * q for p, q in ends]
    lo, hi = products[0], products[0]
    for product in products[1:]:
        lo, hi = np.minimum(lo, product), np.maximum(hi, product)
    low, high = down(lo), up(hi)
    tiny = (np.abs(lo) < SMALL) | (np.abs(hi) < SMALL)
    if np.any(tiny):
        zero = ((a == 0) & (b == 0)) | ((c == 0) & (d == 0))
        none = ((a >= 0) & (c >= 0)) | ((b <= 0) & (d <= 0))  # never below zero
        most = ((a >= 0) & (d <= 0)) | ((b <= 0) & (c >= 0))  # never above zero
        low = np.where(tiny & ~zero, np.where(none, np.maximum(low - TINY, 0.0), low - TINY), low)
        high = np.where(tiny & ~zero, np.where(most, np.minimum(high + TINY, 0.0), high + TINY), high)
    return low, high


def div(node: Any, x: Interval, y: Interval) -> Interval:
    """``x / y``; undefined where ``y`` can be zero."""
    through = (y.lo <= 0) & (y.hi >= 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        quotients = [
            p / q for p in ((x.lo,) if x.thin else (x.lo, x.hi)) for q in ((y.lo,) if y.thin else (y.lo, y.hi))
        ]
    lo, hi = quotients[0], quotients[0]
    for quotient in quotients[1:]:
        lo, hi = np.minimum(lo, quotient), np.maximum(hi, quotient)
    zero = (x.lo == 0) & (x.hi == 0)
    slack = np.where(zero, 0.0, TINY)
    never_below = ((x.lo >= 0) & (y.lo > 0)) | ((x.hi <= 0) & (y.hi < 0))
    never_above = ((x.lo >= 0) & (y.hi < 0)) | ((x.hi <= 0) & (y.lo > 0))
    low, high = down(lo) - slack, up(hi) + slack
    low, high = np.where(never_below, np.maximum(low, 0.0), low), np.where(never_above, np.minimum(high, 0.0), high)
    made = sealed(np.where(through, -np.inf, low), np.where(through, np.inf, high), x, y)
    return flagged(made, through, (y.lo == 0) & (y.hi == 0)) if np.any(through) else made


def powi(node: Any, x: Interval) -> Interval:
    """``x^n`` for a whole ``n``: even powers are never negative."""
    n = node.data[0]
    if n < 0:
        positive = powi(_Power((-n,)), x)
        one = np.ones((1, 1))
        return div(node, Interval(one, one), positive)
    if n % 2:
        a, b = x.lo**n, x.hi**n
        units = 4.0 * n
        return sealed(down(a, units) - _under(a, x.lo), up(b, units) + _under(b, x.hi), x)
    size = np.maximum(np.abs(x.lo), np.abs(x.hi))
    least = np.where((x.lo <= 0) & (x.hi >= 0), 0.0, np.minimum(np.abs(x.lo), np.abs(x.hi)))
    a, b = least**n, size**n
    units = 1.0 if n == 2 else 4.0 * n
    return sealed(np.maximum(down(a, units) - _under(a, least), 0.0), up(b, units) + _under(b, size), x)


def _under(power: np.ndarray, base: np.ndarray) -> np.ndarray:
    """What underflow may cost a power."""
    return np.where((np.abs(power) < SMALL) & (base != 0), TINY, 0.0)


@dataclasses.dataclass
class _Power:
    data: tuple[int]


def absolute(node: Any, x: Interval) -> Interval:
    """``|x|``, exact."""
    lo = np.where((x.lo <= 0) & (x.hi >= 0), 0.0, np.minimum(np.abs(x.lo), np.abs(x.hi)))
    return Interval(lo, np.maximum(np.abs(x.lo), np.abs(x.hi)), x.ok, x.bad)


def least(node: Any, x: Interval, y: Interval) -> Interval:
    """The smaller, exact."""
    return Interval(np.minimum(x.lo, y.lo), np.minimum(x.hi, y.hi), *marks(x, y))


def greatest(node: Any, x: Interval, y: Interval) -> Interval:
    """The larger, exact."""
    return Interval(np.maximum(x.lo, y.lo), np.maximum(x.hi, y.hi), *marks(x, y))


def sign(node: Any, x: Interval) -> Interval:
    """-1, 0 or 1."""
    return Interval(np.sign(x.lo), np.sign(x.hi), x.ok, x.bad)


def floor(node: Any, x: Interval) -> Interval:
    """The largest whole number not above."""
    return Interval(np.floor(x.lo), np.floor(x.hi), x.ok, x.bad)


# Truth


def lt(node: Any, x: Interval, y: Interval) -> Truth:
    """``x < y``: never end by end."""
    return Truth(x.lo < y.hi, x.hi >= y.lo, *marks(x, y))


def le(node: Any, x: Interval, y: Interval) -> Truth:
    """``x <= y``."""
    return Truth(x.lo <= y.hi, x.hi > y.lo, *marks(x, y))


def eq(node: Any, x: Interval, y: Interval) -> Truth:
    """``x = y``; a value equals itself wherever it is defined (``isnan`` asks for this)."""
    if x is y:
        return Truth(np.ones(x.lo.shape, bool), np.zeros(x.lo.shape, bool), *marks(x))
    surely = (x.lo == x.hi) & (y.lo == y.hi) & (x.lo == y.lo)
    return Truth((x.lo <= y.hi) & (y.lo <= x.hi), ~surely, *marks(x, y))


def both(node: Any, x: Truth, y: Truth) -> Truth:
    """And."""
    return Truth(x.may & y.may, x.may_not | y.may_not, *marks(x, y))


def either(node: Any, x: Truth, y: Truth) -> Truth:
    """Or."""
    return Truth(x.may | y.may, x.may_not & y.may_not, *marks(x, y))


def negated(node: Any, x: Truth) -> Truth:
    """Not."""
    return Truth(x.may_not, x.may, x.ok, x.bad)


def select(node: Any, which: Truth, yes: Interval, no: Interval) -> Interval:
    """The branch that is taken; the hull where it is open. A branch not taken may be undefined."""
    only_yes, only_no = which.may & ~which.may_not, which.may_not & ~which.may
    lo = np.where(only_yes, yes.lo, np.where(only_no, no.lo, np.minimum(yes.lo, no.lo)))
    hi = np.where(only_yes, yes.hi, np.where(only_no, no.hi, np.maximum(yes.hi, no.hi)))
    made = Interval(lo, hi, which.ok, which.bad)
    for branch, skipped, taken in ((yes, only_no, only_yes), (no, only_yes, only_no)):
        if branch.ok is not None or branch.bad is not None:
            none = np.zeros(lo.shape, bool)
            wrong = none if branch.ok is None else ~branch.ok & ~skipped
            never = none if branch.bad is None else branch.bad & taken
            made = flagged(made, wrong, never)
    return made
