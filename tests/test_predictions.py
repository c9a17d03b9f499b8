"""Predictions of networks: every parametrisation from every other one, exactly, and where that is ill-conditioned."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import dynamem as dm
from dynamem._errors import InputError
from dynamem.diffusion import Point
from tests.catalogue import WEIGHTS, XI, Ideal, IdealEDM, X


NAMES = ("x0", "eps", "score", "v", "velocity", "edm")
CALM = ("v", "velocity", "edm")
LAW = dm.Empirical(XI, WEIGHTS)


def by_definition(x0, eps, alpha, sigma, slopes, c):
    """Each prediction as its source prints it; F from D = c_skip y + c_out F (arXiv 2206.00364, table 1)."""
    y, s = x0 + sigma / alpha * eps, sigma / alpha
    keep, out = c**2 / (s**2 + c**2), s * c / np.sqrt(s**2 + c**2)
    return {
        "x0": x0,
        "eps": eps,
        "score": -eps / sigma,
        "v": alpha * eps - sigma * x0,
        "velocity": slopes[0] * x0 + slopes[1] * eps,
        "edm": (x0 - keep * y) / out,
    }


@eqx.filter_jit
def all_pairs(values, x, alpha, sigma, slopes, c):
    kw = {"slopes": slopes, "sigma_data": c}
    there = {(a, b): dm.convert(values[a], x, alpha, sigma, of=a, to=b, **kw) for a in NAMES for b in NAMES}
    back = {(a, b): dm.convert(there[a, b], x, alpha, sigma, of=b, to=a, **kw) for a, b in there}
    return there, back


def case(seed, alpha, sigma, slopes, c=0.5):
    x0, eps = np.random.default_rng(seed).normal(size=(2, 3))
    exact = by_definition(x0, eps, alpha, sigma, slopes, c)
    arrays = jax.tree.map(jnp.asarray, (exact, alpha * x0 + sigma * eps, alpha, sigma, slopes, c))
    return exact, *all_pairs(*arrays)


@given(st.integers(0, 99), st.floats(0.05, 1.0), st.floats(0.05, 3.0), st.floats(-3.0, 0.0), st.floats(0.2, 2.0))
def test_every_prediction_from_every_other_and_back(seed, alpha, sigma, fall, c):
    exact, there, back = case(seed, alpha, sigma, (fall, 1.0), c)
    for (one, other), found in there.items():
        close = {"rtol": 1e-9, "atol": 1e-9 * (1 + np.abs(exact[other]).max())}
        np.testing.assert_allclose(found, exact[other], **close, err_msg=f"{one} to {other}")
        np.testing.assert_allclose(back[one, other], exact[one], **close, err_msg=f"{one} to {other} and back")


def test_a_wrong_sign_is_caught():
    exact, there, _ = case(0, 0.6, 0.8, (-1.0, 1.0))
    twin = 0.6 * exact["x0"] * 0.8 - 0.8 * exact["eps"]  # sigma x0 - alpha eps has the wrong sign
    assert np.abs(there["eps", "v"] - twin).max() > 0.1
    assert np.abs(there["score", "x0"] - (exact["score"] * 0.8**2 - exact["x0"])).max() > 0.1


def errors(alpha, sigma):
    """The largest error of ``x_0`` and of ``eps`` from each prediction in float32, all made in float64."""
    x0, eps = np.random.default_rng(1).normal(size=(2, 3))
    exact = by_definition(x0, eps, alpha, sigma, (-1.0, 1.0), 0.5)
    values, x = jax.tree.map(lambda a: jnp.asarray(a, jnp.float32), (exact, alpha * x0 + sigma * eps))
    kw = {"slopes": (-1.0, 1.0)}
    return {
        of: tuple(
            float(np.abs(np.asarray(dm.convert(values[of], x, alpha, sigma, of=of, to=to, **kw)) - exact[to]).max())
            for to in ("x0", "eps")
        )
        for of in NAMES
    }


@pytest.mark.parametrize("alpha", [1e-1, 1e-3, 1e-6])
def test_near_pure_noise_in_float32(alpha):
    """``x_0`` from eps and score is lost by ``sigma/alpha``; from the others it is not."""
    found = errors(alpha, np.sqrt(1 - alpha**2))
    for of in ("x0", *CALM):
        assert max(found[of]) < 2e-6, of
    for of in ("eps", "score"):
        assert found[of][1] < 1e-6
        assert 1e-9 / alpha < found[of][0] < 1e-6 / alpha


@pytest.mark.parametrize("sigma", [1e-1, 1e-3, 1e-6])
def test_near_the_data_in_float32(sigma):
    """``eps`` from x0 is lost by ``alpha/sigma``, and so is all but x0 from x0."""
    found = errors(np.sqrt(1 - sigma**2), sigma)
    for of in ("eps", "score", *CALM):
        assert max(found[of]) < 2e-6, of
    assert 1e-9 / sigma < found["x0"][1] < 1e-6 / sigma


@eqx.filter_jit
def drift(flow, t, x):
    return flow.drift(t, x, None)


def test_zero_terminal_signal():
    """Eps and score say nothing of the pattern where ``alpha = 0``: refused if known, NaN in a compiled program."""
    x = X[0]
    for of in ("eps", "score"):
        with pytest.raises(InputError, match=rf"alpha=0\.0, sigma=1\.0: '{of}' does not determine 'x0'"):
            dm.convert(x, x, 0.0, 1.0, of=of, to="x0")
        alpha = jnp.asarray(0.0)
        assert np.all(np.isnan(jax.jit(lambda a, of=of: dm.convert(x, x, a, 1.0, of=of, to="v"))(alpha)))
        schedule = dm.FlowMatching()
        path = dm.DiffusionPath(schedule, dm.Prediction(Ideal(of), of, schedule))
        assert np.all(np.isnan(drift(dm.ProbabilityFlow(path, "tau"), jnp.asarray(0.0), x)))
        with pytest.raises(InputError, match="zero terminal SNR"):
            dm.ProbabilityFlow(path, "tau").drift(jnp.asarray(0.0), x, None)
    np.testing.assert_allclose(dm.convert(-x, x, 0.0, 1.0, of="v", to="x0"), x)
    np.testing.assert_allclose(dm.convert(x, x, 0.0, 2.0, of="score", to="eps"), -2 * x)
    with pytest.raises(InputError, match=r"sigma=0\.0: 'x0' does not determine 'eps'"):
        dm.convert(x, x, 1.0, 0.0, of="x0", to="eps")


@pytest.mark.parametrize("of", NAMES)
def test_a_perfect_network_is_the_exact_denoiser(of):
    """On another schedule than the network's own, and on both clocks; without a schedule the network gets (y, s)."""
    model = dm.Prediction(IdealEDM(), "edm") if of == "edm" else dm.Prediction(Ideal(of), of, dm.FlowMatching())
    for s in (0.1, 1.0, 7.0):
        np.testing.assert_allclose(model.denoise(X[0], s), LAW.denoise(X[0], s), rtol=1e-8, atol=1e-9)
    where, exact = (dm.DiffusionPath(dm.VP(), law) for law in (model, LAW))
    for clock, t in (("lam", 0.3), ("tau", 0.4)):
        left, right = (dm.ProbabilityFlow(path, clock).drift(jnp.asarray(t), X[0], None) for path in (where, exact))
        np.testing.assert_allclose(left, right, rtol=1e-8, atol=1e-8)


def test_without_a_schedule_the_model_gets_y_and_s():
    model = dm.Prediction(LAW.denoise, "x0")
    np.testing.assert_allclose(model.denoise(X[0], 0.7), LAW.denoise(X[0], 0.7), rtol=1e-14)
    point = Point(0.3 * X[0], jnp.asarray(0.3), jnp.asarray(0.21))
    np.testing.assert_allclose(model.mean(point), LAW.denoise(X[0], 0.7), rtol=1e-13)
    slope = dm.Prediction(lambda y, s: (y - LAW.denoise(y, s)) / s, "velocity")  # dy/ds
    np.testing.assert_allclose(slope.denoise(X[0], 0.7), LAW.denoise(X[0], 0.7), rtol=1e-13)


def test_a_known_answer_of_edm():
    """A network that returns 0 leaves ``c_skip y``: the posterior mean of Gaussian data of standard deviation c."""
    seen = {}

    def silent(x, c_noise):
        seen["x"], seen["c_noise"] = x, c_noise
        return jnp.zeros_like(x)

    model, y, s, c = dm.Prediction(silent, "edm", sigma_data=0.7), X[0], 1.3, 0.7
    np.testing.assert_allclose(model.denoise(y, s), c**2 / (s**2 + c**2) * y, rtol=1e-14)
    np.testing.assert_allclose(seen["x"], y / np.sqrt(s**2 + c**2), rtol=1e-14)
    np.testing.assert_allclose(seen["c_noise"], np.log(s) / 4, rtol=1e-14)
    model.mean(Point(y.astype(jnp.float32), jnp.zeros((), jnp.float32), jnp.ones((), jnp.float32)))
    assert np.isfinite(seen["c_noise"])


BAD = {
    "schedule=VP: of='edm' is a network of": lambda: dm.Prediction(IdealEDM(), "edm", dm.VP()),
    "sigma_data=0.0: must be finite and positive": lambda: dm.Prediction(IdealEDM(), "edm", sigma_data=0.0),
    r"model=<lambda>: gives shape \(2,\)": lambda: dm.Prediction(lambda x, t: x[:2], "x0").denoise(X[0], 1.0),
    "model=half: gives shape .* dtype float32 for a state": lambda: dm.Prediction(half, "x0").denoise(X[0], 1.0),
    r"lam=9\.\d+ is not reached": lambda: dm.Prediction(Ideal("v"), "v", dm.VE()).denoise(X[0], 1e-4),
    "slopes=None: 'velocity' is": lambda: dm.convert(X[0], X[0], 0.5, 0.5, of="velocity", to="x0"),
    r"value\.shape=\(4, 3\), x\.shape=\(3,\)": lambda: dm.convert(X, X[0], 0.5, 0.5, of="x0", to="v"),
}


def half(x, t):
    return x.astype(jnp.float32)


@pytest.mark.parametrize("message", BAD)
def test_what_cannot_be_used_is_named(message):
    with pytest.raises(InputError, match=message):
        BAD[message]()
