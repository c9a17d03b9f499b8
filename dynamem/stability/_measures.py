r"""Local measures of stability: how much a small disturbance grows at first, at most, and how fast it dies out.

With the Jacobian J at a state and ``H = (J + J^T)/2`` (Neubert & Caswell 1997, Ecology 78:653)

    reactivity           lambda_max(H)           largest rate of growth at first
    rate (resilience)    -max Re lambda(J)       rate of decay in the end; 1/rate is the return time
    amplification        max_t |exp(J t)|_2      largest growth at any time, and when

For a map with Jacobian A (Caswell & Neubert 2005, J. Difference Equ. Appl. 11:295) these are ``ln |A|_2``, ``-ln
max |lambda(A)|`` and ``max_k |A^k|_2``. A state with positive reactivity can be stable, yet some disturbances of it
grow first.
"""

import dataclasses
from typing import Any

import jax.numpy as jnp
import numpy as np
import scipy.linalg
import scipy.optimize
from jaxtyping import PyTree, Shaped

from .._types import Given
from .._validate import floats, require_patterns
from ._field import field_of


GRID = 256
MOST_STEPS = 10_000


@dataclasses.dataclass(frozen=True)
class Measures:
    """Local measures at a state; they speak of its stability if it is a fixed point.

    Attributes:
        reactivity: largest rate of growth at first, per unit of time or step.
        rate: of decay in the end, not positive where the state is unstable or only neutrally stable.
        return_time: ``1/rate``, infinite where the rate is not positive.
        amplification: largest growth of a disturbance at any time, at least 1: infinite where the state is
            unstable, NaN where it is only neutrally stable, else the largest of a grid of times, refined around it.
        amplification_time: when; NaN where it is infinite.
        speed: ``|F(x)|``, of a map ``|f(x) - x|``: 0 at a fixed point.
        is_map: whether times are steps.
    """

    reactivity: float
    rate: float
    return_time: float
    amplification: float
    amplification_time: float
    speed: float
    is_map: bool


def measures(flow: Any, x: Shaped[Given, " D"], t: float | None = None, *, args: PyTree = None) -> Measures:
    """Local measures of stability at a state.

    Arguments:
        flow: a flow (of one with noise the drift is taken), any Diffrax terms, or a `Map`.
        x: a state, shape (D,), a fixed point as a rule.
        t: the time that is held; None where nothing reads the time.
        args: what the user's terms are given.

    Raises:
        InputError: the flow depends on time and no time is named, or the flow is undefined here.
    """
    x = floats("x", x)
    require_patterns("x[None]", x[None])
    field = field_of(flow, t, x.shape[0], args)
    J, speed = np.asarray(field.jacobian(x), float), float(jnp.linalg.norm(field(x)))
    if not (np.all(np.isfinite(J)) and np.isfinite(speed)):
        return Measures(*(float("nan"),) * 6, field.is_map)
    if field.is_map:
        return _of_map(J + np.eye(len(J)), speed)
    rate = -float(np.max(np.linalg.eigvals(J).real))
    largest, when = _amplified(J, rate)
    reactivity = float(np.max(np.linalg.eigvalsh((J + J.T) / 2)))
    return Measures(reactivity, rate, 1 / rate if rate > 0 else float("inf"), largest, when, speed, False)


def _of_map(A: np.ndarray, speed: float) -> Measures:
    radius = float(np.max(np.abs(np.linalg.eigvals(A))))
    norm = float(np.linalg.norm(A, 2))
    with np.errstate(divide="ignore"):
        reactivity, rate = float(np.log(norm)), -float(np.log(radius)) + 0.0
    largest, when, power, steps = 1.0, 0.0, np.eye(len(A)), 0
    while radius < 1 and steps < MOST_STEPS:
        power, steps = power @ A, steps + 1
        size = float(np.linalg.norm(power, 2))
        if size > largest:
            largest, when = size, float(steps)
        if size < 1:  # |A^(k+j)| <= |A^k| |A^j| from here on
            break
    if radius >= 1:
        largest, when = (float("inf"), float("nan")) if radius > 1 else (float("nan"), float("nan"))
    return Measures(reactivity, rate, 1 / rate if rate > 0 else float("inf"), largest, when, speed, True)


def _amplified(J: np.ndarray, rate: float) -> tuple[float, float]:
    """The largest ``|exp(J t)|``, and when; once it is below 1 it stays below what it was before.

    With an eigenvalue on the imaginary axis the maximum is not searched for: NaN.
    """
    if not rate > 0:
        return (float("inf") if rate < 0 else float("nan")), float("nan")

    def size(t: float) -> float:
        return float(np.linalg.norm(scipy.linalg.expm(J * t), 2))

    end = 1 / rate
    while not size(end) < 1:
        end *= 2
    step, power = scipy.linalg.expm(J * (end / GRID)), np.eye(len(J))
    sizes = [1.0]
    for _ in range(GRID):
        power = power @ step
        sizes.append(float(np.linalg.norm(power, 2)))
    best = int(np.argmax(sizes))
    around = tuple(end / GRID * place for place in (max(best - 1, 0), min(best + 1, GRID)))
    found = scipy.optimize.minimize_scalar(
        lambda t: -size(t), bounds=around, method="bounded", options={"xatol": 1e-9 * end}
    )
    top = float(-found.fun)
    return (top, float(found.x)) if top > sizes[best] and top > 1 else (sizes[best], best * end / GRID)
