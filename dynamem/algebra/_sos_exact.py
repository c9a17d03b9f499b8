"""Exact linear algebra of small matrices: rounding, L D L^T, and kernels read off float solutions."""

import math
import time
from collections.abc import Sequence
from fractions import Fraction

import numpy as np
from flint import fmpq, fmpq_mat, fmpq_mpoly


SMALL = (1e-7, 1e-5, 1e-3)
"""Eigenvalues below these parts of the largest are tried as zeros, the first that finds some."""
DENOMINATORS = (16, 256, 4096)
MOST_COUPLED = 150
"""Equations that have to be solved at once, at most."""


def rounded(value: float, bits: int) -> fmpq:
    """The nearest multiple of ``2^-bits``."""
    return fmpq(round(Fraction(value) * (1 << bits)), 1 << bits)


def ldl(matrix: list[list[fmpq]], deadline: float = math.inf) -> list[tuple[fmpq, list[fmpq]]] | None:
    """``M = sum_k d_k l_k l_k^T`` with all ``d_k > 0``; None if ``M`` is not positive semidefinite, or too late."""
    rest = [list(row) for row in matrix]
    size, made = len(rest), []
    for k in range(size):
        pivot = rest[k][k]
        if pivot < 0 or time.monotonic() > deadline:
            return None
        if pivot == 0:
            if any(rest[i][k] != 0 for i in range(k, size)):
                return None
            continue
        column = [fmpq(0)] * k + [rest[i][k] / pivot for i in range(k, size)]
        made.append((pivot, column))
        for i in range(k + 1, size):
            if column[i] != 0:
                scaled = column[i] * pivot
                for j in range(k + 1, i + 1):
                    rest[i][j] -= scaled * column[j]
    for i in range(size):  # only the lower half was kept up
        for j in range(i + 1, size):
            rest[i][j] = rest[j][i]
    return made


def kernel_free(basis: list[fmpq_mpoly], gram: np.ndarray) -> list[fmpq_mpoly]:
    """Combinations of the basis orthogonal to the kernel that a float matrix seems to have."""
    values, vectors = np.linalg.eigh(gram)
    top = values[-1]
    if top <= 1e-9:
        return []
    for small in SMALL:
        null = vectors[:, values < small * top].T
        if len(null):
            rows = _rational_rows(null)
            if rows:
                return _without(basis, rows)
    return basis


def _rational_rows(null: np.ndarray) -> list[tuple[int, dict[int, fmpq]]]:
    """Rows in reduced echelon form ``e_pivot + ...`` whose entries are near simple rational numbers."""
    rows, pivots = null.copy(), []
    for k in range(len(rows)):
        place = np.unravel_index(np.argmax(np.abs(rows[k:])), rows[k:].shape)
        row, column = k + int(place[0]), int(place[1])
        rows[[k, row]] = rows[[row, k]]
        rows[k] /= rows[k, column]
        for other in range(len(rows)):
            if other != k:
                rows[other] -= rows[other, column] * rows[k]
        pivots.append(column)
    made = []
    for row, pivot in zip(rows, pivots, strict=True):
        entries = [_simple(value) for value in row]
        if all(entry is not None for entry in entries):
            made.append(
                (pivot, {j: one for j, one in enumerate(entries) if one is not None and one != 0 and j != pivot})
            )
    return made


def _simple(value: float) -> fmpq | None:
    for most in DENOMINATORS:
        near = Fraction(float(value)).limit_denominator(most)
        if abs(float(near) - value) < 0.03 / most**1.25:
            return fmpq(near.numerator, near.denominator)
    return None


def _without(basis: Sequence[fmpq_mpoly], rows: list[tuple[int, dict[int, fmpq]]]) -> list[fmpq_mpoly]:
    pivots = {pivot for pivot, _ in rows}
    made = []
    for place, one in enumerate(basis):
        if place not in pivots:
            kept = one
            for pivot, row in rows:
                if place in row:
                    kept = kept - row[place] * basis[pivot]
            made.append(kept)
    return made


class Projection:
    """Moves entries onto the solutions of linear equations, exactly.

    An entry that occurs in one equation only can make up for what that equation misses. Such equations are put aside,
    again and again; the few that are left are solved together, the others one by one in the opposite order, so that no
    big denominators arise.
    """

    def __init__(self, rows: list[dict[int, fmpq]], rhs: list[fmpq], deadline: float = math.inf) -> None:
        self.rows, self.rhs, self.deadline = rows, rhs, deadline
        users: dict[int, set[int]] = {}
        for i, row in enumerate(rows):
            for j in row:
                users.setdefault(j, set()).add(i)
        self.layers: list[list[tuple[int, list[int]]]] = []
        left = set(range(len(rows)))
        while True:
            own: dict[int, list[int]] = {}
            for j, mine in users.items():
                if len(mine) == 1:
                    own.setdefault(next(iter(mine)), []).append(j)
            if not own:
                break
            self.layers.append(list(own.items()))
            left -= set(own)
            for j in list(users):
                users[j] -= set(own)
                if not users[j]:
                    del users[j]
        self.core = sorted(left)
        self.free = set(users)

    def __call__(self, entries: list[fmpq]) -> list[fmpq] | None:
        """The moved entries; None if there is no solution, or none within reason."""
        made = list(entries)
        if self.core and not self._coupled(made):
            return None
        for layer in reversed(self.layers):
            for i, mine in layer:
                weight = sum((self.rows[i][j] ** 2 for j in mine), start=fmpq(0))
                step = self._missing(i, made) / weight
                if step != 0:
                    for j in mine:
                        made[j] += step * self.rows[i][j]
        return made

    def _missing(self, i: int, entries: list[fmpq]) -> fmpq:
        return self.rhs[i] - sum((value * entries[j] for j, value in self.rows[i].items()), start=fmpq(0))

    def _coupled(self, entries: list[fmpq]) -> bool:
        """The least change that solves the equations of the core, by its normal equations."""
        size = len(self.core)
        if size > MOST_COUPLED:
            return False
        rows = [{j: value for j, value in self.rows[i].items() if j in self.free} for i in self.core]
        matrix = fmpq_mat(size, size)
        for a, row in enumerate(rows):
            if time.monotonic() > self.deadline:
                return False
            for b in range(a + 1):
                common = row.keys() & rows[b].keys()
                matrix[a, b] = matrix[b, a] = sum((row[j] * rows[b][j] for j in common), start=fmpq(0))
        steps = solve(matrix, [self._missing(i, entries) for i in self.core])
        if steps is None or time.monotonic() > self.deadline:
            return False
        for row, step in zip(rows, steps, strict=True):
            if step != 0:
                for j, value in row.items():
                    entries[j] += step * value
        return True


def solve(matrix: fmpq_mat, rhs: list[fmpq]) -> list[fmpq] | None:
    """One solution of a square system that may be singular."""
    size = len(rhs)
    try:
        found = matrix.solve(fmpq_mat(size, 1, rhs))
        return [found[i, 0] for i in range(size)]
    except ZeroDivisionError:
        pass
    wide = fmpq_mat(size, size + 1)
    for i in range(size):
        for j in range(size):
            wide[i, j] = matrix[i, j]
        wide[i, size] = rhs[i]
    reduced, rank = wide.rref()
    made, row = [fmpq(0)] * size, 0
    for column in range(size + 1):
        if row < rank and reduced[row, column] != 0:
            if column == size:
                return None
            made[column] = reduced[row, size]
            row += 1
    return made
