"""The page of a comparison: work and precision, energies, where samplers raise them, orders, safe steps, a gallery."""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator

from ._blocks import Block, Section, Table
from ._svg import FALL, QUIET, RISE, Image, image, logarithmic, power
from ._words import clipped, counted, energy_name, number


if TYPE_CHECKING:
    from ..comparison import Ascent, Comparison, Counterexample, Course, Order, RiseMap, Row, StepLimit

WORK = (
    "Error at the end of the run against calls of the vector field for one state, both logarithmic: lower and further "
    "left is better. A filled blue mark is a run in which the energy named in the title never rose beyond rounding, a "
    "hollow orange one a run in which it did: in a step of some state, or, with noise, in the mean of a step over "
    "paths. A run whose error is exactly 0 is in the table only. Of each method the last mark carries its name."
)
COURSES = "Thick orange: a step in which the energy rose beyond rounding. Of a method its run of fewest steps is shown."
MAP = (
    "The largest rise of the free energy V in a step, over the squared noise level at its start, for runs between two "
    "patterns of equal weight, 0 and 1, from a grid of starts. White: no rise beyond rounding was found from these "
    "starts, which is no proof. Dashed: the ratio that a theorem names."
)
GALLERY = (
    "Small runs between the patterns 0 and 1 in which V rises. Thin blue: a step in which it falls; thick orange: a "
    "step in which it rises. V is logarithmic."
)


def compare_sections(
    found: "Comparison", maps: "Sequence[RiseMap]", exhibits: "Sequence[tuple[Counterexample, Course]]"
) -> list[Section]:
    """All parts of the page, in their order."""
    return [
        work_section(found.rows, {one.name: one.title for one in found.problems}),
        course_section(found.curves),
        Section("map", "Where samplers raise the free energy", LEADS["map"], _maps(maps), "No sampler was mapped."),
        Section(
            "orders", "Orders", LEADS["orders"], _orders(found.orders), "No ladder was long enough to fit an order."
        ),
        Section("limits", "Safe steps", LEADS["limits"], _limits(found.limits), "No limit was asked for."),
        Section("gallery", "Counterexamples", LEADS["gallery"], _gallery(exhibits), "There are none."),
    ]


LEADS = {
    "work": "How much a method costs, how near it comes, and whether the energy that should fall did.",
    "courses": "The same energy along runs of one state, against the calls of the vector field that had been spent.",
    "map": "A sampler that lowers the noise slowly enough seems safe; one that takes large steps may not be.",
    "orders": (
        "Slopes of log error against log step with 95 % intervals, over the straight part of a ladder of fixed steps."
    ),
    "limits": (
        "The largest step up to which no step tried raised the energy, by bisection, and the least one found that did."
    ),
    "gallery": "For every sampler that is known to raise V, a run small enough to follow by hand.",
}


# ------------------------------------------------------------------ work and precision


def work_section(rows: "Sequence[Row]", titles: Mapping[str, str]) -> Section:
    """A panel for each problem, and all rows as a table."""
    blocks = []
    for problem in dict.fromkeys(row.problem for row in rows):
        mine = [row for row in rows if row.problem == problem]
        drawn = [row for row in mine if row.error and row.evaluations and np.isfinite(row.error)]
        images = [_work(problem, drawn)] if drawn else []
        said = any(block.caption == WORK for block in blocks)  # how to read them, once
        caption = ("" if said else WORK) if drawn else "No run of this problem ended with a finite error."
        title = titles.get(problem)
        heading = f"{problem}: {title}" if title else problem
        blocks.append(Block(heading, images, caption, [_rows(problem, mine)], wide=True))
    return Section("work", "Work and precision", LEADS["work"], blocks, "Nothing was run.")


def rose(row: "Row") -> bool:
    """Whether the first energy rose in a step, with noise in mean."""
    return row.judged is not None and row.judged.risen > 0


def _work(problem: str, rows: "list[Row]") -> Image:
    figure = Figure(figsize=(8.6, 4.6))
    axes = figure.add_axes((0.085, 0.11, 0.66, 0.78))
    axes.set(xscale="log", yscale="log", xlabel="calls of the vector field, for one state", ylabel="error at the end")
    ends = []
    for method in dict.fromkeys(row.method for row in rows):
        mine = sorted((row for row in rows if row.method == method), key=lambda row: row.evaluations or 0)
        xs, ys = (np.asarray(part, float) for part in ([row.evaluations for row in mine], [row.error for row in mine]))
        axes.plot(xs, ys, color=QUIET, linewidth=0.6, alpha=0.6, zorder=1)
        for row in mine:
            look: Any = {"markerfacecolor": "white", "color": RISE} if rose(row) else {"color": FALL}
            axes.plot(row.evaluations or 0, row.error or 0, marker="o", markersize=4, zorder=2, linestyle="", **look)
        ends.append((method, xs[-1], ys[-1]))
    logarithmic(axes.xaxis)
    logarithmic(axes.yaxis, 9)
    _named(axes, ends)
    energy = next(iter(rows[0].energies), None)
    told = "no energy" if energy is None else energy_name(energy)
    figure.text(0.01, 0.985, f"{clipped(problem, 40)}: {told}", va="top", fontweight="bold")
    _key(figure)
    best = min(rows, key=lambda row: row.error or np.inf)
    bad = sum(map(rose, rows))
    return image(
        figure,
        f"{problem}: {counted(len(rows), 'run')} of {counted(len(ends), 'method')}; {told} rose in {bad} of them. The "
        f"least error is {number(best.error)} with {best.method} and {number(best.evaluations)} calls.",
    )


def _key(figure: Figure) -> None:
    marks = [
        Line2D([], [], marker="o", linestyle="", color=FALL, markersize=4, label="never rose"),
        Line2D([], [], marker="o", linestyle="", color=RISE, markerfacecolor="white", markersize=4, label="rose"),
    ]
    figure.legend(handles=marks, loc="upper right", ncols=2, fontsize=8, frameon=False)


def _named(axes: Axes, ends: list[tuple[str, Any, Any]], length: int = 26) -> None:
    """Names in the right margin at their lines' heights, spread so that none lies on another."""
    scale = np.log if axes.get_yscale() == "log" else np.asarray
    low, high = (float(scale(end)) for end in axes.get_ylim())
    wanted = sorted(((float(scale(y)) - low) / (high - low), name, x, y) for name, x, y in ends)
    figure: Any = axes.figure
    gap = min(13 / (72 * axes.get_position().height * figure.get_figheight()), 1.0 / len(wanted))
    places: list[float] = []
    for place, *_ in wanted:
        places.append(max(place, places[-1] + gap) if places else place)
    limit = 1.0
    for k in range(len(places) - 1, -1, -1):  # down again, where the top is full
        places[k] = limit = min(places[k], limit)
        limit -= gap
    for place, (_, name, x, y) in zip(places, wanted, strict=True):
        axes.annotate(
            clipped(name, length), (x, y), (1.03, place), xycoords="data", textcoords="axes fraction", fontsize=7.5,
            va="center", annotation_clip=False,
            arrowprops={"arrowstyle": "-", "color": QUIET, "linewidth": 0.4, "alpha": 0.6, "shrinkA": 1, "shrinkB": 3},
        )  # fmt: skip


def _rows(problem: str, rows: "Iterable[Row]") -> Table:
    head = ("method", "steps", "calls", "taken", "rejected", "error", "weak error", "energy", "rises", "largest",
            "between steps", "recalled", "ms", "remark")  # fmt: skip
    cells = []
    for row in rows:
        steps = f"{row.steps} {row.grid}" if row.steps is not None else f"rtol {number(row.tolerance)}"
        work = [number(part) for part in (row.evaluations, row.accepted, row.rejected, row.error, row.weak_error)]
        rest = [number(row.recalled), number(None if row.seconds is None else 1000 * row.seconds), row.reason]
        for name, one in row.energies.items() or (("", None),):
            cells.append((row.method, steps, *work, energy_name(name), *_risen(one), *rest))
    return Table(f"{problem}: all runs", head, cells)


def _risen(one: "Ascent | None") -> tuple[str, str, str]:
    """How many steps rose, the largest rise, and how many rises the dense output has."""
    if one is None:
        return "", "", ""
    mean = "" if one.mean_rises is None else f"; {counted(one.mean_rises, 'step')} in mean"
    return f"{one.rises} of {one.pairs}{mean}", number(one.largest), number(one.dense_rises)


# ------------------------------------------------------------------------------ courses


def course_section(courses: Sequence[Any]) -> Section:
    """Panels of energies along runs, one for each problem and energy."""
    panels: dict[tuple[str, str], list[Any]] = {}
    for one in courses:
        panels.setdefault((one.problem, one.energy), []).append(one)
    images = [_course(*key, found) for key, found in panels.items()]
    blocks = [Block("Runs of the first state", images, COURSES, [])] if images else []
    return Section("courses", "Energy against work", LEADS["courses"], blocks, "No runs were kept.")


def _course(problem: str, energy: str, found: Sequence[Any]) -> Image:
    figure = Figure(figsize=(3.9, 3.0))
    axes = figure.add_axes((0.17, 0.15, 0.54, 0.68))
    values = np.concatenate([np.asarray(one.values) for one in found])
    least = 0.0 if values.min() > 0 else values.min()
    low = values.min() if values.min() > 0 else np.median(values) - least
    wide = values.max() - least > 100 * low
    shift, floor = (least, 1e-15 * abs(least)) if wide else (0.0, -np.inf)
    ends = []
    for one in found:
        heights = np.asarray(one.values) - shift
        heights = np.where(heights > floor, heights, np.nan)  # the least value itself has no logarithm
        axes.plot(one.evaluations, heights, color=FALL, linewidth=0.7)
        for k in np.flatnonzero(one.rising):
            axes.plot(one.evaluations[k : k + 2], heights[k : k + 2], color=RISE, linewidth=2)
        ends += [(one.method, one.evaluations[k], heights[k]) for k in np.flatnonzero(np.isfinite(heights))[-1:]]
    axes.set(xlabel="calls of the vector field")
    if wide:
        axes.set_yscale("log")
        logarithmic(axes.yaxis)
    _named(axes, ends, 17)
    told = energy_name(energy) + (", above its least value" if shift else "")
    figure.text(0.01, 0.985, clipped(problem, 44), va="top", fontweight="bold")
    figure.text(0.01, 0.91, clipped(told, 50), va="top", color=QUIET, fontsize=8)
    bad = [one.method for one in found if np.any(one.rising)]
    return image(figure, f"{told} on {problem}: it rose along {', '.join(bad) or 'none of the runs'}.")


# --------------------------------------------------------------------------------- maps


def _maps(maps: "Sequence[RiseMap]") -> list[Block]:
    if not maps:
        return []
    tables = [
        Table(
            f"{one.name}: largest ratio with a rise",
            ("noise level s", "ratio", "largest rise / s²"),
            [(number(s), _largest(one.ratios, line), number(line.max()))
             for s, line in zip(one.noises, one.rise, strict=True)],
        )
        for one in maps
    ]  # fmt: skip
    return [Block("Over ratio and noise", [_map(one) for one in maps], MAP, tables)]


def _largest(ratios: np.ndarray, line: np.ndarray) -> str:
    rising = ratios[line > 0]
    return number(rising.max()) if rising.size else "none"


def _map(one: "RiseMap") -> Image:
    figure = Figure(figsize=(3.6, 2.6))
    axes, bar = figure.add_axes((0.15, 0.18, 0.64, 0.64)), figure.add_axes((0.82, 0.18, 0.03, 0.64))
    shown = np.ma.masked_less_equal(one.rise, 0)
    mesh = axes.pcolormesh(one.ratios, one.noises, shown, cmap="Oranges", norm=LogNorm(1e-3, 1e3), shading="nearest",
                           rasterized=False)  # fmt: skip
    axes.set(yscale="log", xlabel="ratio ρ = s⁺/s of a step", ylabel="noise level s", xlim=(0, 1))
    logarithmic(axes.yaxis)
    if one.bound is not None:
        axes.axvline(one.bound, color=FALL, linestyle=(0, (3, 2)), linewidth=1)
        axes.text(one.bound + 0.015, 0.97, f"ρ = {one.bound:.4g}", color=FALL, fontsize=7.5, va="top",
                  transform=axes.get_xaxis_transform())  # fmt: skip
    figure.colorbar(mesh, cax=bar, extend="both", ticks=LogLocator(numticks=4), format=FuncFormatter(power))
    bar.tick_params(labelsize=7)
    bar.minorticks_off()
    figure.text(0.01, 0.985, one.name, va="top", fontweight="bold")
    figure.text(0.01, 0.9, f"runs of {one.steps} steps", va="top", color=QUIET, fontsize=8)
    rising = one.rise > 0
    if not rising.any():
        axes.text(0.5, 0.5, "no rise found", color=QUIET, ha="center", va="center", transform=axes.transAxes)
    told = f"rises for ratios up to {number(one.ratios[rising.any(axis=0)].max())}" if rising.any() else "no rise found"
    return image(figure, f"{one.name}: {told}, of {rising.size} cells {int(rising.sum())} have one.")


# ------------------------------------------------------------------------------- tables


def _orders(orders: "Sequence[Order]") -> list[Block]:
    if not orders:
        return []
    head = ("problem and method", "error", "order", "95 % interval", "theory", "runs")
    rows = [
        (f"{one.problem}, {one.method}", one.kind, number(one.order, 3),
         f"{number(one.low, 3)} to {number(one.high, 3)}", number(one.theory), str(one.points))
        for one in orders
    ]  # fmt: skip
    return [
        Block("Fitted orders", [], "Where theory has no order the column says none.", [Table("Orders", head, rows)])
    ]


def _limits(limits: "Sequence[StepLimit]") -> list[Block]:
    if not limits:
        return []
    head = ("problem and method", "energy", "safe up to", "rises or fails at", "theory")
    rows = [
        (
            f"{one.problem}, {one.method}",
            energy_name(one.energy),
            number(one.safe),
            number(one.unsafe),
            number(one.theory),
        )
        for one in limits
    ]
    caption = "Safe means: none of the states tried rose, at this step and at the smaller ones that were tried."
    return [Block("Largest safe step", [], caption, [Table("Safe steps", head, rows)])]


def _gallery(exhibits: "Sequence[tuple[Counterexample, Course]]") -> list[Block]:
    if not exhibits:
        return []
    head = ("sampler", "weight of 1", "start y", "noise s", "ratio ρ", "steps", "rise / s²")
    rows = [
        (one.name, number(one.weight), number(one.start, 6), number(one.noise), number(one.ratio), str(one.steps),
         number(course.rises().max()))
        for one, course in exhibits
    ]  # fmt: skip
    images = [_exhibit(one, course) for one, course in exhibits]
    return [Block("Runs that raise V", images, GALLERY, [Table("Their numbers", head, rows)])]


def _exhibit(one: "Counterexample", course: "Course") -> Image:
    figure = Figure(figsize=(3.6, 2.4))
    axes = figure.add_axes((0.17, 0.18, 0.8, 0.6))
    steps, rises = np.arange(len(course.values)), course.rises()
    axes.plot(steps, course.values, color=FALL, linewidth=1, marker="o", markersize=3)
    for k in np.flatnonzero(rises > 0):
        axes.plot(steps[k : k + 2], course.values[k : k + 2], color=RISE, linewidth=2.5)
    axes.set(yscale="log", xlabel="step", ylabel="V", xticks=steps)
    logarithmic(axes.yaxis, 5)
    figure.text(0.01, 0.985, one.name, va="top", fontweight="bold")
    told = f"ρ = {one.ratio:g}, s = {one.noise:g}, y = {one.start:g}, weight {one.weight:g}"
    figure.text(0.01, 0.89, told, va="top", color=QUIET, fontsize=8)
    return image(figure, f"{one.name}, {told}: V is {', '.join(number(value, 3) for value in course.values)}.")
