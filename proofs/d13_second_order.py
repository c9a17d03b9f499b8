r"""D13: second-order steps that are energy-stable.

With ``r = y - m``, the denoiser ``m1`` at the DDIM point ``y1 = m + rho1 r`` of ratio ``rho1``, ``delta = m1 - m``,
and the step ``y+ = m + rho r + (1 - rho) theta delta``, the ledger of D11 from y, from y to y1 and from y1 gives three
tangents,

    V+ <= V + |y+-m|^2/2 - |r|^2/2,   V1 <= V - (1-rho1^2)|r|^2/2,   V+ <= V1 + |y+-m1|^2/2 - |y1-m1|^2/2.

The first with weight ``1 - theta`` and the last two with ``theta`` show it for ``0 <= theta <= 1``, ``rho <= rho1 <=
1`` (midpoint, exponential Heun). The last two alone, for ``rho1 = rho``, leave

    -(1-rho^2)|r|^2/2 + rho (1-rho) theta r.delta - (1-rho) theta (2 - (1-rho) theta)|delta|^2/2,

which is never positive for ``theta <= 2(1 + rho)``: EDM's Heun has ``theta = 1/2 rho``, hence ``rho >= (sqrt 2 -
1)/2``. Between two patterns at low noise it rises for ``rho < 1/5``; whether it does in between is open, and multistep
solvers are not treated.
"""

import jax.numpy as jnp
import numpy as np
import sympy
from _posterior import LAM, XI, D, U, Y, draws, over, path

import dynamem as dm
from dynamem.theorems import square, symbols, theorem, traced


R, DELTA = symbols("r", D), symbols("delta", D)
NEAR, FAR, PART = (symbols(name, nonnegative=True) for name in ("near", "far", "part"))


def norm2(vector):
    """``|v|^2``."""
    return vector @ vector


def tangents(rho, rho1, gained):
    """Bounds of ``V+ - V``, from y and by way of y1, for ``y+ = m + rho r + gained``, without the terms in KL."""
    direct = (norm2(rho * R + gained) - norm2(R)) / 2
    around = -(1 - rho1**2) * norm2(R) / 2 + (norm2(rho * R + gained - DELTA) - norm2(rho1 * R - DELTA)) / 2
    return direct, around


def heun(xi, u, lam, h, y):
    """EDM's Heun step (Karras et al. 2022, algorithm 1) from the drift of the code; ``s`` is the time."""
    where = path(xi, u)
    flow, s = dm.ProbabilityFlow(where), jnp.exp(-lam)
    s1 = s * jnp.exp(-h)
    first = -flow.drift(lam, y, None) / s  # dy/ds = (y - m)/s
    euler = y + (s1 - s) * first
    second = -flow.drift(lam + h, euler, None) / s1
    return y + (s1 - s) * (first + second) / 2, where.law.denoise(y, s), where.law.denoise(euler, s1)


@theorem(
    "D13",
    "Second-order steps: midpoint and exponential Heun are energy-stable; EDM's Heun is for s+/s >= (sqrt 2 - 1)/2",
    domain="all N, D, weights and steps (by D11; vectors written at D = 2); the form of EDM's Heun traced at N = 3, "
    "D = 2, midpoint and exponential Heun taken as the forms with 0 <= theta <= 1",
)
def second_order(proof, *, one=1, two=2):
    proof.cites("D11")
    rho = NEAR / (1 + NEAR)  # in [0, 1)
    rho1 = (rho + FAR) / (1 + FAR)  # in [rho, 1)
    theta = PART / (1 + PART)  # in [0, 1)
    direct, around = tangents(rho, rho1, (1 - rho) * theta * DELTA)
    bound = (one - theta) * direct + theta * around
    weights = sympy.factor((rho1 - rho**2) / 2), sympy.factor((1 - rho1) / 2)
    parts = [square(R - theta * DELTA, weights[0]), square(R, weights[1]), square(DELTA, theta**2 * weights[1])]
    proof.falls("0 <= theta <= 1, rho <= rho1 <= 1", bound, parts)
    edm(proof, two)
    numbers(proof)


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
    made, mean, later = traced(heun, XI, U, LAM, h, Y)
    ratio = sympy.exp(-h)
    step = mean + ratio * (Y - mean) + (1 - ratio) * (later - mean) / (two * ratio)
    proof.zero("EDM's Heun has theta = 1/(2 rho)", made - step)
    least = (sympy.sqrt(2) - 1) / 2
    proof.zero("1/(2 rho) = 2(1 + rho) at rho = (sqrt 2 - 1)/2", 1 / (2 * least) - 2 * (1 + least))


def numbers(proof):
    """EDM's Heun on the running code at ``rho = 0.2072`` and, between two patterns, at 0.195."""
    xi, u, y, lam = draws(512)
    before, after = over(lambda *a: values(*a, -jnp.log(0.2072)), xi, u, y, lam)
    proof.below("rho = 0.2072, 512 draws", after - before)
    s2, weight = 1e-5, 0.505
    y = jnp.asarray([0.5 + s2 * np.log(weight / (1 - weight))])
    pair = jnp.asarray([[0.0], [1.0]]), jnp.full(2, 0.5), y, jnp.asarray(-0.5 * np.log(s2))
    before, after = values(*pair, -jnp.log(0.195))
    proof.witness("EDM's Heun at rho = 0.195 raises V", after - before)


def values(xi, u, y, lam, h):
    """V before and after a Heun step."""
    energy = dm.FreeEnergy(path(xi, u))
    return energy(lam, y), energy(lam + h, heun(xi, u, lam, h, y)[0])


main = second_order.prove
