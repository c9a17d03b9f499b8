"""A cell of the table: a short answer, and the numbers that it is made of."""

import dataclasses
from typing import Any


@dataclasses.dataclass(frozen=True)
class Cell:
    """One answer.

    Attributes:
        text: for people.
        verdict: yes, no or partly, where the property is a question; None where it is a formula or a number.
        evidence: the numbers behind it, and how they were computed.
    """

    text: str
    verdict: str | None
    evidence: dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Property:
    """A row: its name as the survey has it, what is measured for it, and a cell for each system."""

    name: str
    measured: str
    cells: dict[str, Cell]


def number(value: float) -> str:
    """A number for a cell."""
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def share(part: int, whole: int) -> str:
    """``part`` of ``whole`` in words."""
    return f"{part:,} of {whole:,}"
