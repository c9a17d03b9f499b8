"""The table: every row for every system, a column that fails told so and the others kept."""

import dataclasses
import zlib
from collections.abc import Callable, Sequence
from typing import Any

import jax.random as jr

from .._errors import DynamemError
from ..catalog import DataSet
from ._cell import Cell, Property
from ._column import DEFAULT, column_of
from ._properties import ROWS, Bench
from ._recall import Curve, curves_of, undone


UNDOES = (
    "undoes corruption",
    "cues whose run ends nearest to the right memory, the median distance left, at the middle strengths",
)


@dataclasses.dataclass(frozen=True)
class SurveyTable:
    """What was computed: systems by name with their titles, rows, recall curves by system, and what failed."""

    systems: dict[str, str]
    rows: list[Property]
    curves: dict[str, list[Curve]]
    errors: list[str]


def survey_table(
    names: Sequence[str], data: DataSet, *, states: int, seed: int, progress: Callable[[str, int, int], None]
) -> SurveyTable:
    """Compute the table for systems by name (none: `DEFAULT`); ``progress(label, done, total)`` after each cell.

    A row that raises has a cell that says so, and a sentence in `SurveyTable.errors`.
    """
    chosen = list(names) or list(DEFAULT)
    found: dict[str, list[Cell]] = {}
    titles, curves, errors = {}, {}, []
    total, done = len(chosen) * (len(ROWS) + 1), 0
    for name in chosen:
        cells: list[Cell] = []
        column = column_of(name, data, states, _keyed(seed, name))
        titles[name] = column.title
        try:
            bench: Bench | None = Bench(column, _keyed(seed, f"{name} runs"))
        except FloatingPointError as error:
            bench, why = None, str(error)
            errors.append(f"{name}: {why}")
        for label, _, measure in ROWS:
            cells.append(_cell(measure, bench, name, label, errors))
            done += 1
            progress(f"{name}: {label}", done, total)
        curves[name] = [] if bench is None else _curves(bench, data, seed, name, errors)
        cells.append(undone(curves[name]) if curves[name] else Cell("failed", None, {}))
        done += 1
        progress(f"{name}: {UNDOES[0]}", done, total)
        found[name] = cells
    labels = [(label, measured) for label, measured, _ in ROWS] + [UNDOES]
    rows = [Property(*label, {name: found[name][k] for name in chosen}) for k, label in enumerate(labels)]
    return SurveyTable(titles, rows, curves, errors)


def _cell(measure: Callable[[Bench], Cell], bench: Bench | None, name: str, label: str, errors: list[str]) -> Cell:
    if bench is None:
        return Cell("failed: no run ends with finite numbers", None, {})
    try:
        return measure(bench)
    except Exception as error:
        errors.append(f"{name}, {label}: {_reason(error)}")
        return Cell(f"failed: {_reason(error)}", None, {})


def _curves(bench: Bench, data: DataSet, seed: int, name: str, errors: list[str]) -> list[Curve]:
    shape = data.image_shape if bench.memories.shape[1] == data.patterns.shape[1] else None
    try:
        return curves_of(bench, shape, seed)
    except Exception as error:
        errors.append(f"{name}, {UNDOES[0]}: {_reason(error)}")
        return []


def _reason(error: Exception) -> str:
    text = " ".join(str(error).split())
    kind = "" if isinstance(error, DynamemError) else f"{type(error).__name__}: "
    return f"{kind}{text[:200]}"


def _keyed(seed: int, name: str) -> Any:
    return jr.fold_in(jr.key(seed), zlib.crc32(name.encode()))
