"""Check a certificate with python-flint and the standard library: no JAX, no NumPy, no rounding of the processor."""

import hashlib
import json
import math
from pathlib import Path
from typing import Any

from flint import ctx

from ..programs import Mark, Program
from ._parts import Ends, Parts, downhill, hull
from ._program_json import read


SCHEMA = "dynamem.certificate/2"
FIELDS = {
    "schema", "dynamem", "claim", "strict", "timed", "semantics", "constraints", "box", "points", "program", "cuts",
    "sha256",
}  # fmt: skip
MOST_BYTES = 64 * 2**20
PRECISION = 96


class Unreadable(ValueError):
    """A file that is no certificate of this version."""


def verify(path: str | Path) -> tuple[bool, str]:
    """Whether a certificate holds, and a sentence on what was checked or what does not.

    Raises:
        Unreadable: the file is missing, too large, no JSON, or no certificate that this version knows.
    """
    body = _read(Path(path))
    text = json.dumps({key: body[key] for key in body if key != "sha256"}, sort_keys=True, separators=(",", ":"))
    if hashlib.sha256(text.encode()).hexdigest() != body["sha256"]:
        return False, "the hash does not match: some field was changed"
    program, box, points = _parts(body)
    before = ctx.prec
    ctx.prec = PRECISION
    try:
        return _Replay(program, points, body).run(box)
    finally:
        ctx.prec = before


def _read(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > MOST_BYTES:
            msg = f"{path}: larger than {MOST_BYTES} bytes"
            raise Unreadable(msg)
        body = json.loads(path.read_text(encoding="utf-8"), parse_constant=_refuse)
    except (OSError, UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        msg = f"{path}: {error}"
        raise Unreadable(msg) from None
    if not isinstance(body, dict) or body.get("schema") != SCHEMA:
        found = body.get("schema") if isinstance(body, dict) else type(body).__name__
        msg = f"{path}: schema {found!r}, this version reads {SCHEMA!r}"
        raise Unreadable(msg)
    if set(body) != FIELDS:
        msg = f"{path}: fields {sorted(set(body) ^ FIELDS)} are missing or unknown"
        raise Unreadable(msg)
    return body


def _refuse(name: str) -> None:
    msg = f"{name} is no number of a certificate"
    raise Unreadable(msg)


def _parts(body: dict[str, Any]) -> tuple[Program, list[tuple[float, float]], list[list[float]]]:
    """Program, region and points, judged."""
    try:
        box = [(float.fromhex(lo), float.fromhex(hi)) for lo, hi in body["box"]]
        points = [[float.fromhex(value) for value in point] for point in body["points"]]
        count = body["constraints"]
        fine = isinstance(count, int) and isinstance(body["strict"], bool) and isinstance(body["cuts"], str)
        fine = fine and all(math.isfinite(end) for row in (*box, *points) for end in row) and len(box) > 0
        if not fine or not all(lo <= hi for lo, hi in box) or not all(len(point) == len(box) for point in points):
            msg = "region, points, constraints, strict or cuts are not of their kind"
            raise ValueError(msg)
        return read(body["program"], len(box), 1 + count), box, points
    except (TypeError, ValueError, LookupError, AttributeError, ArithmeticError) as error:
        msg = f"the certificate cannot be read: {error}"
        raise Unreadable(msg) from None


class _Replay:
    """One walk through the cuts."""

    def __init__(self, program: Program, points: list[list[float]], body: dict[str, Any]) -> None:
        self.parts, self.points, self.body = Parts(program), points, body
        self.signs: dict[int, list[tuple[bool, bool]] | None] = {}

    def run(self, box: list[tuple[float, float]]) -> tuple[bool, str]:
        """Bound the number on every part."""
        stack, count = [box], 0
        for word in self.body["cuts"].split():
            if not stack:
                return False, "there are more cuts than parts"
            here = stack.pop()
            if word.isdecimal():
                axis = int(word)
                if axis >= len(here):
                    return False, f"a cut along axis {axis} of {len(here)}"
                lo, hi = here[axis]
                middle = 0.5 * (lo + hi)
                stack.append([*here[:axis], (middle, hi), *here[axis + 1 :]])
                stack.append([*here[:axis], (lo, middle), *here[axis + 1 :]])
                continue
            count += 1
            reason = self._part(here, word)
            if reason:
                return False, reason
        if stack:
            return False, f"{len(stack)} parts of the region are not decided"
        return True, f"{self.body['claim']} on {count} parts, checked by Arb at {PRECISION} bits"

    def _part(self, here: Ends, word: str) -> str:
        """Why a part is not decided as the word says, or nothing."""
        kind, place = word[0], int(word[1:]) if word[1:].isdecimal() else -1
        if kind == "c" and 0 <= place < self.body["constraints"]:
            bound = self.parts.values(here)[1 + place]
            return "" if not isinstance(bound, Mark) and bound[0] > 0 else f"constraint {place} may hold on {here}"
        if kind == "e" and 0 <= place < len(self.points):
            return "" if self._summit(place, here) else f"point {place} does not decide {here}"
        if word not in ("v", "m"):
            return f"unknown word {word!r}"
        good = self.parts.decided(here, word, strict=self.body["strict"])
        return "" if good else f"the number may be positive or undefined on {here}"

    def _summit(self, place: int, here: Ends) -> bool:
        """Whether the number is at most 0 on a part by its curvature."""
        point = self.points[place]
        if place not in self.signs:
            self.signs[place] = self.parts.summit(point)
        signs = self.signs[place]
        if self.body["strict"] or signs is None or not downhill(point, signs, here):
            return False
        return self.parts.concave(hull(point, here))
