"""`check`: every verdict is reached, on evidence that is kept apart, and NaN never counts as descent."""

import diffrax as dfx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

import dynamem as dm
from dynamem.lyapunov import mean_test
from tests.catalogue import XI, X, path, user_terms


EULER, KEY = dfx.Euler(), jr.key(8)
MEMORY = dm.LogSumExp(XI, 4.0)
FLOW = dm.GradientFlow(MEMORY)
RUN = {"t0": 0.0, "t1": 2.0, "solver": EULER, "dt0": 0.25}


def bowl(t, x):
    return 0.5 * x @ x


def hill(t, x):
    return -0.5 * x @ x


def wavy(t, x):
    """Falls by one over each unit of x_0, and rises in between."""
    return -x[0] + 0.5 * jnp.sin(2 * jnp.pi * x[0])


def torn(t, x):
    return jnp.where(t > 1.0, jnp.nan, 0.5 * x @ x)


def steady(t, x, args):
    return jnp.ones_like(x)


def lost(t, x, args):
    return jnp.where(t > 1.0, jnp.nan, -x)


def halve(x):
    return 0.5 * x


def double(x):
    return 2.0 * x


def vanish(x):
    return jnp.full_like(x, jnp.nan)


# --------------------------------------------------------- holds and broken


def test_descent_holds_with_its_evidence():
    verdict = dm.check(MEMORY, FLOW, X, **RUN)
    assert verdict.status == "holds"
    assert verdict.witness is None
    assert verdict.evidence["steps"]["pairs"] == 4 * 8
    assert verdict.evidence["dense"]["pairs"] == 4 * 128
    assert verdict.evidence["rate"]["states"] == 4 * 9
    assert verdict.evidence["rate"]["largest_rate"] <= verdict.evidence["rate"]["tolerance"]
    assert 0 < verdict.tolerance < 1e-10
    assert "4 states of dimension 3" in verdict.region
    assert "32 steps" in verdict.reason


def test_a_rise_is_broken_and_its_witness_replays():
    verdict = dm.check(hill, FLOW, 2 * X, **RUN)
    assert verdict.status == "broken"
    assert verdict.witness.kind == "step"
    assert verdict.witness.change > verdict.tolerance
    np.testing.assert_allclose(verdict.witness.replay(hill, FLOW), verdict.witness.change, rtol=1e-12)
    assert verdict.evidence["steps"]["rises"] > 0
    np.testing.assert_allclose(verdict.evidence["steps"]["largest_rise"], verdict.witness.change)


def test_steps_may_rise_where_no_rate_does():
    """Explicit Euler with a step beyond 2 on a bowl: the flow descends, the solver does not."""
    verdict = dm.check(bowl, dm.GradientFlow(bowl), X, t0=0.0, t1=6.6, solver=EULER, dt0=2.2)
    assert verdict.status == "broken"
    assert verdict.evidence["steps"]["rises"] == 12
    assert verdict.evidence["rate"]["rises"] == 0
    assert verdict.witness.kind == "step"


def test_a_rate_may_rise_where_no_step_does():
    verdict = dm.check(wavy, dfx.ODETerm(steady), jnp.zeros((1, 3)), t0=0.0, t1=4.0, solver=EULER, dt0=1.0)
    assert verdict.status == "broken"
    assert verdict.evidence["steps"]["rises"] == 0
    assert verdict.evidence["rate"]["rises"] == 5
    assert verdict.witness.kind == "rate"
    np.testing.assert_allclose(verdict.witness.replay(wavy, dfx.ODETerm(steady)), np.pi - 1, rtol=1e-9)


def test_dense_output_is_reported_and_never_decides():
    """Only the points in between rise, and they are no part of the flow."""
    flat = dfx.ODETerm(steady)

    def tilted(t, x):
        return -x[0] + 0.5 * jnp.sin(2 * jnp.pi * (x[0] + 0.5))

    verdict = dm.check(tilted, flat, jnp.zeros((1, 3)), t0=0.0, t1=4.0, solver=EULER, dt0=1.0)
    assert verdict.evidence["dense"]["rises"] > 0
    assert verdict.evidence["steps"]["rises"] == verdict.evidence["rate"]["rises"] == 0
    assert verdict.status == "holds"
    assert "dense" not in dm.check(tilted, flat, X, t0=0.0, t1=1.0, solver=EULER, dt0=1.0, dense=0).evidence


def test_the_hopfield_energy_is_broken_and_the_free_energy_holds_on_one_path():
    where = path()
    how = {"t0": -1.5, "t1": 1.5, "solver": dfx.Tsit5(), "stepsize_controller": dfx.PIDController(rtol=1e-6, atol=1e-8)}
    flow = dm.ProbabilityFlow(where)
    broken = dm.check(dm.HopfieldEnergy(where), flow, 4 * X, dt0=0.01, **how)
    assert broken.status == "broken"
    np.testing.assert_allclose(
        broken.witness.replay(dm.HopfieldEnergy(where), flow), broken.witness.change, rtol=1e-6, atol=1e-12
    )
    assert dm.check(dm.FreeEnergy(where), flow, 4 * X, dt0=0.01, **how).status == "holds"


def test_terms_and_energies_of_the_user():
    assert dm.check(bowl, user_terms(False), X, **RUN).status == "holds"
    assert dm.check(hill, user_terms(False), X, **RUN).status == "broken"
    noisy = dm.check(hill, user_terms(True), X, **RUN, key=KEY)
    assert noisy.status == "broken"
    assert noisy.evidence["mean"]["paths"] == 4


def test_a_grid_of_steps_is_kept():
    grid = dfx.StepTo(jnp.asarray([0.0, 0.1, 0.5, 2.0]))
    verdict = dm.check(MEMORY, FLOW, X, t0=0.0, t1=2.0, solver=EULER, stepsize_controller=grid)
    assert (verdict.status, verdict.evidence["steps"]["pairs"]) == ("holds", 4 * 3)


# ------------------------------------------------------------------- maps


def test_updates_of_a_map():
    held = dm.check(MEMORY, dm.Map(MEMORY.update), X, t0=0.0, t1=5.0)
    assert (held.status, held.evidence["steps"]["pairs"]) == ("holds", 20)
    assert set(held.evidence) == {"steps"}
    assert dm.check(bowl, dm.Map(halve), X, t0=0.0, t1=3.0).status == "holds"
    broken = dm.check(bowl, dm.Map(double), X, t0=0.0, t1=3.0)
    assert broken.status == "broken"
    assert broken.witness.replay(bowl) == broken.witness.change
    assert broken.witness.t1 == 3.0
    assert dm.check(bowl, dm.Map(vanish), X, t0=0.0, t1=3.0).status == "failed"


# ---------------------------------------------------------- NaN never holds


FAILING = {
    "energy": lambda: dm.check(torn, FLOW, X, **RUN),
    "drift": lambda: dm.check(bowl, dfx.ODETerm(lost), X, **RUN),
    "steps run out": lambda: dm.check(MEMORY, FLOW, X, **RUN, max_steps=3),
    "adaptive steps run out": lambda: dm.check(
        MEMORY, FLOW, X, t0=0.0, t1=50.0, solver=dfx.Tsit5(), dt0=0.01, max_steps=4,
        stepsize_controller=dfx.PIDController(rtol=1e-8, atol=1e-10),
    ),
    "energy in mean": lambda: dm.check(torn, dm.Langevin(MEMORY, 0.1), X, **RUN, key=KEY),
    "infinite energy": lambda: dm.check(lambda t, x: jnp.exp(1e4 * (1 + x @ x)), FLOW, X, **RUN),
}  # fmt: skip


@pytest.mark.parametrize("what", FAILING)
def test_nan_is_a_failure(what):
    verdict = FAILING[what]()
    assert verdict.status == "failed"
    assert "NaN" in verdict.reason or "solve failed" in verdict.reason


def nan_rate(t, x):
    """Finite everywhere; its derivative is NaN where x_0 = 0, since sqrt is differentiated at 0."""
    return 0.5 * x @ x + jnp.sqrt(jnp.maximum(x[0], 0.0)) - jnp.sqrt(jnp.maximum(x[0], 0.0))


def test_a_rate_that_is_undefined_is_counted():
    start = jnp.zeros((1, 3)).at[0, 1].set(1.0)
    verdict = dm.check(nan_rate, dfx.ODETerm(lambda t, x, args: -x), start, **RUN)
    assert verdict.evidence["rate"]["undefined"] == 9
    assert verdict.evidence["steps"]["rises"] == 0


# ------------------------------------------------------------------ in mean


SDE = {"t0": -1.0, "t1": 1.0, "solver": EULER, "dt0": 0.2, "key": KEY}


def cloud(count):
    return 3.0 * jr.normal(jr.key(11), (count, 3))


def test_a_supermartingale_holds_in_mean_though_paths_rise():
    flow, energy = dm.ReverseSDE(path(), 1.0), dm.FreeEnergy(path(), 1.0)
    verdict = dm.check(energy, flow, cloud(256), **SDE)
    assert verdict.status == "holds"
    assert verdict.evidence["pathwise"]["rises"] > 0
    assert verdict.evidence["mean"]["steps"] == 10
    assert verdict.evidence["mean"]["rises"] == verdict.evidence["rate"]["rises"] == 0
    assert verdict.evidence["mean"]["worst"]["interval"][1] < 0


def test_without_the_churn_term_it_is_broken():
    flow, near = dm.ReverseSDE(path(), 1.0), XI[jnp.arange(64) % 5]
    verdict = dm.check(dm.FreeEnergy(path()), flow, near, **{**SDE, "t0": 1.0, "t1": 2.0})
    assert verdict.status == "broken"
    assert verdict.evidence["rate"]["rises"] > 0
    again = verdict.witness.replay(dm.FreeEnergy(path()), flow)
    np.testing.assert_allclose(again, verdict.witness.change, rtol=1e-9)


def test_too_few_paths_leave_it_undecided():
    verdict = dm.check(dm.FreeEnergy(path(), 1.0), dm.ReverseSDE(path(), 1.0), cloud(1), **SDE)
    assert verdict.status == "undecided"
    assert verdict.evidence["mean"]["open"] == 10
    assert "undecided; 10 of 10 steps stay open" in verdict.reason


@pytest.mark.long
def test_adaptive_steps_are_tested_in_aggregate():
    tree = {"stepsize_controller": dfx.PIDController(rtol=1e-2, atol=1e-2), "solver": dfx.SPaRK()}
    flow = dm.ReverseSDE(path(), 1.0)
    verdict = dm.check(dm.FreeEnergy(path(), 1.0), flow, cloud(32), **{**SDE, **tree})
    assert verdict.status == "holds"
    assert verdict.evidence["mean"]["steps"] == 1


def test_the_control_variate_decides_where_bare_paths_do_not():
    rng = np.random.default_rng(0)
    kicks = rng.normal(size=(100, 4))
    change, zero = kicks - 0.01, np.zeros((100, 4))
    assert mean_test(change, kicks, zero).status == "holds"
    assert mean_test(change, zero, zero).status == "undecided"
    assert mean_test(kicks + 0.01, kicks, zero).status == "broken"
    assert mean_test(np.full((100, 4), np.nan), kicks, zero).status == "failed"
    assert mean_test(change[:1], kicks[:1], zero[:1]).open == 4


def test_the_error_is_kept():
    """Of many martingales, whose mean never changes, at most the promised share is called broken."""
    rng, zero = np.random.default_rng(1), np.zeros((40, 5))
    found = [mean_test(rng.normal(size=(40, 5)), zero, zero, error=0.1).status for _ in range(400)]
    assert found.count("broken") + found.count("holds") <= 40 + 3 * np.sqrt(36)
    assert found.count("broken") > 0


def test_the_same_key_gives_the_same_verdict():
    flow, energy = dm.ReverseSDE(path(), 1.0), dm.FreeEnergy(path(), 1.0)
    one, two = (dm.check(energy, flow, cloud(256), **SDE).evidence["mean"]["worst"] for _ in range(2))
    other = dm.check(energy, flow, cloud(256), **{**SDE, "key": jr.key(9)}).evidence["mean"]["worst"]
    assert one == two != other


def test_float32_is_refused():
    with pytest.raises(ValueError, match=r"states\.dtype=float32.*jax_enable_x64"):
        dm.check(MEMORY, FLOW, X.astype(jnp.float32), **RUN)
    assert jax.config.jax_enable_x64
