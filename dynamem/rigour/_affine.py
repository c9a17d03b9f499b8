r"""Slices: states ``x = a + B u`` with ``u`` in a box of few dimensions, through a state space of any size."""

import dataclasses
from typing import Any

import numpy as np

from .._errors import InputError


WIDEST = 3
"""Boxes in more dimensions than these are out of reach of branch and bound."""


@dataclasses.dataclass(frozen=True)
class Affine:
    """``u -> a + B u``.

    Attributes:
        a: a state, shape (D,).
        b: directions, shape (D, k).
    """

    a: np.ndarray
    b: np.ndarray

    @property
    def width(self) -> int:
        """The dimension k of the slice."""
        return self.b.shape[1]


def affine_of(affine: Any) -> Affine | None:
    """A slice given as ``(a, B)``, judged; None stays None.

    Raises:
        InputError: it is no pair of finite arrays of shapes (D,) and (D, k), k from 1 to `WIDEST`.
    """
    if affine is None:
        return None
    try:
        a, b = (np.asarray(part, np.float64) for part in affine)
    except (TypeError, ValueError) as error:
        msg = f"affine={affine!r:.60} is no pair (a, B) of arrays: {error}"
        raise InputError(msg) from None
    if a.ndim != 1 or b.ndim != 2 or len(b) != len(a) or not 1 <= b.shape[1] <= WIDEST:
        msg = f"affine has shapes {a.shape} and {b.shape}: need (a, B) of shapes (D,) and (D, k), k from 1 to {WIDEST}"
        raise InputError(msg)
    if not (np.all(np.isfinite(a)) and np.all(np.isfinite(b))):
        msg = "affine holds NaN or infinity: need a finite point and finite directions"
        raise InputError(msg)
    return Affine(a, b)


def plane(points: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The line, plane or space through 2, 3 or 4 points (m, D): ``a``, orthonormal ``B`` and the points' ``u`` (m, k).

    Raises:
        InputError: there are fewer or more points, or they span less.
    """
    points = np.asarray(points, np.float64)
    if points.ndim != 2 or not 2 <= len(points) <= 1 + WIDEST:
        msg = f"points.shape={points.shape}: need 2 to {1 + WIDEST} points, one a row"
        raise InputError(msg)
    along = points[1:] - points[0]
    directions: list[np.ndarray] = []
    for one in along:
        rest = one - sum((one @ unit) * unit for unit in directions) if directions else one
        size = np.linalg.norm(rest)
        if not size > 1e-9 * np.linalg.norm(one):
            msg = "the points span less than a slice through them: choose others"
            raise InputError(msg)
        directions.append(rest / size)
    b = np.stack(directions, axis=1)
    return points[0], b, (points - points[0]) @ b
