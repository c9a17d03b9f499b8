r"""Where along the probability flow an energy begins to rise (THEORY.md, D2 and D3).

The density energy ``-log p_t`` in a path's own coordinates rises exactly where

    tr C(y, s) > D c(s),      c = s^2 (sigma'/sigma)/(sigma'/sigma - f) = -s^2 d log sigma/d lam:

``s^2`` for VE and in canonical coordinates, ``sigma^2 = s^2/(1 + s^2)`` for VP, ``2 sigma^2/(1 + alpha^2)`` for
sub-VP, ``sigma^2/alpha`` for flow matching. The flow has the law ``p_s`` at every level, so that states ``xi + s z``
show how many rise there; but when a run first does is a matter of the run. Hence three onsets, never to be mixed up:

- in mean: the level at which the mean rate over ``p_s`` changes sign (``E tr C = D c``);
- of runs: the level at which a run first rises, its median over runs, and the earliest run;
- a bound: with R the radius of the data, ``tr C <= R^2``, so nothing rises while ``D c(s) >= R^2``.
"""

import dataclasses
import functools
import math
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import scipy.stats
from jaxtyping import Array, Float, PRNGKeyArray, Scalar

from .._errors import InputError
from .._types import EnergyFn
from ..catalog import wilson
from ..diffusion import AbstractLaw, AbstractSchedule, DensityEnergy
from ..flows import ProbabilityFlow
from ..lyapunov import generator, magnitude, rate_bound
from ..solvers import DPMSolver2M, scan_solve
from ._critical_time import LEVEL, crossing, estimated, scan
from ._draws import level_of, states_at


@dataclasses.dataclass(frozen=True)
class Onset:
    """How an energy comes to rise along the probability flow as noise falls.

    Attributes:
        levels: noise levels, falling, shape (L,).
        share: of states of ``p_s`` at which the energy rises, shape (L,).
        low: lower ends of Wilson's 95 % intervals, shape (L,).
        high: upper ends, shape (L,).
        mean: level at which the mean rate changes sign; NaN if it stays negative, infinity if it is positive at first.
        mean_interval: 95 %.
        first: level at which each run first rises: 0 if never, infinity if from its start; shape (B,).
    """

    levels: Float[np.ndarray, " L"]
    share: Float[np.ndarray, " L"]
    low: Float[np.ndarray, " L"]
    high: Float[np.ndarray, " L"]
    mean: float
    mean_interval: tuple[float, float]
    first: Float[np.ndarray, " B"]

    @property
    def median(self) -> float:
        """Of ``first``."""
        return float(np.sort(self.first)[(len(self.first) - 1) // 2])

    @property
    def median_interval(self) -> tuple[float, float]:
        """95 % for the median, by order statistics: no law of the levels is assumed."""
        count, ordered = len(self.first), np.sort(self.first)
        rank = int(scipy.stats.binom.ppf((1 - LEVEL) / 2, count, 0.5))
        return float(ordered[max(rank - 1, 0)]), float(ordered[min(count - rank, count - 1)])

    @property
    def earliest(self) -> float:
        """The largest of ``first``: of the run that rises at most noise. It grows with the number of runs."""
        return float(np.max(self.first))


@eqx.filter_jit
def _threshold(schedule: AbstractSchedule, lam: Scalar) -> Scalar:
    """``c`` at a level: ``sigma'/sigma - f`` is ``-d lam/dt``, ``g^2/(2 sigma^2)``."""
    t = schedule.t_of_lam(lam)
    rate = schedule.sigma_dot(t) / schedule.sigma(t)
    return jnp.exp(-2 * lam) * rate / (rate - schedule.f(t))


def threshold(schedule: AbstractSchedule | None, s: float) -> float:
    """``c(s)`` of a schedule's own coordinates, for None of the canonical ones: ``tr C > D c`` is where it rises."""
    return s * s if schedule is None else float(_threshold(schedule, jnp.asarray(-math.log(s))))


def onset_bound(radius: float, size: int, schedule: AbstractSchedule | None, high: float, low: float) -> float:
    """The largest level with ``D c(s) = R^2``, above which the density energy falls everywhere (D3).

    Arguments:
        radius: ``R``, of any ball that holds the data.
        size: D.
        schedule: whose coordinates; None for the canonical ones.
        high: where the search begins: infinity is returned where ``D c < R^2`` there.
        low: where it ends.
    """
    if schedule is None:
        return radius / math.sqrt(size)
    return crossing(lambda s: radius**2 / size - threshold(schedule, s), scan(high, low))


class Rising(eqx.Module):
    """``(t, x) -> `` a number that is positive exactly where the energy rises along the flow, beyond rounding.

    For a density energy it is ``tr C/(D c) - 1``, elsewhere the orbital derivative less its rounding bound.
    """

    energy: EnergyFn
    flow: ProbabilityFlow

    def __call__(self, t: Scalar, x: Float[Array, " D"]) -> Scalar:
        """At time ``t`` and state ``x`` (D,) of the flow's clock."""
        path = self.flow.path
        if isinstance(self.energy, DensityEnergy):
            trace = path.tilt(path.locate(self.flow.clock, t, x)).trace
            lam = t if self.flow.clock == "lam" else path.schedule.lam(1 - t)
            c = jnp.exp(-2 * lam) if self.flow.clock == "lam" else _threshold(path.schedule, lam)
            return trace / (x.shape[0] * c) - 1
        rate = generator(self.energy, self.flow)(t, x, None)
        return rate.total - rate_bound(rate, magnitude(self.energy, t, x))

    def canonical(self, lam: Scalar, y: Float[Array, " D"]) -> Scalar:
        """The same at ``lam`` and the canonical state ``y`` (D,)."""
        if self.flow.clock == "lam":
            return self(lam, y)
        t = self.flow.path.schedule.t_of_lam(lam)
        return self(1 - t, self.flow.path.schedule.alpha(t) * y)


@eqx.filter_jit
def _signs(rising: Rising, states: Float[Array, "B D"], s: Scalar) -> Float[Array, " B"]:
    return jax.vmap(lambda y: rising.canonical(-jnp.log(s), y))(states)


def violation_onset(
    energy: EnergyFn, flow: ProbabilityFlow, key: PRNGKeyArray, *, s_start: float, s_end: float, n: int = 256,
    steps: int = 64,
) -> Onset:  # fmt: skip
    """Where ``energy`` begins to rise along ``flow``: on states of ``p_s``, in mean, and along runs.

    Arguments:
        energy: any ``E(t, x)`` on the flow's clock.
        flow: the probability flow of a law that can be drawn from; its path's schedule sets the coordinates on "tau".
        key: of the states.
        s_start: level at which runs begin, as states of ``p_s`` there.
        s_end: level at which they end.
        n: states at each level, and runs.
        steps: levels, uniform in ``lam``, and steps of a run by `DPMSolver2M` (of order 2); a rise that begins and
            ends between two of them is missed, and onsets of runs are interpolated between them.

    Raises:
        InputError: a path without a law, levels that do not fall or that the schedule does not reach, a run that fails.
    """
    if not isinstance(flow.path.law, AbstractLaw):
        msg = f"flow: its path has a {type(flow.path.law).__name__}, need a law (dm.Empirical, dm.GaussianMixture)"
        raise InputError(msg)
    if not 0 < s_end < s_start < math.inf or n < 2 or steps < 2:
        msg = f"s_start={s_start!r}, s_end={s_end!r}, n={n!r}, steps={steps!r}: need 0 < s_end < s_start, n, steps > 1"
        raise InputError(msg)
    rising, keys, law = Rising(energy, flow), jr.split(key, n), flow.path.law
    lams = np.linspace(-math.log(s_start), -math.log(s_end), steps + 1)
    if flow.clock == "tau":
        for lam in lams[[0, -1]]:
            flow.path.schedule.t_of_lam(lam)  # raises where the schedule does not reach it

    @functools.cache
    def sample(s: float) -> Float[np.ndarray, " n"]:
        return np.asarray(_signs(rising, states_at(law, keys, level_of(s)), level_of(s)))

    levels = np.exp(-lams)
    found = np.stack([sample(float(s)) for s in levels])
    rises = np.sum(found > 0, axis=1)
    low, high = wilson(rises, n, LEVEL)
    mean, interval = estimated(sample, 0.0, levels)
    first = _first(rising, states_at(law, keys, level_of(s_start)), lams)
    return Onset(levels, rises / n, low, high, mean, interval, first)


def _first(rising: Rising, states: Float[Array, "B D"], lams: Float[np.ndarray, " L"]) -> Float[np.ndarray, " B"]:
    """The level at which each run first rises."""
    xs = _runs(ProbabilityFlow(rising.flow.path), states, jnp.asarray(lams))
    if not bool(jnp.all(jnp.isfinite(xs))):
        bad = int(jnp.sum(~jnp.all(jnp.isfinite(xs), axis=(1, 2))))
        msg = f"s_start={math.exp(-lams[0]):.4g}: {bad} of {len(states)} runs are not finite; take more steps"
        raise InputError(msg)
    columns = [np.asarray(_signs(rising, xs[:, k], level_of(math.exp(-lam)))) for k, lam in enumerate(lams.tolist())]
    found = np.stack(columns, axis=1)
    if isinstance(rising.energy, DensityEnergy):  # log(tr C/D c) is nearly straight in lam
        found = np.log(np.maximum(1 + found, 1e-300))
    return np.array([_first_of(row, lams) for row in found])


@eqx.filter_jit
def _runs(flow: ProbabilityFlow, states: Array, ts: Array) -> Array:
    """States (B, L, D) of runs at all levels."""

    def one(y: Array) -> Array:
        found: Any = scan_solve(flow.terms(), DPMSolver2M(), ts, y, steps=True).ys
        return found

    return jax.vmap(one)(states)


def _first_of(values: Any, lams: Any) -> float:
    """Where a sequence first turns positive, interpolated linearly in ``lam``; 0 if nowhere, infinity if at once."""
    place = int(np.argmax(values > 0))
    if not values[place] > 0:
        return 0.0
    if place == 0:
        return math.inf
    before, after = values[place - 1], values[place]
    part = before / (before - after) if math.isfinite(before) else 1.0
    return math.exp(-float(lams[place - 1] + part * (lams[place] - lams[place - 1])))
