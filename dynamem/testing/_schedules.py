"""Is this a schedule? Signal and noise as they have to be, derivatives that fit, and what float32 leaves of it."""

import functools
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from .._errors import InputError
from .._journal import recorded
from ._told import aim, eps, fail


GRID = 251  # of times that float32 does not hold
BETWEEN = 0.381966
"""Where precision is asked for between neighbours: at its own times a table in float32 is exact."""
ROUNDING = 1e3
EDGE = 1e-3
"""Derivatives are asked for this far from the ends, where those of some schedules are infinite."""


@recorded
def assert_schedule(
    schedule: Any, *, times: Any = None, rtol: float = 1e-9, clean: float = 0.2, float32: bool = True
) -> None:
    """``alpha`` and ``sigma`` make a schedule ``x_t = alpha(t) x_0 + sigma(t) eps`` on [0, 1], t = 1 the noisy end.

    Asked for: both are computed in the precision of t, finite and not negative, alpha positive before t = 1 and sigma
    after t = 0; ``sigma/alpha`` rises strictly; all this in float64 and in float32, where neighbours of the grid may be
    equal, as far as rounding goes; the noise at t = 0 is at most ``clean`` of the signal. Where it has them: ``f``,
    ``g2``, ``alpha_dot``, ``sigma_dot`` and ``lam`` are what alpha and sigma say, ``g2`` is not negative, and
    ``t_of_lam`` is the inverse.

    Arguments:
        schedule: anything with methods ``alpha(t)`` and ``sigma(t)`` of a scalar.
        times: where it is asked, increasing in [0, 1]; 251 in equal steps if not given.
        rtol: of derivatives and of the inverse, beside 1,000 rounding units of the largest.
        clean: largest ``sigma(0)/alpha(0)``.
        float32: whether float32 is asked for too.

    Raises:
        AssertionError: one of these fails; with the time and the values.
        InputError: it has no alpha or sigma, or times that cannot be used.
    """
    ts = np.linspace(0.0, 1.0, GRID) if times is None else np.asarray(times, float)
    if ts.ndim != 1 or len(ts) < 2 or not np.all(np.diff(ts) > 0) or ts[0] < 0 or ts[-1] > 1:
        msg = f"times={times!r:.60}: need increasing times in [0, 1], at least two"
        raise InputError(msg)
    if jnp.result_type(float) != jnp.float64:
        msg = "a schedule is asked for in float64: jax.config.update('jax_enable_x64', True) first"
        raise InputError(msg)
    alpha, sigma = (_values(schedule, name, ts) for name in ("alpha", "sigma"))
    for name in ("alpha", "sigma"):
        _precise(schedule, name, ts[:-1] + BETWEEN * np.diff(ts))
    _signs(ts, alpha, sigma, "float64")
    if sigma[0] > clean * alpha[0] and ts[0] == 0:
        fail("data are not clean at t = 0", {"sigma(0)": sigma[0], "alpha(0)": alpha[0], "clean": clean})
    _rising(ts, alpha, sigma, "float64")
    _derived(schedule, ts[(ts >= EDGE) & (ts <= 1 - EDGE)], rtol)
    if float32:
        narrow = ts.astype(np.float32)
        alpha, sigma = (_values(schedule, name, narrow) for name in ("alpha", "sigma"))
        _signs(narrow, alpha, sigma, "float32")
        _rising(narrow, alpha, sigma, "float32")


def _values(schedule: Any, name: str, ts: np.ndarray) -> np.ndarray:
    method = getattr(schedule, name, None)
    if not callable(method):
        msg = f"schedule={schedule!r:.60} has no method {name}(t): a schedule has alpha(t) and sigma(t)"
        raise InputError(msg)
    return np.asarray(_mapped(method, jnp.asarray(ts)))


@eqx.filter_jit
def _mapped(function: Callable, ts: Array) -> Array:
    """Compiled once for all schedules of a kind."""
    return jax.vmap(function)(ts)


def _precise(schedule: Any, name: str, ts: np.ndarray) -> None:
    """Values at times that float32 does not hold are no float32 numbers, but where the function is constant."""
    value = _values(schedule, name, ts)
    if np.ptp(value) > 0 and np.all(value == value.astype(np.float32)):
        fail(f"{name}(t) is computed in float32 where t is given in float64", {"t": ts[0], name: value[0]})


def _signs(ts: np.ndarray, alpha: np.ndarray, sigma: np.ndarray, kind: str) -> None:
    for name, value, inner in (("alpha", alpha, ts < 1), ("sigma", sigma, ts > 0)):
        bad = ~np.isfinite(value) | (value < 0) | (inner & (value <= 0))
        if bad.any():
            place = int(np.argmax(bad))
            told = {"t": float(ts[place]), name: float(value[place])}
            fail(f"{name} is no finite positive number within the schedule, in {kind}", told)


def _rising(ts: np.ndarray, alpha: np.ndarray, sigma: np.ndarray, kind: str) -> None:
    """``sigma_k alpha_{k+1} < sigma_{k+1} alpha_k``; in float32 rounding may make them equal, but not turn them."""
    gap = sigma[1:] * alpha[:-1] - sigma[:-1] * alpha[1:]
    slack = 4 * eps(alpha.dtype) * sigma[1:] * alpha[:-1] if kind == "float32" else np.zeros_like(gap)
    place = int(np.argmin(gap + slack))
    aim(-float(gap[place]), f"fall of the noise-to-signal ratio, {kind}")
    if gap[place] + slack[place] < 0 or (kind == "float64" and gap[place] == 0):
        told = {"from t": float(ts[place]), "to t": float(ts[place + 1]), "alpha": alpha[place : place + 2],
                "sigma": sigma[place : place + 2]}  # fmt: skip
        fail(f"the noise-to-signal ratio sigma/alpha does not rise, in {kind}", told)


class _Meant(eqx.Module):
    """What a function of a schedule has to be, from alpha and sigma."""

    alpha: Callable
    sigma: Callable
    name: str = eqx.field(static=True)

    def __call__(self, t: Array) -> Array:
        (alpha, up), (sigma, down) = (jax.jvp(f, (t,), (jnp.ones_like(t),)) for f in (self.alpha, self.sigma))
        match self.name:
            case "alpha_dot":
                return up
            case "sigma_dot":
                return down
            case "f":
                return up / alpha
            case "g2":
                return 2 * sigma * (down - up / alpha * sigma)
        return jnp.log(alpha) - jnp.log(sigma)


class _Back(eqx.Module):
    """``t_of_lam(lam(t))``."""

    t_of_lam: Callable
    lam: _Meant

    def __call__(self, t: Array) -> Array:
        return self.t_of_lam(self.lam(t))


def _derived(schedule: Any, ts: np.ndarray, rtol: float) -> None:
    """What a schedule has beside alpha and sigma, against what these say."""
    meant = functools.partial(_Meant, schedule.alpha, schedule.sigma)
    for name in ("alpha_dot", "sigma_dot", "f", "g2", "lam"):
        if callable(getattr(schedule, name, None)):
            found, right = _values(schedule, name, ts), np.asarray(_mapped(meant(name), jnp.asarray(ts)))
            _agree(f"{name}(t) is not what alpha and sigma say", ts, found, right, rtol)
            if name == "g2" and found.min() < 0:
                fail("g2 is negative: the forward SDE takes noise away", {"t": float(ts[int(np.argmin(found))])})
    if callable(getattr(schedule, "t_of_lam", None)):
        back = np.asarray(_mapped(_Back(schedule.t_of_lam, meant("lam")), jnp.asarray(ts)))
        _agree("t_of_lam is not the inverse of lam", ts, back, ts, rtol)


def _agree(what: str, ts: np.ndarray, found: np.ndarray, right: np.ndarray, rtol: float) -> None:
    off = np.abs(found - right) - rtol * np.abs(right) - ROUNDING * eps(right.dtype) * np.abs(right).max()
    place = int(np.argmax(np.where(np.isfinite(off), off, np.inf)))
    if not off[place] <= 0:
        fail(what, {"t": float(ts[place]), "found": float(found[place]), "expected": float(right[place]), "rtol": rtol})
