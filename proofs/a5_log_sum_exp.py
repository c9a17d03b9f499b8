r"""A5: the log-sum-exp memory (Ramsauer et al. 2021, arXiv 2008.02217): retrieval is the concave-convex procedure.

    E = |x|^2/2 - LSE(beta xi.x + any bias)/beta,   T(x) = sum_i w_i xi_i,   x+ = x + eta (T - x):
    E(x+) - E(x) = -eta (1 - eta/2)|T - x|^2 - KL(w || w+)/beta,   0 < eta <= 2.

For all N and D by Gibbs' principle; ``eta = 1`` is the update of the code. A step beyond 2 raises E.
"""

import jax.numpy as jnp
import numpy as np
import sympy
from _posterior import XI, Y, average

import dynamem as dm
from dynamem.theorems import divergence, square, symbols, theorem, traced


BETA, ETA = symbols("beta", positive=True), symbols("eta", positive=True)


def step(norm_bias):
    """E before and after a step of size ``eta``, the update, and the gradient's step."""

    def function(xi, beta, eta, x):
        memory = dm.LogSumExp(xi, beta, norm_bias)
        move = dm.GradientFlow(memory).drift(0.0, x, None)
        return memory(0.0, x), memory(0.0, x + eta * move), memory.update(x), move

    return function


def weights(x, *, norm_bias):
    """``w`` written out."""
    logits = [BETA * (row @ x - (row @ row) / 2 * int(norm_bias)) for row in XI]
    terms = np.array([sympy.exp(one) for one in logits], object)
    return terms / sum(terms)


@theorem(
    "A5",
    "Log-sum-exp memory: x+ = x + eta (T - x) gives dE <= -eta (1 - eta/2)|T - x|^2 for 0 < eta <= 2",
    domain="all N, D and biases by averages; the traced code with and without norm bias at N = 3, D = 2, all beta",
)
def log_sum_exp(proof, *, half=2, kl=1):
    proof.cites("L1")
    for norm_bias in (True, False):
        before, after, retrieved, move = traced(step(norm_bias), XI, BETA, ETA, Y)
        proof.zero(f"T - x is the gradient's step, norm bias {norm_bias}", move - retrieved + Y)
        w, later = (weights(at, norm_bias=norm_bias) for at in (Y, Y + ETA * move))
        change = -ETA * (1 - ETA / half) * (move @ move)
        proof.zero("change", after - before - change + kl * divergence(w, later).expression / BETA)
        proof.falls("bound", after - before - change, [divergence(w, later, 1 / BETA)])
    every_number(proof, half, kl)
    low = symbols("low", nonnegative=True)
    eta = 2 / (1 + low)  # every eta in (0, 2]
    proof.falls("the bound is not positive", -eta * (1 - eta / 2) * (Y @ Y), [square(Y, eta * low / (1 + low))])
    numbers(proof)


def every_number(proof, half, kl):
    """The identity for all N, D and logits ``a_i``: ``a+ = a + beta eta xi.(T - x)``."""
    a, overlap, mean_a, x2, xt, t2 = symbols("v", 6)  # overlap_i = xi_i.(T - x), mean T.(T - x)
    lse, lse_plus = symbols("lse", 2)
    gained = BETA * ETA * overlap
    relative = average((a - lse) - (a + gained - lse_plus), {a: mean_a, overlap: t2 - xt})  # E (log w - log w+)
    after2 = x2 + 2 * ETA * (xt - x2) + ETA**2 * (t2 - 2 * xt + x2)
    change = (after2 - x2) / 2 - (lse_plus - lse) / BETA
    proof.zero("change, all N and D", change + ETA * (1 - ETA / half) * (t2 - 2 * xt + x2) + kl * relative / BETA)


def numbers(proof):
    """The running code; a step of 2.5 on one pattern."""
    rng = np.random.default_rng(0)
    xi, x = jnp.asarray(rng.normal(size=(6, 4))), jnp.asarray(rng.normal(size=4))
    for beta in (0.1, 1.0, 100.0):
        before, after, _, move = step(True)(xi, jnp.asarray(beta), jnp.asarray(1.7), x)
        proof.below(f"beta = {beta}", after - before, -1.7 * (1 - 0.85) * (move @ move))
    before, after, _, _ = step(True)(jnp.ones((1, 1)), jnp.ones(()), jnp.asarray(2.5), jnp.zeros(1))
    proof.witness("eta = 2.5", after - before)


main = log_sum_exp.prove
