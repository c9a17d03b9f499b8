"""More solvers that cannot raise an energy: limited samplers, convex splittings, proximal and relaxed steps."""

import dataclasses

import diffrax as dfx
import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import optimistix as optx
import pytest

import dynamem as dm
from dynamem._errors import InputError
from dynamem.comparison import COUNTEREXAMPLES, Method, compare, fitted
from dynamem.lyapunov import rounding_bound
from tests.test_comparison import clouds
from tests.test_sampler_facts import changes
from tests.test_stable_solvers import XI, double_well


SKEWED = jnp.asarray([[2.0, 0.5, 0.0], [-0.2, 1.0, 0.2], [0.0, 0.2, 5.0]])
SPREAD = jnp.asarray([[2.0, 0.5, 0.0], [0.5, 1.0, 0.2], [0.0, 0.2, 5.0]])
MEMORY = dm.LogSumExp(XI, 2.0)


def quartic(t, x):
    """Convex, and so is what is left of `double_well` (the coupling's curvature is at most 0.3)."""
    return jnp.sum(x**4) / 4 + 0.5 * (x @ x)


# ------------------------------------------------------- limited multistep samplers


LIMITED = {"2M": dm.DPMSolver2M(limited=True), "AB2": dm.ExponentialAB(2, limited=True),
           "AB4": dm.ExponentialAB(4, limited=True)}  # fmt: skip
FREE = {"2M": dm.DPMSolver2M(), "AB2": dm.ExponentialAB(2), "AB4": dm.ExponentialAB(4)}


@eqx.filter_jit
def free_energies(solver, xi, u, y, lams):
    """V (B, n) along the grid lams (B, n) of mixtures xi (B, N, D), u (B, N) from states y (B, D)."""

    def one(xi, u, y, lams):
        path = dm.DiffusionPath(dm.VE(), dm.Empirical(xi, u))
        terms, energy = dm.ProbabilityFlow(path).terms(), dm.FreeEnergy(path)

        def step(carry, span):
            y, memory = carry
            y, _, _, memory, _ = solver.step(terms, *span, y, None, memory, False)
            return (y, memory), energy(span[1], y)

        start = (y, solver.init(terms, lams[0], lams[1], y, None))
        return jnp.append(energy(lams[0], y), jax.lax.scan(step, start, (lams[:-1], lams[1:]))[1])

    return jax.vmap(one)(xi, u, y, lams)


def mixtures(seed, count, steps=5):
    """Random patterns, weights, states around them and grids, whose steps lie over three decades."""
    keys = jr.split(jr.key(seed), 5)
    xi = jr.normal(keys[0], (count, 3, 2))
    u = jax.nn.softmax(2 * jr.normal(keys[1], (count, 3)))
    start = jr.uniform(keys[2], (count, 1), minval=-2.0, maxval=2.0)
    hs = 10.0 ** jr.uniform(keys[3], (count, steps), minval=-2.0, maxval=1.0)
    lams = start + jnp.concatenate([jnp.zeros((count, 1)), jnp.cumsum(jnp.minimum(hs, 3.0), axis=1)], axis=1)
    middle = 0.5 * (xi[:, 0] + xi[:, 1])
    return xi, u, middle + jnp.exp(-start) * jr.normal(keys[4], (count, 2)), lams


def rises(solver, drawn):
    """The largest rise of V of each draw, in units of its size."""
    values = np.asarray(free_energies(solver, *drawn))
    assert np.all(np.isfinite(values))
    return np.max(np.diff(values, axis=1) / (1 + np.abs(values[:, :-1])), axis=1)


@pytest.mark.parametrize("name", ["2M", *(pytest.param(one, marks=pytest.mark.long) for one in ("AB2", "AB4"))])
def test_a_limited_sampler_never_raises_the_free_energy(name):
    """D12 on any grid; the twin without a limit rises on many of the same draws."""
    drawn = mixtures(0, 10_000)
    assert rises(LIMITED[name], drawn).max() < 1e-12
    assert np.mean(rises(FREE[name], drawn) > 1e-6) > 0.01


@pytest.mark.long
@pytest.mark.parametrize("name", list(LIMITED))
def test_many_grids_of_limited_samplers(name):
    for seed in range(1, 11):
        assert rises(LIMITED[name], mixtures(seed, 10_000)).max() < 1e-12


MULTISTEP = [one for one in COUNTEREXAMPLES if isinstance(one.solver, dm.DPMSolver2M | dm.ExponentialAB)]


@pytest.mark.long
@pytest.mark.parametrize("example", MULTISTEP, ids=lambda one: f"{one.name} {one.weight} {one.ratio}")
def test_the_limit_mends_each_counterexample_of_its_sampler(example):
    held = dataclasses.replace(example.solver, limited=True)
    case = (example.weight, example.start, example.noise, example.ratio)
    assert changes(example.solver, [case], steps=example.steps).max() > 1e-6
    assert changes(held, [case], steps=example.steps).max() < 1e-9


@pytest.mark.long
def test_a_limited_sampler_keeps_its_order():
    methods = [Method(one, (128, 192, 256, 384), name=name) for name, one in LIMITED.items() if name != "AB4"]
    found = compare(clouds(1e3, 8, dm.ProbabilityFlow), methods, limits=False).orders
    assert {one.method: one.order for one in found} == {"2M": pytest.approx(2, abs=0.15),
                                                        "AB2": pytest.approx(2, abs=0.15)}  # fmt: skip


# ------------------------------------------------------------ DDIM is exponential Euler


def test_ddim_is_the_exponential_euler_step():
    """``dy/dlam = m - y`` with m frozen, solved exactly (D7); and the first step of all ExponentialAB."""
    path = dm.DiffusionPath(dm.VE(), dm.Empirical(XI))
    terms, y, lam, h = dm.ProbabilityFlow(path).terms(), jnp.asarray([0.4, -0.7, 1.1]), 0.3, 0.9
    step = lambda solver: solver.step(terms, lam, lam + h, y, None, solver.init(terms, lam, lam + h, y, None), False)[0]  # noqa: E731
    mean = path.law.denoise(y, jnp.exp(-lam))
    made = step(dm.DDIM())
    np.testing.assert_allclose(made, mean + np.exp(-h) * (y - mean), rtol=1e-12, atol=1e-13)
    for k in (2, 3, 4):  # of which nothing but one denoiser is known yet
        np.testing.assert_allclose(step(dm.ExponentialAB(k)), made, rtol=1e-12, atol=1e-13)
    assert np.abs(step(dfx.Euler()) - made).max() > 1e-2


# ------------------------------------------------- convex splittings, proximal, relaxed


class Solver(eqx.Module):
    """A solver, the energy that it must not raise, its preconditioner, and the curvature part A it takes implicitly."""

    build: dfx.AbstractSolver
    energy: object = eqx.field(static=True)
    matrix: jax.Array | None = None
    convex: object = eqx.field(default=None, static=True)


def bowl(t, x):
    return 0.5 * (x @ x)


def zero(t, x):
    return 0.0 * (x @ x)


def exponential(t, x):
    return dm.DenseMemory(XI, "exp")(t, x)


def memory(t, x):
    return MEMORY(t, x)


CASES = {
    "splitting, closed": Solver(dm.ConvexSplitting(1.0), memory, None, bowl),
    "splitting, number": Solver(dm.ConvexSplitting(1.0), memory, SPREAD, bowl),
    "splitting, skewed": Solver(dm.ConvexSplitting(1.0), memory, SKEWED, bowl),
    "splitting, function": Solver(dm.ConvexSplitting(quartic), double_well, SPREAD, quartic),
    "splitting, concave": Solver(dm.ConvexSplitting(0.0), exponential, None, zero),
    "proximal": Solver(dm.Proximal(), double_well),
    "proximal, spread": Solver(dm.Proximal(), memory, SPREAD),
    "relaxed Heun": Solver(dm.Relaxed(dfx.Heun()), memory),
    "relaxed Ralston": Solver(dm.Relaxed(dfx.Ralston()), double_well, SKEWED),
    "relaxed Bosh3": Solver(dm.Relaxed(dfx.Bosh3()), double_well),
}
SHORT = ("splitting, closed", "splitting, function", "proximal", "relaxed Heun", "relaxed Bosh3")


@eqx.filter_jit
def stepped(case, xs, hs):
    """Energy before and after (B,), what a residual may add, the rounding of all that, and whether it was solved."""
    flow = dm.GradientFlow(case.energy, case.matrix)
    terms, energy = flow.terms(), lambda z: case.energy(0.0, z)
    M = jnp.eye(3) if case.matrix is None else case.matrix

    def one(x, h):
        t = 0.0 * h
        state = case.build.init(terms, t, h, x, None)
        y, _, _, _, result = case.build.step(terms, t, h, x, None, state, False)
        before, after = energy(x), energy(y)
        extra, size = jnp.zeros(()), jnp.abs(before) + jnp.abs(after) + 1
        if case.convex is not None:
            A = jax.grad(case.convex, argnums=1)
            force = A(t, y) - A(t, x) + jax.grad(energy)(x)
            residual = y - x + h * (M @ force)
            extra = (y - x) @ jnp.linalg.solve(M, residual) / h
            size = size + jnp.abs(force) @ (jnp.abs(x) + jnp.abs(y))
        if isinstance(case.build, dm.Proximal):  # and the stronger law of the minimum
            extra = -0.5 * (y - x) @ jnp.linalg.solve(M, y - x) / h
        return before, after, extra, rounding_bound(size), dfx.is_okay(result)

    return jax.vmap(one)(xs, hs)


def broken(case, seed, count):
    """Draws that rise beyond what the residual allows, and the steps with whether each was solved."""
    keys = jr.split(jr.key(seed))
    xs, hs = 2 * jr.normal(keys[0], (count, 3)), 10.0 ** jr.uniform(keys[1], (count,), minval=-3, maxval=3)
    before, after, extra, rounding, solved = map(np.asarray, stepped(case, xs, hs))
    allowed = extra if isinstance(case.build, dm.Proximal) else np.maximum(extra, 0)
    return solved & ~(after - before <= allowed + rounding), np.asarray(hs), solved


@pytest.mark.parametrize("name", [pytest.param(n, marks=() if n in SHORT else pytest.mark.long) for n in CASES])
def test_no_step_raises_the_energy(name):
    """Steps over six decades; those whose equation is not solved say so, and short ones are solved."""
    bad, hs, solved = broken(CASES[name], 0, 2_000)
    assert not bad.any()
    assert np.all(solved[hs < 0.01])
    assert np.mean(solved) > (0.3 if name.startswith("relaxed") else 0.85)


@pytest.mark.long
@pytest.mark.parametrize("name", list(CASES))
def test_no_step_of_many_raises_the_energy(name):
    """10^5 draws in all."""
    for seed in range(1, 3):
        assert not broken(CASES[name], seed, 5_000)[0].any()


@pytest.mark.parametrize("name", ["Heun", pytest.param("Euler", marks=pytest.mark.long), "too little is implicit"])
def test_steps_that_are_not_held_are_caught(name):
    """The twins: the same draws, without relaxation; and a part A of too little curvature, whose B is not convex."""
    twins = {
        "Heun": Solver(dfx.Heun(), memory), "Euler": Solver(dfx.Euler(), memory),
        "too little is implicit": Solver(dm.ConvexSplitting(0.3), memory, None, bowl),
    }  # fmt: skip
    keys = jr.split(jr.key(0))
    xs, hs = 2 * jr.normal(keys[0], (500, 3)), 10.0 ** jr.uniform(keys[1], (500,), minval=-3, maxval=3)
    before, after, *_ = map(np.asarray, stepped(twins[name], xs, hs))
    assert np.max(after - before) > 1e-3


ORDERS = {
    "splitting": (dm.ConvexSplitting(quartic), 1),
    "proximal": (dm.Proximal(minimiser=optx.BFGS(rtol=1e-10, atol=1e-12)), 1),
    "relaxed Ralston": (dm.Relaxed(dfx.Ralston()), 1), "relaxed Bosh3": (dm.Relaxed(dfx.Bosh3()), 2),
}  # fmt: skip


@pytest.mark.long
@pytest.mark.parametrize("name", list(ORDERS))
def test_orders(name):
    """Relaxed steps that end at Diffrax's time lose one order, and say so."""
    solver, order = ORDERS[name]
    flow, x, steps = dm.GradientFlow(double_well), jnp.asarray([0.4, -0.8, 1.7]), (32, 64, 128, 256)
    exact = dfx.diffeqsolve(flow.terms(), dfx.Dopri8(), 0.0, 1.0, None, x, max_steps=4096,
                            stepsize_controller=dfx.PIDController(rtol=1e-12, atol=1e-13)).ys[0]  # fmt: skip
    solve = eqx.filter_jit(lambda h: dfx.diffeqsolve(flow.terms(), solver, 0.0, 1.0, h, x, max_steps=300).ys[0])
    errors = [float(jnp.linalg.norm(solve(jnp.asarray(1.0 / n)) - exact)) for n in steps]
    assert fitted(steps, errors)[0] == pytest.approx(order, abs=0.15)
    assert solver.order(flow.terms()) == order


def one_step(solver, terms, x, h):
    return solver.step(terms, 0.0, h, x, None, solver.init(terms, 0.0, h, x, None), False)[0]


def test_the_limit_of_the_splitting_is_the_update_of_the_memory():
    """A5: as h -> inf the step is the concave-convex procedure, which is softmax attention."""
    x, terms = jnp.asarray([0.4, -0.7, 1.1]), dm.GradientFlow(MEMORY).terms()
    recalled = XI.T @ jax.nn.softmax(2.0 * (XI @ x) - 1.0 * jnp.sum(XI**2, axis=1))
    for solver in (dm.ConvexSplitting(), dm.ConvexSplitting(bowl)):
        np.testing.assert_allclose(one_step(solver, terms, x, 1e12), recalled, rtol=1e-9, atol=1e-10)
    np.testing.assert_allclose(MEMORY.update(x), recalled, rtol=1e-12)


def test_a_number_is_explicit_euler_of_a_shorter_step():
    x, h, L = jnp.asarray([0.4, -0.7, 1.1]), 0.7, 3.0
    flow = dm.GradientFlow(double_well)
    found = one_step(dm.ConvexSplitting(L), flow.terms(), x, h)
    np.testing.assert_allclose(found, x + h / (1 + L * h) * flow.drift(0.0, x, None), rtol=1e-12)
    whole = lambda t, y: 0.5 * L * (y @ y)  # noqa: E731
    np.testing.assert_allclose(one_step(dm.ConvexSplitting(whole), flow.terms(), x, h), found, rtol=1e-8)


@pytest.mark.long
@pytest.mark.parametrize(
    "energy",
    [dm.FenchelYoung(XI, 2.0, 1.5), dm.FenchelYoung(XI, 2.0, norm_bias=True), dm.LogSumExp(XI, 2.0, norm_bias=False),
     dm.DenseMemory(XI, "power", 4), dm.DenseMemory(XI, "rectified", 3)],
)  # fmt: skip
def test_splittings_that_are_known(energy):
    """``A - E`` is convex: along random chords."""
    L = {"DenseMemory": 0.0}.get(type(energy).__name__, 1.0)
    rest = jax.vmap(lambda x: 0.5 * L * (x @ x) - energy(0.0, x))
    a, b = jr.normal(jr.key(0), (2, 500, 3))
    chord = 0.5 * (rest(a) + rest(b))
    assert np.all(np.asarray(rest(0.5 * (a + b)) <= chord + 1e-12 * (1 + jnp.abs(chord))))
    x = jnp.asarray([0.4, -0.7, 1.1])
    terms = dm.GradientFlow(energy).terms()
    np.testing.assert_allclose(one_step(dm.ConvexSplitting(), terms, x, 2.0),
                               one_step(dm.ConvexSplitting(L), terms, x, 2.0))  # fmt: skip


@pytest.mark.long
def test_a_proximal_step_is_implicit_euler():
    x, flow = jnp.asarray([0.4, -0.8, 1.7]), dm.GradientFlow(double_well, SPREAD)
    y = one_step(dm.Proximal(minimiser=optx.BFGS(rtol=1e-12, atol=1e-13)), flow.terms(), x, 0.2)
    np.testing.assert_allclose(y, x + 0.2 * flow.drift(0.2, y, None), rtol=1e-7, atol=1e-8)


def test_relaxation_conserves_what_the_flow_conserves():
    """Ketcheson's example: on a circle ``|x|^2`` is kept up to rounding, and Heun's alone grows."""
    turn = dfx.ODETerm(lambda t, x, args: jnp.stack([-x[1], x[0]]))
    square = lambda t, x: x @ x  # noqa: E731
    how = {"t0": 0.0, "t1": 10.0, "dt0": 0.1, "y0": jnp.asarray([1.0, 0.0]), "max_steps": 101}
    free, held = (dfx.diffeqsolve(turn, one, **how).ys[0] for one in (dfx.Heun(), dm.Relaxed(dfx.Heun(), square)))
    assert abs(float(square(0, free)) - 1) > 1e-3
    assert abs(float(square(0, held)) - 1) < 1e-11


def test_ones_own_terms():
    """Terms that are not ours, with their energy and preconditioner given."""
    x, M = jnp.asarray([0.4, -0.8, 1.7]), jnp.asarray([1.0, 2.0, 0.5])
    own = dfx.ODETerm(lambda t, y, args: -M * jax.grad(double_well, argnums=1)(t, y))
    flow = dm.GradientFlow(double_well, M)
    pairs = {
        "splitting": (dm.ConvexSplitting(quartic), dm.ConvexSplitting(quartic, flow)),
        "proximal": (dm.Proximal(), dm.Proximal(flow)),
        "relaxed": (dm.Relaxed(dfx.Bosh3()), dm.Relaxed(dfx.Bosh3(), double_well)),
    }
    for bare, given in pairs.values():
        np.testing.assert_allclose(one_step(given, own, x, 0.3), one_step(bare, flow.terms(), x, 0.3))
        with pytest.raises(InputError, match="the terms are not those of a GradientFlow"):
            one_step(bare, own, x, 0.3)


@pytest.mark.parametrize(
    ("solver", "energy", "h"),
    [(dm.ConvexSplitting(quartic, most=1), double_well, 3.0), (dm.Proximal(most=1), double_well, 3.0),
     (dm.Relaxed(dfx.Heun(), most=1), double_well, 0.1), (dm.Relaxed(dfx.Bosh3()), double_well, 50.0),
     (dm.Relaxed(dfx.Heun()), lambda t, x: -(x @ x) ** 2 + jnp.nan, 0.1)],
    ids=["splitting", "proximal", "relaxed", "relaxed, too long", "relaxed, NaN"],
)  # fmt: skip
def test_what_is_not_solved_is_told(solver, energy, h):
    found = dfx.diffeqsolve(dm.GradientFlow(energy).terms(), solver, 0.0, 2 * h, h, 2 * jnp.ones(3), throw=False)
    assert not dfx.is_okay(found.result)


@pytest.mark.long
def test_a_step_that_fails_is_rejected_and_shortened():
    """With an adaptive controller the solve goes on from where it was."""
    how = {"t0": 0.0, "t1": 5.0, "dt0": 3.0, "y0": 2 * jnp.ones(3), "max_steps": 5_000,
           "stepsize_controller": dfx.PIDController(rtol=1e-3, atol=1e-4)}  # fmt: skip
    for solver in (dm.Relaxed(dfx.Bosh3()), dm.Proximal()):
        found = dfx.diffeqsolve(dm.GradientFlow(double_well).terms(), solver, **how)
        assert dfx.is_okay(found.result)
        assert int(found.stats["num_rejected_steps"]) > 0


def test_what_is_refused():
    with pytest.raises(InputError, match="Tsit5 has the weight -"):
        dm.Relaxed(dfx.Tsit5())
    with pytest.raises(InputError, match="explicit Runge-Kutta"):
        dm.Relaxed(dfx.Kvaerno3())
    with pytest.raises(InputError, match="convex"):
        dm.ConvexSplitting(-1.0)
    with pytest.raises(InputError, match="no splitting of Hopfield is known"):
        one_step(dm.ConvexSplitting(), dm.GradientFlow(dm.Hopfield(jnp.eye(3), jnp.zeros(3))).terms(), XI[0], 0.1)
    with pytest.raises(InputError, match="no splitting of DenseMemory is known"):  # odd powers are not convex
        one_step(dm.ConvexSplitting(), dm.GradientFlow(dm.DenseMemory(XI, "power", 3)).terms(), XI[0], 0.1)
