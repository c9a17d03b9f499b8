"""Assertions on fields, schedules and samplers: what is correct passes, each broken twin is caught."""

import diffrax as dfx
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import dynamem as dm
from dynamem import testing
from tests.testing_cases import FLOW, MEMORY, XI, X, message


class Scaled(eqx.Module):
    """A schedule's alpha and sigma, changed."""

    of: dm.AbstractSchedule
    how: str = eqx.field(static=True)

    def alpha(self, t):
        return self.of.alpha(1 - t) if self.how == "turned" else self.of.alpha(t)

    def sigma(self, t):
        return {"turned": lambda: self.of.sigma(1 - t), "negative": lambda: self.of.sigma(t) - 0.5,
                "bump": lambda: self.of.sigma(t) * (1 + 0.4 * jnp.sin(12 * t)), "noisy": lambda: self.of.sigma(t) + 0.5,
                }.get(self.how, lambda: self.of.sigma(t))()  # fmt: skip

    def g2(self, t):
        return (0.5 if self.how == "half g2" else 1.0) * self.of.g2(t)


def test_gradients():
    testing.assert_gradient_flow(MEMORY, FLOW, X)
    rates = np.asarray([1.0, 3.0])
    testing.assert_gradient_flow(MEMORY, dm.GradientFlow(MEMORY, jnp.asarray(rates)), X, preconditioner=rates)
    testing.assert_gradient_flow(MEMORY, dm.GradientFlow(MEMORY, jnp.diag(jnp.asarray(rates))), X,
                                 preconditioner=lambda t, x, v: jnp.asarray(rates) * v)  # fmt: skip
    assert "-M grad E" in message(testing.assert_gradient_flow, MEMORY, dm.GradientFlow(MEMORY, jnp.asarray(rates)), X)


def test_scores():
    def energy(x):
        return MEMORY(0.0, x)

    def score(x):
        return -jax.grad(energy)(x)

    testing.assert_score_is_gradient(score, X, energy=energy)
    told = message(testing.assert_score_is_gradient, lambda x: score(x) + 0.01 * jnp.stack([x[1], -x[0]]), X)
    assert "not symmetric" in told
    assert "its transpose" in told
    assert "not -grad E" in message(testing.assert_score_is_gradient, lambda x: 1.01 * score(x), X, energy=energy)
    testing.assert_score_is_gradient(lambda x: score(x) + 0.01 * jnp.stack([x[1], -x[0]]), X, rtol=0.1)


def test_scores_on_the_host():
    model = dm.HostModel(lambda x, t: -x, lambda x, t, dx, dt: -dx, lambda x, t, g: (-g, 0 * t))
    testing.assert_score_is_gradient(lambda x: model(x, jnp.zeros(())), X)
    turned = dm.HostModel(lambda x, t: x @ [[0, 1], [-1, 0]], lambda x, t, dx, dt: dx @ [[0, 1], [-1, 0]],
                          lambda x, t, g: (g @ [[0, -1], [1, 0]], 0 * t))  # fmt: skip
    assert "not symmetric" in message(testing.assert_score_is_gradient, lambda x: turned(x, jnp.zeros(())), X)


def test_what_cancels_is_rounding_and_no_difference():
    """Between three equal pulls both sides are zero up to rounding, in other orders of the terms."""
    xi = jnp.asarray([[0.0, 0.0], [0.375, 0.0625], [0.75, 0.125]])

    def near(x):
        return 1 / (1 + jnp.sum((x[None] - xi) ** 2, axis=1))

    def drift(t, x, args):
        return 2 * (near(x) ** 2 / jnp.sum(near(x))) @ (xi - x[None])

    energy, middle = lambda t, x: -jnp.log(jnp.sum(near(x))), np.asarray([[0.375, 0.0625]])
    testing.assert_gradient_flow(energy, dfx.ODETerm(drift), middle)
    off = dfx.ODETerm(lambda t, x, args: drift(t, x, args) + 1e-13)
    assert "is not -M grad E" in message(testing.assert_gradient_flow, energy, off, middle)


def test_symmetries():
    turned = np.asarray([[0.0, -1.0], [1.0, 0.0]])
    whole = jnp.asarray(np.concatenate([XI[:1] @ np.linalg.matrix_power(turned, k) for k in range(4)]))
    memory, action = dm.LogSumExp(whole, 2.0), lambda x: jnp.asarray(turned) @ x
    testing.assert_equivariant(memory.update, action, X)
    testing.assert_equivariant(lambda x: memory(0.0, x), action, X, invariant=True)
    assert "does not commute" in message(testing.assert_equivariant, MEMORY.update, action, X)


@pytest.mark.parametrize("kind", [dm.VP, dm.SubVP, dm.VE, dm.Cosine, dm.EDM, dm.FlowMatching, dm.Trigonometric])
def test_schedules_of_every_family_are_schedules(kind):
    testing.assert_schedule(kind())


@pytest.mark.parametrize(
    ("how", "words"),
    [("turned", "no finite positive"), ("negative", "sigma is no finite positive"), ("bump", "does not rise"),
     ("noisy", "not clean"), ("half g2", "g2(t) is not what")],
)  # fmt: skip
def test_broken_schedules(how, words):
    assert words in message(testing.assert_schedule, Scaled(dm.FlowMatching(), how))
    testing.assert_schedule(Scaled(dm.FlowMatching(), "as it is"))


class Naive(eqx.Module):
    """Variance preserving, with the cancellation of ``1 - alpha^2``."""

    def alpha(self, t):
        return jnp.exp(-0.5 * t)

    def sigma(self, t):
        return jnp.sqrt(1 - self.alpha(t) ** 2)


class Wavy(eqx.Module):
    """Strict in float64, and not in float32."""

    def alpha(self, t):
        return 1 - 0.9 * t

    def sigma(self, t):
        return t * (0.1 + (1e-3 if t.dtype == jnp.float32 else 0.0) * jnp.sin(1e5 * t))


@pytest.mark.parametrize(
    ("schedule", "times", "words"),
    [(Naive(), np.asarray([0.0, 1e-8, 1e-3, 1.0]), "sigma is no finite positive number"),
     (Wavy(), np.linspace(0, 0.01, 1001), "does not rise, in float32")],
)  # fmt: skip
def test_what_float32_leaves_of_a_schedule(schedule, times, words):
    assert words in message(testing.assert_schedule, schedule, times=times)
    testing.assert_schedule(schedule, times=times, float32=False)


@pytest.mark.parametrize(
    ("solver", "order", "point"),
    [(dm.DDIM(), 1, True), (dm.EDMHeun(), 2, False), (dm.DPMSolver2S(), 2, True), (dm.DPMSolver2M(), 2, True),
     (dfx.Tsit5(), 5, False)],
)  # fmt: skip
def test_samplers(solver, order, point):
    steps = (8, 12, 16, 24) if order == 5 else (8, 16, 32, 64)
    assert testing.assert_sampler_consistent(solver, order=order, steps=steps, exact_on_point=point) > order - 0.35


def test_a_multistep_sampler_shows_its_order_from_high_noise():
    high = {"steps": (128, 192, 256), "span": (-7.0, 1.0)}
    assert testing.assert_sampler_consistent(dm.ExponentialAB(3), order=3, **high) == pytest.approx(3, abs=0.2)
    assert "has not the order" in message(testing.assert_sampler_consistent, dm.ExponentialAB(3), order=3)


def test_samplers_that_are_none():
    assert "has not the order" in message(testing.assert_sampler_consistent, dm.DDIM(), order=2)
    told = message(testing.assert_sampler_consistent, dfx.Heun(), order=2, exact_on_point=True)
    assert "not exact on one point" in told
