"""Recall against the strength of a corruption, and what a few cues became: the figures of the survey's table."""

from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.figure import Figure

from ._blocks import Block, Section, Table
from ._images import SIDE, draw, finish
from ._svg import QUIET, Image, image


if TYPE_CHECKING:
    from ..survey import Curve, SurveyTable


COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00")
MARKERS = "os^Dvx"
LEAD = (
    "Stored patterns were corrupted and run as cues. A cue is recalled if its run ends nearest to the pattern that it "
    "was made from. A diffusion model is told how large the corruption is, as a root mean square over features, and "
    "starts at that noise level; two more curves tell it half and twice of that."
)
CAPTION = (
    "Part of the cues recalled, with 95 % intervals (Wilson), against the strength of the corruption. Grey, dashed: "
    "the part of the cues that lie nearest to their own pattern before anything is run; runs below it lose memories."
)
EXAMPLES = (
    "For each kind, at its middle strength: patterns, cues, and ends of runs, in the grey levels of the patterns."
)


def recall_sections(table: "SurveyTable", image_shape: tuple[int, int] | None) -> list[Section]:
    """Curves by kind of corruption, all systems in one panel; and examples by system, where patterns are images."""
    kinds = dict.fromkeys(one.kind for found in table.curves.values() for one in found)
    by_kind = {
        kind: {name: one for name, found in table.curves.items() for one in found if one.kind == kind} for kind in kinds
    }
    names = list(table.systems)
    panels = [_panel(kind, curves, names) for kind, curves in by_kind.items()]
    tables = [_table(kind, curves) for kind, curves in by_kind.items()]
    blocks = [Block("Recall by kind of corruption", panels, CAPTION, tables)] if panels else []
    curves = Section("recall", "Which corruptions are undone", LEAD, blocks, "No system could be run.")
    shown = [(name, found) for name, found in table.curves.items() if found and image_shape is not None]
    examples = [
        Block(name, [_images(name, found, image_shape)], EXAMPLES, [], wide=True)
        for name, found in shown
        if image_shape is not None and found[0].shown.shape[-1] == image_shape[0] * image_shape[1]
    ]
    absent = "The patterns have no image shape."
    return [curves, Section("examples", "What a few cues became", "Three cues of each kind.", examples, absent)]


def _panel(kind: str, curves: "dict[str, Curve]", names: list[str]) -> Image:
    figure = Figure(figsize=(3.6, 2.9))
    axes = figure.add_axes((0.14, 0.17, 0.83, 0.58))
    for name, one in curves.items():
        found, place = one.recall, names.index(name)
        look: dict[str, Any] = {"color": COLOURS[place % len(COLOURS)], "marker": MARKERS[place % len(MARKERS)]}
        axes.fill_between(found.levels, found.low, found.high, color=look["color"], alpha=0.15, linewidth=0)
        axes.plot(found.levels, found.rate, markersize=3.5, label=name, **look)
        axes.plot(found.levels, one.cue, color=QUIET, linestyle=(0, (3, 2)), linewidth=0.9)
    first = next(iter(curves.values()))
    axes.set(ylim=(-0.03, 1.03), xlabel=f"strength, {first.unit}")
    axes.tick_params(labelsize=8)
    figure.text(0.01, 0.985, kind, va="top", fontweight="bold")
    figure.legend(loc="upper left", bbox_to_anchor=(0.0, 0.94), ncols=2, fontsize=7.5, frameon=False, columnspacing=1)
    ends = {name: (one.recall.levels[[0, -1]], one.recall.rate[[0, -1]]) for name, one in curves.items()}
    told = [f"{name} {rates[0]:.0%} at {at[0]:g}, {rates[1]:.0%} at {at[1]:g}" for name, (at, rates) in ends.items()]
    return image(figure, f"Recall under {kind}: {'; '.join(told)}.")


def _table(kind: str, curves: "dict[str, Curve]") -> Table:
    rows = [
        (f"{name}, {level:g}", f"{rate:.1%}", f"{low:.1%} to {high:.1%}", f"{cue:.1%}", f"{left:.3g}")
        for name, one in curves.items()
        for level, rate, low, high, cue, left in zip(
            one.recall.levels, one.recall.rate, one.recall.low, one.recall.high, one.cue, one.left, strict=True
        )
    ]
    head = ("system, strength", "recalled", "95 % interval", "cue nearest to it", "median distance left")
    return Table(f"{kind}: numbers", head, rows)


def _images(name: str, found: "list[Curve]", shape: tuple[int, int]) -> Image:
    across = sum(one.shown.shape[1] for one in found)
    gap, left, top = 0.25, 0.75, 0.3
    width, height = left + SIDE * across + gap * (len(found) - 1), top + 3 * SIDE
    figure = Figure(figsize=(width, height))
    axes = figure.add_axes((0, 0, 1, 1))
    for line, label in enumerate(("pattern", "cue", "end")):
        axes.text(0.02, height - top - SIDE * (line + 0.55), label, va="center")
    start = left
    for one in found:
        axes.text(start, height - 0.05, f"{one.kind}, {one.recall.levels[one.middle]:g}", va="top", fontsize=8.5)
        limits = (float(np.min(one.shown[0])), float(np.max(one.shown[0])))
        for line, states in enumerate(one.shown):
            for place, state in enumerate(states):
                corner = (start + SIDE * place, height - top - SIDE * (line + 1))
                draw(axes, np.reshape(state, shape), corner, limits)
        start += SIDE * one.shown.shape[1] + gap
    finish(axes, width, height)
    kinds = ", ".join(one.kind for one in found)
    return image(figure, f"{name}: patterns, cues and ends as images, for {kinds}.")
