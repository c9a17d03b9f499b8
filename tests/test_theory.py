"""The theorems about flows and energies of a path (D1 to D6), as properties on drawn data, with broken twins.

A claim is a function of a case that says whether it holds; its twin must fail on one of twenty fixed cases.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from hypothesis import given

import dynamem as dm
from tests.catalogue import any_schedule
from tests.theory_cases import TOL, caught, close, drawn, lam, make, path, posterior, rate


# ------------------------------------------------------- D1: one Hopfield flow


@eqx.filter_jit
def own_drift(case, t):
    """The package's drift in a path's own coordinates, at noise time t, and alpha, sigma, f, g2."""
    where, schedule = path(case), any_schedule(case.kind)
    alpha, sigma = schedule.alpha(t), schedule.sigma(t)
    x = alpha * (case.xi[0] + sigma / alpha * (case.y - case.xi[0]) / case.s)
    drift = dm.ProbabilityFlow(where, "tau").drift(1 - t, x, None)
    noisy = dm.ReverseSDE(where, case.zeta, "tau")
    numbers = (alpha, sigma, schedule.f(t), schedule.g2(t), jax.grad(schedule.lam)(t))
    return x, drift, noisy.drift(1 - t, x, None), numbers


def d1(case, sign=1.0):
    t = 0.05 + 0.9 * case.rho
    x, drift, noisy, (alpha, sigma, f, g2, slope) = (jax.device_get(part) for part in own_drift(case, t))
    _, m, _, _, _ = posterior(case, sigma / alpha, x / alpha)
    score = -(x - alpha * m) / sigma**2
    size = np.abs(drift).max()
    usual = close(drift, -sign * f * x + 0.5 * g2 * score, size)
    canonical = close((drift / alpha + f * x / alpha) / -slope, m - x / alpha, size)
    churned = close(noisy, -sign * f * x + 0.5 * (1 + float(case.zeta)) * g2 * score, np.abs(noisy).max())
    return usual and canonical and churned


@given(drawn())
def test_d1_every_path_is_the_same_retrieval(case):
    assert d1(case)
    plain = dm.ProbabilityFlow(path(case)).drift(lam(case), case.y, None)
    assert close(plain, posterior(case)[1] - np.asarray(case.y))


def test_d1_twin_wrong_sign_of_the_schedule_term():
    assert caught(lambda case: d1(case, sign=-1.0))


# --------------------------------------------- D2, D3: where the density rises


THRESHOLDS = [
    lambda alpha, sigma, s: sigma**2,
    lambda alpha, sigma, s: 2 * sigma**2 / (1 + alpha**2),
    lambda alpha, sigma, s: s**2,
    lambda alpha, sigma, s: sigma**2,
    lambda alpha, sigma, s: s**2,
    lambda alpha, sigma, s: sigma**2 / alpha,
]


@eqx.filter_jit
def density_rate(case):
    """At a state of noise time t: the rate on clock tau, and alpha, sigma, f and sigma'/sigma there."""
    where, schedule, t = path(case), any_schedule(case.kind), 0.05 + 0.9 * case.rho
    alpha, sigma = schedule.alpha(t), schedule.sigma(t)
    y = case.xi[0] + sigma / alpha * (case.y - case.xi[0]) / case.s
    found = dm.generator(dm.DensityEnergy(where, "tau"), dm.ProbabilityFlow(where, "tau"))(1 - t, alpha * y)
    return found.total, alpha, sigma, schedule.f(t), schedule.sigma_dot(t) / sigma, y


def d2(case, shift=0):
    total, alpha, sigma, f, log_slope, y = jax.device_get(density_rate(case))
    s, dim = sigma / alpha, len(y)
    trace = posterior(case, s, y)[2]
    formula = -log_slope * dim + (log_slope - f) * trace / s**2
    excess = trace - dim * THRESHOLDS[(int(case.kind) + shift) % 6](alpha, sigma, s)
    clear = abs(excess) > 1e-6 * (1 + trace)
    same_sign = (total > 0) == (excess > 0) if clear else True
    return close(total, formula, dim * abs(log_slope) + abs(f) * dim) and same_sign


@given(drawn())
def test_d2_the_schedule_sets_the_threshold(case):
    assert d2(case)


def test_d2_twin_threshold_of_another_schedule():
    """VP data judged by the threshold of VE, at a state amid the memories while there is much noise."""
    case, patterns = make((4, 2), 0, 1.0, 0.0, 0.5, 1.0, 0), jnp.asarray([[0.0, 0], [3, 0], [-3, 0], [0, 3]])
    values = (patterns, jnp.asarray([0.1, 0.3, 0.3, 0.3]), jnp.zeros(2))
    case = eqx.tree_at(lambda c: (c.xi, c.u, c.y), case, values)
    assert d2(case)
    assert not all(d2(eqx.tree_at(lambda c: c.rho, case, jnp.asarray(rho)), 2) for rho in np.linspace(0, 1, 9))


def density_on_lam(case):
    where = path(case)
    return float(rate(dm.DensityEnergy(where), dm.ProbabilityFlow(where), lam(case), case.y).total)


def d3(case, factor=1.0):
    w, m, trace, _, _ = posterior(case)
    xi, s, dim = np.asarray(case.xi), float(case.s), case.y.shape[0]
    total = density_on_lam(case)
    top = np.linalg.eigvalsh((xi - m).T @ ((xi - m) * w[:, None]))[-1]
    radius = np.linalg.norm(xi - xi.mean(axis=0), axis=1).max()
    bifurcated = total <= TOL or top > factor * s**2
    early = s**2 < radius**2 / dim or total <= TOL
    return close(total, trace / s**2 - dim, dim) and bifurcated and early


@given(drawn())
def test_d3_rises_only_after_the_landscape_has_split(case):
    assert d3(case)


def test_d3_twin_a_later_threshold():
    """Between two memories at distance 2 the rise begins at s^2 = 1/2, long before tr C = 3 D s^2."""
    case = make((4, 2), 0, 1.0, 0.0, 0.5, 1.0, 0)
    pair = jnp.asarray([[1.0, 0], [-1, 0], [1, 0], [-1, 0]])
    values = (pair, jnp.full(4, 0.25), jnp.zeros(2), jnp.sqrt(jnp.asarray(0.45)))
    case = eqx.tree_at(lambda c: (c.xi, c.u, c.y, c.s), case, values)
    assert density_on_lam(case) > 0.1
    assert d3(case)
    assert not d3(case, factor=3.0)


def test_d3_under_vp_it_breaks_for_plain_gaussian_data():
    where = dm.DiffusionPath(dm.VP(), dm.GaussianMixture(jnp.zeros((1, 3)), jnp.asarray([2.0])))
    t, x = jnp.asarray(0.5), jnp.asarray([1.0, 0.0, -1.0])
    assert float(rate(dm.DensityEnergy(where, "tau"), dm.ProbabilityFlow(where, "tau"), t, x).total) > 0.1
    assert float(rate(dm.DensityEnergy(where), dm.ProbabilityFlow(where), t, x).total) < 0


# ------------------------------------------------------- D4: the free energy


@eqx.filter_jit
def free_energy(case):
    energy = dm.FreeEnergy(path(case))
    t = lam(case)
    found = dm.generator(energy, dm.ProbabilityFlow(path(case)))(t, case.y)
    slope = jax.grad(energy, argnums=1)(t, case.y)
    return energy(t, case.y), found, slope, jax.hessian(energy, argnums=1)(t, case.y), energy(t + 10.0, case.y)


def d4(case, sign=1.0):
    w, m, trace, kl, v = posterior(case)
    value, found, slope, hessian, cold = jax.device_get(free_energy(case))
    s, y, xi = float(case.s), np.asarray(case.y), np.asarray(case.xi)
    square, nearest = ((y - m) ** 2).sum(), 0.5 * ((y - xi) ** 2).sum(1).min()
    total = sign * found.schedule + found.dissipation + found.drift
    size = square + s**2
    covariance = (xi - m).T @ ((xi - m) * w[:, None])
    return (
        close(value, v, size)
        and value >= 0
        and close(value, 0.5 * square + 0.5 * trace + s**2 * kl, size)
        and close(total, -square - 2 * s**2 * kl, size)
        and total <= TOL * size
        and close(slope, y - m, s + np.abs(y).max())
        and close(hessian, np.eye(len(y)) - covariance / s**2, 1.0)
        and np.linalg.eigvalsh(hessian)[-1] <= 1 + TOL
        and close(found.schedule, -2 * s**2 * kl, size)
        and -TOL * (1 + nearest) <= cold - nearest <= 50 * (s * np.exp(-10.0)) ** 2 + TOL * (1 + nearest)
    )


@given(drawn())
def test_d4_the_restoring_energy(case):
    assert d4(case)


def test_d4_twin_wrong_sign_of_the_schedule_term():
    assert caught(lambda case: d4(case, sign=-1.0))


@eqx.filter_jit
def free_on_tau(case, t):
    where, schedule = path(case), any_schedule(case.kind)
    x = schedule.alpha(t) * case.y
    found = dm.generator(dm.FreeEnergy(where, clock="tau"), dm.ProbabilityFlow(where, "tau"))(1 - t, x)
    return found.total, -jax.grad(schedule.lam)(t), schedule.s(t)


@given(drawn())
def test_d4_on_every_schedule_clock(case):
    total, speed, s = (float(part) for part in free_on_tau(case, 0.05 + 0.9 * case.rho))
    _, m, _, kl, _ = posterior(case, s)
    square = ((np.asarray(case.y) - m) ** 2).sum()
    size = speed * (square + s**2)
    assert abs(total - speed * (-square - 2 * s**2 * kl)) <= 1e-7 * size


# --------------------------------- D5, D6: what the survey's energies do not have


class Unnormalised(eqx.Module):
    """-s^2 LSE(-d/2s^2): the free energy without its prior."""

    xi: jax.Array

    def __call__(self, t, x):
        s2 = jnp.exp(-2 * t)
        return -s2 * jax.nn.logsumexp(-0.5 * jnp.sum(jnp.square(x[None] - self.xi), axis=1) / s2)


def uniform(case):
    count = case.u.shape[0]
    return eqx.tree_at(lambda one: one.u, case, jnp.full(count, 1.0 / count))


def d5_falls(case):
    case = uniform(case)
    return float(rate(Unnormalised(case.xi), dm.ProbabilityFlow(path(case)), lam(case), case.y).total) <= TOL


@given(drawn())
def test_d5_unnormalised_energies(case):
    case = uniform(case)
    w, m, trace, _, _ = posterior(case)
    s, square = float(case.s), ((np.asarray(case.y) - m) ** 2).sum()
    entropy = -(w * np.log(np.where(w > 0, w, 1.0))).sum()
    flow = dm.ProbabilityFlow(path(case))
    bare = rate(Unnormalised(case.xi), flow, lam(case), case.y)
    assert close(bare.total, 2 * s**2 * entropy - square, square + s**2)
    anti = rate(dm.HopfieldEnergy(path(case)), flow, lam(case), case.y)
    assert close(anti.total, trace / s**2, 1 + square / s**2)
    assert float(anti.total) >= -TOL * (1 + square / s**2)


def test_d5_twin_missing_prior_is_caught():
    assert caught(d5_falls)
    assert not caught(lambda case: float(free_energy(case)[1].total) <= TOL)


@eqx.filter_jit
def frozen_rates(case, along):
    energy = dm.Frozen(dm.FreeEnergy(path(case)), lam(case))
    t = lam(case) + along
    moving = dm.generator(energy, dm.ProbabilityFlow(path(case)))(t, case.y).total
    return moving, dm.generator(energy, dm.GradientFlow(energy))(t, case.y).total


@given(drawn())
def test_d6_the_frozen_energy_falls_along_the_frozen_flow(case):
    still = float(frozen_rates(case, jnp.asarray(1.0))[1])
    _, m, _, _, _ = posterior(case)
    assert close(still, -((np.asarray(case.y) - m) ** 2).sum(), float(case.s) ** 2)


def test_d6_twin_it_rises_along_the_moving_flow():
    assert caught(lambda case: float(frozen_rates(case, jnp.asarray(1.0))[0]) <= TOL)
