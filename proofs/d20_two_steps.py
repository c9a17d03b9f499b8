r"""D20: multistep samplers of two denoisers: below which ratio the free energy can rise, and why there.

On a uniform grid of ratio ``rho = s+/s``, DPM-Solver++(2M) and exponential Adams-Bashforth of order 2 are

    y+ = rho y + (1 - rho) m + kappa (m - m'),

m' being the denoiser one step before, with ``kappa = (1 - rho)/2`` and ``kappa = 1 - (1 - rho)/h``, ``h = -log rho``.
Written out, y is a combination of the start and of all denoisers seen, whose weights sum to 1. The last denoiser but
one has the weight ``rho (1 - rho + kappa) - kappa = (1 - rho)(rho - kappa)``, and earlier ones powers of rho times it:
no weight is negative, and y stays in the convex hull of what it has seen, iff ``kappa <= rho``. That is ``rho >= 1/3``
for 2M and ``rho >= 1/e`` for Adams-Bashforth.

Below, three steps between two patterns raise V. Let s -> 0 at the patterns 0 and 1 of equal weights. Starts near the
middle, at distances of order ``s^2``, have any denoiser that one likes: choose ``y0`` such that its step ends at
``y1 = 1/2 + s1^2 log(p/(1-p))``, whose denoiser is ``p``; then ``m0 -> 1/2``. The second step ends, in the limit, at

    y2 = rho/2 + (1 - rho) p + kappa (p - 1/2),   which is 1, a memory where V -> 0, for
    1 - p = (kappa - rho)/(2 (1 - rho + kappa)),

a p in (1/2, 1) iff ``kappa > rho``. The memory is left again in the third step, ``y3 = 1 + kappa (1 - p)``, and V rises
from 0 to ``kappa^2 (1-p)^2/2``. What happens above is open: no rise has been found.
"""

import itertools

import diffrax as dfx
import jax.numpy as jnp
import numpy as np
import scipy.optimize
import sympy

import dynamem as dm
from dynamem.theorems import product, symbols, theorem, traced


HALF = sympy.Rational(1, 2)
RHO, KAPPA, P = symbols("rho", positive=True), symbols("kappa", positive=True), symbols("p", positive=True)
STATE, MEANS = symbols("y", 2), symbols("m", 2, 2)
EXCESS, ODDS = symbols("excess", positive=True), symbols("odds", positive=True)
SOLVERS = {"DPM-Solver++(2M)": dm.DPMSolver2M(), "Adams-Bashforth": dm.ExponentialAB(2)}
H = symbols("h", positive=True)


def step(solver):
    """One step of the code's solver from y with the denoiser m, remembering ``m'`` from an equally long step before."""

    def function(y, h, mean, before):
        terms = dfx.ODETerm(lambda lam, x, args: args - x)
        memory = solver.init(terms, -h, 0 * h, y, mean)
        memory = solver.step(terms, -h, 0 * h, y, before, memory, False)[3]
        return solver.step(terms, 0 * h, h, y, mean, memory, False)[0]

    return function


@theorem(
    "D20",
    "Samplers of two denoisers can raise V at every s+/s < 1/3 (DPM-Solver++(2M)) and < 1/e (Adams-Bashforth)",
    domain="the code's steps at D = 2; the rise at N = 2, D = 1, three steps, low noise; above, only that "
    "no weight is negative: whether V falls there is open",
)
def two_steps(proof, *, half=HALF, third=3):
    proof.cites("D4")
    rho = sympy.exp(-H)
    shares = {"DPM-Solver++(2M)": half * (1 - rho), "Adams-Bashforth": 1 - (1 - rho) / H}
    for name, solver in SOLVERS.items():
        mean, before = MEANS
        made = traced(step(solver), STATE, H, mean, before)
        proof.zero(f"{name}: its kappa", made - rho * STATE - (1 - rho) * mean - shares[name] * (mean - before))
    proof.zero("2M: kappa <= rho iff rho >= 1/3", RHO - half * (1 - RHO) - (third * RHO - 1) / 2)
    proof.zero("Adams-Bashforth: kappa <= rho iff h <= 1", rho - shares["Adams-Bashforth"] - (1 - rho) * (1 - H) / H)
    weights(proof)
    rise(proof)
    numbers(proof)


def weights(proof):
    """Two steps written out: y2 from y0 and the denoisers."""
    y0, (m0, m1, m2) = symbols("y0"), symbols("mean", 3)
    y1 = RHO * y0 + (1 - RHO) * m1 + KAPPA * (m1 - m0)
    y2 = sympy.expand(RHO * y1 + (1 - RHO) * m2 + KAPPA * (m2 - m1))
    proof.zero("weight of the last denoiser but one", sympy.diff(y2, m1) - (1 - RHO) * (RHO - KAPPA))
    proof.zero("and what is left of the one before, for the steps to come", sympy.diff(y2, m0) + RHO * KAPPA)
    proof.zero("the weights sum to 1", y2.xreplace(dict.fromkeys((y0, m0, m1, m2), sympy.Integer(1))) - 1)


def rise(proof):
    """The three steps in the limit, for every ``kappa = rho + excess`` and ``rho = odds/(1 + odds)``."""
    ratio = ODDS / (1 + ODDS)
    kappa = ratio + EXCESS
    beyond = EXCESS / (2 * (1 - ratio + kappa))  # 1 - p
    p = 1 - beyond
    proof.zero("the second step ends at a memory", ratio / 2 + (1 - ratio) * p + kappa * (p - HALF) - 1)
    proof.falls("p < 1", -beyond, [product(EXCESS, 1 / (2 * (1 + EXCESS)))])
    proof.falls("p > 1/2", HALF - p, [product(1 / (2 * (1 + EXCESS)))])
    proof.zero("the third leaves it", ratio + (1 - ratio) + kappa * (1 - p) - (1 + kappa * beyond))
    s2, z = symbols("s2", positive=True), symbols("z", 2)  # distances from the middle in units of s^2
    first = (HALF + ratio**2 * s2 * z[1] - ratio * (HALF + s2 * z[0])) / (1 - ratio)
    proof.zero("m0 -> 1/2, for bounded distances", first.xreplace({s2: sympy.Integer(0)}) - HALF)
    share = 1 / (1 + sympy.exp(-1))  # at the distance 1 the first step ends beyond the middle, at -1 before it
    proof.falls("m0's distance is below 1", -(1 - ratio) * (share - HALF),
                [product(1 / (1 + ODDS), share - HALF)])  # fmt: skip


def numbers(proof):
    """The running code at 99.9 % of each bound, from starts that are computed as above."""
    for name, solver, ratio in (("2M", SOLVERS["DPM-Solver++(2M)"], 0.999 / 3),
                                ("Adams-Bashforth", SOLVERS["Adams-Bashforth"], 0.999 / np.e)):  # fmt: skip
        values = energies(solver, ratio, kappa(name, ratio))
        proof.witness(f"{name} at rho = {ratio:.4f}: V rises in the third step", (values[3] - values[2]) / values[2])
    above = energies(SOLVERS["DPM-Solver++(2M)"], 0.34, 1 / 3)
    proof.below("2M at rho = 0.34: not in this way", np.diff(above))


def kappa(name, rho):
    """Its value."""
    return (1 - rho) / 2 if name == "2M" else 1 + (1 - rho) / np.log(rho)


def energies(solver, rho, share, s=2e-4):
    """V along three steps of the solver between the patterns 0 and 1, by the construction above."""
    p = 1 - max(share - rho, 0.0) / (2 * (1 - rho + share))
    y1 = (rho * s) ** 2 * np.log(p / (1 - p)) if p < 1 else (rho * s) ** 2 * 20  # distances from the middle
    z0 = scipy.optimize.brentq(lambda z: rho * s**2 * z + (1 - rho) * np.tanh(z / 2) / 2 - y1, -1, 1, xtol=1e-15)
    path = dm.DiffusionPath(dm.VE(), dm.Empirical(jnp.asarray([[0.0], [1.0]])))
    terms, energy = dm.ProbabilityFlow(path).terms(), dm.FreeEnergy(path)
    lams = -np.log(s) - np.log(rho) * np.arange(4)
    y = jnp.asarray([0.5 + s**2 * z0])
    memory, found = solver.init(terms, lams[0], lams[1], y, None), [energy(lams[0], y)]
    for t0, t1 in itertools.pairwise(lams):
        y, _, _, memory, _ = solver.step(terms, jnp.asarray(t0), jnp.asarray(t1), y, None, memory, False)
        found.append(energy(t1, y))
    return np.asarray(found)


main = two_steps.prove
