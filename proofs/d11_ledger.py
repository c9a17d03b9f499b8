r"""D11: the exact ledger of any step, from Gibbs' variational principle with the old weights.

    V+ = V + |y+ - m|^2/2 - |y - m|^2/2 - (s^2 - s+^2) KL(w || u) - s+^2 KL(w || w+)

for any ``y+`` and ``s+``. As the last term is never positive, it bounds ``V+`` by what the old weights know: the
tangent from which D7, D12, D13, D14 and D18 follow.
"""

import jax.numpy as jnp
import numpy as np
import sympy
from _posterior import HALF, LAM, S2, XI, D, U, Y, average, draws, ledger, over, path, posterior

import dynamem as dm
from dynamem.theorems import divergence, symbols, theorem, traced


LATER, TO = symbols("lam_plus"), symbols("z", D)


def two_points(xi, u, lam, y, later, to):
    """V before and after, and the mean and KL before."""
    where = path(xi, u)
    energy, moments = dm.FreeEnergy(where), where.law.moments(y, jnp.exp(-lam))
    return energy(lam, y), energy(later, to), moments.mean, moments.kl


@theorem(
    "D11",
    "The ledger of any step: V+ = V + |y+-m|^2/2 - |y-m|^2/2 - (s^2-s+^2) KL(w||u) - s+^2 KL(w||w+)",
    domain="all N, D, weights, y+ and s+ > 0 by averages; the traced code at N = 3, D = 2",
)
def of_any_step(proof, *, half=HALF, annealing=1, reweighting=1):
    proof.cites("L1")
    before, after, mean, kl = traced(two_points, XI, U, LAM, Y, LATER, TO)
    (w, _), (later, _), s2 = posterior(Y, S2), posterior(TO, sympy.exp(-2 * LATER)), sympy.exp(-2 * LATER)
    relative, constants = divergence(w, later).expression, {"half": half, "annealing": annealing}
    change = ledger(Y, TO, mean, S2, s2, kl, relative, **constants, reweighting=reweighting)
    proof.zero("ledger", before + change - after)
    bound = ledger(Y, TO, mean, S2, s2, kl, 0, **constants)
    proof.falls("the last term is never positive", after - before - bound, [divergence(w, later, s2)])
    d, d1, q, q1, log_z, log_z1, old, new = symbols("q", 8)
    relative = average(d1 / (2 * new) - d / (2 * old) + log_z1 - log_z, {d: q, d1: q1})  # log w - log w+
    spread = half * (q1 - q) - annealing * (old - new) * average(-d / (2 * old) - log_z, {d: q})
    proof.zero("ledger, all N and D", -old * log_z + spread - reweighting * new * relative + new * log_z1)
    numbers(proof)


def numbers(proof):
    """The running code: any step, and the ledger with weights in NumPy."""
    xi, u, y, lam = (np.asarray(part) for part in draws())
    to, later = y + np.random.default_rng(1).normal(size=y.shape), lam + 0.7
    before, after, mean, kl = over(two_points, xi, u, lam, y, later, to)
    log_w, log_w1 = (log_weights(xi, u, *at) for at in ((y, lam), (to, later)))
    mismatch = (np.exp(log_w) * (log_w - log_w1)).sum(axis=1)
    pull = 0.5 * (((to - mean) ** 2).sum(axis=1) - ((y - mean) ** 2).sum(axis=1))
    s2, s2_later = np.exp(-2 * lam), np.exp(-2 * later)
    bound = before + pull - (s2 - s2_later) * kl
    proof.close("64 draws", bound - s2_later * mismatch, after)
    proof.witness("without the last term it is a bound, no identity", (bound - after).max())
    rising = over(two_points, xi, u, lam, y, lam - 0.7, y)
    proof.witness("s+ > s: V may rise at a fixed state", (rising[1] - rising[0]).max())


def log_weights(xi, u, y, lam):
    """``log w``, shape (B, N)."""
    logits = np.log(u) - 0.5 * ((y[:, None] - xi) ** 2).sum(axis=2) * np.exp(2 * lam)[:, None]
    return logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))


main = of_any_step.prove
