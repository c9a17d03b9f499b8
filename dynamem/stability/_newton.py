r"""Roots of a field from many starts at once, with the roots that are known divided out.

Deflation (Farrell, Birkisson & Funke 2015, SIAM J. Sci. Comput. 37:A2026, eq. 2.5 with p = 2 and shift 1): the zeros of

    G(x) = prod_k (L^2 / |x - x_k|^2 + 1) F(x)

are those of ``F`` without the ``x_k``, at which ``G`` is large on all sides, so that the same starts end elsewhere.
``L`` is the spread of the starts. Optimistix solves: Levenberg-Marquardt; where the
state is too large for a dense Jacobian, Newton's method with GMRES, which only multiplies by it.
"""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import lineax as lx
import numpy as np
import optimistix as optx
from jaxtyping import Array, Bool, Float, Scalar

from ._field import Field


DENSE = 500
"""Jacobians of states of more coordinates are never formed."""
ENTRIES = 4_000_000
"""Numbers that the Jacobians of one chunk of starts may have."""
STEPS, POLISH, SLOTS = 256, 64, 16
CLOSEST = 1e-20
"""Squared distance, in units of ``L^2``, at which deflation stops growing."""


def solver_for(size: int, solver: Any) -> Any:
    """The user's root finder or least-squares solver, or the default for so many coordinates."""
    if solver is not None:
        return solver
    if size <= DENSE:
        return optx.LevenbergMarquardt(rtol=1e-12, atol=1e-14)
    return optx.Newton(rtol=1e-9, atol=1e-11, linear_solver=lx.GMRES(rtol=1e-7, atol=1e-12))


class Deflated(eqx.Module):
    """``G``; slots of ``known`` that are not ``used`` have no effect.

    Attributes:
        field: ``F``.
        known: the roots that are divided out, shape (K, D).
        used: which rows are roots, shape (K,).
        length: ``L``.
        size: a typical ``|F|``, by which it is divided, so that a solver's tolerances are relative ones.
    """

    field: Field
    known: Float[Array, "K D"]
    used: Bool[Array, " K"]
    length: Scalar
    size: Scalar

    def __call__(self, x: Float[Array, " D"], _: Any = None) -> Float[Array, " D"]:
        """``G(x)``, shape (D,)."""
        away = jnp.sum((x[None] - self.known) ** 2, axis=1) / self.length**2
        factors = jnp.where(self.used, 1 + 1 / jnp.maximum(away, CLOSEST), 1.0)
        return jnp.prod(factors) * self.field(x) / self.size


@eqx.filter_jit
def _landed(
    deflated: Deflated, starts: Float[Array, "B D"], solver: Any
) -> tuple[Float[Array, "B D"], Float[Array, " B"]]:
    """Where each start ends, and ``|F|`` there, infinite where a solve lost its way."""

    def one(start: Float[Array, " D"]) -> tuple[Float[Array, " D"], Scalar]:
        x = optx.root_find(deflated, solver, start, throw=False, max_steps=STEPS).value
        size = jnp.linalg.norm(deflated.field(x))
        return x, jnp.where(jnp.isfinite(size) & jnp.all(jnp.isfinite(x)), size, jnp.inf)

    return jax.vmap(one)(starts)


def land(
    field: Field, starts: np.ndarray, known: np.ndarray, scales: tuple[float, float], solver: Any, rows: int
) -> tuple[np.ndarray, np.ndarray]:
    """Where starts (B, D) end if the roots ``known`` (K, D) are divided out, and ``|F|`` there (B,).

    ``scales`` are the spread of the starts and a typical ``|F|``.

    Starts go through in chunks of one size, ``rows`` at most, and roots fill slots whose number doubles, so that one
    program serves nearly all calls.
    """
    count, size = starts.shape
    slots = max(SLOTS, 1 << max(len(known) - 1, 0).bit_length())
    padded = np.zeros((slots, size))
    padded[: len(known)] = known
    used = jnp.asarray(np.arange(slots) < len(known))
    deflated = Deflated(field, jnp.asarray(padded), used, *(jnp.asarray(one, float) for one in scales))
    chunk = min(rows, max(1, ENTRIES // (size * max(slots, size if size <= DENSE else 32))))
    filled = np.concatenate([starts, np.repeat(starts[-1:], -count % chunk, axis=0)])
    parts = [_landed(deflated, jnp.asarray(filled[start : start + chunk]), solver) for start in range(0, count, chunk)]
    xs, sizes = (np.concatenate([np.asarray(part[k]) for part in parts])[:count] for k in (0, 1))
    return xs, sizes


@eqx.filter_jit
def _polished(
    field: Field, points: Float[Array, "B D"], scale: Scalar
) -> tuple[Float[Array, "B D"], Float[Array, " B"]]:
    def one(x: Float[Array, " D"]) -> tuple[Float[Array, " D"], Scalar]:
        newton = optx.Newton(rtol=1e-14, atol=1e-16)
        finer = optx.root_find(lambda z, _: field(z) / scale, newton, x, throw=False, max_steps=POLISH).value
        size = jnp.linalg.norm(field(finer))
        return finer, jnp.where(jnp.isfinite(size) & jnp.all(jnp.isfinite(finer)), size, jnp.inf)

    return jax.vmap(one)(points)


def polish(field: Field, points: np.ndarray, scale: float, rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Newton's method from ``rows`` points or fewer, for roots that are not simple, to which others only creep."""
    filled = np.concatenate([points, np.repeat(points[-1:], rows - len(points), axis=0)])
    xs, sizes = (np.asarray(one)[: len(points)] for one in _polished(field, jnp.asarray(filled), jnp.asarray(scale)))
    return xs, sizes


@eqx.filter_jit
def sizes_at(field: Field, points: Float[Array, "B D"]) -> Float[Array, " B"]:
    """``|F|`` at points (B, D)."""
    return jax.vmap(lambda x: jnp.linalg.norm(field(x)))(points)


@eqx.filter_jit
def value_and_jacobian(field: Field, x: Float[Array, " D"]) -> tuple[Float[Array, " D"], Float[Array, "D D"]]:
    """``F(x)`` and ``dF/dx``."""
    return field(x), field.jacobian(x)


@eqx.filter_jit
def product(field: Field, x: Float[Array, " D"], v: Float[Array, " D"]) -> Float[Array, " D"]:
    """``(dF/dx) v``, without the matrix."""
    return jax.jvp(field, (x,), (v,))[1]
