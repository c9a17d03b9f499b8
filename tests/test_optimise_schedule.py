"""Grids found by gradient: against closed forms, a broken twin without the constraint, and grids that are refused."""

import dataclasses

import diffrax as dfx
import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
import scipy.optimize
import scipy.special

import dynamem as dm
from dynamem._errors import InputError
from dynamem.catalog import DataSet
from dynamem.comparison import COUNTEREXAMPLES
from dynamem.comparison import problem as ready_problem
from dynamem.comparison._noisy import Normals, law_distance, martingales, normals_of
from dynamem.comparison._schedules import Trial, _allowed, _slope
from dynamem.lyapunov import dynamics_of


def decay(t1, energies=None):
    """``x' = -x``: two Euler steps a and b leave ``(1 - a)(1 - b)``, and raise ``x^2/2`` where one is above 2."""
    own = {"own": lambda t, x: 0.5 * (x @ x)} if energies is None else energies
    term = dfx.ODETerm(lambda t, x, args: -x)
    exact = lambda x, t0, t1: x * jnp.exp(t0 - t1)  # noqa: E731
    return dm.Problem("decay", term, jnp.asarray([[1.0], [-2.0]]), 0.0, t1, own, exact=exact)


def between_patterns(start, noise, ratio, steps):
    """The flow between the patterns 0 and 1, from one start, over steps of one ratio."""
    path = dm.DiffusionPath(dm.VE(), dm.Empirical(jnp.asarray([[0.0], [1.0]])))
    lams = -np.log(noise) - np.log(ratio) * np.arange(steps + 1)
    free = {"free": dm.FreeEnergy(path)}
    return dm.Problem("pair", dm.ProbabilityFlow(path), jnp.asarray([[start]]), lams[0], lams[-1], free), lams


def test_derivatives_are_those_of_differences():
    problem, lams = between_patterns(0.52, 0.4, 0.6, 3)
    solver = dm.DPMSolver2S(0.4)
    t0, t1 = (jnp.asarray(end) for end in (lams[0], lams[-1]))
    z = jnp.asarray([0.1, -0.2, 0.3])
    trial = Trial(
        problem.flow, problem.states, (t0, t1), jnp.asarray([[0.9]]), z, problem.energies["free"], solver,
        None, lambda one: one.r, repair=False,
    )  # fmt: skip
    point, weight = (z, solver.r), jnp.asarray(1.0)
    gradient, found = eqx.filter_jit(_slope)(trial, point, weight)
    assert float(found["risk"]) == 0.0
    h, trial = 1e-6, eqx.filter_jit(trial)
    for k in range(3):
        up, down = (trial((z.at[k].add(step), solver.r), weight)[0] for step in (h, -h))
        assert float(gradient[0][k]) == pytest.approx(float(up - down) / (2 * h), rel=1e-5, abs=1e-8)
    up, down = (trial((z, solver.r + step), weight)[0] for step in (h, -h))
    assert float(gradient[1]) == pytest.approx(float(up - down) / (2 * h), rel=1e-5)


def test_two_euler_steps_of_least_error_are_equal():
    """``(1 - a)(1 - b)`` with ``a + b = 1.5`` is nearest to ``e^-1.5`` at ``a = b``."""
    found = dm.optimise_schedule(decay(1.5), dfx.Euler(), [0.0, 0.3, 1.5], held_out=jnp.asarray([[3.0]]))
    assert found.status == "holds"
    np.testing.assert_allclose(found.after.ts, [0.0, 0.75, 1.5], atol=1e-4)
    assert found.after.error == pytest.approx(np.sqrt(2.5) * (np.exp(-1.5) - 0.0625), abs=1e-6)
    assert found.after.held_error == pytest.approx(3 * (np.exp(-1.5) - 0.0625), abs=1e-6)
    assert found.before.error > found.after.error
    assert found.history.shape == (200, 2)


def test_the_energy_costs_error_and_without_it_the_steps_raise_it():
    """``(1 - a)(1 - b) = e^-3.5`` has a solution with ``b > 2``, exact and unsafe; the safe optimum is ``b = 2``."""
    start = [0.0, 0.9, 3.5]
    safe = dm.optimise_schedule(decay(3.5), dfx.Euler(), start)
    assert (safe.status, safe.after.rises) == ("holds", 0)
    assert safe.after.ts[1] == pytest.approx(1.5, abs=0.02)
    twin = dm.optimise_schedule(decay(3.5, {}), dfx.Euler(), start)
    assert twin.after.error < 1e-2 < 0.5 < safe.after.error
    assert np.diff(twin.after.ts).max() > 2.0


def test_the_nearest_safe_grid_of_euler_ends_at_its_limit():
    found = dm.optimise_schedule(decay(3.5), dfx.Euler(), [0.0, 0.3, 3.5], repair=True)
    assert (found.before.rises, found.after.rises, found.status) == (2, 0, "holds")
    np.testing.assert_allclose(found.after.ts, [0.0, 1.5, 3.5], atol=2e-3)
    expected = np.log(np.asarray([1.5, 2.0]) / np.asarray([0.3, 3.2]))
    assert found.distance == pytest.approx(np.sqrt(np.mean(expected**2)), abs=2e-3)


def test_a_grid_that_raises_nothing_needs_no_repair():
    found = dm.optimise_schedule(decay(1.5), dfx.Euler(), [0.0, 0.3, 1.5], repair=True, rounds=3)
    assert found.distance < 1e-12


def test_a_multistep_sampler_is_repaired():
    """D20: the run rises at the ratio 1/4; nearer to 1/3 in its last step it does not."""
    one = COUNTEREXAMPLES[0]
    assert isinstance(one.solver, dm.DPMSolver2M)
    problem, lams = between_patterns(one.start, one.noise, one.ratio, one.steps)
    found = dm.optimise_schedule(problem, one.solver, lams, repair=True)
    assert found.before.rises > 0 == found.after.rises
    assert found.status == "holds"
    assert 0 < found.distance < 0.5


def test_a_grid_whose_energy_is_no_number_is_not_chosen():
    """Of two Euler steps the exact ones pass through negative states, where this energy is NaN."""
    energies = {"own": lambda t, x: jnp.sum(jnp.sqrt(x))}
    problem = dataclasses.replace(decay(3.5, energies), states=jnp.asarray([[1.0]]))
    found = dm.optimise_schedule(problem, dfx.Euler(), [0.0, 0.9, 3.5], rounds=40)
    assert found.status == "failed"
    assert "finite" in found.reason
    short = dataclasses.replace(decay(1.5, energies), states=jnp.asarray([[1.0]]))
    found = dm.optimise_schedule(short, dfx.Euler(), [0.0, 0.3, 1.5])
    assert found.before.error == np.inf
    assert (found.status, found.after.rises) == ("holds", 0)


def test_a_span_too_long_for_its_steps_fails():
    found = dm.optimise_schedule(decay(10.0), dfx.Euler(), [0.0, 3.0, 7.0, 10.0], rounds=60)
    assert found.status == "failed"
    assert "3 steps" in found.reason
    assert found.after.rises > 0


@pytest.mark.long
def test_arrays_of_the_solver_are_tuned_too():
    problem, lams = between_patterns(0.6, 0.4, 0.6, 3)
    plain = dm.optimise_schedule(problem, dm.DPMSolver2S(0.9), lams, rounds=60)
    tuned = dm.optimise_schedule(problem, dm.DPMSolver2S(0.9), lams, rounds=60, where=lambda one: one.r)
    assert float(tuned.after.solver.r) != 0.9
    assert tuned.after.error < plain.after.error


@pytest.mark.long
def test_the_fewest_steps_that_reach_an_error():
    """Equal Euler steps leave ``(1 - 1.5/n)^n``, which comes nearer to ``e^-1.5`` with n."""
    errors = [np.sqrt(2.5) * abs((1 - 1.5 / n) ** n - np.exp(-1.5)) for n in range(1, 9)]
    fewest = 1 + next(k for k, error in enumerate(errors) if error <= 0.08)
    found = dm.optimise_schedule(decay(1.5), dfx.Euler(), np.linspace(0, 1.5, 9), tolerance=0.08)
    assert len(found.after.ts) - 1 == fewest
    assert found.distance is None
    none = dm.optimise_schedule(decay(1.5), dfx.Euler(), np.linspace(0, 1.5, 4), tolerance=1e-3, rounds=5)
    assert (none.status, "3 steps" in none.reason) == ("failed", True)


WIDTH = 0.5


def relaxing(start, count, energies, t1=2.0):
    """``dx = -x dt + w sqrt(2) dW``: two Euler steps end at a Gaussian, as the flow does."""
    tree = dfx.VirtualBrownianTree(0.0, t1, 1e-3, (1,), jr.key(0))
    noise = dfx.ControlTerm(lambda t, x, args: WIDTH * np.sqrt(2) * jnp.ones((1, 1)), tree)
    terms = dfx.MultiTerm(dfx.ODETerm(lambda t, x, args: -x), noise)
    drawn = WIDTH * np.sqrt(-np.expm1(-2 * t1)) * jr.normal(jr.key(9), (count, 1))
    exact = lambda x, t0, t1, w: x * jnp.exp(t0 - t1) + drawn[: len(x)]  # noqa: E731
    return dm.Problem("relaxing", terms, jnp.full((count, 1), start), 0.0, t1, energies, exact=exact)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"ts": [0.0, 1.0, 0.5]}, "increasing times"),
        ({"ts": [0.0, 1.0]}, "at least 3"),
        ({"ts": [0.0, np.nan, 1.0]}, "increasing times"),
        ({"problem": decay(1.0, {"own": lambda t, x: x}), "ts": [0.0, 0.5, 1.0]}, "need \\(\\)"),
        ({"tolerance": -1.0}, "tolerance"),
        ({"repair": True, "tolerance": 0.1}, "repair"),
        ({"repair": True, "problem": decay(1.0, {})}, "repair"),
        ({"where": lambda one: one.scan_kind}, "where"),
        ({"where": lambda one: one.eta}, "eta"),
        ({"problem": relaxing(1.0, 1, {})}, "two or more"),
        ({"problem": relaxing(1.0, 4, {}), "held_out": jnp.ones((1, 1))}, "held_out"),
        ({"problem": relaxing(1.0, 4, {}), "tolerance": 0.1}, "has noise"),
    ],
)
def test_what_is_refused(change, words):
    asked = {"problem": decay(1.0), "solver": dfx.Euler(), "ts": [0.0, 0.5, 1.0]} | change
    with pytest.raises(InputError, match=words):
        dm.optimise_schedule(asked.pop("problem"), asked.pop("solver"), asked.pop("ts"), **asked)


# ------------------------------------------------------------------------------- noise


def gaussians_apart(mean, variance, other, other_variance):
    """The energy distance of two Gaussians, by ``E|N(m, v)|``."""

    def size(m, v):
        return np.sqrt(2 * v / np.pi) * np.exp(-(m**2) / (2 * v)) + m * scipy.special.erf(m / np.sqrt(2 * v))

    both = size(0, 2 * variance) + size(0, 2 * other_variance)
    return np.sqrt(2 * size(mean - other, variance + other_variance) - both)


def left_by_two_steps(a, start, t1=2.0):
    """How far the law after Euler steps a and ``t1 - a`` is from the exact one."""
    b = t1 - a
    mean, variance = (1 - a) * (1 - b) * start, 2 * WIDTH**2 * ((1 - b) ** 2 * a + b)
    return gaussians_apart(mean, variance, start * np.exp(-t1), WIDTH**2 * -np.expm1(-2 * t1))


def test_the_distance_of_laws_is_that_of_loops_and_of_gaussians():
    random = np.random.default_rng(0)
    a, b = random.normal(size=(7, 3)), 1 + random.normal(size=(7, 3))
    pairs = [(i, j) for i in range(7) for j in range(7) if i != j]
    far = lambda x, y: np.linalg.norm(x - y) / np.sqrt(3)  # noqa: E731
    told = np.mean([2 * far(a[i], b[j]) - far(a[i], a[j]) - far(b[i], b[j]) for i, j in pairs])
    assert float(law_distance(jnp.asarray(a), jnp.asarray(b))) == pytest.approx(told, rel=1e-12)
    wide, narrow = random.normal(size=(3000, 1)), 0.5 + 0.3 * random.normal(size=(3000, 1))
    found = np.sqrt(float(law_distance(jnp.asarray(wide), jnp.asarray(narrow))))
    assert found == pytest.approx(gaussians_apart(0, 1, 0.5, 0.09), rel=0.1)
    assert abs(float(law_distance(jnp.asarray(wide[:1500]), jnp.asarray(wide[1500:])))) < 5e-3


def test_normals_stay_while_the_grid_moves():
    key, like = jr.key(3), jnp.zeros(2)
    first, second = (Normals(jnp.asarray(ts), key, like) for ts in ([0.0, 1.0, 3.0], [0.0, 2.5, 3.0]))
    for k in range(2):
        one, other = (path.evaluate(path.grid[k], path.grid[k + 1]) for path in (first, second))
        lengths = [float(path.grid[k + 1] - path.grid[k]) for path in (first, second)]
        np.testing.assert_allclose(one / np.sqrt(lengths[0]), other / np.sqrt(lengths[1]), rtol=1e-12)
    halves = [first.evaluate(t, t + 0.5) for t in (jnp.asarray(0.0), jnp.asarray(0.5))]
    assert not np.allclose(halves[0], halves[1])
    drawn = np.asarray([Normals(jnp.asarray([0.0, 4.0]), one, like).evaluate(0.0, 4.0) for one in jr.split(key, 400)])
    assert np.std(drawn) == pytest.approx(2.0, rel=0.1)


def test_what_is_taken_from_each_step_has_mean_zero_and_is_the_noise_of_the_energy():
    """Of ``x^2/2`` an Euler step changes ``x (-h x + g dW) + |...|^2/2``: its martingale part is ``x g dW``."""
    flow, grid = dynamics_of(relaxing(3.0, 4000, {}).flow), jnp.asarray([0.0, 0.3, 2.0])
    states = jnp.full((4000, 1), 3.0)
    paths = normals_of(flow, states, grid, jr.split(jr.key(2), 4000))
    ts, xs = jnp.broadcast_to(grid, (4000, 3)), jnp.broadcast_to(jnp.asarray([[3.0], [2.0], [1.0]]), (4000, 3, 1))
    found = np.asarray(martingales(lambda t, x: 0.5 * (x @ x), flow, paths, ts, xs))
    steps = [np.asarray(jax.vmap(lambda p, k=k: p.evaluate(grid[k], grid[k + 1])[0])(paths)) for k in range(2)]
    np.testing.assert_allclose(found, WIDTH * np.sqrt(2) * np.stack([3.0 * steps[0], 2.0 * steps[1]], 1), rtol=1e-12)
    assert np.all(np.abs(found.mean(axis=0)) < 4 * found.std(axis=0) / np.sqrt(4000))


def test_derivatives_along_noise_are_those_of_differences():
    own = {"own": lambda t, x: 0.5 * (x @ x)}
    problem = relaxing(3.0, 8, own)
    trial = Trial(
        dynamics_of(problem.flow), problem.states, (jnp.asarray(0.0), jnp.asarray(2.0)), jr.normal(jr.key(1), (8, 1)),
        jnp.zeros(3), own["own"], dfx.Euler(), jr.split(jr.key(0), 8), None, repair=False,
    )  # fmt: skip
    z, weight, h = jnp.asarray([0.1, -0.2, 0.3]), jnp.asarray(3.0), 1e-6
    gradient, _ = eqx.filter_jit(_slope)(trial, (z, None), weight)
    trial = eqx.filter_jit(trial)
    for k in range(3):
        up, down = (trial((z.at[k].add(step), None), weight)[0] for step in (h, -h))
        assert float(gradient[0][k]) == pytest.approx(float(up - down) / (2 * h), rel=1e-5, abs=1e-8)


@pytest.mark.long
def test_two_steps_with_noise_end_nearest_to_the_law():
    """Against the closed form's own minimum: within the noise of 512 paths its distance is not above it."""
    best = scipy.optimize.minimize_scalar(left_by_two_steps, bounds=(0.05, 1.95), args=(3.0,), method="bounded")
    found = dm.optimise_schedule(
        relaxing(3.0, 512, {}), dfx.Euler(), [0.0, 0.2, 2.0], held_out=jnp.full((512, 1), 3.0), rounds=200
    )
    assert left_by_two_steps(found.after.ts[1], 3.0) < best.fun + 0.02 < left_by_two_steps(0.2, 3.0) - 0.2
    assert found.after.held_error < found.before.held_error


def test_a_mean_that_rises_along_the_flow_itself_is_not_mended():
    """From ``x = 0`` the mean of ``x^2/2`` can only rise; far out it falls in both steps, though not on each path."""
    own = {"own": lambda t, x: 0.5 * (x @ x)}
    twin = dm.optimise_schedule(relaxing(0.0, 64, own), dfx.Euler(), [0.0, 0.5, 2.0], rounds=3)
    assert (twin.status, twin.after.rises > 0) == ("failed", True)
    good = dm.optimise_schedule(relaxing(9.0, 64, own, 0.5), dfx.Euler(), [0.0, 0.2, 0.5], rounds=3)
    assert (good.status, good.after.rises) == ("holds", 0)


@pytest.mark.long
def test_churn_is_tuned():
    """Of five steps of EDM's sampler on five Gaussians: less churn than was given, and a law nearer to the data's."""
    problem = ready_problem("reverse_sde", DataSet("none", np.zeros((2, 2))), states=32)
    random, means = np.random.default_rng(0), np.asarray(problem.memories)
    drawn = means[random.integers(0, 5, 256)] + np.hypot(0.15, 0.1) * random.normal(size=(256, 2))
    problem = dataclasses.replace(problem, exact=drawn)
    lams = -np.log(np.asarray(dm.karras_grid(5.0, 0.1, 5)))
    found = dm.optimise_schedule(
        problem, dm.EDMHeun(S_churn=1.5, steps=5), lams, where=lambda one: one.S_churn, rounds=80, rate=0.03
    )
    assert (found.status, found.after.rises) == ("holds", 0)
    assert float(found.after.solver.S_churn) < 1.0
    assert found.after.error < 0.7 * found.before.error


def test_arrays_that_the_solver_refuses_are_not_taken():
    """A negative churn has no derivative to come back by."""
    assert _allowed(dm.EDMHeun(S_churn=1.0, steps=4))
    refused = eqx.tree_at(lambda one: one.S_churn, dm.EDMHeun(S_churn=1.0, steps=4), jnp.asarray(-0.1))
    assert not _allowed(refused)
    assert _allowed(dfx.Euler())
