r"""`prove`: the sign of a rate for all points of a region, by exact algebra; a witness where it is wrong.

What is asked is read off the code as a rational function of the coordinates and of the functions in it. Then, cheapest
first and each step exact: is it 0, are its factors and terms of one sign, does it change its sign at a root, is it a
sum of squares with the region's inequalities (and those that the functions obey) as weights. Case by case where the
code branches. Nothing is concluded from floats: they only suggest what is then checked in rational numbers.
"""

import time
from collections.abc import Callable, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from flint import fmpq
from jaxtyping import Array

from .._errors import InputError
from .._types import EnergyFn
from ..algebra import Outcome, Task, attempt, rows_of
from ..lyapunov import Verdict
from ..programs import Program, translate
from ._certify import SEMANTICS, hold_against_jax, witness_at
from ._points import Points, bounded
from ._question import Question, _reads_time, question


GUESSES = range(1, 17)
FAMILIES = {
    "exp", "expm1", "sin", "cos", "tan", "sinh", "cosh", "tanh", "logistic", "lse", "softmax", "pow"
}  # fmt: skip
"""Operations for which there is a second way to write things: all exponentials, all sines of single angles."""
PROBES = 48
LOOK_S, LAST_LOOK_S = 0.5, 3.0


def prove(
    energy: EnergyFn,
    flow: Any,
    *,
    box: Any = None,
    constraints: Sequence[Callable] = (),
    claim: str | tuple[str, float] = "nonincrease",
    size: int | None = None,
    budget_s: float = 20.0,
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

    Returns:
        ``proved`` with the proof in ``evidence["proof"]``, ``broken`` with a witness, ``failed`` where the question is
        undefined somewhere in the region, or ``undecided`` with what is left.

    Raises:
        InputError: the box is malformed, the claim unknown, the size not to be found, or the code uses a primitive that
            is not understood.
        TranslationError: the program does not compute what the code computes.
    """
    start = time.monotonic()
    region = _region(energy, flow, constraints, box, size)
    asked = question(energy, flow, len(region), constraints, claim)
    sloped = asked.program(slopes=True)
    hold_against_jax(asked, sloped, bounded(region, 4.0))
    points = Points(sloped, len(asked.constraints), region, strict=asked.strict)
    plain = _with_energy(asked, energy)
    try:
        status, reason, found, extra = _answer(asked, plain, points, region, start + budget_s)
    except KeyboardInterrupt:
        status, reason, found, extra = "undecided", "interrupted: nothing is decided", None, {}
    witness = None if found is None or status != "broken" else witness_at(found, asked, energy, flow, claim)
    place = {} if found is None else {"point": found.tolist()}
    evidence = {"claim": asked.words, "seconds": time.monotonic() - start} | place | extra
    where = f"{_words(region, timed=asked.timed)}, {len(asked.constraints)} constraints; {SEMANTICS}"
    return Verdict(status, reason, where, 0.0, witness, evidence)


# Region


def _region(energy: EnergyFn, flow: Any, constraints: Sequence[Callable], box: Any, size: int | None) -> np.ndarray:
    if box is None:
        size, timed = _guessed(energy, flow, constraints, size)
        return np.tile([-np.inf, np.inf], (size + timed, 1))
    region = np.asarray(box, np.float64)
    if region.ndim != 2 or region.shape[1] != 2 or not len(region):
        msg = f"box.shape={region.shape!r}: need rows (lo, hi), one for each coordinate, and one for time if it is read"
        raise InputError(msg)
    for row, (lo, hi) in enumerate(region.tolist()):
        if not lo <= hi or lo == np.inf or hi == -np.inf:
            msg = f"box[{row}]=({lo!r}, {hi!r}): need numbers, the lower end first"
            raise InputError(msg)
    return region


def _guessed(energy: EnergyFn, flow: Any, constraints: Sequence[Callable], size: int | None) -> tuple[int, bool]:
    """The size of the state that the flow accepts, and whether anything reads the time."""
    found = []
    for guess in GUESSES if size is None else (size,):
        try:
            found.append((guess, _reads_time(energy, flow, constraints, guess)))
        except (TypeError, ValueError, IndexError):  # JAX on a shape that does not fit
            continue
    if len(found) != 1:
        which = "no size" if not found else f"sizes {[guess for guess, _ in found]}"
        msg = f"box=None, size={size!r}: {which} accepted by flow and energy; give size=, the entries of the state"
        raise InputError(msg)
    return found[0]


def _words(region: np.ndarray, *, timed: bool) -> str:
    names = _names(len(region), timed=timed)
    if not np.any(np.isfinite(region)):
        return f"all {', '.join(names)}"
    return ", ".join(f"{name} in [{lo:g}, {hi:g}]" for name, (lo, hi) in zip(names, region.tolist(), strict=True))


def _names(rows: int, *, timed: bool) -> tuple[str, ...]:
    return (*(f"x{place}" for place in range(rows - timed)), *(("t",) if timed else ()))


def _with_energy(asked: Question, energy: EnergyFn) -> Program:
    """The program of number, constraints and energy: the energy too has to be defined in the region."""

    def everything(point: Array) -> tuple:
        t, x = (point[-1], point[:-1]) if asked.timed else (jnp.zeros((), point.dtype), point)
        return (asked.number(point), *(one(point) for one in asked.constraints), jnp.asarray(energy(t, x)))

    return translate(everything, (asked.rows,))


def probes(region: np.ndarray) -> tuple[tuple[fmpq, ...], ...]:
    """Random points of a region, for tests."""
    box = bounded(region, 2.0)
    points = np.random.default_rng(3).uniform(box[:, 0], box[:, 1], (PROBES, len(box)))
    return tuple(tuple(fmpq(*value.as_integer_ratio()) for value in point) for point in points.tolist())


# Answer


Answer = tuple[str, str, np.ndarray | None, dict[str, Any]]


def _answer(asked: Question, program: Program, points: Points, region: np.ndarray, deadline: float) -> Answer:
    """Status, reason, a point, and evidence: a short look for a witness, proofs, a longer look."""

    def task(share: float, *, split: bool = False, deep: bool = True, only_defined: bool = False) -> Task:
        now = time.monotonic()
        names = _names(len(region), timed=asked.timed)
        until = now + share * max(deadline - now, 0.5)
        limits = rows_of(region.tolist())
        return Task(program, names, limits, asked.strict, split, until, probes(region), only_defined, deep)

    def defined() -> Outcome:
        return attempt(task(0.2, only_defined=True))

    found = points.simple() or points.search(LOOK_S)
    if found is not None:
        return _refuted(asked, found, defined)
    two = any(node.op in FAMILIES for node in program.nodes)
    left: list[str] = []
    for deep, share in ((False, 0.25), (True, 0.6)):
        for split in (False, True) if two else (False,):
            outcome = attempt(task(share, split=split, deep=deep))
            settled = _settled(asked, outcome, points)
            if settled is not None:
                return settled
            left = left or outcome.why
    found = points.search(min(LAST_LOOK_S, max(deadline - time.monotonic(), 0.2)))
    if found is not None:
        return _refuted(asked, found, defined)
    rest = left[0] if left else ""
    return "undecided", f"{asked.words} was neither shown nor refuted; left: {rest}", None, {"left": rest}


def _refuted(asked: Question, found: tuple[str, np.ndarray], defined: Callable[[], Outcome]) -> Answer:
    """A point was found; a rise only counts if the question is defined everywhere."""
    kind, point = found
    if kind == "hole":
        reason = f"the question is undefined at {point.tolist()}: shrink the region or mend the formula"
        return "failed", reason, point, {}
    outcome = defined()
    if outcome.status == "ill":
        return "failed", _ill(outcome), None, {"rise": point.tolist()}
    known = "everywhere in the region" if outcome.status == "proved" else "not shown everywhere in the region"
    return "broken", f"{asked.words} is false at {point.tolist()}, by Arb balls", point, {"defined": known}


def _ill(outcome: Outcome) -> str:
    return f"the question is undefined somewhere in the region, which violates {outcome.why[0]}: shrink the region"


def _settled(asked: Question, outcome: Outcome, points: Points) -> Answer | None:
    """What an attempt settles, if anything."""
    if outcome.status == "proved":
        method = " and ".join(sorted(outcome.methods)) or "no case is left"
        proof = {"method": method, "proof": outcome.why, "cases": outcome.cases}
        return "proved", f"{asked.words} holds everywhere in the region, by {method}", None, proof
    if outcome.status == "ill":
        return "failed", _ill(outcome), None, {}
    if outcome.status == "empty":
        return "failed", "the region is empty: no point of the box satisfies the constraints", None, {}
    if outcome.status == "zero":
        point = points.inside()
        if point is not None and outcome.cases == 1:
            return "broken", f"{asked.words} is false: {outcome.why[0]}", point, {"method": "identity"}
    return None
