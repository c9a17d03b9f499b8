"""Strategies of Hypothesis for what memories and diffusion models are made of: arrays, and numbers.

Numbers are eighths in a small range, so that a counterexample reads well and has few digits; shapes are of a short
list, so that nothing compiles twice. All arrays are NumPy's, of float64.
"""

from collections.abc import Sequence

import hypothesis.strategies as st
import numpy as np
from hypothesis.extra import numpy as npst

from .._errors import InputError


SHAPES = ((2, 1), (2, 2), (3, 2), (5, 3))
"""Shapes (N, D) of patterns."""
KINDS = ("any", "apart", "duplicate", "collinear", "unequal", "clustered", "huge", "tiny")
"""What patterns may be like; "huge" and "tiny" are scaled by ``2^20`` and ``2^-20``, which costs no digit."""
EIGHTHS = 24
"""Entries lie in [-3, 3]."""


def eighths(shape: tuple[int, ...], most: int = EIGHTHS) -> st.SearchStrategy[np.ndarray]:
    """Arrays of eighths, from ``-most/8`` to ``most/8``, 0 where nothing is drawn."""
    whole = st.integers(-most, most).map(lambda k: k / 8)
    return npst.arrays(np.float64, shape, elements=whole, fill=st.just(0.0))


def patterns(
    shapes: Sequence[tuple[int, int]] = SHAPES, kinds: Sequence[str] = ("any",)
) -> st.SearchStrategy[np.ndarray]:
    """Patterns (N, D).

    Arguments:
        shapes: what they are drawn from; each compiles programs of its own.
        kinds: of `KINDS`: "apart" are at least 1 from each other, "duplicate" has a pattern twice, "collinear" lie on
            a line, "unequal" have norms from 1/8 to 3, "clustered" lie within 1/8 of two of them.

    Raises:
        InputError: another kind, or no shape.
    """
    wrong = [kind for kind in kinds if kind not in KINDS]
    if wrong or not kinds or not shapes:
        msg = f"kinds={kinds!r}, shapes={shapes!r}: need at least one shape (N, D), and kinds of {KINDS}"
        raise InputError(msg)
    return st.tuples(st.sampled_from(list(shapes)), st.sampled_from(list(kinds))).flatmap(
        lambda pair: _patterns(*pair)
    )  # fmt: skip


def _patterns(shape: tuple[int, int], kind: str) -> st.SearchStrategy[np.ndarray]:
    plain = eighths(shape)
    made = {
        "any": lambda xi: xi,
        "apart": _apart,
        "duplicate": lambda xi: np.concatenate([xi[:1], xi[:-1]]),
        "collinear": lambda xi: xi[:1] + np.arange(len(xi))[:, None] / 2 * (xi[-1:] + 0.125),
        "unequal": _unequal,
        "clustered": lambda xi: xi[np.arange(len(xi)) % 2] + np.clip(xi, -1, 1) / 8,
        "huge": lambda xi: xi * 2.0**20,
        "tiny": lambda xi: xi * 2.0**-20,
    }
    return plain.map(made[kind])


def _apart(xi: np.ndarray) -> np.ndarray:
    """Moved along the first axis until all are at least 1 from each other, in the order of their places there."""
    out = xi.copy()
    for i in range(1, len(out)):
        while np.min(np.linalg.norm(out[:i] - out[i], axis=1)) < 1:
            out[i, 0] += 1
    return out


def _unequal(xi: np.ndarray) -> np.ndarray:
    sizes = np.linalg.norm(xi, axis=1, keepdims=True)
    ways = np.where(sizes > 0, xi / np.where(sizes > 0, sizes, 1), np.eye(1, xi.shape[1]))
    return ways * np.geomspace(0.125, 3.0, len(xi))[:, None]


def weights(count: int, *, zeros: bool = False) -> st.SearchStrategy[np.ndarray]:
    """Prior weights (count,), positive, or some of them 0, that sum to 1."""
    least = 0 if zeros else 1
    counts = npst.arrays(np.int64, count, elements=st.integers(least, 9), fill=st.just(1))
    return counts.filter(lambda one: one.sum() > 0).map(lambda one: one / one.sum())


def betas(low: float = 0.125, high: float = 64.0) -> st.SearchStrategy[float]:
    """Inverse temperatures, in quarters of octaves, 1 first."""
    ends = np.round(4 * np.log2([low, high])).astype(int)
    return st.integers(int(ends[0]), int(ends[1])).map(lambda k: float(2.0 ** (k / 4)))


def couplings(size: int, *, skew: float = 0.0) -> st.SearchStrategy[np.ndarray]:
    """Symmetric couplings (size, size) without self-coupling, with an antisymmetric part of size ``skew`` added."""

    def made(entries: np.ndarray) -> np.ndarray:
        upper = np.triu(entries.reshape(size, size), 1)
        turn = np.triu(np.ones((size, size)), 1)
        return upper + upper.T + skew * (turn - turn.T)

    return eighths((size * size,), 8).map(made)


def preconditioners(size: int, *, definite: bool = True) -> st.SearchStrategy[np.ndarray]:
    """Matrices (size, size) that are positive definite, ``A A^T/size + I/8``, or have a negative direction."""

    def made(entries: np.ndarray) -> np.ndarray:
        root = entries.reshape(size, size)
        whole = root @ root.T / size + np.eye(size) / 8
        return whole if definite else whole - (np.linalg.eigvalsh(whole)[0] + 0.25) * np.eye(size)

    return eighths((size * size,), 8).map(made)


def step_grids(
    low: float = -3.0, high: float = 3.0, sizes: Sequence[int] = (2, 5, 10)
) -> st.SearchStrategy[np.ndarray]:
    """Increasing times from ``low`` to ``high`` with steps of random lengths, up to 16 to 1, equal ones first."""
    if not (np.isfinite([low, high]).all() and low < high) or not sizes or min(sizes) < 1:
        msg = f"low={low!r}, high={high!r}, sizes={sizes!r}: need finite low < high, and numbers of steps"
        raise InputError(msg)

    def made(parts: np.ndarray) -> np.ndarray:
        share = np.cumsum(2.0**parts) / np.sum(2.0**parts)
        return np.concatenate([[low], low + (high - low) * share[:-1], [high]])

    return st.sampled_from(list(sizes)).flatmap(
        lambda n: npst.arrays(np.int64, n, elements=st.integers(-2, 2), fill=st.just(0)).map(made)
    )


def states(xi: np.ndarray, count: int = 8, *, far: float = 4.0) -> st.SearchStrategy[np.ndarray]:
    """States (count, D): near patterns, between two of them, and up to ``far`` times their size away, in turns."""
    points = np.asarray(xi, float)
    if points.ndim != 2 or 0 in points.shape or count < 1:
        msg = f"xi.shape={points.shape!r}, count={count!r}: need patterns (N, D), and at least one state"
        raise InputError(msg)
    size = float(np.abs(points).max()) or 1.0

    def made(drawn: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
        noise, place = drawn
        row = np.arange(count)
        first, second = points[place % len(points)], points[(place + row) % len(points)]
        middle = np.where((row % 3 == 1)[:, None], 0.5 * (first + second), first)
        scale = np.asarray([1 / 16, 1 / 16, far])[row % 3][:, None] * size
        return middle + scale * noise

    places = npst.arrays(np.int64, count, elements=st.integers(0, len(points) - 1), fill=st.just(0))
    return st.tuples(eighths((count, points.shape[1]), 8), places).map(made)
