"""The rest of the deciding domain: truth values, branches, runs of neighbours, and the table of all rules."""

import math
from collections.abc import Callable
from typing import Any

from flint import arb

from ._ball import FUNCTIONS, NEVER, ONE, OPEN, ZERO, Entry, Mark, each, least, marked, most, mul, number, outward, powi
from ._program import plain


# Truth: True, False, or None where a box holds both


def _lt(x: Entry, y: Entry) -> bool | None:
    return True if x[1] < y[0] else False if x[0] >= y[1] else None


def _le(x: Entry, y: Entry) -> bool | None:
    return True if x[1] <= y[0] else False if x[0] > y[1] else None


def _eq(x: Entry, y: Entry) -> bool | None:
    if x is y or (x[0] == x[1] and y[0] == y[1] and x[0] == y[0]):
        return True
    return False if x[1] < y[0] or y[1] < x[0] else None


def _and(x: bool | None, y: bool | None) -> bool | None:
    return False if x is False or y is False else None if x is None or y is None else True


def _not(x: bool | None) -> bool | None:
    return None if x is None else not x


def _or(x: bool | None, y: bool | None) -> bool | None:
    return _not(_and(_not(x), _not(y)))


def _truth(function: Callable[..., bool | None]) -> Callable[..., list[Any]]:
    def rule(node: Any, *args: list[Any]) -> list[Any]:
        made = []
        for place in range(node.length):
            row = [arg[place] if len(arg) > 1 else arg[0] for arg in args]
            made.append(marked(row) or _Fact(function(*row)))
        return [one.value if isinstance(one, _Fact) else one for one in made]

    return rule


class _Fact:
    """A truth value, which may be false or None, in an ``or`` chain."""

    def __init__(self, value: bool | None) -> None:
        self.value = value


def _select(node: Any, which: list[Any], yes: list[Entry], no: list[Entry]) -> list[Entry]:
    """The branch that is taken; the hull where it is open. A branch that is not taken may be undefined."""
    made = []
    for place in range(node.length):
        fact, a, b = (arg[place] if len(arg) > 1 else arg[0] for arg in (which, yes, no))
        if isinstance(fact, Mark):
            made.append(fact)
        elif fact is not None:
            made.append(a if fact else b)
        elif isinstance(a, Mark) or isinstance(b, Mark):
            made.append(NEVER if a is NEVER and b is NEVER else OPEN)
        else:
            made.append((least([a[0], b[0]]), most([a[1], b[1]])))
    return made


# Runs


def _runs(function: Callable[[list[Entry]], Any], *, spread: bool = False) -> Callable[..., list[Entry]]:
    def rule(node: Any, x: list[Entry]) -> list[Entry]:
        size, made = node.data[0], []
        for start in range(0, len(x), size):
            row = x[start : start + size]
            mark = marked(row)
            if spread:
                made += [mark] * size if mark else function(row)
            else:
                made.append(mark or function(row))
        return made

    return rule


def _total(row: list[Entry]) -> Entry:
    low, high = sum((x[0] for x in row), ZERO), sum((x[1] for x in row), ZERO)
    return outward(low)[0], outward(high)[1]


def _product(row: list[Entry]) -> Entry:
    made = row[0]
    for entry in row[1:]:
        made = mul(made, entry)
    return made


def _ordered(row: list[Entry]) -> list[Entry]:
    lows, highs = (_sorted([x[side] for x in row]) for side in (0, 1))
    return list(zip(lows, highs, strict=True))


def _sorted(ends: list[arb]) -> list[arb]:
    made: list[arb] = []
    for end in ends:
        place = next((place for place, other in enumerate(made) if end < other), len(made))
        made.insert(place, end)
    return made


def _lse(row: list[Entry]) -> Entry:
    sides = [_lse_of([x[side] for x in row]) for side in (0, 1)]
    return sides[0][0], sides[1][1]


def _lse_of(ends: list[arb]) -> Entry:
    top = most(ends)
    return outward(top + sum(((end - top).exp() for end in ends), ZERO).log())


FEW = 16


def _softmax(row: list[Entry]) -> list[Entry]:
    """Sums without one term each: added up anew where there are few, by a difference where there are many."""
    top = most([x[1] for x in row])
    parts = [[(x[side] - top).exp() for x in row] for side in (0, 1)]
    wholes = [sum(part, ZERO) for part in parts]
    made = []
    for place, own in enumerate(row):
        rests = [
            sum(part[:place] + part[place + 1 :], ZERO) if len(row) <= FEW else (whole - part[place]).max(ZERO)
            for whole, part in zip(wholes, parts, strict=True)
        ]
        low, high = (outward(1 / (1 + rest * (top - end).exp())) for rest, end in zip(rests[::-1], own, strict=True))
        made.append((ZERO if isinstance(low, Mark) else low[0], ONE if isinstance(high, Mark) else high[1]))
    return made


def _gibbs(node: Any, k: list[Entry], x: list[Entry], c: list[Entry], g: list[Entry]) -> list[Entry]:
    """As in intervals: rows without their mean in the weights at the middle, for which any row of floats may stand."""
    n, width = node.data
    mark = marked([*k, *x, *c, *g])
    if mark is not None:
        return [mark] * n
    middle = [float(((lo + hi) / 2).mid()) for lo, hi in x]
    away = [_total([end, number(-u)]) for end, u in zip(x, middle, strict=True)]
    rows = [k[width * i : width * (i + 1)] for i in range(n)]
    level = [_total([own, *map(mul, row, map(number, middle))]) for row, own in zip(rows, c, strict=True)]
    top = most([one[0] for one in level])
    mean = _weighted(rows, [float((g[0][0] * (one[0] - top)).mid()) for one in level])
    tilts = []
    for own, row in zip(level, rows, strict=True):
        moves = [mul(_total([one, number(-m)]), step) for one, m, step in zip(row, mean, away, strict=True)]
        tilts.append(_total([own, (-top, -top), *moves]))
    return _softmax([mul(g[0], tilt) for tilt in tilts])


def _weighted(rows: list[list[Entry]], exponents: list[float]) -> list[float]:
    """A mean of rows, in floats: any will do."""
    weights = [math.exp(max(min(power, 0.0), -700.0)) if math.isfinite(power) else 0.0 for power in exponents]
    whole, columns = sum(weights) or 1.0, zip(*rows, strict=True)
    means = [sum(w * float(one[0]) for w, one in zip(weights, column, strict=True)) / whole for column in columns]
    return [mean if math.isfinite(mean) else 0.0 for mean in means]


def _dot(node: Any, x: list[Entry], y: list[Entry]) -> list[Entry]:
    b, m, k, n = node.data
    left = x if len(x) == b * m * k else x * (b * m * k)
    right = y if len(y) == b * k * n else y * (b * k * n)
    made = []
    for batch in range(b):
        for row in range(m):
            for column in range(n):
                start = (batch * m + row) * k
                terms = [(left[start + i], right[(batch * k + i) * n + column]) for i in range(k)]
                mark = marked([entry for pair in terms for entry in pair])
                made.append(mark or _total([mul(*pair) for pair in terms]))
    return made


def _const(node: Any) -> list[Any]:
    return [value if isinstance(value, bool) else number(value) for value in plain(node.data)]


def _take(node: Any, *args: list[Any]) -> list[Any]:
    whole = [entry for arg in args for entry in arg]
    return [whole[index] for index in plain(node.data)]


BALL: dict[str, Callable[..., list[Any]]] = {
    **{name: each(function) for name, function in FUNCTIONS.items()},
    "powi": lambda node, x: each(lambda entry: powi(entry, node.data[0]))(node, x),
    "const": _const, "take": _take,
    "lt": _truth(_lt), "le": _truth(_le), "eq": _truth(_eq), "and": _truth(_and), "or": _truth(_or),
    "not": _truth(_not),
    "select": _select, "sum": _runs(_total), "prod": _runs(_product), "lse": _runs(_lse),
    "least": _runs(lambda row: (least([x[0] for x in row]), least([x[1] for x in row]))),
    "most": _runs(lambda row: (most([x[0] for x in row]), most([x[1] for x in row]))),
    "sort": _runs(_ordered, spread=True), "softmax": _runs(_softmax, spread=True), "dot": _dot,
    "gibbs": _gibbs,
}  # fmt: skip
"""Rules of the deciding domain."""
