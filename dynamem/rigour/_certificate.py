"""Certificates: a program, a region cut in halves until every part is decided, and a hash, as JSON.

The cuts are a word in prefix order, as the search made them: an axis number cuts the box at the middle of that axis, a
word says what decides a part. ``v``, ``m`` and ``e0``, ``e1``, ... say that the number has its sign there (see
`Parts`; ``e0`` by the first of ``points``), ``c0``, ``c1``, ... that a constraint fails there. So the parts cover the
region by construction, and whoever checks them differentiates the program himself.
"""

import hashlib
import json
from fractions import Fraction
from typing import Any

import numpy as np

from ..programs import Program, plain
from ._question import Question
from ._tree import Tree


SCHEMA = "dynamem.certificate/2"
MOST_LEAVES = 500_000


def certificate(
    asked: Question, program: Program, region: np.ndarray, tree: Tree, points: list[list[float]]
) -> tuple[dict[str, Any] | None, str]:
    """The certificate, or None and why there is none: it would be too large.

    Arguments:
        asked: the question.
        program: its program.
        region: rows (lo, hi).
        tree: how it was cut, no part left open.
        points: what ``e0``, ``e1``, ... speak of.
    """
    from importlib.metadata import PackageNotFoundError, version

    if tree.leaves > MOST_LEAVES:
        return None, f"it would have {tree.leaves} parts, more than {MOST_LEAVES}"
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
        "box": _hex(region.tolist()),
        "points": _hex(points),
        "program": _program_json(program),
        "cuts": " ".join(tree.cuts()),
    }
    return body | {"sha256": digest(body)}, ""


def digest(body: dict[str, Any]) -> str:
    """SHA-256 of the canonical JSON of all fields but the hash."""
    text = json.dumps({key: body[key] for key in body if key != "sha256"}, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _hex(rows: list[list[float]]) -> list[list[str]]:
    return [[float(value).hex() for value in row] for row in rows]


def _program_json(program: Program) -> dict[str, Any]:
    nodes = []
    for node in program.nodes:
        data: list[Any] = [] if node.op == "input" else list(plain(node.data))
        if node.op == "const":
            data = [_constant(value) for value in data]
        nodes.append([node.op, list(node.args), node.length, data])
    return {"nodes": nodes, "inputs": list(program.inputs), "outputs": list(program.outputs)}


def _constant(value: Any) -> bool | str:
    """A truth value, the bits of a float, or a fraction ``p/q``."""
    if isinstance(value, bool):
        return value
    return f"{value.numerator}/{value.denominator}" if isinstance(value, Fraction) else float(value).hex()
