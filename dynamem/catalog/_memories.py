"""The built-in memories, on the user's patterns."""

from typing import Any

import jax
import jax.numpy as jnp
import jax.random as jr
import lineax as lx
import numpy as np
from jaxtyping import Array, Float, Scalar

from ..energies import DenseMemory, Hopfield, LogSumExp
from ..flows import GradientFlow, LagrangianFlow
from ._system import System


SPAN = 8.0
CORRUPTION = 0.3
HEBBIAN = 4
THEOREMS = {"log_sum_exp": "A5", "dense_memory": "A1", "hopfield_1984": "A2"}


def memory(name: str, patterns: Any, count: int, key: Any) -> System:
    """A built-in memory on the user's patterns, started from corrupted ones."""
    pick, noise = jr.split(key)
    rows = jr.permutation(pick, patterns.shape[0])[jnp.arange(count) % patterns.shape[0]]
    kick = CORRUPTION * jr.normal(noise, (count, patterns.shape[1]), patterns.dtype)
    if name == "log_sum_exp":
        energy = LogSumExp(patterns, 1 / CORRUPTION**2)
        return System(energy, GradientFlow(energy), patterns[rows] + kick, 0.0, SPAN, patterns)
    unit = _unit(patterns - jnp.mean(patterns, axis=0, keepdims=True))
    if name == "dense_memory":
        energy = DenseMemory(unit, "rectified", 3)
        return System(
            energy, GradientFlow(energy, tangent), _unit(unit[rows] + 0.5 * kick), 0.0, SPAN / len(unit), unit
        )
    signs = jnp.where(unit >= 0, 1.0, -1.0).astype(patterns.dtype)[:HEBBIAN]
    energy = Hopfield(2 * signs.T @ signs / signs.shape[1])
    return System(energy, LagrangianFlow(energy), signs[rows % signs.shape[0]] + kick, 0.0, SPAN)


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
