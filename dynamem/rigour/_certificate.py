"""Certificates: a program, a region cut in halves until every part is decided, and a hash, as JSON.

The cuts are a word in prefix order, as the search made them: an axis number cuts the box at the middle of that axis, a
word says what decides a part. ``v``, ``m`` and ``e0``, ``e1``, ... say that the number has its sign there (see
`Parts`; ``e0`` by the first of ``points``), ``c0``, ``c1``, ... that a constraint fails there. So the parts cover the
region by construction, and whoever checks them differentiates the program himself.
"""

from typing import Any

import numpy as np

from .._versions import version_of
from ..programs import Program
from ._document import MOST_LEAVES, SCHEMA, SEMANTICS, digest
from ._program_json import written
from ._question import Question
from ._tree import Tree


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
    if tree.leaves > MOST_LEAVES:
        return None, f"it would have {tree.leaves} parts, more than {MOST_LEAVES}"
    body = {
        "schema": SCHEMA,
        "dynamem": version_of("dynamem", "unknown"),
        "claim": asked.words,
        "strict": asked.strict,
        "timed": asked.timed,
        "semantics": SEMANTICS,
        "constraints": len(asked.constraints),
        "box": _hex(region.tolist()),
        "points": _hex(points),
        "program": written(program),
        "cuts": " ".join(tree.cuts()),
    }
    return body | {"sha256": digest(body)}, ""


def _hex(rows: list[list[float]]) -> list[list[str]]:
    return [[float(value).hex() for value in row] for row in rows]
