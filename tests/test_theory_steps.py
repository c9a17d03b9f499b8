"""The theorems about steps, noise and memories (D7 to D14, A1 to A5), as properties on drawn data, with broken twins.

A claim is a function of a case that says whether it holds; its twin must fail on one of twenty fixed cases.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import lineax as lx
import numpy as np
from hypothesis import given

import dynamem as dm
from tests.catalogue import any_schedule
from tests.theory_cases import TOL, caught, close, drawn, lam, path, posterior, rate


# ------------------------------------------------------ D7, D11: steps of DDIM


def d7(case, stretch=1.0):
    """V after a step of ratio rho (and of the step to s = 0), whose length is `stretch` times DDIM's."""
    _, m, _, _, v = posterior(case)
    y, s, rho = np.asarray(case.y), float(case.s), float(case.rho)
    square, tol = ((y - m) ** 2).sum(), 1e-9 * (1 + v + s**2)
    for ratio in (rho, 0.05 * rho, 0.0):
        eta = stretch * (1 - ratio)
        y1 = y + eta * (m - y)
        nearest = 0.5 * ((y1 - np.asarray(case.xi)) ** 2).sum(1).min()
        end = posterior(case, ratio * s, y1)[4] if ratio > 1e-6 else nearest
        same = posterior(case, s, y1)[4]
        if end > same + tol or same > v - eta * (1 - eta / 2) * square + tol or same > v + tol:
            return False
    return True


@eqx.filter_jit
def ddim_step(case, ratio):
    """The package's DDIM step, and the package's V before and after."""
    t0, t1 = lam(case), lam(case) - jnp.log(ratio)
    flow, energy = dm.ProbabilityFlow(path(case)), dm.FreeEnergy(path(case))
    y1 = dm.DDIM().step(flow.terms(), t0, t1, case.y, None, None, False)[0]
    return y1, energy(t0, case.y), energy(t1, y1)


@given(drawn())
def test_d7_ddim_never_raises_the_free_energy(case):
    assert d7(case)
    ratio = max(float(case.rho), 1e-5)
    y1, before, after = jax.device_get(ddim_step(case, jnp.asarray(ratio)))
    _, m, _, _, v = posterior(case)
    assert close(y1, m + ratio * (np.asarray(case.y) - m))
    assert close(after, posterior(case, ratio * float(case.s), y1)[4], 1 + v)
    assert after <= before + TOL * (1 + before)


def test_d7_twin_steps_more_than_twice_as_long():
    assert caught(lambda case: d7(case, stretch=2.3))


def d11(case, reweighting=1.0):
    rng = np.random.default_rng(int(1e6 * float(case.rho)))
    y, s, s1 = np.asarray(case.y), float(case.s), float(case.s) * max(float(case.rho), 0.05)
    y1 = y + s * rng.normal(size=y.shape)
    w, m, _, kl, v = posterior(case)
    v1 = posterior(case, s1, y1)[4]
    pull = ((y1 - m) ** 2).sum() - ((y - m) ** 2).sum()
    logs = -((y1 - np.asarray(case.xi)) ** 2).sum(1) / (2 * s1**2) + np.log(np.asarray(case.u)) + v1 / s1**2
    mismatch = (w * (np.log(np.where(w > 0, w, 1.0)) - logs)).sum()
    ledger = v + 0.5 * pull - (s**2 - s1**2) * kl - reweighting * s1**2 * mismatch
    return close(v1, ledger, 1 + v + abs(pull)) and mismatch >= -TOL


@given(drawn())
def test_d11_the_ledger_of_a_step_is_exact(case):
    assert d11(case)


def test_d11_twin_without_the_reweighting():
    assert caught(lambda case: d11(case, reweighting=0.0))


# ---------------------------------------------------- D8, D14: supermartingales


def d8(case, churn=True):
    """The generator of V_zeta (or of V alone) along the reverse SDE is never positive; and its formula."""
    energy = dm.FreeEnergy(path(case), case.zeta if churn else jnp.zeros(()))
    found = float(rate(energy, dm.ReverseSDE(path(case), case.zeta), lam(case), case.y).total)
    _, m, trace, kl, _ = posterior(case)
    s, zeta, square = float(case.s), float(case.zeta), ((np.asarray(case.y) - m) ** 2).sum()
    formula = -(1 + zeta) * square - 2 * s**2 * kl - zeta * trace
    floor = 0.0 if churn else zeta * case.y.shape[0] * s**2
    return close(found, formula + floor, square + s**2 * (1 + zeta)), found <= TOL * (square + s**2)


@given(drawn())
def test_d8_the_reverse_sde_has_a_supermartingale(case):
    assert d8(case) == (True, True)
    assert d8(case, churn=False)[0]


def test_d8_twin_without_the_churn_term():
    assert caught(lambda case: d8(case, churn=False)[1])


@eqx.filter_jit
def density_along_sde(case, kind, t):
    """The state, the rate of the density along the reverse SDE, and alpha, sigma, g^2."""
    schedule = any_schedule(kind)
    where = dm.DiffusionPath(schedule, dm.Empirical(case.xi, case.u))
    alpha, sigma = schedule.alpha(t), schedule.sigma(t)
    x = alpha * case.xi[0] + sigma * (case.y - case.xi[0]) / case.s
    flow = dm.ReverseSDE(where, jnp.ones(()), "tau")
    return x, dm.generator(dm.DensityEnergy(where, "tau"), flow)(1 - t, x).total, alpha, sigma, schedule.g2(t)


@given(drawn())
def test_d8_the_density_under_ve_and_vp(case):
    """Under VE its rate is -g^2 |grad E|^2/2; under VP beta (D - |grad E|^2)/2, which is positive near a mode."""
    for kind in (2, 0):
        found = density_along_sde(case, jnp.asarray(kind), 0.05 + 0.9 * case.rho)
        x, total, alpha, sigma, g2 = jax.device_get(found)
        m = posterior(case, sigma / alpha, x / alpha)[1]
        square = (((x - alpha * m) / sigma**2) ** 2).sum()
        formula = -0.5 * g2 * square if kind == 2 else 0.5 * g2 * (len(x) - square)
        assert abs(total - formula) <= 1e-7 * g2 * (1 + square + 1 / sigma**2)


def d14(case, extra=0.0):
    """E V_zeta falls, by a quadrature over z with positive weights exact to degree two (the proof needs no more)."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(3)
    dim, s, zeta = case.y.shape[0], float(case.s), float(case.zeta)
    s1 = s * max(float(case.rho), 0.02)
    _, m, _, _, v = posterior(case)
    grid = np.stack(np.meshgrid(*[nodes] * dim), -1).reshape(-1, dim)
    mass = np.prod(np.stack(np.meshgrid(*[weights / weights.sum()] * dim), -1).reshape(-1, dim), axis=1)
    noise = np.sqrt(zeta * (s**2 - s1**2) + extra * s1**2)
    bound = v + 0.5 * zeta * dim * s**2
    for a in (-1.0, 0.3, 1.0):
        ends = [posterior(case, s1, m + a * (np.asarray(case.y) - m) + noise * z)[4] for z in grid]
        if mass @ np.asarray(ends) + 0.5 * zeta * dim * s1**2 > bound + TOL * (1 + bound):
            return False
    return True


@given(drawn())
def test_d14_discrete_supermartingale(case):
    assert d14(case)


def test_d14_twin_noise_that_a_corrector_adds():
    assert caught(lambda case: d14(case, extra=20.0))


# ------------------------------------------------------------ A1, A2, A5: memories


def a1(case, skew=True):
    """Gradient flow with a mobility whose symmetric part is positive semidefinite (skew) or indefinite."""
    rng, dim = np.random.default_rng(int(1e6 * float(case.rho))), case.y.shape[0]
    root, turn = rng.normal(size=(dim, dim)), rng.normal(size=(dim, dim))
    matrix = root @ root.T + 3 * (turn - turn.T)
    matrix = matrix if skew else matrix - 1.5 * np.trace(matrix) / dim * np.eye(dim)
    energy = dm.LogSumExp(case.xi, case.s**-2)
    found = rate(energy, dm.GradientFlow(energy, lx.MatrixLinearOperator(jnp.asarray(matrix))), jnp.zeros(()), case.y)
    xi, y, beta = np.asarray(case.xi), np.asarray(case.y), float(case.s) ** -2
    logits = beta * (xi @ y - 0.5 * (xi**2).sum(1))
    w = np.exp(logits - logits.max())
    slope = y - (w / w.sum()) @ xi
    square = slope @ slope * np.linalg.norm(matrix)
    return close(found.total, -slope @ matrix @ slope, square) and float(found.total) <= TOL * (1 + square)


@given(drawn())
def test_a1_gradient_flow(case):
    assert a1(case)


def test_a1_twin_indefinite_mobility():
    assert caught(lambda case: a1(case, skew=False))


def a2(case, symmetric=True):
    """Hopfield 1984: dE/dt = -tau sum g'(u) u'^2 if W is symmetric."""
    rng, dim = np.random.default_rng(int(1e6 * float(case.rho))), case.y.shape[0]
    w = 2 * rng.normal(size=(dim, dim))
    w, bias = 0.5 * (w + w.T) if symmetric else w, rng.normal(size=dim)
    tau, u = 0.5 + rng.uniform(size=dim), np.asarray(case.y)
    energy = dm.Hopfield(jnp.asarray(w), jnp.asarray(bias))
    found = rate(energy, dm.LagrangianFlow(energy, jnp.asarray(tau)), jnp.zeros(()), case.y)
    speed = (-u + w @ np.tanh(u) + bias) / tau
    formula = -(tau * (1 - np.tanh(u) ** 2) * speed**2).sum()
    return close(found.total, formula) and float(found.total) <= TOL


@given(drawn())
def test_a2_hopfield(case):
    assert a2(case)


def test_a2_twin_asymmetric_couplings():
    assert caught(lambda case: a2(case, symmetric=False))


@eqx.filter_jit
def euler_step(energy, x, eta):
    target = energy.update(x)
    after = x + eta * (target - x)
    zero = jnp.zeros(())
    return energy(zero, x), energy(zero, after), jnp.sum(jnp.square(target - x))


def a5(case, eta):
    """Steps x + eta (T - x), with and without the norm bias."""
    for biased in (True, False):
        energy = dm.LogSumExp(case.xi, case.s**-2, norm_bias=biased)
        before, after, square = (float(part) for part in euler_step(energy, case.y, jnp.asarray(eta)))
        size = float(energy.magnitude(0.0, case.y)) + square
        if after - before > -eta * (1 - eta / 2) * square + TOL * size or after > before + TOL * size:
            return False
    return True


@given(drawn())
def test_a5_steps_up_to_two(case):
    for eta in (float(case.rho), 1.0, 1.99, 2.0):
        assert a5(case, eta)


def test_a5_twin_a_longer_step():
    assert caught(lambda case: a5(case, 2.2))
    assert not caught(lambda case: a5(case, 1.99))
