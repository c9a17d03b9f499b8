r"""Sums of squares: a polynomial that is not negative, shown by an identity that anybody can expand.

    p = sum_j g_j sum_k d_jk l_jk^2,      d_jk >= 0 rational,   l_jk polynomials,   g_j >= 0 known  (g_0 = 1)

(Putinar 1993). The matrices are found in floats by an interior-point solver (clarabel), which proves nothing; then they
are rounded to rational numbers that solve the linear equations exactly (Peyrl & Parrilo 2008), and factored exactly as
L D L^T. Where no such matrix is positive definite, because p is 0 at some points, the kernel is read off the float
solution, rounded, and taken out of the basis before the next attempt. What is returned was expanded again and compared.
"""

import dataclasses
import time
from collections.abc import Callable, Sequence
from typing import Any

import clarabel
import numpy as np
import scipy.sparse as sparse
from flint import fmpq, fmpq_mpoly

from ._sos_exact import Projection, kernel_free, ldl, rounded


MOST_ENTRIES = 6000
MOST_ROWS = 1500
ROUNDS = 4
WIDEST = 1e15
"""Numbers further apart than this are not given to the solver."""
LOOSE = 1e-5
"""Float solutions that miss the equations by more are none."""


@dataclasses.dataclass
class Block:
    """One weight and the polynomials whose squares it multiplies."""

    text: str
    weight: fmpq_mpoly
    basis: list[fmpq_mpoly]


@dataclasses.dataclass(frozen=True)
class Square:
    """``factor * weight * root^2``."""

    factor: fmpq
    text: str
    weight: fmpq_mpoly
    root: fmpq_mpoly


@dataclasses.dataclass
class System:
    """Linear equations for the entries of the matrices: one row for each monomial."""

    matrix: sparse.csc_array
    exact: list[dict[int, fmpq]]
    rhs: list[fmpq]
    blocks: list[Block]


Reduce = Callable[[fmpq_mpoly], fmpq_mpoly]


def squares(
    target: fmpq_mpoly, blocks: Sequence[Block], reduce: Reduce, deadline: float, *, bonus: fmpq_mpoly | None = None
) -> tuple[list[Square], fmpq] | None:
    """``target - delta * bonus`` as weighted squares, delta > 0 if there is a bonus.

    Arguments:
        target: the polynomial.
        blocks: weights with their bases.
        reduce: works in the relations of the ring; equality is up to them.
        deadline: on time.monotonic().
        bonus: a polynomial, a positive multiple of which is to be left over.
    """
    delta = fmpq(0)
    blocks = [Block(block.text, block.weight, list(block.basis)) for block in blocks]
    if bonus is not None:
        found = _margin(target, blocks, reduce, bonus, deadline)
        if found is None:
            return None
        delta, target = found, reduce(target - found * bonus)
    for _ in range(ROUNDS):
        system = linear(target, blocks, reduce)
        if system is None or time.monotonic() > deadline:
            return None
        grams = _solve(system, deadline)
        if grams is None:
            return None
        made = _exactly(system, grams, target, reduce, deadline)
        if made is not None:
            return made, delta
        smaller = [_reduced(block, gram) for block, gram in zip(system.blocks, grams, strict=True)]
        smaller = [block for block in smaller if block.basis]
        if sum(len(block.basis) for block in smaller) == sum(len(block.basis) for block in system.blocks):
            return None
        blocks = smaller
    return None


def linear(target: fmpq_mpoly, blocks: Sequence[Block], reduce: Reduce) -> System | None:
    """The equations, after what can only be 0 is dropped; None if they have no solution."""
    blocks = [Block(block.text, block.weight, list(block.basis)) for block in blocks]
    wanted = dict(target.to_dict())
    while True:
        columns, owners = _columns(blocks, reduce)
        if len(columns) > MOST_ENTRIES:
            return None
        rows: dict[tuple[int, ...], dict[int, fmpq]] = {}
        for place, column in enumerate(columns):
            for monomial, coefficient in column.items():
                rows.setdefault(monomial, {})[place] = coefficient
        if any(monomial not in rows for monomial in wanted) or len(rows) > MOST_ROWS:
            return None
        dead = _dead(rows, wanted, owners)
        if not dead:
            break
        for number in range(len(blocks)):
            blocks[number].basis = [one for i, one in enumerate(blocks[number].basis) if (number, i) not in dead]
        blocks = [block for block in blocks if block.basis]
    order = list(rows)
    exact = [rows[monomial] for monomial in order]
    data = [(i, j, float(fmpq_float(value))) for i, row in enumerate(exact) for j, value in row.items()]
    at = np.asarray([(i, j) for i, j, _ in data]).reshape(-1, 2)
    matrix = sparse.csc_array(
        (np.asarray([v for *_, v in data]), (at[:, 0], at[:, 1])), shape=(len(order), len(columns))
    )
    return System(matrix, exact, [wanted.get(monomial, fmpq(0)) for monomial in order], blocks)


def fmpq_float(value: fmpq) -> float:
    """The nearest float, more or less."""
    return int(value.p) / int(value.q)


def _columns(blocks: Sequence[Block], reduce: Reduce) -> tuple[list[dict], list[tuple[int, int, int]]]:
    """For each entry ``i <= j`` of each matrix the polynomial that it multiplies."""
    columns, owners = [], []
    for number, block in enumerate(blocks):
        for j, right in enumerate(block.basis):
            weighted = block.weight * right
            for i in range(j + 1):
                made = reduce(weighted * block.basis[i])
                columns.append((made if i == j else 2 * made).to_dict())
                owners.append((number, i, j))
    return columns, owners


def _dead(rows: dict, wanted: dict, owners: list) -> set[tuple[int, int]]:
    """Basis polynomials whose squares alone would have to add up to 0 somewhere."""
    found: set[tuple[int, int]] = set()
    for monomial, row in rows.items():
        if monomial in wanted:
            continue
        diagonal = all(owners[place][1] == owners[place][2] for place in row)
        if diagonal and len({value > 0 for value in row.values()}) == 1:
            found |= {owners[place][:2] for place in row}
    return found


def _margin(target: fmpq_mpoly, blocks: list[Block], reduce: Reduce, bonus: fmpq_mpoly, deadline: float) -> fmpq | None:
    """Half of the largest multiple of the bonus that can be left over, in floats."""
    extra = Block("bonus", reduce(bonus), [bonus.context().constant(1)])
    system = linear(target, [*blocks, extra], reduce)
    if system is None or system.blocks[-1].text != "bonus":
        return None
    grams = _solve(system, deadline, push=True)
    if grams is None:
        return None
    value = float(grams[-1][0, 0])
    return rounded(value / 2, 40) if value > 1e-8 else None


def _solve(system: System, deadline: float, *, push: bool = False) -> list[np.ndarray] | None:
    """Positive semidefinite matrices in floats; with ``push`` the last entry as large as it can be, at most 1."""
    data = np.abs(system.matrix.data[system.matrix.data != 0])
    if not len(data) or not data.max() < WIDEST * data.min():
        return None
    sizes = [len(block.basis) for block in system.blocks]
    rhs = np.asarray([fmpq_float(value) for value in system.rhs])
    try:
        solution = _solver(system.matrix, rhs, sizes, max(deadline - time.monotonic(), 0.1), push=push).solve()
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException:  # a panic of the solver is no Exception
        return None
    found = np.asarray(solution.x)
    if "Infeasible" in str(solution.status) or not np.all(np.isfinite(found)):
        return None
    gap = np.max(np.abs(system.matrix @ found - rhs), initial=0.0)
    if gap > LOOSE * (1.0 + np.max(np.abs(rhs), initial=0.0)):
        return None
    grams = _unpacked(found, sizes)
    ends = [np.linalg.eigvalsh(gram)[[0, -1]] for gram in grams]
    return None if min(end[0] for end in ends) < -LOOSE * max(end[1] for end in ends) else grams


def _solver(matrix: Any, rhs: np.ndarray, sizes: Sequence[int], seconds: float, *, push: bool) -> Any:
    """Clarabel's problem: the entries solve the equations, each matrix is positive semidefinite."""
    solvers: Any = clarabel  # its types are not declared
    rows, count = matrix.shape
    scale = np.concatenate([np.where(np.arange(j + 1) < j, np.sqrt(2), 1.0) for size in sizes for j in range(size)])
    parts, ends = [matrix, -sparse.diags_array(scale)], [rhs, np.zeros(count)]
    cones = [solvers.ZeroConeT(rows), *(solvers.PSDTriangleConeT(size) for size in sizes)]
    cost = np.zeros(count)
    if push:
        cost[-1] = -1.0
        parts.append(sparse.coo_array(([1.0], ([0], [count - 1])), shape=(1, count)))
        ends.append(np.ones(1))
        cones.append(solvers.NonnegativeConeT(1))
    settings = solvers.DefaultSettings()
    settings.verbose, settings.max_threads, settings.time_limit = False, 1, seconds
    equations = sparse.csc_matrix(sparse.vstack(parts))
    return solvers.DefaultSolver(
        sparse.csc_matrix((count, count)), cost, equations, np.concatenate(ends), cones, settings
    )


def _unpacked(entries: np.ndarray, sizes: Sequence[int]) -> list[np.ndarray]:
    made, start = [], 0
    for size in sizes:
        gram = np.zeros((size, size))
        for j in range(size):
            gram[: j + 1, j] = gram[j, : j + 1] = entries[start : start + j + 1]
            start += j + 1
        made.append(gram)
    return made


def _reduced(block: Block, gram: np.ndarray) -> Block:
    """The block without what the float solution says is multiplied by 0."""
    return Block(block.text, block.weight, kernel_free(block.basis, gram))


def _exactly(
    system: System, grams: Sequence[np.ndarray], target: fmpq_mpoly, reduce: Reduce, deadline: float
) -> list[Square] | None:
    """Rational matrices near the float ones that solve the equations, factored and expanded again."""
    floats = np.concatenate([_packed(gram) for gram in grams])
    projection = Projection(system.exact, system.rhs, deadline)
    for bits in (8, 16, 26, 40):
        if time.monotonic() > deadline:
            return None
        entries = projection([rounded(value, bits) for value in floats])
        if entries is None:
            return None
        made, start = [], 0
        for block in system.blocks:
            size = len(block.basis)
            factors = ldl(_square(entries[start : start + size * (size + 1) // 2], size), deadline)
            start += size * (size + 1) // 2
            if factors is None:
                break
            for pivot, weights in factors:
                root = sum((w * one for w, one in zip(weights, block.basis, strict=True)), start=0 * target)
                made.append(Square(pivot, block.text, block.weight, root))
        else:
            total = sum((one.factor * one.weight * one.root**2 for one in made), start=0 * target)
            return made if reduce(target - total).is_zero() else None
    return None


def _packed(gram: np.ndarray) -> np.ndarray:
    return np.concatenate([gram[: j + 1, j] for j in range(len(gram))])


def _square(entries: Sequence[fmpq], size: int) -> list[list[fmpq]]:
    made = [[fmpq(0)] * size for _ in range(size)]
    place = 0
    for j in range(size):
        for i in range(j + 1):
            made[i][j] = made[j][i] = entries[place]
            place += 1
    return made
