r"""A6: Hopfield's binary network (1982), ``E = -x.W x/2`` on states of +1 and -1.

One unit flips to ``x'_i = sign h_i`` with ``h = W x``:  ``E' - E = -(x'_i - x_i) h_i - W_ii (x'_i - x_i)^2/2 <= 0`` for
symmetric W with ``W_ii >= 0``. If all flip at once, ``G_k = -x_{k+1}.W x_k`` falls for any symmetric W (Goles & Olivos
1981), so that the states settle in a fixed point or a 2-cycle, and E itself may rise: with ``h = W x_k`` and
``x_{k+1} = sign h``,

    G_k - G_{k-1} = -(x_{k+1} - x_{k-1}).h <= 0,     as x_k.W x_{k-1} = x_{k-1}.W x_k,

a unit at a time. ``W = [[0, 1], [-1, 0]]`` is not symmetric and turns through a cycle of four states.
"""

import itertools

import jax.numpy as jnp
import numpy as np

import dynamem as dm
from dynamem.theorems import product, symbols, theorem, traced


D = 3


def network(w):
    """The network; a ``W`` that is not symmetric is let in, to see what it does."""
    return dm.BinaryHopfield(w, symmetric=False)


def energy(w, x):
    """``-x.W x/2``."""
    return network(w)(0.0, jnp.asarray(x))


def flip(w, x, to):
    """The change of E when the first unit takes the value ``to``, and its field."""
    after = jnp.concatenate([to[None], x[1:]])
    return energy(w, dm.Map(lambda z: after)(x)) - energy(w, x), network(w).field(x)[0]


def goles(w, before, now, after):
    """``G_k - G_{k-1}`` and the field ``W x_k``."""
    fields = [network(w).field(jnp.asarray(x)) for x in (before, now)]
    return now @ fields[0] - after @ fields[1], fields[1]


def settles_after(w, x):
    """The length of the cycle into which synchronous updates of ``x`` run; a unit without field stays."""
    seen, memory = [], network(w)
    while tuple(x) not in seen:
        seen.append(tuple(x))
        x = np.asarray(memory.synchronous(jnp.asarray(x)))
    return len(seen) - seen.index(tuple(x))


@theorem(
    "A6",
    "Hopfield 1982: asynchronous updates descend if W = W^T, W_ii >= 0; synchronous ones descend Goles' energy",
    domain="all symmetric W at D = 3, for Goles' a unit at a time; energy and field are the traced code, the sign that "
    "a unit takes is any that the field has",
)
def binary(proof, *, half=2, swap=1):
    upper, x, to = symbols("w", D, D), symbols("x", D), symbols("to")
    self_, size = symbols("w_self", nonnegative=True), symbols("size", nonnegative=True)
    w = np.array([[upper[min(i, j), max(i, j)] for j in range(D)] for i in range(D)], object)
    w[0, 0] = self_
    change, field = traced(flip, w, x, to)
    proof.zero("one flip", change + (to - x[0]) * field + self_ * (to - x[0]) ** 2 / half)
    for old, new in itertools.product((1, -1), repeat=2):  # h = new size
        rest = -(new - old) * new * size - self_ * (new - old) ** 2 / 2
        proof.falls(f"{old} -> {new}", rest, [product(size * (1 - old * new)), product(self_ * (new - old) ** 2 / 2)])
    w[0, 0] = upper[0, 0]  # of any sign
    before, now, after = symbols("before", D), x, symbols("after", D)
    change, field = traced(goles, w, before, now, after)
    proof.zero("Goles' change, by W = W^T", change + (after - swap * before) @ field)
    for new, old in itertools.product((1, -1), repeat=2):  # x_{k+1,i} = sign h_i, h_i = new size, x_{k-1,i} = old
        proof.falls(f"its part of a unit, {old} -> {new}", -(new - old) * new * size, [product(size * (1 - old * new))])
    numbers(proof)


def numbers(proof):
    """All states of four units, and what the hypotheses are for."""
    rng = np.random.default_rng(0)
    half = rng.normal(size=(4, 4))
    w, states = half + half.T, np.array(list(itertools.product((1.0, -1.0), repeat=4)))
    np.fill_diagonal(w, 0.0)
    second = np.sign(states @ w)
    changes = [float(goles(w, *three)[0]) for three in zip(states, second, np.sign(second @ w), strict=True)]
    proof.below("Goles' energy, all states", changes)
    proof.below("cycles of at most 2, all states", [settles_after(w, x) for x in states], 2)
    proof.below("one flip at a time, all states", np.array([single(w, x) for x in states]))
    pair, turn = np.array([[0.0, 1.0], [1.0, 0.0]]), np.array([[0.0, 1.0], [-1.0, 0.0]])
    proof.witness("synchronous updates may 2-cycle", settles_after(pair, np.array([1.0, -1.0])), 1.0)
    proof.witness("W not symmetric: a longer cycle", settles_after(turn, np.ones(2)), 2.0)
    proof.witness("W_ii < 0: one flip raises E", single(np.array([[-3.0, 1.0], [1.0, 0.0]]), np.array([1.0, 1.0])))
    turning = np.array([[0.0, 1.0], [-3.0, 0.0]])
    proof.witness(
        "W not symmetric: one flip raises E", max(single(turning, x) for x in itertools.product((1.0, -1.0), repeat=2))
    )


def single(w, x):
    """The largest change of E over single flips by the sign of the field."""
    x, made = np.array(x), []
    for i in range(len(x)):
        to = x.copy()
        to[i] = np.sign(w[i] @ x) or x[i]
        made.append(float(energy(w, to) - energy(w, x)))
    return max(made)


main = binary.prove
