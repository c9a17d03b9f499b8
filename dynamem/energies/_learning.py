r"""Learning rules for binary networks: couplings (D, D) from patterns ``xi`` (N, D) of +1 and -1.

All are symmetric with a zero diagonal, as the descent of `BinaryHopfield` needs.

    Hebb             W = xi^T xi/D                                    some 0.138 D random patterns (Amit, Gutfreund &
                                                                      Sompolinsky 1985, Phys. Rev. Lett. 55:1530)
    pseudo-inverse   W = xi^T (xi xi^T)^{-1} xi                       every set of linearly independent patterns
                                                                      (Personnaz, Guyon & Dreyfus 1985)
    Storkey          one pattern after the other, W_ij += (xi_i xi_j - xi_i h_ji - h_ij xi_j)/D,
                     h_ij = sum_{k != i, j} W_ik xi_k                 (Storkey 1997, ICANN)
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Shaped

from .._errors import InputError
from .._types import Given
from .._validate import concrete, floats, require_patterns, require_signs


def hebb(xi: Shaped[Given, "N D"]) -> Float[Array, "D D"]:
    """Hebb's couplings ``sum_mu xi_i xi_j/D`` without their diagonal.

    Arguments:
        xi: patterns of +1 and -1, shape (N, D).

    Raises:
        InputError: entries that are not +1 or -1.
    """
    xi = _signs(xi)
    return _hollow(xi.T @ xi / xi.shape[1])


def pseudo_inverse(xi: Shaped[Given, "N D"]) -> Float[Array, "D D"]:
    """The projection ``P`` onto the patterns, without its diagonal.

    ``P xi = xi``, hence the field of a pattern is ``(1 - P_ii) xi_i``, of its own sign: every pattern is a fixed point
    of both updates. Units with ``P_ii = 1`` have no couplings and stay as they are.

    Arguments:
        xi: linearly independent patterns of +1 and -1, shape (N, D).

    Raises:
        InputError: patterns that depend linearly on one another, or entries that are not +1 or -1.
    """
    xi = _signs(xi)
    known = concrete(xi)
    if known is not None:
        rank = int(np.linalg.matrix_rank(known))
        if rank < len(known):
            msg = f"xi has {len(known)} patterns of rank {rank}: remove those that depend linearly on others"
            raise InputError(msg)
    projection = xi.T @ jnp.linalg.solve(xi @ xi.T, xi)
    projection = 0.5 * (projection + projection.T)
    rounding = jnp.asarray(64 * xi.shape[1] * jnp.finfo(xi.dtype).eps, xi.dtype)
    free = 1 - jnp.diagonal(projection) <= rounding
    return _hollow(jnp.where(free[:, None] | free[None, :], jnp.zeros_like(projection), projection))


def storkey(xi: Shaped[Given, "N D"]) -> Float[Array, "D D"]:
    """Storkey's couplings, learned one pattern after the other, without their diagonal.

    Arguments:
        xi: patterns of +1 and -1, shape (N, D), in the order in which they are learned.

    Raises:
        InputError: entries that are not +1 or -1.
    """
    xi = _signs(xi)
    size = xi.shape[1]

    def learn(W: Float[Array, "D D"], pattern: Float[Array, " D"]) -> tuple[Float[Array, "D D"], None]:
        fields = (W @ pattern)[:, None] - W * pattern[None, :]  # h_ij, as W_ii = 0
        crossed = fields * pattern[None, :]
        return _hollow(W + (pattern[:, None] * pattern[None, :] - crossed - crossed.T) / size), None

    return jax.lax.scan(learn, jnp.zeros((size, size), xi.dtype), xi)[0]


def _signs(xi: Shaped[Given, "N D"]) -> Float[Array, "N D"]:
    xi = floats("xi", xi)
    require_patterns("xi", xi)
    require_signs("xi", xi)
    return xi


def _hollow(W: Float[Array, "D D"]) -> Float[Array, "D D"]:
    return jnp.where(jnp.eye(W.shape[0], dtype=bool), jnp.zeros_like(W), W)
