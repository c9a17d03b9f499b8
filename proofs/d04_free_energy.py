r"""D4: the free energy falls along every probability flow.

    V = -s^2 log sum_i u_i exp(-|y - xi_i|^2/2 s^2),    dV/dlam = -|y - m|^2 - 2 s^2 KL(w || u) <= 0.

For any N and D with posterior averages: ``d log Z = E dh`` for ``h = -d/2 s^2``, and ``E (y - xi) = y - m``. By D1 the
flow is the same one for every linear-Gaussian path. With another power of s, ``s^{2a} (-log Z)`` for ``a < 1``,
or with a rising gauge ``b(lam)`` added, the energy rises midway between two patterns.
"""

import jax
import jax.numpy as jnp
import numpy as np
import sympy
from _posterior import HALF, LAM, S2, XI, D, U, Y, average, draws, over, path, posterior

import dynamem as dm
from dynamem.theorems import divergence, dot, square, symbols, theorem, traced


def rates(xi, u, lam, y):
    """What the code computes: V, its rate, gradient, Hessian and s-derivative, and the posterior's moments."""
    where = path(xi, u)
    energy = dm.FreeEnergy(where)
    found = dm.generator(energy, dm.ProbabilityFlow(where))(lam, y)
    hessian = jax.hessian(energy, argnums=1)(lam, y)
    moments = where.law.moments(y, jnp.exp(-lam))
    slope = jax.grad(energy, argnums=1)(lam, y)
    return energy(lam, y), found.total, found.schedule, slope, hessian, moments.mean, moments.trace, moments.kl


@theorem(
    "D4",
    "The free energy falls along every probability flow: dV/dlam = -|y-m|^2 - 2 s^2 KL <= 0",
    domain="all N, D, weights and s by averages; the traced code at N = 3, D = 2",
)
def restoring_energy(proof, *, factor=2, half=HALF):
    proof.cites("L1", "L2")
    value, rate, schedule, slope, hessian, mean, trace, kl = traced(rates, XI, U, LAM, Y)
    w, z = posterior(Y, S2)
    move = Y - mean
    proof.zero("V = -s^2 log Z", value + S2 * sympy.log(z))
    proof.zero("the mean", mean - w @ XI)
    proof.zero("KL", kl - divergence(w, U).expression)
    proof.zero("rate", rate + dot(move, move) + factor * S2 * kl)
    proof.falls("rate <= 0", rate, [square(move), divergence(w, U, 2 * S2)])
    proof.zero("dV/dlam at fixed y = -2 s^2 dV/ds^2", schedule + factor * S2 * kl)
    proof.zero("V = |y-m|^2/2 + tr C/2 + s^2 KL", value - half * dot(move, move) - half * trace - S2 * kl)
    proof.zero("grad V = y - m", slope - move)
    covariance = (XI - mean).T @ np.diag(w) @ (XI - mean)
    proof.zero("Hess V = I - C/s^2", hessian - np.eye(D, dtype=int) + covariance / S2)
    every_number_of_patterns(proof, factor)
    numbers(proof, float(factor))


def every_number_of_patterns(proof, factor):
    """The rate for all N and D, from averages alone."""
    d, fall, s2, move2, mean_d, log_z = symbols("d"), symbols("fall"), *(symbols(n) for n in ("s2", "r2", "q", "logZ"))
    h_dot = -fall / (2 * s2) + d * (-2 * s2) / (2 * s2**2)  # h = -d/2s^2, d' = fall, (s^2)' = -2 s^2
    log_z_dot = average(h_dot, {d: mean_d, fall: -2 * move2})  # d' = 2 (y - xi).(m - y), E (y - xi) = y - m
    kl = average(-d / (2 * s2) - log_z, {d: mean_d})
    proof.zero("rate, all N and D", 2 * s2 * log_z - s2 * log_z_dot + move2 + factor * s2 * kl)


def numbers(proof, factor):
    """The running code in float64."""
    xi, u, y, lam = draws()
    _, rate, _, _, hessian, mean, _, kl = over(rates, xi, u, lam, y)
    square_, s2 = ((y - mean) ** 2).sum(axis=1), np.exp(-2 * lam)
    proof.close("rate, 64 draws", rate, -square_ - factor * s2 * kl)
    proof.below("Hess V <= I", np.linalg.eigvalsh(hessian)[:, -1], 1.0)
    cold = over(lambda xi, u, lam, y: dm.FreeEnergy(path(xi, u))(lam + 12.0, y), xi, u, lam, y)
    nearest = 0.5 * ((y[:, None] - xi) ** 2).sum(axis=2).min(axis=1)
    proof.close("V -> half the least squared distance", cold, nearest, 1e-6)
    rises = jax.vmap(other_energies)(jnp.asarray([0.9, 1.0]), jnp.asarray([0.0, 0.1]))
    proof.witness("s^1.8 in place of s^2", rises[0])
    proof.witness("V + 0.1 lam", rises[1])


def other_energies(power, gauge):
    """The rate of ``s^{2 power} (-log Z) + gauge lam`` midway between two patterns at ``s = 1``."""
    where = path(jnp.asarray([[1.0], [-1.0]]), jnp.full(2, 0.5))
    energy = dm.FreeEnergy(where)

    def other(t, y):
        return jnp.exp(2 * (1 - power) * t) * energy(t, y) + gauge * t

    return dm.generator(other, dm.ProbabilityFlow(where))(0.0, jnp.zeros(1)).total


main = restoring_energy.prove
