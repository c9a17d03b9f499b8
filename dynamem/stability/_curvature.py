r"""Where the state of high noise loses its stability: curvature of ``-log p``, and the drift of the reverse SDE.

The drift of a path in its own state, with churn zeta (0 the probability flow, 1 the reverse SDE), is

    -f x - (1 + zeta)/2 (g/sigma)^2 (x - alpha m),       fixed where  m(y, s) = kappa y,
    kappa = 1 + 2 f sigma^2/((1 + zeta) g^2)  (VP: 1 - sigma^2/(1 + zeta);  VE and the canonical state y: 1),

and, with ``dm/dy = C/s^2``, its fixed point is stable where ``lambda_max(C) < kappa s^2``. So one computation gives

- ``kappa = 1``: the curvature of ``-log p_t`` at its critical point, ``(1 - C/s^2)/noise^2``, changes sign;
- ``zeta = 1``: the critical time of the drift potential (Raya & Ambrogioni 2023, arXiv 2305.19693, eq. 9), which
  depends on the schedule. For +1 and -1 under VP ``alpha = sqrt(sqrt(2) - 1) = 0.6436``.

For the two patterns ``-+m`` the curvature changes at ``s = m``; for ``N(-+m, c^2)`` at ``s^2 = m^2 - c^2``; for one
Gaussian never. Its cheap relative is the level ``s^2 = Lambda`` of the data covariance's largest eigenvalue.
"""

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import lineax as lx
import numpy as np
import optimistix as optx
import scipy.linalg
import scipy.optimize
import scipy.sparse.linalg
from jaxtyping import Array, Float, Scalar

from .._errors import InputError
from ..diffusion import AbstractLaw, AbstractSchedule
from ._critical_time import crossing, scan


DENSE = 500
"""Up to this size matrices are formed; above it they are only applied."""
STEPS = 12
"""Newton steps before a fixed point counts as lost."""
FINEST = 1e-9
"""Least relative step of a branch: where it ends is known this well."""
NEAR, LEAP = 0.25, 0.1
"""Most that a step may move the point, in the length ``s^2/radius`` on which posteriors change, and ``lambda_max/s^2``.
"""
SETTLED = 1e-12
"""Where ``lambda_max(C)/s^2`` is below this the posterior is one memory, and a branch is followed no further."""
Kappa = Callable[[float], float]


@dataclasses.dataclass(frozen=True)
class Loss:
    """Where a fixed point that was followed from high noise is lost.

    Attributes:
        s: the noise level, NaN if it is stable down to the least level.
        y: the fixed point there, or the last one, shape (D,).
        kind: "crossing" (an eigenvalue changes sign and the point stays), "fold" (the point ends), or "none".
        start: the level at which the branch was begun.
        end: the least level that was looked at.
    """

    s: float
    y: Float[np.ndarray, " D"]
    kind: str
    start: float
    end: float


@eqx.filter_jit
def prior_moments(law: AbstractLaw, zero: Float[Array, " D"]) -> tuple[Float[Array, " D"], Scalar]:
    """Mean (D,) and trace of the covariance of a law: its moments without a tilt."""
    found = law.tilt(zero, jnp.zeros((), zero.dtype))
    return found.mean, found.trace


@eqx.filter_jit
def _applied(law: AbstractLaw, eta: Array, kappa: Scalar, v: Array) -> Array:
    """``C v``: the covariance is the derivative of the mean in ``eta``."""
    return jax.jvp(lambda e: law.tilt(e, kappa).mean, (eta,), (v,))[1]


@eqx.filter_jit
def _matrix(law: AbstractLaw, eta: Array, kappa: Scalar) -> Array:
    found = jax.jacfwd(lambda e: law.tilt(e, kappa).mean)(eta)
    return 0.5 * (found + found.T)


def covariance(law: AbstractLaw, y: Float[Array, " D"], s: float = math.inf) -> Float[np.ndarray, "D D"]:
    """Posterior covariance at state ``y`` and level ``s``, that of the law itself at ``s = inf``; shape (D, D)."""
    kappa = jnp.asarray(s**-2.0, y.dtype)
    return np.asarray(_matrix(law, kappa * y, kappa))


def top_eigenvalue(law: AbstractLaw, y: Float[Array, " D"], s: float = math.inf) -> float:
    """The largest eigenvalue of ``C(y, s)``: LAPACK's up to D = 500, above by Lanczos without forming the matrix.

    Arguments:
        law: any law.
        y: state, shape (D,).
        s: noise level; infinity for the covariance of the data.
    """
    size = y.shape[0]
    if size <= DENSE:
        last = size - 1
        return float(scipy.linalg.eigh(covariance(law, y, s), eigvals_only=True, subset_by_index=[last, last])[0])
    kappa = jnp.asarray(s**-2.0, y.dtype)
    operator: Any = scipy.sparse.linalg.LinearOperator(
        (size, size), lambda v: np.asarray(_applied(law, kappa * y, kappa, jnp.asarray(v.reshape(size), y.dtype))),
        dtype=np.dtype(y.dtype),
    )  # fmt: skip
    start = np.random.default_rng(0).normal(size=size)
    return float(scipy.sparse.linalg.eigsh(operator, k=1, which="LA", v0=start, return_eigenvectors=False)[0])


class Gap(eqx.Module):
    """``z -> kappa z - m(z, s)`` with the law, ``s`` and ``kappa`` as arrays: one program for all of them."""

    law: AbstractLaw
    s: Scalar
    kappa: Scalar

    def __call__(self, z: Float[Array, " D"], args: Any = None) -> Float[Array, " D"]:
        """Zero at fixed points, shape (D,)."""
        return self.kappa * z - self.law.denoise(z, self.s)


@eqx.filter_jit
def _settle(gap: Gap, y: Float[Array, " D"], atol: Scalar) -> tuple[Array, Array]:
    """A zero of ``gap`` near ``y`` by Newton, and whether it was found; where ``y`` is one it stays."""
    solver = lx.AutoLinearSolver(well_posed=None) if y.shape[0] <= DENSE else lx.GMRES(rtol=1e-8, atol=1e-12)
    newton = optx.Newton(rtol=1e-10, atol=1e-10, linear_solver=solver)
    there = jnp.max(jnp.abs(gap(y))) <= atol
    found = optx.root_find(gap, newton, y, max_steps=STEPS, throw=False).value
    better = jnp.where(there, y, found)
    miss = jnp.max(jnp.abs(gap(better)))
    return better, jnp.all(jnp.isfinite(better)) & (miss <= 100 * atol)


def lost_stability(
    law: AbstractLaw, kappa: Kappa = lambda s: 1.0, *, start: float | None = None, end: float | None = None
) -> Loss:
    """Follow the one fixed point of high noise, ``m(y, s) = kappa y``, to where ``lambda_max(C) = kappa s^2``.

    The branch is followed by Newton (Optimistix) with steps in ``log s`` that adapt: a point that is lost, or that
    lies too far away to be the same one, halves the step.

    Arguments:
        law: any law.
        kappa: a function of ``s``, 1 for the curvature of ``-log p``.
        start: noise level to begin at; four times the data's root mean square radius by default. Of several fixed
            points there, the one near ``mean/kappa`` is followed.
        end: least level; a thousandth of the root of the data's largest variance by default.

    Raises:
        InputError: no fixed point is found at ``start``, or levels that do not fall.
    """
    zero = jnp.zeros(_size(law), jnp.result_type(float))
    mean, trace = prior_moments(law, zero)
    radius = math.sqrt(float(trace)) or 1.0
    start = 4 * radius if start is None else start
    end = 1e-3 * math.sqrt(max(top_eigenvalue(law, zero), 0.0)) if end is None else end
    if not 0 <= end < start:
        msg = f"start={start!r}, end={end!r}: need levels that fall, 0 <= end < start"
        raise InputError(msg)
    atol = jnp.asarray(1e-12 * (radius + float(jnp.max(jnp.abs(mean)))), zero.dtype)

    def settle(y: Array, s: float) -> tuple[Array, bool]:
        gap = Gap(law, jnp.asarray(s, y.dtype), jnp.asarray(kappa(s), y.dtype))
        found, ok = _settle(gap, y, atol)
        return found, bool(ok)

    y, ok = settle(mean / kappa(start), start)
    if not ok:
        msg = f"start={start!r}: no fixed point near the mean of the data; begin at more noise"
        raise InputError(msg)
    return _follow(law, kappa, settle, y, (start, max(end, 1e-12 * start), radius))


def _size(law: Any) -> int:
    """Coordinates of a law's states: of its patterns or means, as no law names them otherwise."""
    for leaf in jax.tree.leaves(law):
        if getattr(leaf, "ndim", 0) == 2:
            return leaf.shape[1]
    msg = f"law={type(law).__name__}: has no array of shape (N, D) that says how many coordinates a state has"
    raise InputError(msg)


def _follow(law: AbstractLaw, kappa: Kappa, settle: Callable, y: Array, span: tuple[float, float, float]) -> Loss:
    """Down the branch with steps ``h`` in ``log s``, doubled after each that held."""
    s, end, radius = span
    start = s

    def margin(point: Array, at: float) -> float:
        return top_eigenvalue(law, point, at) / at**2 - kappa(at)

    def made(at: float, point: Array, kind: str) -> Loss:
        return Loss(at, np.asarray(point), kind, start, end)

    h, before = 0.125, margin(y, s)
    if before >= 0:
        return made(math.inf, y, "crossing")
    while s > end:
        below = max(s * math.exp(-h), end)
        point, ok = settle(y, below)
        near = ok and float(jnp.linalg.norm(point - y)) <= NEAR * below * min(1.0, below / radius)
        now = margin(point, below) if near else math.inf
        if not abs(now - before) <= LEAP:
            h /= 2
            if h < FINEST:
                return made(s, y, "fold")
            continue
        if now >= 0:
            at = _crossed(lambda u, near=y: margin(settle(near, u)[0], u), below, s)
            return made(at, settle(y, at)[0], "crossing")
        s, y, h, before = below, point, min(2 * h, 0.125), now
        if now + kappa(s) < SETTLED:
            break
    return made(math.nan, y, "none")


def _crossed(gap: Callable[[float], float], low: float, high: float) -> float:
    """Brent's root between two levels, in their logarithm."""
    found: Any = scipy.optimize.brentq(lambda u: gap(math.exp(u)), math.log(low), math.log(high), xtol=1e-14)
    return math.exp(found)


def curvature_at(law: AbstractLaw, y: Float[Array, " D"], high: float, low: float) -> float:
    """The largest ``s`` at which ``lambda_max(C(y, s)) = s^2`` with ``y`` (D,) held: no fixed point need be there.

    Arguments:
        law: any law.
        y: the state.
        high: where the scan begins.
        low: where it ends.
    """
    return crossing(lambda s: top_eigenvalue(law, y, s) / s**2 - 1, scan(high, low))


def kappa_of(schedule: AbstractSchedule, churn: float) -> Kappa:
    """``kappa(s)`` of a schedule's own state: ``1 + 2 f sigma^2/((1 + churn) g^2)``, for levels that it reaches.

    Arguments:
        schedule: any schedule.
        churn: 0 for the probability flow, 1 for the reverse SDE.
    """

    def kappa(s: float) -> float:
        return float(_kappa(schedule, jnp.asarray(-math.log(s)), jnp.asarray(churn, jnp.result_type(float))))

    return kappa


@eqx.filter_jit
def _kappa(schedule: AbstractSchedule, lam: Scalar, churn: Scalar) -> Scalar:
    t = schedule.t_of_lam(lam)
    return 1 + 2 * schedule.f(t) * schedule.sigma(t) ** 2 / ((1 + churn) * schedule.g2(t))
