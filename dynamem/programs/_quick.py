"""The quick reading of a program: one Arb ball an entry, scalar by scalar, many times faster than `BALL` and looser.

What it finds is proved as well; where it cannot tell it gives up, and `BALL` is asked: at comparisons that are open, at
operations that it does not know, and where something may be undefined. Entries that are only moved cost nothing, and
what depends on no input is computed once.
"""

import operator
from collections.abc import Callable, Sequence
from functools import reduce
from typing import Any

from flint import arb

from ._ball import OPEN, number
from ._program import Node, Program, plain


class Unsure(Exception):
    """Whether a comparison holds cannot be told from two balls."""


GAVE_UP = (Unsure, TypeError, AttributeError)
"""`OPEN` has no arithmetic and no methods."""


def quick(program: Program) -> Callable[[Sequence[arb]], list[list[Any]] | None]:
    """The outputs for the balls of the first input, all defined, or None where it cannot tell."""
    try:
        tape = _Tape(program)
    except (KeyError, *GAVE_UP):
        return lambda balls: None

    def bounds(balls: Sequence[arb]) -> list[list[Any]] | None:
        try:
            outputs = tape(balls)
        except GAVE_UP:
            return None
        fine = all(isinstance(entry, arb) and entry.is_finite() for output in outputs for entry in output)
        return outputs if fine else None

    return bounds


class _Tape:
    """Scalar steps ``(function, arguments)``; each appends to the constants and the inputs before them."""

    def __init__(self, program: Program) -> None:
        self.known: list[Any] = [None] * program.nodes[program.inputs[0]].length
        self.inputs, self.steps, self.fixed = len(self.known), [], 0
        for fixed in (True, False):  # constants first, so that all that varies is appended behind them
            self.entries: list[list[int] | None] = []
            steady: set[int] = set()
            for place, node in enumerate(program.nodes):
                constant = node.op != "input" and steady.issuperset(node.args)
                steady |= {place} if constant else set()
                self.entries.append(None)
                if node.op == "input":
                    self.entries[place] = list(range(self.inputs))
                elif constant:
                    self.entries[place] = self._line(node) if fixed else self.constants[place]
                elif not fixed:
                    self.entries[place] = self._line(node)
            if fixed:
                self.constants, self.fixed = self.entries, len(self.known)
        self.outputs = [self.entries[place] for place in program.outputs]

    def __call__(self, balls: Sequence[arb]) -> list[list[Any]]:
        values = [*balls, *self.known[self.inputs : self.fixed]]
        push = values.append
        for function, first, second in self.steps:
            if second is None:
                push(function(*[values[at] for at in first]))
            else:
                push(function(values[first], values[second]))
        return [[values[at] for at in output or ()] for output in self.outputs]

    def _push(self, function: Callable[..., Any], *args: int) -> int:
        """A step; while constants are made it is done at once."""
        if not self.fixed:
            self.known.append(function(*[self.known[at] for at in args]))
            return len(self.known) - 1
        self.steps.append((function, *args) if len(args) == 2 else (function, args, None))
        return self.fixed + len(self.steps) - 1

    def _line(self, node: Node) -> list[int]:
        args = [self.entries[arg] or [] for arg in node.args]
        if node.op == "const":
            values = [value if isinstance(value, bool) else arb.union(*number(value)) for value in plain(node.data)]
            self.known += values
            return list(range(len(self.known) - len(values), len(self.known)))
        if node.op == "take":
            whole = [at for arg in args for at in arg]
            return [whole[int(index)] for index in node.data]
        if node.op == "dot":
            return self._dot(node.data, *args)
        if node.op in RUNS:
            size = node.data[0]
            rows = [args[0][start : start + size] for start in range(0, len(args[0]), size)]
            return [at for row in rows for at in RUNS[node.op](self._push, row)]
        columns = [arg if len(arg) > 1 else arg * node.length for arg in args]
        function = _power(node.data[0]) if node.op == "powi" else FUNCTIONS[node.op]
        return [self._push(function, *row) for row in zip(*columns, strict=True)]

    def _dot(self, shape: Sequence[int], x: list[int], y: list[int]) -> list[int]:
        b, m, k, n = shape
        made = []
        for row in range(b * m):
            for column in range(n):
                pairs = [(x[row * k + i], y[(row // m * k + i) * n + column]) for i in range(k)]
                made.append(_added(self._push, [self._push(operator.mul, *pair) for pair in pairs])[0])
        return made


# Entries


def _partial(function: Callable[..., arb]) -> Callable[..., Any]:
    """Of a function that is not defined everywhere: Arb has no finite ball where it may be undefined."""

    def entry(*args: arb) -> Any:
        made = function(*args)
        return made if made.is_finite() else OPEN

    return entry


def _power(n: int) -> Callable[[arb], Any]:
    """By products: Arb's own power knows no ball that holds 0."""

    def power(base: arb, n: int) -> arb:
        if n < 2:
            return base if n else arb(1)
        half = power(base, n // 2)
        return half * half * base if n % 2 else half * half

    return _partial(lambda base: 1 / power(base, -n)) if n < 0 else lambda base: power(base, n)


def _surely(yes: bool, no: bool) -> bool:
    if yes or no:
        return yes
    raise Unsure


def _equal(a: arb, b: arb) -> bool:
    apart = a < b or a > b
    return _surely(not apart and (a is b or a == b), apart)


Push = Callable[..., int]


def _added(push: Push, row: list[int]) -> list[int]:
    return [reduce(lambda a, b: push(operator.add, a, b), row)]


def _softmax(push: Push, row: list[int]) -> list[int]:
    def share(own: arb, *others: arb) -> arb:
        return 1 / sum(((other - own).exp() for other in others), arb(1))

    return [push(share, own, *row[:at], *row[at + 1 :]) for at, own in enumerate(row)]


def _lse(push: Push, row: list[int]) -> list[int]:
    return [push(lambda *values: sum((value.exp() for value in values), arb(0)).log(), *row)]


TOTAL = ("exp", "expm1", "sin", "cos", "atan", "sinh", "cosh", "tanh", "erf")
SOMEWHERE = ("log", "log1p", "sqrt", "tan", "asin", "acos")
"""Arb's methods are called on entries, never with entries: they do not look at the type of what they are given."""
FUNCTIONS: dict[str, Callable[..., Any]] = {
    **{name: operator.methodcaller(name) for name in TOTAL},
    **{name: _partial(operator.methodcaller(name)) for name in SOMEWHERE},
    "neg": operator.neg, "abs": abs, "add": operator.add, "sub": operator.sub, "mul": operator.mul,
    "div": _partial(operator.truediv), "min": lambda a, b: a.min(b), "max": lambda a, b: a.max(b),
    "logistic": lambda a: 1 / (1 + (-a).exp()), "lt": lambda a, b: _surely(a < b, a >= b),
    "le": lambda a, b: _surely(a <= b, a > b), "eq": _equal, "and": lambda a, b: a and b, "or": lambda a, b: a or b,
    "not": operator.not_, "select": lambda which, a, b: a if which else b,
}  # fmt: skip
RUNS: dict[str, Callable[[Push, list[int]], list[int]]] = {"sum": _added, "lse": _lse, "softmax": _softmax}
QUICK = frozenset(FUNCTIONS) | frozenset(RUNS) | {"const", "take", "powi", "dot"}
"""The operations it knows."""
