r"""Weights in files: arrays by name in `.npz`, beside a description of what they are. Nothing in it is ever executed.

A file is written beside its place and then renamed into it, so that a reader finds the old one or the new one whole.
"""

import json
import os
import zipfile
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np

from .._errors import InputError
from ._concave import ConcaveDenoiser
from ._energy import EnergyDenoiser
from ._mlp import MLPDenoiser
from ._network import AbstractNetwork
from ._unet import UNetDenoiser


SCHEMA = "dynamem.denoiser/1"
KINDS = {kind.__name__: kind for kind in (MLPDenoiser, UNetDenoiser, EnergyDenoiser, ConcaveDenoiser)}
ABOUT = "about"
WEIGHTS = ("", ".average")
UNREADABLE = (OSError, ValueError, KeyError, TypeError, AttributeError, EOFError, RuntimeError, zipfile.BadZipFile)
"""What `numpy.load` and `json.loads` raise for damaged files; `zipfile` has RuntimeError for headers."""
_Tree = TypeVar("_Tree")


def about_network(denoiser: AbstractNetwork) -> dict[str, Any]:
    """Class and sizes of a network, as they stand in a file."""
    return {"kind": type(denoiser).__name__, "sizes": denoiser.sizes}


def save_denoiser(file: str | Path, denoiser: AbstractNetwork, *, half: bool = False) -> None:
    """Write the weights of a network.

    Arguments:
        file: name of the `.npz` file; an older one is replaced at once.
        denoiser: one of dynamem's networks.
        half: store them in float16, with half of the bytes and three decimal digits.

    Raises:
        InputError: the file cannot be written, or weights are not finite (in float16, beyond 65504).
    """
    kept = jax.tree.map(lambda leaf: leaf.astype(jnp.float16) if half else leaf, eqx.filter(denoiser, eqx.is_array))
    for name, leaf in named_leaves(kept).items():
        if not np.all(np.isfinite(np.asarray(leaf))):
            msg = f"half={half!r}: array {name!r} would hold NaN or infinity, which no file may; mend the weights"
            raise InputError(msg)
    write_arrays(Path(file), kept, {"schema": SCHEMA, **about_network(denoiser)})


def load_denoiser(file: str | Path) -> AbstractNetwork:
    """The network in a file of `save_denoiser`, or the averaged one in a checkpoint of `train`; weights in float32.

    Raises:
        InputError: there is no such file, or it does not hold the weights that it says it does.
    """
    arrays, about = _read(Path(file))
    kind, sizes = KINDS.get(str(about.get("kind"))), about.get("sizes")
    if kind is None or not isinstance(sizes, dict):
        msg = f"file={str(file)!r}: holds kind={about.get('kind')!r}, need one of {', '.join(KINDS)}"
        raise InputError(msg)
    try:
        empty = eqx.filter_eval_shape(lambda: kind(**sizes, key=jr.key(0)))
    except (TypeError, ValueError) as error:
        msg = f"file={str(file)!r}: sizes={sizes!r} make no {kind.__name__}: {error}"
        raise InputError(msg) from None
    prefix = next((prefix for prefix in reversed(WEIGHTS) if any(name.startswith(f"{prefix}.") for name in arrays)), "")
    return _filled(empty, {name: arrays[name] for name in arrays}, prefix, str(file), exact=False)


def pretrained(name: str = "digits") -> AbstractNetwork:
    """A denoiser whose weights come with dynamem.

    Arguments:
        name: "digits": the scikit-learn digits, 8 x 8, scaled to [0, 1], state (64,); made by
            ``python examples/train_denoiser.py``, whose docstring has the command.

    Raises:
        InputError: there is no such denoiser.
    """
    place = files("dynamem.learning") / f"{name}.npz"
    if not place.is_file():
        msg = f"name={name!r}: choose 'digits'"
        raise InputError(msg)
    return load_denoiser(Path(str(place)))


def named_leaves(tree: Any) -> dict[str, Any]:
    """The arrays of a tree by their place in it, as ``.layers.first.weight``."""
    return {jax.tree_util.keystr(path): leaf for path, leaf in jax.tree_util.tree_flatten_with_path(tree)[0]}


def write_arrays(file: Path, tree: Any, about: Mapping[str, Any]) -> None:
    """Write the arrays of a tree and a description, beside the file and then into its place."""
    arrays: dict[str, Any] = {name: np.asarray(leaf) for name, leaf in named_leaves(tree).items()}
    arrays[ABOUT] = np.asarray(json.dumps(about, sort_keys=True))
    beside = file.with_name(f".{file.name}.{os.getpid()}.tmp")
    try:
        with beside.open("wb") as stream:
            np.savez(stream, **arrays)
            stream.flush()
            os.fsync(stream.fileno())
        beside.replace(file)
    except OSError as error:
        msg = f"file={str(file)!r} cannot be written: {error.strerror}; name a file in a folder that exists"
        raise InputError(msg) from None
    finally:
        beside.unlink(missing_ok=True)


def read_arrays(file: Path, like: _Tree, about: Mapping[str, Any]) -> _Tree:
    """The tree in a file, bit for bit, if its description is this one and its arrays have the form of ``like``."""
    arrays, found = _read(file)
    wanted = json.loads(json.dumps(about))
    for key in sorted({*wanted, *found}):
        if found.get(key) != wanted.get(key):
            msg = f"checkpoint={str(file)!r}: its {key} is {found.get(key)!r} and not {wanted.get(key)!r}; name another"
            raise InputError(msg)
    return _filled(like, arrays, "", str(file), exact=True)


def _read(file: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Arrays and description of a file; nothing in it is unpickled."""
    try:
        with file.open("rb") as stream, np.load(stream, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
        about = json.loads(str(arrays.pop(ABOUT)[()]))
        if not isinstance(about, dict):
            msg = "no description"
            raise TypeError(msg)
    except FileNotFoundError:
        msg = f"file={str(file)!r} does not exist; check the path"
        raise InputError(msg) from None
    except UNREADABLE as error:
        msg = f"file={str(file)!r} holds no weights of dynamem ({error}); make it anew"
        raise InputError(msg) from None
    return arrays, about


def _filled(like: _Tree, arrays: Mapping[str, np.ndarray], prefix: str, file: str, *, exact: bool) -> _Tree:
    """The tree ``like`` with the arrays of these names in place of its own."""
    flat, form = jax.tree_util.tree_flatten_with_path(like)
    leaves = []
    for path, leaf in flat:
        name = prefix + jax.tree_util.keystr(path)
        found = arrays.get(name)
        kinds = [leaf.dtype] if exact else [np.dtype(kind) for kind in (np.float16, np.float32, np.float64)]
        if found is None or found.shape != leaf.shape or found.dtype not in kinds:
            what = "missing" if found is None else f"of shape {found.shape} and type {found.dtype}"
            msg = f"file={file!r}: array {name!r} is {what}, need {leaf.shape} of {leaf.dtype}; make it anew"
            raise InputError(msg)
        if not np.all(np.isfinite(found)):
            msg = f"file={file!r}: array {name!r} holds NaN or infinity; make it anew"
            raise InputError(msg)
        leaves.append(jnp.asarray(found.astype(leaf.dtype)))
    return jax.tree_util.tree_unflatten(form, leaves)
