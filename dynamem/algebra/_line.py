"""Polynomials in one variable: their sign on any part of the line, decided exactly by isolating roots."""

import dataclasses
import itertools
from collections.abc import Sequence
from typing import Any

from flint import arb, ctx, fmpq, fmpq_mpoly, fmpz_poly


@dataclasses.dataclass(frozen=True)
class OnLine:
    """The signs of ``p`` that occur in the region, and a rational point of it at which ``p`` is not above 0."""

    signs: frozenset[int]
    point: fmpq | None

    def above(self, *, strict: bool) -> bool:
        """Whether ``p >= 0`` (``p > 0`` if strict) all over the region."""
        return self.signs <= ({1} if strict else {0, 1})


def on_line(p: fmpq_mpoly, place: int, region: Sequence[tuple[fmpq_mpoly, bool]]) -> OnLine | None:
    """The signs of ``p``, a polynomial in generator ``place`` alone, where all of ``region`` is >= 0 (> 0 if marked).

    None if the roots cannot be told apart.
    """
    parts = [_signed_factors(one, place) for one in (p, *(q for q, _ in region))]
    factors = {str(factor): factor for _, mine in parts for factor, _ in mine}
    roots = _roots(factors)
    if roots is None:
        return None
    inner = [(point, -1) for point in _between([ball for ball, _ in roots])]
    places = [inner[0]]
    for number, (_, name) in enumerate(roots):
        places += [(name, number), inner[number + 1]]
    found, seen = None, set[int]()
    for where, number in places:
        signs = [_sign(part, where, None if number < 0 else roots[number]) for part in parts]
        inside = all(sign > 0 or (sign == 0 and not above) for sign, (_, above) in zip(signs[1:], region, strict=True))
        if inside:
            seen.add(signs[0])
            if signs[0] <= 0 and number < 0:
                found = where
    return OnLine(frozenset(seen), found)


def _signed_factors(p: fmpq_mpoly, place: int) -> tuple[int, list[tuple[fmpz_poly, int]]]:
    """The sign of the leading number and the irreducible factors, as polynomials in one variable."""
    if p.is_zero():
        return 0, []
    lead, factors = p.factor()
    sign, made = (1 if lead > 0 else -1), []
    for factor, power in factors:
        terms = {powers[place]: coefficient for powers, coefficient in factor.to_dict().items()}
        scale = fmpq(1)
        for coefficient in terms.values():
            scale *= coefficient.q
        whole = fmpz_poly([int((terms.get(k, fmpq(0)) * scale).p) for k in range(max(terms) + 1)])
        made.append((whole, int(power)))
    return sign, made


def _roots(factors: dict[str, fmpz_poly]) -> list[tuple[arb, str]] | None:
    """Real roots of distinct irreducible factors in order, as disjoint balls with the name of the factor."""
    before = ctx.prec
    try:
        for precision in (128, 512, 2048):
            ctx.prec = precision
            found = []
            for name, factor in factors.items():
                if factor.degree() > 0:
                    roots: Any = factor.complex_roots()
                    found += [(root.real, name) for root, _ in roots if root.imag == 0]
            found.sort(key=lambda one: _rational(one[0].mid()))
            if all(_ends(a)[1] < _ends(b)[0] for (a, _), (b, _) in itertools.pairwise(found)):
                return found
    finally:
        ctx.prec = before
    return None


def _between(roots: list[arb]) -> list[fmpq]:
    """Rational points left of all roots, between neighbours, right of all."""
    if not roots:
        return [fmpq(0)]
    ends = [_ends(root) for root in roots]
    middles = [_simplest(ends[k][1], ends[k + 1][0]) for k in range(len(ends) - 1)]
    return [ends[0][0] - 1, *middles, ends[-1][1] + 1]


def _ends(root: arb) -> tuple[fmpq, fmpq]:
    """The ends of a ball, exactly and whatever the precision at hand."""
    middle, radius = _rational(root.mid()), _rational(root.rad())
    return middle - radius, middle + radius


def _rational(exact: arb) -> fmpq:
    mantissa, exponent = exact.man_exp()
    return fmpq(int(mantissa)) * fmpq(2) ** int(exponent)


def _simplest(lo: fmpq, hi: fmpq) -> fmpq:
    """A number with few binary digits between two numbers."""
    scale = fmpq(1)
    while True:
        near = fmpq(int(((lo + hi) / 2 * scale).floor())) / scale
        if lo < near < hi:
            return near
        scale *= 2


def _sign(part: tuple[int, list[tuple[fmpz_poly, int]]], where: Any, root: tuple[arb, str] | None) -> int:
    """The sign of a product of factors at a rational point, or at a root of the factor named.

    The balls of all roots are disjoint, so no other factor changes its sign within this one's.
    """
    made, factors = part
    for factor, power in factors:
        if root is not None and str(factor) == where:
            return 0
        value = factor(where if root is None else _ends(root[0])[0])
        side = 1 if value > 0 else -1 if value < 0 else 0
        made *= side if power % 2 else abs(side)
    return made
