r"""`certify`: the sign of a rate over a whole region, by branch and bound; a witness where it is wrong.

The outcome is ``certified`` (every box decided, in real arithmetic), ``broken`` (a point at which Arb is sure),
``failed`` (a point at which the question is undefined) or ``undecided``, with the volume that is left.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from .._errors import InputError
from .._types import EnergyFn
from ..flows import Map
from ..lyapunov import Verdict, Witness, generator
from ..programs import Program, TranslationError, enclose
from ._bounds import Bounder
from ._certificate import certificate
from ._decide import decide
from ._question import Question, question
from ._search import Found, Search


SEMANTICS = "real arithmetic of the jaxpr; every float literal is the rational that it is"
PROBES = 16
LOOSE = 1e-6
"""Relative difference from JAX's float64 values that rounding may explain."""


def certify(
    energy: EnergyFn,
    flow: Any,
    box: Any,
    *,
    constraints: Sequence[Callable] = (),
    claim: str | tuple[str, float] = "nonincrease",
    budget_s: float = 20.0,
) -> Verdict:
    """Has the rate of an energy one sign all over a region?

    Arguments:
        energy: any ``E(t, x)``.
        flow: a dynamem flow, any Diffrax terms (noise in the Ito sense), or a `Map`.
        box: rows ``(lo, hi)``, one for each coordinate of the state and one more, last, for time if anything reads it.
        constraints: functions ``c(t, x)``; the region is the part of the box where all are at most 0.
        claim: "nonincrease" (``LE <= 0``), "strict_decrease" (``LE < 0``), "positive" (``E > 0``) or ``("rate", r)``
            (``LE + r E <= 0``); for a map ``E(f(x)) - E(x)`` stands in the place of ``LE``.
        budget_s: seconds.

    Returns:
        ``certified`` with a certificate in ``evidence["certificate"]``, ``broken`` with a witness, ``failed`` where the
        question is undefined somewhere in the region, or ``undecided`` with the boxes that are left.

    Raises:
        InputError: the box is malformed, the claim unknown, or the code uses a primitive that is not understood.
        TranslationError: the program does not compute what the code computes.
    """
    region = _region(box)
    asked = question(energy, flow, len(region), constraints, claim)
    program = asked.program(slopes=True)
    count = len(asked.constraints)
    hold_against_jax(asked, program, region)

    def confirm(point: np.ndarray) -> str:
        return decide(program, count, point.tolist(), strict=asked.strict)

    found = Search(Bounder(program, count), region, strict=asked.strict, confirm=confirm, budget_s=budget_s).run()
    return _verdict(found, asked, region, energy, flow, claim)


def _region(box: Any) -> np.ndarray:
    region = np.asarray(box, np.float64)
    if region.ndim != 2 or region.shape[1] != 2 or not len(region):
        msg = f"box.shape={region.shape!r}: need rows (lo, hi), one for each coordinate, and one for time if it is read"
        raise InputError(msg)
    for row, (lo, hi) in enumerate(region.tolist()):
        if not (np.isfinite(lo) and np.isfinite(hi)):
            msg = f"box[{row}]=({lo!r}, {hi!r}): only bounded regions can be certified"
            raise InputError(msg)
        if lo > hi:
            msg = f"box[{row}]=({lo!r}, {hi!r}) is empty: write the lower end first"
            raise InputError(msg)
    return region


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
        values = np.asarray(jax.vmap(function)(jnp.asarray(points)))
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


def _verdict(
    found: Found, asked: Question, region: np.ndarray, energy: EnergyFn, flow: Any, claim: str | tuple[str, float]
) -> Verdict:
    where = f"{_box_words(region, timed=asked.timed)}, {len(asked.constraints)} constraints; {SEMANTICS}"
    counts = {
        "boxes": found.boxes, "leaves": len(found.leaves), "open_boxes": len(found.open), "open_share": found.share,
        "seconds": found.seconds, "claim": asked.words,
    }  # fmt: skip
    if found.hole is not None:
        reason = f"the question is undefined at {found.hole.tolist()}: shrink the region or mend the formula"
        return Verdict("failed", reason, where, 0.0, None, counts | {"point": found.hole.tolist()})
    if found.rise is not None:
        reason = f"{asked.words} is false at {found.rise.tolist()}, by Arb balls"
        witness = witness_at(found.rise, asked, energy, flow, claim)
        return Verdict("broken", reason, where, 0.0, witness, counts | {"point": found.rise.tolist()})
    if len(found.open):
        reason = f"{asked.words} is open on {found.share:.2g} of the box, in {len(found.open)} boxes"
        return Verdict("undecided", reason, where, 0.0, None, counts | {"open": found.open[:1000].tolist()})
    made, why_not = certificate(asked, region, found.leaves)
    reason = f"{asked.words} holds all over the region: {len(found.leaves)} boxes decided by outward rounded intervals"
    return Verdict("certified", reason, where, 0.0, None, counts | {"certificate": made, "no_certificate": why_not})


def _box_words(region: np.ndarray, *, timed: bool) -> str:
    names = [*(f"x{place}" for place in range(len(region) - timed)), *(("t",) if timed else ())]
    return ", ".join(f"{name} in [{lo:g}, {hi:g}]" for name, (lo, hi) in zip(names, region.tolist(), strict=True))


def witness_at(
    point: np.ndarray, asked: Question, energy: EnergyFn, flow: Any, claim: str | tuple[str, float]
) -> Witness:
    """The witness at a point: a step for a map, a rate for a flow."""
    x0: Array = jnp.asarray(point[:-1] if asked.timed else point)
    t0 = float(point[-1]) if asked.timed else 0.0
    time = jnp.asarray(t0)
    if isinstance(flow, Map) and claim != "positive":
        x1 = flow(x0)
        return Witness("step", t0, x0, t0, x1, float(energy(time, x1) - energy(time, x0)))
    if claim == "positive":
        return Witness("step", t0, x0, t0, x0, 0.0)
    return Witness("rate", t0, x0, None, None, float(generator(energy, flow)(time, x0, None).total))
