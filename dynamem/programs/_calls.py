"""Rules for programs within programs: calls, loops and branches."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import ClosedJaxpr

from ..kernels import centred, dense, dynamem_retrieval
from ._lower import Lowering, Refused, Rule, Value, chosen


MOST_UNROLLED = 4096


def _call(name: str) -> Rule:
    def rule(low: Lowering, equation: Any, values: list[Value]) -> Sequence[Value]:
        inner = equation.params[name]
        return low.closed(inner, values) if isinstance(inner, ClosedJaxpr) else low.jaxpr(inner, [], values)

    return rule


def _jit(low: Lowering, equation: Any, values: list[Value]) -> Sequence[Value]:
    """Inlined; a pass of the retrieval kernel by its definition, which each translation holds against the pass."""
    inner = equation.params["jaxpr"]
    if equation.params["name"] != dynamem_retrieval.__name__:
        return low.closed(inner, values)
    avals = [jax.ShapeDtypeStruct(aval.shape, aval.dtype) for aval in inner.in_avals]
    weighted = len(avals) == 4
    definition = _about(values[0]) if low.centred and isinstance(values[0], np.ndarray) else dense
    meaning = jax.make_jaxpr(definition if weighted else lambda xi, eta, kappa: definition(xi, None, eta, kappa))(
        *avals
    )
    return low.closed(meaning, values)


def _about(patterns: np.ndarray) -> Callable:
    """The kernel by moments about the middle of the patterns, rounded to few digits as differences should be exact."""
    grain = 2.0 ** np.floor(np.log2(max(float(np.ptp(patterns)), 1e-300)) - 8)
    middle = np.round(patterns.mean(axis=0) / grain) * grain
    return lambda xi, log_u, eta, kappa: centred(xi, log_u, eta, kappa, jnp.asarray(middle, eta.dtype))


def _scan(low: Lowering, equation: Any, values: list[Value]) -> Sequence[Value]:
    p = equation.params
    length, fixed, carried = p["length"], p["num_consts"], p["num_carry"]
    if length > MOST_UNROLLED:
        return [low.refuse(f"a loop of {length} steps (at most {MOST_UNROLLED})") for _ in equation.outvars]
    consts, carry, rows = values[:fixed], values[fixed : fixed + carried], values[fixed + carried :]
    stacked: list[list[Value]] = [[None] * length for _ in equation.outvars[carried:]]
    for step in reversed(range(length)) if p["reverse"] else range(length):
        here = [_row(low, value, step, length) for value in rows]
        made = low.closed(p["jaxpr"], [*consts, *carry, *here])
        carry = made[:carried]
        for column, value in zip(stacked, made[carried:], strict=True):
            column[step] = value
    return [
        *carry,
        *(_stack(low, column, atom) for column, atom in zip(stacked, equation.outvars[carried:], strict=True)),
    ]


def _row(low: Lowering, value: Value, step: int, length: int) -> Value:
    if isinstance(value, np.ndarray):
        return np.asarray(value[step])
    if isinstance(value, Refused):
        return value
    size = low.builder.lines.nodes[value].length // length
    return low.builder.take([value], np.arange(step * size, (step + 1) * size))


def _stack(low: Lowering, column: list[Value], atom: Any) -> Value:
    refused = [value for value in column if isinstance(value, Refused)]
    if refused:
        return refused[0]
    if not column:
        return np.zeros(tuple(atom.aval.shape))
    if all(isinstance(value, np.ndarray) for value in column):
        return np.stack(column).reshape(tuple(atom.aval.shape))
    return low.builder.take([low.line(value) for value in column], np.arange(math.prod(tuple(atom.aval.shape))))


def _cond(low: Lowering, equation: Any, values: list[Value]) -> Sequence[Value]:
    branches, which, args = equation.params["branches"], values[0], values[1:]
    if isinstance(which, np.ndarray):
        return low.closed(branches[int(np.clip(int(which), 0, len(branches) - 1))], args)
    made = [low.closed(branch, args) for branch in branches]
    index, found = low.line(which), []
    for cases, atom in zip(zip(*made, strict=True), equation.outvars, strict=True):
        if any(isinstance(case, Refused) for case in cases):
            found.append(next(case for case in cases if isinstance(case, Refused)))
            continue
        found.append(chosen(low.builder, index, [low.line(case) for case in cases], truth=atom.aval.dtype == bool))
    return found


def _while(low: Lowering, equation: Any, values: list[Value]) -> Sequence[Value]:
    """A loop whose test depends on known integers alone is unrolled; any other is refused."""
    p = equation.params
    split = p["cond_nconsts"], p["cond_nconsts"] + p["body_nconsts"]
    tests, fixed, carry = values[: split[0]], values[split[0] : split[1]], values[split[1] :]
    for _ in range(MOST_UNROLLED):
        (again,) = low.closed(p["cond_jaxpr"], [*tests, *carry])
        if not isinstance(again, np.ndarray):
            return [low.refuse("a 'while' whose number of turns is not known") for _ in equation.outvars]
        if not again:
            return carry
        carry = low.closed(p["body_jaxpr"], [*fixed, *carry])
    return [low.refuse(f"a 'while' of more than {MOST_UNROLLED} turns") for _ in equation.outvars]


RULES: dict[str, Rule] = {
    "jit": _jit, "pjit": _jit, "closed_call": _call("call_jaxpr"), "core_call": _call("call_jaxpr"),
    "remat": _call("jaxpr"), "remat2": _call("jaxpr"), "checkpoint": _call("jaxpr"),
    "custom_jvp_call": _call("call_jaxpr"), "custom_vjp_call": _call("call_jaxpr"),
    "custom_vjp_call_jaxpr": _call("fun_jaxpr"),
    "custom_vmap_call": _call("call"), "scan": _scan, "cond": _cond, "while": _while,
}  # fmt: skip
