"""The rung of exact algebra under one question on one region: what it settles, and a rise held against it."""

import dataclasses
import functools
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from flint import fmpq

from .._errors import ContradictionError
from ..algebra import Outcome, Task, attempt, points_of, rows_of
from ..programs import Program
from ._decide import decide
from ._points import Points, bounded, simple_points
from ._poles import pole_between
from ._question import Question
from ._setting import hold_against_jax, narrowest


FAMILIES = {
    "exp", "expm1", "sin", "cos", "tan", "sinh", "cosh", "tanh", "logistic", "lse", "softmax", "pow"
}  # fmt: skip
"""Operations for which there is a second way to write things: all exponentials, all sines of single angles."""
PROBES, BATCH, POLES = 48, 4096, 256
QUICK_S, HOLES_S = 2.0, 2.0
"""Seconds for a second opinion on a rise, and for a look for points where the question is undefined."""


@dataclasses.dataclass(frozen=True)
class Settled:
    """A verdict's status, reason, point and evidence."""

    status: str
    reason: str
    point: np.ndarray | None = None
    evidence: dict[str, Any] = dataclasses.field(default_factory=dict)


class Ladder:
    """Exact algebra about one question.

    Arguments:
        asked: the question.
        region: rows (lo, hi), infinite ends allowed.
    """

    def __init__(self, asked: Question, region: np.ndarray) -> None:
        self.asked, self.region, self.program = asked, region, asked.program()
        hold_against_jax(asked, self.program, bounded(region, 4.0))
        self.left = ""
        """What is left to show, once something was tried."""

    @functools.cached_property
    def narrow(self) -> Program:
        """The program for intervals."""
        return narrowest(self.asked, self.program, bounded(self.region, 4.0))

    @functools.cached_property
    def points(self) -> Points:
        """Where it may fail; made when it is needed, since slopes cost time."""
        return Points(self.narrow, len(self.asked.constraints), self.region, strict=self.asked.strict)

    def _task(self, until: float, **how: bool) -> Task:
        names, limits = self.asked.names(), rows_of(self.region.tolist())
        return Task(self.program, names, limits, strict=self.asked.strict, deadline=until, points=self._probes(), **how)

    def _probes(self) -> tuple[tuple[fmpq, ...], ...]:
        """Random points of the region, at which each proof is held against the program."""
        box = bounded(self.region, 2.0)
        points = np.random.default_rng(3).uniform(box[:, 0], box[:, 1], (PROBES, len(box)))
        return tuple(tuple(fmpq(*value.as_integer_ratio()) for value in point) for point in points.tolist())

    def climb(self, until: float, *, deep: bool = True) -> Settled | None:
        """Prove it, or see that the question has no answer; None if neither succeeds in time."""
        two = any(node.op in FAMILIES for node in self.program.nodes)
        for far, share in ((False, 0.3), (True, 0.9)) if deep else ((False, 1.0),):
            for split in (False, True) if two else (False,):
                now = time.monotonic()
                outcome = attempt(self._task(now + share * max(until - now, 0.2), split=split, deep=far))
                settled = self._settled(outcome)
                if settled is not None:
                    return settled
                self.left = self.left or outcome.why[0]
        return None

    def _settled(self, outcome: Outcome) -> Settled | None:
        words = self.asked.words
        if outcome.status == "proved":
            method = " and ".join(sorted(outcome.methods))
            proof = {"method": method, "proof": outcome.why, "cases": outcome.cases}
            return Settled("proved", f"{words} holds everywhere in the region, by {method}", None, proof)
        if outcome.status == "ill":
            return Settled("failed", _ill(outcome))
        if outcome.status == "empty":
            return _empty()
        if outcome.status == "zero":
            point = self.points.inside()
            if point is not None:
                return Settled("broken", f"{words} is false: {outcome.why[0]}", point, {"method": "identity"})
        return None

    def against(self, point: np.ndarray) -> Settled:
        """What a rise comes to: it only counts if the question is defined everywhere in the region.

        Raises:
            ContradictionError: algebra proves that there is none.
        """
        where = f"{self.asked.words} is false at {point.tolist()}, by Arb balls"
        met = self.points.simple()
        if met is not None and met[0] == "hole":
            return undefined_at(met[1])
        proof = self.climb(time.monotonic() + QUICK_S, deep=False)
        if proof is not None and proof.status == "proved":
            msg = f"{where}, and {proof.reason}"
            raise ContradictionError(msg, proof.evidence, point)
        if proof is not None and proof.status == "failed":
            return dataclasses.replace(proof, evidence={"rise": point.tolist()})
        outcome = attempt(self._task(time.monotonic() + QUICK_S, only_defined=True))
        if outcome.status == "ill":
            return Settled("failed", _ill(outcome), None, {"rise": point.tolist()})
        if outcome.status != "proved":
            found = self.points.search(HOLES_S, holes=True)
            if found is not None and found[0] == "hole":
                return undefined_at(found[1])
        known = "everywhere in the region" if outcome.status == "proved" else "not shown everywhere in the region"
        return Settled("broken", where, point, {"defined": known})

    def pole(self) -> Settled | None:
        """A pole between two points of a box, where no constraint may keep it out."""
        if self.asked.constraints:
            return None
        box = bounded(self.region, 4.0)
        random = np.random.default_rng(5).uniform(box[:, 0], box[:, 1], (POLES, len(box)))
        ends = pole_between(self.program, np.concatenate([simple_points(box)[:POLES], random]))
        if ends is None:
            return None
        first, second = (end.tolist() for end in ends)
        reason = f"the question is undefined between {first} and {second}, where a denominator changes its sign"
        return Settled("failed", reason, None, {"between": [first, second]})

    def empty(self, words: Sequence[str]) -> Settled | None:
        """A region that boxes have used up (the words of their cuts are given) without a point of it among them."""
        outside = all(word.startswith("c") for word in words if not word.isdecimal())
        return _empty() if self.asked.constraints and outside else None

    def finite(self) -> Settled | None:
        """Point by point, where the constraints leave finitely many."""
        points = points_of(self._task(time.monotonic() + QUICK_S))
        if points is None:
            return None
        inside, rise = 0, None
        for point in points:
            settled = self._at(point)
            if settled == "hole":
                return undefined_at(np.asarray([float(one.p) / float(one.q) for one in point]))
            if settled == "open":
                return None
            inside += settled != "outside"
            rise = point if settled == "rise" and rise is None else rise
        if not inside:
            return _empty()
        if rise is not None:
            where = np.asarray([float(one.p) / float(one.q) for one in rise])
            reason = (
                f"{self.asked.words} is false at {where.tolist()}, one of the region's {inside} points, by Arb balls"
            )
            return Settled("broken", reason, where, {"points": inside})
        reason = f"{self.asked.words} holds at each of the region's {inside} points, by Arb balls"
        return Settled("proved", reason, None, {"method": "each point", "proof": [reason], "points": inside})

    def _at(self, point: tuple[fmpq, ...]) -> str:
        """What one point settles: by Arb where its coordinates are floats, or else exactly."""
        floats = np.asarray([float(one.p) / float(one.q) for one in point])
        if all(fmpq(*value.as_integer_ratio()) == one for value, one in zip(floats.tolist(), point, strict=True)):
            found = decide(self.program, len(self.asked.constraints), floats.tolist(), strict=self.asked.strict)
            if found != "open":
                return found
        limits = tuple((one, one) for one in point)
        task = dataclasses.replace(self._task(time.monotonic() + QUICK_S), box=limits, points=(point,))
        return {"proved": "fall", "empty": "outside"}.get(attempt(task).status, "open")


def undefined_at(point: np.ndarray) -> Settled:
    """A question without an answer at some point."""
    reason = f"the question is undefined at {point.tolist()}: shrink the region or mend the formula"
    return Settled("failed", reason, point)


def _ill(outcome: Outcome) -> str:
    return f"the question is undefined somewhere in the region, which violates {outcome.why[0]}: shrink the region"


def _empty() -> Settled:
    return Settled("failed", "the region is empty: no point of the box satisfies the constraints")
