r"""A model of the user's as a denoiser: a callable, and what it says that it predicts.

A path locates a state as ``(x, alpha, sigma)`` on whatever clock; a network wants the state of the schedule that it was
trained on and that schedule's time. Both are found from ``lam = log(alpha/sigma)``, which no rescaling of the state
changes: ``t = t_of_lam(lam)``, and the state times ``(alpha(t) + sigma(t))/(alpha + sigma)``, finite also where
``alpha = 0``. What the network returns becomes ``m`` by `convert`.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, Scalar

from .._errors import InputError
from .._validate import require_positive
from ._denoiser import AbstractDenoiser
from ._parametrisation import Parametrisation, convert, require_parametrisation
from ._point import Point
from ._schedule import AbstractSchedule


class Prediction(AbstractDenoiser):
    """A callable ``model(state, time) -> prediction`` (D,) as a denoiser; state first, both in the state's precision.

    With a schedule the model is given that schedule's own state ``x = alpha x_0 + sigma eps`` and its ``t`` in [0, 1].
    Without one it is given ``(y, s)``, ``y = x_0 + s eps`` (so "x0" is a denoiser ``D(y, s)``, and there is no value
    where ``alpha = 0``); with ``of="edm"``, which takes no schedule, ``(c_in y, c_noise)``, ``c_noise = log(s)/4``,
    Karras et al. 2022 (arXiv 2206.00364), table 1, with ``s = sigma/max(alpha, tiny)``, finite everywhere.

    The path may have another schedule than the model. Noise levels that the model's schedule does not reach are refused
    or NaN, as in `AbstractSchedule.t_of_lam`; so are "eps" and "score" where ``alpha = 0``.

    Arguments:
        model: the callable; a `HostModel` for code that is not JAX's.
        of: what it predicts: "x0", "eps", "score", "v", "velocity" or "edm" (defined at `convert`).
        schedule: the schedule that it was trained on.
        sigma_data: standard deviation of the data, for "edm".
    """

    model: Callable
    of: Parametrisation = eqx.field(static=True)
    schedule: AbstractSchedule | None = None
    sigma_data: Float[Array, ""] = eqx.field(default=0.5, converter=partial(jnp.asarray, dtype=float))

    def __check_init__(self) -> None:
        require_parametrisation("of", self.of)
        require_positive("sigma_data", self.sigma_data, scalar=True)
        if not callable(self.model):
            msg = f"model={self.model!r:.60}: need a callable (state (D,), time) -> prediction (D,)"
            raise InputError(msg)
        if self.of == "edm" and self.schedule is not None:
            name = type(self.schedule).__name__
            msg = f"schedule={name}: of='edm' is a network of (c_in y, c_noise) and takes no schedule, leave it out"
            raise InputError(msg)

    def mean(self, point: Point) -> Float[Array, " D"]:
        """``m`` from what the model predicts, shape (D,)."""
        if self.of == "edm":
            return self._preconditioned(point)
        x, t, alpha, sigma = own_state(point, self.schedule)
        value = _predicted(self.model, x, x, t)
        return convert(value, x, alpha, sigma, of=self.of, to="x0", slopes=self._slopes(t))

    def _preconditioned(self, point: Point) -> Float[Array, " D"]:
        x, data = point.x, self.sigma_data.astype(point.x.dtype)
        least = jnp.asarray(jnp.finfo(x.dtype).tiny, x.dtype)
        c_noise = (jnp.log(point.noise) - jnp.log(jnp.maximum(point.scale, least))) / 4
        value = _predicted(self.model, x, x / jnp.hypot(point.noise, point.scale * data), c_noise)
        return convert(value, x, point.scale, point.noise, of="edm", to="x0", sigma_data=data)

    def _slopes(self, t: Scalar) -> tuple[Scalar, Scalar] | None:
        if self.of != "velocity":
            return None
        if self.schedule is None:
            return jnp.zeros_like(t), jnp.ones_like(t)
        return self.schedule.alpha_dot(t), self.schedule.sigma_dot(t)


def own_state(point: Point, schedule: AbstractSchedule | None) -> tuple[Float[Array, " D"], Scalar, Scalar, Scalar]:
    """``(x, t, alpha, sigma)`` of the schedule at the noise level of a point; ``(y, s, 1, s)`` without one."""
    if schedule is None:
        s = point.noise / point.scale
        return point.x / point.scale, s, jnp.ones_like(s), s
    t = schedule.t_of_lam(jnp.log(point.scale) - jnp.log(point.noise))
    factor = (schedule.alpha(t) + schedule.sigma(t)).astype(point.x.dtype) / (point.scale + point.noise)
    return factor * point.x, t, factor * point.scale, factor * point.noise


def _predicted(model: Callable, like: Float[Array, " D"], x: Any, t: Any) -> Float[Array, " D"]:
    """``model(x, t)``, which has the shape and precision of the state."""
    value = model(x, t)
    if jnp.shape(value) != like.shape or jnp.result_type(value) != like.dtype:
        name = getattr(model, "__name__", type(model).__name__)
        msg = (
            f"model={name}: gives shape {jnp.shape(value)!r} and dtype {jnp.result_type(value)!s} for a state of shape "
            f"{like.shape!r} and dtype {like.dtype!s}: return what the state is, astype(x.dtype) if need be"
        )
        raise InputError(msg)
    return jnp.asarray(value)
