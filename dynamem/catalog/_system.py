"""A system: an energy, the dynamics that should descend it, and where to look."""

import importlib
import math
import os
import sys
from collections.abc import Callable
from typing import Any

import diffrax as dfx
import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Num

from .._errors import InputError
from .._types import EnergyFn
from .._validate import concrete, floats, require_patterns
from ..flows import AbstractFlow
from ..lyapunov import dynamics_of


def _optional(memories: Any) -> Array | None:
    return None if memories is None else floats("memories", memories)


class System(eqx.Module):
    """What ``module:attribute`` names on the command line.

    Arguments:
        energy: any ``E(t, x)`` on the flow's clock.
        flow: a dynamem flow or any Diffrax terms.
        states: initial states, shape (B, D), finite; float64 where an audit runs (integers are converted).
        t0: start.
        t1: end, later than ``t0``.
        memories: what should be recalled, shape (N, D); what its own runs end at, if not given.
    """

    energy: EnergyFn
    flow: Any
    states: Num[Array, "B D"] = eqx.field(converter=jnp.asarray)
    t0: float
    t1: float
    memories: Float[Array, "N D"] | None = eqx.field(default=None, converter=_optional)

    def __check_init__(self) -> None:
        dynamics_of(self.flow)
        if self.states.ndim != 2 or 0 in self.states.shape:
            msg = f"states.shape={self.states.shape!r}: need (B, D), one state a row"
            raise InputError(msg)
        _require_memories(self.memories, self.states)
        known = concrete(self.states)
        if known is not None and not np.isfinite(known).all():
            bad = int(np.argwhere(~np.isfinite(known))[0, 0])
            msg = f"states[{bad}] holds NaN or infinity: an audit starts from finite states"
            raise InputError(msg)
        if not (math.isfinite(self.t0) and math.isfinite(self.t1) and self.t0 < self.t1):
            msg = f"t0={self.t0!r}, t1={self.t1!r}: need finite times with t0 < t1"
            raise InputError(msg)


def _require_memories(memories: Any, states: Any) -> None:
    if memories is None:
        return
    require_patterns("memories", memories)
    if memories.shape[1] != states.shape[1]:
        msg = f"memories.shape={memories.shape!r}, states.shape={states.shape!r}: need (N, D) and (B, D)"
        raise InputError(msg)


def load_system(name: str, tell: Callable[[str], None] = lambda _: None) -> System:
    """The `System` that ``module:attribute`` names, fit for an audit; the current folder is searched first.

    Arguments:
        name: ``module:attribute``.
        tell: takes a sentence about what was done to the system.
    """
    found = imported(name)
    if not isinstance(found, System):
        attribute = name.partition(":")[2]
        msg = f"system={name!r}: {attribute!r} is of type {type(found).__name__}; it must be a dynamem.System"
        raise InputError(msg)
    found = _in_float64(name, found, tell)
    _require_shapes(name, found)
    return found


def imported(name: str) -> Any:
    """What ``module:attribute`` names; the current folder is searched first."""
    module_name, _, attribute = name.partition(":")
    if not module_name or not attribute:
        msg = f"system={name!r}: write module:attribute, for instance my_models:memory"
        raise InputError(msg)
    found = getattr(_imported(name, module_name), attribute, None)
    if found is None:
        msg = (
            f"system={name!r}: module {module_name!r} has no attribute {attribute!r}; give the name of a dynamem.System"
        )
        raise InputError(msg)
    return found


def _imported(name: str, module_name: str) -> Any:
    sys.path.insert(0, os.getcwd())
    try:
        return importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        msg = f"system={name!r}: no module {error.name!r} here or on the path"
        raise InputError(msg) from error
    finally:
        sys.path.pop(0)


def _in_float64(name: str, system: System, tell: Callable[[str], None]) -> System:
    """The system with float64 states: integers are converted, a narrower float has lost digits and is refused."""
    dtype = system.states.dtype
    if dtype == jnp.float64:
        return system
    if not jnp.issubdtype(dtype, jnp.integer):
        msg = f"system={name!r}: states.dtype={dtype!s}; an audit needs float64 states"
        raise InputError(msg)
    tell(f"system={name!r}: states converted from {dtype} to float64")
    return eqx.tree_at(lambda one: one.states, system, system.states.astype(jnp.float64))


def _require_shapes(name: str, system: System) -> None:
    """Refuse an energy that is no number, and a drift that is no velocity of a state.

    What they raise themselves is left to the run, whose rows say it.
    """
    x = system.states[0]
    t = jnp.asarray(system.t0, x.dtype)
    energy = _shape(system.energy, t, x)
    if energy not in (None, ()):
        msg = f"system={name!r}: the energy of one state has shape {energy}; it must be a scalar"
        raise InputError(msg)
    for field in _fields(system.flow):
        drift = _shape(field, t, x, None)
        if drift not in (None, x.shape):
            msg = f"system={name!r}: the drift at one state has shape {drift}; it must be {x.shape}, that of the state"
            raise InputError(msg)
    _shape(dynamics_of(system.flow).diffusion, t, x, None)


def _fields(flow: Any) -> list[Callable]:
    """The vector fields whose sum is the drift: the user's own as they are, since a sum would hide their shapes."""
    if isinstance(flow, AbstractFlow):
        return [flow.drift]
    terms = flow.terms if isinstance(flow, dfx.MultiTerm) else (flow,)
    return [term.vector_field for term in terms if isinstance(term, dfx.ODETerm)]


def _shape(function: Callable, *point: Any) -> tuple[int, ...] | None:
    """The shape of a function's value, None where it raises (an `InputError` passes)."""
    try:
        return np.shape(eqx.filter_eval_shape(function, *point))
    except InputError:
        raise
    except Exception:
        return None


def is_noisy(system: System) -> bool:
    """Whether the dynamics have noise; not where that cannot be told, as they raise."""
    x = system.states[0]
    try:
        found = eqx.filter_eval_shape(dynamics_of(system.flow).diffusion, jnp.asarray(system.t0, x.dtype), x, None)
    except Exception:
        return False
    return found is not None
