"""Tables of rates as schedules, and the step grids: the papers' numbers, and the pitfalls of other schedulers."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import dynamem as dm
from dynamem._errors import InputError
from dynamem.solvers import ancestral_levels


TABLES = {
    "linear": (dm.BetaTable.linear(), np.linspace(1e-4, 0.02, 1000)),
    "scaled": (dm.BetaTable.scaled_linear(), np.linspace(0.00085**0.5, 0.012**0.5, 1000) ** 2),
}


def cosine_betas(count=1000):
    """As arXiv 2102.09672, eq. 17, with the cap of its section 3.2."""
    kept = np.cos((np.arange(count + 1) / count + 0.008) / 1.008 * np.pi / 2) ** 2
    return np.minimum(1 - kept[1:] / kept[:-1], 0.999)


TABLES["cosine"] = (dm.BetaTable.cosine(), cosine_betas())
INDICES = jnp.arange(1000)


@pytest.mark.parametrize("name", TABLES)
def test_a_table_is_exact_at_its_times(name):
    table, betas = TABLES[name]
    np.testing.assert_allclose(table.betas, betas, rtol=1e-9)
    kept = np.cumprod(1 - betas)
    np.testing.assert_allclose(jax.vmap(table.alpha)(table.times(INDICES)), np.sqrt(kept), rtol=1e-10, atol=1e-13)
    np.testing.assert_allclose(table.levels(INDICES), np.sqrt((1 - kept) / kept), rtol=1e-9)
    assert (float(table.alpha(0.0)), float(table.sigma(0.0))) == (1.0, 0.0)


@pytest.mark.parametrize("name", TABLES)
def test_noise_grows_between_the_times_of_a_table(name):
    table, betas = TABLES[name]
    lam, slopes = jax.vmap(lambda t: (table.lam(t), table.alpha_dot(t)))(jnp.linspace(1e-5, 1, 7001))
    assert np.all(np.diff(lam) < 0)
    assert np.all(np.asarray(slopes) < 0)
    knots = table.times(jnp.asarray([10, 300, 800]))
    left, right = (jax.vmap(table.alpha_dot)(knots + side) for side in (-1e-9, 1e-9))
    np.testing.assert_allclose(left, right, rtol=1e-5)
    linear = np.diff(np.sqrt(np.cumprod(1 - betas)))[[9, 10, 299, 300]].reshape(2, 2)
    assert np.all(np.abs(linear[:, 1] / linear[:, 0] - 1) > 1e-4)  # the slopes jump where a table is joined by lines


def test_zero_terminal_snr():
    """As in arXiv 2305.08891, algorithm 1: the first alpha stays, the last is 0, and those between are rescaled."""
    table = TABLES["scaled"][0]
    found = table.zero_terminal_snr()
    before, after = (np.asarray(1 - one.loss[1:]) for one in (table, found))
    scaled = (before - before[-1]) * before[0] / (before[0] - before[-1])
    np.testing.assert_allclose(after, scaled, atol=1e-12)
    assert after[-1] == float(found.alpha(1.0)) == 0.0
    assert found.betas[-1] == 1.0
    assert float(table.alpha(1.0)) > 0.06  # the pitfall: the table of latent diffusion never reaches pure noise
    flow = dm.ProbabilityFlow(dm.DiffusionPath(found, dm.Empirical(jnp.eye(3))), "tau")
    assert np.all(np.isfinite(flow.drift(0.0, jnp.ones(3), None)))


def test_a_noise_prediction_says_nothing_without_signal():
    """x0 = (x - sigma eps)/alpha is 0/0 at zero terminal SNR; grids on lam refuse to begin there."""
    found = TABLES["scaled"][0].zero_terminal_snr()
    with pytest.raises(InputError, match="indices=999: no signal is left there, as the terminal SNR is zero"):
        found.levels(dm.index_grid(1000, 10, "trailing"))
    assert np.all(np.isfinite(found.levels(dm.index_grid(1000, 10, "leading"))))
    x, eps = jnp.ones(2), jnp.ones(2)
    assert np.all(np.isnan((x - found.sigma(1.0) * eps) / found.alpha(1.0)))


WRONG = {
    r"betas\[1\]=1.5: rates lie between": lambda: dm.BetaTable(jnp.asarray([0.1, 1.5, 0.2])),
    r"betas\[0\]=1.0": lambda: dm.BetaTable(jnp.asarray([1.0, 0.2])),
    r"betas\[0\]=0.0": lambda: dm.BetaTable(jnp.asarray([0.0, 0.2])),
    r"betas\[1\] holds NaN": lambda: dm.BetaTable(jnp.asarray([0.1, jnp.nan])),
    r"betas.shape=\(1,\): need a table of at least two": lambda: dm.BetaTable(jnp.asarray([0.1])),
    "indices=10: the table has entries from 0 to 9": lambda: dm.BetaTable.linear(10).levels(jnp.asarray([9, 10])),
    "indices=-1: the table has entries from 0 to 9": lambda: dm.BetaTable.linear(10).times(jnp.asarray([-1])),
    "steps=1: a table": lambda: dm.BetaTable.linear(1),
    "steps=0, count=10: take a whole number between 1 and 10": lambda: dm.index_grid(10, 0),
    "steps=11, count=10": lambda: dm.index_grid(10, 11),
    "spacing='even': choose 'leading', 'trailing' or 'linspace'": lambda: dm.index_grid(10, 2, "even"),
    "sigma_max=1.0, sigma_min=2.0": lambda: dm.geometric_grid(1.0, 2.0, 5),
    "s_start=1.0, s_end=2.0": lambda: dm.time_grid(dm.VP(), 1.0, 2.0, 5),
}


@pytest.mark.parametrize("message", WRONG)
def test_what_is_refused(message):
    with pytest.raises(InputError, match=message):
        WRONG[message]()


# ------------------------------------------------------------------ grids

# arXiv 2305.08891, table 2, T = 1000 and S = 10, numbered from 0 as here
PRINTED = {
    "leading": [900, 800, 700, 600, 500, 400, 300, 200, 100, 0],
    "linspace": [999, 888, 777, 666, 555, 444, 333, 222, 111, 0],
    "trailing": [999, 899, 799, 699, 599, 499, 399, 299, 199, 99],
}


@pytest.mark.parametrize("spacing", PRINTED)
def test_index_grids(spacing):
    assert dm.index_grid(1000, 10, spacing).tolist() == PRINTED[spacing]


@given(st.integers(2, 1000), st.data())
def test_the_pitfalls_of_index_grids(count, data):
    steps = data.draw(st.integers(1, count))
    grids = {spacing: dm.index_grid(count, steps, spacing) for spacing in PRINTED}
    for grid in grids.values():
        assert grid.shape == (steps,)
        assert np.all(np.diff(grid) < 0)
        assert 0 <= int(grid[-1]) <= int(grid[0]) < count
    assert int(grids["trailing"][0]) == int(grids["linspace"][0]) == count - 1
    assert steps == count or int(grids["leading"][0]) < count - 1  # leading never begins at the noisiest entry


def test_the_last_level_of_an_index_grid_is_noise():
    for spacing in PRINTED:
        levels = TABLES["linear"][0].levels(dm.index_grid(1000, 10, spacing))
        assert np.all(np.diff(levels) < 0)
        assert float(levels[-1]) >= 0.01


def test_the_previous_index_is_the_next_of_the_grid():
    """``i - count // steps``, which schedulers use, fits only "leading"."""
    fits = {spacing: bool(jnp.all(jnp.diff(dm.index_grid(1000, 7, spacing)) == -(1000 // 7))) for spacing in PRINTED}
    assert fits == {"leading": True, "trailing": False, "linspace": False}


def test_grids_are_uniform_in_what_they_name():
    lam = -np.log(dm.geometric_grid(80.0, 0.002, 17))
    np.testing.assert_allclose(np.diff(lam), np.log(40_000) / 17, rtol=1e-9)
    np.testing.assert_allclose(dm.karras_grid(80.0, 0.002, 17, rho=1e6), np.exp(-lam), rtol=1e-4)
    levels = dm.time_grid(dm.FlowMatching(), 4.0, 0.25, 6)  # t = s/(1 + s) falls from 0.8 to 0.2
    np.testing.assert_allclose(levels / (1 + levels), np.linspace(0.8, 0.2, 7), rtol=1e-9)


# ------------------------------------------------------- ancestral noise in float32


ALL = [dm.VP(), dm.SubVP(), dm.VE(), dm.Cosine(), dm.EDM(), dm.FlowMatching(), *(table for table, _ in TABLES.values())]


@jax.jit
def split_in_two(h):
    return jax.vmap(lambda one: ancestral_levels(one, jnp.ones((), jnp.float32)))(h)


levels_at = [jax.jit(jax.vmap(one.s)) for one in ALL]


def up_and_down(s, s1):
    """``s_up`` and ``s_down`` of Euler ancestral in float32."""
    lam, lam1 = -jnp.log(s), -jnp.log(s1)
    up, down = split_in_two(lam1 - lam)
    return s1 * up, s1 * down


def textbook(s, s1):
    """As k-diffusion and diffusers have it."""
    up = jnp.sqrt(s1**2 * (s**2 - s1**2) / s**2)
    return up, jnp.sqrt(s1**2 - up**2)


def wrong(found, s1):
    up, down = found
    return int(jnp.sum(~((up <= s1) & (up >= 0) & (down >= 0) & (down <= s1))))


def random_levels(index, seed, count):
    """Falling noise levels of a schedule at random times, ends included, in float32."""
    ts = np.sort(np.random.default_rng(seed).uniform(1e-4, 1 - 1e-4, count))[::-1].copy()
    levels = np.asarray(levels_at[index](jnp.asarray(ts)), np.float32)
    return jnp.asarray(levels[:-1]), jnp.asarray(levels[1:])


@given(st.integers(0, len(ALL) - 1), st.integers(0, 2**31), st.sampled_from([3, 40]))
def test_new_noise_is_at_most_all_noise_in_float32(index, seed, count):
    s, s1 = random_levels(index, seed, count)
    assert wrong(up_and_down(s, s1), s1) == 0


def test_the_textbook_split_of_noise_is_caught():
    rng = np.random.default_rng(0)
    s1 = jnp.asarray(np.exp(rng.uniform(-3, 1, 20_000)), jnp.float32)
    s = s1 * jnp.asarray(np.exp(rng.uniform(6, 12, 20_000)), jnp.float32)  # one step from nearly pure noise
    assert wrong(textbook(s, s1), s1) > 100
    assert wrong(up_and_down(s, s1), s1) == 0
