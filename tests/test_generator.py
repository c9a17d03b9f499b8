"""The generator against formulas written out independently, for every form in which Diffrax writes noise."""

import warnings

import diffrax as dfx
import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import lineax as lx
import numpy as np
import pytest

import dynamem as dm
from tests.catalogue import ENERGIES, FLOWS, X


T, STATE = jnp.asarray(0.4), X[0]
MATRIX = jnp.asarray([[1.0, 0.2], [0.0, -0.5], [0.3, 0.7]])
SQUARE = jnp.asarray([[1.0, 0.2, 0.0], [0.0, 0.5, 0.1], [0.3, 0.0, 0.7]])
NOISE = dfx.UnsafeBrownianPath((3,), jr.key(0))


def energy(t, x):
    return 0.25 * jnp.sum(x**4) + x[0] * x[1] + jnp.sin(t) * x[2]


def slope(t, x):
    return x**3 + np.asarray([x[1], x[0], np.sin(t)])


def hessian(x):
    return np.diag(3 * x**2) + np.asarray([[0.0, 1, 0], [1, 0, 0], [0, 0, 0]])


def pull(t, x, args):
    return -jnp.roll(x, 1) * (1 + t)


def matrix(t, x, args):
    return MATRIX * (1 + x[0] ** 2)


def vector(t, x, args):
    return jnp.cos(x) + t


def diagonal(t, x, args):
    return lx.DiagonalLinearOperator(1 + x**2)


def dense(t, x, args):
    return lx.MatrixLinearOperator(SQUARE * (1 + t))


def reference(columns):
    """dE/dt + grad E . f + tr(g^T H g)/2 in NumPy, for noise columns (D, m)."""
    t, x = float(T), np.asarray(STATE)
    drift = -np.roll(x, 1) * (1 + t)
    return np.cos(t) * x[2] + slope(t, x) @ drift + 0.5 * np.trace(columns.T @ hessian(x) @ columns)


@eqx.filter_jit
def at(generator, t, x):
    return generator(t, x, None)


def rate(terms, how="ito"):
    return at(dm.generator(energy, terms, how), T, STATE)


def noisy(field):
    return dfx.MultiTerm(dfx.ODETerm(pull), dfx.ControlTerm(field, NOISE))


COLUMNS = {
    "array (D, m)": (matrix, np.asarray(MATRIX * (1 + STATE[0] ** 2))),
    "array (D,)": (vector, np.asarray(jnp.cos(STATE) + T)[:, None]),
    "diagonal operator": (diagonal, np.diag(np.asarray(1 + STATE**2))),
    "dense operator": (dense, np.asarray(SQUARE * (1 + T))),
}


def test_ode_term():
    found = rate(dfx.ODETerm(pull))
    np.testing.assert_allclose(found.total, reference(np.zeros((3, 1))), rtol=1e-12)
    assert float(found.ito) == 0.0
    alone = rate(dfx.MultiTerm(dfx.ODETerm(pull), dfx.ODETerm(pull)))
    np.testing.assert_allclose(alone.drift + alone.dissipation, 2 * (found.drift + found.dissipation), rtol=1e-12)


@pytest.mark.parametrize("form", COLUMNS)
def test_control_term(form):
    field, columns = COLUMNS[form]
    np.testing.assert_allclose(rate(noisy(field)).total, reference(columns), rtol=1e-11)


def test_noise_terms_side_by_side():
    other = dfx.VirtualBrownianTree(0.0, 1.0, 1e-2, NOISE.shape.shape, jax.random.key(7))
    both = dfx.MultiTerm(dfx.ODETerm(pull), dfx.ControlTerm(dense, NOISE), dfx.ControlTerm(diagonal, other))
    columns = np.concatenate([COLUMNS["dense operator"][1], COLUMNS["diagonal operator"][1]], axis=1)
    np.testing.assert_allclose(rate(both).total, reference(columns), rtol=1e-11)


def test_noise_terms_that_share_one_path_add():
    """The very same Brownian path in two terms is one noise with the sum of their matrices, as in Diffrax."""
    both = dfx.MultiTerm(dfx.ODETerm(pull), dfx.ControlTerm(dense, NOISE), dfx.ControlTerm(diagonal, NOISE))
    total = COLUMNS["dense operator"][1] + COLUMNS["diagonal operator"][1]
    np.testing.assert_allclose(rate(both).total, reference(total), rtol=1e-11)


def test_weakly_diagonal_control_term():
    """Diffrax's old diagonal form is read as a diagonal, never as one column."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        old = dfx.WeaklyDiagonalControlTerm(vector, NOISE)
        found = rate(dfx.MultiTerm(dfx.ODETerm(pull), old))
    np.testing.assert_allclose(found.total, reference(np.diag(np.asarray(jnp.cos(STATE) + T))), rtol=1e-11)


@pytest.mark.parametrize("name", FLOWS)
def test_parts_sum_to_the_total_and_match_the_definition(name):
    """The definition in dense form: Jacobian-free NumPy on gradient, Hessian, drift and matrix."""
    build, (t0, _) = FLOWS[name]
    flow, t = build(), jnp.asarray(t0)
    found = at(dm.generator(energy, flow), t, STATE)
    parts = [float(part) for part in (found.schedule, found.dissipation, found.drift, found.ito)]
    np.testing.assert_allclose(sum(parts), found.total, rtol=1e-12, atol=1e-13)
    x, time = np.asarray(STATE), float(t)
    operator, mobility = flow.diffusion(t, STATE, None), flow.mobility(t, STATE)
    columns = np.zeros((3, 1)) if operator is None else np.asarray(operator.as_matrix())
    moved = np.eye(3) if mobility is None else np.asarray(mobility.as_matrix())
    np.testing.assert_allclose(parts[0], np.cos(time) * x[2], rtol=1e-12)
    np.testing.assert_allclose(parts[1], -slope(time, x) @ moved @ slope(time, x), rtol=1e-12)
    total_drift = slope(time, x) @ np.asarray(flow.drift(t, STATE, None))
    np.testing.assert_allclose(parts[1] + parts[2], total_drift, rtol=1e-11, atol=1e-12)
    np.testing.assert_allclose(parts[3], 0.5 * np.trace(columns.T @ hessian(x) @ columns), rtol=1e-11, atol=1e-14)


def test_gradient_flow_is_all_dissipation():
    flow = FLOWS["GradientFlow[matrix]"][0]()
    found = at(dm.generator(flow.energy, flow), T, STATE)
    assert abs(float(found.drift)) < 1e-12 * abs(float(found.dissipation))
    hopfield = FLOWS["LagrangianFlow"][0]()
    found = at(dm.generator(hopfield.energy, hopfield), T, STATE)
    assert abs(float(found.drift)) < 1e-12 * abs(float(found.dissipation))


# ------------------------------------------------------------ Stratonovich


def growth(t, x, args):
    return lx.DiagonalLinearOperator(0.6 * x)


def nothing(t, x, args):
    return jnp.zeros_like(x)


def linear(t, x):
    return jnp.sum(x)


def test_stratonovich_correction_of_geometric_brownian_motion():
    """Dx = s x o dW has the Ito drift s^2 x/2, which a linear energy shows."""
    terms = dfx.MultiTerm(dfx.ODETerm(nothing), dfx.ControlTerm(growth, NOISE))
    ito = at(dm.generator(linear, terms), T, STATE)
    stratonovich = at(dm.generator(linear, terms, "stratonovich"), T, STATE)
    assert abs(float(ito.total)) < 1e-14
    np.testing.assert_allclose(stratonovich.total, 0.5 * 0.36 * np.sum(np.asarray(STATE)), rtol=1e-12)


def test_stratonovich_of_additive_noise_is_ito():
    np.testing.assert_allclose(rate(noisy(dense)).total, rate(noisy(dense), "stratonovich").total, rtol=1e-14)
    assert abs(float(rate(noisy(matrix)).total - rate(noisy(matrix), "stratonovich").total)) > 1e-3


# -------------------------------------------------------------- refusals


def test_a_smooth_control_is_refused():
    smooth = dfx.LinearInterpolation(jnp.asarray([0.0, 1.0]), jnp.zeros((2, 3)))
    with pytest.raises(ValueError, match="control=LinearInterpolation"):
        dm.generator(energy, dfx.ControlTerm(diagonal, smooth))


def test_an_unknown_term_is_refused_by_name():
    with pytest.raises(ValueError, match="flow=str"):
        dm.generator(energy, "gradient descent")
    with pytest.raises(ValueError, match="flow=MultiTerm"):
        dm.generator(energy, dfx.MultiTerm(noisy(dense), dfx.ODETerm(pull)))


def test_a_wrongly_shaped_diffusion_is_refused():
    with pytest.raises(ValueError, match=r"diffusion\.shape=\(2, 3\)"):
        rate(dfx.ControlTerm(lambda t, x, args: MATRIX.T, NOISE))


# ----------------------------------------------------------- Monte Carlo


@eqx.filter_jit
def mean_change(h, noise):
    """Antithetic pairs of one Euler-Maruyama step, the energy's change divided by h."""
    ahead = STATE + h * pull(T, STATE, None)

    def one(z):
        kick = jnp.sqrt(h) * (matrix(T, STATE, None) @ z)
        return 0.5 * (energy(T + h, ahead + kick) + energy(T + h, ahead - kick)) - energy(T, STATE)

    return jax.vmap(one)(noise) / h


def test_the_generator_is_the_mean_rate_of_change():
    found = np.asarray(mean_change(jnp.asarray(1e-5), jr.normal(jr.key(3), (40_000, 2))))
    total, spread = float(rate(noisy(matrix)).total), found.std() / np.sqrt(found.size)
    assert abs(found.mean() - total) < 4 * spread + 1e-3 * abs(total)
    without = total - float(rate(noisy(matrix)).ito)
    assert abs(found.mean() - without) > 20 * spread


@pytest.mark.parametrize("name", ["FreeEnergy[lam]", "DensityEnergy[tau]"])
def test_the_closed_laplacian_serves_isotropic_noise(name):
    build, time = ENERGIES[name]
    chosen, t = build(), jnp.asarray(time)
    flow = FLOWS["ReverseSDE[lam]" if "lam" in name else "ReverseSDE[tau]"][0]()
    found = at(dm.generator(chosen, flow), t, STATE)
    trace = np.trace(np.asarray(jax.hessian(chosen, argnums=1)(t, STATE)))
    scale = float(flow.diffusion(t, STATE, None).as_matrix()[0, 0])
    np.testing.assert_allclose(found.ito, 0.5 * scale**2 * trace, rtol=1e-9)
