r"""D2: the density energy rises exactly where ``tr C > D c(t)``, with a threshold ``c`` that its schedule sets.

Along the reverse probability flow, per unit of ``tau``, for ``E = -log p_t`` in the path's own coordinates,

    dE/dtau = -(sigma'/sigma) D + (sigma'/sigma - f) (alpha^2/sigma^2) tr C,
    c = s^2 (sigma'/sigma)/(sigma'/sigma - f),

by a `Jet` for every schedule. The table of thresholds is derived from the schedules' own code.
"""

import jax
import jax.numpy as jnp
import numpy as np
import sympy
from _posterior import ALPHA, ALPHA_DOT, INSIDE, JET, SIGMA, SIGMA_DOT, TIME, XI, D, Jet, U, Y, draws, over, path

import dynamem as dm
from dynamem.programs import rational
from dynamem.theorems import symbols, theorem, traced


def density_rate(xi, u, t, alpha, alpha_dot, sigma, sigma_dot, x):
    """The rate of the density energy along the reverse flow, and ``tr C``."""
    where = path(xi, u, Jet(t, (alpha, alpha_dot, sigma, sigma_dot)))
    rate = dm.generator(dm.DensityEnergy(where, clock="tau"), dm.ProbabilityFlow(where, clock="tau"))(1 - t, x)
    return rate.total, where.law.moments(x / alpha, sigma / alpha).trace


def parts(schedule, t):
    """``alpha``, ``sigma``, ``s``, and the threshold ``c`` of a schedule's own code."""
    steep = schedule.sigma_dot(t) / schedule.sigma(t)
    return schedule.alpha(t), schedule.sigma(t), schedule.s(t), schedule.s(t) ** 2 * steep / (steep - schedule.f(t))


@theorem(
    "D2",
    "The density energy rises exactly where tr C > D c(t), a threshold set by the schedule",
    domain="all schedules (by their 1-jet), all weights; N = 3, D = 2; table: VP, SubVP, VE, EDM, FlowMatching for "
    "all parameters, Cosine with the exact pi in place of its float",
)
def thresholds(proof, *, power=2, own=1):
    rate, trace = traced(density_rate, XI, U, TIME, *JET, ALPHA * Y)
    steep, f = SIGMA_DOT / SIGMA, ALPHA_DOT / ALPHA
    proof.zero("rate", rate + D * steep - (steep - f) * ALPHA**2 / SIGMA**2 * trace)
    c = own * (SIGMA / ALPHA) ** 2 * steep / (steep - f)
    proof.zero("rate = (steep - f)/s^2 (tr C - D c)", rate - (steep - f) * (ALPHA / SIGMA) ** 2 * (trace - D * c))
    low, high = symbols("a", positive=True), symbols("b", positive=True)
    inside = proof.region(INSIDE)
    ramp = lambda kind: lambda t, a, b: parts(kind(a, b), t)  # noqa: E731
    for kind, formula in (
        (dm.VP, lambda alpha, sigma, s: sigma**power),
        (dm.SubVP, lambda alpha, sigma, s: 2 * sigma**power / (1 + alpha**2)),
        (dm.VE, lambda alpha, sigma, s: s**power),
    ):
        alpha, sigma, s, found = traced(ramp(kind), TIME, low, high, within=inside)
        proof.zero(f"c of {kind.__name__}", found - formula(alpha, sigma, s))
    _, _, s, found = traced(lambda t, a: parts(dm.EDM(a), t), TIME, low, within=inside)
    proof.zero("c of EDM", found - s**power)
    alpha, sigma, _, found = traced(lambda t: parts(dm.FlowMatching(), t), TIME, within=inside)
    proof.zero("c of FlowMatching", found - sigma**power / alpha)
    cosine(proof, power)
    numbers(proof)


def cosine(proof, power):
    """``c = sigma^2``: angles ``p = q o``, ``r = q t`` with ``q = pi/2(1 + o)``, and ``q (1 - t) = pi/2 - p - r``."""
    offset, p, r = symbols("o", positive=True), symbols("angle_p"), symbols("angle_r")
    made = traced(
        lambda t, o: parts(dm.Cosine(o), t), TIME, offset, within=proof.region({**INSIDE, offset: (1e-6, 1e3)})
    )
    half_pi = rational(0.5 * np.pi)
    angle = half_pi / (1 + offset)
    names = {angle * offset: p, angle * TIME: r, angle * TIME + 2 * angle * offset: r + 2 * p}

    def renamed(wave):
        for old, new in names.items():
            if sympy.cancel(wave.args[0] - old) == 0:
                return sympy.expand_trig(wave.func(new))
        if sympy.cancel(wave.args[0] - angle * (1 - TIME)) == 0:
            other = {sympy.sin: sympy.cos, sympy.cos: sympy.sin}[wave.func]
            return sympy.expand_trig(other(p + r))
        return wave

    _, sigma, _, found = (e.replace(lambda e: isinstance(e, sympy.sin | sympy.cos), renamed) for e in made)
    proof.zero("c of Cosine", found - sigma**power)


def numbers(proof):
    """The running code: the same data and flow, another verdict under another schedule."""
    xi, u, y, lam = draws()
    for schedule in (dm.VP(), dm.SubVP(), dm.Cosine(), dm.FlowMatching()):
        total, formula = over(lambda *a, s=schedule: compared(s, *a), xi, u, y, lam)
        proof.close(f"rate under {type(schedule).__name__}", total, formula)
    pair, even = jnp.asarray([[1.0, 0.0], [-1.0, 0.0]]), jnp.full(2, 0.5)
    vp, ve = (at_level(schedule, pair, even, 0.8) for schedule in (dm.VP(), dm.VE()))
    proof.witness("VP, s = 0.8, amid two patterns: it rises", vp)
    proof.witness("VE, the same state: it falls", -ve)


def compared(schedule, xi, u, y, lam):
    """The generator's rate and the formula of D2."""
    t = 0.2 + 0.2 * jax.nn.sigmoid(lam)
    where, dim = path(xi, u, schedule), y.shape[0]
    x = schedule.alpha(t) * y
    total = dm.generator(dm.DensityEnergy(where, clock="tau"), dm.ProbabilityFlow(where, clock="tau"))(1 - t, x).total
    steep, kappa = schedule.sigma_dot(t) / schedule.sigma(t), schedule.s(t) ** -2
    return total, -steep * dim + (steep - schedule.f(t)) * kappa * where.law.moments(y, schedule.s(t)).trace


def at_level(schedule, xi, u, s):
    """The rate midway between two patterns at noise level ``s``."""
    where, t = path(xi, u, schedule), schedule.t_of_lam(-jnp.log(s))
    energy, flow = dm.DensityEnergy(where, clock="tau"), dm.ProbabilityFlow(where, clock="tau")
    return dm.generator(energy, flow)(1 - t, jnp.zeros(2)).total


main = thresholds.prove
