"""The verdict matrix: every dynamics, schedule and solver against every energy."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import PathPatch
from matplotlib.path import Path

from ._blocks import Block, Section, Table
from ._svg import INK, Image, bare, image
from ._words import (
    DYNAMICS,
    ENERGIES,
    SHORT,
    clipped,
    counted,
    energy_name,
    listed,
    method,
    number,
    schedule_name,
    share,
    short_method,
)


Row = dict[str, Any]

FILLS = {"holds": "#cfe6f5", "certified": "#9ccbe8", "proved": "#9ccbe8", "undecided": "#e6e6e6", "failed": "#3b3f45"}
RISES = ((0.01, "#fdebdc"), (0.25, "#f9c795"), (1.0, "#ee8a3c"))  # up to this share of rises
WIDTH, CELL = 4.0, 0.27  # inches
LEAD = (
    "Does this energy go down along these dynamics, with this schedule and this solver? There is a panel for each "
    "energy. Blue 'holds': no rise was seen. Orange with an arrow: broken, with the share that rose,"
    " the darker the larger (up to 1 %, up to 25 %, above). Grey '?': undecided. Black: failed. "
    "The share counts steps of all runs; in a row 'mean' steps whose average over the runs rises beyond statistical "
    "doubt; in the row 'exact rate' probed states, and for a system of your own searches for a rise that found one."
)


def matrix_section(rows: Sequence[Row]) -> Section:
    """Panels and tables of all rows, by dynamics and energy."""
    kinds = dict.fromkeys(row["dynamics"] for row in rows)
    blocks = [_block(kind, [row for row in rows if row["dynamics"] == kind]) for kind in kinds]
    return Section("verdicts", "Verdicts", LEAD, blocks, "The audit has no rows.")


def _block(dynamics: str, rows: list[Row]) -> Block:
    known = {name: place for place, name in enumerate(ENERGIES)}
    energies = sorted({row["energy"] for row in rows}, key=lambda name: (known.get(name, len(known)), name))
    images = [_panel(dynamics, energy, [row for row in rows if row["energy"] == energy]) for energy in energies]
    tables = [_table(energy, [row for row in rows if row["energy"] == energy]) for energy in energies]
    caption = f"{SHORT.get(dynamics, dynamics)[0].upper()}{SHORT.get(dynamics, dynamics)[1:]}: {_counts(rows)}."
    return Block(DYNAMICS.get(dynamics, dynamics), images, caption, tables)


def _counts(rows: list[Row]) -> str:
    found = Counter(row["verdict"] for row in rows)
    return f"{counted(len(rows), 'cell')}, {listed([f'{count} {verdict}' for verdict, count in found.items()])}"


def _table(energy: str, rows: list[Row]) -> Table:
    cells = []
    for row in rows:
        first = row["first_rise"]
        cells.append(
            (
                row["system"],
                method(row),
                row["verdict"],
                "none" if row["rise_fraction"] is None else str(row["rises"]),
                share(row["rise_fraction"]),
                number(row["largest_rise"]),
                "none" if first is None else number(first["lam"]),
                row["theorem"] or "none",
                row["reason"],
            )
        )
    head = ("system", "run", "verdict", "rises", "share", "largest rise", "first rise at λ", "theorem", "reason")
    return Table(f"{energy_name(energy)}: {counted(len(rows), 'row')}", head, cells)


def _panel(dynamics: str, energy: str, rows: list[Row]) -> Image:
    """One energy: methods by schedules, or systems by methods where there is no schedule."""
    if all(row["schedule"] is None for row in rows):
        keys = [(clipped(row["system"], 22), short_method(row).replace(" ", "\n", 1)) for row in rows]
    else:
        keys = [(short_method(row), schedule_name(row["schedule"]).replace(" ", "\n")) for row in rows]
    down, across = (list(dict.fromkeys(key[axis] for key in keys)) for axis in (0, 1))
    figure = Figure(figsize=(WIDTH, 0.75 + CELL * len(down)))
    axes = figure.add_axes((0.31, 0.02, 0.68, CELL * len(down) / (0.75 + CELL * len(down))))
    places = [(down.index(key[0]), across.index(key[1])) for key in keys]
    _cells(axes, rows, places)
    bare(axes)
    axes.set(xlim=(0, len(across)), ylim=(len(down), 0))
    axes.xaxis.tick_top()
    axes.set_xticks(np.arange(len(across)) + 0.5, across, fontsize=7.5)
    axes.set_yticks(np.arange(len(down)) + 0.5, down, fontsize=8)
    axes.tick_params(length=0, pad=3)
    figure.text(0.01, 1 - 0.05 / figure.get_figheight(), energy_name(energy), va="top", fontweight="bold")
    return image(figure, _alt(dynamics, energy, rows))


def _cells(axes: Axes, rows: list[Row], places: list[tuple[int, int]]) -> None:
    squares: dict[str, list[Path]] = {}
    for row, (i, j) in zip(rows, places, strict=True):
        corners = [(j, i), (j + 1, i), (j + 1, i + 1), (j, i + 1), (j, i)]
        squares.setdefault(_fill(row), []).append(Path(corners, closed=True))
        color = "white" if row["verdict"] == "failed" else INK
        axes.text(j + 0.5, i + 0.5, _mark(row), ha="center", va="center_baseline", fontsize=7.5, color=color)
    for fill, paths in squares.items():
        axes.add_patch(PathPatch(Path.make_compound_path(*paths), facecolor=fill, edgecolor="white", linewidth=1.5))


def _fill(row: Row) -> str:
    if row["verdict"] != "broken":
        return FILLS.get(row["verdict"], "white")
    part = row["rise_fraction"]
    return next((fill for most, fill in RISES if part is not None and part <= most), RISES[-1][1])


def _mark(row: Row) -> str:
    if row["verdict"] == "broken":
        return "↑" if row["rise_fraction"] is None else "↑" + share(row["rise_fraction"]).replace(" ", "")
    return "?" if row["verdict"] == "undecided" else row["verdict"]


def _alt(dynamics: str, energy: str, rows: list[Row]) -> str:
    shares = [row["rise_fraction"] for row in rows if row["verdict"] == "broken" and row["rise_fraction"] is not None]
    worst = f"; the largest share of rises is {share(max(shares))}" if shares else ""
    where = SHORT.get(dynamics, dynamics)
    return f"Verdicts for the {energy_name(energy)}, {where}: {_counts(rows)}{worst}."
