r"""How often a memory brings back what it stores: corrupted patterns in, the share that is recalled out.

A pattern counts as recalled if the retrieved state lies within ``tolerance`` times the distance from that pattern to
the nearest other one: below 1/2 no other pattern is as near. The share of n patterns has Wilson's interval
(Wilson 1927), which stays inside [0, 1] and has width also at shares of 0 and 1.
"""

import dataclasses
import statistics
from collections.abc import Callable
from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray, Scalar, Shaped

from .._errors import InputError
from .._types import Given
from .._validate import floats, require_patterns, require_positive, require_signs


Corrupt = Callable[[Any, Any, Any], Any]
"""``(key, x (B, D), level ()) -> (B, D)``."""

CORRUPTIONS = {
    "gaussian": "Gaussian noise of standard deviation `level`",
    "mask": "each coordinate is 0 with probability `level`",
    "salt_and_pepper": "each coordinate is the least or the largest value of the patterns, with probability `level`",
    "flip": "each sign is the other one with probability `level` (patterns of +1 and -1)",
    "blur": "images blurred by a Gaussian of width `level`, in pixels",
}


@dataclasses.dataclass(frozen=True)
class Recall:
    """The share of patterns that were recalled, for each level of corruption.

    Attributes:
        corruption: its name.
        levels: shape (L,).
        recalled: number of patterns, shape (L,).
        tried: out of how many.
        low: lower ends of the 95 % intervals, shape (L,).
        high: upper ends, shape (L,).
    """

    corruption: str
    levels: np.ndarray
    recalled: np.ndarray
    tried: int
    low: np.ndarray
    high: np.ndarray

    @property
    def rate(self) -> np.ndarray:
        """``recalled / tried``, shape (L,)."""
        return self.recalled / self.tried


def overlap(x: Float[Array, "*B D"], xi: Float[Array, "N D"]) -> Float[Array, "*B N"]:
    """Cosine of the angles between states and patterns, ``sum_j x_j xi_j/D`` if both are of +1 and -1; 0 for a zero.

    Arguments:
        x: states, shape (D,) or (B, D).
        xi: patterns, shape (N, D).
    """
    if xi.ndim != 2 or x.ndim not in (1, 2) or x.shape[-1] != xi.shape[1]:
        msg = f"x.shape={x.shape!r} and xi.shape={xi.shape!r}: need (D,) or (B, D), and (N, D)"
        raise InputError(msg)
    return _unit(x) @ _unit(xi).T


def _unit(x: Array) -> Array:
    norms = jnp.linalg.norm(x, axis=-1, keepdims=True)
    return x / jnp.where(norms > 0, norms, jnp.ones_like(norms))


def recall_rate(
    update: Callable[[Any], Any],
    xi: Shaped[Given, "N D"],
    corruption: str | Corrupt,
    levels: Any,
    key: PRNGKeyArray,
    *,
    image_shape: tuple[int, int] | None = None,
    tolerance: float = 0.25,
    trials: int | None = None,
    batch: int = 256,
    jit: bool = True,
) -> Recall:
    """The share of patterns that ``update`` recalls from corrupted ones.

    Arguments:
        update: retrieval, from states (batch, D) to states (batch, D): ``equinox.filter_vmap(memory.update)``.
        xi: the stored patterns, shape (N, D).
        corruption: a name of `CORRUPTIONS`, or a function ``(key, x (B, D), level) -> (B, D)``.
        levels: strengths of the corruption, shape (L,).
        key: JAX key; levels share their random numbers, so that the shares compare.
        image_shape: (H, W) with ``H W = D``, for "blur".
        tolerance: of the distance to the nearest other pattern (of the norm, if there is no other), below 1/2.
        trials: number of patterns that are tried, drawn at random; all if not given.
        batch: states at a time.
        jit: False for an update that JAX cannot trace.

    Raises:
        InputError: an argument that cannot be used.
    """
    xi, levels = floats("xi", xi), np.asarray(levels, float)
    require_patterns("xi", xi)
    require_positive("levels", levels, zero=True)
    if levels.ndim != 1 or not 0 < tolerance < 0.5:
        msg = (
            f"levels.shape={levels.shape!r}, tolerance={tolerance!r}: need levels (L,), and a number between 0 and 1/2"
        )
        raise InputError(msg)
    corrupt = corruption_of(corruption, xi, levels, image_shape) if isinstance(corruption, str) else corruption
    pick, key = jr.split(key)
    order = np.asarray(jr.permutation(pick, len(xi)))[: trials or len(xi)]
    recalled = np.zeros(len(levels), int)
    run = _compiled(update) if jit else update
    for start in range(0, len(order), batch):
        rows = order[start : start + batch]
        padded = jnp.asarray(np.resize(rows, batch))  # one shape, hence one compilation
        reach, keys = tolerance * _distances(xi, padded), jr.fold_in(key, start)
        for i, level in enumerate(levels):
            states = run(_corrupted(corrupt, keys, xi[padded], jnp.asarray(level, xi.dtype)))
            near = jnp.linalg.norm(jnp.asarray(states) - xi[padded], axis=1) <= reach
            recalled[i] += int(np.asarray(near)[: len(rows)].sum())
    name = corruption if isinstance(corruption, str) else getattr(corruption, "__name__", "function")
    return Recall(name, levels, recalled, len(order), *wilson(recalled, len(order)))


def wilson(successes: np.ndarray, tried: int, level: float = 0.95) -> tuple[np.ndarray, np.ndarray]:
    """Wilson's interval for shares of ``tried`` independent trials: lower and upper ends, of the shape given."""
    z = statistics.NormalDist().inv_cdf(0.5 + 0.5 * level)
    share = successes / tried
    middle = share + z * z / (2 * tried)
    reach = z * np.sqrt(share * (1 - share) / tried + (z / (2 * tried)) ** 2)
    return np.maximum((middle - reach) / (1 + z * z / tried), 0), np.minimum((middle + reach) / (1 + z * z / tried), 1)


def _compiled(update: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """A Module's arrays become arguments of the compiled program, another function's its constants."""
    compile_: Any = eqx.filter_jit if isinstance(update, eqx.Module) else jax.jit
    return compile_(update)


@eqx.filter_jit
def _corrupted(corrupt: Corrupt, key: PRNGKeyArray, x: Array, level: Scalar) -> Array:
    return corrupt(key, x, level)


@jax.jit
def _distances(xi: Float[Array, "N D"], rows: Array) -> Float[Array, " B"]:
    """From each of these patterns to the nearest other one."""
    squares = jnp.sum(xi * xi, axis=1)
    found = squares[rows][:, None] + squares[None, :] - 2 * xi[rows] @ xi.T
    found = jnp.where(rows[:, None] == jnp.arange(len(xi))[None, :], jnp.inf, jnp.maximum(found, 0))
    nearest = jnp.min(found, axis=1)
    return jnp.sqrt(jnp.where(jnp.isinf(nearest), squares[rows], nearest))


def corruption_of(name: str, xi: Array, levels: np.ndarray, image_shape: tuple[int, int] | None) -> Corrupt:
    """A corruption by name, its arguments checked."""
    if name not in CORRUPTIONS:
        msg = f"corruption={name!r} is unknown; choose one of {tuple(CORRUPTIONS)} or pass a function"
        raise InputError(msg)
    if name not in ("gaussian", "blur") and levels.size and levels.max() > 1:
        msg = f"levels={levels.max()!s}: {name!r} takes probabilities, at most 1"
        raise InputError(msg)
    if name == "flip":
        require_signs("xi", xi)
    height, width = image_shape or (0, 0)
    if name == "blur" and height * width != xi.shape[1]:
        msg = f"image_shape={image_shape!r}: 'blur' needs (H, W) with H W = {xi.shape[1]}"
        raise InputError(msg)
    made = {"gaussian": _gaussian, "mask": _mask, "flip": _flip, "blur": partial(_blur, (height, width))}
    return made[name] if name in made else partial(_salt_and_pepper, jnp.stack([jnp.min(xi), jnp.max(xi)]))


def _gaussian(key: PRNGKeyArray, x: Array, level: Scalar) -> Array:
    return x + level * jr.normal(key, x.shape, x.dtype)


def _mask(key: PRNGKeyArray, x: Array, level: Scalar) -> Array:
    return jnp.where(_hit(key, x, level), jnp.zeros_like(x), x)


def _flip(key: PRNGKeyArray, x: Array, level: Scalar) -> Array:
    return jnp.where(_hit(key, x, level), -x, x)


def _salt_and_pepper(span: Array, key: PRNGKeyArray, x: Array, level: Scalar) -> Array:
    where, which = jr.split(key)
    return jnp.where(_hit(where, x, level), span[jr.bernoulli(which, 0.5, x.shape).astype(int)], x)


def _hit(key: PRNGKeyArray, x: Array, level: Scalar) -> Array:
    """Uniform numbers below ``level``: what is hit at one level is hit at every higher one."""
    return jr.uniform(key, x.shape, x.dtype) < level


def _blur(image_shape: tuple[int, int], key: PRNGKeyArray, x: Array, level: Scalar) -> Array:
    """A Gaussian of width ``level`` along rows and columns, its weights normalised inside the image."""
    del key
    rows, columns = (_smoothing(size, level) for size in image_shape)
    images = x.reshape(-1, *image_shape)
    return jnp.einsum("ij,bjk,lk->bil", rows, images, columns).reshape(x.shape)


def _smoothing(size: int, level: Scalar) -> Array:
    places = jnp.arange(size, dtype=level.dtype)
    apart = places[:, None] - places[None, :]
    width = jnp.maximum(level, jnp.asarray(1e-3, level.dtype))
    return jax.nn.softmax(-0.5 * (apart / width) ** 2, axis=1)
