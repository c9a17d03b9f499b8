"""The quick domain: one Arb ball an entry, several times faster than `BALL` and looser. It shows what is easy to show.

What it finds is proved as well; where it cannot tell it gives up, and `BALL` is asked: at comparisons that are open, at
operations that it has no rule for, and where something may be undefined.
"""

from collections.abc import Callable, Sequence
from operator import methodcaller
from typing import Any

from flint import arb

from ._ball import OPEN, number
from ._evaluate import prepared
from ._program import Program, plain


class Unsure(Exception):
    """Whether a comparison holds cannot be told from two balls."""


GAVE_UP = (Unsure, TypeError, AttributeError)
"""`OPEN` has no arithmetic and no methods."""


def quick(program: Program) -> Callable[[Sequence[arb]], list[list[Any]] | None]:
    """The outputs for the balls of the first input, all defined, or None where it cannot tell."""
    if any(node.op not in QUICK for node in program.nodes if node.op != "input"):
        return lambda balls: None
    try:
        run = prepared(program, QUICK)
    except GAVE_UP:
        return lambda balls: None

    def bounds(balls: Sequence[arb]) -> list[list[Any]] | None:
        try:
            outputs = run([list(balls)])
        except GAVE_UP:
            return None
        fine = all(isinstance(entry, arb) and entry.is_finite() for output in outputs for entry in output)
        return outputs if fine else None

    return bounds


def _each(function: Callable[..., Any]) -> Callable[..., list[Any]]:
    def rule(node: Any, *args: list[Any]) -> list[Any]:
        if node.length == 1:
            return [function(*[arg[0] for arg in args])]
        return [
            function(*row) for row in zip(*[arg if len(arg) > 1 else arg * node.length for arg in args], strict=True)
        ]

    return rule


def _partial(function: Callable[..., arb]) -> Callable[..., list[Any]]:
    """Of a function that is not defined everywhere: Arb has no finite ball where it may be undefined."""

    def entry(*args: arb) -> Any:
        made = function(*args)
        return made if made.is_finite() else OPEN

    return _each(entry)


def _surely(yes: bool, no: bool) -> bool:
    if yes or no:
        return yes
    raise Unsure


def _equal(a: arb, b: arb) -> bool:
    apart = a < b or a > b
    return _surely(not apart and (a is b or a == b), apart)


def _runs(function: Callable[[list[arb]], Any], *, spread: bool = False) -> Callable[..., list[Any]]:
    def rule(node: Any, x: list[Any]) -> list[Any]:
        rows = [x[start : start + node.data[0]] for start in range(0, len(x), node.data[0])]
        return [entry for row in rows for entry in function(row)] if spread else [function(row) for row in rows]

    return rule


def _lse(row: list[arb]) -> arb:
    return sum((one.exp() for one in row[1:]), row[0].exp()).log()


def _softmax(row: list[arb]) -> list[arb]:
    return [
        1 / sum(((other - own).exp() for place, other in enumerate(row) if place != at), arb(1))
        for at, own in enumerate(row)
    ]


def _dot(node: Any, x: list[arb], y: list[arb]) -> list[arb]:
    b, m, k, n = node.data
    left, right = (one if len(one) > 1 else one * size for one, size in ((x, b * m * k), (y, b * k * n)))
    return [
        sum((left[row * k + i] * right[(row // m * k + i) * n + column] for i in range(k)), arb(0))
        for row in range(b * m)
        for column in range(n)
    ]


def _const(node: Any) -> list[Any]:
    values = plain(node.data)
    return [value if isinstance(value, bool) else arb.union(*number(value)) for value in values]


def _take(node: Any, *args: list[Any]) -> list[Any]:
    whole = args[0] if len(args) == 1 else [entry for arg in args for entry in arg]
    return [whole[index] for index in node.data]


def _powi(node: Any, x: list[arb]) -> list[Any]:
    n = node.data[0]
    return (
        _partial(lambda entry: 1 / _power(entry, -n))(node, x)
        if n < 0
        else _each(lambda entry: _power(entry, n))(node, x)
    )


def _power(base: arb, n: int) -> arb:
    """By products: Arb's own power knows no ball that holds 0."""
    made = base if n % 2 else arb(1)
    if n > 1:
        half = _power(base, n // 2)
        made = half * half * base if n % 2 else half * half
    return made


TOTAL = ("exp", "expm1", "sin", "cos", "atan", "sinh", "cosh", "tanh", "erf")
SOMEWHERE = ("log", "log1p", "sqrt", "tan", "asin", "acos")
"""Arb's methods are called on entries, never with entries: they do not look at the type of what they are given."""
QUICK: dict[str, Callable[..., list[Any]]] = {
    **{name: _each(methodcaller(name)) for name in TOTAL}, **{name: _partial(methodcaller(name)) for name in SOMEWHERE},
    "const": _const, "take": _take, "powi": _powi, "neg": _each(lambda a: -a), "abs": _each(lambda a: abs(a)),
    "add": _each(lambda a, b: a + b), "sub": _each(lambda a, b: a - b), "mul": _each(lambda a, b: a * b),
    "div": _partial(lambda a, b: a / b), "min": _each(lambda a, b: a.min(b)), "max": _each(lambda a, b: a.max(b)),
    "logistic": _each(lambda a: 1 / (1 + (-a).exp())),
    "lt": _each(lambda a, b: _surely(a < b, a >= b)), "le": _each(lambda a, b: _surely(a <= b, a > b)),
    "eq": _each(_equal), "and": _each(lambda a, b: a and b), "or": _each(lambda a, b: a or b),
    "not": _each(lambda a: not a), "select": _each(lambda which, a, b: a if which else b),
    "sum": _runs(lambda row: sum(row[1:], row[0])), "lse": _runs(_lse), "softmax": _runs(_softmax, spread=True),
    "dot": _dot,
}  # fmt: skip
"""Rules of the quick domain."""
