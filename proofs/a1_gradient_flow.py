r"""A1: gradient flow ``dx/dt = -M grad E`` descends if ``M + M^T`` is positive semidefinite.

    dE/dt = -grad E . M grad E,    M = L L^T + A,  A = -A^T:    dE/dt = -|L^T grad E|^2.

The rate depends on the gradient alone, so an energy ``e . x`` with any ``e`` stands for every energy at a point.
"""

import jax.numpy as jnp
import numpy as np

import dynamem as dm
from dynamem.theorems import square, symbols, theorem, traced


D = 3


def rate(matrix, e, x):
    """The generator's rate of an energy with gradient ``e``."""

    def energy(t, z):
        return e @ z

    return dm.generator(energy, dm.GradientFlow(energy, matrix))(0.0, x).total


@theorem(
    "A1",
    "Gradient flow descends: dE/dt = -grad E . M grad E <= 0 if M + M^T >= 0",
    domain="all energies (by their gradient at a point) and all such M; the traced code at D = 3",
)
def gradient_flow(proof, *, factor=1):
    root, turn, e, x = symbols("l", D, D), symbols("a", D, D), symbols("e", D), symbols("x", D)
    matrix = root @ root.T + turn - turn.T
    found = traced(rate, matrix, e, x)
    proof.zero("rate", found + factor * (e @ matrix @ e))
    proof.falls("it falls", found, [square(root.T @ e)])
    rng = np.random.default_rng(0)
    half, slope = rng.normal(size=(D, D)), rng.normal(size=D)
    matrix = half @ half.T
    number = rate(jnp.asarray(matrix), jnp.asarray(slope), jnp.zeros(D))
    proof.close("a random M", number, -slope @ matrix @ slope)
    proof.witness("M = diag(1, 1, -1), which has to be given as a function to be let in", indefinite())


def indefinite():
    """The rate under a matrix that is not positive semidefinite."""

    def energy(t, z):
        return z[2]

    flow = dm.GradientFlow(energy, lambda t, z: jnp.asarray([1.0, 1.0, -1.0]))
    return dm.generator(energy, flow)(0.0, jnp.zeros(D)).total


main = gradient_flow.prove
