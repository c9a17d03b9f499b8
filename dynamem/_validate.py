"""Checks of values that may or may not be known: concrete ones raise, traced ones pass on to NaN."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float

from ._errors import InputError


def concrete(value: Any) -> np.ndarray | None:
    """The value as a NumPy array, or None under a JAX transformation, where it is not known."""
    if isinstance(value, Tracer) or not isinstance(value, jax.Array | np.ndarray | np.generic | float | int):
        return None
    return np.asarray(value)


def require_positive(name: str, value: Any, *, zero: bool = False) -> None:
    """Raise unless every known entry is finite and positive (or zero where allowed)."""
    known = concrete(value)
    if known is None:
        return
    good = np.isfinite(known) & ((known >= 0) if zero else (known > 0))
    if not np.all(good):
        msg = f"{name}={known[~good].flat[0]!s}: must be finite and {'non-negative' if zero else 'positive'}"
        raise InputError(msg)


def require_patterns(name: str, xi: Any) -> None:
    """Raise unless ``xi`` is a finite, non-empty array of shape (N, D)."""
    if xi.ndim != 2 or 0 in xi.shape:
        msg = f"{name}.shape={xi.shape!r}: need a non-empty array of shape (N, D), one pattern a row"
        raise InputError(msg)
    known = concrete(xi)
    if known is not None and not np.all(np.isfinite(known)):
        row = int(np.argwhere(~np.isfinite(known))[0, 0])
        msg = f"{name}[{row}] holds NaN or infinity: remove or repair that pattern"
        raise InputError(msg)


def require_weights(name: str, weights: Any, count: int) -> None:
    """Raise unless ``weights`` are ``count`` non-negative numbers that sum to one (to 1e-6)."""
    if weights.shape != (count,):
        msg = f"{name}.shape={weights.shape!r}: need one weight for each of the {count} patterns, shape ({count},)"
        raise InputError(msg)
    known = concrete(weights)
    if known is None:
        return
    if not np.all(known >= 0):
        msg = f"{name}={known[~(known >= 0)][0]!s}: weights must be non-negative"
        raise InputError(msg)
    if not abs(float(known.sum()) - 1.0) < 1e-6:
        msg = f"{name} sum to {float(known.sum())!r}: divide them by their sum"
        raise InputError(msg)


def unit_time(t: Any) -> Float[Array, ""]:
    """``t`` as a float array in [0, 1]; a known value outside raises, a traced one becomes NaN."""
    t = jnp.asarray(t)
    t = t if jnp.issubdtype(t.dtype, jnp.floating) else t.astype(jnp.result_type(float))
    slack = jnp.asarray(8 * jnp.finfo(t.dtype).eps, t.dtype)
    outside = (t < -slack) | (t > 1 + slack) | jnp.isnan(t)
    known = concrete(outside)
    if known is not None and np.any(known):
        msg = f"t={np.asarray(t)!s} is outside [0, 1]: schedules run from 0 (data) to 1 (noise)"
        raise InputError(msg)
    return jnp.where(outside, jnp.asarray(jnp.nan, t.dtype), jnp.clip(t, 0, 1).astype(t.dtype))
