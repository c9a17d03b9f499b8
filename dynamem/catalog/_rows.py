"""One row of an audit: what was run, what its energy did, and why."""

from typing import Any

import numpy as np


PARTS = ("schedule", "dissipation", "drift", "ito", "martingale", "discretisation")


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


def fraction(rises: int, pairs: int) -> float | None:
    """Rises over pairs, None where there was nothing to count."""
    return rises / pairs if pairs else None


def listed(x: Any) -> list[float]:
    """A state as plain floats."""
    return [float(value) for value in np.asarray(x)]
