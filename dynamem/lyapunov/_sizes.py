r"""How much is added and cancelled inside a scalar function: a first-order bound of its rounding, read off its program.

Every operand ``v`` of every operation of the function's jaxpr is nudged to ``v (1 + delta)`` with a ``delta`` of its
own, and

    M = |f| + sum over all operands of |df/d delta|        at delta = 0,

so that rounding each of them by ``eps`` moves ``f`` by at most ``eps M`` to first order (Higham, Accuracy and
Stability of Numerical Algorithms, section 3); what is computed in less precision than ``f`` counts for as much more,
as far as the arguments have no more precision themselves: float32 within a function of float64 is not forgiven.
A sum counts its terms and not their difference, so that what cancels is seen: ``M`` of ``(x - a)`` is
``2 (|x| + |a|)`` at most. Operations that only move or compare numbers add no rounding. Loops and functions with a
derivative of their own are one operation each: what cancels inside them is not seen.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend.core import Jaxpr, Literal
from jaxtyping import Array, Scalar


CALLS = frozenset({"jit", "pjit"})
EXACT = frozenset({
    "abs", "broadcast_in_dim", "concatenate", "convert_element_type", "copy", "copy_p", "dynamic_slice", "eq", "gather",
    "ge", "gt", "is_finite", "le", "lt", "max", "min", "ne", "neg", "pad", "reduce_max", "reduce_min", "reshape", "rev",
    "select_n", "sign", "slice", "split", "squeeze", "stop_gradient", "transpose",
})  # fmt: skip
OPAQUE = frozenset({"io_callback", "pure_callback", "while"})
"""Operations that may have no derivative: their results count, where they come from does not."""


def size_of(function: Callable[..., Scalar], *args: Array) -> Scalar:
    """``M``: the total size of what ``function(*args)`` adds; NaN or infinite where the function is."""
    closed = jax.make_jaxpr(function)(*args)
    zeros = [jnp.zeros(aval.shape, aval.dtype) for aval in _operands(closed.jaxpr)]
    nudged = lambda deltas: _run(closed.jaxpr, closed.consts, args, iter(deltas))[0]  # noqa: E731
    value, slopes = jax.value_and_grad(nudged)(zeros)
    parts = [jnp.sum(jnp.where(jnp.isnan(slope), jnp.zeros_like(slope), jnp.abs(slope))) for slope in slopes]
    given = [arg for arg in map(jnp.asarray, args) if jnp.issubdtype(arg.dtype, jnp.floating)]
    coarsest = max(map(_unit, given), default=0.0)
    units = [max(1.0, min(_unit(part), coarsest) / _unit(value)) for part in parts]
    return sum((u * part.astype(value.dtype) for u, part in zip(units, parts, strict=True)), start=jnp.abs(value))


def _unit(x: Array) -> float:
    """Rounding unit of an array's precision."""
    return float(jnp.finfo(x.dtype).eps)


def _rounds(equation: Any, operand: Any) -> bool:
    real = not isinstance(operand, Literal) and jnp.issubdtype(operand.aval.dtype, jnp.floating)
    return real and equation.primitive.name not in EXACT


def _operands(jaxpr: Jaxpr) -> Iterator[Any]:
    """Shapes of the operands that are nudged, in the order in which `_run` meets them."""
    for equation in jaxpr.eqns:
        if equation.primitive.name in CALLS:
            yield from _operands(equation.params["jaxpr"].jaxpr)
        else:
            yield from (operand.aval for operand in equation.invars if _rounds(equation, operand))


def _run(jaxpr: Jaxpr, consts: Sequence[Any], args: Sequence[Any], deltas: Iterator[Array]) -> list[Any]:
    """Evaluate a jaxpr with its operands nudged; calls are inlined."""
    known: dict[Any, Any] = dict(zip((*jaxpr.constvars, *jaxpr.invars), (*consts, *args), strict=True))
    read = lambda atom: atom.val if isinstance(atom, Literal) else known[atom]  # noqa: E731
    for equation in jaxpr.eqns:
        values = [read(atom) for atom in equation.invars]
        if equation.primitive.name in CALLS:
            inner = equation.params["jaxpr"]
            results = _run(inner.jaxpr, inner.consts, values, deltas)
        else:
            results = _applied(equation, values, deltas)
        known.update(zip(equation.outvars, results, strict=True))
    return [read(atom) for atom in jaxpr.outvars]


def _applied(equation: Any, values: list[Any], deltas: Iterator[Array]) -> Sequence[Any]:
    primitive = equation.primitive
    values = [
        value + value * next(deltas) if _rounds(equation, atom) else value
        for atom, value in zip(equation.invars, values, strict=True)
    ]
    if primitive.name in OPAQUE:
        values = [jax.lax.stop_gradient(value) for value in values]
    results = primitive.bind(*values, **primitive.get_bind_params(equation.params))
    return results if primitive.multiple_results else [results]
