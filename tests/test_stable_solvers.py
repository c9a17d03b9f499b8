"""Solvers and a controller that cannot raise an energy: discrete gradients, the margin of D12, and rejected steps."""

import diffrax as dfx
import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

import dynamem as dm
from dynamem._errors import InputError
from dynamem.comparison import COUNTEREXAMPLES, fitted
from dynamem.lyapunov import rises_of, rounding_bound, solve
from dynamem.solvers import discrete_gradient
from tests.test_sampler_facts import changes


XI = jnp.asarray([[1.0, 0.5, 0.0], [-1.0, 0.2, 0.3], [0.3, -2.0, 1.0], [0.1, 0.4, -0.6]])
KINDS = ("gonzalez", "mean_value", "itoh_abe", "symmetric_itoh_abe")


def double_well(t, x):
    return jnp.sum((x**2 - 1) ** 2) / 4 + 0.3 * x[0] * x[1]


class Quadratic(eqx.Module):
    """``x.A x/2`` for any symmetric A."""

    A: jax.Array

    def __call__(self, t, x):
        return 0.5 * (x @ self.A @ x)


@eqx.filter_jit
def stepped(solver, energy, preconditioner, xs, hs):
    """Changes of the energy, what the residual may add, its rounding, and whether the equation was solved, (B,)."""
    flow = dm.GradientFlow(energy, None if preconditioner is None else lambda t, x: preconditioner)

    def one(x, h):
        y, _, _, _, result = solver.step(flow.terms(), 0.0 * h, h, x, None, None, False)
        force = discrete_gradient(lambda z: energy(0.0, z), x, y - x, solver.kind)
        move = -force if preconditioner is None else -preconditioner @ force
        residual = y - x - h * move
        # E(y) - E(x) = G.(y - x) and y - x = h move + residual, so that the residual adds G.residual
        size = jnp.abs(energy(0.0, y)) + jnp.abs(energy(0.0, x)) + jnp.abs(force) @ (jnp.abs(x) + jnp.abs(y)) + 1
        return energy(0.0, y) - energy(0.0, x), force @ residual, rounding_bound(size), dfx.is_okay(result)

    return jax.vmap(one)(xs, hs)


@pytest.mark.parametrize("kind", KINDS)
def test_a_discrete_gradient_step_never_raises_the_energy(kind):
    """A8, at steps over six decades, with and without a preconditioner."""
    hs, xs = 10.0 ** jr.uniform(jr.key(1), (400,), minval=-3, maxval=3), 2 * jr.normal(jr.key(0), (400, 3))
    skew = jnp.asarray([[2.0, 0.5, 0.0], [0.5, 1.0, 0.2], [0.0, 0.2, 5.0]])
    for energy, matrix in ((dm.LogSumExp(XI, 2.0), None), (double_well, skew)):
        change, residual, rounding, solved = map(
            np.asarray, stepped(dm.DiscreteGradient(kind=kind), energy, matrix, xs, hs)
        )
        assert np.all(np.isfinite(change[solved]))
        assert np.all(change[solved] <= np.maximum(residual, 0)[solved] + rounding[solved])
        assert np.mean(solved) >= 0.9
        assert np.all(solved[np.asarray(hs) < 0.1])


@pytest.mark.long
@pytest.mark.parametrize("kind", KINDS)
def test_many_random_steps(kind):
    """3 kinds times 34,000 draws of energy, state and step."""
    for seed in range(17):
        keys = jr.split(jr.key(seed), 4)
        A = jr.normal(keys[0], (3, 3))
        xi = 2 * jr.normal(keys[1], (4, 3))
        xs, hs = 3 * jr.normal(keys[2], (500, 3)), 10.0 ** jr.uniform(keys[3], (500,), minval=-3, maxval=3)
        stiff = Quadratic(jnp.diag(jnp.asarray([1.0, 30.0, 1000.0])) + 0.5 * (A + A.T))
        for energy in (Quadratic(A @ A.T), stiff, dm.LogSumExp(xi, 4.0), dm.DenseMemory(xi, "exp")):
            found = map(np.asarray, stepped(dm.DiscreteGradient(kind=kind), energy, None, xs, hs))
            change, residual, rounding, solved = found
            rising = solved & ~(change <= np.maximum(residual, 0) + rounding)
            assert not rising.any(), (seed, type(energy).__name__, change[rising][:3])


def test_explicit_euler_is_caught():
    """The twin: its step is no discrete gradient's, and it rises."""
    xs, hs = jr.normal(jr.key(0), (50, 3)), jnp.full(50, 2.5)
    energy = dm.LogSumExp(XI, 2.0)
    ys = jax.vmap(lambda x, h: x - h * jax.grad(energy, argnums=1)(0.0, x))(xs, hs)
    change = jax.vmap(lambda y, x: energy(0.0, y) - energy(0.0, x))(ys, xs)
    assert float(change.max()) > 1e-3


@pytest.mark.parametrize("kind", KINDS)
def test_a_discrete_gradient_is_one(kind):
    """``G.(y - x) = E(y) - E(x)``, and ``G -> grad E``."""
    x, z = jnp.asarray([0.4, -1.2, 0.3]), jnp.asarray([0.5, 0.2, -0.7])
    energy = lambda y: double_well(0.0, y)  # noqa: E731
    assert float(discrete_gradient(energy, x, z, kind) @ z) == pytest.approx(
        float(energy(x + z) - energy(x)), rel=1e-12
    )
    slope = jax.grad(energy)(x)
    np.testing.assert_allclose(discrete_gradient(energy, x, 0 * z, kind), slope, rtol=1e-12)
    np.testing.assert_allclose(discrete_gradient(energy, x, 1e-5 * z, kind), slope, rtol=1e-3)
    assert np.all(np.isfinite(jax.jacfwd(lambda w: discrete_gradient(energy, x, w, kind))(0 * z)))


@pytest.mark.parametrize(
    ("kind", "order"), [("gonzalez", 2), ("mean_value", 2), ("itoh_abe", 1), ("symmetric_itoh_abe", 2)]
)
def test_orders_of_discrete_gradients(kind, order):
    flow, x = dm.GradientFlow(double_well), jnp.asarray([0.4, -0.8, 1.7])
    steps = (8, 16, 32, 64)
    exact = dfx.diffeqsolve(flow.terms(), dfx.Dopri8(), 0.0, 1.0, None, x, max_steps=4096,
                            stepsize_controller=dfx.PIDController(rtol=1e-12, atol=1e-13)).ys[0]  # fmt: skip
    solver = dm.DiscreteGradient(kind=kind)
    solve = eqx.filter_jit(lambda h: dfx.diffeqsolve(flow.terms(), solver, 0.0, 1.0, h, x, max_steps=70).ys[0])
    errors = [float(jnp.linalg.norm(solve(jnp.asarray(1.0 / n)) - exact)) for n in steps]
    assert fitted(steps, errors)[0] == pytest.approx(order, abs=0.15)


def test_a_discrete_gradient_of_ones_own_terms():
    """Terms that are not ours, with their energy and preconditioner given."""
    x, M = jnp.asarray([0.4, -0.8, 1.7]), jnp.asarray([1.0, 2.0, 0.5])
    own = dfx.ODETerm(lambda t, y, args: -M * jax.grad(double_well, argnums=1)(t, y))
    flow = dm.GradientFlow(double_well, M)
    step = lambda solver, terms: solver.step(terms, 0.0, 0.3, x, None, None, False)[0]  # noqa: E731
    np.testing.assert_allclose(step(dm.DiscreteGradient(flow), own), step(dm.DiscreteGradient(), flow.terms()))
    with pytest.raises(InputError, match="flow=None"):
        step(dm.DiscreteGradient(), own)


def test_an_equation_that_is_not_solved_is_told():
    solver = dm.DiscreteGradient(most=1)
    found = dfx.diffeqsolve(dm.GradientFlow(double_well).terms(), solver, 0.0, 9.0, 3.0, jnp.ones(3) * 2, throw=False)
    assert not dfx.is_okay(found.result)


# ------------------------------------------------------------------- the margin of D12


@pytest.mark.parametrize("example", COUNTEREXAMPLES[:4:3] + COUNTEREXAMPLES[-2:], ids=lambda one: one.name)
def test_the_margin_mends_each_counterexample(example):
    case, path = (example.weight, example.start, example.noise, example.ratio), two_patterns(example.weight)
    before = changes(example.solver, [case], steps=example.steps)
    after = changes(dm.Stabilised(example.solver, path), [case], steps=example.steps)
    assert before.max() > 1e-4
    assert after.max() < 1e-9


def two_patterns(weight):
    return dm.DiffusionPath(dm.VE(), dm.Empirical(jnp.asarray([[0.0], [1.0]]), jnp.asarray([1 - weight, weight])))


@eqx.filter_jit
def sampled(solver, path, states, lams):
    def solve(y):
        how = {"stepsize_controller": dfx.StepTo(lams), "max_steps": len(lams)}
        return dfx.diffeqsolve(dm.ProbabilityFlow(path).terms(), solver, lams[0], lams[-1], None, y, **how).ys[0]

    return jax.vmap(solve)(states)


def test_a_sampler_that_is_safe_anyway_is_not_changed():
    path = dm.DiffusionPath(dm.VP(), dm.Empirical(XI))
    states, lams = 5 * jr.normal(jr.key(0), (20, 3)), -jnp.log(dm.karras_grid(5.0, 0.05, 12))
    for solver in (dm.DDIM(), dm.DPMSolver2S()):
        plain, held = (sampled(one, path, states, lams) for one in (solver, dm.Stabilised(solver)))
        np.testing.assert_allclose(held, plain, rtol=1e-12, atol=1e-12)


def test_euler_beyond_its_limit_is_held():
    """Euler in lam rises for steps above 2 (D7); held, it does not, and a solver that reuses its last stage is told."""
    path = dm.DiffusionPath(dm.VE(), dm.Empirical(XI))
    flow, states = dm.ProbabilityFlow(path), 5 * jr.normal(jr.key(0), (20, 3))
    energy = dm.FreeEnergy(path)
    how = {"t0": -2.0, "t1": 4.0, "dt0": 2.4}
    for solver in (dfx.Euler(), dfx.Bosh3()):
        dt0 = {"Euler": 2.4, "Bosh3": 3.0}[type(solver).__name__]
        how["dt0"] = dt0
        assert dm.check(energy, flow, states, solver=solver, **how).status == "broken"
        assert dm.check(energy, flow, states, solver=dm.Stabilised(solver), **how).status == "holds"


def test_what_the_margin_refuses():
    path, y = dm.DiffusionPath(dm.VP(), dm.Empirical(XI)), jnp.ones(3)
    with pytest.raises(InputError, match="path=None"):
        dm.Stabilised(dfx.Euler()).step(dfx.ODETerm(lambda t, y, args: -y), 0.0, 0.1, y, None, (None, False), False)
    terms = dm.ProbabilityFlow(path, clock="tau").terms()
    with pytest.raises(InputError, match="clock='tau'"):
        dm.Stabilised(dfx.Euler()).step(terms, 0.1, 0.2, y, None, (None, False), False)


# ----------------------------------------------------------------------- the controller


def energies(controller, energy, flow, states, t1, dt0=None, solver=None, limit=400):
    """Energies at all steps (B, n), and Diffrax's statistics."""

    def one(x):
        return dfx.diffeqsolve(
            flow.terms(), solver or dfx.Heun(), 0.0, t1, dt0, x, stepsize_controller=controller, max_steps=limit,
            saveat=dfx.SaveAt(t0=True, steps=True), throw=False,
        )  # fmt: skip

    found = eqx.filter_jit(jax.vmap(one))(states)
    index = jnp.minimum(jnp.arange(found.ys.shape[1])[None], found.stats["num_accepted_steps"][:, None])
    ys = jnp.take_along_axis(found.ys, index[..., None], axis=1)
    return np.asarray(jax.vmap(jax.vmap(lambda x: energy(0.0, x)))(ys)), found


@pytest.mark.parametrize("inner", ["constant", "grid", "pid"])
def test_the_controller_lets_no_step_raise_the_energy(inner):
    energy, states = dm.LogSumExp(XI, 20.0), 3 * jr.normal(jr.key(0), (30, 3))
    flow = dm.GradientFlow(energy)
    controllers = {
        "constant": (dfx.ConstantStepSize(), 2.5), "grid": (dfx.StepTo(jnp.linspace(0.0, 10.0, 5)), None),
        "pid": (dfx.PIDController(rtol=30.0, atol=30.0), 2.6),
    }  # fmt: skip
    controller, dt0 = controllers[inner]
    free, _ = energies(controller, energy, flow, states, 10.0, dt0)
    held, found = energies(dm.LyapunovController(controller, energy), energy, flow, states, 10.0, dt0)
    assert np.diff(free, axis=1).max() > 1e-3
    assert np.diff(held, axis=1).max() < 1e-12
    assert np.all(np.asarray(found.stats["num_rejected_steps"]).sum() > 0)
    if inner == "grid":  # it comes back to each time of the grid
        ts = np.asarray(found.ts)
        assert all(np.isclose(ts, node).any(axis=1).all() for node in np.linspace(0.0, 10.0, 5))
    assert bool(jnp.all(dfx.is_okay(found.result)))


def test_the_controller_costs_nothing_where_nothing_rises():
    energy, states = dm.LogSumExp(XI, 2.0), jr.normal(jr.key(0), (10, 3))
    flow, pid = dm.GradientFlow(energy), dfx.PIDController(rtol=1e-5, atol=1e-8)
    _, plain = energies(pid, energy, flow, states, 5.0)
    _, held = energies(dm.LyapunovController(pid, energy), energy, flow, states, 5.0)
    np.testing.assert_array_equal(np.asarray(held.stats["num_steps"]), np.asarray(plain.stats["num_steps"]))
    np.testing.assert_array_equal(np.asarray(held.ys), np.asarray(plain.ys))


@pytest.mark.parametrize("rtol", [1e-2, pytest.param(1e-1, marks=pytest.mark.long)])
def test_a_step_that_the_wrapped_controller_rejects_is_its_own_affair(rtol):
    """Candidates that rise, and that the error estimate rejects anyway, are tried again as without the energy."""
    energy, states = dm.LogSumExp(XI, 16.0), jr.normal(jr.key(5), (60, 3))
    flow, pid = dm.GradientFlow(energy), dfx.PIDController(rtol=rtol, atol=1e-3 * rtol)
    plain, one = energies(pid, energy, flow, states, 8.0, solver=dfx.Bosh3())
    held, other = energies(dm.LyapunovController(pid, energy), energy, flow, states, 8.0, solver=dfx.Bosh3())
    fell = np.all(np.diff(plain, axis=1) < 1e-12, axis=1)
    assert fell.any()
    assert np.asarray(one.stats["num_rejected_steps"])[fell].sum() > 0
    for name in ("num_steps", "num_rejected_steps"):
        np.testing.assert_array_equal(np.asarray(other.stats[name])[fell], np.asarray(one.stats[name])[fell])
    assert np.diff(held, axis=1).max() < 1e-12


def test_a_candidate_that_is_infinite_is_tried_again():
    """Its error is no number, so that the wrapped controller has no next time."""
    energy = lambda t, x: jnp.sum(jnp.cosh(50 * x))  # noqa: E731
    flow, pid = dm.GradientFlow(energy), dfx.PIDController(rtol=1e-3, atol=1e-6)
    controller = dm.LyapunovController(pid, energy, smallest=1e-60)
    values, found = energies(controller, energy, flow, jnp.ones((1, 2)), 0.05, 0.05, limit=1000)
    assert np.isfinite(values).all()
    assert np.diff(values, axis=1).max() < 1e-12
    assert bool(jnp.all(dfx.is_okay(found.result)))


def test_a_flow_that_climbs_ends_the_solve():
    climb = dm.GradientFlow(lambda t, x: -(x @ x))
    controller = dm.LyapunovController(dfx.ConstantStepSize(), lambda t, x: x @ x)
    _, found = energies(controller, lambda t, x: x @ x, climb, jnp.ones((1, 3)), 1.0, 0.1)
    assert bool(jnp.all(found.result == dfx.RESULTS.dt_min_reached))


def test_the_controller_has_derivatives_and_dense_output():
    energy = dm.LogSumExp(XI, 20.0)

    def end(x):
        return dfx.diffeqsolve(
            dm.GradientFlow(energy).terms(), dfx.Tsit5(), 0.0, 3.0, None, x, max_steps=128,
            saveat=dfx.SaveAt(ts=[1.0, 3.0]),
            stepsize_controller=dm.LyapunovController(dfx.PIDController(rtol=1e-6, atol=1e-9), energy),
        ).ys[-1]  # fmt: skip

    x = jnp.asarray([0.7, 0.4, 0.2])
    slope = jax.jit(jax.jacrev(end))(x)
    for k in range(3):
        h = 1e-4 * jnp.eye(3)[k]
        np.testing.assert_allclose(slope[:, k], (end(x + h) - end(x - h)) / 2e-4, rtol=1e-2, atol=1e-5)


def test_what_the_controller_refuses():
    with pytest.raises(InputError, match="tolerance"):
        dm.LyapunovController(dfx.ConstantStepSize(), double_well, tolerance=-1.0)
    vector = dm.LyapunovController(dfx.ConstantStepSize(), lambda t, x: x)
    with pytest.raises(InputError, match=r"values of shape \(3,\)"):
        energies(vector, lambda t, x: x @ x, dm.GradientFlow(double_well), jnp.ones((1, 3)), 1.0, 0.1)


@pytest.mark.long
def test_the_controller_keeps_an_sde_below_its_level():
    """Coarse steps of the reverse SDE go beyond ``V(start)/error``; with the controller none does (Ville's level)."""
    path = dm.DiffusionPath(dm.VE(), dm.Empirical(XI))
    flow, energy, grid = dm.ReverseSDE(path), dm.FreeEnergy(path, 1.0), dfx.StepTo(jnp.linspace(0.0, 6.0, 4))
    ys, keys = jr.normal(jr.key(0), (30, 3)), jr.split(jr.key(1), 30)
    above = {}
    for name, controller in (("free", grid), ("held", dm.LyapunovController(grid, energy, error=0.3))):
        how = {"max_steps": 400, "shared": True}
        run = solve(flow, ys, (0.0, 6.0), dfx.Heun(), controller, None, keys, **how)
        found = rises_of(energy, run.ts, run.xs, run.count)
        level = found.values[:, :1] / 0.3
        above[name] = (found.values - level).max()
    assert above["free"] > 1e-3
    assert above["held"] < 1e-9
