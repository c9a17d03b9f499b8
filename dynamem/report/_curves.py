"""Energies along trajectories of the probability flow, with their rises marked."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from ..catalog._audit_types import Curve
from ._blocks import Block, Section, Table
from ._svg import FALL, QUIET, RISE, Image, image
from ._words import clipped, counted, energy_name, number, schedule_name


SHOWN = 9
SPREAD = 100.0
CAPTION = (
    "Thin blue: steps in which the energy falls or stays within rounding. Thick orange: steps in which it rises. Each "
    "line is one trajectory. λ = log(α/σ) is half the "
    "logarithm of the signal-to-noise ratio and grows from noise to data. Where an energy is positive and spans more "
    "than two powers of ten its axis is logarithmic."
)
LEAD = (
    "Energies along trajectories that start in noise and are carried to data by the probability flow. "
    "An energy whose lines never turn upwards is one that retrieval goes down."
)


def curves_section(curves: Sequence[Curve]) -> Section:
    """A panel for each curve, and their numbers at a few noise levels."""
    first = [curve for curve in curves if curve.schedule == curves[0].schedule]
    others = [curve for curve in curves if curve.schedule != curves[0].schedule]
    blocks = []
    if first:
        blocks.append(_block(f"All energies, {schedule_name(first[0].schedule)}", first, CAPTION))
    if others:
        blocks.append(_block("Other schedules", others, "Read as the figure above."))
    return Section("curves", "Energy along trajectories", LEAD, blocks, "No probability flow was run.")


def _block(title: str, curves: list[Curve], caption: str) -> Block:
    return Block(title, [_panel(curve) for curve in curves], caption, [_table(curve) for curve in curves])


def _heading(curve: Curve) -> str:
    return f"{energy_name(curve.energy)}, {schedule_name(curve.schedule)}"


def _panel(curve: Curve) -> Image:
    figure = Figure(figsize=(3.6, 2.7))
    axes = figure.add_axes((0.15, 0.19, 0.82, 0.61))
    _lines(axes, curve)
    _scale(axes, curve.values)
    axes.set_xlim(*_ends(curve.lam))
    axes.set_xlabel("λ = log(α/σ), noise → data", fontsize=8.5)
    axes.tick_params(labelsize=8)
    figure.text(0.01, 0.985, clipped(energy_name(curve.energy), 44), va="top", fontweight="bold")
    figure.text(0.01, 0.915, schedule_name(curve.schedule), va="top", color=QUIET)
    return image(figure, _alt(curve))


def _ends(lam: np.ndarray) -> tuple[float, float]:
    low, high = float(np.min(lam)), float(np.max(lam))
    return (low, high) if high > low else (low - 1, high + 1)


def _lines(axes: Axes, curve: Curve) -> None:
    points = np.stack(np.broadcast_arrays(curve.lam, curve.values), axis=-1).astype(float)
    for line in points:
        axes.plot(*line.T, color=FALL, linewidth=0.8)
    rises = [piece for line, rising in zip(points, curve.rising, strict=True) for piece in _pieces(line, rising)]
    if rises:
        axes.add_collection(LineCollection(rises, colors=RISE, linewidths=2.2, capstyle="round"))


def _pieces(line: np.ndarray, rising: np.ndarray) -> list[np.ndarray]:
    """The stretches of a line, points (n, 2), that consist of rising steps, each as long as possible."""
    steps = np.flatnonzero(rising)
    runs = np.split(steps, np.flatnonzero(np.diff(steps) > 1) + 1)
    return [line[run[0] : run[-1] + 2] for run in runs if len(run)]


def _scale(axes: Axes, values: np.ndarray) -> None:
    """Logarithmic where all values are positive and far apart."""
    seen = values[np.isfinite(values)]
    if seen.size and seen.min() > 0 and seen.max() > SPREAD * seen.min():
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(numticks=6))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.yaxis.set_minor_formatter(NullFormatter())
    else:
        axes.yaxis.set_major_locator(MaxNLocator(5))


def _alt(curve: Curve) -> str:
    seen = curve.values[np.isfinite(curve.values)]
    span = f"values between {number(seen.min(), 3)} and {number(seen.max(), 3)}" if seen.size else "no finite values"
    rises = int(np.sum(curve.rising))
    return (
        f"{_heading(curve)}, along {counted(len(curve.values), 'trajectory')} from λ = "
        f"{number(curve.lam[0], 3)} to {number(curve.lam[-1], 3)}: {span}; "
        f"{rises} of {curve.rising.size} steps rise."
    )


def _table(curve: Curve) -> Table:
    """Values at a few noise levels, and how many steps rise before the next one shown."""
    count = len(curve.lam)
    shown = np.unique(np.linspace(0, count - 1, min(SHOWN, count)).round().astype(int))
    rows = []
    for place, index in enumerate(shown):
        after = shown[place + 1] if place + 1 < len(shown) else index
        between = curve.rising[:, index:after]
        rises = f"{int(between.sum())} of {between.size}" if between.size else "end"
        rows.append((number(curve.lam[index]), *(number(value) for value in curve.values[:, index]), rises))
    head = ("λ", *(f"trajectory {place + 1}" for place in range(len(curve.values))), "rising steps before the next row")
    return Table(f"{_heading(curve)}: {len(shown)} of {count} noise levels", head, rows)
