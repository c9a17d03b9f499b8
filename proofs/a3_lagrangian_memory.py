r"""A3: memories with Lagrangians (Krotov & Hopfield 2021, arXiv 2008.06996; HAMUX) descend if these are convex.

    g = dL/dx,  E = sum (x - b).g - L + E_syn(g),  tau x' = -dE/dg:    dE/dt = -sum tau x'.(Hess L) x'

Two layers here, one with an additive Lagrangian and one with ``L = log sum exp``, whose Hessian ``diag(p) - p p^T`` is
singular and not diagonal. With ``L = -|x|^2/2`` the energy rises.
"""

import jax
import jax.numpy as jnp
import numpy as np
import sympy

import dynamem as dm
from dynamem.theorems import product, symbols, theorem, traced


SEEN, HIDDEN = 2, 3
SIZE = SEEN + HIDDEN


class Layers(dm.AbstractLagrangianEnergy):
    """Visible units with ``L = sign |x|^2/2``, hidden ones with ``L = log sum exp``, and ``E_syn = -g_v.W g_h``."""

    W: jax.Array
    b: jax.Array
    sign: float = 1.0

    def lagrangian(self, x):
        """``L`` of both layers."""
        return 0.5 * self.sign * (x[:SEEN] @ x[:SEEN]) + jax.nn.logsumexp(x[SEEN:])

    def synapses(self, g):
        """``E_syn`` in the activations."""
        return -(g[:SEEN] @ (self.W @ g[SEEN:]))

    def __call__(self, t, x):
        """``(x - b).g - L + E_syn(g)``."""
        g = jax.grad(self.lagrangian)(x)
        return (x - self.b) @ g - self.lagrangian(x) + self.synapses(g)

    def magnitude(self, t, x):
        """Not needed here."""
        return jnp.ones(())

    def dual_gradient(self, t, x):
        """``x - b + dE_syn/dg``."""
        return x - self.b + jax.grad(self.synapses)(jax.grad(self.lagrangian)(x))

    def slope(self, x):
        """Diagonal of ``Hess L``."""
        return jnp.diag(jax.hessian(self.lagrangian)(x))


def rate(w, b, tau, x, sign=1.0):
    """The generator's rate, the velocity, and ``Hess L``."""
    energy = Layers(w, b, sign)
    flow = dm.LagrangianFlow(energy, tau)
    return dm.generator(energy, flow)(0.0, x).total, flow.drift(0.0, x, None), jax.hessian(energy.lagrangian)(x)


@theorem(
    "A3",
    "Lagrangian memories descend for convex Lagrangians: dE/dt = -sum tau x'.(Hess L) x'",
    domain="every L and E_syn by the chain rule (written at D = 2); traced: dynamem's LagrangianFlow and generator "
    "on two layers of 2 and 3 units written in the proof, all W, b, tau",
)
def lagrangian_memory(proof, *, factor=1):
    w, b, tau = symbols("w", SEEN, HIDDEN), symbols("b", SIZE), symbols("tau", positive=True)
    x = symbols("x", SIZE)
    found, v, hessian = traced(rate, w, b, tau, x)
    proof.zero("rate", found + factor * tau * (v @ hessian @ v))
    e = np.array([sympy.exp(one) for one in x[SEEN:]], object)
    p = e / sum(e)
    mean = p @ v[SEEN:]
    parts = [product(tau, one**2) for one in v[:SEEN]]
    parts += [product(tau, share, (one - mean) ** 2) for share, one in zip(p, v[SEEN:], strict=True)]
    proof.falls("it falls: squares and the variance of the hidden velocities", found, parts)
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
    total, v, hessian = rate(w, b, jnp.ones(()), x)
    proof.close("a random memory", total, -(v @ hessian @ v))
    proof.witness("L = -|x|^2/2 in the visible layer", rate(w, b, jnp.ones(()), x, -1.0)[0])


main = lagrangian_memory.prove
