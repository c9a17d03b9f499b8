"""Where a search may look: a box in state and time, and constraints ``c(t, x) <= 0``."""

from collections.abc import Callable, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Scalar

from .._errors import InputError
from ._inputs import traced


STRIDES = 8
OVERSHOOT = 1.01


class Domain(eqx.Module):
    """States and times, time last.

    Attributes:
        low: least values, shape (D + 1,), minus infinity where there is no bound.
        high: largest values, shape (D + 1,).
        constraints: functions ``c(t, x)`` that are at most 0 inside.
    """

    low: Float[Array, " rows"]
    high: Float[Array, " rows"]
    constraints: tuple[Callable, ...] = ()

    def admits(self, t: Scalar, x: Float[Array, " D"]) -> Bool[Array, ""]:
        """Whether a point lies inside; a constraint that is NaN there does not admit it."""
        inside = jnp.all((x >= self.low[:-1]) & (x <= self.high[:-1])) & (t >= self.low[-1]) & (t <= self.high[-1])
        for constraint in self.constraints:
            inside = inside & (constraint(t, x) <= 0)
        return inside

    def project(self, t: Scalar, x: Float[Array, " D"]) -> tuple[Scalar, Float[Array, " D"]]:
        """Into the box, then by a few Newton steps toward the constraints; it need not arrive."""

        def stride(_: Array, point: Float[Array, " rows"]) -> Float[Array, " rows"]:
            excess, slope = jax.value_and_grad(self._excess)(point)
            step = OVERSHOOT * excess / (slope @ slope + jnp.finfo(point.dtype).tiny) * slope
            return self._boxed(point - jnp.where(jnp.isfinite(step), step, jnp.zeros_like(step)))

        point = self._boxed(jnp.append(x, t))
        point = jax.lax.fori_loop(0, STRIDES, stride, point) if self.constraints else point
        return point[-1], point[:-1]

    def _boxed(self, point: Float[Array, " rows"]) -> Float[Array, " rows"]:
        return jnp.clip(point, self.low, self.high)

    def _excess(self, point: Float[Array, " rows"]) -> Scalar:
        values = [jnp.maximum(constraint(point[-1], point[:-1]), 0) for constraint in self.constraints]
        return jnp.sum(jnp.stack(values))

    def words(self) -> str:
        """For a verdict's region."""
        boxed = bool(jnp.any(jnp.isfinite(self.low[:-1]) | jnp.isfinite(self.high[:-1])))
        where = "in the given box" if boxed else "unbounded in state"
        count = len(self.constraints)
        return f"{where}, under {count} constraint{'s'[: count > 1]}" if count else where


def domain_of(box: Any, constraints: Sequence[Callable], span: tuple[Scalar, Scalar], x: Float[Array, " D"]) -> Domain:
    """The domain of a search: ``box`` rows (lo, hi), a last one for time if there is one more than coordinates."""
    size = x.shape[0]
    rows = np.full((size, 2), (-np.inf, np.inf)) if box is None else np.asarray(box, np.float64)
    if rows.shape not in ((size, 2), (size + 1, 2)):
        msg = f"box.shape={rows.shape!r}: need a row (lo, hi) for each of {size} coordinates, and perhaps one for time"
        raise InputError(msg)
    times = np.asarray([float(span[0]), float(span[1])])
    if len(rows) == size + 1:
        times = np.asarray([max(times[0], rows[-1, 0]), min(times[1], rows[-1, 1])])
    rows = np.concatenate([rows[:size], times[None]])
    wrong = np.flatnonzero(~(rows[:, 0] <= rows[:, 1]))
    if wrong.size:
        lo, hi = (float(end) for end in rows[wrong[0]])
        name = "its times within [t0, t1]" if wrong[0] == size else f"row {wrong[0]}"
        msg = f"box: {name} run from {lo!r} to {hi!r}: need lo <= hi"
        raise InputError(msg)
    for constraint in constraints:
        value = traced("constraint", constraint, span[0], x)
        if jnp.shape(value) != ():
            msg = f"constraint(t, x) has shape {jnp.shape(value)!r}: need one number, at most 0 inside"
            raise InputError(msg)
    return Domain(jnp.asarray(rows[:, 0]), jnp.asarray(rows[:, 1]), tuple(constraints))
