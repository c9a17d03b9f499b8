r"""D8: the reverse SDE has a supermartingale.

    dy = -(1 + zeta)(y - m) dlam + s sqrt(2 zeta) dW,    V_zeta = V + zeta D s^2/2 >= 0,
    L V_zeta = -(1 + zeta)|y - m|^2 - 2 s^2 KL - zeta tr C <= 0,

so that ``P(sup V_zeta >= c) <= E V_zeta(start)/c`` (Ville's inequality). V itself rises in mean below the noise floor.
The density energy has ``L E = -g^2 |grad E|^2/2`` under VE and ``beta (D - |grad E|^2)/2`` under VP.
"""

import jax
import jax.numpy as jnp
import numpy as np
from _posterior import ALPHA, HALF, INSIDE, LAM, S2, SIGMA, TIME, XI, D, Jet, U, Y, draws, over, path, posterior

import dynamem as dm
from dynamem.theorems import divergence, dot, square, symbols, theorem, traced


ZETA = symbols("zeta", nonnegative=True)


def rate(xi, u, zeta, lam, y, churn):
    """The generator of ``V + churn D s^2/2`` along the SDE of churn ``zeta``, its value, and the moments."""
    where = path(xi, u)
    energy = dm.FreeEnergy(where, churn)
    moments = where.law.moments(y, jnp.exp(-lam))
    found = dm.generator(energy, dm.ReverseSDE(where, zeta))(lam, y).total
    return found, energy(lam, y), moments.mean, moments.trace, moments.kl


def density(xi, u, t, alpha, alpha_dot, sigma, sigma_dot, x):
    """The generator of ``-log p`` along the reverse SDE in own coordinates, its gradient, and ``g^2``."""
    schedule = Jet(t, (alpha, alpha_dot, sigma, sigma_dot))
    where = path(xi, u, schedule)
    energy = dm.DensityEnergy(where, clock="tau")
    found = dm.generator(energy, dm.ReverseSDE(where, 1.0, clock="tau"))(1 - t, x).total
    return found, jax.grad(energy, argnums=1)(1 - t, x), schedule.g2(t)


@theorem(
    "D8",
    "V + zeta D s^2/2 is a supermartingale of the reverse SDE: L V_zeta = -(1+zeta)|y-m|^2 - 2 s^2 KL - zeta tr C; "
    "under VE so is -log p: L E = -g^2 |grad E|^2/2",
    domain="all weights, s and zeta >= 0; the traced code at N = 3, D = 2; VE and VP by their 1-jets",
)
def supermartingale(proof, *, factor=2, spread=1, half=2):
    proof.cites("L1", "D4")
    found, value, mean, trace, kl = traced(rate, XI, U, ZETA, LAM, Y, ZETA)
    w, _ = posterior(Y, S2)
    move = Y - mean
    proof.zero("generator", found + (1 + ZETA) * dot(move, move) + factor * S2 * kl + spread * ZETA * trace)
    halves = [square(row - mean, HALF * p) for row, p in zip(XI, w, strict=True)]
    scaled = [square(row - mean, ZETA * p) for row, p in zip(XI, w, strict=True)]
    proof.falls("it is never positive", found, [square(move, 1 + ZETA), divergence(w, U, 2 * S2), *scaled])
    floor = ZETA * D * S2 / 2
    proof.falls("V >= 0", -value + floor, [square(move, HALF), divergence(w, U, S2), *halves])
    slope_dot, beta = symbols("sigma_dot", positive=True), symbols("beta", positive=True)
    q = symbols("q", positive=True)
    inside = proof.region({**INSIDE, q: (1e-6, 1 - 1e-6)})
    found, slope, g2 = traced(density, XI, U, TIME, ALPHA, 0, SIGMA, slope_dot, ALPHA * Y, within=inside)
    proof.zero("VE, alpha' = 0", found + g2 * dot(slope, slope) / half)
    proof.falls("under VE it is never positive", found, [square(slope, g2 / 2)])
    alpha, sigma = 2 * q / (1 + q**2), (1 - q**2) / (1 + q**2)  # every point of the circle with 0 < q < 1
    jet = (alpha, -beta * alpha / 2, sigma, beta * alpha**2 / (2 * sigma))
    found, slope, _ = traced(density, XI, U, TIME, *jet, Y, within=inside)
    proof.zero("VP, beta = -2 f", found - beta * (D - dot(slope, slope)) / half)
    numbers(proof)


def numbers(proof):
    """The running code, and V alone below the noise floor."""
    xi, u, y, lam = draws()
    zeta = np.random.default_rng(1).uniform(0.0, 3.0, size=len(lam))
    found, _, mean, trace, kl = over(rate, xi, u, zeta, lam, y, zeta)
    formula = -(1 + zeta) * ((y - mean) ** 2).sum(axis=1) - 2 * np.exp(-2 * lam) * kl - zeta * trace
    proof.close("generator, 64 draws", found, formula)
    proof.below("it is never positive", found)
    near = over(rate, xi, u, np.ones(len(lam)), 0 * lam + 3.0, xi[:, 0], np.zeros(len(lam)))[0]
    proof.witness("V without the churn term, at a memory", near.max())


main = supermartingale.prove
