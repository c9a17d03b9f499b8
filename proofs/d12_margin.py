r"""D12: the margin of any solver.

With the step written ``y+ = rho y + (1 - rho) m'``, ``rho = s+/s <= 1``,

    |m' - m|^2 <= Q = |y - m|^2 + 2 s^2 KL   implies   V+ <= V.

By the ledger of D11, and |rho r + (1-rho) e|^2 = rho |r|^2 + (1-rho) |e|^2 - rho (1-rho) |r - e|^2 for ``r = y - m``,
``e = m' - m``. So clipping ``m'`` to that radius makes any sampler energy-stable.

As ``KL >= 0``, ``|m' - m| <= |y - m|`` suffices, which needs nothing that a step does not have. The limited
DPM-Solver++(2M) cuts what it adds to m to that length: where it cuts, ``|m' - m| = |y - m|``, and elsewhere that length
was not exceeded. So it never raises V, whatever it remembers.
"""

import diffrax as dfx
import jax.numpy as jnp
import numpy as np
import sympy
from _posterior import LAM, D, Y, draws, ledger, over, path

import dynamem as dm
from dynamem.theorems import product, square, symbols, theorem, traced


def step(lam, h, y, other):
    """DDIM's step of the code with a denoiser whose value here is ``other``."""
    return dm.DDIM().step(dfx.ODETerm(lambda t, z, args: other - z), lam, lam + h, y, None, None, False)[0]


def limited(y, h, mean, before):
    """The step of the code's limited DPM-Solver++(2M) with the denoiser ``mean``, that before being ``before``."""
    solver, terms = dm.DPMSolver2M(limited=True), dfx.ODETerm(lambda lam, x, args: args - x)
    memory = solver.init(terms, -h, 0 * h, y, mean)
    memory = solver.step(terms, -h, 0 * h, y, before, memory, False)[3]
    return solver.step(terms, 0 * h, h, y, mean, memory, False)[0]


@theorem(
    "D12",
    "A step y+ = rho y + (1-rho) m' with |m'-m|^2 <= |y-m|^2 + 2 s^2 KL never raises V; so limited 2M never does",
    domain="all N, D, weights, steps and m' (by D11; vectors written at D = 2); DDIM's step with any m', and that of "
    "the limited DPM-Solver++(2M) after one as long, traced at D = 2",
)
def margin(proof, *, factor=2, half=2):
    proof.cites("D11")
    r, e = symbols("r", D), symbols("e", D)
    rest, s2, kl, re = (symbols(name, nonnegative=True) for name in ("rest", "s2", "KL", "KL_w"))
    odds = symbols("odds", nonnegative=True)
    rho = odds / (1 + odds)  # every rho in [0, 1)
    landed = rho * r + (1 - rho) * e
    change = ledger(r, landed, 0 * r, s2, rho**2 * s2, kl, re, half=sympy.Rational(1, half))  # m is the origin
    slack = r @ r + factor * s2 * kl - e @ e  # Q - |m' - m|^2, not negative by hypothesis
    bound = change + (1 - rho) / 2 * (slack - rest)
    parts = [square(r - e, rho / (2 * (1 + odds))), product(rho / (1 + odds), s2, kl), product(rho**2, s2, re)]
    parts.append(product(rest, 1 / (2 * (1 + odds))))
    proof.falls("V+ - V, with slack = rest >= 0", bound, parts)
    h, other = symbols("h", positive=True), symbols("other", D)
    made = traced(step, LAM, h, Y, other)
    ratio = sympy.exp(-h)
    proof.zero("DDIM's step with any m' has this form", made - ratio * Y - (1 - ratio) * other)
    cut(proof)
    numbers(proof)


def cut(proof):
    """Both branches of the limited 2M: ``m' = m + a c`` with ``|a c| <= |y - m|``."""
    h, mean, before = symbols("h", positive=True), symbols("m", D), symbols("before", D)
    made, rho = traced(limited, Y, h, mean, before), sympy.exp(-h)
    facts = {fact for entry in made for piece in entry.atoms(sympy.Piecewise) for _, fact in piece.args} - {sympy.true}
    proof.holds("the step has one branch", len(facts) == 1)
    (fact,) = facts
    added, move = (mean - before) / 2, Y - mean
    proof.zero(
        "it is taken where what is added is longer than y - m", fact.gts - fact.lts - added @ added + move @ move
    )
    for taken in (sympy.true, sympy.false):
        branch = np.array([entry.xreplace({fact: taken}) for entry in made], object)
        other = (branch - rho * Y) / (1 - rho)  # m'
        if taken:
            proof.zero("there |m' - m| = |y - m|", (other - mean) @ (other - mean) - move @ move)
        else:
            proof.zero("elsewhere m' - m is what 2M adds", other - mean - added)


def numbers(proof):
    """Steps at the margin in random directions, and well beyond it."""
    xi, u, y, lam = draws(256)
    rng = np.random.default_rng(1)
    away, rho = rng.normal(size=y.shape), rng.uniform(0.01, 0.99, size=len(lam))
    away /= np.linalg.norm(away, axis=1, keepdims=True)
    before, after = over(lambda *a: values(*a, 1.0), xi, u, y, lam, jnp.asarray(away), jnp.asarray(rho))
    proof.below("at the margin, 256 draws", after - before)
    before, after = over(lambda *a: values(*a, 3.0), xi, u, y, lam, jnp.asarray(away), jnp.asarray(rho))
    proof.witness("three times the margin", (after - before).max())


def values(xi, u, y, lam, away, rho, times):
    """V before and after a step with ``m' = m + times sqrt(Q) away``."""
    where = path(xi, u)
    moments, energy = where.law.moments(y, jnp.exp(-lam)), dm.FreeEnergy(where)
    radius = jnp.sqrt((y - moments.mean) @ (y - moments.mean) + 2 * jnp.exp(-2 * lam) * moments.kl)
    other = moments.mean + times * radius * away
    return energy(lam, y), energy(lam - jnp.log(rho), rho * y + (1 - rho) * other)


main = margin.prove
