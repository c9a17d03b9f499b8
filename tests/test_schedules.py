"""Known answers of the schedules: the papers' formulas, the ends, inversion, and what is refused."""

import diffrax as dfx
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import dynamem as dm
from dynamem.diffusion import grid_between, times_of
from tests.catalogue import ALL, SCHEDULES, XI, any_schedule


def half(t, low=0.1, high=20.0):
    return low * t + 0.5 * (high - low) * t * t


def cosine(t, o=0.008):
    return np.cos((t + o) / (1 + o) * np.pi / 2) / np.cos(o / (1 + o) * np.pi / 2)


# alpha(t), sigma(t) as the sources print them
FORMULAS = {
    "VP": lambda t: (np.exp(-half(t) / 2), np.sqrt(1 - np.exp(-half(t)))),
    "SubVP": lambda t: (np.exp(-half(t) / 2), 1 - np.exp(-half(t))),
    "VE": lambda t: (1.0, 0.01 * 5000.0**t),
    "Cosine": lambda t: (cosine(t), np.sqrt(1 - cosine(t) ** 2)),
    "EDM": lambda t: (1.0, 80.0 * t),
    "FlowMatching": lambda t: (1 - t, t),
    "Trigonometric": lambda t: (np.cos(np.pi * t / 2), np.sin(np.pi * t / 2)),
}
# f, g^2 as the sources print them
DRIFTS = {
    "VP": lambda t: (-0.5 * (0.1 + 19.9 * t), 0.1 + 19.9 * t),
    "SubVP": lambda t: (-0.5 * (0.1 + 19.9 * t), (0.1 + 19.9 * t) * (1 - np.exp(-2 * half(t)))),
    "VE": lambda t: (0.0, 2 * np.log(5000.0) * (0.01 * 5000.0**t) ** 2),
    "EDM": lambda t: (0.0, 2 * 80.0**2 * t),
    "FlowMatching": lambda t: (-1 / (1 - t), 2 * t / (1 - t)),
    "Trigonometric": lambda t: (-np.pi / 2 * np.tan(np.pi * t / 2), np.pi * np.tan(np.pi * t / 2)),
}


@eqx.filter_jit
def numbers(schedule, t):
    return schedule.alpha(t), schedule.sigma(t), schedule.f(t), schedule.g2(t), schedule.lam(t)


@eqx.filter_jit
def back(schedule, lam):
    return schedule.t_of_lam(lam)


@pytest.mark.parametrize("name", FORMULAS)
def test_formulas(name):
    for t in (0.01, 0.4, 0.93):
        alpha, sigma, f, g2, _ = numbers(SCHEDULES[name](), jnp.asarray(t))
        np.testing.assert_allclose([alpha, sigma], FORMULAS[name](t), rtol=1e-11)
        if name in DRIFTS:
            np.testing.assert_allclose([f, g2], DRIFTS[name](t), rtol=1e-10, atol=1e-12)


@given(st.integers(0, len(ALL) - 1), st.floats(0.001, 0.999))
def test_time_and_half_log_snr_invert_each_other(index, t):
    schedule, t = ALL[index], jnp.asarray(t)
    lam = numbers(schedule, t)[-1]
    found = back(schedule, lam)
    assert abs(float(found - t)) < 1e-11
    assert abs(float(numbers(schedule, found)[-1] - lam)) < 1e-11 * (1 + abs(float(lam)))


@given(st.integers(0, len(ALL) - 1), st.floats(0.0, 1.0), st.floats(0.0, 1.0))
def test_noise_grows_with_time(index, one, other):
    low, high = sorted((one, other))
    first, second = (numbers(ALL[index], jnp.asarray(t)) for t in (low, high))
    assert first[1] <= second[1]
    assert first[0] >= second[0]
    assert first[1] >= 0
    assert second[0] >= 0


def test_the_ends():
    for name in ("VP", "SubVP", "Cosine", "EDM", "FlowMatching", "Trigonometric"):
        alpha, sigma = numbers(SCHEDULES[name](), jnp.asarray(0.0))[:2]
        assert (float(alpha), float(sigma)) == (1.0, 0.0)
    for name in ("Cosine", "FlowMatching", "Trigonometric"):
        alpha, sigma = numbers(SCHEDULES[name](), jnp.asarray(1.0))[:2]
        assert (float(alpha), float(sigma)) == (0.0, 1.0)
        flow = dm.ProbabilityFlow(dm.DiffusionPath(SCHEDULES[name](), dm.Empirical(XI)), "tau")
        assert np.all(np.isfinite(flow.drift(jnp.asarray(0.0), XI[0], None)))


@pytest.mark.parametrize("index", range(len(ALL)))
def test_any_schedule_is_the_one_it_points_at(index):
    t = jnp.asarray(0.37)
    np.testing.assert_allclose(numbers(any_schedule(index), t), numbers(ALL[index], t), rtol=1e-13)


def test_times_of_many_and_a_grid_between_two_noise_levels():
    schedule = dm.VP()
    ts = grid_between(schedule, 5.0, 0.1, 10)
    assert ts.shape == (11,)
    np.testing.assert_allclose(np.diff(ts), np.diff(ts)[0], rtol=1e-9)
    np.testing.assert_allclose([schedule.s(ts[0]), schedule.s(ts[-1])], [5.0, 0.1], rtol=1e-9)
    found = times_of(schedule, jnp.asarray([0.0, 1.0, -1e6]))
    assert np.isnan(found[2])
    np.testing.assert_allclose([schedule.lam(t) for t in found[:2]], [0.0, 1.0], atol=1e-11)


def test_karras_grid():
    grid = np.asarray(dm.karras_grid(80.0, 0.002, 17))
    exact = (80.0 ** (1 / 7) + np.arange(18) / 17 * (0.002 ** (1 / 7) - 80.0 ** (1 / 7))) ** 7
    np.testing.assert_allclose(grid, exact, rtol=1e-12)
    np.testing.assert_allclose(np.min(grid[1:] / grid[:-1]), 0.266, atol=1e-3)


# ------------------------------------------------------------------ refusals


class Falling(dm.AbstractSchedule):
    """Noise that falls again after t = 0.5."""

    def alpha(self, t):
        return jnp.ones_like(t)

    def sigma(self, t):
        return t * (1 - t) + 0.01


class Negative(dm.AbstractSchedule):
    def alpha(self, t):
        return 0.5 - t

    def sigma(self, t):
        return t


REFUSED = {
    "Falling is not monotone.*near t=0.5": lambda: dm.DiffusionPath(Falling(), dm.Empirical(XI)),
    r"Negative: alpha\(t\) is not positive": lambda: dm.DiffusionPath(Negative(), dm.Empirical(XI)),
    r"t=1.2 is outside \[0, 1\]": lambda: dm.VP().alpha(1.2),
    r"t=-0.1 is outside \[0, 1\]": lambda: dm.FlowMatching().sigma(-0.1),
    "t=nan is outside": lambda: dm.Cosine().alpha(float("nan")),
    "sigma_min=2.0 is not below sigma_max=1.0": lambda: dm.VE(2.0, 1.0),
    "sigma_min=0.0: must be finite and positive": lambda: dm.VE(0.0, 1.0),
    "sigma_max=inf": lambda: dm.EDM(float("inf")),
    "beta_min=3.0 exceeds beta_max=1.0": lambda: dm.VP(3.0, 1.0),
    "beta_max=-1.0": lambda: dm.SubVP(0.1, -1.0),
    "offset=-0.1": lambda: dm.Cosine(-0.1),
    "lam=9.0 is not reached": lambda: dm.VE().t_of_lam(9.0),
    "s_start=0.1, s_end=1.0": lambda: grid_between(dm.VP(), 0.1, 1.0, 5),
    "VE does not reach both": lambda: grid_between(dm.VE(), 1.0, 0.001, 5),
    "noise must fall": lambda: dm.karras_grid(1.0, 2.0, 5),
}


@pytest.mark.parametrize("message", REFUSED)
def test_bad_arguments_are_named(message):
    with pytest.raises(ValueError, match=message):
        REFUSED[message]()


def test_a_traced_time_outside_gives_nan():
    assert np.isnan(jax.jit(lambda t: dm.VP().alpha(t))(jnp.asarray(1.2)))
    assert np.isnan(back(dm.VE(), jnp.asarray(9.0)))


# ------------------------------------------------------------------ the ends


def one_sided(values, t):
    """Derivative of NumPy's ``values`` at an end of [0, 1], from inside, by five points."""
    h = 1e-3 if t == 0 else -1e-3
    weights = np.asarray([-25, 48, -36, 16, -3]) / (12 * h)
    return weights @ np.asarray([values(t + k * h) for k in range(5)])


@eqx.filter_jit
def end_slopes(schedule, t):
    """``(alpha_dot, sigma_dot)`` by the schedule's own names and by `jax.grad`."""
    return jnp.stack([schedule.alpha_dot(t), schedule.sigma_dot(t)]), jnp.stack(
        [jax.grad(schedule.alpha)(t), jax.grad(schedule.sigma)(t)]
    )


@pytest.mark.parametrize("t", [0.0, 1.0])
@pytest.mark.parametrize("name", FORMULAS)
def test_slopes_at_the_ends_are_whole(name, t):
    """Clipping the time to [0, 1] halves a derivative at each end."""
    own, grad = end_slopes(SCHEDULES[name](), jnp.asarray(t))
    exact = [one_sided(lambda u, part=part: np.asarray(FORMULAS[name](u)[part]), t) for part in (0, 1)]
    if t == 0 and name in ("VP", "Cosine"):  # sigma starts like sqrt(t)
        assert own[1] > 1e10
        own, grad, exact = own[:1], grad[:1], exact[:1]
    np.testing.assert_allclose(own, exact, rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(grad, exact, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("name", ["VP", "SubVP", "VE", "EDM"])
def test_drift_and_diffusion_at_the_ends(name):
    for t in (0.0, 1.0):
        _, _, f, g2, _ = numbers(SCHEDULES[name](), jnp.asarray(t))
        np.testing.assert_allclose([f, g2], DRIFTS[name](t), rtol=1e-10, atol=1e-12)


class Straight(dm.AbstractSchedule):
    """A user's schedule, which knows nothing of the ends."""

    def alpha(self, t):
        return 1 - 0.5 * t

    def sigma(self, t):
        return 2 * t


@pytest.mark.parametrize("t", [0.0, 0.5, 1.0])
def test_a_schedule_of_ones_own_has_its_slopes(t):
    own, grad = end_slopes(Straight(), jnp.asarray(t))
    np.testing.assert_allclose([own, grad], [[-0.5, 2.0]] * 2, rtol=1e-14)
    np.testing.assert_allclose(numbers(Straight(), jnp.asarray(t))[2], -0.5 / (1 - 0.5 * t), rtol=1e-14)


@pytest.mark.parametrize("name", ["VP", "SubVP", "VE", "EDM"])
def test_the_inverse_has_its_slope_where_noise_is_greatest(name):
    schedule, end = SCHEDULES[name](), jnp.asarray(1.0)
    slope = jax.grad(schedule.t_of_lam)(numbers(schedule, end)[-1])
    np.testing.assert_allclose(slope, 1 / jax.grad(schedule.lam)(end), rtol=1e-9)


def test_an_euler_step_from_pure_noise_is_a_ddim_step():
    """Flow matching at ``t = 1``: ``x+ = alpha+ m + sigma+ (x - alpha m)/sigma`` with ``m`` the mean of the data."""
    flow, x = dm.ProbabilityFlow(dm.DiffusionPath(dm.FlowMatching(), dm.Empirical(XI)), "tau"), 1.3 * XI[2]
    step = dfx.Euler().step(flow.terms(), 0.0, 0.25, x, None, None, False)[0]
    np.testing.assert_allclose(step, 0.25 * jnp.mean(XI, axis=0) + 0.75 * x, rtol=1e-12)
