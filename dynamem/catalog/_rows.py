"""One row of an audit: what was run, what its energy did, and why.

``clock`` is that of the energy ("tau" for a memory, whose energy does not read time): all times, states and rates of a
row are on it. What other fields hold depends on the statement:

=================  ===========================  ================================  ======================================
field              pathwise                     mean                              rate
=================  ===========================  ================================  ======================================
``rises``          (state, step) pairs that     steps whose mean over paths rose  states (searches, for a system of the
                   rose                                                           user's) where the rate is positive
``rise_fraction``  of all pairs                 of all steps                      of all states (searches)
``largest_rise``   rise of the worst step       mean change of the worst step     largest rate, per unit of the clock
``witness``        kind "step"                  kind "mean"                       kind "rate"
=================  ===========================  ================================  ======================================

A witness replays from the row alone. "step": ``E(t1, x1) - E(t0, x0) = change``. "rate": the generator at ``(t0, x0)``
is ``change``. "mean": ``changes`` of every path from ``t0`` to ``t1`` and their ``martingale`` parts; ``mean`` is the
mean of the differences, ``low`` and ``high`` its Student interval at level ``error/(2 steps)``. A null ``step`` says
that each path's change is summed over the steps that ``reason`` names.

``attribution`` adds up to ``largest_rise``. In mean the realised martingale parts, which are zero on average, have
been taken out of the changes, so that theirs is zero.
"""

from collections.abc import Iterable
from typing import Any

import numpy as np


PARTS = ("schedule", "dissipation", "drift", "ito", "martingale", "discretisation")
LONGEST = 300


def row(
    **found: Any,
) -> dict[str, Any]:
    """A row with every field of the audit's JSON; what was not found stays None (and the verdict ``failed``)."""
    fields = {
        "system": None,
        "dynamics": None,
        "schedule": None,
        "solver": None,
        "steps": None,
        "clock": None,
        "energy": None,
        "statement": None,
        "verdict": "failed",
        "reason": "",
        "tolerance": None,
        "theorem": None,
        "states": 0,
        "rises": 0,
        "rise_fraction": None,
        "largest_rise": None,
        "first_rise": None,
        "witness": None,
        "attribution": None,
        "seconds": None,
    }
    unknown = set(found) - set(fields)
    if unknown:
        msg = f"unknown fields {sorted(unknown)!r}"
        raise KeyError(msg)
    return fields | found


def failed_rows(planned: Iterable[dict[str, Any]], error: Exception) -> list[dict[str, Any]]:
    """The rows that were planned, all failed for the same reason."""
    return [row(**identity, reason=reason_of(error)) for identity in planned]


def reason_of(error: Exception) -> str:
    """``Type: message`` on one line, cut where it is long."""
    text = " ".join(f"{type(error).__name__}: {error}".split())
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 3]}..."


def fraction(rises: int, pairs: int) -> float | None:
    """Rises over pairs, None where there was nothing to count."""
    return rises / pairs if pairs else None


def listed(x: Any) -> list[float]:
    """An array of one dimension as plain floats."""
    return [float(value) for value in np.asarray(x)]
