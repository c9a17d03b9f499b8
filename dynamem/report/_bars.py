"""Which part of a step made an energy rise: signed parts that sum to the change."""

import math
from collections.abc import Sequence
from typing import Any

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from ._blocks import Block, Section, Table
from ._svg import INK, QUIET, Image, image
from ._words import ENERGIES, PARTS, SHORT, clipped, counted, energy_name, method, number, schedule_name


Row = dict[str, Any]

MOST = 12
COLOURS = {
    "schedule": ("#56b4e9", "schedule"),
    "dissipation": ("#009e73", "dissip."),
    "drift": ("#f0e442", "drift"),
    "ito": ("#e69f00", "Itô"),
    "martingale": ("#cc79a7", "noise"),
    "discretisation": ("#d55e00", "discr."),
}
LABEL, BAR, FOOT, TOP, ROOM = 3.0, 0.4, 0.5, 0.62, 1.0  # inches
LEAD = (
    "For the largest rise of each energy: which parts of the change raised it, and which held against it. Parts to the "
    "right of zero raised the energy, parts to the left lowered it; the diamond marks their sum, which is written at "
    "the right. Each bar has its own scale, since the changes are of different size: its longer side has length 1. "
)
WHAT = {
    "rate": (
        "Parts of the largest rates",
        "Each bar is one state: the one where the exact rate of change is the largest among all probed states of that "
        "energy and those dynamics, per unit of the energy's own clock (τ for the density energy in own coordinates, "
        "λ for the others of a diffusion). No solver is involved, so there is no discretisation.",
    ),
    "pathwise": (
        "Parts of the largest steps",
        "Each bar is one step of one run: the one with the largest rise among all runs of that energy and those "
        "dynamics.",
    ),
    "mean": (
        "Parts of the largest mean steps",
        "Each bar is the mean of one step over all noisy runs: the one with the largest mean rise among all runs of "
        "that energy and those dynamics. What the noise itself happened to add has been taken out.",
    ),
}
MEANING = "The parts: " + "; ".join(f"{part}, {meaning}" for part, meaning in PARTS.items()) + "."


def bars_section(rows: Sequence[Row]) -> Section:
    """Bars for the largest rise of each energy, by kind of dynamics."""
    blocks = []
    for statement, (title, caption) in WHAT.items():
        chosen = chosen_rows(rows, statement)
        if chosen:
            blocks.append(Block(title, [_figure(chosen)], caption, [_table(title, chosen)], wide=True))
    return Section("causes", "What made them rise", LEAD + MEANING, blocks, "No rise has its parts recorded.")


def chosen_rows(rows: Sequence[Row], statement: str) -> list[Row]:
    """Of each kind of dynamics and energy the broken row with the largest rise, `MOST` at most."""
    largest: dict[tuple[str, str], Row] = {}
    for row in rows:
        if row["statement"] != statement or row["verdict"] != "broken" or not _complete(row):
            continue
        key = (row["dynamics"], row["energy"])
        if key not in largest or row["largest_rise"] > largest[key]["largest_rise"]:
            largest[key] = row
    place = {name: position for position, name in enumerate((*SHORT, *ENERGIES))}
    keys = sorted(largest, key=lambda key: [place.get(name, len(place)) for name in key])
    return [largest[key] for key in keys[:MOST]]


def _complete(row: Row) -> bool:
    parts = row["attribution"] or {}
    return all(math.isfinite(parts.get(part, math.nan)) for part in PARTS)


def _sum(row: Row) -> float:
    return sum(row["attribution"][part] for part in PARTS)


def _where(row: Row) -> str:
    """The run, short enough for the margin."""
    if not row["schedule"]:
        return clipped(f"{row['system']}, {method(row)}", 48)
    kind = SHORT.get(row["dynamics"], row["dynamics"])
    return clipped(f"{kind}, {schedule_name(row['schedule'])}, {method(row)}", 48)


def _figure(rows: list[Row]) -> Image:
    width, height = 10.0, TOP + BAR * len(rows) + FOOT
    figure = Figure(figsize=(width, height))
    span = width - LABEL - ROOM
    axes = figure.add_axes((LABEL / width, FOOT / height, span / width, BAR * len(rows) / height))
    for place, row in enumerate(rows):
        _bar(axes, place, row)
        middle = 1 - (TOP + BAR * (place + 0.5)) / height
        figure.text(0.05 / width, middle, energy_name(row["energy"]), va="bottom", fontsize=8.5, fontweight="bold")
        figure.text(0.05 / width, middle - 0.01 / height, _where(row), va="top", fontsize=7.5)
        change = f"{number(_sum(row), 3)}"
        figure.text(1 - (ROOM - 0.1) / width, middle, change, va="center", fontsize=9, fontweight="bold")
    axes.axvline(0, color=INK, linewidth=1)
    axes.set(xlim=(-1.03, 1.03), ylim=(len(rows) - 0.5, -0.5), yticks=[])
    axes.spines["left"].set_visible(False)
    axes.set_xlabel("lowered the energy  ←  part of the change (each bar on its own scale)  →  raised the energy")
    figure.text(1 - (ROOM - 0.1) / width, 1 - (TOP - 0.1) / height, "sum", va="bottom", color=QUIET)
    handles: list[Artist] = [
        Patch(facecolor=fill, edgecolor=INK, linewidth=0.4, label=part.replace("ito", "Itô"))
        for part, (fill, _) in COLOURS.items()
    ]
    handles.append(axes.plot([], [], "D", color=INK, markeredgecolor="white", label="sum")[0])
    figure.legend(handles=handles, loc="upper left", ncols=7, frameon=False, handlelength=1.2, columnspacing=1.2)
    return image(figure, _alt(rows))


def _bar(axes: Axes, place: int, row: Row) -> None:
    parts = row["attribution"]
    up = sum(max(0.0, parts[part]) for part in PARTS)
    down = sum(max(0.0, -parts[part]) for part in PARTS)
    scale = max(up, down) or 1.0
    ends = {1: 0.0, -1: 0.0}
    for part in PARTS:
        value = parts[part] / scale
        fill, name = COLOURS[part]
        side = 1 if value >= 0 else -1
        axes.barh(place, value, 0.62, left=ends[side], color=fill, edgecolor=INK, linewidth=0.4)
        if abs(value) > 0.13:
            axes.text(ends[side] + value / 2, place, name, ha="center", va="center_baseline", fontsize=7.5)
        ends[side] += value
    axes.plot((up - down) / scale, place, "D", color=INK, markeredgecolor="white", markersize=6)


def _alt(rows: list[Row]) -> str:
    found = []
    for row in rows:
        parts = row["attribution"]
        main = max(PARTS, key=lambda part, parts=parts: parts[part])
        found.append(
            f"{energy_name(row['energy'])} ({_where(row)}) {number(_sum(row), 3)}, "
            f"most of it raised by {main} with {number(parts[main], 3)}"
        )
    return f"Stacked bars of {counted(len(rows), 'rise')}: {'; '.join(found)}."


def _table(title: str, rows: list[Row]) -> Table:
    head = ("run", "energy", *PARTS, "sum", "largest rise of the row")
    cells = [
        (
            f"{row['system']}, {method(row)}",
            energy_name(row["energy"]),
            *(number(row["attribution"][part]) for part in PARTS),
            number(_sum(row)),
            number(row["largest_rise"]),
        )
        for row in rows
    ]
    return Table(f"{title}: {counted(len(rows), 'bar')}", head, cells)
