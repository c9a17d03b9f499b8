r"""The continuous Hopfield network (Hopfield 1984, PNAS 81:3088).

With activations ``v = g(u)``, couplings ``W`` and bias ``b``,

    tau du/dt = -u + W v + b,      E(u) = -v.W v/2 - b.v + sum_i int^{v_i} g^{-1},

and ``dE/dt = -tau sum_i g'(u_i) (du_i/dt)^2 <= 0`` if ``W`` is symmetric and ``g`` non-decreasing. The integral of
``g^{-1}`` is the Legendre transform ``u.v - L(u)`` of the units' Lagrangian.
"""

from collections.abc import Callable

import jax.numpy as jnp
from jaxtyping import Array, Float, Scalar, Shaped

from .._errors import InputError
from .._types import Given, Time
from .._validate import floats, require_finite, require_state
from ._base import AbstractLagrangianEnergy
from ._elementwise import Elementwise
from ._lagrangian import AbstractLagrangian


class Hopfield(AbstractLagrangianEnergy):
    """Hopfield's energy of 1984 in the units' inputs ``u``, shape (D,).

    An asymmetric ``W`` is accepted, since it is the classical way to break the guarantee: the energy sees
    only the symmetric part of ``W`` and the dynamics (`dual_gradient`) all of it.

    Arguments:
        W: couplings, shape (D, D).
        bias: ``b``, shape (D,), zero if not given.
        activation: "tanh", "sigmoid", "relu", "identity", an elementwise non-decreasing function, or a Lagrangian.
        lagrangian: an elementwise convex ``L`` with ``g = L'``, in place of ``activation``.
    """

    W: Float[Array, "D D"]
    bias: Float[Array, " D"]
    lagrangian: AbstractLagrangian

    def __init__(
        self,
        W: Shaped[Given, "D D"],
        bias: Shaped[Given, " D"] | None = None,
        activation: str | Callable | AbstractLagrangian = "tanh",
        *,
        lagrangian: Callable | None = None,
    ) -> None:
        self.W = floats("W", W)
        self.bias = jnp.zeros(self.W.shape[:1], self.W.dtype) if bias is None else floats("bias", bias)
        if lagrangian is not None:
            self.lagrangian = Elementwise(lagrangian=lagrangian)
        else:
            given = isinstance(activation, AbstractLagrangian)
            self.lagrangian = activation if given else Elementwise(activation)

    def __check_init__(self) -> None:
        if self.W.ndim != 2 or self.W.shape[0] != self.W.shape[1] or self.bias.shape != self.W.shape[:1]:
            msg = f"W.shape={self.W.shape!r} and bias.shape={self.bias.shape!r}: need (D, D) and (D,)"
            raise InputError(msg)
        require_finite("W", self.W)
        require_finite("bias", self.bias)

    def __call__(self, t: Time, x: Float[Array, " D"]) -> Scalar:
        """``-v.W v/2 - b.v + u.v - L(u)`` at ``u = x``."""
        v = self._activations(x)
        return -0.5 * (v @ (self.W @ v)) - self.bias @ v + (x @ v - self.lagrangian(x))

    def magnitude(self, t: Time, x: Float[Array, " D"]) -> Scalar:
        """Sum of the absolute values of the four terms, unit by unit and coupling by coupling."""
        v = jnp.abs(self._activations(x))
        return 0.5 * (v @ (jnp.abs(self.W) @ v)) + jnp.abs(self.bias) @ v + jnp.abs(x) @ v + self.lagrangian.size(x)

    def dual_gradient(self, t: Time, x: Float[Array, " D"]) -> Float[Array, " D"]:
        """``u - W v - b``: ``dE/dg`` for a symmetric ``W``, and Hopfield's field for any."""
        return x - self.bias - self.W @ self._activations(x)

    @property
    def tau(self) -> Float[Array, ""]:
        """1: the flow says how slow the units are."""
        return jnp.ones((), self.W.dtype)

    def _activations(self, x: Float[Array, " D"]) -> Float[Array, " D"]:
        require_state(x, "W", self.W)
        return self.lagrangian.g(x)
