"""Every kind of code that is understood: its program, by intervals, against JAX at random points."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import dynamem as dm
from dynamem.programs import UnknownPrimitive, enclose, translate
from tests.lowering_cases import KINDS, REFUSED


FOUND = (
    "fill0", "fill2", "neg int pow arr", "bool where", "bool cond", "int floordiv", "int neg floordiv", "xor",
    "select3", "switch3", "scan0", "scan rev", "topk ax", "empty sum", "empty max", "empty out", "polyval",
    "scatter sub",
)  # fmt: skip
"""Each was translated wrongly once."""
XI = np.random.default_rng(0).normal(size=(3, 2))
lse = lambda x: 0.5 * jnp.sum(x**2) - jax.nn.logsumexp(4 * XI @ x) / 4  # noqa: E731

FUNCTIONS = {
    "log-sum-exp": (lse, (2,)),
    "its gradient": (jax.grad(lse), (2,)),
    "its Hessian": (jax.hessian(lse), (2,)),
    "softmax": (lambda x: jax.nn.softmax(3 * x), (4,)),
    "Jacobian of softmax": (jax.jacfwd(lambda x: jax.nn.softmax(3 * x)), (4,)),
    "log-softmax": (jax.nn.log_softmax, (4,)),
    "logaddexp": (lambda x: jnp.logaddexp(x, -x), (3,)),
    "gradient of logaddexp": (jax.grad(lambda x: jnp.sum(jnp.logaddexp(x, 2 * x))), (3,)),
    "norm and gradient": (jax.value_and_grad(jnp.linalg.norm), (3,)),
    "where": (lambda x: jnp.where(x > 0.5, -x, x * x), (5,)),
    "powers": (lambda x: x**2.5 + x**-2 + jnp.sqrt(x) + x**3 + jax.lax.rsqrt(x) + x**0.3, (3,)),
    "elementary": (lambda x: jnp.sin(x) * jnp.cos(x) + jnp.tan(x) + jnp.exp2(x) + jnp.expm1(x) + jnp.log1p(x), (3,)),
    "hyperbolic": (lambda x: jnp.sinh(x) + jnp.cosh(x) + jnp.tanh(x) + jnp.arctan(x) + jnp.arcsin(x / 2), (3,)),
    "units": (lambda x: jax.nn.gelu(x, approximate=False) + jax.nn.softplus(x) + jax.nn.silu(x) + jax.nn.relu(x), (3,)),
    "erf, erfc, cbrt, atan2": (lambda x: jax.lax.erfc(x) + jnp.cbrt(x) + jnp.arctan2(x, 1 + x), (3,)),
    "extrema": (lambda x: jnp.max(x) + jnp.min(x) - jnp.prod(x) + jnp.clip(x, 0.3, 0.6), (4,)),
    "sort and top-k": (lambda x: jnp.sort(x)[::-1] @ jnp.arange(4.0) + jax.lax.top_k(x, 2)[0].sum(), (4,)),
    "cumulative sums": (lambda x: jnp.cumsum(x) + jnp.cumsum(x[::-1]), (4,)),
    "gather and its transpose": (jax.grad(lambda x: jnp.sum(x[jnp.array([0, 2, 2])] ** 2)), (4,)),
    "scatter": (lambda x: jnp.zeros(5).at[jnp.array([1, 1, 3, 0])].add(x), (4,)),
    "pieces": (lambda x: jnp.concatenate([x[1:], jnp.pad(x, 2)[:3], jnp.stack([x[0], x[2]])]), (4,)),
    "scan": (lambda x: jax.lax.scan(lambda c, a: (c * a + 1, c), 1.0, x), (4,)),
    "reverse scan": (lambda x: jax.lax.scan(lambda c, a: (c * a + 1, c), 1.0, x, reverse=True), (4,)),
    "fori": (lambda x: jax.lax.fori_loop(0, 5, lambda i, c: c * x + i, x), (2,)),
    "cond": (lambda x: jax.lax.cond(x[0] > x[1], lambda x: x[0] * 2, lambda x: x[1] - 1, x), (2,)),
    "switch": (lambda x: jax.lax.switch((x[0] > 0.5).astype(int), [jnp.sin, jnp.cos], x), (2,)),
    "remainder and floor": (lambda x: jnp.floor(5 * x) + jnp.ceil(3 * x) + (5 * x) % 0.7 + jax.lax.rem(x, 0.3), (3,)),
    "matrices": (lambda x: (x.reshape(2, 3) @ x.reshape(3, 2)) @ jnp.arange(2.0), (6,)),
    "batched products": (lambda x: jnp.einsum("bij,bjk->bik", x.reshape(2, 2, 2), x.reshape(2, 2, 2)), (8,)),
    "checkpoint and custom rules": (jax.grad(lambda x: jnp.sum(jax.checkpoint(jnp.sin)(x) * jax.nn.relu(x))), (3,)),
    "masks": (lambda x: jnp.where((x > 0.3) & ~(x > 0.7) | (x < 0.1), x, 0.0) + jnp.isnan(x).astype(float), (5,)),
    "sign and abs": (lambda x: jnp.sign(x - 0.5) + jnp.abs(x - 0.5), (3,)),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_programs_compute_what_their_functions_compute(name):
    function, shape = FUNCTIONS[name]
    agrees(function, shape)


def agrees(function, shape, low=0.05, high=0.95, *, batched=True):
    """Enclosures at 64 points hold JAX's values and are narrow."""
    points = np.random.default_rng(1).uniform(low, high, (64, *shape))
    program = translate(function, shape)
    found = enclose(program, [(points.reshape(64, -1), points.reshape(64, -1).copy())])
    wanted = jax.tree.leaves(jax.vmap(function)(jnp.asarray(points)) if batched else each(function, points))
    for bound, value in zip(found, wanted, strict=True):
        value = np.asarray(value).reshape(64, -1)
        if not value.size:
            continue
        slack = 1e-12 * (1 + np.abs(value))
        assert bound.ok is None or np.all(bound.ok)
        assert np.all((bound.lo - slack <= value) & (value <= bound.hi + slack))
        assert np.all(bound.hi - bound.lo <= 1e-9 * (1 + np.abs(value)))
    return program


def each(function, points):
    """The values point by point: some code means something else, or nothing, under ``vmap``."""
    compiled = jax.jit(function)
    return jax.tree.map(lambda *values: np.stack(values), *(compiled(point) for point in points))


@pytest.mark.parametrize(
    "name", [name if name in FOUND else pytest.param(name, marks=pytest.mark.long) for name in KINDS]
)
def test_programs_compute_what_code_of_all_kinds_computes(name):
    function, shape = KINDS[name]
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        agrees(function, shape, batched=False)


@pytest.mark.parametrize("reason", REFUSED)
def test_what_has_no_translation_is_refused_with_the_reason(reason):
    function, shape = REFUSED[reason]
    with pytest.raises(UnknownPrimitive, match=reason):
        translate(function, shape)


@pytest.mark.parametrize("clock", ["lam", "tau"])
@pytest.mark.parametrize("energy", [dm.FreeEnergy, dm.DensityEnergy, dm.HopfieldEnergy])
@pytest.mark.parametrize("weights", [None, (0.5, 0.3, 0.2)])
def test_the_generator_of_a_path_is_understood_and_its_softmax_found(clock, energy, weights):
    law = dm.Empirical(jnp.asarray(XI), None if weights is None else jnp.asarray(weights))
    path = dm.DiffusionPath(dm.VP(), law)
    rate = dm.generator(energy(path, clock=clock), dm.ProbabilityFlow(path, clock=clock))

    def number(point):
        return rate(point[2], point[:2], None).total

    points = np.random.default_rng(1).uniform(0.2, 0.8, (16, 3))
    program = translate(number, (3,))
    (found,) = enclose(program, [(points, points.copy())])
    wanted = np.asarray(jax.vmap(number)(jnp.asarray(points)))
    assert np.all(np.abs(found.lo[:, 0] - wanted) <= 1e-6 * (1 + np.abs(wanted)))
    assert np.all(np.abs(found.hi[:, 0] - wanted) <= 1e-6 * (1 + np.abs(wanted)))
    operations = {node.op for node in program.nodes}
    assert "softmax" in operations
    assert "most" not in operations


@pytest.mark.parametrize("schedule", [dm.VP, dm.SubVP, dm.VE, dm.Cosine, dm.EDM, dm.FlowMatching])
def test_every_schedule_is_understood(schedule):
    agrees(lambda point: schedule().lam(point[0]) + schedule().g2(point[0]), (1,))


def test_what_has_no_translation_is_an_error_only_where_it_is_used():
    assert translate(lambda x: (jnp.argmax(x), jnp.sum(x))[1], (3,)).outputs
    with pytest.raises(UnknownPrimitive, match="argmax"):
        translate(lambda x: x[jnp.argmax(x)], (3,))
    with pytest.raises(UnknownPrimitive, match="while"):
        translate(lambda x: jax.lax.while_loop(lambda c: c[0] < 1.0, lambda c: c + 0.1, x), (1,))


def test_float_literals_are_the_rationals_they_are():
    program = translate(lambda x: x * 0.1, (1,))
    (constant,) = [node.data for node in program.nodes if node.op == "const"]
    assert constant.tolist() == [0.1]


def test_equal_lines_are_stored_once():
    program = translate(lambda x: jnp.sin(x) * jnp.sin(x) + jnp.sin(x) ** 2, (3,))
    assert [node.op for node in program.nodes].count("sin") == 1
    assert [node.op for node in program.nodes].count("powi") == 1
