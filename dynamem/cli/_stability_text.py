"""A study of stability for people: fixed points and basins, a tree, critical times, capacities."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from rich.table import Table
from rich.text import Text

from ._table import page_of


LISTED = 12
"""Fixed points that are listed one by one."""


def stability_text(found: Any) -> str:
    """The tables of a `Study`, at most `WIDTH` columns."""
    parts: list[Any] = []
    for one in found.landscapes:
        parts += [*_landscape(one), ""]
    if found.tree is not None:
        parts += [*_tree(found.tree, found.data), ""]
    if found.times:
        parts += [*_times(found.times, found.data), ""]
    if found.capacities:
        parts += [*_capacities(found.capacities), ""]
    return page_of(parts)


def _grid(*heads: str, left: int = 1) -> Table:
    grid = Table(box=None, padding=(0, 2, 0, 0), header_style="bold", show_edge=False)
    for k, name in enumerate(heads):
        grid.add_column(name, justify="left" if k < left else "right")
    return grid


def _row(grid: Table, *cells: str) -> None:
    grid.add_row(*map(Text, cells))


def _landscape(one: Any) -> list[Any]:
    head = f"{one.name}: {one.title}, D = {one.dimension}" if one.title else f"{one.name}: D = {one.dimension}"
    held = "" if one.time is None else f"; held at t = {one.time:.4g}"
    parts: list[Any] = [Text(head, style="bold"), Text(f"Initial states: {one.law}{held}.")]
    if one.points is not None:
        parts += [Text(one.points.reason), *_points(one)]
    if one.enclosures is not None:
        parts.append(Text(f"[{one.enclosures.status}] {one.enclosures.reason}"))
    if one.exponents is not None:
        pairs = zip(one.exponents.values, one.exponents.errors, strict=True)
        told = ", ".join(f"{value:.4g} +- {error:.1g}" for value, error in pairs)
        parts.append(Text(f"Lyapunov exponents over the span: {told}"))
    return parts


def _points(one: Any) -> list[Any]:
    points = one.points.points
    if not points:
        return []
    grid = _grid("kind", "index", "slowest", "basin", "95 %", "reactivity", "shock", "made of", left=1)
    for point, place in one.ordered[:LISTED]:
        _row(grid, point.kind, str(point.index), _number(float(np.real(point.eigenvalues).max())), *_basin(one, place),
             *_local(one, place), made_of(point))  # fmt: skip
    parts: list[Any] = [grid]
    if len(points) > LISTED:
        parts.append(Text(f"and {len(points) - LISTED} more, all of them in --json"))
    rest = {} if one.basins is None else {name: share for name, share in one.basins.rest.items() if share.count}
    if rest:
        told = ", ".join(f"{share.share:.1%} {name}" for name, share in rest.items())
        parts.append(Text(f"Of the states that were run {told}."))
    return parts


def _basin(one: Any, place: int | None) -> tuple[str, str]:
    if place is None or one.basins is None:
        return "", ""
    share = one.basins.shares[place]
    return f"{share.share:.1%}", f"{share.low:.1%} to {share.high:.1%}"


def _local(one: Any, place: int | None) -> tuple[str, str]:
    if place is None:
        return "", ""
    react = _number(one.measures[place].reactivity) if place in one.measures else ""
    shock = _number(one.shocks[place].size) if place in one.shocks else ""
    return react, shock


def made_of(point: Any) -> str:
    """Patterns of a mixture with their weights, the three heaviest."""
    if point.kind == "memory":
        return f"pattern {point.pattern}"
    pairs = list(zip(point.patterns, point.weights, strict=True))[:3]
    more = len(point.patterns) - len(pairs)
    told = " + ".join(f"{weight:.2f} x {pattern}" for pattern, weight in pairs)
    return told + (f" + {more} more" if more > 0 else "")


def _number(value: float) -> str:
    if math.isnan(value):
        return "none"
    return f"{value:.3g}"


def _tree(tree: Any, data: str) -> list[Any]:
    counts = tree.counts
    grid = _grid("noise s", "stable points", "largest share of the patterns at one", left=0)
    for level in _spread(len(counts)):
        _row(grid, _number(float(tree.sigmas[level])), str(counts[level]), f"{tree.shares(level).max():.1%}")
    parts: list[Any] = [Text(f"The tree of fixed points, {data}", style="bold"), grid]
    if tree.breaking is not None:
        parts.append(Text(tree.breaking.words))
    return parts


def _spread(count: int, most: int = 10) -> Sequence[int]:
    """Some of the levels, from the highest noise to the lowest."""
    step = max(1, (count - 1) / (most - 1))
    return sorted({round(k * step) for k in range(most) if round(k * step) < count} | {count - 1}, reverse=True)


def _times(times: dict[str, Any], data: str) -> list[Any]:
    parts: list[Any] = []
    for schedule, table in times.items():
        grid = _grid("criterion", "s", "t", "value", "in", left=1)
        for one in table.times:
            _row(grid, one.name, interval_of(one), _number(one.t), _number(one.value), one.unit)
        parts += [Text(f"Critical times, {data}, {schedule}", style="bold"), grid, ""]
    return parts[:-1]


def interval_of(one: Any) -> str:
    """The noise level with its interval, if it has one."""
    if one.interval is None:
        return _number(one.s)
    return f"{_number(one.s)} ({_number(one.interval[0])} to {_number(one.interval[1])})"


def _capacities(found: dict[str, Any]) -> list[Any]:
    from ..stability import fits_of

    grid = _grid("memory", "D", "critical load", "95 %", left=1)
    for name, one in found.items():
        low, high = one.interval()
        for k, size in enumerate(one.sizes):
            _row(grid, name if k == 0 else "", str(size), _number(float(one.critical[k])),
                 f"{_number(float(low[k]))} to {_number(float(high[k]))}")  # fmt: skip
    told = [Text(f"{name}: {words}") for name, words in fits_of(found).items()]
    return [Text("Capacity", style="bold"), grid, *told]
