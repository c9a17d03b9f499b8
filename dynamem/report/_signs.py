"""Maps of what is certain: boxes where an energy falls, where it rises, and where neither is shown."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from ._blocks import Block, Table
from ._svg import INK, Image, image
from ._words import number, share


if TYPE_CHECKING:
    from ..catalog._audit_types import Certified
    from ..rigour import RateMap

FALLS, OPEN, RISES = "#c3deef", "#d8d8d4", "#f5a95f"
COLOURS = ListedColormap((FALLS, OPEN, RISES))
PIXELS = 512
SIDE, GAP, LEGEND = 2.9, 0.35, 0.45  # inches
CAPTION = (
    "What is certain on the plane through A, B and C, by outward rounded interval arithmetic on the program of the "
    "code that runs. Blue: boxes at every point of which the density energy in canonical coordinates falls along the "
    "probability flow. Orange: boxes at every point of which it rises. Grey: neither is shown. Shares are of the "
    f"plane's area, by the boxes themselves; the drawing has {PIXELS} pixels a side. Unlike the maps above this is no "
    "sample: between grid points nothing is left out."
)


MAPS = (
    "By outward rounded interval arithmetic on the program of the code that runs. Blue: boxes at every point of which "
    "the energy falls or stays. Orange: boxes at every point of which it rises. Grey: neither is shown, or the rate is "
    f"undefined somewhere. Shares are by the boxes themselves; the drawing has {PIXELS} pixels a side."
)


def certified_block(found: "Certified", names: Sequence[str]) -> Block:
    """The certified maps of an audit, with the shares of what is decided."""
    titles = [f"s = {number(np.exp(-lam), 2)},  λ = {number(lam, 2)}" for lam in found.lams]
    count, dimension = found.patterns
    picture = map_image(found.maps, titles, dict(zip(names, found.corners, strict=True)))
    table = shares_table(
        found.maps, titles, f"Shares of the plane (N = {count} patterns in D = {dimension} dimensions)"
    )
    return Block("What is certain on the plane", [picture], CAPTION, [table], wide=True)


def maps_block(maps: "Sequence[RateMap]", titles: Sequence[str], marks: Mapping[str, np.ndarray]) -> Block:
    """The maps of one region, or why there are none."""
    if not maps:
        return Block("Maps", [], "No map is drawn: the region has more than three coordinates, or none.", [])
    table = shares_table(maps, titles, "Shares of each map's volume")
    return Block("Maps", [map_image(maps, titles, marks)], MAPS, [table], wide=True)


def map_image(maps: "Sequence[RateMap]", titles: Sequence[str], marks: Mapping[str, np.ndarray]) -> Image:
    """Maps of one or two coordinates side by side, within `style`.

    Arguments:
        maps: boxes of one coordinate (drawn as a strip) or of two; coordinates with a single value are left out.
        titles: one for each.
        marks: points with a name, in the coordinates of the maps.
    """
    width, height = GAP + len(maps) * (SIDE + GAP), SIDE + 2 * GAP + LEGEND
    figure = Figure(figsize=(width, height))
    for place, (one, title) in enumerate(zip(maps, titles, strict=True)):
        left, bottom = GAP + 0.15 + place * (SIDE + GAP), LEGEND + GAP
        axes = figure.add_axes((left / width, bottom / height, (SIDE - 0.15) / width, SIDE / height))
        _draw(axes, one)
        axes.set_title(title, fontsize=9)
        for name, (u, v) in marks.items():
            axes.plot(u, v, "o", color=INK, markersize=4, markeredgecolor="white", markeredgewidth=0.8)
            axes.annotate(name, (u, v), (4, 3), textcoords="offset points", fontsize=8, fontweight="bold")
    words = (("certainly falls", FALLS), ("neither is shown", OPEN), ("certainly rises", RISES))
    handles = [Patch(facecolor=colour, edgecolor="#8b949e", linewidth=0.4, label=text) for text, colour in words]
    figure.legend(handles=handles, loc="lower left", bbox_to_anchor=(GAP / width, 0.0), ncols=3, frameon=False)
    return image(figure, _alt(maps, titles))


def shares_table(maps: "Sequence[RateMap]", titles: Sequence[str], caption: str) -> Table:
    """What is decided, by volume, and how many boxes it took."""
    head = ("map", "certainly falls", "certainly rises", "neither is shown", "boxes bounded")
    rows = []
    for one, title in zip(maps, titles, strict=True):
        found = one.shares
        rows.append((title, *(share(found[name]) for name in ("falls", "rises", "open")), str(one.bounded)))
    return Table(caption, head, rows)


def _alt(maps: "Sequence[RateMap]", titles: Sequence[str]) -> str:
    words = [", ".join(f"{name} {share(part)}" for name, part in one.shares.items()) for one in maps]
    parts = [f"{title}: {told}" for title, told in zip(titles, words, strict=True)]
    return f"Maps of where the energy certainly falls and rises. {'; '.join(parts)}."


def _free(one: "RateMap") -> list[int]:
    """Coordinates that have more than one value."""
    return np.flatnonzero(one.hi.max(axis=0) > one.lo.min(axis=0)).tolist()


def _draw(axes: Axes, one: "RateMap") -> None:
    free = _free(one)
    sides = [(float(one.lo[:, axis].min()), float(one.hi[:, axis].max())) for axis in free]
    pixels = raster(one, free, sides)
    flat = len(free) == 1
    extent = (*sides[0], *((0.0, 1.0) if flat else sides[1]))
    axes.imshow(pixels, COLOURS, vmin=-1, vmax=1, origin="lower", extent=extent, interpolation="none", aspect="auto")
    axes.set_xlabel(one.names[free[0]], labelpad=1)
    axes.tick_params(labelsize=7, length=2)
    if flat:
        axes.set_yticks([])
    else:
        axes.set_ylabel(one.names[free[1]], labelpad=0)


def raster(one: "RateMap", free: Sequence[int], sides: Sequence[tuple[float, float]]) -> np.ndarray:
    """The sign at the centre of each pixel, shape (rows, `PIXELS`), the first coordinate to the right."""
    edges = []
    for axis, (lo, hi) in zip(free, sides, strict=True):
        step = (hi - lo) / PIXELS
        edges.append([np.ceil((end[:, axis] - lo) / step - 0.5).astype(int) for end in (one.lo, one.hi)])
    if len(free) == 1:
        edges.append([np.zeros(len(one.lo), int), np.ones(len(one.lo), int)])
    made = np.zeros((1 if len(free) == 1 else PIXELS, PIXELS), np.int8)
    columns = zip(*(end.tolist() for pair in edges for end in pair), one.signs.tolist(), strict=True)
    for left, right, bottom, top, sign in columns:
        made[bottom:top, left:right] = sign
    return made
