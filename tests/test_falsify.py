"""`falsify` finds the rises that are known to be there, and none where there are none."""

import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

import dynamem as dm
from tests.catalogue import XI, X


PAIR = jnp.asarray([[2.0, 0.0, 0.0], [-2.0, 0.0, 0.0]])
KEY = jr.key(5)


def cap(t, x):
    return -x @ x


def look(energy, flow, states, t0, t1):
    verdict = dm.falsify(energy, flow, states, t0=t0, t1=t1, key=KEY, starts=32, steps=40)
    if verdict.witness is not None:
        again = verdict.witness.replay(energy, flow)
        assert again > verdict.tolerance
        np.testing.assert_allclose(again, verdict.witness.change, rtol=1e-10)
    return verdict


@pytest.mark.long
def test_the_density_rises_between_two_memories():
    where = dm.DiffusionPath(dm.EDM(), dm.Empirical(PAIR))
    verdict = look(dm.DensityEnergy(where), dm.ProbabilityFlow(where), 3 * X, -1.5, 2.0)
    assert verdict.status == "broken"
    witness = verdict.witness
    # D3: a rise is where tr C > D s^2; for two memories tr C = 4 (1 - tanh^2(2 y_1/s^2)).
    s2 = np.exp(-2 * witness.t0)
    assert 4 * (1 - np.tanh(2 * float(witness.x0[0]) / s2) ** 2) > 3 * s2


def test_the_free_energy_of_the_same_path_never_rises():
    where = dm.DiffusionPath(dm.EDM(), dm.Empirical(PAIR))
    verdict = look(dm.FreeEnergy(where), dm.ProbabilityFlow(where), 3 * X, -1.5, 2.0)
    assert verdict.status == "holds"
    assert verdict.evidence["climbs"] == 32


def test_an_asymmetric_hopfield_network_rises():
    couplings = jnp.asarray([[0.0, 3.0, 0.0], [-3.0, 0.0, 1.0], [0.0, -1.0, 0.5]])
    energy = dm.Hopfield(couplings)
    assert look(energy, dm.LagrangianFlow(energy), X, 0.0, 2.0).status == "broken"
    symmetric = dm.Hopfield(0.5 * (couplings + couplings.T))
    assert look(symmetric, dm.LagrangianFlow(symmetric), X, 0.0, 2.0).status == "holds"


def test_a_cap_rises_along_the_flow_of_a_bowl():
    assert look(cap, dm.GradientFlow(dm.LogSumExp(XI, 0.1)), X, 0.0, 1.0).status == "broken"


def test_log_sum_exp_falls_along_its_own_flow():
    energy = dm.LogSumExp(XI, 2.0)
    assert look(energy, dm.GradientFlow(energy), X, 0.0, 2.0).status == "holds"


def nowhere(t, x):
    return jnp.log(-1.0 - x @ x)


def test_an_undefined_rate_is_a_failure_and_not_a_pass():
    verdict = look(nowhere, dm.GradientFlow(dm.LogSumExp(XI, 2.0)), X, 0.0, 1.0)
    assert verdict.status == "failed"
    assert "NaN" in verdict.reason


def test_it_takes_states_and_times_like_check():
    energy = dm.LogSumExp(XI, 2.0)
    with pytest.raises(ValueError, match=r"t0=1\.0, t1=0\.0"):
        dm.falsify(energy, dm.GradientFlow(energy), X, t0=1.0, t1=0.0, key=KEY)
