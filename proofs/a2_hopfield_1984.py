r"""A2: the continuous Hopfield network (Hopfield 1984, PNAS 81:3088) descends its energy.

    v = g(u),  tau u' = -u + W v + b,   E = -v.W v/2 - b.v + sum int g^{-1}:   dE/dt = -tau sum g'(u_i) u_i'^2

if ``W = W^T`` and ``g`` increases. For every ``g`` by the chain rule with a function left open; on the traced code for
tanh and sigmoid. An asymmetric ``W`` has states where the energy rises.
"""

import jax
import jax.numpy as jnp
import numpy as np
import sympy

import dynamem as dm
from dynamem.theorems import product, symbols, theorem, traced


D = 3


def rate(activation):
    """The generator's rate of Hopfield's energy, the velocity, and ``g'``."""

    def function(w, b, tau, u):
        energy = dm.Hopfield(w, b, activation)
        flow = dm.LagrangianFlow(energy, tau)
        slope = energy.lagrangian.hessian(u).mv(jnp.ones_like(u))
        return dm.generator(energy, flow)(0.0, u).total, flow.drift(0.0, u, None), slope

    return function


@theorem(
    "A2",
    "Hopfield's network of 1984 descends if W = W^T and g increases: dE/dt = -tau sum g' u'^2",
    domain="every increasing g and all D by the chain rule (written at D = 3); the traced code for tanh and sigmoid "
    "at D = 3, all symmetric W, b, tau",
)
def hopfield(proof, *, factor=1):
    upper, b, tau, u = symbols("w", D, D), symbols("b", D), symbols("tau", positive=True), symbols("u", D)
    w = np.array([[upper[min(i, j), max(i, j)] for j in range(D)] for i in range(D)], object)
    for name in ("tanh", "sigmoid"):
        found, velocity, slope = traced(rate(name), w, b, tau, u)
        proof.zero(f"rate, {name}", found + factor * tau * (slope @ velocity**2))
        scale = 1 if name == "sigmoid" else 2
        bell = [scale**2 * sympy.exp(scale * one) / (1 + sympy.exp(scale * one)) ** 2 for one in u]
        parts = [product(tau, one, v**2) for one, v in zip(bell, velocity, strict=True)]
        proof.falls(f"it falls, {name}", found, parts)
    any_activation(proof, factor, w, b, tau, u)
    numbers(proof)


def any_activation(proof, factor, w, b, tau, u):
    """``L`` any function with ``L' = g``: the integral of ``g^{-1}`` is ``u g - L``."""
    lagrangian = [sympy.Function(f"L{i}", real=True)(one) for i, one in enumerate(u)]
    g = np.array([sympy.diff(one, x) for one, x in zip(lagrangian, u, strict=True)], object)
    energy = -(g @ w @ g) / 2 - b @ g + u @ g - sum(lagrangian)
    velocity = (w @ g + b - u) / tau
    found = sum(sympy.diff(energy, x) * v for x, v in zip(u, velocity, strict=True))
    slope = [sympy.diff(one, x) for one, x in zip(g, u, strict=True)]
    proof.zero("rate, every g", found + factor * tau * sum(s * v**2 for s, v in zip(slope, velocity, strict=True)))


def numbers(proof):
    """The running code, and an asymmetric ``W``."""
    rng = np.random.default_rng(0)
    half, b, u = rng.normal(size=(D, D)), rng.normal(size=D), rng.normal(size=D)
    total, velocity, slope = rate("tanh")(*map(jnp.asarray, (half + half.T, b, 0.7, u)))
    proof.close("a random network", total, -0.7 * (slope @ velocity**2))
    turning, states = jnp.asarray([[0.0, 5.0], [-1.0, 0.0]]), jnp.asarray(rng.normal(size=(200, 2)))
    rises = jax.vmap(lambda u: rate("tanh")(turning, jnp.zeros(2), jnp.ones(()), u)[0])(states)
    proof.witness("W = [[0, 5], [-1, 0]]", rises.max())


main = hopfield.prove
