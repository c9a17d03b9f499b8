"""What the kernel compiles to: batching, memory, the number of passes, and when there is no loop at all."""

from collections.abc import Callable, Iterator

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.extend.core import ClosedJaxpr, Jaxpr

from dynamem.kernels import retrieve, tilt, tilt_batch
from dynamem.kernels._dense import dense


BATCH, COUNT, SIZE = 96, 30_000, 64
LARGE = (
    jax.ShapeDtypeStruct((COUNT, SIZE), "float32"),
    jax.ShapeDtypeStruct((BATCH, SIZE), "float32"),
    jax.ShapeDtypeStruct((BATCH,), "float32"),
)


def equations(jaxpr: Jaxpr) -> Iterator:
    """All equations, at every depth."""
    for equation in jaxpr.eqns:
        yield equation
        for value in equation.params.values():
            for inner in value if isinstance(value, tuple | list) else (value,):
                if isinstance(inner, ClosedJaxpr):
                    yield from equations(inner.jaxpr)
                elif isinstance(inner, Jaxpr):
                    yield from equations(inner)


def primitives(function: Callable, *arguments: object) -> set[str]:
    return {equation.primitive.name for equation in equations(jax.make_jaxpr(function)(*arguments).jaxpr)}


def largest(function: Callable, *arguments: object) -> int:
    """Entries of the largest array that any equation makes."""
    found = equations(jax.make_jaxpr(function)(*arguments).jaxpr)
    return max(int(np.prod(out.aval.shape)) for equation in found for out in equation.outvars)


def batched(function: Callable) -> Callable:
    return jax.vmap(lambda xi, eta, kappa: function(xi, None, eta, kappa), (None, 0, 0))


def gradient(name: str) -> Callable:
    return lambda xi, log_u, eta, kappa: jax.grad(lambda e: getattr(tilt(xi, log_u, e, kappa), name))(eta)


def hessian_product(xi: jax.Array, log_u: None, eta: jax.Array, kappa: jax.Array) -> jax.Array:
    slope = jax.grad(lambda e: tilt(xi, log_u, e, kappa).trace)
    return jax.jvp(slope, (eta,), (jnp.ones_like(eta),))[1]


@pytest.mark.parametrize("function", [tilt, gradient("trace"), hessian_product], ids=["value", "gradient", "second"])
def test_no_array_of_all_queries_and_patterns_is_ever_made(function: Callable) -> None:
    assert largest(batched(function), *LARGE) <= 2**20 < BATCH * COUNT
    compiled = jax.jit(batched(function)).lower(*LARGE).compile()
    assert compiled.memory_analysis().temp_size_in_bytes < 8 * 2**20


def test_the_memory_check_sees_the_dense_formula() -> None:
    assert largest(batched(dense), *LARGE) >= BATCH * COUNT


def loops(function: Callable) -> int:
    """Loops over chunks that are left in the compiled program."""
    return jax.jit(batched(function)).lower(*LARGE).compile().as_text().count(" while(")


def test_the_gradient_of_the_partition_needs_no_second_pass() -> None:
    value = loops(tilt)
    assert loops(gradient("log_partition")) == value < loops(gradient("trace"))


def test_small_problems_are_straight_line_code() -> None:
    small = tuple(jnp.ones(shape) for shape in ((9, 3), (5, 3), (5,)))
    assert not {"scan", "while", "cond"} & primitives(batched(tilt), *small)
    assert not {"scan", "while", "cond"} & primitives(batched(hessian_product), *small)
    assert {"scan", "cond"} <= primitives(batched(tilt), *LARGE)


def problem(shape: tuple[int, ...]) -> tuple[jax.Array, jax.Array, jax.Array]:
    random = np.random.default_rng(0)
    return tuple(jnp.asarray(random.uniform(0.5, 2, size)) for size in ((2_000, 3), (*shape, 3), shape))


def same(a: object, b: object) -> None:
    for left, right in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        np.testing.assert_allclose(left, right, rtol=1e-12, atol=1e-13)


def test_nested_vmaps_are_one_batch() -> None:
    xi, etas, kappas = problem((4, 5))
    one = lambda eta, kappa: tilt(xi, None, eta, kappa)  # noqa: E731
    flat = jax.tree.map(
        lambda leaf: leaf.reshape(4, 5, *leaf.shape[1:]), tilt_batch(xi, None, etas.reshape(20, 3), kappas.reshape(20))
    )
    same(jax.vmap(jax.vmap(one))(etas, kappas), flat)
    same(jax.vmap(jax.vmap(one), in_axes=(1, 1), out_axes=1)(etas, kappas), flat)
    dots = [
        equation.outvars[0].aval.shape
        for equation in equations(jax.make_jaxpr(jax.vmap(jax.vmap(one)))(etas, kappas).jaxpr)
        if equation.primitive.name == "dot_general"
    ]
    assert (20, 2_000) in dots


def test_one_of_eta_and_kappa_may_stay_put() -> None:
    xi, etas, kappas = problem((4,))
    both = jax.vmap(tilt, (None, None, 0, 0))
    same(jax.vmap(tilt, (None, None, 0, None))(xi, None, etas, kappas[0]), both(xi, None, etas, jnp.full(4, kappas[0])))
    same(
        jax.vmap(tilt, (None, None, None, 0))(xi, None, etas[0], kappas),
        both(xi, None, jnp.tile(etas[0], (4, 1)), kappas),
    )


def test_patterns_and_weights_may_be_batched_too() -> None:
    xi, etas, kappas = problem((4,))
    sets, log_u = xi.reshape(4, 500, 3), jax.nn.log_softmax(xi[:, 0].reshape(4, 500))
    rows = [[tilt(sets[i], log_u[i], etas[j], kappas[j]) for j in range(4)] for i in range(4)]
    expected = jax.tree.map(
        lambda *leaves: jnp.stack(leaves).reshape(4, 4, *leaves[0].shape), *[t for row in rows for t in row]
    )
    inner = jax.vmap(tilt, (None, None, 0, 0))
    same(jax.vmap(inner, (0, 0, None, None))(sets, log_u, etas, kappas), expected)
    same(
        jax.vmap(jax.vmap(tilt, (0, 0, None, None)), (None, None, 0, 0))(sets, log_u, etas, kappas),
        jax.tree.map(lambda leaf: jnp.swapaxes(leaf, 0, 1), expected),
    )


def test_retrieve_under_vmap_and_jit_is_the_batch() -> None:
    xi, queries, s = problem((6,))
    same(jax.jit(jax.vmap(lambda q, s: retrieve(xi, q, s)))(queries, s), retrieve(xi, queries, s))
