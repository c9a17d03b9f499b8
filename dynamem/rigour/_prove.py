r"""`prove`: the sign of a rate for all points of a region, by exact algebra; a witness where it is wrong.

What is asked is read off the code as a rational function of the coordinates and of the functions in it. Then, cheapest
first and each step exact: is it 0, are its factors and terms of one sign, does it change its sign at a root, is it a
sum of squares with the region's inequalities (and those that the functions obey) as weights. Case by case where the
code branches. Nothing is concluded from floats: they only suggest what is then checked in rational numbers.
"""

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .._errors import InputError
from .._journal import recorded
from .._types import EnergyFn
from ..lyapunov import Verdict
from ._ladder import Ladder, Settled, undefined_at
from ._question import question, reads_time
from ._referee import hold_against, opinion, solver_module
from ._setting import region_of, where_of, witness_at


GUESSES = range(1, 17)
LOOK_S, LAST_LOOK_S = 0.5, 3.0


@recorded
def prove(
    energy: EnergyFn,
    flow: Any,
    *,
    box: Any = None,
    constraints: Sequence[Callable] = (),
    claim: str | tuple[str, float] = "nonincrease",
    size: int | None = None,
    budget_s: float = 20.0,
    referee: bool = False,
) -> Verdict:
    """Does an energy fall along a flow at every point of a region? In real arithmetic, with a proof.

    Arguments:
        energy: any ``E(t, x)``.
        flow: a dynamem flow, any Diffrax terms (noise in the Ito sense), or a `Map`.
        box: rows ``(lo, hi)``, one for each coordinate of the state and one more, last, for time if anything reads it;
            infinite ends are allowed. None: all states (and all times).
        constraints: functions ``c(t, x)``; the region is the part of the box where all are at most 0.
        claim: "nonincrease" (``LE <= 0``), "strict_decrease" (``LE < 0``), "positive" (``E > 0``) or ``("rate", r)``
            (``LE + r E <= 0``); for a map ``E(f(x)) - E(x)`` stands in the place of ``LE``.
        size: entries of the state, where there is no box and the flow accepts states of several sizes.
        budget_s: seconds, more or less.
        referee: whether the SMT solver z3 is asked too, where the question is polynomial or rational and got an answer;
            what it says is told in ``evidence["referee"]``. It has `OPINION_S` more seconds.

    Returns:
        ``proved`` with the proof in ``evidence["proof"]``, ``broken`` with a witness, ``failed`` where the question is
        undefined somewhere in the region, or ``undecided`` with what is left.

    Raises:
        InputError: the box is malformed, the claim unknown, the size not to be found, or the code uses a primitive that
            is not understood; or a referee is asked for and z3 is not installed.
        TranslationError: the program does not compute what the code computes.
        ContradictionError: a point refutes what algebra proves, or the referee says the opposite.
    """
    start = time.monotonic()
    module = solver_module() if referee else None
    region = _whole(energy, flow, constraints, size) if box is None else region_of(box, bounded=False)
    asked = question(energy, flow, len(region), constraints, claim)
    ladder = Ladder(asked, region)
    try:
        found = _answer(ladder, start + budget_s)
    except KeyboardInterrupt:
        found = Settled("undecided", "interrupted: nothing is decided")
    evidence = {"claim": asked.words, "seconds": time.monotonic() - start} | found.evidence
    if module is not None and found.status != "failed":
        said = opinion(ladder.program, region, strict=asked.strict, z3=module)
        evidence |= hold_against(said, found.status, found.reason, found)
    witness = None
    if found.point is not None:
        evidence["point"] = found.point.tolist()
        witness = witness_at(found.point, asked, energy, flow, claim) if found.status == "broken" else None
    return Verdict(found.status, found.reason, where_of(asked, region), 0.0, witness, evidence)


def _answer(ladder: Ladder, deadline: float) -> Settled:
    """A short look for a witness, proofs, a longer look."""
    found = ladder.finite() or ladder.pole()
    if found is not None:
        return found
    points = ladder.points
    met = points.simple() or points.search(LOOK_S)
    if met is None:
        settled = ladder.climb(deadline - LAST_LOOK_S)
        if settled is not None:
            return settled
        met = points.search(min(LAST_LOOK_S, max(deadline - time.monotonic(), 0.2)))
    if met is not None:
        return undefined_at(met[1]) if met[0] == "hole" else ladder.against(met[1])
    reason = f"{ladder.asked.words} was neither shown by algebra nor refuted; left: {ladder.left}"
    if np.all(np.isfinite(ladder.region)):
        reason += "; certify decides by boxes too"
    return Settled("undecided", reason, None, {"left": ladder.left})


def _whole(energy: EnergyFn, flow: Any, constraints: Sequence[Callable], size: int | None) -> np.ndarray:
    """All states, and all times if anything reads the time."""
    size, timed = _guessed(energy, flow, constraints, size)
    return np.tile([-np.inf, np.inf], (size + timed, 1))


def _guessed(energy: EnergyFn, flow: Any, constraints: Sequence[Callable], size: int | None) -> tuple[int, bool]:
    """The size of the state that the flow accepts, and whether anything reads the time."""
    found = []
    for guess in GUESSES if size is None else (size,):
        try:
            found.append((guess, reads_time(energy, flow, constraints, guess)))
        except (TypeError, ValueError, IndexError):  # JAX on a shape that does not fit
            continue
    if len(found) != 1:
        which = "no size" if not found else f"sizes {[guess for guess, _ in found]}"
        msg = f"box=None, size={size!r}: {which} accepted by flow and energy; give size=, the entries of the state"
        raise InputError(msg)
    return found[0]
