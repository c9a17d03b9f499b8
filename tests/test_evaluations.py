"""Calls of the vector field that `compare` tells from a table against calls that are counted on the host."""

import diffrax as dfx
import jax.numpy as jnp
import jax.random as jr
import pytest

import dynamem as dm
from dynamem.comparison import Method, Problem
from dynamem.comparison._evaluations import PER_STEP, counted, fixed_step, per_step
from dynamem.comparison._solving import asked, kept_of, solved
from dynamem.lyapunov import TermDynamics
from tests.catalogue import SAMPLERS, stepped


LENGTHS = (3, 7)
QUICK = ("DPMSolver2S", "ShARK")
"""Those asked by default, the others in the long tests."""
EXPLICIT = {
    one.__name__: one
    for one in vars(dfx).values()
    if isinstance(one, type) and issubclass(one, dfx.AbstractERK) and not one.__name__.startswith("Abstract")
}
MILSTEIN = {one.__name__: one for one in (dfx.ItoMilstein, dfx.StratonovichMilstein, dfx.EulerHeun)}
ROESSLER = {
    one.__name__: one
    for one in vars(dfx).values()
    if isinstance(one, type) and issubclass(one, dfx.AbstractSRK) and not one.__name__.startswith("Abstract")
}
OURS = {name: build for name, build in SAMPLERS.items() if type(build()) in PER_STEP}
TABLE = {"Euler": dfx.Euler} | EXPLICIT | MILSTEIN | ROESSLER | OURS


def field(t, x, args):
    """Slow at first and fast later, which an adaptive solver sees too late."""
    return -x * (1 + 30 * (1 + jnp.tanh(60 * (t - 0.5))))


def noise(t, x, args):
    """A Brownian motion for each coordinate."""
    return 0.3 * jnp.eye(x.shape[0])


def dynamics(name, solver):
    """A flow that the solver steps."""
    if name in OURS:
        return stepped(solver)
    return TermDynamics((dfx.ODETerm(field),), ((noise,),) if name in MILSTEIN | ROESSLER else ())


def calls(name, solver, steps):
    """Counted calls of one solve in so many equal steps."""
    flow, span = dynamics(name, solver), (jnp.asarray(-1.0), jnp.asarray(0.5))
    states = jnp.asarray([[1.0, -2.0, 0.5], [0.3, 0.2, -1.0]])
    noisy = flow.diffusion(span[0], states[0], None) is not None
    keys = jr.split(jr.key(0)) if noisy else None
    how = (states, span, solver, dfx.ConstantStepSize(), fixed_step(span, steps), keys)
    return counted(flow, how, max_steps=max(LENGTHS) + 2, shared=True)


def test_the_table_is_tested():
    """No solver can be put into it and be left out here."""
    assert set(PER_STEP) == {type(build()) for build in TABLE.values()} - {*EXPLICIT.values(), *ROESSLER.values()}
    assert "Tsit5" in EXPLICIT
    assert "ShARK" in ROESSLER


@pytest.mark.parametrize("name", [pytest.param(n, marks=() if n in QUICK else pytest.mark.long) for n in TABLE])
def test_calls_of_fixed_steps_are_those_of_the_table(name):
    """In two lengths, which tell calls before the first step from those in each."""
    solver = TABLE[name]()
    known = per_step(solver)
    assert known is not None
    first, each = known
    assert [calls(name, solver, n) for n in LENGTHS] == [first + each * n for n in LENGTHS]


def adaptive(name, given):
    """Calls that the table tells, and those that are counted, of one adaptive run with rejected steps."""
    ask = asked(Problem("kink", dfx.ODETerm(given), jnp.asarray([[1.0, 2.0], [0.5, -1.0]]), 0.0, 1.0, {}), 0)
    method = Method(EXPLICIT[name](), tolerances=(1e-4,))
    done = solved(ask, method, None, 1e-4)
    assert jnp.all(done.run.rejected > 0)
    how = (ask.states, ask.span, method.solver, dfx.PIDController(rtol=1e-4, atol=1e-7), None, None)
    return done.evaluations, counted(ask.flow, how, **kept_of(ask, method))


@pytest.mark.parametrize("name", [pytest.param(n, marks=() if n == "Bosh3" else pytest.mark.long) for n in EXPLICIT])
def test_calls_of_adaptive_steps_are_those_of_the_table(name):
    """None for choosing the first step, and a step that is rejected costs what any step does."""
    told, found = adaptive(name, field)
    assert told == found


@pytest.mark.long
def test_a_first_step_that_is_rejected_costs_one_call_more():
    """Diffrax then asks for the first stage again, as nothing was kept of it."""
    told, found = adaptive("Bosh3", lambda t, x, args: field(t, x, args) + 30 * x)
    assert found == told + 1


def test_a_solver_that_no_table_knows_is_counted():
    """Implicit methods, and ours that solve for a factor of the step."""
    assert per_step(dfx.Kvaerno3()) is None
    assert per_step(dm.Relaxed(dfx.Heun())) is None


def held_run(solver):
    """Calls that are told for four steps of the flow of a mixture, held within the margin."""
    law = dm.GaussianMixture(jnp.asarray([[1.0, 0.0], [-1.0, 0.5]]), jnp.full(2, 0.2), jnp.full(2, 0.5))
    flow = dm.ProbabilityFlow(dm.DiffusionPath(dm.VP(), law))
    problem = Problem("pair", flow, jnp.asarray([[1.0, 2.0], [0.5, -1.0]]), -1.0, 1.0, {})
    return solved(asked(problem, 0), Method(dm.Stabilised(solver), steps=(4,)), 4, None).evaluations


def test_a_step_that_is_held_costs_the_moments_of_the_law_too():
    assert held_run(dm.DPMSolver2S()) == 4 * (2 + 1)


@pytest.mark.long
def test_calls_of_held_steps_that_keep_a_stage_are_counted():
    """No table knows how often the first stage is asked for again; a law whose terms are counted is still found."""
    assert per_step(dm.Stabilised(dfx.Bosh3())) is None
    assert 1 + 4 * (3 + 1) <= held_run(dfx.Bosh3()) <= 1 + 4 * (4 + 1)
