"""Does an energy change as its derivative says? Over steps so short that values in less precision stay or leap."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Scalar

from .._types import EnergyFn
from ..lyapunov import magnitude, rounding_bound
from ._told import aim, fail, literal


CHANGE = 2.0**-30
"""Change that a step is made for, over the size of what the energy adds: float32 leaves 0 of it, or a leap of 2^-24."""
NEAR = 1e-3
"""How far the places are from a state, over ``1 + |x|``: off the kinks where states like to be."""
PLACES = 8
OFF = 0.1
"""Largest part of the change that may be missing, beside rounding."""
FINE = 2.0**12
"""Least length of a step in rounding units of the place."""
SHORT = 1e-6
"""Largest length of a step, over ``1 + |x|``."""
WHAT = "the energy does not change as its derivative says: less precision than x, or a wrong custom derivative"


def assert_slopes(energy: EnergyFn, t: float, xs: np.ndarray) -> None:
    """``E(z + d) - E(z - d)`` is ``2 d.grad E(z)`` at most of eight places z about each state, d along the gradient.

    Rates and gradients come from derivatives, which do not see that a value is rounded on its way, nor that a custom
    derivative is wrong. Float32 states are not asked: their values hold no such steps.

    Raises:
        AssertionError: it is not, at one of the states; with a place where it is not.
    """
    if xs.dtype != np.float64:
        return
    found, meant, bound, place, move = map(np.asarray, _changed(energy, jnp.asarray(t, xs.dtype), jnp.asarray(xs)))
    excess = (np.abs(found - meant) - bound) / np.abs(meant)
    asked = np.isfinite(excess) & (np.abs(meant) > bound / OFF)
    rank = np.where(asked, excess, -np.inf)
    middle = np.sort(rank, axis=1)[:, PLACES // 2]  # five places are off by no more
    row = int(np.argmax(middle))
    aim(float(middle[row]), "change missed by the derivative")
    if middle[row] > OFF:
        at = row, int(np.argmax(rank[row]))
        facts = {"t": t, "x": place[at], "E(x + d) - E(x - d)": float(found[at]), "2 d.grad E": float(meant[at])}
        test = (
            f"t, x, d = {t!r}, {literal(place[at])}, {literal(move[at])}\n"
            "change = energy(t, x + d) - energy(t, x - d)\n"
            "meant = jax.grad(energy, argnums=1)(t, x) @ ((x + d) - (x - d))\n"
            f"np.testing.assert_allclose(change, meant, rtol={OFF}, atol={float(bound[at])!r})"
        )
        fail(WHAT, facts, test)


@eqx.filter_jit
def _changed(energy: EnergyFn, t: Scalar, xs: Array) -> tuple[Array, ...]:
    """Change, what it is meant to be, its rounding, the place and the step, each (B, places, ...); NaN: not asked."""
    turns = jnp.cos(jnp.outer(jnp.arange(1.0, PLACES + 1), jnp.sqrt(jnp.arange(2.0, xs.shape[1] + 2))))
    ways = turns / jnp.linalg.norm(turns, axis=1, keepdims=True)

    def at(x: Array, size: Scalar, way: Array) -> tuple[Array, ...]:
        far = 1 + jnp.linalg.norm(x)
        z = x + NEAR * far * way
        slope = jax.grad(energy, argnums=1)(t, z)
        length = jnp.linalg.norm(slope)
        step = CHANGE * size / length
        d = step * slope / length
        meant = jnp.sum(slope * ((z + d) - (z - d)))
        fits = (step >= FINE * jnp.finfo(z.dtype).eps * far) & (step <= SHORT * far)
        found = energy(t, z + d) - energy(t, z - d)
        return found, jnp.where(fits, meant, jnp.nan), rounding_bound(2 * size), z, d

    def about(x: Array) -> tuple[Array, ...]:
        return jax.vmap(at, (None, None, 0))(x, magnitude(energy, t, x), ways)

    return jax.vmap(about)(xs)
