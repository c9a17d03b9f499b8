"""The page of a study of stability: fixed points and basins, overlaps, the tree of a diffusion, times, capacity."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure

from ._blocks import Block, Section, Table
from ._images import SIDE, draw, finish
from ._recall import COLOURS, MARKERS
from ._svg import FALL, QUIET, RISE, Image, few_decades, image, logarithmic
from ._words import clipped, counted, number, share


if TYPE_CHECKING:
    from ..stability import BasinMap, Capacity, CriticalTimes, FixedPoint, Landscape, OverlapCurve, Study, Tree

FILLS = ("#97c2df", "#f5c98f", "#a8d5a2", "#d7b5d8", "#f2e394", "#c9b8a3", "#b9d9d9", "#e5b3b3")
SHOWN, LISTED = 16, 40
"""Points of a figure, and of a table."""
POINTS = (
    "Left to right, stable points by falling share of the initial states that end at them, with 95 % intervals "
    "(Wilson)."
)
STORED = "Blue: a stored pattern lies at the point. Orange: none does, so that the state is a mixture."
PLANE = "Every fixed point that was found. Filled: stable. Hollow: not. Grey: the initial states."
COLOURED = (
    "Each colour: the states of a grid that end at one stable point (after eight colours they repeat); white: at none. "
)
BASINS = (
    COLOURED + "The plane goes through the point of the largest share, A, and the two that are nearest to it, B and C. "
    "As the states lie on a grid, areas are no shares of anything random."
)
TREE = (
    "Left: how many stable fixed points the flow of the patterns has if its noise is held, against that noise. Right: "
    "the points that merge last, along the direction in which the patterns vary most; each line ends where its point "
    "joins another. Dashed: where the one point of high noise becomes unstable, or the mean of the patterns would if "
    "it were a fixed point. "
)
TIMES = "Noise levels named by each criterion, with 95 % intervals where states were drawn. They are not comparable."
LOADS = "Share of random patterns recalled, against load, for each number of units. Dashed: one half."
LEADS = {
    "points": "Where the dynamics come to rest, who arrives there, and how firmly it is held.",
    "recall": "How near to a pattern retrieval ends if it starts from a corrupted one.",
    "tree": "Memories of a diffusion model: as noise falls one fixed point becomes many.",
    "times": "When a diffusion model commits itself depends on what is meant; each criterion has its own level.",
    "capacity": "How many random patterns a memory of a given size holds.",
}


def stability_sections(found: "Study", shape: tuple[int, int] | None) -> list[Section]:
    """All parts of the page, in their order."""
    curves = [] if found.recall is None else [_recall(found.recall)]
    return [
        Section("points", "Fixed points and basins", LEADS["points"],
                [block for one in found.landscapes for block in _landscape(one, shape)], "No system was asked for."),
        Section("recall", "Overlap after retrieval", LEADS["recall"], curves, "No log-sum-exp memory was asked for."),
        Section("tree", "The tree of fixed points", LEADS["tree"],
                [] if found.tree is None else [_tree(found.tree)], "The diffusion was not asked for."),
        Section("times", "Critical times", LEADS["times"],
                [_times(name, one) for name, one in found.times.items()], "The diffusion was not asked for."),
        Section("capacity", "Capacity", LEADS["capacity"], _capacities(found.capacities), "It was not asked for."),
    ]  # fmt: skip


# --------------------------------------------------------------------- fixed points


def _landscape(one: "Landscape", shape: tuple[int, int] | None) -> list[Block]:
    heading = f"{one.name}: {one.title}" if one.title else one.name
    if one.points is None or not one.points.points:
        reason = "No fixed point could be looked for." if one.points is None else one.points.reason
        return [Block(heading, [], reason, [_facts(one)])]
    order = one.ordered
    images, captions = [], []
    if one.basins is not None:
        images.append(_bars(one, order[:SHOWN]))
        captions.append(POINTS)
        captions += [STORED] * any(point.kind in ("memory", "mixture") for point, _ in order)
    if one.dimension == 2:
        images.append(_plane(one))
        captions.append(PLANE + (f" {COLOURED}".rstrip() if one.plane is not None else ""))
    elif one.plane is not None:
        images.append(_basins(one, one.plane))
        captions.append(BASINS)
    if shape is not None and one.dimension == shape[0] * shape[1]:
        images.append(_pictures(one, order[:SHOWN], shape))
        captions.append("Below, the same points as images, each with its kind.")
    caption = " ".join(captions) or "Its fixed points are in the table."
    return [Block(heading, images, caption, [_points(one, order), _facts(one)], wide=True)]


def _bars(one: "Landscape", order: "list[tuple[FixedPoint, int | None]]") -> Image:
    assert one.basins is not None
    shown = [(point, one.basins.shares[place]) for point, place in order if place is not None]
    figure = Figure(figsize=(8.6, 2.4))
    axes = figure.add_axes((0.08, 0.2, 0.9, 0.66))
    for k, (point, part) in enumerate(shown):
        colour = RISE if point.kind == "mixture" else FALL
        axes.bar(k, part.share, 0.7, color=colour, alpha=0.85)
        axes.plot([k, k], [part.low, part.high], color="black", linewidth=1)
    axes.set(ylabel="share of the states", xlabel="stable fixed point", xlim=(-0.6, max(len(shown), 8) - 0.4))
    axes.set_xticks(range(len(shown)))
    best = max(shown, key=lambda pair: pair[1].share)[1] if shown else None
    told = "none" if best is None else f"{share(best.share)} ({share(best.low)} to {share(best.high)})"
    return image(figure, f"{one.name}: shares of {counted(len(shown), 'stable point')}; the largest is {told}.")


def _plane(one: "Landscape") -> Image:
    assert one.points is not None
    figure = Figure(figsize=(4.2, 3.6))
    axes = figure.add_axes((0.14, 0.13, 0.83, 0.83))
    if one.plane is not None:
        states = one.plane.states().reshape(*one.plane.labels.shape, 2)
        _shade(axes, one.plane.labels, states[0, :, 0], states[:, 0, 1])
    if one.basins is not None:
        starts = one.starts
        axes.plot(starts[:, 0], starts[:, 1], ".", color=QUIET, alpha=0.35, markersize=2)
    for point in one.points.points:
        look: dict[str, Any] = {"color": FALL} if point.stable else {"color": RISE, "markerfacecolor": "white"}
        axes.plot(point.x[0], point.x[1], "o", markersize=6, **look)
    axes.set(xlabel="first coordinate", ylabel="second coordinate")
    return image(figure, f"{one.name}: {counted(len(one.points.points), 'fixed point')} in the plane of its states.")


def _shade(axes: Axes, labels: np.ndarray, u: np.ndarray, v: np.ndarray) -> None:
    """A colour for each basin of a grid, by falling area; ``labels[i, j]`` is of ``(u[j], v[i])``."""
    names, areas = np.unique(labels[labels >= 0], return_counts=True)
    shades = np.full(labels.shape, -1)
    for place, name in enumerate(names[np.argsort(-areas, kind="stable")]):
        shades[labels == name] = place % len(FILLS)
    axes.pcolormesh(u, v, shades, cmap=ListedColormap(("white", *FILLS)), vmin=-1, vmax=len(FILLS) - 1, rasterized=True)


def _basins(one: "Landscape", found: "BasinMap") -> Image:
    """The map of basins on the plane through three stable points."""
    figure = Figure(figsize=(4.4, 3.9))
    axes = figure.add_axes((0.14, 0.12, 0.83, 0.83))
    _shade(axes, found.labels, found.u, found.v)
    axes.plot(*found.corners.T, "o", color="black", markerfacecolor="white", markersize=5)
    for name, corner in zip("ABC", found.corners, strict=True):
        axes.annotate(name, tuple(corner), (5, 5), textcoords="offset points", fontweight="bold")
    axes.set(xlabel="along the plane", ylabel="across")
    names, areas = np.unique(found.labels[found.labels >= 0], return_counts=True)
    largest = share(float(areas.max(initial=0)) / found.labels.size)
    return image(figure, f"{one.name}: {counted(len(names), 'basin')} on a plane, the largest has {largest} of it.")


def _pictures(one: "Landscape", order: "list[tuple[FixedPoint, int | None]]", shape: tuple[int, int]) -> Image:
    points = [point for point, place in order if place is not None]
    width, height = SIDE * max(len(points), 1), SIDE + 0.2
    figure = Figure(figsize=(width, height))
    axes = figure.add_axes((0, 0, 1, 1))
    for place, point in enumerate(points):
        draw(axes, np.reshape(point.x, shape), (SIDE * place, 0.0), (None, None))
        axes.text(SIDE * (place + 0.46), height, point.kind, ha="center", va="top", fontsize=8)
    finish(axes, width, height)
    return image(figure, f"{one.name}: {counted(len(points), 'stable fixed point')} as images.")


def _points(one: "Landscape", order: "list[tuple[FixedPoint, int | None]]") -> Table:
    head = ("point", "kind", "index", "residual", "largest eigenvalue", "share", "95 % interval", "median time",
            "reactivity", "smallest shock found", "made of")  # fmt: skip
    rows = [(str(k), *_cells(one, point, place)) for k, (point, place) in enumerate(order[:LISTED])]
    more = len(order) - len(rows)
    return Table("Fixed points" + (f", the first {LISTED} of {len(order)}" if more > 0 else ""), head, rows)


def _cells(one: "Landscape", point: "FixedPoint", place: int | None) -> tuple[str, ...]:
    index = str(point.index) if point.index_exact else f"at least {point.index}"
    plain = (point.kind, index, number(point.residual), number(float(np.real(point.eigenvalues).max())))
    mixed = ", ".join(f"{weight:.2f} of {name}" for name, weight in zip(point.patterns, point.weights, strict=True))
    told = f"pattern {point.pattern}" if point.kind == "memory" else clipped(mixed, 60)
    if place is None:
        return (*plain, "", "", "", "", "", told)
    part, wait = ("", ""), ""
    if one.basins is not None:
        found = one.basins.shares[place]
        part = (share(found.share), f"{found.low:.1%} to {found.high:.1%}")
        wait = number(float(one.basins.quantiles((0.5,))[place, 0]))
    react = number(one.measures[place].reactivity) if place in one.measures else ""
    shock = number(one.shocks[place].size) if place in one.shocks else ""
    return (*plain, *part, wait, react, shock, told)


def _facts(one: "Landscape") -> Table:
    """What holds for the system as a whole."""
    rows = [("coordinates", str(one.dimension)), ("initial states", one.law)]
    if one.time is not None:
        rows.append(("time held", number(one.time)))
    if one.points is not None:
        rows.append(("found from these states", one.points.reason))
    if one.enclosures is not None:
        rows.append((f"in their box: {one.enclosures.status}", one.enclosures.reason))
    if one.basins is not None:
        rest = [f"{share(part.share)} {name}" for name, part in one.basins.rest.items() if part.count]
        rows.append(("states that end at no point", ", ".join(rest) or "none"))
    if one.exponents is not None:
        pairs = zip(one.exponents.values, one.exponents.errors, strict=True)
        rows.append(("Lyapunov exponents", ", ".join(f"{number(a)} ± {number(b, 2)}" for a, b in pairs)))
    rows += [(f"seconds, {name}", number(seconds, 3)) for name, seconds in one.seconds.items()]
    return Table("The system", ("", "what was found"), rows)


# --------------------------------------------------------- overlaps, tree, times, loads


def _recall(curve: "OverlapCurve") -> Block:
    figure = Figure(figsize=(4.6, 3.0))
    axes = figure.add_axes((0.13, 0.16, 0.84, 0.8))
    axes.fill_between(curve.levels, curve.quantiles[:, 0], curve.quantiles[:, -1], color=FALL, alpha=0.18, linewidth=0)
    axes.plot(curve.levels, curve.mean, "o-", color=FALL, markersize=3.5)
    axes.plot(curve.levels, curve.cue, color=QUIET, linestyle=(0, (3, 2)))
    axes.set(xlabel="standard deviation of the noise added", ylabel="cosine with the pattern")
    quantiles = " to ".join(f"{q:.0%}" for q in (curve.q[0], curve.q[-1]))
    rows = [
        (number(level), number(cue), number(mean), *map(number, line))
        for level, cue, mean, line in zip(curve.levels, curve.cue, curve.mean, curve.quantiles, strict=True)
    ]
    head = ("level", "cue", "mean after retrieval", *(f"{q:.0%} quantile" for q in curve.q))
    caption = f"Mean over {curve.tried} patterns and the band from the {quantiles} quantile. Dashed: the cue itself."
    told = f"Mean cosine {number(curve.mean[0], 3)} without noise, {number(curve.mean[-1], 3)} at the highest level."
    return Block("Gaussian noise", [image(figure, told)], caption, [Table("Overlaps", head, rows)])


def _tree(tree: "Tree") -> Block:
    figure = Figure(figsize=(8.6, 3.4))
    left, right = figure.add_axes((0.08, 0.15, 0.36, 0.8)), figure.add_axes((0.53, 0.15, 0.45, 0.8))
    left.plot(tree.sigmas, tree.counts, ".-", color=FALL, markersize=3)
    left.set(xscale="log", yscale="log", xlabel="noise level s", ylabel="stable fixed points")
    few_decades(left.xaxis)
    logarithmic(left.yaxis)
    _branches(right, tree)
    if tree.breaking is not None:
        at = tree.breaking.sigma if np.isfinite(tree.breaking.sigma) else tree.breaking.at_mean
        for axes in (left, right):
            axes.axvline(at, color=RISE, linestyle=(0, (3, 2)), linewidth=1)
    last = [
        (f"{one.child} into {one.parent}", number(one.sigma, 6), share(one.share), number(one.slack, 2))
        for one in reversed(tree.mergers[-20:])
    ]
    head = ("merger", "noise level s", "patterns that come along", "1 − λmax(C)/s² before it")
    told = "" if tree.breaking is None else f" {tree.breaking.words}"
    ends = [f"{tree.counts[k]} stable points at s = {number(tree.sigmas[k])}" for k in (0, -1)]
    text = ", ".join(ends)
    return Block("Memories appear as noise falls", [image(figure, f"{text}.{told}")], TREE + told.lstrip(),
                 [Table("The last mergers", head, last)], wide=True)  # fmt: skip


def _branches(axes: Axes, tree: "Tree", most: int = 40) -> None:
    """Lines of the points that merge last, along the direction of largest variance."""
    ends = [one.child for one in tree.mergers[-most:]]
    kept = [*ends, *(int(name) for name in tree.leaders(len(tree.sigmas) - 1))]
    top = tree.breaking.direction if tree.breaking is not None else _widest(tree.points[0])
    middle = tree.points[-1].mean(axis=0)
    for name in kept:
        xs, ys = [], []
        for level, sigma in enumerate(tree.sigmas):
            leaders = tree.leaders(level)
            place = int(np.searchsorted(leaders, tree.names[level][name]))
            xs.append(sigma)
            ys.append(float((tree.points[level][place] - middle) @ top))
            if tree.names[level][name] != name and level > 0:
                break
        axes.plot(xs, ys, color=FALL, linewidth=0.7, alpha=0.8)
    axes.set(xscale="log", xlabel="noise level s", ylabel="along the widest direction")
    few_decades(axes.xaxis)


def _widest(points: np.ndarray) -> np.ndarray:
    return np.linalg.svd(points - points.mean(axis=0), full_matrices=False)[2][0]


def _times(schedule: str, table: "CriticalTimes") -> Block:
    shown = sorted((one for one in table.times if np.isfinite(one.s) and one.s > 0), key=lambda one: one.s)
    figure = Figure(figsize=(8.6, 0.6 + 0.24 * max(len(shown), 1)))
    axes = figure.add_axes((0.36, 0.5 / figure.get_figheight(), 0.6, 1 - 0.6 / figure.get_figheight()))
    for k, one in enumerate(shown):
        axes.plot(one.s, k, "o", color=FALL, markersize=4)
        if one.interval is not None:
            ends = np.clip(np.nan_to_num(np.asarray(one.interval), posinf=1e6), 1e-6, 1e6)
            axes.plot(ends, [k, k], color=FALL, linewidth=1)
    axes.set(xscale="log", xlabel="noise level s", ylim=(-0.7, len(shown) - 0.3))
    few_decades(axes.xaxis)
    axes.set_yticks(range(len(shown)), [clipped(one.name, 44) for one in shown], fontsize=8)
    head = ("criterion", "condition", "s", "95 % interval", "t", "value", "in", "method", "source")
    rows = [
        (one.name, one.criterion, number(one.s), _between(one.interval), number(one.t), number(one.value), one.unit,
         one.method + (f" ({one.note})" if one.note else ""), one.source)
        for one in table.times
    ]  # fmt: skip
    told = ", ".join(f"{one.name} {number(one.s, 3)}" for one in shown)
    return Block(schedule, [image(figure, f"{schedule}: {told}.")], TIMES, [Table("Critical times", head, rows)],
                 wide=True)  # fmt: skip


def _between(interval: tuple[float, float] | None) -> str:
    return "" if interval is None else f"{number(interval[0])} to {number(interval[1])}"


def _capacities(found: "Mapping[str, Capacity]") -> list[Block]:
    if not found:
        return []
    from ..stability import fits_of

    fits = [(name, words) for name, words in fits_of(found).items()]
    tables = [_loads(name, one) for name, one in found.items()]
    images = [_load(name, one) for name, one in found.items()]
    return [Block("Recall against load", images, LOADS, [Table("Fits", ("memory", "fit"), fits), *tables])]


def _load(name: str, one: "Capacity") -> Image:
    figure = Figure(figsize=(4.0, 2.8))
    axes = figure.add_axes((0.14, 0.17, 0.83, 0.7))
    for k, size in enumerate(one.sizes):
        axes.plot(one.loads, one.rate[k], MARKERS[k % len(MARKERS)] + "-", color=COLOURS[k % len(COLOURS)],
                  markersize=3.5, label=f"D = {size}")  # fmt: skip
    axes.axhline(0.5, color=QUIET, linestyle=(0, (3, 2)), linewidth=0.8)
    axes.set(xlabel="load", ylabel="recalled", ylim=(-0.03, 1.03))
    axes.legend(fontsize=7.5, frameon=False)
    figure.text(0.01, 0.985, name, va="top", fontweight="bold")
    told = ", ".join(f"{number(load, 3)} at D = {size}" for size, load in zip(one.sizes, one.critical, strict=True))
    return image(figure, f"{name}: half of the patterns are recalled at a load of {told}.")


def _loads(name: str, one: "Capacity") -> Table:
    low, high = one.interval()
    rows = [
        (str(size), number(load), f"{number(a)} to {number(b)}")
        for size, load, a, b in zip(one.sizes, one.critical, low, high, strict=True)
    ]
    return Table(f"{name}: critical loads", ("units D", "load", "95 % interval (bootstrap)"), rows)
