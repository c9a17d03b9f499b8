"""Numbers and formulas of the literature, each test naming its source, on the code that users run."""

import diffrax as dfx
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import brentq
from scipy.special import i0e, i1e

import dynamem as dm
from dynamem.lyapunov import rounding_bound


PAIR = jnp.asarray([[1.0], [-1.0]])


def rng():
    return np.random.default_rng(2309)


def damped_rises(h, trials=3000):
    """Rises of the log-sum-exp energy in steps ``x + h (T(x) - x)``, over random patterns, betas and states."""
    draw = rng()
    xi = jnp.asarray(draw.normal(size=(trials, 5, 3)))
    x = jnp.asarray(2 * draw.normal(size=(trials, 3)))
    beta = jnp.asarray(10 ** draw.uniform(-1, 1.5, size=trials))

    @eqx.filter_jit
    def change(xi, x, beta, h):
        def one(xi, x, beta):
            memory = dm.LogSumExp(xi, beta)
            y = x + h * (memory.update(x) - x)
            return memory(0.0, y) - memory(0.0, x), rounding_bound(memory.magnitude(0.0, y) + memory.magnitude(0.0, x))

        return jax.vmap(one)(xi, x, beta)

    rise, bound = change(xi, x, beta, jnp.asarray(h))
    return int(jnp.sum(rise > bound))


def test_damped_hopfield_steps_below_two_never_raise_the_energy_and_above_do():
    """Ramsauer et al. 2021 (arXiv 2008.02217): the Hessian is at most I, so that a step of 2/L = 2 is the limit."""
    assert [damped_rises(h) for h in (0.5, 1.0, 1.5, 1.99)] == [0, 0, 0, 0]
    assert damped_rises(2.2) > 0


@pytest.mark.parametrize("s", [0.2, 1.0, 5.0])
def test_the_denoiser_is_the_hopfield_update_at_inverse_temperature_one_over_s_squared(s):
    """Ambrogioni 2024 (arXiv 2309.17290). Patterns of unequal norms need the bias -|xi|^2/2 in the exponent."""
    xi = rng().normal(size=(6, 3)) * np.linspace(0.5, 2, 6)[:, None]
    y = xi[0] + 0.1  # near the shortest pattern
    logits = -((y - xi) ** 2).sum(axis=1) / (2 * s * s)
    weights = np.exp(logits - logits.max())
    by_hand = weights @ xi / weights.sum()
    denoised = dm.Empirical(jnp.asarray(xi)).denoise(jnp.asarray(y), s)
    np.testing.assert_allclose(denoised, by_hand, atol=1e-12)
    np.testing.assert_allclose(dm.LogSumExp(jnp.asarray(xi), s**-2).update(jnp.asarray(y)), by_hand, atol=1e-12)
    without = dm.LogSumExp(jnp.asarray(xi), s**-2, norm_bias=False).update(jnp.asarray(y))
    assert np.max(np.abs(np.asarray(without) - by_hand)) > 1e-3


def slope_at_zero(flow, t):
    return float(jax.jacfwd(lambda x: flow.drift(t, x, None))(jnp.zeros(1))[0, 0])


def test_the_critical_time_of_two_points_under_the_reverse_sde():
    """Raya & Ambrogioni 2023 (arXiv 2305.19693), eq. 9: theta_c = sqrt(sqrt 2 - 1) = 0.6436."""
    path = dm.DiffusionPath(dm.VP(), dm.Empirical(PAIR))
    flow = dm.ReverseSDE(path, 1.0, clock="tau")
    tau = brentq(lambda tau: slope_at_zero(flow, jnp.asarray(tau)), 0.1, 0.999, xtol=1e-14)
    assert float(path.schedule.alpha(1 - tau)) == pytest.approx((2**0.5 - 1) ** 0.5, abs=1e-10)
    assert float(path.schedule.alpha(1 - tau)) == pytest.approx(0.6436, abs=5e-5)


@pytest.mark.parametrize(("schedule", "level"), [(dm.VE(), 1.0), (dm.VP(), 0.5)], ids=["VE", "VP"])
def test_the_density_of_two_points_turns_bimodal_where_its_curvature_changes_sign(schedule, level):
    """Of -log p at 0 for points at +-1: VE at sigma^2 = 1, VP at alpha^2 = 1/2 (not the time of the reverse SDE)."""
    energy = dm.DensityEnergy(dm.DiffusionPath(schedule, dm.Empirical(PAIR)), clock="tau")

    @jax.jit
    def curvature(tau):
        return energy.laplacian(tau, jnp.zeros(1))

    tau = brentq(lambda tau: float(curvature(jnp.asarray(tau))), 0.05, 0.95, xtol=1e-13)
    found = schedule.sigma(1 - tau) if isinstance(schedule, dm.VE) else schedule.alpha(1 - tau)
    assert float(found) ** 2 == pytest.approx(level, abs=1e-9)


@pytest.mark.parametrize("schedule", [dm.VP(), dm.VE(), dm.FlowMatching()], ids=["VP", "VE", "flow matching"])
def test_the_flow_of_gaussian_data_in_closed_form(schedule):
    """Wang & Vastola 2023 (arXiv 2303.02490): x - alpha mu is proportional to psi, psi^2 = sigma^2 + alpha^2 c^2."""
    mu, c, start = jnp.asarray([1.0, -0.5]), 1.5, jnp.asarray([2.0, 3.0])
    path = dm.DiffusionPath(schedule, dm.GaussianMixture(mu[None], jnp.asarray([c])))
    times = 0.9, 0.05
    solution = dfx.diffeqsolve(
        dm.ProbabilityFlow(path, clock="tau").terms(), dfx.Dopri8(), 1 - times[0], 1 - times[1], None, start,
        stepsize_controller=dfx.PIDController(rtol=1e-12, atol=1e-12), max_steps=4096,
    )  # fmt: skip
    alpha, psi = zip(
        *((schedule.alpha(t), jnp.hypot(schedule.sigma(t), schedule.alpha(t) * c)) for t in times), strict=True
    )
    exact = alpha[1] * mu + psi[1] / psi[0] * (start - alpha[0] * mu)
    np.testing.assert_allclose(solution.ys[-1], exact, atol=1e-9)


@pytest.mark.parametrize("beta", [4.0, 20.0, 200.0])
def test_memories_on_a_circle_have_a_ring_of_minima(beta):
    """Pham et al. 2025 (arXiv 2505.21777), memories on the unit circle: R = I_1(beta R)/I_0(beta R)."""
    angle = 2 * np.pi * np.arange(512) / 512
    memory = dm.LogSumExp(jnp.asarray(np.stack([np.cos(angle), np.sin(angle)], axis=1)), beta)
    exact = brentq(lambda r: r - i1e(beta * r) / i0e(beta * r), 0.1, 1.1, xtol=1e-14)

    @jax.jit
    def settle(x):
        return jax.lax.fori_loop(0, 2000, lambda _, x: memory.update(x), x)

    ends = settle(jnp.asarray([0.3, 0.4]))
    assert float(jnp.linalg.norm(ends)) == pytest.approx(exact, abs=1e-9)
    offset = float(memory(0.0, ends)) - (0.5 * exact**2 + 0.5 - np.log(512 * i0e(beta * exact)) / beta - exact)
    assert offset == pytest.approx(0.0, abs=1e-9)
    assert abs(1 - exact) < 1 / beta


def test_two_patterns_merge_where_the_noise_reaches_half_their_distance():
    """Pham et al. 2025: for patterns at +-m the middle is a minimum iff sigma > m."""
    m = 1.7
    law = dm.Empirical(m * PAIR)

    def slope(s):
        return float(jax.jacfwd(lambda y: law.denoise(y, s) - y)(jnp.zeros(1))[0, 0])

    assert slope(m * (1 - 1e-6)) > 0 > slope(m * (1 + 1e-6))
    assert slope(m) == pytest.approx(0.0, abs=1e-12)


def test_the_bounds_of_the_modern_hopfield_energy():
    """Ramsauer et al. 2021: 0 <= E <= 2 M^2 for states in the ball of the patterns' largest norm M."""
    draw = rng()
    xi = draw.normal(size=(1000, 4, 3))
    largest = np.linalg.norm(xi, axis=-1).max(axis=1)
    direction = draw.normal(size=(1000, 3))
    x = direction / np.linalg.norm(direction, axis=1, keepdims=True) * (largest * draw.random(1000) ** (1 / 3))[:, None]
    beta = 10 ** draw.uniform(-2, 2, size=1000)
    energy = eqx.filter_jit(
        jax.vmap(lambda xi, x, beta: dm.LogSumExp(xi, beta, norm_bias=False)(0.0, x) + jnp.log(4.0) / beta)
    )(*map(jnp.asarray, (xi, x, beta)))
    value = np.asarray(energy) + largest**2 / 2
    assert value.min() >= -1e-12
    assert np.all(value <= 2 * largest**2 + 1e-12)
    assert value.max() > 0.5 * largest.max() ** 2  # the bound is of the right size
