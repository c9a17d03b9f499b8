"""The audit for people: a matrix for each dynamics and statement, a legend, and the rows that need attention.

The rows of a matrix are schedules (or memories) and solvers, its columns are energies, and a cell is a mark. The text
has at most `WIDTH` columns and only ASCII of its own, so that it reads the same in a log, a mail or a terminal.
"""

import io
import shutil
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from rich.console import Console
from rich.table import Table
from rich.text import Text


WIDTH = 100
CELL = 11  # 'broken 100%'
LISTED = 20

Row = dict[str, Any]

VERDICTS = {  # from the worst, with the style on a terminal and the legend
    "failed": ("magenta", "the computation failed or the question is ill-posed"),
    "broken": ("red", "the energy rose, in this share of the steps (of the states, for rates)"),
    "undecided": ("yellow", "the evidence decides neither way"),
    "holds": ("green", "it never rose on the states that were tried: evidence, no proof"),
    "certified": ("bold green", "proved with rigorous arithmetic on a stated region"),
    "proved": ("bold green", "proved symbolically"),
}
ENERGIES = ("own", "density", "density_canonical", "hopfield", "frozen", "free", "free_churn")
DYNAMICS = {
    "gradient": "Memories (gradient flow)",
    "probability_flow": "Probability flow (ODE)",
    "reverse_sde": "Reverse SDE",
}
STATEMENTS = {
    "pathwise": "no step raises the energy",
    "mean": "no step raises the energy in the mean",
    "rate": "the rate of change is never positive",
}
PROMISED = {"D4": ("free",), "D7": ("free",), "D8": ("free_churn", "density"), "D14": ("free_churn",)}


class Block(NamedTuple):
    """One matrix: `cells[section, label][energy]` are the rows of the audit that fall there."""

    dynamics: str
    statement: str
    cells: dict[tuple[str, str], dict[str, list[Row]]]
    energies: tuple[str, ...]


def audit_table(rows: list[Row], claims: Sequence[Any] = ()) -> str:
    """The whole text for standard output.

    Args:
        rows: rows of the audit, as in its JSON.
        claims: statements of the theory held against the rows, with `name`, `statement`, `agrees` and `measured`.

    Returns:
        Lines of at most `WIDTH` columns; with colours where standard output is a terminal.
    """
    on_terminal = sys.stdout.isatty()
    width = min(WIDTH, shutil.get_terminal_size((WIDTH, 24)).columns) if on_terminal else WIDTH
    page = io.StringIO()
    console = Console(
        file=page,
        width=width,
        force_terminal=on_terminal,
        force_jupyter=False,
        color_system="auto" if on_terminal else None,
        markup=False,
        highlight=False,
        emoji=False,
    )
    for block in blocks(rows):
        title = f"{DYNAMICS.get(block.dynamics, block.dynamics)}: {STATEMENTS.get(block.statement, block.statement)}"
        console.print(Text(title, style="bold"))
        console.print(_matrix(block, width), "", sep="\n")
    for text in (*_legend(rows), *_attention(rows), *_theory(claims)):
        console.print(text)
    return "\n".join(line.rstrip() for line in page.getvalue().split("\n"))


def blocks(rows: Iterable[Row]) -> list[Block]:
    """The rows, sorted into matrices; sections and labels keep the order in which they come."""
    found: dict[tuple[str, str], Block] = {}
    for row in rows:
        key = (row["dynamics"], row["statement"])
        block = found.setdefault(key, Block(*key, {}, ()))
        cell = block.cells.setdefault((section_of(row), label_of(row)), {})
        cell.setdefault(row["energy"], []).append(row)
        if row["energy"] not in block.energies:
            found[key] = block._replace(energies=_ordered({*block.energies, row["energy"]}))
    order = [*DYNAMICS]
    return sorted(found.values(), key=lambda b: order.index(b.dynamics) if b.dynamics in order else len(order))


def _ordered(energies: set[str]) -> tuple[str, ...]:
    return (*(name for name in ENERGIES if name in energies), *sorted(energies - set(ENERGIES)))


def section_of(row: Row) -> str:
    """What a row is about: its schedule, or the system where it has none."""
    return row["schedule"] or row["system"]


def label_of(row: Row) -> str:
    """How it was computed: the solver and its number of steps; empty for a rate."""
    if row["solver"] is None:
        return ""
    return row["solver"] if row["steps"] is None else f"{row['solver']} {row['steps']}"


def mark(row: Row) -> str:
    """The cell of a row: its verdict, and for a broken one the share of rises."""
    share = row["rise_fraction"]
    if row["verdict"] != "broken" or share is None or not 0 <= share <= 1:
        return row["verdict"]
    percent = round(100 * share)
    if percent == 0:
        return "broken <1%"
    if percent == 100 and share < 1:
        return "broken >99%"
    return f"broken {percent}%"


def _worst(rows: list[Row]) -> Text:
    order = [*VERDICTS]
    row = min(rows, key=lambda r: order.index(r["verdict"]) if r["verdict"] in order else -1)
    return Text(mark(row), style=VERDICTS.get(row["verdict"], ("magenta", ""))[0])


def _matrix(block: Block, width: int) -> Table:
    sectioned = any(label for _, label in block.cells)
    labels = [label if label else section for section, label in block.cells]
    needed = max(map(len, labels)) + CELL * len(block.energies)
    gap = 2 if needed + 2 * len(block.energies) <= width - 2 else 1
    indent = "  " if sectioned and gap == 2 else ""
    table = Table(box=None, padding=(0, gap, 0, 0), pad_edge=False, header_style="bold")
    table.add_column("schedule" if block.dynamics != "gradient" else "system", overflow="fold")
    for energy in block.energies:
        table.add_column(_heading(energy), min_width=min(CELL, 9), overflow="fold")
    last = None
    for (section, label), cells in block.cells.items():
        if label and section != last:
            table.add_row(Text(section, style="bold"))
        last = section
        marks = [_worst(cells[energy]) if energy in cells else Text(".") for energy in block.energies]
        table.add_row(Text(indent + label if label else section), *marks)
    return table


def _heading(energy: str) -> str:
    return energy if len(energy) <= CELL else energy.replace("_", "_\n", 1)


def _legend(rows: list[Row]) -> list[Text]:
    count = Counter(row["verdict"] for row in rows)
    total = ", ".join(f"{count[verdict]} {verdict}" for verdict in (*VERDICTS, *sorted(set(count) - set(VERDICTS)))
                      if count[verdict])  # fmt: skip
    lines = [Text(f"{len(rows)} rows: {total or 'none'}", style="bold")]
    for verdict, (style, meaning) in VERDICTS.items():
        if count[verdict]:
            lines.append(Text.assemble("  ", (f"{verdict:<10}", style), meaning))
    return lines


def contradicts(row: Row) -> bool:
    """Whether a theorem promises this row and it is broken all the same."""
    theorem = row["theorem"]
    if row["verdict"] != "broken" or not theorem:
        return False
    return row["energy"] in PROMISED.get(theorem, ()) or (theorem.startswith("A") and row["energy"] == "own")


def _attention(rows: list[Row]) -> list[Text]:
    """The rows that failed, and those that contradict their theorem, with the reason."""
    groups = {
        "contradict their theorem": [row for row in rows if contradicts(row)],
        "failed": [row for row in rows if row["verdict"] == "failed"],
    }
    lines = []
    for title, group in groups.items():
        if not group:
            continue
        lines += [Text(), Text(f"{len(group)} {'row' if len(group) == 1 else 'rows'} {title}:", style="bold")]
        lines += [_described(row) for row in group[:LISTED]]
        if len(group) > LISTED:
            lines.append(Text(f"  and {len(group) - LISTED} more, all of them in the file of --json"))
    return lines


def _described(row: Row) -> Text:
    where = " ".join(part for part in (row["dynamics"], section_of(row), label_of(row)) if part)
    theorem = f" [{row['theorem']}]" if row["theorem"] else ""
    reason = row["reason"] or "no reason given"
    return Text(f"  {where}, {row['energy']} ({row['statement']}){theorem}: {reason}", overflow="fold")


def _theory(claims: Sequence[Any]) -> list[Text]:
    """How many claims of the theory agree with the rows, and those that do not."""
    if not claims:
        return []
    against = [claim for claim in claims if not claim.agrees]
    lines = [Text(), Text(f"Theory: {len(claims) - len(against)} of {len(claims)} statements agree", style="bold")]
    for claim in against:
        lines.append(Text(f"  {claim.name} is contradicted: {claim.statement} Measured: {claim.measured}", style="red"))
    return lines
