"""Branches and bifurcations against normal forms and known systems; trees of diffusion paths against closed forms."""

import diffrax as dfx
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.datasets import load_digits

import dynamem as dm
from dynamem._errors import InputError
from dynamem.stability import _bifurcations as bifurcations
from dynamem.stability import _modes as modes
from dynamem.stability._branches import branches
from dynamem.stability._tree import memory_tree


ZERO = jnp.zeros(1)
TURN = np.asarray([[0.6, 0.8], [-0.8, 0.6]])
PAIR = jnp.asarray([[1.3, 0.0], [-1.3, 0.0]] @ TURN + np.asarray([0.1, 0.7]))
TRIANGLE = jnp.asarray([[np.cos(a), np.sin(a)] for a in 2 * np.pi * np.arange(3) / 3])
FOLD_OF_TRIANGLE = 0.7391346294


def saddle_node(x, p):
    return p + x**2


def pitchfork(x, p):
    return p * x - x**3


def spiral(x, p):
    return jnp.stack([p * x[0] - 2 * x[1], 2 * x[0] + p * x[1]]) - x * (x @ x)


def lorenz(x, r):
    return jnp.stack([10 * (x[1] - x[0]), x[0] * (r - x[2]) - x[1], x[0] * x[1] - 8 / 3 * x[2]])


class Frozen:
    """``m(y, s) - y`` of one set of patterns, one object so that it compiles once."""

    def __init__(self, xi):
        self.law = dm.Empirical(xi)

    def __call__(self, x, s):
        return self.law.denoise(x, s) - x


def zeros_hold(family, diagram):
    for branch in diagram.branches:
        for p, x in zip(branch.ps[1:], branch.xs[1:], strict=True):
            assert np.linalg.norm(family(jnp.asarray(x), jnp.asarray(p))) < 1e-9


def test_a_fold_is_passed_and_located():
    found = branches(saddle_node, jnp.asarray([-1.0]), (-1.0, 1.0))
    (fold,) = found.bifurcations
    (branch,) = found.branches
    assert fold.kind == "fold"
    assert abs(fold.p) < 1e-10
    assert branch.ends == ("leaves the span", "leaves the span")
    assert branch.ps.max() <= 1e-3
    assert branch.xs[0] * branch.xs[-1] < 0
    np.testing.assert_array_equal(branch.stable, branch.xs[:, 0] < 0)
    zeros_hold(saddle_node, found)


def test_both_folds_of_a_hysteresis():
    found = branches(lambda x, p: p + x - x**3, jnp.asarray([-1.5]), (-1.0, 1.0))
    edge = 2 / (3 * np.sqrt(3))
    np.testing.assert_allclose([one.p for one in found.of("fold")], [-edge, edge], atol=1e-10)
    assert len(found.branches) == 1


def test_a_pitchfork_and_its_arms():
    found = branches(pitchfork, ZERO, (-1.0, 1.0))
    (point,) = found.bifurcations
    assert (point.kind, point.branches) == ("pitchfork", (0, 1, 2))
    assert abs(point.p) < 1e-10
    ends = sorted(float(one.xs[-1, 0]) for one in found.branches if one.ps[-1] == 1.0)
    np.testing.assert_allclose(ends, [-1, 0, 1], atol=1e-9)
    zeros_hold(pitchfork, found)
    assert len(branches(pitchfork, ZERO, (-1.0, 1.0), switch=False).branches) == 1


def test_a_pitchfork_reached_along_its_parabola():
    found = branches(pitchfork, jnp.asarray([1.0]), (-1.0, 1.0), start=1.0)
    (point,) = found.bifurcations
    assert point.kind == "pitchfork"
    assert abs(point.p) < 1e-10
    assert len(found.branches) == 3


def test_a_transcritical_point():
    found = branches(lambda x, p: p * x - x**2, ZERO, (-1.0, 1.03))
    (point,) = found.bifurcations
    assert point.kind == "transcritical"
    assert abs(point.p) < 1e-10
    assert {round(float(one.xs[-1, 0]), 6) for one in found.branches} == {0.0, 1.03, -1.0}


def test_a_hopf_point_and_its_frequency():
    (point,) = branches(spiral, jnp.zeros(2), (-1.0, 1.0)).bifurcations
    assert point.kind == "hopf"
    assert abs(point.p) < 1e-10
    assert point.frequency == pytest.approx(2, abs=1e-8)


def test_lorenz():
    found = branches(lorenz, jnp.zeros(3), (0.0, 30.0))
    (fork,), hopfs = found.of("pitchfork"), found.of("hopf")
    assert abs(fork.p - 1) < 1e-8
    np.testing.assert_allclose([one.p for one in hopfs], [470 / 19] * 2, atol=1e-8)
    assert (len(found.branches), len(hopfs), found.notes) == (3, 2, ())
    for branch in found.branches[1:]:
        np.testing.assert_array_equal(branch.stable[1:], branch.ps[1:] < 470 / 19)
        np.testing.assert_allclose(branch.xs[1:, 2], branch.ps[1:] - 1, atol=1e-8)


def test_maps_flip():
    found = branches(lambda r: dm.Map(lambda x: r * x * (1 - x)), jnp.asarray([0.4]), (0.5, 3.4), start=2.0)
    (cross,), (flip,) = found.of("transcritical"), found.of("flip")
    assert abs(cross.p - 1) < 1e-8
    assert abs(flip.p - 3) < 1e-10
    assert len(found.branches) == 3


def test_two_patterns_part_at_their_half_distance():
    found = branches(Frozen(PAIR), jnp.mean(PAIR, 0), (0.5, 3.0), start=3.0)
    (fork,) = found.bifurcations
    assert fork.kind == "pitchfork"
    assert abs(fork.p - 1.3) < 1e-8
    assert len(found.branches) == 3
    for branch in found.branches[1:]:
        assert min(np.linalg.norm(branch.xs[-1] - xi) for xi in np.asarray(PAIR)) < 0.01
        assert branch.stable[1:].all()


@pytest.mark.long
def test_three_patterns_have_a_kernel_of_two_dimensions_and_three_folds():
    found = branches(lambda s: dm.GradientFlow(dm.LogSumExp(TRIANGLE, 1 / s**2)), jnp.zeros(2), (0.3, 1.5), start=1.5)
    (middle,), folds = found.of("branch"), found.of("fold")
    assert middle.nullity == 2
    assert abs(middle.p - np.sqrt(0.5)) < 1e-8
    np.testing.assert_allclose([one.p for one in folds], [FOLD_OF_TRIANGLE] * 3, atol=1e-9)
    assert len(found.branches) == 7


def test_terms_and_a_held_time_pass_through():
    def terms(p):
        return dfx.ODETerm(lambda t, x, args: t * p - x)

    found = branches(terms, jnp.asarray([0.0]), (0.0, 1.0), t=2.0, max_points=9)
    np.testing.assert_allclose(found.branches[0].xs[:, 0], 2 * found.branches[0].ps, atol=1e-12)
    with pytest.raises(InputError, match="depends on time"):
        branches(terms, jnp.asarray([0.0]), (0.0, 1.0))


def test_what_fails_is_told():
    nothing = branches(lambda x, p: 1 + x**2 + p**2, ZERO, (0.0, 1.0))
    assert nothing.branches == ()
    assert "no fixed point was reached" in nothing.notes[0]
    circle = branches(lambda x, p: x * (1 - x @ x), jnp.asarray([1.0, 0.0]), (0.0, 1.0))
    assert "continuous family" in circle.notes[0]
    wall = branches(lambda x, p: jnp.log(0.5 - p) - x, jnp.asarray([np.log(0.5)]), (0.0, 1.0), max_points=60)
    assert "did not converge" in wall.branches[0].ends[1] or "max_points" in wall.branches[0].ends[1]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"span": (1.0, 0.0)}, "span="),
        ({"step": -1.0}, "step="),
        ({"x0": jnp.asarray([jnp.nan])}, "x0"),
        ({"family": lambda: None}, "family"),
        ({"family": lambda x, p: jnp.zeros(2)}, "family"),
    ],
)
def test_bad_input(change, message):
    given = {"family": pitchfork, "x0": ZERO, "span": (-1.0, 1.0)} | change
    with pytest.raises(InputError, match=message):
        branches(given.pop("family"), given.pop("x0"), given.pop("span"), **given)


def test_without_its_tests_a_continuation_misses(monkeypatch):
    """The broken twin: what the tests above demand is gone."""
    monkeypatch.setattr("dynamem.stability._branches.events", lambda zeros, first, last: ([], []))
    found = branches(pitchfork, ZERO, (-1.0, 1.0))
    assert found.bifurcations == ()
    assert len(found.branches) == 1


def test_a_place_that_is_not_solved_for_is_no_bifurcation(monkeypatch):
    """The broken twin: a point of the right segment, but not the root in it."""
    monkeypatch.setattr(bifurcations, "brentq", lambda number, a, b, **_: 0.3 * a + 0.7 * b)
    folds = branches(lambda x, p: p + x - x**3, jnp.asarray([-1.5]), (-1.0, 1.0)).of("fold")
    edge = 2 / (3 * np.sqrt(3))
    assert len(folds) != 2 or not np.allclose([one.p for one in folds], [-edge, edge], atol=1e-10)


def test_the_tree_of_two_patterns():
    tree = memory_tree(dm.DiffusionPath(dm.VE(), dm.Empirical(PAIR)), levels=8, precision=1e-6)
    (merger,) = tree.mergers
    assert merger.low <= 1.3 * (1 + 1e-7)
    assert merger.high >= 1.3 * (1 - 1e-7)
    assert merger.sigma == pytest.approx(1.3, rel=1e-6)
    assert merger.share == 0.5
    assert abs(merger.slack) < 1e-4
    assert tree.breaking is not None
    assert tree.breaking.sigma == pytest.approx(1.3, abs=1e-8)
    assert tree.breaking.at_mean == pytest.approx(1.3, abs=1e-8)
    assert tree.breaking.estimate == pytest.approx(1.3, abs=1e-12)
    assert (tree.counts[0], tree.counts[-1]) == (2, 1)
    np.testing.assert_allclose(tree.shares(0), [0.5, 0.5])


@pytest.mark.long
def test_the_tree_of_three_patterns_ends_in_folds():
    tree = memory_tree(dm.Empirical(TRIANGLE), levels=8, precision=1e-5)
    assert [merger.sigma for merger in tree.mergers] == pytest.approx([FOLD_OF_TRIANGLE] * 2, rel=1e-5)
    assert tree.breaking is not None
    assert tree.breaking.sigma == pytest.approx(np.sqrt(0.5), abs=1e-7)  # below the folds: a first-order transition
    assert set(tree.counts.tolist()) == {3, 1}
    assert np.linalg.norm(tree.points[-1]) < 1e-6


def scattered():
    return jnp.asarray(np.random.default_rng(0).normal(size=(30, 2)))


def digits():
    return jnp.asarray(load_digits(return_X_y=True)[0][:60] / 16)


@pytest.mark.parametrize("data", [scattered, pytest.param(digits, marks=pytest.mark.long)])
def test_every_point_of_a_tree_is_a_mode(data):
    law = dm.Empirical(data())
    tree = memory_tree(law, levels=12, refine=3)
    count = len(law.xi)
    assert (tree.counts[0], tree.counts[-1]) == (count, 1)
    assert (np.diff(tree.counts) <= 0).all()
    assert len(tree.mergers) == count - 1
    assert tree.unsettled.sum() == 0
    for level in (0, 6, len(tree.sigmas) - 1):
        points, sigma = tree.points[level], tree.sigmas[level]
        sigmas = np.full(len(points), sigma)
        means = modes.tiled(modes._shifted, law, points, sigmas, modes.TILES, jnp.asarray(1.0))[0]
        assert np.linalg.norm(means - points, axis=1).max() < 1e-5 * sigma
        assert modes.slacks(law, points, sigmas).min() > 0
        assert tree.shares(level).sum() == pytest.approx(1)
    assert tree.breaking is not None
    assert tree.breaking.at_mean < tree.breaking.estimate


@pytest.mark.long
def test_a_symmetric_point_that_is_no_mode_does_not_hold():
    """Two heavy patterns and a light one in the middle, where symmetry alone would hold a point that is unstable."""
    law = dm.Empirical(jnp.asarray([[-1.0], [0.0], [1.0]]), weights=jnp.asarray([0.495, 0.01, 0.495]))
    sigma = 0.55
    assert modes.slacks(law, np.zeros((1, 1)), np.asarray([sigma]))[0] < 0
    found, left = modes.settle(law, np.zeros((1, 1)), np.asarray([sigma]), 1e-9, careful=False)
    assert not left.any()
    assert abs(found[0, 0]) > 0.5


@pytest.mark.long
def test_the_tree_of_a_mixture():
    law = dm.GaussianMixture(jnp.asarray([[-1.0], [1.0]]), jnp.asarray([0.3, 0.3]))
    tree = memory_tree(law, levels=8, precision=1e-5)
    assert tree.mergers[0].sigma == pytest.approx(np.sqrt(1 - 0.3**2), rel=1e-4)  # variance 1 = s^2 + c^2


def test_bad_input_to_the_tree():
    law = dm.Empirical(PAIR)
    with pytest.raises(InputError, match="lam0"):
        memory_tree(law, lam0=1.0, lam1=0.0)
    with pytest.raises(InputError, match="levels"):
        memory_tree(law, levels=1)
    with pytest.raises(InputError, match="precision"):
        memory_tree(law, precision=0.0)
