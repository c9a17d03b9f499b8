r"""D10: at the level of distributions the flow conserves KL, and the reverse SDE never raises it.

With the ideal m and q << p, ``dKL(q || p)/dlam = -zeta s^2 E_q |grad log(q/p)|^2``.

Pointwise, for the Fokker-Planck equation ``q' = -div(b q) + nu lap q``, ``nu = zeta s^2``, and any two solutions,

    (q log(q/p))' = -div J - nu q |grad log(q/p)|^2,   J = b q log(q/p) - nu [grad q (1 + log(q/p)) - (q/p) grad p],

whose divergence integrates to nothing where ``q`` and ``J`` vanish at infinity. That ``p``, the path's own density,
solves the equation of the code's reverse SDE is shown on the code. With ``zeta = 0`` KL is conserved.
"""

import jax
import jax.numpy as jnp
import numpy as np
import sympy
from _posterior import LAM, S2, XI, D, U, Y, draws, over, path

import dynamem as dm
from dynamem.theorems import square, symbols, theorem, traced


ZETA = symbols("zeta", nonnegative=True)


def own_density(xi, u, zeta, lam, y, churn=None):
    """``p'/p + div b + b.grad log p - nu lap p/p``, with the drift of the code and its noise, or that of ``churn``."""
    where = path(xi, u)
    energy, flow = dm.DensityEnergy(where), dm.ReverseSDE(where, zeta)
    noisy = flow if churn is None else dm.ReverseSDE(where, churn)
    time, slope = jax.grad(energy, argnums=(0, 1))(lam, y)
    spread = jnp.trace(jax.jacfwd(lambda z: flow.drift(lam, z, None))(y))
    nu = 0.5 * noisy.noise(lam, y) ** 2
    curvature = slope @ slope - energy.laplacian(lam, y)
    return -time + spread - flow.drift(lam, y, None) @ slope - nu * curvature, nu


@theorem(
    "D10",
    "dKL(q||p)/dlam = -zeta s^2 E_q |grad log(q/p)|^2: conserved by the flow, never rising along the SDE",
    domain="any two positive solutions in D = 2, up to a divergence; the path's density on the traced code at N = 3, "
    "D = 2",
)
def distributions(proof, *, factor=1):
    residual, nu_code = traced(own_density, XI, U, ZETA, LAM, Y)
    proof.zero("the path's density solves the SDE's equation", residual)
    proof.zero("nu = zeta s^2", nu_code - factor * ZETA * S2)
    x, t, nu = symbols("x", D), symbols("t"), symbols("nu", nonnegative=True)
    q, p = (sympy.exp(sympy.Function(name, real=True)(t, *x)) for name in ("log_q", "log_p"))
    b = [sympy.Function(f"b{i}", real=True)(t, *x) for i in range(D)]
    log = sympy.log(q) - sympy.log(p)
    flow = {one: -sum(sympy.diff(b[i] * one, x[i]) - nu * sympy.diff(one, x[i], 2) for i in range(D)) for one in (q, p)}
    rate = flow[q] * (1 + log) - flow[p] * q / p  # d/dt of q log(q/p)
    current = [b[i] * q * log - nu * (sympy.diff(q, x[i]) * (1 + log) - q / p * sympy.diff(p, x[i])) for i in range(D)]
    fall = rate + sum(sympy.diff(one, z) for one, z in zip(current, x, strict=True))
    slope = [sympy.diff(log, z) for z in x]
    proof.zero("pointwise", fall + factor * nu * q * sum(one**2 for one in slope))
    gradients = symbols("dlog", D)
    weight = symbols("q", nonnegative=True)
    proof.falls("what is lost", -nu * weight * sum(gradients**2), [square(gradients, nu * weight)])
    numbers(proof)


def numbers(proof):
    """The running code, and another noise, of which the density is no solution: KL to it need not fall."""
    xi, u, y, lam = draws()
    residual, _ = over(lambda xi, u, lam, y: own_density(xi, u, 0.7, lam, y), xi, u, lam, y)
    proof.close("64 draws", residual, np.zeros_like(residual), 1e-7)
    smooth, _ = over(lambda xi, u, lam, y: own_density(xi, u, 0.7, lam - 1.0, 1.1 * y), xi, u, lam, y)
    proof.close("other states", smooth, np.zeros_like(smooth), 1e-7)
    wrong, _ = over(lambda xi, u, lam, y: own_density(xi, u, 0.7, lam, y, 0.0), xi, u, lam, y)
    proof.witness("p has to solve the equation: the drift of churn 0.7 without its noise", np.abs(wrong).max())


main = distributions.prove
