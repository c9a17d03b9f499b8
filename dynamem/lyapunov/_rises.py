"""Counting rises: pairs of neighbouring values along trajectories whose difference exceeds the rounding bound."""

from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Scalar

from .._types import EnergyFn
from ._rounding import magnitude, rounding_bound
from ._trajectory import along


class Rises(eqx.Module):
    """What an energy did along trajectories, as NumPy arrays on the host.

    Attributes:
        values: energies, shape (B, n).
        change: differences of neighbours, shape (B, n - 1), zero in the padding.
        bound: rounding bound of each difference, shape (B, n - 1).
        valid: which differences belong to real steps, shape (B, n - 1).
    """

    values: np.ndarray
    change: np.ndarray
    bound: np.ndarray
    valid: np.ndarray

    @property
    def undefined(self) -> bool:
        """Whether the energy was NaN or infinite anywhere it was asked for."""
        return not bool(np.all(np.isfinite(self.values)))

    @property
    def rising(self) -> np.ndarray:
        """Boolean (B, n - 1): the difference exceeds its bound."""
        return self.valid & (self.change > self.bound)

    @property
    def tolerance(self) -> float:
        """The largest rounding bound in use."""
        return float(np.max(self.bound[self.valid], initial=0.0))

    def largest(self) -> tuple[int, int] | None:
        """Trajectory and step of the largest rise, None if there is none."""
        if not self.rising.any():
            return None
        flat = int(np.argmax(np.where(self.rising, self.change, -np.inf)))
        row, step = np.unravel_index(flat, self.change.shape)
        return int(row), int(step)

    def summary(self) -> dict[str, Any]:
        """Counts and sizes for a verdict's evidence."""
        rising, place = self.rising, self.largest()
        return {
            "pairs": int(self.valid.sum()),
            "rises": int(rising.sum()),
            "largest_rise": float(self.change[place]) if place else 0.0,
            "tolerance": self.tolerance,
        }


class Sized(eqx.Module):
    """``(t, x) -> (E, its magnitude)``."""

    energy: EnergyFn

    def __call__(self, t: Scalar, x: Float[Array, " D"]) -> tuple[Scalar, Scalar]:
        """At time ``t`` and state ``x`` (D,)."""
        return self.energy(t, x), magnitude(self.energy, t, x)


def rises_of(
    energy: EnergyFn, ts: Float[Array, "B n"], xs: Float[Array, "B n D"], count: Array, tolerance: float = 0.0
) -> Rises:
    """Evaluate an energy along trajectories and difference it; ``tolerance`` is forgiven on top of rounding."""
    values, sizes = along(Sized(energy), ts, xs)
    return differences(values, sizes, np.asarray(count), tolerance)


def differences(values: np.ndarray, sizes: np.ndarray, count: np.ndarray, tolerance: float = 0.0) -> Rises:
    """`Rises` from energies and magnitudes (B, n) and the number of valid entries of each row."""
    bound = np.asarray(rounding_bound(jnp.asarray(sizes)))
    valid = np.arange(1, values.shape[1])[None, :] < count[:, None]
    with np.errstate(invalid="ignore"):  # infinite minus infinite: the caller asks for `undefined`
        change = np.where(valid, np.diff(values, axis=1), 0.0)
    return Rises(values, change, bound[:, 1:] + bound[:, :-1] + tolerance, valid)
