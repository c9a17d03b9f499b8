"""All fixed points in a box: closed forms, random systems whose roots are known, and enclosures that are broken."""

from fractions import Fraction
from functools import partial
from typing import Any

import diffrax as dfx
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flint import arb
from hypothesis import given, settings
from hypothesis import strategies as st
from jaxtyping import Array

import dynamem as dm
from dynamem._errors import InputError
from dynamem.programs import TranslationError, translate
from dynamem.stability import _cover as cover_file
from dynamem.stability import _enclose as enclose_file
from dynamem.stability._balls import Balls, exact, outer, slabs
from dynamem.stability._cover import Cover
from dynamem.stability._enclose import enclose_fixed_points
from dynamem.stability._krawczyk import Krawczyk


enclose = partial(enclose_fixed_points, budget_s=300.0)
"""With time for slow machines: no test asks the clock."""


def terms(field):
    """A field of the state alone as Diffrax terms."""
    return dfx.ODETerm(lambda t, x, args: field(x))


def indices_of(found) -> list[Any]:
    """Certified indices, by rising size."""
    return sorted((one.index for one in found.points), key=str)


def each_in_one(found, wanted):
    """Whether every known root lies in exactly one box, and every box holds one."""
    wanted = [np.atleast_1d(one) for one in wanted]
    inside = np.array([[np.all((one.lo <= x) & (x <= one.hi)) for one in found.points] for x in wanted])
    apart = len(found.points) == len(wanted)
    return apart and (not len(wanted) or bool(np.all(inside.sum(axis=0) == 1) and np.all(inside.sum(axis=1) == 1)))


class Lorenz(eqx.Module):
    """Lorenz 1963 with sigma = 10 and b = 2, so that the points are sqrt(2 (r - 1))."""

    r: Array

    def __call__(self, t, x, args):
        return jnp.stack([10 * (x[1] - x[0]), x[0] * (self.r - x[2]) - x[1], x[0] * x[1] - 2 * x[2]])


@pytest.mark.parametrize(("r", "indices"), [(0.5, [0]), (3.0, [0, 0, 1]), (33.0, [1, 2, 2])])
def test_the_points_of_lorenz_are_all_that_there_are(r, indices):
    found = enclose(dfx.ODETerm(Lorenz(jnp.asarray(r))), [(-30, 30), (-30, 30), (-10, 60)])
    q = np.sqrt(2 * max(r - 1, 0))  # whole numbers where r > 1
    assert found.status == "certified"
    assert found.checked[0] == found.checked[1] > 0
    assert each_in_one(found, [np.zeros(3)] if r < 1 else [np.zeros(3), [q, q, r - 1], [-q, -q, r - 1]])
    assert indices_of(found) == indices
    assert all(np.all(one.hi - one.lo < 1e-13) for one in found.points)


def test_double_well_and_its_stability():
    found = enclose(terms(lambda x: x - x**3), [(-2, 2)])
    assert found.status == "certified"
    assert each_in_one(found, [-1.0, 0.0, 1.0])
    assert [one.stable for one in sorted(found.points, key=lambda one: one.x[0])] == [True, False, True]
    assert found.share == 0
    assert found.open.shape == (0, 1, 2)
    assert "and no other" in found.reason


@pytest.mark.parametrize("noise", [1.1, 0.9])
def test_two_patterns_below_and_above_the_pitchfork(noise):
    path = dm.DiffusionPath(dm.VE(), dm.Empirical(jnp.asarray([[1.0], [-1.0]])))
    found = enclose(dm.ProbabilityFlow(path), [(-2, 2)], t=float(-np.log(noise)))
    x = 1.0
    for _ in range(2000):
        x = np.tanh(x / noise**2)
    wanted = [0.0] if noise > 1 else [-x, 0.0, x]
    assert found.status == "certified"
    assert len(found.points) == len(wanted)
    np.testing.assert_allclose(np.sort(found.x[:, 0]), wanted, atol=1e-9)
    assert [one.index for one in sorted(found.points, key=lambda one: one.x[0])] == ([0] if noise > 1 else [0, 1, 0])


def test_two_units_of_hopfield():
    flow = dm.LagrangianFlow(dm.Hopfield(jnp.asarray([[1.5, 0.2], [0.2, 1.5]])))
    found = enclose(flow, [(-3, 3)] * 2)
    assert found.status == "certified"
    assert indices_of(found) == [0] * 4 + [1] * 4 + [2]


def test_henon_is_a_map():
    a, b = 1.4, 0.3
    found = enclose(dm.Map(lambda x: jnp.stack([1 - a * x[0] ** 2 + x[1], b * x[0]])), [(-3, 3)] * 2)
    roots = (-(1 - b) + np.array([1, -1]) * np.sqrt((1 - b) ** 2 + 4 * a)) / (2 * a)
    assert found.status == "certified"
    assert [one.index for one in found.points] == [1, 1]
    np.testing.assert_allclose(np.sort(found.x[:, 0]), np.sort(roots), atol=1e-14)


def test_a_field_without_a_point_is_certified_to_have_none():
    found = enclose(terms(lambda x: 1 + x**2), [(-5, 5)])
    assert found.status == "certified"
    assert found.points == ()
    assert found.x.shape == (0, 1)


def test_kinks_are_lipschitz():
    W = jnp.asarray([[0.0, -2.0], [-2.0, 0.0]])
    found = enclose(terms(lambda x: -x + W @ jax.nn.relu(x) + 1.0), [(-3, 3)] * 2)
    assert found.status == "certified"
    assert each_in_one(found, [(1, -1), (-1, 1)]) is False
    # (1, -1) and (-1, 1) are exact, (1/3, 1/3) is no float; Jordan blocks have an index all the same
    assert indices_of(found) == [0, 0, 1]
    assert len(found.points) == 3


def test_a_point_on_the_edge_is_told_apart():
    found = enclose(terms(lambda x: (x - 0.1) * (x - 1)), [(0.1, 3)])
    assert found.status == "certified"
    assert each_in_one(found, [0.1, 1.0])
    assert "edge" in found.reason
    assert [one.edge for one in sorted(found.points, key=lambda one: one.x[0])] == [True, False]
    beyond = enclose(terms(lambda x: x * (x - 1)), [(0.001, 3)])
    assert beyond.status == "certified"
    assert each_in_one(beyond, [1.0])


def test_roots_on_the_cuts():
    """Zeros where a search that halves in the middle would cut, and where this one does."""
    for root in (0.0, 0.5, -2 + 4 * (0.5 + 1 / 64)):
        found = enclose(terms(lambda x, root=root: (x - root) * (x**2 + 1)), [(-2, 2)])
        assert found.status == "certified"
        assert each_in_one(found, [root])


def test_a_double_root_stays_open_and_ends():
    found = enclose(terms(lambda x: (x - 0.3) ** 2 * (x + 1)), [(-2, 2)])
    assert found.status == "undecided"
    assert each_in_one(found, [-1.0])
    assert np.all((found.open[:, 0, 0] - 1e-6 <= 0.3) & (found.open[:, 0, 1] + 1e-6 >= 0.3))
    assert found.share < 1e-9


def test_a_circle_stays_open_and_ends(monkeypatch):
    monkeypatch.setattr(cover_file, "MOST_OPEN", 1000)
    found = enclose(dm.GradientFlow(lambda t, x: (x @ x - 1) ** 2), [(-2, 2)] * 2)
    assert found.status == "undecided"
    assert each_in_one(found, [np.zeros(2)])
    assert "not isolated" in found.reason
    turns = np.linspace(0, 2 * np.pi, 50)
    for x in np.stack([np.cos(turns), np.sin(turns)], axis=1):
        assert np.any(np.all((found.open[:, :, 0] - 1e-9 <= x) & (x <= found.open[:, :, 1] + 1e-9), axis=1))
    middles = found.open.mean(axis=2)
    assert np.max(np.abs(np.linalg.norm(middles, axis=1) - 1)) < 0.1
    assert 0 < found.share < 0.05


def test_too_many_boxes_or_too_little_time_keep_what_is_known(monkeypatch):
    ring = jnp.asarray(np.roll(np.eye(6), 1, axis=0))
    flow = terms(lambda x: x - x**3 + 0.5 * ring @ jnp.tanh(3 * x))
    late = enclose(flow, [(-2, 2)] * 6, budget_s=1e-3)
    assert late.status == "undecided"
    assert late.share == 1
    assert "budget" in late.reason
    monkeypatch.setattr(cover_file, "MOST_OPEN", 200)
    wide = enclose(flow, [(-2, 2)] * 6, budget_s=100.0)
    assert wide.status == "undecided"
    assert 0 < wide.share <= 1
    assert "too many dimensions" in wide.reason
    assert any(np.all((one.lo <= 0) & (one.hi >= 0)) for one in wide.points)


def test_a_hole_is_a_failure():
    found = enclose(terms(lambda x: jnp.sqrt(x) - 1), [(-1, 3)])
    assert found.status == "failed"
    assert "undefined" in found.reason
    pole = enclose(terms(lambda x: 1 / x), [(-1, 1)])
    assert pole.status in ("undecided", "failed")


@pytest.mark.parametrize(
    ("box", "more", "words"),
    [
        ([(0, 1, 2)], {}, "box.shape"),
        ([(1, 1)], {}, "box[0]"),
        ([(0, np.inf)], {}, "box[0]"),
        ([(0, 1)], {"budget_s": 0.0}, "budget_s"),
    ],
)
def test_what_cannot_be_used_is_named(box, more, words):
    with pytest.raises(InputError) as caught:
        enclose(terms(lambda x: -x), box, **more)
    assert words in str(caught.value)


def test_an_unknown_primitive_raises():
    with pytest.raises(InputError):
        enclose(terms(lambda x: jax.lax.lgamma(x) - x), [(1, 2)])


# Known roots


ROOTS = st.lists(st.integers(-30, 30), min_size=3, max_size=3, unique=True)
PAIR = st.lists(st.integers(-30, 30), min_size=2, max_size=2, unique=True)


class Product(eqx.Module):
    """``prod_k (x - root_k)``: one program, whatever the roots."""

    roots: Array

    def __call__(self, t, x, args):
        return jnp.prod(x[0] - self.roots)[None]


class Grid(eqx.Module):
    """``p(x_0)`` and ``q(x_1) + shear p(x_0)``: roots in a grid."""

    first: Array
    second: Array
    shear: Array

    def __call__(self, t, x, args):
        p = (x[0] - self.first[0]) * (x[0] - self.first[1])
        return jnp.stack([p, (x[1] - self.second[0]) * (x[1] - self.second[1]) + self.shear * p])


def polynomial_has_each_root_in_one_box(roots):
    found = enclose(dfx.ODETerm(Product(jnp.asarray(roots) / 16)), [(-2, 2)])
    assert found.status == "certified"
    assert each_in_one(found, [root / 16 for root in roots])


def system_has_each_root_in_one_box(first, second, shear):
    field = Grid(*(jnp.asarray(one) / 16 for one in (first, second)), jnp.asarray(shear / 8))
    found = enclose(dfx.ODETerm(field), [(-2, 2)] * 2)
    assert found.status == "certified"
    assert each_in_one(found, [(a / 16, b / 16) for a in first for b in second])


few = settings(max_examples=3)
"""The runtime checks of types make one enclosure ten times slower than it is."""
test_few_polynomials = few(given(ROOTS)(polynomial_has_each_root_in_one_box))
test_few_systems = few(given(PAIR, PAIR, st.integers(-8, 8))(system_has_each_root_in_one_box))
test_polynomials = pytest.mark.long(given(ROOTS)(polynomial_has_each_root_in_one_box))
test_systems = pytest.mark.long(given(PAIR, PAIR, st.integers(-8, 8))(system_has_each_root_in_one_box))


# Soundness of the parts


class Random(eqx.Module):
    """A random field of two coordinates, with most of what fields are made of."""

    a: Array
    b: Array

    def __call__(self, x):
        return jnp.tanh(self.a @ x) - x**2 * self.b + jax.nn.softmax(self.a @ x) * jnp.cos(x[::-1]) - 0.3


@eqx.filter_jit
def everywhere(field, points):
    """A field at many points."""
    return jax.vmap(field)(points)


@settings(max_examples=6)
@given(st.integers(0, 10_000))
def test_no_zero_of_a_random_field_is_lost(seed):
    """Newton's method in NumPy, from many points, against the step on boxes that hold where it ends."""
    random = np.random.default_rng(seed)
    field = Random(jnp.asarray(3 * random.standard_normal((2, 2))), jnp.asarray(random.standard_normal(2)))
    operator = Krawczyk(translate(field, (2,)))
    points, last = operator.newton(random.uniform(-2, 2, (24, 2)), 40, 0.0)
    sizes = np.max(np.abs(np.asarray(everywhere(field, jnp.asarray(points)))), axis=1)
    good = (last < 1e-13) & np.all(np.abs(points) < 4, axis=1)
    assert np.all(sizes[good] < 1e-9)
    points = points[good]
    if not len(points):
        return
    reach = 10.0 ** random.uniform(-6, 0.5, points.shape)
    shift = random.uniform(-0.99, 0.99, points.shape) * (reach - 1e-9)
    step = operator(points + shift - reach, points + shift + reach)
    assert not np.any(step.free)
    assert np.all((step.lo <= points + 1e-9) & (step.hi >= points - 1e-9))


def test_balls_agree_with_boxes_about_one_zero_and_none():
    balls = Balls(translate(lambda x: x - x**3, (1,)))
    assert balls.single(np.array([[0.9, 1.1]]))
    assert balls.single(np.array([[-0.2, 0.3]]))
    assert not balls.single(np.array([[-1.1, 1.1]]))
    assert not balls.single(np.array([[0.2, 0.6]]))
    assert balls.free(np.array([[0.1, 0.9]]))
    assert not balls.free(np.array([[0.5, 1.5]]))
    assert not balls.free(np.array([[0.5, 1.0]]))
    assert balls.shrinks(np.array([[0.8, 1.3]]), np.array([[0.9, 1.1]]))
    assert not balls.shrinks(np.array([[0.8, 1.3]]), np.array([[1.1, 1.2]]))
    assert all(low <= 1 <= high for low, high in outer(balls.tightened(np.array([[0.9, 1.1]]))).tolist())


def test_what_is_cut_off_a_box_is_all_of_it():
    box, kept = np.array([[0.0, 1.0], [0.0, 2.0]]), np.array([[0.2, 0.7], [0.0, 1.5]])
    parts = slabs(box, kept)
    assert sum(np.prod(part[:, 1] - part[:, 0]) for part in parts) == pytest.approx(2 - 0.5 * 1.5)
    low, high = (Fraction(end) for end in outer([(arb(1) / 3, arb(1) / 3)])[0].tolist())
    assert low < Fraction(1, 3) < high
    assert high - low < 3e-16
    assert exact(box)[0][1] == 1


# Broken twins


BROKEN = terms(lambda x: (x - 0.25) * (x - 0.5) * (x - 0.75))


def test_without_the_test_of_uniqueness_two_roots_would_be_one(monkeypatch):
    """A Krawczyk test that always passes: every root in one box, or the boxes' own accounts, would tell."""
    monkeypatch.setattr(Balls, "single", lambda self, box: True)
    monkeypatch.setattr(Cover, "_certify", _credulous)
    found = enclose(BROKEN, [(-2, 2)])
    assert not each_in_one(found, [0.25, 0.5, 0.75])


def _credulous(self, point):
    """`Cover._certify` without the inclusion."""
    reach = 0.25 * self.sides
    box = np.stack([point - reach, point + reach], axis=1)
    ends = exact(box)
    self._keep(enclose_file.Zero(box, ends, box))
    return True


def test_intervals_that_lie_are_caught_by_arb(monkeypatch):
    """A step that finds boxes free where they are not: Arb leaves them open."""
    honest = Krawczyk.__call__

    def lying(self, lo, hi):
        found = honest(self, lo, hi)
        found.free[:] = True
        return found

    monkeypatch.setattr(Krawczyk, "__call__", lying)
    found = enclose(BROKEN, [(-2, 2)])
    assert found.status == "undecided"
    assert len(found.open)


def test_a_contraction_that_lies_is_caught_by_arb(monkeypatch):
    honest = Krawczyk.__call__

    def lying(self, lo, hi):
        found = honest(self, lo, hi)
        found.lo, found.hi = lo + 0.4 * (hi - lo), lo + 0.6 * (hi - lo)
        return found

    monkeypatch.setattr(Krawczyk, "__call__", lying)
    assert enclose(BROKEN, [(-2, 2)]).status == "undecided"


def test_a_box_that_is_lost_is_noticed(monkeypatch):
    honest = Cover._halved
    monkeypatch.setattr(Cover, "_halved", lambda self, *given: tuple(end[1:] for end in honest(self, *given)))
    with pytest.raises(TranslationError, match="boxes make up"):
        enclose(BROKEN, [(-2, 2)])


def test_a_program_that_lies_is_noticed(monkeypatch):
    monkeypatch.setattr(
        enclose_file, "translate", lambda field, *shapes, **how: translate(lambda x: field(x) + 1e-3, *shapes, **how)
    )
    with pytest.raises(TranslationError, match="by its program"):
        enclose(BROKEN, [(-2, 2)])
