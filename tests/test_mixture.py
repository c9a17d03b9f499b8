"""Gaussian mixtures at every noise level against 90 digits: their moments cancel at both ends if written naively."""

import equinox as eqx
import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import pytest

import dynamem as dm
from tests.catalogue import WEIGHTS, XI, X, path


LEVELS = (1e-6, 1e-4, 1e-2, 0.3, 1.0, 10.0, 1e2, 1e4, 1e6)
SCALES = {
    "point masses": np.zeros(5),
    "some of each": np.asarray([0.5, 0.0, 1.2, 0.3, 0.7]),
    "narrow": np.full(5, 1e-6),
    "wide": np.full(5, 1e3),
}


@eqx.filter_jit
def moments(law, y, s):
    return law.moments(y, s)


def by_definition(law, y, s):
    """``(log Z, m, tr C, KL)`` from the posterior of each component; KL by Gibbs' principle."""
    exact = lambda values: [mpmath.mpf(float(v)) for v in values]  # noqa: E731
    y, kappa, total = exact(y), 1 / mpmath.mpf(s) ** 2, sum(exact(law.weights))
    gains, centres, spreads = [], [], []
    for mu, c, w in zip(law.means, law.scales, law.weights, strict=True):
        if float(w) > 0:
            mu, c2 = exact(mu), mpmath.mpf(float(c)) ** 2
            q = 1 + kappa * c2
            distance = sum((a - b) ** 2 for a, b in zip(y, mu, strict=True))
            gains.append(mpmath.mpf(float(w)) / total * mpmath.exp(-kappa * distance / (2 * q)) / mpmath.sqrt(q) ** 3)
            centres.append([(c2 * kappa * a + b) / q for a, b in zip(y, mu, strict=True)])
            spreads.append(c2 / q)
    r, log_z = [gain / sum(gains) for gain in gains], mpmath.log(sum(gains))
    mean = [sum(p * m[j] for p, m in zip(r, centres, strict=True)) for j in range(3)]
    apart = [sum((a - b) ** 2 for a, b in zip(m, mean, strict=True)) for m in centres]
    trace = sum(p * (3 * v + a) for p, v, a in zip(r, spreads, apart, strict=True))
    square = sum((a - b) ** 2 for a, b in zip(y, mean, strict=True))
    return log_z, mean, trace, -log_z - kappa * (square + trace) / 2


@pytest.mark.parametrize("near", [False, True], ids=["between", "near a mean"])
@pytest.mark.parametrize("name", SCALES)
def test_moments_at_every_noise_level(name, near):
    law = dm.GaussianMixture(XI, jnp.asarray(SCALES[name]), WEIGHTS)
    for s in LEVELS:
        y = XI[1] + 0.3 * min(s, 1.0) if near else X[0]
        found = moments(law, y, jnp.asarray(s))
        with mpmath.workdps(90):
            log_z, mean, trace, kl = (np.asarray(part, float) for part in by_definition(law, y, s))
        # The state itself, rounded, moves what s = 1e-6 makes of it.
        close = {"rtol": 1e-13 if s >= 0.3 else 3e-11}
        np.testing.assert_allclose(found.log_z, log_z, **close)
        np.testing.assert_allclose(found.mean, mean, rtol=1e-14, atol=1e-14)
        np.testing.assert_allclose(found.kl, kl, **close)
        # Weights are right to eps/s^2, relative to themselves: so is a spread between means that they make small.
        np.testing.assert_allclose(found.trace, trace, rtol=1e-13 + 1e-15 / s**2, atol=1e-29)


def test_the_free_energy_of_a_mixture_survives_large_noise():
    law = dm.GaussianMixture(XI, jnp.asarray(SCALES["some of each"]), WEIGHTS)
    energy = dm.FreeEnergy(path(dm.VE(1e-3, 1e7), law))
    for s in (1e2, 1e4, 1e6):
        with mpmath.workdps(90):
            exact = float(-by_definition(law, X[0], s)[0] * s**2)
        np.testing.assert_allclose(energy(-jnp.log(jnp.asarray(s)), X[0]), exact, rtol=1e-13)


@eqx.filter_jit
def slopes(energy, lam, y):
    return jax.grad(energy, argnums=(0, 1))(lam, y)


@pytest.mark.parametrize("name", SCALES)
def test_slopes_at_every_noise_level(name):
    """``grad V = y - m`` and ``dV/d lam = -|y - m|^2 - 2 s^2 KL``."""
    law = dm.GaussianMixture(XI, jnp.asarray(SCALES[name]), WEIGHTS)
    energy = dm.FreeEnergy(path(law=law))
    for s in (1e-2, 0.3, 1.0, 10.0, 1e2, 1e4):
        in_time, in_state = slopes(energy, -jnp.log(jnp.asarray(s)), X[0])
        found = moments(law, X[0], jnp.asarray(s))
        np.testing.assert_allclose(in_state, X[0] - found.mean, rtol=1e-9, atol=1e-9)
        np.testing.assert_allclose(in_time, -2 * s**2 * found.kl, rtol=1e-6, atol=1e-12 / s**2)
