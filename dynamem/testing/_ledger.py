"""What one test found: a row for each call in its source, however often examples went through it."""

import json
import re
import zlib
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from .._journal import Entry


WORST_FIRST = ("broken", "failed", "undecided", "holds", "certified", "proved")


class Ledger:
    """Rows by function and place; of many calls the worst stays, and the last among equals (Hypothesis shrinks)."""

    def __init__(self) -> None:
        self._rows: dict[tuple[str, str], dict[str, Any]] = {}
        self._climbs: dict[tuple[str, str], Any] = {}
        self._climbing = False  # what a climb itself asks is no row

    def enter(self, entry: Entry) -> None:
        """Add what a call found."""
        if self._climbing:
            return
        key = (entry.asked, entry.place)
        row = self._rows.setdefault(
            key, {"asked": entry.asked, "place": entry.place, "status": "proved", "calls": {}, "margin": None}
        )
        row["calls"][entry.status] = row["calls"].get(entry.status, 0) + 1
        if WORST_FIRST.index(entry.status) <= WORST_FIRST.index(row["status"]):
            row |= {"status": entry.status, "reason": entry.reason, "region": entry.region}
        if entry.margin is not None:
            row["margin"] = entry.margin if row["margin"] is None else max(row["margin"], entry.margin)
        if entry.climb is not None:
            self._climbs[key] = entry.climb

    def rows(self) -> list[dict[str, Any]]:
        """The rows, of plain values."""
        return list(self._rows.values())

    def climb(self, seconds: float, folder: Path | None, test: str) -> list[str]:
        """Ask what held at states on their whole box; what is found goes into the rows, certificates into the folder.

        Arguments:
            seconds: for each row.
            folder: for certificates, None to keep none.
            test: name of the test.

        Returns:
            A sentence for each row where a rise was found.
        """
        rises = []
        for key, climb in self._climbs.items():
            row = self._rows[key]
            if row["status"] != "holds":
                continue
            self._climbing = True
            found = climb(seconds)
            self._climbing = False
            row["climbed"] = {name: found[name] for name in ("status", "reason", "region")}
            if found["status"] == "broken":
                rises.append(f"{row['asked']} at {row['place']} held at its states, but not between: {found['reason']}")
            if folder is not None and found["certificate"] is not None:
                row["climbed"]["certificate"] = str(_keep(folder, f"{test}-{key[1]}", found["certificate"]))
        return rises


def _keep(folder: Path, name: str, certificate: Mapping[str, Any]) -> Path:
    from .._output import staged

    plain = re.sub(r"[^A-Za-z0-9]+", "-", name).strip("-")[-80:]
    path = folder / f"{plain}-{zlib.crc32(name.encode()):08x}.json"
    with staged("--dynamem-certificates", path) as draft:
        draft.write_text(json.dumps(certificate, allow_nan=False) + "\n", encoding="utf-8")
    return path


def counts(rows: Iterable[Mapping[str, Any]]) -> str:
    """``5 verdicts: 4 holds (2 climbed to certified), 1 broken``."""
    rows = list(rows)
    found, climbed = (
        Counter(row["status"] for row in rows),
        Counter(row["climbed"]["status"] for row in rows if "climbed" in row),
    )
    parts = [f"{found[status]} {status}" for status in reversed(WORST_FIRST) if found[status]]
    above = [f"{climbed[status]} {status}" for status in reversed(WORST_FIRST) if climbed[status]]
    return f"{len(rows)} verdict{'s' * (len(rows) != 1)}: {', '.join(parts)}" + (
        f"; on whole boxes: {', '.join(above)}" if above else ""
    )
