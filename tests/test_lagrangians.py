"""Lagrangians of layers: one contract for all of them, formulas in NumPy, and what is refused."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import dynamem as dm
from dynamem.energies import negative_curvature
from tests.catalogue import BIAS, LAGRANGIANS, X


@eqx.filter_jit
def answers(lagrangian, xs, v):
    def one(x):
        hessian = lagrangian.hessian(x)
        image = hessian.mv(v)
        again = hessian.mv(lagrangian.solve(x, image))
        first = (lagrangian(x), lagrangian.size(x), lagrangian.g(x), jax.grad(lagrangian)(x))
        return *first, hessian.as_matrix(), image, again

    return jax.vmap(one)(xs)


@pytest.mark.parametrize("name", LAGRANGIANS)
def test_a_lagrangian_has_its_activation_as_gradient_and_a_convex_hessian(name):
    value, size, g, slope, matrix, image, again = answers(LAGRANGIANS[name](), X, BIAS)
    assert value.shape == (4,)
    np.testing.assert_allclose(g, slope, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(matrix, np.swapaxes(matrix, 1, 2), atol=1e-13)
    assert np.linalg.eigvalsh(matrix).min() > -1e-13
    np.testing.assert_allclose(image, matrix @ BIAS, atol=1e-13)
    np.testing.assert_allclose(again, image, rtol=1e-9, atol=1e-12)
    assert np.all(size >= np.abs(value))


LAYERS = {  # L of an array (2, 3): along the last axis
    "identity": lambda x: 0.5 * (x**2).sum(),
    "relu": lambda x: 0.5 * (np.maximum(x, 0) ** 2).sum(),
    "tanh": lambda x: np.log(np.cosh(x)).sum(),
    "sigmoid": lambda x: np.log1p(np.exp(x)).sum(),
    "exp": lambda x: np.exp(x).sum(),
    "softmax": lambda x: np.log(np.exp(x).sum(-1)).sum(),
    "spherical_norm": lambda x: np.sqrt((x**2).sum(-1) + 1e-5).sum(),
    "layer_norm": lambda x: 3 * np.sqrt(x.var(-1) + 1e-5).sum(),
}


@pytest.mark.parametrize("name", LAYERS)
def test_a_lagrangian_is_its_formula(name):
    """The formulas of Krotov 2021, arXiv 2107.06446, and of the Energy Transformer, arXiv 2302.07253, eq. 2."""
    x = X[:2]
    np.testing.assert_allclose(dm.Layer((2, 3), name).lagrangian(x), LAYERS[name](np.asarray(x)), rtol=1e-12)


def test_gains_and_powers():
    x = np.asarray(X[0])
    np.testing.assert_allclose(dm.Elementwise("tanh", beta=2.0).g(X[0]), np.tanh(2 * x), rtol=1e-14)
    np.testing.assert_allclose(dm.Elementwise("repu", n=4)(X[0]), (np.maximum(x, 0) ** 4).sum() / 4, rtol=1e-14)
    np.testing.assert_allclose(dm.Softmax(3.0)(X[0]), np.log(np.exp(3 * x).sum()) / 3, rtol=1e-13)
    normed = dm.LayerNorm(2.0, BIAS).g(X[0])
    np.testing.assert_allclose(normed, 2 * (x - x.mean()) / np.sqrt(x.var() + 1e-5) + BIAS, rtol=1e-12)


def _bowl(x):
    return 0.5 * x @ x


def _saddle(x):
    return 0.5 * (x @ x) - 1.2 * (x @ jnp.asarray([0.6, 0.8, 0.0])) ** 2


def test_the_direction_of_negative_curvature_is_found():
    """Hess = I - 2.4 u u^T has the eigenvalue -1.4 along u = (0.6, 0.8, 0)."""
    least, direction = negative_curvature(dm.Lagrangian(_saddle), X[0])
    np.testing.assert_allclose(least, -1.4, rtol=1e-12)
    np.testing.assert_allclose(np.abs(direction), [0.6, 0.8, 0.0], atol=1e-12)
    assert negative_curvature(dm.Lagrangian(_bowl), X[0])[0] == pytest.approx(1.0)


def test_one_bad_direction_among_three_hundred_is_found():
    far = np.zeros(300)
    far[123] = 1.0
    lagrangian = dm.Lagrangian(lambda x: _bowl(x) - (x @ jnp.asarray(far)) ** 2)
    least, direction = negative_curvature(lagrangian, jnp.ones(300))
    np.testing.assert_allclose(least, -1.0, rtol=1e-9)
    np.testing.assert_allclose(np.abs(direction), far, atol=1e-6)


REFUSED = {
    r"is not convex: its curvature is -1.4 along \(": lambda: dm.Layer(3, _saddle),
    "is not convex": lambda: dm.Layer((2, 2), lambda x: jnp.sum(jnp.cos(x))),
    r"returns shape \(3,\): it must be one number": lambda: dm.Layer(3, jnp.tanh),
    "give one of the two": lambda: dm.Elementwise("tanh", lagrangian=jnp.cosh),
    "gamma=-0.5: a negative gain": lambda: dm.LayerNorm(-0.5),
    "gamma=-1.0: a negative gain": lambda: dm.SphericalNorm(-1.0),
    r"gamma.shape=\(3,\): need one number": lambda: dm.LayerNorm(jnp.ones(3)),
    "eps=0.0": lambda: dm.SphericalNorm(1.0, 0.0),
    r"delta.shape=\(2,\)": lambda: dm.LayerNorm(1.0, jnp.ones(2))(X[0]),
    "beta=0.0": lambda: dm.Softmax(0.0),
    "beta=-2.0": lambda: dm.Elementwise("tanh", beta=-2.0),
    "it falls near x = -8": lambda: dm.Elementwise(lambda x: jnp.exp(x) - 0.02 * x),
    "n=1: need a whole number": lambda: dm.Elementwise("repu", n=1),
    "lagrangian='swish' is unknown": lambda: dm.Layer(3, "swish"),
    r"shape=\(0,\)": lambda: dm.Layer(0),
    r"bias.shape=\(2,\)": lambda: dm.Layer(3, "tanh", jnp.zeros(2)),
    "tau=0.0": lambda: dm.Layer(3, "tanh", tau=0.0),
}


@pytest.mark.parametrize("message", REFUSED)
def test_bad_arguments_are_named(message):
    with pytest.raises(ValueError, match=message):
        REFUSED[message]()


def test_the_search_compiles_once_for_a_function():
    calls = []

    def counted(x):
        calls.append(x)
        return jnp.sum(jnp.cosh(x))

    dm.Layer(3, counted)
    first = len(calls)
    dm.Layer(3, counted)
    assert len(calls) - first < first


def test_what_is_asked_for_is_taken():
    assert dm.Layer(3, dm.Lagrangian(_saddle, nonconvex=True)).size == 3
    assert dm.LayerNorm(-0.5, nonconvex=True).gamma == -0.5
    assert dm.Elementwise(jnp.sin, nonconvex=True).nonconvex


def test_a_function_of_unknown_values_passes():
    """Under a transformation there is nothing to search: the flag is the user's."""

    def value(w):
        return dm.Layer(3, lambda x: w * jnp.sum(x**4)).lagrangian(X[0])

    np.testing.assert_allclose(jax.jit(value)(2.0), 2 * np.sum(np.asarray(X[0]) ** 4), rtol=1e-13)
    np.testing.assert_allclose(jax.grad(value)(2.0), np.sum(np.asarray(X[0]) ** 4), rtol=1e-13)
