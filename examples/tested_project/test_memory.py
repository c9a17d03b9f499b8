"""Ten properties of `memory`, with the strategies and assertions of dynamem.

cd examples/tested_project && python -m pytest -n 2
"""

import diffrax as dfx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from memory import Quadratic, Stale, Wells, turn

import dynamem as dm
from dynamem import testing


jax.config.update("jax_enable_x64", True)
SHAPE = ((3, 2),)  # one shape, so that each property compiles once
QUICK = settings(deadline=None, max_examples=50)


@st.composite
def memories(draw, kind=Wells):
    """A memory and states to start from."""
    xi = draw(testing.patterns(SHAPE, kinds=("any", "duplicate", "collinear", "clustered")))
    return kind(xi), draw(testing.states(xi))


@QUICK
@given(memories())
def test_the_energy_falls(drawn):
    energy, x = drawn
    testing.assert_lyapunov(energy, dfx.ODETerm(energy.pull), x)


@QUICK
@given(memories())
def test_the_pull_is_the_gradient(drawn):
    energy, x = drawn
    testing.assert_gradient_flow(energy, dfx.ODETerm(energy.pull), x)


@QUICK
@given(memories(Stale))
def test_a_slip_is_found(drawn):
    energy, x = drawn
    with pytest.raises(AssertionError, match="not -M grad E"):
        testing.assert_gradient_flow(energy, dfx.ODETerm(energy.pull), x + 0.01)


@QUICK
@given(memories())
def test_no_update_raises_the_energy(drawn):
    energy, x = drawn
    testing.assert_lyapunov(energy, dm.Map(energy.update), x)


@QUICK
@given(memories())
def test_short_euler_steps_are_safe(drawn):
    energy, x = drawn
    testing.assert_energy_stable(dfx.Euler(), energy, dfx.ODETerm(energy.pull), x, steps=(1e-3, 1e-2, 0.1))


@QUICK
@given(memories())
def test_the_memory_has_the_symmetry_of_its_patterns(drawn):
    energy, x = drawn
    whole = Wells(jnp.concatenate([energy.xi, energy.xi[:, ::-1]]))
    testing.assert_equivariant(whole.update, turn, x)


def test_warm_recall_cools_in_mean():
    xi = np.asarray([[1.0, 0.0], [-1.0, 0.5]])
    flow, far = dm.Langevin(Wells(xi), 0.005), np.repeat(2 * xi, 32, axis=0)
    testing.assert_supermartingale(Wells(xi), flow, far, t0=0.0, t1=0.3, solver=dfx.Euler(), dt0=0.1, key=jr.key(0))


def test_the_schedule_is_one():
    testing.assert_schedule(Quadratic())


def test_its_score_is_a_gradient():
    law, x = dm.GaussianMixture(jnp.eye(2), jnp.asarray([0.5, 1.0]), jnp.asarray([0.3, 0.7])), np.eye(2) + 0.3
    testing.assert_score_is_gradient(lambda y: law.denoise(y, 0.5), x)


def test_the_sampler_has_its_order():
    testing.assert_sampler_consistent(dm.DPMSolver2M(), order=2, exact_on_point=True)
