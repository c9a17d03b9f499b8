"""How often a solver calls the vector field: known for explicit solvers and samplers, counted for others.

Along a `GradientFlow` calls of the energy and of its gradient are counted alike, as a solver may need either. A
Jacobian counts as one call, whatever its size. A first step that is left to Diffrax (0.7.2) costs none: `diffeqsolve`
wraps the terms, so that its controllers see no `ODETerm` and take 0.01. A solver that keeps its last stage calls once
more each time that its very first step is rejected, which is not in the numbers of the table. The law's moments, which
`Stabilised` asks for once a step, count as a call.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import diffrax as dfx
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PyTree

from .._types import Time
from ..flows import AbstractFlow, GradientFlow, ProbabilityFlow, ReverseSDE
from ..lyapunov import TermDynamics, Trajectory, dynamics_of, solve
from ..solvers import (
    DDIM,
    DDPM,
    DPMSolver2M,
    DPMSolver2S,
    DPMSolverSDE,
    EDMHeun,
    EulerAncestral,
    ExponentialAB,
    Stabilised,
)


PER_STEP: dict[type, int] = {
    dfx.Euler: 1, dfx.EulerHeun: 1, dfx.ItoMilstein: 1, dfx.StratonovichMilstein: 1, DDIM: 1, DDPM: 1, DPMSolver2M: 1,
    DPMSolver2S: 2, DPMSolverSDE: 1, EDMHeun: 2, EulerAncestral: 1, ExponentialAB: 1,
}  # fmt: skip
COUNTED = 2
"""States of a counted run."""


class Counter:
    """Counts calls on the host."""

    def __init__(self) -> None:
        self.calls = 0

    def up(self, *_: Any) -> None:
        """One more."""
        self.calls += 1


COUNTER = Counter()
"""One for all, so that a counted program is compiled once."""


class Counted(eqx.Module):
    """A drift or an energy, which tells `COUNTER` of each call, also within the loops of an implicit solver."""

    field: Callable

    def __call__(self, t: Time, x: Float[Array, " D"], *args: PyTree) -> Array:
        """What the field is at t and x."""
        jax.debug.callback(COUNTER.up, x)  # with x, so that a batch counts each of its states
        return self.field(t, x, *args)


def per_step(solver: Any) -> tuple[int, int] | None:
    """Calls before the first step and in each, None where they are not known beforehand."""
    if type(solver) in PER_STEP:
        return 0, PER_STEP[type(solver)]
    if isinstance(solver, dfx.AbstractERK):
        tableau: Any = solver.tableau
        return int(tableau.fsal), tableau.num_stages - int(tableau.fsal)
    if isinstance(solver, dfx.AbstractSRK):
        tableau = solver.tableau
        ignored = 0 if tableau.ignore_stage_f is None else int(np.sum(tableau.ignore_stage_f))
        return 0, len(tableau.b_sol) - ignored
    if isinstance(solver, Stabilised):
        known = per_step(solver.solver)
        return None if known is None or known[0] else (0, known[1] + 1)  # a first stage that is kept may be redone
    return None


def calls_of(how: tuple) -> tuple[int, int] | None:
    """`per_step` of a run ``(states, span, solver, controller, dt0, keys)``, None where calls have to be counted."""
    known = isinstance(how[3], dfx.ConstantStepSize | dfx.StepTo | dfx.PIDController)
    return per_step(how[2]) if known else None


def evaluations_of(flow: Any, run: Trajectory, how: tuple, counter: Callable | None, **kept: Any) -> float:
    """Calls of the drift for one state, a mean over states.

    Arguments:
        flow: the dynamics.
        run: the run of all states.
        how: ``(states, span, solver, controller, dt0, keys)`` of that run.
        counter: a program for `counted`, where that is how it is found.
        kept: further arguments of the run's `solve`.
    """
    known, tried = calls_of(how), np.asarray(run.count) - 1 + np.asarray(run.rejected)
    if known is None:
        moments = float(np.mean(tried[:COUNTED])) if isinstance(how[2], Stabilised) else 0.0
        return counted(flow, how, counter, **kept) + moments
    first, each = known
    return float(np.mean(first + each * tried))


def counted(flow: Any, how: tuple, program: Callable | None = None, **kept: Any) -> float:
    """Calls for one state, by running a few of the states with a counter; see `evaluations_of`."""
    total, watched = 0, min(COUNTED, how[0].shape[0])
    for k in range(watched):
        arguments, keywords = counting(flow, how, k, **kept)
        before = COUNTER.calls
        jax.block_until_ready((program or solve)(*arguments, **keywords).xs)
        jax.effects_barrier()
        total += COUNTER.calls - before
    return total / watched


def counting(flow: Any, how: tuple, k: int, **kept: Any) -> tuple[tuple, dict[str, Any]]:
    """Arguments and keywords of the `solve` that counts the calls of state k."""
    states, span, solver, controller, dt0, keys = how
    watched = _watched(dynamics_of(flow), noisy=keys is not None)
    if isinstance(solver, Stabilised) and solver.path is None and isinstance(flow, ProbabilityFlow | ReverseSDE):
        solver = dataclasses.replace(solver, path=flow.path)  # which counted terms do not tell
    solver = jax.tree.map(
        lambda part: _watched(part, noisy=False) if _descends(part) else part, solver, is_leaf=_descends
    )
    own = None if keys is None else keys[k : k + 1]
    return (watched, states[k : k + 1], span, solver, controller, dt0, own), kept | {"dense": 0}


def _descends(part: Any) -> bool:
    return isinstance(part, GradientFlow)


def _watched(flow: AbstractFlow, *, noisy: bool) -> AbstractFlow:
    """The same dynamics, counted; a gradient flow stays one, as there are solvers that ask for its energy."""
    if isinstance(flow, GradientFlow):
        return GradientFlow(Counted(flow.energy), flow.preconditioner)
    return TermDynamics((dfx.ODETerm(Counted(flow.drift)),), ((flow.diffusion,),) if noisy else ())


def fixed_step(span: tuple, steps: Any) -> Array:
    """``(t1 - t0)/steps`` as an array, so that a ladder of steps compiles once."""
    return jnp.asarray((span[1] - span[0]) / steps)
