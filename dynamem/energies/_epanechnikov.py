r"""The log-sum-ReLU memory, with Epanechnikov's kernel (Hoover et al. 2025, arXiv 2506.10801).

    E(x) = -log(eps + S(x))/beta,      S(x) = sum_i max(0, 1 - beta |x - xi_i|^2/2),
    grad E = sum_{i in B} (x - xi_i)/(eps + S),

``B(x)`` the patterns within ``sqrt(2/beta)`` of ``x``. The update goes to the centroid of ``B``, a gradient step of
size ``(eps + S)/|B|``. There the sum over ``B``, a concave quadratic, is largest, and the other terms are not
negative: E never rises. Its minima are the centroids ``c`` of sets of patterns with ``B(c)`` that very set
(Proposition 2).

Exact recall (Theorem 1): let ``r`` be the least distance of two patterns and ``beta = 2/(r - Delta)^2``. A state
nearer than ``Delta`` to ``xi_i`` is farther than ``r - Delta`` from the others, and one update makes it ``xi_i``, as
long as ``xi_i`` itself supports it: ``Delta < r/2`` (the paper says ``Delta < r``, but beyond ``r/2`` the radius is
``r - Delta``).

A state outside every support is a flat place: ``E = -log(eps)/beta``, no gradient, and the update leaves it where it
is.
"""

from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import lineax as lx
from jaxtyping import Array, Bool, Float, Scalar

from .._types import Time
from .._validate import floats, require_patterns, require_positive, require_state
from ._base import AbstractEnergy
from ._distances import distance_sizes, squared_distances


class LogSumReLU(AbstractEnergy):
    """``E = -log(eps + sum_i max(0, 1 - beta |x - xi_i|^2/2))/beta``.

    Arguments:
        xi: patterns, shape (N, D).
        beta: inverse temperature, positive and finite: patterns reach as far as ``sqrt(2/beta)``.
        eps: positive, so that states outside every support have a finite energy.
    """

    xi: Float[Array, "N D"] = eqx.field(converter=partial(floats, "xi"))
    beta: Float[Array, ""] = eqx.field(converter=jnp.asarray)
    eps: Float[Array, ""] = eqx.field(default=1e-6, converter=jnp.asarray)

    def __check_init__(self) -> None:
        require_patterns("xi", self.xi)
        require_positive("beta", self.beta, scalar=True)
        require_positive("eps", self.eps, scalar=True)

    def __call__(self, t: Time, x: Float[Array, " D"]) -> Scalar:
        """``-log(eps + S(x))/beta``; flat outside every support."""
        total = self.eps.astype(x.dtype) + jnp.sum(jnp.maximum(self._kernels(x), 0))
        return -jnp.log(total) / self.beta.astype(x.dtype)

    def magnitude(self, t: Time, x: Float[Array, " D"]) -> Scalar:
        """``|E|`` and what rounding the kernels does to it: that of the distances, over ``eps + S``."""
        kernels, beta, eps = self._kernels(x), self.beta.astype(x.dtype), self.eps.astype(x.dtype)
        total = eps + jnp.sum(jnp.maximum(kernels, 0))
        sizes = 1 / beta + distance_sizes(self.xi, x)
        near = kernels > -jnp.asarray(1e-6, x.dtype) * beta * sizes
        shaken = jnp.sum(jnp.where(near, sizes, jnp.zeros_like(sizes)))
        return (jnp.abs(jnp.log(total)) + 1) / beta + shaken / total

    def active(self, x: Float[Array, " D"]) -> Bool[Array, " N"]:
        """``B(x)``: which patterns reach ``x``, shape (N,); none in a flat place."""
        return self._kernels(x) > 0

    def update(self, x: Float[Array, " D"]) -> Float[Array, " D"]:
        """The centroid of the patterns that reach ``x``, or ``x`` where none does; E never rises."""
        reached = self.active(x).astype(x.dtype)
        count = jnp.sum(reached)
        return jnp.where(count > 0, reached @ self.xi / jnp.maximum(count, 1), x)

    def pull(self, t: Time, x: Float[Array, " D"]) -> lx.AbstractLinearOperator:
        """``(eps + S)/|B|`` times the identity: as the preconditioner of a gradient flow, ``dx/dt = centroid - x``."""
        kernels = jnp.maximum(self._kernels(x), 0)
        count = jnp.maximum(jnp.sum((kernels > 0).astype(x.dtype)), 1)
        return lx.IdentityLinearOperator(jax.eval_shape(lambda: x)) * (
            (self.eps.astype(x.dtype) + jnp.sum(kernels)) / count
        )

    def _kernels(self, x: Float[Array, " D"]) -> Float[Array, " N"]:
        require_state(x, "xi", self.xi)
        return 1 - 0.5 * self.beta.astype(x.dtype) * squared_distances(self.xi, x)
