r"""A9: Fenchel-Young memories (Santos et al. 2024) descend at every step up to 2, and recall exactly above a margin.

    E = |x|^2/2 - Omega*(z)/beta,  z = beta xi x,  T = xi^T p,  Omega*(z) = max_q q.z - Omega(q) = p.z - Omega(p).

At ``x+ = x + eta (T - x)``, ``z+ = z + eta beta xi (T - x)``, the old ``p`` is a candidate for the maximum, so that
``Omega*(z+) = Omega*(z) + p.(z+ - z) + L`` with the Fenchel-Young loss ``L(z+; p) >= 0``, and

    E(x+) - E(x) = -eta (1 - eta/2)|T - x|^2 - L/beta,      since  p.(z+ - z) = beta eta T.(T - x).

For Tsallis' entropy of order alpha, ``p_j = max(0, 1 + (alpha - 1)(z_j - c))^{1/(alpha - 1)}``, one ``p_i`` is 1 iff
``c = z_i``, and the others are 0 iff ``z_i - z_j >= 1/(alpha - 1)``: then the update is ``xi_i``, exactly.
"""

import jax.numpy as jnp
import numpy as np

import dynamem as dm
from dynamem.theorems import product, square, symbols, theorem


BETA, ETA, LOSS = symbols("beta", positive=True), symbols("eta", positive=True), symbols("L", nonnegative=True)


def step(memory, eta, x):
    """E before and after a step, and how far the update lies."""
    move = memory.update(x) - x
    return memory(0.0, x), memory(0.0, x + eta * move), move @ move


@theorem(
    "A9",
    "Fenchel-Young memory: x+ = x + eta (T - x) gives dE <= -eta (1 - eta/2)|T - x|^2 for 0 < eta <= 2; exact recall",
    domain="all N, D, beta and convex Omega, on the mathematics; the running code (a loop solves for c) in numbers",
)
def fenchel_young(proof, *, half=2, lead=1):
    x2, xt, t2, value = symbols("x2", nonnegative=True), symbols("xt"), symbols("t2", nonnegative=True), symbols("v")
    gap2 = t2 - 2 * xt + x2  # |T - x|^2
    after2 = x2 + 2 * ETA * (xt - x2) + ETA**2 * gap2  # |x+|^2
    later = value + BETA * ETA * (t2 - xt) + LOSS  # p.(z+ - z) = eta beta T.(T - x)
    change = (after2 - x2) / 2 - (later - value) / BETA
    proof.zero("change, all N and D", change + ETA * (1 - ETA / half) * gap2 + LOSS / BETA)
    proof.falls("bound", change + ETA * (1 - ETA / 2) * gap2, [product(LOSS, 1 / BETA)])
    low, move = symbols("low", nonnegative=True), symbols("m", 2)
    eta = 2 / (1 + low)  # every eta in (0, 2]
    proof.falls(
        "the bound is not positive", -eta * (1 - eta / 2) * (move @ move), [square(move, eta * low / (1 + low))]
    )
    a, above = symbols("a", positive=True), symbols("above", nonnegative=True)
    other = -(lead / a + above)  # z_j - z_i of a score that trails by 1/a or more: its base is not positive
    proof.falls("exact from the margin on", 1 + a * other, [product(a, above)])
    numbers(proof)


def numbers(proof):
    """Descent at several orders; exact recall above the margin, not below it, and never by softmax."""
    rng = np.random.default_rng(0)
    xi = rng.normal(size=(6, 4))
    xi, x = jnp.asarray(xi / np.linalg.norm(xi, axis=1, keepdims=True)), jnp.asarray(rng.normal(size=4))
    for alpha in (1.0, 1.5, 2.0, 3.0):
        before, after, moved = step(dm.FenchelYoung(xi, 3.0, alpha), 1.7, x)
        proof.below(f"alpha = {alpha}", after - before, -1.7 * (1 - 0.85) * moved)
    delta = float(dm.FenchelYoung(xi, 1.0).separations()[0])
    for alpha in (1.5, 2.0, 3.0):
        beta = 1.000001 / (delta * (alpha - 1))
        proof.below(f"error at the margin, alpha = {alpha}", error(dm.FenchelYoung(xi, beta, alpha)), tolerance=0.0)
        proof.witness(f"error below the margin, alpha = {alpha}", error(dm.FenchelYoung(xi, 0.9 * beta, alpha)), 1e-3)
    proof.witness("softmax is not exact", error(dm.FenchelYoung(xi, 1 / delta, 1.0)), 1e-3)
    before, after, _ = step(dm.FenchelYoung(jnp.ones((1, 1)), 1.0), 2.5, jnp.zeros(1))
    proof.witness("eta = 2.5", after - before)


def error(memory):
    """How far the update of the first pattern is from it."""
    return jnp.max(jnp.abs(memory.update(memory.xi[0]) - memory.xi[0]))


main = fenchel_young.prove
