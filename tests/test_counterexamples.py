"""Least counterexamples: the smallest runs in which a solver raises the free energy, and that nothing smaller does.

Runs go through `lyapunov.solve` and are judged by `rises_of`. With one pattern ``V = |y - xi|^2/2``: a sampler's
denoiser is then exact, so that its step, ``y+ = rho y + (1 - rho) xi``, falls, and N = 1 is excluded for all of them.
"""

import diffrax as dfx
import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

import dynamem as dm
from dynamem.cli._data import digits
from dynamem.comparison import COUNTEREXAMPLES, course_of, three_patterns, two_pattern_runs
from dynamem.lyapunov import rises_of, solve
from tests.test_sampler_facts import RK4


def ran(solver, path, ys, grid, clock="lam"):
    """The rises of V along one run from each state, on the steps of a grid."""
    grid, flow = jnp.asarray(grid), dm.ProbabilityFlow(path, clock)
    how = dfx.StepTo(grid)
    run = solve(flow, ys, (grid[0], grid[-1]), solver, how, None, None, max_steps=len(grid) - 1)
    return rises_of(dm.FreeEnergy(path, clock=clock), run.ts, run.xs, run.count)


def one_pattern(schedule, xi=1.5):
    return dm.DiffusionPath(schedule, dm.Empirical(jnp.asarray([[xi]])))


# --------------------------------------------------------- one pattern, one coordinate, one step


def test_explicit_euler_on_the_clock_of_vp():
    """At the memory, ``x = alpha xi``, V rises from 0 to ``((alpha - h alpha' - alpha+)/alpha+)^2 xi^2/2``."""
    path, tau, h = one_pattern(dm.VP()), jnp.asarray(0.4), jnp.asarray(0.1)
    alpha = lambda tau: path.schedule.alpha(1 - tau)  # noqa: E731
    now, slope, later = alpha(tau), jax.grad(alpha)(tau), alpha(tau + h)
    found = ran(dfx.Euler(), path, now * path.law.xi, [tau, tau + h], "tau")
    formula = ((now + h * slope - later) / later) ** 2 * 1.5**2 / 2
    assert found.rising.all()
    assert float(found.change[0, 0]) == pytest.approx(float(formula), rel=1e-6)
    # Least: with xi = 0 the memory is a point of rest of the step too.
    rest = one_pattern(dm.VP(), 0.0)
    assert not ran(dfx.Euler(), rest, rest.law.xi, [tau, tau + h], "tau").rising.any()


@pytest.mark.parametrize(("solver", "end"), [(dfx.Euler(), 2.0), (RK4(), 2.785293563405282)], ids=["Euler", "RK4"])
def test_a_runge_kutta_step_in_lam(solver, end):
    """It is ``y+ - xi = R(-h)(y - xi)``: V rises iff ``|R(-h)| > 1``, for h beyond the end of the real interval."""
    path, ys = one_pattern(dm.VE()), jnp.asarray([[-3.0], [0.2], [40.0]])
    assert ran(solver, path, ys, [0.0, end * 1.0001]).rising.all()
    for h in np.linspace(0.05, end * 0.9999, 8):
        assert not ran(solver, path, ys, [0.0, h]).rising.any()


def test_an_ancestral_step_at_the_memory():
    """Any noise leaves ``V = 0``, so that one step along a path rises; in mean it does not, as D14 says."""
    path, grid = one_pattern(dm.VE()), jnp.asarray([0.0, 0.7])
    flow, keys = dm.ReverseSDE(path), jr.split(jr.key(0), 2000)
    ys = jnp.broadcast_to(path.law.xi, (2000, 1))
    run = solve(flow, ys, (0.0, 0.7), dm.EulerAncestral(), dfx.StepTo(grid), None, keys, max_steps=1)
    found = rises_of(dm.FreeEnergy(path), run.ts, run.xs, run.count)
    assert found.rising.mean() > 0.99
    in_mean = rises_of(dm.FreeEnergy(path, 1.0), run.ts, run.xs, run.count).change
    assert in_mean.mean() < 4 * in_mean.std() / np.sqrt(2000)


# ------------------------------------------------------------- two patterns, and the last step that rises


@pytest.mark.long
@pytest.mark.parametrize("example", COUNTEREXAMPLES, ids=lambda one: one.name)
def test_two_patterns_and_few_steps(example):
    """The real solver's run is the gallery's, and rises; with one pattern it does not."""
    run = course_of(example)
    weights = jnp.asarray([1 - example.weight, example.weight])
    path = dm.DiffusionPath(dm.VE(), dm.Empirical(jnp.asarray([[0.0], [1.0]]), weights))
    found = ran(example.solver, path, jnp.asarray([[example.start]]), run.lams)
    assert found.rising.any()
    np.testing.assert_allclose(found.change[0], np.diff(run.values), atol=1e-9)
    alone = one_pattern(dm.VE(), 1.0)
    assert not ran(example.solver, alone, jnp.asarray([[example.start]]), run.lams).rising.any()


def starts(ratio, count, seed=0):
    """Weights, states, noises and ratios, most of the states where the two memories are almost equally near."""
    rng = np.random.default_rng(seed)
    w, s = np.exp(rng.uniform(-8, -0.69, count)), np.exp(rng.uniform(-6, 0.5, count))
    between = 0.5 + s**2 * (np.log((1 - w) / w) + 3 * rng.normal(size=count))
    y = np.where(rng.random(count) < 0.8, between, 2 * rng.normal(size=count))
    return [jnp.asarray(part) for part in (w, y, s, np.full(count, ratio))]


@pytest.mark.long
@pytest.mark.parametrize(
    ("solver", "case"),
    [
        (dm.DPMSolver2M(), (0.0005657296640324425, 15.344560609928836, 1.6095607419604536, 0.05)),
        (dm.ExponentialAB(2), (0.00035493016320062206, 8.359739041157994, 1.1653479457270781, 0.1)),
    ],
    ids=["2M", "AB2"],
)
def test_how_few_steps_of_two_denoisers_rise(solver, case):
    """One step is DDIM's. Two can rise at coarse ratios, from far away; a search finds none from 0.2 on, three do."""
    coarse = two_pattern_runs(solver, *(jnp.asarray([part]) for part in case), steps=2).rises()
    assert coarse[0, 1] > 1
    for ratio in (0.2, 0.25, 0.3):
        rises = two_pattern_runs(solver, *starts(ratio, 4000), steps=2).rises()
        assert rises.max() == 0, ratio


# --------------------------------------------------------------------------------- EDM's Heun


def worst_of_three(ratio, s=0.034):
    path, y = three_patterns(ratio, 1 / (2 * (1 + ratio)), s)
    lam = -np.log(s)
    return ran(dm.EDMHeun(), path, y[None], [lam, lam - np.log(ratio)])


def test_three_patterns_reach_the_bound_of_heun():
    """One step of ratio 0.207, where the theorem excludes rises from 0.2072 on; and two patterns do not."""
    assert worst_of_three(0.207).rising.all()
    assert not worst_of_three(0.2072).rising.any()
    for ratio, rises in ((0.1995, True), (0.2, False), (0.207, False)):
        found = two_pattern_runs(dm.EDMHeun(), *starts(ratio, 20000), steps=1).rises()
        assert (found.max() > 0) == rises, (ratio, found.max())


def test_an_early_stage_can_raise_v():
    """DPM-Solver++(2S) with r = 0.2, between the three patterns that are worst for its stage; D13 has r = 1/2."""
    lam, ratio = -np.log(0.05), 0.03
    for r, rises in ((0.2, True), (0.5, False)):
        path, y = three_patterns(ratio**r, 0.22, 0.05)
        assert ran(dm.DPMSolver2S(r), path, y[None], [lam, lam - np.log(ratio)]).rising.any() == rises


# ------------------------------------------------------------------------ no rises on the digits


@eqx.filter_jit
def worst_rises(solver, path, starts, lams):
    """Largest rise of V beyond rounding along the run from each state (B, D) on its grid (B, n)."""
    energy, terms = dm.FreeEnergy(path), dm.ProbabilityFlow(path).terms()

    def one(case):
        y, grid = case

        def step(carry, ends):
            y, memory, value, size = carry
            y, _, _, memory, _ = solver.step(terms, *ends, y, None, memory, False)
            now, large = energy(ends[1], y), energy.magnitude(ends[1], y)
            bound = dm.lyapunov.rounding_bound(size) + dm.lyapunov.rounding_bound(large)
            return (y, memory, now, large), now - value - bound

        first = (y, solver.init(terms, grid[0], grid[1], y, None), energy(grid[0], y), energy.magnitude(grid[0], y))
        return jnp.max(jax.lax.scan(step, first, (grid[:-1], grid[1:]))[1])

    return jax.lax.map(one, (starts, lams), batch_size=100)


PATH = dm.DiffusionPath(dm.VP(), dm.Empirical(jnp.asarray(digits())))


def random_grids(count, steps, seed=0):
    """States and grids: ratios over five decades; half of the states between two digits at low noise."""
    rng = np.random.default_rng(seed)
    xi = np.asarray(PATH.law.xi)
    s = np.exp(rng.uniform(np.log(0.02), np.log(20), count))
    falls = np.exp(rng.uniform(np.log(0.01), np.log(4), (count, steps)))
    a, b = xi[rng.integers(len(xi), size=(2, count))]
    middle = np.where(rng.random((count, 1)) < 0.5, (a + b) / 2, a)
    ys = middle + s[:, None] * rng.choice([0.01, 1.0], (count, 1)) * rng.normal(size=a.shape)
    lams = -np.log(s)[:, None] + np.concatenate([np.zeros((count, 1)), np.cumsum(falls, axis=1)], axis=1)
    return jnp.asarray(ys), jnp.asarray(np.minimum(lams, 12.0) + 1e-6 * np.arange(steps + 1))


@pytest.mark.parametrize(
    "count", [pytest.param(10, id="few"), pytest.param(1250, id="10,000 in all", marks=pytest.mark.long)]
)
@pytest.mark.parametrize("solver", [dm.DDIM(), dm.DPMSolver2S()], ids=["DDIM", "2S"])
def test_no_grid_raises_v_on_the_digits(solver, count):
    """All 1,797 digits, D = 64; 2, 5, 10 and 20 steps."""
    for steps in (2, 5, 10, 20):
        assert float(worst_rises(solver, PATH, *random_grids(count, steps, steps)).max()) <= 0


def near_pairs(count, s, steps, ratio):
    """States between each of some digits and the one next to it, and uniform grids."""
    rng, xi = np.random.default_rng(0), np.asarray(PATH.law.xi)
    a = xi[rng.choice(len(xi), count, replace=False)]
    far = ((a[:, None] - xi) ** 2).sum(-1)
    b = xi[np.argsort(far, axis=1)[:, 1]]
    share = 0.5 + s**2 * rng.normal(size=(count, 1)) / ((a - b) ** 2).sum(1, keepdims=True)
    lams = -np.log(s) - np.log(ratio) * np.arange(steps + 1)
    return jnp.asarray(a + share * (b - a)), jnp.broadcast_to(jnp.asarray(lams), (count, steps + 1))


@pytest.mark.long
def test_heun_above_its_bound_on_the_digits():
    """And below it, the twin: the same check finds its rises."""
    case = near_pairs(30, 0.05, 1, 0.2072)
    assert float(worst_rises(dm.EDMHeun(), PATH, *case).max()) <= 0
    case = near_pairs(30, 0.05, 1, 0.18)
    assert float(worst_rises(dm.EDMHeun(), PATH, *case).max()) > 1e-3
