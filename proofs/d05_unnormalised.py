r"""D5: the Hopfield energies without the prior or without the temperature do not have it.

    E = -s^2 LSE(-d/2s^2):   dE/dlam = 2 s^2 H(w) - |y - m|^2;      E = -log Z:   dE/dlam = tr C/s^2 >= 0,

the second never falls at all. ``H`` is the Shannon entropy of the weights; the prior is uniform in the first.
"""

import jax.numpy as jnp
import sympy
from _posterior import LAM, S2, XI, U, Y, draws, over, path, posterior

import dynamem as dm
from dynamem.theorems import dot, square, theorem, traced


def without_prior(xi, lam, y):
    """The rate of the log-sum-exp memory's energy at ``beta = 1/s^2`` along the probability flow, and ``m``."""
    where = path(xi, None)
    rate = dm.generator(lambda t, x: dm.LogSumExp(xi, jnp.exp(2 * t))(t, x), dm.ProbabilityFlow(where))(lam, y)
    return rate.total, where.law.denoise(y, jnp.exp(-lam))


def without_temperature(xi, u, lam, y):
    """The rate of ``-log Z``, and the mean and trace."""
    where = path(xi, u)
    moments = where.law.moments(y, jnp.exp(-lam))
    rate = dm.generator(dm.HopfieldEnergy(where), dm.ProbabilityFlow(where))(lam, y)
    return rate.total, moments.mean, moments.trace


@theorem(
    "D5",
    "Without its prior V rises by 2 s^2 H(w) - |y-m|^2; without its temperature it never falls",
    domain="all weights and s; the traced code at N = 3, D = 2",
)
def unnormalised(proof, *, entropy=2, sign=1):
    rate, mean = traced(without_prior, XI, LAM, Y)
    w = [e.xreplace({p: sympy.Integer(1) for p in U[0].free_symbols}) for e in posterior(Y, S2)[0]]
    h = -sympy.Add(*(p * sympy.log(p) for p in w))
    proof.zero("without prior", rate - entropy * S2 * h + dot(Y - mean, Y - mean))
    rate, mean, trace = traced(without_temperature, XI, U, LAM, Y)
    w, _ = posterior(Y, S2)
    proof.zero("without temperature", rate - sign * trace / S2)
    proof.falls("it never falls", -rate, [square(row - mean, p / S2) for row, p in zip(XI, w, strict=True)])
    xi, u, y, lam = draws()
    rate, _ = over(without_prior, xi, lam, y)
    proof.witness("without prior it rises at one of 64 draws", rate.max())
    rate, _, trace = over(without_temperature, xi, u, lam, y)
    proof.close("tr C/s^2, 64 draws", rate, trace * jnp.exp(2 * lam))
    proof.witness("-log Z rises at one of 64 draws", rate.max())


main = unnormalised.prove
