"""A comparison for people: for each problem a line a method, with its most exact run and what the energies did."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Table
from rich.text import Text

from ._table import page_of


def compare_text(found: Any) -> str:
    """The tables of a `Comparison`, at most `WIDTH` columns."""
    orders = {(one.problem, one.method): one for one in reversed(found.orders)}
    limits = {(one.problem, one.method): one for one in found.limits}
    parts: list[Any] = []
    for setting in found.problems:
        rows = [row for row in found.rows if row.problem == setting.name]
        if rows:
            parts += [Text(_heading(setting), style="bold"), _grid(rows, setting, orders, limits), ""]
    return page_of([*parts, *map(Text, _legend(found.rows))])


def _heading(setting: Any) -> str:
    where = f"{setting.states} states of {setting.dimension} coordinates"
    return f"{setting.name}: {setting.title}, {where}" if setting.title else f"{setting.name}: {where}"


def _grid(rows: Sequence[Any], setting: Any, orders: Mapping[Any, Any], limits: Mapping[Any, Any]) -> Table:
    grid = Table(box=None, padding=(0, 1, 0, 0), header_style="bold", show_edge=False)
    heads = ("method", "calls", "error", "order", *(name.replace("_", " ") for name in setting.energies), "safe step")
    for name in heads:
        grid.add_column(name, justify="left" if name == "method" else "right", no_wrap=name in ("calls", "error"))
    for method in dict.fromkeys(row.method for row in rows):
        key = (setting.name, method)
        mine = [row for row in rows if row.method == method]
        told = [_risen(mine, name) for name in setting.energies]
        grid.add_row(*map(Text, (method, *_best(mine), _order(orders.get(key)), *told, _safe(limits.get(key)))))
    return grid


def _best(rows: Sequence[Any]) -> tuple[str, str]:
    good = [row for row in rows if row.error is not None]
    if not good:
        return "", "failed"
    best = min(good, key=lambda row: row.error)
    return "" if best.evaluations is None else f"{best.evaluations:.0f}", f"{best.error:.1e}"


def _order(found: Any) -> str:
    """The order with half its interval, and what theory says."""
    if found is None:
        return ""
    theory = "" if found.theory is None else f" ({found.theory:g})"
    return f"{found.order:.2f} +-{max(found.high - found.order, found.order - found.low):.2f}{theory}"


def _risen(rows: Sequence[Any], energy: str) -> str:
    """The largest rise and how many steps rose; with noise how many mean steps."""
    told = [row.energies[energy] for row in rows if energy in row.energies]
    risen = sum(one.risen for one in told)
    if not told:
        return ""
    if any(one.mean_rises is not None for one in told):
        return f"{risen} in mean" if risen else "0"
    return f"{risen} ({max(one.largest for one in told):.0e})" if risen else "0"


def _safe(found: Any) -> str:
    if found is None:
        return ""
    if not math.isfinite(found.unsafe):
        told = f">= {found.safe:.4g}"
    else:
        told = f"{found.safe:.4g}" + ("" if found.witness["rise"] is not None else ", then fails")
    return told if found.theory is None else f"{told} ({found.theory:.4g})"


def _legend(rows: Sequence[Any]) -> list[str]:
    failed = sum(row.status != "ok" for row in rows)
    return [
        f"{len(rows)} runs, {failed} failed. Calls of the vector field and error are of a method's most exact run.",
        "Under each energy: steps of all runs that raised it (by up to so much); with noise: in mean.",
        "Orders with half their 95 % interval. In brackets beside orders and safe steps: what theory says.",
    ]
