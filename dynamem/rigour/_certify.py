r"""`certify`: the sign of a rate over a whole region, by branch and bound; a witness where it is wrong.

The outcome is ``certified`` (every box decided, in real arithmetic), ``broken`` (a point at which Arb is sure),
``failed`` (a point at which the question is undefined) or ``undecided``, with the volume that is left.
"""

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .._journal import recorded
from .._types import EnergyFn
from ..lyapunov import Verdict
from ._affine import affine_of
from ._certificate import certificate
from ._ladder import Ladder, Settled, undefined_at
from ._question import question
from ._search import Found, Search
from ._setting import region_of, where_of, witness_at


BOXES_S = 2.0
BOXES_SHARE, ALGEBRA_SHARE = 0.25, 0.5
"""Boxes alone have so many seconds, or this part of the budget; then algebra has its part of the rest."""


@recorded
def certify(
    energy: EnergyFn,
    flow: Any,
    box: Any,
    *,
    constraints: Sequence[Callable] = (),
    claim: str | tuple[str, float] = "nonincrease",
    affine: Any = None,
    budget_s: float = 20.0,
    algebra: bool = True,
) -> Verdict:
    """Has the rate of an energy one sign all over a region?

    Arguments:
        energy: any ``E(t, x)``.
        flow: a dynamem flow, any Diffrax terms (noise in the Ito sense), or a `Map`.
        box: rows ``(lo, hi)``, one for each coordinate of the state and one more, last, for time if anything reads it.
        constraints: functions ``c(t, x)``; the region is the part of the box where all are at most 0.
        claim: "nonincrease" (``LE <= 0``), "strict_decrease" (``LE < 0``), "positive" (``E > 0``) or ``("rate", r)``
            (``LE + r E <= 0``); for a map ``E(f(x)) - E(x)`` stands in the place of ``LE``.
        affine: ``(a, B)`` of shapes (D,) and (D, k), k at most 3: the states are ``x = a + B u``, and the rows of the
            box are the coordinates ``u`` (and time, last, as always).
        budget_s: seconds.
        algebra: whether exact algebra is tried where boxes leave something open for some seconds: a proof is stronger
            than a certificate, but cannot be replayed by `verify`.

    Returns:
        ``certified`` with a certificate in ``evidence["certificate"]``, ``broken`` with a witness, ``failed`` where the
        question is undefined somewhere in the region, ``proved`` with ``evidence["proof"]`` where boxes leave something
        open that algebra shows, or ``undecided`` with the boxes that are left.

    Raises:
        InputError: the box is malformed, the claim unknown, or the code uses a primitive that is not understood.
        TranslationError: the program does not compute what the code computes.
        ContradictionError: a point refutes what algebra proves.
    """
    deadline = time.monotonic() + budget_s
    region = region_of(box, bounded=True)
    asked = question(energy, flow, len(region), constraints, claim, affine_of(affine)).pinned(region)
    ladder = Ladder(asked, region)
    found, settled = _climb(ladder, region, deadline, algebra=algebra)
    where, evidence = where_of(asked, region), {"claim": asked.words, **_counts(found)}
    if settled is None:
        return _by_boxes(found, ladder, where, evidence)
    witness = None
    if settled.point is not None:
        evidence["point"] = settled.point.tolist()
        witness = witness_at(settled.point, asked, energy, flow, claim) if settled.status == "broken" else None
    return Verdict(settled.status, settled.reason, where, 0.0, witness, evidence | settled.evidence)


def _climb(
    ladder: Ladder, region: np.ndarray, deadline: float, *, algebra: bool
) -> tuple[Found | None, Settled | None]:
    """Point by point, boxes, algebra, boxes again: until something settles it, or the time is spent."""

    def search(seconds: float) -> Found:
        points, strict = ladder.points, ladder.asked.strict
        how = {"strict": strict, "confirm": points.decided, "budget_s": seconds}
        return Search(ladder.narrow, points.bounder, region, **how).run()

    try:
        settled = ladder.finite() or ladder.pole()
        if settled is not None:
            return None, settled
        left = deadline - time.monotonic()
        found = search(min(BOXES_S, BOXES_SHARE * left) if algebra else left)
        if algebra and _open(found) and not found.interrupted:
            now = time.monotonic()
            settled = ladder.climb(now + ALGEBRA_SHARE * max(deadline - now, 0.0))
            if settled is None:
                found = search(max(deadline - time.monotonic(), 0.1))
        if settled is None and found.hole is not None:
            settled = undefined_at(found.hole)
        elif settled is None and found.rise is not None:
            settled = ladder.against(found.rise)
        elif settled is None and not len(found.open):
            settled = ladder.empty(found.tree.cuts())
    except KeyboardInterrupt:
        return None, Settled("undecided", "interrupted: nothing is decided", None, {"interrupted": True})
    return found, settled


def _open(found: Found) -> bool:
    return len(found.open) > 0 and found.hole is None and found.rise is None


def _counts(found: Found | None) -> dict[str, Any]:
    if found is None:
        return {}
    return {
        "boxes": found.boxes, "leaves": found.tree.leaves, "open_boxes": len(found.open), "open_share": found.share,
        "seconds": found.seconds,
    }  # fmt: skip


def _by_boxes(found: Found | None, ladder: Ladder, where: str, evidence: dict[str, Any]) -> Verdict:
    """Certified, or what the boxes leave open."""
    assert found is not None
    asked = ladder.asked
    if len(found.open):
        reason = f"{asked.words} is open on {found.share:.2g} of the box, in {len(found.open)} boxes"
        left = {"open": found.open[:1000].tolist()} | ({"interrupted": True} if found.interrupted else {})
        return Verdict("undecided", reason, where, 0.0, None, evidence | left)
    made, why_not = certificate(asked, ladder.narrow, ladder.region, found.tree, found.points)
    reason = f"{asked.words} holds all over the region: {found.tree.leaves} boxes decided by outward rounded intervals"
    return Verdict("certified", reason, where, 0.0, None, evidence | {"certificate": made, "no_certificate": why_not})
