"""One slip in a program: a function in which one operation of its jaxpr is replaced by a wrong one.

Calls are inlined, a pass of the retrieval kernel stands for its definition, and what no result needs is left out, so
that every place is an operation of the formula. Loops stay whole, and functions with a derivative of their own.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.extend.core import ClosedJaxpr, Literal
from jaxtyping import Array, Int

from ..kernels import dense, dynamem_retrieval


CALLS = {"jit": "jaxpr", "pjit": "jaxpr", "closed_call": "call_jaxpr", "custom_jvp_call": "call_jaxpr",
         "custom_vjp_call": "call_jaxpr", "custom_vmap_call": "call", "checkpoint": "jaxpr"}  # fmt: skip
MOVES = frozenset({
    "broadcast_in_dim", "concatenate", "convert_element_type", "copy", "copy_p", "dynamic_slice", "gather", "iota",
    "pad", "reshape", "rev", "slice", "split", "squeeze", "stop_gradient", "transpose",
})  # fmt: skip
KEPT = "dynamem_kept"
"""Name of functions that are left as they are."""
LOOPS = frozenset({"while", "scan", "cond"})


class Mutated(eqx.Module):
    """``of`` with one slip of several, which a number chooses, so that all of them are one program.

    Attributes:
        of: any callable on PyTrees of arrays; its arrays stay leaves.
        slips: rules of `RULES` with the place of each: which of the operations that the rule fits, in the order of the
            program.
        chosen: index of the slip, -1 for none.
    """

    of: Callable
    slips: tuple[tuple[str, int], ...] = eqx.field(static=True)
    chosen: Int[Array, ""] = eqx.field(converter=jnp.asarray)

    def __call__(self, *args: Any) -> Any:
        """What ``of`` returns, with the slip."""
        program, arrays = _program(self.of, args)
        where = _places(program, self.slips)
        known = dict(zip(program.jaxpr.invars, arrays, strict=True))
        known |= dict(zip(program.jaxpr.constvars, program.consts, strict=True))
        for equation in program.jaxpr.eqns:
            values = [_read(known, atom) for atom in equation.invars]
            results = _applied(equation, values)
            for index, rule in where.get(id(equation), ()):
                slipped = RULES[rule].made(equation, values)
                results = [jnp.where(self.chosen == index, a, b) for a, b in zip(slipped, results, strict=True)]
            known.update(zip(equation.outvars, results, strict=True))
        leaves = [_read(known, atom) for atom in program.jaxpr.outvars]
        return eqx.combine(jax.tree.unflatten(program.shape, leaves), program.rest)


def slips_of(function: Callable, *args: Any, most: Mapping[str, int] | None = None) -> tuple[tuple[str, int], ...]:
    """Slips that fit a function: of each rule ``most[rule]`` at places spread over its program, 1 if not given."""
    program, _ = _program(function, args)
    found = []
    for rule, slip in RULES.items():
        fitting = sum(slip.fits(equation) for equation in program.jaxpr.eqns)
        count = min(fitting, (most or {}).get(rule, 1))
        found += [(rule, (2 * k + 1) * fitting // (2 * count)) for k in range(count)]
    return tuple(found)


def _places(program: "_Program", slips: Sequence[tuple[str, int]]) -> dict[int, list[tuple[int, str]]]:
    """The slips of each operation, by its identity."""
    where: dict[int, list[tuple[int, str]]] = {}
    for index, (rule, place) in enumerate(slips):
        fitting = [equation for equation in program.jaxpr.eqns if RULES[rule].fits(equation)]
        if place < len(fitting):
            where.setdefault(id(fitting[place]), []).append((index, rule))
    return where


class _Program(NamedTuple):
    """Operations from the arrays of a function and its arguments to those of its results, and what is no array."""

    jaxpr: Any
    consts: Sequence[Any]
    shape: Any
    rest: Any


_PROGRAMS: dict[Any, _Program] = {}


def _program(function: Callable, args: tuple) -> tuple[_Program, list[Any]]:
    """The program without calls and without what no result needs, kept by shapes; and the arrays that it takes."""
    leaves, tree = jax.tree.flatten((function, args))
    arrays = [jnp.asarray(leaf) for leaf in leaves if eqx.is_array_like(leaf)]
    others = tuple(None if eqx.is_array_like(leaf) else leaf for leaf in leaves)
    key = (tree, others, tuple((x.shape, x.dtype, x.weak_type) for x in arrays), jnp.result_type(float))
    if key not in _PROGRAMS:
        _PROGRAMS[key] = _traced(
            tree, others, [jax.ShapeDtypeStruct(x.shape, x.dtype, weak_type=x.weak_type) for x in arrays]
        )
    return _PROGRAMS[key], arrays


def _traced(tree: Any, others: tuple, avals: list[Any]) -> _Program:
    kept: list[Any] = []

    def plain(*arrays: Any) -> list[Any]:
        given = iter(arrays)
        function, args = jax.tree.unflatten(tree, [next(given) if leaf is None else leaf for leaf in others])
        found, rest = eqx.partition(function(*args), eqx.is_array)
        kept[:] = [jax.tree.structure(found), rest]
        return jax.tree.leaves(found)

    closed = jax.make_jaxpr(plain)(*avals)
    inlined = _needed(jax.make_jaxpr(lambda *values: _inlined(closed, values))(*avals))
    return _Program(inlined.jaxpr, inlined.consts, *kept)


def _needed(closed: Any) -> Any:
    """Without operations whose results nobody reads."""
    wanted = {atom for atom in closed.jaxpr.outvars if not isinstance(atom, Literal)}
    kept = []
    for equation in reversed(closed.jaxpr.eqns):
        if wanted & set(equation.outvars):
            kept.append(equation)
            wanted |= {atom for atom in equation.invars if not isinstance(atom, Literal)}
    return ClosedJaxpr(closed.jaxpr.replace(eqns=kept[::-1]), closed.consts)


def _read(known: dict[Any, Any], atom: Any) -> Any:
    return atom.val if isinstance(atom, Literal) else known[atom]


def _inlined(closed: Any, args: Sequence[Any]) -> list[Any]:
    known: dict[Any, Any] = dict(zip(closed.jaxpr.constvars, closed.consts, strict=True))
    known |= dict(zip(closed.jaxpr.invars, args, strict=True))
    for equation in closed.jaxpr.eqns:
        values = [_read(known, atom) for atom in equation.invars]
        inner = equation.params.get(CALLS.get(equation.primitive.name, ""))
        if inner is None or equation.params.get("name") == KEPT or _is_whole(equation, inner):
            results = _applied(equation, values)
        elif equation.params.get("name") == dynamem_retrieval.__name__:
            log_u = values[1] if len(values) == 4 else None
            results = dense(values[0], log_u, *values[-2:])
        else:
            results = _inlined(inner if isinstance(inner, ClosedJaxpr) else ClosedJaxpr(inner, []), values)
        known.update(zip(equation.outvars, results, strict=True))
    return [_read(known, atom) for atom in closed.jaxpr.outvars]


def _is_whole(equation: Any, inner: Any) -> bool:
    """Whether a call has a derivative of its own, which its operations may not have: all but the kernel's passes."""
    return equation.primitive.name in ("custom_jvp_call", "custom_vjp_call") and not _has_pass(inner)


def _has_pass(inner: Any) -> bool:
    jaxpr = inner.jaxpr if isinstance(inner, ClosedJaxpr) else inner
    calls = [equation for equation in jaxpr.eqns if equation.primitive.name in CALLS]
    return any(
        equation.params.get("name") == dynamem_retrieval.__name__
        or _has_pass(equation.params[CALLS[equation.primitive.name]])
        for equation in calls
    )


def _applied(equation: Any, values: Sequence[Any]) -> Sequence[Any]:
    primitive = equation.primitive
    results = primitive.bind(*values, **primitive.get_bind_params(equation.params))
    return results if primitive.multiple_results else [results]


# ------------------------------------------------------------------------------------- the rules


class Rule(eqx.Module):
    """A slip: which operations it fits, and what it makes of one.

    Attributes:
        words: what it is.
        fits: whether it can be made in an equation.
        made: results from the equation and its operands.
    """

    words: str
    fits: Callable[[Any], bool]
    made: Callable[[Any, Sequence[Any]], Sequence[Any]]


def _is_number(equation: Any) -> bool:
    """Whether the result is one array of floats that was computed, and not only moved."""
    if equation.primitive.multiple_results or equation.primitive.name in MOVES | LOOPS:
        return False
    return jnp.issubdtype(equation.outvars[0].aval.dtype, jnp.floating)


def _of_result(change: Callable[[Array], Array]) -> Callable[[Any, Sequence[Any]], Sequence[Any]]:
    return lambda equation, values: [change(_applied(equation, values)[0])]


def _is_array(equation: Any) -> bool:
    return _is_number(equation) and equation.outvars[0].aval.ndim > 0


def _rolled(x: Array) -> Array:
    axis = max((axis for axis, size in enumerate(x.shape) if size > 1), default=0)
    return jnp.roll(x, 1, axis)


def _rounded(x: Array) -> Array:
    return x.astype(jnp.float32).astype(x.dtype)


def _is_pair(equation: Any) -> bool:
    return equation.primitive.name in ("add", "sub", "mul", "div", "add_any") and _is_number(equation)


def _first(equation: Any, values: Sequence[Any]) -> Sequence[Any]:
    aval = equation.outvars[0].aval
    return [jnp.broadcast_to(jnp.asarray(values[0], aval.dtype), aval.shape)]


def _has_matrix(equation: Any) -> bool:
    return equation.primitive.name == "dot_general" and any(len(atom.aval.shape) == 2 for atom in equation.invars)


def _is_square(atom: Any) -> bool:
    shape = atom.aval.shape
    return len(shape) == 2 and shape[0] == shape[1] > 1


def _is_power(equation: Any) -> bool:
    return equation.primitive.name in ("integer_pow", "square", "sqrt")


def _is_choice(equation: Any) -> bool:
    return equation.primitive.name in ("select_n", "max", "min") and _is_number(equation)


def _is_shift(equation: Any) -> bool:
    return equation.primitive.name == "reduce_max" and _is_number(equation)


def _turned(equation: Any, values: Sequence[Any]) -> Sequence[Any]:
    flips: Iterator[bool] = iter([_is_square(atom) for atom in equation.invars])
    return _applied(equation, [value.T if next(flips) else value for value in values])


def _raised(equation: Any, values: Sequence[Any]) -> Sequence[Any]:
    if equation.primitive.name == "integer_pow":
        return [values[0] ** (equation.params["y"] + 1)]
    return [values[0] ** 3 if equation.primitive.name == "square" else values[0]]


def _other(equation: Any, values: Sequence[Any]) -> Sequence[Any]:
    name = equation.primitive.name
    if name == "select_n":
        return _applied(equation, [values[0], *values[:0:-1]])
    return [(jnp.minimum if name == "max" else jnp.maximum)(*values)]


RULES = {
    "sign": Rule("a wrong sign", _is_number, _of_result(lambda x: -x)),
    "factor": Rule("a factor 3/2", _is_number, _of_result(lambda x: x * jnp.asarray(1.5, x.dtype))),
    "index": Rule("entries one place off", _is_array, _of_result(_rolled)),
    "missing": Rule("the second operand left out", _is_pair, _first),
    "transposed": Rule("a square matrix transposed", _has_matrix, _turned),
    "power": Rule("another power", _is_power, _raised),
    "branch": Rule("the other branch", _is_choice, _other),
    "float32": Rule("a value rounded to float32", _is_number, _of_result(_rounded)),
    "unshifted": Rule("exponentials without their shift", _is_shift, _of_result(jnp.zeros_like)),
}
"""The slips; each is one that people make."""
