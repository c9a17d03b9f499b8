r"""A two-sided stochastic interpolant between two finite sets (Albergo, Boffi & Vanden-Eijnden 2023, arXiv 2303.08797).

    I(t) = (1 - t) a + t b + gamma(t) z,    a from x0, b from x1, z ~ N(0, I), all independent.

Its velocity ``v(t, x) = E[dI/dt | I(t) = x]`` carries the law of ``I(t)`` along: the flow ``dx/dt = v`` of states drawn
at one time has the right marginals at every other. Given the pair, ``z = (x - c_ij)/gamma`` with
``c_ij = (1 - t) a_i + t b_j``, and the posterior of the pair is a softmax, as in retrieval:

    w_ij ~ exp(-|x - c_ij|^2/(2 gamma^2)),    v = sum_ij w_ij (b_j - a_i + (gamma'/gamma)(x - c_ij)).

With ``x0`` in place of noise there is no schedule, no clock of a path and no energy here. Where ``gamma = 0`` the law
is a set of points and the velocity is not defined.
"""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree, Scalar, Shaped

from .._errors import InputError
from .._types import Given, Time
from .._validate import floats, require_patterns, require_positive
from ._base import AbstractODEFlow


class Bridge(eqx.Module):
    """``gamma(t) = scale sqrt(t (1 - t))``: the noise of a Brownian bridge between the two states."""

    scale: Float[Array, ""]

    def __call__(self, t: Time) -> Scalar:
        """``scale sqrt(t (1 - t))``."""
        return self.scale * jnp.sqrt(t * (1 - t))


class Interpolant(AbstractODEFlow):
    """The flow from the points of ``x0`` at time 0 to those of ``x1`` at time 1, exact by a sum over all pairs.

    It holds (N0, N1) numbers for each state.

    Arguments:
        x0: points, shape (N0, D), equally likely; whole numbers are converted, with a warning.
        x1: points, shape (N1, D), equally likely.
        gamma: noise scale: a positive number for ``gamma sqrt(t (1 - t))``, or a function of ``t``, positive and
            differentiable in (0, 1).
    """

    x0: Float[Array, "M D"]
    x1: Float[Array, "N D"]
    gamma: Callable

    def __init__(self, x0: Shaped[Given, "M D"], x1: Shaped[Given, "N D"], gamma: Any = 1.0) -> None:
        self.x0, self.x1 = floats("x0", x0), floats("x1", x1)
        if not callable(gamma):
            require_positive("gamma", gamma, scalar=True)
            gamma = Bridge(jnp.asarray(gamma, dtype=float))
        self.gamma = gamma

    def __check_init__(self) -> None:
        for name, points in (("x0", self.x0), ("x1", self.x1)):
            require_patterns(name, points)
        if self.x0.shape[1] != self.x1.shape[1]:
            msg = f"x0.shape={self.x0.shape!r}, x1.shape={self.x1.shape!r}: need points of as many coordinates"
            raise InputError(msg)

    def drift(self, t: Time, x: Float[Array, " D"], args: PyTree) -> Float[Array, " D"]:
        """``v(t, x)``, shape (D,)."""
        t = jnp.asarray(t, x.dtype)
        gamma, slope = jax.jvp(self.gamma, (t,), (jnp.ones_like(t),))
        gamma, slope = gamma.astype(x.dtype), slope.astype(x.dtype)
        a, b = self.x0.astype(x.dtype) - x[None], self.x1.astype(x.dtype) - x[None]
        near, far = (1 - t) * a, t * b  # c_ij - x = near_i + far_j
        lengths = jnp.sum(near * near, axis=1)[:, None] + jnp.sum(far * far, axis=1)[None]
        pairs = jax.nn.softmax(-(lengths + 2 * near @ far.T) / (2 * gamma * gamma), axis=(0, 1))
        mean_a, mean_b = jnp.sum(pairs, axis=1) @ a, jnp.sum(pairs, axis=0) @ b
        return mean_b - mean_a - slope / gamma * ((1 - t) * mean_a + t * mean_b)

    def mobility(self, t: Time, x: Float[Array, " D"]) -> None:
        """None: the identity."""
