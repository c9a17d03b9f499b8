r"""The symbolic domain: a program's lines as SymPy expressions with exact rational constants.

An entry is a SymPy expression, or `UNDEFINED` where no input gives it a value (``log(-3)``, ``1/0``): SymPy would make
a ``nan`` of it that spoils its neighbours, while a ``select`` that passes it over never sees it. Each line goes with
its interval over the region, which decides comparisons, extrema and branches there; what stays open is a `Piecewise`,
a `Max` or an `Abs`. An expression equals the number wherever the number is defined; it may be defined in more places
(``x/x``), so it says nothing of definedness.

Symbols are made by the caller, no text is ever parsed, and each translation is held against interval enclosures of its
program at a point before it is given away.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import sympy

from ._evaluate import evaluate
from ._interval import Interval, Truth
from ._interval_runs import INTERVAL
from ._program import Node, Program, exact
from ._trace import TranslationError, enclose


class Undefined:
    """An entry that has no value."""

    def __repr__(self) -> str:
        return "UNDEFINED"


UNDEFINED = Undefined()
Expression = Any
"""A SymPy expression; its stubs know too little of what it can do."""
Entry = Any
"""A SymPy expression or truth value, or `UNDEFINED`."""

DIGITS = 50
SLACK = 1e-9
LARGEST = float(np.finfo(np.float64).max)
LEAST = 5e-324


def rational(value: Any) -> Expression:
    """A constant as the rational number that it is."""
    found = exact(value)
    return sympy.Rational(found.numerator, found.denominator)


def bounds_of(symbol: Expression) -> tuple[float, float]:
    """The floats that a symbol stands for, by its assumptions: the positive ones, or all."""
    low = LEAST if symbol.is_positive else 0.0 if symbol.is_nonnegative else -LARGEST
    return low, LARGEST


def symbolic(
    program: Program, inputs: Sequence[Sequence[Expression]], within: dict[Any, tuple[float, float]] | None = None
) -> list[list[Expression]]:
    """Expressions of the outputs.

    Arguments:
        program: what to translate.
        inputs: real expressions for the entries of each input: symbols, or numbers.
        within: bounds of symbols, inside which branches are decided; the others stand for all floats of their sign.

    Raises:
        TranslationError: expression and program differ at a point; the message shows both values.
    """
    bounds = {} if within is None else within
    pairs = []
    for line in inputs:
        ends = [(float(e), float(e)) if e.is_number else bounds.get(e, bounds_of(e)) for e in line]
        pairs.append((list(line), Interval(*(np.asarray([[end[side] for end in ends]]) for side in (0, 1)))))
    with np.errstate(all="ignore"):
        outputs = evaluate(program, SYMBOLIC, pairs)
    made = [[sympy.nan if entry is UNDEFINED else entry for entry in entries] for entries, _ in outputs]
    _hold_against_intervals(program, inputs, made, bounds)
    return made


def _hold_against_intervals(program: Program, inputs: Any, outputs: list[list[Expression]], bounds: Any) -> None:
    random, at = np.random.default_rng(0), {}
    for symbol in sorted(set().union(*(entry.free_symbols for line in inputs for entry in line)), key=str):
        low, high = bounds.get(symbol, (0.25 if bounds_of(symbol)[0] >= 0 else -2.0, 2.0))
        at[symbol] = rational(low + round(float(random.uniform(0.2, 0.8)) * 256) / 256 * (high - low))
    points, known = [np.asarray([[float(entry.xreplace(at)) for entry in line]]) for line in inputs], dict(at)
    for output, bound in zip(outputs, enclose(program, [(point, point.copy()) for point in points]), strict=True):
        fine = np.ones(bound.lo.shape, bool) if bound.ok is None else np.broadcast_to(bound.ok, bound.lo.shape)
        for place, entry in enumerate(output):
            if fine[0, place]:
                _compare(entry, at, known, float(bound.lo[0, place]), float(bound.hi[0, place]))


def _value(entry: Expression, known: dict[Expression, Expression]) -> Expression:
    """Its number, each part evaluated once: substituted in the whole, exact numbers would grow long."""
    left = [] if entry in known else [entry]
    while left:
        part = left[-1]
        missing = [arg for arg in part.args if arg not in known]
        left.extend(missing)
        if missing:
            continue
        left.pop()
        made = part.func(*(known[arg] for arg in part.args)) if part.args else part
        known[part] = made if made.is_Integer or not made.is_number else sympy.N(made, DIGITS)
    return sympy.N(known[entry], DIGITS)


def _compare(entry: Expression, at: dict[Expression, Expression], known: Any, lo: float, hi: float) -> None:
    try:
        value = _value(entry, known)
    except (TypeError, ValueError):  # a part that is no real number was compared
        value = sympy.nan
    if _within(value, lo, hi):
        return
    value = sympy.N(entry.xreplace(at), DIGITS)  # exact until the end, where digits may have been lost
    if _within(value, lo, hi):
        return
    where = {str(symbol): str(number) for symbol, number in at.items()}
    msg = f"at {where} the symbolic value is {value} and the program's is in [{lo!r}, {hi!r}]: a defect of dynamem"
    raise TranslationError(msg)


def _within(value: Expression, lo: float, hi: float) -> bool:
    if not value.is_real:
        return False
    slack = SLACK * (1.0 + abs(float(value)))
    return bool(lo - slack <= float(value) <= hi + slack)


# Entry by entry


def _row(place: int, args: Sequence[list[Entry]]) -> list[Entry]:
    """The arguments of one entry; an argument of length 1 goes with every entry of the others."""
    return [arg[place] if len(arg) > 1 else arg[0] for arg in args]


def _each(function: Callable[..., Entry]) -> Callable[..., list[Entry]]:
    def rule(node: Node, *args: list[Entry]) -> list[Entry]:
        rows = [_row(place, args) for place in range(node.length)]
        return [UNDEFINED if any(one is UNDEFINED for one in row) else _settled(function(*row)) for row in rows]

    return rule


def _settled(entry: Entry) -> Entry:
    """The entry, `UNDEFINED` if it is plainly no real number."""
    if entry is UNDEFINED or isinstance(entry, sympy.logic.boolalg.Boolean):
        return entry
    if entry is sympy.nan or entry.is_infinite or (entry.is_number and entry.is_real is False):
        return UNDEFINED
    return entry


def _divide(a: Expression, b: Expression) -> Entry:
    return UNDEFINED if b.is_zero else a / b


def _log(a: Expression) -> Entry:
    return UNDEFINED if a.is_nonpositive else sympy.log(a)


def _sqrt(a: Expression) -> Entry:
    return UNDEFINED if a.is_negative else sympy.sqrt(a)


def _power(a: Expression, b: Expression) -> Entry:
    if a.is_zero:
        return sympy.Integer(0) if b.is_positive else UNDEFINED
    return UNDEFINED if a.is_negative else a**b


def _cbrt(a: Expression) -> Entry:
    return sympy.sign(a) * sympy.Abs(a) ** sympy.Rational(1, 3)


def _atan2(y: Expression, x: Expression) -> Entry:
    return UNDEFINED if x.is_zero and y.is_zero else sympy.atan2(y, x)


def _within_one(function: Callable[[Expression], Expression]) -> Callable[[Expression], Entry]:
    return lambda a: UNDEFINED if a.is_number and not -1 <= a <= 1 else function(a)


def _powi(node: Node, x: list[Entry]) -> list[Entry]:
    n = node.data[0]
    return _each(lambda a: UNDEFINED if n < 0 and a.is_zero else a**n)(node, x)


def _const(node: Node) -> list[Entry]:
    values = np.asarray(node.data).tolist()
    return [sympy.true if value is True else sympy.false if value is False else rational(value) for value in values]


def _take(node: Node, *args: list[Entry]) -> list[Entry]:
    whole = [entry for arg in args for entry in arg]
    return [whole[int(index)] for index in node.data]


def _select(node: Node, *args: list[Entry]) -> list[Entry]:
    """A `Piecewise`: first the value where the condition holds, then the other one."""
    return [_chosen(*_row(place, args)) for place in range(node.length)]


def _chosen(fact: Entry, a: Entry, b: Entry) -> Entry:
    if fact is UNDEFINED:
        return UNDEFINED
    if fact in (True, False):
        return a if fact else b
    cases = [(a, fact)] if a is not UNDEFINED else []
    cases += [(b, sympy.true if cases else sympy.Not(fact))] if b is not UNDEFINED else []
    return sympy.Piecewise(*cases, evaluate=False) if cases else UNDEFINED


# Runs


def _runs(function: Callable[[list[Expression]], list[Expression]]) -> Callable[..., list[Entry]]:
    def rule(node: Node, x: list[Entry]) -> list[Entry]:
        size, made = node.data[0], []
        each = node.length // (len(x) // size)
        for start in range(0, len(x), size):
            row = x[start : start + size]
            made += [UNDEFINED] * each if any(one is UNDEFINED for one in row) else function(row)
        return made

    return rule


def _sorted(row: list[Expression]) -> list[Expression]:
    """A network of comparators: neighbours in rising order, as often as it takes."""
    made = list(row)
    for last in range(len(made) - 1, 0, -1):
        for place in range(last):
            low, high = made[place], made[place + 1]
            made[place], made[place + 1] = sympy.Min(low, high), sympy.Max(low, high)
    return made


def _softmax(row: list[Expression]) -> list[Expression]:
    total = sympy.Add(*map(sympy.exp, row))
    return [sympy.exp(own) / total for own in row]


def _dot(node: Node, x: list[Entry], y: list[Entry]) -> list[Entry]:
    b, m, k, n = node.data
    left, right = (one if len(one) > 1 else one * size for one, size in ((x, b * m * k), (y, b * k * n)))
    made = []
    for batch in range(b):
        for row in range(m):
            for column in range(n):
                start = (batch * m + row) * k
                pairs = [(left[start + i], right[(batch * k + i) * n + column]) for i in range(k)]
                spoiled = any(one is UNDEFINED for pair in pairs for one in pair)
                made.append(UNDEFINED if spoiled else sympy.Add(*(p * q for p, q in pairs)))
    return made


def _gibbs(node: Node, k: list[Entry], x: list[Entry], c: list[Entry], g: list[Entry]) -> list[Entry]:
    n, width = node.data
    levels = _dot(Node("dot", (), n, (1, n, width, 1)), k, x)
    if any(one is UNDEFINED for one in (*levels, *c, *g)):
        return [UNDEFINED] * n
    return _softmax([g[0] * (level + own) for level, own in zip(levels, c, strict=True)])


RULES: dict[str, Callable[..., list[Entry]]] = {
    **{name: _each(function) for name, function in {
        "neg": lambda a: -a, "abs": sympy.Abs, "sign": sympy.sign, "floor": sympy.floor, "exp": sympy.exp,
        "expm1": lambda a: sympy.exp(a) - 1, "log": _log, "log1p": lambda a: _log(1 + a), "sqrt": _sqrt, "cbrt": _cbrt,
        "sin": sympy.sin, "cos": sympy.cos, "tan": sympy.tan, "asin": _within_one(sympy.asin),
        "acos": _within_one(sympy.acos), "atan": sympy.atan, "sinh": sympy.sinh, "cosh": sympy.cosh,
        "tanh": sympy.tanh, "logistic": lambda a: 1 / (1 + sympy.exp(-a)), "erf": sympy.erf,
        "add": lambda a, b: a + b, "sub": lambda a, b: a - b, "mul": lambda a, b: a * b, "div": _divide,
        "min": sympy.Min, "max": sympy.Max, "pow": _power, "atan2": _atan2, "and": sympy.And, "or": sympy.Or,
        "not": sympy.Not, "lt": sympy.Lt, "le": sympy.Le, "eq": sympy.Eq,
    }.items()},
    "powi": _powi, "const": _const, "take": _take, "select": _select, "sum": _runs(lambda row: [sympy.Add(*row)]),
    "prod": _runs(lambda row: [sympy.Mul(*row)]), "least": _runs(lambda row: [sympy.Min(*row)]),
    "most": _runs(lambda row: [sympy.Max(*row)]), "sort": _runs(_sorted), "softmax": _runs(_softmax),
    "lse": _runs(lambda row: [sympy.log(sympy.Add(*(sympy.exp(one) for one in row)))]), "dot": _dot,
    "gibbs": _gibbs,
}  # fmt: skip
"""Rules for expressions alone."""


# What intervals decide


def _decided(op: str) -> Callable[..., Any]:
    def rule(node: Node, *pairs: Any) -> tuple[list[Entry], Any]:
        entries, bounds = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
        hull = INTERVAL[op](node, *bounds)
        short = _SHORT.get(op)
        if isinstance(hull, Truth):
            return _facts(hull, RULES[op](node, *entries)), hull
        if short is None:
            return RULES[op](node, *entries), hull
        rows = [(_row(place, entries), [_ends(bound, place) for bound in bounds]) for place in range(node.length)]
        found = [None if any(one is UNDEFINED for one in row) else short(row, ends) for row, ends in rows]
        if all(one is not None for one in found):
            return found, hull
        plain = RULES[op](node, *entries)
        return [other if one is None else one for one, other in zip(found, plain, strict=True)], hull

    return rule


def _facts(hull: Truth, entries: list[Entry]) -> list[Entry]:
    shape = (1, len(entries))
    may, may_not = (np.broadcast_to(side, shape)[0] for side in (hull.may, hull.may_not))
    fine = np.ones(shape[1], bool) if hull.ok is None else np.broadcast_to(hull.ok, shape)[0]
    return [
        entry if not fine[k] or may[k] == may_not[k] else (sympy.true if may[k] else sympy.false)
        for k, entry in enumerate(entries)
    ]


def _ends(bound: Interval, place: int) -> tuple[float, float]:
    place = place if bound.lo.shape[1] > 1 else 0
    return float(bound.lo[0, place]), float(bound.hi[0, place])


def _greater(row: list[Entry], ends: list[tuple[float, float]]) -> Entry:
    return row[0] if ends[0][0] >= ends[1][1] else row[1] if ends[1][0] >= ends[0][1] else None


def _lesser(row: list[Entry], ends: list[tuple[float, float]]) -> Entry:
    return row[0] if ends[0][1] <= ends[1][0] else row[1] if ends[1][1] <= ends[0][0] else None


def _size(row: list[Entry], ends: list[tuple[float, float]]) -> Entry:
    return row[0] if ends[0][0] >= 0 else -row[0] if ends[0][1] <= 0 else None


def _sign(row: list[Entry], ends: list[tuple[float, float]]) -> Entry:
    return sympy.Integer(1) if ends[0][0] > 0 else sympy.Integer(-1) if ends[0][1] < 0 else None


_SHORT: dict[str, Callable[..., Entry]] = {"max": _greater, "min": _lesser, "abs": _size, "sign": _sign}

SYMBOLIC: dict[str, Callable[..., Any]] = {op: _decided(op) for op in RULES}
"""Rules of the symbolic domain: pairs of expressions and their interval over the region."""
