"""Signs of polynomials in a tower, by what is at hand, cheapest first; each success says in words why.

Facts may be used about a polynomial only if every generator in them is one that the polynomial itself rests on: a fact
about a value that is not defined would prove anything. (The square of ``sqrt(u)`` is ``u``: whoever uses it to show
that ``u`` is not negative has shown nothing.)
"""

import time
from collections.abc import Sequence

from flint import fmpq, fmpq_mpoly

from . import _sos as sos
from ._facts import NONNEGATIVE, POSITIVE, Fact
from ._functions import Functions
from ._line import OnLine, on_line
from ._scaling import Scaling, normal
from ._sos_basis import blocks, groups, variables
from ._tangents import tangents
from ._tower import Quotient


MOST_WORDS = 3000
MOST_TERMS, MOST_DEGREE = 400, 24
"""Polynomials with more are not written as sums of squares."""


class Prover:
    """Shows that polynomials are not negative.

    Arguments:
        functions: the functions with what they know.
        deadline: on time.monotonic().
        deep: whether sums of squares are looked for.
    """

    def __init__(self, functions: Functions, deadline: float, *, deep: bool = True) -> None:
        self.f, self.know, self.t, self.deadline = functions, functions.know, functions.tower, deadline
        self.deep = deep
        self.methods: list[str] = []
        self._tangents: list[Fact] | None = None
        self._radii: dict[str, bool] = {}

    # What may be used

    def closure(self, places: set[int]) -> set[int]:
        """The generators that these rest on."""
        made, stack = set(places), list(places)
        while stack:
            for arg in self.t.gens[stack.pop()].args:
                for place in variables(arg.n, arg.d) - made:
                    made.add(place)
                    stack.append(place)
        return made

    def facts(self, p: fmpq_mpoly) -> list[Fact]:
        """Facts about generators that ``p`` rests on, those of its own variables first."""
        own = variables(p)
        whole = self.closure(own)
        found = [fact for fact in self.know.facts if variables(fact.p) <= whole]
        found += [fact for fact in self._convexity() if variables(fact.p) <= whole]
        return sorted(found, key=lambda fact: (not variables(fact.p) <= own, len(fact.p)))

    @property
    def said(self) -> list[Fact]:
        """Facts that were looked for in addition."""
        return self._tangents or []

    def _convexity(self) -> list[Fact]:
        if self._tangents is None:
            known = len(self.know.facts)
            for q, words in tangents(self.f):
                self.know.learn(q, words)
            self._tangents = self.know.facts[known:]
            del self.know.facts[known:]
        return self._tangents

    def ranges(self, places: set[int]) -> list[Fact]:
        """Bounds of generators as facts, products of both ends first."""
        made = []
        for place in sorted(places):
            here, x, words = self.t.gens[place].range, self.t.vars[place], self.t.gens[place].text
            low = None if here.lo is None else x - here.lo
            high = None if here.hi is None else here.hi - x
            if low is not None and high is not None:
                made.append(Fact(low * high, False, f"{here.lo} <= {words} <= {here.hi}"))
            made += [Fact(low, False, f"{words} >= {here.lo}")] if low is not None else []
            made += [Fact(high, False, f"{words} <= {here.hi}")] if high is not None else []
        return made

    # Signs

    def quotient(self, q: Quotient, *, strict: bool) -> str | None:
        """Why ``q >= 0`` (``q > 0`` if strict)."""
        if q.zero:
            return None if strict else "it is 0"
        if q.d.is_one():
            return self.polynomial(q.n, strict=strict)
        for side in (1, -1):
            why = self.quickly(side * q.d, strict=True) or self.polynomial(side * q.d, strict=True)
            if why is not None:
                found = self.polynomial(side * q.n, strict=strict)
                return None if found is None else f"numerator: {found}; denominator: {why}"
        return self.polynomial(q.n * q.d, strict=strict)

    def quickly(self, p: fmpq_mpoly, *, strict: bool) -> str | None:
        """What follows at once."""
        if self.know.sign(p) >= (POSITIVE if strict else NONNEGATIVE):
            return f"{self.short(p)} {'>' if strict else '>='} 0 by the signs of its parts"
        return None

    def polynomial(self, p: fmpq_mpoly, *, strict: bool) -> str | None:
        """Why ``p >= 0`` (``p > 0`` if strict)."""
        if p.is_zero():
            return None if strict else "it is 0"
        return self.quickly(p, strict=strict) or self._factored(p, strict=strict)

    def _factored(self, p: fmpq_mpoly, *, strict: bool) -> str | None:
        """By the signs of the factors; those of which none is found are taken together."""
        lead, factors = p.factor()
        if len(factors) == 1 and factors[0][1] == 1:
            return self._hard(p, strict=strict)
        side, words, rest = 1 if lead > 0 else -1, [], self.t.one
        for factor, power in factors:
            if power % 2 == 0:
                apart = self.nonzero(factor) if strict else "a square"
                if apart is None:
                    return None
                words.append(f"({self.short(factor)})**{power} ({apart})")
                continue
            found = self._either(factor, strict=strict, deep=len(factors) > 1)
            if found is None:
                rest = rest * factor
            else:
                side *= found[0]
                words.append(found[1])
        if rest.is_one():
            return " and ".join(words) if side > 0 else None
        last = self._hard(side * rest, strict=strict)
        return None if last is None else " and ".join([*words, last])

    def _either(self, p: fmpq_mpoly, *, strict: bool, deep: bool) -> tuple[int, str] | None:
        """The sign of a factor and why, by quick means first."""
        for show in (self.quickly, self._hard) if deep else (self.quickly,):
            for side in (1, -1):
                why = show(side * p, strict=strict)
                if why is not None:
                    return side, why
        return None

    def nonzero(self, p: fmpq_mpoly) -> str | None:
        """Why ``p`` is not 0."""
        _, factors = p.factor()
        words = []
        for factor, _ in factors:
            line = self.line(factor)
            if self.know.nonzero(factor) or (line is not None and 0 not in line.signs):
                words.append(f"{self.short(factor)} != 0")
                continue
            found = self._either(factor, strict=True, deep=True)
            if found is None:
                return None
            words.append(found[1])
        return " and ".join(words) or "a number"

    def _hard(self, p: fmpq_mpoly, *, strict: bool) -> str | None:
        """One irreducible polynomial."""
        own = variables(p)
        found = self.line(p)
        if found is not None:
            if found.above(strict=strict):
                return f"{self.short(p)} {'>' if strict else '>='} 0 by its isolated roots"
            if found.point is not None and self.t.gens[next(iter(own))].kind == "x":
                return None
        why = self._conjugate(p, own, strict=strict)
        if why is not None:
            return why
        return self._separated(p, own) if not strict and len(own) > 1 else self._squares(p, strict=strict)

    def line(self, p: fmpq_mpoly) -> OnLine | None:
        """The signs of a polynomial in one generator, None for others."""
        own = variables(p)
        if len(own) != 1:
            return None
        facts = [fact for fact in (*self.know.facts, *self.ranges(own)) if variables(fact.p) == own]
        return on_line(p, next(iter(own)), [(fact.p, fact.strict) for fact in facts])

    def _conjugate(self, p: fmpq_mpoly, own: set[int], *, strict: bool) -> str | None:
        """``a + b sqrt(u)`` by the sign of ``a^2 - b^2 u``, if one of the two terms is negative."""
        roots = [place for place in own if self.t.gens[place].kind == "sqrt" and p.degrees()[place] == 1]
        if not roots or not self.deep or len(p) > MOST_TERMS:
            return None
        place = max(roots)
        b = p.derivative(place)
        a = p - b * self.t.vars[place]
        _, square = self.t.reductions[place]
        gap = self.t.quotient(a * a * square.d - b * b * square.n, square.d)
        for first, second, side in ((a, -b, 1), (b, -a, -1)):
            if not self._signed_alike(first, second):
                continue
            why = self.quotient(gap if side > 0 else self.t.neg(gap), strict=strict)
            if why is not None:
                return f"{self.short(p)} by its conjugate: {why}"
        return None

    def _signed_alike(self, first: fmpq_mpoly, second: fmpq_mpoly) -> bool:
        """Whether both are not negative, by what is quickly seen or on one line."""
        return all(
            p.is_zero() or self.quickly(p, strict=False) is not None or self._factored(p, strict=False) is not None
            for p in (first, second)
        )

    def _separated(self, p: fmpq_mpoly, own: set[int]) -> str | None:
        """Each group of variables for itself; together if that fails."""
        parts = self._components(p, own)
        if len(parts) > 1:
            words = []
            for part in parts:
                why = self.polynomial(part, strict=False)
                if why is None:
                    break
                words.append(why)
            else:
                return " and ".join(words)
        return self._squares(p, strict=False)

    def _components(self, p: fmpq_mpoly, own: set[int]) -> list[fmpq_mpoly]:
        """Sums of terms that share no variable."""
        pools: list[tuple[set[int], dict]] = []
        for powers, coefficient in p.to_dict().items():
            here, terms = {place for place in own if powers[place]}, {powers: coefficient}
            if not here:
                return [p]
            apart = []
            for places, pool in pools:
                if places & here:
                    here |= places
                    terms |= pool
                else:
                    apart.append((places, pool))
            pools = [*apart, (here, terms)]
        return [self.t.ring.from_dict(terms) for _, terms in pools]

    # Sums of squares

    def _squares(self, p: fmpq_mpoly, *, strict: bool) -> str | None:
        """A certificate by sums of squares with the facts as weights."""
        if not self.deep or len(p) > MOST_TERMS or p.total_degree() > MOST_DEGREE:
            return None
        scale = Scaling(self.t, self.closure(variables(p)))
        for weights, degree, power in self._plans(p, strict=strict):
            if time.monotonic() > self.deadline:
                return None
            why = self._attempt(p, weights, degree, power, strict=strict, scale=scale)
            if why is not None:
                self.methods.append("sum of squares")
                return why
        return None

    def _plans(self, p: fmpq_mpoly, *, strict: bool) -> list[tuple[list[Fact], int | None, int]]:
        """Weights, degree (None: the Newton polytope), power of the multiplier."""
        own = variables(p)
        facts, ranges = self.facts(p), self.ranges(own)
        near = [fact for fact in facts if variables(fact.p) <= own]
        even = _even(p)
        top = max([even, *(_even(fact.p) for fact in near if fact.assumed)])
        plans: list[tuple[list[Fact], int | None, int]] = [([], None, 0), ([*near, *ranges], None, 0)]
        plans += [([*near, *ranges], even, 0)]
        if not strict:
            plans += [([], None, 1), ([], None, 2)]
        if top > even:
            plans.append(([*near, *ranges], top, 0))
        if len(facts) > len(near):
            wide = self.ranges(self.closure(own))
            plans += [
                ([*facts, *ranges], None, 0),
                ([*facts, *wide], max([even, *map(_even, (f.p for f in facts))]), 0),
            ]
        pairs = [a for a in near if a.p.total_degree() <= 2][:6]
        mixed = [
            Fact(a.p * b.p, False, f"({a.text}) times ({b.text})") for i, a in enumerate(pairs) for b in pairs[i + 1 :]
        ]
        if mixed:
            plans.append(([*near, *ranges, *mixed], max([even, *(_even(f.p) for f in mixed)]), 0))
        plans.append(([*near, *ranges], top + 2, 0))
        return plans

    def _attempt(
        self, p: fmpq_mpoly, weights: Sequence[Fact], degree: int | None, power: int, *, strict: bool, scale: Scaling
    ) -> str | None:
        target = p
        if power:
            if p.coefficient(len(p) - 1) < 0 and p.monomial(len(p) - 1) == (0,) * len(self.t.vars):
                return None
            target = p * sum((self.t.vars[place] ** 2 for place in variables(p)), start=0 * p) ** power
        named = [("", self.t.one), *((fact.text, fact.p) for fact in weights)]
        named = [(text, normal(scale.inward(one))) for text, one in named]
        inner = scale.inward(self.t.folded(target))
        size = max(abs(value) for value in inner.coeffs())
        for bonus in self._bonuses(p) if strict else [None]:
            found = self._solve(inner / size, named, degree, None if bonus is None else scale.inward(bonus), scale)
            if found is not None:
                made, delta = found
                if bonus is not None and not delta > 0:
                    return None
                return self._checked(target, made, None if bonus is None else delta * size * bonus, size, scale, power)
        return None

    def _solve(
        self, inner: fmpq_mpoly, named: list, degree: int | None, bonus: fmpq_mpoly | None, scale: Scaling
    ) -> tuple[list[sos.Square], fmpq] | None:
        places = variables(inner, *(one for _, one in named))
        linked = [one for _, one in named if len(variables(one)) > 1]
        cliques = groups([inner, *linked, *([] if bonus is None else [bonus])], sorted(places))
        folded = {place: most for place, (most, value) in self.t.reductions.items() if value.d.is_one()}
        tried: Sequence[Sequence[frozenset[int]]] = [cliques]
        if len(cliques) > 1 and len(places) <= 5:
            tried = [cliques, [frozenset(places)]]
        for chosen in tried:
            bases = blocks(inner, named, chosen or [frozenset()], degree=degree, folded=folded)
            if bases and time.monotonic() < self.deadline:
                found = sos.squares(inner, bases, scale.reduce, self.deadline, bonus=bonus)
                if found is not None:
                    return found
        return None

    def _bonuses(self, p: fmpq_mpoly) -> list[fmpq_mpoly]:
        """Polynomials that are above 0 in the region."""
        made = [self.t.one]
        radius = sum((self.t.vars[place] ** 2 for place in variables(p) if self.t.gens[place].kind == "x"), start=0 * p)
        if not radius.is_zero() and self._apart(radius):
            low = min(sum(map(int, powers)) for powers in p.monoms())
            made += [radius ** (k // 2) for k in {low + low % 2, int(p.total_degree()) // 2 * 2} if k]
        return made

    def _apart(self, radius: fmpq_mpoly) -> bool:
        """Whether the origin is not in the region."""
        key = str(radius)
        if key not in self._radii:
            self._radii[key] = False  # while it is being shown
            self._radii[key] = self.polynomial(radius, strict=True) is not None
        return self._radii[key]

    def _checked(
        self,
        target: fmpq_mpoly,
        made: list[sos.Square],
        bonus: fmpq_mpoly | None,
        size: fmpq,
        scale: Scaling,
        power: int,
    ) -> str | None:
        """The identity in the variables it is about, expanded and compared once more."""
        total = 0 * target if bonus is None else bonus
        words = [] if bonus is None else [f"({self.short(bonus)})"]
        for one in made:
            weight, root, factor = scale.outward(one.weight), scale.outward(one.root), one.factor * size
            if factor < 0:
                return None
            total = total + factor * weight * root**2
            weighted = "" if weight.is_one() else f"*({self.t.text(weight)})"
            words.append(f"{factor}{weighted}*({self.t.text(root)})**2")
        if not self.t.folded(target - total).is_zero():
            return None
        left = f"({self.t.text(target)})" if not power else "times a sum of squares"
        return f"{left} = {' + '.join(words)}"[:MOST_WORDS]

    def short(self, p: fmpq_mpoly) -> str:
        """A polynomial in at most a line."""
        words = self.t.text(p)
        return words if len(words) < 200 else f"{words[:200]}..."


def _even(p: fmpq_mpoly) -> int:
    degree = int(p.total_degree())
    return degree + degree % 2
