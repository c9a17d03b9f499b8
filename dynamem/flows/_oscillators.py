r"""Oscillators in motion (Miyato et al. 2024, arXiv 2410.13821; Kuramoto 1975 for d = 2).

    dx_i/dt = Omega_i x_i + P_i (c_i + sum_j J_ij x_j),      P_i y = y - x_i (x_i.y)/|x_i|^2,     Omega_i = -Omega_i^T.

Every ``|x_i|`` is conserved. For a symmetric coupling, where the force is ``-grad E``,

    dE/dt = -sum_i |P_i force_i|^2 - sum_i force_i.Omega_i x_i,

so that E falls without natural frequencies ``Omega``; with them it may rise. In the plane, with ``x_i = (cos th_i,
sin th_i)`` and no bias, this is Kuramoto's ``dth_i/dt = omega_i + sum_j J_ij sin(th_j - th_i)``.
"""

import jax
import jax.numpy as jnp
import lineax as lx
import numpy as np
from jaxtyping import Array, Float, PyTree, ScalarLike, Shaped

from .._errors import InputError
from .._types import Given, Time
from .._validate import concrete, floats, require_finite
from ..energies import Oscillators
from ._base import AbstractODEFlow


class OscillatorFlow(AbstractODEFlow):
    """``dx_i/dt = Omega_i x_i + P_i (c_i + sum_j J_ij x_j)``.

    Arguments:
        energy: the couplings and biases.
        omega: natural frequencies: none, one for each oscillator in the plane, shape (n,), or antisymmetric
            matrices, shape (n, d, d).

    Raises:
        InputError: another shape, or a matrix that is not antisymmetric and would not conserve ``|x_i|``.
    """

    energy: Oscillators
    omega: Float[Array, "n d d"]

    def __init__(self, energy: Oscillators, omega: Shaped[Given, "..."] | None = None) -> None:
        count, size = energy.c.shape
        given = jnp.zeros((count, size, size), energy.c.dtype) if omega is None else floats("omega", omega)
        if size == 2 and given.shape == (count,):
            given = given[:, None, None] * jnp.asarray([[[0, -1], [1, 0]]], given.dtype)
        if given.shape != (count, size, size):
            msg = f"omega.shape={given.shape!r}: need ({count}, {size}, {size}), or ({count},) in the plane"
            raise InputError(msg)
        self.energy, self.omega = energy, given

    def __check_init__(self) -> None:
        require_finite("omega", self.omega)
        known = concrete(self.omega)
        if known is not None and not np.array_equal(known, -known.swapaxes(1, 2)):
            i = int(np.argmax(np.abs(known + known.swapaxes(1, 2)).max((1, 2))))
            msg = f"omega[{i}] is not antisymmetric: it would change |x_{i}|; use (omega - omega^T)/2"
            raise InputError(msg)

    def drift(self, t: Time, x: Float[Array, " D"], args: PyTree) -> Float[Array, " D"]:
        """``Omega_i x_i + P_i force_i``, flat."""
        vectors = self.energy.vectors(x)
        turned = jnp.einsum("iab,ib->ia", self.omega, vectors)
        return (turned + _tangent(vectors, self.energy.force(x))).reshape(-1)

    def mobility(self, t: Time, x: Float[Array, " D"]) -> lx.AbstractLinearOperator:
        """The projections ``P_i``: the part of the drift that is left without frequencies, for symmetric couplings."""
        vectors = self.energy.vectors(x)

        def project(v: Float[Array, " D"]) -> Float[Array, " D"]:
            return _tangent(vectors, v.reshape(vectors.shape)).reshape(-1)

        return lx.FunctionLinearOperator(project, jax.eval_shape(lambda: x))

    def update(self, x: Float[Array, " D"], step: ScalarLike = 1.0) -> Float[Array, " D"]:
        """The paper's discrete update: an Euler step of length ``step``, put back on the unit spheres."""
        moved = self.energy.vectors(x + jnp.asarray(step, x.dtype) * self.drift(0.0, x, None))
        norms = jnp.linalg.norm(moved, axis=1, keepdims=True)
        return (moved / jnp.where(norms > 0, norms, jnp.ones_like(norms))).reshape(-1)


def _tangent(vectors: Float[Array, "n d"], force: Float[Array, "n d"]) -> Float[Array, "n d"]:
    """Each force without its part along its vector; a vector of length zero has no direction and feels all of it."""
    squares = jnp.sum(vectors * vectors, axis=1, keepdims=True)
    along = jnp.sum(vectors * force, axis=1, keepdims=True)
    return force - vectors * (along / jnp.where(squares > 0, squares, jnp.ones_like(squares)))
