"""What is measured on any denoiser, against exact laws: V along the flow, the likelihood, the margin, the asymmetry."""

import diffrax as dfx
import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

import dynamem as dm
from tests.catalogue import NETWORKS, WEIGHTS, XI


SCALES = jnp.asarray([0.5, 0.2, 1.2, 0.3, 0.7])
MIXTURE = dm.GaussianMixture(XI, SCALES, WEIGHTS)
TOLERANCE = dfx.PIDController(rtol=jnp.asarray(1e-9), atol=jnp.asarray(1e-11))


class Foreign(dm.AbstractDenoiser):
    """A law's denoiser of which nothing else is known, times a factor."""

    law: dm.AbstractLaw
    factor: jax.Array = eqx.field(default=1.0, converter=jnp.asarray)

    def mean(self, point):
        return self.factor * self.law.mean(point)


def path(law):
    return dm.DiffusionPath(dm.VE(), law)


@eqx.filter_jit
def followed(flow, ys, lam0, lam1):
    def one(y):
        how = {"stepsize_controller": TOLERANCE, "max_steps": 1024}
        end = dfx.diffeqsolve(flow.terms(), dfx.Tsit5(), lam0, lam1, None, flow.start(lam0, y), **how).ys[0]
        return flow.read(lam1, end)

    return jax.vmap(one)(ys)


def run(flow, s_start=100.0, s_end=0.3):
    ys = s_start * jr.normal(jr.key(0), (8, 3))
    return followed(flow, ys, jnp.asarray(-np.log(s_start)), jnp.asarray(-np.log(s_end)))


@pytest.fixture(scope="module")
def exact():
    track = run(dm.Tracked(path(MIXTURE)))
    energy = dm.FreeEnergy(path(MIXTURE))
    return track, jax.vmap(lambda y: energy(-np.log(0.3), y))(track.y)


def test_the_tracked_energy_of_a_law_is_its_free_energy(exact):
    track, energy = exact
    np.testing.assert_allclose(track.free_energy, energy, rtol=1e-7)
    assert not np.any(track.error)


def test_a_denoiser_alone_is_tracked_from_where_noise_covers_the_data(exact):
    track, energy = exact
    alone = run(dm.Tracked(path(Foreign(MIXTURE))))
    np.testing.assert_allclose(alone.y, track.y, rtol=1e-9)
    np.testing.assert_allclose(alone.free_energy, energy, rtol=1e-5)
    wrong = run(dm.Tracked(path(Foreign(MIXTURE, 0.9))))  # a model that is no posterior mean has another law
    assert np.max(np.abs(wrong.free_energy / track.free_energy - 1)) > 0.05


@pytest.mark.long
def test_random_probes_are_within_their_standard_error(exact):
    _, energy = exact
    track = run(dm.Tracked(path(MIXTURE), "hutchinson", 64, jr.key(2)))
    off = np.abs(np.asarray(track.free_energy - energy)) / np.asarray(track.error)
    assert np.all(off < 4)
    assert np.all(track.error > 0)
    assert np.max(off) > 1e-3  # the error is no mere ceiling
    fewer = run(dm.Tracked(path(MIXTURE), "hutchinson", 8, jr.key(3)))
    assert 1.5 < np.median(fewer.error / track.error) < 6  # sqrt(8) = 2.8 in expectation


@pytest.mark.long
@pytest.mark.parametrize("law", [MIXTURE, Foreign(MIXTURE)], ids=["law", "denoiser"])
def test_the_tracked_energy_is_an_energy_for_the_checks(law):
    flow = dm.Tracked(path(law))
    starts = jax.vmap(lambda y: flow.start(-3.0, y))(jnp.exp(3.0) * jr.normal(jr.key(0), (8, 3)))
    how = {"t0": -3.0, "t1": 2.0, "solver": dfx.Tsit5(), "stepsize_controller": dfx.PIDController(1e-7, 1e-9)}
    assert dm.check(flow.free_energy, flow, starts, **how).status == "holds"
    assert dm.check(lambda t, x: -flow.free_energy(t, x), flow, starts, **how).status == "broken"


@eqx.filter_jit
def likelihoods(law, ys, s, s_start, **how):
    return jax.vmap(lambda y: dm.log_likelihood(path(law), y, s=s, s_start=s_start, **how))(ys)


def test_the_likelihood_of_gaussian_data_is_exact():
    """N(mu, c^2 + s^2) written out, from a denoiser of which nothing else is known."""
    centre, ys = jnp.asarray([[1.0, 2.0, -1.0]]), jr.normal(jr.key(1), (8, 3))
    law = Foreign(dm.GaussianMixture(centre, jnp.asarray([0.8])))
    found = likelihoods(law, ys, jnp.asarray(0.1), jnp.asarray(20.0), rtol=jnp.asarray(1e-9), atol=jnp.asarray(1e-9))
    squares = np.sum((np.asarray(ys) - np.asarray(centre)) ** 2, axis=1)
    np.testing.assert_allclose(found.value, -1.5 * np.log(2 * np.pi * 0.65) - squares / 1.3, atol=1e-6)


STORED = pytest.param(dm.Empirical(XI, WEIGHTS), marks=pytest.mark.long)


@pytest.mark.long
@pytest.mark.parametrize("law", [MIXTURE, STORED], ids=["mixture", "stored patterns"])
def test_the_likelihood_of_a_law_is_its_density(law):
    """The density of y = xi + s eps at s = 0.4: a sum of Gaussians, in NumPy."""
    ys, s = jr.normal(jr.key(1), (8, 3)), 0.4
    scales = np.asarray(SCALES) if law is MIXTURE else np.zeros(5)
    squares = ((np.asarray(ys)[:, None] - np.asarray(XI)) ** 2).sum(-1)
    spread = s**2 + scales**2
    density = (np.asarray(WEIGHTS) * (2 * np.pi * spread) ** -1.5 * np.exp(-squares / (2 * spread))).sum(1)
    tight = {"rtol": jnp.asarray(1e-9), "atol": jnp.asarray(1e-9)}
    found = likelihoods(Foreign(law), ys, jnp.asarray(s), jnp.asarray(200.0), **tight)
    np.testing.assert_allclose(found.value, np.log(density), atol=1e-6)
    rough = likelihoods(Foreign(law), ys, jnp.asarray(s), jnp.asarray(200.0), trace="hutchinson", key=jr.key(4))
    assert np.all(np.abs(np.asarray(rough.value) - np.log(density)) < 4 * np.asarray(rough.error))


def test_a_solver_that_gives_up_has_no_likelihood():
    found = likelihoods(MIXTURE, XI, jnp.asarray(0.4), jnp.asarray(200.0), max_steps=2)
    assert np.all(np.isnan(found.value))
    assert np.all(np.isnan(found.error))


# ------------------------------------------------------- margin, asymmetry


def test_the_margin_is_the_distance_to_the_exact_mean():
    law, s = dm.Empirical(XI, WEIGHTS), jnp.asarray(0.6)
    ys = jr.normal(jr.key(1), (16, 3))
    exact = jax.vmap(lambda y: dm.margin(law, law, y, s))(ys)
    assert np.all(exact.inside)
    assert not np.any(exact.error)
    moments = jax.vmap(lambda y: law.moments(y, s))(ys)
    free = jax.vmap(lambda y: dm.FreeEnergy(path(law))(-jnp.log(s), y))(ys)
    np.testing.assert_allclose(exact.allowed, 2 * free - moments.trace, rtol=1e-9)  # Q = 2V - tr C
    other = jax.vmap(lambda y: dm.margin(Foreign(law, 0.5), law, y, s))(ys)
    np.testing.assert_allclose(other.error, 0.25 * np.sum(np.asarray(moments.mean) ** 2, axis=1), rtol=1e-9)
    np.testing.assert_array_equal(other.inside, np.asarray(other.error) <= np.asarray(exact.allowed))
    assert not dm.margin(Foreign(law, float("nan")), law, ys[0], s).inside


@pytest.mark.long
def test_beyond_the_margin_the_energy_can_rise():
    """The law's V along a denoiser that retrieves 3 m: it rises at some state, and there the margin is left."""
    law, ys, lam = dm.Empirical(XI, WEIGHTS), jr.normal(jr.key(1), (64, 3)), jnp.asarray(0.5)
    model = Foreign(law, 3.0)
    generator = dm.generator(dm.FreeEnergy(path(law)), dm.ProbabilityFlow(path(model)))
    rate = jax.vmap(lambda y: generator(lam, y, None).total)(ys)
    inside = jax.vmap(lambda y: dm.margin(model, law, y, jnp.exp(-lam)).inside)(ys)
    assert np.any(rate > 0)
    assert np.any(inside)
    assert not np.any((rate > 0) & inside)


@pytest.mark.parametrize(
    ("model", "least", "most"),
    [
        (MIXTURE, 0.0, 1e-12),
        (NETWORKS["EnergyDenoiser"](), 0.0, 1e-12),
        (NETWORKS["ConcaveDenoiser"](), 0.0, 1e-12),
        (NETWORKS["MLPDenoiser"](), 1e-3, 2.0),
    ],
    ids=["law", "energy", "concave", "mlp"],
)
def test_asymmetry(model, least, most):
    y, s = jnp.asarray([0.3, -0.4, 1.0]), jnp.asarray(0.7)
    exact = jax.jit(lambda y: dm.asymmetry(model, y, s))(y)
    assert least <= exact.value <= most
    probed = jax.jit(lambda y: dm.asymmetry(model, y, s, probes=256, key=jr.key(0)))(y)
    assert np.abs(probed.value - exact.value) <= 4 * probed.error + 1e-12


class Linear(dm.AbstractDenoiser):
    """``m = B y``, whose Jacobian is known."""

    matrix: jax.Array

    def mean(self, point):
        return self.matrix @ point.x


def test_the_asymmetry_of_a_matrix_is_known():
    y = jnp.ones(2)
    turn = dm.asymmetry(Linear(jnp.asarray([[0.0, 1.0], [-1.0, 0.0]])), y, 1.0)
    assert turn.value == pytest.approx(2.0)
    shear = dm.asymmetry(Linear(jnp.asarray([[1.0, 1.0], [0.0, 1.0]])), y, 1.0)
    assert shear.value == pytest.approx(np.sqrt(2 / 3))
    assert dm.asymmetry(Linear(jnp.zeros((2, 2))), y, 1.0).value == 0
    assert np.isnan(dm.asymmetry(Linear(jnp.full((2, 2), jnp.nan)), y, 1.0).value)


WRONG = {
    "another trace": (lambda: dm.Tracked(path(MIXTURE), "exakt"), "exakt"),
    "no key": (lambda: dm.Tracked(path(MIXTURE), "hutchinson"), "need a key"),
    "one probe": (lambda: dm.Tracked(path(MIXTURE), "hutchinson", 1, jr.key(0)), "probes=1"),
    "no noise": (lambda: dm.log_likelihood(path(MIXTURE), XI[0], s=0.0), "s=0.0"),
    "no key for the asymmetry": (lambda: dm.asymmetry(MIXTURE, XI[0], 0.5, probes=4), "need a key"),
    "no noise for the margin": (lambda: dm.margin(MIXTURE, MIXTURE, XI[0], -1.0), "s=-1.0"),
}


@pytest.mark.parametrize(("build", "message"), WRONG.values(), ids=WRONG)
def test_a_wrong_question_is_refused(build, message):
    with pytest.raises((ValueError, TypeError), match=message):
        build()


def test_a_denoiser_that_starts_amid_the_data_has_no_likelihood():
    """Points at +-2: noise of 3 does not cover them (it would be off by 0.08 nats), noise of 30 does."""
    law = dm.Empirical(jnp.asarray([[2.0], [-2.0]]))
    path = dm.DiffusionPath(dm.EDM(), dm.ClassifierFreeGuidance(law, law, 1.0))
    found = [dm.log_likelihood(path, jnp.asarray([1.0]), s=1.0, s_start=start).value for start in (3.0, 30.0)]
    assert np.isnan(found[0])
    exact = -dm.DensityEnergy(dm.DiffusionPath(dm.EDM(), law))(0.0, jnp.asarray([1.0]))
    np.testing.assert_allclose(found[1], exact, atol=1e-3)
