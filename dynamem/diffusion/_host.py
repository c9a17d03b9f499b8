r"""A model whose code is not JAX's, with exact directional derivatives.

The model is a primitive of JAX in three kinds that refer to one another, for ``f(x, t)``:

    value (x, t) -> f,    push (x, t, dx, dt) -> Df (dx, dt),    pull (x, t, g) -> (Df)^T g.

The derivative of value is push, push is linear with transpose pull, and pull is linear with transpose push: forward and
reverse mode are both exact, and no derivative is computed that is not asked for. Compiled programs reach the host by
`jax.pure_callback`; a batch of any number of `vmap` is one call. Values in sight are computed without XLA.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import Any, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir
from jaxtyping import Array, Float

from .._errors import InputError
from .._types import Time


Kind = Literal["value", "push", "pull"]


class HostModel(eqx.Module):
    """A function on NumPy arrays as a model ``(state (D,), time) -> (D,)``, for `Prediction`.

    It is given NumPy arrays, of a batch of B states, and must return NumPy arrays of the same precision. It must not
    touch JAX: a computation of JAX's inside one of JAX's can wait for itself forever. What it raises is raised; from
    within compiled code it stands in the message of JAX's own error.

    Second derivatives are refused, and so is what a missing ``jvp`` or ``vjp`` would be needed for.

    Arguments:
        function: ``(x (B, D), t (B,)) -> (B, D)``.
        jvp: ``(x, t, dx (B, D), dt (B,)) -> (B, D)``, the derivative along ``(dx, dt)``; forward mode needs it.
        vjp: ``(x, t, g (B, D)) -> (dx (B, D), dt (B,))``, its transpose; reverse mode needs it.
    """

    function: Callable = eqx.field(static=True)
    jvp: Callable | None = eqx.field(default=None, static=True)
    vjp: Callable | None = eqx.field(default=None, static=True)

    def __check_init__(self) -> None:
        for name, given in (("function", self.function), ("jvp", self.jvp), ("vjp", self.vjp)):
            if not callable(given) and (name == "function" or given is not None):
                msg = f"{name}={given!r:.60}: need a function of NumPy arrays"
                raise InputError(msg)

    def __call__(self, x: Float[Array, " D"], t: Time) -> Float[Array, " D"]:
        """The model at state ``x`` (D,) and time ``t``."""
        return host_p.bind(x, jnp.asarray(t, x.dtype), host=self, kind="value")[0]


host_p = Primitive("host_model")
host_p.multiple_results = True


def _compute(*given: Any, host: HostModel, kind: Kind) -> list[np.ndarray]:
    """One call of the host's code on the flattened batch, its results checked by name."""
    x, *rest = (np.asarray(part) for part in given)
    batch = x.shape[:-1]
    flat = [part.reshape(math.prod(batch), *part.shape[len(batch) :]) for part in (x, *rest)]
    field = {"value": "function", "push": "jvp", "pull": "vjp"}[kind]
    function = getattr(host, field)
    name = f"{field}={getattr(function, '__name__', type(function).__name__)}"
    found = function(*flat)
    if kind != "pull":
        return [_like(name, found, flat[0]).reshape(x.shape)]
    if not (isinstance(found, tuple | list) and len(found) == 2):
        msg = f"{name}: gives {type(found).__name__}, need the pair (dx, dt)"
        raise InputError(msg)
    return [_like(name, one, like).reshape(batch + like.shape[1:]) for one, like in zip(found, flat[:2], strict=True)]


def _like(name: str, result: Any, like: np.ndarray) -> np.ndarray:
    """The result, if it is an array of the right kind."""
    if not isinstance(result, np.ndarray):
        why = "host code must not touch JAX" if isinstance(result, jax.Array) else "need NumPy arrays"
        msg = f"{name}: gives a {type(result).__module__}.{type(result).__name__}, {why}"
        raise InputError(msg)
    if result.shape != like.shape or result.dtype != like.dtype:
        msg = f"{name}: gives shape {result.shape!r} and dtype {result.dtype!s}, need {like.shape!r} and {like.dtype!s}"
        raise InputError(msg)
    return result


def _require_given(host: HostModel, kind: Kind) -> None:
    for field, needed, mode in (("jvp", "push", "forward"), ("vjp", "pull", "reverse")):
        if kind == needed and getattr(host, field) is None:
            name = getattr(host.function, "__name__", type(host.function).__name__)
            msg = f"{field}=None: a derivative of {name} in {mode} mode needs it, give HostModel one"
            raise InputError(msg)


@host_p.def_impl
def _(*args: Any, host: HostModel, kind: Kind) -> list[Array]:
    _require_given(host, kind)
    return [jnp.asarray(part) for part in _compute(*args, host=host, kind=kind)]


@host_p.def_abstract_eval
def _(x: Any, t: Any, *_: Any, host: HostModel, kind: Kind) -> list[Any]:
    del host
    return [x, t] if kind == "pull" else [x]


def _compiled(*args: Array, host: HostModel, kind: Kind) -> list[Array]:
    _require_given(host, kind)
    like = [jax.ShapeDtypeStruct(part.shape, part.dtype) for part in (args[:2] if kind == "pull" else args[:1])]
    return jax.pure_callback(partial(_compute, host=host, kind=kind), like, *args)


mlir.register_lowering(host_p, mlir.lower_fun(_compiled, multiple_results=True))


def _batched(args: Any, dims: Any, *, host: HostModel, kind: Kind) -> tuple[list[Array], tuple[int, ...]]:
    size = next(arg.shape[dim] for arg, dim in zip(args, dims, strict=True) if dim is not None)
    rows = [
        jnp.broadcast_to(arg[None], (size, *arg.shape)) if dim is None else jnp.moveaxis(arg, dim, 0)
        for arg, dim in zip(args, dims, strict=True)
    ]
    out = host_p.bind(*rows, host=host, kind=kind)
    return out, (0,) * len(out)


def _derivative(primals: Any, tangents: Any, *, host: HostModel, kind: Kind) -> tuple[list[Array], list[Array]]:
    if kind != "value" and not all(isinstance(part, ad.Zero) for part in tangents[:2]):
        msg = f"second derivatives of HostModel({host.function!r:.60}) are not available: differentiate it once"
        raise InputError(msg)
    moving = [ad.instantiate_zeros(part) for part in (tangents if kind == "value" else tangents[2:])]
    out = host_p.bind(*primals, host=host, kind=kind)
    change = host_p.bind(*primals[:2], *moving, host=host, kind="push" if kind == "value" else kind)
    return out, change


def _transposed(cotangents: Any, x: Any, t: Any, *linear: Any, host: HostModel, kind: Kind) -> list[Any]:
    given = [ad.instantiate_zeros(part) for part in cotangents]
    back = host_p.bind(x, t, *given, host=host, kind="pull" if kind == "push" else "push")
    return [None, None, *(b if ad.is_undefined_primal(a) else None for a, b in zip(linear, back, strict=True))]


batching.primitive_batchers[host_p] = _batched
ad.primitive_jvps[host_p] = _derivative
ad.primitive_transposes[host_p] = _transposed
