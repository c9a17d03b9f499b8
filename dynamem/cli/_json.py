"""Audits as JSON that every parser reads: no NaN, no infinity, one row a line."""

import json
import math
from typing import Any

import numpy as np


SCHEMA = "dynamem.audit/1"


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


def audit_text(environment: dict[str, Any], rows: list[dict[str, Any]]) -> str:
    """The audit document, with one row a line so that two of them can be compared line by line."""
    head = json.dumps(plain(environment), allow_nan=False)
    lines = ",\n".join(json.dumps(plain(row), allow_nan=False) for row in rows)
    return f'{{"schema": "{SCHEMA}",\n"environment": {head},\n"rows": [\n{lines}\n]}}\n'
