"""What an assertion says when it fails, and what it tells Hypothesis when it does not."""

import math
from collections.abc import Callable, Iterator
from typing import Any

import equinox as eqx
import hypothesis
import hypothesis.errors
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.extend.core import ClosedJaxpr, Literal
from jaxtyping import Array

from .._errors import InputError
from .._journal import note
from ..lyapunov._sizes import size_of


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


@eqx.filter_jit
def fits(name: str, function: Callable, shape: tuple[int, ...] | None, *args: Any) -> Array:
    """See once for all examples of a shape that a user's function can be traced, gives a shape, and is one function.

    Arguments:
        name: of the argument.
        function: what was given.
        shape: what it has to give, None if anything.
        args: what it is called with.

    Returns:
        Nothing of use: what matters is raised while this is traced.

    Raises:
        InputError: it cannot be called so, keeps JAX's tracers, gives another shape, or is another program each time.
    """
    label = f"{name}={' '.join(repr(function).split()):.60}"
    try:
        first, second = (jax.make_jaxpr(lambda *given: function(*given))(*args) for _ in range(2))  # JAX keeps traces
    except InputError:
        raise
    except (TypeError, ValueError, jax.errors.JAXTypeError) as error:
        shapes = ", ".join(str(jnp.shape(one)) for one in args if eqx.is_array(one))
        line = next(iter(str(error).strip().splitlines()), type(error).__name__)
        msg = f"{label} cannot be called with arrays of shapes {shapes} under JAX: {line[:160]}"
        raise InputError(msg) from error
    found = [aval.shape for aval in first.out_avals]
    if shape is not None and found != [shape]:
        told = ", ".join(map(str, found))
        msg = f"{name} returns shape {told} for a state of shape {jnp.shape(args[-1])}: need {shape}"
        raise InputError(msg)
    if list(_operations(first)) != list(_operations(second)):
        msg = f"{label} is another program each time it is called: it must not draw, count or keep anything"
        raise InputError(msg)
    return jnp.zeros(())


def _operations(closed: Any) -> Iterator[tuple]:
    """Names and known operands of a program, which are the same if it is traced again."""
    yield from (("const", None if isinstance(one, Tracer) else np.asarray(one).tobytes()) for one in closed.consts)
    for equation in closed.jaxpr.eqns:
        known = [np.asarray(atom.val).tobytes() for atom in equation.invars if isinstance(atom, Literal)]
        yield equation.primitive.name, *known
        for inner in equation.params.values():
            if isinstance(inner, ClosedJaxpr):
                yield from _operations(inner)


def eps(dtype: Any) -> float:
    """Rounding unit of a dtype."""
    return float(jnp.finfo(dtype).eps)


def known_size(function: Callable, x: Array) -> Array:
    """What a function adds, 0 where it has no derivatives to read it from, as a Jacobian on the host has not."""
    try:
        return size_of(function, x)
    except InputError:
        return jnp.zeros((), x.dtype)
