"""What is known of the signs of polynomials in a tower, and the signs that follow at once."""

import dataclasses
from typing import Any

from flint import fmpq, fmpq_mpoly

from ._tower import Quotient, Tower, bounds


POSITIVE, NONNEGATIVE, UNKNOWN = 2, 1, 0
"""Signs: 2 above 0, 1 not below 0, 0 not known, -1 not above 0, -2 below 0."""


@dataclasses.dataclass(frozen=True)
class Fact:
    """A polynomial that is not below 0 (above 0 if strict) in the case at hand; `assumed`: because the case says so."""

    p: fmpq_mpoly
    strict: bool
    text: str
    assumed: bool = False


class Knowledge:
    """Facts about a tower's polynomials."""

    def __init__(self, tower: Tower) -> None:
        self.tower = tower
        self.facts: list[Fact] = []
        self.impossible = False
        self.apart: set[str] = set()
        self._shapes: dict[str, tuple[fmpq, bool]] = {}
        self._signs: dict[str, int] = {}

    def learn(self, q: Quotient, text: str, *, strict: bool = False, assumed: bool = False) -> None:
        """``q`` is not below 0."""
        sign = self.sign(q.d)
        p = q.n if sign == POSITIVE else -q.n if sign == -POSITIVE else q.n * q.d
        if p.is_zero() or (p.is_constant() and (p.leading_coefficient() > 0 or not assumed)):
            return
        if p.is_constant():
            self.impossible = True
            return
        shape, offset = self._shape(p)
        best = self._shapes.get(shape)
        if best is None or offset < best[0] or (offset == best[0] and strict and not best[1]):
            self._shapes[shape] = (offset, strict)
            self.facts.append(Fact(p, strict, text, assumed))
            self._signs.clear()
            if assumed:
                self._narrow(p)

    def set_apart(self, p: fmpq_mpoly) -> None:
        """``p`` is not 0 in this case."""
        _, factors = p.factor()
        self.apart |= {str(factor) for factor, _ in factors}

    def _narrow(self, p: fmpq_mpoly) -> None:
        """``c x + d >= 0`` is a bound of ``x``."""
        places = [place for place, degree in enumerate(p.degrees()) if degree]
        if len(places) != 1 or p.total_degree() != 1:
            return
        slope = p.coefficient(0)
        end = -(p - slope * self.tower.vars[places[0]]).leading_coefficient() / slope if len(p) > 1 else fmpq(0)
        here = self.tower.gens[places[0]].range
        if slope > 0:
            here.lo = end if here.lo is None else max(here.lo, end)
        else:
            here.hi = end if here.hi is None else min(here.hi, end)
        if here.lo is not None and here.hi is not None and here.lo > here.hi:
            self.impossible = True

    @property
    def contradiction(self) -> bool:
        """Whether what the case assumes excludes itself: nothing is left to show then."""
        return self.impossible or any(fact.assumed and self._bounded_below_zero(fact.p) for fact in self.facts)

    def _bounded_below_zero(self, p: fmpq_mpoly) -> bool:
        hi = bounds(self.tower, p)[1]
        return hi is not None and hi < 0

    def _shape(self, p: fmpq_mpoly) -> tuple[str, fmpq]:
        """A polynomial up to a positive factor, without its constant term, and that term."""
        lead = abs(p.leading_coefficient())
        constant = p.coefficient(len(p) - 1) if p.monomial(len(p) - 1) == (0,) * len(self.tower.vars) else fmpq(0)
        return str((p - constant) / lead), constant / lead

    def sign(self, p: fmpq_mpoly) -> int:
        """The sign that follows at once: from bounds, from facts, or from those of the factors."""
        if p.is_constant():
            value = fmpq(0) if p.is_zero() else p.leading_coefficient()
            return POSITIVE if value > 0 else -POSITIVE if value < 0 else NONNEGATIVE
        key = str(p)
        if key not in self._signs:
            self._signs[key] = self._plain(p) or self._factored(p)
        return self._signs[key]

    def nonzero(self, factor: fmpq_mpoly) -> bool:
        """Whether an irreducible polynomial is at once seen not to be 0."""
        return str(factor) in self.apart or abs(self.sign(factor)) == POSITIVE

    def sign_of(self, q: Quotient) -> int:
        """The sign of a quotient."""
        return product(self.sign(q.n), self.sign(q.d))

    def _plain(self, p: fmpq_mpoly) -> int:
        lo, hi = bounds(self.tower, p)
        if (lo is not None and lo > 0) or (hi is not None and hi < 0):
            return POSITIVE if lo is not None and lo > 0 else -POSITIVE
        for side in (1, -1):
            shape, offset = self._shape(side * p)
            found = self._shapes.get(shape)
            if found is not None and offset >= found[0]:
                return side * (POSITIVE if offset > found[0] or found[1] else NONNEGATIVE)
        signs = [self._monomial(powers, coefficient) for powers, coefficient in p.to_dict().items()]
        if all(sign > 0 for sign in signs) or all(sign < 0 for sign in signs):
            return max(signs, key=abs)
        return NONNEGATIVE if lo is not None and lo >= 0 else -NONNEGATIVE if hi is not None and hi <= 0 else UNKNOWN

    def _monomial(self, powers: tuple[Any, ...], coefficient: fmpq) -> int:
        made = POSITIVE if coefficient > 0 else -POSITIVE
        for place, power in enumerate(powers):
            if power:
                here = self.tower.gens[place].range
                low = here.lo is not None and here.lo >= 0
                high = here.hi is not None and here.hi <= 0
                apart = here.positive or (low and here.lo != 0) or (high and here.hi != 0)
                size = POSITIVE if apart else NONNEGATIVE
                side = 1 if low or here.positive else -1 if high else 0
                made = product(made, size if power % 2 == 0 else side * size)
        return made

    def _factored(self, p: fmpq_mpoly) -> int:
        lead, factors = p.factor()
        if len(factors) == 1 and factors[0][1] == 1:
            return UNKNOWN
        made = POSITIVE if lead > 0 else -POSITIVE
        for factor, power in factors:
            sign = self.sign(factor) if len(factors) > 1 or power > 1 else UNKNOWN
            if power % 2 == 0:
                sign = POSITIVE if abs(sign) == POSITIVE else NONNEGATIVE
            made = product(made, sign)
        return made


def product(a: int, b: int) -> int:
    """The sign of a product."""
    side = (a > 0) - (a < 0) if (b > 0) else (a < 0) - (a > 0) if b < 0 else 0
    return side * min(abs(a), abs(b))
