"""What `dynamem list` says of each sampler: the counterexamples, as small as they were found, and where there is none.

Every energy here is in NumPy, apart from the package's, and so are the searches' two patterns 0 and 1 on a line.
"""

from typing import ClassVar

import diffrax as dfx
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import dynamem as dm
from dynamem.catalog._samplers import FACTS
from dynamem.comparison import COUNTEREXAMPLES, course_of
from tests import catalogue


def free(y, s, w):
    """``-s^2 log sum w exp(-(y - xi)^2/2s^2)`` for patterns 0 and 1, arrays of any shape."""
    logs = np.stack([np.log(1 - w) - y**2 / (2 * s * s), np.log(w) - (y - 1) ** 2 / (2 * s * s)])
    return -(s**2) * np.logaddexp(*logs)


class Given(dfx.AbstractPath):
    """A control whose increments are z standard deviations."""

    z: jax.Array
    t0 = -jnp.inf
    t1 = jnp.inf

    def evaluate(self, t0, t1=None, left=True):
        return self.z * jnp.sqrt(t1 - t0)


class Two(eqx.Module):
    """The drift (1 + zeta)(m - y) of patterns 0 and 1 with weights 1 - w and w: terms of one's own."""

    w: jax.Array
    zeta: jax.Array

    def drift(self, t, y, args):
        logit = jnp.log(self.w / (1 - self.w)) + (y - 0.5) * jnp.exp(2 * t)
        return (1 + self.zeta) * (jax.nn.sigmoid(logit) - y)


def terms(w, zeta, z):
    drift = dfx.ODETerm(Two(w, jnp.asarray(zeta)).drift)
    return drift if z is None else dfx.MultiTerm(drift, dfx.ControlTerm(lambda t, y, args: jnp.eye(1), Given(z)))


@eqx.filter_jit
def walked(solver, zeta, w, y, lams, zs, steps):
    """States (B, steps + 1) of steps from each start on its own grid, the same normal in all steps."""

    def one(w, y, lams, z):
        how = {"saveat": dfx.SaveAt(t0=True, steps=True), "max_steps": steps, "adjoint": dfx.ForwardMode()}
        return dfx.diffeqsolve(
            terms(w, zeta, z), solver, lams[0], lams[-1], None, y[None], stepsize_controller=dfx.StepTo(lams),
            throw=False, **how,
        ).ys[:, 0]  # fmt: skip

    return jax.vmap(one)(w, y, lams, zs)


def changes(solver, cases, zeta=0.0, zs=None, steps=3):
    """Changes of V (B, steps) in units of ``s^2``, for cases (B, 4) of w, y, s, rho."""
    w, y, s, rho = np.asarray(cases, float).T
    zs = zs if zs is None else jnp.asarray(zs)[:, None]
    lams = -np.log(s)[:, None] - np.log(rho)[:, None] * np.arange(steps + 1)
    ys = np.asarray(walked(solver, zeta, *(jnp.asarray(part) for part in (w, y, lams)), zs, steps))
    levels = s[:, None] * rho[:, None] ** np.arange(steps + 1)
    return np.diff(free(ys, levels, w[:, None]), axis=1) / levels[:, :-1] ** 2


def drawn(low, count=400):
    """Random cases of ratios from ``low`` on, half of them between the patterns at low noise, where all rises are."""
    rng = np.random.default_rng(1)
    w, s = np.exp(rng.uniform(-7, -0.7, count)), np.exp(rng.uniform(-4, 1, count))
    between = 0.5 + s**2 * np.log((1 - w) / w) + s**2 * rng.normal(size=count) * 4
    y = np.where(rng.random(count) < 0.5, between, rng.normal(size=count) * 2)
    return np.stack([w, y, s, low + (0.99 - low) * rng.random(count) ** 2], axis=1)


def long(*values):
    return pytest.param(*values, marks=pytest.mark.long)


SLOW = ("Adams-Bashforth 3", "Adams-Bashforth 4", "DPM-Solver++(2S), r = 0.05")


@pytest.mark.parametrize(
    "example",
    [long(one) if one.name in SLOW else one for one in COUNTEREXAMPLES],
    ids=lambda one: f"{one.name}, {one.ratio}",
)
def test_a_step_that_raises_the_free_energy(example):
    case, least = (example.weight, example.start, example.noise, example.ratio), example.none_from
    cases = [case] * 400 if least is None else [case, *drawn(least, 399)]
    found = changes(example.solver, cases, steps=example.steps)
    assert found[0].max() > 1e-4, found[0]
    if least:
        assert found[1:].max() < 1e-7
    assert course_of(example).rises().max() == pytest.approx(found[0].max(), rel=1e-6)


@pytest.mark.long
@pytest.mark.parametrize("solver", [dm.DDIM(), dm.DPMSolver2S()], ids=["DDIM, D7", "2S, D13"])
def test_steps_that_never_raise_it(solver):
    assert changes(solver, drawn(0.01)).max() < 1e-7


class RK4(dfx.AbstractERK):
    tableau: ClassVar = dfx.ButcherTableau(
        c=np.array([0.5, 0.5, 1.0]), a_lower=(np.array([0.5]), np.array([0.0, 0.5]), np.array([0.0, 0.0, 1.0])),
        b_sol=np.array([1, 2, 2, 1]) / 6, b_error=np.zeros(4),
    )  # fmt: skip
    interpolation_cls: ClassVar = dfx.ThirdOrderHermitePolynomialInterpolation.from_k

    def order(self, terms):
        return 4


@pytest.mark.long
def test_runge_kutta_in_lam_overshoots_a_single_pattern():
    """RK4 on ``dy/dlam = -y``: |1 - h + h^2/2 - h^3/6 + h^4/24| > 1 for h > 2.7853, and V = y^2/2."""
    cases = [(1e-300, -0.01, 0.5, np.exp(-h)) for h in (2.75, 2.82)]  # the other pattern has no weight
    found = changes(RK4(), cases, steps=1)
    assert found[0] < 0 < found[1]


GAUSS = np.polynomial.hermite_e.hermegauss(21)


def mean_change(solver, case, zeta, steps=1):
    """Mean over the step's normal of the change of ``V + zeta s^2/2`` in one step, in units of ``s^2``."""
    nodes, weights = GAUSS
    found = changes(solver, [case] * len(nodes), zeta, nodes, steps)[:, 0]
    return float(weights @ found / weights.sum() - zeta * (1 - case[3] ** 2) / 2), float(found.max())


AT_A_MEMORY = (0.5, 1e-6, 0.05, 0.9)  # w, y, s, rho


@pytest.mark.parametrize(
    ("solver", "zeta"),
    [(dm.DDPM(), 1.0), long(dm.DDPM("upper"), 1.0), long(dm.EulerAncestral(), 1.0), long(dm.DDIM(0.5), 0.25),
     long(dm.PredictorCorrector(corrections=0), 1.0)],
    ids=["DDPM", "DDPM upper", "EulerAncestral", "DDIM", "PredictorCorrector without corrections"],
)  # fmt: skip
def test_ancestral_steps_raise_v_along_paths_and_not_in_mean(solver, zeta):
    """D14."""
    for case in (AT_A_MEMORY, (0.3, 0.4, 0.3, 0.5)):
        in_mean, along_a_path = mean_change(solver, case, zeta)
        assert in_mean < 1e-9
        assert along_a_path - zeta * (1 - case[3] ** 2) / 2 > 1e-3


@pytest.mark.parametrize(
    "solver",
    [dm.EDMHeun(9.0, steps=9), dm.AnnealedLangevin(repeats=1)],
    ids=["EDM's churn", "annealed Langevin"],
)
def test_noise_that_is_added_and_not_taken_away(solver):
    """Near a memory; churn and Langevin steps there leave ``V + s^2/2`` higher in mean."""
    case = (*AT_A_MEMORY[:3], 0.99)
    assert mean_change(solver, case, 1.0)[0] > 1e-3


def test_churn_in_closed_form():
    """One pattern: ``E (V + s^2/2)`` changes by ``s+^2 (2 - s^2/s^^2)/2 - s^2/2``, whose sign needs no search."""
    gamma, rho = 2**0.5 - 1, 0.9
    formula = rho**2 * (2 - 1 / (1 + gamma) ** 2) / 2 - 0.5
    far = (1e-12, 1e-9, 0.05, rho)  # the other pattern has no weight
    assert mean_change(dm.EDMHeun(9.0, steps=9), far, 1.0)[0] == pytest.approx(formula, rel=1e-6)


@pytest.mark.long
def test_a_correction_raises_it():
    """After a step of almost no length a correction only adds noise; over many normals."""
    solver, cases = dm.PredictorCorrector(snr=0.3), [(0.5, 1e-3, 0.05, 0.999)] * 400
    zs = np.random.default_rng(0).normal(size=400)
    assert changes(solver, cases, 1.0, zs, 1).mean() > 0.01


def test_a_past_that_lies_elsewhere_misleads_the_multistep_sde():
    """SDE-DPM-Solver++(2M) at pattern 0 that remembers pattern 1 from the step before goes past 0, with any noise."""
    s, rho, w = 0.05, 0.5, jnp.asarray(0.5)
    lam, y = -jnp.log(s), jnp.zeros(1)
    solver, h = dm.DPMSolverSDE(), -jnp.log(rho)
    fresh = solver.start(lam, y)
    elsewhere = eqx.tree_at(lambda one: (one.mean, one.h), fresh, (jnp.ones(1), h))
    ends = {}
    for name, memory in (("none", fresh), ("elsewhere", elsewhere)):
        steps = [solver.step(terms(w, 1.0, jnp.full(1, z)), lam, lam + h, y, None, memory, False)[0] for z in (-2, 2)]
        ends[name] = [float(free(float(end[0]), s * rho, 0.5) - free(0.0, s, 0.5)) / s**2 for end in steps]
    assert max(ends["none"]) < 1 < min(ends["elsewhere"])


@eqx.filter_jit
def blind(sampler, ys, keys, count):
    """Residuals over iterations, shape (B, count + 1)."""

    def one(y, key):
        drift, control = dfx.ODETerm(lambda t, y, args: -y), dfx.UnsafeBrownianPath((32,), key)
        found = dfx.diffeqsolve(
            dfx.MultiTerm(drift, dfx.ControlTerm(lambda t, y, args: jnp.eye(32), control)), sampler, 0.0, 1.0 * count,
            1.0, y, saveat=dfx.SaveAt(t0=True, steps=True), max_steps=count, adjoint=dfx.ForwardMode(), throw=False,
        )  # fmt: skip
        return jnp.mean(found.ys**2, axis=1)

    return jax.vmap(one)(ys, keys)


def test_the_blind_sampler_takes_noise_away_at_its_rate():
    """As in arXiv 2007.13640, ``sigma+ = (1 - beta h) sigma`` in expectation, with ``h = h0 t/(1 + h0 (t - 1))``."""
    h0, beta, count = 0.2, 0.3, 4
    ys, keys = jax.random.normal(jax.random.key(0), (300, 32)), jax.random.split(jax.random.key(1), 300)
    found = np.asarray(blind(dm.BlindSampler(h0, beta), ys, keys, count))
    h = h0 * np.arange(1, count + 1) / (1 + h0 * np.arange(count))
    ratio = found[:, 1:] / found[:, :-1]
    error = 4 * ratio.std(axis=0) / np.sqrt(300)
    assert np.all(np.abs(ratio.mean(axis=0) - (1 - beta * h) ** 2) < error)
    assert not np.all(np.abs(ratio.mean(axis=0) - (1 - h) ** 2) < error)  # what it would be without its noise


def test_every_sampler_has_its_fact():
    samplers = {type(build()) for build, _ in catalogue.SOLVERS.values()}
    assert set(FACTS) == {one.__qualname__ for one in samplers if issubclass(one, dm.AbstractSampler)} | {
        "BlindSampler"
    }
    for name, fact in FACTS.items():
        assert fact.falls or fact.rises, name
        assert name.isascii()
        assert fact.line.isascii()
