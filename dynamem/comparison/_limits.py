r"""The largest step that raises no energy: a scan over growing steps, then bisection.

For ``x' = -L x`` and ``x^2/2`` the limit of a Runge-Kutta method is L times less than the real end of its stability
interval, where its ``|R(-h L)|`` passes 1 (Hairer & Wanner, Solving ODEs II, IV.2). On an energy of curvature at most
L explicit Euler is safe for ``h < 2/L`` (A8), and so on a log-sum-exp memory for ``h < 2``. With noise the statement is
in mean: Euler-Maruyama on ``dx = -a x dt + s x dW`` keeps ``E x^2`` from rising for ``h < (2a - s^2)/a^2``.
"""

from typing import Any

import diffrax as dfx
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .._errors import InputError
from .._types import EnergyFn
from ..lyapunov import Sized, along, dynamics_of, rises_of, rounding_bound, solve
from ..solvers import AbstractSampler
from ._records import Method, StepLimit
from ._solving import Asked, kept_of


SCAN = 41
NODES, NODE_WEIGHTS = np.polynomial.hermite_e.hermegauss(31)


class Kicked(dfx.AbstractPath):
    """A control whose increments are z standard deviations, in every step."""

    z: Float[Array, ""]
    t0: Any = -jnp.inf
    t1: Any = jnp.inf

    def evaluate(self, t0: Any, t1: Any = None, left: bool = True, use_levy: bool = False) -> Float[Array, " 1"]:
        """``z sqrt(t1 - t0)``, shape (1,)."""
        del left, use_levy
        return (self.z * jnp.sqrt(t1 - t0))[None]


class Change(eqx.Module):
    """What an energy does over some steps of any length."""

    energy: EnergyFn
    flow: Any
    solver: dfx.AbstractSolver
    t0: float
    steps: int = eqx.field(static=True)
    kept: Any = None

    def __call__(self, states: Float[Array, "B D"], h: Float[Array, ""]) -> tuple[np.ndarray, np.ndarray]:
        """By how much the largest change in a step exceeds its rounding bound, and whether runs ended well, (B,)."""
        t0 = jnp.asarray(self.t0, states.dtype)
        if self.flow.diffusion(t0, states[0], None) is not None:
            return self._mean(states, h, t0)
        kept: dict[str, Any] = self.kept or {"max_steps": self.steps + 2}
        how = (states, (t0, t0 + self.steps * h), self.solver, dfx.ConstantStepSize(), h, None)
        run = solve(self.flow, *how, **kept).trimmed(1)
        rises = rises_of(self.energy, run.ts, run.xs, run.count)
        return (rises.change - rises.bound).max(axis=1), np.asarray(run.ok)

    def _mean(self, states: Array, h: Array, t0: Array) -> tuple[np.ndarray, np.ndarray]:
        """In mean over one noise, by quadrature, for one step."""
        noise = self.flow.diffusion(t0, states[0], None)
        if noise.in_size() != 1 or self.steps != 1:
            msg = f"flow has {noise.in_size()} noises: a safe step in mean is computed for one noise and one step"
            raise InputError(msg)
        ends = _kicked_step(self.flow, self.solver, states, t0, h, jnp.asarray(NODES))
        times = jnp.full(ends.shape[:2], t0 + h)
        after, sizes = along(Sized(self.energy), times, ends)
        before, size = along(Sized(self.energy), jnp.full(len(states), t0), states)
        weights = NODE_WEIGHTS / NODE_WEIGHTS.sum()
        bound = np.asarray(rounding_bound(jnp.asarray(sizes @ weights + size)))
        return after @ weights - before - bound, np.asarray(np.isfinite(np.asarray(ends)).all(axis=(1, 2)))


@eqx.filter_jit
def _kicked_step(flow: Any, solver: Any, states: Array, t0: Array, h: Array, nodes: Array) -> Array:
    def one(x: Array, z: Array) -> Array:
        terms = flow.terms(Kicked(z))
        memory = solver.init(terms, t0, t0 + h, x, None)
        return solver.step(terms, t0, t0 + h, x, None, memory, False)[0]

    return jax.vmap(lambda x: jax.vmap(lambda z: one(x, z))(nodes))(states)


def largest_safe_step(
    energy: EnergyFn, flow: Any, solver: dfx.AbstractSolver, states: Float[Array, "B D"], *, t0: float = 0.0,
    low: float = 1e-3, high: float = 1e3, steps: int = 1, theory: float | None = None, relative: float = 1e-5,
    kept: Any = None,
) -> StepLimit:  # fmt: skip
    """Up to which step does no state's energy rise?

    Arguments:
        energy: any ``E(t, x)``.
        flow: a flow or any Diffrax terms; with one noise the statement is in mean, by quadrature.
        solver: any Diffrax solver; with noise one that reads nothing but increments.
        states: where steps start, shape (B, D).
        t0: when they start.
        low: smallest step tried.
        high: largest step tried.
        steps: how many in a row, none of which may raise it; more than one for multistep methods.
        theory: a bound to put beside it.
        relative: width of the bracket over its upper end.
        kept: further arguments of `solve`, by which a program that has been compiled serves again.

    Returns:
        A bracket: no step tried up to ``safe`` raised the energy, ``unsafe`` did (or its solve failed).
    """
    if not 0 < low < high:
        msg = f"low={low!r}, high={high!r}: need 0 < low < high"
        raise InputError(msg)
    change = Change(energy, dynamics_of(flow), solver, t0, steps, kept)
    safe, unsafe, witness = 0.0, float("inf"), None
    for h in np.geomspace(low, high, SCAN):
        witness = _witness(change, states, float(h))
        if witness is not None:
            unsafe = float(h)
            break
        safe = float(h)
    while np.isfinite(unsafe) and unsafe - safe > relative * unsafe:
        middle = 0.5 * (safe + unsafe)
        found = _witness(change, states, middle)
        safe, unsafe, witness = (middle, unsafe, witness) if found is None else (safe, middle, found)
    name = type(solver).__name__
    return StepLimit("", name, "", safe, unsafe, theory, witness)


def _witness(change: Change, states: Array, h: float) -> dict[str, Any] | None:
    """The state whose energy rises most in steps of h; None if none does."""
    excess, ok = change(states, jnp.asarray(h, states.dtype))
    excess = np.where(ok & np.isfinite(excess), excess, np.inf)
    worst = int(np.argmax(excess))
    if not excess[worst] > 0:
        return None
    return {"state": np.asarray(states[worst]).tolist(), "t0": change.t0, "step": h, "steps": change.steps,
            "rise": None if np.isinf(excess[worst]) else float(excess[worst])}  # fmt: skip


def limit_of(ask: Asked, method: Method) -> list[StepLimit]:
    """The limit of a problem's first energy from its own states, for equal steps: none for other grids and programs.

    With noise there is one in mean where there is one noise and the solver reads nothing but its increments.
    """
    if isinstance(method.solver, str) or not method.steps or method.grid != "uniform" or not ask.problem.energies:
        return []
    noise = ask.flow.diffusion(ask.span[0], ask.states[0], None)
    if noise is not None and (noise.in_size() != 1 or isinstance(method.solver, AbstractSampler | dfx.AbstractSRK)):
        return []
    name, energy = next(iter(ask.problem.energies.items()))
    steps = 4 if isinstance(method.solver, AbstractSampler) else 1  # what a sampler remembers counts
    high = float(ask.span[1] - ask.span[0]) / steps
    theory = ask.problem.limits.get(type(method.solver).__name__)
    found = largest_safe_step(
        energy, ask.flow, method.solver, ask.states, t0=float(ask.span[0]), low=1e-3 * high, high=high, steps=steps,
        theory=theory, relative=1e-3, kept=kept_of(ask, method),
    )  # fmt: skip
    return [StepLimit(ask.problem.name, method.name, name, found.safe, found.unsafe, found.theory, found.witness)]
