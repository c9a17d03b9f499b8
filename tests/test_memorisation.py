"""Memorised, spurious, generalised: what samples are, against the number of training data, and recovery from noise."""

import json
import math

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

import dynamem as dm
from dynamem._errors import InputError
from dynamem.stability._memorisation import (
    KINDS,
    Sampling,
    classify_samples,
    ddim_ends,
    memorisation,
    memorisation_at,
    nearest_distances,
    recovery_time,
)


ANGLES = np.random.default_rng(9).uniform(0, 2 * np.pi, 1000)
CIRCLE = np.stack([np.cos(ANGLES), np.sin(ANGLES)], axis=1)
SAMPLING = Sampling(
    delta_m=0.03, delta_s=0.002, s_start=4.0, s_end=math.sqrt(0.15), samples=64, steps=20, settle=20
)  # fmt: skip
SIZES = (2, 9, 1000)


def test_distances_are_those_of_the_broadcast():
    rng = np.random.default_rng(0)
    x, xi = rng.normal(size=(1500, 5)) + 100, rng.normal(size=(40, 5)) + 100
    want = np.linalg.norm(x[:, None] - xi[None], axis=2).min(axis=1)
    np.testing.assert_allclose(nearest_distances(x, xi), want, atol=1e-6)
    apart = np.linalg.norm(x[:, None] - x[None], axis=2) + np.diag(np.full(1500, np.inf))
    np.testing.assert_allclose(nearest_distances(x, x, others=True), apart.min(axis=1), atol=1e-6)
    assert nearest_distances(x[:1], x[:1], others=True) == np.inf
    with pytest.raises(InputError, match="one length"):
        nearest_distances(x, xi[:, :4])
    with pytest.raises(InputError, match="NaN"):
        nearest_distances(np.full((2, 5), np.nan), xi)


def test_kinds_by_hand():
    train = np.array([[0.0, 0.0], [1.0, 0.0]])
    samples = np.array([[0.01, 0.0], [0.5, 0.5], [0.5, 0.501], [3.0, 0.0], [1.0, 0.02]])
    found = classify_samples(samples, train, delta_m=0.03, delta_s=0.02)
    assert [KINDS[k] for k in found.kind] == ["memorised", "spurious", "spurious", "generalised", "memorised"]
    assert found.counts == {"memorised": 2, "spurious": 2, "generalised": 1}
    # a datum that several samples hit is memorised, not spurious; a sample is not its own neighbour
    twice = classify_samples(np.zeros((2, 2)), train, delta_m=0.03, delta_s=0.02)
    assert twice.counts["memorised"] == 2
    assert classify_samples(samples[3:4], train, delta_m=0.03, delta_s=0.02).counts["generalised"] == 1
    with pytest.raises(InputError, match="delta_s"):
        classify_samples(samples, train, delta_m=0.03, delta_s=0.0)


def test_two_patterns_merge_at_the_midpoint_where_the_noise_exceeds_them():
    m = 1.3
    law = dm.Empirical(np.array([[m, 0.0], [-m, 0.0]]))
    starts = 3 * jr.normal(jr.key(0), (16, 2))
    for ratio in (0.6, 0.98, 1.02, 1.5):
        ends = np.asarray(ddim_ends(law, starts, 3.0, ratio * m, settle=3000))
        np.testing.assert_allclose(ends[:, 1], 0, atol=1e-9)
        size = np.abs(ends[:, 0])
        np.testing.assert_allclose(size, m * np.tanh(size / (ratio**2 * m)), atol=1e-9)
        assert np.all(size < 1e-3) if ratio > 1 else np.all(size > 0.1 * m), ratio


def test_the_circle_goes_from_memories_over_spurious_states_to_the_ring():
    told = []
    found = memorisation(CIRCLE, SIZES, SAMPLING, tell=told.append)
    assert found.rows[0]["memorised_share"] == 1
    assert found.rows[1]["spurious_share"] > 0.9
    assert found.rows[2]["generalised_share"] > 0.8
    assert list(found.rows) == told
    for kind in KINDS:
        share, low, high = found.shares(kind)
        assert np.all((low <= share) & (share <= high) & (high - low < 0.3))
    for row in json.loads(json.dumps(found.rows, allow_nan=False)):
        assert sum(row[f"{kind}_count"] for kind in KINDS) == row["samples"] == 64
    # resumed from rows that went through JSON: nothing is done again, other settings are
    again = memorisation(CIRCLE, SIZES, SAMPLING, rows=json.loads(json.dumps(found.rows)), tell=told.append)
    assert again.rows == found.rows
    assert len(told) == 3
    # the exact denoiser, run to the end, knows nothing but its data
    last = memorisation_at(1000, CIRCLE, Sampling(0.03, 0.002, 4.0, 0.001, samples=64, steps=20, settle=20))
    assert last["memorised_share"] == 1
    assert memorisation(CIRCLE, (1000,), Sampling(**{**vars(SAMPLING), "seed": 1}), rows=found.rows).rows != found.rows


def test_recovery_from_noise():
    law, patterns = dm.Empirical(np.array([[1.0, 0.0], [-1.0, 0.0]])), np.array([[1.0, 0.0], [-1.0, 0.0]])
    levels = np.geomspace(0.1, 2.0, 13)
    found = recovery_time(law, patterns, levels, jr.key(0), delta=0.1, s_end=0.05, trials=500, schedule=dm.VP())
    # DDIM keeps the sign of x_1: P(back) = P(z < 1/s) = 0.9 at s = 1/1.2816
    assert levels[levels <= 1 / 1.2816][-1] <= found.s <= levels[levels > 1 / 1.2816][0]
    assert found.interval is not None
    assert found.interval[0] <= found.s <= found.interval[1]
    assert math.isfinite(found.t)
    easy = recovery_time(law, patterns, levels[:2], jr.key(0), delta=0.1, s_end=0.05)
    assert "at least" in easy.note
    never = recovery_time(law, patterns, levels[-2:], jr.key(0), delta=0.1, s_end=0.05, trials=500)
    assert math.isnan(never.s)
    with pytest.raises(InputError, match="levels"):
        recovery_time(law, patterns, levels[::-1], jr.key(0), delta=0.1, s_end=0.05)


def test_bad_sweeps():
    with pytest.raises(InputError, match="sizes"):
        memorisation(CIRCLE, (), SAMPLING)
    with pytest.raises(InputError, match="size=1001"):
        memorisation_at(1001, CIRCLE, SAMPLING)
    with pytest.raises(InputError, match="s_end"):
        ddim_ends(dm.Empirical(CIRCLE), jnp.zeros((2, 2)), 1.0, 2.0)


class Broken(dm.AbstractDenoiser):
    def mean(self, point):
        return point.x * jnp.nan


def test_samples_that_are_no_numbers_are_no_success():
    with pytest.raises(InputError, match="NaN"):
        memorisation_at(4, CIRCLE, SAMPLING, lambda _: Broken())


@pytest.mark.long
def test_a_network_goes_from_memorising_to_generalising():
    def learned(patterns):
        spread = float(jnp.sqrt(jnp.mean(jnp.var(patterns, axis=0))))
        centre = jnp.mean(patterns, axis=0)
        network = dm.MLPDenoiser(2, 64, 3, centre=centre, sigma_data=spread, key=jax.random.key(0))
        recipe = dm.Recipe(sigma_data=spread, low=0.01, high=4.0)
        return dm.train(network, patterns, recipe, steps=6000, every=6000).denoiser

    single = CIRCLE.astype(np.float32)
    how = Sampling(delta_m=0.01, delta_s=5e-4, s_start=4.0, s_end=0.01, samples=128, steps=40)
    found = memorisation(single, (2, 9, 64), how, learned)
    memorised, generalised = found.shares("memorised"), found.shares("generalised")
    assert memorised[1, 0] > 0.8
    assert memorised[1, 0] > memorised[2, 1]
    assert generalised[1, 2] > 0.6  # the chance to lie within 0.01 of one of 64 on a circle is 0.19
