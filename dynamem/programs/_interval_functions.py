"""Elementary functions of intervals: monotone ones end by end within a budget of ulps, the others by their shape."""

from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.special

from ._interval import TINY, ULPS, Interval, down, flagged, mul, sealed, up


FAR = 1e6
"""Beyond it the argument of a sine is not reduced: its range is all of [-1, 1]."""


def monotone(name: str, function: Callable, least: float = -np.inf, most: float = np.inf) -> Callable:
    """The rule of an increasing function with values in [least, most]."""

    def rule(node: Any, x: Interval) -> Interval:
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            lo, hi = function(x.lo), function(x.hi)
        units = ULPS[name]
        low, high = down(lo, units) - TINY, up(hi, units) + TINY
        with np.errstate(invalid="ignore"):
            low, high = (
                np.where(lo == 0.0, np.where(x.lo == 0.0, 0.0, low), low),
                np.where((hi == 0.0) & (x.hi == 0.0), 0.0, high),
            )
        return sealed(np.clip(low, least, most), np.clip(high, least, most), x)

    return rule


def _on(domain: Callable, clip: Callable, rule: Callable) -> Callable:
    """A rule for a function that is defined on part of the line: ``domain(x) -> (wrong, never)``."""

    def restricted(node: Any, x: Interval) -> Interval:
        wrong, never = domain(x)
        if not np.any(wrong):
            return rule(node, x)
        lo, hi = clip(x.lo), clip(x.hi)
        made = rule(node, Interval(lo, hi, x.ok, x.bad))
        made.lo, made.hi = np.where(never, -np.inf, made.lo), np.where(never, np.inf, made.hi)
        return flagged(made, wrong, never)

    return restricted


def _logarithm(name: str, function: Callable, edge: float) -> Callable:
    return _on(
        lambda x: (x.lo <= edge, x.hi <= edge),
        lambda end: np.maximum(end, edge),
        monotone(name, function),
    )


sqrt = _on(lambda x: (x.lo < 0, x.hi < 0), lambda end: np.maximum(end, 0.0), monotone("sqrt", np.sqrt, 0.0))
asin = _on(
    lambda x: ((x.lo < -1) | (x.hi > 1), (x.hi < -1) | (x.lo > 1)),
    lambda end: np.clip(end, -1, 1),
    monotone("asin", np.arcsin),
)


def acos(node: Any, x: Interval) -> Interval:
    """``pi/2 - asin x`` by its own monotonicity."""
    inner = asin(node, x)
    with np.errstate(invalid="ignore"):
        lo, hi = np.arccos(np.clip(x.hi, -1, 1)), np.arccos(np.clip(x.lo, -1, 1))
    never = np.zeros(lo.shape, bool) if inner.bad is None else inner.bad
    low, high = np.maximum(down(lo, ULPS["acos"]), 0.0), up(hi, ULPS["acos"]) + TINY
    return Interval(np.where(never, -np.inf, low), np.where(never, np.inf, high), inner.ok, inner.bad)


def sin(node: Any, x: Interval) -> Interval:
    """Ends, and 1 and -1 where a quarter turn lies between."""
    return _wave(x, np.sin, 0.5 * np.pi, "sin")


def cos(node: Any, x: Interval) -> Interval:
    """As the sine, a quarter turn earlier."""
    return _wave(x, np.cos, 0.0, "cos")


def _wave(x: Interval, function: Callable, top: float, name: str) -> Interval:
    far = ~(np.maximum(np.abs(x.lo), np.abs(x.hi)) < FAR)
    a, b = np.where(far, 0.0, x.lo), np.where(far, 7.0, x.hi)
    first, second = function(a), function(b)
    lo, hi = down(np.minimum(first, second), ULPS[name]) - TINY, up(np.maximum(first, second), ULPS[name]) + TINY
    lo = np.where(_between(a, b, top + np.pi), -1.0, lo)
    hi = np.where(_between(a, b, top), 1.0, hi)
    exact = (a == 0) & (b == 0)
    lo, hi = np.where(exact, first, lo), np.where(exact, first, hi)
    return Interval(np.clip(lo, -1, 1), np.clip(hi, -1, 1), x.ok, x.bad)


def _between(a: np.ndarray, b: np.ndarray, point: float, period: float = 2 * np.pi) -> np.ndarray:
    """Whether ``point + k period`` may lie in [a, b]."""
    slack = 1e-9
    return np.floor((b - point) / period + slack) >= np.ceil((a - point) / period - slack)


def tan(node: Any, x: Interval) -> Interval:
    """Increasing between its poles."""
    far = ~(np.maximum(np.abs(x.lo), np.abs(x.hi)) < FAR)
    pole = far | _between(np.where(far, 0.0, x.lo), np.where(far, 7.0, x.hi), 0.5 * np.pi, np.pi)
    lo, hi = np.tan(np.where(pole, 0.0, x.lo)), np.tan(np.where(pole, 0.0, x.hi))
    low, high = down(lo, ULPS["tan"]) - TINY, up(hi, ULPS["tan"]) + TINY
    made = Interval(np.where(pole, -np.inf, low), np.where(pole, np.inf, high), x.ok, x.bad)
    return flagged(made, pole, np.zeros(pole.shape, bool))


def cosh(node: Any, x: Interval) -> Interval:
    """Even, least at zero."""
    with np.errstate(over="ignore"):
        ends = np.cosh(x.lo), np.cosh(x.hi)
    lo = np.where((x.lo <= 0) & (x.hi >= 0), 1.0, np.minimum(*ends))
    return sealed(np.maximum(down(lo, ULPS["cosh"]), 1.0), up(np.maximum(*ends), ULPS["cosh"]), x)


def pow_(node: Any, x: Interval, y: Interval) -> Interval:
    """``exp(y log x)`` for ``x > 0``; ``0^y = 0`` for ``y > 0``."""
    logs = RULES["log"](node, x)
    if logs.bad is not None:
        logs.bad = logs.bad & ~((x.lo <= 0) & (x.hi >= 0) & (y.hi > 0))  # 0^y is defined for some y of the box
    made = RULES["exp"](node, mul(node, logs, y))
    zero = (x.lo == 0) & (y.lo > 0)
    if np.any(zero):
        ok = None if logs.ok is None else logs.ok | zero
        bad = None if logs.bad is None else logs.bad & ~zero
        lo = np.where(zero, 0.0, made.lo)
        hi = np.where(zero & (x.hi == 0), 0.0, made.hi)
        made = Interval(lo, hi, *_both(x, y, ok, bad))
    return made


def _both(x: Interval, y: Interval, ok: Any, bad: Any) -> tuple[Any, Any]:
    for value in (x, y):
        ok = value.ok if ok is None else ok if value.ok is None else ok & value.ok
        bad = value.bad if bad is None else bad if value.bad is None else bad | value.bad
    return ok, bad


def atan2(node: Any, y: Interval, x: Interval) -> Interval:
    """The angle of ``(x, y)``: corners where the half line of the cut is not met, everything otherwise."""
    corners = [np.arctan2(b, a) for a in (x.lo, x.hi) for b in (y.lo, y.hi)]
    cut = (x.lo <= 0) & (y.lo <= 0) & (y.hi >= 0)
    lo, hi = np.minimum.reduce(corners), np.maximum.reduce(corners)
    lo = np.where(cut, -np.pi, down(lo, 8.0) - TINY)
    hi = np.where(cut, np.pi, up(hi, 8.0) + TINY)
    origin = (x.lo <= 0) & (x.hi >= 0) & (y.lo <= 0) & (y.hi >= 0)
    made = sealed(np.where(cut, -np.pi - 1e-15, lo), np.where(cut, np.pi + 1e-15, hi), x, y)
    never = origin & (x.lo == 0) & (x.hi == 0) & (y.lo == 0) & (y.hi == 0)
    return flagged(made, origin, never)


RULES = {
    "exp": monotone("exp", np.exp, 0.0), "expm1": monotone("expm1", np.expm1, -1.0),
    "log": _logarithm("log", np.log, 0.0), "log1p": _logarithm("log1p", np.log1p, -1.0),
    "sqrt": sqrt, "cbrt": monotone("cbrt", np.cbrt), "sin": sin, "cos": cos, "tan": tan, "asin": asin, "acos": acos,
    "atan": monotone("atan", np.arctan), "sinh": monotone("sinh", np.sinh), "cosh": cosh,
    "tanh": monotone("tanh", np.tanh, -1.0, 1.0), "logistic": monotone("logistic", scipy.special.expit, 0.0, 1.0),
    "erf": monotone("erf", scipy.special.erf, -1.0, 1.0), "pow": pow_, "atan2": atan2,
}  # fmt: skip
