r"""The pivots that tell whether a symmetric matrix is negative semidefinite, as a program.

    -A = L D L^T    with L unit lower triangular and D diagonal:    x^T A x = -sum_k D_k ((L^T x)_k)^2,

so ``A`` is negative semidefinite if no ``D_k`` is negative. Over a box ``A`` is a whole set of matrices; where the
intervals of all pivots are defined (none that something is divided by holds 0) and none reaches below 0, all are.
"""

from ._program import Program
from ._slope_lines import SlopeLines


def pivots(program: Program) -> Program:
    """The ``D_k`` of minus a matrix, in its order; undefined where there is no such decomposition.

    Arguments:
        program: its output has ``n * n`` entries, a symmetric matrix; the lower triangle is read.

    Returns:
        A program of the same inputs whose output has ``n`` entries.
    """
    to, matrix = SlopeLines(program.nodes), program.outputs[0]
    n = round(program.nodes[matrix].length ** 0.5)
    zero = to.const([0.0])
    left: dict[tuple[int, int], int] = {}
    for row in range(n):
        for column in range(row + 1):
            entry = to.take([matrix], [row * n + column])
            if entry != zero:
                left[row, column] = to.apply("neg", entry)
    found = [_eliminated(to, left, place, n) for place in range(n)]
    return to.finish(program.inputs, to.take(found, range(n)))


def _eliminated(to: SlopeLines, left: dict[tuple[int, int], int], k: int, n: int) -> int:
    """The pivot of a row, which is taken off the rows below it."""
    below = [row for row in range(k + 1, n) if (row, k) in left]
    pivot = left.get((k, k))
    if pivot is None:  # an exact 0: then the whole row has to be 0
        return to.apply("log", to.const([-1.0])) if below else to.const([0.0])
    for place, row in enumerate(below):
        for column in below[: place + 1]:
            square = to.powi(left[row, k], 2) if row == column else to.apply("mul", left[row, k], left[column, k])
            off = to.apply("div", square, pivot)
            old = left.get((row, column))
            left[row, column] = to.apply("neg", off) if old is None else to.apply("sub", old, off)
    return pivot
