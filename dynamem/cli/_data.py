"""The patterns and prior weights that an audit runs on, read from files and judged before anything is computed.

Only NumPy is needed here, so that a bad file is refused before JAX is imported. What was done to the data (conversions,
flattened images) is told in `Data.notes` and not printed at once, as an error that follows has to stay one line.
"""

import math
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import numpy as np

from .._errors import InputError
from ..catalog._size import states_held
from . import _memory
from ._csv import read_csv
from ._npy import read_npy, read_npz


SUFFIXES = (".npy", ".npz", ".csv")
PATTERN_KEYS = ("patterns", "xi")
WEIGHT_KEYS = ("weights", "u")
LARGEST = 1e150  # squares of larger numbers, which distances need, overflow float64
FEWER = "give fewer states"
SUM_SLACK = 1e-6  # a softmax in float32 sums to one within this


class Data(NamedTuple):
    """Patterns to audit.

    Attributes:
        name: for tables and titles.
        patterns: shape (N, D), float64, finite.
        image_shape: height and width where the patterns are images.
        weights: prior weights, shape (N,), that sum to one; None for equal ones.
        notes: what was done to the data, one sentence each.
    """

    name: str
    patterns: np.ndarray
    image_shape: tuple[int, int] | None
    weights: np.ndarray | None
    notes: tuple[str, ...]


def load(data: str | None, weights: str | None = None, *, standardise: bool = False) -> Data:
    """Read and judge the patterns and weights.

    Args:
        data: a `.npy`, `.npz` or `.csv` file; None for the scikit-learn digits, scaled to [0, 1].
        weights: a file with the prior weight of each pattern; None for equal ones.
        standardise: scale every feature that varies to mean zero and variance one (over patterns, unweighted);
            constant features become 0.

    Raises:
        InputError: if anything about either file keeps it from being used.
    """
    notes: list[str] = []
    if data is None:
        name, xi, shape = "digits", digits(), (8, 8)
    else:
        name = Path(data).name
        xi, shape = _patterns(data, notes)
    u = None if weights is None else _weights(weights, len(xi), notes)
    if standardise:
        name = f"{name}, standardised"
        xi, constant = standardised(xi)
        if constant:
            notes.append(f"standardise: {constant} of {xi.shape[1]} features are constant and became 0")
    return Data(name, xi, shape, u, tuple(notes))


def digits() -> np.ndarray:
    """The scikit-learn digits (1797, 64), scaled to [0, 1].

    Read from the file in the package, because importing scikit-learn takes seconds (cold) for a 57 kB file.
    """
    spec = find_spec("sklearn")
    for folder in (spec and spec.submodule_search_locations) or ():
        path = Path(folder, "datasets", "data", "digits.csv.gz")
        if path.is_file():
            return np.loadtxt(path, delimiter=",")[:, :-1] / 16.0
    from sklearn.datasets import load_digits

    return np.asarray(load_digits(return_X_y=True)[0], np.float64) / 16.0


def standardised(xi: np.ndarray) -> tuple[np.ndarray, int]:
    """Mean zero and variance one for each feature that varies, 0 for the others, and how many those are.

    Whether a feature varies is decided by its range: the computed variance of a constant one is rounding, not zero.
    The range is taken out first, so that tiny features do not underflow.
    """
    low = xi.min(axis=0)
    extent = xi.max(axis=0) - low
    varies = extent > 0
    unit = (xi - low) / np.where(varies, extent, 1.0)
    spread = np.where(varies, unit.std(axis=0), 1.0)
    result = np.where(varies, (unit - unit.mean(axis=0)) / spread, 0.0)
    return result, int(np.count_nonzero(~varies))


def require_states(states: int, width: int, systems: Iterable[str]) -> None:
    """Refuse a number of states that is none, or whose runs would not fit in memory."""
    if states < 1:
        msg = f"states={states!r} is below 1; give the number of start states of each row"
        raise InputError(msg)
    _memory.require(8 * states * width * states_held(systems), f"states={states!r} of {width} numbers", FEWER)


def require_own(name: str, shape: tuple[int, ...]) -> None:
    """Refuse a system of the user's, with states of this shape, whose runs would not fit in memory."""
    _memory.require(8 * math.prod(shape) * states_held([name]), f"system={name!r} of {shape[0]} states", FEWER)


def _patterns(file: str, notes: list[str]) -> tuple[np.ndarray, tuple[int, int] | None]:
    label = f"data={file!r}"
    array = _read(file, label, PATTERN_KEYS, notes)
    if array.size == 0:
        msg = f"{label} is empty, shape {array.shape}; give at least one pattern of at least one number"
        raise InputError(msg)
    if array.ndim not in (2, 3):
        msg = f"{label} has shape {array.shape}; give patterns (N, D) or images (N, height, width)"
        raise InputError(msg)
    xi = _floats(array, label, notes)
    bad = np.abs(xi) > LARGEST
    if bad.any():
        msg = f"{label} has values above {LARGEST:g}, {_first(bad)}; squared distances overflow, so rescale them"
        raise InputError(msg)
    if xi.ndim == 2:
        return xi, None
    n, height, width = xi.shape
    notes.append(f"{label}: {n} images of {height} x {width} became patterns of {height * width} numbers")
    return xi.reshape(n, height * width), (height, width)


def _weights(file: str, n: int, notes: list[str]) -> np.ndarray:
    label = f"weights={file!r}"
    array = _read(file, label, WEIGHT_KEYS, notes)
    if array.size != n or max(array.shape, default=1) != n:
        msg = f"{label} has shape {array.shape}; give one weight for each of the {n} patterns, shape ({n},)"
        raise InputError(msg)
    u = _floats(array, label, notes).reshape(n)
    if (u < 0).any():
        msg = f"{label} has {np.count_nonzero(u < 0)} negative weights, {_first(u < 0)}; weights are probabilities"
        raise InputError(msg)
    total = math.fsum(u) if u.max() < LARGEST else math.inf
    if abs(total - 1) > SUM_SLACK:
        msg = f"{label} sums to {total:.9g}; divide the weights by their sum"
        raise InputError(msg)
    return u / total


def _read(file: str, label: str, keys: tuple[str, ...], notes: list[str]) -> np.ndarray:
    """The array in a file of any known suffix."""
    try:
        path = _regular(file, label)
        if path.suffix.lower() == ".npy":
            return read_npy(path, label)
        if path.suffix.lower() == ".csv":
            return read_csv(path, label)
        key, array = read_npz(path, label, keys)
    except InputError:
        raise
    except (OSError, ValueError) as error:
        msg = f"{label} cannot be read: {getattr(error, 'strerror', None) or error}; check the path and its rights"
        raise InputError(msg) from None
    except MemoryError:
        msg = f"{label} does not fit in memory; give fewer or smaller patterns"
        raise InputError(msg) from None
    notes.append(f"{label}: read array {key!r}")
    return array


def _regular(file: str, label: str) -> Path:
    """The path of a file that exists and has a suffix that can be read."""
    path = Path(file)
    if not file:
        msg = f"{label} names no file; give one that ends in {', '.join(SUFFIXES)}"
        raise InputError(msg)
    if path.is_dir():
        msg = f"{label} is a folder; name a file in it"
        raise InputError(msg)
    if path.suffix.lower() not in SUFFIXES:
        msg = f"{label} has the unknown suffix {path.suffix!r}; give one of {', '.join(SUFFIXES)}"
        raise InputError(msg)
    if not path.exists():
        msg = f"{label} does not exist; check the path"
        raise InputError(msg)
    if not path.is_file():
        msg = f"{label} is a pipe or a device; give a file"
        raise InputError(msg)
    return path


def _floats(array: np.ndarray, label: str, notes: list[str]) -> np.ndarray:
    """The array in float64, told about where it was something else, and finite."""
    if array.dtype.kind not in "fiub":
        msg = f"{label} has elements of type {array.dtype}; give real numbers"
        raise InputError(msg)
    if array.dtype.newbyteorder("=") != np.float64:
        notes.append(f"{label}: converted from {array.dtype} to float64")
    with np.errstate(over="ignore"):  # of a long double: becomes infinite, which is refused
        result = np.ascontiguousarray(array, dtype=np.float64)
    bad = ~np.isfinite(result)
    if bad.any():
        msg = f"{label} has {np.count_nonzero(bad)} NaN or infinite values, {_first(bad)}; remove or repair them"
        raise InputError(msg)
    return result


def _first(bad: np.ndarray) -> str:
    index = [int(i) for i in np.unravel_index(int(np.argmax(bad)), bad.shape)]
    return f"the first at index {index} (counted from 0)"
