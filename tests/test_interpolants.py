"""Flow matching and stochastic interpolants: velocities as conditional expectations, and the laws that they carry."""

import diffrax as dfx
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import dynamem as dm
from dynamem._errors import InputError
from tests.catalogue import WEIGHTS, XI, X, path


@pytest.mark.parametrize("build", [dm.FlowMatching, dm.Trigonometric, dm.Cosine])
def test_the_drift_is_the_velocity_of_flow_matching(build):
    """``E[dx/dtau | x]`` over the patterns, written out (arXiv 2210.02747, 2303.08797)."""
    schedule, law = build(), dm.Empirical(XI, WEIGHTS)
    flow, xi, u = dm.ProbabilityFlow(path(schedule, law), "tau"), np.asarray(XI), np.asarray(WEIGHTS)
    for tau in (0.1, 0.5, 0.9):
        t = 1 - tau
        alpha, sigma, falls, grows = (
            float(f(t)) for f in (schedule.alpha, schedule.sigma, schedule.alpha_dot, schedule.sigma_dot)
        )
        x = np.asarray(X[0])
        w = u * np.exp(-((x - alpha * xi) ** 2).sum(1) / (2 * sigma**2))
        eps = (x - alpha * xi) / sigma
        velocity = (w[:, None] * -(falls * xi + grows * eps)).sum(0) / w.sum()
        np.testing.assert_allclose(flow.drift(jnp.asarray(tau), X[0], None), velocity, rtol=1e-10)
        if build is dm.FlowMatching:
            np.testing.assert_allclose(velocity, (w[:, None] * (xi - eps)).sum(0) / w.sum(), rtol=1e-12)


def test_trigonometric_is_cosine_without_an_offset_and_smooth_at_both_ends():
    one, other = dm.Trigonometric(), dm.Cosine(0.0)
    for t in (0.01, 0.5, 0.99):
        left, right = ((s.alpha(t), s.sigma(t), s.f(t), s.g2(t)) for s in (one, other))
        np.testing.assert_allclose(left, right, rtol=1e-9)
        np.testing.assert_allclose(one.alpha(t) ** 2 + one.sigma(t) ** 2, 1.0, rtol=1e-14)
    ends = [float(f(t)) for f in (one.alpha, one.sigma, one.alpha_dot, one.sigma_dot) for t in (0.0, 1.0)]
    np.testing.assert_allclose(ends, [1, 0, 0, 1, 0, -np.pi / 2, np.pi / 2, 0], atol=1e-15)


# ---------------------------------------------------------------- two-sided

A, B = jnp.asarray([[0.0, 0.0], [3.0, 1.0]]), jnp.asarray([[5.0, -1.0], [4.0, 4.0], [6.0, 2.0]])


def wave(t):
    return jnp.square(jnp.sin(jnp.pi * t))


def by_brute_force(a, b, gamma, slope, t, x):
    """``E[dI/dt | I = x]`` over all pairs, one by one."""
    total, velocity = 0.0, 0.0
    for one in np.asarray(a):
        for other in np.asarray(b):
            z = (x - (1 - t) * one - t * other) / gamma
            weight = np.exp(-0.5 * (z**2).sum())
            total, velocity = total + weight, velocity + weight * (other - one + slope * z)
    return velocity / total


def test_the_velocity_is_the_conditional_expectation():
    x = np.asarray([2.0, 0.5])
    for t in (0.1, 0.5, 0.8):
        root = 0.7 * np.sqrt(t * (1 - t))
        cases = (
            (0.7, root, 0.7 * (1 - 2 * t) / (2 * np.sqrt(t * (1 - t)))),
            (wave, np.sin(np.pi * t) ** 2, np.pi * np.sin(2 * np.pi * t)),
        )
        for given, gamma, slope in cases:
            found = dm.Interpolant(A, B, given).drift(t, jnp.asarray(x), None)
            np.testing.assert_allclose(found, by_brute_force(A, B, gamma, slope, t, x), rtol=1e-10)
            assert np.abs(np.asarray(found) - by_brute_force(A, B, gamma, -slope, t, x)).max() > 1e-3 or t == 0.5


@eqx.filter_jit
def carried(flow, xs):
    def one(x):
        controller = dfx.PIDController(rtol=1e-7, atol=1e-9)
        solution = dfx.diffeqsolve(
            flow.terms(), dfx.Tsit5(), 0.1, 0.9, 0.01, x, stepsize_controller=controller, throw=False
        )
        return solution.ys[0]

    return jax.vmap(one)(xs)


def drawn(gamma, t, count, seed=0):
    """``I(t)`` itself."""
    rng = np.random.default_rng(seed)
    a, b = np.asarray(A)[rng.integers(2, size=count)], np.asarray(B)[rng.integers(3, size=count)]
    return (1 - t) * a + t * b + gamma * np.sqrt(t * (1 - t)) * rng.normal(size=(count, 2))


def test_the_flow_carries_the_law_of_the_interpolant():
    """Mean and covariance at 0.9 of 4,000 states that are drawn at 0.1, to four standard errors of the draws."""
    count, gamma, t = 4000, 1.5, 0.9
    found = np.asarray(carried(dm.Interpolant(A, B, gamma), jnp.asarray(drawn(gamma, 0.1, count))))
    a, b = np.asarray(A), np.asarray(B)
    mean = 0.1 * a.mean(0) + 0.9 * b.mean(0)
    spread = gamma**2 * t * (1 - t) * np.eye(2) + 0.1**2 * np.cov(a.T, bias=True) + 0.9**2 * np.cov(b.T, bias=True)
    error = 4 * np.sqrt(np.diag(spread) / count)
    assert np.all(np.abs(found.mean(0) - mean) < error)
    assert np.abs(np.cov(found.T) - spread).max() < 4 * np.sqrt(2.0 / count) * spread.max()
    assert np.any(np.abs(drawn(gamma, 0.8, count).mean(0) - mean) > error)


def test_between_two_points_the_noise_stays_what_it_is():
    """One pair: ``x(t) = (1 - t) a + t b + gamma(t) z`` with the z of the start, for any gamma."""
    z = jnp.asarray([0.4, -1.1])
    for given, gamma in ((0.8, lambda t: 0.8 * jnp.sqrt(t * (1 - t))), (wave, wave)):
        states = [(1 - t) * A[0] + t * B[0] + gamma(t) * z for t in (0.1, 0.9)]
        found = carried(dm.Interpolant(A[:1], B[:1], given), states[0][None])[0]
        np.testing.assert_allclose(found, states[1], rtol=1e-5)


BAD = {
    "gamma=-1.0: must be finite and positive": lambda: dm.Interpolant(A, B, -1.0),
    "x1.*NaN or infinity": lambda: dm.Interpolant(A, B.at[1, 0].set(jnp.nan)),
}


@pytest.mark.parametrize("message", BAD)
def test_what_cannot_be_used_is_named(message):
    with pytest.raises(InputError, match=message):
        BAD[message]()
