r"""D6: one frozen energy is descended by its own flow and not by the probability flow.

``V(., lam*)`` falls at ``-|y - m*|^2`` along ``dy/dtau = -grad V(y, lam*) = m* - y``, and rises somewhere along
``dy/dlam = m - y``: the energy that is descended keeps changing.
"""

import jax.numpy as jnp
from _posterior import LAM, XI, U, Y, draws, over, path

import dynamem as dm
from dynamem.theorems import dot, square, theorem, traced


def frozen_rate(xi, u, lam, y):
    """The rate of the energy frozen at ``lam`` along its own gradient flow, and ``m`` there."""
    where = path(xi, u)
    energy = dm.Frozen(dm.FreeEnergy(where), lam)
    return dm.generator(energy, dm.GradientFlow(energy))(lam, y).total, where.law.denoise(y, jnp.exp(-lam))


def moving_rate():
    """The rate of an energy frozen at ``s = e`` along the flow at ``s = e^-2``, near the middle of two patterns."""
    where = path(jnp.asarray([[1.0], [-1.0]]), jnp.full(2, 0.5))
    energy = dm.Frozen(dm.FreeEnergy(where), -1.0)
    return dm.generator(energy, dm.ProbabilityFlow(where))(2.0, jnp.asarray([0.3])).total


@theorem(
    "D6",
    "A frozen energy is descended by its frozen flow, and not by the probability flow",
    domain="all weights and s; the traced code at N = 3, D = 2; the rise by a witness",
)
def frozen(proof, *, rate=1):
    found, mean = traced(frozen_rate, XI, U, LAM, Y)
    proof.zero("rate along the frozen flow", found + rate * dot(Y - mean, Y - mean))
    proof.falls("it falls", found, [square(Y - mean)])
    xi, u, y, lam = draws()
    found, mean = over(frozen_rate, xi, u, lam, y)
    proof.close("rate, 64 draws", found, -((y - mean) ** 2).sum(axis=1))
    proof.witness("it rises along the moving flow", moving_rate())


main = frozen.prove
