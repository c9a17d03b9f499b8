"""Is this sampler one of the probability flow? Exact where it has to be, and of the order that it claims."""

import itertools
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from .._errors import InputError
from .._journal import recorded
from ..diffusion import VE, DiffusionPath, Empirical, GaussianMixture
from ..flows import ProbabilityFlow
from ..solvers import scan_solve
from ._told import fail


ROUNDING = 1e-11
"""Errors below this part of the states are rounding."""
SPREAD = 0.7
MEAN = (0.3, -1.1)
STARTS = ((2.5, 1.0), (-3.0, 0.5), (0.0, -2.0))


@recorded
def assert_sampler_consistent(
    solver: Any, *, order: float | int, steps: tuple[int, ...] = (8, 16, 32, 64),
    span: tuple[float, float] = (-1.0, 2.0), slack: float = 0.35, exact_on_point: bool = False, rtol: float = 1e-10,
) -> float:  # fmt: skip
    r"""On Gaussian data the sampler comes to the exact end of the flow, at the order that it claims.

    The canonical probability flow of ``N(mean, c^2)`` is linear: ``y - mean`` is proportional to
    ``sqrt(s^2 + c^2)``. The order is the slope of the errors' logarithms over the finer half of the steps whose error
    is more than rounding; where fewer than two are, the sampler is exact.

    Arguments:
        solver: any Diffrax solver that takes the terms of `dm.ProbabilityFlow` on the clock ``lam``.
        order: what it claims.
        steps: numbers of equal steps of lam, increasing.
        span: lam at start and end. Multistep samplers start with a step of order 1: beyond order 2 they show theirs
            only from noise so high that the denoiser rests at first, lam = -7 for instance.
        slack: by how much the order may be missed.
        exact_on_point: whether it has to be exact, in any number of steps, if all data are one point, as exponential
            integrators are.
        rtol: with which it has to be; 1e-6 for samplers that compute in float32 inside.

    Returns:
        The order found, infinite for an exact sampler.

    Raises:
        AssertionError: the end is another one, or the order lower.
        InputError: steps that cannot be used.
    """
    if len(steps) < 2 or any(a >= b for a, b in itertools.pairwise(steps)) or steps[0] < 1:
        msg = f"steps={steps!r}: need at least two increasing numbers of steps"
        raise InputError(msg)
    if jnp.result_type(float) != jnp.float64:
        msg = "orders are asked for in float64: jax.config.update('jax_enable_x64', True) first"
        raise InputError(msg)
    name, mean, scale = type(solver).__name__, np.asarray(MEAN), float(np.exp(-span[0]))
    starts = mean + max(1.0, scale) * np.asarray(STARTS)
    if exact_on_point:
        point = ProbabilityFlow(DiffusionPath(VE(), Empirical(jnp.asarray(mean[None]))))
        wanted = mean + np.exp(span[0] - span[1]) * (starts - mean)
        found = _ends(point, solver, starts, span, steps[0])
        if not np.allclose(found, wanted, rtol=rtol, atol=0.01 * rtol):
            fail(f"{name} is not exact on one point of data", {"steps": steps[0], "ends": found, "expected": wanted})
    flow = ProbabilityFlow(
        DiffusionPath(VE(), GaussianMixture(jnp.asarray(mean[None]), jnp.asarray([SPREAD]), jnp.ones(1)))
    )
    first, last = (np.hypot(np.exp(-lam), SPREAD) for lam in span)
    wanted = mean + last / first * (starts - mean)
    errors = [float(np.sqrt(np.mean((_ends(flow, solver, starts, span, count) - wanted) ** 2))) for count in steps]
    return _order(name, order, slack, np.asarray(steps), np.asarray(errors), float(np.abs(wanted).max()))


def _order(name: str, order: float | int, slack: float, steps: np.ndarray, errors: np.ndarray, size: float) -> float:
    """The order that errors show, which may not be less than what is claimed."""
    told = {"claimed": order, "steps": steps, "errors": errors}
    if not np.all(np.isfinite(errors)):
        fail(f"{name} does not end at numbers", told)
    kept = np.flatnonzero(errors > ROUNDING * size)
    kept = kept[len(kept) // 2 if len(kept) > 2 else 0 :]
    if len(kept) < 2:
        return float("inf")
    slope = float(np.polyfit(-np.log(steps[kept]), np.log(errors[kept]), 1)[0])
    if slope < order - slack:
        fail(f"{name} has not the order that it claims", {"found": slope, **told})
    return slope


def _ends(flow: Any, solver: Any, starts: np.ndarray, span: tuple[float, float], count: int) -> np.ndarray:
    return np.asarray(_scanned(flow, solver, jnp.asarray(starts), jnp.linspace(*span, count + 1)))


@eqx.filter_jit
def _scanned(flow: Any, solver: Any, starts: Array, grid: Array) -> Array:
    return jax.vmap(lambda y0: _last(scan_solve(flow.terms(), solver, grid, y0)))(starts)


def _last(solution: Any) -> Array:
    return solution.ys[0]
