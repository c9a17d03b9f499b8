"""What an assertion says when it fails, and what it tells Hypothesis when it does not."""

import math
from collections.abc import Callable
from typing import Any

import hypothesis
import hypothesis.errors
import jax
import jax.numpy as jnp
import numpy as np

from .._errors import InputError
from .._journal import note


def aim(value: float, label: str) -> None:
    """Have Hypothesis look for larger values; nothing outside of its tests, or where the label was used before."""
    if not (hypothesis.currently_in_test_context() and math.isfinite(value)):
        return
    try:
        hypothesis.target(float(value), label=label)
    except hypothesis.errors.InvalidArgument:  # a second assertion of one kind in a test
        return


def fail(what: str, facts: dict[str, Any], test: str = "") -> None:
    """Raise an `AssertionError` of a sentence, its numbers, and a test that asks for this one case again.

    Arguments:
        what: the sentence.
        facts: what was found, by name.
        test: lines of Python in which ``dm`` is dynamem and the user's own objects have the names of the arguments.
    """
    lines = [what, *(f"  {name}: {_short(value)}" for name, value in facts.items())]
    if test:
        lines += ["  to keep as a test:", *(f"    {line}" for line in test.strip().splitlines())]
    raise AssertionError("\n".join(lines))


def literal(x: Any) -> str:
    """An array as Python, so that it reads back bit for bit."""
    array = np.asarray(x)
    return f"jnp.asarray({array.tolist()!r}, jnp.{array.dtype})"


def _short(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, jax.Array | np.ndarray):
        return np.array2string(np.asarray(value), threshold=16, precision=8)
    return str(value)


def some_states(states: Any) -> np.ndarray:
    """Finite states (B, D) of float32 or float64; one state (D,) is a row.

    Raises:
        InputError: anything else.
    """
    array = np.asarray(states)
    array = array[None] if array.ndim == 1 else array
    if array.ndim != 2 or 0 in array.shape or array.dtype not in (np.float32, np.float64):
        msg = f"states.shape={array.shape!r}, states.dtype={array.dtype!s}: need floats (B, D), one state a row"
        raise InputError(msg)
    if not np.all(np.isfinite(array)):
        msg = "states hold NaN or infinity: an assertion starts from finite states"
        raise InputError(msg)
    if array.dtype == np.float64 and jnp.result_type(float) != jnp.float64:
        msg = "states.dtype=float64, but JAX computes in float32: jax.config.update('jax_enable_x64', True) or float32"
        raise InputError(msg)
    note(region=f"{len(array)} states of {array.shape[1]} coordinates, {array.dtype}")
    return array


def mapped(name: str, function: Callable, *args: Any) -> Any:
    """The shapes that a user's function returns.

    Raises:
        InputError: it cannot be called so, or keeps JAX's tracers.
    """
    try:
        return jax.eval_shape(function, *args)
    except (TypeError, ValueError, jax.errors.JAXTypeError) as error:
        shapes = ", ".join(str(jnp.shape(one)) for one in args)
        first = next(iter(str(error).strip().splitlines()), type(error).__name__)
        msg = f"{name}={function!r:.60} cannot be called with arrays of shapes {shapes} under JAX: {first[:160]}"
        raise InputError(msg) from error


def eps(dtype: Any) -> float:
    """Rounding unit of a dtype."""
    return float(jnp.finfo(dtype).eps)
