r"""Infinite constants where they have limits, as masks have them: ``exp(x - inf) = 0``, ``max(x, -inf) = x``.

Anywhere else an infinite constant is an undefined value, as it is no real number.
"""

from collections.abc import Sequence

import numpy as np

from ._lines import Lines


LIMITS = {"add": lambda a, b: a + b, "sub": lambda a, b: a - b, "exp": lambda a: a}


def limit_of(
    lines: Lines, op: str, args: Sequence[int], length: int
) -> tuple[list[list[float]], list[int], np.ndarray] | None:
    """An operation some entries of which are limits: its constants, arguments for the other entries, and the order.

    None where there is no limit, or none is certain: ``inf - inf``, ``exp(inf)``, or beside it an entry that may be
    undefined.
    """
    if op not in LIMITS or not lines.infinite:
        return None
    ends = [_ends(lines, arg, length) for arg in args]
    with np.errstate(invalid="ignore"):
        total = LIMITS[op](*ends)
    if not total.any() or np.isnan(total).any() or (op == "exp" and total.max() > 0):
        return None
    for arg, end in zip(args, ends, strict=True):
        defined = [lines.total[leaf] for leaf in lines.entries(arg)[0].tolist()]
        if not np.all(np.broadcast_to(defined, (length,)) | (end != 0) | (total == 0)):
            return None
    index, constants = np.flatnonzero(total == 0), [[0.0]] if op == "exp" else [[-np.inf], [np.inf]]
    place = np.where(total > 0, 1, 0)
    place[index] = len(constants) + np.arange(len(index))
    return constants, [lines.take([lines.stretched(arg, length)], index) for arg in args] if len(index) else [], place


def without_neutral(lines: Lines, op: str, arg: int, size: int) -> tuple[int, int]:
    """A run without what changes nothing: minus infinity for a maximum, columns of 0 for a sum."""
    node = lines.nodes[arg]
    if op not in ("most", "sum") or size == 1 or node.op != "take":
        return arg, size
    leaves = lines.entries(arg)[0]
    if op == "sum":
        empty = np.asarray([lines.equals(leaf, 0.0) for leaf in leaves.tolist()]).reshape(-1, size)
    else:
        empty = (_ends(lines, arg, node.length) == -np.inf).reshape(-1, size)
    kept = np.flatnonzero(~empty.all(axis=0))
    if not empty.any() or not len(kept) or (op == "most" and empty.all(axis=1).any()):
        return arg, size
    index, first = np.arange(empty.size).reshape(-1, size), np.argmin(empty, axis=1)
    if op == "most":  # an entry twice is as good as once
        index = np.where(empty, index[np.arange(len(index)), first][:, None], index)
    return lines.take([arg], index[:, kept].reshape(-1)), len(kept)


def _ends(lines: Lines, arg: int, length: int) -> np.ndarray:
    """For each entry plus or minus infinity where it is such a constant, 0 elsewhere."""
    made = [lines.infinite.get(leaf, 0.0) for leaf in lines.entries(arg)[0].tolist()]
    return np.broadcast_to(np.asarray(made), (length,))
