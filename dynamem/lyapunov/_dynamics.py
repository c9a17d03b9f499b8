"""Any Diffrax terms read as a drift and a diffusion; a dynamem flow is taken as it is."""

import diffrax as dfx
import jax.numpy as jnp
import lineax as lx
from jaxtyping import Array, Float, PyTree

from .._errors import InputError
from .._types import Time
from ..flows import AbstractFlow


class TermDynamics(AbstractFlow):
    """Drift and diffusion of the user's own terms: the sum of their ODE terms, the columns of their noise terms."""

    drifts: tuple[dfx.ODETerm, ...]
    noises: tuple[dfx.ControlTerm, ...]

    def drift(self, t: Time, x: Float[Array, " D"], args: PyTree) -> Float[Array, " D"]:
        """Sum of the vector fields of the ODE terms."""
        return sum((term.vf(t, x, args) for term in self.drifts), start=jnp.zeros_like(x))

    def diffusion(self, t: Time, x: Float[Array, " D"], args: PyTree) -> lx.AbstractLinearOperator | None:
        """The noise terms' matrices side by side, one operator where there is one."""
        operators = [as_operator(term.vf(t, x, args), x) for term in self.noises]
        if len(operators) <= 1:
            return operators[0] if operators else None
        return lx.MatrixLinearOperator(jnp.concatenate([operator.as_matrix() for operator in operators], axis=1))

    def mobility(self, t: Time, x: Float[Array, " D"]) -> None:
        """None: terms name no mobility."""


def as_operator(value: PyTree, x: Float[Array, " D"]) -> lx.AbstractLinearOperator:
    """A vector field's value as an operator: Lineax operators pass, (D,) is one column, (D, m) a matrix."""
    if isinstance(value, lx.AbstractLinearOperator):
        return value
    matrix = jnp.asarray(value)
    matrix = matrix[:, None] if matrix.ndim == 1 else matrix
    if matrix.ndim != 2 or matrix.shape[0] != x.shape[0]:
        msg = f"diffusion.shape={jnp.shape(value)!r}: need (D,), (D, m) or a Lineax operator, with D={x.shape[0]}"
        raise InputError(msg)
    return lx.MatrixLinearOperator(matrix)


def dynamics_of(flow: object) -> AbstractFlow:
    """A flow or Diffrax terms (ODETerm, ControlTerm on a Brownian path, MultiTerm of these): drift and diffusion."""
    if isinstance(flow, AbstractFlow):
        return flow
    terms = flow.terms if isinstance(flow, dfx.MultiTerm) else (flow,)
    for term in terms:
        if not isinstance(term, dfx.ODETerm | dfx.ControlTerm):
            msg = (
                f"flow={type(term).__name__}: need a dynamem flow, a diffrax ODETerm, a ControlTerm driven by a "
                "Brownian path, or a MultiTerm of these"
            )
            raise InputError(msg)
        if isinstance(term, dfx.ControlTerm) and not isinstance(term.control, dfx.AbstractBrownianPath):
            msg = f"control={type(term.control).__name__} is not a Brownian path: the generator is that of an Ito SDE"
            raise InputError(msg)
    drifts = tuple(term for term in terms if isinstance(term, dfx.ODETerm))
    return TermDynamics(drifts, tuple(term for term in terms if isinstance(term, dfx.ControlTerm)))
