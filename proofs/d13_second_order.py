r"""D13: second-order steps that are energy-stable.

With ``r = y - m``, the denoiser ``m1`` at the DDIM point ``y1 = m + rho1 r`` of ratio ``rho1``, ``delta = m1 - m``,
and the step ``y+ = m + rho r + (1 - rho) theta delta``, the ledger of D11 from y, from y to y1 and from y1 gives three
tangents,

    V+ <= V + |y+-m|^2/2 - |r|^2/2,   V1 <= V - (1-rho1^2)|r|^2/2,   V+ <= V1 + |y+-m1|^2/2 - |y1-m1|^2/2.

The first with weight ``1 - theta`` and the last two with ``theta`` show it for ``0 <= theta <= 1``, ``rho <= rho1 <=
1``. Such are DPM-Solver++(2S) (Lu et al. 2022, arXiv 2211.01095, algorithm 1), ``rho1 = e^{-r h}``, ``theta = 1/2r``,
for 1/2 <= r <= 1, the exponential midpoint being ``r = 1/2``; and exponential Heun (ETD2RK, Cox & Matthews 2002),
``rho1 = rho = e^{-h}``, ``theta = (e^{-h} - 1 + h)/(h (1 - e^{-h}))``. The last two alone, for ``rho1 = rho``, leave

    -(1-rho^2)|r|^2/2 + rho (1-rho) theta r.delta - (1-rho) theta (2 - (1-rho) theta)|delta|^2/2,

which is never positive for ``theta <= 2(1 + rho)``: EDM's Heun has ``theta = 1/2 rho``, hence ``rho >= (sqrt 2 -
1)/2``. That is sharp: below it V rises between three patterns in a plane, for which both tangents are equalities as
the noise goes to 0. Between two patterns it rises for ``rho < 1/5``, and a search found no rise from there on.
Multistep solvers are not treated.
"""

import diffrax as dfx
import jax.numpy as jnp
import numpy as np
import sympy
from _posterior import LAM, PRIOR, XI, D, Y, draws, over, path

import dynamem as dm
from dynamem.comparison import three_patterns
from dynamem.theorems import log_gap, product, square, symbols, theorem, traced


R, DELTA = symbols("r", D), symbols("delta", D)
PAIR = XI[:2], PRIOR[:2] / sum(PRIOR[:2])
EDM = dm.EDMHeun()
NEAR, FAR, PART = (symbols(name, nonnegative=True) for name in ("near", "far", "part"))


def norm2(vector):
    """``|v|^2``."""
    return vector @ vector


def tangents(rho, rho1, gained):
    """Bounds of ``V+ - V``, from y and by way of y1, for ``y+ = m + rho r + gained``, without the terms in KL."""
    direct = (norm2(rho * R + gained) - norm2(R)) / 2
    around = -(1 - rho1**2) * norm2(R) / 2 + (norm2(rho * R + gained - DELTA) - norm2(rho1 * R - DELTA)) / 2
    return direct, around


def ddim(where, lam, h, y):
    """A step of the code's DDIM."""
    return dm.DDIM().step(dm.ProbabilityFlow(where).terms(), lam, lam + h, y, None, None, False)[0]


def two_stage(xi, u, lam, h, r, y):
    """A step of the code's DPM-Solver++(2S); with both denoisers, the later one at the code's DDIM."""
    where = path(xi, u)
    terms = dm.ProbabilityFlow(where).terms()
    mean = where.law.denoise(y, jnp.exp(-lam))
    later = where.law.denoise(ddim(where, lam, r * h, y), jnp.exp(-lam - r * h))
    made = dm.DPMSolver2S(r).step(terms, lam, lam + h, y, None, None, False)[0]
    return made, mean, later


def exponential_heun(xi, u, lam, h, y):
    """ETD2RK of ``y' = -y + m``: DDIM, and then ``m`` taken linear in ``lam`` between the two; with both."""
    where = path(xi, u)
    euler, mean = ddim(where, lam, h, y), where.law.denoise(y, jnp.exp(-lam))
    later = where.law.denoise(euler, jnp.exp(-lam - h))
    return euler + (jnp.exp(-h) - 1 + h) / h * (later - mean), mean, later


def heun(xi, u, lam, h, y):
    """A step of the code's EDM Heun (Karras et al. 2022, algorithm 1); with both denoisers."""
    where = path(xi, u)
    made = EDM.step(dm.ProbabilityFlow(where).terms(), lam, lam + h, y, None, None, False)[0]
    mean = where.law.denoise(y, jnp.exp(-lam))
    return made, mean, where.law.denoise(ddim(where, lam, h, y), jnp.exp(-lam - h))


@theorem(
    "D13",
    "Second-order steps: exponential midpoint and Heun are energy-stable; EDM's Heun is iff s+/s >= (sqrt 2 - 1)/2",
    domain="all N, D, weights and steps (by D11; vectors written at D = 2); the code's DPM-Solver++(2S), 1/2 <= r <= "
    "1, and EDM's Heun without churn, and ETD2RK written on its DDIM, flow and denoiser, traced at N = D = 2; the "
    "rise of EDM's Heun at N = 3, D = 2, in the limit of low noise",
)
def second_order(proof, *, one=1, two=2):
    proof.cites("L1", "D11")
    rho = NEAR / (1 + NEAR)  # in [0, 1)
    rho1 = (rho + FAR) / (1 + FAR)  # in [rho, 1)
    theta = PART / (1 + PART)  # in [0, 1)
    direct, around = tangents(rho, rho1, (1 - rho) * theta * DELTA)
    bound = (one - theta) * direct + theta * around
    weights = sympy.factor((rho1 - rho**2) / 2), sympy.factor((1 - rho1) / 2)
    parts = [square(R - theta * DELTA, weights[0]), square(R, weights[1]), square(DELTA, theta**2 * weights[1])]
    proof.falls("0 <= theta <= 1, rho <= rho1 <= 1", bound, parts)
    forms(proof)
    edm(proof, two)
    sharp(proof)
    numbers(proof)


def forms(proof):
    """Two-stage steps of the code have this form with ``theta <= 1``."""
    h, r = symbols("h", positive=True), symbols("r", positive=True)
    rho = sympy.exp(-h)
    made, mean, later = traced(two_stage, *PAIR, LAM, h, r, Y)
    proof.zero("DPM-Solver++(2S): theta = 1/2r", made - mean - rho * (Y - mean) - (1 - rho) * (later - mean) / (2 * r))
    proof.falls("theta <= 1 for r >= 1/2", 1 / (1 + NEAR) - 1, [product(NEAR / (1 + NEAR))])  # 2r = 1 + near
    made, mean, later = traced(exponential_heun, *PAIR, LAM, h, Y)
    theta = (rho - 1 + h) / (h * (1 - rho))
    proof.zero("exponential Heun's theta", made - mean - rho * (Y - mean) - (1 - rho) * theta * (later - mean))
    proof.falls("theta <= 1: h (1 - rho)(theta - 1)", rho - 1 + h - h * (1 - rho), [log_gap(sympy.exp(h), rho)])


def edm(proof, two):
    """``theta = 2(1 + rho)/(1 + part)``, which is every theta in (0, 2(1 + rho)]."""
    odds = symbols("odds", positive=True)
    rho = odds / (1 + odds)
    theta = two * (1 + rho) / (1 + PART)
    gained = (1 - rho) * theta
    _, around = tangents(rho, rho, gained * DELTA)
    share = rho * gained / (1 - rho**2)  # completing the square in r
    left = sympy.factor(gained * (2 - gained) - rho**2 * gained**2 / (1 - rho**2))
    parts = [square(R - share * DELTA, sympy.factor(1 - rho**2) / 2), square(DELTA, left / 2)]
    proof.falls("rho1 = rho, 0 < theta <= 2(1 + rho)", around, parts)
    h = symbols("h", positive=True)
    made, mean, later = traced(heun, *PAIR, LAM, h, Y)
    ratio = sympy.exp(-h)
    step = mean + ratio * (Y - mean) + (1 - ratio) * (later - mean) / (two * ratio)
    proof.zero("EDM's Heun has theta = 1/(2 rho)", made - step)
    least = (sympy.sqrt(2) - 1) / 2
    proof.zero("1/(2 rho) = 2(1 + rho) at rho = (sqrt 2 - 1)/2", 1 / (2 * least) - 2 * (1 + least))


def sharp(proof):
    """V between `three_patterns` at low noise: ``min(y^2/2 + b, (y-1)^2/2 + K s^2)``, the second for less noise.

    At the start y the first is the less, so that ``m = 0``. At the stage ``rho y`` they meet, from where on ``m1 = 1``.
    """
    odds, y, k, eps = symbols("odds", positive=True), symbols("y"), symbols("K", positive=True), symbols("eps")
    rho = odds / (1 + odds)
    first, second = (lambda z, b: z**2 / 2 + b), (lambda z, s2: (z - 1) ** 2 / 2 + k * s2)
    b = second(rho * y, rho**2) - first(rho * y, 0)  # s = 1 at the start
    change = second(rho * y + eps, rho**2) - first(y, b)
    _, around = tangents(rho, rho, eps * DELTA)
    one_line = around.subs({R[0]: y, R[1]: 0, DELTA[0]: 1, DELTA[1]: 0}, simultaneous=True)
    proof.zero("the bound by way of y1 is what V does", change - one_line)
    worst = eps * rho / (1 - rho**2)
    left = eps * (eps - 2 * (1 - rho**2)) / (2 * (1 - rho**2))
    proof.zero("from the worst start", one_line.subs(y, worst) - left)
    own = (1 - rho) / (2 * rho)  # eps of EDM's Heun
    sign = own - 2 * (1 - rho**2) - own * (1 - 4 * rho * (1 + rho))
    proof.zero("eps - 2(1-rho^2) is positive iff 1 > 4 rho(1+rho)", sign)
    apart = second(y, 1) - first(y, b)  # for large K the first is the less at the start
    proof.zero("how far apart they start", apart - (1 - rho) * (k * (1 + rho) - y))


def numbers(proof):
    """Steps on the running code; EDM's Heun at ``rho = 0.2072``, and below its bound between two and three patterns."""
    xi, u, y, lam = draws(512)
    proof.close("EDM's Heun is Diffrax's Heun in t", *over(with_diffrax, xi, u, y))
    midpoint = lambda xi, u, lam, h, y: two_stage(xi, u, lam, h, 0.5, y)  # noqa: E731
    for name, solver in (("midpoint", midpoint), ("Heun", exponential_heun)):
        for h in (0.5, 5.0):
            before, after = over(lambda *a, h=h, solver=solver: values(*a, h, solver), xi, u, y, lam)
            proof.below(f"exponential {name}, h = {h}, 512 draws", after - before)
    early = lambda xi, u, lam, h, y: two_stage(xi, u, lam, h, 0.05, y)  # noqa: E731
    before, after = over(lambda *a: values(*a, 2.0, early), xi, u, y, lam)
    proof.witness("theta = 10: DPM-Solver++(2S) with r = 0.05 raises V", (after - before).max())
    before, after = over(lambda *a: values(*a, -jnp.log(0.2072)), xi, u, y, lam)
    proof.below("rho = 0.2072, 512 draws", after - before)
    s2, weight = 1e-5, 0.505
    y = jnp.asarray([0.5 + s2 * np.log(weight / (1 - weight))])
    pair = jnp.asarray([[0.0], [1.0]]), jnp.full(2, 0.5), y, jnp.asarray(-0.5 * np.log(s2))
    before, after = values(*pair, -jnp.log(0.195))
    proof.witness("EDM's Heun at rho = 0.195 raises V between two patterns", after - before)
    rho, s = 0.207, 0.034
    where, y = three_patterns(rho, 1 / (2 * (1 + rho)), s)
    before, after = values(where.law.xi, where.law.weights, y, -jnp.log(s), -jnp.log(rho))
    proof.witness("and at rho = 0.207 between three", after - before)


def values(xi, u, y, lam, h, solver=heun):
    """V before and after a step."""
    energy = dm.FreeEnergy(path(xi, u))
    return energy(lam, y), energy(lam + h, solver(xi, u, lam, h, y)[0])


def with_diffrax(xi, u, y):
    """The step of this file and of Diffrax on the path of EDM, ``sigma = t``, from 0.9 to 0.4."""
    terms = dm.ProbabilityFlow(path(xi, u, dm.EDM(1.0)), clock="tau").terms()
    solver, times = dfx.Heun(), (1 - 0.9, 1 - 0.4)
    made = solver.step(terms, *times, y, None, solver.init(terms, *times, y, None), False)[0]
    return made, heun(xi, u, -jnp.log(0.9), jnp.log(0.9 / 0.4), y)[0]


main = second_order.prove
