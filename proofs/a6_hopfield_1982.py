r"""A6: Hopfield's binary network (1982), ``E = -x.W x/2`` on states of +1 and -1.

One unit flips to ``x'_i = sign h_i`` with ``h = W x``:  ``E' - E = -(x'_i - x_i) h_i - W_ii (x'_i - x_i)^2/2 <= 0`` for
symmetric W with ``W_ii >= 0``. If all flip at once, ``-x_{k+1}.W x_k`` falls for any symmetric W (Goles & Olivos 1981),
so that the states settle in a fixed point or a 2-cycle, and E itself may rise.
"""

import itertools

import jax.numpy as jnp
import numpy as np

import dynamem as dm
from dynamem.theorems import product, symbols, theorem, traced


D = 3


def energy(w, x):
    """``-x.W x/2``, as `dynamem.DenseMemory` has it for ``W = xi^T xi`` and ``F(z) = z^2/2``."""
    return -0.5 * (x @ (w @ x))


def flip(w, x, to):
    """The change of E when the first unit takes the value ``to``, and its field."""
    after = jnp.concatenate([to[None], x[1:]])
    return energy(w, dm.Map(lambda z: after)(x)) - energy(w, x), (w @ x)[0]


@theorem(
    "A6",
    "Hopfield 1982: asynchronous updates descend if W = W^T, W_ii >= 0; synchronous ones descend Goles' energy",
    domain="all symmetric W at D = 3; Goles' for all D; a JAX function written in the proof, through dynamem.Map",
)
def binary(proof, *, half=2, goles=1):
    upper, x, to = symbols("w", D, D), symbols("x", D), symbols("to")
    self_, size = symbols("w_self", nonnegative=True), symbols("size", nonnegative=True)
    w = np.array([[upper[min(i, j), max(i, j)] for j in range(D)] for i in range(D)], object)
    w[0, 0] = self_
    change, field = traced(flip, w, x, to)
    proof.zero("one flip", change + (to - x[0]) * field + self_ * (to - x[0]) ** 2 / half)
    for old, new in itertools.product((1, -1), repeat=2):  # h = new size
        rest = -(new - old) * new * size - self_ * (new - old) ** 2 / 2
        proof.falls(f"{old} -> {new}", rest, [product(size * (1 - old * new)), product(self_ * (new - old) ** 2 / 2)])
    gained = symbols("h", D, nonnegative=True)  # x_{k+1,i} = sign h_i, (W x_k)_i = h_i x_{k+1,i}
    after, before = symbols("after", D), symbols("before", D)
    field = gained * after
    other = symbols("y", D)
    proof.zero("W = W^T: x.W y = y.W x", x @ (w @ other) - other @ (w @ x))  # x_k.W x_{k-1} is before . field
    fall = -(after @ field) * goles + before @ field
    for signs in itertools.product((1, -1), repeat=2 * D):
        at = dict(zip((*after, *before), signs, strict=True))
        parts = [product(h * (1 - a * b)) for h, a, b in zip(gained, signs[:D], signs[D:], strict=True)]
        if signs[:D] == (1,) * D or signs[D:] == (-1,) * D:
            proof.falls("Goles' energy", fall.xreplace(at), parts)
    numbers(proof)


def numbers(proof):
    """All states of four units, and what the hypotheses are for."""
    rng = np.random.default_rng(0)
    half = rng.normal(size=(4, 4))
    w, states = half + half.T, np.array(list(itertools.product((1.0, -1.0), repeat=4)))
    np.fill_diagonal(w, 0.0)
    second = np.sign(states @ w)
    third = np.sign(second @ w)
    goles = lambda a, b: -((a @ w) * b).sum(axis=1)  # noqa: E731
    proof.below("Goles' energy, all states", goles(second, third) - goles(states, second))
    proof.below("one flip at a time, all states", np.array([single(w, x) for x in states]))
    pair = np.array([[0.0, 1.0], [1.0, 0.0]])
    x = np.array([1.0, -1.0])
    once, twice = np.sign(pair @ x), np.sign(pair @ np.sign(pair @ x))
    proof.witness(
        "synchronous updates 2-cycle: x_2 = x_0 differs from x_1", float((twice == x).all() and (once != x).any())
    )
    proof.witness("W_ii < 0: one flip raises E", single(np.array([[-3.0, 1.0], [1.0, 0.0]]), np.array([1.0, 1.0])))
    rotated = [np.array([1.0, 1.0])]
    for _ in range(4):
        rotated.append(np.sign(np.array([[0.0, 1.0], [-1.0, 0.0]]) @ rotated[-1]))
    proof.witness(
        "W not symmetric: synchronous updates turn in a cycle of four",
        float((rotated[2] != rotated[0]).any() and (rotated[4] == rotated[0]).all()),
    )
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
