r"""D3: in canonical coordinates the density energy rises only after the landscape has bifurcated.

    d(-log p)/dlam = tr C/s^2 - D,    tr C > D s^2  =>  lambda_max(C) > s^2,    tr C <= R^2,

with ``R`` the radius of a ball around any centre that holds the data, hence no rise for ``s^2 >= R^2/D``.
"""

import jax.numpy as jnp
import numpy as np
import sympy
from _posterior import LAM, S2, XI, D, U, Y, average, draws, over, path, posterior

import dynamem as dm
from dynamem.theorems import dot, product, square, symbols, theorem, traced


def density_rate(xi, u, lam, y):
    """The rate of the density energy on the clock ``lam``, and ``tr C``."""
    where = path(xi, u)
    rate = dm.generator(dm.DensityEnergy(where), dm.ProbabilityFlow(where))(lam, y).total
    return rate, where.law.moments(y, jnp.exp(-lam)).trace


@theorem(
    "D3",
    "In canonical coordinates the density rises only where lambda_max(C) > s^2, never for s^2 >= R^2/D",
    domain="lambda_max (eigenvalues written at D = 4) and R (by averages): all N, D; the traced code at N = 3, D = 2",
)
def after_bifurcation(proof, *, factor=1):
    rate, trace = traced(density_rate, XI, U, LAM, Y)
    proof.zero("rate", rate - factor * (trace / S2 - D))
    top, gaps = symbols("top"), symbols("gap", 4, nonnegative=True)
    proof.falls("tr C <= D lambda_max", sum(top - gap for gap in gaps) - 4 * top, [product(gap) for gap in gaps])
    w, _ = posterior(Y, S2)
    mean, centre, radius2 = w @ XI, symbols("c", D), symbols("R2", positive=True)
    slack = symbols("slack", 3, nonnegative=True)  # R^2 - |xi_i - c|^2
    parts = [product(w[i], slack[i]) for i in range(3)] + [square(mean - centre)]
    gaps = [radius2 - dot(row - centre, row - centre) - gap for row, gap in zip(XI, slack, strict=True)]
    spread = sympy.Add(*(w[i] * dot(XI[i] - mean, XI[i] - mean) for i in range(3)))
    proof.zero("tr C of the code", spread - trace)
    proof.falls("tr C <= R^2", spread - radius2 + w @ np.array(gaps, object), parts)
    d, overlap, spread2, shift2 = symbols("v", 4)  # |xi_i - c|^2, (xi_i - c).(m - c); E|xi - c|^2, |m - c|^2
    found = average(d - 2 * overlap + shift2, {d: spread2, overlap: shift2})
    proof.zero("tr C = E|xi - c|^2 - |m - c|^2, all N and D", found - spread2 + shift2)
    numbers(proof)


def numbers(proof):
    """The running code, and what the hypothesis on the coordinates is for."""
    xi, u, y, lam = draws()
    rate, trace = over(density_rate, xi, u, lam, y)
    proof.close("rate, 64 draws", rate, trace * np.exp(2 * lam) - y.shape[1])
    where = dm.DiffusionPath(dm.VP(), dm.GaussianMixture(jnp.zeros((1, 3)), jnp.asarray([2.0])))
    t, x = jnp.asarray(0.5), jnp.asarray([1.0, 0.0, -1.0])
    own = dm.generator(dm.DensityEnergy(where, clock="tau"), dm.ProbabilityFlow(where, clock="tau"))(t, x).total
    proof.witness("VP's own coordinates: it rises for one Gaussian of scale 2, where E is convex", own)


main = after_bifurcation.prove
