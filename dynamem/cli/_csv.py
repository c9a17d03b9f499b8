"""Comma-separated numbers, one row a line, no header."""

import csv
import warnings
from pathlib import Path

import numpy as np

from .._errors import InputError
from . import _memory


_SAMPLE = 1 << 16
SEPARATORS = {" ": "spaces", "\t": "tabs", ";": "semicolons"}
_ENCODING = "utf-8-sig"  # spreadsheets put a byte-order mark in front


def read_csv(path: Path, label: str) -> np.ndarray:
    """The numbers in a text file as a float64 array of two dimensions.

    Args:
        path: the file, UTF-8.
        label: the argument and its value, for messages.

    Raises:
        InputError: if anything is no number (naming line and column), the lines differ in length, or it is too large.
    """
    _memory.require(_estimate(path), label)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # 'no data': the caller says it better
            return np.loadtxt(
                path, dtype=np.float64, delimiter=",", comments=None, quotechar='"', ndmin=2, encoding=_ENCODING
            )
    except UnicodeDecodeError:
        msg = f"{label} is not UTF-8 text; save it as UTF-8 numbers with commas between"
        raise InputError(msg) from None
    except ValueError as error:
        msg = f"{label} {_diagnose(path) or error}"
        raise InputError(msg) from None


def _estimate(path: Path) -> int:
    """Bytes of the float64 array, from the density of separators at the file's beginning."""
    with path.open("rb") as stream:
        sample = stream.read(_SAMPLE)
    if not sample:
        return 0
    separators = sample.count(b",") + sample.count(b"\n") + 1
    return 8 * separators * path.stat().st_size // len(sample)


def _diagnose(path: Path) -> str | None:
    """What is wrong first: the cell that is no number, or the line of another length."""
    width = None
    with path.open(encoding=_ENCODING, newline="") as stream:
        lines = csv.reader(stream)
        try:
            for cells in lines:
                for column, cell in enumerate(cells, start=1):
                    if not _is_number(cell):
                        return _not_a_number(cell, lines.line_num, column)
                width = width or len(cells)
                if cells and len(cells) != width:
                    return (
                        f"has {len(cells)} numbers on line {lines.line_num} and {width} on the first; "
                        "every line needs as many"
                    )
        except csv.Error as error:
            return f"line {lines.line_num}: {error}"
    return None


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return "_" not in cell  # which Python's own numbers may have


def _not_a_number(cell: str, line: int, column: int) -> str:
    shown = cell if len(cell) <= 30 else cell[:27] + "..."
    hint = "remove the header line" if line == 1 else "only numbers with commas between are read"
    for mark, name in SEPARATORS.items():
        parts = cell.strip().split(mark)
        if len(parts) > 1 and all(map(_is_number, parts)):
            hint = f"put commas between the numbers, not {name}"
    if not cell.strip():
        return f"has an empty cell at line {line}, column {column}; fill it or remove the line"
    return f"has {shown!r}, which is no number, at line {line}, column {column}; {hint}"
