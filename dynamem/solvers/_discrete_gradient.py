r"""Discrete gradients: steps of ``dx/dt = -M grad E`` that lower E at every length (A8).

A step of length h solves ``y = x - h M G(x, y)`` for a G with ``G(x, y).(y - x) = E(y) - E(x)``, so that

    E(y) - E(x) = -(y - x).M^-1 (y - x)/h - r.M^-1 (y - x)/h,     r = x - y - h M G,

of which the last term is what an equation that is not solved exactly may add. With ``z = y - x``,

- Gonzalez (1996, J. Nonlinear Sci. 6), second order: ``grad E at (x + y)/2`` and, along z, what is missing;
- mean value (Harten, Lax & van Leer 1983; AVF, Quispel & McLaren 2008), second order: ``int_0^1 grad E(x + u z) du``,
  by Gauss's rule of `NODES` nodes, with what that misses made up for along z as Gonzalez does;
- Itoh & Abe (1988, J. Comput. Phys. 76), first order, without gradients: coordinate by coordinate ``(E(.., y_i, ..) -
  E(.., x_i, ..))/(y_i - x_i)``;
- its symmetrisation (McLachlan, Quispel & Robidoux 1999, Phil. Trans. R. Soc. A 357), second order: the mean of that
  from x to y and of that from y to x.

Energies that depend on time are taken at the start of the step. Where E is not convex and the step long, the equation
may have no solution near x, or none that Newton's method finds: the step then says so in its result.
"""

from collections.abc import Callable
from typing import Any, Literal

import diffrax as dfx
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optimistix as optx
from jaxtyping import Array, Float, Scalar

from .._errors import InputError
from ..flows import GradientFlow
from ._implicit import AbstractImplicit, Held, damped


NODES = 5
KINDS = ("gonzalez", "mean_value", "itoh_abe", "symmetric_itoh_abe")
TINY = 1e-12  # a coordinate that moves less than this part of its size has the derivative in place of the quotient


class DiscreteGradient(AbstractImplicit):
    """Steps of a gradient flow that lower its energy at every length, as far as their equation is solved.

    With an adaptive controller a step whose equation cannot be solved is rejected; with fixed steps the solve fails.

    Arguments:
        flow: the `GradientFlow` whose energy and preconditioner these are; that behind the terms if None, so that only
            terms of the user's own need it.
        kind: "gonzalez", "mean_value", "itoh_abe" or "symmetric_itoh_abe".
        root_finder: any Optimistix root finder.
        most: its iterations.
    """

    flow: GradientFlow | None = None
    kind: Literal["gonzalez", "mean_value", "itoh_abe", "symmetric_itoh_abe"] = eqx.field(
        default="gonzalez", static=True
    )
    root_finder: optx.AbstractRootFinder = optx.Newton(rtol=1e-10, atol=1e-12)
    most: int = eqx.field(default=256, static=True)

    def __check_init__(self) -> None:
        if self.kind not in KINDS:
            msg = f"kind={self.kind!r}: choose one of {KINDS}"
            raise InputError(msg)

    def order(self, terms: Any) -> int:
        """Second order; Itoh and Abe's is of first order."""
        del terms
        return 1 if self.kind == "itoh_abe" else 2

    def move(self, known: Held, h: Scalar, x: Float[Array, " D"], first: Float[Array, " D"]) -> tuple[Array, Any]:
        """Solve ``z + h M G(x, x + z) = 0`` from explicit Euler's z, cut to where E is not raised."""
        solved = optx.root_find(
            lambda z, _: z + h * known.apply(discrete_gradient(known.energy, x, z, self.kind)), self.root_finder,
            damped(lambda z: known.energy(x + z), first), throw=False, max_steps=self.most,
        )  # fmt: skip
        return solved.value, dfx.RESULTS.promote(solved.result)


def discrete_gradient(
    energy: Callable[[Any], Scalar], x: Float[Array, " D"], z: Float[Array, " D"], kind: str
) -> Float[Array, " D"]:
    """``G(x, x + z)``, shape (D,); see the module."""
    if kind == "mean_value":
        nodes, weights = (jnp.asarray(part / 2, x.dtype) for part in np.polynomial.legendre.leggauss(NODES))
        slopes = jax.vmap(lambda u: jax.grad(energy)(x + u * z))(nodes + 0.5)
        return _corrected(energy, x, z, weights @ slopes)
    if kind == "itoh_abe":
        return _itoh_abe(energy, x, z)
    if kind == "symmetric_itoh_abe":
        return 0.5 * (_itoh_abe(energy, x, z) + _itoh_abe(energy, x + z, -z))
    return _corrected(energy, x, z, jax.grad(energy)(x + 0.5 * z))


def _corrected(energy: Callable[[Any], Scalar], x: Array, z: Array, slope: Array) -> Array:
    """``slope`` and, along z, what is missing to ``G.z = E(x + z) - E(x)``."""
    square, missing = z @ z, energy(x + z) - energy(x) - slope @ z
    still = square <= TINY**2 * (1 + x @ x)
    return slope + jnp.where(still, 0.0, missing / jnp.where(still, 1.0, square)) * z


def _itoh_abe(energy: Callable[[Any], Scalar], x: Array, z: Array) -> Array:
    """Energies along the staircase from x to ``x + z``, D at once."""
    size = x.size
    moved = jnp.tril(jnp.ones((size, size), bool))
    after = jax.vmap(energy)(jnp.where(moved, x + z, x))
    before = jnp.concatenate([energy(x)[None], after[:-1]])
    still = jnp.abs(z) <= 1e-6 * (1 + jnp.abs(x))  # the quotient would have lost half its digits
    corners = jnp.where(moved, x + z, x) - 0.5 * jnp.diag(z)
    slopes = jax.vmap(lambda corner, i: jax.grad(energy)(corner)[i])(corners, jnp.arange(size))
    return jnp.where(still, slopes, (after - before) / jnp.where(still, 1.0, z))
