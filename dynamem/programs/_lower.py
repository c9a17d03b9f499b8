"""From a jaxpr to a program: calls inlined, loops unrolled, entries that only move turned into index vectors.

Integers and truth values that are known while translating (indices, shapes, static choices) are computed by JAX itself
and exactly; floating-point numbers are never folded, so that the real arithmetic of the code is what is kept. What
moves entries about (reshapes, slices, gathers, pads) is run by JAX once on the numbers 0, 1, 2, ...: its answer is the
index vector.

Conversions between floating types are the identity, ``stop_gradient`` too, and ``is_finite`` is true: these are
facts about reals, while the floats are the business of trajectory checks.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend import source_info_util
from jax.extend.core import ClosedJaxpr, Jaxpr, Literal

from .._errors import InputError
from ._build import Builder


class UnknownPrimitive(InputError):
    """A primitive that the interpreter refuses, with the line of the user's code that uses it."""


class Refused:
    """A value that has no translation; it is an error only if something needs it."""

    def __init__(self, reason: str) -> None:
        self.reason = reason


Value = Any
"""A line's number, a NumPy array that is known, or `Refused`."""


class Lowering:
    """One translation: the builder, the rules by the name of the primitive, and the form the kernel is read in."""

    def __init__(self, rules: Mapping[str, "Rule"], *, centred: bool = False) -> None:
        self.builder, self.rules, self.centred = Builder(), rules, centred

    def line(self, value: Value) -> int:
        """A line for a value."""
        if isinstance(value, Refused):
            raise UnknownPrimitive(value.reason)
        return self.builder.const(value) if isinstance(value, np.ndarray) else value

    def jaxpr(self, jaxpr: Jaxpr, consts: Sequence[Value], args: Sequence[Value]) -> list[Value]:
        """Translate equation by equation; one value for each output."""
        known: dict[Any, Value] = dict(zip((*jaxpr.constvars, *jaxpr.invars), (*consts, *args), strict=True))

        def read(atom: Any) -> Value:
            if isinstance(atom, Literal):
                aval: Any = atom.aval
                return as_known(atom.val, aval.dtype)
            return known[atom]

        for equation in jaxpr.eqns:
            before = self.builder.lines.where
            self.builder.lines.where = source_info_util.summarize(equation.source_info)
            values = [read(atom) for atom in equation.invars]
            for variable, value in zip(equation.outvars, self.equation(equation, values), strict=True):
                aval: Any = variable.aval
                known[variable] = np.zeros(aval.shape, aval.dtype) if 0 in aval.shape else value
            self.builder.lines.where = before
        return [read(atom) for atom in jaxpr.outvars]

    def closed(self, closed: ClosedJaxpr, args: Sequence[Value]) -> list[Value]:
        """Translate a jaxpr that carries its constants."""
        return self.jaxpr(closed.jaxpr, [as_known(const) for const in closed.consts], args)

    def equation(self, equation: Any, values: list[Value]) -> Sequence[Value]:
        """Values of one equation's outputs."""
        name = equation.primitive.name
        if all(isinstance(value, np.ndarray) for value in values) and foldable(equation, values):
            return fold(equation, values)
        if all(0 in var.aval.shape for var in equation.outvars):
            return [np.zeros(var.aval.shape, var.aval.dtype) for var in equation.outvars]
        rule = self.rules.get(name)
        if rule is None:
            reason = f"primitive {name!r} has no rule: used at {self.builder.lines.where}"
            return [Refused(reason) for _ in equation.outvars]
        made = rule(self, equation, values)
        return [self._unwrapped(value, var.aval.dtype) for value, var in zip(made, equation.outvars, strict=True)]

    def _unwrapped(self, value: Value, dtype: Any) -> Value:
        """The value, refused if it is a number that wraps around: 0 - 1 is 255 in uint8, and -1 in a program."""
        if not wraps(dtype) or isinstance(value, np.ndarray | Refused):
            return value
        return self.refuse(f"a number of type {np.dtype(dtype)}, which wraps around, that is not known")

    def refuse(self, what: str) -> Refused:
        """A value that cannot be had, with the place in the user's code."""
        return Refused(f"{what}: used at {self.builder.lines.where}")


def as_known(value: Any, dtype: Any = None) -> np.ndarray:
    """A constant of the jaxpr as a NumPy array of float64, integers or truth values."""
    array = np.asarray(value)
    kind = np.dtype(dtype) if dtype is not None else array.dtype
    if jnp.issubdtype(kind, jnp.floating):
        return np.asarray(array, np.float64)
    return array.astype(kind)


def choice(builder: Builder, which: int, yes: int, no: int, *, truth: bool) -> int:
    """The one or the other, which are numbers or truth values."""
    if not truth:
        return builder.apply("select", which, yes, no)
    first, second = builder.apply("and", which, yes), builder.apply("and", builder.apply("not", which), no)
    return builder.apply("or", first, second)


def chosen(builder: Builder, index: int, cases: Sequence[int], *, truth: bool) -> int:
    """The case of a whole number that is not known; tested half-way between, where rounded sums leave no doubt."""
    made = cases[-1]
    for place in range(len(cases) - 2, -1, -1):
        here = builder.apply("le", index, builder.const([place + 0.5]))
        made = choice(builder, here, cases[place], made, truth=truth)
    return made


MOVES = {
    "reshape", "transpose", "broadcast_in_dim", "squeeze", "expand_dims", "slice", "rev", "concatenate", "pad",
    "gather", "dynamic_slice", "dynamic_update_slice", "split", "copy", "copy_p", "stack", "unstack", "tile",
}  # fmt: skip


def wraps(dtype: Any) -> bool:
    """Whether whole numbers of this type leave their range in ordinary code: those without sign, and the short ones."""
    kind = np.dtype(dtype) if not jnp.issubdtype(dtype, jnp.floating) else np.dtype(float)
    return kind.kind == "u" or (kind.kind == "i" and kind.itemsize < 4)


def foldable(equation: Any, values: list[np.ndarray]) -> bool:
    """Whether JAX may compute an equation on known values: nothing of it is floating-point arithmetic."""
    name = equation.primitive.name
    discrete = all(not jnp.issubdtype(var.aval.dtype, jnp.floating) for var in equation.outvars)
    if name in MOVES or name == "iota" or any(value.size == 0 for value in values):
        return not any(isinstance(value, ClosedJaxpr | Jaxpr) for value in equation.params.values())
    if name in ("lt", "le", "gt", "ge", "eq", "ne"):
        return True
    return (
        discrete
        and all(value.dtype.kind in "biu" for value in values)
        and not any(isinstance(value, ClosedJaxpr | Jaxpr) for value in equation.params.values())
    )


def fold(equation: Any, values: list[np.ndarray]) -> list[np.ndarray]:
    """The equation computed by JAX."""
    with jax.ensure_compile_time_eval():
        inputs = [jnp.asarray(value, atom.aval.dtype) for value, atom in zip(values, equation.invars, strict=True)]
        made = equation.primitive.bind(*inputs, **equation.params)
    outputs = made if equation.primitive.multiple_results else [made]
    return [as_known(np.asarray(output), var.aval.dtype) for output, var in zip(outputs, equation.outvars, strict=True)]


Rule = Callable[[Lowering, Any, list[Value]], Sequence[Value]]
