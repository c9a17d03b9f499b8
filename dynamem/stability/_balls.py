r"""The same operator in Arb, on one box at a time: what it says is what is certified.

Ends of boxes are floats and exact. python-flint does the arithmetic with its own proved bounds, the inverse of the
middle Jacobian is any matrix of floats, so that nothing here rests on NumPy. Eigenvalues are enclosed by Arb
(`acb_mat.eig`) or by Gershgorin's discs, from which the index of a zero is read.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from flint import acb, acb_mat, arb, arb_mat, ctx
from scipy.linalg import schur

from ..programs import BALL, Mark, Program, prepared, slopes


PRECISION, FINE = 80, 160
"""Bits for boxes, and for the last digits of a zero."""
SCHUR = 12
"""Bits by which entries above the diagonal are scaled down, for each place they are away from it."""
TIGHTER, CUTS = 12, 6
"""Times a zero's box is contracted, and how often a box is halved before Arb gives it up."""


class Precision:
    """Arb's working precision inside a ``with``; it is the caller's again at the end."""

    def __init__(self, bits: int) -> None:
        self.bits, self.before = bits, 0

    def __enter__(self) -> None:
        self.before, ctx.prec = ctx.prec, self.bits

    def __exit__(self, *error: object) -> None:
        ctx.prec = self.before


class Balls:
    """Krawczyk's operator of one program in Arb at some precision."""

    def __init__(self, program: Program, bits: int = PRECISION) -> None:
        self.bits, self.size = bits, program.nodes[program.inputs[0]].length
        with Precision(bits):
            self.values, self.slopes = prepared(program, BALL), prepared(slopes(program), BALL)

    def value(self, ends: Sequence[Any]) -> list[arb] | None:
        """``F`` on a box of pairs of exact ends, None where it may be undefined."""
        return _balls(self.values([list(ends)])[0])

    def jacobian(self, ends: Sequence[Any]) -> arb_mat | None:
        """``J`` on it."""
        entries = _balls(self.slopes([list(ends)])[0])
        return None if entries is None else arb_mat(self.size, self.size, entries)

    def operate(self, ends: Sequence[Any]) -> tuple[list[arb], list[arb]] | None:
        """``K(X)``, and ``F(m) + J(X) (X - m)``, None where they are not known."""
        jacobian, n = self.jacobian(ends), self.size
        middle = [((lo + hi) / 2).mid() for lo, hi in ends]
        value = self.value([(one, one) for one in middle])
        if jacobian is None or value is None:
            return None
        floats = np.asarray([float(one.mid()) for one in jacobian.entries()]).reshape(n, n)
        if not np.all(np.isfinite(floats)) or np.linalg.matrix_rank(floats) < n:
            return None
        inverse = arb_mat(n, n, [arb(one) for one in np.linalg.inv(floats).ravel().tolist()])
        away = arb_mat(n, 1, [(lo - m).union(hi - m) for (lo, hi), m in zip(ends, middle, strict=True)])
        at, one = arb_mat(n, 1, value), arb_mat(n, n, [arb(int(i == j)) for i in range(n) for j in range(n)])
        mapped = arb_mat(n, 1, middle) - inverse * at + (one - inverse * jacobian) * away
        return mapped.entries(), (at + jacobian * away).entries()

    def single(self, box: np.ndarray) -> bool:
        """Whether a box (D, 2) holds exactly one zero, by ``K(X)`` in its interior."""
        with Precision(self.bits):
            ends = exact(box)
            found = self.operate(ends)
            return found is not None and accepted(found[0], ends)

    def free(self, box: np.ndarray, cuts: int = CUTS) -> bool:
        """Whether a box holds no zero and ``F`` is defined all over it; it may be halved to see that."""
        with Precision(self.bits):
            return self._free(box, cuts)

    def _free(self, box: np.ndarray, cuts: int) -> bool:
        ends = exact(box)
        value = self.value(ends)
        if value is not None:
            if any(one > 0 or one < 0 for one in value):
                return True
            found = self.operate(ends)
            if found is not None:
                apart = (bool(k < lo or k > hi) for k, (lo, hi) in zip(found[0], ends, strict=True))
                if any(apart) or any(one > 0 or one < 0 for one in found[1]):
                    return True
        if not cuts:
            return False
        axis = int(np.argmax(box[:, 1] - box[:, 0]))
        first, second = box.copy(), box.copy()
        first[axis, 1] = second[axis, 0] = 0.5 * (box[axis, 0] + box[axis, 1])
        return self._free(first, cuts - 1) and self._free(second, cuts - 1)

    def shrinks(self, box: np.ndarray, kept: np.ndarray) -> bool:
        """Whether every zero in a box lies in a part of it, and ``F`` is defined all over the box."""
        with Precision(self.bits):
            ends = exact(box)
            found = self.operate(ends) if self.value(ends) is not None else None
            if found is not None and all(
                (low == end[0] or k > low) and (high == end[1] or k < high)
                for k, end, (low, high) in zip(found[0], ends, exact(kept), strict=True)
            ):
                return True
            return all(self._free(slab, CUTS) for slab in slabs(box, kept))

    def tightened(self, box: np.ndarray) -> list[tuple[arb, arb]]:
        """A box with exactly one zero, contracted around it."""
        with Precision(self.bits):
            ends = exact(box)
            for _ in range(TIGHTER):
                found = self.operate(ends)
                if found is None:
                    break
                ends = [_met(k, lo, hi) for k, (lo, hi) in zip(found[0], ends, strict=True)]
            return ends

    def index(self, ends: Sequence[tuple[arb, arb]], *, is_map: bool) -> int | None:
        """Unstable directions of the one zero in a box, None where an eigenvalue may be at the edge of stability."""
        with Precision(self.bits):
            jacobian = self.jacobian(ends)
            if jacobian is None:
                return None
            discs = _eigenvalues(jacobian) or _discs(jacobian)
            growth = [abs(1 + one) - 1 if is_map else one.real for one in discs]
            known = all(bool(one > 0 or one < 0) for one in growth)
            return sum(bool(one > 0) for one in growth) if discs and known else None


def _eigenvalues(matrix: arb_mat) -> list[acb]:
    """Arb's enclosures of all eigenvalues, none where it finds no eigenvectors."""
    try:
        return acb_mat(matrix).eig(multiple=True)
    except (ValueError, ZeroDivisionError, ArithmeticError):
        return []


def _discs(matrix: arb_mat) -> list[acb]:
    """Gershgorin's discs after a change of basis to Schur's, in which what is above the diagonal is scaled down.

    As many eigenvalues lie in a union of discs that is apart from the others as it has discs, so that they may be
    counted where none is across the edge of stability; matrices without a basis of eigenvectors have them too.
    """
    n = matrix.nrows()
    floats = np.asarray([float(one.mid()) for one in matrix.entries()]).reshape(n, n)
    if not np.all(np.isfinite(floats)):
        return []
    basis = np.asarray(schur(floats, output="complex")[1])
    scaled = basis * (2.0 ** (-SCHUR * np.arange(n)))[None]
    change = acb_mat(n, n, [acb(one.real, one.imag) for one in scaled.ravel().tolist()])
    try:
        found = (change.inv() * acb_mat(matrix) * change).table()
    except ZeroDivisionError:
        return []
    made = []
    for row, entries in enumerate(found):
        reach = sum((abs(one) for place, one in enumerate(entries) if place != row), arb(0)).upper()
        made.append(entries[row] + acb(arb(0, reach), arb(0, reach)))
    return made


def accepted(mapped: Sequence[arb], ends: Sequence[tuple[arb, arb]]) -> bool:
    """Whether ``K(X)`` lies in the interior of ``X``."""
    return all(bool(k > lo) and bool(k < hi) for k, (lo, hi) in zip(mapped, ends, strict=True))


def exact(box: np.ndarray) -> list[tuple[arb, arb]]:
    """Rows (lo, hi) as exact ends."""
    return [(arb(lo), arb(hi)) for lo, hi in box.tolist()]


def outer(ends: Sequence[tuple[arb, arb]]) -> np.ndarray:
    """Floats (D, 2) that hold exact ends, next to them."""
    rows = [(float(lo.lower().mid()), float(hi.upper().mid())) for lo, hi in ends]
    made = np.asarray(rows)
    low = [bool(arb(one) > lo) for one, (lo, _) in zip(made[:, 0].tolist(), ends, strict=True)]
    high = [bool(arb(one) < hi) for one, (_, hi) in zip(made[:, 1].tolist(), ends, strict=True)]
    made[:, 0] = np.where(low, np.nextafter(made[:, 0], -np.inf), made[:, 0])
    made[:, 1] = np.where(high, np.nextafter(made[:, 1], np.inf), made[:, 1])
    return made


def slabs(box: np.ndarray, kept: np.ndarray) -> list[np.ndarray]:
    """What is left of a box without a part of it, as boxes."""
    made, rest = [], box.copy()
    for axis in range(len(box)):
        for side, (low, high) in enumerate(((rest[axis, 0], kept[axis, 0]), (kept[axis, 1], rest[axis, 1]))):
            if high > low:
                slab = rest.copy()
                slab[axis] = low, high
                made.append(slab)
                rest[axis, side] = kept[axis, side]
    return made


def _met(k: arb, lo: arb, hi: arb) -> tuple[arb, arb]:
    """The part of an interval that a ball meets, with exact ends."""
    low, high = (end if end.is_exact() else end.mid() for end in (k.lower(), k.upper()))
    return (low if low > lo else lo), (high if high < hi else hi)


def _balls(entries: Sequence[Any]) -> list[arb] | None:
    if any(isinstance(entry, Mark) for entry in entries):
        return None
    return [lo if lo is hi else lo.union(hi) for lo, hi in entries]
