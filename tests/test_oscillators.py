"""Oscillators on spheres: Kuramoto's model, what is conserved, what falls, and what breaks it."""

import diffrax as dfx
import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

import dynamem as dm


RNG = np.random.default_rng(4)
T = jnp.asarray(0.0)
SYMMETRIC = (lambda a: jnp.asarray(a + a.T))(RNG.normal(size=(4, 4)))
BIAS = jnp.asarray(RNG.normal(size=(4, 3)))
TURNS = (lambda a: jnp.asarray(a - a.swapaxes(1, 2)))(RNG.normal(size=(4, 3, 3)))
STATES = (lambda a: jnp.asarray((a / np.linalg.norm(a, axis=-1, keepdims=True)).reshape(8, 12)))(
    RNG.normal(size=(8, 4, 3))
)


@eqx.filter_jit
def rates(flow, xs):
    def one(x):
        return flow.drift(T, x, None), dm.generator(flow.energy, flow)(T, x, None)

    return jax.vmap(one)(xs)


def test_the_plane_is_kuramotos_model():
    """Kuramoto 1975: dtheta_i/dt = omega_i + sum_j J_ij sin(theta_j - theta_i)."""
    theta, omega = RNG.uniform(-3, 3, size=(8, 5)), RNG.normal(size=5)
    J = RNG.normal(size=(5, 5))
    flow = dm.OscillatorFlow(dm.Oscillators(J, np.zeros((5, 2)), symmetric=False), omega)
    xs = jnp.asarray(np.stack([np.cos(theta), np.sin(theta)], -1).reshape(8, 10))
    drift = np.asarray(rates(flow, xs)[0]).reshape(8, 5, 2)
    turning = -np.sin(theta) * drift[..., 0] + np.cos(theta) * drift[..., 1]
    expected = omega + np.einsum("ij,bij->bi", J, np.sin(theta[:, None, :] - theta[:, :, None]))
    np.testing.assert_allclose(turning, expected, rtol=1e-11, atol=1e-12)


def test_energy_and_force_are_their_formulas():
    """E = -sum x_i.J_ij x_j/2 - sum c_i.x_i with matrices as couplings; numbers are multiples of the identity."""
    x = np.asarray(STATES[0]).reshape(4, 3)
    energy = dm.Oscillators(SYMMETRIC, BIAS)
    by_hand = -0.5 * np.sum(np.asarray(SYMMETRIC) * (x @ x.T)) - np.sum(np.asarray(BIAS) * x)
    np.testing.assert_allclose(energy(T, STATES[0]), by_hand, rtol=1e-13)
    matrices = dm.Oscillators(SYMMETRIC[:, :, None, None] * jnp.eye(3)[None, None], BIAS)
    np.testing.assert_allclose(matrices(T, STATES[0]), by_hand, rtol=1e-13)
    np.testing.assert_allclose(matrices.force(STATES[0]), SYMMETRIC @ x + BIAS, rtol=1e-13)
    full = (lambda a: a + a.transpose(1, 0, 3, 2))(RNG.normal(size=(4, 4, 3, 3)))
    slope = jax.grad(dm.Oscillators(full, BIAS), argnums=1)(T, STATES[0])
    np.testing.assert_allclose(slope.reshape(4, 3), -(np.einsum("ijab,jb->ia", full, x) + np.asarray(BIAS)), rtol=1e-12)


def test_without_frequencies_the_energy_falls_and_lengths_are_conserved():
    flow = dm.OscillatorFlow(dm.Oscillators(SYMMETRIC, BIAS))
    drift, rate = rates(flow, STATES)
    lengthening = np.sum(np.asarray(STATES * drift).reshape(8, 4, 3), -1)
    np.testing.assert_allclose(lengthening, 0, atol=1e-13)
    np.testing.assert_allclose(rate.total, -np.sum(np.square(drift), 1), rtol=1e-11)
    np.testing.assert_allclose(rate.drift, 0, atol=1e-12)
    turning = dm.OscillatorFlow(flow.energy, TURNS)
    drift, rate = rates(turning, STATES)
    np.testing.assert_allclose(np.sum(np.asarray(STATES * drift).reshape(8, 4, 3), -1), 0, atol=1e-13)
    force = np.asarray(SYMMETRIC) @ np.asarray(STATES).reshape(8, 4, 3) + np.asarray(BIAS)
    work = np.einsum("bia,iac,bic->b", force, TURNS, np.asarray(STATES).reshape(8, 4, 3))
    np.testing.assert_allclose(rate.drift, -work, rtol=1e-10)
    assert np.any(np.abs(work) > 0.1)


@pytest.mark.long
def test_a_trajectory_stays_on_its_spheres_and_descends():
    flow = dm.OscillatorFlow(dm.Oscillators(SYMMETRIC, BIAS))
    how = {"solver": dfx.Tsit5(), "stepsize_controller": dfx.PIDController(rtol=1e-8, atol=1e-10)}
    assert dm.check(flow.energy, flow, STATES, t0=0.0, t1=3.0, **how).status == "holds"
    ends = jax.vmap(lambda x: dfx.diffeqsolve(flow.terms(), dfx.Tsit5(), 0.0, 3.0, 0.01, x).ys[0])(STATES)
    np.testing.assert_allclose(np.linalg.norm(np.asarray(ends).reshape(8, 4, 3), axis=-1), 1, rtol=1e-8)


@pytest.mark.long
@pytest.mark.parametrize("broken", ["frequencies", "asymmetric"])
def test_frequencies_and_asymmetry_break_it(broken):
    """Counterexamples that the search finds, with their replay."""
    skewed = SYMMETRIC + jnp.asarray(3 * (np.tri(4) - np.tri(4).T))
    energy = dm.Oscillators(SYMMETRIC if broken == "frequencies" else skewed, BIAS, symmetric=broken == "frequencies")
    flow = dm.OscillatorFlow(energy, TURNS if broken == "frequencies" else None)
    found = dm.falsify(energy, flow, STATES, t0=0.0, t1=1.0, key=jr.key(0), starts=16, steps=10)
    assert found.status == "broken"
    again = dm.generator(energy, flow)(T, found.witness.x0, None).total
    np.testing.assert_allclose(again, found.witness.change, rtol=1e-9)
    kept = dm.OscillatorFlow(dm.Oscillators(SYMMETRIC, BIAS))
    assert dm.falsify(kept.energy, kept, STATES, t0=0.0, t1=1.0, key=jr.key(0), starts=16, steps=10).status == "holds"


def test_equal_frequencies_about_one_axis_commute_with_the_coupling():
    """Omega_i = Omega for all, no bias, J_ij numbers: the energy is blind to the common rotation and still falls."""
    flow = dm.OscillatorFlow(dm.Oscillators(SYMMETRIC, jnp.zeros((4, 3))), jnp.broadcast_to(TURNS[:1], TURNS.shape))
    _, rate = rates(flow, STATES)
    np.testing.assert_allclose(rate.drift, 0, atol=1e-11)
    assert np.all(rate.total < 0)


def test_the_discrete_update_is_an_euler_step_put_back():
    flow = dm.OscillatorFlow(dm.Oscillators(SYMMETRIC, BIAS), TURNS)
    moved = np.asarray(flow.update(STATES[0], 0.1)).reshape(4, 3)
    by_hand = np.asarray(STATES[0] + 0.1 * flow.drift(T, STATES[0], None)).reshape(4, 3)
    np.testing.assert_allclose(moved, by_hand / np.linalg.norm(by_hand, axis=1, keepdims=True), rtol=1e-13)


REFUSED = {
    r"J\[0, 1\]=1.0 and J\[1, 0\]=2.0": lambda: dm.Oscillators(np.array([[0.0, 1.0], [2.0, 0.0]]), np.zeros((2, 3))),
    r"J.shape=\(3, 3\) and c.shape=\(2, 2\)": lambda: dm.Oscillators(np.zeros((3, 3)), np.zeros((2, 2))),
    r"c.shape=\(3,\): need \(n, d\)": lambda: dm.Oscillators(np.eye(3), np.ones(3)),
    r"omega.shape=\(4,\): need \(4, 3, 3\)": lambda: dm.OscillatorFlow(dm.Oscillators(SYMMETRIC, BIAS), np.ones(4)),
    r"omega\[2\] is not antisymmetric": lambda: dm.OscillatorFlow(
        dm.Oscillators(SYMMETRIC, BIAS), np.asarray(TURNS) + np.eye(4)[2][:, None, None]
    ),
    r"state.shape=\(3,\): need \(12,\)": lambda: dm.Oscillators(SYMMETRIC, BIAS)(0.0, jnp.ones(3)),
}


@pytest.mark.parametrize("message", REFUSED)
def test_bad_arguments_are_named(message):
    with pytest.raises(ValueError, match=message):
        REFUSED[message]()
