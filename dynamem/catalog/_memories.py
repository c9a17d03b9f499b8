"""The built-in memories, on the user's patterns."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import jax.random as jr
import lineax as lx
import numpy as np
from jaxtyping import Array, Float, Scalar

from .._errors import InputError
from ..diffusion import EDM, DiffusionPath, Empirical, FreeEnergy
from ..energies import (
    HAM,
    AbstractEnergy,
    DenseMemory,
    DenseSynapse,
    EnergyTransformer,
    FenchelYoung,
    Hopfield,
    KrotovHopfield,
    Layer,
    LogSumExp,
    LogSumReLU,
    Oscillators,
    RandomFeatureMemory,
    Softmax,
    UniversalHopfield,
    hebb,
)
from ..flows import AbstractFlow, GradientFlow, LagrangianFlow, OscillatorFlow, ProbabilityFlow
from ..learning import pretrained
from ._names import LEARNED
from ._options import S_END, S_START
from ._system import System


SPAN = 8.0
CORRUPTION = 0.3
FEW = 4
"""Patterns of the memories that hold only some."""
SOME = 64
"""Patterns of the memories whose field bends or jumps as patterns come into reach: solvers cross so many of these."""
FEATURES = 512


class _Built(NamedTuple):
    """A memory, its flow, and states (n, D) from which it starts once they are kicked and put back in their place."""

    energy: AbstractEnergy
    flow: AbstractFlow
    stored: Float[Array, "n D"]
    kick: float = CORRUPTION
    place: Callable = jnp.asarray
    span: float = SPAN
    start: float = 0.0


def memory(name: str, patterns: Any, count: int, key: Any) -> System:
    """A built-in memory on the user's patterns, started from corrupted ones."""
    pick, noise = jr.split(key)
    rows = jr.permutation(pick, patterns.shape[0])[jnp.arange(count) % patterns.shape[0]]
    built = BUILDERS[name](patterns)
    chosen = built.stored[rows % built.stored.shape[0]]
    states = built.place(chosen + built.kick * jr.normal(noise, chosen.shape, patterns.dtype))
    memories = None if name in ELSEWHERE else built.stored
    return System(built.energy, built.flow, states, built.start, built.start + built.span, memories)


def _log_sum_exp(patterns: Array) -> _Built:
    energy = LogSumExp(patterns, 1 / CORRUPTION**2)
    return _Built(energy, GradientFlow(energy), patterns)


def _dense_memory(patterns: Array) -> _Built:
    unit = _centred(patterns)
    energy = DenseMemory(unit, "rectified", 3)
    return _Built(energy, GradientFlow(energy, tangent), unit, 0.5 * CORRUPTION, _unit, SPAN / len(unit))


def _hopfield_1984(patterns: Array) -> _Built:
    signs = _signs(patterns)
    energy = Hopfield(2 * signs.T @ signs / signs.shape[1])
    return _Built(energy, LagrangianFlow(energy), signs)


def _sparse_memory(patterns: Array) -> _Built:
    some = patterns[:SOME]
    energy = FenchelYoung(some, 1 / CORRUPTION**2, norm_bias=True)
    return _Built(energy, GradientFlow(energy), some)


def _nearest_pattern(patterns: Array) -> _Built:
    unit = _centred(patterns)
    energy = UniversalHopfield(unit, "dot", "argmax")
    return _Built(energy, GradientFlow(energy), unit)


def _epanechnikov(patterns: Array) -> _Built:
    patterns, kick = patterns[:SOME], CORRUPTION / 3
    reach = 1.25 * kick * patterns.shape[1] ** 0.5  # a kick's typical length, and a quarter more
    energy = LogSumReLU(patterns, 2 / reach**2)
    return _Built(energy, GradientFlow(energy, energy.pull), patterns, kick)


def _random_features(patterns: Array) -> _Built:
    few = patterns[:FEW]
    spread = jnp.mean(jnp.sum((few - jnp.mean(few, axis=0, keepdims=True)) ** 2, axis=1))
    beta = 8 / jnp.where(spread > 0, spread, jnp.ones_like(spread))
    energy = RandomFeatureMemory(few, beta, FEATURES, jr.key(0))
    return _Built(energy, GradientFlow(energy), few)


def _oscillators(patterns: Array) -> _Built:
    signs = _signs(patterns)
    size = signs.shape[1]
    energy = Oscillators(hebb(signs), jnp.zeros((size, 2), signs.dtype))
    phases = jnp.stack([signs, jnp.zeros_like(signs)], axis=-1).reshape(-1, 2 * size)
    return _Built(energy, OscillatorFlow(energy), phases, place=lambda x: _unit(x.reshape(-1, 2)).reshape(x.shape))


def _krotov_hopfield(patterns: Array) -> _Built:
    unit = _centred(patterns)[:SOME]
    energy = KrotovHopfield(unit, Softmax(16.0), tau_h=0.2)
    return _Built(energy, LagrangianFlow(energy), jnp.concatenate([unit, unit @ unit.T], axis=1))


def _hierarchical(patterns: Array) -> _Built:
    size, first, second = patterns.shape[1], 16, 8
    lower, upper = (jr.normal(jr.key(k), shape) for k, shape in enumerate([(first, size), (second, first)]))
    layers = {"v": Layer(size), "h": Layer(first, "tanh", tau=0.5), "k": Layer(second, "softmax", tau=0.2)}
    energy = HAM(layers, [DenseSynapse(lower / size**0.5, ("h", "v")), DenseSynapse(upper, ("k", "h"))])
    rest = jnp.zeros((patterns.shape[0], first + second), patterns.dtype)
    return _Built(energy, LagrangianFlow(energy), jnp.concatenate([patterns, rest], axis=1))


def _energy_transformer(patterns: Array) -> _Built:
    size = patterns.shape[1]
    tokens = max(part for part in range(1, int(size**0.5) + 1) if size % part == 0)
    keys, queries = jr.normal(jr.key(0), (2, 2, 4, size // tokens)) / (size // tokens) ** 0.5
    parts = _centred(patterns)[:FEW].reshape(-1, size // tokens)
    everyone = jnp.ones((tokens, tokens), bool) if tokens == 1 else None
    energy = EnergyTransformer(keys, queries, parts, tokens=tokens, mask=everyone, eps=1e-2)
    return _Built(energy, LagrangianFlow(energy), patterns)


def _learned(patterns: Array) -> _Built:
    denoiser = pretrained()
    size = denoiser.sizes["size"]
    if patterns.shape[1] != size:
        msg = f"system={LEARNED!r} was trained on digits of {size} pixels, not on {patterns.shape[1]} numbers"
        raise InputError(msg)
    energy = FreeEnergy(DiffusionPath(EDM(), Empirical(patterns)))
    flow = ProbabilityFlow(DiffusionPath(EDM(), denoiser))
    return _Built(energy, flow, patterns, S_START, span=math.log(S_START / S_END), start=-math.log(S_START))


BUILDERS: dict[str, Callable[[Array], _Built]] = {
    "log_sum_exp": _log_sum_exp,
    "dense_memory": _dense_memory,
    "hopfield_1984": _hopfield_1984,
    "sparse_memory": _sparse_memory,
    "nearest_pattern": _nearest_pattern,
    "epanechnikov": _epanechnikov,
    "random_features": _random_features,
    "krotov_hopfield": _krotov_hopfield,
    "hierarchical": _hierarchical,
    "energy_transformer": _energy_transformer,
    "oscillators": _oscillators,
    LEARNED: _learned,
}
ELSEWHERE = ("hopfield_1984", "krotov_hopfield", "hierarchical", "energy_transformer", "oscillators")
"""Those whose attractors are not the stored patterns but, for instance, phases that may all be turned together."""
THEOREMS = dict.fromkeys(BUILDERS, "A1") | {
    "log_sum_exp": "A5",
    "hopfield_1984": "A2",
    "krotov_hopfield": "A3",
    "hierarchical": "A3",
    "energy_transformer": "A7",
    "oscillators": "A10",
    LEARNED: None,
}
"""The statement that covers each, where there is one: a learned denoiser has a margin instead (D9)."""


def _centred(patterns: Array) -> Float[Array, "N D"]:
    """Patterns on the unit sphere around their mean."""
    return _unit(patterns - jnp.mean(patterns, axis=0, keepdims=True))


def _signs(patterns: Array) -> Float[Array, "n D"]:
    """Signs of the first few patterns around the mean of all."""
    return jnp.where(_centred(patterns) >= 0, 1.0, -1.0).astype(patterns.dtype)[:FEW]


def tangent(t: Scalar, x: Float[Array, " D"]) -> lx.AbstractLinearOperator:
    """Projection ``I - x x^T/|x|^2`` onto the sphere's tangent space: positive semidefinite, as descent needs."""
    del t
    return lx.FunctionLinearOperator(lambda v: v - x * (x @ v) / (x @ x), jax.eval_shape(lambda: x))


def _unit(x: Float[Array, "N D"]) -> Float[Array, "N D"]:
    norms = jnp.linalg.norm(x, axis=1, keepdims=True)
    return x / jnp.where(norms > 0, norms, jnp.ones_like(norms))


def between(name: str, xs: np.ndarray) -> np.ndarray:
    """States midway between visited ones (B, n, D) of different runs, where two memories compete.

    Those of the dense memory are put back on its sphere; opposite states have no middle there and stay as they are.
    """
    middle = 0.5 * (xs + np.roll(xs, 1, axis=0)[:, ::-1])
    if name != "dense_memory":
        return middle
    norms = np.linalg.norm(middle, axis=-1, keepdims=True)
    return np.where(norms > 1e-6, middle / np.where(norms > 0, norms, 1.0), xs)
