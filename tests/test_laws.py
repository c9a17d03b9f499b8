"""Known answers of the laws: limits, Gaussian data, sampling, derivatives in the patterns, and what is refused."""

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import dynamem as dm
from tests.catalogue import LAWS, WEIGHTS, XI, X, path


@eqx.filter_jit
def moments(law, y, s):
    return law.moments(y, s)


def test_one_gaussian_shrinks_towards_its_mean():
    """Data N(mu, c^2 I): m = mu + c^2/(c^2 + s^2) (y - mu), C = c^2 s^2/(c^2 + s^2) I, KL of two Gaussians."""
    mu, c, s = jnp.asarray([[1.0, -2.0, 0.5]]), 0.8, 1.3
    found = moments(dm.GaussianMixture(mu, jnp.asarray([c])), X[0], jnp.asarray(s))
    gain, offset = c**2 / (c**2 + s**2), np.asarray(X[0] - mu[0])
    np.testing.assert_allclose(found.mean, mu[0] + gain * offset, rtol=1e-13)
    np.testing.assert_allclose(found.trace, 3 * gain * s**2, rtol=1e-13)
    v = gain * s**2 / c**2
    kl = 0.5 * (3 * (v - 1 - np.log(v)) + (gain**2) * offset @ offset / c**2)
    np.testing.assert_allclose(found.kl, kl, rtol=1e-12)
    log_z = 1.5 * np.log(s**2 / (c**2 + s**2)) - offset @ offset / (2 * (c**2 + s**2))
    np.testing.assert_allclose(found.log_z, log_z, rtol=1e-12)


def test_a_mixture_of_scale_zero_is_the_empirical_law():
    mixture, empirical = dm.GaussianMixture(XI, jnp.zeros(5), WEIGHTS), dm.Empirical(XI, WEIGHTS)
    s = jnp.asarray(0.7)
    for left, right in zip(moments(mixture, X[0], s), moments(empirical, X[0], s), strict=True):
        np.testing.assert_allclose(left, right, rtol=1e-10)


@given(st.sampled_from(sorted(LAWS)), st.floats(-6.0, 8.0), st.integers(0, 999))
def test_bounds(name, log_s, seed):
    """KL and trace are non-negative, log Z non-positive, and the mean lies in the hull's ball, at every noise."""
    law, s = LAWS[name](), jnp.asarray(np.exp(log_s))
    y = jnp.asarray(np.random.default_rng(seed).normal(size=3)) * (1 + s)
    found = moments(law, y, s)
    assert all(np.all(np.isfinite(part)) for part in found)
    assert found.trace >= 0
    assert found.kl >= 0
    assert found.log_z <= 0
    if name != "GaussianMixture":
        assert np.linalg.norm(found.mean) <= np.linalg.norm(XI, axis=1).max() * (1 + 1e-12)
        # KL(w || u) is at most the log of the largest inverse weight.
        assert found.kl <= np.log(10.0) + 1e-12


def test_the_limits_of_small_and_large_noise():
    law = dm.Empirical(XI, WEIGHTS)
    cold, hot = moments(law, XI[1] + 0.01, jnp.asarray(1e-3)), moments(law, X[0], jnp.asarray(1e6))
    np.testing.assert_allclose(cold.mean, XI[1], atol=1e-13)
    np.testing.assert_allclose([cold.trace, cold.kl], [0.0, -np.log(0.4)], atol=1e-13)
    mean = np.asarray(WEIGHTS) @ np.asarray(XI)
    np.testing.assert_allclose(hot.mean, mean, atol=1e-10)
    np.testing.assert_allclose(hot.trace, np.asarray(WEIGHTS) @ ((np.asarray(XI) - mean) ** 2).sum(1), rtol=1e-9)
    squares = 0.5 * ((np.asarray(X[0]) - np.asarray(XI)) ** 2).sum(1)
    np.testing.assert_allclose(-1e12 * hot.log_z, np.asarray(WEIGHTS) @ squares, rtol=1e-6)
    np.testing.assert_allclose(hot.kl * 1e24, 0.5 * np.cov(squares, aweights=WEIGHTS, ddof=0), rtol=1e-5)


def test_a_pattern_of_weight_zero_does_not_exist():
    with_it = moments(dm.Empirical(XI, WEIGHTS), X[1], jnp.asarray(0.8))
    keep = np.flatnonzero(WEIGHTS)
    without = moments(dm.Empirical(XI[keep], WEIGHTS[keep]), X[1], jnp.asarray(0.8))
    for left, right in zip(with_it, without, strict=True):
        np.testing.assert_allclose(left, right, rtol=1e-12)


def test_the_denoiser_is_a_step_of_the_log_sum_exp_memory():
    s = 0.6
    np.testing.assert_allclose(
        dm.Empirical(XI).denoise(X[0], s), dm.LogSumExp(XI, 1 / s**2).update(X[0]), rtol=1e-12, atol=1e-13
    )


def test_the_denoiser_is_the_mean_of_what_was_corrupted():
    """Monte Carlo: among noisy draws near y, the patterns they came from average to m(y)."""
    index = jr.choice(jr.key(1), 5, (400_000,), p=WEIGHTS)
    clean = np.asarray(XI)[np.asarray(index)]
    noisy = clean + np.asarray(jr.normal(jr.key(2), clean.shape))
    near = clean[((noisy - np.asarray(X[0])) ** 2).sum(1) < 0.2**2]
    assert len(near) > 100
    spread = near.std(axis=0) / np.sqrt(len(near))
    mean = np.asarray(moments(dm.Empirical(XI, WEIGHTS), X[0], jnp.asarray(1.0)).mean)
    assert np.all(np.abs(near.mean(axis=0) - mean) < 5 * spread + 0.01)


def test_derivatives_in_the_patterns():
    """A law is trained through: the gradient in xi against finite differences."""

    def cost(xi):
        return jnp.sum(dm.Empirical(xi, WEIGHTS).denoise(X[0], jnp.asarray(0.9)) ** 2)

    slope, moves = jax.jit(jax.grad(cost))(XI), 1e-6 * np.random.default_rng(2).normal(size=(5, 3))
    along = (cost(XI + moves) - cost(XI - moves)) / 2
    np.testing.assert_allclose(along, np.sum(np.asarray(slope) * moves), rtol=1e-7)


BAD = XI.at[3, 1].set(jnp.nan)
REFUSED = {
    r"xi\[3\] holds NaN": lambda: dm.Empirical(BAD),
    r"means\[3\] holds NaN": lambda: dm.GaussianMixture(BAD, jnp.ones(5)),
    "weights=-0.1: weights must be non-negative": lambda: dm.Empirical(XI, jnp.asarray([0.5, -0.1, 0.2, 0.2, 0.2])),
    "weights sum to 1.25": lambda: dm.Empirical(XI, jnp.full(5, 0.25)),
    "weights=nan": lambda: dm.Empirical(XI, jnp.asarray([0.5, jnp.nan, 0.2, 0.2, 0.1])),
    "scales=-1.0": lambda: dm.GaussianMixture(XI, jnp.full(5, -1.0)),
    "s=0.0: must be finite and positive": lambda: dm.Empirical(XI).denoise(X[0], 0.0),
    "s=-1.0": lambda: dm.Empirical(XI).moments(X[0], -1.0),
    "churn=-1.0": lambda: dm.ReverseSDE(path(), -1.0),
    "temperature=-1.0": lambda: dm.Langevin(dm.LogSumExp(XI, 1.0), -1.0),
    "tau=0.0": lambda: dm.LagrangianFlow(dm.Hopfield(jnp.eye(3)), jnp.asarray([1.0, 0.0, 1.0])),
    "preconditioner has eigenvalue -1": lambda: dm.GradientFlow(dm.LogSumExp(XI, 1.0), jnp.asarray([1.0, -1.0, 1.0])),
    "preconditioner has eigenvalue 0": lambda: dm.GradientFlow(dm.LogSumExp(XI, 1.0), jnp.zeros((3, 3))),
}


@pytest.mark.parametrize("message", REFUSED)
def test_bad_arguments_are_named(message):
    with pytest.raises(ValueError, match=message):
        REFUSED[message]()
