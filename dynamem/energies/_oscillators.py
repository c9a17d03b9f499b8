r"""Oscillators on spheres: Kuramoto's model in any dimension (AKOrN: Miyato et al. 2024, arXiv 2410.13821).

Unit vectors ``x_i`` in d dimensions, coupled and biased,

    E = -sum_ij x_i.J_ij x_j/2 - sum_i c_i.x_i,      force_i = c_i + sum_j J_ij x_j,

which is ``-dE/dx_i`` for a symmetric coupling. `OscillatorFlow` moves them on their spheres. A state is flat, the
``x_i`` one after the other, shape (n d,).
"""

import jax.numpy as jnp
from jaxtyping import Array, Float, Scalar, Shaped

from .._errors import InputError
from .._types import Given, Time
from .._validate import floats, require_finite, require_symmetric
from ._base import AbstractEnergy


class Oscillators(AbstractEnergy):
    """``E = -sum_ij x_i.J_ij x_j/2 - sum_i c_i.x_i`` of n vectors in d dimensions.

    Arguments:
        J: couplings, shape (n, n), or matrices, shape (n, n, d, d), with ``J_ji = J_ij^T``.
        c: biases, shape (n, d): they say what d is.
        symmetric: False lets asymmetric couplings in; the energy sees their symmetric part, the force all of them.

    Raises:
        InputError: shapes that do not match, values that are not finite, couplings that are not symmetric.
    """

    J: Float[Array, "n n"] | Float[Array, "n n d d"]
    c: Float[Array, "n d"]

    def __init__(self, J: Shaped[Given, "..."], c: Shaped[Given, "..."], *, symmetric: bool = True) -> None:
        self.J, self.c = floats("J", J), floats("c", c)
        if self.c.ndim != 2:
            msg = f"c.shape={self.c.shape!r}: need (n, d), a bias for each of n vectors in d dimensions"
            raise InputError(msg)
        count, size = self.c.shape
        if self.J.shape not in ((count, count), (count, count, size, size)):
            msg = f"J.shape={self.J.shape!r} and c.shape={self.c.shape!r}: need (n, n) or (n, n, d, d), and (n, d)"
            raise InputError(msg)
        if symmetric:
            flat = self.J if self.J.ndim == 2 else self.J.swapaxes(1, 2).reshape(count * size, -1)
            require_symmetric("J", flat, "make it so, or pass symmetric=False to do without the guarantee")

    def __check_init__(self) -> None:
        require_finite("J", self.J)
        require_finite("c", self.c)

    def __call__(self, t: Time, x: Float[Array, " D"]) -> Scalar:
        """``-sum_ij x_i.J_ij x_j/2 - sum_i c_i.x_i``."""
        vectors = self.vectors(x)
        return -jnp.sum(vectors * (0.5 * self._coupled(self.J, vectors) + self.c))

    def magnitude(self, t: Time, x: Float[Array, " D"]) -> Scalar:
        """The sum of the absolute values of all terms."""
        vectors = jnp.abs(self.vectors(x))
        return jnp.sum(vectors * (0.5 * self._coupled(jnp.abs(self.J), vectors) + jnp.abs(self.c)))

    def vectors(self, x: Float[Array, " D"]) -> Float[Array, "n d"]:
        """The state's vectors as rows."""
        if x.shape != (self.c.size,):
            msg = f"state.shape={x.shape!r}: need ({self.c.size},), {self.c.shape[0]} vectors of {self.c.shape[1]}"
            raise InputError(msg)
        return x.reshape(self.c.shape)

    def force(self, x: Float[Array, " D"]) -> Float[Array, "n d"]:
        """``c_i + sum_j J_ij x_j``, one row for each vector."""
        return self.c + self._coupled(self.J, self.vectors(x))

    def _coupled(self, J: Float[Array, "..."], vectors: Float[Array, "n d"]) -> Float[Array, "n d"]:
        return J @ vectors if J.ndim == 2 else jnp.einsum("ijab,jb->ia", J, vectors)
