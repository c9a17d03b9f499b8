r"""Exact algebra: rational functions of generators, which are the coordinates and the values of functions.

    Q(g_0, g_1, ...),      g = x_i,  tanh(a),  exp(a),  sqrt(a), ...      a an earlier element,

with the relations that the generators obey (``sqrt(a)^2 = a``, ``cos^2 = 1 - sin^2``, ``cosh^2 (1 - tanh^2) = 1``)
worked in. An element that comes out as 0 is 0 wherever it is defined; one that does not may still be 0 in disguise, so
nothing is ever concluded from an element not being 0. Each generator carries rational bounds of its values.

Arithmetic is python-flint's, over the rationals: no rounding anywhere but in bounds, which are rounded outward.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

from flint import Ordering, arb, fmpq, fmpq_mpoly, fmpq_mpoly_ctx, fmpz


class TowerFull(Exception):
    """More generators are needed than there are places."""


class TooHard(Exception):
    """The algebra gives up; its message says why."""


MOST_TERMS = 4000
"""Polynomials with more terms than this are not worked with."""


@dataclasses.dataclass(frozen=True)
class Quotient:
    """``n / d`` in lowest terms, ``d`` with leading coefficient 1."""

    n: fmpq_mpoly
    d: fmpq_mpoly

    @property
    def key(self) -> str:
        """Equal for equal quotients."""
        return str(self.n) if self.d.is_one() else f"{self.n}|{self.d}"

    @property
    def zero(self) -> bool:
        """Whether it is 0 wherever it is defined."""
        return bool(self.n.is_zero())

    @property
    def constant(self) -> fmpq | None:
        """Its value if it is a rational number."""
        if self.n.is_constant() and self.d.is_one():
            return fmpq(0) if self.n.is_zero() else self.n.leading_coefficient()
        return None


@dataclasses.dataclass
class Range:
    """Bounds of a real number: None is no bound; `positive`: above 0 (which `lo` may not show)."""

    lo: fmpq | None = None
    hi: fmpq | None = None
    positive: bool = False


@dataclasses.dataclass
class Generator:
    """One generator: the function and its arguments, its bounds, and a partner (tanh and cosh, sin and cos)."""

    place: int
    kind: str
    text: str
    args: tuple[Quotient, ...]
    range: Range


class Tower:
    """The generators made so far, and arithmetic with them."""

    def __init__(self, slots: int) -> None:
        self.ring = fmpq_mpoly_ctx.get([f"g{place}" for place in range(slots)], Ordering.degrevlex)
        self.vars = self.ring.gens()
        self.gens: list[Generator] = []
        self.known: dict[str, Generator] = {}
        self.reductions: dict[int, tuple[int, Quotient]] = {}
        self.places: dict[int, int] = {}
        self.one = self.ring.constant(1)

    # Generators

    def generator(self, kind: str, args: tuple[Quotient, ...], text: str, bounds: Callable[[], Range]) -> Generator:
        """The generator of this kind and arguments, made if it is new."""
        key = f"{kind}({','.join(arg.key for arg in args)}){text if not args else ''}"
        if key not in self.known:
            if len(self.gens) == len(self.vars):
                raise TowerFull
            made = Generator(len(self.gens), kind, text, args, bounds())
            self.gens.append(made)
            self.known[key] = made
        return self.known[key]

    def element(self, generator: Generator) -> Quotient:
        """A generator as an element."""
        return Quotient(self.vars[generator.place], self.one)

    def relate(self, generator: Generator, degree: int, value: Quotient) -> None:
        """From now on ``generator^degree`` is ``value``."""
        self.reductions[generator.place] = degree, value

    # Arithmetic

    def const(self, value: Any) -> Quotient:
        """A rational number."""
        return Quotient(self.ring.constant(_rational(value)), self.one)

    def quotient(self, n: fmpq_mpoly, d: fmpq_mpoly) -> Quotient:
        """``n / d`` with the relations worked in and in lowest terms; raises ZeroDivisionError."""
        if d.is_zero():
            raise ZeroDivisionError
        top, bottom = self.reduced(n), self.reduced(d)
        if bottom.n.is_zero():
            raise ZeroDivisionError
        return self._lowest(top.n * bottom.d, top.d * bottom.n)

    def _lowest(self, n: fmpq_mpoly, d: fmpq_mpoly) -> Quotient:
        if n.is_zero():
            return Quotient(n, self.one)
        if not d.is_constant():
            common = n.gcd(d)
            if not common.is_one():
                n, d = n / common, d / common
        lead = d.leading_coefficient()
        if len(n) > MOST_TERMS or len(d) > MOST_TERMS:
            msg = f"a polynomial of {max(len(n), len(d))} terms"
            raise TooHard(msg)
        made = Quotient(n / lead, d / lead)
        if self._reducible(made.n) or self._reducible(made.d):
            return self.quotient(made.n, made.d)
        return made

    def _reducible(self, p: fmpq_mpoly) -> bool:
        if not self.reductions or p.is_zero():
            return False
        degrees = p.degrees()
        return any(degrees[place] >= degree for place, (degree, _) in self.reductions.items())

    def reduced(self, p: fmpq_mpoly) -> Quotient:
        """A polynomial with the relations worked in, the latest generators first."""
        made = Quotient(p, self.one)
        while self._reducible(made.n):
            degrees = made.n.degrees()
            place = max(place for place, (degree, _) in self.reductions.items() if degrees[place] >= degree)
            degree, value = self.reductions[place]
            n, d = self._substituted(made.n, place, degree, value)
            bottom = made.d * d
            common = n.gcd(bottom) if not n.is_zero() else bottom
            made = Quotient(n / common, bottom / common)
        return made

    def folded(self, p: fmpq_mpoly) -> fmpq_mpoly:
        """A polynomial with those relations worked in that keep it one."""
        if not self.reductions or p.is_zero():
            return p
        while True:
            degrees = p.degrees() if not p.is_zero() else ()
            places = [
                place for place, (degree, value) in self.reductions.items()
                if place < len(degrees) and degrees[place] >= degree and value.d.is_one()
            ]  # fmt: skip
            if not places:
                return p
            degree, value = self.reductions[max(places)]
            p = self._substituted(p, max(places), degree, value)[0]

    def _substituted(self, p: fmpq_mpoly, place: int, degree: int, value: Quotient) -> tuple[fmpq_mpoly, fmpq_mpoly]:
        parts: dict[int, dict[tuple[int, ...], fmpq]] = {}
        for powers, coefficient in p.to_dict().items():
            rest = (*powers[:place], powers[place] % degree, *powers[place + 1 :])
            parts.setdefault(powers[place] // degree, {})[rest] = coefficient
        most, made = max(parts), self.ring.constant(0)
        for power, terms in parts.items():
            made += self.ring.from_dict(terms) * value.n**power * value.d ** (most - power)
        return made, value.d**most

    def add(self, a: Quotient, b: Quotient) -> Quotient:
        """``a + b``."""
        if a.d == b.d:
            return self._lowest(a.n + b.n, a.d)
        return self._lowest(a.n * b.d + b.n * a.d, a.d * b.d)

    def neg(self, a: Quotient) -> Quotient:
        """``-a``."""
        return Quotient(-a.n, a.d)

    def sub(self, a: Quotient, b: Quotient) -> Quotient:
        """``a - b``."""
        return self.add(a, self.neg(b))

    def mul(self, a: Quotient, b: Quotient) -> Quotient:
        """``a b``."""
        return self._lowest(a.n * b.n, a.d * b.d)

    def div(self, a: Quotient, b: Quotient) -> Quotient:
        """``a / b``; raises ZeroDivisionError where ``b`` is 0."""
        if b.n.is_zero():
            raise ZeroDivisionError
        return self.quotient(a.n * b.d, a.d * b.n)

    def power(self, a: Quotient, n: int) -> Quotient:
        """``a^n``; raises ZeroDivisionError."""
        if n < 0:
            return self.div(self.const(1), self.power(a, -n))
        if n * max(len(a.n), len(a.d)) > MOST_TERMS:
            msg = f"a power {n} of a polynomial of {max(len(a.n), len(a.d))} terms"
            raise TooHard(msg)
        return self.quotient(a.n**n, a.d**n)

    def scale(self, a: Quotient, factor: Any) -> Quotient:
        """``factor a`` for a rational factor."""
        return self.mul(a, self.const(factor))

    # Words

    def text(self, a: Quotient | fmpq_mpoly) -> str:
        """As one would write it."""
        if isinstance(a, Quotient):
            top = self.text(a.n)
            return top if a.d.is_one() else f"({top})/({self.text(a.d)})"
        if a.is_zero():
            return "0"
        terms = [self._term(powers, coefficient) for powers, coefficient in a.to_dict().items()]
        return " + ".join(terms).replace("+ -", "- ")

    def _term(self, powers: tuple[Any, ...], coefficient: fmpq) -> str:
        factors = [
            self.gens[place].text + (f"**{power}" if power > 1 else "") for place, power in enumerate(powers) if power
        ]
        if not factors:
            return str(coefficient)
        lead = {"1": "", "-1": "-"}.get(str(coefficient), f"{coefficient}*")
        return lead + "*".join(factors)


def _rational(value: Any) -> fmpq:
    if isinstance(value, fmpq):
        return value
    if isinstance(value, int):
        return fmpq(value)
    top, bottom = value.as_integer_ratio()
    return fmpq(int(top), int(bottom))


LARGEST = 1 << 160
"""Numbers above this are not factored."""


def primes(value: fmpq) -> list[tuple[int, int]]:
    """A positive rational number as powers of primes, or of its parts where they are too large."""
    made = []
    for part, side in ((value.p, 1), (value.q, -1)):
        factors = fmpz(part).factor() if part < LARGEST else [(part, 1)]
        made += [(int(prime), side * int(power)) for prime, power in factors if prime != 1]
    return made


# Bounds, in rational numbers that are rounded outward


FAR = 2000  # bits


def below(ball: arb) -> fmpq | None:
    """A rational lower bound of a ball."""
    return None if not ball.is_finite() else _near(ball.lower(), -1)


def above(ball: arb) -> fmpq | None:
    """A rational upper bound of a ball."""
    return None if not ball.is_finite() else _near(ball.upper(), 1)


def _near(end: arb, side: int) -> fmpq | None:
    """The number that an exact ball is, or one further to the side where that would take thousands of digits."""
    mantissa, exponent = (end if end.is_exact() else end.mid()).man_exp()
    shift = int(exponent)
    if abs(shift) < FAR:
        return fmpq(int(mantissa) << shift) if shift >= 0 else fmpq(int(mantissa), 1 << -shift)
    outward = (mantissa > 0) == (side > 0)
    if shift > 0:
        return None if outward else fmpq(side * -(1 << FAR))
    return fmpq(side, 1 << 1000) if outward else fmpq(0)


def bounds(tower: Tower, p: fmpq_mpoly) -> tuple[fmpq | None, fmpq | None]:
    """Bounds of a polynomial from those of its generators, term by term."""
    low: fmpq | None = fmpq(0)
    high: fmpq | None = fmpq(0)
    for powers, coefficient in p.to_dict().items():
        lo, hi = fmpq(1), fmpq(1)
        term: tuple[fmpq | None, fmpq | None] = (lo, hi)
        for place, power in enumerate(powers):
            if power:
                here = tower.gens[place].range
                term = times(term, raised((here.lo, here.hi), int(power)))
        lo_, hi_ = times(term, (coefficient, coefficient))
        low = None if low is None or lo_ is None else low + lo_
        high = None if high is None or hi_ is None else high + hi_
        if low is None and high is None:
            break
    return low, high


Ends = tuple[fmpq | None, fmpq | None]


def raised(a: Ends, power: int) -> Ends:
    """``[a]^power``."""
    lo, hi = a
    if power % 2:
        return None if lo is None else lo**power, None if hi is None else hi**power
    if lo is not None and lo >= 0:
        return lo**power, None if hi is None else hi**power
    if hi is not None and hi <= 0:
        return hi**power, None if lo is None else lo**power
    return fmpq(0), None if lo is None or hi is None else max(lo**power, hi**power)


def times(a: Ends, b: Ends) -> Ends:
    """``[a] [b]``."""
    if a == (0, 0) or b == (0, 0):
        return fmpq(0), fmpq(0)
    products = [_corner(p, s, q, t) for p, s in zip(a, (-1, 1), strict=True) for q, t in zip(b, (-1, 1), strict=True)]
    finite = [value for value, _ in products if value is not None]
    sides = {side for value, side in products if value is None}
    return None if -1 in sides else min(finite), None if 1 in sides else max(finite)


def _corner(p: fmpq | None, s: int, q: fmpq | None, t: int) -> tuple[fmpq | None, int]:
    """One product of ends; an infinite end is None with its sign."""
    if p is not None and q is not None:
        return p * q, 0
    if (p is not None and p == 0) or (q is not None and q == 0):
        return fmpq(0), 0
    signs = (s if p is None else (1 if p > 0 else -1)) * (t if q is None else (1 if q > 0 else -1))
    return None, signs


def quotient_bounds(tower: Tower, a: Quotient) -> Ends:
    """Bounds of an element."""
    top = bounds(tower, a.n)
    if a.d.is_one():
        return top
    lo, hi = bounds(tower, a.d)
    if (lo is None or lo <= 0) and (hi is None or hi >= 0):
        return None, None
    if lo is not None and lo > 0:
        inverse = (fmpq(0) if hi is None else 1 / hi, 1 / lo)
    else:
        assert hi is not None
        inverse = (1 / hi, fmpq(0) if lo is None else 1 / lo)
    return times(top, inverse)
