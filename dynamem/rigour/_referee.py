r"""A second opinion: the same question, put to the SMT solver z3 where it is polynomial or rational.

A point refutes the claim if it lies in the region and the number is defined there and has the wrong sign:

    lo <= x <= hi,   c_i(x) defined and <= 0,   f(x) defined and > 0   (>= 0 for a strict claim).

z3 finds such a point (``sat``), shows that there is none (``unsat``), or gives up. The formula is read off the very
program that was judged: each entry goes with the condition under which it is defined, so that a branch that is not
taken may be undefined. Roots are new unknowns with their equation; what is transcendental is out of reach.

z3 is optional (Z3: de Moura & Bjorner, TACAS 2008; nonlinear arithmetic: Jovanovic & de Moura, IJCAR 2012).
"""

import dataclasses
import math
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any

import numpy as np

from .._errors import ContradictionError, InputError
from ..programs import Program, evaluate, exact


try:
    import z3 as _z3  # pyright: ignore[reportMissingImports]
except ImportError:
    _z3: Any = None


OPINION_S = 10.0
Entry = tuple[Any, Any]
"""A value and the condition under which it is defined."""


@dataclasses.dataclass(frozen=True)
class Opinion:
    """What the referee says.

    Attributes:
        status: "proved", "broken", or "unknown".
        reason: why it is unknown, or nothing.
        point: coordinates of a point that refutes the claim, as text.
    """

    status: str
    reason: str = ""
    point: tuple[str, ...] = ()


class _OutOfReach(Exception):
    pass


def solver_module() -> Any:
    """The module z3.

    Raises:
        InputError: it is not installed.
    """
    if _z3 is None:
        msg = "referee=True: z3 is not installed; pip install 'dynamem[referee]', or leave the referee out"
        raise InputError(msg)
    return _z3


def opinion(program: Program, region: np.ndarray, *, strict: bool, seconds: float = OPINION_S, z3: Any) -> Opinion:
    """z3's answer to a question.

    Arguments:
        program: outputs ``(number, constraints...)`` of one input.
        region: rows (lo, hi), infinite ends allowed.
        strict: whether the number has to be below 0, not at most 0.
        seconds: its time limit.
        z3: the module.
    """
    unknowns = [z3.Real(f"x{place}") for place in range(len(region))]
    try:
        refutes = formula(program, unknowns, region, strict=strict, z3=z3)
    except _OutOfReach as error:
        return Opinion("unknown", f"no rule for {error}: not polynomial or rational")
    solver = z3.SolverFor("QF_NRA")
    solver.set("timeout", math.ceil(1000 * seconds))
    solver.add(*refutes)
    answer = str(solver.check())
    if answer == "sat":
        model = solver.model()
        return Opinion("broken", "", tuple(str(model.eval(one, model_completion=True)) for one in unknowns))
    return Opinion("proved") if answer == "unsat" else Opinion("unknown", str(solver.reason_unknown()))


def formula(program: Program, unknowns: Sequence[Any], region: np.ndarray, *, strict: bool, z3: Any) -> list[Any]:
    """What a point that refutes the claim satisfies."""
    rules = Rules(z3)
    number, *bounds = evaluate(program, rules.table, [[(one, z3.BoolVal(True)) for one in unknowns]])
    made = [*rules.aside]
    for one, (lo, hi) in zip(unknowns, region.tolist(), strict=True):
        made += [one >= rules.rational(lo)] if np.isfinite(lo) else []
        made += [one <= rules.rational(hi)] if np.isfinite(hi) else []
    for ((value, defined),) in bounds:
        made += [defined, value <= 0]
    ((value, defined),) = number
    return [*made, defined, value >= 0 if strict else value > 0]


class Rules:
    """Rules of the domain of z3's terms.

    Attributes:
        table: ``table[op](node, *arguments)``.
        aside: equations of the unknowns that stand for roots.
    """

    def __init__(self, z3: Any) -> None:
        self.z3, self.aside = z3, []
        plain = {
            "neg": lambda a: -a, "add": lambda a, b: a + b, "sub": lambda a, b: a - b, "mul": lambda a, b: a * b,
            "abs": lambda a: z3.If(a >= 0, a, -a), "min": self._least, "max": self._most,
            "sign": lambda a: z3.If(a > 0, 1, z3.If(a < 0, -1, 0)), "lt": lambda a, b: a < b,
            "le": lambda a, b: a <= b, "eq": lambda a, b: a == b, "and": z3.And, "or": z3.Or, "not": z3.Not,
        }  # fmt: skip
        partial = {
            "div": (lambda a, b: b != 0, lambda a, b: a / b), "sqrt": (lambda a: a >= 0, lambda a: self._root(a, 2)),
        }  # fmt: skip
        runs = {"sum": lambda a, b: a + b, "prod": lambda a, b: a * b, "least": self._least, "most": self._most}
        known: dict[str, Callable] = {
            **{name: self._each(None, function) for name, function in plain.items()},
            **{name: self._each(inside, function) for name, (inside, function) in partial.items()},
            **{name: self._runs(join) for name, join in runs.items()},
            "const": self._const, "take": self._take, "powi": self._powi, "select": self._select, "dot": self._dot,
        }  # fmt: skip
        self.table = _Table(known)

    def rational(self, value: Any) -> Any:
        """A constant as the rational that it is."""
        found: Fraction = exact(value)
        return self.z3.RealVal(f"{found.numerator}/{found.denominator}")

    def _least(self, a: Any, b: Any) -> Any:
        return self.z3.If(a <= b, a, b)

    def _most(self, a: Any, b: Any) -> Any:
        return self.z3.If(a >= b, a, b)

    def _root(self, a: Any, power: int) -> Any:
        """A new unknown ``r >= 0`` with ``r^n = a``, 0 where there is none."""
        root = self.z3.Real(f"root{len(self.aside)}")
        self.aside.append(self.z3.If(a >= 0, self.z3.And(root >= 0, root**power == a), root == 0))
        return root

    def _each(self, inside: Callable | None, function: Callable) -> Callable[..., list[Entry]]:
        def rule(node: Any, *args: list[Entry]) -> list[Entry]:
            made = []
            for place in range(node.length):
                row = [arg[place] if len(arg) > 1 else arg[0] for arg in args]
                values = [value for value, _ in row]
                conditions = [condition for _, condition in row] + ([] if inside is None else [inside(*values)])
                made.append((function(*values), self.z3.And(*conditions)))
            return made

        return rule

    def _runs(self, join: Callable) -> Callable[..., list[Entry]]:
        def rule(node: Any, x: list[Entry]) -> list[Entry]:
            size = node.data[0]
            return [self._joined(x[start : start + size], join) for start in range(0, len(x), size)]

        return rule

    def _joined(self, row: Sequence[Entry], join: Callable) -> Entry:
        total = row[0][0]
        for value, _ in row[1:]:
            total = join(total, value)
        return total, self.z3.And(*(condition for _, condition in row))

    def _const(self, node: Any) -> list[Entry]:
        make = [self.z3.BoolVal(v) if isinstance(v, bool) else self.rational(v) for v in np.asarray(node.data).tolist()]
        return [(value, self.z3.BoolVal(True)) for value in make]

    def _take(self, node: Any, *args: list[Entry]) -> list[Entry]:
        whole = [entry for arg in args for entry in arg]
        return [whole[int(index)] for index in node.data]

    def _powi(self, node: Any, x: list[Entry]) -> list[Entry]:
        n = node.data[0]
        rule = self._each((lambda a: a != 0) if n < 0 else None, lambda a: 1 / a**-n if n < 0 else a**n)
        return rule(node, x)

    def _select(self, node: Any, *args: list[Entry]) -> list[Entry]:
        made = []
        for place in range(node.length):
            (fact, known), (a, first), (b, second) = (arg[place] if len(arg) > 1 else arg[0] for arg in args)
            made.append((self.z3.If(fact, a, b), self.z3.And(known, self.z3.If(fact, first, second))))
        return made

    def _dot(self, node: Any, x: list[Entry], y: list[Entry]) -> list[Entry]:
        b, m, k, n = node.data
        left, right = (one if len(one) > 1 else one * size for one, size in ((x, b * m * k), (y, b * k * n)))
        made = []
        for batch, row, column in np.ndindex(b, m, n):
            pairs = [(left[(batch * m + row) * k + i], right[(batch * k + i) * n + column]) for i in range(k)]
            terms = [(p * q, self.z3.And(first, second)) for (p, first), (q, second) in pairs]
            made.append(self._joined(terms, lambda a, b: a + b))
        return made


class _Table(dict):
    """Rules by name; one that is missing is out of reach."""

    def __missing__(self, name: str) -> Any:
        raise _OutOfReach(name)


def hold_against(found: Opinion, status: str, reason: str, artefact: Any) -> dict[str, Any]:
    """The opinion beside a verdict, as evidence.

    Raises:
        ContradictionError: one says proved and the other broken.
    """
    if {found.status, status} == {"proved", "broken"}:
        msg = f"dynamem says {status} ({reason}), and z3 says {found.status} {' '.join(found.point)}".rstrip()
        raise ContradictionError(msg, artefact, found)
    agrees = "agrees" if found.status == status else f"says {found.status}"
    words = f"z3 {agrees}" + (f": {found.reason}" if found.reason else "")
    return {"referee": words} | ({"referee_point": list(found.point)} if found.point else {})
