"""A column of the table: dynamics, the energy that they are said to descend, and what they should recall."""

import dataclasses
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .._types import EnergyFn
from ..catalog import DYNAMICS, LEARNED, S_END, S_START, DataSet, load_system, memory, schedule_of, starts
from ..diffusion import (
    AbstractDenoiser,
    AbstractSchedule,
    DensityEnergy,
    DiffusionPath,
    Empirical,
    FreeEnergy,
    Frozen,
    HopfieldEnergy,
)
from ..flows import AbstractFlow, GradientFlow, LagrangianFlow, Langevin, ProbabilityFlow, ReverseSDE
from ..learning import Tracked, pretrained
from ..lyapunov import clock_of, dynamics_of


DEFAULT = ("log_sum_exp", "probability_flow/VP", LEARNED)


@dataclasses.dataclass(frozen=True)
class Question:
    """Does this energy fall along this flow, from these states (B, D) over ``span = (t0, t1)``?"""

    name: str
    energy: EnergyFn
    flow: AbstractFlow
    states: Any
    span: tuple[float, float]


@dataclasses.dataclass(frozen=True)
class Column:
    """One system of the table.

    Attributes:
        name: as on the command line.
        title: in words.
        flow: the dynamics.
        energy: the energy whose descent the dynamics are said to be, None where there is none.
        questions: the energies that are followed along the dynamics; steps are judged by the last one.
        memories: what should be recalled, shape (N, D); None where nobody said: the ends of the system's own runs.
        states: initial states, shape (B, D).
        span: their times ``(t0, t1)``.
        told: whether a run starts where the noise is as large as the corruption (clock ``lam``), not always at ``t0``.
    """

    name: str
    title: str
    flow: AbstractFlow
    energy: EnergyFn | None
    questions: tuple[Question, ...]
    memories: np.ndarray | None
    states: Any
    span: tuple[float, float]
    told: bool

    @property
    def noisy(self) -> bool:
        """Whether the dynamics have noise."""
        x = self.states[0]
        return self.flow.diffusion(jnp.asarray(self.span[0], x.dtype), x, None) is not None

    @property
    def judge(self) -> EnergyFn:
        """The energy by which single steps are judged."""
        return self.questions[-1].energy

    def start(self, level: float) -> float:
        """The time at which a run from a cue of root mean square corruption ``level`` starts."""
        t0, t1 = self.span
        if not self.told:
            return t0
        return min(max(t0, -math.log(level)), t1) if level > 0 else t1


def column_of(name: str, data: DataSet, count: int, key: Any) -> Column:
    """The column of a name from `dynamem list`, of ``learned``, or of the user's ``module:attribute``.

    Arguments:
        name: which.
        data: patterns of the built-in systems.
        count: initial states of the built-in systems.
        key: of the initial states.
    """
    xi = jnp.asarray(data.patterns)
    if ":" in name:
        return _of_system(name, load_system(name))
    dynamics, _, schedule = name.partition("/")
    if dynamics not in (*DYNAMICS, LEARNED):
        return _of_system(name, memory(name, xi, count, key))
    if name == LEARNED:
        return _of_denoiser(name, pretrained(), Empirical(xi), starts(xi, count, S_START, key))
    law = Empirical(xi, None if data.weights is None else jnp.asarray(data.weights))
    states = starts(xi, count, S_START, key)
    return _of_path(name, dynamics, schedule_of(schedule), law, states)


def _of_system(name: str, system: Any) -> Column:
    flow = dynamics_of(system.flow)
    told = any(clock == "lam" for clock, runs in map(clock_of, (flow, system.energy)) if runs)
    span = (float(system.t0), float(system.t1))
    own = Question("own", system.energy, flow, system.states, span)
    memories = None if system.memories is None else np.asarray(system.memories)
    return Column(name, name.replace("_", " "), flow, system.energy, (own,), memories, system.states, span, told)


def _canonical_span() -> tuple[float, float]:
    return -math.log(S_START), -math.log(S_END)


def _of_path(name: str, dynamics: str, schedule: AbstractSchedule, law: Empirical, states: Any) -> Column:
    """The exact diffusion: five energies, the density also in the schedule's own coordinates."""
    path, span, noisy = DiffusionPath(schedule, law), _canonical_span(), dynamics == "reverse_sde"
    flow, own = ((ReverseSDE(path, 1.0, clock=clock) if noisy else ProbabilityFlow(path, clock=clock))
                 for clock in ("lam", "tau"))  # fmt: skip
    free = FreeEnergy(path, churn=1.0 if noisy else 0.0)
    times = [float(schedule.t_of_lam(jnp.asarray(lam))) for lam in span]
    in_own = (schedule.alpha(times[0]) * states, (1 - times[0], 1 - times[1]))
    canonical = {
        "density_canonical": DensityEnergy(path),
        "hopfield": HopfieldEnergy(path),
        "frozen": Frozen(FreeEnergy(path), 0.0),
        "free_churn" if noisy else "free": free,
    }
    questions = (
        Question("density", DensityEnergy(path, clock="tau"), own, *in_own),
        *(Question(label, energy, flow, states, span) for label, energy in canonical.items()),
    )
    title = f"exact diffusion, {type(schedule).__name__} ({'reverse SDE' if noisy else 'probability flow'})"
    return Column(name, title, flow, FreeEnergy(path), questions, np.asarray(law.xi), states, span, told=True)


def _of_denoiser(name: str, denoiser: AbstractDenoiser, law: Empirical, states: Any) -> Column:
    """A learned denoiser, judged by the exact free energy of the data: it has no energy of its own."""
    schedule, span = schedule_of("EDM"), _canonical_span()
    learned, exact = DiffusionPath(schedule, denoiser), DiffusionPath(schedule, law)
    flow, tracked = ProbabilityFlow(learned), Tracked(learned)
    begun = jax.vmap(lambda y: tracked.start(jnp.asarray(span[0]), y))(states)
    questions = (
        Question("density_canonical of the data", DensityEnergy(exact), flow, states, span),
        Question("own free energy, tracked", tracked.free_energy, tracked, begun, span),
        Question("free energy of the data", FreeEnergy(exact), flow, states, span),
    )
    title = f"learned diffusion ({type(denoiser).__name__})"
    return Column(name, title, flow, None, questions, np.asarray(law.xi), states, span, told=True)


def equation_of(flow: AbstractFlow) -> str:
    """The continuous update as it stands in textbooks."""
    if isinstance(flow, GradientFlow):
        return "dx/dt = -grad E(x)" if flow.preconditioner is None else "dx/dt = -M(x) grad E(x)"
    known = {
        LagrangianFlow: "tau dx/dt = -dE/dg",
        Langevin: "dx = -grad E dt + sqrt(2T) dW",
        ProbabilityFlow: "dy/dlam = m(y, s) - y",
        ReverseSDE: "dy = (1 + zeta)(m - y) dlam + s sqrt(2 zeta) dW",
    }
    return known.get(type(flow), "dx/dt = F(t, x)")
