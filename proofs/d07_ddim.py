r"""D7: DDIM is unconditionally energy-stable.

    y+ = y + eta (m - y), eta = 1 - s+/s:    V(y+, s+) <= V(y+, s) <= V(y, s) - eta (1 - eta/2)|y - m|^2

for any decreasing sequence of ``s``: twice the ledger of D11, first with ``s+ = s``, then with ``y+ = y``. It passes
to ``s+ = 0``, where V is its limit ``min d/2`` by the bounds of D16. Explicit Euler in ``t`` is the same step on
flow matching and EDM.
"""

import diffrax as dfx
import jax.numpy as jnp
import numpy as np
import sympy
from _posterior import HALF, INSIDE, LAM, TIME, XI, D, U, Y, draws, ledger, over, path

import dynamem as dm
from dynamem.theorems import dot, product, symbols, theorem, traced


H, LATER = symbols("h", positive=True), symbols("t1", positive=True)


def step(xi, u, lam, y, h):
    """One step of the solver, and the denoiser."""
    where = path(xi, u)
    made = dm.DDIM().step(dm.ProbabilityFlow(where).terms(), lam, lam + h, y, None, None, False)[0]
    return made, where.law.denoise(y, jnp.exp(-lam))


def euler(schedule):
    """One step of Diffrax's Euler in ``t`` from ``t`` to ``t1``, carried to ``y``, and DDIM's."""

    def function(xi, u, t, t1, y):
        where = path(xi, u, schedule)
        terms, alpha, s = dm.ProbabilityFlow(where, clock="tau").terms(), schedule.alpha(t), schedule.s(t)
        made = dfx.Euler().step(terms, 1 - t, 1 - t1, alpha * y, None, None, False)[0] / schedule.alpha(t1)
        mean = where.law.denoise(y, s)
        return made, mean + schedule.s(t1) / s * (y - mean)

    return function


@theorem(
    "D7",
    "DDIM never raises the free energy, however coarse: V+ <= V - eta (1 - eta/2)|y-m|^2",
    domain="all N, D, weights and steps (by D11, vectors written at D = 2); the traced steps at N = 3, D = 2",
)
def ddim(proof, *, half=HALF, one=1):
    proof.cites("D11", "D16")
    made, mean = traced(step, XI, U, LAM, Y, H)
    proof.zero("the solver's step", made - Y - (one - sympy.exp(-H)) * (mean - Y))
    slopes = np.array([sympy.diff(entry, H) for entry in made], object)
    proof.zero("it solves dy/dlam = m - y with m frozen: exponential Euler", slopes - (mean - made))
    proof.zero("from y on", np.array([entry.xreplace({H: sympy.Integer(0)}) for entry in made], object) - Y)
    eta, m = symbols("eta"), symbols("m", D)
    s2, lost, later, kl, re = (symbols(n, nonnegative=True) for n in ("s2", "lost", "s2_plus", "KL", "KL_w"))
    to, claimed = Y + eta * (m - Y), -eta * (1 - eta / 2) * dot(Y - m, Y - m)
    proof.falls("V(y+, s) <= V - eta (1 - eta/2)|y-m|^2", ledger(Y, to, m, s2, s2, kl, re, half=half) - claimed,
                [product(s2, re)])  # fmt: skip
    second = ledger(to, to, m, later + lost, later, kl, re)  # m, KL and weights are those at y+
    proof.falls("V(y+, s+) <= V(y+, s)", second, [product(lost, kl), product(later, re)])
    inside = proof.region({**INSIDE, LATER: INSIDE[TIME]})
    for schedule in (dm.FlowMatching(), dm.EDM()):
        left, right = traced(euler(schedule), XI, U, TIME, LATER, Y, within=inside)
        proof.zero(f"Euler in t is the same step on {type(schedule).__name__}", left - right)
    numbers(proof)


def numbers(proof):
    """The running code, and the limits of the step's length."""
    xi, u, y, lam = draws()
    for h in (0.1, 1.0, 10.0):
        _, after, bound = over(lambda xi, u, lam, y, h=h: values(xi, u, lam, y, h, 1.0), xi, u, lam, y)
        proof.below(f"steps of {h}", after - bound)
    pair = (jnp.asarray([[[1.0], [1.1]]]), jnp.full((1, 2), 0.5), jnp.asarray([0.0]), jnp.asarray([[3.0]]))
    before, after, _ = over(lambda xi, u, lam, y: values(xi, u, lam, y, 2.3, None), *pair)
    proof.witness("Euler in lam with a step of 2.3 > 2 raises V", (after - before).max())


def values(xi, u, lam, y, h, ddim_):
    """V before and after a step (DDIM's, or Euler's in ``lam``), and the bound of D7."""
    where = path(xi, u)
    energy, mean = dm.FreeEnergy(where), where.law.denoise(y, jnp.exp(-lam))
    eta = -jnp.expm1(-h) if ddim_ else h
    after = energy(lam + h, y + eta * (mean - y))
    return energy(lam, y), after, energy(lam, y) - eta * (1 - eta / 2) * (y - mean) @ (y - mean)


main = ddim.prove
