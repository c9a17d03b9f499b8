"""What `certify` and `prove` have in common: the region, the code held against its program, witnesses."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .._errors import InputError
from .._types import EnergyFn
from ..flows import Map
from ..lyapunov import Witness, generator
from ..programs import Interval, Program, TranslationError, enclose
from ._question import Question


SEMANTICS = "real arithmetic of the jaxpr; every float literal is the rational that it is"
PROBES, LARGE = 16, 20_000
TRIALS, COST, SMALL, GAIN = 64, 2_000_000, 0.02, 0.7
"""Programs are compared on at most so many boxes, and entries in all, of such sides as parts of the region's; and what
makes a difference."""
LARGEST = 1e300
LOOSE = 1e-6
"""Relative difference from JAX's float64 values that rounding may explain."""


def region_of(box: Any, *, bounded: bool) -> np.ndarray:
    """Rows (lo, hi); with ``bounded`` infinite ends are refused.

    Raises:
        InputError: the box is malformed or empty.
    """
    region = np.asarray(box, np.float64)
    if region.ndim != 2 or region.shape[1] != 2 or not len(region):
        msg = f"box.shape={region.shape!r}: need rows (lo, hi), one for each coordinate, and one for time if it is read"
        raise InputError(msg)
    for row, (lo, hi) in enumerate(region.tolist()):
        if bounded and not (np.isfinite(lo) and np.isfinite(hi)):
            msg = f"box[{row}]=({lo!r}, {hi!r}): only bounded regions can be certified"
            raise InputError(msg)
        if np.isnan(lo) or np.isnan(hi) or lo == np.inf or hi == -np.inf:
            msg = f"box[{row}]=({lo!r}, {hi!r}): need two numbers, the lower end first"
            raise InputError(msg)
        if any(LARGEST < abs(end) < np.inf for end in (lo, hi)):
            msg = f"box[{row}]=({lo!r}, {hi!r}): finite ends may be at most {LARGEST:g}, so that widths are finite"
            raise InputError(msg)
        if lo > hi:
            msg = f"box[{row}]=({lo!r}, {hi!r}) is empty: write the lower end first"
            raise InputError(msg)
    return region


def where_of(asked: Question, region: np.ndarray) -> str:
    """The region and the semantics in words."""
    names = asked.names()
    rows = [f"{name} in [{lo:g}, {hi:g}]" for name, (lo, hi) in zip(names, region.tolist(), strict=True)]
    words = ", ".join(rows) if np.any(np.isfinite(region)) else f"all {', '.join(names)}"
    if asked.affine is not None:
        words = f"x = a + B u in {len(asked.affine.a)} dimensions, {words}"
    return f"{words}, {len(asked.constraints)} constraints; {SEMANTICS}"


def hold_against_jax(asked: Question, program: Program, region: np.ndarray) -> None:
    """Compare the program with the code it was read from, at random points.

    Raises:
        TranslationError: they differ by more than rounding.
    """
    random = np.random.default_rng(0)
    points = random.uniform(region[:, 0], region[:, 1], (PROBES, len(region)))
    outputs = enclose(program, [(points, points.copy())])
    functions = (asked.number, *asked.constraints)
    for name, function, bound in zip(("number", *("constraint",) * len(functions)), functions, outputs, strict=False):
        mapped = jax.vmap(function)  # step by step small code is compiled already, one call of large code is cheaper
        values = np.asarray((jax.jit(mapped) if program.size() > LARGE else mapped)(jnp.asarray(points)))
        lo, hi = (np.broadcast_to(end[:, 0], values.shape) for end in (bound.lo, bound.hi))
        size = LOOSE * (
            np.abs(values) + np.nanmax(np.abs(np.where(np.isfinite(values), values, 0.0)), initial=0.0) + 1e-300
        )
        wrong = np.isfinite(values) & ((values < lo - size) | (values > hi + size))
        if np.any(wrong):
            place = int(np.argmax(wrong))
            msg = (
                f"the {name} at {points[place].tolist()} is {values[place]!r} in JAX and in [{lo[place]!r}, "
                f"{hi[place]!r}] by its program: a defect of dynamem, please report it"
            )
            raise TranslationError(msg)


def narrowest(asked: Question, plain: Program, region: np.ndarray) -> Program:
    """The question's program as it stands, or reduced: whichever bounds the number closer on small boxes.

    What cancels in sums of products makes the reduced one better; a square that is multiplied out makes it worse.
    """
    small = asked.program(narrow=True)
    _hold_against_each_other(plain, small, region)
    random, side = np.random.default_rng(1), region[:, 1] - region[:, 0]
    trials = max(8, min(TRIALS, COST // plain.size()))
    low = random.uniform(region[:, 0], region[:, 1] - SMALL * side, (trials, len(region)))
    boxes = [(low, low + SMALL * side)]
    before, after = (_widths(enclose(program, boxes)[0], trials) for program in (plain, small))
    return small if 2 * np.sum(after < GAIN * before) > trials else plain


def _hold_against_each_other(plain: Program, small: Program, region: np.ndarray) -> None:
    """Two enclosures of one number have to meet, at random points."""
    points = np.random.default_rng(2).uniform(region[:, 0], region[:, 1], (PROBES, len(region)))
    pairs = zip(*(enclose(program, [(points, points.copy())]) for program in (plain, small)), strict=True)
    for place, (one, other) in enumerate(pairs):
        if np.any((one.lo > other.hi) | (other.lo > one.hi)):
            msg = f"output {place} of a program and of its reduced form differ: a defect of dynamem, please report it"
            raise TranslationError(msg)


def _widths(bound: Interval, count: int) -> np.ndarray:
    width = np.broadcast_to((bound.hi - bound.lo)[:, 0], (count,))
    return np.where(np.isnan(width), np.inf, width)


def witness_at(
    point: np.ndarray, asked: Question, energy: EnergyFn, flow: Any, claim: str | tuple[str, float]
) -> Witness:
    """The witness at a point: a step for a map, a rate for a flow."""
    time, x0 = asked.where(jnp.asarray(point))
    t0 = float(time)
    if isinstance(flow, Map) and claim != "positive":
        x1 = flow(x0)
        return Witness("step", t0, x0, t0, x1, float(energy(time, x1) - energy(time, x0)))
    if claim == "positive":
        return Witness("step", t0, x0, t0, x0, 0.0)
    return Witness("rate", t0, x0, None, None, float(generator(energy, flow)(time, x0, None).total))
