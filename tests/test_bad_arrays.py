"""Arrays that are refused or converted where they enter, each named; the runtime type checks stand aside here."""

import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest

import dynamem as dm
from dynamem._errors import InputError
from dynamem.kernels import tilt
from tests.catalogue import WEIGHTS, XI, X, path


SHORT = X[0, :2]
HOLED, ENDLESS = XI.at[3, 1].set(jnp.nan), XI.at[0, 2].set(jnp.inf)


@pytest.fixture(autouse=True)
def _plain(monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)


REFUSED = {
    "s=0.0: must be finite and positive": lambda: dm.retrieve(XI, X, 0.0),
    "s=-1.0": lambda: dm.retrieve(XI, X, jnp.asarray([1.0, -1.0, 1.0, 1.0])),
    "s=nan": lambda: dm.retrieve(XI, X, float("nan")),
    r"s.shape=\(3,\): need \(\) or one noise level for each query, shape \(4,\)": lambda: dm.retrieve(
        XI, X, jnp.ones(3)
    ),
    r"s.shape=\(1,\)": lambda: dm.retrieve(XI, X[0], jnp.ones(1)),
    "weights=-0.5: weights must be non-negative": lambda: dm.retrieve(XI, X, 1.0, WEIGHTS.at[0].set(-0.5)),
    "weights sum to 1.25": lambda: dm.retrieve(XI, X, 1.0, jnp.full(5, 0.25)),
    r"weights.shape=\(4,\)": lambda: dm.retrieve(XI, X, 1.0, jnp.full(4, 0.25)),
    r"patterns\[3\] holds NaN or infinity": lambda: dm.retrieve(HOLED, X, 1.0),
    r"patterns\[0\] holds NaN or infinity": lambda: dm.retrieve(ENDLESS, X, 1.0),
    r"patterns.shape=\(3,\)": lambda: dm.retrieve(XI[0], X, 1.0),
    r"patterns.shape=\(0, 3\)": lambda: dm.retrieve(XI[:0], X, 1.0),
    r"queries.shape=\(4, 2\): patterns of shape \(5, 3\) need \(3,\) or \(B, 3\)": lambda: dm.retrieve(
        XI, X[:, :2], 1.0
    ),
    r"queries.shape=\(1, 4, 3\)": lambda: dm.retrieve(XI, X[None], 1.0),
    r"queries.shape=\(\)": lambda: dm.retrieve(XI, jnp.asarray(1.0), 1.0),
    "precision='half'": lambda: dm.retrieve(XI, X, 1.0, precision="half"),
    "patterns.dtype='object'": lambda: dm.retrieve(np.asarray(XI, object), X, 1.0),
    "queries.dtype='<U3'": lambda: dm.retrieve(XI, np.asarray(["one"] * 3), 1.0),
    "patterns.dtype='complex128'": lambda: dm.retrieve(XI.astype(complex), X, 1.0),
    "rows of different lengths": lambda: dm.retrieve([[1.0], [1.0, 2.0]], X, 1.0),
    r"xi\[3\] holds NaN or infinity: remove or repair that row": lambda: dm.LogSumExp(HOLED, 1.0),
    r"xi\[0\] holds NaN or infinity": lambda: dm.DenseMemory(ENDLESS),
    r"W\[3\] holds NaN or infinity": lambda: dm.Hopfield(jnp.eye(5).at[3, 3].set(jnp.nan)),
    r"bias\[1\] holds NaN or infinity: .* that entry": lambda: dm.Hopfield(jnp.eye(2), jnp.asarray([0, jnp.inf])),
    "n=2.5": lambda: dm.DenseMemory(XI, n=2.5),
    r"W.shape=\(5, 3\)": lambda: dm.Hopfield(XI),
    "xi.dtype='object'": lambda: dm.LogSumExp(np.asarray(XI, object), 1.0),
    r"state.shape=\(2,\) and patterns.shape=\(5, 3\): need \(D,\) and \(N, D\)": lambda: dm.LogSumExp(XI, 1.0)(
        0.0, SHORT
    ),
    r"state.shape=\(2,\) and xi.shape=\(5, 3\)": lambda: dm.DenseMemory(XI)(0.0, SHORT),
    r"state.shape=\(2,\) and W.shape=\(3, 3\)": lambda: dm.Hopfield(jnp.eye(3))(0.0, SHORT),
    r"state.shape=\(2,\) and patterns.shape=\(5, 3\)": lambda: dm.Empirical(XI).denoise(SHORT, 0.5),
    r"state.shape=\(4, 3\) and patterns.shape=\(5, 3\): .* jax.vmap": lambda: dm.Empirical(XI).moments(X, 0.5),
    r"state.shape=\(2,\) and means.shape=\(5, 3\)": lambda: dm.GaussianMixture(XI, jnp.ones(5)).denoise(SHORT, 0.5),
    r"state.shape=\(2,\) and patterns.shape=\(5, 3\): need \(D,\)": lambda: dm.FreeEnergy(path())(0.3, SHORT),
    r"state.shape=\(\) and patterns.shape=\(5, 3\)": lambda: dm.DensityEnergy(path())(0.3, X[0, 0]),
    "weights.dtype='object'": lambda: dm.Empirical(XI, np.asarray(WEIGHTS, object)),
    "scales.dtype='object'": lambda: dm.GaussianMixture(XI, np.asarray(WEIGHTS, object)),
    r"log_weights.shape=\(4,\)": lambda: tilt(XI, jnp.zeros(4), X[0], 1.0),
}


@pytest.mark.parametrize("message", REFUSED)
def test_bad_arrays_are_named(message):
    with pytest.raises(InputError, match=message) as caught:
        REFUSED[message]()
    assert "\n" not in str(caught.value)


def test_what_is_not_known_is_not_refused():
    found = jax.jit(dm.retrieve)(XI, X, 0.0, WEIGHTS)
    assert np.all(np.isnan(found.lse))


WHOLE = np.asarray([[0, 1, 1], [2, 0, 1], [1, 1, 0], [3, 1, 2], [0, 0, 1]])
CONVERTED = {
    "patterns": lambda xi: dm.retrieve(xi, X, 0.5).mean,
    "queries": lambda xi: dm.retrieve(XI, xi, 0.5).mean,
    "patterns of tilt": lambda xi: tilt(xi, None, X[0], 1.0).mean,
    "xi of Empirical": lambda xi: dm.Empirical(xi, WEIGHTS).denoise(X[0], 0.5),
    "means": lambda xi: dm.GaussianMixture(xi, WEIGHTS).denoise(X[0], 0.5),
    "scales": lambda xi: dm.GaussianMixture(XI, xi[:, 2]).denoise(X[0], 0.5),
    "weights": lambda xi: dm.Empirical(XI[:3], xi[4]).denoise(X[0], 0.5),
    "xi of LogSumExp": lambda xi: dm.LogSumExp(xi, 2.0)(0.0, X[0]),
    "xi of DenseMemory": lambda xi: dm.DenseMemory(xi)(0.0, X[0]),
    "W": lambda xi: dm.Hopfield(xi[:3])(0.0, X[0]),
    "eta": lambda xi: tilt(XI, None, xi[0], 1.0).mean,
}


@pytest.mark.parametrize("name", CONVERTED)
@pytest.mark.parametrize("dtype", ["int64", "uint8", "bool"])
def test_whole_numbers_are_converted_with_a_message(name, dtype):
    given = jnp.asarray(WHOLE.astype(dtype))
    with pytest.warns(UserWarning, match=f"{name.split()[0]} has dtype {dtype}: converted to float64") as caught:
        found = CONVERTED[name](given)
    assert len(caught) == 1
    np.testing.assert_array_equal(found, CONVERTED[name](given.astype(float)))
