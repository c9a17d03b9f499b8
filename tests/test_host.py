"""Models whose code is not JAX's: plain NumPy here, with derivatives in both modes, under vmap and jit."""

import diffrax as dfx
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import dynamem as dm
from dynamem._errors import InputError
from tests.catalogue import X, host


T, V = jnp.asarray(0.7), jnp.asarray([0.3, -1.0, 0.5])


def twin(x, t):
    """The function of `host` in JAX."""
    return jnp.tanh(x) * t


def everything(model):
    """Value, both derivatives in both modes, and second derivatives of what is linear in the model."""

    def of(x):
        forward = jax.jvp(model, (x, T), (V, jnp.asarray(2.0)))
        reverse = jax.grad(lambda z, t: jnp.sum(model(z, t) ** 2), argnums=(0, 1))(x, T)
        still = jax.jvp(lambda z: model(z, T), (x,), (V,))[1]
        return forward, reverse, still, jax.jacfwd(model)(x, T), jax.jacrev(model)(x, T)

    return of


@pytest.mark.parametrize("wrap", [lambda f: f, jax.jit], ids=["plain", "jit"])
def test_values_and_derivatives_in_both_modes(wrap):
    found, exact = (wrap(jax.vmap(everything(model)))(X) for model in (host(), twin))
    jax.tree.map(lambda left, right: np.testing.assert_allclose(left, right, rtol=1e-13, atol=1e-14), found, exact)


def test_a_wrong_derivative_is_caught():
    wrong = host(jvp=lambda x, t, dx, dt: dx)
    found, exact = (everything(model)(X[0]) for model in (wrong, twin))
    assert np.abs(found[2] - exact[2]).max() > 0.1


def test_a_batch_is_one_call():
    calls = []

    def seen(x, t):
        calls.append((type(x), x.shape, x.dtype, t.shape, t.dtype))
        return x

    model = dm.HostModel(seen)
    jax.vmap(jax.vmap(model, in_axes=(0, None)), in_axes=(None, 0))(X, jnp.asarray([0.1, 0.2], jnp.float64))
    model(X[0].astype(jnp.float32), 0.5)
    double, single = np.dtype("float64"), np.dtype("float32")
    assert calls == [(np.ndarray, (8, 3), double, (8,), double), (np.ndarray, (1, 3), single, (1,), single)]


def test_a_host_model_in_a_flow():
    """DDIM along the probability flow of a network in NumPy, against the same network in JAX."""

    @eqx.filter_jit
    def end(flow, x):
        return dfx.diffeqsolve(flow.terms(), dm.DDIM(), -1.0, 1.0, 0.25, x, throw=False).ys[0]

    models = (dm.Prediction(model, "v", dm.FlowMatching()) for model in (host(), twin))
    flows = [dm.ProbabilityFlow(dm.DiffusionPath(dm.VP(), model)) for model in models]
    np.testing.assert_allclose(end(flows[0], X[0]), end(flows[1], X[0]), rtol=1e-10)


# ------------------------------------------------------------------ refusals


LOST = "no file of weights"


def fails(x, t):
    raise OSError(LOST)


def test_what_the_host_raises_reaches_the_user():
    model = dm.HostModel(fails)
    with pytest.raises(OSError, match=LOST):
        model(X[0], T)
    with pytest.raises(jax.errors.JaxRuntimeError, match=LOST):
        jax.block_until_ready(jax.jit(jax.vmap(model, in_axes=(0, None)))(X, T))
    flow = dm.ProbabilityFlow(dm.DiffusionPath(dm.VP(), dm.Prediction(model, "v", dm.VP())))
    with pytest.raises(jax.errors.JaxRuntimeError, match=LOST):
        jax.block_until_ready(dfx.diffeqsolve(flow.terms(), dm.DDIM(), 0.0, 1.0, 0.5, X[0], throw=False).ys)


def double(x, t):
    return np.stack([x, x])


def half(x, t):
    return x.astype(np.float32)


def in_jax(x, t):
    return jnp.sin(x)


def in_lists(x, t):
    return x.tolist()


SHAPES = {
    r"function=double: gives shape \(2, 1, 3\) and dtype float64, need \(1, 3\) and float64": host(function=double),
    "function=half: gives shape .* dtype float32": host(function=half),
    "function=in_jax: gives a .*ArrayImpl, host code must not touch JAX": host(function=in_jax),
    "function=in_lists: gives a builtins.list, need NumPy arrays": host(function=in_lists),
    r"vjp=<lambda>: gives ndarray, need the pair \(dx, dt\)": host(vjp=lambda x, t, g: g),
    r"vjp=<lambda>: gives shape \(\d, 3\) and dtype float64, need \(\d,\)": host(vjp=lambda x, t, g: (g, g)),
    r"jvp=<lambda>: gives shape \(1,\)": host(jvp=lambda x, t, dx, dt: dt),
    "jvp=None: a derivative of _tanh in forward mode": host(jvp=None),
    "vjp=None: a derivative of _tanh in reverse mode": host(vjp=None),
}


@pytest.mark.parametrize("message", SHAPES)
def test_what_the_host_returns_is_checked_by_name(message):
    with pytest.raises(InputError, match=message):
        everything(SHAPES[message])(X[0])
    with pytest.raises((InputError, jax.errors.JaxRuntimeError), match=message):
        jax.block_until_ready(jax.jit(everything(SHAPES[message]))(X[0]))


def test_a_missing_derivative_is_only_missed_where_it_is_needed():
    np.testing.assert_allclose(jax.jacrev(host(jvp=None))(X[0], T), jax.jacrev(twin)(X[0], T))
    np.testing.assert_allclose(jax.jacfwd(host(vjp=None))(X[0], T), jax.jacfwd(twin)(X[0], T))


def test_second_derivatives_are_refused():
    with pytest.raises(InputError, match=r"second derivatives of HostModel\(.*_tanh.*\) are not available"):
        jax.hessian(lambda x: jnp.sum(host()(x, T)))(X[0])


def test_torch_is_asked_for_only_when_it_is_needed():
    """Without PyTorch its model is refused with the way to get it, and what is no module is refused."""
    with pytest.raises(InputError, match=r"PyTorch is not installed, install it with pip install|need a torch"):
        dm.torch_model(twin, (3,))
