"""Reduced programs compute what they were made from, are undefined where it is, and are narrower over boxes."""

import functools
from fractions import Fraction

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flint import arb, ctx

import dynamem as dm
from dynamem.programs import BALL, Interval, Mark, enclose, evaluate, reduced, translate
from dynamem.programs import _polynomial as polynomial


PATTERNS = np.asarray([[1.0, 0.0], [-0.5, 0.8], [-0.4, -0.9]])


def rate(energy, *, schedule="VE", clock="lam", time=None, patterns=PATTERNS):
    """The rate of an energy of a path, a function of state and time, or of the state alone at a fixed time."""
    path = dm.DiffusionPath(getattr(dm, schedule)(), dm.Empirical(jnp.asarray(patterns)))
    number = dm.generator(energy(path, clock=clock), dm.ProbabilityFlow(path, clock=clock))
    if time is None:
        return lambda z: number(z[-1], z[:-1], None).total
    return lambda x: number(jnp.asarray(time), x, None).total


FUNCTIONS = {
    "density": (rate(dm.DensityEnergy), 3),
    "free": (rate(dm.FreeEnergy), 3),
    "hopfield": (rate(dm.HopfieldEnergy), 3),
    "density, own coordinates, VP": (rate(dm.DensityEnergy, schedule="VP", clock="tau", time=0.7), 2),
    "free, own coordinates, EDM": (rate(dm.FreeEnergy, schedule="EDM", clock="tau", time=0.9), 2),
    "products": (lambda x: jnp.sum((x[:, None] * x[None] - 0.1 * x[None]) ** 2) - (x[0] - x[1]) ** 3, 3),
    "over positive things": (lambda x: (x[0] + x[1]) / jnp.exp(x[0]) * jnp.exp(x[0]) / (1 + x[1] ** 2) ** 2, 2),
    "softmax": (lambda x: jax.nn.softmax(x[0] ** 2 + 3 * x) @ x - jax.nn.logsumexp(x), 3),
    "matrices": (lambda x: jnp.sum((x.reshape(2, 2) @ x.reshape(2, 2)) @ jnp.ones((2, 2)) * 0.3), 4),
    "branches": (lambda x: jnp.where(x[0] > 0, x[0] * (x[0] + 1), jnp.abs(x[1]) * x[0]) + x[0], 2),
}


@functools.cache
def program_of(name):
    function, size = FUNCTIONS[name]
    return translate(function, (size,))


def differences(name, count=20):
    """By how much Arb's values at points differ."""
    size = FUNCTIONS[name][1]
    programs = program_of(name), reduced(program_of(name))
    found = []
    for point in np.random.default_rng(0).uniform(-1, 1, (count, size)):
        values = [evaluate(one, BALL, [[(arb(v),) * 2 for v in point.tolist()]])[0][0] for one in programs]
        assert not any(isinstance(value, Mark) for value in values)
        found.append(max(abs(float(values[0][0] - values[1][0])), abs(float(values[0][1] - values[1][1]))))
    return max(found)


@pytest.fixture(autouse=True)
def _precision():
    before, ctx.prec = ctx.prec, 200
    yield
    ctx.prec = before


@pytest.mark.parametrize("name", FUNCTIONS)
def test_it_computes_the_same(name):
    assert differences(name) < 1e-40


@pytest.mark.parametrize("name", FUNCTIONS)
def test_it_holds_what_jax_computes(name):
    function, size = FUNCTIONS[name]
    random = np.random.default_rng(1)
    middle = random.uniform(-1, 1, (50, size))
    radius = 10.0 ** random.uniform(-3, -0.5, (50, 1))
    inside = middle + radius * random.uniform(-1, 1, middle.shape)
    (bound,) = enclose(reduced(program_of(name)), [(middle - radius, middle + radius)])
    values = np.asarray(jax.vmap(function)(jnp.asarray(inside)))
    slack = 1e-12 * (1 + np.abs(values))
    assert np.all(bound.lo[:, 0] <= values + slack)
    assert np.all(bound.hi[:, 0] >= values - slack)


def _lose_a_sign(a, b, sign=1, real=polynomial.added):
    return real(a, b, 1)


def _lose_a_power(a, b, real=polynomial.product):
    return real(a, b)[:-1] if len(real(a, b)) > 1 else real(a, b)


def _forget_a_run(p, size, real=polynomial.summed):
    return real(polynomial.Polynomials([*p.entries[:-1], {}]), size)


@pytest.mark.parametrize(
    ("place", "mutant"), [("added", _lose_a_sign), ("product", _lose_a_power), ("summed", _forget_a_run)]
)
def test_a_wrong_rule_is_caught(monkeypatch, place, mutant):
    from dynamem.programs import _reduce

    monkeypatch.setattr(polynomial, place, mutant)
    if place != "product":
        monkeypatch.setattr(_reduce, place, mutant)
    assert max(differences(name, count=3) for name in ("free", "products", "softmax")) > 1e-3


UNDEFINED = {
    "x/x": lambda x: x[0] / x[0],
    "0 log x": lambda x: 0.0 * jnp.log(x[0]),
    "sqrt x - sqrt x": lambda x: jnp.sqrt(x[0]) - jnp.sqrt(x[0]) + x[0],
    "x^-1 x": lambda x: x[0] ** -1 * x[0],
}


@pytest.mark.parametrize("name", UNDEFINED)
def test_it_is_undefined_where_it_was(name):
    (bound,) = enclose(reduced(translate(UNDEFINED[name], (1,))), [(np.asarray([[-1.0]]), np.asarray([[1.0]]))])
    assert bound.ok is not None
    assert not bound.ok.any()


def width(program, radius=0.02):
    middle = np.random.default_rng(2).uniform(-1, 1, (200, len_of(program)))
    (bound,) = enclose(program, [(middle - radius, middle + radius)])
    return float(np.median(bound.hi - bound.lo))


def len_of(program):
    return program.nodes[program.inputs[0]].length


@pytest.mark.parametrize("name", ["density", "free", "density, own coordinates, VP"])
def test_what_cancels_widens_nothing(name):
    """Of the density's rate ``tr C/s^2 - D`` is left, where sums of ``|y|^2/s^2`` and ``y.m/s^2`` were."""
    assert 2 * width(reduced(program_of(name))) < width(program_of(name))


def test_a_slice_costs_its_own_dimension():
    """Logits on a plane through D dimensions are affine in two numbers."""
    patterns = np.random.default_rng(3).normal(size=(40, 16))
    a, b = patterns[0], np.linalg.qr(patterns[1:3].T)[0]
    number = rate(dm.DensityEnergy, time=0.5, patterns=patterns)
    program = translate(lambda u: number(jnp.asarray(a) + jnp.asarray(b) @ u), (2,), centred=True)
    small = reduced(program)
    assert [node.data for node in small.nodes if node.op == "gibbs"] == [(40, 2)]
    assert max(node.length for node in small.nodes if small.inputs[0] in node.args) == 40
    middle = np.random.default_rng(4).uniform(-2, 2, (50, 2))
    (bound,) = enclose(small, [(middle, middle.copy())])
    values = np.asarray(jax.vmap(lambda u: number(jnp.asarray(a) + jnp.asarray(b) @ u))(jnp.asarray(middle)))
    np.testing.assert_allclose(0.5 * (bound.lo + bound.hi)[:, 0], values, rtol=1e-9)


def test_fractions_are_not_rounded():
    """Constants that floats cannot hold stay the rationals that they are."""
    program = reduced(translate(lambda x: (0.1 * x[0] + 0.2 * x[0]) - 0.3 * x[0], (1,)))
    (bound,) = evaluate(program, BALL, [[(arb(1),) * 2]])
    exact = Fraction(0.1) + Fraction(0.2) - Fraction(0.3)
    assert arb(exact.numerator) / arb(exact.denominator) == pytest.approx(float(bound[0][0]), rel=1e-15)
    (wide,) = enclose(program, [(np.ones((1, 1)), np.ones((1, 1)))])
    assert isinstance(wide, Interval)
    assert wide.lo[0, 0] <= float(exact) <= wide.hi[0, 0]
