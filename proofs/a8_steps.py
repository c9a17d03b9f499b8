r"""A8: which steps descend: explicit Euler below ``2/L``, discrete gradients at every length.

    E(x - h grad E) <= E(x) - h (1 - L h/2)|grad E|^2      (the descent lemma, for Hess E <= L I),
    y = x - h G(x, y),  G(x, y).(y - x) = E(y) - E(x):     E(y) - E(x) = -|y - x|^2/h - r.(y - x),

with ``G`` of Gonzalez, of Itoh and Abe, or the mean value of the gradient, and ``r`` the residual ``y - x + h G`` over
h of an equation that is not solved exactly.
"""

import diffrax as dfx
import jax
import jax.numpy as jnp
import numpy as np
import sympy

import dynamem as dm
from dynamem.theorems import product, square, symbols, theorem, traced


D = 3
X, Y, H, L = symbols("x", D), symbols("y", D), symbols("h", positive=True), symbols("L", positive=True)


def euler(curvature, h, x):
    """E before and after a step of Diffrax's Euler on ``sum_i l_i x_i^2/2``."""

    def energy(t, z):
        return 0.5 * (curvature @ z**2)

    made = dfx.Euler().step(dm.GradientFlow(energy).terms(), 0.0, h, x, None, None, False)[0]
    return energy(0.0, x), energy(0.0, made)


@theorem(
    "A8",
    "Explicit Euler descends for h < 2/L; a discrete-gradient step for every h, the residual charged",
    domain="Euler: all L-smooth E and D by the descent lemma, the traced step on quadratic E at D = 3; discrete "
    "gradients, written in the proof: every E (Gonzalez and Itoh-Abe at D = 3, the mean value along the segment)",
)
def steps(proof, *, two=2):
    slope2, s, z2 = symbols("slope2", positive=True), symbols("s"), symbols("z2", positive=True)
    lemma = sympy.integrate(L * s * z2, (s, 0, 1))  # (grad E(x + s z) - grad E(x)).z <= L s |z|^2
    proof.zero("descent lemma", lemma - L * z2 / two)
    bound = -H * slope2 + L * (H**2 * slope2) / two
    proof.zero("Euler's bound", bound + H * (1 - L * H / 2) * slope2)
    below = symbols("q", positive=True)
    proof.falls("it falls for every h < 2/L", -H * (1 - L * H / 2).xreplace({H: 2 / (L + below)}) * slope2,
                [product(H, below / (L + below), slope2)])  # fmt: skip
    quadratic(proof)
    discrete_gradients(proof)
    numbers(proof)


def quadratic(proof):
    """Curvatures ``l_i <= L``, of either sign, and ``h = 2/(L + q)``."""
    below, gaps = symbols("q", positive=True), symbols("gap", D, nonnegative=True)
    curvature = L - gaps
    h = 2 / (L + below)
    before, after = traced(euler, curvature, h, X)
    parts = [product(h, one**2 / 2 * 2, x**2, (gap + below) / (L + below)) for one, gap, x in
             zip(curvature, gaps, X, strict=True)]  # fmt: skip
    proof.falls("Diffrax's Euler on quadratic E", after - before, parts)


def discrete_gradients(proof):
    """``G.(y - x) = E(y) - E(x)`` for four of them, and what a step then does."""
    step, values = Y - X, sympy.Function("E", real=True)
    middle = symbols("slope", D)  # grad E at the middle, or anything else: Gonzalez' correction makes up for it
    change = values(*Y) - values(*X)
    gonzalez = middle + (change - middle @ step) / (step @ step) * step
    proof.zero("Gonzalez", gonzalez @ step - change)
    corners = [values(*Y[:i], *X[i:]) for i in range(D + 1)]
    itoh_abe = np.array([(corners[i + 1] - corners[i]) / step[i] for i in range(D)], object)
    proof.zero("Itoh and Abe", itoh_abe @ step - change)
    corners = [values(*X[:i], *Y[i:]) for i in range(D + 1)]
    back = np.array([(corners[i] - corners[i + 1]) / step[i] for i in range(D)], object)
    proof.zero("Itoh and Abe, symmetric", (itoh_abe + back) / 2 @ step - change)
    s, along = symbols("s"), sympy.Function("E", real=True)  # E(x + s (y - x)), so that E' = grad E.(y - x)
    mean_value = sympy.integrate(sympy.diff(along(s), s), (s, 0, 1))
    proof.zero("mean value", mean_value - along(1) + along(0))
    residual = symbols("r", D)  # y = x - h G + h r, so that G = (x - y)/h + r
    gradient = -step / H + residual
    proof.zero("a step, the residual charged", gradient @ step - residual @ step + (step @ step) / H)
    proof.falls("it falls where it is solved", -(step @ step) / H, [square(step, 1 / H)])


def numbers(proof):
    """Gonzalez' step on a memory with ``L = 1`` at ``h = 20``, solved by Newton; Euler below and beyond ``2/L``."""
    before, after, residual = gonzalez_step(jnp.asarray([0.9, 1.4]), 20.0)
    proof.below("Gonzalez, h = 20/L, residual below 1e-9", [after - before, residual - 1e-9])
    before, after = euler(jnp.ones(D), jnp.asarray(1.9), jnp.ones(D))
    proof.below("Euler, h = 1.9/L", after - before)
    before, after = euler(jnp.ones(D), jnp.asarray(2.1), jnp.ones(D))
    proof.witness("Euler, h = 2.1/L: it rises", after - before)


def gonzalez_step(x, h):
    """E before and after one step on a log-sum-exp memory, and the residual."""
    memory = dm.LogSumExp(jnp.asarray([[1.0, 0.5], [-1.0, 0.2], [0.3, -2.0]]), 2.0)

    def equation(y):
        step, slope = y - x, jax.grad(memory, argnums=1)(0.0, (x + y) / 2)
        share = (memory(0.0, y) - memory(0.0, x) - slope @ step) / (step @ step)
        return y - x + h * (slope + share * step)

    y = x - 0.5 * jax.grad(memory, argnums=1)(0.0, x)
    for _ in range(30):
        y = y - jnp.linalg.solve(jax.jacfwd(equation)(y), equation(y))
    return memory(0.0, x), memory(0.0, y), jnp.max(jnp.abs(equation(y)))


main = steps.prove
