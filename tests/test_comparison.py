"""Comparisons against known answers: safe steps, orders, counted calls, and rows of solvers that fail."""

import diffrax as dfx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import optimistix as optx
import pytest
import scipy.integrate

import dynamem as dm
from dynamem.comparison import Method, Problem, compare, fitted, largest_safe_step
from dynamem.comparison._compare import _theory
from dynamem.comparison._solving import asked, solved
from tests.comparison_cases import decay, geometric, line


# Real ends of stability intervals: |1 + z + z^2/2 + ...| = 1. Order 3 with 3 stages: 2.5127 (Hairer & Wanner, Solving
# ODEs II, IV.2); the others are those of their own stability polynomials, recomputed in `test_real_ends`.
ENDS = {"Euler": 2.0, "Heun": 2.0, "Midpoint": 2.0, "Ralston": 2.0, "Bosh3": 2.5127, "Dopri5": 3.3066,
        "Tsit5": 3.5068, "Dopri8": 5.1666}  # fmt: skip
QUICK = ("Euler", "Bosh3", "Dopri8")


@pytest.mark.parametrize("name", [pytest.param(n, marks=() if n in QUICK else pytest.mark.long) for n in ENDS])
def test_safe_steps_end_where_the_stability_interval_does(name):
    rate, x = 4.0, jnp.asarray([[1.0]])
    f = line(rate)
    found = largest_safe_step(f.energy, dfx.ODETerm(f.drift), getattr(dfx, name)(), x)
    assert found.safe < found.unsafe < found.safe * (1 + 1e-4)
    assert rate * found.safe == pytest.approx(ENDS[name], rel=1e-4)
    # The witness replays.
    assert found.witness is not None
    h, x0 = found.witness["step"], jnp.asarray(found.witness["state"])
    run = dfx.diffeqsolve(dfx.ODETerm(f.drift), getattr(dfx, name)(), 0.0, h, h, x0)
    assert run.ys is not None
    assert float(f.energy(h, run.ys[0])) > float(f.energy(0.0, x0))


def test_real_ends():
    """The table again, from the Butcher tableaus: R(z) = 1 + z b (I - z A)^-1 1 leaves [-1, 1]."""
    for name, end in ENDS.items():
        if name == "Euler":  # has no tableau: R(z) = 1 + z
            continue
        tableau = getattr(dfx, name).tableau
        stages = tableau.num_stages
        A, b = np.zeros((stages, stages)), np.asarray(tableau.b_sol)
        for i, row in enumerate(tableau.a_lower):
            A[i + 1, : i + 1] = row

        def grows(z, A=A, b=b):
            return abs(1 - z * b @ np.linalg.solve(np.eye(len(b)) + z * A, np.ones(len(b)))) > 1

        assert not any(grows(z) for z in np.linspace(1e-2, end - 1e-3, 400)), name
        assert grows(end + 1e-3), name


def test_no_step_is_safe_uphill():
    f = line(-1.0)
    found = largest_safe_step(f.energy, dfx.ODETerm(f.drift), dfx.Euler(), jnp.asarray([[1.0]]))
    assert found.safe < 1e-12  # what rounding hides
    assert found.witness is not None


@pytest.mark.parametrize("beta", [0.5, 8.0, 200.0])
def test_a_modern_hopfield_network_is_safe_up_to_two(beta):
    """THEORY A5 for every beta; with one pattern E = |x - xi|^2/2 + const, whose limit is 2/L = 2 exactly."""
    xi = jr.normal(jr.key(0), (6, 4))
    x = 2 * jr.normal(jr.key(1), (32, 4))
    several = dm.LogSumExp(xi, beta)
    assert largest_safe_step(several, dm.GradientFlow(several), dfx.Euler(), x, high=1.999).unsafe == np.inf
    one = dm.LogSumExp(xi[:1], beta)
    found = largest_safe_step(one, dm.GradientFlow(one), dfx.Euler(), x)
    assert found.safe == pytest.approx(2.0, rel=1e-4)


@pytest.mark.parametrize(("a", "s"), [(2.0, 1.0), (3.0, 2.0)])
def test_euler_maruyama_in_mean(a, s):
    """E x^2 of a step is x^2 ((1 - a h)^2 + s^2 h), not above x^2 for h <= (2a - s^2)/a^2."""
    ask = geometric(a, s)
    found = largest_safe_step(ask.energies["own"], ask.flow, dfx.Euler(), ask.states)
    assert found.safe == pytest.approx((2 * a - s**2) / a**2, rel=1e-4)


NEWTON = optx.Newton(rtol=1e-10, atol=1e-12)
LOW, HIGH = (16, 32, 64, 128), (48, 64, 96, 128)
ORDERS = {
    "Euler": (dfx.Euler(), 1, LOW), "Heun": (dfx.Heun(), 2, LOW), "Bosh3": (dfx.Bosh3(), 3, LOW),
    "Midpoint": (dfx.Midpoint(), 2, LOW), "Ralston": (dfx.Ralston(), 2, LOW),
    "ImplicitEuler": (dfx.ImplicitEuler(root_finder=NEWTON), 1, LOW),
    "Kvaerno3": (dfx.Kvaerno3(root_finder=NEWTON), 3, LOW), "Kvaerno4": (dfx.Kvaerno4(root_finder=NEWTON), 4, HIGH),
    "Kvaerno5": (dfx.Kvaerno5(root_finder=NEWTON), 5, (16, 24, 32, 48)),
    "Dopri5": (dfx.Dopri5(), 5, (12, 16, 24, 32, 48)),
}  # fmt: skip
BRISK = ("Euler", "Bosh3")


def swing(t, x, args):
    """A damped pendulum, which is not linear."""
    return jnp.stack([x[1], -jnp.sin(x[0]) - 0.3 * x[1]])


def fit_of(problem, method, kind="ode"):
    found = compare(problem, [method], limits=False)
    return next(one for one in found.orders if one.kind == kind)


@pytest.mark.parametrize("name", [pytest.param(n, marks=() if n in BRISK else pytest.mark.long) for n in ORDERS])
def test_orders_of_solvers(name):
    """Orders from Diffrax's documentation."""
    solver, order, steps = ORDERS[name]
    x = jnp.asarray([[1.0, 0.5], [-0.7, 0.2]])
    problem = decay(flow=dfx.ODETerm(swing), states=x, t1=4.0, exact=None, energies={})
    fit = fit_of(problem, Method(solver, steps))
    assert fit.theory == order
    assert fit.order == pytest.approx(order, abs=0.15)
    assert fit.low < fit.order < fit.high


@pytest.mark.long
def test_order_of_tsit5():
    """Its leading error term is so small that the order shows only near rounding: states of 10^6, and short steps."""
    f, x = line(1.0), jnp.asarray([[1e6]])
    problem = decay(flow=dfx.ODETerm(f.drift), states=x, exact=np.asarray(x) * np.exp(-1.0), energies={})
    assert fit_of(problem, Method(dfx.Tsit5(), (32, 40, 48, 56, 64))).order == pytest.approx(5, abs=0.15)


def clouds(start, count, flow):
    """Three normal clouds, from noise of level ``start`` to 0.2."""
    means = jnp.asarray([[1.0, 0.0], [-0.5, 0.8], [-0.6, -0.7]])
    path = dm.DiffusionPath(dm.VP(), dm.GaussianMixture(means, jnp.full(3, 0.5), jnp.ones(3) / 3))
    x = start * jr.normal(jr.key(0), (count, 2))
    return Problem("clouds", flow(path), x, -float(np.log(start)), -float(np.log(0.2)), {})


@pytest.mark.long
def test_orders_of_samplers():
    """From noise so high that the posterior mean rests at first: a multistep sampler starts with a step of order 1."""
    samplers = {
        "DDIM": (dm.DDIM(), 1), "2M": (dm.DPMSolver2M(), 2), "2S": (dm.DPMSolver2S(), 2), "EDM": (dm.EDMHeun(), 2),
        "AB2": (dm.ExponentialAB(2), 2), "AB3": (dm.ExponentialAB(3), 3), "AB4": (dm.ExponentialAB(4), 4),
    }  # fmt: skip
    methods = [Method(one, (128, 192, 256, 384), name=name) for name, (one, _) in samplers.items()]
    found = {one.method: one for one in compare(clouds(1e3, 8, dm.ProbabilityFlow), methods, limits=False).orders}
    assert {name: one.theory for name, one in found.items()} == {name: order for name, (_, order) in samplers.items()}
    off = {name: one.order for name, one in found.items() if abs(one.order - samplers[name][1]) > 0.15}
    assert not off


@pytest.mark.long
def test_strong_orders_on_additive_noise():
    """Euler-Maruyama has strong order 1 where noise is additive (Kloeden & Platen, 10.3), and so have the samplers."""
    solvers = {
        "DDPM": dm.DDPM(), "ancestral": dm.EulerAncestral(), "2M SDE": dm.DPMSolverSDE(), "EM": dfx.Euler(),
        "Heun": dfx.Heun(),
    }  # fmt: skip
    methods = [Method(one, (16, 32, 64, 128), name=name, order=1.0) for name, one in solvers.items()]
    orders = compare(clouds(5.0, 128, lambda path: dm.ReverseSDE(path, 1.0)), methods, limits=False).orders
    found = {one.method: one.order for one in orders if one.kind == "strong"}
    assert set(found) == set(solvers)
    assert not {name: order for name, order in found.items() if abs(order - 1) > 0.2}


@pytest.mark.long
def test_strong_orders_of_stochastic_runge_kutta_methods():
    """1.5 where noise is additive (Roessler 2010; Foster, dos Reis & Strange 2023): a particle on a rough line."""
    solvers = {"SEA": (dfx.SEA(), 1.0), "SRA1": (dfx.SRA1(), 1.5), "ShARK": (dfx.ShARK(), 1.5)}
    methods = [Method(one, (16, 32, 64, 128), name=name, order=order) for name, (one, order) in solvers.items()]
    terms = dfx.MultiTerm(
        dfx.ODETerm(lambda t, x, args: jnp.sin(4 * x)),
        dfx.ControlTerm(lambda t, x, args: jnp.ones((1, 1)), dfx.VirtualBrownianTree(0, 1, 1e-3, (1,), jr.key(0))),
    )
    problem = Problem("rough", terms, jnp.zeros((512, 1)), 0.0, 1.0, {})
    orders = [one for one in compare(problem, methods, limits=False).orders if one.kind == "strong"]
    assert {one.method: one.theory for one in orders} == {name: order for name, (_, order) in solvers.items()}
    assert not {one.method: one.order for one in orders if abs(one.order - one.theory) > 0.2}


@pytest.mark.long
@pytest.mark.parametrize(("solver", "order"), [(dfx.Euler(), 0.5), (dfx.ItoMilstein(), 1.0)])
def test_strong_orders_on_geometric_brownian_motion(solver, order):
    """Kloeden & Platen, Theorems 10.2.2 and 10.3.5."""
    fit = fit_of(geometric(0.5, 0.7, 1024), Method(solver, (16, 32, 64, 128, 256), order=order), "strong")
    assert fit.theory == order
    assert fit.order == pytest.approx(order, abs=0.2)


@pytest.mark.long
@pytest.mark.parametrize("solver", [dfx.Euler(), dfx.ItoMilstein()])
def test_weak_orders_on_geometric_brownian_motion(solver):
    """Both have weak order 1 (Kloeden & Platen, 14.1); noise is so small that paths show the drift's order 1 too.

    So the narrow interval of Euler's strong order is not about its 1/2: these steps are too long to show that.
    """
    problem = geometric(2.0, 0.5, 4096)
    found = compare(problem, [Method(solver, (8, 12, 16, 24, 32))], limits=False).orders
    orders = {one.kind: one for one in found}
    assert orders["weak"].order == pytest.approx(1, abs=0.2)
    assert orders["strong"].order == pytest.approx(1, abs=0.2)
    assert orders["strong"].low > 0.5


def test_the_order_of_theory_depends_on_the_noise():
    """Euler's 1 is its order without noise; with it nothing is told unless the method says so."""
    noisy, plain = asked(geometric(0.5, 0.7), 0), asked(decay(), 0)
    assert _theory(plain, Method(dfx.Euler(), (8,))) == 1
    assert _theory(noisy, Method(dfx.Euler(), (8,))) is None
    assert _theory(noisy, Method(dfx.Euler(), (8,), order=0.5)) == 0.5
    assert _theory(plain, Method(dfx.ItoMilstein(), (8,))) is None


def test_an_order_is_that_of_vanishing_steps():
    """Slopes between the points go from 1.4 to 1.1, and lead to 1; four points are the fewest that say so."""
    n = (8, 16, 32, 64)
    order, low, high, points = fitted(n, [np.exp(6 / k) / k for k in n])
    assert (order, points) == (pytest.approx(1.0), 4)
    assert low <= order <= high
    assert fitted(n[:3], [1 / k for k in n[:3]]) is None


def test_a_ladder_that_keeps_to_no_curve_has_no_order():
    n = (8, 16, 32, 64)
    assert fitted(n, (1e-1, 1e-1, 1e-4, 1e-4)) is None
    assert fitted(n, (1e-8, 1e-9, 1e-10, 1e-11), floor=1e-10) is None
    assert fitted(n, (1e-8, 1e-9, 1e-10, np.nan)) is None


def test_orders_are_told_above_the_error_of_the_reference():
    """Errors of 64 steps and more are those of the reference, and would bend the line."""
    steps = (6, 8, 12, 16, 24, 64, 128, 256)
    found = compare(decay(exact=None), [Method(dfx.Dopri5(), steps)], limits=False)
    (setting,), (order,) = found.problems, found.orders
    floor, errors = 5 * setting.reference_error, [row.typical_error for row in found.rows]
    above = sum(error > floor for error in errors)
    assert 0 < setting.reference_error < 1e-9
    assert order.points <= above < len(steps)
    assert order.order == pytest.approx(5, abs=0.15)


@pytest.mark.parametrize("solver", [dfx.Heun(), dfx.Bosh3()])
def test_calls_that_are_known_are_those_that_are_counted(solver):
    """Bosh3 keeps its last stage (1 + 3 n calls), Heun does not (2 n)."""
    from_table = solved(asked(decay(), 0), Method(solver, (8,)), 8, None).evaluations
    calls = []

    def watched(t, x, args):
        jax.debug.callback(lambda: calls.append(1))
        return -x

    run = dfx.diffeqsolve(dfx.ODETerm(watched), solver, 0.0, 1.0, 0.125, jnp.ones(2))
    jax.block_until_ready(run.ys)
    jax.effects_barrier()
    assert from_table == len(calls)


def test_scipy_is_an_outside_reference():
    problem = decay()
    row = compare(problem, [Method("scipy:RK45", tolerances=(1e-6,))], limits=False).rows[0]
    runs = [
        scipy.integrate.solve_ivp(lambda t, x: -x, (0, 1), x, rtol=1e-6, atol=1e-9) for x in np.asarray(problem.states)
    ]
    assert row.evaluations == np.mean([run.nfev for run in runs])
    ends = np.stack([run.y[:, -1] for run in runs])
    assert row.error == pytest.approx(np.sqrt(np.mean((ends - problem.exact) ** 2)), rel=1e-6)


def test_a_solver_that_fails_is_a_row():
    f = line(1e300)
    steep = decay(flow=dfx.ODETerm(f.drift), exact=np.zeros((2, 2)))
    methods = [Method(dfx.Euler(), (8, 16)), Method(dfx.ItoMilstein(), (8,)), Method(dfx.ImplicitEuler(), (8,))]
    found = compare(steep, methods, limits=False)
    assert [row.status for row in found.rows] == ["failed"] * 4
    assert all(row.reason and row.error is None for row in found.rows)
    assert not found.orders


def test_methods_of_one_name_have_programs_of_their_own():
    told = []
    pair = [Method(dfx.Euler(), steps=(4, 8), name="one"), Method(dfx.Heun(), steps=(4, 8), name="one")]
    found = compare(decay(), pair, limits=False, progress=lambda *now: told.append(now))
    x0 = np.asarray(decay().states)
    factors = [1 - h + k * h**2 / 2 for k in (0, 1) for h in (0.25, 0.125)]
    for row, factor in zip(found.rows, factors, strict=True):
        assert row.error == pytest.approx(np.sqrt(np.mean(((factor**row.steps - np.exp(-1)) * x0) ** 2)), rel=1e-9)
    assert [done for label, done, total in told if "compiling" in label and total == 4] == [0] * 4
    assert [done for label, done, _ in told if "compiling" not in label] == [1, 2, 3, 4]


def test_rises_are_seen():
    """On x' = -x over [0, 30] a step of 3 is beyond Euler's limit 2 and a step of 1 is not."""
    long_run = decay(t1=30.0, exact=None)
    coarse, fine = compare(long_run, [Method(dfx.Euler(), (10, 30))], limits=False).rows
    assert coarse.energies["own"].rises == coarse.energies["own"].pairs == 20
    assert fine.energies["own"].rises == 0


def test_filter_and_merge():
    first = compare(decay(tags=("easy",)), [Method(dfx.Euler(), (8,)), Method(dfx.Heun(), (8,))], limits=False)
    other = compare(decay(name="again"), [Method(dfx.Euler(), (8,))], limits=False)
    both = first.merge(other)
    assert len(both.rows) == 3
    assert [row.problem for row in both.filter(method="Euler").rows] == ["decay", "again"]
    assert {row.problem for row in both.filter(tag="easy").rows} == {"decay"}
    assert {curve.problem for curve in both.filter(problem="again").curves} == {"again"}
