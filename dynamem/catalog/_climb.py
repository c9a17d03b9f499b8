"""Rows climb to `proved` where a theorem, proved on the traced code, covers energy, dynamics, solver and schedule.

A theorem speaks of real arithmetic and of all states, a row of floats and some states: so a row without a rise climbs,
and a row whose energy rose beyond its rounding bound contradicts its theorem, which is an error that is told.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from ..theorems import Outcome
from ._memories import SPAN


COVERED = {
    ("A1", "gradient", "own", None, "rate"),
    ("A2", "gradient", "own", None, "rate"),
    ("A5", "gradient", "own", "Euler", "pathwise"),
    ("A10", "gradient", "own", None, "rate"),
    ("D4", "probability_flow", "free", None, "rate"),
    ("D7", "probability_flow", "free", "DDIM", "pathwise"),
    ("D7", "probability_flow", "free", "Euler", "pathwise"),
    ("D13", "probability_flow", "free", "DPMSolver2S", "pathwise"),
    ("D8", "reverse_sde", "free_churn", None, "rate"),
    ("D8", "reverse_sde", "density", None, "rate"),
    ("D14", "reverse_sde", "free_churn", "DDPM", "mean"),
}
"""Theorem, dynamics, energy, solver and statement. None covers an adaptive solver, which approximates a flow."""
LONGEST_STEP = 2.0


def is_covered(row: Mapping[str, Any]) -> bool:
    """Whether the theorem that the row names says that its energy does not rise, with its solver and schedule."""
    cell = tuple(row[name] for name in ("theorem", "dynamics", "energy", "solver", "statement"))
    if cell not in COVERED:
        return False
    return row["theorem"] != "A5" or SPAN / row["steps"] <= LONGEST_STEP


def theorems_of(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    """Names of the theorems that cover some of the rows."""
    return sorted({row["theorem"] for row in rows if is_covered(row)})


def climb(rows: Iterable[dict[str, Any]], outcomes: Mapping[str, Outcome]) -> list[str]:
    """Raise what `holds` and is covered to `proved`, in place.

    Returns:
        A sentence for each row that contradicts a proved theorem, and for each theorem that was not proved.
    """
    told = [f"{one.name} is {one.status}: {one.reason}" for one in outcomes.values() if one.status != "proved"]
    for row in rows:
        found = outcomes.get(row["theorem"]) if is_covered(row) else None
        if found is None or found.status != "proved":
            continue
        if row["verdict"] == "holds":
            row["verdict"] = "proved"
            row["reason"] += f"; none for any state by {found.name}: {found.title}"
        elif row["verdict"] == "broken":
            where = f"{row['system']}, {row['energy']}, {row['solver'] or 'rate'} {row['steps'] or ''}".rstrip()
            told.append(f"CONTRADICTION of {found.name}, which is proved: {where} rises by {row['largest_rise']!r}")
    return told
