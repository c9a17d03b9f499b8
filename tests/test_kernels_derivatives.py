"""Derivatives of the kernel, of three orders and both modes, against JAX's own of the defining formula."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dynamem.kernels import Tilt, retrieve, tilt


SHAPES = {"one chunk": (7, 3), "two chunks that overlap": (1_501, 2)}
"""A derivative pass cuts chunks of 1024."""
Problem = tuple[jax.Array, jax.Array | None, jax.Array, jax.Array]


def definition(xi: jax.Array, log_u: jax.Array | None, eta: jax.Array, kappa: jax.Array) -> Tilt:
    """The formula, with differences taken directly; weights must be positive."""
    prior = jnp.full(xi.shape[0], -np.log(xi.shape[0])) if log_u is None else log_u
    logits = prior + xi @ eta - 0.5 * kappa * jnp.sum(xi**2, axis=1)
    w = jax.nn.softmax(logits)
    mean = w @ xi
    spread = w @ jnp.sum((xi - mean[None, :]) ** 2, axis=1)
    return Tilt(jax.nn.logsumexp(logits), mean, spread, w @ (jax.nn.log_softmax(logits) - prior))


def scalar(kernel: Callable[..., Tilt]) -> Callable[..., jax.Array]:
    """A function of eta and kappa in which every output takes part."""

    def function(xi: jax.Array, log_u: jax.Array | None, eta: jax.Array, kappa: jax.Array) -> jax.Array:
        t = kernel(xi, log_u, eta, kappa)
        return jnp.sin(t.log_partition) + jnp.sum(t.mean**3) + t.trace * (1.0 + t.kl)

    return function


def problem(shape: tuple[int, int], weighted: bool, batch: int = 3) -> Problem:
    random = np.random.default_rng(shape[0])
    xi = random.normal(size=shape)
    log_u = jnp.asarray(np.log(random.dirichlet(np.ones(shape[0])) + 1e-9)) if weighted else None
    kappas = random.uniform(0.3, 2, batch)
    return jnp.asarray(xi), log_u, jnp.asarray(random.normal(size=(batch, shape[1])) * 2), jnp.asarray(kappas)


def gradient(f: Callable) -> Callable:
    return lambda xi, log_u, eta, kappa: jax.grad(f, (2, 3))(xi, log_u, eta, kappa)


def push(f: Callable) -> Callable:
    """Forward, along the direction (1, ..., 1; 1)."""

    def pushed(xi: jax.Array, log_u: jax.Array | None, eta: jax.Array, kappa: jax.Array) -> jax.Array:
        ones = (jnp.ones_like(eta), jnp.ones_like(kappa))
        return jax.jvp(lambda *parameters: f(xi, log_u, *parameters), (eta, kappa), ones)[1]

    return pushed


OPERATORS = {
    "reverse": gradient,
    "forward": push,
    "forward over reverse": lambda f: push(gradient(f)),
    "reverse over forward": lambda f: gradient(push(f)),
    "Hessian": lambda f: lambda xi, log_u, eta, kappa: jax.hessian(f, 2)(xi, log_u, eta, kappa),
    "reverse over reverse over forward": lambda f: gradient(
        lambda *a: sum(jnp.sum(leaf) for leaf in jax.tree.leaves(gradient(push(f))(*a)))
    ),
}
FIRST = ("reverse", "forward")


def close(found: object, expected: object, tolerance: float = 1e-10) -> None:
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance * float(jnp.max(jnp.abs(b))))


@pytest.mark.parametrize("operator", OPERATORS)
@pytest.mark.parametrize(
    ("shape", "weighted"), [("one chunk", True), ("two chunks that overlap", False)], ids=lambda v: str(v)
)
def test_every_order_and_mode_under_vmap(shape: str, weighted: bool, operator: str) -> None:
    arguments = problem(SHAPES[shape], weighted)
    found, expected = (
        jax.jit(jax.vmap(OPERATORS[operator](scalar(kernel)), (None, None, 0, 0)))(*arguments)
        for kernel in (tilt, definition)
    )
    close(found, expected)


def test_the_gradient_of_the_laplacian() -> None:
    xi, log_u, etas, kappas = problem((7, 3), True)

    def laplacian(kernel: Callable[..., Tilt]) -> Callable:
        return lambda eta: jnp.trace(jax.hessian(lambda e: scalar(kernel)(xi, log_u, e, kappas[0]))(eta))

    close(*(jax.jit(jax.grad(laplacian(kernel)))(etas[0]) for kernel in (tilt, definition)))


@pytest.mark.parametrize("name", ["log_partition", "mean", "trace", "kl"])
def test_each_output_alone_and_one_parameter_alone(name: str) -> None:
    """The tangents of the other outputs and parameters are then symbolic zeros."""
    xi, log_u, etas, kappas = problem((7, 3), False)
    found, expected = (
        jax.jit(
            lambda eta, kappa, kernel=kernel: (
                jax.jacrev(lambda e: getattr(kernel(xi, log_u, e, kappa), name))(eta),
                jax.jacfwd(lambda k: getattr(kernel(xi, log_u, eta, k), name))(kappa),
            )
        )(etas[0], kappas[0])
        for kernel in (tilt, definition)
    )
    close(found, expected)


@pytest.mark.parametrize("shape", SHAPES)
def test_derivatives_in_the_patterns_and_weights_are_not_lost(shape: str) -> None:
    xi, log_u, etas, kappas = problem(SHAPES[shape], True)

    def total(kernel: Callable[..., Tilt]) -> Callable:
        return lambda xi, log_u: jnp.sum(
            jax.vmap(scalar(kernel), (None, None, 0, 0))(xi, log_u - jax.nn.logsumexp(log_u), etas, kappas)
        )

    found, expected = (jax.jit(jax.grad(total(kernel), (0, 1)))(xi, log_u) for kernel in (tilt, definition))
    assert float(jnp.max(jnp.abs(expected[0]))) > 1e-3
    close(found, expected)


def test_a_mixed_derivative_in_patterns_and_query() -> None:
    """The pattern derivative of a gradient goes through the closed form of the gradient."""
    xi, _, etas, kappas = problem((7, 3), False)

    def slope(kernel: Callable[..., Tilt]) -> Callable:
        return lambda xi: jnp.sum(jax.grad(lambda e: kernel(xi, None, e, kappas[0]).trace)(etas[0]) ** 2)

    close(*(jax.jit(jax.grad(slope(kernel)))(xi) for kernel in (tilt, definition)))


def test_inside_scan_and_while() -> None:
    """Ten steps of retrieval, differentiated through the loop, and the same loop by ``while``."""
    xi, _, etas, kappas = problem((7, 3), False)

    def energy(kernel: Callable[..., Tilt]) -> Callable:
        def run(eta: jax.Array) -> jax.Array:
            step = lambda e, _: (0.5 * e + 0.5 * kernel(xi, None, e, kappas[0]).mean, None)  # noqa: E731
            return kernel(xi, None, jax.lax.scan(step, eta, None, length=10)[0], kappas[0]).trace

        return run

    close(*(jax.jit(jax.value_and_grad(energy(kernel)))(etas[0]) for kernel in (tilt, definition)))

    def go_on(state: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        return state[0] + 1, 0.5 * state[1] + 0.5 * tilt(xi, None, state[1], kappas[0]).mean

    looped = jax.lax.while_loop(lambda state: state[0] < 10, go_on, (jnp.zeros((), int), etas[0]))[1]
    close(tilt(xi, None, looped, kappas[0]).trace, energy(definition)(etas[0]))


def test_the_divergence_of_retrieval_is_its_trace() -> None:
    """Tweedie: ``s^2 div m = tr C``, by ``D`` forward passes, in the usual variables and float32."""
    xi = jnp.asarray(np.random.default_rng(0).normal(size=(40, 3)), "float32")
    query, s = jnp.asarray([0.1, -0.4, 0.3], "float32"), jnp.asarray(0.7, "float32")
    jacobian = jax.jit(jax.jacfwd(lambda q: retrieve(xi, q, s).mean))(query)
    assert float(s**2 * jnp.trace(jacobian)) == pytest.approx(float(retrieve(xi, query, s).trace), rel=1e-5)


def test_mixed_precision_differentiates() -> None:
    xi = jnp.asarray(np.random.default_rng(0).normal(size=(40, 3)), "float32")
    query = jnp.asarray([0.1, -0.4, 0.3], "float32")

    def slope(precision: str, patterns: jax.Array, query: jax.Array) -> jax.Array:
        return jax.grad(lambda q: retrieve(patterns, q, 0.3, precision=precision).trace)(query)

    exact = slope("input", xi.astype("float64"), query.astype("float64"))
    np.testing.assert_allclose(slope("mixed", xi, query), exact, rtol=2e-6)
