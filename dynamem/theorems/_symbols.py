"""Symbols in arrays, and what the code computes of them."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import sympy

from ..programs import symbolic, translate


Expressions = Any
"""A NumPy array of SymPy expressions, or one expression."""


@dataclasses.dataclass(frozen=True)
class Region:
    """Bounds of symbols; made by `Proof.region`, which puts them into the evidence."""

    bounds: dict[sympy.Symbol, tuple[float, float]]


def symbols(name: str, *shape: int, positive: bool = False, nonnegative: bool = False) -> Expressions:
    """Real symbols ``name``, ``name_0``, ``name_0_1``, ... in an object array of the given shape; one symbol for ()."""
    signs = {"positive": True} if positive else {"nonnegative": True} if nonnegative else {"real": True}
    if not shape:
        return sympy.Symbol(name, **signs)
    made = np.empty(shape, object)
    for place in np.ndindex(*shape):
        made[place] = sympy.Symbol("_".join([name, *map(str, place)]), **signs)
    return made


def dot(left: Expressions, right: Expressions) -> sympy.Expr:
    """``sum_i left_i right_i`` over all entries."""
    return sympy.Add(*(a * b for a, b in zip(np.ravel(left), np.ravel(right), strict=True)))


def traced(function: Callable, *args: Expressions, within: Region | None = None) -> Any:
    """What ``function`` computes of arrays of expressions, as expressions.

    The jaxpr of ``function`` in float64 is read as a program of real arithmetic and run over SymPy's exact numbers.

    Arguments:
        function: of arrays, traceable by JAX; its values are one array or a PyTree of arrays.
        args: arrays (or scalars) of symbols and numbers.
        within: bounds of symbols where the code branches; the others, and all without it, stand for all floats of
            their sign.

    Returns:
        The PyTree of the values: an expression for a scalar, an object array otherwise.

    Raises:
        UnknownPrimitive: the code uses a primitive that has no rule.
        TranslationError: expressions and code differ at a point.
    """
    if not isinstance(within, Region | None):
        msg = f"within={within!r:.60}: bounds are made by `proof.region`, so that the evidence names them"
        raise TypeError(msg)
    arrays = [np.asarray(arg, object) for arg in args]
    shapes = [array.shape for array in arrays]
    values = jax.eval_shape(function, *(jax.ShapeDtypeStruct(shape, jnp.float64) for shape in shapes))
    leaves, tree = jax.tree.flatten(values)
    lines = [[sympy.Integer(e) if isinstance(e, int) else e for e in array.reshape(-1)] for array in arrays]
    outputs = symbolic(translate(function, *shapes), lines, within and within.bounds)
    made = [_shaped(line, leaf.shape) for line, leaf in zip(outputs, leaves, strict=True)]
    return jax.tree.unflatten(tree, made)


def _shaped(line: list[sympy.Expr], shape: tuple[int, ...]) -> Expressions:
    if not shape:
        return line[0]
    made = np.empty(shape, object)
    for place, entry in zip(np.ndindex(*shape), line, strict=True):
        made[place] = entry
    return made
