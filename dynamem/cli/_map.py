"""The page of one verdict: where the energy certainly falls and rises, drawn."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from .._output import staged
from ..report import write_certify_html
from ..rigour import RateMap, rate_map


MOST = 3
SHARES = (0.1, 0.5, 0.9)
"""Of a third coordinate, where the maps are taken."""


def draw(
    path: Path, asked: Any, box: list[tuple[float, float]], affine: Any, corners: Mapping[str, np.ndarray],
    told: Mapping[str, str], budget_s: float,
) -> None:  # fmt: skip
    """Write the page.

    Arguments:
        path: the file.
        asked: energy, flow and title.
        box: rows (lo, hi) of the region.
        affine: the slice, or None.
        corners: the states that the slice was laid through, by name.
        told: the verdict, name by name.
        budget_s: seconds for the map.
    """
    free = [place for place, (lo, hi) in enumerate(box) if lo < hi]
    maps, titles = [], []
    if 1 <= len(free) <= MOST:
        whole = rate_map(asked.energy, asked.flow, box, affine=affine, budget_s=budget_s)
        maps, titles = _panels(whole, box[free[-1]], free[-1]) if len(free) == MOST else ([whole], [asked.title])
    marks: dict[str, np.ndarray] = {}
    if affine is not None and affine[1].shape[1] == 2 and free[:2] == [0, 1]:
        marks = {name: (point - affine[0]) @ affine[1] for name, point in corners.items()}
    with staged("html", path) as draft:
        write_certify_html(asked.title, told, maps, titles, marks, draft)


def _panels(whole: RateMap, ends: tuple[float, float], axis: int) -> tuple[list[RateMap], list[str]]:
    values = [ends[0] + share * (ends[1] - ends[0]) for share in SHARES]
    return [whole.at(value, axis) for value in values], [f"{whole.names[axis]} = {value:.3g}" for value in values]
