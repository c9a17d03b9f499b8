r"""Vectors of polynomials with exact coefficients: what is added, multiplied and cancelled before anything is rounded.

    p_i = sum_k c_ik x^k,      c_ik rationals,  x^k a monomial in scalar atoms, negative powers allowed

An atom is an entry of a line that is defined everywhere; it has negative powers only if it is positive. So sums and
products are identities of real arithmetic that change nothing of where an expression is defined.
"""

from collections.abc import Iterable, Sequence
from fractions import Fraction
from typing import Any

import numpy as np


Atom = tuple[int, int]
"""A line and an entry of it."""
Monomial = tuple[tuple[Atom, int], ...]
"""Atoms with their powers, sorted."""
Terms = dict[Monomial, Fraction]
"""One polynomial; no coefficient is 0. Never changed once made, as vectors share them."""
MOST = 60_000
"""Terms of one vector, and products that one multiplication may take."""


class Polynomials:
    """A vector of polynomials."""

    def __init__(self, entries: Sequence[Terms]) -> None:
        self.entries = entries

    def __len__(self) -> int:
        return len(self.entries)

    @property
    def size(self) -> int:
        """Number of terms."""
        return sum(map(len, self.entries))

    @property
    def constant(self) -> list[Fraction] | None:
        """The coefficients, if no atom occurs."""
        if any(len(entry) > 1 or (entry and () not in entry) for entry in self.entries):
            return None
        return [entry.get((), Fraction(0)) for entry in self.entries]

    def stretched(self, length: int) -> "Polynomials":
        """The same for every one of ``length`` entries."""
        return self if len(self) == length else Polynomials([self.entries[0]] * length)

    def taken(self, index: Iterable[int]) -> "Polynomials":
        """Entries of it."""
        return Polynomials([self.entries[place] for place in index])

    def times(self, monomial: Monomial, factor: Fraction | int = 1) -> "Polynomials":
        """Times a monomial and a number that is not 0."""
        return Polynomials([
            {product(key, monomial): value * factor for key, value in entry.items()} for entry in self.entries
        ])  # fmt: skip

    def shared(self) -> Monomial:
        """The monomial that divides every term."""
        keys = [key for entry in self.entries for key in entry]
        common = dict(keys[0]) if keys else {}
        for key in keys:
            powers = dict(key)
            common = {atom: power for atom, power in common.items() if powers.get(atom) == power}
        return tuple(sorted(common.items()))

    def columns(self) -> dict[Monomial, np.ndarray]:
        """By monomial, its coefficients in all entries (an array of fractions)."""
        found: dict[Monomial, np.ndarray] = {}
        for place, entry in enumerate(self.entries):
            for key, value in entry.items():
                found.setdefault(key, np.zeros(len(self), object))[place] = value
        return found


def fractions(values: Any) -> np.ndarray:
    """Floats as the rationals that they are."""
    array = np.asarray(values).reshape(-1)
    made = np.empty(array.size, object)
    made[:] = [Fraction(value) for value in array.tolist()]
    return made


def product(a: Monomial, b: Monomial) -> Monomial:
    """The product of two monomials."""
    if not a or not b:
        return a or b
    powers = dict(a)
    for atom, power in b:
        powers[atom] = powers.get(atom, 0) + power
    return tuple(sorted((atom, power) for atom, power in powers.items() if power))


def numbers(values: Any) -> Polynomials:
    """Constants."""
    return Polynomials([{(): value} if value else {} for value in fractions(values)])


def atoms(line: int, length: int) -> Polynomials:
    """Each entry of a line as an atom."""
    return Polynomials([{(((line, entry), 1),): Fraction(1)} for entry in range(length)])


def _sum(parts: Iterable[Terms], sign: int = 1) -> Terms:
    """The sum; ``sign`` is that of all but the first."""
    total: Terms = {}
    for place, part in enumerate(parts):
        for key, value in part.items():
            total[key] = total.get(key, 0) + (value if place == 0 else sign * value)
    return {key: value for key, value in total.items() if value}


def added(a: Polynomials, b: Polynomials, sign: int = 1) -> Polynomials:
    """``a + sign b``; one of length 1 goes with every entry of the other."""
    length = max(len(a), len(b))
    pairs = zip(a.stretched(length).entries, b.stretched(length).entries, strict=True)
    return Polynomials([_sum(pair, sign) for pair in pairs])


def multiplied(a: Polynomials, b: Polynomials) -> Polynomials | None:
    """The product entry by entry; None if it is too long."""
    length = max(len(a), len(b))
    pairs = list(zip(a.stretched(length).entries, b.stretched(length).entries, strict=True))
    if sum(len(left) * len(right) for left, right in pairs) > MOST:
        return None
    return Polynomials([_product(*pair) for pair in pairs])


def _product(left: Terms, right: Terms) -> Terms:
    total: Terms = {}
    for one, value in left.items():
        for other, factor in right.items():
            key = product(one, other)
            total[key] = total.get(key, 0) + value * factor
    return {key: value for key, value in total.items() if value}


def joined(parts: Iterable[Polynomials]) -> Polynomials:
    """Laid end to end."""
    return Polynomials([entry for part in parts for entry in part.entries])


def summed(p: Polynomials, size: int) -> Polynomials:
    """Sums of runs of ``size`` neighbours."""
    return Polynomials([_sum(p.entries[start : start + size]) for start in range(0, len(p), size)])


def weighted(p: Polynomials, weights: Any, shape: tuple[int, int, int, int], side: int) -> Polynomials:
    """Products of matrices, ``p`` the left one (``side`` 0) or the right one (1), of constants the other."""
    b, m, _, n = shape
    entries: list[Terms] = [{} for _ in range(b * m * n)]
    for key, value in p.columns().items():
        whole = matrix_product(*((value, weights) if side == 0 else (weights, value)), shape)
        for place in np.flatnonzero(whole).tolist():
            entries[place][key] = whole[place]
    return Polynomials(entries)


def matrix_product(left: Any, right: Any, shape: tuple[int, int, int, int]) -> np.ndarray:
    """Products of matrices of constants, exactly: in whole numbers over one denominator."""
    b, m, k, n = shape
    (x, one), (y, other) = _whole(left), _whole(right)
    made = np.matmul(x.reshape(b, m, k), y.reshape(b, k, n)).reshape(-1)
    found = np.empty(made.size, object)
    found[:] = [Fraction(value, one * other) for value in made.tolist()]
    return found


def _whole(values: Any) -> tuple[np.ndarray, int]:
    """Whole numbers, and what they are over."""
    ratios = [value.as_integer_ratio() for value in np.asarray(values).reshape(-1).tolist()]
    scale = max((bottom for _, bottom in ratios), default=1)
    if any(scale % bottom for _, bottom in ratios):
        scale = int(np.lcm.reduce(np.asarray([bottom for _, bottom in ratios], object)))
    made = np.empty(len(ratios), object)
    made[:] = [top * (scale // bottom) for top, bottom in ratios]
    return made, scale
