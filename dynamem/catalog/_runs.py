"""Runs of one schedule: every solver of the audit, in own or canonical coordinates, brought to common ones."""

import dataclasses
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import diffrax as dfx
import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray, Scalar

from ..diffusion import (
    EDM,
    VE,
    VP,
    AbstractLaw,
    AbstractSchedule,
    AnySchedule,
    Cosine,
    DiffusionPath,
    FlowMatching,
    SubVP,
    grid_between,
)
from ..flows import ProbabilityFlow, ReverseSDE
from ..lyapunov import Trajectory, along, kicks, solve
from ..solvers import (
    DDIM,
    DDPM,
    AbstractSampler,
    AnnealedLangevin,
    DPMSolver2M,
    DPMSolver2S,
    DPMSolverSDE,
    EDMHeun,
    EulerAncestral,
    ExponentialAB,
    PredictorCorrector,
)
from ._names import SCHEDULES, STEPS
from ._size import MOST_STEPS


FAMILIES: dict[str, Callable[[], AbstractSchedule]] = dict(
    zip(SCHEDULES, (VP, SubVP, VE, Cosine, EDM, FlowMatching), strict=True)
)
SAMPLERS: dict[str, AbstractSampler] = {
    "DDIM": DDIM(),
    "EDMHeun": EDMHeun(),
    "DPMSolver2M": DPMSolver2M(),
    "DPMSolver2S": DPMSolver2S(),
    "ExponentialAB": ExponentialAB(),
}
"""Samplers of the probability flow."""
REPEATS = 5


def noisy_sampler(name: str, steps: int) -> tuple[AbstractSampler, bool]:
    """A sampler of the reverse SDE, and whether the increments over whole steps are all its noise."""
    makers: dict[str, Callable[[], AbstractSampler]] = {
        "EulerAncestral": EulerAncestral,
        "DPMSolverSDE": DPMSolverSDE,
        "EDMHeun": partial(EDMHeun, 40.0, 0.05, 50.0, 1.003, steps=steps),  # Karras et al. 2022, table 5, ImageNet
        "PredictorCorrector": PredictorCorrector,
        "AnnealedLangevin": partial(AnnealedLangevin, repeats=REPEATS),
        "DDPM": DDPM,
    }
    return makers[name](), name not in ("PredictorCorrector", "AnnealedLangevin")


RTOL, ATOL = 1e-8, 1e-10
MOST = max(STEPS) + 2


def schedule_of(name: str) -> AbstractSchedule:
    """The schedule of a name from `dynamem list`, with its default parameters."""
    return FAMILIES[name]()


@dataclasses.dataclass(frozen=True)
class Run:
    """One solver's trajectories in canonical coordinates, NumPy arrays on the host.

    Attributes:
        solver: name in the audit.
        steps: number of steps, None if adaptive.
        tau: own times, shape (B, n).
        lam: canonical times, shape (B, n).
        ys: canonical states, shape (B, n, D).
        noise: realised ``g dW`` in canonical coordinates, shape (B, n, D), zero for an ODE, at the last step, and for
            a sampler whose normals are not the increments of whole steps.
        count: valid entries of each row, shape (B,).
        ok: which solves ended well, shape (B,).
        seconds: wall time of the solve.
    """

    solver: str
    steps: int | None
    tau: np.ndarray
    lam: np.ndarray
    ys: np.ndarray
    noise: np.ndarray
    count: np.ndarray
    ok: np.ndarray
    seconds: float


class Canonical(eqx.Module):
    """``(tau, x) -> (lam, y, alpha)`` of a schedule."""

    schedule: AnySchedule

    def __call__(self, tau: Scalar, x: Float[Array, " D"]) -> tuple[Scalar, Float[Array, " D"], Scalar]:
        """Canonical time and state, and the scale between the states."""
        alpha = self.schedule.alpha(1 - tau)
        return self.schedule.lam(1 - tau), x / alpha, alpha


class Coefficients(eqx.Module):
    """``t -> (alpha, sigma, sigma', g^2)`` of a schedule, as a function of points for `along`."""

    schedule: AnySchedule

    def __call__(self, t: Scalar, x: Float[Array, " 1"]) -> tuple[Scalar, Scalar, Scalar, Scalar]:
        """The state is not read."""
        del x
        return self.schedule.alpha(t), self.schedule.sigma(t), self.schedule.sigma_dot(t), self.schedule.g2(t)


class Trace(eqx.Module):
    """``(lam, y) -> tr C``, the trace of the posterior covariance."""

    path: DiffusionPath

    def __call__(self, lam: Scalar, y: Float[Array, " D"]) -> Scalar:
        """At canonical time and state."""
        return self.path.tilt(self.path.locate("lam", lam, y)).trace


class Sampler:
    """All solvers of the audit on one schedule, between two noise levels, from shared initial states."""

    def __init__(self, name: str, law: AbstractLaw, levels: tuple[float, float]) -> None:
        self.name, self.levels = name, levels
        families = tuple(family() for family in FAMILIES.values())
        self.schedule = AnySchedule(families, jnp.asarray(SCHEDULES.index(name)))
        self.path = DiffusionPath(self.schedule, law)
        ends = np.asarray(grid_between(self.schedule, *levels, 1))
        self.tau = (jnp.asarray(1 - ends[0]), jnp.asarray(1 - ends[1]))
        self.lam = (jnp.asarray(-np.log(levels[0])), jnp.asarray(-np.log(levels[1])))

    def coefficients(self, ts: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """``alpha``, ``sigma``, ``sigma'`` and ``g^2`` at noise times of any shape."""
        return along(Coefficients(self.schedule), ts, ts[..., None])

    def trace(self) -> "Trace":
        """``(lam, y) -> tr C``."""
        return Trace(self.path)

    def _own(self, states: Array) -> Array:
        return self.schedule.alpha(1 - self.tau[0]) * states

    def _grid(self, steps: int) -> Array:
        """Canonical times of ``steps`` steps uniform in ``t``."""
        lam = _lams(self.schedule, grid_between(self.schedule, *self.levels, steps))
        return lam.at[0].set(self.lam[0]).at[-1].set(self.lam[1])

    def ode(self, solver: str, steps: int | None, states: Array) -> Run:
        """A run of the probability flow from canonical states (B, D)."""
        start = time.perf_counter()
        if solver in SAMPLERS and steps is not None:
            grid = self._grid(steps)
            flow, how = ProbabilityFlow(self.path), (SAMPLERS[solver], dfx.StepTo(grid), None)
            trajectory = solve(flow, states, self.lam, *how, None, max_steps=len(grid))
            return self._from_lam(solver, steps, trajectory, None, start)
        flow = ProbabilityFlow(self.path, clock="tau")
        if steps is None:
            controller, step, most = dfx.PIDController(rtol=RTOL, atol=ATOL), None, MOST_STEPS
        else:
            controller, step, most = dfx.ConstantStepSize(), (self.tau[1] - self.tau[0]) / steps, MOST
        method = {"Tsit5": dfx.Tsit5, "Euler": dfx.Euler, "Heun": dfx.Heun}[solver]()
        trajectory = solve(flow, self._own(states), self.tau, method, controller, step, None, max_steps=most)
        return self._from_tau(solver, steps, trajectory, None, start)

    def sde(self, solver: str, steps: int, states: Array, keys: Array, churn: float) -> Run:
        """A run of the reverse SDE from canonical states (B, D), one key for each path."""
        start = time.perf_counter()
        if solver != "EulerMaruyama":
            grid = self._grid(steps)
            flow = ReverseSDE(self.path, churn)
            sampler, whole = noisy_sampler(solver, steps)
            trajectory = solve(flow, states, self.lam, sampler, dfx.StepTo(grid), None, keys, max_steps=len(grid))
            noise = kicks(flow, trajectory, keys, self.lam, adaptive=False) if whole else None
            return self._from_lam(solver, steps, trajectory, noise, start)
        flow = ReverseSDE(self.path, churn, clock="tau")
        how = (dfx.Euler(), dfx.ConstantStepSize(), (self.tau[1] - self.tau[0]) / steps)
        trajectory = solve(flow, self._own(states), self.tau, *how, keys, max_steps=MOST)
        noise = kicks(flow, trajectory, keys, self.tau, adaptive=False)
        return self._from_tau(solver, steps, trajectory, noise, start)

    def _from_lam(self, solver: str, steps: int, run: Trajectory, noise: Any, start: float) -> Run:
        run = run.trimmed(1)
        lam = np.asarray(run.ts)
        ts = np.asarray(grid_between(self.schedule, *self.levels, steps))
        tau = np.broadcast_to(1 - ts, lam.shape)
        return Run(solver, steps, tau, lam, np.asarray(run.xs), _filled(noise, run), *_ends(run, start))

    def _from_tau(self, solver: str, steps: int | None, run: Trajectory, noise: Any, start: float) -> Run:
        width = run.trimmed(1).ts.shape[1]
        noise = None if noise is None else noise[:, : width - 1]
        run = run.trimmed(1)
        lam, ys, alpha = along(Canonical(self.schedule), run.ts, run.xs)
        kick = _filled(noise, run) / alpha[..., None]
        return Run(solver, steps, np.asarray(run.ts), lam, ys, kick, *_ends(run, start))


@eqx.filter_jit
def _lams(schedule: AnySchedule, ts: Array) -> Array:
    return jax.vmap(schedule.lam)(ts)


def _filled(noise: Any, run: Trajectory) -> np.ndarray:
    """Noise of shape (B, n, D): zeros at the last step, or everywhere for an ODE."""
    whole = np.zeros(run.xs.shape)
    if noise is not None:
        whole[:, :-1] = np.asarray(noise)[:, : whole.shape[1] - 1]
    return whole


def _ends(run: Trajectory, start: float) -> tuple[np.ndarray, np.ndarray, float]:
    return np.asarray(run.count), np.asarray(run.ok), time.perf_counter() - start


def starts(patterns: Array, count: int, level: float, key: PRNGKeyArray) -> Array:
    """``y = xi + s eps`` for ``count`` patterns drawn without replacement (again, once all are used)."""
    pick, noise = jr.split(key)
    order = jr.permutation(pick, patterns.shape[0])
    rows = order[jnp.arange(count) % patterns.shape[0]]
    return patterns[rows] + level * jr.normal(noise, (count, patterns.shape[1]), patterns.dtype)
