r"""D9: learned denoisers, and V along a trajectory.

dV/dlam = tr C - 2 V  with the ideal m,   tr C = s^2 tr dm/dy;
dV/dlam = -<y - m, y - m'> - 2 s^2 KL  with any other m',  <= 0 where |m' - m|^2 <= Q = |y-m|^2 + 2 s^2 KL = 2V - tr C.
"""

import diffrax as dfx
import jax
import jax.numpy as jnp
import numpy as np
from _posterior import HALF, LAM, S2, XI, D, U, Y, draws, over, path, posterior

import dynamem as dm
from dynamem.theorems import divergence, dot, product, square, symbols, theorem, traced


OTHER = symbols("other", D)


def rates(xi, u, lam, y, other):
    """V, its rate with the ideal and with another denoiser, ``tr dm/dy``, and the moments."""
    where = path(xi, u)
    energy, moments = dm.FreeEnergy(where), where.law.moments(y, jnp.exp(-lam))
    ideal = dm.generator(energy, dm.ProbabilityFlow(where))(lam, y).total
    learned = dm.generator(energy, dfx.ODETerm(lambda t, z, args: other - z))(lam, y).total
    jacobian = jax.jacfwd(lambda z: where.law.denoise(z, jnp.exp(-lam)))(y)
    return energy(lam, y), ideal, learned, jnp.trace(jacobian), moments.mean, moments.trace, moments.kl


@theorem(
    "D9",
    "A learned denoiser m' still descends V where |m' - m|^2 <= |y-m|^2 + 2 s^2 KL; dV/dlam = tr C - 2V if m' = m",
    domain="all weights, s and vectors m'; the traced code at N = 3, D = 2",
)
def learned(proof, *, factor=2, margin=1):
    proof.cites("L1")
    value, ideal, found, divergence_, mean, trace, kl = traced(rates, XI, U, LAM, Y, OTHER)
    move, other = Y - mean, Y - OTHER
    proof.zero("dV/dlam = tr C - 2V", ideal - trace + factor * value)
    proof.zero("tr C = s^2 tr dm/dy", trace - S2 * divergence_)
    proof.zero("rate with m'", found + dot(move, other) + factor * S2 * kl)
    proof.zero("Q = 2V - tr C", dot(move, move) + 2 * S2 * kl - factor * value + trace)
    w, _ = posterior(Y, S2)
    within = symbols("slack", nonnegative=True)  # |m' - m|^2 = Q - slack
    error = dot(OTHER - mean, OTHER - mean)
    hypothesis = dot(move, move) + 2 * S2 * kl - within - error
    parts = [square(other, HALF), divergence(w, U, S2), product(within / 2)]
    proof.falls("it falls within the margin", found + margin * hypothesis / 2, parts)
    numbers(proof)


def numbers(proof):
    """The running code at the margin, and beyond it."""
    xi, u, y, lam = draws()
    away = np.random.default_rng(1).normal(size=y.shape)
    away /= np.linalg.norm(away, axis=1, keepdims=True)
    value, ideal, _, _, mean, trace, kl = over(rates, xi, u, lam, y, y)
    proof.close("dV/dlam = tr C - 2V, 64 draws", ideal, trace - 2 * value)
    radius = np.sqrt(((y - mean) ** 2).sum(axis=1) + 2 * np.exp(-2 * lam) * kl)
    at_margin = over(rates, xi, u, lam, y, mean + radius[:, None] * away)[2]
    proof.below("at the margin", at_margin)
    outward = (y - mean) / np.linalg.norm(y - mean, axis=1, keepdims=True)
    beyond = over(rates, xi, u, lam, y, mean + 6 * radius[:, None] * outward)[2]
    proof.witness("six times the radius of the margin", beyond.max())


main = learned.prove
