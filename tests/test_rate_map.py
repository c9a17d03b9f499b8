"""Maps cover their region, and on each box the rate has the sign that the map says."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import dynamem as dm
from dynamem._errors import InputError
from dynamem.rigour import _map, rate_maps


PATTERNS = jnp.asarray([[1.0, 0.0], [-0.5, 0.8], [-0.4, -0.9]])
PATH = dm.DiffusionPath(dm.VE(), dm.Empirical(PATTERNS))
BOX = [(-2.0, 2.0), (-2.0, 2.0), (-np.log(2.0), -np.log(0.2))]
ENERGIES = {"density": dm.DensityEnergy, "free": dm.FreeEnergy, "hopfield": dm.HopfieldEnergy}


@functools.cache
def mapped(name, boxes=40_000):
    return dm.rate_map(ENERGIES[name](PATH), dm.ProbabilityFlow(PATH), BOX, boxes=boxes, budget_s=60.0)


def wrong(found, rate, count=4000):
    """How many random points have another sign than their boxes."""
    random = np.random.default_rng(0)
    rows = random.integers(len(found.lo), size=count)
    points = found.lo[rows] + random.uniform(size=found.lo[rows].shape) * (found.hi - found.lo)[rows]
    values = np.asarray(jax.jit(jax.vmap(rate))(jnp.asarray(points)))
    slack = 1e-12 * (1 + np.abs(values))
    signs = found.signs[rows]
    return np.sum((signs == -1) & (values > slack)) + np.sum((signs == 1) & (values <= -slack))


def rate(name):
    number = dm.generator(ENERGIES[name](PATH), dm.ProbabilityFlow(PATH))
    return lambda point: number(point[2], point[:2], None).total


@pytest.mark.parametrize(
    ("name", "least"), [("density", (0.85, 0.03)), ("free", (0.85, 0.0)), ("hopfield", (0.0, 0.4))]
)
def test_signs_are_right_and_most_is_decided(name, least):
    found = mapped(name)
    assert wrong(found, rate(name)) == 0
    shares = found.shares
    assert sum(shares.values()) == pytest.approx(1.0)
    assert (shares["falls"], shares["rises"]) >= least
    assert shares["falls"] == 0.0 if name == "hopfield" else shares["rises"] == 0.0 or name == "density"


def test_a_wrong_sign_is_seen():
    found = mapped("density")
    flipped = _map.RateMap(found.lo, found.hi, -found.signs, found.names, found.region, found.bounded, found.seconds)
    assert wrong(flipped, rate("density")) > 300


def test_boxes_cover_the_region_once():
    found = mapped("density", 3_000)
    points = np.random.default_rng(1).uniform(*np.asarray(BOX).T, (500, 3))
    met = np.all((found.lo[None] <= points[:, None]) & (points[:, None] < found.hi[None]), axis=2)
    assert np.all(met.sum(axis=1) == 1)
    assert found.bounded == 3_000


def test_the_same_budget_of_boxes_gives_the_same_map():
    first = mapped("free", 2_000)
    again = dm.rate_map(dm.FreeEnergy(PATH), dm.ProbabilityFlow(PATH), BOX, boxes=2_000)
    for one, other in ((first.lo, again.lo), (first.hi, again.hi), (first.signs, again.signs)):
        np.testing.assert_array_equal(one, other)


def test_slices_of_a_map_and_maps_of_slices():
    found = mapped("density", 10_000).at(0.5)
    assert found.names == ("x0", "x1")
    assert np.sum(np.prod(found.hi - found.lo, axis=1)) == pytest.approx(16.0)
    with pytest.raises(InputError, match="runs from"):
        found.at(7.0)
    patterns = np.random.default_rng(3).normal(size=(30, 8))
    a, b, corners = dm.plane(patterns[:3])
    path = dm.DiffusionPath(dm.VP(), dm.Empirical(jnp.asarray(patterns)))
    energy, flow, box = dm.DensityEnergy(path), dm.ProbabilityFlow(path), [(-1.0, 5.0), (-1.0, 5.0)]
    maps = rate_maps(energy, flow, box, (0.3, 1.0), affine=(a, b), boxes=2_000)
    number = dm.generator(energy, flow)
    for one, time in zip(maps, (0.3, 1.0), strict=True):
        assert set(one.lo[:, 2]) == {time}
        assert wrong(one, lambda u: number(u[2], jnp.asarray(a) + jnp.asarray(b) @ u[:2], None).total, 500) == 0
        assert one.shares["falls"] > 0.5
    assert corners.shape == (3, 2)


def test_own_coordinates_of_a_schedule_at_one_time():
    path = dm.DiffusionPath(dm.VP(), dm.Empirical(PATTERNS))
    energy, flow = dm.DensityEnergy(path, clock="tau"), dm.ProbabilityFlow(path, clock="tau")
    found = dm.rate_map(energy, flow, [(-1.5, 1.5), (-1.5, 1.5), (0.85, 0.85)], boxes=3_000)
    number = dm.generator(energy, flow)
    assert wrong(found, lambda point: number(point[2], point[:2], None).total, 1000) == 0
    assert found.shares["open"] < 0.1
    assert min(found.shares["falls"], found.shares["rises"]) > 0.02


def test_an_interruption_leaves_the_rest_open(monkeypatch):
    rounds = iter(range(3))

    def interrupted(found):
        if next(rounds, None) is None:
            raise KeyboardInterrupt
        return np.zeros(len(found.lo), np.int8)

    monkeypatch.setattr(_map, "_signs", interrupted)
    found = dm.rate_map(lambda t, x: x @ x, dm.GradientFlow(lambda t, x: x @ x), [(-1, 1), (-1, 1)])
    assert found.shares == {"falls": 0.0, "rises": 0.0, "open": 1.0}
    assert np.sum(np.prod(found.hi - found.lo, axis=1)) == pytest.approx(4.0)


def test_where_the_rate_is_undefined_it_stays_open():
    found = dm.rate_map(lambda t, x: jnp.sqrt(x[0]), dm.Map(lambda x: 0.5 * x), [(-1.0, 1.0)], boxes=500)
    assert np.all(found.signs[found.lo[:, 0] < 0] == 0)
    assert found.shares["falls"] == pytest.approx(0.5, abs=0.01)


@pytest.mark.parametrize(
    ("how", "message"),
    [({"boxes": 0}, "boxes=0"), ({"budget_s": 0.0}, "budget_s=0.0"), ({"box": [(0.0, np.inf)]}, "bounded")],
)
def test_bad_input(how, message):
    box = how.pop("box", [(0.0, 1.0)])
    with pytest.raises(InputError, match=message):
        dm.rate_map(lambda t, x: x @ x, dm.GradientFlow(lambda t, x: x @ x), box, **how)


def test_what_is_drawn_is_what_is_known():
    from dynamem.report import _signs

    found = mapped("density", 10_000).at(1.2)
    drawn = _signs.raster(found, [0, 1], [(-2.0, 2.0), (-2.0, 2.0)])
    random = np.random.default_rng(5)
    for row, column in random.integers(_signs.PIXELS, size=(200, 2)):
        centre = -2.0 + 4.0 * (np.asarray([column, row]) + 0.5) / _signs.PIXELS
        inside = np.all((found.lo <= centre) & (centre < found.hi), axis=1)
        assert drawn[row, column] == found.signs[inside][0]
