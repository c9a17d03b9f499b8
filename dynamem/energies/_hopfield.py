r"""The continuous Hopfield network (Hopfield 1984, PNAS 81:3088).

With activations ``v = g(u)``, couplings ``W`` and bias ``b``,

    tau du/dt = -u + W v + b,      E(u) = -v.W v/2 - b.v + sum_i int^{v_i} g^{-1},

and ``dE/dt = -tau sum_i g'(u_i) (du_i/dt)^2 <= 0`` if ``W`` is symmetric and ``g`` non-decreasing. The integral of
``g^{-1}`` is the Legendre transform ``u.v - L(u)`` of the units' Lagrangian.
"""

from collections.abc import Callable

import jax.numpy as jnp
from jaxtyping import Array, Float, Scalar

from .._errors import InputError
from .._types import Time
from ._base import AbstractLagrangianEnergy
from ._units import Units, as_units


class Hopfield(AbstractLagrangianEnergy):
    """Hopfield's energy of 1984 in the units' inputs ``u``, shape (D,).

    An asymmetric ``W`` is accepted, since it is the classical way to break the guarantee: the energy sees
    only the symmetric part of ``W`` and the dynamics (`dual_gradient`) all of it.

    Arguments:
        W: couplings, shape (D, D).
        bias: ``b``, shape (D,), zero if not given.
        activation: "tanh", "sigmoid", "relu", "identity", or an elementwise non-decreasing function.
        lagrangian: an elementwise convex ``L`` with ``g = L'``, in place of ``activation``.
    """

    W: Float[Array, "D D"]
    bias: Float[Array, " D"]
    units: Units

    def __init__(
        self,
        W: Float[Array, "D D"],
        bias: Float[Array, " D"] | None = None,
        activation: str | Callable | Units = "tanh",
        *,
        lagrangian: Callable | None = None,
    ) -> None:
        self.W = jnp.asarray(W)
        self.bias = jnp.zeros(self.W.shape[0], self.W.dtype) if bias is None else jnp.asarray(bias)
        self.units = as_units(activation, lagrangian)

    def __check_init__(self) -> None:
        if self.W.ndim != 2 or self.W.shape[0] != self.W.shape[1] or self.bias.shape != self.W.shape[:1]:
            msg = f"W.shape={self.W.shape!r} and bias.shape={self.bias.shape!r}: need (D, D) and (D,)"
            raise InputError(msg)

    def _terms(self, x: Float[Array, " D"]) -> tuple[Scalar, Scalar, Scalar, Scalar]:
        v = self.units.g(x)
        return -0.5 * (v @ (self.W @ v)), -(self.bias @ v), x @ v, -self.units.total(x)

    def __call__(self, t: Time, x: Float[Array, " D"]) -> Scalar:
        """``-v.W v/2 - b.v + u.v - L(u)`` at ``u = x``."""
        synapse, bias, legendre, lagrangian = self._terms(x)
        return synapse + bias + (legendre + lagrangian)

    def magnitude(self, t: Time, x: Float[Array, " D"]) -> Scalar:
        """Sum of the absolute values of the four terms, coupling by coupling."""
        v = jnp.abs(self.units.g(x))
        _, _, legendre, lagrangian = self._terms(x)
        return 0.5 * (v @ (jnp.abs(self.W) @ v)) + jnp.abs(self.bias) @ v + jnp.abs(legendre) + jnp.abs(lagrangian)

    def dual_gradient(self, t: Time, x: Float[Array, " D"]) -> Float[Array, " D"]:
        """``u - W v - b``: ``dE/dg`` for a symmetric ``W``, and Hopfield's field for any."""
        return x - self.bias - self.W @ self.units.g(x)

    def slope(self, x: Float[Array, " D"]) -> Float[Array, " D"]:
        """``g'(u)``, shape (D,)."""
        return self.units.slope(x)
