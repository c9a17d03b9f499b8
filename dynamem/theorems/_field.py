r"""Exact tests for zero: expressions as fractions over the rationals, with a generator for each function in them.

Exponentials become monomials: their arguments are written in a basis ``b_1, ..., b_k`` that is linearly independent
over the rationals, so that ``exp(sum n_j b_j) = prod E_j^{n_j}`` is exact. ``log`` of products of positive factors is
the sum of their logarithms, a root or a sine is reduced by its square. Two expressions that these relations make the
same fraction are equal wherever both are defined; nothing is ever rounded and nothing is a heuristic.
"""

from collections.abc import Callable, Iterable
from fractions import Fraction
from typing import Any

import sympy
from flint import Ordering, fmpq, fmpq_mat, fmpq_mpoly, fmpq_mpoly_ctx

from .._errors import DynamemError


Expression = Any
"""A SymPy expression; its stubs know too little of what it can do."""


class NotAlgebraicError(DynamemError):
    """An expression in which a function stands that has no exact rule; the message names it."""


class _FinerBasisError(DynamemError):
    """The argument ``place`` of the basis has to be divided by ``by``."""

    def __init__(self, place: int, by: int) -> None:
        self.place, self.by = place, by


class Element:
    """``num / prod_f factor_f^den[f]``, with the factors kept by their field."""

    __slots__ = ("den", "num")

    def __init__(self, num: fmpq_mpoly, den: dict[int, int]) -> None:
        self.num, self.den = num, den


class Field:
    """The field in which some expressions lie.

    Arguments:
        expressions: all that will be asked about.
    """

    def __init__(self, expressions: Iterable[Expression]) -> None:
        symbols, atoms = _leaves(expressions)
        self.symbols = sorted(symbols, key=str)
        self.room = len(self.symbols) + 2 * atoms + 16
        self.scales: dict[int, int] = {}
        self._restart()

    def is_zero(self, expression: Expression) -> bool:
        """Whether the expression is zero by the relations above."""
        for _ in range(32):
            try:
                return bool(self._of(expression).num.is_zero())
            except _FinerBasisError as finer:
                self.scales[finer.place] = self.scales.get(finer.place, 1) * finer.by
                self._restart()
        msg = f"no basis of exponents was found for {expression!s:.80}"
        raise NotAlgebraicError(msg)

    def _restart(self) -> None:
        names = [f"g{place}" for place in range(self.room)]
        self.ring = fmpq_mpoly_ctx.get(names, Ordering.lex)
        self.factors: list[fmpq_mpoly] = list(self.ring.gens())
        self.positive: list[bool] = [False] * self.room
        self.known: dict[Any, Element] = {}
        self.squares: dict[int, Element] = {}
        self.basis: list[tuple[Element, int]] = []
        self.logs: list[tuple[int, int | None]] = []
        self.log_of: dict[Any, int] = {}
        self.used = len(self.symbols)
        for place, symbol in enumerate(self.symbols):
            self.known[symbol] = Element(self.factors[place], {})
            self.positive[place] = bool(symbol.is_positive)

    def _new(self, *, positive: bool = False) -> int:
        if self.used >= self.room:
            msg = "too many functions: a defect of dynamem"
            raise NotAlgebraicError(msg)
        self.positive[self.used] = positive
        self.used += 1
        return self.used - 1

    # Arithmetic

    def _number(self, value: Any) -> Element:
        return Element(self.ring.constant(value), {})

    def _over(self, element: Element, common: dict[int, int]) -> fmpq_mpoly:
        num = element.num
        for factor, power in common.items():
            missing = power - element.den.get(factor, 0)
            if missing:
                num = num * self.factors[factor] ** missing
        return num

    def _common(self, elements: Iterable[Element]) -> dict[int, int]:
        common: dict[int, int] = {}
        for element in elements:
            for factor, power in element.den.items():
                common[factor] = max(power, common.get(factor, 0))
        return common

    def _sum(self, elements: list[Element]) -> Element:
        common = self._common(elements)
        total = self.ring.constant(0)
        for element in elements:
            total = total + self._over(element, common)
        return self._reduced(total, common)

    def _product(self, left: Element, right: Element) -> Element:
        den = dict(left.den)
        for factor, power in right.den.items():
            den[factor] = den.get(factor, 0) + power
        return self._reduced(left.num * right.num, den)

    def _reduced(self, num: fmpq_mpoly, den: dict[int, int]) -> Element:
        if num.is_zero():
            return Element(num, {})
        degrees = num.degrees()
        for root, square in self.squares.items():
            if degrees[root] > 1:
                return self._folded(num, den, root, square)
        left = {}
        for factor, power in den.items():
            while power:
                try:
                    num = num / self.factors[factor]
                except Exception:
                    break
                power -= 1
            if power:
                left[factor] = power
        return Element(num, left)

    def _folded(self, num: fmpq_mpoly, den: dict[int, int], root: int, square: Element) -> Element:
        """Even powers of a root replaced by what it is the root of."""
        parts: dict[int, dict[Any, Any]] = {}
        for monomial, coefficient in num.to_dict().items():
            half, odd = divmod(monomial[root], 2)
            kept = (*monomial[:root], odd, *monomial[root + 1 :])
            parts.setdefault(half, {})[kept] = coefficient
        elements = []
        for half, terms in parts.items():
            element = Element(self.ring.from_dict(terms), dict(den))
            for _ in range(half):
                element = self._product(element, square)
            elements.append(element)
        return self._sum(elements)

    def _inverse(self, element: Element) -> Element:
        num = element.num
        if num.is_zero():
            msg = "division by an expression that is zero"
            raise NotAlgebraicError(msg)
        for root in self.squares:
            if num.degrees()[root] == 1:
                return self._rationalised(element, root)
        top = self.ring.constant(1)
        for factor, power in element.den.items():
            top = top * self.factors[factor] ** power
        scale, parts = self._split(num)
        return self._reduced(top * (1 / scale), parts)

    def _rationalised(self, element: Element, root: int) -> Element:
        """``1/(p + q r) = (p - q r)/(p^2 - q^2 r^2)``."""
        flipped = {m: -c if m[root] else c for m, c in element.num.to_dict().items()}
        other = Element(self.ring.from_dict(flipped), dict(element.den))
        return self._product(other, self._inverse(self._product(element, other)))

    def _split(self, num: fmpq_mpoly) -> tuple[fmpq, dict[int, int]]:
        """A number and powers of factors, new ones where no known one divides."""
        parts: dict[int, int] = {}
        least = [min(column) for column in zip(*num.monoms(), strict=True)]
        for place, power in enumerate(least):
            if power:
                num, parts[place] = num / self.factors[place] ** power, int(power)
        for place in range(self.room, len(self.factors)):
            while not num.is_constant():
                try:
                    num = num / self.factors[place]
                except Exception:
                    break
                parts[place] = parts.get(place, 0) + 1
        scale = fmpq(num.leading_coefficient())
        if not num.is_constant():
            self.factors.append(num * (1 / scale))
            parts[len(self.factors) - 1] = 1
        return scale, parts

    def _power(self, element: Element, power: int) -> Element:
        if power < 0:
            return self._power(self._inverse(element), -power)
        made = self._number(1)
        for _ in range(power):
            made = self._product(made, element)
        return made

    # Expressions

    def _of(self, expression: Expression) -> Element:
        found = self.known.get(expression)
        if found is None:
            found = self.known[expression] = self._made(expression)
        return found

    def _made(self, e: Expression) -> Element:
        if e.is_Rational:
            return self._number(fmpq(int(e.p), int(e.q)))
        if e.is_Add:
            return self._sum([self._of(arg) for arg in e.args])
        if e.is_Mul:
            made = self._number(1)
            for arg in e.args:
                made = self._product(made, self._of(arg))
            return made
        if isinstance(e, sympy.exp):
            return self._exp(self._of(e.args[0]))
        if e.is_Pow:
            return self._raised(*e.args)
        rule = _RULES.get(e.func)
        if rule is not None:
            return rule(self, e)
        if (
            e.is_Symbol
            or e.is_NumberSymbol
            or e.is_Derivative
            or (e.args and all(isinstance(arg, sympy.Expr) for arg in e.args))
        ):
            return self._opaque(e)
        msg = f"{e.func.__name__} in {e!s:.80}"
        raise NotAlgebraicError(msg)

    def _opaque(self, e: Expression) -> Element:
        """A function of which nothing is used: the same one for equal arguments."""
        return Element(self.factors[self._new(positive=bool(e.is_positive))], {})

    def _raised(self, base: Expression, power: Expression) -> Element:
        if power.is_Integer:
            return self._power(self._of(base), int(power))
        if power.is_Rational and power.q == 2:
            return self._power(self._root(self._of(base)), int(power.p))
        return self._exp(self._product(self._of(power), self._log(self._of(base))))

    def _root(self, element: Element) -> Element:
        for root, square in self.squares.items():
            if self._sum([square, self._negative(element)]).num.is_zero():
                return Element(self.factors[root], {})
        made = self._new(positive=True)
        self.squares[made] = element
        return Element(self.factors[made], {})

    def _negative(self, element: Element) -> Element:
        return Element(-element.num, dict(element.den))

    def _wave(self, e: Expression) -> Element:
        """A sine or cosine, a pair of generators with ``S^2 = 1 - C^2``."""
        argument = e.args[0]
        cosine = self.known.get(("cos", argument))
        if cosine is None:
            made = self._new()
            cosine = self.known[("cos", argument)] = Element(self.factors[made], {})
            sine = self._new()
            square = self._negative(self._power(cosine, 2))
            self.squares[sine] = self._sum([self._number(1), square])
            self.known[("sin", argument)] = Element(self.factors[sine], {})
        return cosine if isinstance(e, sympy.cos) else self.known[("sin", argument)]

    # Exponentials and logarithms

    def _exp(self, argument: Element) -> Element:
        if argument.num.is_zero():
            return self._number(1)
        bases = [base for base, _ in self.basis] + [Element(self.factors[gen], {}) for gen, _ in self.logs]
        solved = self._combination(argument, bases)
        if solved is None:
            return self._new_exp(argument)
        made = self._number(1)
        for place, share in enumerate(solved):
            if place < len(self.basis):
                if share.denominator != 1:
                    raise _FinerBasisError(place, share.denominator)
                made = self._product(
                    made, self._power(Element(self.factors[self.basis[place][1]], {}), share.numerator)
                )
            elif share:
                factor = self.logs[place - len(self.basis)][1]
                if share.denominator != 1 or factor is None:
                    return self._new_exp(argument)
                made = self._product(made, self._power(self._factor(factor), share.numerator))
        return made

    def _factor(self, factor: int) -> Element:
        return self._number(-factor) if factor < 0 else Element(self.factors[factor], {})

    def _new_exp(self, argument: Element) -> Element:
        generator, place = self._new(positive=True), len(self.basis)
        scale = self.scales.get(place, 1)
        self.basis.append((self._product(argument, self._number(fmpq(1, scale))), generator))
        return self._power(Element(self.factors[generator], {}), scale)

    def _combination(self, wanted: Element, bases: list[Element]) -> list[Fraction] | None:
        """Rational coefficients of ``wanted`` in ``bases``, None if it is independent of them."""
        common = self._common([wanted, *bases])
        columns = [self._over(one, common).to_dict() for one in (*bases, wanted)]
        rows = sorted({monomial for column in columns for monomial in column})
        flat = [column.get(row, fmpq(0)) for row in rows for column in columns]
        reduced, rank = fmpq_mat(len(rows), len(columns), flat).rref()
        found = [Fraction(0)] * len(bases)
        for row in range(rank):
            entries = [reduced[row, column] for column in range(len(columns))]
            pivot = next(column for column, entry in enumerate(entries) if entry != 0)
            if pivot == len(bases):
                return None
            found[pivot] = Fraction(int(entries[-1].p), int(entries[-1].q))
        return found

    def _log(self, element: Element) -> Element:
        scale, parts = self._split(element.num) if not element.num.is_zero() else (fmpq(0), {})
        powers = dict(parts)
        for factor, power in element.den.items():
            powers[factor] = powers.get(factor, 0) - power
        if scale <= 0 or not all(self._is_positive(factor) for factor in powers):
            return self._whole_log(element)
        terms = [self._product(self._number(power), self._log_factor(factor)) for factor, power in powers.items()]
        for number, sign in ((int(scale.p), 1), (int(scale.q), -1)):
            for prime, power in sympy.factorint(number).items():
                terms.append(self._product(self._number(sign * power), self._log_factor(-prime)))
        return self._sum(terms)

    def _whole_log(self, element: Element) -> Element:
        """The logarithm of what is not seen to be a product of positive factors."""
        for gen, other in self.log_of.items():
            if isinstance(gen, Element) and self._sum([gen, self._negative(element)]).num.is_zero():
                return Element(self.factors[other], {})
        made = self.log_of[element] = self._new()
        return Element(self.factors[made], {})

    def _log_factor(self, factor: int) -> Element:
        """Of a positive factor, or of the prime ``-factor``."""
        for base, generator in self.basis:
            if generator == factor:
                return base
        if factor not in self.log_of:
            self.log_of[factor] = self._new()
            self.logs.append((self.log_of[factor], factor))
        return Element(self.factors[self.log_of[factor]], {})

    def _is_positive(self, factor: int) -> bool:
        """Whether it is seen to be above zero: positive coefficients of positive generators."""
        if factor < self.room:
            return self.positive[factor]
        poly = self.factors[factor]
        free = all(self.positive[place] for place, degree in enumerate(poly.degrees()) if degree)
        return free and all(coefficient > 0 for coefficient in poly.coeffs())


def _tanh(field: Field, e: Expression) -> Element:
    return field._of(1 - 2 / (sympy.exp(2 * e.args[0]) + 1))


_RULES: dict[Any, Callable[[Field, Any], Element]] = {
    sympy.log: lambda field, e: field._log(field._of(e.args[0])),
    sympy.tanh: _tanh,
    sympy.cosh: lambda field, e: field._of((sympy.exp(e.args[0]) + sympy.exp(-e.args[0])) / 2),
    sympy.sinh: lambda field, e: field._of((sympy.exp(e.args[0]) - sympy.exp(-e.args[0])) / 2),
    sympy.cos: Field._wave,
    sympy.sin: Field._wave,
}


def _leaves(expressions: Iterable[Expression]) -> tuple[set[Expression], int]:
    """The symbols, and a bound on the functions."""
    seen, symbols, functions, stack = set(), set(), 0, list(expressions)
    while stack:
        e = stack.pop()
        if e in seen:
            continue
        seen.add(e)
        if e.is_Symbol:
            symbols.add(e)
        elif not (e.is_Add or e.is_Mul or e.is_Rational):
            functions += 1
        stack.extend(e.args)
    return symbols, functions


__all__ = ["Field", "NotAlgebraicError"]
