"""The page of a run of pytest: what came out, how near to a failure it was, and every row."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from ._blocks import Block, Section, Table
from ._svg import FALL, QUIET, RISE, Image, image, logarithmic
from ._words import VERDICTS, clipped, counted, number


Row = dict[str, Any]

MOST = 40
LEAST, TOP = 1e-6, 1e6
MARGINS = (
    "The largest of what was found over what is forgiven, logarithmic: rises, rates and differences over rounding "
    "bounds and tolerances. Beyond 1 an assertion fails. Blue: it held; orange: it did not. What falls, or is further "
    "away than the axis goes, stands at its end."
)


def verdict_sections(tests: Sequence[Mapping[str, Any]]) -> list[Section]:
    """Counts, failures, margins, certificates and all rows."""
    rows = [{"test": test["test"], "outcome": test["outcome"], **row} for test in tests for row in test["verdicts"]]
    return [_summary(tests, rows), _failures(rows), _margins(rows), _climbs(rows), _all(rows)]


def _summary(tests: Sequence[Mapping[str, Any]], rows: list[Row]) -> Section:
    found = Counter(row["status"] for row in rows)
    cells = [(status, str(found[status]), VERDICTS.get(status, "")) for status in VERDICTS if found[status]]
    outcomes = Counter(test["outcome"] for test in tests)
    lead = (
        f"{counted(len(tests), 'test')} asked something ({', '.join(f'{n} {name}' for name, n in outcomes.items())}), "
        f"in {counted(len(rows), 'place')}."
    )
    blocks = [Block("Verdicts", [], "", [Table("Verdicts", ("verdict", "places", "meaning"), cells)])] if cells else []
    return Section("summary", "Summary", lead, blocks, "No test asked anything.")


def _failures(rows: list[Row]) -> Section:
    bad = [row for row in rows if row["status"] in ("broken", "failed")]
    cells = [(row["test"], _asked(row), row["status"], row["outcome"], _in_short(row)) for row in bad]
    table = Table(counted(len(bad), "place"), ("test", "asked", "verdict", "the test", "reason"), cells)
    lead = "Of many examples the last is told: Hypothesis ends with the smallest. A test that passed expects a failure."
    blocks = [Block("What failed", [], "", [table])] if bad else []
    return Section("failures", "What broke or failed", lead, blocks, "Nothing did.")


def _margins(rows: list[Row]) -> Section:
    near = sorted((row for row in rows if row["margin"] is not None), key=lambda row: -row["margin"])
    cells = [(row["test"], _asked(row), number(row["margin"]), row["status"]) for row in near]
    tables = [Table("All margins", ("test", "asked", "margin", "verdict"), cells)]
    blocks = [Block("Margins", [_figure(near[:MOST])], MARGINS, tables, wide=True)] if near else []
    return Section("margins", "How near to a failure", "The nearest ones first.", blocks, "Nothing was measured so.")


def _figure(rows: list[Row]) -> Image:
    height = 0.6 + 0.22 * len(rows)
    figure = Figure(figsize=(7.2, height))
    axes = figure.add_axes((0.45, 0.42 / height, 0.52, 1 - 0.6 / height))
    names = [clipped(f"{row['test'].rpartition('::')[2]}, {row['asked'].removeprefix('assert_')}", 46) for row in rows]
    at, place = np.clip([row["margin"] for row in rows], LEAST, TOP), np.arange(len(rows))
    colours = [RISE if row["status"] in ("broken", "failed") else FALL for row in rows]
    axes.hlines(place, LEAST, at, color=colours, linewidth=1.2)
    axes.scatter(at, place, c=colours, s=14, zorder=3)
    axes.axvline(1.0, color=QUIET, linewidth=0.8, linestyle="--")
    axes.set(xscale="log", xlim=(LEAST * 0.8, TOP * 1.25), ylim=(len(rows) - 0.5, -0.5))
    logarithmic(axes.xaxis)
    axes.set_yticks(place, names, fontsize=7)
    axes.tick_params(axis="y", length=0)
    return image(figure, f"Margins of {counted(len(rows), 'assertion')}, the largest {number(rows[0]['margin'])}.")


def _climbs(rows: list[Row]) -> Section:
    up = [row for row in rows if "climbed" in row]
    cells = [
        (row["test"], _asked(row), row["climbed"]["status"], row["climbed"]["region"], row["climbed"]["reason"],
         row["climbed"].get("certificate", "not kept"))
        for row in up
    ]  # fmt: skip
    head = ("test", "asked", "verdict", "region", "reason", "certificate")
    blocks = [Block("Climbs", [], "", [Table(counted(len(up), "climb"), head, cells)])] if up else []
    lead = "What held at the states of the last example, asked for all states of the smallest box around them."
    return Section("climbs", "On whole boxes", lead, blocks, "Not asked for: --dynamem-certify does.")


def _all(rows: list[Row]) -> Section:
    cells = [
        (row["test"], _asked(row), row["status"], ", ".join(f"{n} {name}" for name, n in row["calls"].items()),
         row["region"] or "none", row["outcome"])
        for row in rows
    ]  # fmt: skip
    table = Table(counted(len(rows), "place"), ("test", "asked", "verdict", "calls", "region", "the test"), cells)
    blocks = [Block("All", [], "", [table])] if rows else []
    return Section("all", "Everything that was asked", "In the order of the tests.", blocks, "No test asked anything.")


def _asked(row: Row) -> str:
    return f"{row['asked']}, {row['place']}"


def _in_short(row: Row) -> str:
    """The reason without the lines to keep as a test, which the JSON has."""
    lines = row["reason"].partition("to keep as a test:")[0].splitlines()
    return "; ".join(line.strip() for line in lines if line.strip())
