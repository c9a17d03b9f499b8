r"""What the implicit steps of a gradient flow ``dx/dt = -M grad E`` share: a move z that some equation defines.

E and M are read from the `GradientFlow` behind the terms, or from one that is given; both are taken at the start of the
step. The equation is solved from explicit Euler's move, halved until the step's own merit is not raised. With an
adaptive controller a step whose equation cannot be solved is rejected; with fixed steps the solve fails.
"""

import abc
from collections.abc import Callable
from typing import Any, ClassVar

import diffrax as dfx
import equinox as eqx
import jax
import jax.numpy as jnp
import lineax as lx
from jaxtyping import Array, Float, Scalar

from .._errors import InputError
from .._types import EnergyFn
from ..flows import GradientFlow
from ._sampler import flows_of


class Held(eqx.Module):
    """An energy at one time, and a mobility."""

    at: EnergyFn
    t: Any
    mobility: lx.AbstractLinearOperator | None

    def energy(self, x: Float[Array, " D"]) -> Scalar:
        """``E(t, x)``."""
        return self.at(self.t, x)

    def apply(self, v: Float[Array, " D"]) -> Float[Array, " D"]:
        """``M v``."""
        return v if self.mobility is None else self.mobility.mv(v)

    def undo(self, v: Float[Array, " D"]) -> Float[Array, " D"]:
        """``M^-1 v``."""
        return v if self.mobility is None else lx.linear_solve(self.mobility, v, lx.AutoLinearSolver(None)).value


class AbstractImplicit(dfx.AbstractAdaptiveSolver):
    """A step ``y = x + z`` of a gradient flow; the error estimate is half the difference to explicit Euler."""

    flow: eqx.AbstractVar[GradientFlow | None]
    term_structure: ClassVar = dfx.AbstractTerm
    interpolation_cls: ClassVar[Callable[..., dfx.LocalLinearInterpolation]] = dfx.LocalLinearInterpolation

    @abc.abstractmethod
    def move(self, known: Held, h: Scalar, x: Float[Array, " D"], first: Float[Array, " D"]) -> tuple[Array, Any]:
        """The move z, shape (D,), from explicit Euler's ``first``; and its `dfx.RESULTS`."""

    def error_order(self, terms: Any) -> int:
        """Of the difference to explicit Euler."""
        del terms
        return 2

    def init(self, terms: Any, t0: Any, t1: Any, y0: Any, args: Any) -> None:
        """Nothing is remembered."""
        del terms, t0, t1, y0, args

    def step(
        self, terms: Any, t0: Any, t1: Any, y0: Array, args: Any, solver_state: None, made_jump: Any
    ) -> tuple[Array, Array, dict, None, dfx.RESULTS]:
        """Solve for z."""
        del solver_state, made_jump
        h = jnp.asarray(t1 - t0, y0.dtype)
        first = h * terms.vf(t0, y0, args)
        z, result = self.move(held(self.flow, terms, t0, y0, type(self).__name__), h, y0, first)
        return y0 + z, 0.5 * (z - first), {"y0": y0, "y1": y0 + z}, None, result

    def func(self, terms: Any, t0: Any, y0: Array, args: Any) -> Any:
        """The vector field."""
        return terms.vf(t0, y0, args)


def flow_of(flow: GradientFlow | None, terms: Any) -> GradientFlow | None:
    """The flow that was given, or that behind the terms; None if they are of another kind."""
    flows = flows_of(terms) if flow is None else [flow]
    return flows[0] if len(flows) == 1 and isinstance(flows[0], GradientFlow) else None


def held(flow: GradientFlow | None, terms: Any, t0: Any, y0: Array, name: str) -> Held:
    """Energy and mobility at the start of the step of the solver ``name``."""
    found = flow_of(flow, terms)
    if found is None:
        msg = f"flow=None: the terms are not those of a GradientFlow, give {name} one as flow=GradientFlow(energy)"
        raise InputError(msg)
    return Held(found.energy, t0, found.mobility(t0, y0))


def damped(merit: Callable[[Array], Scalar], z: Float[Array, " D"], halvings: int = 40) -> Float[Array, " D"]:
    """Z halved until the merit is not above that at zero: a start from which the equation is likely to be solved."""
    here = merit(jnp.zeros_like(z))

    def more(carry: tuple) -> Any:
        now, k = carry
        return ~(merit(now) <= here) & (k < halvings)

    return jax.lax.while_loop(more, lambda carry: (0.5 * carry[0], carry[1] + 1), (z, 0))[0]
