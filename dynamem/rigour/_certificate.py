r"""Certificates: a program, a region cut in halves until every part is decided, and a hash, as JSON.

The cuts are a word in prefix order: an axis number cuts the box at the middle of that axis, ``v`` says that the number
has its sign there, ``c0``, ``c1``, ... that a constraint fails there. So the parts cover the region by construction.
"""

import dataclasses
import hashlib
import json
from typing import Any

import numpy as np

from ..programs import Interval, Program, enclose
from ._question import Question


SCHEMA = "dynamem.certificate/1"
MOST_LEAVES = 50_000
BATCH = 4096


def certificate(asked: Question, region: np.ndarray, leaves: np.ndarray) -> tuple[dict[str, Any] | None, str]:
    """The certificate, or None and why there is none.

    The search may have used slopes; a certificate has only the plain enclosure of each part, so that whoever checks it
    needs no derivative. Parts for which that is too wide are cut further.
    """
    from importlib.metadata import PackageNotFoundError, version

    program = asked.program()
    cuts = _cuts(program, len(asked.constraints), region, leaves, strict=asked.strict)
    if cuts is None:
        return None, f"its plain enclosures need more than {MOST_LEAVES} parts"
    try:
        made = version("dynamem")
    except PackageNotFoundError:
        made = "unknown"
    body = {
        "schema": SCHEMA,
        "dynamem": made,
        "claim": asked.words,
        "strict": asked.strict,
        "timed": asked.timed,
        "semantics": "real arithmetic; floats are the rationals they are",
        "constraints": len(asked.constraints),
        "box": [[float(lo).hex(), float(hi).hex()] for lo, hi in region.tolist()],
        "program": _program_json(program),
        "cuts": " ".join(cuts),
    }
    return body | {"sha256": digest(body)}, ""


def digest(body: dict[str, Any]) -> str:
    """SHA-256 of the canonical JSON of all fields but the hash."""
    text = json.dumps({key: body[key] for key in body if key != "sha256"}, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _program_json(program: Program) -> dict[str, Any]:
    nodes = []
    for node in program.nodes:
        data: Any = [] if isinstance(node.data, tuple) and not node.data else np.asarray(node.data).tolist()
        if node.op == "const":
            data = [value if isinstance(value, bool) else float(value).hex() for value in data]
        nodes.append([node.op, list(node.args), node.length, data if node.op != "input" else []])
    return {"nodes": nodes, "inputs": list(program.inputs), "outputs": list(program.outputs)}


@dataclasses.dataclass
class _Part:
    """A part of the region: its ends, the search's leaves within, and the word or the two halves it becomes."""

    lo: np.ndarray
    hi: np.ndarray
    leaves: np.ndarray
    word: str = ""
    halves: tuple["_Part", "_Part"] | None = None

    def cut(self, region: np.ndarray) -> tuple["_Part", "_Part"]:
        """Halve where no leaf straddles."""
        n, axis = len(self.lo), _axis(self.lo, self.hi, self.leaves, region)
        middle = 0.5 * (self.lo[axis] + self.hi[axis])
        left, right = self.hi.copy(), self.lo.copy()
        left[axis], right[axis] = middle, middle
        below = self.leaves[:, n + axis] <= middle
        single = len(self.leaves) <= 1
        first, second = (self.leaves[:0], self.leaves[:0]) if single else (self.leaves[below], self.leaves[~below])
        self.word, self.halves = str(axis), (_Part(self.lo, left, first), _Part(right, self.hi, second))
        return self.halves


def _cuts(program: Program, count: int, region: np.ndarray, leaves: np.ndarray, *, strict: bool) -> list[str] | None:
    """The word: as the search cut, then further where the plain enclosure is too wide; level by level."""
    root = _Part(region[:, 0], region[:, 1], leaves)
    level, parts = [root], 0
    while level:
        ready = [part for part in level if len(part.leaves) <= 1]
        for part, word in zip(ready, _labels(program, count, ready, strict=strict), strict=True):
            part.word = word
        open_parts = [part for part in level if not part.word]
        parts += len(level) - len(open_parts)
        if parts + len(open_parts) > MOST_LEAVES or any(np.all(part.lo == part.hi) for part in open_parts):
            return None
        level = [half for part in open_parts for half in part.cut(region)]
    return _words(root)


def _words(root: _Part) -> list[str]:
    """Prefix order, the lower half first."""
    words, stack = [], [root]
    while stack:
        part = stack.pop()
        words.append(part.word)
        if part.halves is not None:
            stack.extend(part.halves[::-1])
    return words


def _axis(lo: np.ndarray, hi: np.ndarray, mine: np.ndarray, region: np.ndarray) -> int:
    """The axis of a cut that no leaf straddles; the widest one for a single leaf."""
    n = len(lo)
    middle = 0.5 * (lo + hi)
    if len(mine) > 1:
        free = np.all((mine[:, n:] <= middle) | (mine[:, :n] >= middle), axis=0) & (hi > lo)
        if np.any(free):
            return int(np.argmax(free))
    width = region[:, 1] - region[:, 0]
    return int(np.argmax((hi - lo) / np.where(width > 0, width, 1.0)))


def _labels(program: Program, count: int, parts: list[_Part], *, strict: bool) -> list[str]:
    """The words of parts that the plain enclosure decides, "" for the others."""
    words: list[str] = []
    for start in range(0, len(parts), BATCH):
        some = parts[start : start + BATCH]
        ends = np.stack([part.lo for part in some]), np.stack([part.hi for part in some])
        outputs: list[Interval] = enclose(program, [ends])
        fine = [_row(np.ones(1, bool) if one.ok is None else one.ok, len(some)) for one in outputs]
        top = _row(outputs[0].hi, len(some))
        holds = np.all(fine, axis=0) & ((top < 0) if strict else (top <= 0))
        found = np.where(holds, "v", np.full(len(some), "", dtype="<U8"))
        for place, bound in enumerate(outputs[1:]):
            fails = fine[1 + place] & (_row(bound.lo, len(some)) > 0)
            found = np.where(fails, f"c{place}", found)
        words += found.tolist()
    return words


def _row(column: np.ndarray, count: int) -> np.ndarray:
    return np.broadcast_to(np.reshape(column, (-1,)), (count,))
