"""What checks and searches are given, looked at before anything runs; each refusal names the argument and a remedy."""

import math
from collections.abc import Callable
from typing import Any

import diffrax as dfx
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PyTree, Scalar

from .._errors import InputError
from .._types import EnergyFn
from .._validate import concrete, require_positive
from ..flows import Map
from ._clocks import require_one_clock, require_times
from ._dynamics import dynamics_of
from ._generator import Sense


class Question(eqx.Module):
    """What is asked: does this energy fall along these dynamics?

    Attributes:
        energy: ``E(t, x)``.
        dynamics: an `AbstractFlow`, or a `Map` for one update.
        args: what the user's terms are given.
        tolerance: rise that is forgiven on top of rounding.
        interpretation: sense of the noise.
        noisy: whether there is any.
    """

    energy: EnergyFn
    dynamics: Any
    args: PyTree
    tolerance: float = eqx.field(static=True)
    interpretation: Sense = eqx.field(static=True)
    noisy: bool = eqx.field(static=True)


def question(
    energy: EnergyFn,
    flow: Any,
    states: Float[Array, "B D"],
    span: tuple[Scalar, Scalar],
    *,
    args: PyTree,
    tolerance: float,
    interpretation: Sense = "ito",
) -> Question:
    """The question, once energy, flow, states and times are known to fit."""
    require_positive("tolerance", tolerance, zero=True)
    dynamics = flow if isinstance(flow, Map) else dynamics_of(flow)
    require_one_clock(energy, dynamics)
    require_times((energy, dynamics), float(span[0]), float(span[1]))
    t, x = span[0], states[0]
    value = traced("energy", energy, t, x)
    if jnp.shape(value) != () or not jnp.issubdtype(jnp.result_type(value), jnp.floating):
        msg = f"energy(t, x) has shape {jnp.shape(value)!r} and type {jnp.result_type(value)}: need one real number"
        raise InputError(msg)
    if isinstance(dynamics, Map):
        _require_state("map", traced("map", dynamics, x), x)
        return Question(energy, dynamics, args, tolerance, interpretation, False)
    _require_state("drift", traced("drift", dynamics.drift, t, x, args), x)
    noise = traced("diffusion", dynamics.diffusion, t, x, args)
    return Question(energy, dynamics, args, tolerance, interpretation, noise is not None)


def traced(name: str, function: Callable, *args: Any) -> Any:
    """Shapes of what a user's function returns; a refusal of the state's shape is passed on in words."""
    try:
        return eqx.filter_eval_shape(function, *args)
    except InputError:
        raise
    except (TypeError, ValueError) as error:
        first = next(iter(str(error).strip().splitlines()), type(error).__name__)
        shapes = [jnp.shape(arg) for arg in args if isinstance(arg, jax.Array)]
        msg = f"{name} cannot take a state of shape {shapes[-1]!r} ({first}): pass states of the shape it works on"
        raise InputError(msg) from error


def _require_state(name: str, found: Any, x: Float[Array, " D"]) -> None:
    shape = getattr(found, "shape", type(found).__name__)
    if shape != x.shape:
        msg = f"{name} returns {shape!r} for a state of shape {x.shape!r}: it must return the shape of the state"
        raise InputError(msg)


def states_of(states: Any) -> Float[Array, "B D"]:
    """Finite float64 states (B, D); integers are converted, which is exact."""
    try:
        array = jnp.asarray(states)
    except (TypeError, ValueError) as error:
        msg = (
            f"states={type(states).__name__}: need one array (B, D); "
            "flatten structured states with jax.flatten_util.ravel_pytree"
        )
        raise InputError(msg) from error
    if array.ndim != 2 or 0 in array.shape:
        msg = f"states.shape={array.shape!r}: need (B, D), one state a row"
        raise InputError(msg)
    if jnp.issubdtype(array.dtype, jnp.integer):
        array = array.astype(jnp.result_type(float))
    if array.dtype != jnp.float64:
        msg = (
            f"states.dtype={array.dtype!s}: checks need float64; switch it on with "
            "jax.config.update('jax_enable_x64', True) and pass float64 states"
        )
        raise InputError(msg)
    if not np.all(np.isfinite(np.asarray(array))):
        msg = "states hold NaN or infinity: a check starts from finite states"
        raise InputError(msg)
    return array


def span_of(t0: float, t1: float) -> tuple[Scalar, Scalar]:
    """Start and end as float64 numbers of JAX."""
    if not (math.isfinite(t0) and math.isfinite(t1) and t0 < t1):
        msg = f"t0={t0!r}, t1={t1!r}: need finite times with t0 < t1 (clocks increase toward the memory)"
        raise InputError(msg)
    return jnp.asarray(t0, jnp.float64), jnp.asarray(t1, jnp.float64)


def steps_of(controller: Any, span: tuple, dt0: float | None) -> int:
    """How many steps a controller needs over a span; 4096 where that depends on the states."""
    if isinstance(controller, dfx.StepTo):
        ends = (float(controller.ts[0]), float(controller.ts[-1]))
        if ends != (float(span[0]), float(span[1])):
            msg = (
                f"stepsize_controller.ts runs from {ends[0]!r} to {ends[1]!r}: "
                f"a StepTo grid must start at t0={float(span[0])!r} and end at t1={float(span[1])!r}"
            )
            raise InputError(msg)
        if dt0 is not None:
            msg = f"dt0={dt0!r}: a StepTo grid names its own steps; leave dt0 out"
            raise InputError(msg)
        return len(controller.ts)
    if isinstance(controller, dfx.ConstantStepSize):
        known = concrete(dt0)
        if known is None or not float(known) > 0:
            msg = f"dt0={dt0!r}: constant steps need a positive dt0"
            raise InputError(msg)
        return math.ceil(float(span[1] - span[0]) / float(known)) + 2
    return 4096


def region_of(states: Array, span: tuple, what: str) -> str:
    """What a verdict speaks about, in words."""
    return (
        f"{states.shape[0]} states of dimension {states.shape[1]}, times [{float(span[0]):.6g}, {float(span[1]):.6g}], "
        f"{what}, float64"
    )
