r"""Universal Hopfield networks (Millidge et al. 2022, arXiv 2202.04557): similarity, separation, projection.

    z = P^T sep(beta sim(xi, x)):    score the stored patterns against the state, sharpen the scores, read out.

Which of them have an energy? If ``z = x - grad E``, the Jacobian of ``z`` is symmetric. With ``P = xi`` that of the dot
product is, for every separation ``sep = grad Phi``; that of the squared distance is where the weights sum to one:

    dot                        E = |x|^2/2 - Phi(xi x),   Phi = beta |s|^2/2,  sum_i beta^n s_i^{n+1}/(n+1),
                                                          LSE(beta s)/beta  or  max_i s_i
    squared distance, softmax  E = -LSE(-beta |x - xi_i|^2)/(2 beta);      argmax:  E = min_i |x - xi_i|^2/2

(in the terms of Krotov et al. 2025, arXiv 2507.06211, section 5.2, ``-Q[sum_i F(beta S)]``, and ``|x|^2/2`` beside it
for the dot product). Cosine, Manhattan distance, and a read-out of other patterns have none. Where ``Phi`` is convex
(all but even powers) the update is the concave-convex procedure: ``E(z) <= E(x) - |z - x|^2/2`` (the squared
distance: likewise, since ``|x|^2/2 - E`` is convex).
"""

from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Scalar

from .._errors import InputError
from .._types import Time
from .._validate import floats, require_finite, require_patterns, require_positive, require_state
from ._base import AbstractEnergy
from ._distances import distance_sizes, squared_distances


SIMILARITIES = ("dot", "cosine", "euclidean", "manhattan")
SEPARATIONS = ("identity", "polynomial", "softmax", "argmax")


def _read_out(projection: Any) -> Array | None:
    return None if projection is None else floats("projection", projection)


class UniversalHopfield(AbstractEnergy):
    """``z = P^T sep(beta sim(xi, x))``, and its energy where it has one.

    Arguments:
        xi: patterns, shape (N, D).
        similarity: "dot", "cosine", "euclidean" (minus the squared distance) or "manhattan" (minus the distance).
        separation: "identity", "polynomial", "softmax" or "argmax".
        projection: ``P``, what is read out for each pattern, shape (N, M); ``xi`` if not given.
        beta: inverse temperature, positive and finite.
        n: the power of "polynomial", at least 1; the update descends for odd ones.

    Raises:
        InputError: an unknown name or a wrong shape; on evaluating an energy that does not exist, with the reason.
    """

    xi: Float[Array, "N D"] = eqx.field(converter=partial(floats, "xi"))
    similarity: str = eqx.field(default="dot", static=True)
    separation: str = eqx.field(default="softmax", static=True)
    projection: Float[Array, "N M"] | None = eqx.field(default=None, converter=_read_out)
    beta: Float[Array, ""] = eqx.field(default=1.0, converter=jnp.asarray)
    n: int = eqx.field(default=3, static=True)

    def __check_init__(self) -> None:
        require_patterns("xi", self.xi)
        require_positive("beta", self.beta, scalar=True)
        for name, known in (("similarity", SIMILARITIES), ("separation", SEPARATIONS)):
            if getattr(self, name) not in known:
                msg = f"{name}={getattr(self, name)!r} is unknown; choose one of {known}"
                raise InputError(msg)
        if not isinstance(self.n, int) or self.n < 1:
            msg = f"n={self.n!r}: the power of a separation is a whole number, at least 1"
            raise InputError(msg)
        if self.projection is not None:
            if self.projection.ndim != 2 or self.projection.shape[0] != self.xi.shape[0]:
                msg = f"projection.shape={self.projection.shape!r}: need a row for each of {self.xi.shape[0]} patterns"
                raise InputError(msg)
            require_finite("projection", self.projection)

    def without_energy(self) -> str:
        """Why there is no energy whose gradient is ``x - z``, empty where there is one."""
        if self.projection is not None:
            return "projection: what is read out is not what is compared"
        if self.similarity in ("cosine", "manhattan"):
            return f"similarity={self.similarity!r}: the Jacobian of the update is not symmetric"
        if self.similarity == "euclidean" and self.separation in ("identity", "polynomial"):
            return f"similarity='euclidean' with separation={self.separation!r}: the weights do not sum to one"
        return ""

    def __call__(self, t: Time, x: Float[Array, " D"]) -> Scalar:
        """The energy, with ``grad E = x - z``."""
        self._require_energy()
        potential = self._potential(self.scores(x))
        return 0.5 * (x @ x) - potential if self.similarity == "dot" else -0.5 * potential

    def magnitude(self, t: Time, x: Float[Array, " D"]) -> Scalar:
        """``|x|^2``, the potential, and the scores' terms with their weights."""
        self._require_energy()
        scores, count = self.scores(x), jnp.log(jnp.asarray(self.xi.shape[0] + 1.0, x.dtype))
        is_distance = self.similarity == "euclidean"
        sizes = distance_sizes(self.xi, x) if is_distance else jnp.abs(self.xi) @ jnp.abs(x)
        shaken = jnp.abs(self._separated(scores)) @ sizes
        return x @ x + jnp.abs(self._potential(scores)) + shaken + count / self.beta.astype(x.dtype)

    def scores(self, x: Float[Array, " D"]) -> Float[Array, " N"]:
        """``sim(xi_i, x)``, shape (N,)."""
        require_state(x, "xi", self.xi)
        if self.similarity == "manhattan":
            return -jnp.sum(jnp.abs(self.xi - x[None]), axis=1)
        if self.similarity == "euclidean":
            return -squared_distances(self.xi, x)
        overlaps = self.xi @ x
        if self.similarity == "dot":
            return overlaps
        norms = jnp.sqrt(jnp.sum(self.xi * self.xi, axis=1) * (x @ x))
        return overlaps / jnp.where(norms > 0, norms, jnp.ones_like(norms))

    def update(self, x: Float[Array, " D"]) -> Float[Array, " M"]:
        """``z = P^T sep(beta sim(xi, x))``, shape (D,), or (M,) for a projection of M columns."""
        return self._separated(self.scores(x)) @ (self.xi if self.projection is None else self.projection)

    def _separated(self, scores: Float[Array, " N"]) -> Float[Array, " N"]:
        beta = self.beta.astype(scores.dtype)
        if self.separation == "identity":
            return beta * scores
        if self.separation == "polynomial":
            return (beta * scores) ** self.n
        if self.separation == "softmax":
            return jax.nn.softmax(beta * scores)
        return jax.nn.one_hot(jnp.argmax(scores), scores.shape[0], dtype=scores.dtype)

    def _potential(self, scores: Float[Array, " N"]) -> Scalar:
        """``Phi`` with ``grad Phi = sep``."""
        beta = self.beta.astype(scores.dtype)
        if self.separation == "identity":
            return 0.5 * beta * (scores @ scores)
        if self.separation == "polynomial":
            return jnp.sum((beta * scores) ** self.n * scores) / (self.n + 1)
        if self.separation == "softmax":
            return jax.nn.logsumexp(beta * scores) / beta
        return jnp.max(scores)

    def _require_energy(self) -> None:
        reason = self.without_energy()
        if reason:
            msg = f"{reason}, so that this memory has no energy; use its update"
            raise InputError(msg)
