"""The file of a certificate, judged before anything of it is believed: fields, kinds, words, numbers as they stand.

Whatever is not exactly what `certificate` writes is refused, so that a file says nothing that the replay leaves
unchecked. Plain Python: no JAX, no NumPy.
"""

import hashlib
import json
import math
import re
from pathlib import Path
from typing import Any, NamedTuple

from ..programs import Program
from ._claims import is_strict
from ._program_json import read


SCHEMA = "dynamem.certificate/2"
SEMANTICS = "real arithmetic; floats are the rationals they are"
FIELDS = {
    "schema", "dynamem", "claim", "strict", "timed", "semantics", "constraints", "box", "points", "program", "cuts",
    "sha256",
}  # fmt: skip
MOST_BYTES, MOST_LEAVES, MOST_POINTS = 64 * 2**20, 500_000, 1000
_CUTS = re.compile(r"(?:[vm]|[ce]?(?:0|[1-9][0-9]{0,5}))(?: (?:[vm]|[ce]?(?:0|[1-9][0-9]{0,5})))*", re.ASCII)


class Unreadable(ValueError):
    """A file that is no certificate of this version."""


class Certificate(NamedTuple):
    """What a file says, in the kinds that it should have.

    Attributes:
        claim: words of a question.
        strict: whether the number has to be below 0, not at most 0.
        constraints: how many there are.
        box: rows (lo, hi).
        points: what ``e0``, ``e1``, ... speak of.
        program: outputs ``(number, constraints...)``.
        cuts: words in prefix order.
    """

    claim: str
    strict: bool
    constraints: int
    box: list[tuple[float, float]]
    points: list[list[float]]
    program: Program
    cuts: list[str]


def digest(body: dict[str, Any]) -> str:
    """SHA-256 of the canonical JSON of all fields but the hash."""
    text = json.dumps({key: body[key] for key in body if key != "sha256"}, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def load(path: Path) -> Certificate | None:
    """The certificate in a file, None where its hash is not that of its fields: some field was changed.

    Raises:
        Unreadable: the file is missing, too large, no JSON, or no certificate that this version knows.
    """
    body = _json(path)
    if not isinstance(body, dict) or body.get("schema") != SCHEMA:
        found = body.get("schema") if isinstance(body, dict) else type(body).__name__
        msg = f"{path}: schema {found!r:.80}, this version reads {SCHEMA!r}"
        raise Unreadable(msg)
    if set(body) != FIELDS:
        msg = f"{path}: fields {sorted(set(body) ^ FIELDS)!r:.200} are missing or unknown"
        raise Unreadable(msg)
    try:
        return _judged(body) if digest(body) == body["sha256"] else None
    except (TypeError, ValueError, LookupError, AttributeError, ArithmeticError, RecursionError) as error:
        msg = f"{path}: the certificate cannot be read: {error!s:.200}"
        raise Unreadable(msg) from None


def _json(path: Path) -> Any:
    try:
        with path.open("rb") as file:
            text = file.read(MOST_BYTES + 1)
        if len(text) > MOST_BYTES:
            msg = f"larger than {MOST_BYTES} bytes"
            raise ValueError(msg)
        return json.loads(text.decode("utf-8"), object_pairs_hook=_once, parse_constant=_no_number)
    except (OSError, ValueError, RecursionError) as error:
        msg = f"{path}: {error!s:.200}"
        raise Unreadable(msg) from None


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        msg = "a name stands twice in one object"
        raise ValueError(msg)
    return made


def _no_number(text: str) -> None:
    msg = f"{text:.40} is no number of a certificate"
    raise ValueError(msg)


def _judged(body: dict[str, Any]) -> Certificate:
    box, points = ([[_number(text) for text in row] for row in body[name]] for name in ("box", "points"))
    rows, count, cuts = [(lo, hi) for lo, hi in box], body["constraints"], body["cuts"]
    fine = {
        "dynamem": isinstance(body["dynamem"], str),
        "semantics": body["semantics"] == SEMANTICS,
        "timed": isinstance(body["timed"], bool) and len(rows) > body["timed"],
        "constraints": isinstance(count, int) and not isinstance(count, bool) and count >= 0,
        "box": all(lo <= hi for lo, hi in rows),
        "points": len(points) <= MOST_POINTS and all(len(point) == len(rows) for point in points),
        "cuts": isinstance(cuts, str) and cuts.count(" ") < 2 * MOST_LEAVES and bool(_CUTS.fullmatch(cuts)),
    }
    wrong = [name for name, good in fine.items() if not good]
    if wrong:
        msg = f"{', '.join(wrong)}: not of their kind"
        raise ValueError(msg)
    strict = is_strict(body["claim"])
    if body["strict"] is not strict:
        msg = f"strict={body['strict']!r:.40}: the claim {body['claim']!r} needs {strict}"
        raise ValueError(msg)
    program = read(body["program"], len(rows), 1 + count)
    return Certificate(body["claim"], strict, count, rows, points, program, cuts.split(" "))


def _number(text: str) -> float:
    value = float.fromhex(text)
    if not math.isfinite(value) or value.hex() != text:
        msg = f"{text!r:.40} is not how a finite number is written here"
        raise ValueError(msg)
    return value
