r"""D18: energy-parametrised networks whose samplers are energy-stable by construction.

If ``G = V - |y|^2/2`` is jointly concave in ``(y, s^2)`` and ``K = dV/d(s^2) >= 0``, then with ``m = y - grad V`` the
tangent of G gives

    V+ <= V + |y+ - m|^2/2 - |y - m|^2/2 - (s^2 - s+^2) K,

which is all that D12, D13 and the descent of D7 use of D11, with KL replaced by K. The free energy is such a V: the
code's ``G+`` lies below its tangent by ``s+^2 KL(w || w+)``, and ``K = KL(w || u)``.
"""

import jax
import jax.numpy as jnp
import sympy
from _posterior import LAM, S2, XI, D, U, Y, draws, ledger, over, path, posterior

import dynamem as dm
from dynamem.theorems import divergence, product, square, symbols, theorem, traced


def tangent(xi, u, lam, y, later, to):
    """``G+`` less the tangent of G at ``(y, s^2)``, for the code's free energy; and K."""
    energy = dm.FreeEnergy(path(xi, u))

    def lifted(at, s2):
        return energy(-0.5 * jnp.log(s2), at) - at @ at / 2

    s2, s2_later = jnp.exp(-2 * lam), jnp.exp(-2 * later)
    slope, k = jax.grad(lifted, argnums=(0, 1))(y, s2)
    return lifted(to, s2_later) - lifted(y, s2) - slope @ (to - y) - k * (s2_later - s2), k


@theorem(
    "D18",
    "If V - |y|^2/2 is jointly concave in (y, s^2) and V does not fall in s, then D7, D12 and D13 hold with m "
    "= y - grad V",
    domain="every such differentiable V, all D (vectors written at D = 2); that the free energy is one: the traced "
    "code at N = 3, D = 2",
)
def energy_networks(proof, *, half=2, sign=1):
    proof.cites("L1", "D7", "D12", "D13")
    y, to, slope = symbols("y", D), symbols("to", D), symbols("grad", D)
    s2, later, lost, k, gap = (symbols(name, nonnegative=True) for name in ("s2", "s2_plus", "lost", "K", "gap"))
    m = y - slope
    # concave G lies below its tangent by some gap: G+ = G + (grad V - y).(y+ - y) - K lost - gap
    change = (slope - y) @ (to - y) - k * lost - gap + (to @ to - y @ y) / 2
    claimed = ledger(y, to, m, later + lost, later, k, 0, half=sympy.Rational(1, half), annealing=sign)
    proof.falls("the bound of D11", change - claimed, [product(gap)])
    odds = symbols("odds", nonnegative=True)
    rho = odds / (1 + odds)
    ddim = ((rho * slope) @ (rho * slope) - slope @ slope) / 2 - s2 * (1 - rho**2) * k
    factor = (1 + 2 * odds) / (1 + odds) ** 2  # 1 - rho^2
    proof.falls("DDIM descends", ddim, [square(slope, factor / 2), product(factor, s2, k)])
    proof.falls("the flow descends", -(slope @ slope) - 2 * s2 * k, [square(slope), product(2 * s2, k)])
    free_energy(proof)
    numbers(proof)


def free_energy(proof):
    """The code's V is such a V: all of its tangents lie above G, and K is a divergence."""
    later, to = symbols("lam_plus"), symbols("z", D)
    above, k = traced(tangent, XI, U, LAM, Y, later, to)
    s2 = sympy.exp(-2 * later)
    (w, _), (w_later, _) = posterior(Y, S2), posterior(to, s2)
    proof.falls("V - |y|^2/2 is jointly concave", above, [divergence(w, w_later, s2)])
    proof.falls("V does not fall in s", -k, [divergence(w, U)])


def numbers(proof):
    """The free energy's ``V - |y|^2/2`` is jointly concave: its Hessian in ``(y, s^2)`` on the running code."""
    xi, u, y, lam = draws()
    proof.below("largest eigenvalue, 64 draws", over(largest, xi, u, y, lam), 0.0, 1e-8)
    convex = over(lambda xi, u, y, lam: largest(xi, u, y, lam, 2.0), xi, u, y, lam)
    proof.witness("V - |y|^2/4 is not concave", convex.max())


def largest(xi, u, y, lam, share=1.0):
    """The largest eigenvalue of the Hessian of ``V - |y|^2/(2 share)`` in ``(y, s^2)``."""

    def function(z):
        energy = dm.FreeEnergy(path(xi, u))(-0.5 * jnp.log(z[-1]), z[:-1])
        return energy - z[:-1] @ z[:-1] / (2 * share)

    return jnp.max(jnp.linalg.eigvalsh(jax.hessian(function)(jnp.append(y, jnp.exp(-2 * lam)))))


main = energy_networks.prove
