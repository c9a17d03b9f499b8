"""Any Diffrax terms read as a drift and a diffusion; a dynamem flow is taken as it is.

Noise terms are independent, as their Brownian paths are, unless they were given the very same path object: then their
matrices add, as they do in Diffrax. The paths themselves are left behind: whoever solves names one of his own, with a
component for each column of the diffusion.
"""

import functools
import operator
from collections.abc import Callable
from typing import Any

import diffrax as dfx
import jax.numpy as jnp
import lineax as lx
from jaxtyping import Array, Float, PyTree

from .._errors import InputError
from .._types import Time
from ..flows import AbstractFlow


class TermDynamics(AbstractFlow):
    """Drift and diffusion of the user's own terms: the sum of their ODE terms, the columns of their noise terms.

    Attributes:
        drifts: the ODE terms.
        noises: vector fields of the noise terms, those that share one Brownian path together.
    """

    drifts: tuple[dfx.ODETerm, ...]
    noises: tuple[tuple[Callable, ...], ...]

    def drift(self, t: Time, x: Float[Array, " D"], args: PyTree) -> Float[Array, " D"]:
        """Sum of the vector fields of the ODE terms."""
        return sum((term.vf(t, x, args) for term in self.drifts), start=jnp.zeros_like(x))

    def diffusion(self, t: Time, x: Float[Array, " D"], args: PyTree) -> lx.AbstractLinearOperator | None:
        """The matrices of independent noises side by side, one operator where there is one."""
        operators = [
            functools.reduce(operator.add, (as_operator(field(t, x, args), x) for field in shared))
            for shared in self.noises
        ]
        if len(operators) <= 1:
            return operators[0] if operators else None
        return lx.MatrixLinearOperator(jnp.concatenate([one.as_matrix() for one in operators], axis=1))

    def mobility(self, t: Time, x: Float[Array, " D"]) -> None:
        """None: terms name no mobility."""

    def terms(self, control: Any) -> dfx.AbstractTerm:
        """The terms that `diffrax.diffeqsolve` takes, for a path with a component for each column (None: no noise)."""
        drift = self.drifts[0] if len(self.drifts) == 1 else dfx.ODETerm(self.drift)
        return dfx.MultiTerm(drift, dfx.ControlTerm(self.diffusion, control)) if self.noises else drift


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
    shared: dict[int, list[Callable]] = {}
    for term in terms:
        if not isinstance(term, dfx.ODETerm | dfx.ControlTerm):
            msg = (
                f"flow={type(term).__name__}: need a dynamem flow, a diffrax ODETerm, a ControlTerm driven by a "
                "Brownian path, or a MultiTerm of these"
            )
            raise InputError(msg)
        if isinstance(term, dfx.ControlTerm):
            if not isinstance(term.control, dfx.AbstractBrownianPath):
                kind = type(term.control).__name__
                msg = f"control={kind} is not a Brownian path: the generator is that of an Ito SDE; pass one"
                raise InputError(msg)
            shared.setdefault(id(term.control), []).append(term.vector_field)
    drifts = tuple(term for term in terms if isinstance(term, dfx.ODETerm))
    return TermDynamics(drifts, tuple(map(tuple, shared.values())))
