"""A chunk of patterns: how it is cut out without copying the rest, and its logits against a tile of queries."""

from collections.abc import Callable
from typing import NamedTuple, TypeVar

import jax.numpy as jnp
from jax import lax
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Int

from ._carry import FLOOR


EXACT = lax.Precision.HIGHEST
State = TypeVar("State")


class Chunk(NamedTuple):
    """C patterns, their squared norms and log weights, and the index of the first."""

    xi: Float[Array, "C D"]
    norms: Float[Array, " C"]
    log_u: Float[Array, " C"] | None
    """``None`` where all weights are equal and none is masked: the logits then leave the constant out."""
    start: Int[Array, ""]


def squared_norms(xi: Float[Array, "C D"]) -> Float[Array, " C"]:
    """``|xi_i|^2`` of each row, as a batched product: XLA's row sums on a CPU are up to four times slower."""
    return jnp.einsum("nd,nd->n", xi, xi, precision=EXACT)


def log_of(count: int, like: Float[Array, "*S"]) -> Float[Array, ""]:
    """``log count`` in the dtype of ``like``; XLA folds it, and a reader of the jaxpr sees the number it stands for."""
    return jnp.log(jnp.asarray(count, like.dtype))


def take(
    patterns: Float[Array, "N D"], log_u: Float[Array, " N"] | None, size: int, index: Int[Array, ""], dtype: DTypeLike
) -> Chunk:
    """Chunk number ``index``; the last one is moved back so as to end at N, and the rows it repeats are masked."""
    count = patterns.shape[0]
    if size == count:
        return Chunk(patterns, squared_norms(patterns.astype(dtype)), log_u, jnp.zeros_like(index))
    start = jnp.minimum(index * size, count - size)
    xi = lax.dynamic_slice_in_dim(patterns, start, size)
    weights = None if log_u is None else lax.dynamic_slice_in_dim(log_u, start, size)
    if count % size:
        fresh = start + jnp.arange(size, dtype=index.dtype) >= index * size
        base = jnp.zeros((size,), dtype) if weights is None else weights
        weights = jnp.where(fresh, base, jnp.asarray(FLOOR, dtype))
    return Chunk(xi, squared_norms(xi.astype(dtype)), weights, start)


def scores(chunk: Chunk, etas: Float[Array, "B D"], kappas: Float[Array, " B"]) -> Float[Array, "B C"]:
    """``a = eta.xi - kappa |xi|^2/2``; one query is a matrix-vector product."""
    xi = chunk.xi.astype(etas.dtype)
    if etas.shape[0] == 1:
        dots = jnp.matmul(xi, etas[0], precision=EXACT)[None, :]
    else:
        dots = jnp.matmul(etas, xi.T, precision=EXACT)
    return dots - (0.5 * kappas)[:, None] * chunk.norms[None, :]


def average(p: Float[Array, "B C"], xi: Float[Array, "C D"]) -> Float[Array, "B D"]:
    """``sum_i p_i xi_i``, in the precision of the weights."""
    xi = xi.astype(p.dtype)
    if p.shape[0] == 1:
        return jnp.matmul(p[0], xi, precision=EXACT)[None, :]
    return jnp.matmul(p, xi, precision=EXACT)


def fold(step: Callable[[State, Int[Array, ""]], State], start: State, chunks: int) -> State:
    """Apply ``step(state, index)`` over the chunks; a single chunk is straight-line code."""
    if chunks == 1:
        return step(start, jnp.zeros((), jnp.int32))
    return lax.scan(lambda state, index: (step(state, index), None), start, jnp.arange(chunks, dtype=jnp.int32))[0]
