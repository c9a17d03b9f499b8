"""From a function to a tested program."""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from .._errors import DynamemError, InputError
from ._evaluate import evaluate
from ._interval import Interval
from ._interval_runs import INTERVAL
from ._lower import Lowering, UnknownPrimitive
from ._program import Program
from ._rules import RULES


class TranslationError(DynamemError):
    """A program that does not compute what its function computes: a defect of the interpreter, never of the user."""


def translate(function: Callable, *shapes: Sequence[int], centred: bool = False) -> Program:
    """The program of ``function`` for float64 inputs of the given shapes; its outputs are the leaves, flattened.

    With ``centred`` the moments of the retrieval kernel are taken about the middle of the patterns, which is the same
    number and better for intervals.

    Raises:
        UnknownPrimitive: it uses a primitive that has no rule; the message names it and the line.
        InputError: x64 is off, or it has no floating-point output.
    """
    if not jax.config.read("jax_enable_x64"):
        msg = "jax_enable_x64=False: programs are read in float64; call jax.config.update('jax_enable_x64', True) first"
        raise InputError(msg)
    closed = jax.make_jaxpr(function)(*(jax.ShapeDtypeStruct(tuple(shape), jnp.float64) for shape in shapes))
    for aval in closed.out_avals:
        if not jnp.issubdtype(aval.dtype, jnp.floating):
            msg = f"a function with values of type {aval.dtype} was given: only real numbers have a sign"
            raise InputError(msg)
    lowering = Lowering(RULES, centred=centred)
    inputs = [lowering.builder.lines.input(int(np.prod(shape, dtype=int))) for shape in shapes]
    outputs = [lowering.line(value) for value in lowering.closed(closed, inputs)]
    return lowering.builder.lines.finish(inputs, outputs)


def enclose(program: Program, boxes: Sequence[tuple[np.ndarray, np.ndarray]]) -> list[Interval]:
    """Interval enclosures of the outputs; each input is (lo, hi) of shape (B, n)."""
    with np.errstate(all="ignore"):
        return evaluate(program, INTERVAL, [Interval(lo, hi) for lo, hi in boxes])


__all__ = ["TranslationError", "UnknownPrimitive", "enclose", "translate"]
