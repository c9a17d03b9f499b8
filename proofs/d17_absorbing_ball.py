r"""D17: commitment. Near a pattern at low noise the ball ``B(xi_i, r)`` is absorbing, for the flow and for every DDIM.

With ``Delta_ij = |xi_i - xi_j|``, ``r < min_j Delta_ij/2``, ``|y - xi_i| <= r``:

    d_j - d_i = Delta_ij^2 - 2 (y - xi_i).(xi_j - xi_i) >= Delta_ij (Delta_ij - 2r),
    |m - xi_i| <= sum_{j != i} w_j Delta_ij <= sum_{j != i} (u_j/u_i) Delta_ij exp(-Delta_ij (Delta_ij - 2r)/2s^2),

so m lies in the ball if that sum is at most r, and it falls with s; a convex body that holds m holds ``y + eta (m -
y)``. Uniform prior, ``r = Delta/4``: it suffices that ``s^2 <= Delta^2/(4 log 4(N - 1))``.
"""

import jax.numpy as jnp
import numpy as np
import sympy
from _posterior import HALF, LAM, XI, D, U, Y, draws, over, path, posterior

import dynamem as dm
from dynamem.theorems import dot, product, square, symbols, theorem, traced


S2 = symbols("s2", positive=True)


def moves(xi, u, lam, h, y):
    """The denoiser of the code, its flow, and a step of its DDIM."""
    where = path(xi, u)
    flow = dm.ProbabilityFlow(where)
    made = dm.DDIM().step(flow.terms(), lam, lam + h, y, None, None, False)[0]
    return where.law.denoise(y, jnp.exp(-lam)), flow.drift(lam, y, None), made


@theorem(
    "D17",
    "At low noise the ball B(xi_i, r) is absorbing for the flow and for every DDIM; s^2 <= Delta^2/(4 log 4(N-1))",
    domain="all weights; inequalities written at N = 3, D = 2, a pattern at a time; the traced denoiser, flow and DDIM "
    "at N = 3, D = 2; the monotone step for all N >= 2",
)
def absorbing(proof, *, two=2, four=4):
    away, apart = Y - XI[0], XI[1] - XI[0]
    far, near = dot(Y - XI[1], Y - XI[1]), dot(away, away)
    proof.zero("d_j - d_i", far - near - dot(apart, apart) + two * dot(away, apart))
    r, extra, delta = symbols("r", positive=True), symbols("extra", nonnegative=True), symbols("Delta", positive=True)
    cauchy = dot(away, away) * dot(apart, apart) - dot(away, apart) ** 2
    proof.falls("Cauchy-Schwarz", -cauchy, [square([away[0] * apart[1] - away[1] * apart[0]])])
    gained = delta**2 - two * (r * delta - extra)  # (y - xi_i).(xi_j - xi_i) = r Delta - extra
    proof.falls("d_j - d_i >= Delta (Delta - 2r)", delta * (delta - 2 * r) - gained, [product(2 * extra)])
    w, _ = posterior(Y, S2)
    mean = w @ XI
    running(proof, mean)
    proof.zero("m - xi_i", mean - XI[0] - sum(w[j] * (XI[j] - XI[0]) for j in (1, 2)))
    d = [dot(Y - row, Y - row) for row in XI]
    proof.zero("w_j/w_i", w[1] / w[0] - U[1] / U[0] * sympy.exp(-(d[1] - d[0]) / (2 * S2)))
    rest = symbols("p", 2, positive=True)
    proof.falls("w_i <= 1", 1 / (1 + sum(rest)) - 1, [product(sum(rest) / (1 + sum(rest)))])
    long, short = symbols("a", nonnegative=True), symbols("b", nonnegative=True)  # |v|, |w|; v.w = |v||w| - extra
    proof.falls(
        "triangle", (long**2 + short**2 + 2 * (long * short - extra)) - (long + short) ** 2, [product(2 * extra)]
    )
    colder = sympy.diff(sympy.exp(-long * r), r)  # r as 1/2s^2
    proof.falls("each part of the sum falls with s", colder, [product(long, sympy.exp(-long * r))])
    inside(proof, r)
    uniform(proof, four)
    numbers(proof)


def running(proof, mean):
    """The code's denoiser is this ``m``, its flow ``m - y`` and its DDIM a step of that towards it."""
    h, s2 = symbols("h", positive=True), sympy.exp(-2 * LAM)
    denoised, drift, made = traced(moves, XI, U, LAM, h, Y)
    proof.zero("m of the code", denoised - [one.xreplace({S2: s2}) for one in mean])
    proof.zero("its flow", drift - denoised + Y)
    proof.zero("its DDIM", made - Y - (1 - sympy.exp(-h)) * (denoised - Y))


def inside(proof, r):
    """``|y - xi| = r`` and ``|m - xi| <= r`` give an inward flow; DDIM's step is convex."""
    y, m, slack = symbols("v", D), symbols("w", D), symbols("slack", nonnegative=True)
    radial = dot(y, m - y)  # d(|y - xi|^2/2)/dlam with xi at the origin
    found = radial + (dot(y, y) - r**2) / 2 - (dot(m, m) - r**2 + slack) / 2  # both brackets are zero
    proof.falls("the flow does not leave", found, [square(m - y, HALF), product(slack / 2)])
    odds = symbols("odds", nonnegative=True)
    eta = odds / (1 + odds)
    landed = dot(y + eta * (m - y), y + eta * (m - y))
    hull = (1 - eta) * dot(y, y) + eta * dot(m, m)
    proof.falls("DDIM's step stays", landed - hull, [square(m - y, odds / (1 + odds) ** 2)])


def uniform(proof, four):
    """``x exp(-x (x - Delta/2)/2s^2)`` falls for ``x >= Delta`` if ``4s^2 <= 3 Delta^2``; then the sum is at most r."""
    delta, more, s2 = symbols("Delta", positive=True), symbols("more", nonnegative=True), symbols("s2", positive=True)
    x = symbols("x", positive=True)
    slope = sympy.diff(sympy.log(x) - x * (x - delta / 2) / (2 * s2), x)
    room = symbols("room", nonnegative=True)  # s^2 = 3 Delta^2/(4 (1 + room))
    at = slope.subs({x: delta + more, s2: 3 * delta**2 / (4 * (1 + room))})
    parts = [product(sympy.factor(-at))]
    proof.falls("it falls", at, parts)
    others, slack = symbols("N_minus_1", positive=True), symbols("slack", nonnegative=True)
    inverse = four * (sympy.log(4 * others) + slack) / delta**2  # 1/s^2, at least 4 log 4(N-1)/Delta^2
    total = others * delta * sympy.exp(-delta * (delta - delta / 2) * inverse / 2)
    grown = symbols("g", nonnegative=True)
    shown = delta / 4 * (1 - 1 / (1 + grown))
    total = total.xreplace({slack: sympy.log(1 + grown)})
    proof.falls("sum <= Delta/4", total - delta / 4, [product(sympy.factor(shown))])
    proof.holds("4 log 4(N-1) >= 4/3 for N >= 2, as log 4 > 1/3: e < 64", bool(sympy.E < 64))


def numbers(proof):
    """DDIM from the ball's edge on the running code, and at ten times the noise."""
    xi, _, _, _ = draws(32)
    u = jnp.full(xi.shape[:2], 1.0 / xi.shape[1])
    away = np.random.default_rng(1).normal(size=xi[:, 0].shape)
    away /= np.linalg.norm(away, axis=1, keepdims=True)
    proof.below("m stays within Delta/4", over(lambda *a: excess(*a, 1.0), xi, u, jnp.asarray(away)))
    proof.witness("ten times s", over(lambda *a: excess(*a, 10.0), xi, u, jnp.asarray(away)).max())


def excess(xi, u, away, times):
    """``|m - xi_1| - Delta/4`` for a state on the edge, at ``times`` the largest s of D17."""
    delta = jnp.sqrt(jnp.min(jnp.sum((xi[1:] - xi[:1]) ** 2, axis=1)))
    s = times * delta / jnp.sqrt(4 * jnp.log(4.0 * (xi.shape[0] - 1)))
    mean = path(xi, u).law.denoise(xi[0] + delta / 4 * away, s)
    return jnp.linalg.norm(mean - xi[0]) - delta / 4


main = absorbing.prove
