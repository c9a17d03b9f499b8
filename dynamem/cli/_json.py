"""Audits as JSON that every parser reads: no NaN, no infinity, one row a line."""

import json
import math
from collections.abc import Iterable
from typing import Any

import numpy as np


SCHEMA = "dynamem.audit/1"
CLAIM = ("name", "statement", "outcome", "measured")


def plain(value: Any) -> Any:
    """The value in JSON's own types; NaN and infinities become None, as the row's reason says why."""
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(item) for item in value]
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, int) and not isinstance(value, np.generic):
        return int(value)
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    array = np.asarray(value)  # NumPy's scalars, NumPy's and JAX's arrays
    return plain(array.tolist()) if array.dtype.kind in "fiub" else str(value)


def audit_text(environment: dict[str, Any], rows: Iterable[dict[str, Any]], claims: Iterable[Any] = ()) -> str:
    """The audit document, with a claim or a row a line so that two of them can be compared line by line."""
    told = [{name: getattr(claim, name) for name in CLAIM} for claim in claims]
    head, claimed, lines = _line(environment), ",\n".join(map(_line, told)), ",\n".join(map(_line, rows))
    return f'{{"schema": "{SCHEMA}",\n"environment": {head},\n"claims": [\n{claimed}\n],\n"rows": [\n{lines}\n]}}\n'


def _line(value: Any) -> str:
    return json.dumps(plain(value), allow_nan=False)
