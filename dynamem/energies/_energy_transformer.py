r"""The block of the Energy Transformer (Hoover et al. 2023, arXiv 2302.07253, eqs. 3 to 6), as a `HAM`.

Tokens ``x`` of shape (T, D) have the Lagrangian of a layer norm, ``g = LayerNorm(x)``, and two synapses:

    E_att = -1/beta sum_h sum_C log sum_{B != C} exp(beta K_hB . Q_hC),      K = W_K g,  Q = W_Q g,
    E_hop = -1/2 sum_B sum_m max(xi_m . g_B, 0)^2.

``tau x' = -dE/dg`` falls for a gain ``gamma >= 0``, whatever the synapses. The discrete update of the paper,
``x <- x - alpha dE/dg``, is ``ham.update(x, alpha)``: it falls for steps that are small enough; only with the memories
alone, whose energy is concave in ``g``, for every ``alpha`` up to 1.
"""

from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Scalar, Shaped

from .._errors import InputError
from .._types import Given
from .._validate import concrete, floats, require_finite, require_patterns, require_positive
from ._ham import HAM
from ._layer import Layer
from ._norms import LayerNorm
from ._synapses import AbstractSynapse


class AttentionSynapse(AbstractSynapse):
    """``E_att = -1/beta sum_h sum_C log sum_B exp(beta K_hB . Q_hC)`` over the ``B`` that ``C`` may attend to.

    Arguments:
        keys: ``W_K``, shape (heads, Y, D).
        queries: ``W_Q``, shape (heads, Y, D).
        between: the name of the layer of tokens.
        beta: inverse temperature, positive; ``1/sqrt(Y)`` if not given.
        mask: shape (T, T), true where the token of the row (query) attends to that of the column (key); all other
            tokens, and not itself, if not given.
    """

    keys: Float[Array, "H Y D"]
    queries: Float[Array, "H Y D"]
    between: tuple[str, ...] = eqx.field(static=True)
    beta: Float[Array, ""]
    mask: Bool[Array, "T T"] | None

    def __init__(
        self, keys: Given, queries: Given, between: tuple[str, ...], *, beta: Any = None, mask: Given | None = None
    ) -> None:
        self.keys, self.queries, self.between = floats("keys", keys), floats("queries", queries), tuple(between)
        if self.keys.ndim != 3 or 0 in self.keys.shape or self.keys.shape != self.queries.shape:
            msg = f"keys.shape={self.keys.shape!r}, queries.shape={self.queries.shape!r}: need (heads, Y, D) for both"
            raise InputError(msg)
        self.beta = jnp.asarray(1 / self.keys.shape[1] ** 0.5 if beta is None else beta)
        self.mask = None if mask is None else jnp.asarray(mask, bool)

    def __check_init__(self) -> None:
        require_finite("keys", self.keys)
        require_finite("queries", self.queries)
        require_positive("beta", self.beta, scalar=True)
        known = concrete(self.mask)
        if known is not None and not known.any(axis=-1).all():
            row = int(np.argmin(known.any(axis=-1)))
            msg = f"mask[{row}] has no true entry: a token must attend to one at least, or its energy is infinite"
            raise InputError(msg)

    def __call__(self, *g: Float[Array, "T D"]) -> Scalar:
        """``E_att`` of the tokens' activations."""
        scores = jnp.einsum("hya,hyb->hab", self._rows(self.queries, g[0]), self._rows(self.keys, g[0]))
        beta = self.beta.astype(scores.dtype)
        return -jnp.sum(jax.nn.logsumexp(beta * scores, axis=-1, where=self._allowed(g[0]))) / beta

    def magnitude(self, *g: Float[Array, "T D"]) -> Scalar:
        """Sum over heads and queries of the largest score, all its products taken as positive, and ``log T/beta``."""
        queries, keys = (self._rows(jnp.abs(one), jnp.abs(g[0])) for one in (self.queries, self.keys))
        scores = jnp.max(jnp.einsum("hya,hyb->hab", queries, keys), axis=-1)
        count = jnp.log(jnp.asarray(g[0].shape[0] + 1.0, scores.dtype)) / self.beta.astype(scores.dtype)
        return jnp.sum(scores + count)

    def _rows(self, weights: Float[Array, "H Y D"], g: Float[Array, "T D"]) -> Float[Array, "H Y T"]:
        return jnp.einsum("hyd,td->hyt", weights.astype(g.dtype), g)

    def _allowed(self, g: Float[Array, "T D"]) -> Bool[Array, "T T"]:
        count = g.shape[0]
        if self.mask is None and count < 2:
            msg = f"tokens={count!r}: a token attends to the others; give two, or a mask that lets it see itself"
            raise InputError(msg)
        if self.mask is not None and self.mask.shape != (count, count):
            msg = f"mask.shape={self.mask.shape!r}: need ({count}, {count}), queries by keys"
            raise InputError(msg)
        return ~jnp.eye(count, dtype=bool) if self.mask is None else self.mask


class MemorySynapse(AbstractSynapse):
    """``E_hop = -1/2 sum_B sum_m max(xi_m . g_B, 0)^2`` over vectors ``g_B`` along the last axis: a dense memory.

    Arguments:
        xi: memories, shape (M, D).
        between: the name of the layer.
    """

    xi: Float[Array, "M D"] = eqx.field(converter=partial(floats, "xi"))
    between: tuple[str, ...] = eqx.field(static=True, converter=tuple)

    def __check_init__(self) -> None:
        require_patterns("xi", self.xi)

    def __call__(self, *g: Float[Array, "..."]) -> Scalar:
        """``E_hop``, concave in the activations."""
        return -0.5 * jnp.sum(jnp.square(jax.nn.relu(g[0] @ self.xi.astype(g[0].dtype).T)))

    def magnitude(self, *g: Float[Array, "..."]) -> Scalar:
        """``sum max(xi.g, 0) |xi|.|g|``, the effect of rounding the overlaps, and at least ``|E_hop|``."""
        xi = self.xi.astype(g[0].dtype)
        return jnp.sum(jax.nn.relu(g[0] @ xi.T) * (jnp.abs(g[0]) @ jnp.abs(xi).T))


def EnergyTransformer(
    keys: Shaped[Given, "H Y D"],
    queries: Shaped[Given, "H Y D"],
    xi: Shaped[Given, "M D"],
    *,
    tokens: int,
    gamma: Any = 1.0,
    delta: Any = 0.0,
    eps: Any = 1e-5,
    beta: Any = None,
    mask: Given | None = None,
    tau: Any = 1.0,
    nonconvex: bool = False,
) -> HAM:
    """A `HAM` of one layer ``x`` of tokens, shape (T, D), with attention and memories; states are (T D,).

    Arguments:
        keys: ``W_K``, shape (heads, Y, D).
        queries: ``W_Q``, shape (heads, Y, D).
        xi: memories, shape (M, D).
        tokens: T.
        gamma: gain of the layer norm, one non-negative number.
        delta: its shift, one number or shape (D,).
        eps: added to its variance.
        beta: inverse temperature of the attention; ``1/sqrt(Y)`` if not given.
        mask: who attends to whom, as for `AttentionSynapse`.
        tau: time constant.
        nonconvex: allow a negative gain; the energy then rises.
    """
    attention = AttentionSynapse(keys, queries, ("x",), beta=beta, mask=mask)
    norm = LayerNorm(gamma, delta, eps, nonconvex)
    layer = Layer((tokens, attention.keys.shape[-1]), norm, None, tau)
    return HAM({"x": layer}, [attention, MemorySynapse(xi, ("x",))])
