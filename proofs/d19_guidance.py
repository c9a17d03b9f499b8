r"""D19: guidance has an energy, which falls for 0 <= w <= 1, and for w > 1 once a gauge is added.

    V_g = V_u + w (V_c - V_u),   grad V_g = y - m_g,   m_g = m_u + w (m_c - m_u),
    dV_g/dlam = -|y - m_g|^2 - 2 s^2 ((1 - w) KL_u + w KL_c)   along dy/dlam = m_g - y.

For any N and D this is D4 for both laws and linearity. As ``KL_u <= C = log 1/min u``, ``V_g + b s^2`` falls for every
``w >= 1`` if ``b >= (w - 1) C``, since

    C - KL_u = sum_i w_i (C + log u_i) - sum_i w_i log w_i,

and both sums are non-negative. Without it, or with any less, it rises at the one pattern that is asked for. In the
proof the first pattern is the least likely one; where several are, it holds since the rate is continuous in the prior.
"""

import jax
import jax.numpy as jnp
import numpy as np
import sympy
from _posterior import LAM, PRIOR, S2, XI, Y, draws, over, posterior

import dynamem as dm
from dynamem.theorems import divergence, dot, log_gap, product, square, symbols, theorem, traced


WEIGHT, GAUGE = symbols("w"), symbols("b")
ASKED = 2
PART = symbols("c", ASKED, positive=True)
U, UC = PRIOR / sum(PRIOR), PART / sum(PART)
MORE = symbols("q", 2, positive=True)
ORDERED = dict(zip(PRIOR, (sympy.Integer(1), 1 + MORE[0], 1 + MORE[1]), strict=True))  # the first is the least likely


def guided(xi, u, asked, weight):
    """The path of all patterns, guided toward the first two, which have a prior of their own."""
    wanted = dm.Empirical(xi[:ASKED], asked)
    return dm.DiffusionPath(dm.VE(), dm.ClassifierFreeGuidance(wanted, dm.Empirical(xi, u), weight))


def rates(xi, u, asked, weight, gauge, lam, y):
    """The rate of the guided energy, its gradient, the guided mean, and KL of both laws."""
    where = guided(xi, u, asked, weight)
    energy, s = dm.GuidedEnergy(where, gauge), jnp.exp(-lam)
    slope = jax.grad(energy, argnums=1)(lam, y)
    free, wanted = where.law.unconditional.moments(y, s), where.law.conditional.moments(y, s)
    rate = dm.generator(energy, dm.ProbabilityFlow(where))(lam, y).total
    return rate, slope, where.law.denoise(y, s), free.mean, wanted.mean, free.kl, wanted.kl


@theorem(
    "D19",
    "Guidance m_u + w (m_c - m_u): V_u + w (V_c - V_u) falls for 0 <= w <= 1, and for w > 1 with (w-1) s^2 log 1/min u",
    domain="all weights, s and w; the traced code at N = 3, D = 2, with two patterns asked for",
)
def guidance(proof, *, factor=2, spare=1):
    proof.cites("D4", "L1")
    rate, slope, mean, free, wanted, kl, narrow = traced(rates, XI, U, UC, WEIGHT, GAUGE, LAM, Y)
    move = Y - mean
    proof.zero("m_g", mean - free - WEIGHT * (wanted - free))
    proof.zero("grad V_g = y - m_g", slope - move)
    left = (1 - WEIGHT) * kl + WEIGHT * narrow + GAUGE
    proof.zero("rate", rate + dot(move, move) + factor * S2 * left)
    signs(proof, rate, mean, spare)
    numbers(proof, float(factor))


def signs(proof, rate, mean, spare):
    """The rate as minus a sum of non-negative parts, for both ranges of the weight."""
    w, _ = posterior(Y, S2)
    terms = UC / U[:ASKED] * w[:ASKED]
    narrowed = terms / sum(terms)
    on, off, above = symbols("on", positive=True), symbols("off", positive=True), symbols("above", nonnegative=True)
    share = {WEIGHT: on / (on + off), GAUGE: sympy.Integer(0)}
    parts = [
        square(at(Y - mean, share)),
        divergence(w, U, 2 * S2 * off / (on + off)),
        divergence(narrowed, UC, 2 * S2 * on / (on + off)),
    ]
    proof.falls("it falls for 0 <= w <= 1", at(rate, share), parts)
    bound = sympy.log(3 + MORE[0] + MORE[1])  # log 1/min u
    beyond = {**ORDERED, WEIGHT: 1 + above, GAUGE: spare * above * bound}
    w = at(w, ORDERED)
    parts = [square(at(Y - mean, beyond)), divergence(at(narrowed, ORDERED), UC, 2 * S2 * (1 + above))]
    parts += [product(2 * S2 * above, p, sympy.log(ORDERED[q])) for p, q in zip(w, PRIOR, strict=True)]
    parts += [log_gap(p, 2 * S2 * above * p) for p in w]
    parts += [product(2 * S2 * above, p, q) for i, p in enumerate(w) for j, q in enumerate(w) if i != j]
    proof.falls("it falls for w > 1 with (w-1) s^2 log 1/min u", at(rate, beyond), parts)


def at(expressions, values):
    """Expressions with symbols replaced."""
    entries = [entry.xreplace(values) for entry in np.ravel(np.asarray(expressions, object))]
    return entries[0] if isinstance(expressions, sympy.Expr) else np.array(entries, object)


def numbers(proof, factor):
    """The running code in float64, and at one of two patterns, where nothing is left to narrow down."""
    xi, u, y, lam = draws()
    weight = jnp.asarray(np.random.default_rng(2).uniform(1.0, 6.0, size=lam.shape))
    gauge = (weight - 1) * jnp.log(1 / jnp.min(u, axis=1))
    asked = u[:, :ASKED] / u[:, :ASKED].sum(axis=1, keepdims=True)
    rate, _, mean, _, _, kl, narrow = over(rates, xi, u, asked, weight, gauge, lam, y)
    left = (1 - weight) * kl + weight * narrow + gauge
    proof.close("rate, 64 draws", rate, -((y - mean) ** 2).sum(axis=1) - factor * np.exp(-2 * lam) * left)
    proof.below("with the gauge, 64 draws", rate)
    rises = jax.vmap(at_the_pattern)(jnp.asarray([1.01, 6.0, 6.0]), jnp.asarray([0.0, 0.0, 0.99]))
    proof.witness("w = 1.01 without the gauge", rises[0])
    proof.witness("w = 6 without the gauge", rises[1])
    proof.witness("w = 6 with 0.99 of the gauge", rises[2])


def at_the_pattern(weight, part):
    """The rate at the first of two patterns, asked for, at ``lam = 1``, with a part of the gauge ``(w - 1) log 2``."""
    pair = jnp.asarray([[2.0], [-2.0]])
    where = dm.DiffusionPath(dm.VE(), dm.ClassifierFreeGuidance(dm.Empirical(pair[:1]), dm.Empirical(pair), weight))
    energy = dm.GuidedEnergy(where, part * (weight - 1) * jnp.log(2.0))
    return dm.generator(energy, dm.ProbabilityFlow(where))(1.0, pair[0]).total


main = guidance.prove
