r"""Sparse memories from Fenchel-Young losses (Santos et al. 2024, arXiv 2402.13725 and 2411.08590).

    E(x) = |x|^2/2 - Omega*(beta xi x)/beta,      Omega*(z) = max_p p.z - Omega_alpha(p),      grad E = x - xi^T p(x),

with ``p = entmax_alpha(beta xi x)`` over the simplex; the paper's energy, which names the loss, differs by a constant.
``Omega*`` is convex, so that ``x <- xi^T p`` is the concave-convex procedure: ``E(x') <= E(x) - |x' - x|^2/2``, and the
same for each step ``x + eta (x' - x)``, ``0 < eta <= 2``, with ``eta (1 - eta/2)`` in place of 1/2.

Exact retrieval. All weight lies on pattern i iff its score leads by ``1/(alpha - 1)``. With the separation ``Delta_i
= min_{j != i} (xi_i - xi_j).xi_i`` this holds at ``xi_i`` iff ``Delta_i >= 1/(beta (alpha - 1))``: then ``xi_i`` is a
fixed point, and what one update makes of every ``x`` within ``eps`` of it if ``Delta_i >= 1/(beta (alpha - 1)) + 2 M
eps``, ``M`` the largest norm (since ``(xi_i - xi_j).x >= Delta_i - 2 M eps``). Softmax, ``alpha = 1``, never is
exact.

With a norm bias the scores are ``beta (xi_i.x - |xi_i|^2/2)``, here less ``beta |x|^2/2``, and ``Delta_i`` is
``min_j |xi_i - xi_j|^2/2``.
"""

from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Scalar

from .._types import Time
from .._validate import floats, require_patterns, require_positive, require_state
from ..kernels import entmax, entmax_value, require_order
from ._base import AbstractEnergy
from ._distances import distance_sizes, squared_distances


class FenchelYoung(AbstractEnergy):
    """``E = |x|^2/2 - Omega*(beta xi x)/beta`` with Tsallis' entropy of order ``alpha``.

    Arguments:
        xi: patterns, shape (N, D).
        beta: inverse temperature, positive and finite.
        alpha: 1 (softmax: `LogSumExp` without norm bias), 1.5, 2 (sparsemax), or any number of at least 1.
        norm_bias: subtract ``|xi|^2/2`` from the overlaps, so that patterns of every norm can be recalled.
    """

    xi: Float[Array, "N D"] = eqx.field(converter=partial(floats, "xi"))
    beta: Float[Array, ""] = eqx.field(converter=jnp.asarray)
    alpha: Float[Array, ""] = eqx.field(default=2.0, converter=jnp.asarray)
    norm_bias: bool = eqx.field(default=False, static=True)

    def __check_init__(self) -> None:
        require_patterns("xi", self.xi)
        require_positive("beta", self.beta, scalar=True)
        require_order(self.alpha)

    def __call__(self, t: Time, x: Float[Array, " D"]) -> Scalar:
        """``|x|^2/2 - Omega*(beta xi x)/beta``."""
        value = entmax_value(self._scores(x), self.alpha.astype(x.dtype)) / self.beta.astype(x.dtype)
        return -value if self.norm_bias else 0.5 * (x @ x) - value

    def magnitude(self, t: Time, x: Float[Array, " D"]) -> Scalar:
        """``|x|^2``, the scores of the patterns that carry weight, term by term, and the entropy."""
        sizes = distance_sizes(self.xi, x) if self.norm_bias else jnp.abs(self.xi) @ jnp.abs(x)
        count = jnp.log(jnp.asarray(self.xi.shape[0] + 1.0, x.dtype))
        return x @ x + self.weights(x) @ sizes + count / self.beta.astype(x.dtype)

    def weights(self, x: Float[Array, " D"]) -> Float[Array, " N"]:
        """``entmax_alpha`` of the scores, shape (N,): zero for most patterns if ``alpha > 1``."""
        return entmax(self._scores(x), self.alpha.astype(x.dtype))

    def update(self, x: Float[Array, " D"]) -> Float[Array, " D"]:
        """``xi^T p(x)``: the concave-convex step, equal to an Euler step of size 1."""
        return self.weights(x) @ self.xi

    def separations(self) -> Float[Array, " N"]:
        """``Delta_i``: by how much each pattern's score at itself leads, in units of ``1/beta``; infinite if alone."""

        def of(i: Array) -> Scalar:
            scores = self._scores(self.xi[i]) / self.beta.astype(self.xi.dtype)
            return scores[i] - jnp.max(jnp.where(jnp.arange(len(scores)) == i, -jnp.inf, scores))

        return jax.lax.map(of, jnp.arange(self.xi.shape[0]))

    def margin(self) -> Scalar:
        """``1/(beta (alpha - 1))``: patterns of at least this separation are recalled exactly; infinite for softmax."""
        return 1 / (self.beta * (self.alpha - 1))

    def _scores(self, x: Float[Array, " D"]) -> Float[Array, " N"]:
        require_state(x, "xi", self.xi)
        scores = -0.5 * squared_distances(self.xi, x) if self.norm_bias else self.xi @ x
        return self.beta.astype(x.dtype) * scores
