r"""Functions of elements: which generator stands for a value, what is known of it, and the identities that unify them.

    cosh(a) = C, sinh(a) = C T, tanh(a) = T with C^2 (1 - T^2) = 1,      logistic(a) = (1 + tanh(a/2))/2,
    exp(k a) = E^m for all rational multiples k,      log(u v) = log u + log v for u, v > 0,
    log cosh(a) its own generator,      sqrt(u v^2) = |v| sqrt(u),      softmax and log-sum-exp of differences.

With ``split`` the exponential is the only function of its family (``tanh(a) = (E^2 - 1)/(E^2 + 1)``), and ``exp`` and
the circular functions of a sum are taken apart by their addition theorems.
"""

from collections.abc import Callable
from typing import Any

from flint import arb, fmpq, fmpq_mpoly

from ._facts import NONNEGATIVE, POSITIVE, Knowledge
from ._tower import Ends, Quotient, Range, TooHard, above, below, primes, quotient_bounds


class Rebase(Exception):
    """A smaller multiple of an exponent came up: the algebra starts again with the new base."""


class Split(Exception):
    """A case distinction is needed: whether ``q`` is below 0 ("lt"), is at most 0 ("le"), is 0 ("eq")."""

    def __init__(self, kind: str, q: Quotient, text: str) -> None:
        self.kind, self.q, self.text = kind, q, text
        self.duties: frozenset[tuple[str, str]] = frozenset()


class Undefined(Exception):
    """A value that is defined nowhere in the case at hand."""


MOST_POWER = 64


class Functions:
    """Functions of elements over one tower.

    Arguments:
        know: the tower's facts; the functions add what holds of each new generator.
        bases: for each exponent up to a factor the least multiple that has come up; shared between attempts.
        assumed: the case at hand: answers of `decide`, by kind and text.
        split: whether exponentials and circular functions are taken apart.
    """

    def __init__(
        self, know: Knowledge, bases: dict[str, fmpq], assumed: dict[tuple[str, str], bool], *, split: bool
    ) -> None:
        self.know, self.tower, self.bases, self.assumed, self.split = know, know.tower, bases, assumed, split
        self.duties: dict[tuple[str, str], Quotient] = {}
        self.pending: set[tuple[str, str]] = set()

    # What has to hold for a value to exist

    def need(self, kind: str, q: Quotient) -> None:
        """Remember that ``q`` must be "nonzero", "positive" or "nonnegative" for the value to be defined."""
        sign = self.know.sign_of(q)
        met = {"nonzero": abs(sign) == POSITIVE, "positive": sign == POSITIVE, "nonnegative": sign > 0}[kind]
        if q.zero or q.constant is not None:
            value = q.constant or fmpq(0)
            met = {"nonzero": value != 0, "positive": value > 0, "nonnegative": value >= 0}[kind]
            if not met:
                raise Undefined
        if not met:
            self.duties[kind, q.key] = q
            self.pending.add((kind, q.key))

    def divide(self, a: Quotient, b: Quotient) -> Quotient:
        """``a / b`` where ``b`` is not 0."""
        self.need("nonzero", b)
        return self.tower.div(a, b)

    def decide(self, kind: str, q: Quotient) -> bool:
        """Whether ``q < 0`` ("lt"), ``q <= 0`` ("le"), ``q = 0`` ("eq"); asks for a case distinction if it is open."""
        if q.zero:
            return kind != "lt"
        words = self.tower.text(q)
        if (kind, words) in self.assumed:
            return self._assume(kind, q, words)
        sign = self.know.sign_of(q)
        if kind == "eq":
            if abs(sign) == POSITIVE:
                return False
        elif sign == -POSITIVE or (kind == "le" and sign == -NONNEGATIVE):
            return True
        elif sign == POSITIVE or (kind == "lt" and sign == NONNEGATIVE):
            return False
        raise Split(kind, q, words)

    def _assume(self, kind: str, q: Quotient, words: str) -> bool:
        """The answer in the case at hand, which from now on is a fact."""
        answer, learn = self.assumed[kind, words], self.know.learn
        if kind == "eq":
            if answer:
                learn(q, f"{words} = 0", assumed=True)
                learn(self.tower.neg(q), f"{words} = 0", assumed=True)
            else:
                self.know.set_apart(q.n)
        elif answer:
            learn(self.tower.neg(q), f"{words} {'<' if kind == 'lt' else '<='} 0", strict=kind == "lt", assumed=True)
        else:
            learn(q, f"{words} {'>=' if kind == 'lt' else '>'} 0", strict=kind == "le", assumed=True)
        return answer

    def magnitude(self, q: Quotient) -> Quotient:
        """``|q|``."""
        sign = self.know.sign_of(q)
        if sign:
            return q if sign > 0 else self.tower.neg(q)
        return self.tower.neg(q) if self.decide("le", q) else q

    # The family of the exponential

    def exp(self, q: Quotient) -> Quotient:
        """``exp(q)``."""
        t = self.tower
        if q.zero:
            return t.const(1)
        made, rest = self._without_logs(q)
        pieces = [rest]
        if self.split and rest.d.is_one():
            pieces = [Quotient(t.ring.from_dict({m: c}), t.one) for m, c in rest.n.to_dict().items()]
        for piece in pieces:
            if not piece.zero:
                made = t.mul(made, self._exp_of(piece))
        return made

    def _without_logs(self, q: Quotient) -> tuple[Quotient, Quotient]:
        """``exp(q) = u^c exp(rest)`` for terms ``c log u`` with whole or half ``c``."""
        t, made, rest = self.tower, self.tower.const(1), q
        if not q.d.is_one():
            return made, q
        for powers, coefficient in q.n.to_dict().items():
            places = [place for place, power in enumerate(powers) if power]
            if len(places) == 1 and powers[places[0]] == 1 and coefficient.q <= 2 and abs(coefficient.p) <= MOST_POWER:
                found = t.gens[places[0]]
                if found.kind in ("log", "logcosh"):
                    base = found.args[0] if found.kind == "log" else self.cosh(found.args[0])
                    base = base if coefficient.q == 1 else self.sqrt(base)
                    made = t.mul(made, t.power(base, int(coefficient.p)))
                    rest = t.sub(rest, t.scale(t.element(found), coefficient))
        return made, rest

    def _exp_of(self, q: Quotient) -> Quotient:
        t = self.tower
        factor, primitive = self.primitive(q)
        base = self.base("exp", primitive, factor)
        power = factor / base
        exponent = t.scale(primitive, base)
        found = t.generator(
            "exp", (exponent,), f"exp({t.text(exponent)})", lambda: self.range_of(arb.exp, exponent, fmpq(0))
        )
        found.range.positive = True
        made = t.element(found)
        self.know.learn(made, f"{found.text} > 0", strict=True)
        self.know.learn(t.sub(t.sub(made, t.const(1)), exponent), f"{found.text} >= 1 + its exponent")
        return t.power(made, int(power.p))

    def primitive(self, q: Quotient) -> tuple[fmpq, Quotient]:
        """``q = factor * primitive`` where the primitive one has coprime whole coefficients and a positive lead."""
        content = fmpq(0)
        for coefficient in q.n.coeffs():
            content = content.gcd(coefficient)
        content = content if q.n.leading_coefficient() > 0 else -content
        return content, Quotient(q.n / content, q.d)

    def base(self, kind: str, primitive: Quotient, factor: fmpq) -> fmpq:
        """The least multiple of an argument that has come up; raises `Rebase` where a smaller one is needed."""
        key = f"{kind}({self.tower.text(primitive)})"
        known = self.bases.get(key)
        if known is None:
            self.bases[key] = abs(factor)
            return abs(factor)
        if (factor / known).q != 1:
            self.bases[key] = known.gcd(factor)
            raise Rebase
        if abs((factor / known).p) > MOST_POWER:
            msg = f"powers {factor / known} of one exponential"
            raise TooHard(msg)
        return known

    def range_of(
        self, function: Callable[[arb], arb], q: Quotient, lo: fmpq | None = None, hi: fmpq | None = None
    ) -> Range:
        """Bounds of an increasing function of ``q``; `lo` and `hi` bound it everywhere."""
        ends: Ends = quotient_bounds(self.tower, q)
        low = below(function(arb(ends[0]))) if ends[0] is not None else None
        high = above(function(arb(ends[1]))) if ends[1] is not None else None
        low = lo if low is None or (lo is not None and low < lo) else low
        high = hi if high is None or (hi is not None and high > hi) else high
        return Range(low, high)

    def signed(self, q: Quotient) -> tuple[int, Quotient]:
        """A side and an element with a positive leading number: ``q = side * element``."""
        return (1, q) if q.n.leading_coefficient() > 0 else (-1, self.tower.neg(q))

    def tanh(self, q: Quotient) -> Quotient:
        """``tanh(q)``."""
        t = self.tower
        if q.zero:
            return q
        if self.split:
            e = self.exp(t.scale(q, 2))
            return t.div(t.sub(e, t.const(1)), t.add(e, t.const(1)))
        side, a = self.signed(q)
        return t.scale(self._hyperbolic(a)[0], side)

    def cosh(self, q: Quotient) -> Quotient:
        """``cosh(q)``."""
        t = self.tower
        if q.zero:
            return t.const(1)
        if self.split:
            e = self.exp(q)
            return t.scale(t.add(e, t.power(e, -1)), fmpq(1, 2))
        return self._hyperbolic(self.signed(q)[1])[1]

    def sinh(self, q: Quotient) -> Quotient:
        """``sinh(q)``."""
        t = self.tower
        if q.zero:
            return q
        if self.split:
            e = self.exp(q)
            return t.scale(t.sub(e, t.power(e, -1)), fmpq(1, 2))
        return t.mul(self.tanh(q), self.cosh(q))

    def logistic(self, q: Quotient) -> Quotient:
        """``1/(1 + exp(-q))``."""
        t = self.tower
        if self.split:
            e = self.exp(q)
            return t.div(e, t.add(e, t.const(1)))
        return t.scale(t.add(t.const(1), self.tanh(t.scale(q, fmpq(1, 2)))), fmpq(1, 2))

    def _hyperbolic(self, a: Quotient) -> tuple[Quotient, Quotient]:
        """Generators for ``tanh(a)`` and ``cosh(a)``."""
        t, words = self.tower, self.tower.text(a)
        if (found := t.known.get(f"tanh({a.key})")) is not None:
            return t.element(found), t.element(t.known[f"cosh({a.key})"])
        one = t.const(1)
        first = t.generator("tanh", (a,), f"tanh({words})", lambda: self.range_of(arb.tanh, a, fmpq(-1), fmpq(1)))
        tanh = t.element(first)
        self.know.learn(t.sub(one, tanh), f"tanh({words}) < 1", strict=True)
        self.know.learn(t.add(one, tanh), f"tanh({words}) > -1", strict=True)
        second = t.generator("cosh", (a,), f"cosh({words})", lambda: self._even_range(arb.cosh, a, 1))
        second.range.positive = True
        t.relate(second, 2, t.power(t.sub(one, t.power(tanh, 2)), -1))
        self.odd_facts(a, tanh, f"tanh({words})")
        return tanh, t.element(second)

    def odd_facts(self, a: Quotient, f: Quotient, words: str) -> None:
        """An odd increasing function between 0 and its argument."""
        t, learn = self.tower, self.know.learn
        learn(t.mul(a, f), f"{words} has its argument's sign")
        learn(t.mul(a, t.sub(a, f)), f"|{words}| is at most its argument's size")
        learn(t.mul(f, t.sub(a, f)), f"|{words}| is at most its argument's size")

    def _even_range(self, function: Callable[[arb], arb], q: Quotient, least: int) -> Range:
        lo, hi = quotient_bounds(self.tower, q)
        high = None if lo is None or hi is None else above(function(arb(max(abs(lo), abs(hi)))))
        low = max(lo or fmpq(0), -(hi or fmpq(0)), fmpq(0))
        return Range(max(below(function(arb(low))) or fmpq(least), fmpq(least)), high)

    # Logarithms and roots

    def log(self, q: Quotient) -> Quotient:
        """``log(q)`` where ``q > 0``: a sum over the factors whose signs are known."""
        self.need("positive", q)
        t, made, rest = self.tower, self.tower.const(0), self.tower.const(1)
        lead, factors = self._factors(q)
        sign = 1
        for factor, power in factors:
            side = self.know.sign(factor)
            piece = Quotient(factor, t.one)
            if abs(side) != POSITIVE:
                rest = t.mul(rest, t.power(piece, power))
                continue
            sign = sign if power % 2 == 0 or side > 0 else -sign
            made = t.add(made, t.scale(self._log_of(piece if side > 0 else t.neg(piece)), power))
        if rest.constant is None:
            side = 1 if lead * sign > 0 else -1
            return t.add(t.add(made, self._log_of(t.scale(rest, side))), self._log_number(abs(lead)))
        return t.add(made, self._log_number(lead * sign * rest.constant))

    def _factors(self, q: Quotient) -> tuple[fmpq, list[tuple[fmpq_mpoly, int]]]:
        lead, top = q.n.factor()
        bottom_lead, bottom = q.d.factor()
        factors = [(factor, int(power)) for factor, power in top] + [(factor, -int(power)) for factor, power in bottom]
        return fmpq(lead) / fmpq(bottom_lead), factors

    def _log_number(self, value: fmpq) -> Quotient:
        """Of a rational number, by its primes."""
        t, made = self.tower, self.tower.const(0)
        if value <= 0:
            raise Undefined
        for prime, power in primes(value):
            made = t.add(made, t.scale(self._log_of(t.const(prime)), power))
        return made

    def _log_of(self, u: Quotient) -> Quotient:
        t = self.tower
        if len(u.n) == 1 and u.d.is_one() and u.constant is None:
            places = [place for place, power in enumerate(u.n.monomial(0)) if power]
            if len(places) == 1 and u.n.leading_coefficient() == 1 and u.n.total_degree() == 1:
                base = t.gens[places[0]]
                if base.kind == "exp":
                    return base.args[0]
                if base.kind == "cosh":
                    return self._log_cosh(base.args[0])
                if base.kind == "sqrt":
                    return t.scale(self.log(base.args[0]), fmpq(1, 2))
        found = t.generator("log", (u,), f"log({t.text(u)})", lambda: self._log_range(u))
        made = t.element(found)
        if u.constant is None:
            self.know.learn(t.sub(t.sub(u, t.const(1)), made), f"{found.text} <= its argument - 1")
            self.know.learn(t.add(t.sub(t.mul(u, made), u), t.const(1)), f"{found.text} >= 1 - 1/its argument")
        return made

    def _log_range(self, u: Quotient) -> Range:
        lo, hi = quotient_bounds(self.tower, u)
        low = below(arb(lo).log()) if lo is not None and lo > 0 else None
        return Range(low, above(arb(hi).log()) if hi is not None and hi > 0 else None)

    def _log_cosh(self, a: Quotient) -> Quotient:
        t, words = self.tower, f"log(cosh({self.tower.text(a)}))"
        made = t.element(t.generator("logcosh", (a,), words, lambda: self._even_range(lambda x: x.cosh().log(), a, 0)))
        slope, learn = t.mul(a, self.tanh(a)), self.know.learn
        learn(t.sub(slope, made), f"{words} is convex and 0 at 0")
        learn(t.sub(t.scale(made, 2), slope), f"{words} is at least half its tangent")
        learn(t.sub(t.scale(t.power(a, 2), fmpq(1, 2)), made), f"{words} is at most half a square")
        return made

    def sqrt(self, q: Quotient) -> Quotient:
        """``sqrt(q)`` where ``q >= 0``."""
        self.need("nonnegative", q)
        t = self.tower
        if q.zero:
            return q
        lead, factors = self._factors(q)
        inside = t.const(1)
        for factor, power in factors:
            if power % 2:
                inside = t.mul(inside, Quotient(factor, t.one))
        if inside.constant is not None:
            return t.mul(self._outside(factors), self._root_number(lead))
        inside = t.scale(inside, 1 if lead > 0 else -1)
        if self.know.sign_of(inside) <= 0 and any(power > 1 and not self.know.nonzero(one) for one, power in factors):
            return self._root(q)  # where a square factor is 0 the rest may be negative
        return t.mul(t.mul(self._outside(factors), self._root(inside)), self._root_number(abs(lead)))

    def _outside(self, factors: list[tuple[fmpq_mpoly, int]]) -> Quotient:
        """The root of the squares among the factors."""
        t, made = self.tower, self.tower.const(1)
        for factor, power in factors:
            piece, half = Quotient(factor, t.one), power // 2
            if half:
                made = t.mul(made, t.power(piece if half % 2 == 0 else self.magnitude(piece), half))
        return made

    def _root(self, u: Quotient) -> Quotient:
        t = self.tower
        found = t.generator("sqrt", (u,), f"sqrt({t.text(u)})", lambda: self._root_range(u))
        t.relate(found, 2, u)
        made = t.element(found)
        self.know.learn(made, f"{found.text} >= 0", strict=found.range.positive)
        return made

    def _root_range(self, u: Quotient) -> Range:
        lo, hi = quotient_bounds(self.tower, u)
        low = below(arb(lo).sqrt()) if lo is not None and lo > 0 else fmpq(0)
        high = above(arb(hi).sqrt()) if hi is not None and hi >= 0 else None
        return Range(low, high, self.know.sign_of(u) == POSITIVE)

    def _root_number(self, value: fmpq) -> Quotient:
        """Of a rational number, by its primes."""
        t, made = self.tower, self.tower.const(1)
        if value <= 0:
            raise Undefined
        for prime, power in primes(value):
            whole, odd = divmod(power, 2)
            made = t.mul(made, t.power(t.const(prime), whole))
            made = t.mul(made, self._root(t.const(prime))) if odd else made
        return made

    # What is asked of a real number or of several

    def opaque(self, kind: str, args: tuple[Quotient, ...], bounds: Callable[[], Any]) -> Quotient:
        """A generator of which only bounds are known."""
        words = ", ".join(self.tower.text(arg) for arg in args)
        return self.tower.element(self.tower.generator(kind, args, f"{kind}({words})", bounds))
