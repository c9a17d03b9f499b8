r"""Roots of a field from many starts at once, with the roots that are known divided out.

Deflation (Farrell, Birkisson & Funke 2015, SIAM J. Sci. Comput. 37:A2026, eq. 2.5 with p = 2 and shift 1): the zeros of

    G(x) = prod_k (L^2 / |x - x_k|^2 + 1) F(x)

are those of ``F`` without the ``x_k``, at which ``G`` is large on all sides, so that the same starts end elsewhere.
``L`` is the spread of the starts. Optimistix solves: Levenberg-Marquardt; where the
state is too large for a dense Jacobian, Newton's method with GMRES, which only multiplies by it.
"""

import functools
from collections.abc import Callable
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
LANES, ROWS = 16, 2048
"""Starts of a chunk: so many numbers in all, and no fewer starts."""
STEPS, STAGE, FALLING = 256, 64, 0.99
"""Steps, those of a stage, and by what factor ``|G|`` has to fall in a stage."""
POLISH, SLOTS = 64, 16
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
    deflated: Deflated, starts: Float[Array, "B D"], *, solver: Any, steps: int
) -> tuple[Float[Array, "B D"], Float[Array, " B"], Float[Array, " B"]]:
    """Where each start ends, and ``|F|`` (infinite where a solve lost its way) and ``|G|`` there."""

    def one(start: Float[Array, " D"]) -> tuple[Float[Array, " D"], Scalar, Scalar]:
        x = optx.root_find(deflated, solver, start, throw=False, max_steps=steps).value
        size = jnp.linalg.norm(deflated.field(x))
        well = jnp.isfinite(size) & jnp.all(jnp.isfinite(x))
        return x, jnp.where(well, size, jnp.inf), jnp.linalg.norm(deflated(x))

    return jax.vmap(one)(starts)


def land(
    field: Field, starts: np.ndarray, known: np.ndarray, scales: tuple[float, float], solver: Any, enough: float
) -> tuple[np.ndarray, np.ndarray]:
    """Where starts (B, D) end if the roots ``known`` (K, D) are divided out, and ``|F|`` there (B,).

    ``scales`` are the spread of the starts and a typical ``|F|``; ``enough`` is an ``|F|`` that needs no more steps.

    The default solver takes its steps in stages, after each of which only those starts go on that have not arrived and
    whose ``|G|`` still falls: a batch takes as long as its slowest row. Starts go through in chunks of one size, and
    roots fill slots whose number doubles, so that one program serves nearly all calls.
    """
    count, size = starts.shape
    slots = max(SLOTS, 1 << max(len(known) - 1, 0).bit_length())
    padded = np.zeros((slots, size))
    padded[: len(known)] = known
    used = jnp.asarray(np.arange(slots) < len(known))
    deflated = Deflated(field, jnp.asarray(padded), used, *(jnp.asarray(one, float) for one in scales))
    rows = min(max(LANES, ROWS // size), max(1, ENTRIES // (size * max(slots, size if size <= DENSE else 32))))
    stage = STAGE if solver is None else STEPS
    xs, sizes, merits, left = starts.astype(float), np.full(count, np.inf), np.full(count, np.inf), np.arange(count)
    for _ in range(0, STEPS, stage):
        program = functools.partial(_landed, deflated, solver=solver_for(size, solver), steps=stage)
        xs[left], sizes[left], after = _through(program, xs[left], rows)
        going = (sizes[left] > enough) & (after < FALLING * merits[left])
        merits[left] = after
        left = left[going]
        if not len(left):
            break
    return xs, sizes


def _through(program: Callable, starts: np.ndarray, rows: int) -> list[np.ndarray]:
    """The results of a compiled program for starts (B, D), in chunks of ``rows``."""
    count = len(starts)
    filled = np.concatenate([starts, np.repeat(starts[-1:], -count % rows, axis=0)])
    parts = [program(jnp.asarray(filled[k : k + rows])) for k in range(0, count, rows)]
    return [np.concatenate([np.asarray(one) for one in ones])[:count] for ones in zip(*parts, strict=True)]


@eqx.filter_jit
def _polished(
    field: Field, points: Float[Array, "B D"], *, scale: Scalar
) -> tuple[Float[Array, "B D"], Float[Array, " B"]]:
    def one(x: Float[Array, " D"]) -> tuple[Float[Array, " D"], Scalar]:
        newton = optx.Newton(rtol=1e-14, atol=1e-16)
        finer = optx.root_find(lambda z, _: field(z) / scale, newton, x, throw=False, max_steps=POLISH).value
        size = jnp.linalg.norm(field(finer))
        return finer, jnp.where(jnp.isfinite(size) & jnp.all(jnp.isfinite(finer)), size, jnp.inf)

    return jax.vmap(one)(points)


def polish(field: Field, points: np.ndarray, scale: float) -> tuple[np.ndarray, np.ndarray]:
    """Newton's method from points (B, D), for roots that are not simple, to which others only creep."""
    program = functools.partial(_polished, field, scale=jnp.asarray(scale))
    xs, sizes = _through(program, points, max(LANES, ROWS // points.shape[1]))
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
