"""What a check or a search is asked: terms, noises, arguments and clocks of all kinds, and questions with no answer."""

import diffrax as dfx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import dynamem as dm


KEY = jax.random.key(0)
X = jnp.asarray(np.random.default_rng(0).normal(size=(16, 2)))
SPAN = {"t0": 0.0, "t1": 1.0}
STEPS = SPAN | {"solver": dfx.Euler(), "dt0": 0.1, "key": KEY}


def square(t, x):
    return x @ x


def tree(shape, seed=0):
    return dfx.VirtualBrownianTree(0.0, 1.0, 1e-3, shape, jax.random.key(seed))


def noisy(*noises, pull=1.0):
    return dfx.MultiTerm(dfx.ODETerm(lambda t, x, a: -pull * x), *noises)


def test_a_rate_that_is_undefined_at_visited_states_is_a_failure_in_the_mean_too():
    energy = lambda t, x: -10 * t + 1e-3 * jnp.sum(jnp.abs(x) ** 1.5)  # noqa: E731
    flow = dm.Langevin(lambda t, x: 0.5 * x @ x, 0.01)
    verdict = dm.check(energy, flow, jnp.zeros((64, 2)), t0=0.0, t1=1.0, solver=dfx.Euler(), dt0=0.25, key=KEY)
    assert verdict.status == "failed"


def test_a_search_takes_terms_that_hold_a_brownian_tree():
    quiet = noisy(dfx.ControlTerm(lambda t, x, a: 0.1 * jnp.eye(2) * jnp.sqrt(x @ x), tree((2,))))
    assert dm.falsify(square, quiet, X, **SPAN, key=KEY).status == "holds"
    loud = noisy(dfx.ControlTerm(lambda t, x, a: 3.0 * jnp.eye(2), tree((2,))))
    assert dm.falsify(square, loud, X, **SPAN, key=KEY).status == "broken"


def test_a_search_keeps_the_rises_that_it_had_at_its_starts():
    energy = lambda t, x: jnp.sum(x**2 / 2 - jnp.log(jnp.cosh(x)))  # noqa: E731
    field = dfx.ODETerm(lambda t, x, a: -(x - jnp.tanh(4 * x)))
    states = jnp.linspace(-3.0, 3.0, 32)[:, None]
    verdict = dm.falsify(energy, field, states, **SPAN, key=KEY)
    assert verdict.status == "broken"
    assert verdict.witness.replay(energy, field) == pytest.approx(verdict.witness.change)


def test_an_energy_and_a_flow_on_different_clocks_are_no_question():
    path = dm.DiffusionPath(dm.VP(), dm.Empirical(X))
    flow = dm.ProbabilityFlow(path, clock="tau")
    for energy in (dm.FreeEnergy(path), dm.Frozen(dm.FreeEnergy(path), 0.0)):
        with pytest.raises(ValueError, match="clock"):
            dm.generator(energy, flow)
        with pytest.raises(ValueError, match="clock"):
            dm.falsify(energy, flow, X, t0=0.1, t1=0.9, key=KEY)


@pytest.mark.parametrize("scale", [1e-18, 1.0, 1e12])
def test_a_rise_counts_at_every_scale(scale):
    verdict = dm.check(
        lambda t, x: scale * x @ x, dfx.ODETerm(lambda t, x, a: x), X, **SPAN, solver=dfx.Tsit5(), dt0=0.1
    )
    assert verdict.status == "broken"


def test_what_cancels_inside_an_energy_is_no_rise():
    c = jnp.asarray([1e4, -2e4])
    energy = lambda t, x: x @ x - 2 * (x @ c) + c @ c  # noqa: E731
    span = {"t0": 0.0, "t1": 20.0}
    verdict = dm.check(energy, dm.GradientFlow(energy), c[None] + X, **span, solver=dfx.Tsit5(), dt0=0.1)
    assert verdict.status == "holds", verdict.reason


def test_independent_noises_and_scalar_noise():
    eye = lambda t, x, a: 0.3 * jnp.eye(2)  # noqa: E731
    both = noisy(dfx.ControlTerm(eye, tree((2,))), dfx.ControlTerm(eye, tree((2,), 1)), pull=0.0)
    verdict = dm.check(lambda t, x: x[0] ** 2 - 0.18 * t, both, jnp.zeros((4000, 2)), **STEPS)
    assert verdict.status == "undecided"  # E x^2 grows by 2 * 0.09 a unit of time: a martingale
    scalar = noisy(dfx.ControlTerm(lambda t, x, a: 0.1 * x, tree(())))
    assert dm.check(square, scalar, jnp.tile(X, (32, 1)), **STEPS).status == "holds"


@pytest.mark.parametrize("solver", [dfx.SRA1(), dfx.ShARK()])
def test_fixed_steps_give_a_solver_the_levy_area_it_needs(solver):
    flow = dm.Langevin(lambda t, x: 0.5 * x @ x, 0.001)
    verdict = dm.check(square, flow, 3.0 + X, **SPAN, solver=solver, dt0=0.1, key=KEY)
    assert verdict.status == "holds", verdict.reason


def test_terms_are_given_their_arguments():
    field = dfx.ODETerm(lambda t, x, args: args["gain"] * x)
    for gain, status in ((-1.0, "holds"), (1.0, "broken")):
        args = {"gain": jnp.asarray(gain)}
        assert dm.check(square, field, X, **SPAN, solver=dfx.Tsit5(), dt0=0.1, args=args).status == status
        assert dm.falsify(square, field, X, **SPAN, key=KEY, args=args).status == status


def test_a_stratonovich_solver_is_judged_by_its_own_generator():
    """For dX = -0.6 X dt + X o dW the Ito drift is -0.1 X, so that E X^2 grows; the rate says so too."""
    terms = dfx.MultiTerm(
        dfx.ODETerm(lambda t, x, a: -0.6 * x), dfx.ControlTerm(lambda t, x, a: x[:, None], tree((1,)))
    )
    ones = jnp.ones((2000, 1))
    verdict = dm.check(square, terms, ones, **SPAN, solver=dfx.Heun(), dt0=0.1, key=KEY)
    assert "tratonovich" in verdict.region
    assert verdict.status == "broken"
    assert dm.generator(square, terms, "stratonovich")(0.0, jnp.ones(1)).total == pytest.approx(0.8)


def test_a_search_on_an_update():
    well = lambda t, x: jnp.sum((x**2 - 1) ** 2) / 4  # noqa: E731
    step = lambda h: dm.Map(lambda x: x - h * (x**3 - x))  # noqa: E731
    box = jnp.asarray([(-1.3, 1.3)] * 2)
    assert dm.falsify(well, step(1.1), X, **SPAN, key=KEY, box=box).status == "broken"
    assert dm.falsify(well, step(0.4), X, **SPAN, key=KEY, box=box).status == "holds"


def test_a_search_stays_inside_its_box_and_its_constraints():
    cubic = dfx.ODETerm(lambda t, x, a: -x + x**3)
    assert dm.falsify(square, cubic, X, **SPAN, key=KEY).status == "broken"
    box = jnp.asarray([(-0.9, 0.9)] * 2)
    inside = dm.falsify(square, cubic, X, **SPAN, key=KEY, box=box)
    assert inside.status == "holds"
    assert "box" in inside.region
    ball = dm.falsify(square, cubic, X, **SPAN, key=KEY, constraints=(lambda t, x: x @ x - 0.81,))
    assert ball.status == "holds"


def test_a_failure_says_why():
    short = dm.check(square, dfx.ODETerm(lambda t, x, a: -x), X, **SPAN, solver=dfx.Euler(), dt0=0.01, max_steps=10)
    assert (short.status, "max_steps=10" in short.reason) == ("failed", True)
    blown = dm.check(square, dfx.ODETerm(lambda t, x, a: x**3), 3 + X, **SPAN, solver=dfx.Euler(), dt0=0.1)
    assert blown.status == "failed"
    assert "NaN or infinite" in blown.reason
