"""Where the density energy would rise, on a plane through three stored patterns."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure

from ..catalog._audit_types import Figures, Plane
from ._blocks import Block, Section, Table
from ._images import thumbnails
from ._signs import certified_block
from ._svg import INK, Image, image
from ._words import number, schedule_name, share


LEVELS = (0.03, 0.1, 0.3, 1.0)  # of the threshold
FILLS = ListedColormap(("#fafcfe", "#e3f0f9", "#c3deef", "#97c2df", "#f5a95f"))
EDGE = "#7a2f00"
NAMES = ("A", "B", "C")
LEFT, TOP, SIDE, GAP = 0.85, 0.3, 1.9, 0.24  # inches
LEAD = (
    "Along the probability flow the density energy, taken in the schedule's own coordinates, rises at a state exactly "
    "where tr C, the trace of the posterior covariance of the stored patterns given the noisy state, exceeds a "
    "threshold D·c(t) that the schedule sets (statement D2). These maps show where that is."
)
CAPTION = (
    "A plane through three stored patterns A, B and C, in canonical coordinates y = x/α, with equal scales on both "
    "axes. Rows are schedules, columns are noise levels s = σ/α, with noise falling to the right. Orange, enclosed by "
    "a dark curve: tr C is above the threshold written over the map, so the density energy would rise there. Blue: it "
    "would fall, and the shade steps up where tr C reaches 3 %, 10 % and 30 % of the threshold. The dark curve is "
    "tr C = D·c(t). All schedules share the same tr C in a column; only their thresholds differ. The maps are "
    "evaluated on a grid; they do not say which of these states a run visits."
)


def planes_section(figures: Figures) -> Section:
    """Maps of all schedules and levels, with the share of the plane where the energy would rise."""
    plane, blocks = figures.planes, []
    if plane is not None and plane.thresholds:
        images = [_maps(plane)]
        blocks.append(Block("Rise or fall on a plane", images, CAPTION, [_table(plane), _traces(plane)], wide=True))
        if figures.certified is not None:
            blocks.append(certified_block(figures.certified, NAMES))
        if figures.image_shape is not None:
            picture = thumbnails(plane.corner_images, NAMES, figures.image_shape)
            blocks.append(Block("The three stored patterns", [picture], "A, B and C of the maps above.", [], wide=True))
    absent = "There is no map: it needs a probability flow and three patterns that are not on one line."
    return Section("planes", "Where the density energy rises", LEAD, blocks, absent)


def _maps(plane: Plane) -> Image:
    across, down = len(plane.lams), len(plane.thresholds)
    width, height = LEFT + across * (SIDE + 0.08), TOP + down * (SIDE + GAP)
    figure = Figure(figsize=(width, height))
    for line, (schedule, thresholds) in enumerate(plane.thresholds.items()):
        bottom = height - TOP - line * (SIDE + GAP) - GAP - SIDE + 0.04
        name = schedule_name(schedule).replace(" ", "\n")
        figure.text(0.05 / width, (bottom + SIDE / 2) / height, name, va="center", fontweight="bold")
        for place, threshold in enumerate(thresholds):
            left = LEFT + place * (SIDE + 0.08)
            axes = figure.add_axes((left / width, bottom / height, SIDE / width, SIDE / height))
            _map(axes, plane, place, float(threshold))
            axes.set_title(f"D·c = {number(threshold, 3)}", fontsize=8, pad=2)
    for place, lam in enumerate(plane.lams):
        left = (LEFT + place * (SIDE + 0.08)) / width
        text = f"s = {number(np.exp(-lam), 2)},  λ = {number(lam, 2)}"
        figure.text(left, 1 - 0.05 / height, text, va="top", fontweight="bold")
    return image(figure, _alt(plane))


def _map(axes: Axes, plane: Plane, place: int, threshold: float) -> None:
    trace = plane.trace[place]
    part = trace / threshold if threshold > 0 else np.full(trace.shape, np.inf)
    part = np.clip(part, 0.0, 2.0)
    sides = [(side[0] - 0.5 * (side[1] - side[0]), side[-1] + 0.5 * (side[1] - side[0])) for side in (plane.u, plane.v)]
    shades = np.searchsorted(LEVELS, part)  # an equal value falls
    axes.imshow(shades, FILLS, vmin=0, vmax=4, origin="lower", extent=(*sides[0], *sides[1]), interpolation="none")
    if part.min() < 1 < part.max():
        axes.contour(plane.u, plane.v, part, levels=[1.0], colors=[EDGE], linewidths=0.9)
    axes.plot(*plane.corners.T, "o", color=INK, markersize=4, markeredgecolor="white", markeredgewidth=0.8)
    for name, (u, v) in zip(NAMES, plane.corners, strict=True):
        axes.annotate(name, (u, v), (4, 3), textcoords="offset points", fontsize=8, fontweight="bold")
    axes.set(xlim=sides[0], ylim=sides[1], xticks=[], yticks=[], aspect="equal")
    for spine in axes.spines.values():
        spine.set_visible(True)


def _shares(plane: Plane, schedule: str) -> list[float]:
    return [float(np.mean(trace > limit)) for trace, limit in zip(plane.trace, plane.thresholds[schedule], strict=True)]


def _alt(plane: Plane) -> str:
    parts = [f"{schedule_name(name)} {', '.join(map(share, _shares(plane, name)))}" for name in plane.thresholds]
    levels = ", ".join(number(np.exp(-lam), 2) for lam in plane.lams)
    return f"Maps of where tr C exceeds D·c(t). Share of the plane that rises at s = {levels}: {'; '.join(parts)}."


def _table(plane: Plane) -> Table:
    head = ["schedule", *(f"s = {number(np.exp(-lam), 2)}: {what}" for lam in plane.lams for what in ("D·c", "share"))]
    rows = []
    for schedule, thresholds in plane.thresholds.items():
        pairs = zip(thresholds, _shares(plane, schedule), strict=True)
        found = (cell for limit, part in pairs for cell in (number(limit), share(part)))
        rows.append((schedule_name(schedule), *found))
    return Table("Threshold D·c(t), and the share of the plane's grid points where tr C exceeds it", head, rows)


def _traces(plane: Plane) -> Table:
    rows = [
        (number(lam), number(np.exp(-lam)), number(np.min(trace)), number(np.median(trace)), number(np.max(trace)))
        for lam, trace in zip(plane.lams, plane.trace, strict=True)
    ]
    size = f"D = {plane.dimension}, {plane.trace[0].size} grid points"
    caption = f"tr C on the plane, the same for all schedules ({size})"
    return Table(caption, ("λ", "s", "least tr C", "median tr C", "largest tr C"), rows)
