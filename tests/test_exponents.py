"""Lyapunov exponents and contraction against closed forms and the literature; checks with twins that they catch."""

import diffrax as dfx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import dynamem as dm
from dynamem._errors import InputError
from dynamem.stability import _contraction as contraction
from dynamem.stability import _exponents as exponents
from dynamem.stability._contraction import certify_contraction, contraction_rate
from dynamem.stability._exponents import finite_time_contraction, lyapunov_exponents


SYMMETRIC = jnp.asarray([[-1.0, 0.3, 0.0], [0.3, -2.0, 0.1], [0.0, 0.1, 0.5]])
SHEAR = jnp.asarray([[-1.0, 3.0], [0.0, -1.0]])
PAIR = jnp.asarray([[0.6, 0.8], [-0.6, -0.8]])
FINE = {"controller": dfx.PIDController(rtol=1e-12, atol=1e-12), "solver": dfx.Dopri8()}
BOX = jnp.asarray([[-2.0, 2.0], [-2.0, 2.0]])


def linear(t, x, matrix):
    return matrix @ x


def lorenz(t, x, args):
    return jnp.stack([10 * (x[1] - x[0]), x[0] * (28 - x[2]) - x[1], x[0] * x[1] - 8 / 3 * x[2]])


def henon(x):
    return jnp.stack([1 - 1.4 * x[0] ** 2 + x[1], 0.3 * x[0]])


def test_a_linear_flow_to_rounding():
    found = lyapunov_exponents(
        dfx.ODETerm(linear), jnp.ones(3), t1=60.0, transient=40.0, segments=50, args=SYMMETRIC, **FINE
    )
    np.testing.assert_allclose(found.values, np.linalg.eigvalsh(SYMMETRIC)[::-1], atol=1e-10)
    assert found.consistent
    assert found.complete
    assert found.errors.max() < 1e-10
    assert found.divergence == pytest.approx(-2.5, abs=1e-10)
    assert found.history.shape == (50, 3)


def test_a_linear_map_to_rounding_and_fewer_exponents():
    matrix = jnp.asarray([[1.5, 0.2], [0.2, 0.4]])
    sizes = np.log(np.linalg.eigvalsh(matrix)[::-1])
    step = dm.Map(lambda x: matrix @ x)
    found = lyapunov_exponents(step, jnp.ones(2) * 1e-3, t1=140, transient=80)
    np.testing.assert_allclose(found.values, sizes, atol=1e-10)
    assert found.consistent
    one = lyapunov_exponents(step, jnp.ones(2) * 1e-3, t1=140, transient=80, count=1)
    np.testing.assert_allclose(one.values, sizes[:1], atol=1e-10)
    assert one.consistent is None


def test_henon_to_one_per_cent():
    found = lyapunov_exponents(dm.Map(henon), jnp.asarray([0.1, 0.1]), t1=30100, transient=100)
    np.testing.assert_allclose(found.values, [0.4192, -1.6229], rtol=0.01)
    assert (np.abs(found.values - np.asarray([0.4192, -1.6229])) < 4 * found.errors).all()
    assert found.consistent
    assert found.divergence == pytest.approx(np.log(0.3), abs=1e-9)


@pytest.mark.long
def test_lorenz_to_one_per_cent():
    starts = jax.random.normal(jax.random.key(0), (256, 3)) * 5 + jnp.asarray([[0.0, 0.0, 20.0]])
    found = lyapunov_exponents(dfx.ODETerm(lorenz), starts, t1=140.0, transient=40.0, segments=100, dt0=0.02)
    np.testing.assert_allclose(found.values[[0, 2]], [0.9056, -14.5723], rtol=0.01)
    assert abs(found.values[1]) < 0.005
    assert (np.abs(found.values - np.asarray([0.9056, 0.0, -14.5723])) < 4 * found.errors).all()
    assert found.consistent


def test_a_wrong_variational_equation_is_caught(monkeypatch):
    """The broken twin: tangents that run backward in time."""
    right = exponents.variational

    def wrong(*args):
        drift, moved = right(*args)
        return drift, -moved

    matrix = jnp.asarray([[-1.0, 0.2], [0.0, -0.5]])
    flow = dfx.ODETerm(lambda t, x, args: matrix @ x)
    good = lyapunov_exponents(flow, jnp.ones(2), t1=5.0, segments=10)
    monkeypatch.setattr(exponents, "variational", wrong)
    bad = lyapunov_exponents(dfx.ODETerm(lambda t, x, args: matrix @ x), jnp.ones(2), t1=5.0, segments=10)
    assert good.consistent
    assert bad.consistent is False


def test_what_does_not_stay_finite_is_told_and_kept():
    found = lyapunov_exponents(dfx.ODETerm(lambda t, x, args: x * x), jnp.ones(1), t1=3.0, segments=30, max_steps=512)
    assert not found.complete
    assert "did not stay finite" in found.reason
    assert 0 < found.times[-1] < 1
    assert found.values[0] > 0
    lost = lyapunov_exponents(dm.Map(lambda x: x * x), jnp.asarray([1e3]), t1=50, transient=30)
    assert np.isnan(lost.values).all()
    assert "transient" in lost.reason


def test_finite_time_stretching_of_a_linear_flow():
    flow = dfx.ODETerm(linear)
    found = finite_time_contraction(flow, jnp.ones((3, 2)), t1=1.0, args=SHEAR)
    push = jax.scipy.linalg.expm(SHEAR)
    np.testing.assert_allclose(found.rates[0], np.log(np.linalg.svd(push)[1]), atol=1e-7)
    assert not found.contracts[0]  # it parts neighbours at first, though all exponents are -1
    late = finite_time_contraction(flow, jnp.ones((3, 2)), t1=20.0, args=SHEAR)
    assert late.contracts.all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"t1": -1.0}, "t1="),
        ({"count": 3}, "count="),
        ({"x0": jnp.ones((1, 1, 1))}, "x0.shape"),
        ({"transient": 9.0}, "transient="),
    ],
)
def test_bad_input(change, message):
    given = {"x0": jnp.ones(2), "t1": 1.0, "args": SHEAR} | change
    with pytest.raises((InputError, TypeError) if "x0" in change else InputError, match=message):
        lyapunov_exponents(dfx.ODETerm(linear), given.pop("x0"), **given)


def test_rates_at_points_and_metrics():
    flow = dfx.ODETerm(lambda t, x, args: SHEAR @ x)
    plain = contraction_rate(flow, jnp.zeros((2, 2)))
    np.testing.assert_allclose(plain.rates, [0.5, 0.5], atol=1e-12)
    scaled = contraction_rate(flow, jnp.zeros(2), metric=jnp.diag(jnp.asarray([0.1, 1.0])))
    assert scaled.worst == pytest.approx(-1 + 1.5 * np.sqrt(0.1))
    assert contraction_rate(dm.Map(lambda x: 0.5 * jnp.sin(x)), jnp.zeros(2)).worst == pytest.approx(np.log(0.5))
    memory = contraction_rate(dm.GradientFlow(dm.LogSumExp(PAIR, 3.0)), jnp.asarray([[0.0, 0.0], [0.6, 0.8]]))
    assert memory.worst == pytest.approx(2.0)
    np.testing.assert_array_equal(memory.witness, [0, 0])
    np.testing.assert_allclose(np.abs(memory.direction), [0.6, 0.8], atol=1e-9)


def test_a_convex_memory_is_certified_and_the_twin_is_broken():
    """``lambda_max = beta |m|^2 - 1`` at the middle of two patterns, the most anywhere."""
    flow = dm.GradientFlow(dm.LogSumExp(PAIR, 0.5))
    good = certify_contraction(flow, BOX, 0.3)
    assert good.status == "certified"
    assert good.open_share == 0
    twin = certify_contraction(flow, BOX, 0.51)
    assert twin.status == "broken"
    assert twin.excess == pytest.approx(0.01, abs=1e-9)
    assert twin.replay(flow) == twin.excess
    assert twin.replay(dm.GradientFlow(dm.LogSumExp(PAIR, 0.4))) < 0
    steep = certify_contraction(dm.GradientFlow(dm.LogSumExp(PAIR, 1.2)), BOX)
    assert steep.status == "broken"
    assert contraction_rate(dm.GradientFlow(dm.LogSumExp(PAIR, 1.2)), jnp.asarray(steep.witness)).worst > 0
    with pytest.raises(InputError, match="witness"):
        good.replay(flow)


def test_certificates_in_metrics_and_of_maps():
    flow, box = dfx.ODETerm(lambda t, x, args: SHEAR @ x), BOX
    metric = jnp.diag(jnp.asarray([0.1, 1.0]))  # the rate is 1 - 1.5 sqrt(0.1) = 0.5257
    assert certify_contraction(flow, box).status == "broken"
    assert certify_contraction(flow, box, 0.525, metric=metric).status == "certified"
    assert certify_contraction(flow, box, 0.526, metric=metric).status == "broken"
    half = dm.Map(lambda x: 0.5 * jnp.sin(x))
    assert certify_contraction(half, box, 0.69).status == "certified"  # log 2 = 0.6931
    assert certify_contraction(half, box, 0.70).status == "broken"


def test_what_no_box_can_settle_is_undecided():
    bent = dfx.ODETerm(lambda t, x, args: jnp.where(x > 0.3, -x, -2 * x))
    jump = certify_contraction(bent, jnp.asarray([[-1.0, 1.0]]), budget_s=300.0)  # ends by itself, at the thinnest box
    assert jump.status == "undecided"
    assert 0 < jump.open_share < 1e-6
    late = certify_contraction(bent, jnp.asarray([[-1.0, 1.0]]), budget_s=1e-3)
    assert late.status == "undecided"
    assert jump.open_share < late.open_share <= 1
    with pytest.raises(InputError, match="metric"):
        contraction_rate(dm.Map(jnp.sin), jnp.zeros(2), metric=-jnp.eye(2))
    with pytest.raises(InputError, match="box"):
        certify_contraction(dm.Map(jnp.sin), jnp.asarray([[0.0, jnp.inf]]))


def test_discs_without_their_radii_would_certify_too_much():
    """The broken twin: the same midpoints without the intervals about them."""
    middle = np.asarray([[[-1.0, 0.0], [0.0, -1.0]]])
    wide = (middle - 1.5, middle + 1.5)
    assert contraction._settled((middle, middle))[0][0]
    assert not contraction._settled(wide)[0][0]
    narrow = (middle - 0.4, middle + 0.4)
    assert contraction._settled(narrow)[0][0]
    rng = np.random.default_rng(0)
    for _ in range(200):
        centre = rng.normal(size=(3, 3))
        centre, radius = centre + centre.T - 4 * np.eye(3), rng.uniform(0, 0.3)
        if contraction._settled((centre[None] - radius, centre[None] + radius))[0][0]:
            sample = centre + radius * rng.choice([-1.0, 1.0]) * np.ones((3, 3))
            assert np.linalg.eigvalsh(sample)[-1] <= 0
