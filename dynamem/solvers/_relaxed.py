r"""Relaxation Runge-Kutta (Ketcheson 2019, SINUM 57; Ranocha et al. 2020, SISC 42): a step scaled to the energy's law.

From the stages ``Y_i``, with ``k_i = f(Y_i)``, of an explicit method of weights ``b_i``, the step goes by ``d = h sum_i
b_i k_i`` times gamma instead of 1, the root near 1 of

    E(x + gamma d) - E(x) = gamma h sum_i b_i grad E(Y_i).k_i.

If no ``b_i`` is negative and ``grad E . f <= 0`` everywhere, E cannot rise while ``gamma > 0``, at any h for which the
root is found. The time of a step is Diffrax's, ``x(t + h)`` and not ``x(t + gamma h)`` ("incremental direction"): as
``gamma = 1 + O(h^{p-1})``, one order of the p is lost. Where the unscaled step keeps the law up to rounding, near
equilibria, it is left as it is.
"""

from collections.abc import Callable
from typing import Any, ClassVar

import diffrax as dfx
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optimistix as optx
from jaxtyping import Array, Float, Scalar

from .._errors import InputError
from .._types import EnergyFn
from ..energies import magnitude, rounding_bound
from ._implicit import flow_of


class Relaxed(dfx.AbstractAdaptiveSolver):
    """An explicit Runge-Kutta solver whose steps follow the energy's law, for flows along which E falls.

    Each step costs a gradient of E for each stage, and a few energies; solvers that reuse their last stage ("FSAL")
    call the vector field once more. A step whose gamma is not found says so in its result.

    Arguments:
        solver: any explicit Runge-Kutta solver of Diffrax of non-negative weights: Heun, Midpoint, Ralston, Bosh3.
        energy: any ``E(t, x)``, taken at the start of the step; that of the `GradientFlow` behind the terms if None.
        root_finder: any Optimistix root finder.
        most: its iterations.
    """

    solver: Any
    energy: EnergyFn | None = None
    root_finder: optx.AbstractRootFinder = optx.Newton(rtol=1e-10, atol=1e-12)
    most: int = eqx.field(default=64, static=True)
    term_structure: ClassVar = dfx.AbstractTerm
    interpolation_cls: ClassVar[Callable[..., dfx.LocalLinearInterpolation]] = dfx.LocalLinearInterpolation

    def __check_init__(self) -> None:
        if not isinstance(self.solver, dfx.AbstractERK):
            msg = (
                f"solver={type(self.solver).__name__}: need an explicit Runge-Kutta solver of Diffrax, such as Bosh3()"
            )
            raise InputError(msg)
        tableau: Any = self.solver.tableau
        least = float(np.min(tableau.b_sol))
        if least < 0:
            msg = (
                f"solver={type(self.solver).__name__} has the weight {least:.3g}: E is bounded for non-negative ones "
                "only, take Heun, Midpoint, Ralston or Bosh3"
            )
            raise InputError(msg)

    def order(self, terms: Any) -> int:
        """One less than the solver's."""
        return int(self.solver.order(terms) or 1) - 1

    def error_order(self, terms: Any) -> Any:
        """That of the solver."""
        return self.solver.error_order(terms)

    def init(self, terms: Any, t0: Any, t1: Any, y0: Any, args: Any) -> Any:
        """The solver's."""
        return self.solver.init(terms, t0, t1, y0, args)

    def step(
        self, terms: Any, t0: Any, t1: Any, y0: Array, args: Any, solver_state: Any, made_jump: Any
    ) -> tuple[Array, Any, dict, Any, dfx.RESULTS]:
        """The solver's step, scaled; it is told of a jump, as it has not ended where it thinks."""
        del made_jump
        _, y_error, dense, state, result = self.solver.step(
            terms, t0, t1, y0, args, solver_state, jnp.asarray(True)
        )  # fmt: skip
        energy, k = self._energy(terms, t0), dense["k"]
        weights = jnp.asarray(self.solver.tableau.b_sol, y0.dtype)
        slopes = jax.vmap(jax.grad(energy.value))(y0[None] + self._before(y0) @ k)
        d, law = weights @ k, weights @ jnp.sum(slopes * k, axis=1)
        gamma, found = self._gamma(energy, y0, d, law)
        y1 = y0 + gamma * d
        failed: Any = dfx.RESULTS.nonlinear_divergence
        return y1, y_error, {"y0": y0, "y1": y1}, state, dfx.RESULTS.where(found, result, failed)

    def func(self, terms: Any, t0: Any, y0: Array, args: Any) -> Any:
        """The vector field."""
        return terms.vf(t0, y0, args)

    def _energy(self, terms: Any, t0: Any) -> "Now":
        if self.energy is not None:
            return Now(self.energy, t0)
        flow = flow_of(None, terms)
        if flow is None:
            msg = "energy=None: the terms are not those of a GradientFlow, give Relaxed(solver, energy) its E(t, x)"
            raise InputError(msg)
        return Now(flow.energy, t0)

    def _before(self, y0: Array) -> Float[Array, "s s"]:
        """The tableau's ``a_ij``, by which stage i is ``x + h sum_j a_ij k_j``."""
        rows: Any = self.solver.tableau.a_lower
        full = np.zeros((len(rows) + 1, len(rows) + 1))
        for i, row in enumerate(rows, start=1):
            full[i, :i] = row
        return jnp.asarray(full, y0.dtype)

    def _gamma(self, energy: "Now", x: Array, d: Array, law: Scalar) -> tuple[Scalar, Any]:
        """The root near 1, divided by the one at 0; and whether the law then holds up to rounding."""
        here, one = energy.value(x), jnp.ones((), x.dtype)

        def broken(gamma: Scalar) -> Scalar:
            return energy.value(x + gamma * d) - here - gamma * law

        def close(gamma: Scalar) -> Any:
            return jnp.abs(broken(gamma)) <= rounding_bound(energy.size(x) + energy.size(x + gamma * d))

        solved = optx.root_find(
            lambda gamma, _: broken(gamma) / gamma, self.root_finder, one, throw=False, max_steps=self.most
        )
        gamma = jnp.where(close(one), one, solved.value)
        return gamma, close(gamma) & (gamma > 0)


class Now(eqx.Module):
    """An energy at one time."""

    at: EnergyFn
    t: Any

    def value(self, x: Float[Array, " D"]) -> Scalar:
        """``E(t, x)``."""
        return self.at(self.t, x)

    def size(self, x: Float[Array, " D"]) -> Scalar:
        """The total size of its terms."""
        return magnitude(self.at, self.t, x)
