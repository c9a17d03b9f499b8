r"""Distributed memory by random features (Hoover et al. 2024, DrDAM, arXiv 2410.24153; Rahimi & Recht 2007).

With frequencies ``omega ~ N(0, I)``, the ``2Y`` features ``Phi(x) = [cos omega.x, sin omega.x]/sqrt(Y)`` have
``Phi(x).Phi(y) -> exp(-|x - y|^2/2)``, with an error of order ``1/sqrt(Y)``. The energy of all patterns together is
then read off one vector:

    E(x) = -log max(<Phi(sqrt(beta) x), T>, floor)/beta,      T = sum_i Phi(sqrt(beta) xi_i),

close to that of `LogSumExp`, ``-log sum_i exp(-beta |x - xi_i|^2/2)/beta``. The memory, ``T`` and the frequencies, is
of one size for any number of patterns; another pattern is added to ``T``. It is written and read at one and the same
``beta``: patterns encoded at 1 and queried at another are not found. Where the estimate of the sum is below ``floor``
the energy is flat and says nothing: far from every pattern the sum is lost in the features' error.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, Float, PRNGKeyArray, Scalar, ScalarLike, Shaped

from .._errors import InputError
from .._types import Given, Time
from .._validate import floats, require_finite, require_patterns, require_positive
from ._base import AbstractEnergy


class RandomFeatureMemory(AbstractEnergy):
    """``E = -log max(<Phi(sqrt(beta) x), T>, floor)/beta``: patterns summed up in one vector of ``2 features`` numbers.

    Arguments:
        xi: patterns, shape (N, D).
        beta: inverse temperature, positive and finite, for writing and reading.
        features: ``Y``, number of frequencies.
        key: JAX key of the frequencies.
        floor: positive; smaller sums are taken for noise.

    Attributes:
        omega: frequencies, shape (Y, D).
        memory: ``T``, shape (2, Y).
    """

    omega: Float[Array, "Y D"]
    memory: Float[Array, "2 Y"]
    beta: Float[Array, ""]
    floor: Float[Array, ""]

    def __init__(
        self,
        xi: Shaped[Given, "N D"],
        beta: ScalarLike | Float[Array, ""],
        features: int,
        key: PRNGKeyArray,
        *,
        floor: ScalarLike | Float[Array, ""] = 1e-3,
    ) -> None:
        xi, self.beta, self.floor = floats("xi", xi), jnp.asarray(beta), jnp.asarray(floor)
        require_patterns("xi", xi)
        require_positive("beta", self.beta, scalar=True)
        require_positive("floor", self.floor, scalar=True)
        if features < 1:
            msg = f"features={features!r}: need at least one frequency; the error is of order 1/sqrt(features)"
            raise InputError(msg)
        self.omega = jr.normal(key, (features, xi.shape[1]), xi.dtype)
        self.memory = jnp.zeros((2, features), xi.dtype) + self._written(xi)

    def __call__(self, t: Time, x: Float[Array, " D"]) -> Scalar:
        """``-log max(<Phi, T>, floor)/beta``."""
        return -jnp.log(jnp.maximum(self.sum(x), self.floor.astype(x.dtype))) / self.beta.astype(x.dtype)

    def magnitude(self, t: Time, x: Float[Array, " D"]) -> Scalar:
        """``|E|`` and what rounding does to the sum, ``<|Phi|, |T|>`` and its phases', over the sum."""
        beta, total = self.beta.astype(x.dtype), jnp.maximum(self.sum(x), self.floor.astype(x.dtype))
        phases = jnp.sqrt(beta) * (jnp.abs(self.omega) @ jnp.abs(x))
        size = jnp.sum(jnp.abs(self.memory) * (1 + phases)[None]) / jnp.sqrt(self._count(x))
        return (jnp.abs(jnp.log(total)) + 1 + size / total) / beta

    def sum(self, x: Float[Array, " D"]) -> Scalar:
        """``<Phi(sqrt(beta) x), T>``, an estimate of ``sum_i exp(-beta |x - xi_i|^2/2)``; it may be negative."""
        return jnp.sum(self._features(x) * self.memory)

    def update(self, x: Float[Array, " D"]) -> Float[Array, " D"]:
        """``x - grad E``: the estimate of `LogSumExp.update`; ``x`` itself where the energy is flat."""
        return x - jax.grad(self, argnums=1)(0.0, x)

    def add(self, xi: Shaped[Given, "N D"]) -> "RandomFeatureMemory":
        """The memory with further patterns (N, D): ``T`` grows by their features, nothing else changes."""
        xi = floats("xi", xi)
        require_patterns("xi", xi)
        return eqx.tree_at(lambda one: one.memory, self, self.memory + self._written(xi))

    def _written(self, xi: Float[Array, "N D"]) -> Float[Array, "2 Y"]:
        if xi.shape[1] != self.omega.shape[1]:
            msg = f"xi.shape={xi.shape!r}: need patterns of {self.omega.shape[1]} coordinates"
            raise InputError(msg)
        require_finite("xi", xi)

        def write(total: Array, pattern: Array) -> tuple[Array, None]:
            return total + self._features(pattern), None

        return jax.lax.scan(write, jnp.zeros((2, self.omega.shape[0]), xi.dtype), xi)[0]

    def _features(self, x: Float[Array, " D"]) -> Float[Array, "2 Y"]:
        if x.shape != self.omega.shape[1:]:
            msg = f"state.shape={x.shape!r}: need ({self.omega.shape[1]},), jax.vmap for more states"
            raise InputError(msg)
        phases = jnp.sqrt(self.beta.astype(x.dtype)) * (self.omega @ x)
        return jnp.stack([jnp.cos(phases), jnp.sin(phases)]) / jnp.sqrt(self._count(x))

    def _count(self, x: Array) -> Scalar:
        return jnp.asarray(self.omega.shape[0], x.dtype)
