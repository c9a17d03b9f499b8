"""Critical times: the numbers of the literature, closed forms, invariances, and twins that must be caught."""

import json
import math

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
import scipy.integrate
import scipy.special
from sklearn.datasets import load_digits

import dynamem as dm
from dynamem._errors import InputError
from dynamem.stability._collapse import (
    class_entropy,
    collapse_level,
    collapse_time,
    excess_entropy,
    normal_collapse,
    normal_excess,
    spectra_of,
)  # fmt: skip
from dynamem.stability._critical_time import crossing, estimated, level_of_ou, ou_time, scan
from dynamem.stability._curvature import covariance, curvature_at, kappa_of, lost_stability, top_eigenvalue
from dynamem.stability._onset import Rising, onset_bound, threshold, violation_onset
from dynamem.stability._speciation import PHI, classes_of, clone_overlap, clones, speciation_time
from dynamem.stability._times import critical_times


CLONES = {
    256: ((2.0, 0.9775, 0.9770), (2.5, 0.8620, 0.8621), (3.0, 0.7012, 0.7069), (3.5, 0.5925, 0.5964)),
    1024: ((3.0, 0.9122, 0.9176), (3.5, 0.7651, 0.7644), (4.0, 0.6216, 0.6319)),
    4096: ((3.5, 0.9575, 0.9599), (4.0, 0.8217, 0.8261), (4.5, 0.6736, 0.6764)),
    16384: ((4.0, 0.9854, 0.9855), (4.5, 0.8876, 0.8861), (5.0, 0.7295, 0.7297), (5.5, 0.6111, 0.6099)),
}
"""Biroli et al.: ``d -> (t, share of 10^4 clones, quadrature)``."""
TOLERANCE = 0.012
M = 1.3
PAIR = np.array([[M, 0.0], [-M, 0.0]])
THREE = np.array([[1.0, 0.0], [-1.0, 0.3], [0.2, 0.8]])
TRIANGLE = np.array([[1.0, 0.03], [-0.5, 0.9], [-0.5, -0.85]])
TURN = np.array([[np.cos(0.7), -np.sin(0.7)], [np.sin(0.7), np.cos(0.7)]])


def posterior(xi, y, s):
    """Weights, mean and covariance, by NumPy."""
    w = scipy.special.softmax(-np.sum((y - xi) ** 2, axis=1) / (2 * s * s))
    mean = w @ xi
    return w, mean, (xi - mean).T @ (w[:, None] * (xi - mean))


def ratio(d, t):
    return math.sqrt(d) / math.sqrt(1 + level_of_ou(t) ** 2)


def agrees_with_the_table(phi):
    return all(abs(phi(ratio(d, t)) - share) < TOLERANCE for d, rows in CLONES.items() for t, share, _ in rows)


def unnormalised(r):
    def integrand(x):
        plus, minus = np.exp(-0.5 * (x - r) ** 2), np.exp(-0.5 * (x + r) ** 2)
        return 0.5 * (plus**2 + minus**2) / (plus + minus)

    return scipy.integrate.quad(integrand, -r - 12, r + 12)[0]


def test_the_overlap_of_clones_is_that_of_the_literature():
    assert abs(PHI - 0.7752) < 1e-4
    assert agrees_with_the_table(clone_overlap)
    for d, rows in CLONES.items():
        assert abs(clone_overlap(ratio(d, speciation_time(d))) - 0.7752) < 1e-4  # at t_S, whatever d
        for t, _, quadrature in rows:
            assert abs(clone_overlap(ratio(d, t)) - quadrature) < 1e-4
    assert abs(clone_overlap(0.0) - 0.5) < 1e-10
    assert abs(clone_overlap(20.0) - 1) < 1e-10
    assert not agrees_with_the_table(unnormalised)
    assert not agrees_with_the_table(lambda r: clone_overlap(r * r))


def test_speciation_times_of_known_spectra():
    for top, t in ((7.66, 1.018), (16.72, 1.408), (3.05, 0.558), (12.11, 1.247), (60.5, 2.051)):
        assert abs(speciation_time(top) - t) < 6e-4
        assert abs(level_of_ou(speciation_time(top)) ** 2 - (top - 1)) < 1e-9
        assert abs(ou_time(math.sqrt(top)) - 0.5 * math.log(1 + top)) < 1e-12  # the finite form is s^2 = Lambda
    with pytest.raises(InputError, match="top"):
        speciation_time(0.0)


def test_collapse_times_are_those_of_the_literature():
    nats = math.log(20000)
    for d, t in ((256, 1.2988), (1024, 1.9775), (4096, 2.6671)):
        assert abs(collapse_time(20000, d) - t) < 1e-4
        found = normal_collapse(np.full((1, d), 1.7), np.ones(1), nats)
        assert abs(found / collapse_level(20000, d, 1.7) - 1) < 1e-9
    s, two = level_of_ou(3.296), np.full(2, 0.5)
    assert abs(normal_excess(np.ones((1, 4096)), np.ones(1), s, nats) - 0.7162) < 1e-4
    assert abs(normal_excess(np.ones((2, 4096)), two, s, nats) - 0.6415) < 0.006  # measured there by simulation
    assert abs(normal_excess(np.ones((1, 4096)), np.ones(1), s, nats) - 0.6415) > 0.06  # the class left out
    assert abs(class_entropy(two) - math.log(2)) < 1e-15
    assert math.isnan(normal_collapse(np.zeros((2, 3)), two, math.log(2)))
    with pytest.raises(InputError, match="n=1"):
        collapse_level(1, 3, 1.0)
    with pytest.raises(InputError, match="variance"):
        collapse_level(10, 3, -1.0)


def is_the_largest_eigenvalue(top):
    wide = np.array([[3.0, 0.2], [-3.0, -0.2]])
    return all(
        abs(top(xi) / np.linalg.eigvalsh(np.cov(xi.T, bias=True))[-1] - 1) < 1e-12 for xi in (PAIR, wide, wide @ TURN)
    )


def test_the_variance_is_the_largest_eigenvalue_of_the_covariance():
    def top(xi):
        return top_eigenvalue(dm.Empirical(xi), jnp.zeros(2))

    assert is_the_largest_eigenvalue(top)
    assert not is_the_largest_eigenvalue(lambda xi: np.trace(np.cov(xi.T, bias=True)) / 2)
    law, y = dm.Empirical(THREE), jnp.asarray([0.1, 0.2])
    np.testing.assert_allclose(covariance(law, y, 0.7), posterior(THREE, np.asarray(y), 0.7)[2], rtol=1e-12)
    mixture = dm.GaussianMixture(PAIR, np.full(2, 0.5))
    assert abs(top_eigenvalue(mixture, jnp.zeros(2)) - (M * M + 0.25)) < 1e-12


def test_curvature_changes_where_closed_forms_say():
    lost = lost_stability(dm.Empirical(PAIR))
    assert abs(lost.s - M) < 1e-8
    assert lost.kind == "crossing"
    np.testing.assert_allclose(lost.y, 0, atol=1e-12)
    mixture = dm.GaussianMixture(PAIR, np.full(2, 0.5))
    assert abs(lost_stability(mixture).s - math.sqrt(M * M - 0.25)) < 1e-8
    alone = lost_stability(dm.GaussianMixture(np.zeros((2, 2)), np.full(2, 0.7)))
    assert math.isnan(alone.s)
    assert alone.kind == "none"
    with pytest.raises(InputError, match="start=1"):
        lost_stability(mixture, start=1.0, end=2.0)


def test_the_drift_potential_of_one_and_minus_one():
    law = dm.Empirical(PAIR / M)
    s = lost_stability(law, kappa_of(dm.VP(), 1.0)).s
    assert abs(1 / math.sqrt(1 + s * s) - math.sqrt(math.sqrt(2) - 1)) < 1e-8
    assert abs(ou_time(s) - 0.4407) < 1e-4
    assert abs(kappa_of(dm.VP(), 1.0)(2.0) - (1 - 0.4)) < 1e-9  # 1 - sigma^2/2
    assert abs(kappa_of(dm.VP(), 0.0)(2.0) - (1 - 0.8)) < 1e-9  # the probability flow: alpha^2
    assert lost_stability(law, kappa_of(dm.VP(), 0.0)).s == math.inf  # unstable for all theta


def test_a_fold_is_found_and_the_branch_ends_there():
    lost = lost_stability(dm.Empirical(TRIANGLE))
    assert lost.kind in ("fold", "crossing")
    _, mean, cov = posterior(TRIANGLE, lost.y, lost.s)
    np.testing.assert_allclose(mean, lost.y, atol=1e-6)
    assert abs(np.linalg.eigvalsh(cov)[-1] / lost.s**2 - 1) < 1e-3
    y = np.array(lost.y)
    for _ in range(4000):
        y = posterior(TRIANGLE, y, 0.995 * lost.s)[1]
    assert np.linalg.norm(y - lost.y) > 0.2
    # without drift of its own VE's critical time is the one of curvature, on any data
    again = lost_stability(dm.Empirical(TRIANGLE), kappa_of(dm.VE(), 1.0), start=20.0)
    assert abs(again.s / lost.s - 1) < 1e-6


def test_times_turn_and_scale_with_the_data():
    mean = jnp.asarray(THREE.mean(axis=0))
    held = curvature_at(dm.Empirical(THREE), mean, 4.0, 0.05)
    lost = lost_stability(dm.Empirical(TRIANGLE)).s
    assert abs(np.linalg.eigvalsh(posterior(THREE, np.asarray(mean), held)[2])[-1] / held**2 - 1) < 1e-9
    for c, turn in ((1.0, TURN), (2.5, np.eye(2))):
        other = curvature_at(dm.Empirical(c * THREE @ turn), c * mean @ jnp.asarray(turn), 4.0 * c, 0.05 * c)
        assert abs(other / (c * held) - 1) < 1e-9
        assert abs(lost_stability(dm.Empirical(c * TRIANGLE @ turn)).s / (c * lost) - 1) < 1e-6
        assert abs(collapse_level(9, 2, c * c * 0.3) / (c * collapse_level(9, 2, 0.3)) - 1) < 1e-12


def test_crossings_and_their_bands():
    assert abs(crossing(lambda s: 1 - s, scan(4.0, 0.1)) - 1) < 1e-12
    assert math.isnan(crossing(lambda s: -1.0, scan(4.0, 0.1)))
    assert crossing(lambda s: 1.0, scan(4.0, 0.1)) == math.inf
    noise = np.random.default_rng(0).normal(size=400)
    found, (low, high) = estimated(lambda s: 1 - s + noise, 0.0, scan(4.0, 0.1))
    assert abs(found - (1 + noise.mean())) < 1e-5
    assert abs((high - low) / 2 - 1.96 * noise.std(ddof=1) / 20) < 1e-3
    _, (low, high) = estimated(lambda s: 0.05 - s + noise, 0.0, scan(4.0, 0.1))
    assert low == 0.1 <= high


def test_thresholds_of_the_density_energy():
    for s in (0.2, 1.0, 3.0):
        var = s * s / (1 + s * s)
        assert abs(threshold(None, s) - s * s) < 1e-15
        assert abs(threshold(dm.VE(), s) / s**2 - 1) < 1e-9
        assert abs(threshold(dm.VP(), s) / var - 1) < 1e-9
        assert abs(threshold(dm.FlowMatching(), s) / (s * s / (1 + s)) - 1) < 1e-9  # sigma^2/alpha
    schedule = dm.SubVP()
    t = 0.4
    alpha, sigma = float(schedule.alpha(t)), float(schedule.sigma(t))
    assert abs(threshold(schedule, sigma / alpha) / (2 * sigma**2 / (1 + alpha**2)) - 1) < 1e-9
    assert abs(onset_bound(3.0, 4, None, 9.0, 0.1) - 1.5) < 1e-12
    assert abs(onset_bound(1.0, 4, dm.VP(), 9.0, 0.1) - math.sqrt(1 / 3)) < 1e-9


def test_the_sign_is_that_of_the_generator():
    path = dm.DiffusionPath(dm.VP(), dm.Empirical(2 * THREE))
    energy, flow = dm.DensityEnergy(path, "tau"), dm.ProbabilityFlow(path, "tau")
    rising = Rising(energy, flow)
    keys = jr.split(jr.key(0), 64)

    def both(key):
        a, b = jr.split(key)
        tau = 0.4 + 0.55 * jr.uniform(a)
        x = 2 * jr.normal(b, (2,))
        return rising(tau, x), dm.generator(energy, flow)(tau, x, None).total

    signs, rates = (np.asarray(part) for part in jax.jit(jax.vmap(both))(keys))
    clear = np.abs(rates) > 1e-6 * np.max(np.abs(rates))
    assert 5 < np.sum(rates[clear] > 0) < np.sum(clear) - 5
    np.testing.assert_array_equal(signs[clear] > 0, rates[clear] > 0)


def test_onset_of_a_gaussian_under_flow_matching():
    c2 = 1.44
    path = dm.DiffusionPath(dm.FlowMatching(), dm.GaussianMixture(np.zeros((1, 3)), np.full(1, math.sqrt(c2))))
    onset = violation_onset(
        dm.DensityEnergy(path, "tau"), dm.ProbabilityFlow(path, "tau"), jr.key(0), s_start=9.0, s_end=0.1, n=16,
        steps=32,
    )  # fmt: skip
    assert abs(onset.mean - c2) < 1e-5  # tr C = D c^2 s^2/(c^2 + s^2), whatever the state
    for one in (onset.median, onset.earliest, *onset.median_interval):
        assert abs(one - c2) < 1e-2  # interpolated between steps
    np.testing.assert_array_equal(onset.share, onset.levels < c2)
    with pytest.raises(InputError, match="s_start"):
        violation_onset(dm.DensityEnergy(path), dm.ProbabilityFlow(path), jr.key(0), s_start=0.1, s_end=1.0)


def test_clones_agree_with_class_posteriors():
    for d, t, share in ((256, 2.5, 0.8620), (4096, 4.0, 0.8217), (1024, 4.0, 0.6216)):
        means = np.array([[math.sqrt(d)], [-math.sqrt(d)]])
        found = clones(dm.GaussianMixture(means, np.ones(2)), level_of_ou(t), jr.key(3), n=8192)
        assert abs(found.share - share) < TOLERANCE, (d, t)
        assert abs(found.share - clone_overlap(ratio(d, t))) < TOLERANCE, (d, t)
        assert found.low < found.share < found.high
        low, high = found.predicted_interval
        assert low - 0.005 < clone_overlap(ratio(d, t)) < high + 0.005
    wide = dm.GaussianMixture(np.outer([1.0, -1.0], np.ones(7)), np.ones(2))
    assert classes_of(wide, None).posterior(jnp.zeros(1), jnp.asarray(1.0)).shape == (2,)  # in the span of the means


def test_classes_of_patterns():
    labels = np.array([5, 5, 7])
    known = classes_of(dm.Empirical(THREE, np.array([0.5, 0.2, 0.3])), labels)
    y, s = np.array([0.3, 0.1]), 0.8
    w = scipy.special.softmax(np.log([0.5, 0.2, 0.3]) - np.sum((y - THREE) ** 2, axis=1) / (2 * s * s))
    np.testing.assert_allclose(known.posterior(jnp.asarray(y), jnp.asarray(s)), [w[0] + w[1], w[2]], rtol=1e-12)
    np.testing.assert_allclose(known.prior, [0.7, 0.3], rtol=1e-12)
    for wrong, match in ((None, "classes=None"), (np.zeros(3, int), "two classes"), (np.zeros(2, int), "shape")):
        with pytest.raises(InputError, match=match):
            classes_of(dm.Empirical(THREE), wrong)


def test_measured_excess_entropy_has_the_entropy_of_the_classes():
    rng, n, d = np.random.default_rng(0), 2000, 64
    law = dm.Empirical(rng.normal(size=(n, d)) + rng.choice([-1.0, 1.0], (n, 1)))
    spectra, nats, s = np.ones((2, d)), math.log(n), 3.27
    found = excess_entropy(law, s, jr.key(1))
    assert abs(found.share - normal_excess(spectra, np.full(2, 0.5), s, nats)) < 0.03
    assert abs(found.share - normal_excess(spectra[:1], np.ones(1), s, nats)) > 0.06
    assert found.low < found.share < found.high
    with pytest.raises(InputError, match="two data"):
        excess_entropy(dm.Empirical(np.zeros((1, 2))), 1.0, jr.key(0))


def test_spectra_within_classes():
    xi, labels = np.random.default_rng(0).normal(size=(7, 3)), np.array([0, 1, 1, 1, 0, 0, 1])
    spectra, weights = spectra_of(xi, labels)
    np.testing.assert_allclose(weights, [3 / 7, 4 / 7])
    for k in range(2):
        want = np.linalg.eigvalsh(np.cov(xi[labels == k].T, bias=True))[::-1]
        np.testing.assert_allclose(spectra[k], want, atol=1e-12)


def test_what_a_table_refuses():
    with pytest.raises(InputError, match="one point"):
        critical_times(dm.Empirical(np.ones((3, 2))))
    with pytest.raises(InputError, match="law=VP"):
        critical_times(dm.VP())


@pytest.mark.long
def test_the_whole_table_of_clones():
    for d, rows in CLONES.items():
        law = dm.GaussianMixture(np.array([[math.sqrt(d)], [-math.sqrt(d)]]), np.ones(2))
        for t, share, quadrature in rows:
            found = clones(law, level_of_ou(t), jr.key(2), n=32768)
            assert abs(found.share - share) < TOLERANCE, (d, t, found.share)
            assert abs(found.share - quadrature) < TOLERANCE, (d, t, found.share)
            assert found.predicted_interval[0] - 0.003 < quadrature < found.predicted_interval[1] + 0.003


@pytest.mark.long
def test_the_table_of_one_and_minus_one():
    law = dm.Empirical(PAIR / M)
    path = dm.DiffusionPath(dm.VP(), law)
    table = critical_times(path, classes=np.array([0, 1]), n=128)
    assert len({one.name for one in table}) == len(table) == 17
    assert abs(table["variance"].value - 0.5 * math.log(2)) < 1e-10
    assert abs(table["curvature"].s - 1) < 1e-8
    assert abs(table["curvature_mean"].s - 1) < 1e-8
    assert abs(table["drift"].value - 0.4407) < 1e-4
    assert math.isnan(table["speciation"].s)
    assert "below 1" in table["speciation"].note
    clone, bound, first = table["clones"], table["onset_bound"], table["onset_earliest"]
    assert clone.interval is not None
    assert clone.interval[0] < 1 < clone.interval[1]  # r = 1/s here, and phi = 0.7752 at r = 1
    assert abs(bound.s - math.sqrt(0.5)) < 1e-9
    assert not first.s > bound.s
    for one in table:
        assert one.criterion
        assert one.source
        assert math.isnan(one.s) == bool(
            one.note.startswith(("the condition", "Lambda", "the branch from", "D c(s) stays"))
        )
        if math.isfinite(one.t):
            assert abs(float(path.schedule.s(one.t)) / one.s - 1) < 1e-9
    json.dumps(table.rows(), allow_nan=False)
    with pytest.raises(InputError, match="name='none'"):
        table["none"]


@pytest.mark.long
def test_onsets_of_other_schedules_and_energies():
    c2 = 1.2
    law = dm.GaussianMixture(np.zeros((1, 2)), np.full(1, math.sqrt(c2)))
    how = {"s_start": 6.0, "s_end": 0.05, "n": 16, "steps": 32}

    def onset(schedule, make, clock):
        path = dm.DiffusionPath(schedule, law)
        return violation_onset(make(path, clock=clock), dm.ProbabilityFlow(path, clock), jr.key(0), **how)

    sigma = c2 / 2  # sub-VP: at sigma = c^2/2
    assert abs(onset(dm.SubVP(), dm.DensityEnergy, "tau").mean / (sigma / math.sqrt(1 - sigma)) - 1) < 1e-5
    assert onset(dm.VP(), dm.DensityEnergy, "tau").mean == math.inf  # variance above 1
    assert onset(dm.VP(), dm.DensityEnergy, "tau").earliest == math.inf
    assert math.isnan(onset(dm.VE(), dm.DensityEnergy, "tau").mean)  # convex
    assert onset(dm.VE(), dm.DensityEnergy, "tau").earliest == 0
    assert onset(dm.VP(), dm.HopfieldEnergy, "lam").mean == math.inf  # -log Z rises everywhere
    free = onset(dm.VP(), dm.FreeEnergy, "lam")
    assert not free.share.any()
    assert free.earliest == 0


@pytest.mark.long
def test_many_coordinates_go_without_matrices():
    rng = np.random.default_rng(0)
    axis = rng.normal(size=600)
    axis *= M / np.linalg.norm(axis)
    law = dm.Empirical(np.stack([axis, -axis]))
    assert abs(top_eigenvalue(law, jnp.zeros(600)) / M**2 - 1) < 1e-10
    assert abs(lost_stability(law, end=0.5).s - M) < 1e-8
    xi = rng.normal(size=(30, 600)) @ np.diag(np.linspace(1, 2, 600))
    want = np.linalg.svd(xi - xi.mean(axis=0), compute_uv=False)[0] ** 2 / 30
    assert abs(top_eigenvalue(dm.Empirical(xi), jnp.zeros(600)) / want - 1) < 1e-10


@pytest.mark.long
def test_the_digits():
    images, labels = load_digits(return_X_y=True)
    law = dm.Empirical(np.asarray(images) / 16.0)
    table = critical_times(law, schedule=dm.VP(), classes=np.asarray(labels), n=128)
    assert abs(table.facts["top"] - 0.69886) < 1e-5
    assert math.isnan(table["curvature"].s)  # the branch of high noise goes over into one memory
    assert 0.75 < table["curvature_mean"].s < table["variance"].s
    clone, collapse = table["clones"], table["collapse_entropy"]
    assert clone.interval is not None
    assert collapse.interval is not None
    assert clone.interval[0] > collapse.interval[1]  # classes are chosen before memories
    assert "pairs end in one class" in clone.note
    assert math.isnan(table["onset_earliest"].s)
    assert math.isnan(table["onset_earliest_own"].s)
