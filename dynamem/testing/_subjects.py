"""What is right by theorem: energies with their flows and updates over the whole catalogue, built from few numbers."""

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array

from ..diffusion import (
    VE,
    VP,
    ClassifierFreeGuidance,
    DiffusionPath,
    Empirical,
    FlowMatching,
    FreeEnergy,
    GaussianMixture,
    GuidedEnergy,
)
from ..energies import (
    DenseMemory,
    Effective,
    FenchelYoung,
    Hopfield,
    KrotovHopfield,
    LogSumExp,
    LogSumReLU,
    Oscillators,
    RandomFeatureMemory,
    UniversalHopfield,
)
from ..flows import GradientFlow, LagrangianFlow, Map, OscillatorFlow, ProbabilityFlow, ReverseSDE


class Case(eqx.Module):
    """An energy, dynamics that it falls along, and what more is true of them.

    Attributes:
        energy: ``E(t, x)``.
        flow: a flow, or a `Map`.
        t0: first time at which it is true.
        t1: last time.
        mobility: ``M`` of ``drift = -M grad E``: a number, a diagonal, a function ``(t, x, v) -> M v``, or None where
            the drift is no such thing.
    """

    energy: Callable
    flow: Any
    t0: float = eqx.field(static=True, default=0.0)
    t1: float = eqx.field(static=True, default=0.0)
    mobility: Any = None


def _itself(xi: np.ndarray, x: np.ndarray) -> np.ndarray:
    del xi
    return x


class Subject(NamedTuple):
    """A family of cases.

    Attributes:
        build: ``(xi, beta) -> Case`` from patterns (N, D) and an inverse temperature.
        states: ``(xi, x) -> states`` of the case, from states (B, D) about the patterns.
        kinds: of patterns that it is asked with.
    """

    build: Callable[[Array, Array], Case]
    states: Callable[[np.ndarray, np.ndarray], np.ndarray] = _itself
    kinds: tuple[str, ...] = ("any", "apart", "duplicate", "unequal")


FAR = ("any", "apart", "huge")


def _gradient(energy: Any) -> Case:
    return Case(energy, GradientFlow(energy), mobility=1.0)


def _whole(count: int, like: Array) -> Array:
    """1, 2, ... as floats."""
    return jnp.arange(1, count + 1, dtype=like.dtype)


def _sloped(xi: Array, beta: Array) -> Case:
    energy, rates = LogSumExp(xi, beta), _whole(xi.shape[1], xi)
    return Case(energy, GradientFlow(energy, rates), mobility=rates)


def _hebbian(xi: Array) -> Array:
    whole = jnp.matmul(xi.T, xi) / xi.shape[0]
    return whole - jnp.diag(jnp.diag(whole))


def _slope(t: Array, x: Array, v: Array) -> Array:
    """``v / g'(u)``: what Hopfield's units make of a gradient."""
    return v / (1 - jnp.tanh(x) ** 2)


def _hopfield(xi: Array, beta: Array) -> Case:
    energy = Hopfield(_hebbian(xi), 0.25 * jnp.sin(_whole(xi.shape[1], xi)))
    return Case(energy, LagrangianFlow(energy), mobility=_slope)


def _mild(xi: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Where tanh is not flat."""
    return x / max(1.0, np.abs(x).max() / 2)


def _layered(xi: Array, beta: Array) -> Case:
    energy = KrotovHopfield(xi)
    return Case(energy, LagrangianFlow(energy))


def _with_hidden(xi: np.ndarray, x: np.ndarray) -> np.ndarray:
    return np.concatenate([x, x @ xi.T / 4], axis=1)


def _tangent(t: Array, x: Array, v: Array) -> Array:
    """The part of ``v`` along the circles of the units."""
    points, slopes = x.reshape(-1, 2), v.reshape(-1, 2)
    return (slopes - jnp.sum(points * slopes, axis=1, keepdims=True) * points).ravel()


def _oscillators(xi: Array, beta: Array) -> Case:
    energy = Oscillators(jnp.matmul(xi, xi.T), jnp.stack([jnp.cos(xi[:, 0]), 0.5 * xi[:, -1]], axis=1))
    return Case(energy, OscillatorFlow(energy), mobility=_tangent)


def _circles(xi: np.ndarray, x: np.ndarray) -> np.ndarray:
    angles = x[:, :1] + np.arange(len(xi)) * x[:, -1:]
    return np.stack([np.cos(angles), np.sin(angles)], axis=2).reshape(len(x), -1)


def _path(law: Any, schedule: Any = None) -> DiffusionPath:
    return DiffusionPath(VE() if schedule is None else schedule, law)


def _free(law: Any) -> Case:
    path = _path(law)
    return Case(FreeEnergy(path), ProbabilityFlow(path), -1.5, 1.5, 1.0)


class _OnTau(eqx.Module):
    """``-dx/dtau = (alpha'/alpha) x + alpha (alpha sigma'/sigma - alpha') grad E``, E the free energy at x/alpha."""

    schedule: Any

    def __call__(self, t: Array, x: Array, v: Array) -> Array:
        alpha, slope = self.schedule.alpha(1 - t), self.schedule.alpha_dot(1 - t)
        rate = self.schedule.sigma_dot(1 - t) / self.schedule.sigma(1 - t)
        return slope / alpha * x + alpha * (alpha * rate - slope) * v


def _on_tau(schedule: Any) -> Callable[[Array, Array], Case]:
    def build(xi: Array, beta: Array) -> Case:
        path = _path(Empirical(xi), schedule)
        return Case(FreeEnergy(path, clock="tau"), ProbabilityFlow(path, "tau"), 0.125, 0.875, _OnTau(schedule))

    return build


def _mixture(xi: Array, beta: Array) -> Case:
    return _free(GaussianMixture(xi, _whole(xi.shape[0], xi) / 4, jnp.ones_like(xi[:, 0]) / xi.shape[0]))


def _noisy(xi: Array, beta: Array) -> Case:
    path = _path(Empirical(xi))
    return Case(FreeEnergy(path, churn=0.5), ReverseSDE(path, 0.5), -1.5, 1.5, 1.5)


def _guided(xi: Array, beta: Array) -> Case:
    asked = Empirical(xi, _whole(xi.shape[0], xi) / (xi.shape[0] * (xi.shape[0] + 1) / 2))
    path = _path(ClassifierFreeGuidance(conditional=asked, unconditional=Empirical(xi), weight=0.5))
    return Case(GuidedEnergy(path), ProbabilityFlow(path), -1.5, 1.5, 1.0)


def _updated(energy: Any, mobility: Any = 1.0) -> Case:
    return Case(energy, Map(energy.update), mobility=mobility)


class _Pull(eqx.Module):
    """``(eps + S)/|B| v``: what the update by a centroid makes of a gradient."""

    energy: LogSumReLU

    def __call__(self, t: Array, x: Array, v: Array) -> Array:
        return self.energy.pull(t, x).mv(v)


def _centroid(xi: Array, beta: Array) -> Case:
    energy = LogSumReLU(xi, 0.4, 0.1)
    return _updated(energy, _Pull(energy))


SUBJECTS = {
    "log_sum_exp": Subject(lambda xi, beta: _gradient(LogSumExp(xi, beta)), kinds=FAR),
    "log_sum_exp, no bias": Subject(lambda xi, beta: _gradient(LogSumExp(xi, beta, norm_bias=False)), kinds=FAR),
    "log_sum_exp, diagonal": Subject(_sloped, kinds=FAR),
    "dense_memory, power": Subject(lambda xi, beta: _gradient(DenseMemory(xi, "power", 4))),
    "dense_memory, rectified": Subject(lambda xi, beta: _gradient(DenseMemory(xi, "rectified", 3))),
    "sparse_memory": Subject(lambda xi, beta: _gradient(FenchelYoung(xi, beta, 1.5))),
    "epanechnikov": Subject(lambda xi, beta: _gradient(LogSumReLU(xi, 0.4, 0.1))),
    "random_features": Subject(lambda xi, beta: _gradient(RandomFeatureMemory(xi, 0.5, 8, jr.key(3)))),
    "universal": Subject(lambda xi, beta: _gradient(UniversalHopfield(xi, "euclidean", beta=beta)), kinds=FAR),
    "effective": Subject(lambda xi, beta: _gradient(Effective(KrotovHopfield(xi), ("h",)))),
    "hopfield_1984": Subject(_hopfield, _mild),
    "krotov_hopfield": Subject(_layered, _with_hidden),
    "oscillators": Subject(_oscillators, _circles),
    "free_energy": Subject(lambda xi, beta: _free(Empirical(xi)), kinds=FAR),
    "free_energy, mixture": Subject(_mixture, kinds=FAR),
    "free_energy, guided": Subject(_guided, kinds=FAR),
    "free_energy, churn": Subject(_noisy, kinds=FAR),
    "free_energy, VP": Subject(_on_tau(VP()), kinds=FAR),
    "free_energy, FlowMatching": Subject(_on_tau(FlowMatching()), kinds=FAR),
    "log_sum_exp, update": Subject(lambda xi, beta: _updated(LogSumExp(xi, beta)), kinds=FAR),
    "sparse_memory, update": Subject(lambda xi, beta: _updated(FenchelYoung(xi, beta, 1.5))),
    "epanechnikov, update": Subject(_centroid),
}
"""Every one is correct: an assertion that fails on it is a false alarm."""


def ask(case: Case, x: np.ndarray) -> None:
    """Every assertion that is true of a case, the cheap one first.

    Raises:
        AssertionError: one is not.
    """
    from ._energies import assert_lyapunov
    from ._fields import assert_gradient_flow

    if case.mobility is not None:
        late = 0.25 * case.t0 + 0.75 * case.t1
        assert_gradient_flow(case.energy, case.flow, x, t=late, preconditioner=case.mobility)
    assert_lyapunov(case.energy, case.flow, x, t0=case.t0, t1=case.t1, times=1 if case.t0 == case.t1 else 5)


def built(name: str, xi: np.ndarray, beta: float) -> Case:
    """The case of a subject; its arrays are leaves, and it is compiled by shape."""
    return SUBJECTS[name].build(jnp.asarray(xi), jnp.asarray(beta, jnp.result_type(float)))
