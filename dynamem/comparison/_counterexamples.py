"""Small runs in which a sampler raises the free energy: two patterns, 0 and 1, on a line, and a few steps.

A run starts at y and noise level s, and its noise levels fall by one ratio rho. Found by search, or by D20's
construction; what never rises is told by `dynamem list`. Two patterns are not the worst that EDM's Heun can meet: its
bound is reached by `three_patterns`.
"""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ..diffusion import VE, DiffusionPath, Empirical, FreeEnergy
from ..flows import ProbabilityFlow
from ..lyapunov import rounding_bound
from ..solvers import AbstractSampler, DPMSolver2M, DPMSolver2S, EDMHeun, ExponentialAB


@dataclasses.dataclass(frozen=True)
class Counterexample:
    """One run.

    Attributes:
        name: the sampler, for people.
        solver: the sampler.
        weight: prior weight of the pattern 1.
        start: y.
        noise: s.
        ratio: rho.
        steps: how many.
        none_from: ratio from which a search found no rise, None where nothing was searched.
    """

    name: str
    solver: AbstractSampler
    weight: float
    start: float
    noise: float
    ratio: float
    steps: int
    none_from: float | None


COUNTEREXAMPLES = tuple(
    Counterexample(*row)
    for row in (
        ("DPM-Solver++(2M)", DPMSolver2M(), 0.5, 0.5001, 0.101, 0.25, 3, 0.335),
        ("DPM-Solver++(2M)", DPMSolver2M(), 0.03, 0.539, 0.107, 0.3, 3, 0.335),
        ("DPM-Solver++(2M)", DPMSolver2M(), 0.0006, 0.50478, 0.0254, 0.33, 3, 0.335),
        ("Adams-Bashforth 2", ExponentialAB(2), 0.5, 0.4999, 0.1063, 0.25, 3, 0.37),
        ("Adams-Bashforth 2", ExponentialAB(2), 0.0021, 0.50479, 0.0279, 0.36, 3, 0.37),
        ("Adams-Bashforth 3", ExponentialAB(3), 0.439, 0.5002, 0.0286, 0.7, 4, 0.8),
        ("Adams-Bashforth 4", ExponentialAB(4), 0.5, 0.4999, 0.0581, 0.9, 4, None),
        ("EDM's Heun", EDMHeun(), 0.5, 0.4999, 0.0874, 0.195, 3, 0.2),
        ("DPM-Solver++(2S), r = 0.05", DPMSolver2S(0.05), 0.5, 0.51, 0.1, 0.14, 3, None),
    )
)
"""Runs that raise V, the largest ratio known for a sampler last."""


class Course(eqx.Module):
    """Runs: NumPy arrays of ``steps + 1`` entries along the last axis.

    Attributes:
        lams: times.
        states: y.
        values: free energies.
        sizes: total size of the terms of each, which bounds its rounding.
    """

    lams: Float[np.ndarray, "*B n"]
    states: Float[np.ndarray, "*B n"]
    values: Float[np.ndarray, "*B n"]
    sizes: Float[np.ndarray, "*B n"]

    def rises(self) -> Float[np.ndarray, "*B m"]:
        """Rise of V in each step beyond rounding, over the squared noise at its start, 0 where it does not rise."""
        slack = np.asarray(rounding_bound(jnp.asarray(self.sizes)))
        change, slack = np.diff(self.values, axis=-1), slack[..., 1:] + slack[..., :-1]
        return np.where(change > slack, change * np.exp(2 * self.lams[..., :-1]), 0.0)


def course_of(example: Counterexample) -> Course:
    """The run of a counterexample."""
    weight, start, noise, ratio = (
        jnp.asarray([one]) for one in (example.weight, example.start, example.noise, example.ratio)
    )
    found = two_pattern_runs(example.solver, weight, start, noise, ratio, steps=example.steps)
    return jax.tree.map(lambda part: part[0], found)


def gallery() -> list[tuple[Counterexample, Course]]:
    """All of them with their runs."""
    return [(one, course_of(one)) for one in COUNTEREXAMPLES]


def two_pattern_runs(
    solver: AbstractSampler,
    weights: Float[Array, " B"],
    starts: Float[Array, " B"],
    noises: Float[Array, " B"],
    ratios: Float[Array, " B"],
    *,
    steps: int,
) -> Course:
    """Runs of a sampler between the patterns 0 and 1, from B starts at once."""
    return Course(*(np.asarray(part) for part in _runs(solver, weights, starts, noises, ratios, steps)))


def three_patterns(stage: float, start: float, noise: float) -> tuple[DiffusionPath, Float[Array, " 2"]]:
    r"""A path and a state at which a two-stage step does its worst (D13).

    The patterns are (0, e), (0, -e) and (1, 0), the last of weight ``u = e^{-K}``. On the axis V is the soft minimum
    ``-s^2 log((1 - u) e^{-A/s^2} + e^{-B/s^2})`` of

        A = y^2/2 + e^2/2,    B = (y - 1)^2/2 + K s^2.

    At the start A is less, ``K s^2`` being twice what that takes. With this e they meet at the stage; a K that is a
    little smaller makes B less from there on. Both tangents of D13 are then equalities in the limit of low noise.

    Arguments:
        stage: ratio rho1 of the stage, which lies at ``rho1 start``.
        start: y on the axis.
        noise: s; the weight is a normal number for ``s^2 > start/350``.
    """
    cost = 2 * start / (1 + stage)  # K s^2
    spread = np.sqrt(1 - 2 * stage * start + 2 * cost * stage**2)
    ahead = 9.0  # at the stage the weight of the third pattern is 1 - e^-9
    share = np.exp(ahead - cost / noise**2)
    xi = jnp.asarray([[0.0, spread], [0.0, -spread], [1.0, 0.0]])
    path = DiffusionPath(VE(), Empirical(xi, jnp.asarray([(1 - share) / 2, (1 - share) / 2, share])))
    return path, jnp.asarray([start, 0.0])


@eqx.filter_jit
def _runs(
    solver: AbstractSampler, weights: Array, starts: Array, noises: Array, ratios: Array, steps: int
) -> tuple[Array, Array, Array, Array]:
    xi = jnp.asarray([[0.0], [1.0]], starts.dtype)

    def one(weight: Array, start: Array, noise: Array, ratio: Array) -> tuple[Array, Array, Array, Array]:
        path = DiffusionPath(VE(), Empirical(xi, jnp.stack([1 - weight, weight])))
        terms, energy = ProbabilityFlow(path).terms(), FreeEnergy(path)
        lams = -jnp.log(noise) - jnp.log(ratio) * jnp.arange(steps + 1, dtype=start.dtype)
        y, memory = start[None], solver.init(terms, lams[0], lams[1], start[None], None)
        ys = [y]
        for k in range(steps):
            y, _, _, memory, _ = solver.step(terms, lams[k], lams[k + 1], y, None, memory, False)
            ys.append(y)
        states = jnp.stack(ys)
        return lams, states[:, 0], jax.vmap(energy)(lams, states), jax.vmap(energy.magnitude)(lams, states)

    return jax.vmap(one)(weights, starts, noises, ratios)
