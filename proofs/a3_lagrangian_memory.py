r"""A3: memories with Lagrangians (Krotov & Hopfield 2021, arXiv 2008.06996; HAMUX) descend if these are convex.

    g = dL/dx,  E = sum (x - b).g - L + E_syn(g),  tau x' = -dE/dg:    dE/dt = -sum tau x'.(Hess L) x'

The code is that of two layers of `dm.HAM`, with time constants of their own: one with an additive Lagrangian and one
with ``L = log sum exp``, whose Hessian ``diag(p) - p p^T`` is singular and not diagonal. With ``L = -|x|^2/2`` the
energy rises. One layer moved by ``alpha`` towards ``z = b - dE_syn/dg`` lowers it too, here by ``alpha (1 - alpha/2)
|z - x|^2``.
"""

import jax.numpy as jnp
import numpy as np
import sympy

import dynamem as dm
from dynamem.theorems import product, symbols, theorem, traced


SEEN, HIDDEN = 2, 3
SIZE = SEEN + HIDDEN


def memory(w, b, taus, visible="identity"):
    """Two layers and the synapse between them."""
    layers = {"v": dm.Layer(SEEN, visible, b[:SEEN], taus[0]), "h": dm.Layer(HIDDEN, "softmax", b[SEEN:], taus[1])}
    return dm.HAM(layers, [dm.DenseSynapse(w, ("v", "h"))])


def rate(w, b, taus, x, visible="identity"):
    """The generator's rate, the velocity, and what ``tau Hess L`` makes of it."""
    energy = memory(w, b, taus, visible)
    flow = dm.LagrangianFlow(energy)
    v = flow.drift(0.0, x, None)
    return dm.generator(energy, flow)(0.0, x).total, v, energy.tau * energy.lagrangian.hessian(x).mv(v)


def change(w, b, taus, x, alpha):
    """What an update of the visible layer does to the energy, and the distance to where it leads."""
    energy = memory(w, b, taus)
    parts = energy.split(energy.dual_gradient(0.0, x))
    return energy(0.0, energy.update(x, alpha, ["v"])) - energy(0.0, x), parts["v"] @ parts["v"]


def hill(x):
    """A Lagrangian that is not convex."""
    return -0.5 * (x @ x)


@theorem(
    "A3",
    "Lagrangian memories descend for convex Lagrangians: dE/dt = -sum tau x'.(Hess L) x'",
    domain="every L and E_syn by the chain rule (written at D = 2); traced: dynamem's HAM, LagrangianFlow and "
    "generator on two layers of 2 and 3 units, L = |x|^2/2 and log sum exp, all W, b and a tau for each layer",
)
def lagrangian_memory(proof, *, factor=1):
    w, b, taus = symbols("w", SEEN, HIDDEN), symbols("b", SIZE), symbols("tau", 2, positive=True)
    x = symbols("x", SIZE)
    found, v, bent = traced(rate, w, b, taus, x)
    proof.zero("rate", found + factor * (v @ bent))
    e = np.array([sympy.exp(one) for one in x[SEEN:]], object)
    p = e / sum(e)
    mean = p @ v[SEEN:]
    parts = [product(taus[0], one**2) for one in v[:SEEN]]
    parts += [product(taus[1], share, (one - mean) ** 2) for share, one in zip(p, v[SEEN:], strict=True)]
    proof.falls("it falls: squares and the variance of the hidden velocities", found, parts)
    alpha = symbols("alpha")
    move, square = traced(change, w, b, taus, x, alpha)
    proof.zero("an update of one layer", move + alpha * (1 - alpha / 2) * square)
    every_lagrangian(proof, factor)
    numbers(proof)


def every_lagrangian(proof, factor):
    """The chain rule for an open function ``L(x)``, and any slopes of ``E_syn`` at ``g(x)``."""
    x, tau = symbols("x", 2), symbols("tau", positive=True)
    lagrangian = sympy.Function("L", real=True)(*x)
    hessian = sympy.hessian(lagrangian, list(x))
    slope = symbols("dS", 2)  # dS/dg at g(x)
    velocity = np.array([-(one + d) / tau for one, d in zip(x, slope, strict=True)], object)
    # dE/dx_i = sum_j (x_j + dS/dg_j) d2L/dx_i dx_j, since d(x.g - L)/dx_i = sum_j x_j dg_j/dx_i
    transform = sum(one * sympy.diff(lagrangian, one) for one in x) - lagrangian
    gradient = [sympy.diff(transform, x[i]) + sum(slope[j] * hessian[i, j] for j in range(2)) for i in range(2)]
    found = sum(one * v for one, v in zip(gradient, velocity, strict=True))
    quadratic = sum(velocity[i] * hessian[i, j] * velocity[j] for i in range(2) for j in range(2))
    proof.zero("rate, every L and E_syn", found + factor * tau * quadratic)


def numbers(proof):
    """The running code, and a Lagrangian that is not convex."""
    rng = np.random.default_rng(0)
    w, b, x = (jnp.asarray(rng.normal(size=shape)) for shape in ((SEEN, HIDDEN), SIZE, SIZE))
    taus = jnp.asarray([1.0, 0.3])
    total, v, bent = rate(w, b, taus, x)
    proof.close("a random memory", total, -(v @ bent))
    hollow = dm.Lagrangian(hill, nonconvex=True)
    proof.witness("L = -|x|^2/2 in the visible layer", rate(w, b, taus, x, hollow)[0])


main = lagrangian_memory.prove
