r"""D1: every linear-Gaussian probability flow is one and the same Hopfield flow, ``dy/dlam = m - y``.

The drift of a path in its own coordinates, ``dx/dtau`` with ``tau = 1 - t``, carried to ``y = x/alpha`` and
``lam = log(alpha/sigma)``. A `Jet` has any values and slopes of ``alpha`` and ``sigma``, so this is every schedule. The
weights are those of modern Hopfield retrieval (Ramsauer et al. 2021) with bias ``-|xi|^2/2`` and ``beta = 1/s^2``.
"""

import jax
import sympy
from _posterior import ALPHA, ALPHA_DOT, INSIDE, JET, SIGMA, SIGMA_DOT, TIME, XI, Jet, U, Y, draws, over, path

import dynamem as dm
from dynamem.theorems import theorem, traced


def own(xi, u, t, alpha, alpha_dot, sigma, sigma_dot, x):
    """The drift that the code integrates in the path's own coordinates."""
    where = path(xi, u, Jet(t, (alpha, alpha_dot, sigma, sigma_dot)))
    return dm.ProbabilityFlow(where, clock="tau").drift(1 - t, x, None)


def canonical(xi, u, lam, y):
    """The drift on the clock ``lam``, the denoiser, and one retrieval of a modern Hopfield network."""
    where, beta = path(xi, u), jax.numpy.exp(2 * lam)
    retrieved = dm.LogSumExp(xi, beta).update(y)
    return dm.ProbabilityFlow(where).drift(lam, y, None), where.law.denoise(y, jax.numpy.exp(-lam)), retrieved


@theorem(
    "D1",
    "Every linear-Gaussian probability flow is one Hopfield flow: dy/dlam = m - y",
    domain="all schedules (by their 1-jet), all weights; the traced code at N = 3, D = 2",
)
def one_flow(proof, *, rate=1):
    lam = sympy.log(ALPHA / SIGMA)
    drift = traced(own, XI, U, TIME, *JET, ALPHA * Y, within=INSIDE)
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


def both(schedule, xi, u, y, lam):
    """``dy/dlam`` of a schedule in its own coordinates, and ``m - y``, at a middle time."""
    t = 0.2 + 0.2 * jax.nn.sigmoid(lam)
    alpha, s = schedule.alpha(t), schedule.s(t)
    drift = dm.ProbabilityFlow(path(xi, u, schedule), clock="tau").drift(1 - t, alpha * y, None)
    return (drift / alpha + schedule.f(t) * y) / -jax.grad(schedule.lam)(t), path(xi, u).law.denoise(y, s) - y


main = one_flow.prove
