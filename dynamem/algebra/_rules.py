"""The domain of exact algebra: a program's lines as elements of a tower, and what must hold for them to be defined."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

from flint import fmpq

from ..programs import exact
from . import _waves as waves
from ._functions import Functions, Split, Undefined
from ._tower import Quotient


MOST_PARTS = 32
Duties = frozenset[tuple[str, str]]


@dataclasses.dataclass(frozen=True)
class Value:
    """A number, None if it is undefined in the case at hand; the duties it rests on; terms that add up to it."""

    q: Quotient | None
    duties: Duties = frozenset()
    parts: tuple[Quotient, ...] = ()


@dataclasses.dataclass(frozen=True)
class Truth:
    """A truth value."""

    fact: bool | None
    duties: Duties = frozenset()


class Algebra:
    """Rules over one set of functions: ``Algebra(functions).rules``."""

    def __init__(self, functions: Functions) -> None:
        self.f, self.t = functions, functions.tower
        self.rules: dict[str, Callable[..., list[Any]]] = self._entrywise() | self._others()

    def _entrywise(self) -> dict[str, Callable[..., list[Any]]]:
        f, t = self.f, self.t
        one = t.const(1)
        plain: dict[str, Callable[..., Quotient]] = {
            "abs": f.magnitude, "sign": self._sign, "floor": lambda a: waves.floor(f, a), "exp": f.exp,
            "expm1": lambda a: t.sub(f.exp(a), one), "log": f.log, "log1p": lambda a: f.log(t.add(a, one)),
            "sqrt": f.sqrt, "cbrt": lambda a: waves.cbrt(f, a), "sin": lambda a: waves.sin(f, a),
            "cos": lambda a: waves.cos(f, a), "tan": lambda a: waves.tan(f, a), "asin": lambda a: waves.asin(f, a),
            "acos": lambda a: waves.acos(f, a), "atan": lambda a: waves.atan(f, a), "sinh": f.sinh, "cosh": f.cosh,
            "tanh": f.tanh, "logistic": f.logistic, "erf": lambda a: waves.erf(f, a), "mul": t.mul, "div": f.divide,
            "min": lambda a, b: a if f.decide("le", t.sub(a, b)) else b,
            "max": lambda a, b: b if f.decide("le", t.sub(a, b)) else a,
            "pow": lambda a, b: waves.power(f, a, b), "atan2": lambda a, b: waves.atan2(f, a, b),
        }  # fmt: skip
        return {name: self._each(function) for name, function in plain.items()}

    def _others(self) -> dict[str, Callable[..., list[Any]]]:
        f, t = self.f, self.t
        return {
            "const": self._const, "take": self._take, "powi": self._powi,
            "neg": self._linear(lambda a: [t.neg(p) for p in a]),
            "add": self._linear(lambda a, b: [*a, *b]),
            "sub": self._linear(lambda a, b: [*a, *(t.neg(p) for p in b)]),
            "lt": self._compared("lt"), "le": self._compared("le"), "eq": self._compared("eq"),
            "and": self._logic(lambda a, b: a and b), "or": self._logic(lambda a, b: a or b),
            "not": self._logic(lambda a: not a), "select": self._select,
            "sum": self._sum, "dot": self._dot, "prod": self._runs(self._product),
            "least": self._runs(lambda row: [self._extremum(row, "le")]),
            "most": self._runs(lambda row: [self._extremum(row, "ge")]),
            "sort": self._runs(self._sorted), "lse": self._runs(lambda row: [waves.lse(f, row)]),
            "softmax": self._runs(lambda row: waves.softmax(f, row)),
        }  # fmt: skip

    # Entry by entry

    def _guarded(self, duties: Duties, function: Callable[[], Any]) -> tuple[Any, Duties]:
        """A value, None if undefined, with the duties that arose; a case distinction carries the duties it rests on."""
        self.f.pending = set()
        try:
            made = function()
        except (Undefined, ZeroDivisionError):
            return None, duties
        except Split as split:
            split.duties = duties | self.f.pending
            raise
        return made, duties | self.f.pending

    def _value(self, args: Sequence[Value], function: Callable[..., Quotient]) -> Value:
        duties = frozenset[tuple[str, str]]().union(*(arg.duties for arg in args))
        if any(arg.q is None for arg in args):
            return Value(None, duties)
        return Value(*self._guarded(duties, lambda: function(*(arg.q for arg in args))))

    def _each(self, function: Callable[..., Quotient]) -> Callable[..., list[Value]]:
        def rule(node: Any, *args: list[Value]) -> list[Value]:
            return [self._value(row, function) for row in rows(node, args)]

        return rule

    def _powi(self, node: Any, x: list[Value]) -> list[Value]:
        n = node.data[0]
        return self._each(
            lambda a: self.t.power(a, n) if n >= 0 else self.f.divide(self.t.const(1), self.t.power(a, -n))
        )(node, x)

    def _linear(self, join: Callable[..., list[Quotient]]) -> Callable[..., list[Value]]:
        def rule(node: Any, *args: list[Value]) -> list[Value]:
            return [self._added(row, join(*(parts_of(arg) for arg in row))) for row in rows(node, args)]

        return rule

    def _added(self, args: Sequence[Value], parts: list[Quotient]) -> Value:
        """The sum of the parts, which are kept apart too."""
        duties = frozenset[tuple[str, str]]().union(*(arg.duties for arg in args))
        if any(arg.q is None for arg in args):
            return Value(None, duties)
        total = self.t.const(0)
        for part in parts:
            total = self.t.add(total, part)
        return Value(total, duties, tuple(parts) if 1 < len(parts) <= MOST_PARTS else ())

    def _sign(self, q: Quotient) -> Quotient:
        if self.f.decide("lt", q):
            return self.t.const(-1)
        return self.t.const(0 if self.f.decide("le", q) else 1)

    def _const(self, node: Any) -> list[Any]:
        values = node.data.tolist() if not isinstance(node.data, list | tuple) else node.data
        return [Truth(value) if isinstance(value, bool) else Value(self.t.const(rational(value))) for value in values]

    def _take(self, node: Any, *args: list[Any]) -> list[Any]:
        whole = [entry for arg in args for entry in arg]
        return [whole[int(index)] for index in node.data]

    # Truth

    def _compared(self, kind: str) -> Callable[..., list[Truth]]:
        def rule(node: Any, *args: list[Value]) -> list[Truth]:
            made = []
            for x, y in rows(node, args):
                duties = x.duties | y.duties
                if x.q is None or y.q is None:
                    made.append(Truth(None, duties))
                else:
                    gap = self.t.sub(x.q, y.q)
                    made.append(Truth(*self._guarded(duties, lambda gap=gap: self.f.decide(kind, gap))))
            return made

        return rule

    def _logic(self, function: Callable[..., bool]) -> Callable[..., list[Truth]]:
        def rule(node: Any, *args: list[Truth]) -> list[Truth]:
            made = []
            for row in rows(node, args):
                duties = frozenset[tuple[str, str]]().union(*(one.duties for one in row))
                open_ = any(one.fact is None for one in row)
                made.append(Truth(None if open_ else function(*(one.fact for one in row)), duties))
            return made

        return rule

    def _select(self, node: Any, *args: list[Any]) -> list[Value]:
        made = []
        for which, yes, no in rows(node, args):
            if which.fact is None:
                made.append(Value(None, which.duties))
            else:
                taken = yes if which.fact else no
                made.append(Value(taken.q, taken.duties | which.duties, taken.parts))
        return made

    # Runs

    def _runs(self, function: Callable[[list[Quotient]], list[Quotient]]) -> Callable[..., list[Value]]:
        def rule(node: Any, x: list[Value]) -> list[Value]:
            size, made = node.data[0], []
            each = node.length // (len(x) // size)
            for start in range(0, len(x), size):
                row = x[start : start + size]
                duties = frozenset[tuple[str, str]]().union(*(one.duties for one in row))
                if any(one.q is None for one in row):
                    made += [Value(None, duties)] * each
                    continue
                found, rest = self._guarded(
                    duties, lambda row=row: function([one.q for one in row if one.q is not None])
                )
                made += [Value(None, rest)] * each if found is None else [Value(one, rest) for one in found]
            return made

        return rule

    def _sum(self, node: Any, x: list[Value]) -> list[Value]:
        size = node.data[0]
        groups = [x[start : start + size] for start in range(0, len(x), size)]
        return [self._added(row, [part for one in row for part in parts_of(one)]) for row in groups]

    def _product(self, row: list[Quotient]) -> list[Quotient]:
        made = row[0]
        for one in row[1:]:
            made = self.t.mul(made, one)
        return [made]

    def _extremum(self, row: list[Quotient], kind: str) -> Quotient:
        made = row[0]
        for one in row[1:]:
            below = self.f.decide("le", self.t.sub(made, one))
            made = made if below == (kind == "le") else one
        return made

    def _sorted(self, row: list[Quotient]) -> list[Quotient]:
        made: list[Quotient] = []
        for one in row:
            place = len(made)
            while place and self.f.decide("lt", self.t.sub(one, made[place - 1])):
                place -= 1
            made.insert(place, one)
        return made

    def _dot(self, node: Any, x: list[Value], y: list[Value]) -> list[Value]:
        b, m, k, n = node.data
        left, right = (one if len(one) > 1 else one * size for one, size in ((x, b * m * k), (y, b * k * n)))
        made = []
        for batch in range(b):
            for row in range(m):
                for column in range(n):
                    start = (batch * m + row) * k
                    pairs = [(left[start + i], right[(batch * k + i) * n + column]) for i in range(k)]
                    products = [self._value(pair, self.t.mul) for pair in pairs]
                    made.append(self._added(products, [part for one in products for part in parts_of(one)]))
        return made


def rows(node: Any, args: Sequence[list[Any]]) -> list[list[Any]]:
    """Arguments entry by entry; one of length 1 goes with every entry of the others."""
    return [[arg[place] if len(arg) > 1 else arg[0] for arg in args] for place in range(node.length)]


def parts_of(value: Value) -> list[Quotient]:
    """The terms of a value, itself if there is one."""
    return list(value.parts) if value.parts else [] if value.q is None else [value.q]


def rational(value: Any) -> fmpq:
    """A constant as the number that it is."""
    found = exact(value)
    return fmpq(found.numerator, found.denominator)
