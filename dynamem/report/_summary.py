"""The first page in plain words: what was audited, what came out, and how the theory fared."""

import dataclasses
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from ..catalog._audit_types import AGREES, CONTRADICTED, NOT_EXERCISED, Audit, Claim
from ._blocks import Table
from ._words import COUNTED, ENERGIES, SHORT, STATEMENTS, VERDICTS, counted, energy_name, listed, method, number


Row = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Summary:
    """What stands above the figures.

    Attributes:
        title: of the page.
        lines: paragraphs.
        alarm: names of the claims that the numbers contradict, as a sentence, or empty.
        verdicts: how many rows have which verdict.
        failed: the rows that failed, None if there are none.
        claims: the claims, contradicted ones first.
        questions: what each kind of row asks.
        energies: what each energy is.
        environment: how to run the audit again.
    """

    title: str
    lines: list[str]
    alarm: str
    verdicts: Table
    failed: Table | None
    claims: list[Claim]
    questions: Table
    energies: Table
    environment: Table


def summary_of(audit: Audit) -> Summary:
    """Counts and sentences from an audit's rows and claims."""
    rows = audit.rows
    data = audit.environment.get("data") or {}
    return Summary(
        title=f"Which energies fall? An audit on {data.get('name', 'stored patterns')}",
        lines=_lines(audit, data),
        alarm=_alarm(audit.claims),
        verdicts=_verdicts(rows),
        failed=_failed([row for row in rows if row["verdict"] == "failed"]),
        claims=sorted(audit.claims, key=lambda claim: [CONTRADICTED, NOT_EXERCISED, AGREES].index(claim.outcome)),
        questions=_questions(rows),
        energies=_energies(rows),
        environment=settings_table(audit.environment),
    )


def settings_table(environment: Mapping[str, Any]) -> Table:
    """Settings and versions, one a line."""
    return Table("Settings and versions", ("setting", "value"), list(_flat(environment)))


def _lines(audit: Audit, data: Mapping[str, Any]) -> list[str]:
    rows, shape = audit.rows, data.get("shape") or ()
    kinds = dict.fromkeys(str(SHORT.get(row["dynamics"], row["dynamics"])) for row in rows)
    patterns = f" The stored patterns are {shape[0]} vectors of dimension {shape[1]}." if len(shape) == 2 else ""
    lines = [
        "Retrieving a memory and sampling from a diffusion model are both motions of a state. An energy that never "
        "rises along such a motion explains where it ends. This audit asks, for each energy, each kind of motion, "
        "each noise schedule and each numerical solver, whether the energy ever rises.",
        f"It has {counted(len(rows), 'row')}, one for each combination that was tried"
        + (f" ({listed(list(kinds))})." if kinds else ".")
        + patterns,
    ]
    if audit.claims:
        found = Counter(claim.outcome for claim in audit.claims)
        idle = f", and {found[NOT_EXERCISED]} met nothing that could decide" if found[NOT_EXERCISED] else ""
        lines.append(
            f"{found[AGREES]} of {counted(len(audit.claims), 'claim')} of the theory agree with these numbers{idle}."
        )
    return lines


def _alarm(claims: Sequence[Claim]) -> str:
    against = [claim.name for claim in claims if claim.outcome == CONTRADICTED]
    if not against:
        return ""
    return f"The numbers contradict {counted(len(against), 'claim')} of the theory: {listed(against)}."


def _verdicts(rows: Sequence[Row]) -> Table:
    found = Counter(row["verdict"] for row in rows)
    order = [*(verdict for verdict in VERDICTS if verdict in found), *sorted(set(found) - set(VERDICTS))]
    cells = [(verdict, str(found[verdict]), VERDICTS.get(verdict, "")) for verdict in order]
    return Table("Verdicts", ("verdict", "rows", "meaning"), cells)


def _failed(rows: Sequence[Row]) -> Table | None:
    if not rows:
        return None
    cells = [(row["system"], method(row), energy_name(row["energy"]), row["reason"]) for row in rows]
    return Table(f"{counted(len(rows), 'row')} failed", ("system", "run", "energy", "reason"), cells)


def _questions(rows: Sequence[Row]) -> Table:
    asked = [kind for kind in STATEMENTS if any(row["statement"] == kind for row in rows)]
    cells = [
        (
            {"pathwise": "run by a solver", "mean": "mean over runs", "rate": "exact rate"}[kind],
            str(sum(row["statement"] == kind for row in rows)),
            STATEMENTS[kind],
            COUNTED[kind],
        )
        for kind in asked
    ]
    return Table("The questions", ("kind of row", "rows", "statement that is tested", "what counts as a rise"), cells)


def _energies(rows: Sequence[Row]) -> Table:
    used = [energy for energy in ENERGIES if any(row["energy"] == energy for row in rows)]
    return Table("The energies", ("energy", "what it is"), [ENERGIES[energy] for energy in used])


def _flat(value: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Nested settings as lines; ``packages: {jax: 1}`` becomes ``packages, jax``."""
    cells: list[tuple[str, str]] = []
    for name, item in value.items():
        label = f"{prefix}{name}".replace("_", " ")
        if isinstance(item, Mapping):
            cells += _flat(item, f"{label}, ")
        elif isinstance(item, list | tuple):
            cells.append((label, " × ".join(map(str, item)) if name == "shape" else ", ".join(map(_text, item))))
        else:
            cells.append((label, _text(item)))
    return cells


def _text(item: Any) -> str:
    if isinstance(item, bool):
        return "yes" if item else "no"
    return number(item, 12) if isinstance(item, float) else str(item)
