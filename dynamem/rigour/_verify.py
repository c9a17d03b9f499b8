"""Check a certificate with python-flint and the standard library: no JAX, no NumPy, no rounding of the processor."""

import hashlib
import json
import math
from fractions import Fraction
from pathlib import Path
from typing import Any

from flint import ctx

from ..programs import OPERATIONS, RUNS, Mark, Node, Program
from ._parts import Ends, Parts, downhill, hull


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
    program, box = _program(body), [(float.fromhex(lo), float.fromhex(hi)) for lo, hi in body["box"]]
    points = [[float.fromhex(value) for value in point] for point in body["points"]]
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


def _program(body: dict[str, Any]) -> Program:
    try:
        nodes = tuple(_node(place, *line) for place, line in enumerate(body["program"]["nodes"]))
        program = Program(nodes, tuple(body["program"]["inputs"]), tuple(body["program"]["outputs"]))
        sound = _sound(program, body)
    except (TypeError, ValueError, KeyError, IndexError, AttributeError) as error:
        msg = f"the program cannot be read: {error}"
        raise Unreadable(msg) from None
    if not sound:
        msg = "the program does not fit the region and its constraints"
        raise Unreadable(msg)
    return program


def _sound(program: Program, body: dict[str, Any]) -> bool:
    lengths = [program.nodes[place].length for place in (*program.inputs, *program.outputs)]
    count, rows = body["constraints"], len(body["box"])
    inputs = [place for place, node in enumerate(program.nodes) if node.op == "input"]
    return (
        isinstance(count, int) and isinstance(body["strict"], bool) and list(program.inputs) == inputs
        and len(inputs) == 1 and len(program.outputs) == 1 + count and lengths == [rows, *[1] * (1 + count)]
        and all(math.isfinite(float.fromhex(end)) for row in (*body["box"], *body["points"]) for end in row)
        and all(len(row) == 2 for row in body["box"]) and all(len(point) == rows for point in body["points"])
        and isinstance(body["cuts"], str)
    )  # fmt: skip


def _node(place: int, op: str, args: list[int], length: int, data: list[Any]) -> Node:
    """One line, judged: a known operation of earlier lines, with data that fit."""
    arity = OPERATIONS[op]
    fine = all(isinstance(arg, int) and 0 <= arg < place for arg in args) and isinstance(length, int) and length > 0
    if not fine or arity not in (-1, len(args)):
        msg = f"line {place} ({op}) has wrong arguments"
        raise ValueError(msg)
    if op == "const":
        data = [_constant(value) for value in data]
        kinds = {isinstance(value, bool) for value in data}
        fine = len(data) == length and len(kinds) == 1 and all(map(math.isfinite, data))
    elif op == "take":
        fine = len(data) == length and all(isinstance(index, int) and index >= 0 for index in data)
    elif op == "powi" or op in RUNS:
        fine = len(data) == 1 and isinstance(data[0], int) and (op == "powi" or data[0] > 0)
    elif op == "dot":
        fine = len(data) == 4 and all(isinstance(size, int) and size > 0 for size in data)
    else:
        fine = not data
    if not fine:
        msg = f"line {place} ({op}) has wrong data"
        raise ValueError(msg)
    return Node(op, tuple(args), length, tuple(data))


def _constant(value: Any) -> bool | float | Fraction:
    """A truth value, the bits of a float, or a fraction ``p/q``."""
    if isinstance(value, bool):
        return value
    above, slash, below = value.partition("/")
    return Fraction(int(above), int(below)) if slash else float.fromhex(value)


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
        outputs = self.parts.values(here)
        if any(isinstance(one, Mark) for one in outputs):
            return f"the question may be undefined on {here}"
        top = outputs[0][1] if word == "v" else self.parts.mean_value(here)
        if top is None:
            return f"there may be a jump on {here}"
        return "" if (top < 0 if self.body["strict"] else top <= 0) else f"the number may be positive on {here}"

    def _summit(self, place: int, here: Ends) -> bool:
        """Whether the number is at most 0 on a part by its curvature."""
        point = self.points[place]
        if place not in self.signs:
            self.signs[place] = self.parts.summit(point)
        signs = self.signs[place]
        if self.body["strict"] or signs is None or not downhill(point, signs, here):
            return False
        return self.parts.concave(hull(point, here))
