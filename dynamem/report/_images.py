"""What was recalled, beside the nearest stored pattern."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..catalog._audit_types import Figures, Recall
from ._blocks import Block, Section, Table
from ._svg import QUIET, Image, bare, image
from ._words import number


SIDE = 0.78  # inches
ROWS = ("start", "end", "nearest")
LEAD = "Where a few runs started and ended, and the stored pattern nearest to the end."
CAPTION = (
    "Top: the start, in grey levels of its own range, as noise can be far outside that of the patterns. "
    "Middle: the end. Bottom: the nearest stored pattern, in the same grey levels as the end. "
    "Under each: their Euclidean distance."
)


def recalls_section(figures: Figures) -> Section:
    """Images if the patterns are images, and the distances in any case."""
    kept = [recall for recall in figures.recalls if len(recall.ends)]
    captions = [CAPTION] + ["Read as the figure above."] * len(kept)
    blocks = [_block(recall, figures.image_shape, text) for recall, text in zip(kept, captions, strict=False)]
    return Section("recalls", "Recalled patterns", LEAD, blocks, "No run was kept for this.")


def _block(recall: Recall, shape: tuple[int, int] | None, caption: str) -> Block:
    table = Table(
        f"Distance of each end from the nearest stored pattern, {recall.label}",
        ("run", "distance to the nearest pattern", "distance from start to end"),
        [
            (f"run {place + 1}", number(away), number(np.linalg.norm(end - start)))
            for place, (away, start, end) in enumerate(zip(recall.distance, recall.starts, recall.ends, strict=True))
        ],
    )
    if shape is None:
        return Block(recall.label, [], "The patterns have no image shape, so only distances are given.", [table])
    return Block(recall.label, [_images(recall, shape)], caption, [table], wide=True)


def _images(recall: Recall, shape: tuple[int, int]) -> Image:
    count = len(recall.ends)
    width, height = 0.75 + SIDE * count, SIDE * 3 + 0.32
    figure = Figure(figsize=(width, height))
    low, high = float(np.min(recall.nearest)), float(np.max(recall.nearest))
    axes = figure.add_axes((0, 0, 1, 1))
    for line, (name, states) in enumerate(zip(ROWS, (recall.starts, recall.ends, recall.nearest), strict=True)):
        bottom = height - SIDE * (line + 1)
        axes.text(0.02, bottom + 0.46 * SIDE, name, va="center")
        for place, state in enumerate(states):
            limits = (None, None) if line == 0 else (low, high)
            draw(axes, np.reshape(state, shape), (0.75 + SIDE * place, bottom), limits)
    for place, away in enumerate(recall.distance):
        axes.text(0.75 + SIDE * (place + 0.46), 0.3, number(away, 2), ha="center", va="top", fontsize=8.5)
    axes.text(0.02, 0.3, "distance", va="top", fontsize=8.5, color=QUIET)
    finish(axes, width, height)
    return image(figure, _alt(recall))


def draw(
    axes: Axes, pixels: np.ndarray, corner: tuple[float, float], limits: tuple[float | None, float | None]
) -> None:
    """An image of side `SIDE`, a gap included, in axes measured in inches."""
    left, bottom = corner
    down, across = (0.92 * SIDE * side / max(pixels.shape) for side in pixels.shape)
    extent = (left, left + across, bottom, bottom + down)
    axes.imshow(pixels, "gray_r", aspect="auto", extent=extent, interpolation="none", vmin=limits[0], vmax=limits[1])


def finish(axes: Axes, width: float, height: float) -> None:
    """Axes of a whole figure, measured in inches, with nothing but what was drawn."""
    axes.set(xlim=(0, width), ylim=(0, height))
    bare(axes)


def _alt(recall: Recall) -> str:
    away = np.asarray(recall.distance)
    return (
        f"{recall.label}: {len(away)} runs as images, their start, end and nearest stored pattern; the distances "
        f"of end and pattern lie between {number(away.min(), 3)} and {number(away.max(), 3)}."
    )


def thumbnails(patterns: np.ndarray, names: Sequence[str], shape: tuple[int, int]) -> Image:
    """Patterns side by side, each under its name."""
    width, height = SIDE * len(patterns), SIDE + 0.2
    figure = Figure(figsize=(width, height))
    axes = figure.add_axes((0, 0, 1, 1))
    for place, (pattern, name) in enumerate(zip(patterns, names, strict=True)):
        draw(axes, np.reshape(pattern, shape), (SIDE * place, 0.0), (None, None))
        axes.text(SIDE * (place + 0.46), height, name, ha="center", va="top", fontweight="bold")
    finish(axes, width, height)
    return image(figure, f"The stored patterns {', '.join(names)} through which the plane runs, as images.")
