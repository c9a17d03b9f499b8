"""One question, case by case: definedness first, then the sign of the number, then that of its terms."""

import dataclasses
import time
from collections.abc import Sequence
from typing import Any

from flint import fmpq

from ..programs import Program, evaluate
from ._check import hold_at_points
from ._facts import Fact, Knowledge
from ._functions import Functions, Rebase, Split
from ._line import on_line
from ._rules import Algebra, Duties, Value
from ._sign import Prover
from ._sos_basis import variables
from ._tower import Quotient, Range, TooHard, Tower, TowerFull


SLOTS = (24, 64, 160)
MOST_CASES = 96
WRONG = {"nonzero": {0}, "positive": {-1, 0}, "nonnegative": {-1}}
"""Signs with which a value is undefined."""
Row = tuple[fmpq | None, fmpq | None]


@dataclasses.dataclass
class Outcome:
    """What an attempt came to.

    Attributes:
        status: "proved", "open", "ill" (undefined somewhere in the region), "empty" (no region), "zero" (identically 0,
            where less is claimed).
        why: the proof, or what is left.
        methods: what was used.
        cases: how many cases were told apart.
    """

    status: str
    why: list[str]
    methods: set[str]
    cases: int = 1


@dataclasses.dataclass
class Task:
    """What is to be shown of a program ``(number, constraints...)`` on a box.

    Attributes:
        program: the program; its input is the point.
        names: of the coordinates.
        box: their bounds.
        strict: whether the number is to be below 0.
        deadline: on time.monotonic().
        split: whether exponentials and circular functions are taken apart.
        points: where the algebra is held against the program.
        only_defined: whether nothing but definedness is asked.
        deep: whether sums of squares are looked for.
    """

    program: Program
    names: tuple[str, ...]
    box: tuple[Row, ...]
    strict: bool
    deadline: float
    split: bool = False
    points: tuple[tuple[fmpq, ...], ...] = ()
    only_defined: bool = False
    deep: bool = True


def attempt(task: Task) -> Outcome:
    """Show it, in as many cases as it takes."""
    bases: dict[str, fmpq] = {}
    total, inhabited = Outcome("proved", [], set(), 0), False
    stack: list[dict[tuple[str, str], bool]] = [{}]
    while stack:
        assumed = stack.pop()
        if total.cases + len(stack) > MOST_CASES or time.monotonic() > task.deadline:
            return Outcome("open", ["too many cases"], total.methods, total.cases)
        found = _case(task, assumed, bases)
        if isinstance(found, Split):
            stack += [assumed | {(found.kind, found.text): answer} for answer in (False, True)]
            continue
        total.cases += 1
        if found.status == "zero" and assumed:
            found = dataclasses.replace(found, status="open")  # the case may be empty
        if found.status in ("open", "ill", "zero"):
            return dataclasses.replace(found, cases=total.cases)
        inhabited = inhabited or found.status == "proved"
        where = " and ".join(_words(key, answer) for key, answer in assumed.items())
        total.why += [f"where {where}: {one}" if where else one for one in found.why]
        total.methods |= found.methods
    return total if inhabited else dataclasses.replace(total, status="empty")


def _words(key: tuple[str, str], answer: bool) -> str:
    sign = {("lt", True): "<", ("lt", False): ">=", ("le", True): "<=", ("le", False): ">", ("eq", True): "="}
    return f"{key[1]} {sign.get((key[0], answer), '!=')} 0"


def _case(task: Task, assumed: dict[tuple[str, str], bool], bases: dict[str, fmpq]) -> Outcome | Split:
    """One case; the algebra starts again where it needs more room or a finer base."""
    room = 0
    for _ in range(24):
        case = Case(task, assumed, bases, SLOTS[room])
        try:
            try:
                return case.outcome()
            except Split as split:
                return case.admitted(split)
        except Rebase:
            continue
        except TowerFull:
            room += 1
            if room == len(SLOTS):
                return Outcome("open", [f"more than {SLOTS[-1]} different functions"], set())
        except TooHard as error:
            return Outcome("open", [f"too hard: {error}"], set())
    return Outcome("open", ["no common base of the exponentials was found"], set())


class Case:
    """One case of one task."""

    def __init__(self, task: Task, assumed: dict[tuple[str, str], bool], bases: dict[str, fmpq], slots: int) -> None:
        self.task, self.tower = task, Tower(slots)
        self.know = Knowledge(self.tower)
        self.f = Functions(self.know, bases, assumed, split=task.split)
        self.algebra = Algebra(self.f)
        self.prover = Prover(self.f, task.deadline, deep=task.deep)
        self.shown: set[tuple[str, str]] = set()
        self.whole = False
        """Whether all constraints are known: only then is a value that is undefined so inside the region."""

    def admitted(self, split: Split) -> Outcome | Split:
        """A case distinction is complete only where what it asks about is defined."""
        missing = self.undefined(split.duties)
        return split if missing is None else missing

    def outcome(self) -> Outcome:
        """Region, definedness, sign."""
        point = [self._coordinate(place) for place in range(len(self.task.names))]
        outputs = self.task.program.outputs
        missing = self._constrained(list(outputs[1:]), point)
        if missing is not None:
            return missing
        self.whole = True
        if self.know.contradiction:
            return Outcome("empty", ["no point satisfies the constraints"], set())
        number = self._evaluated(outputs[0], point)
        if self.know.contradiction:
            return Outcome("empty", ["this case does not occur"], set())
        missing = self._defined(number, "the number")
        if missing is not None:
            return missing
        assert number.q is not None
        hold_at_points(self.know, number.q, only(self.task.program, outputs[0]), self.task.points)
        if self.task.only_defined:
            return Outcome("proved", ["defined everywhere in the region"], set())
        found = self._signed(number)
        if found.status == "proved":
            program = only(self.task.program, outputs[0])
            hold_at_points(self.know, number.q, program, self.task.points, self.prover.said)
        return found

    def limits(self) -> list[Fact] | None:
        """The constraints as facts, None where one of them may be undefined."""
        point = [self._coordinate(place) for place in range(len(self.task.names))]
        missing = self._constrained(list(self.task.program.outputs[1:]), point)
        return None if missing is not None else [fact for fact in self.know.facts if fact.assumed]

    def _constrained(self, places: list[int], point: list[Value]) -> Outcome | None:
        """Learn the constraints, those first that are defined without the others; what is missing, if anything."""
        while places:
            left, missing = [], None
            for place in places:
                bound = self._evaluated(place, point)
                undefined = self._defined(bound, "a constraint")
                if undefined is None and bound.q is not None:
                    self.know.learn(self.tower.neg(bound.q), f"{self.tower.text(bound.q)} <= 0", assumed=True)
                else:
                    left.append(place)
                    missing = missing or undefined
            if len(left) == len(places):
                return missing
            places = left
        return None

    def _coordinate(self, place: int) -> Value:
        lo, hi = self.task.box[place]
        if lo is not None and hi is not None and lo == hi:
            return Value(self.tower.const(lo))
        made = self.tower.generator("x", (), self.task.names[place], lambda: Range(lo, hi))
        self.tower.places[made.place] = place
        return Value(self.tower.element(made))

    def _evaluated(self, place: int, point: list[Value]) -> Value:
        (found,) = evaluate(only(self.task.program, place), self.algebra.rules, [point])
        return found[0]

    # Definedness

    def _defined(self, value: Value, words: str) -> Outcome | None:
        missing = self.undefined(value.duties)
        if missing is not None:
            return missing
        return Outcome("open", [f"{words} is undefined"], set()) if value.q is None else None

    def undefined(self, duties: Duties) -> Outcome | None:
        """What of these could not be shown, in the order in which they arose; None if nothing."""
        for key, q in self.f.duties.items():
            if key in duties and key not in self.shown:
                if not self._met(key[0], q):
                    words = {"nonzero": "!= 0", "positive": "> 0", "nonnegative": ">= 0"}[key[0]]
                    status = "ill" if self.whole and self._violated(key[0], q) else "open"
                    return Outcome(status, [f"{self.prover.short(q.n)} {words} where it is divided by or a root or "
                                            "logarithm is taken"], set())  # fmt: skip
                self.shown.add(key)
        return None

    def _met(self, kind: str, q: Quotient) -> bool:
        if kind == "nonzero":
            return self.prover.nonzero(q.n) is not None
        return self.prover.quotient(q, strict=kind == "positive") is not None

    def _violated(self, kind: str, q: Quotient) -> bool:
        """Whether a polynomial in one coordinate surely has a wrong sign at some point of the region."""
        own = variables(q.n)
        limits = [fact for fact in self.know.facts if fact.assumed]
        if self.know.apart or not q.d.is_one() or len(own) != 1 or any(variables(fact.p) != own for fact in limits):
            return False
        (place,) = own
        if self.tower.gens[place].kind != "x":
            return False
        region = [(fact.p, fact.strict) for fact in (*limits, *self.prover.ranges(own))]
        found = on_line(q.n, place, region)
        return found is not None and bool(found.signs & WRONG[kind])

    # The sign

    def _signed(self, number: Value) -> Outcome:
        q, strict = number.q, self.task.strict
        assert q is not None
        if q.zero:
            words = "the number is identically 0"
            return Outcome("zero" if strict else "proved", [words], {"identity"})
        found = self._terms(number.parts, strict=strict, deep=False) or self._whole(q, strict=strict)
        found = found or self._terms(number.parts, strict=strict, deep=True)
        if found is None:
            return Outcome("open", [f"{self.tower.text(q)[:1000]} {'<' if strict else '<='} 0"], set())
        method = "sum of squares" if "sum of squares" in self.prover.methods else "signs of factors and terms"
        return Outcome("proved", found, {method})

    def _whole(self, q: Quotient, *, strict: bool) -> list[str] | None:
        why = self.prover.quotient(self.tower.neg(q), strict=strict)
        return None if why is None else [f"minus the number, {self.tower.text(self.tower.neg(q))[:600]}: {why}"]

    def _terms(self, parts: Sequence[Quotient], *, strict: bool, deep: bool) -> list[str] | None:
        """Each term of the sum that the code computes, taken by its factors; what is left over together."""
        words, rest, sure = [], self.tower.const(0), False
        if len(parts) < 2:
            return None
        for part in parts:
            opposite = self.tower.neg(part)
            signs = self.know.sign_of(opposite)
            why = "by the signs of its parts" if signs > 0 else None
            if why is None and deep:
                why = self.prover.quotient(opposite, strict=False)
            if why is None:
                rest = self.tower.add(rest, part)
            else:
                sure = sure or signs == 2
                words.append(f"{self.tower.text(part)[:300]} <= 0: {why}")
        if not words:
            return None
        if rest.zero:
            return words if sure or not strict else None
        why = self.prover.quotient(self.tower.neg(rest), strict=strict and not sure) if deep else None
        return None if why is None else [*words, f"{self.tower.text(rest)[:300]} <= 0: {why}"]


def only(program: Program, place: int) -> Program:
    """The part of a program that one output needs."""
    needed, stack = set(program.inputs), [place]
    while stack:
        here = stack.pop()
        if here not in needed or here == place:
            stack += [arg for arg in program.nodes[here].args if arg not in needed]
        needed.add(here)
    order = sorted(needed)
    new = {old: number for number, old in enumerate(order)}
    nodes = tuple(
        dataclasses.replace(program.nodes[old], args=tuple(new[arg] for arg in program.nodes[old].args))
        for old in order
    )
    return Program(nodes, tuple(new[old] for old in program.inputs), (new[place],))


def rows_of(box: Any) -> tuple[Row, ...]:
    """Bounds as rational numbers; infinite ends are None."""
    return tuple((_end(lo), _end(hi)) for lo, hi in box)


def _end(value: float) -> fmpq | None:
    if value in (float("inf"), float("-inf")):
        return None
    top, bottom = float(value).as_integer_ratio()
    return fmpq(top, bottom)
