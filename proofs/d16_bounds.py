r"""D16: bounds of V, its mean, and how nearby trajectories part.

    min_{u_i>0} d_i/2 <= V <= min_i (d_i/2 + s^2 log 1/u_i);   V/s^2 never falls;   E_{p_s} V = s^2 (D/2 + I(xi; y));
    s2/s1 <= |dy_2|/|dy_1| <= (s2/s1) exp(diam^2/8 (1/s2^2 - 1/s1^2)).

The last because the flow's Jacobian is ``C/s^2 - I`` with ``0 <= C <= diam^2/4`` (Popoviciu), integrated by Gronwall.
"""

import jax
import jax.numpy as jnp
import numpy as np
import sympy
from _posterior import LAM, S2, XI, D, U, Y, draws, over, path, posterior

import dynamem as dm
from dynamem.programs import rational
from dynamem.theorems import log_gap, product, square, symbols, theorem, traced


def values(xi, u, lam, y):
    """V, the density energy, the rate of ``V/s^2`` along the flow, its Jacobian, and ``tr C``."""
    where = path(xi, u)
    flow, energy = dm.ProbabilityFlow(where), dm.FreeEnergy(where)
    ratio = dm.generator(lambda t, z: energy(t, z) * jnp.exp(2 * t), flow)(lam, y).total
    jacobian = jax.jacfwd(lambda z: flow.drift(lam, z, None))(y)
    return energy(lam, y), dm.DensityEnergy(where)(lam, y), ratio, jacobian, where.law.moments(y, jnp.exp(-lam))


@theorem(
    "D16",
    "min d/2 <= V <= min(d_i/2 + s^2 log 1/u_i); V/s^2 never falls; E V = s^2 (D/2 + I); trajectories part slowly",
    domain="bounds: all N, D, a pattern at a time (written at N = 3, Popoviciu at N = 4); the traced code at N = 3, "
    "D = 2; Gronwall and, for E V, the entropy of a Gaussian are quoted, not proved",
)
def bounds(proof, *, quarter=4, half=2):
    proof.cites("L1")
    _, density, ratio, jacobian, moments = found = traced(values, XI, U, LAM, Y)
    value = found[0]
    of_v(proof, half)
    w, z = posterior(Y, S2)
    proof.zero("V = -s^2 log Z", value + S2 * sympy.log(z))
    spreads = [square(row - moments.mean, p / S2) for row, p in zip(XI, w, strict=True)]
    proof.falls("V/s^2 never falls", -ratio, spreads)
    twice_pi = rational(2 * np.pi)
    proof.zero(
        "V/s^2 = -log p - D/2 log 2 pi s^2", value / S2 - density + sympy.Rational(D, 2) * sympy.log(twice_pi * S2)
    )
    covariance = (XI - moments.mean).T @ np.diag(w) @ (XI - moments.mean)
    proof.zero("the flow's Jacobian", jacobian - covariance / S2 + np.eye(D, dtype=int))
    popoviciu(proof, quarter)
    numbers(proof)


def of_v(proof, half):
    """``d_2 = d_1 + 2 s^2 log(1 + q)``, so that ``d_1`` is the least; and ``d_i`` any."""
    s2, d, first = symbols("s2", positive=True), symbols("d", 3, positive=True), symbols("d1", nonnegative=True)
    z = sum(u * sympy.exp(-one / (half * s2)) for u, one in zip(U, d, strict=True))
    others = sum(U[j] / U[0] * sympy.exp((d[0] - d[j]) / (2 * s2)) for j in (1, 2))
    above = product(s2, sympy.log(1 + others))
    proof.falls("V <= d_i/2 + s^2 log 1/u_i", -s2 * sympy.log(z) - d[0] / 2 + s2 * sympy.log(U[0]), [above])
    q = symbols("q", 2, nonnegative=True)
    rest = U[0] + sum(u / (1 + one) for u, one in zip(U[1:], q, strict=True))  # Z exp(d_1/2 s^2)
    v = first / half - s2 * sympy.log(rest)
    parts = [log_gap(rest, s2), *(product(s2, u, one / (1 + one)) for u, one in zip(U[1:], q, strict=True))]
    proof.falls("V >= min d/2", first / 2 - v, parts)


def popoviciu(proof, quarter):
    """``Var <= (b - a)^2/4`` for values in [a, b]: ``= (b-a)^2/4 - ((mean - (a+b)/2)^2 + E (b - x)(x - a))``."""
    p, low, width = symbols("p", 4, positive=True), symbols("low"), symbols("width", positive=True)
    w, share = p / sum(p), symbols("t", 4, nonnegative=True)
    x = np.array([low + width * t / (1 + t) for t in share], object)
    mean = w @ x
    variance = w @ (x - mean) ** 2
    parts = [square(mean - low - width / 2)]
    parts += [product(one, width**2 * t / (1 + t) ** 2) for one, t in zip(w, share, strict=True)]
    proof.falls("Popoviciu", variance - width**2 / quarter, parts)
    lam, s = symbols("l"), symbols("diam", positive=True)
    growth = sympy.integrate(s**2 / quarter * sympy.exp(2 * lam), lam)  # of log |dy| + lam, ds = -s dlam
    proof.zero("integrated: diam^2/8 s^-2", growth - s**2 / 8 * sympy.exp(2 * lam))


def numbers(proof):
    """The running code."""
    xi, u, y, lam = draws()
    value, _, _, jacobian, _ = over(values, xi, u, lam, y)
    d = ((np.asarray(y)[:, None] - np.asarray(xi)) ** 2).sum(axis=2)
    s2 = np.exp(-2 * np.asarray(lam))
    proof.below("lower bound, 64 draws", 0.5 * d.min(axis=1), value)
    proof.below("upper bound, 64 draws", value, (0.5 * d - s2[:, None] * np.log(np.asarray(u))).min(axis=1))
    diam2 = ((np.asarray(xi)[:, None] - np.asarray(xi)[:, :, None]) ** 2).sum(axis=3).max(axis=(1, 2))
    rates = np.linalg.eigvalsh(jacobian)
    proof.below("no Jacobian above diam^2/4 s^2 - 1", rates[:, -1], diam2 / (4 * s2) - 1)
    proof.below("none below -1", -rates[:, 0], 1.0)
    proof.witness("without s^2 log 1/u_i it is no upper bound", (value - 0.5 * d.min(axis=1)).max())
    pair, state = jnp.asarray([[1.0], [-1.0]]), jnp.zeros(1)
    half = jnp.full(2, 0.5)
    middle = float(values(pair, half, jnp.zeros(()), state)[3][0, 0])  # diam = 2, s = 1
    proof.close("Popoviciu is sharp, midway between two patterns", middle, 2.0**2 / 4 - 1)


main = bounds.prove
