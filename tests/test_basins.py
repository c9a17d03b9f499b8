"""Basins: known shares, labels that name what went wrong, times in closed form, planes, overlaps, local measures."""

import diffrax as dfx
import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
import scipy.linalg
from sklearn.datasets import load_digits

import dynamem as dm
from dynamem.stability._basins import basins
from dynamem.stability._measures import measures
from dynamem.stability._plane import basin_map, overlap_curve


def cubic(t, x, roots):
    """The outer roots attract, the middle one is the boundary; the roots are arguments, so that all compiles once."""
    return -(x - roots[0]) * (x - roots[1]) * (x - roots[2])


WELLS = np.asarray([[-1.0], [1.0]])
CUBIC = dfx.ODETerm(cubic)
DOUBLE = {"args": jnp.asarray([-1.0, 0.0, 1.0])}
ROUND = {"t1": 12.0, "chunk": 256} | DOUBLE


def test_half_of_the_double_well_and_times_in_closed_form():
    states, told = np.random.default_rng(1).uniform(-2, 2, (500, 1)), []
    found = basins(CUBIC, states, WELLS, **ROUND, tell=told.append)
    np.testing.assert_array_equal(found.labels, states[:, 0] > 0)
    for share in found.shares:
        assert share.low < 0.5 < share.high
        assert share.count == round(500 * share.share)
    assert sum(share.count for share in found.shares) == found.tried == 500
    assert told == ["basins: 256 of 500 states", "basins: 500 of 500 states"]

    def clock(x):  # dx/(x - x^3)
        return np.log(x) - 0.5 * np.log(abs(1 - x * x))

    x, tolerance = abs(states[:, 0]), found.tolerance
    far = abs(x - 1) > tolerance
    expected = np.where(far, clock(np.where(x < 1, 1 - tolerance, 1 + tolerance)) - clock(x), 0.0)
    np.testing.assert_allclose(found.times, expected, atol=2e-3)
    assert np.all(np.diff(found.quantiles(), axis=1) > 0)


def test_asymmetric_basins_are_exact():
    states = np.linspace(-3, 2, 256)[:, None]
    found = basins(CUBIC, states, np.asarray([[-2.0], [1.0]]), t1=40.0, args=jnp.asarray([-2.0, 0.5, 1.0]))
    np.testing.assert_array_equal(found.labels, states[:, 0] > 0.5)


def test_what_ends_at_no_attractor_is_counted_by_what_became_of_it():
    """Broken twins: an attractor that is missing, too short a time, a bound that is passed, too few steps."""
    states = np.linspace(-1.9, 1.9, 256)[:, None]
    one = basins(CUBIC, states, np.asarray([[5.0], [1.0]]), **ROUND)
    assert (one.rest["elsewhere"].count, one.shares[0].count, one.shares[1].count) == (128, 0, 128)
    np.testing.assert_array_equal(np.isnan(one.times), states[:, 0] < 0)
    assert basins(CUBIC, states, WELLS, **(ROUND | {"t1": 0.05})).rest["unsettled"].count > 220
    gone = basins(CUBIC, states, WELLS, **ROUND, bound=1.5)
    np.testing.assert_array_equal(gone.labels == -3, abs(states[:, 0]) > 1.5)
    cut = basins(CUBIC, states, WELLS, **ROUND, max_steps=3)
    assert cut.rest["failed"].count == 256
    assert cut.shares[0].low == 0 < cut.shares[0].high


def test_maps_count_steps():
    class Halve(eqx.Module):
        def __call__(self, x):
            return jnp.where(x > 4, 2 * x, jnp.where(x < -4, -x, x / 2))

    states = np.asarray([[0.0], [0.3], [-0.3], [3.0], [5.0], [-5.0]])
    found = basins(dm.Map(Halve()), states, np.zeros((1, 1)), tolerance=0.1, steps=300, chunk=4)
    np.testing.assert_array_equal(found.labels, [0, 0, 0, 0, -3, -3])
    np.testing.assert_array_equal(found.times, [0, 2, 2, 5, np.nan, np.nan])
    swap = basins(dm.Map(jnp.negative), states[3:4], np.zeros((1, 1)), tolerance=0.1, steps=50)
    assert swap.rest["unsettled"].count == 1


def test_flows_with_noise_need_a_key():
    flow = dm.Langevin(dm.LogSumExp(jnp.asarray([[-2.0], [2.0]]), 4.0), 0.01)
    states = np.asarray([[-1.5], [1.5]])
    how = {"t1": 4.0, "tolerance": 0.9, "solver": dfx.Euler(), "stepsize_controller": dfx.ConstantStepSize()}
    found = basins(flow, states, 2 * WELLS, **how, dt0=0.05, key=jr.key(0))
    np.testing.assert_array_equal(found.labels, [0, 1])
    for flow_, key, word in ((flow, None, "needs a key"), (CUBIC, jr.key(0), "takes none")):
        with pytest.raises(ValueError, match=word):
            basins(flow_, states, WELLS, t1=1.0, key=key)


@pytest.mark.parametrize(
    ("bad", "word"),
    [
        ({"tolerance": 1.5}, "attractors are 2 apart"),
        ({"t1": None}, "t1=None"),
        ({"stepsize_controller": dfx.ConstantStepSize()}, "dt0=None"),
        ({"level": 1.0}, "level=1.0"),
    ],
)
def test_bad_input(bad, word):
    with pytest.raises(ValueError, match=word):
        basins(CUBIC, np.ones((1, 1)), WELLS, **({"t1": 1.0} | bad))


def test_ctrl_c_keeps_what_is_done():
    def stop(words):
        if "256 of" in words:
            raise KeyboardInterrupt

    found = basins(CUBIC, np.ones((500, 1)), WELLS, **ROUND, tell=stop)
    assert found.tried == 256 == found.shares[1].count
    assert np.all(found.labels[256:] == -5)


def test_a_plane_through_three_patterns():
    xi = np.random.default_rng(1).normal(size=(3, 7))
    memory = dm.LogSumExp(jnp.asarray(xi), 200.0)
    found = basin_map(dm.Map(memory.update), xi, xi, resolution=16, tolerance=0.05)
    states = found.states()
    near = np.argmin(np.linalg.norm(states[:, None] - xi[None], axis=2), axis=1)
    np.testing.assert_array_equal(found.labels.ravel(), near)  # at high beta cells are those of the nearest pattern
    corner = found.a[None] + found.corners @ found.b.T
    np.testing.assert_allclose(corner, xi, atol=1e-12)
    mask = found.labels == 0
    np.testing.assert_array_equal(found.states(mask), states[mask.ravel()])
    with pytest.raises(ValueError, match="span less"):
        basin_map(dm.Map(memory.update), np.stack([xi[0], xi[1], xi[1]]), xi)


def test_overlaps_against_corruption():
    xi = np.where(np.random.default_rng(0).random((40, 100)) < 0.5, -1.0, 1.0)
    same = overlap_curve(lambda x: x, xi, "flip", [0.0, 0.2, 0.4], jr.key(0), batch=16)
    np.testing.assert_allclose(same.cue, same.mean)
    np.testing.assert_allclose(same.mean, [1.0, 0.6, 0.2], atol=0.03)
    assert same.tried == 40
    memory = dm.LogSumExp(jnp.asarray(xi), 1.0)
    good = overlap_curve(jax.vmap(memory.update), xi, "flip", [0.0, 0.2, 0.4], jr.key(0), batch=16)
    assert np.all(good.mean[:2] > 0.999)
    np.testing.assert_allclose(good.cue, same.cue)
    assert np.all(np.diff(good.quantiles, axis=1) >= 0)


def test_reactivity_of_a_matrix_that_is_not_normal():
    """J = [[-1, 10], [0, -2]]: reactivity (-3 + sqrt(101))/2, rate 1, amplification by calculus of the closed form."""
    J = np.asarray([[-1.0, 10.0], [0.0, -2.0]])
    found = measures(dfx.ODETerm(lambda t, x, args: jnp.asarray(J) @ x), np.zeros(2))
    np.testing.assert_allclose(found.reactivity, (-3 + np.sqrt(101)) / 2, rtol=1e-12)
    np.testing.assert_allclose([found.rate, found.return_time, found.speed], [1, 1, 0], atol=1e-12)
    fine = [np.linalg.norm(scipy.linalg.expm(J * t), 2) for t in np.linspace(0, 2, 101)]
    np.testing.assert_allclose(found.amplification, max(fine), rtol=1e-3)
    np.testing.assert_allclose(found.amplification_time, np.argmax(fine) * 2e-2, atol=2e-2)
    assert found.amplification >= max(fine)
    normal = measures(dfx.ODETerm(lambda t, x, args: -x), np.zeros(2))  # the twin that is normal
    assert (normal.reactivity, normal.amplification, normal.amplification_time) == (-1.0, 1.0, 0.0)
    saddle = measures(dfx.ODETerm(lambda t, x, args: x - x**3), np.zeros(1))
    assert (saddle.rate, saddle.return_time, saddle.amplification) == (-1.0, np.inf, np.inf)
    assert np.isnan(measures(dfx.ODETerm(lambda t, x, args: x - x), np.zeros(1)).amplification)


def test_measures_of_maps():
    A = np.asarray([[0.5, 3.0], [0.0, 0.5]])
    found = measures(dm.Map(lambda x: jnp.asarray(A) @ x), np.zeros(2))
    norms = [np.linalg.norm(np.linalg.matrix_power(A, k), 2) for k in range(60)]
    np.testing.assert_allclose(found.reactivity, np.log(norms[1]))
    np.testing.assert_allclose([found.rate, found.return_time], [np.log(2), 1 / np.log(2)])
    assert (found.amplification, found.amplification_time) == (pytest.approx(max(norms)), float(np.argmax(norms)))
    assert measures(dm.Map(lambda x: 2 * x), np.zeros(1)).amplification == np.inf


@pytest.mark.long
def test_ten_thousand_digits_end_at_their_fixed_points():
    xi = load_digits().data / 16
    memory, random = dm.LogSumExp(jnp.asarray(xi), 30.0), np.random.default_rng(0)
    ends = basins(dm.Map(memory.update), xi, xi[:1], tolerance=1e-3, rest=1e-12, steps=5000).ends
    kept = ends[np.unique(np.round(ends, 4), axis=0, return_index=True)[1]]
    states = xi[random.integers(0, len(xi), 10_000)] + 0.1 * random.normal(size=(10_000, 64))
    found = basins(dm.Map(memory.update), states, kept)
    assert found.tried == sum(share.count for share in found.shares) == 10_000
    again = np.asarray(jax.vmap(memory.update)(jnp.asarray(found.ends)))
    assert np.max(np.linalg.norm(again - kept[found.labels], axis=1)) <= found.tolerance
