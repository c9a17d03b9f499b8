"""A row about the rate of a small system climbs to a whole region, or falls by a rise that a search had missed."""

import dataclasses

import numpy as np

from .._errors import DynamemError
from ..lyapunov import Verdict
from ..rigour import certify, reads_time
from ._system import System


MOST_COORDINATES, BUDGET_S = 3, 10.0


def on_region(system: System, found: Verdict) -> Verdict:
    """The verdict on the box of the initial states (and all times of the run, if anything reads time).

    Larger systems keep their verdict: a slice would not hold what their runs visit. `certified` and `proved` are about
    the box that the reason names, not about states that runs visit beyond it. A rise in the box is a rise; where the
    box leaves it open, or where the rate is undefined somewhere in it, the verdict stays and its reason says so.
    """
    states = np.asarray(system.states, np.float64)
    size = states.shape[1]
    if size > MOST_COORDINATES:
        return found
    box = list(zip(states.min(axis=0).tolist(), states.max(axis=0).tolist(), strict=True))
    try:
        if reads_time(system.energy, system.flow, (), size):
            box.append((float(system.t0), float(system.t1)))
        whole = certify(
            system.energy,
            system.flow,
            box,
            budget_s=BUDGET_S,
        )
    except DynamemError as error:
        return dataclasses.replace(found, reason=f"{found.reason}; not certified: {error}")
    reason = f"{found.reason}; on {whole.region}: {whole.status}, {whole.reason}"
    if whole.status in ("certified", "proved"):
        return dataclasses.replace(found, status=whole.status, reason=reason)
    if whole.status == "broken":
        return dataclasses.replace(
            found, status="broken", reason=reason, witness=whole.witness, evidence=found.evidence | {"rises": 1}
        )
    return dataclasses.replace(found, reason=reason)
