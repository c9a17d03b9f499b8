"""Polynomials in one variable: their sign on any part of the line, decided exactly by isolating roots."""

import dataclasses
import itertools
from collections.abc import Sequence
from typing import Any

from flint import arb, ctx, fmpq, fmpq_mpoly, fmpz_poly


Step = tuple[list[int], fmpq | None, fmpq | None]


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
    found, seen = None, set[int]()
    walked = _walked(place, [p, *(q for q, _ in region)])
    for signs, point, _ in () if walked is None else walked:
        if _inside(signs[1:], region):
            seen.add(signs[0])
            if signs[0] <= 0 and point is not None:
                found = point
    return None if walked is None else OnLine(frozenset(seen), found)


def rational_points(place: int, region: Sequence[tuple[fmpq_mpoly, bool]]) -> list[fmpq] | None:
    """The points where all of ``region`` is >= 0 (> 0 if marked); None if they are not finitely many rational ones."""
    walked, made = _walked(place, [q for q, _ in region]), list[fmpq]()
    for signs, point, root in () if walked is None else walked:
        if _inside(signs, region):
            if point is not None or root is None:
                return None
            made.append(root)
    return None if walked is None else made


def _inside(signs: Sequence[int], region: Sequence[tuple[fmpq_mpoly, bool]]) -> bool:
    return all(sign > 0 or (sign == 0 and not above) for sign, (_, above) in zip(signs, region, strict=True))


def _walked(place: int, polynomials: Sequence[fmpq_mpoly]) -> list[Step] | None:
    """Along the line: the signs, a point between two roots or None at a root, the root if it is rational."""
    parts = [_signed_factors(one, place) for one in polynomials]
    factors = {str(factor): factor for _, mine in parts for factor, _ in mine}
    roots = _roots(factors)
    if roots is None:
        return None
    points = _between([ball for ball, _ in roots])
    made: list[Step] = [([_sign(part, points[0], None) for part in parts], points[0], None)]
    for root, point in zip(roots, points[1:], strict=True):
        linear = factors[root[1]]
        exact = fmpq(-linear[0], linear[1]) if linear.degree() == 1 else None
        made.append(([_sign(part, root[1], root) for part in parts], None, exact))
        made.append(([_sign(part, point, None) for part in parts], point, None))
    return made


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
