"""One rule for each JAX primitive that is understood: how its equation becomes lines of a program."""

import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ._calls import RULES as CALLS
from ._lower import MOVES, Lowering, Refused, Rule, Value, choice, chosen


BITS = 50  # whole numbers below 2^50 are exact in float64


def _shape(atom: Any) -> tuple[int, ...]:
    return tuple(atom.aval.shape)


def _is_float(atom: Any) -> bool:
    return jnp.issubdtype(atom.aval.dtype, jnp.floating)


# Entry by entry


def _aligned(low: Lowering, equation: Any, values: list[Value]) -> list[int]:
    """Lines whose entries stand at the same places; sides of length 1 are stretched as JAX does it."""
    shape = _shape(equation.outvars[0])
    lines = []
    for value, atom in zip(values, equation.invars, strict=True):
        line, own = low.line(value), _shape(atom)
        if own not in (shape, ()):
            index = np.broadcast_to(np.arange(math.prod(own)).reshape(own), shape)
            line = low.builder.take([line], index)
        lines.append(line)
    return lines


def _entrywise(op: str) -> Rule:
    def rule(low: Lowering, equation: Any, values: list[Value]) -> Sequence[Value]:
        return [low.builder.apply(op, *_aligned(low, equation, values))]

    return rule


def _swapped(op: str) -> Rule:
    def rule(low: Lowering, equation: Any, values: list[Value]) -> Sequence[Value]:
        return [low.builder.apply(op, *_aligned(low, equation, values)[::-1])]

    return rule


def _derived(make: Any) -> Rule:
    """A rule written in terms of the builder: ``make(builder, *lines)``."""

    def rule(low: Lowering, equation: Any, values: list[Value]) -> Sequence[Value]:
        return [make(low.builder, *_aligned(low, equation, values))]

    return rule


def _identity(low: Lowering, equation: Any, values: list[Value]) -> Sequence[Value]:
    return values


def _equal(low: Lowering, equation: Any, values: list[Value]) -> Sequence[Value]:
    b, left, right = low.builder, *_aligned(low, equation, values)
    if equation.invars[0].aval.dtype == bool:
        same, none = b.apply("and", left, right), b.apply("and", b.apply("not", left), b.apply("not", right))
        return [b.apply("or", same, none)]
    return [b.apply("eq", left, right)]


def _unequal(low: Lowering, equation: Any, values: list[Value]) -> Sequence[Value]:
    if equation.primitive.name == "xor" and equation.invars[0].aval.dtype != bool:
        return [low.refuse("primitive 'xor' on integers that are not known")]
    return [low.builder.apply("not", low.line(_equal(low, equation, values)[0]))]


def _truth(op: str) -> Rule:
    def rule(low: Lowering, equation: Any, values: list[Value]) -> Sequence[Value]:
        if equation.invars[0].aval.dtype != bool:
            return [low.refuse(f"primitive {equation.primitive.name!r} on integers that are not known")]
        return _entrywise(op)(low, equation, values)

    return rule


def _integer_pow(low: Lowering, equation: Any, values: list[Value]) -> Sequence[Value]:
    return [low.builder.powi(low.line(values[0]), int(equation.params["y"]))]


def _pow(low: Lowering, equation: Any, values: list[Value]) -> Sequence[Value]:
    b, base, power = low.builder, *_aligned(low, equation, values)
    if not isinstance(values[1], np.ndarray):
        return [b.apply("pow", base, power)]
    powers = np.broadcast_to(values[1], _shape(equation.outvars[0])).reshape(-1)
    kinds, place = np.unique(powers, return_inverse=True)
    made = [_raised(b, base, float(kind), len(powers)) for kind in kinds]
    return [b.take(made, place * len(powers) + np.arange(len(powers)))]


def _raised(b: Any, base: int, power: float, length: int) -> int:
    """``base ** power``, of ``length`` entries, for a power that is known: whole powers are defined below 0 too."""
    if power.is_integer():
        made = b.powi(base, int(power))
    elif (2 * power).is_integer() and abs(power) < 64:
        made = b.powi(b.apply("sqrt", base), int(2 * power))
    else:
        made = b.apply("pow", base, b.const([power]))
    return made if b.lines.nodes[made].length == length else b.spread(made, length)


def _convert(low: Lowering, equation: Any, values: list[Value]) -> Sequence[Value]:
    source, target = np.dtype(equation.invars[0].aval.dtype), np.dtype(equation.params["new_dtype"])
    value = values[0]
    if isinstance(value, np.ndarray) and source.kind != "b" and jnp.issubdtype(target, jnp.floating):
        return [value.astype(np.float64)]
    if isinstance(value, np.ndarray) and value.dtype.kind in "biu":
        return [value.astype(target if target.kind in "biu" else np.float64)]
    if source == target:
        return [value]
    if source.kind == "b":
        b = low.builder
        return [b.apply("select", low.line(value), b.const([1.0]), b.const([0.0]))]
    if jnp.issubdtype(source, jnp.floating) and jnp.issubdtype(target, jnp.floating):
        return [value]
    if jnp.issubdtype(source, jnp.integer) and jnp.issubdtype(target, jnp.number):
        return [value]
    return [low.refuse(f"conversion from {source} to {target} of a value that is not known")]


def _select_n(low: Lowering, equation: Any, values: list[Value]) -> Sequence[Value]:
    b, which, cases = low.builder, values[0], values[1:]
    if isinstance(which, np.ndarray) and np.all(which == which.flat[0]):
        return [cases[int(which.flat[0])]]
    truth = equation.outvars[0].aval.dtype == bool
    if equation.invars[0].aval.dtype == bool:
        return [choice(b, low.line(which), low.line(cases[1]), low.line(cases[0]), truth=truth)]
    return [chosen(b, low.line(which), [low.line(case) for case in cases], truth=truth)]


def _clamp(low: Lowering, equation: Any, values: list[Value]) -> Sequence[Value]:
    b, (low_end, x, high_end) = low.builder, map(low.line, values)
    return [b.apply("min", b.apply("max", x, low_end), high_end)]


def _whole_quotient(b: Any, x: int, y: int) -> int:
    """``x / y`` without its fraction."""
    quotient = b.apply("div", x, y)
    return b.apply("mul", b.apply("sign", quotient), b.apply("floor", b.apply("abs", quotient)))


def _rem(b: Any, x: int, y: int) -> int:
    return b.apply("sub", x, b.apply("mul", y, _whole_quotient(b, x, y)))


def _div(low: Lowering, equation: Any, values: list[Value]) -> Sequence[Value]:
    """For whole numbers the fraction is cut off."""
    lines = _aligned(low, equation, values)
    return [
        low.builder.apply("div", *lines) if _is_float(equation.outvars[0]) else _whole_quotient(low.builder, *lines)
    ]


def _never_read(low: Lowering, equation: Any, values: list[Value]) -> Sequence[Value]:
    """Room that one branch leaves for what another saves: any number will do."""
    return [np.zeros(_shape(var)) for var in equation.outvars]


def _finite(low: Lowering, equation: Any, values: list[Value]) -> Sequence[Value]:
    return [np.ones(_shape(equation.outvars[0]), bool)]


def _ones(b: Any) -> int:
    return b.const([1.0])


# Entries that move


def _move(low: Lowering, equation: Any, values: list[Value]) -> Sequence[Value]:
    """Run the primitive on the numbers of the entries: what comes out is where each entry comes from."""
    name = equation.primitive.name
    data = {"gather": 1, "dynamic_slice": 1, "dynamic_update_slice": 2}.get(name, len(values))
    sources, numbered, count = [], [], 0
    for value, atom in zip(values[:data], equation.invars[:data], strict=True):
        size = math.prod(_shape(atom))
        numbered.append(jnp.arange(count, count + size, dtype=jnp.int32).reshape(_shape(atom)))
        count += size
        sources.append(value)
    if any(isinstance(value, Refused) for value in sources):
        return [next(value for value in sources if isinstance(value, Refused)) for _ in equation.outvars]
    if not all(isinstance(value, np.ndarray) for value in values[data:]):
        return [low.refuse(f"primitive {name!r} at positions that depend on the state") for _ in equation.outvars]
    params = dict(equation.params)
    fill = params.get("fill_value")
    if "fill_value" in params:
        params["fill_value"] = -1  # marks entries from outside the operand
    with jax.ensure_compile_time_eval():
        places = [jnp.asarray(value) for value in values[data:]]
        made = equation.primitive.bind(*numbered, *places, **params)
    outputs = made if equation.primitive.multiple_results else [made]
    keep = [low.line(value) for value, numbers in zip(sources, numbered, strict=True) if numbers.size]
    keep = [*keep, low.builder.const([np.nan if fill is None else float(fill)])]
    indices = [np.asarray(output).reshape(-1) for output in outputs]
    return [low.builder.take(keep, np.where(index < 0, count, index)) for index in indices]


def _moved(low: Lowering, value: Value, shape: tuple[int, ...], axes: Sequence[Any]) -> int:
    """A line whose entries are those of ``value`` with its axes in another order."""
    index = np.arange(math.prod(shape)).reshape(shape).transpose([int(axis) for axis in axes])
    return low.builder.take([low.line(value)], index.reshape(-1))


def _scatter_add(low: Lowering, equation: Any, values: list[Value]) -> Sequence[Value]:
    operand, places, updates = values
    op = "sub" if "sub" in equation.primitive.name else "add"
    if not isinstance(places, np.ndarray):
        return [low.refuse(f"primitive 'scatter-{op}' at positions that depend on the state")]
    shape, count = _shape(equation.invars[0]), math.prod(_shape(equation.invars[2]))
    hits: list[list[int]] = [[] for _ in range(math.prod(shape))]
    with jax.ensure_compile_time_eval():
        for start in range(0, count, BITS):
            bits = np.zeros(count)
            bits[start : start + BITS] = 2.0 ** np.arange(min(BITS, count - start))
            arrived = equation.primitive.bind(
                jnp.zeros(shape), jnp.asarray(places), jnp.asarray(bits.reshape(_shape(equation.invars[2]))),
                **equation.params,
            )  # fmt: skip
            for target, code in enumerate(np.abs(np.asarray(arrived)).reshape(-1).tolist()):
                hits[target] += [start + bit for bit in range(BITS) if int(code) >> bit & 1]
    b, made, updated = low.builder, low.line(operand), low.line(updates)
    for turn in range(max(map(len, hits), default=0)):
        index = np.asarray([hit[turn] if turn < len(hit) else count for hit in hits])
        made = b.apply(op, made, b.take([updated, b.const([0.0])], index))
    return [made]


def _scatter(low: Lowering, equation: Any, values: list[Value]) -> Sequence[Value]:
    """``x.at[i].set(y)``: entries taken from ``x`` or from ``y``."""
    operand, places, updates = values
    if not isinstance(places, np.ndarray):
        return [low.refuse("primitive 'scatter' at positions that depend on the state")]
    shape, count = _shape(equation.invars[0]), math.prod(_shape(equation.invars[2]))
    codes = jnp.arange(1.0, count + 1).reshape(_shape(equation.invars[2]))
    with jax.ensure_compile_time_eval():
        arrived = equation.primitive.bind(jnp.zeros(shape), jnp.asarray(places), codes, **equation.params)
    found = np.asarray(arrived).reshape(-1).astype(int)
    if np.count_nonzero(found) != count:
        return [low.refuse("primitive 'scatter' at a position that is met twice or outside the array")]
    index = np.where(found > 0, len(found) + found - 1, np.arange(len(found)))
    return [low.builder.take([low.line(operand), low.line(updates)], index)]


# Runs


def _reduction(op: str) -> Rule:
    def rule(low: Lowering, equation: Any, values: list[Value]) -> Sequence[Value]:
        line, size = _last(low, equation, values[0])
        return [low.builder.run(op, line, size)]

    return rule


def _last(low: Lowering, equation: Any, value: Value) -> tuple[int, int]:
    """The operand with the reduced axes at its end, and how many entries are reduced."""
    shape, axes = _shape(equation.invars[0]), tuple(equation.params["axes"])
    rest = [axis for axis in range(len(shape)) if axis not in axes]
    return _moved(low, value, shape, (*rest, *axes)), math.prod(shape[axis] for axis in axes)


def _truth_reduction(op: str) -> Rule:
    def rule(low: Lowering, equation: Any, values: list[Value]) -> Sequence[Value]:
        line, size = _last(low, equation, values[0])
        columns = np.arange(low.builder.lines.nodes[line].length).reshape(-1, size)
        made = low.builder.take([line], columns[:, 0])
        for column in columns.T[1:]:
            made = low.builder.apply(op, made, low.builder.take([line], column))
        return [made]

    return rule


def _cumsum(low: Lowering, equation: Any, values: list[Value]) -> Sequence[Value]:
    shape, axis = _shape(equation.invars[0]), equation.params["axis"]
    rest = [one for one in range(len(shape)) if one != axis]
    line, size = _moved(low, values[0], shape, (*rest, axis)), shape[axis]
    ones = np.tril(np.ones((size, size))) if equation.params["reverse"] else np.triu(np.ones((size, size)))
    rows = math.prod(shape) // size
    made = low.builder.dot(line, low.builder.const(ones), (1, rows, size, size))
    return [_back(low, made, shape, axis)]


def _back(low: Lowering, line: int, shape: tuple[int, ...], axis: int) -> int:
    """Undo the move of one axis to the end."""
    moved = [size for one, size in enumerate(shape) if one != axis] + [shape[axis]]
    index = np.moveaxis(np.arange(math.prod(shape)).reshape(moved), -1, axis)
    return low.builder.take([line], index.reshape(-1))


def _sort(low: Lowering, equation: Any, values: list[Value]) -> Sequence[Value]:
    if len(values) > 1:
        return [low.refuse("a sort that carries other arrays along") for _ in values]
    shape, axis = _shape(equation.invars[0]), equation.params["dimension"]
    rest = [one for one in range(len(shape)) if one != axis]
    line = _moved(low, values[0], shape, (*rest, axis))
    return [_back(low, low.builder.run("sort", line, shape[axis]), shape, axis)]


def _top_k(low: Lowering, equation: Any, values: list[Value]) -> Sequence[Value]:
    shape, k = _shape(equation.invars[0]), equation.params["k"]
    axis = equation.params.get("axis", -1) % len(shape)
    rest = [one for one in range(len(shape)) if one != axis]
    line = low.builder.run("sort", _moved(low, values[0], shape, (*rest, axis)), shape[axis])
    order = np.arange(math.prod(shape)).reshape([shape[one] for one in (*rest, axis)])[..., ::-1][..., :k]
    return [
        low.builder.take([line], np.moveaxis(order, -1, axis).reshape(-1)),
        low.refuse("positions found by 'top_k'"),
    ]


def _dot_general(low: Lowering, equation: Any, values: list[Value]) -> Sequence[Value]:
    (left_sum, right_sum), (left_batch, right_batch) = equation.params["dimension_numbers"]
    left, right = (_shape(atom) for atom in equation.invars)
    left_rest = [axis for axis in range(len(left)) if axis not in (*left_sum, *left_batch)]
    right_rest = [axis for axis in range(len(right)) if axis not in (*right_sum, *right_batch)]
    b = math.prod(left[axis] for axis in left_batch)
    m, n = math.prod(left[axis] for axis in left_rest), math.prod(right[axis] for axis in right_rest)
    k = math.prod(left[axis] for axis in left_sum)
    first = _moved(low, values[0], left, (*left_batch, *left_rest, *left_sum))
    second = _moved(low, values[1], right, (*right_batch, *right_sum, *right_rest))
    return [low.builder.dot(first, second, (b, m, k, n))]


RULES: dict[str, Rule] = {
    **{name: _entrywise(name) for name in (
        "abs", "add", "asin", "acos", "atan", "atan2", "cos", "cosh", "erf", "exp", "expm1", "floor", "log",
        "log1p", "logistic", "max", "min", "mul", "neg", "sign", "sin", "sinh", "sqrt", "cbrt", "sub", "tan", "tanh",
        "lt", "le",
    )},
    **dict.fromkeys(MOVES, _move),
    **dict.fromkeys(("stop_gradient", "copy", "optimization_barrier", "reduce_precision"), _identity),
    "add_any": _entrywise("add"), "div": _div, "empty": _never_read, "empty2": _never_read,
    "gt": _swapped("lt"), "ge": _swapped("le"), "eq": _equal, "ne": _unequal,
    "xor": _unequal, "and": _truth("and"), "or": _truth("or"), "not": _truth("not"),
    "square": _derived(lambda b, x: b.powi(x, 2)),
    "rsqrt": _derived(lambda b, x: b.apply("div", _ones(b), b.apply("sqrt", x))),
    "exp2": _derived(lambda b, x: b.apply("exp", b.apply("mul", x, b.apply("log", b.const([2.0]))))),
    "erfc": _derived(lambda b, x: b.apply("sub", _ones(b), b.apply("erf", x))),
    "ceil": _derived(lambda b, x: b.apply("neg", b.apply("floor", b.apply("neg", x)))),
    "rem": _derived(_rem),
    "integer_pow": _integer_pow, "pow": _pow, "convert_element_type": _convert, "select_n": _select_n, "clamp": _clamp,
    "is_finite": _finite, "scatter-add": _scatter_add, "scatter_add": _scatter_add,
    "scatter-sub": _scatter_add, "scatter_sub": _scatter_add, "scatter": _scatter,
    "reduce_sum": _reduction("sum"), "reduce_max": _reduction("most"), "reduce_min": _reduction("least"),
    "reduce_prod": _reduction("prod"), "reduce_or": _truth_reduction("or"), "reduce_and": _truth_reduction("and"),
    "cumsum": _cumsum, "sort": _sort, "top_k": _top_k, "dot_general": _dot_general,
    **CALLS,
}  # fmt: skip
