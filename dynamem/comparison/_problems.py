"""The problems that `dynamem compare` runs: memories, probability flows, a reverse SDE, and linear references."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import diffrax as dfx
import equinox as eqx
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import scipy.linalg
from jaxtyping import Array, Float, PyTree

from .._errors import InputError
from .._types import Time
from ..catalog import S_END, S_START, DataSet, imported, load_system, starts
from ..diffusion import (
    VP,
    DensityEnergy,
    DiffusionPath,
    Empirical,
    FreeEnergy,
    Frozen,
    GaussianMixture,
    karras_grid,
    time_grid,
)
from ..energies import LogSumExp
from ..flows import GradientFlow, ProbabilityFlow, ReverseSDE
from ._compare import problem_of
from ._records import Problem


PATTERNS = 64
BETA = 16.0
STIFFNESS = 1e2
DECAY, NOISE = 2.0, 0.5
"""Of geometric Brownian motion ``dx = -a x dt + s x dW``."""


class Linear(eqx.Module):
    """``x' = A x`` with the energy ``x.P x/2``, and noise ``s x dW`` where s is not 0."""

    A: Float[Array, "D D"]
    P: Float[Array, "D D"]
    s: Float[Array, ""]

    def drift(self, t: Time, x: Float[Array, " D"], args: PyTree) -> Float[Array, " D"]:
        """``A x``."""
        return self.A @ x

    def noise(self, t: Time, x: Float[Array, " D"], args: PyTree) -> Float[Array, " D"]:
        """``s x``."""
        return self.s * x

    def energy(self, t: Time, x: Float[Array, " D"]) -> Float[Array, ""]:
        """``x.P x/2``, with ``A^T P + P A = -2 I`` if P is Lyapunov's."""
        return 0.5 * (x @ self.P @ x)


def problems(names: Sequence[str], data: DataSet, *, states: int, seed: int) -> list[Problem]:
    """Problems by name, or `Problem` and `System` objects as ``module:attribute``."""
    return [_own(name) if ":" in name else MAKERS[name](data, states, jr.key(seed)) for name in names]


def _own(name: str) -> Problem:
    found = imported(name)
    if isinstance(found, Problem):
        return found
    return dataclasses.replace(problem_of(load_system(name)), name=name)


def _memory(data: DataSet, states: int, key: Any) -> Problem:
    xi = _some(data, PATTERNS)
    energy = LogSumExp(xi, BETA)
    return Problem(
        "memory", GradientFlow(energy), starts(xi, states, 0.5, key), 0.0, 8.0, {"own": energy}, memories=xi,
        limits={"Euler": 2.0}, tags=("memory",), title="modern Hopfield network",
    )  # fmt: skip


def _memory_stiff(data: DataSet, states: int, key: Any) -> Problem:
    xi = _some(data, PATTERNS)
    energy, rates = LogSumExp(xi, BETA), jnp.geomspace(1.0, STIFFNESS, xi.shape[1])
    return Problem(
        "memory_stiff", GradientFlow(energy, rates), starts(xi, states, 0.5, key), 0.0, 2.0, {"own": energy},
        memories=xi, tags=("memory", "stiff"), title="the same with rates from 1 to 100",
    )  # fmt: skip


def _flow(name: str, law: Any, xi: Array, states: int, key: Any, ends: tuple[float, float], title: str) -> Problem:
    schedule = VP()
    path = DiffusionPath(schedule, law)
    start, end = (float(-np.log(level)) for level in ends)
    grids = {
        "karras": lambda n: -jnp.log(karras_grid(*ends, n)),
        "time": lambda n: -jnp.log(time_grid(schedule, *ends, n)),
    }
    free = FreeEnergy(path)
    energies = {"free": free, "density_canonical": DensityEnergy(path), "frozen": Frozen(free, 0.0)}
    return Problem(
        name, ProbabilityFlow(path), starts(xi, states, ends[0], key), start, end, energies, memories=xi, grids=grids,
        limits={"Euler": 2.0}, tags=("diffusion",), title=title,
    )  # fmt: skip


def _flow_digits(data: DataSet, states: int, key: Any) -> Problem:
    xi = jnp.asarray(data.patterns)
    law = Empirical(xi, None if data.weights is None else jnp.asarray(data.weights))
    return _flow("flow_digits", law, xi, states, key, (S_START, S_END), "probability flow of the patterns")


def _mixture() -> GaussianMixture:
    angles = 2 * jnp.pi * jnp.arange(5.0) / 5
    means = jnp.stack([jnp.cos(angles), jnp.sin(angles)], axis=1)
    return GaussianMixture(means, jnp.full(5, 0.15), jnp.full(5, 0.2))


def _flow_mixture(data: DataSet, states: int, key: Any) -> Problem:
    law = _mixture()
    return _flow("flow_mixture", law, law.means, states, key, (5.0, 0.05), "probability flow of five Gaussians")


def _reverse_sde(data: DataSet, states: int, key: Any) -> Problem:
    law = _mixture()
    path = DiffusionPath(VP(), law)
    ends = (5.0, 0.1)
    start, end = (float(-np.log(level)) for level in ends)
    return Problem(
        "reverse_sde", ReverseSDE(path, 1.0), starts(law.means, 8 * states, ends[0], key), start, end,
        {"free_churn": FreeEnergy(path, churn=1.0), "free": FreeEnergy(path)}, memories=law.means,
        tags=("diffusion", "noise"), title="reverse SDE of five Gaussians on a circle",
    )  # fmt: skip


def _linear(data: DataSet, states: int, key: Any) -> Problem:
    blocks = [[[-1.0]], [[-5.0]], [[-0.5, 2.0], [-2.0, -0.5]], [[-2.0, 1.0, 0.0], [1.0, -2.0, 1.0], [0.0, 1.0, -2.0]]]
    A: Any = scipy.linalg.block_diag(*blocks)
    P = scipy.linalg.solve_continuous_lyapunov(A.T, -2 * np.eye(len(A)))
    system = Linear(jnp.asarray(A), jnp.asarray(P), jnp.asarray(0.0))
    x0 = jr.normal(key, (states, len(A)))
    return Problem(
        "linear", dfx.ODETerm(system.drift), x0, 0.0, 2.0, {"own": system.energy},
        exact=np.asarray(x0) @ scipy.linalg.expm(2.0 * A).T, tags=("linear",),
        title="decay, stiff decay, damped rotation and a chain",
    )  # fmt: skip


def _geometric(data: DataSet, states: int, key: Any) -> Problem:
    system = Linear(jnp.asarray([[-DECAY]]), jnp.ones((1, 1)), jnp.asarray(NOISE))
    control = dfx.VirtualBrownianTree(0.0, 1.0, tol=1e-3, shape=(), key=key)
    terms = dfx.MultiTerm(dfx.ODETerm(system.drift), dfx.ControlTerm(system.noise, control))

    def exact(x: Array, t0: Array, t1: Array, w: Array) -> Array:
        return x * jnp.exp((-DECAY - 0.5 * NOISE**2) * (t1 - t0) + NOISE * w)

    x0 = 1 + jr.uniform(key, (8 * states, 1))
    return Problem(
        "geometric", terms, x0, 0.0, 1.0, {"own": system.energy}, exact=exact, tags=("linear", "noise"),
        limits={"Euler": (2 * DECAY - NOISE**2) / DECAY**2}, title="geometric Brownian motion",
    )  # fmt: skip


def _some(data: DataSet, count: int) -> Array:
    """Patterns spread over the data."""
    rows = np.linspace(0, data.patterns.shape[0] - 1, min(count, data.patterns.shape[0])).astype(int)
    return jnp.asarray(data.patterns[np.unique(rows)])


MAKERS: dict[str, Callable[[DataSet, int, Any], Problem]] = {
    "memory": _memory, "memory_stiff": _memory_stiff, "flow_digits": _flow_digits, "flow_mixture": _flow_mixture,
    "reverse_sde": _reverse_sde, "linear": _linear, "geometric": _geometric,
}  # fmt: skip


def problem(name: str, data: DataSet, *, states: int = 16, seed: int = 0) -> Problem:
    """One built-in problem.

    Raises:
        InputError: an unknown name.
    """
    if name not in MAKERS:
        msg = f"name={name!r}: choose one of {list(MAKERS)}"
        raise InputError(msg)
    return MAKERS[name](data, states, jr.key(seed))
