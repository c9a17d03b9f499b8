"""Known answers of the memories: formulas in NumPy, stored patterns as minima, and what each refuses."""

import diffrax as dfx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.integrate

import dynamem as dm
from tests.catalogue import BIAS, COUPLINGS, ENERGIES, WEIGHTS, XI, X, path


STATE, T = np.asarray(X[0]), jnp.asarray(0.0)
INVERSES = {"tanh": np.arctanh, "sigmoid": lambda v: np.log(v / (1 - v)), "identity": lambda v: v}
ACTIVATIONS = {"tanh": np.tanh, "sigmoid": lambda x: 1 / (1 + np.exp(-x)), "identity": lambda x: x}


@pytest.mark.parametrize("name", INVERSES)
def test_hopfield_is_the_energy_of_1984(name):
    """E = -v.W v/2 - b.v + sum_i int_{g(0)}^{v_i} g^{-1}, up to a constant: differences of two states."""
    energy = dm.Hopfield(COUPLINGS, BIAS, name)

    def by_hand(u):
        v, w, b = ACTIVATIONS[name](u), np.asarray(COUPLINGS), np.asarray(BIAS)
        integral = sum(scipy.integrate.quad(INVERSES[name], ACTIVATIONS[name](0.0), end)[0] for end in v)
        return -0.5 * v @ w @ v - b @ v + integral

    other = np.asarray(X[1])
    np.testing.assert_allclose(energy(T, X[0]) - energy(T, X[1]), by_hand(STATE) - by_hand(other), rtol=1e-8)


def test_relu_units_have_a_flat_side():
    energy = dm.Hopfield(COUPLINGS, BIAS, "relu")
    x = jnp.asarray([-1.0, 2.0, -0.5])
    np.testing.assert_allclose(np.diag(energy.lagrangian.hessian(x).as_matrix()), [0.0, 1.0, 0.0])
    assert np.all(np.isfinite(dm.LagrangianFlow(energy).mobility(T, x).as_matrix()))
    np.testing.assert_allclose(energy(T, x), -0.5 * COUPLINGS[1, 1] * 4 - BIAS[1] * 2 + 2.0, rtol=1e-13)


def test_a_function_and_its_lagrangian_are_the_same_units():
    named = dm.Hopfield(COUPLINGS, BIAS, "tanh")
    by_function = dm.Hopfield(COUPLINGS, BIAS, jnp.tanh)
    by_lagrangian = dm.Hopfield(COUPLINGS, BIAS, lagrangian=lambda x: jnp.log(jnp.cosh(x)))
    for other in (by_function, by_lagrangian, dm.Hopfield(COUPLINGS, BIAS, named.lagrangian)):
        np.testing.assert_allclose(other(T, X[0]), named(T, X[0]), rtol=1e-11)
        np.testing.assert_allclose(other.dual_gradient(T, X[0]), named.dual_gradient(T, X[0]), rtol=1e-11)


def test_the_dual_gradient_is_the_gradient_over_the_slope():
    energy = dm.Hopfield(COUPLINGS, BIAS)
    quotient = jax.grad(energy, argnums=1)(T, X[0]) / (1 - np.tanh(STATE) ** 2)
    np.testing.assert_allclose(energy.dual_gradient(T, X[0]), quotient, rtol=1e-11)


FORMS = {
    "DenseMemory[power]": lambda z: -(z**4).sum(),
    "DenseMemory[rectified]": lambda z: -(np.maximum(z, 0) ** 3).sum(),
    "DenseMemory[exp]": lambda z: -np.exp(z).sum(),
    "DenseMemory[function]": lambda z: -(z**3).sum(),
    "LogSumExp[no bias]": lambda z: 0.5 * STATE @ STATE - np.log(np.exp(1.5 * z).sum()) / 1.5,
    "LogSumExp": lambda z: (
        0.5 * STATE @ STATE - np.log(np.exp(1.5 * (z - 0.5 * (np.asarray(XI) ** 2).sum(1))).sum()) / 1.5
    ),
}


@pytest.mark.parametrize("name", FORMS)
def test_a_memory_is_its_formula(name):
    energy = ENERGIES[name][0]()
    np.testing.assert_allclose(energy(T, X[0]), FORMS[name](np.asarray(XI) @ STATE), rtol=1e-11)


# Activations with kinks, jumps and steep places, and their integrals from 0.
ROUGH = {
    "clip": (lambda u: jnp.clip(u, -1, 1), lambda x: np.where(np.abs(x) < 1, x * x / 2, np.abs(x) - 0.5)),
    "shifted clip": (
        lambda u: jnp.clip(u, -0.3, 0.7),
        lambda x: np.piecewise(
            x, [x < -0.3, x > 0.7], [lambda z: -0.3 * z - 0.045, lambda z: 0.7 * z - 0.245, lambda z: z * z / 2]
        ),
    ),
    "steep": (
        lambda u: jnp.tanh(30 * u),
        lambda x: (30 * np.abs(x) + np.log1p(np.exp(-60 * np.abs(x))) - np.log(2)) / 30,
    ),
    "jump": (lambda u: jnp.where(u > 0.3, 1.0, 0.0), lambda x: np.maximum(x - 0.3, 0)),
    "stairs": (jnp.floor, lambda x: np.floor(x) * (x - np.floor(x)) + np.floor(x) * (np.floor(x) - 1) / 2),
    "exponential": (jnp.exp, np.expm1),
}


@pytest.mark.parametrize("name", ROUGH)
def test_the_integral_of_an_activation_is_right_to_rounding(name):
    activation, exact = ROUGH[name]
    units = dm.Hopfield(COUPLINGS, BIAS, activation).lagrangian
    x = np.concatenate([np.linspace(-9, 9, 997), np.logspace(-9, 0, 10), -np.logspace(-9, 0, 10), [0.0, -50.0, 50.0]])
    found = jax.jit(jax.vmap(units.lagrangian))(jnp.asarray(x))
    legendre = np.abs(x * np.asarray(units.g(jnp.asarray(x))))
    size = np.asarray(jax.vmap(units.size)(jnp.asarray(x)[:, None])) + legendre
    # 2e-16: the references themselves cancel near 0.
    assert np.all(np.abs(np.asarray(found) - exact(x)) <= 16 * np.finfo(float).eps * size + 2e-16)
    assert np.max(size / (np.abs(exact(x)) + legendre + 1e-6)) < 50


def test_beyond_its_panels_an_integral_states_its_error():
    units = dm.Hopfield(COUPLINGS, BIAS, lambda u: jnp.clip(u, -2000, 2000)).lagrangian
    x = jnp.asarray([3000.0])
    error = abs(float(units(x)) - (2000.0**2 / 2 + 2000.0 * 1000.0))
    assert 1.0 < error < 32 * np.finfo(float).eps * float(units.size(x))


@pytest.mark.parametrize("name", ["clip", "steep"])
@pytest.mark.parametrize("flow", [dm.GradientFlow, dm.LagrangianFlow])
def test_a_rough_activation_makes_no_false_rise(name, flow):
    energy, states = dm.Hopfield(COUPLINGS, BIAS, ROUGH[name][0]), 2 * X
    how = dfx.PIDController(rtol=1e-8, atol=1e-10)
    found = dm.check(energy, flow(energy), states, t0=0.0, t1=4.0, solver=dfx.Tsit5(), stepsize_controller=how)
    assert found.status == "holds", found.reason
    assert found.tolerance < 1e-11


def test_a_cold_log_sum_exp_recalls_its_patterns():
    energy = dm.LogSumExp(XI, 400.0)
    for pattern in XI:
        np.testing.assert_allclose(energy.update(pattern + 0.01), pattern, atol=1e-8)


def test_a_dense_memory_is_lowest_at_its_pattern():
    corners = jnp.asarray(np.sign(np.random.default_rng(0).normal(size=(1, 8))))
    energy = dm.DenseMemory(corners, "power", 2)
    assert float(energy(T, corners[0])) == -64.0
    flipped = corners[0].at[0].multiply(-1.0)
    assert float(energy(T, flipped)) == -36.0


# ------------------------------------------------------- energies of a path


def z_of(y, s):
    return np.asarray(WEIGHTS) @ np.exp(-((y - np.asarray(XI)) ** 2).sum(1) / (2 * s * s))


@pytest.mark.parametrize("clock", ["lam", "tau"])
def test_energies_of_a_path_are_their_formulas(clock):
    where, t = path(), jnp.asarray(0.3 if clock == "lam" else 0.7)
    alpha = 1.0 if clock == "lam" else float(where.schedule.alpha(1 - t))
    noise = float(np.exp(-0.3)) if clock == "lam" else float(where.schedule.sigma(1 - t))
    s, y = noise / alpha, STATE / alpha
    log_z = np.log(z_of(y, s))
    close = {"rtol": 1e-10}
    np.testing.assert_allclose(dm.HopfieldEnergy(where, clock)(t, X[0]), -log_z, **close)
    np.testing.assert_allclose(dm.FreeEnergy(where, 0.7, clock)(t, X[0]), s * s * (-log_z + 0.5 * 0.7 * 3), **close)
    density = -log_z + 1.5 * np.log(2 * np.pi * noise**2)
    np.testing.assert_allclose(dm.DensityEnergy(where, clock)(t, X[0]), density, **close)


def test_the_density_integrates_to_one():
    one = dm.DiffusionPath(dm.VP(), dm.Empirical(jnp.asarray([[-1.0], [0.5]])))
    energy, grid = dm.DensityEnergy(one, clock="tau"), jnp.linspace(-12.0, 12.0, 4001)
    for t in (0.3, 0.8):
        density = jnp.exp(-jax.vmap(energy, in_axes=(None, 0))(jnp.asarray(t), grid[:, None]))
        np.testing.assert_allclose(np.trapezoid(density, grid), 1.0, rtol=1e-8)


def test_a_frozen_energy_does_not_see_the_time():
    energy = dm.FreeEnergy(path())
    frozen = dm.Frozen(energy, 0.4)
    assert float(frozen(5.0, X[0])) == float(frozen(-1.0, X[0])) == float(energy(0.4, X[0]))
    assert float(frozen.magnitude(5.0, X[0])) == float(energy.magnitude(0.4, X[0]))


def test_any_function_can_be_frozen():
    def bowl(t, x):
        return (1 + t) * (x @ x)

    frozen = dm.Frozen(bowl, 0.5)
    assert float(frozen(3.0, X[0])) == float(bowl(0.5, X[0]))
    np.testing.assert_allclose(frozen.magnitude(3.0, X[0]), 3 * bowl(0.5, X[0]) + 1, rtol=1e-14)
    found = dm.check(frozen, dm.GradientFlow(frozen), X, t0=0.0, t1=1.0, solver=dfx.Tsit5(), dt0=0.1)
    assert found.status == "holds"


# ------------------------------------------------------------------ refusals


REFUSED = {
    "activation='swish' is unknown": lambda: dm.Hopfield(COUPLINGS, BIAS, "swish"),
    "is not non-decreasing": lambda: dm.Hopfield(COUPLINGS, BIAS, jnp.sin),
    "increasing activation": lambda: dm.Elementwise(lagrangian=lambda x: -0.5 * x * x),
    "beta=-1.0": lambda: dm.LogSumExp(XI, -1.0),
    "beta=nan": lambda: dm.LogSumExp(XI, float("nan")),
    "F='quartic' is unknown": lambda: dm.DenseMemory(XI, "quartic"),
    "activation=.* is too rough": lambda: dm.Hopfield(COUPLINGS, BIAS, lambda u: jnp.floor(1e3 * u)),
    "beta=inf": lambda: dm.LogSumExp(XI, float("inf")),
    r"beta.shape=\(2,\): need one number": lambda: dm.LogSumExp(XI, jnp.ones(2)),
    "n=0": lambda: dm.DenseMemory(XI, "power", 0),
    "churn=-0.5": lambda: dm.FreeEnergy(path(), -0.5),
    r"churn.shape=\(3,\): need one number": lambda: dm.FreeEnergy(path(), jnp.ones(3)),
    r"beta_min.shape=\(2,\): need one number": lambda: dm.VP(jnp.full(2, 0.1)),
    r"xi.shape=\(0, 3\)": lambda: dm.LogSumExp(jnp.zeros((0, 3)), 1.0),
}


@pytest.mark.parametrize("message", REFUSED)
def test_bad_arguments_are_named(message):
    with pytest.raises(ValueError, match=message):
        REFUSED[message]()
