"""NumPy's own files, read without pickle and without trust.

The header (NEP 1) is read and judged first: the element type, and the size against the memory at hand and the bytes
that the file has. Only then are the elements read.
"""

import math
import os
import warnings
import zipfile
import zlib
from io import BufferedIOBase
from pathlib import Path
from typing import IO

import numpy as np

from .._errors import InputError
from . import _memory


Stream = IO[bytes] | BufferedIOBase
_HEADER_READERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
_DAMAGED = (ValueError, EOFError, OSError, zipfile.BadZipFile, NotImplementedError, RuntimeError, zlib.error)


def _header(stream: Stream, label: str) -> tuple[tuple[int, ...], np.dtype]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            version = np.lib.format.read_magic(stream)
            shape, _, dtype = _HEADER_READERS[version](stream)
    except KeyError:
        msg = f"{label} has an unknown .npy version; save it again with numpy.save"
        raise InputError(msg) from None
    except Exception as error:  # a damaged header: whatever the parsers of Python and zip raise
        msg = f"{label} is no NumPy array file ({error}); pickles are never read"
        raise InputError(msg) from None
    if dtype.hasobject:
        msg = f"{label} holds Python objects, which only pickle could read; save an array of numbers"
        raise InputError(msg)
    return shape, dtype


def _read(stream: Stream, size: int, label: str) -> np.ndarray:
    """The array in a stream of `size` bytes that stands at its beginning."""
    shape, dtype = _header(stream, label)
    if any(n < 0 for n in shape):
        msg = f"{label} has the impossible shape {shape}; save it again"
        raise InputError(msg)
    count = math.prod(shape)
    kept = count * dtype.itemsize
    _memory.require(kept + (0 if dtype == np.float64 else 8 * count), f"{label} of shape {shape}")
    if kept > size - stream.tell():
        msg = f"{label} is cut short: shape {shape} needs {kept} bytes; save it again"
        raise InputError(msg)
    stream.seek(0)
    try:
        return np.lib.format.read_array(stream, allow_pickle=False)
    except _DAMAGED as error:
        msg = f"{label} cannot be read: {error}"
        raise InputError(msg) from None


def read_npy(path: Path, label: str) -> np.ndarray:
    """The array in a `.npy` file.

    Args:
        path: the file.
        label: the argument and its value, for messages.

    Raises:
        InputError: if the file is damaged, too large, or would need pickle.
    """
    with path.open("rb") as stream:
        return _read(stream, os.fstat(stream.fileno()).st_size, label)


def read_npz(path: Path, label: str, keys: tuple[str, ...]) -> tuple[str, np.ndarray]:
    """One array of a `.npz` file.

    Args:
        path: the file.
        label: the argument and its value, for messages.
        keys: the names to look for; a file with a single array needs none of them.

    Returns:
        The name of the array and the array.

    Raises:
        InputError: if no array or more than one fits, or as `read_npy`.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            names = [name.removesuffix(".npy") for name in archive.namelist()]
            key = _choose(names, label, keys)
            info = archive.infolist()[names.index(key)]
            with archive.open(info) as stream:
                return key, _read(stream, info.file_size, f"{label} array {key!r}")
    except _DAMAGED as error:
        if isinstance(error, InputError):
            raise
        msg = f"{label} is no readable .npz file ({error}); save it with numpy.savez"
        raise InputError(msg) from None


def _choose(names: list[str], label: str, keys: tuple[str, ...]) -> str:
    if len(names) == 1:
        return names[0]
    found = [key for key in keys if key in names]
    wanted = " or ".join(repr(key) for key in keys)
    listed = ", ".join(repr(name) for name in names[:12]) + (", ..." if len(names) > 12 else "")
    if not found:
        msg = f"{label} has {len(names)} arrays [{listed}] and none is called {wanted}; rename one"
        raise InputError(msg)
    if len(found) > 1:
        msg = f"{label} has arrays [{listed}], so {wanted} is ambiguous; keep one of them"
        raise InputError(msg)
    return found[0]
