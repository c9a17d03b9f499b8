"""The vector field whose zeros are fixed points: dynamics with their time held, as one function of the state."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PyTree, Scalar

from .._errors import InputError
from ..flows import AbstractFlow, Map
from ..lyapunov import dynamics_of
from ..rigour import reads_time


class Field(eqx.Module):
    """``x -> F(x)``: the drift at a held time, or ``f(x) - x`` of a `Map`; zero at fixed points.

    Attributes:
        dynamics: an `AbstractFlow` (terms are read as one) or a `Map`.
        t: the time that is held, on the flow's clock.
        args: what the user's terms are given.
    """

    dynamics: AbstractFlow | Map
    t: Float[Array, ""]
    args: PyTree = None

    def __call__(self, x: Float[Array, " D"]) -> Float[Array, " D"]:
        """``F(x)``, shape (D,)."""
        if isinstance(self.dynamics, Map):
            return self.dynamics(x) - x
        return self.dynamics.drift(self.t, x, self.args)

    def jacobian(self, x: Float[Array, " D"]) -> Float[Array, "D D"]:
        """``dF/dx``; that of a map is ``f' - 1``."""
        return jax.jacfwd(self)(x)

    @property
    def is_map(self) -> bool:
        """Whether steps are those of a map: stable where ``|1 + eigenvalue| < 1``, and not where it is negative."""
        return isinstance(self.dynamics, Map)


def field_of(flow: Any, t: float | Scalar | None, size: int, args: PyTree = None) -> Field:
    """The field of a flow, of Diffrax terms, or of a `Map`, on states of ``size`` coordinates.

    Arguments:
        flow: of a flow with noise the drift is taken.
        t: the time that is held; may be None where nothing reads the time.
        size: D.
        args: what the user's terms are given.

    Raises:
        InputError: ``t`` is None and the flow reads the time, ``t`` is not finite, or the flow takes no such states.
    """
    dynamics = flow if isinstance(flow, Map) else dynamics_of(flow)
    if t is None and args is None and _reads_time(dynamics, size):
        msg = f"t=None: {type(flow).__name__} depends on time; name the time t at which it is held"
        raise InputError(msg)
    held = jnp.asarray(0.0 if t is None else t, jnp.result_type(float))
    if held.shape != () or not np.isfinite(np.asarray(held)):
        msg = f"t={t!r}: need one finite time on the flow's clock"
        raise InputError(msg)
    field = Field(dynamics, held, args)
    found = eqx.filter_eval_shape(field, jax.ShapeDtypeStruct((size,), held.dtype))
    if found.shape != (size,):
        msg = f"flow: gives shape {found.shape!r} for a state of shape {(size,)!r}, need the shape of the state"
        raise InputError(msg)
    return field


def _reads_time(dynamics: Any, size: int) -> bool:
    try:
        return reads_time(lambda t, x: x[0], dynamics, (), size)
    except (TypeError, ValueError, IndexError, AttributeError) as error:
        msg = f"flow: cannot take a state of shape {(size,)!r} ({error})"
        raise InputError(msg) from error
