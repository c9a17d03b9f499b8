"""Checks of values that may or may not be known: concrete ones raise, traced ones pass on to NaN.

Shapes and dtypes are always known, so that checks of these hold under every transformation and cost nothing there.
"""

import warnings
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float, Scalar

from ._errors import InputError


def concrete(value: Any) -> np.ndarray | None:
    """The value as a NumPy array, or None under a JAX transformation, where it is not known."""
    if isinstance(value, Tracer) or not isinstance(value, jax.Array | np.ndarray | np.generic | float | int):
        return None
    return np.asarray(value)


def floats(name: str, value: Any) -> Float[Array, "..."]:
    """``value`` as an array of floats: whole numbers are converted with a warning, what holds no numbers raises."""
    try:
        value = value if isinstance(value, jax.Array) else np.asarray(value)
    except ValueError as ragged:
        msg = f"{name}={value!r:.40}: rows of different lengths are no array, give each the same number of entries"
        raise InputError(msg) from ragged
    if jnp.issubdtype(value.dtype, jnp.floating):
        return jnp.asarray(value)
    if not (value.dtype == bool or jnp.issubdtype(value.dtype, jnp.integer)):
        msg = f"{name}.dtype={str(value.dtype)!r}: need an array of real numbers, convert it with astype(float)"
        raise InputError(msg)
    wide = jnp.result_type(float)
    warnings.warn(f"{name} has dtype {value.dtype}: converted to {wide}", stacklevel=2)
    return jnp.asarray(value).astype(wide)


def require_positive(name: str, value: Any, *, zero: bool = False, scalar: bool = False) -> None:
    """Raise unless every known entry is finite and positive (or zero where allowed), and one number where asked for."""
    if scalar and jnp.shape(value) != ():
        msg = f"{name}.shape={jnp.shape(value)!r}: need one number, use jax.vmap for several"
        raise InputError(msg)
    known = concrete(value)
    if known is None:
        return
    good = np.isfinite(known) & ((known >= 0) if zero else (known > 0))
    if not np.all(good):
        msg = f"{name}={known[~good].flat[0]!s}: must be finite and {'non-negative' if zero else 'positive'}"
        raise InputError(msg)


def require_finite(name: str, value: Any) -> None:
    """Raise unless every known entry is finite, naming the first row that is not; read where the array lies."""
    if concrete(value) is None:
        return
    with jax.ensure_compile_time_eval():
        good = jnp.isfinite(value)
        if bool(jnp.all(good)):
            return
    place = [int(i) for i in np.argwhere(~np.asarray(good))[0]]
    msg = f"{name}[{place[0]}] holds NaN or infinity: remove or repair that {'entry' if len(place) == 1 else 'row'}"
    raise InputError(msg)


def require_patterns(name: str, xi: Any) -> None:
    """Raise unless ``xi`` is a finite, non-empty array of shape (N, D)."""
    if xi.ndim != 2 or 0 in xi.shape:
        msg = f"{name}.shape={xi.shape!r}: need a non-empty array of shape (N, D), one pattern a row"
        raise InputError(msg)
    require_finite(name, xi)


def require_state(x: Any, name: str, xi: Any) -> None:
    """Raise unless ``x`` is one state of as many coordinates as the rows of the matrix ``xi``."""
    if xi.ndim != 2 or x.shape != xi.shape[1:]:
        msg = f"state.shape={x.shape!r} and {name}.shape={xi.shape!r}: need (D,) and (N, D), jax.vmap for more states"
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


@jax.custom_jvp
def into_unit(t: Scalar) -> Scalar:
    """``t`` moved into [0, 1] with the derivative of ``t`` itself: that of clipping is halved at the ends."""
    return jnp.clip(t, 0, 1)


@into_unit.defjvp
def _(primals: tuple[Scalar], tangents: tuple[Scalar]) -> tuple[Scalar, Scalar]:
    return into_unit(*primals), tangents[0]


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
    return jnp.where(outside, jnp.asarray(jnp.nan, t.dtype), into_unit(t))


def require_signs(name: str, x: Any) -> None:
    """Raise unless every known entry is +1 or -1."""
    known = concrete(x)
    if known is None or np.all(np.abs(known) == 1):
        return
    msg = f"{name} holds {known[np.abs(known) != 1].flat[0]!s}: need +1 and -1, as jnp.where({name} > 0, 1., -1.)"
    raise InputError(msg)


def require_symmetric(name: str, W: Any, remedy: str) -> None:
    """Raise unless a known square matrix is symmetric, to rounding."""
    known = concrete(W)
    if known is None:
        return
    gap = np.abs(known - known.T)
    if not np.all(gap <= 8 * np.finfo(known.dtype).eps * np.max(np.abs(known), initial=0.0)):
        i, j = np.unravel_index(np.argmax(gap), gap.shape)
        msg = (
            f"{name}[{i}, {j}]={known[i, j]!s} and {name}[{j}, {i}]={known[j, i]!s}: the energy falls for a "
            f"symmetric {name} only; {remedy}"
        )
        raise InputError(msg)
