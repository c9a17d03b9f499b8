"""Fixed points from many starts, against closed forms; and what a search that lies would look like."""

import diffrax as dfx
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import Array

import dynamem as dm
from dynamem._errors import InputError
from dynamem.stability import _fixed_points as search_file
from dynamem.stability import field_of
from dynamem.stability._enclose import enclose_fixed_points
from dynamem.stability._fixed_points import fixed_point, fixed_points
from dynamem.stability._spectrum import spectrum_at


class Lorenz(eqx.Module):
    """The field of Lorenz 1963, with sigma = 10 and b = 8/3."""

    r: Array

    def __call__(self, t, x, args):
        return jnp.stack([10 * (x[1] - x[0]), x[0] * (self.r - x[2]) - x[1], x[0] * x[1] - 8 / 3 * x[2]])


class Linear(eqx.Module):
    """``A x + b cos t``."""

    A: Array
    b: Array

    def __call__(self, t, x, args):
        return self.A @ x + self.b * jnp.cos(t)


class Polynomial(eqx.Module):
    """``exp(-s x) sum_k c_k x^k`` entry by entry: one program for all coefficients."""

    c: Array
    s: Array

    def __call__(self, t, x, args):
        powers = jnp.stack([jnp.ones_like(x), x, x**2, x**3])
        return jnp.exp(-self.s * x) * jnp.sum(self.c[:, None] * powers, axis=0)


def polynomial(*coefficients, s=0.0):
    """Diffrax terms of a cubic."""
    return dfx.ODETerm(Polynomial(jnp.asarray(coefficients), jnp.asarray(s)))


def scattered(shape, reach, seed=0):
    """Starts in a cube."""
    return np.random.default_rng(seed).uniform(-reach, reach, shape)


def nearest(points, wanted):
    """Largest distance of a wanted point to those found."""
    return max(np.min(np.linalg.norm(points - np.asarray(one), axis=1)) for one in wanted)


def lorenz_points(r):
    """The closed form."""
    if r <= 1:
        return [np.zeros(3)]
    q = np.sqrt(8 / 3 * (r - 1))
    return [np.zeros(3), np.array([q, q, r - 1]), np.array([-q, -q, r - 1])]


@pytest.mark.parametrize("r", [0.5, 2.0, 28.0])
def test_the_points_of_lorenz_are_found(r):
    found = fixed_points(dfx.ODETerm(Lorenz(jnp.asarray(r))), scattered((32, 3), 30.0))
    wanted = lorenz_points(r)
    assert len(found.points) == len(wanted)
    assert nearest(found.x, wanted) < 1e-9
    assert found.failed == 0
    assert sum(point.arrived for point in found.points) == 32
    for point in found.points:
        x, y, z = point.x
        jacobian = [[-10, 10, 0], [r - z, -1, -x], [y, x, -8 / 3]]
        values = np.linalg.eigvals(np.asarray(jacobian))
        np.testing.assert_allclose(np.sort_complex(point.eigenvalues), np.sort_complex(values), atol=1e-7)
        assert point.index == np.sum(values.real > 0)
        assert point.stable == (point.index == 0)
    if r == 28:  # beyond the Hopf bifurcation at 470/19: a pair with frequency
        pair = found.points[-1].eigenvalues[:2]
        assert pair[0].real > 0
        assert abs(pair[0].imag) > 10
        assert found.points[-1].kind == "saddle"


def test_memories_mixtures_and_saddles_of_three_patterns():
    xi = jnp.asarray([[1.0, 0.0], [-0.5, 0.75**0.5], [-0.5, -(0.75**0.5)]])
    energy = dm.LogSumExp(xi, beta=8.0)
    found = fixed_points(dm.GradientFlow(energy), scattered((32, 2), 1.0), energy=energy)
    kinds = [point.kind for point in found.points]
    assert (kinds.count("memory"), kinds.count("saddle"), kinds.count("repeller")) == (3, 3, 1)
    assert {p.pattern for p in found.points if p.kind == "memory"} == {0, 1, 2}
    middle = next(point for point in found.points if point.kind == "repeller")
    np.testing.assert_allclose(middle.weights, [1 / 3] * 3, atol=1e-7)
    # Hess E = I - beta C with C = I/2 at the centre, so that F has eigenvalues 8/2 - 1
    np.testing.assert_allclose(middle.eigenvalues, [3.0, 3.0], atol=1e-6)
    assert all(len(p.patterns) == 2 for p in found.points if p.kind == "saddle")
    assert middle.energy is not None
    assert all(p.energy is not None and p.energy <= middle.energy for p in found.points)
    brute = _fine_grid_newton(xi, 8.0)
    assert len(brute) == len(found.points) == 7
    assert nearest(brute, found.x) < 1e-8
    certified = enclose_fixed_points(dm.GradientFlow(energy), [(-1.5, 1.5)] * 2, budget_s=120.0)
    assert certified.status == "certified"
    assert nearest(certified.x, found.x) < 1e-9
    assert len(certified.points) == 7
    assert {one.index for one in certified.points} == {0, 1, 2}


def _fine_grid_newton(xi, beta):
    """Every zero of ``m(x) - x`` in NumPy, by Newton from a fine grid: nothing of the package."""
    xi, axis = np.asarray(xi), np.linspace(-1.1, 1.1, 41)
    x = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
    m = x
    for _ in range(60):
        logits = beta * (x @ xi.T - 0.5 * np.sum(xi**2, axis=1))
        w = np.exp(logits - logits.max(axis=1, keepdims=True))
        w /= w.sum(axis=1, keepdims=True)
        m = w @ xi
        jacobian = beta * (np.einsum("bi,ij,ik->bjk", w, xi, xi) - m[:, :, None] * m[:, None, :]) - np.eye(2)
        x = np.clip(x - np.linalg.solve(jacobian, (m - x)[..., None])[..., 0], -3, 3)
    good = x[np.linalg.norm(m - x, axis=1) < 1e-10]
    kept = []
    for one in good:
        if all(np.linalg.norm(one - other) > 1e-6 for other in kept):
            kept.append(one)
    return np.asarray(kept)


@pytest.mark.parametrize(("noise", "count"), [(1.1, 1), (0.9, 3)])
def test_two_patterns_merge_where_the_noise_reaches_their_half_distance(noise, count):
    path = dm.DiffusionPath(dm.VE(), dm.Empirical(jnp.asarray([[1.0], [-1.0]])))
    found = fixed_points(dm.ProbabilityFlow(path), scattered((16, 1), 2.0), t=float(-np.log(noise)))
    assert len(found.points) == count
    for point in found.points:  # the fixed points solve x = tanh(x/s^2)
        assert abs(point.x[0] - np.tanh(point.x[0] / noise**2)) < 1e-9
    middle = min(found.points, key=lambda one: abs(one.x[0]))
    assert middle.kind == ("mixture" if count == 1 else "repeller")
    assert set(middle.patterns) == {0, 1}


def test_a_map_is_stable_inside_the_unit_circle():
    a, b = 1.4, 0.3
    found = fixed_points(dm.Map(lambda x: jnp.stack([1 - a * x[0] ** 2 + x[1], b * x[0]])), scattered((16, 2), 2.0))
    roots = (-(1 - b) + np.array([1, -1]) * np.sqrt((1 - b) ** 2 + 4 * a)) / (2 * a)
    assert len(found.points) == 2
    assert nearest(found.x, [(x, b * x) for x in roots]) < 1e-10
    for point in found.points:
        values = np.linalg.eigvals(np.array([[-2 * a * point.x[0], 1], [b, 0]]))
        assert point.index == np.sum(np.abs(values) > 1) == 1
        assert not point.stable


POLYNOMIAL_STARTS = scattered((16, 1), 2.0)


@pytest.mark.parametrize(
    ("coefficients", "kinds"),
    [
        ((0.0, 1.0, 0.0, -1.0), ["attractor", "attractor", "repeller"]),
        ((1.0, 0.0, 1.0, 0.0), []),
        ((0.0, 0.0, 1.0, 0.0), ["degenerate"]),
        ((0.0, 0.0, 0.0, -1.0), ["degenerate"]),
        ((0.0, -1e-9, 0.0, 0.0), ["attractor"]),
    ],
)
def test_what_a_polynomial_has(coefficients, kinds):
    found = fixed_points(polynomial(*coefficients), POLYNOMIAL_STARTS)
    assert [point.kind for point in found.points] == kinds
    assert found.families == ()
    if not kinds:
        assert found.failed == 16
        assert "the least |F| seen is 1 " in found.reason
        assert found.x.shape == (0, 0)


def test_no_point_at_infinity():
    found = fixed_points(polynomial(1.0, 0.0, 0.0, 0.0, s=1.0), POLYNOMIAL_STARTS)
    assert not found.points
    assert "Newton's step is too long" in found.reason


def test_a_circle_is_one_family_and_not_many_points():
    found = fixed_points(dm.GradientFlow(lambda t, x: (x @ x - 1) ** 2), scattered((24, 2), 2.0))
    (family,) = found.families
    assert family.dimension == 1
    assert family.index == 0
    assert len(family.x) > 5
    np.testing.assert_allclose(np.linalg.norm(family.x, axis=1), 1.0, atol=1e-9)
    assert [point.kind for point in found.points] == ["repeller"]
    assert np.linalg.norm(found.x) < 1e-9
    assert "dimension 1" in found.reason


def test_deflation_finds_what_the_starts_alone_miss():
    flow = dfx.ODETerm(Lorenz(jnp.asarray(28.0)))
    starts = lorenz_points(28.0)[1] + scattered((32, 3), 3.0)
    assert len(fixed_points(flow, starts, deflate=0).points) == 1
    more = fixed_points(flow, starts)
    assert len(more.points) > 1
    assert nearest(more.x, lorenz_points(28.0)[:2]) < 1e-9
    assert more.rounds > 1
    assert [point.arrived for point in more.points] == [32] + [0] * (len(more.points) - 1)


def test_least_squares_weights_where_there_is_no_posterior():
    W = jnp.asarray([[1.5, 0.2], [0.2, 1.5]])
    hopfield = dm.LagrangianFlow(dm.Hopfield(W))
    xi = jnp.asarray([[1.55, 1.55], [0.98, -0.98]])
    found = fixed_points(hopfield, scattered((32, 2), 2.0), memories=xi)
    assert sum(point.stable for point in found.points) == 4
    assert len(found.points) == 9
    near = [point for point in found.points if point.kind == "memory"]
    assert {point.pattern for point in near} == {0, 1}
    assert len(near) == 2
    assert all(len(point.patterns) == 1 for point in near)
    for point in found.points:
        np.testing.assert_allclose(point.x, W @ np.tanh(point.x), atol=1e-9)


def test_gradients_are_those_of_the_implicit_function_theorem():
    def right(a):
        flow = dm.GradientFlow(lambda t, x: jnp.sum(x**4 / 4 - a * x**2 / 2))
        return fixed_point(flow, jnp.asarray([1.3]))[0]

    value, slope = jax.value_and_grad(right)(jnp.asarray(2.0))
    assert abs(value - 2**0.5) < 1e-12
    assert abs(slope - 0.5 / 2**0.5) < 1e-12
    step = 1e-5
    assert abs(slope - (right(jnp.asarray(2.0 + step)) - right(jnp.asarray(2.0 - step))) / (2 * step)) < 1e-8


def test_gradients_along_matrices_and_time():
    A, b = jnp.asarray([[-2.0, 1.0], [0.0, -1.0]]), jnp.asarray([1.0, 2.0])

    def first(field, t):
        return fixed_point(dfx.ODETerm(field), jnp.zeros(2), t=t)[0]

    def exact(field, t):
        return -jnp.linalg.solve(field.A, field.b * jnp.cos(t))[0]

    field, t = Linear(A, b), jnp.asarray(0.3)
    for got, wanted in zip(
        jax.tree.leaves(jax.grad(first, argnums=(0, 1))(field, t)),
        jax.tree.leaves(jax.grad(exact, argnums=(0, 1))(field, t)),
        strict=True,
    ):
        np.testing.assert_allclose(got, wanted, atol=1e-12)


def test_one_point_that_is_not_there_is_not_a_number():
    nothing = polynomial(1.0, 0.0, 1.0, 0.0)
    assert np.isnan(fixed_point(nothing, jnp.zeros(1), throw=False)).all()
    with pytest.raises(RuntimeError):
        fixed_point(nothing, jnp.zeros(1))


class Tall(eqx.Module):
    """``-x + w (w.x) c``: eigenvalue ``c - 1`` once, else -1."""

    w: Array
    c: Array

    def __call__(self, t, x, args):
        return self.w * (self.w @ x) * self.c - x


def test_large_states_have_extreme_eigenvalues_without_a_matrix():
    w = np.random.default_rng(1).standard_normal(600)
    field = dfx.ODETerm(Tall(jnp.asarray(w / np.linalg.norm(w)), jnp.asarray(3.0)))
    found = fixed_points(field, scattered((2, 600), 1.0), deflate=0)
    (point,) = found.points
    assert np.linalg.norm(point.x) < 1e-6
    assert point.index == 1
    assert point.index_exact
    assert len(point.eigenvalues) == 12
    assert abs(point.eigenvalues[0] - 2) < 1e-8
    assert abs(point.eigenvalues[-1] + 1) < 1e-8


def test_an_index_that_extreme_eigenvalues_cannot_decide_is_a_least_number():
    rates = np.linspace(-1.0, 1.0, 600)
    field = field_of(dfx.ODETerm(Linear(jnp.asarray(np.diag(rates)), jnp.zeros(600))), 0.0, 600)
    spectrum = spectrum_at(field, np.zeros(600), 1.0)
    assert spectrum.index == 6
    assert not spectrum.exact


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"starts": np.zeros((0, 1))}, "starts.shape"),
        ({"starts": np.full((2, 1), np.nan)}, "starts[0]"),
        ({"starts": jnp.zeros((2, 1), jnp.float32)}, "float64"),
        ({"memories": np.zeros((2, 3))}, "memories.shape"),
        ({"tolerance": 0.0}, "tolerance=0.0"),
        ({"flow": dfx.ODETerm(lambda t, x, args: t * x)}, "t=None"),
    ],
)
def test_what_cannot_be_used_is_named(change, words):
    given = {"flow": dfx.ODETerm(lambda t, x, args: -x), "starts": np.zeros((2, 1))} | change
    with pytest.raises(InputError) as caught:
        fixed_points(given.pop("flow"), given.pop("starts"), **given)
    assert words in str(caught.value)


def test_a_residual_that_lies_is_seen(monkeypatch):
    """Every start would be a point, were it not for the length of Newton's last step; without both, some are."""
    honest, parabola = search_file.land, polynomial(1.0, 0.5, 1.0, 0.0)
    monkeypatch.setattr(search_file, "land", lambda *args: (honest(*args)[0], np.zeros(len(args[1]))))
    assert fixed_points(parabola, POLYNOMIAL_STARTS).points == ()
    monkeypatch.setattr(search_file, "SHORT", np.inf)
    assert fixed_points(parabola, POLYNOMIAL_STARTS).points != ()
