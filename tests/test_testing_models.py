"""Strategies of whole models: what is right passes, twins are seen; functions that change or leak are named."""

import functools
import types

import diffrax as dfx
import equinox as eqx
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import Phase, find, given, settings

import dynamem as dm
from dynamem import testing
from dynamem._errors import InputError
from dynamem.testing._models import SCHEDULE_SLIPS, STEADY
from dynamem.testing._slips import SLIPS
from tests.testing_cases import FLOW, MEMORY, X


FEW = settings(max_examples=12, deadline=None)
ONE = ((3, 2),)


@FEW
@given(testing.systems(ONE, ("log_sum_exp", "free_energy, churn", "oscillators")))
def test_systems_are_right(system):
    testing.assert_lyapunov(system.energy, system.flow, system.states, t0=system.t0, t1=system.t1)


@pytest.mark.long
@settings(max_examples=100, deadline=None)
@given(testing.systems(ONE))
def test_all_systems_are_right(system):
    testing.assert_lyapunov(system.energy, system.flow, system.states, t0=system.t0, t1=system.t1)


def seen(twin):
    system, late = twin.system, 0.25 * twin.system.t0 + 0.75 * twin.system.t1
    try:
        testing.assert_gradient_flow(system.energy, system.flow, system.states, t=late)
    except AssertionError:
        return True
    return False


@pytest.mark.parametrize("slip", SLIPS)
def test_twins_are_seen(slip):
    """Somewhere; Hypothesis begins with states at rest, where nothing moves."""
    how = settings(max_examples=60, deadline=None, database=None, derandomize=True, phases=(Phase.generate,))
    name = "log_sum_exp" if "log_sum_exp" in SLIPS[slip].fits else "free_energy"
    twin = find(testing.twins(ONE, (name,), (slip,)), seen, settings=how)
    assert twin.slip == slip


@FEW
@given(testing.processes(), testing.states(np.ones((1, 2)), 2))
def test_generators_of_processes_are_known(process, x):
    rate = dm.generator(process.energy, process.terms)
    for one in x:
        size = 1 + np.abs(one).max() ** 2
        assert float(rate(jnp.asarray(0.0), jnp.asarray(one), None).total) == pytest.approx(
            process.rate(0.0, one), abs=1e-12 * size
        )


@FEW
@given(testing.monotone_schedules())
def test_schedules_of_knots_are_schedules(schedule):
    testing.assert_schedule(schedule)


@settings(max_examples=25, deadline=None)
@given(testing.broken_schedules())
def test_broken_schedules_are_seen(schedule):
    with pytest.raises(AssertionError):
        testing.assert_schedule(schedule)


@pytest.mark.parametrize("slip", SCHEDULE_SLIPS)
def test_each_slip_of_a_schedule_is_seen(slip):
    from dynamem.testing._models import BrokenSchedule

    with pytest.raises(AssertionError):
        testing.assert_schedule(BrokenSchedule(dm.FlowMatching(), slip))


class Narrow(eqx.Module):
    """Flow matching, computed in float32."""

    def alpha(self, t):
        return (1 - t.astype(jnp.float32)).astype(t.dtype)

    def sigma(self, t):
        return t


def test_a_precision_that_is_lost_is_seen():
    with pytest.raises(AssertionError, match="computed in float32 where t is given in float64"):
        testing.assert_schedule(Narrow())


def test_a_table_in_float32_is_interpolated_in_float64():
    """At its own times its values are float32 numbers, between them they are not; and a namespace has no hash."""
    times = np.linspace(0, 1, 1000)
    table = jnp.asarray(times, jnp.float32)
    one = types.SimpleNamespace(
        alpha=jnp.ones_like, sigma=lambda t: jnp.interp(t, jnp.asarray(times, t.dtype), table.astype(t.dtype)),
        lam=lambda t: -jnp.log(t),
    )  # fmt: skip
    testing.assert_schedule(one, times=times, rtol=1e-3)
    one.lam = lambda t: -jnp.log(t) / 2
    with pytest.raises(AssertionError, match="lam"):
        testing.assert_schedule(one, times=times, rtol=1e-3)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: testing.schedules(("VP", "odd")), "families=('VP', 'odd')"),
        (lambda: testing.systems(names=("log_sum_exp, update",)), "names=('log_sum_exp, update',)"),
        (lambda: testing.twins(names=()), "names=()"),
        (lambda: testing.twins(slips=("odd",)), "slips=('odd',)"),
        (lambda: testing.monotone_schedules((1,)), "sizes=(1,)"),
    ],
)
def test_bad_input_is_named(call, words):
    with pytest.raises(InputError) as told:
        call()
    assert words in str(told.value)
    assert "log_sum_exp" in STEADY


# -------------------------------------------------------------------------- functions that are none


COUNTER = iter(range(1000))


def counting(t, x):
    return next(COUNTER) * (x @ x)


def random_pull(t, x, args):
    return -np.random.default_rng().random() * x


def test_functions_that_change_are_named():
    with pytest.raises(InputError, match=r"energy=<function counting.* another program each time"):
        testing.assert_lyapunov(counting, FLOW, X)
    with pytest.raises(InputError, match=r"flow=.* another program each time"):
        testing.assert_lyapunov(MEMORY, dfx.ODETerm(random_pull), X)
    with pytest.raises(InputError, match=r"score=.* another program each time"):
        testing.assert_score_is_gradient(lambda x: random_pull(0.0, x, None), X)


LEAKED = []


def leaking(t, x):
    LEAKED.append(x)
    return LEAKED[0] @ x


def test_leaked_tracers_are_named():
    with pytest.raises(InputError, match=r"energy=<function leaking.* must not draw, count or keep"):
        testing.assert_lyapunov(leaking, FLOW, X)


def test_dtypes_are_named():
    with pytest.raises(InputError, match="energy"):
        testing.assert_lyapunov(lambda t, x: jnp.sum(x > 0), FLOW, X)
    with pytest.raises(InputError, match=r"function=.*cannot be called"):
        testing.assert_equivariant(functools.partial(np.linalg.norm, ord="nuc"), jnp.negative, X, invariant=True)


def test_functions_are_looked_at_once():
    """Later examples trace nothing."""
    traced = []

    class Energy(eqx.Module):
        xi: jax.Array

        def __call__(self, t, x):
            traced.append(1)
            return 0.5 * jnp.sum((x - self.xi[0]) ** 2)

    after = []

    @settings(max_examples=8, deadline=None, database=None)
    @given(testing.patterns(ONE), st.data())
    def asked(xi, data):
        energy = Energy(jnp.asarray(xi))
        x = data.draw(testing.states(xi))
        testing.assert_lyapunov(energy, dm.GradientFlow(energy), x)
        testing.assert_gradient_flow(energy, dm.GradientFlow(energy), x)
        after.append(len(traced))

    asked()
    assert len(after) >= 6
    assert set(np.diff(after)) == {0}
