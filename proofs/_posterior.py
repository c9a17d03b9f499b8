"""What the proofs about diffusion share: patterns, prior, state and clock as symbols, and draws for the numbers.

A prior is ``u_i = p_i/sum p`` with positive symbols ``p_i``, so that it sums to one exactly. `Jet` is a schedule whose
values and slopes at one time are symbols: a statement about first derivatives at a time is then about every schedule.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import sympy
from jaxtyping import Array

import dynamem as dm
from dynamem.theorems import dot, symbols


HALF = sympy.Rational(1, 2)
N, D = 3, 2
XI = symbols("xi", N, D)
PRIOR = symbols("p", N, positive=True)
U = PRIOR / sum(PRIOR)
Y, LAM = symbols("y", D), symbols("lam")
S2 = sympy.exp(-2 * LAM)
ALPHA, SIGMA = symbols("alpha", positive=True), symbols("sigma", positive=True)
ALPHA_DOT, SIGMA_DOT, TIME = symbols("alpha_dot"), symbols("sigma_dot"), symbols("t", positive=True)
INSIDE = {TIME: (1e-6, 1 - 1e-6)}
JET = (ALPHA, ALPHA_DOT, SIGMA, SIGMA_DOT)


class Jet(dm.AbstractSchedule):
    """``alpha`` and ``sigma`` with given values and slopes at one time: any schedule, to first order."""

    time: Array
    jet: tuple[Array, Array, Array, Array]

    def alpha(self, t):
        """``alpha + alpha' (t - time)``."""
        return self.jet[0] + self.jet[1] * (t - self.time)

    def sigma(self, t):
        """``sigma + sigma' (t - time)``."""
        return self.jet[2] + self.jet[3] * (t - self.time)


def path(xi, u, schedule=None):
    """The path of an empirical law; on the clock ``lam`` its schedule does not matter."""
    return dm.DiffusionPath(dm.VE() if schedule is None else schedule, dm.Empirical(xi, u))


def ledger(y, to, mean, s2, later, kl, relative, *, half=HALF, annealing=1, reweighting=1):
    """``V+ - V`` of a step from ``y`` to ``to``, ``s^2`` to ``later``: of the code by D11, for those that cite it."""
    pull = half * (dot(to - mean, to - mean) - dot(y - mean, y - mean))
    return pull - annealing * (s2 - later) * kl - reweighting * later * relative


def squares(y):
    """``d_i = |y - xi_i|^2``, shape (N,)."""
    return np.array([dot(y - row, y - row) for row in XI], object)


def posterior(y, s2):
    """The weights ``w_i = u_i exp(-d_i/2 s^2)/Z`` written out, and ``Z``."""
    terms = np.array([u * sympy.exp(-d / (2 * s2)) for u, d in zip(U, squares(y), strict=True)], object)
    return terms / sum(terms), sum(terms)


def draws(count=64, n=5, d=3, seed=0):
    """Random patterns (count, n, d), priors (count, n), states (count, d) and clocks (count,)."""
    rng = np.random.default_rng(seed)
    xi, u = rng.normal(size=(count, n, d)), rng.dirichlet(np.full(n, 1.5), size=count)
    lam = rng.uniform(-1.0, 2.0, size=count)
    y = xi[:, 0] * rng.uniform(size=(count, 1)) + np.exp(-lam)[:, None] * rng.normal(size=(count, d))
    return tuple(map(jnp.asarray, (xi, u, y, lam)))


def over(function, *arrays):
    """``function`` of each draw, as NumPy arrays."""
    return jax.tree.map(np.asarray, eqx.filter_jit(jax.vmap(function))(*arrays))


def average(expression, means):
    """The posterior mean of what is linear in quantities of a pattern whose means are given: any number of patterns.

    Raises:
        ValueError: it is not linear in them.
    """
    polynomial = sympy.Poly(sympy.expand(expression), *means)
    if polynomial.total_degree() > 1:
        msg = f"{expression} is not linear in {list(means)}"
        raise ValueError(msg)
    return polynomial.as_expr().xreplace(means)
