"""A system: an energy, the dynamics that should descend it, and where to look."""

import importlib
import os
import sys
from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from .._errors import InputError
from .._types import EnergyFn
from ..lyapunov import dynamics_of


class System(eqx.Module):
    """What ``module:attribute`` names on the command line.

    Arguments:
        energy: any ``E(t, x)`` on the flow's clock.
        flow: a dynamem flow or any Diffrax terms.
        states: initial states, shape (B, D), float64.
        t0: start.
        t1: end, later than ``t0``.
    """

    energy: EnergyFn
    flow: Any
    states: Float[Array, "B D"] = eqx.field(converter=jnp.asarray)
    t0: float
    t1: float

    def __check_init__(self) -> None:
        dynamics_of(self.flow)
        if self.states.ndim != 2 or 0 in self.states.shape:
            msg = f"states.shape={self.states.shape!r}: need (B, D), one state a row"
            raise InputError(msg)
        if not self.t0 < self.t1:
            msg = f"t0={self.t0!r}, t1={self.t1!r}: need t0 < t1"
            raise InputError(msg)


def load_system(name: str) -> System:
    """The `System` that ``module:attribute`` names; the current folder is searched first."""
    module_name, _, attribute = name.partition(":")
    if not module_name or not attribute:
        msg = f"system={name!r}: write module:attribute, for instance my_models:memory"
        raise InputError(msg)
    sys.path.insert(0, os.getcwd())
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        msg = f"system={name!r}: no module {error.name!r} here or on the path"
        raise InputError(msg) from error
    finally:
        sys.path.pop(0)
    found = getattr(module, attribute, None)
    if not isinstance(found, System):
        what = "no such attribute" if found is None else f"a {type(found).__name__}"
        msg = f"system={name!r}: {attribute!r} is {what}; it must be a dynamem.System"
        raise InputError(msg)
    return found
