"""Minimal shocks against closed forms and the stable manifold of a saddle; certified sublevel sets and their twins."""

import json

import diffrax as dfx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.integrate
import scipy.optimize

import dynamem as dm
from dynamem.rigour import verify
from dynamem.stability._basins import basins
from dynamem.stability._shocks import minimal_shock
from dynamem.stability._sublevel import certified_basin


def wells(t, x, args):
    return x - x**3


def grown(t, x, args):
    """0 attracts (-1, 1), everything else escapes."""
    return -x + x**3


def squares(t, x):
    return jnp.sum(x * x)


def bent(t, x):
    """Two wells that no symmetry puts the boundary between."""
    return (x[0] ** 2 - 1) ** 2 / 4 + (x[1] - 0.8 * x[0] ** 2) ** 2 + 0.3 * x[0] * x[1]


def reversed_van_der_pol(t, x, args):
    return jnp.stack([-x[1], x[0] - (1 - x[0] ** 2) * x[1]])


def test_the_double_well_needs_a_shock_of_one():
    found = minimal_shock(dfx.ODETerm(wells), np.asarray([-1.0]), np.asarray([[1.0]]), t1=40.0, directions=2, rounds=0)
    np.testing.assert_allclose(found.size, 1.0, atol=1e-9)
    assert found.replayed
    assert found.ends == 0
    assert found.returns < found.size
    assert np.sort(found.radii)[1] < np.inf == np.max(found.radii)  # one side only
    near = minimal_shock(
        dfx.ODETerm(wells), np.asarray([-1.0]), np.asarray([[1.0]]), t1=40.0, directions=2, rounds=0, reach=0.9
    )
    assert (near.size, near.ends, near.replayed) == (np.inf, -1, False)


def test_two_memories_part_at_their_midplane():
    """From random directions only the optimised one gets there."""
    xi = np.random.default_rng(0).normal(size=(2, 6))
    memory = dm.LogSumExp(jnp.asarray(xi), 60.0)
    far = np.stack([xi[1], xi[0] + 3 * (xi[0] - xi[1])])  # the second is no attractor
    how = {"tolerance": 0.05, "directions": 24, "seed": 1}
    found = minimal_shock(dm.Map(memory.update), xi[0], far[:1], **how)
    half = np.linalg.norm(xi[0] - xi[1]) / 2
    np.testing.assert_allclose(found.size, half, rtol=1e-6)
    slanted = np.sort(found.radii[1:][np.isfinite(found.radii[1:])])
    assert len(slanted)
    assert slanted[0] > 1.05 * half


def boundary(energy, saddle):
    """Points of the stable manifold of a saddle of the gradient flow, by SciPy, backwards in time."""
    slope = jax.jit(jax.grad(energy, 1))
    values, vectors = np.linalg.eigh(np.asarray(jax.hessian(energy, 1)(0.0, jnp.asarray(saddle))))
    assert values[0] < 0 < values[1]
    outside = lambda t, x: np.linalg.norm(x) - 6  # noqa: E731
    outside.terminal = True
    points = []
    for sign in (-1, 1):
        start = saddle + 1e-6 * sign * vectors[:, 1]
        how = {"rtol": 1e-9, "atol": 1e-11, "events": outside, "dense_output": True}
        run = scipy.integrate.solve_ivp(lambda t, x: np.asarray(slope(t, x)), (0, 40), start, **how)
        points.append(run.sol(np.linspace(0, run.t[-1], 5_000)).T)
    return np.concatenate(points)


def test_the_shock_of_a_bent_landscape_is_the_distance_to_the_saddles_manifold():
    def solved(start, function):
        return scipy.optimize.root(lambda z: np.asarray(function(z)), start, tol=1e-13).x

    slope = jax.jit(lambda z: jax.grad(bent, 1)(0.0, z))
    first, second, saddle = (solved(start, slope) for start in ([-1.4, 1.8], [0.7, 0.3], [0.2, 0.0]))
    manifold = boundary(bent, saddle)
    flow = dm.GradientFlow(bent)
    how = {"t1": 40.0, "directions": 4, "rounds": 6}
    for start, other in ((first, second), (second, first)):
        found = minimal_shock(flow, start, other[None], **how)
        exact = np.min(np.linalg.norm(manifold - start, axis=1))
        np.testing.assert_allclose(found.size, exact, rtol=2e-3)
        for part, end in ((1.001, other), (0.99, start)):  # by SciPy
            x0 = start + part * found.shock
            run = scipy.integrate.solve_ivp(lambda t, x: -np.asarray(slope(x)), (0, 40), x0, rtol=1e-8, atol=1e-10)
            assert np.linalg.norm(run.y[:, -1] - end) < 1e-3
        assert found.size <= found.straight


def test_a_certified_set_bounds_the_shock_from_below(tmp_path):
    term = dfx.ODETerm(grown)
    inner = certified_basin(squares, term, np.zeros(1), box=[[-1.5, 1.5]], levels=[0.98, 0.5])
    assert inner.status == "certified", inner.reason
    assert inner.c == 0.98
    assert inner.volume_low < 2 * np.sqrt(inner.c) < inner.volume_high
    assert all(verdict.status == "certified" for verdict in inner.verdicts.values())
    for name, verdict in inner.verdicts.items():
        file = tmp_path / f"{name}.json"
        file.write_text(json.dumps(verdict.evidence["certificate"]))
        assert verify(file)[0], name
    how = {"t1": 40.0, "tolerance": 0.1, "directions": 2, "rounds": 0}
    found = minimal_shock(term, np.zeros(1), np.asarray([[5.0]]), **how, sublevel=inner)
    np.testing.assert_allclose(found.size, 1.0, atol=1e-6)
    assert 0.95 < found.lower == inner.radius <= found.size
    assert found.ends == -1
    assert found.replayed


@pytest.mark.parametrize("level", [1.0, 1.02, 1.9])
def test_a_level_that_is_too_high_is_never_certified(level):
    found = certified_basin(squares, dfx.ODETerm(grown), np.zeros(1), box=[[-1.5, 1.5]], levels=[level], budget_s=40.0)
    assert (found.status, found.refused) == ("undecided", level)
    assert np.isnan(found.c)


def test_other_twins_are_not_certified_either():
    term, box = dfx.ODETerm(grown), [[-1.5, 1.5]]
    assert certified_basin(lambda t, x: -squares(t, x), term, np.zeros(1), box=box).status == "undecided"
    assert "not linearly stable" in certified_basin(squares, term, np.ones(1), box=[[0.5, 1.5]]).reason
    assert "more closely" in certified_basin(squares, term, np.full(1, 0.4), box=box).reason
    for bad, word in (
        ({"flow": dm.Map(lambda x: x / 2)}, "jump over"), ({"box": [[0.5, 1.0]]}, "attractor inside"),
        ({"flow": dfx.ODETerm(lambda t, x, args: -t * x)}, "t=None"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=word):
            certified_basin(**({"energy": squares, "flow": term, "attractor": np.zeros(1), "box": box} | bad))


def test_bad_shocks():
    term, start, others = dfx.ODETerm(wells), np.asarray([-1.0]), np.asarray([[1.0]])
    with pytest.raises(ValueError, match="solve for the fixed point"):
        minimal_shock(term, np.asarray([0.3]), others, t1=40.0)
    with pytest.raises(ValueError, match="directions=-1"):
        minimal_shock(term, start, others, t1=40.0, directions=-1)
    with pytest.raises(ValueError, match="needs a key"):
        minimal_shock(dm.Langevin(bent, 0.1), np.zeros(2), np.ones((1, 2)), t1=1.0)


@pytest.mark.long
def test_van_der_pols_basin_has_a_certified_part():
    """Reversed in time its limit cycle bounds the basin of 0; the quadratic form is that of the linear part."""
    P = jnp.asarray([[1.5, -0.5], [-0.5, 1.0]])
    term = dfx.ODETerm(reversed_van_der_pol)
    inner = certified_basin(lambda t, x: x @ P @ x, term, np.zeros(2), box=[[-2, 2], [-3, 3]])
    assert inner.status == "certified", inner.reason
    assert 2.0 < inner.c < 2.4
    assert inner.radius > 1.0
    states = np.random.default_rng(0).uniform([-2, -3], [2, 3], (2000, 2))
    inside = states[np.einsum("ni,ij,nj->n", states, np.asarray(P), states) <= inner.c]
    assert basins(term, inside, np.zeros((1, 2)), t1=60.0, tolerance=1e-2).shares[0].share == 1.0
    assert certified_basin(
        lambda t, x: x @ P @ x, term, np.zeros(2), box=[[-2, 2], [-3, 3]], levels=[2.6], budget_s=60.0
    ).status == "undecided"  # fmt: skip
