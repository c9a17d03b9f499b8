r"""The Lagrangian ``L(x)`` of a layer of units (Krotov & Hopfield 2021, arXiv 2008.06996; Krotov 2021, 2107.06446).

Its gradient is the layer's activation ``g(x) = dL/dx``, and its Legendre transform ``x.g - L`` is what the layer adds
to the energy. Activations may couple the units of a layer (softmax, norms), so that the Hessian of ``L`` is a matrix,
singular where a direction of ``x`` changes no activation. Energies fall along ``tau x' = -dE/dg`` because

    dE/dt = -x'.(tau Hess L) x' <= 0        for a convex L.
"""

import abc
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import lineax as lx
import numpy as np
from jaxtyping import Array, Float, Scalar

from .._errors import InputError
from .._validate import concrete


DEEPEST = 64
"""Steps of the search for negative curvature: exact for layers of so many units, extreme values of larger ones."""


class AbstractLagrangian(eqx.Module):
    """A scalar function ``L`` of a layer's array, of any shape; what acts on vectors acts on the last axis."""

    @abc.abstractmethod
    def __call__(self, x: Float[Array, "..."]) -> Scalar:
        """``L(x)``."""

    @abc.abstractmethod
    def g(self, x: Float[Array, "..."]) -> Float[Array, "..."]:
        """The activation ``dL/dx``, of the shape of ``x``."""

    @abc.abstractmethod
    def solve(self, x: Float[Array, "..."], v: Float[Array, "..."]) -> Float[Array, "..."]:
        """Some ``y`` with ``(Hess L) y = v``, for a ``v`` in the range of the Hessian at ``x``; linear in ``v``."""

    @abc.abstractmethod
    def size(self, x: Float[Array, "..."]) -> Scalar:
        """Sum of the absolute values of the terms added in ``L(x)``."""

    def hessian(self, x: Float[Array, "..."]) -> lx.AbstractLinearOperator:
        """``d2L/dx2`` as a Lineax operator on arrays of the shape of ``x``: one derivative of ``g``."""
        return lx.JacobianLinearOperator(_activation, x, self, tags=lx.symmetric_tag)


def _activation(x: Float[Array, "..."], lagrangian: AbstractLagrangian) -> Float[Array, "..."]:
    return lagrangian.g(x)


class Lagrangian(AbstractLagrangian):
    """A function of the user's; `Layer` refuses it where it finds that it is not convex.

    Arguments:
        function: ``L``, a scalar function of the layer's array, twice differentiable by JAX.
        nonconvex: take it though it may not be convex; the energy then may rise.
    """

    function: Callable
    nonconvex: bool = eqx.field(default=False, static=True)

    def __call__(self, x: Float[Array, "..."]) -> Any:
        """``L(x)``."""
        return self.function(x)

    def g(self, x: Float[Array, "..."]) -> Float[Array, "..."]:
        """``dL/dx`` by automatic differentiation."""
        return jax.grad(self.function)(x)

    def solve(self, x: Float[Array, "..."], v: Float[Array, "..."]) -> Float[Array, "..."]:
        """The least ``y`` with ``(Hess L) y = v``, by the pseudo-inverse: of order D^3."""
        hessian = self.hessian(x).as_matrix().reshape(v.size, v.size)
        return (jnp.linalg.pinv(hessian, hermitian=True) @ v.reshape(-1)).reshape(v.shape)

    def size(self, x: Float[Array, "..."]) -> Scalar:
        """``|L| + sum |x g|``: the effect of rounding ``x``."""
        value, slope = jax.value_and_grad(self.function)(x)
        return jnp.abs(value) + jnp.sum(jnp.abs(x * slope))


@eqx.filter_jit
def _bent(lagrangian: AbstractLagrangian, x: Float[Array, "..."], v: Float[Array, "..."]) -> Float[Array, "..."]:
    """``(Hess L) v``, compiled once for each Lagrangian."""
    return lagrangian.hessian(x).mv(v)


def negative_curvature(lagrangian: AbstractLagrangian, x: Float[Array, "..."]) -> tuple[float, np.ndarray]:
    """The least curvature ``v.(Hess L) v`` at ``x`` over unit ``v``, and this ``v``, of the shape of ``x``.

    By Lanczos' method (Golub & Van Loan, Matrix Computations, section 10.1), the basis kept orthogonal: exact up to
    rounding for at most 64 units, and from above otherwise.
    """
    basis, images = [], []
    new = np.random.default_rng(0).normal(size=x.size)
    for _ in range(min(x.size, DEEPEST)):
        for _ in range(2):
            new = new - sum(((b @ new) * b for b in basis), start=np.zeros(x.size))
        basis.append(new / np.linalg.norm(new))
        new = np.asarray(_bent(lagrangian, x, jnp.asarray(basis[-1].reshape(x.shape), x.dtype))).reshape(-1)
        images.append(new)
        rest = new - sum(((b @ new) * b for b in basis), start=np.zeros(x.size))
        if np.linalg.norm(rest) <= 1e-10 * (1 + np.linalg.norm(new)):  # an invariant space: go on from elsewhere
            new = np.random.default_rng(len(basis)).normal(size=x.size)
    matrix = np.asarray(basis) @ np.transpose(images)
    values, vectors = np.linalg.eigh(0.5 * (matrix + matrix.T))
    return float(values[0]), (vectors[:, 0] @ np.asarray(basis)).reshape(x.shape)


def require_convex(name: str, lagrangian: AbstractLagrangian, shape: tuple[int, ...]) -> None:
    """Raise where a direction of negative curvature is found, at random points of three sizes: a search, no proof.

    A function of values that are not known yet, under a JAX transformation, is taken as it is.
    """
    found = eqx.filter_eval_shape(lagrangian, jax.ShapeDtypeStruct(shape, jnp.result_type(float)))
    if found.shape != ():
        msg = (
            f"{name}={lagrangian!r:.60} returns shape {found.shape!r}: it must be one number, whose gradient is the "
            "activation; for an elementwise activation use dm.Elementwise(activation)"
        )
        raise InputError(msg)
    with jax.ensure_compile_time_eval():
        for seed, scale in enumerate((0.1, 1.0, 1.0, 4.0, 4.0)):
            x = jnp.asarray(scale * np.random.default_rng(seed).normal(size=shape), jnp.result_type(float))
            activation = concrete(lagrangian.g(x))
            if activation is None:
                return
            largest = float(np.max(np.abs(activation))) / scale
            least, direction = negative_curvature(lagrangian, x)
            if not least >= -1e-6 * max(largest, 1e-300):
                along = ", ".join(f"{one:.3g}" for one in direction.reshape(-1)[:4])
                msg = (
                    f"{name}={lagrangian!r:.60} is not convex: its curvature is {least:.3g} along ({along}"
                    f"{', ...' if direction.size > 4 else ''}) at a random point of size {scale:g}; give a convex "
                    "function, or dm.Lagrangian(function, nonconvex=True) to let the energy rise"
                )
                raise InputError(msg)
