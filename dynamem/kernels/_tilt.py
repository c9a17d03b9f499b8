r"""The kernel: retrieval in the natural parameters of an exponential family, so that nothing is ever infinite.

    A(eta, kappa) = log sum_i u_i exp(eta.xi_i - kappa |xi_i|^2/2),
    dA/d_eta = m,   dA/d_kappa = -E_w|xi|^2/2,   d2A/d_eta2 = C   (Wainwright & Jordan 2008, section 3).

At noise level s, ``eta = y/s^2`` and ``kappa = 1/s^2``; without the norm bias ``kappa = 0``.

``tilt`` serves one query. Its layers, outermost first: a rule for derivatives (closed forms, below any ``jit`` or
loop), a rule for ``vmap`` (any nesting becomes one batch), and the streaming pass.

Rounding. With ``R`` the largest norm of a pattern that carries weight, ``eps`` that of the dtype of ``eta`` and
``rho = eps (kappa R^2 + |eta| R + sqrt(D))``: the weights and ``m / R`` are right to a few rho, ``kappa tr C``, ``KL``
and ``A`` to a few ``rho + eps log N``, and derivatives relatively to a few rho. ``KL`` (and ``A``, unless its own
terms cancel) stay *relatively* accurate as ``kappa -> 0``; where ``eps kappa E_w|xi|^2 > eps^0.4``, one-hot weights
have ``tr C = 0`` and ``KL = -log u`` exactly; a single pattern has ``tr C = KL = 0`` everywhere. Centre the patterns:
an offset counts in ``R``. If ``eta`` has a wider dtype than the patterns, all is computed in that dtype, by chunks.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.custom_batching import custom_vmap
from jax.custom_derivatives import SymbolicZero
from jaxtyping import Array, Float, ScalarLike, Shaped

from .._errors import InputError
from .._types import Given
from .._validate import floats, require_state
from ._absorb import Sums
from ._carry import FLOOR
from ._covariance import Primal, covariance, partition_tangent
from ._dense import dense
from ._record import Tilt
from ._stream import stream


def _spread(batched: bool, size: int, leaf: Array) -> Array:
    return leaf if batched else jnp.broadcast_to(leaf, (size, *leaf.shape))


@custom_vmap
def _batch(
    patterns: Float[Array, "N D"],
    log_u: Float[Array, " N"] | None,
    etas: Float[Array, "B D"],
    kappas: Float[Array, " B"],
) -> Sums:
    return stream(patterns, log_u, etas, kappas)


@_batch.def_vmap
def _batch_of_batches(
    size: int, in_batched: Any, patterns: Array, log_u: Array | None, etas: Array, kappas: Array
) -> tuple[Any, tuple[bool, ...]]:
    if in_batched[0] or in_batched[1]:
        return _one_by_one(_batch, in_batched, (patterns, log_u, etas, kappas))
    etas, kappas = _spread(in_batched[2], size, etas), _spread(in_batched[3], size, kappas)
    flat = _batch(patterns, log_u, etas.reshape(-1, etas.shape[-1]), kappas.reshape(-1))
    return jax.tree.map(lambda leaf: leaf.reshape(size, -1, *leaf.shape[1:]), flat), (True,) * 5


@custom_vmap
def _single(
    patterns: Float[Array, "N D"], log_u: Float[Array, " N"] | None, eta: Float[Array, " D"], kappa: Float[Array, ""]
) -> Primal:
    return jax.jit(dynamem_retrieval)(patterns, log_u, eta, kappa)


def dynamem_retrieval(
    patterns: Float[Array, "N D"], log_u: Float[Array, " N"] | None, eta: Float[Array, " D"], kappa: Float[Array, ""]
) -> Primal:
    """The pass for one query, a call of its own in every jaxpr: whoever reads it may put `dense` in its place."""
    return jax.tree.map(lambda leaf: leaf[0], stream(patterns, log_u, eta[None], kappa[None]))


@_single.def_vmap
def _batch_of_singles(
    size: int, in_batched: Any, patterns: Array, log_u: Array | None, eta: Array, kappa: Array
) -> tuple[Any, tuple[bool, ...]]:
    if in_batched[0] or in_batched[1]:
        return _one_by_one(_single, in_batched, (patterns, log_u, eta, kappa))
    return _batch(patterns, log_u, _spread(in_batched[2], size, eta), _spread(in_batched[3], size, kappa)), (True,) * 5


def _one_by_one(
    function: Callable[..., Any], in_batched: Any, operands: tuple[Any, ...]
) -> tuple[Any, tuple[bool, ...]]:
    """Several sets of patterns: one after the other, each as a batch of its own."""
    moving = tuple(leaf if batched else None for leaf, batched in zip(operands, in_batched, strict=True))

    def one(mapped: tuple[Any, ...]) -> Any:
        return function(*(old if new is None else new for old, new in zip(operands, mapped, strict=True)))

    return lax.map(one, moving), (True,) * 5


@jax.custom_jvp
def sums(
    patterns: Float[Array, "N D"], log_u: Float[Array, " N"] | None, eta: Float[Array, " D"], kappa: Float[Array, ""]
) -> Primal:
    """``(A, m, tr C, KL, E_w log u)`` of one query, with closed derivatives of every order."""
    return _single(patterns, log_u, eta, kappa)


def _tangent_or_none(tangent: Any) -> Any:
    return None if isinstance(tangent, SymbolicZero) else tangent


def _instantiate(tangent: Any, primal: Array) -> Any:
    return jnp.zeros_like(primal) if isinstance(tangent, SymbolicZero) else tangent


def _sums_jvp(primals: tuple[Any, ...], tangents: tuple[Any, ...]) -> tuple[Primal, Primal]:
    primal = sums(*primals)
    d_patterns, d_log_u = _tangent_or_none(tangents[0]), _tangent_or_none(tangents[1])
    if d_patterns is not None or d_log_u is not None:
        full = jax.tree.map(_instantiate, tangents, primals, is_leaf=lambda leaf: isinstance(leaf, SymbolicZero))
        return primal, jax.jvp(dense, primals, full)[1]
    d_eta, d_kappa = _tangent_or_none(tangents[2]), _tangent_or_none(tangents[3])
    d_partition = partition_tangent(primal, d_eta, d_kappa)
    return primal, (d_partition, *covariance(*primals, primal, d_eta, d_kappa))


sums.defjvp(_sums_jvp, symbolic_zeros=True)


def common_dtype(patterns: Float[Array, "N D"], eta: Float[Array, "*B D"]) -> jnp.dtype:
    """The dtype of logits and results: the wider one of patterns and queries."""
    return jnp.promote_types(patterns.dtype, eta.dtype)


def log_prior(weights: Float[Array, " N"]) -> Float[Array, " N"]:
    """``log u``, finite and with a finite derivative where ``u = 0``."""
    some = weights > 0.0
    return jnp.where(some, jnp.log(jnp.where(some, weights, 1.0)), FLOOR)


def _prepare(log_weights: Float[Array, " N"] | None, count: int, dtype: jnp.dtype) -> Float[Array, " N"] | None:
    """Log weights in ``dtype`` and finite."""
    if log_weights is None:
        return None
    if log_weights.shape != (count,):
        msg = f"log_weights.shape={log_weights.shape!r}: need one for each of the {count} patterns, shape ({count},)"
        raise InputError(msg)
    return jnp.maximum(log_weights.astype(dtype), jnp.asarray(FLOOR, dtype))


def tilt(
    patterns: Shaped[Given, "N D"],
    log_weights: Float[Array, " N"] | None,
    eta: Shaped[Given, " D"],
    kappa: ScalarLike,
) -> Tilt:
    """Averages of the patterns under ``w_i ~ u_i exp(eta.xi_i - kappa |xi_i|^2/2)`` for one query.

    Meant to be vmapped over ``eta`` and ``kappa``: any nesting becomes one streaming batch.

    Arguments:
        patterns: ``xi``, shape (N, D).
        log_weights: ``log u``, shape (N,), of weights that sum to 1; ``-inf`` leaves a pattern out; ``None``: ``1/N``.
        eta: natural parameter ``y/s^2``, shape (D,).
        kappa: natural parameter ``1/s^2 >= 0``, shape (); 0 leaves the norm bias out.

    Raises:
        InputError: shapes do not fit, or an array holds no numbers. Values are not looked at.
    """
    patterns, eta = floats("patterns", patterns), floats("eta", eta)
    require_state(eta, "patterns", patterns)
    dtype = common_dtype(patterns, eta)
    log_u, kappa = _prepare(log_weights, patterns.shape[0], dtype), jnp.asarray(kappa).astype(dtype)
    partition, mean, trace, kl, _ = sums(patterns, log_u, eta.astype(dtype), kappa)
    return Tilt(partition, mean, trace, kl)


def tilt_batch(
    patterns: Shaped[Given, "N D"],
    log_weights: Float[Array, " N"] | None,
    etas: Shaped[Given, "B D"],
    kappas: Float[Array, " B"],
) -> Tilt:
    """``tilt`` for B queries: ``etas`` of shape (B, D), ``kappas`` of shape (B,)."""
    patterns, etas = floats("patterns", patterns), floats("etas", etas)
    return jax.vmap(tilt, in_axes=(None, None, 0, 0))(patterns, log_weights, etas, kappas)
