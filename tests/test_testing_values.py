"""Energies change as their derivatives say: values in float32 and wrong rules are seen, kinks and ends are not."""

import functools

import diffrax as dfx
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings

import dynamem as dm
from dynamem import testing
from dynamem.testing._energies import _question, _shaken
from dynamem.testing._subjects import built
from dynamem.testing._values import assert_slopes
from tests.testing_cases import FLOW, MEMORY, XI, X, message


def rounded(t, x):
    """What derivatives do not see: its own gradient is that of the memory, to the last bit."""
    return MEMORY(t, x).astype(jnp.float32).astype(x.dtype)


@jax.custom_jvp
def square(x):
    return x @ x / 2


@functools.partial(square.defjvp)
def _(primals, tangents):
    return square(*primals), 1.5 * primals[0] @ tangents[0]


@pytest.mark.parametrize(
    ("energy", "flow", "right"),
    [(rounded, FLOW, MEMORY),
     (lambda t, x: square(x), dfx.ODETerm(lambda t, x, args: -1.5 * x), lambda t, x: x @ x / 2),
     (lambda t, x: MEMORY(t, jax.lax.stop_gradient(x)) + x @ x, dfx.ODETerm(lambda t, x, args: -2 * x), MEMORY)],
    ids=["float32", "a wrong rule", "a stopped gradient"],
)  # fmt: skip
def test_values_that_derivatives_do_not_describe_are_seen(energy, flow, right):
    for asked in (testing.assert_gradient_flow, testing.assert_lyapunov):
        told = message(asked, energy, flow, X)
        assert "does not change as its derivative says" in told
        lines = [line.strip() for line in told.splitlines()]
        code = "\n".join(lines[lines.index("to keep as a test:") + 1 :])
        names = {"jnp": jnp, "jax": jax, "np": np}
        with pytest.raises(AssertionError):
            exec(code, names | {"energy": energy})
        exec(code, names | {"energy": right})


def test_a_tolerance_leaves_it_out():
    testing.assert_gradient_flow(rounded, FLOW, X, rtol=1e-9)
    testing.assert_lyapunov(rounded, FLOW, X, tolerance=1e-9)


def test_float32_states_are_not_asked():
    memory = dm.LogSumExp(jnp.asarray(XI, jnp.float32), jnp.float32(4))
    testing.assert_lyapunov(memory, dm.GradientFlow(memory), X.astype(np.float32))


@settings(max_examples=30, deadline=None)
@given(st.integers(-40, 40), st.floats(-1e3, 1e3), st.sampled_from([1.0, 1e-6, 1e6]))
def test_scales_shifts_and_kinks_are_no_alarm(power, shift, far):
    """A value of any size, lost under a shift as it may be, at kinks of it and far from them."""
    scale = 2.0**power
    energy = jax.tree_util.Partial(_kinked, jnp.asarray(scale), jnp.asarray(shift))
    assert_slopes(energy, 0.0, np.concatenate([far * X, far * XI, np.zeros_like(X[:1])]))


def _kinked(scale, shift, t, x):
    return shift + scale * jnp.sum(jnp.abs(x) + jnp.maximum(x - XI[0], 0) ** 1.5)


@pytest.mark.parametrize(
    "energy",
    [lambda t, x: jnp.zeros_like(t), lambda t, x: jnp.sum(jnp.log(x)), lambda t, x: jnp.sum(jnp.round(x)),
     lambda t, x: 1e300 * jnp.sum(x**4)],
    ids=["flat", "ends", "steps", "large"],
)  # fmt: skip
def test_where_nothing_can_be_asked_nothing_is(energy):
    assert_slopes(energy, 0.0, X)


def test_updates_are_steps_along_the_gradient():
    """``x - grad E`` of a dense memory; the centroid is another multiple of it."""
    testing.assert_gradient_flow(MEMORY, dm.Map(MEMORY.update), X)
    told = message(testing.assert_gradient_flow, MEMORY, dm.Map(lambda x: MEMORY.update(x) + 1e-6), X)
    assert "assert_allclose(flow(x) - x, -jax.grad(energy, argnums=1)(t, x)" in told
    memory = dm.LogSumReLU(jnp.asarray(XI), 0.4, 0.1)
    pull = lambda t, x, v: memory.pull(t, x).mv(v)  # noqa: E731
    testing.assert_gradient_flow(memory, dm.Map(memory.update), X, preconditioner=pull)
    assert "is not -M grad E" in message(testing.assert_gradient_flow, memory, dm.Map(memory.update), X)


@pytest.mark.parametrize(("by", "holds"), [(0.0, True), (1.0, False)])
def test_the_rounding_of_an_update_is_its_own(by, holds):
    """Logits of 5e11, told in two ways, differ by 1e-4: a softmax of 1 moves the state by 60, and E by 2,000."""
    xi, beta = jnp.asarray([[655360.0], [0.0]]), 1.19
    memory = dm.LogSumExp(xi, beta)

    def update(x):
        near = beta * (xi @ x - jnp.sum(xi * xi, axis=1) / 2)
        again = xi @ (beta * x) - jnp.sum((beta / 2) * xi * xi, axis=1)
        return (jnp.exp(near - jax.nn.logsumexp(again)) @ xi) * (1 + by)

    ask = functools.partial(
        testing.assert_lyapunov, memory, dm.Map(update), 655360 * np.linspace(0.95, 1.05, 9)[:, None]
    )
    assert ask() is None if holds else "rises over an update" in message(ask)


def test_the_rounding_of_weights_is_no_rise():
    """Halfway between patterns 4e5 apart, weights move by 1e-6 and the gradient, which is 0, by their distance's."""
    xi = np.asarray([[393216.0], [0.0]])
    x = np.where(np.arange(8)[:, None] % 6 == 1, 196608.0, 393216.0)  # rows 1 and 7 of the eight that were found
    case = built("free_energy", xi, 1.0)
    ask = _question(case.energy, case.flow, x, (case.t0, case.t1), None, 0.0)
    late = np.full(len(x), 1.5)  # a rate of 36 was found here, and a bound of 1e-4
    assert np.all(np.asarray(_shaken(ask, jnp.asarray(late), jnp.asarray(x)))[[1, 7]] > 36)
    testing.assert_lyapunov(case.energy, case.flow, x, t0=case.t0, t1=case.t1, times=5)
    wrong = dfx.ODETerm(lambda t, y, args: -case.flow.drift(t, y, args))
    with pytest.raises(AssertionError, match="the energy rises"):
        testing.assert_lyapunov(case.energy, wrong, x - 1e5, t0=case.t0, t1=case.t1, times=5)
