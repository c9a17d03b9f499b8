"""From states to all states between them: a certificate for what an assertion found at some."""

from typing import Any

import numpy as np

from .._errors import DynamemError
from ..lyapunov._inputs import Question
from ..rigour import certify, reads_time


def on_the_box(ask: Question, xs: np.ndarray, span: tuple[float, float], seconds: float) -> dict[str, Any]:
    """Does the energy fall everywhere in the smallest box around the states, in real arithmetic?

    Arguments:
        ask: what was asked at the states.
        xs: the states, shape (B, D).
        span: first and last time.
        seconds: budget.

    Returns:
        Status, reason, region and certificate (None without one).
    """
    why = _why_not(ask, xs)
    if why:
        return {"status": "undecided", "reason": why, "region": "", "certificate": None}
    box = list(zip(xs.min(axis=0).tolist(), xs.max(axis=0).tolist(), strict=True))
    try:
        if reads_time(ask.energy, ask.dynamics, (), xs.shape[1]):
            box.append((float(span[0]), float(span[1])))
        found = certify(ask.energy, ask.dynamics, box, budget_s=seconds)
    except (DynamemError, TypeError, ValueError) as error:
        why = f"it could not be asked: {next(iter(str(error).splitlines()), type(error).__name__)}"
        return {"status": "undecided", "reason": why, "region": "", "certificate": None}
    return {"status": found.status, "reason": found.reason, "region": found.region,
            "certificate": found.evidence.get("certificate")}  # fmt: skip


def _why_not(ask: Question, xs: np.ndarray) -> str:
    if ask.args is not None:
        return "terms that take args are not certified: close over them"
    if ask.tolerance:
        return f"a tolerance of {ask.tolerance:g} was asked for, and a certificate forgives nothing"
    if ask.noisy and ask.interpretation != "ito":
        return "noise in the Stratonovich sense is not certified"
    if xs.dtype != np.float64:
        return "states in float32: certificates are made in float64"
    return ""
