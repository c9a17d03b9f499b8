"""The room `testing`: what is correct passes, each broken twin is caught, and nothing compiles twice."""

import functools
import subprocess
import sys

import diffrax as dfx
import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.errors import HypothesisException

import dynamem as dm
from dynamem import testing
from dynamem._errors import InputError
from tests.testing_cases import FLOW, MEMORY, XI, X, message


FEW = settings(max_examples=10, deadline=None)


# ------------------------------------------------------------------------------- strategies


@FEW
@given(st.data())
def test_patterns_are_of_their_kind(data):
    kind = data.draw(st.sampled_from(testing.KINDS))
    xi = data.draw(testing.patterns(kinds=(kind,)))
    assert xi.shape in testing.SHAPES
    assert xi.dtype == np.float64
    apart = np.linalg.norm(xi[:, None] - xi[None], axis=2)[~np.eye(len(xi), dtype=bool)]
    norms = np.linalg.norm(xi, axis=1)
    holds = {
        "apart": lambda: apart.min() >= 1, "duplicate": lambda: np.all(xi[0] == xi[1]),
        "collinear": lambda: np.linalg.matrix_rank(xi - xi[0], tol=1e-9) <= 1,
        "unequal": lambda: norms[0] == pytest.approx(0.125) and norms[-1] == pytest.approx(3),
        "clustered": lambda: np.abs(xi[2:] - xi[:-2]).max(initial=0) <= 0.25,
        "huge": lambda: np.all(xi % 2**17 == 0), "tiny": lambda: np.abs(xi).max() <= 3 * 2.0**-20,
    }  # fmt: skip
    assert holds.get(kind, lambda: True)()


@FEW
@given(st.data())
def test_other_strategies_keep_their_word(data):
    assert data.draw(testing.weights(4)).sum() == pytest.approx(1)
    assert data.draw(testing.weights(3, zeros=True)).min() >= 0
    assert 0.124 < data.draw(testing.betas()) < 64.1
    plain, skewed = data.draw(testing.couplings(3)), data.draw(testing.couplings(3, skew=0.5))
    assert np.all(plain == plain.T)
    assert np.all(np.abs(skewed - skewed.T)[np.triu_indices(3, 1)] == 1)
    assert np.linalg.eigvalsh(data.draw(testing.preconditioners(3)))[0] > 0
    assert np.linalg.eigvalsh(data.draw(testing.preconditioners(3, definite=False)))[0] < 0
    grid = data.draw(testing.step_grids(-1.0, 2.0))
    assert (grid[0], grid[-1]) == (-1.0, 2.0)
    assert np.all(np.diff(grid) > 0)
    assert np.diff(grid).max() <= 16 * np.diff(grid).min() * (1 + 1e-9)
    mixture = data.draw(testing.mixtures())
    assert mixture.means.shape in testing.SHAPES
    assert data.draw(testing.states(XI, 5)).shape == (5, 2)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: testing.patterns(kinds=("odd",)), "kinds=('odd',)"),
        (lambda: testing.patterns(shapes=()), "shapes=()"),
        (lambda: testing.step_grids(1.0, 0.0), "low=1.0, high=0.0"),
        (lambda: testing.states(np.ones(3)), "xi.shape=(3,)"),
        (lambda: testing.assert_lyapunov(MEMORY, FLOW, X.astype(int)), "states.dtype=int64"),
        (lambda: testing.assert_lyapunov(MEMORY, FLOW, X * np.nan), "NaN"),
        (lambda: testing.assert_lyapunov(MEMORY, FLOW, X, t0=1.0, t1=0.0), "t0=1.0"),
        (lambda: testing.assert_lyapunov(lambda t, x: x, FLOW, X), "energy(t, x) has shape (2,)"),
        (lambda: testing.assert_gradient_flow(lambda t, x: x, FLOW, X), "energy returns shape (2,)"),
        (lambda: testing.assert_score_is_gradient(lambda x: x[:1], X), "score returns shape (1,)"),
        (lambda: testing.assert_score_is_gradient(lambda x: float(x[0]), X), "score=<function"),
        (lambda: testing.assert_energy_stable(dfx.Euler(), MEMORY, FLOW, X, steps=(-1.0,)), "steps=(-1.0,)"),
        (lambda: testing.assert_energy_stable(dfx.Euler(), MEMORY, dm.Langevin(MEMORY, 1.0), X), "flow has noise"),
        (lambda: testing.assert_schedule(object()), "has no method alpha"),
        (lambda: testing.assert_schedule(dm.VP(), times=[1.0, 0.0]), "times=[1.0, 0.0]"),
        (lambda: testing.assert_sampler_consistent(dm.DDIM(), order=1, steps=(8,)), "steps=(8,)"),
    ],
)
def test_bad_input_is_named(call, words):
    with pytest.raises(InputError) as told:
        call()
    assert words in str(told.value)


# ------------------------------------------------------------------------------- energies


@FEW
@given(testing.systems(((3, 2),)))
def test_energies_of_systems_fall(system):
    testing.assert_lyapunov(system.energy, system.flow, system.states, t0=system.t0, t1=system.t1)


def test_a_sign_is_caught_and_the_test_that_is_printed_fails_too():
    climbing = dfx.ODETerm(lambda t, x, args: jax.grad(MEMORY, argnums=1)(t, x))
    told = message(testing.assert_lyapunov, MEMORY, climbing, X)
    assert "the energy rises" in told
    assert "made of: schedule 0, dissipation" in told
    assert "share of what was asked: 100.00%" in told
    lines = [line.strip() for line in told.splitlines()]
    code = "\n".join(lines[lines.index("to keep as a test:") + 1 :])
    names = {"jnp": jnp, "dm": dm, "energy": MEMORY, "flow": climbing}
    with pytest.raises(AssertionError):
        exec(code, names)
    exec(code, names | {"flow": FLOW})


def test_numbers_that_are_none_are_no_pass():
    assert "no number" in message(testing.assert_lyapunov, lambda t, x: jnp.log(x[0]) * 0 + x @ x, FLOW, -np.abs(X))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_both_precisions_have_their_rounding(dtype):
    memory = dm.LogSumExp(jnp.asarray(XI, dtype), jnp.asarray(4.0, dtype))
    x = X.astype(dtype)
    testing.assert_lyapunov(memory, dm.GradientFlow(memory), x)
    testing.assert_gradient_flow(memory, dm.GradientFlow(memory), x)
    other = dm.LogSumExp(jnp.asarray(XI, dtype), jnp.asarray(4.1, dtype))
    assert "is not -M grad E" in message(testing.assert_gradient_flow, memory, dm.GradientFlow(other), x)


def test_what_is_computed_in_float32_has_its_rounding():
    """Weights in float64, states in float32: the slopes of a layer norm are computed in float32."""

    def lagrangian(x):
        return 2 * jnp.sqrt(jnp.mean((x - jnp.mean(x)) ** 2) + jnp.float32(1e-5))

    slope, w = jax.grad(lagrangian), jnp.asarray([1.0, -0.3])
    x = (100 * np.random.default_rng(0).normal(size=(64, 2))).astype(np.float32)
    flow = dfx.ODETerm(lambda t, x, args: w.astype(x.dtype) - x)

    def energy(t, x):
        return (slope(x) @ x - lagrangian(x)).astype(w.dtype) - w @ slope(x).astype(w.dtype)

    with jax.numpy_dtype_promotion("standard"):
        testing.assert_lyapunov(energy, flow, x)
        assert "the energy rises" in message(testing.assert_lyapunov, lambda t, x: -energy(t, x), flow, 1e-3 * x)


def test_float32_within_float64_is_not_forgiven():
    """A field that is computed in float32 where states are float64 is off by float32's rounding."""
    narrow = dfx.ODETerm(lambda t, x, args: FLOW.drift(t, x, args).astype(jnp.float32).astype(x.dtype))
    assert "is not -M grad E" in message(testing.assert_gradient_flow, MEMORY, narrow, X)

    def energy(t, x):
        y = x.astype(jnp.float32)
        return 0.5 * jnp.sum((y * y).astype(x.dtype))

    flow = dfx.ODETerm(lambda t, x, args: -x)
    assert "is not -M grad E" in message(testing.assert_gradient_flow, energy, flow, X / 3)


def test_noise_has_a_sense():
    """``dx = -x/10 dt + x/2 o dW``: the mean of ``x^2`` grows by ``2 (-1/10 + 1/8) + 1/4``."""
    path = dfx.UnsafeBrownianPath((1,), jr.key(0))
    noise = dfx.ControlTerm(lambda t, x, args: 0.5 * x[:, None], path)
    terms = dfx.MultiTerm(dfx.ODETerm(lambda t, x, args: -0.2 * x), noise)
    x = np.asarray([[1.0], [-2.0]])
    testing.assert_lyapunov(half_square, terms, x)
    told = message(functools.partial(testing.assert_lyapunov, interpretation="stratonovich"), half_square, terms, x)
    assert "dm.generator(energy, flow, 'stratonovich')" in told


def half_square(t, x):
    return 0.5 * jnp.sum(x**2)


def test_maps():
    testing.assert_lyapunov(MEMORY, dm.Map(MEMORY.update), X)
    assert "over an update" in message(testing.assert_lyapunov, MEMORY, dm.Map(lambda x: 3 * x), X)


def test_hypothesis_climbs_to_a_narrow_violation():
    """The energy rises in a thousandth of the states' box only; plain draws of these few would not find it."""

    def energy(t, x):
        return 0.5 * x @ x

    def drift(t, x, args):
        return jnp.where(jnp.abs(x - 2.5) < 0.07, 1.0, -1.0) * x

    flow = dfx.ODETerm(drift)

    @settings(max_examples=200, deadline=None, database=None, derandomize=True)
    @given(st.integers(-300, 300))
    def asked(k):
        testing.assert_lyapunov(energy, flow, np.asarray([[k / 100]]), t0=0.0, t1=0.0, times=1)

    assert "the energy rises" in message(asked)


def test_in_mean():
    flow = dm.Langevin(MEMORY, 0.01)
    how = {"t0": 0.0, "t1": 0.5, "solver": dfx.Euler(), "dt0": 0.1, "key": jr.key(0)}
    far = np.repeat(X * 4, 16, axis=0)  # where the descent outweighs what noise adds
    assert testing.assert_supermartingale(MEMORY, flow, far, **how) >= 1
    assert "in mean" in message(testing.assert_supermartingale, MEMORY, dm.Langevin(MEMORY, 50.0), far, **how)
    with pytest.raises(InputError, match=r"error=2\.0"):
        testing.assert_supermartingale(MEMORY, flow, far, **how, error=2.0)


def test_steps_of_any_size():
    quadratic = dm.LogSumExp(jnp.zeros((1, 2)), 1.0)
    flow = dm.GradientFlow(quadratic)
    testing.assert_energy_stable(dm.DiscreteGradient(), quadratic, flow, X, tolerance=1e-9)
    testing.assert_energy_stable(dfx.Euler(), quadratic, flow, X, steps=(0.1, 1.0, 1.999))
    told = message(testing.assert_energy_stable, dfx.Euler(), quadratic, flow, X, steps=(0.1, 1.0, 2.001))
    assert "a step raises the energy" in told
    assert "step: 2.001" in told
    term = dfx.ODETerm(lambda t, x, args: args * flow.drift(t, x, None))
    told = message(testing.assert_energy_stable, dfx.Euler(), quadratic, term, X, steps=(2.0,), args=jnp.asarray(1.1))
    names = {"jnp": jnp, "solver": dfx.Euler(), "flow": term, "energy": quadratic, "args": 1.1}
    code = "\n".join(line.strip() for line in told.partition("to keep as a test:")[2].splitlines())
    with pytest.raises(AssertionError):
        exec(code, names)
    exec(code, names | {"args": 0.9})


# ------------------------------------------------------------------------------- as a product


class Traced(eqx.Module):
    """A memory that counts how often it is traced."""

    of: dm.LogSumExp
    counts: list = eqx.field(static=True)

    def __call__(self, t, x):
        self.counts.append(1)
        return self.of(t, x)


def test_examples_of_one_shape_share_their_programs():
    class Shared(list):
        def __hash__(self):
            return 7

        def __eq__(self, other):
            return isinstance(other, Shared)

    counts, after = Shared(), []

    @settings(max_examples=12, deadline=None, database=None)
    @given(testing.patterns(((3, 2),)), testing.betas(), st.data())
    def asked(xi, beta, data):
        energy = Traced(dm.LogSumExp(jnp.asarray(xi), beta), counts)
        x = data.draw(testing.states(xi))
        testing.assert_lyapunov(energy, dm.GradientFlow(energy), x)
        testing.assert_gradient_flow(energy, dm.GradientFlow(energy), x)
        after.append(len(counts))

    asked()
    assert len(after) >= 10
    per_example = np.diff(after)
    assert per_example.max() <= 8  # shapes are asked for anew, programs are not
    assert after[0] > 2 * per_example.max()


def test_without_hypothesis_it_says_what_to_install():
    code = "import sys; sys.modules['hypothesis'] = None\nfrom dynamem.testing import patterns"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode
    assert "pip install 'dynamem[test]'" in done.stderr.splitlines()[-1]
    assert not issubclass(InputError, HypothesisException)
