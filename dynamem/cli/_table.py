"""The audit for people: a matrix for each dynamics and statement, a legend, and the rows that need attention.

The rows of a matrix are schedules (or memories) and solvers, its columns are energies, and a cell is a mark. The text
has at most `WIDTH` columns and only ASCII of its own, so that it reads the same in a log, a mail or a terminal.
"""

import io
import shutil
import sys
import textwrap
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from rich.console import Console
from rich.table import Table
from rich.text import Text


WIDTH = 100
CELL = 11  # 'broken 100%'
MARK = 9  # 'undecided'
LISTED = 20
OUTCOMES = {"agrees": "", "contradicted": "red", "not exercised": "yellow"}  # of a claim, with the style

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
    "gradient": "Memories and systems of your own",
    "probability_flow": "Probability flow (ODE)",
    "reverse_sde": "Reverse SDE",
}
STATEMENTS = {
    "pathwise": "no step raises the energy",
    "mean": "no step raises the energy in the mean",
    "rate": "the rate of change is never positive",
}
PROMISED = {"D4": ("free",), "D7": ("free",), "D13": ("free",), "D8": ("free_churn", "density"), "D14": ("free_churn",)}


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
        claims: statements of the theory held against the rows, with `name`, `statement`, `outcome` and `measured`.

    Returns:
        Lines of at most `WIDTH` columns; with colours where standard output is a terminal.
    """
    parts: list[Any] = []
    for block in blocks(rows):
        title = f"{DYNAMICS.get(block.dynamics, block.dynamics)}: {STATEMENTS.get(block.statement, block.statement)}"
        parts.append(Text(title, style="bold"))
        for matrix in _matrices(block, page_width()):
            parts += [matrix, ""]
    return page_of([*parts, *_legend(rows), *_attention(rows), *_theory(claims, page_width())])


def page_width() -> int:
    """Columns of a text: `WIDTH`, or fewer on a narrower terminal."""
    if not sys.stdout.isatty():
        return WIDTH
    return min(WIDTH, shutil.get_terminal_size((WIDTH, 24)).columns)


def page_of(parts: Iterable[Any]) -> str:
    """What Rich makes of tables and texts, one after the other, without trailing blanks."""
    on_terminal = sys.stdout.isatty()
    page = io.StringIO()
    console = Console(
        file=page,
        width=page_width(),
        height=25,  # or rich takes a terminal that it knows nothing of to have 80 columns
        force_terminal=on_terminal,
        force_jupyter=False,
        color_system="auto" if on_terminal else None,
        markup=False,
        highlight=False,
        emoji=False,
    )
    for part in parts:
        console.print(part)
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


def _matrices(block: Block, width: int) -> Iterator[Table]:
    """The block as one matrix, or as several where its energies do not fit side by side."""
    sizes = {energy: _size(block, energy) for energy in block.energies}
    labels = max(len(label) for _, label in block.cells)
    names = max(len("schedule"), *(len(section) for section, _ in block.cells))
    gap = 2 if max(labels + 2, names) + sum(sizes.values()) + 2 * len(sizes) <= width else 1
    indent = "  " if gap == 2 and labels else ""
    first = min(max(labels + len(indent), names), width - max(sizes.values()) - gap)
    for energies in _side_by_side(sizes, width - first, gap):
        table = Table(box=None, padding=(0, gap, 0, 0), pad_edge=False, header_style="bold")
        table.add_column("system" if block.dynamics == "gradient" else "schedule", width=first, overflow="fold")
        for energy in energies:
            table.add_column(_heading(energy), width=sizes[energy], no_wrap=True)
        _fill(table, block, energies, indent)
        yield table


def _side_by_side(sizes: dict[str, int], room: int, gap: int) -> list[list[str]]:
    """The columns in groups that fit, each as full as it gets."""
    groups: list[list[str]] = []
    free = 0
    for energy, size in sizes.items():
        free -= gap + size
        if not groups or free < 0:
            groups.append([])
            free = room - gap - size
        groups[-1].append(energy)
    return groups


def _fill(table: Table, block: Block, energies: Iterable[str], indent: str) -> None:
    last = None
    for (section, label), cells in block.cells.items():
        if label and section != last:
            table.add_row(Text(section, style="bold"))
        last = section
        marks = [_worst(cells[energy]) if energy in cells else Text(".") for energy in energies]
        table.add_row(Text(indent + label if label else section), *marks)


def _size(block: Block, energy: str) -> int:
    """The width that a column takes."""
    marks = [len(_worst(cells[energy])) for cells in block.cells.values() if energy in cells]
    return max(MARK, *map(len, _heading(energy).split("\n")), *marks)


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
    dynamics = row["dynamics"] if row["schedule"] else ""
    where = " ".join(part for part in (dynamics, section_of(row), label_of(row)) if part)
    theorem = f" [{row['theorem']}]" if row["theorem"] else ""
    reason = row["reason"] or "no reason given"
    return Text(f"  {where}, {row['energy']} ({row['statement']}){theorem}: {reason}", overflow="fold")


def _theory(claims: Sequence[Any], width: int) -> list[Text]:
    """A line for each claim of the theory, its outcome and what was measured; a contradicted one is stated, too."""
    if not claims:
        return []
    count = Counter(claim.outcome for claim in claims)
    rest = "".join(f", {count[outcome]} {outcome}" for outcome in ("contradicted", "not exercised") if count[outcome])
    lines = [Text(), Text(f"Theory: {count['agrees']} of {len(claims)} statements agree{rest}", style="bold")]
    names, outcomes = (max(len(getattr(claim, part)) for claim in claims) + 2 for part in ("name", "outcome"))
    indent = " " * (2 + names + outcomes)
    for claim in claims:
        head = f"  {claim.name:<{names}}{claim.outcome:<{outcomes}}"
        told = [claim.measured, f"against: {claim.statement}"] if claim.outcome == "contradicted" else [claim.measured]
        texts = zip((head, indent), told, strict=False)
        wrapped = [textwrap.fill(text, width, initial_indent=start, subsequent_indent=indent) for start, text in texts]
        lines += [Text(text, style=OUTCOMES.get(claim.outcome, "")) for text in wrapped]
    return lines
