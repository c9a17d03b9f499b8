r"""Krawczyk's operator on many boxes at once, in outward rounded intervals.

With ``m`` the middle of a box ``X`` and ``Y`` near the inverse of the Jacobian there,

    K(X) = m - Y F(m) + (I - Y J(X)) (X - m),        J(X) holding dF/dx all over X,

holds every zero of ``F`` in ``X``. So there is none if ``K(X)`` and ``X`` do not meet, and exactly one if ``K(X)`` lies
in the interior of ``X`` (Krawczyk 1969, Computing 4:187; Neumaier 1990, Interval Methods for Systems of Equations,
section 5.1: Brouwer gives one, and the spectral radius of ``|I - Y J|`` is below 1, which leaves no room for two).
``J`` is the program of ``F`` differentiated as a program; at kinks it holds the slopes of all branches, and the theorem
stands for Lipschitz functions.
"""

import dataclasses

import numpy as np

from ..programs import INTERVAL, Interval, Program, prepared, slopes, up


EPS, TINY = 2.0**-52, 1e-300


@dataclasses.dataclass
class Step:
    """What is known of B boxes.

    Attributes:
        ok: whether ``F`` is defined all over the box, shape (B,).
        bad: whether it is defined nowhere in it, shape (B,).
        free: whether there surely is no zero in it, shape (B,).
        lo: lower ends of ``K(X)``, minus infinity where it is not known, shape (B, D).
        hi: upper ends, shape (B, D).
        moves: how far each coordinate may move ``F``, by the size of the box's Jacobian, shape (B, D).
    """

    ok: np.ndarray
    bad: np.ndarray
    free: np.ndarray
    lo: np.ndarray
    hi: np.ndarray
    moves: np.ndarray


class Krawczyk:
    """The operator of one program with D inputs in one line, and D outputs in another."""

    def __init__(self, program: Program) -> None:
        self.size = program.nodes[program.inputs[0]].length
        with np.errstate(all="ignore"):
            self.values, self.slopes = prepared(program, INTERVAL), prepared(slopes(program), INTERVAL)

    @np.errstate(all="ignore")
    def value(self, lo: np.ndarray, hi: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Ends of ``F`` on boxes (B, D), and whether it is defined all over them, and nowhere in them."""
        (found,) = self.values([Interval(lo, hi.copy())])
        return (*self._ends(found, lo.shape), *self._marks(found, len(lo)))

    @np.errstate(all="ignore")
    def jacobian(self, lo: np.ndarray, hi: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Ends of ``J`` on boxes, shape (B, D, D), and whether all of it is defined."""
        (found,) = self.slopes([Interval(lo, hi.copy())])
        n = self.size
        low, high = (one.reshape(-1, n, n) for one in self._ends(found, (len(lo), n * n)))
        return low, high, self._marks(found, len(lo))[0]

    @staticmethod
    def _ends(found: Interval, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
        lo, hi = (np.broadcast_to(end, shape) for end in (found.lo, found.hi))
        return np.where(np.isnan(lo), -np.inf, lo), np.where(np.isnan(hi), np.inf, hi)

    @staticmethod
    def _marks(found: Interval, count: int) -> tuple[np.ndarray, np.ndarray]:
        ok = np.ones(count, bool) if found.ok is None else np.broadcast_to(found.ok.all(axis=1), (count,))
        bad = np.zeros(count, bool) if found.bad is None else np.broadcast_to(found.bad.any(axis=1), (count,))
        return ok, bad

    @np.errstate(all="ignore")
    def __call__(self, lo: np.ndarray, hi: np.ndarray) -> Step:
        """The operator on boxes with ends of shape (B, D); where the values settle it, nothing else is tried."""
        low, high, ok, bad = self.value(lo, hi)
        free = ok & np.any((low > 0) | (high < 0), axis=1)
        made = Step(ok, bad, free, np.full(lo.shape, -np.inf), np.full(lo.shape, np.inf), np.full(lo.shape, np.inf))
        rows = np.flatnonzero(ok & ~free)
        if len(rows):
            self._operate(made, rows, lo[rows], hi[rows])
        return made

    def _operate(self, made: Step, rows: np.ndarray, lo: np.ndarray, hi: np.ndarray) -> None:
        """Fill in the operator in some rows."""
        low, high, fine = self.jacobian(lo, hi)
        fine = fine & np.all(np.isfinite(low) & np.isfinite(high), axis=(1, 2))
        rows, lo, hi, low, high = rows[fine], lo[fine], hi[fine], low[fine], high[fine]
        if not len(rows):
            return
        middle = np.clip(0.5 * (lo + hi), lo, hi)
        reach = up(np.maximum(hi - middle, middle - lo), 2.0) + TINY
        below, above, sure, _ = self.value(middle, middle)
        size = np.maximum(np.abs(low), np.abs(high))
        made.moves[rows] = np.max(size, axis=1) * (hi - lo)
        spread = _above(size, reach)
        sure &= np.all(np.isfinite(below) & np.isfinite(above), axis=1)
        gone = np.any((below - spread > EPS * np.abs(below)) | (above + spread < -EPS * np.abs(above)), axis=1)
        centre, radius = self._ends_of(middle, reach, (low, high), (below, above))
        told = sure & np.all(np.isfinite(centre) & np.isfinite(radius), axis=1)
        klo, khi = (
            np.where(told[:, None], end, far) for end, far in ((centre - radius, -np.inf), (centre + radius, np.inf))
        )
        made.lo[rows], made.hi[rows] = klo, khi
        made.free[rows] = (sure & gone) | np.any((klo > hi) | (khi < lo), axis=1)

    def _ends_of(
        self, middle: np.ndarray, reach: np.ndarray, slope: tuple[np.ndarray, ...], value: tuple[np.ndarray, ...]
    ) -> tuple[np.ndarray, np.ndarray]:
        """Middle and radius of ``K``; the radius also pays for all rounding, whatever the order of sums."""
        n = self.size
        part = (4.0 * n + 32.0) * EPS
        centre = 0.5 * slope[0] + 0.5 * slope[1]
        radius = up(np.maximum(slope[1] - centre, centre - slope[0]), 2.0) + TINY
        inverse = _inverse(centre)
        size = np.abs(inverse)
        rest = np.abs(np.eye(n)[None] - inverse @ centre) + size @ (radius + part * np.abs(centre)) + part
        at, off = 0.5 * value[0] + 0.5 * value[1], 0.5 * (value[1] - value[0])
        off = up(off, 4.0) + EPS * np.abs(at) + TINY
        made = middle - np.squeeze(inverse @ at[..., None], -1)
        loose = np.squeeze(size @ (off + part * np.abs(at))[..., None], -1) + part * (np.abs(middle) + np.abs(made))
        return made, (loose + _above(rest, reach)) * (1 + part) + TINY

    @np.errstate(all="ignore")
    def newton(self, points: np.ndarray, steps: int, short: float) -> tuple[np.ndarray, np.ndarray]:
        """Newton's method in floats from points (B, D), and the last steps' lengths; it ends when all are short."""
        last = np.full(len(points), np.inf)
        for _ in range(steps):
            below, above, *_ = self.value(points, points)
            low, high, _ = self.jacobian(points, points)
            move = np.squeeze(_inverse(0.5 * (low + high)) @ (0.5 * (below + above))[..., None], -1)
            good = np.all(np.isfinite(move), axis=1)
            points = np.where(good[:, None], points - move, points)
            last = np.where(good, np.max(np.abs(move), axis=1), np.inf)
            if np.all((last <= short) | ~good):
                break
        return points, last


def _above(size: np.ndarray, reach: np.ndarray) -> np.ndarray:
    """Upper bounds of ``size @ reach``, both without negative entries."""
    return np.squeeze(size @ reach[..., None], -1) * (1 + (2.0 * reach.shape[1] + 8.0) * EPS) + TINY


def _inverse(matrices: np.ndarray) -> np.ndarray:
    """Inverses in floats, NaN where there is none: any matrix may stand for them."""
    try:
        return np.linalg.inv(matrices)
    except np.linalg.LinAlgError:
        made = np.full(matrices.shape, np.nan)
        for place, matrix in enumerate(matrices):
            if np.all(np.isfinite(matrix)) and np.linalg.matrix_rank(matrix) == len(matrix):
                made[place] = np.linalg.inv(matrix)
        return made
