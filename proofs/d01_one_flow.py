r"""D1: every linear-Gaussian probability flow is one and the same Hopfield flow, ``dy/dlam = m - y``.

The drift of a path in its own coordinates, ``dx/dtau`` with ``tau = 1 - t``, carried to ``y = x/alpha`` and
``lam = log(alpha/sigma)``. A `Jet` has any values and slopes of ``alpha`` and ``sigma``, so this is every schedule. The
weights are those of modern Hopfield retrieval (Ramsauer et al. 2021) with bias ``-|xi|^2/2`` and ``beta = 1/s^2``.
"""

import jax
import jax.numpy as jnp
import sympy
from _posterior import ALPHA, ALPHA_DOT, JET, SIGMA, SIGMA_DOT, TIME, XI, Jet, U, Y, draws, over, path

import dynamem as dm
from dynamem.theorems import theorem, traced


def own(xi, u, t, alpha, alpha_dot, sigma, sigma_dot, x):
    """The drift that the code integrates in the path's own coordinates."""
    where = path(xi, u, Jet(t, (alpha, alpha_dot, sigma, sigma_dot)))
    return dm.ProbabilityFlow(where, clock="tau").drift(1 - t, x, None)


def canonical(xi, u, lam, y):
    """The drift on the clock ``lam``, the denoiser, and one retrieval of a modern Hopfield network."""
    where, memory = path(xi, u), dm.LogSumExp(xi, jnp.exp(2 * lam))
    return dm.ProbabilityFlow(where).drift(lam, y, None), where.law.denoise(y, jnp.exp(-lam)), memory.update(y)


@theorem(
    "D1",
    "Every linear-Gaussian probability flow is one Hopfield flow: dy/dlam = m - y",
    domain="all schedules (by their 1-jet), all weights; the traced code at N = 3, D = 2; retrieval for equal weights",
)
def one_flow(proof, *, rate=1):
    lam = sympy.log(ALPHA / SIGMA)
    drift = traced(own, XI, U, TIME, *JET, ALPHA * Y)
    lam_dot = SIGMA_DOT / SIGMA - ALPHA_DOT / ALPHA  # d/dtau = -d/dt
    carried = (drift / ALPHA + Y * ALPHA_DOT / ALPHA) / lam_dot
    moved, mean, _ = traced(canonical, XI, U, lam, Y)
    proof.zero("own coordinates carried to (y, lam)", carried - rate * (mean - Y))
    proof.zero("the canonical flow", moved - (mean - Y))
    _, equal, retrieved = traced(canonical, XI, [sympy.Rational(1, 3)] * 3, lam, Y)
    proof.zero("m is one Hopfield retrieval", retrieved - equal)
    xi, u, y, lams = draws()
    for schedule in (dm.VP(), dm.SubVP(), dm.Cosine(), dm.FlowMatching()):
        proof.close(f"the code, {type(schedule).__name__}", *over(lambda *a, s=schedule: both(s, *a), xi, u, y, lams))
    proof.witness("without its bias -|xi|^2/2 the memory retrieves another mean", over(unbiased, xi, y, lams).max())
    proof.witness("in x itself, not y = x/alpha, the flow of VP is another", over(misread, xi, u, y).max())


def both(schedule, xi, u, y, lam):
    """``dy/dlam`` of a schedule in its own coordinates, and ``m - y``, at a middle time."""
    t = 0.2 + 0.2 * jax.nn.sigmoid(lam)
    alpha, s = schedule.alpha(t), schedule.s(t)
    drift = dm.ProbabilityFlow(path(xi, u, schedule), clock="tau").drift(1 - t, alpha * y, None)
    return (drift / alpha + schedule.f(t) * y) / -jax.grad(schedule.lam)(t), path(xi, u).law.denoise(y, s) - y


def unbiased(xi, y, lam):
    """How far the retrieval of a memory without bias is from the denoiser."""
    retrieved = dm.LogSumExp(xi, jnp.exp(2 * lam), norm_bias=False).update(y)
    return jnp.linalg.norm(retrieved - path(xi, None).law.denoise(y, jnp.exp(-lam)))


def misread(xi, u, x):
    """How far ``dx/dlam`` under VP is from ``m(x) - x``, the same flow without ``x = alpha y``."""
    schedule, t = dm.VP(), 0.3
    drift = dm.ProbabilityFlow(path(xi, u, schedule), clock="tau").drift(1 - t, x, None)
    return jnp.linalg.norm(drift / -jax.grad(schedule.lam)(t) - path(xi, u).law.denoise(x, schedule.s(t)) + x)


main = one_flow.prove
