"""What may rise: the rate of an energy along a flow, or its change over one update of a map, each with its rounding."""

import abc
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PyTree, Scalar

from .._types import EnergyFn
from ..energies import AbstractEnergy
from ..flows import AbstractFlow, AbstractODEFlow, Map
from ._generator import Generator, Sense, generator
from ._inputs import Question
from ._rounding import BoundedRate, magnitude, rounding_bound, total_size
from ._trajectory import CHUNK, along
from ._verdict import Witness


class AbstractGain(eqx.Module):
    """A number for each time and state that is positive where the energy rises."""

    @abc.abstractmethod
    def sized(self, t: Scalar, x: Float[Array, " D"]) -> tuple[Scalar, Scalar]:
        """The gain, and the size of its parts: their ratio lies in [-1, 1]."""

    @abc.abstractmethod
    def bounded(self, ts: Any, xs: Any) -> tuple[np.ndarray, np.ndarray]:
        """The gain and its rounding bound at many points: times (...), states (..., D)."""

    @abc.abstractmethod
    def witness(self, t: Scalar, x: Float[Array, " D"], gain: float) -> Witness:
        """A place where the energy rises."""


class RateGain(AbstractGain):
    """``L E`` along a flow."""

    generator: Generator
    args: PyTree

    def sized(self, t: Scalar, x: Float[Array, " D"]) -> tuple[Scalar, Scalar]:
        """Total rate and the sum of its parts' absolute values."""
        rate = self.generator(t, x, self.args)
        return rate.total, total_size(rate)

    def bounded(self, ts: Any, xs: Any) -> tuple[np.ndarray, np.ndarray]:
        """Total rate and its rounding bound; where noise takes a Hessian, fewer points at a time."""
        wide = isinstance(self.generator.energy, AbstractEnergy) or isinstance(self.generator.dynamics, AbstractODEFlow)
        chunk = CHUNK if wide else min(CHUNK, max(8, 2048 // np.shape(xs)[-1]))
        return along(BoundedRate(self.generator, self.args), ts, xs, chunk=chunk)

    def witness(self, t: Scalar, x: Float[Array, " D"], gain: float) -> Witness:
        """A rate at ``(t, x)``."""
        return Witness("rate", float(t), x, None, None, gain, interpretation=self.generator.interpretation)


class StepGain(AbstractGain):
    """``E(t + 1, f(x)) - E(t, x)``: an update takes one unit of time."""

    energy: EnergyFn
    update: Map

    def sized(self, t: Scalar, x: Float[Array, " D"]) -> tuple[Scalar, Scalar]:
        """Change and the size of its ends; time counts updates and is not climbed in."""
        t = jax.lax.stop_gradient(t)
        after, before = self.energy(t + 1, self.update(x)), self.energy(t, x)
        return after - before, jnp.abs(after) + jnp.abs(before)

    def bounded(self, ts: Any, xs: Any) -> tuple[np.ndarray, np.ndarray]:
        """Change and its rounding bound."""
        return along(self._bounded, ts, xs)

    def _bounded(self, t: Scalar, x: Float[Array, " D"]) -> tuple[Scalar, Scalar]:
        size = magnitude(self.energy, t + 1, self.update(x)) + magnitude(self.energy, t, x)
        return self.sized(t, x)[0], rounding_bound(size)

    def witness(self, t: Scalar, x: Float[Array, " D"], gain: float) -> Witness:
        """The step from ``x`` to ``f(x)``."""
        return Witness("step", float(t), x, float(t) + 1, self.update(x), gain)


def gain_of(ask: Question) -> AbstractGain:
    """What rises where the answer to a question is no."""
    if isinstance(ask.dynamics, Map):
        return StepGain(ask.energy, ask.dynamics)
    return RateGain(generator(ask.energy, ask.dynamics, ask.interpretation), ask.args)


def rates_at(
    energy: EnergyFn, flow: AbstractFlow, ts: Any, xs: Any, *, args: PyTree = None, interpretation: Sense = "ito"
) -> tuple[np.ndarray, np.ndarray]:
    """Total rate and its rounding bound at states (B, n, D): two arrays of shape (B, n)."""
    return RateGain(generator(energy, flow, interpretation), args).bounded(ts, xs)
