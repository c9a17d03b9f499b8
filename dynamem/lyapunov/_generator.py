r"""The generator: the mean rate at which an energy changes along a flow, split by what causes it.

    L E = dE/dt  +  grad E . f  +  tr(g^T Hess E g)/2,        grad E . f = -grad E . M grad E + rest,

for ``dx = f dt + g dW`` in the Ito sense; for an ODE it is the orbital derivative. ``M`` is the flow's mobility, the
identity where it names none. Source: Oksendal, Stochastic Differential Equations, theorem 7.3.3.
"""

from typing import Any, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import lineax as lx
from jaxtyping import Array, Float, PyTree, Scalar

from .._errors import InputError
from .._types import EnergyFn, Time
from ..diffusion import AbstractPathEnergy, Frozen
from ..flows import AbstractFlow
from ._clocks import require_one_clock
from ._dynamics import dynamics_of


Sense = Literal["ito", "stratonovich"]


class Rate(eqx.Module):
    """The rate of an energy, in its units per unit of the clock: ``total`` is the sum of the four parts.

    Attributes:
        total: ``L E``.
        schedule: ``dE/dt`` at fixed state: the energy itself changes.
        dissipation: ``-grad E . M grad E``: descent.
        drift: the rest of ``grad E . f``.
        ito: ``tr(g^T Hess E g)/2``: what noise adds in mean.
    """

    total: Scalar
    schedule: Scalar
    dissipation: Scalar
    drift: Scalar
    ito: Scalar


class Generator(eqx.Module):
    """``(t, x, args) -> Rate`` for one energy and one flow; made by `generator`."""

    energy: EnergyFn
    dynamics: AbstractFlow
    interpretation: Sense = eqx.field(static=True)

    def __call__(self, t: Time, x: Float[Array, " D"], args: PyTree = None) -> Rate:
        """The rate at time ``t`` and state ``x`` (D,)."""
        t = jnp.asarray(t, x.dtype)
        schedule, slope = jax.grad(self.energy, argnums=(0, 1))(t, x)
        velocity = self.dynamics.drift(t, x, args)
        noise = self.dynamics.diffusion(t, x, args)
        if noise is not None and self.interpretation == "stratonovich":
            velocity = velocity + self._correction(t, x, args)
        ito = jnp.zeros_like(t) if noise is None else _second_order(self.energy, noise, t, x)
        return split(schedule, slope, velocity, self.dynamics.mobility(t, x), ito)

    def _correction(self, t: Scalar, x: Float[Array, " D"], args: PyTree) -> Float[Array, " D"]:
        """``sum_j (d g_j/dx) g_j/2``, which turns a Stratonovich drift into an Ito one."""

        def matrix(z: Float[Array, " D"]) -> Float[Array, "D m"]:
            noise: Any = self.dynamics.diffusion(t, z, args)
            return noise.as_matrix()

        columns = matrix(x)

        def one(j: Array) -> Float[Array, " D"]:
            return jax.jvp(lambda z: matrix(z)[:, j], (x,), (columns[:, j],))[1]

        return 0.5 * jnp.sum(jax.vmap(one)(jnp.arange(columns.shape[1])), axis=0)


def split(
    schedule: Scalar,
    slope: Float[Array, " D"],
    velocity: Float[Array, " D"],
    mobility: lx.AbstractLinearOperator | None,
    ito: Scalar,
) -> Rate:
    """A rate from its ingredients: ``dE/dt``, ``grad E``, the Ito drift, the mobility and the Ito term."""
    descent = slope if mobility is None else mobility.mv(slope)
    dissipation, along = -(slope @ descent), slope @ velocity
    return Rate(schedule + along + ito, schedule, dissipation, along - dissipation, ito)


def generator(energy: EnergyFn, flow: Any, interpretation: Sense = "ito") -> Generator:
    """The generator of ``flow`` applied to ``energy``: a function ``(t, x, args) -> Rate``.

    Arguments:
        energy: any ``E(t, x)`` on the flow's clock.
        flow: a dynamem flow or any Diffrax terms (ODETerm; MultiTerm with ControlTerm and a Brownian path).
        interpretation: how the terms' noise is meant; Diffrax's Euler is Ito, its Heun Stratonovich.

    Raises:
        InputError: energy and flow are on different clocks.
    """
    if interpretation not in ("ito", "stratonovich"):
        msg = f"interpretation={interpretation!r}: choose 'ito' or 'stratonovich'"
        raise InputError(msg)
    dynamics = dynamics_of(flow)
    require_one_clock(energy, dynamics)
    return Generator(energy, dynamics, interpretation)


def laplacian(energy: EnergyFn, t: Scalar, x: Float[Array, " D"]) -> Scalar:
    """``tr Hess E``: in closed form for the energies of a path, by D directional derivatives otherwise."""
    if isinstance(energy, AbstractPathEnergy):
        return energy.laplacian(t, x)
    if isinstance(energy, Frozen):
        return laplacian(energy.energy, energy.t, x)
    return _quadratic_forms(energy, jnp.eye(x.shape[0], dtype=x.dtype), t, x)


def _second_order(energy: EnergyFn, noise: lx.AbstractLinearOperator, t: Scalar, x: Float[Array, " D"]) -> Scalar:
    """``tr(g^T Hess E g)/2``."""
    if isinstance(noise, lx.MulLinearOperator) and isinstance(noise.operator, lx.IdentityLinearOperator):
        return 0.5 * jnp.square(noise.scalar) * laplacian(energy, t, x)
    return 0.5 * _quadratic_forms(energy, noise.as_matrix().T, t, x)


def _quadratic_forms(energy: EnergyFn, rows: Float[Array, "m D"], t: Scalar, x: Float[Array, " D"]) -> Scalar:
    """``sum_j v_j . Hess E v_j`` over the rows ``v_j``."""
    slope = jax.grad(energy, argnums=1)

    def form(v: Float[Array, " D"]) -> Scalar:
        return jax.jvp(lambda z: slope(t, z), (x,), (v,))[1] @ v

    return jnp.sum(jax.vmap(form)(rows))
