r"""D14: the discrete supermartingale.

For ``y+ = m + a (y - m) + n z``, ``z ~ N(0, I)``, ``|a| <= 1``, ``n^2 <= zeta (s^2 - s+^2)``,

    E V_zeta+ <= V_zeta.

Gibbs' bound of D11 with the old weights, averaged over z. DDIM(eta) is such a step with ``zeta = eta^2``, DDPM with
either variance one with ``zeta = 1``. A corrector at fixed s, which adds noise without lowering s, is not, and raises
it.
"""

from functools import partial

import diffrax as dfx
import jax
import jax.numpy as jnp
import numpy as np
import sympy
from _posterior import LAM, XI, D, U, Y, draws, ledger, over, path

import dynamem as dm
from dynamem.theorems import product, square, symbols, theorem, traced


def step(xi, u, lam, h, root, y, noise):
    """DDIM(eta) with ``eta^2 = 1/(1 + root^2)`` for the increment ``noise`` of its Brownian path, and the mean."""
    where, eta2 = path(xi, u), 1 / (1 + root**2)
    solver, flow = dm.DDIM(1 / jnp.sqrt(1 + root**2)), dm.ReverseSDE(where, eta2)
    control = dfx.ControlTerm(lambda t, z, args: flow.diffusion(t, z, args), Increment(noise))
    terms = dfx.MultiTerm(dfx.ODETerm(lambda t, z, args: flow.drift(t, z, args)), control)
    return solver.step(terms, lam, lam + h, y, None, None, False)[0], where.law.denoise(y, jnp.exp(-lam))


def ancestral(solver, xi, u, lam, h, y, noise):
    """A step of a solver of the reverse SDE with churn 1, and the mean."""
    where = path(xi, u)
    flow = dm.ReverseSDE(where, 1.0)
    control = dfx.ControlTerm(lambda t, z, args: flow.diffusion(t, z, args), Increment(noise))
    terms = dfx.MultiTerm(dfx.ODETerm(lambda t, z, args: flow.drift(t, z, args)), control)
    return solver.step(terms, lam, lam + h, y, None, None, False)[0], where.law.denoise(y, jnp.exp(-lam))


class Increment(dfx.AbstractPath):
    """A control whose increment over every step is given."""

    value: jax.Array
    t0 = -jnp.inf
    t1 = jnp.inf

    def evaluate(self, t0, t1=None, left=True):
        """The increment."""
        return self.value


@theorem(
    "D14",
    "E V_zeta+ <= V_zeta for y+ = m + a(y-m) + n z with |a| <= 1, n^2 <= zeta (s^2 - s+^2): DDPM, DDIM(eta)",
    domain="all N, D, weights and such steps (by D11; vectors at D = 2); DDIM(eta) with eta in (0, 1] and DDPM "
    "traced at N = 3, D = 2",
)
def discrete(proof, *, factor=1, half=2):
    proof.cites("D11")
    r, z, a, n = symbols("r", D), symbols("z", D), symbols("a"), symbols("n")
    zeta, kl, lost, rest, left = (symbols(x, nonnegative=True) for x in ("zeta", "KL", "lost", "rest", "left"))
    landed = a * r + n * z
    bound = ledger(r, landed, 0 * r, lost, 0, kl, 0, half=sympy.Rational(1, half))  # m is the origin, s+^2 KL_w >= 0
    change = gaussian_mean(bound, z) - zeta * D * lost / 2
    change = change.expand().xreplace({a**2: 1 - rest})  # |a| <= 1, and lost = s^2 - s+^2
    room = zeta * lost - n**2 - left  # n^2 <= zeta lost
    parts = [square(r, rest / 2), product(lost, kl), product(left * D / 2)]
    proof.falls("E V+ - V", change + factor * D * room / 2, parts)
    of_ddim(proof)
    of_ddpm(proof)
    numbers(proof)


def gaussian_mean(expression, z):
    """The mean over ``z ~ N(0, I)`` of a polynomial of degree 2."""
    moments = (1, 0, 1)
    terms = sympy.Poly(sympy.expand(expression), *z).terms()
    return sum(coefficient * sympy.Mul(*(moments[k] for k in powers)) for powers, coefficient in terms)


def of_ddim(proof):
    """``a = rho sqrt(1 - eta^2 (1 - rho^2))`` and ``n^2 = eta^2 s+^2 (1 - rho^2) = rho^2 eta^2 (s^2 - s+^2)``."""
    h, root, z = symbols("h", positive=True), symbols("root"), symbols("z", D)
    noisy, mean = traced(step, XI, U, LAM, h, root, Y, z * sympy.sqrt(h))
    plain, _ = traced(step, XI, U, LAM, h, root, Y, [0] * D)
    ratio, eta2 = sympy.exp(-h), 1 / (1 + root**2)
    keep = ratio * sympy.sqrt(1 - eta2 * (1 - ratio**2))
    proof.zero("DDIM's a", plain - mean - keep * (Y - mean))
    n2 = eta2 * sympy.exp(-2 * (LAM + h)) * (1 - ratio**2)
    proof.zero("DDIM's n^2", (noisy - plain) ** 2 - n2 * z**2)
    odds = symbols("odds", positive=True)  # rho = 1/(1 + odds)
    rho = 1 / (1 + odds)
    s2 = symbols("s2", positive=True)
    gap = s2 * (1 - rho**2) - rho**2 * s2 * (1 - rho**2)
    proof.falls("n^2 <= eta^2 (s^2 - s+^2)", -gap, [product(s2, sympy.factor((1 - rho**2) ** 2))])


def of_ddpm(proof):
    """``a = rho^2`` and ``n^2 = s+^2 (1 - rho^2)``, or ``(s^2 - s+^2)(1 + s+^2)/(1 + s^2)`` with the upper variance."""
    h, z = symbols("h", positive=True), symbols("z", D)
    ratio, s2 = sympy.exp(-h), sympy.exp(-2 * LAM)
    lost = s2 * (1 - ratio**2)
    sizes = {"posterior": ratio**2 * lost, "upper": lost * (1 + ratio**2 * s2) / (1 + s2)}
    for name, n2 in sizes.items():
        run = partial(ancestral, dm.DDPM(name))
        noisy, mean = traced(run, XI, U, LAM, h, Y, z * sympy.sqrt(h))
        plain, _ = traced(run, XI, U, LAM, h, Y, [0] * D)
        proof.zero(f"DDPM's a, {name} variance", plain - mean - ratio**2 * (Y - mean))
        proof.zero(f"DDPM's n^2, {name} variance", (noisy - plain) ** 2 - n2 * z**2)
    odds, level = symbols("odds", positive=True), symbols("s2", positive=True)  # rho = 1/(1 + odds)
    rho2, gone = 1 / (1 + odds) ** 2, level * sympy.factor(1 - 1 / (1 + odds) ** 2)
    upper = sympy.factor(gone * (1 + rho2 * level) / (1 + level) - gone)
    proof.falls("both n^2 <= s^2 - s+^2: the posterior's", rho2 * gone - gone, [product(gone, sympy.factor(1 - rho2))])
    proof.falls("and the upper", upper, [product(gone, sympy.factor(gone / (1 + level)))])


def numbers(proof):
    """DDPM's steps on the running code in mean over 4096 noises, and a corrector at fixed s."""
    xi, u, y, lam = draws(16)
    z = jnp.asarray(np.random.default_rng(1).normal(size=(4096, y.shape[1])))
    for h in (0.3, 2.0):
        before, after = over(lambda *a, h=h: values(*a, h, z), xi, u, y, lam)
        slack = 4 * after.std(axis=1) / 64
        proof.below(f"DDPM in mean, h = {h}", after.mean(axis=1) - before - slack)
    at_memory = xi[:, 0], lam * 0 + 2.0
    before, after = over(lambda xi, u, y, lam: corrected(xi, u, y, lam, z), xi, u, *at_memory)
    proof.witness("a Langevin corrector at fixed s", (after.mean(axis=1) - before - 4 * after.std(axis=1) / 64).max())


def values(xi, u, y, lam, h, z):
    """``V_1`` before and after DDPM's step (eta = 1)."""
    energy, root = dm.FreeEnergy(path(xi, u), 1.0), jnp.zeros(())
    after = jax.vmap(lambda one: energy(lam + h, step(xi, u, lam, h, root, y, jnp.sqrt(h) * one)[0]))(z)
    return energy(lam, y), after


def corrected(xi, u, y, lam, z):
    """``V_1`` before and after a Langevin step for the density at the same s."""
    where = path(xi, u)
    energy, s = dm.FreeEnergy(where, 1.0), jnp.exp(-lam)
    move = 0.1 * (where.law.denoise(y, s) - y)
    return energy(lam, y), jax.vmap(lambda one: energy(lam, y + move + s * jnp.sqrt(0.2) * one))(z)


main = discrete.prove
