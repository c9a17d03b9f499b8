r"""What a fixed point is to a memory: a pattern, a mixture of several, or none that is stable.

Weights of patterns are those of the posterior where the energy or the flow has one, ``softmax(eta.xi_i -
kappa |xi_i|^2/2 + log u_i)`` (`LogSumExp`, an `Empirical` law at the held time), and else the coefficients of the
state among the patterns by least squares. A stable point is a ``"memory"`` if it lies within a quarter of the distance
from its nearest pattern to that one's nearest other (as in `recall_rate`), and else a ``"mixture"``.
"""

import dataclasses
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .._errors import InputError
from .._validate import floats, require_patterns
from ..diffusion import AbstractPathEnergy, DiffusionPath, Empirical, Frozen
from ..energies import LogSumExp
from ..flows import GradientFlow, Langevin, Map, ProbabilityFlow, ReverseSDE
from ..kernels import log_prior
from ._field import Field


NEAR = 0.25
"""Part of the distance between patterns within which a point is one of them."""
SHARE = 0.1
"""Patterns whose weight is at least this part of the largest are in a mixture."""


@dataclasses.dataclass(frozen=True)
class Likeness:
    """A state beside the patterns.

    Attributes:
        pattern: the nearest one.
        distance: to it.
        near: whether that is a quarter of the distance to its nearest other pattern, or less.
        patterns: those of large weight, by falling weight.
        weights: their weights.
    """

    pattern: int
    distance: float
    near: bool
    patterns: tuple[int, ...]
    weights: tuple[float, ...]


@dataclasses.dataclass(frozen=True)
class Patterns:
    """Patterns, and how the weights of a state among them are found.

    Attributes:
        xi: shape (N, D), on the scale of the states.
        source: what has a posterior over these patterns, None for least squares.
        field: the field, for its time.
    """

    xi: np.ndarray
    source: Any
    field: Field

    def likeness(self, x: np.ndarray) -> Likeness:
        """What a state (D,) is like."""
        away = np.sqrt(np.sum((self.xi - x) ** 2, axis=1))
        nearest = int(np.argmin(away))
        others = np.sqrt(np.sum((self.xi - self.xi[nearest]) ** 2, axis=1))
        others[nearest] = np.inf
        room = float(np.min(others)) if len(self.xi) > 1 else float(np.linalg.norm(self.xi[nearest]))
        weights = self.weights(x)
        order = np.argsort(-weights, kind="stable")
        large = [int(i) for i in order if weights[i] >= SHARE * weights[order[0]] > 0]
        return Likeness(
            nearest,
            float(away[nearest]),
            bool(away[nearest] <= NEAR * room),
            tuple(large),
            tuple(float(weights[i]) for i in large),
        )

    def weights(self, x: np.ndarray) -> np.ndarray:
        """The weights of a state (D,), shape (N,)."""
        if self.source is None:
            return np.linalg.lstsq(self.xi.T, x, rcond=None)[0]
        return np.asarray(_posterior(self.source, self.field.t, jnp.asarray(x)))


@eqx.filter_jit
def _posterior(source: Any, t: Array, x: Float[Array, " D"]) -> Float[Array, " N"]:
    if isinstance(source, LogSumExp):
        kappa = source.beta if source.norm_bias else jnp.zeros_like(source.beta)
        return _softmax(source.xi, source.beta * x, kappa, None)
    path, clock = source.path, source.clock
    point = path.locate(clock, t, x)
    return _softmax(path.law.xi, point.eta, point.kappa, path.law.weights)


def _softmax(xi: Array, eta: Array, kappa: Array, weights: Array | None) -> Float[Array, " N"]:
    logits = xi @ eta - 0.5 * kappa * jnp.sum(xi * xi, axis=1)
    return jax.nn.softmax(logits if weights is None else logits + log_prior(weights))


def patterns_of(field: Field, energy: Any, memories: Any, size: int) -> Patterns | None:
    """The patterns that points are held against: those given, or those of the energy or the flow, if it has any.

    Raises:
        InputError: ``memories`` is no array (N, D).
    """
    source, held = None, field
    for candidate in (energy, field.dynamics):
        source, t = _source(candidate, field.t)
        if source is not None:
            held = eqx.tree_at(lambda one: one.t, field, t)
            break
    own = None if source is None else _on_scale(source, held)
    if memories is None:
        return None if own is None else Patterns(own, source, held)
    given = floats("memories", memories)
    require_patterns("memories", given)
    if given.shape[1] != size:
        msg = f"memories.shape={given.shape!r}: need (N, {size}), as the states have {size} coordinates"
        raise InputError(msg)
    xi = np.asarray(given, np.float64)
    same = own is not None and own.shape == xi.shape and np.allclose(own, xi)
    return Patterns(xi, source if same else None, held)


def _source(given: Any, t: Array) -> tuple[Any, Array]:
    """What has a posterior over patterns in an energy or a flow, and the time at which."""
    if isinstance(given, Frozen):
        return _source(given.energy, jnp.asarray(given.t, t.dtype))
    if isinstance(given, GradientFlow | Langevin):
        return _source(given.energy, t)
    if isinstance(given, Map):
        return _source(getattr(given.f, "__self__", None), t)
    if isinstance(given, LogSumExp):
        return given, t
    if isinstance(given, AbstractPathEnergy | ProbabilityFlow | ReverseSDE):
        path = given.path
        return (given if isinstance(path, DiffusionPath) and isinstance(path.law, Empirical) else None), t
    return None, t


def _on_scale(source: Any, field: Field) -> np.ndarray:
    """The patterns as states: those of a path in its own coordinates are ``alpha xi``."""
    if isinstance(source, LogSumExp):
        return np.asarray(source.xi, np.float64)
    xi = np.asarray(source.path.law.xi, np.float64)
    point = source.path.locate(source.clock, field.t, jnp.zeros(xi.shape[1]))
    return xi * float(point.scale)
