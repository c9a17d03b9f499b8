r"""A4: dense associative memory (Krotov & Hopfield 2016, arXiv 1606.01164), ``E = -sum_i F(xi_i . x)`` on +1 and -1.

Asynchronous updates by the energy's difference never raise E, for any F: the unit takes the lower of two energies.
Updates by the sign of the gradient do not raise it for convex F, even if all units move at once: with ``z = xi x``,

    E(x') - E(x) = -sum_i [F(z'_i) - F(z_i) - F'(z_i)(z'_i - z_i)] + grad E . (x' - x),

where the brackets are the gaps to tangents of a convex F, and ``x'_j = -sign(dE/dx_j)`` makes each product
non-positive. Two points know no more of F than its values and a slope there, which a parabola has as well: so the code
is traced with ``F = value + slope (z - z_i) + bend (z - z_i)^2`` for one pattern, the energy being a sum over patterns.
``F(z) = z^3`` is not convex, and its energy rises for some four patterns of five units.
"""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import sympy

import dynamem as dm
from dynamem.theorems import log_gap, product, square, symbols, theorem, traced


N, D = 2, 3
XI, X, MOVED, SIZE = symbols("xi", N, D), symbols("x", D), symbols("move", D), symbols("size", nonnegative=True)


def change(memory, x, move):
    """``E(x + move) - E(x) - grad E(x) . move`` of the code."""
    return memory(0.0, x + move) - memory(0.0, x) - jax.grad(memory, argnums=1)(0.0, x) @ move


def of_any(pattern, value, slope, bend, x, move):
    """The same for one pattern and an F of these values at ``x`` and, by ``bend``, at ``x + move``."""

    def parabola(z):
        return value + slope * (z - pattern @ x) + bend * (z - pattern @ x) ** 2

    return change(dm.DenseMemory(pattern[None], parabola), x, move)


def apart(xi, x):
    """The energy of all patterns, and the sum of the energies of each alone."""
    return dm.DenseMemory(xi, "exp")(0.0, x), sum(dm.DenseMemory(row[None], "exp")(0.0, x) for row in xi)


@theorem(
    "A4",
    "Dense memories: energy-difference updates never raise E; sign updates do not for convex F",
    domain="all F (first rule) and all convex C1 F (second), a pattern and a unit at a time; the traced code for every "
    "F (by its values and slope at two points) at N = 1, for z^2, z^4, exp at N = 2, D = 3, whichever units move",
)
def dense_memory(proof, *, side=1):
    proof.cites("L1")
    up, gap = symbols("E_up"), symbols("gap", nonnegative=True)
    proof.falls("the lower energy is taken", side * (up - gap) - up, [product(gap)])
    value, slope, bend = symbols("value"), symbols("slope"), symbols("bend", nonnegative=True)
    found = traced(of_any, XI[0], value, slope, bend, X, MOVED)  # F(z') - F(z) - F'(z)(z' - z) = bend (z' - z)^2
    proof.falls("gaps to tangents, every convex F", found, [square([XI[0] @ MOVED], bend)])
    whole, alone = traced(apart, XI, X)
    proof.zero("E is a sum over patterns", whole - alone)
    for kind, n, tangent_gap in (
        ("power", 2, lambda z, to: square([to - z])),
        ("power", 4, lambda z, to: product((to - z) ** 2, (to + z) ** 2 + 2 * z**2)),
        ("exp", 3, lambda z, to: log_gap(sympy.exp(to - z), sympy.exp(z))),
    ):
        gaps = [tangent_gap(row @ X, row @ (X + MOVED)) for row in XI]
        found = traced(lambda xi, *a, kind=kind, n=n: change(dm.DenseMemory(xi, kind, n), *a), XI, X, MOVED)
        proof.falls(f"gaps to tangents, {kind} {n}", found, gaps)
    for old, new in itertools.product((1, -1), repeat=2):  # dE/dx_j = -size new
        proof.falls(f"x_j = {old}, x'_j = {new}", -SIZE * new * (side * new - old), [product(SIZE * (1 - old * new))])
    numbers(proof)


def numbers(proof):
    """All states of five units: synchronous sign updates with convex F, and with ``z^3``."""
    xi = jnp.asarray(np.random.default_rng(3).choice([-1.0, 1.0], size=(3, 5)))
    states = jnp.asarray(list(itertools.product((1.0, -1.0), repeat=5)))
    for kind, n in (("power", 2), ("power", 4), ("rectified", 3), ("exp", 3)):
        proof.below(f"all units at once, {kind} {n}", synchronous(dm.DenseMemory(xi, kind, n), states))
    sets = jnp.asarray(np.random.default_rng(0).choice([-1.0, 1.0], size=(200, 4, 5)))
    cubic = jax.vmap(lambda xi: jnp.max(synchronous(dm.DenseMemory(xi, "power", 3), states)))(sets)
    proof.witness("F = z^3", cubic.max())


def synchronous(memory, states):
    """The energy's change when every unit takes the sign of ``-dE/dx`` (and stays where that is zero)."""

    def one(x):
        slope = jax.grad(memory, argnums=1)(0.0, x)
        return memory(0.0, jnp.where(slope == 0, x, -jnp.sign(slope))) - memory(0.0, x)

    return jax.vmap(one)(states)


main = dense_memory.prove
