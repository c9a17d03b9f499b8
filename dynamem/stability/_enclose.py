r"""All fixed points in a box, by interval Newton on the program of the code: none is missed, none is counted twice.

The jaxpr of ``F`` is read as a program and differentiated as one (see `programs`); boxes are decided by Krawczyk's
operator (see `_krawczyk`) and every decision is repeated in Arb (see `_balls`). What is certified is about the real
arithmetic of the jaxpr, in which a float literal is the rational that it is. A zero where the Jacobian is singular (a
double root, a point of a continuous family) is beyond the operator: the boxes around it stay open and are listed.
"""

import dataclasses
import time
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PyTree, Scalar

from .._errors import InputError
from ..programs import Program, TranslationError, enclose, reduced, translate
from ..rigour._setting import region_of
from ._cover import Cover, Zero
from ._field import Field, field_of


SEARCH = 0.7
"""Part of the budget after which the search ends, so that Arb has time to repeat it."""
PROBES, LOOSE, LOST = 16, 1e-6, 1e-6


@dataclasses.dataclass(frozen=True)
class Enclosure:
    """A box with exactly one fixed point.

    Attributes:
        lo: lower ends of a small box around it, shape (D,).
        hi: upper ends.
        alone: a larger box in which it is the only one, rows (lo, hi), shape (D, 2).
        index: certified number of unstable directions, None where an eigenvalue may be at the edge of stability.
        edge: whether the small box lies across the region's edge: then it may be outside.
    """

    lo: Float[np.ndarray, " D"]
    hi: Float[np.ndarray, " D"]
    alone: Float[np.ndarray, "D 2"]
    index: int | None
    edge: bool

    @property
    def x(self) -> Float[np.ndarray, " D"]:
        """The middle of the small box."""
        return 0.5 * (self.lo + self.hi)

    @property
    def stable(self) -> bool | None:
        """Whether it is certainly stable, certainly not, or (None) neither is known."""
        return None if self.index is None else self.index == 0


@dataclasses.dataclass(frozen=True)
class Enclosures:
    """The fixed points of a region.

    Attributes:
        status: ``"certified"``: ``points`` are all, each is one, and Arb has repeated every step; ``"undecided"``: each
            of them is one, and there may be others in ``open``; ``"failed"``: the field is undefined in the region.
        reason: why, in words.
        points: boxes with exactly one fixed point each.
        open: boxes in which nothing is decided, rows (lo, hi), shape (K, D, 2).
        share: part of the region's volume that they make up.
        boxes: boxes that were bounded.
        checked: how many of those that were put aside Arb has checked, and out of how many.
        seconds: wall time.
    """

    status: str
    reason: str
    points: tuple[Enclosure, ...]
    open: Float[np.ndarray, "K D 2"]
    share: float
    boxes: int
    checked: tuple[int, int]
    seconds: float

    @property
    def x(self) -> Float[np.ndarray, "K D"]:
        """Middles of the boxes of points, shape (K, D)."""
        return np.stack([one.x for one in self.points]) if self.points else np.zeros((0, self.open.shape[1]))


def enclose_fixed_points(
    flow: Any, box: Any, *, t: float | Scalar | None = None, args: PyTree = None, budget_s: float = 20.0
) -> Enclosures:
    """All fixed points of a flow in a box.

    Arguments:
        flow: a dynamem flow (of one with noise the drift), Diffrax terms, or a `Map`.
        box: bounded rows (lo, hi), one for each coordinate of the state, none of them a single value.
        t: the time that is held, on the flow's clock; needed where the flow reads it.
        args: what the user's terms are given.
        budget_s: seconds; what is decided by then, or by Ctrl-C, is kept.

    Raises:
        InputError: the box is malformed, x64 is off, or the code uses a primitive that is not understood.
        TranslationError: the program does not compute what the code computes.
    """
    start = time.monotonic()
    if not 0 < budget_s < np.inf:
        msg = f"budget_s={budget_s!r}: need a positive number of seconds"
        raise InputError(msg)
    region = region_of(box, bounded=True)
    for row, (lo, hi) in enumerate(region.tolist()):
        if lo == hi:
            msg = f"box[{row}]=({lo!r}, {hi!r}): need an interval; leave the coordinate out of the flow to hold it"
            raise InputError(msg)
    field = field_of(flow, t, len(region), args)
    cover = Cover(_program(field, region), region, start + SEARCH * budget_s)
    cover.run()
    if not cover.interrupted and abs(cover.accounted() - 1) > LOST:
        msg = f"boxes make up {cover.accounted()!r} of the region: a defect of dynamem, please report it"
        raise TranslationError(msg)
    checked = (0, 0)
    if cover.hole is None and not len(cover.open) and not cover.why:
        checked = cover.verified(start + budget_s)
    return _told(cover, field, checked, start)


def _told(cover: Cover, field: Field, checked: tuple[int, int], start: float) -> Enclosures:
    """The answer of a search."""
    points = tuple(
        one for one in (_enclosure(zero, cover, is_map=field.is_map) for zero in cover.zeros) if one is not None
    )
    share, count = cover.share(cover.open), len(points)
    edge = sum(one.edge for one in points)
    words = f"{count} boxes with exactly one fixed point each" + (
        f", {edge} of them on the region's edge" if edge else ""
    )
    if cover.hole is not None:
        status, words = "failed", f"the field is undefined in the box {cover.hole.tolist()}: shrink the region"
    elif len(cover.open) or cover.why:
        status = "undecided"
        why = cover.why or "no contraction decides them: a fixed point with a singular Jacobian, or nearly so"
        words = f"{words}; {len(cover.open)} boxes are open ({share:.3g} of the region), as {why}"
    elif checked[0] < checked[1]:
        status = "undecided"
        words = f"{words} and no other by intervals; within the budget Arb confirmed {checked[0]} of {checked[1]} boxes"
    else:
        status, words = "certified", f"{words}, and no other"
    return Enclosures(status, words, points, cover.open, share, cover.boxes, checked, time.monotonic() - start)


def _enclosure(zero: Zero, cover: Cover, *, is_map: bool) -> Enclosure | None:
    """What is said of a zero; None if it lies outside of the region."""
    box, region = zero.box, cover.region
    if np.any((box[:, 1] < region[:, 0]) | (box[:, 0] > region[:, 1])):
        return None
    edge = bool(np.any((box[:, 0] < region[:, 0]) | (box[:, 1] > region[:, 1])))
    return Enclosure(box[:, 0], box[:, 1], zero.alone, cover.fine.index(zero.ends, is_map=is_map), edge)


def _program(field: Field, region: np.ndarray) -> Program:
    """The field's program, as it stands or rewritten: whichever bounds it closer on small boxes."""
    plain, small = (translate(field, (len(region),), centred=narrow) for narrow in (False, True))
    small = reduced(small)
    for program in (plain, small):
        _held_against_jax(field, program, region)
    random, side = np.random.default_rng(1), region[:, 1] - region[:, 0]
    low = random.uniform(region[:, 0], region[:, 1] - 0.05 * side, (PROBES, len(region)))
    widths = []
    for program in (plain, small):
        (found,) = enclose(program, [(low, low + 0.05 * side)])
        width = np.broadcast_to(found.hi - found.lo, low.shape)
        widths.append(np.where(np.isnan(width), np.inf, width).sum(axis=1))
    return small if 2 * np.sum(widths[1] < 0.9 * widths[0]) > PROBES else plain


def _held_against_jax(field: Field, program: Program, region: np.ndarray) -> None:
    """Compare the program with the code at random points.

    Raises:
        TranslationError: they differ by more than rounding.
    """
    points = np.random.default_rng(0).uniform(region[:, 0], region[:, 1], (PROBES, len(region)))
    (found,) = enclose(program, [(points, points.copy())])
    values = np.asarray(_values(field, jnp.asarray(points)))
    lo, hi = (np.broadcast_to(end, values.shape) for end in (found.lo, found.hi))
    finite = np.isfinite(values)
    size = LOOSE * (np.abs(values) + np.max(np.abs(np.where(finite, values, 0.0)), initial=1e-300))
    wrong = finite & ((values < lo - size) | (values > hi + size))
    if np.any(wrong):
        row, entry = (int(i) for i in np.argwhere(wrong)[0])
        msg = (
            f"entry {entry} of the field at {points[row].tolist()} is {values[row, entry]!r} in JAX and in "
            f"[{lo[row, entry]!r}, {hi[row, entry]!r}] by its program: a defect of dynamem, please report it"
        )
        raise TranslationError(msg)


@eqx.filter_jit
def _values(field: Field, points: Float[Array, "B D"]) -> Float[Array, "B D"]:
    return jax.vmap(field)(points)
