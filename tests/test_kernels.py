"""The retrieval kernel against references that share nothing with it: longdouble NumPy, mpmath, closed forms, laws."""

import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynamem.kernels import Retrieval, Tilt, merge, retrieve, tilt, tilt_batch
from dynamem.kernels._absorb import absorb, normalise
from dynamem.kernels._chunk import take
from dynamem.kernels._exp import exp
from dynamem.kernels._plan import CHUNK_BYTES, LOGIT_BYTES, TILE_ROWS, plan, reverse_plan


PREC = 60
DTYPES = ("float32", "float64")
SHAPES = {  # queries, patterns, coordinates
    "one query, one chunk": (1, 7, 3),
    "dense": (5, 7, 3),
    "one coordinate, many chunks": (1, 300_001, 1),
    "tiles and chunks with remainders": (601, 9_001, 2),
    "chunks with a remainder": (20, 3_001, 100),
}
run = jax.jit(tilt_batch)
fetch = jax.jit(retrieve, static_argnames="precision")


def prior(random: np.random.Generator, count: int, dtype: str) -> np.ndarray:
    """Weights of which every third is zero (and one that is not, for a single pattern)."""
    u = random.exponential(size=count) * (np.arange(count) % 3 != 1)
    return (u / u.sum()).astype(dtype)


def longdouble(xi: np.ndarray, u: np.ndarray, eta: np.ndarray, kappa: float) -> tuple:
    """``(A, m, tr C, KL)`` of one query by the definition, in 64-bit mantissas."""
    xi, u, eta, kappa = (np.asarray(a, np.longdouble) for a in (xi, u, eta, kappa))
    a = xi @ eta - kappa * np.sum(xi * xi, axis=1) / 2
    top = a[u > 0].max()
    p = np.where(u > 0, u * np.exp(np.minimum(a - top, 0)), 0)
    partition = top + np.log(p.sum())
    w = p / p.sum()
    m = w @ xi
    return partition, m, w @ np.sum((xi - m) ** 2, axis=1), w @ a - partition


@pytest.mark.parametrize(
    ("shape", "dtype", "weighted"),
    [(shape, dtype, (i + j) % 2 == 0) for i, shape in enumerate(SHAPES.values()) for j, dtype in enumerate(DTYPES)],
)
def test_values_stay_within_the_stated_bound(shape: tuple[int, int, int], dtype: str, weighted: bool) -> None:
    queries, count, size = shape
    random = np.random.default_rng(count)
    xi = random.normal(size=(count, size)).astype(dtype)
    kappas = (1 / random.uniform(0.3, 2, queries) ** 2).astype(dtype)
    etas = (random.normal(size=(queries, size)) * kappas[:, None]).astype(dtype)
    u = prior(random, count, dtype) if weighted else np.full(count, 1 / count)
    with np.errstate(divide="ignore"):
        log_u = np.log(u) if weighted else None
    weights = None if log_u is None else jnp.asarray(log_u)
    found = jax.tree.map(np.asarray, run(jnp.asarray(xi), weights, jnp.asarray(etas), jnp.asarray(kappas)))
    radius, eps = np.sqrt((xi.astype("float64") ** 2).sum(1).max()), np.finfo(dtype).eps
    for i in {0, queries // 2, queries - 1}:
        partition, mean, trace, kl = longdouble(xi, u, etas[i], kappas[i])
        rho = eps * (kappas[i] * radius**2 + np.linalg.norm(etas[i]) * radius + size**0.5 + np.log(count))
        assert abs(found.log_partition[i] - partition) <= 4 * rho
        assert np.linalg.norm(np.asarray(found.mean[i]) - mean) <= 4 * rho * radius
        assert kappas[i] * abs(found.trace[i] - trace) <= 8 * rho
        assert abs(found.kl[i] - kl) <= 8 * rho


def test_one_pattern_is_its_own_answer() -> None:
    xi = jnp.asarray([[1.0, -2.0, 0.5]])
    found = tilt(xi, None, jnp.asarray([3.0, 1.0, 2.0]), 0.5)
    assert float(found.log_partition) == pytest.approx(2.0 - 0.25 * 5.25, rel=1e-15)
    np.testing.assert_array_equal(found.mean, xi[0])
    assert float(found.trace) == float(found.kl) == 0.0


@pytest.mark.parametrize("dtype", DTYPES)
def test_one_pattern_leaves_nothing_to_rounding(dtype: str) -> None:
    random = np.random.default_rng(0)
    xi, queries = random.normal(size=(1, 7)), jnp.asarray(random.normal(size=(25, 7)), dtype)
    for weights in (None, jnp.ones(1, dtype)):
        found = fetch(jnp.asarray(xi, dtype), queries, jnp.logspace(-6, 6, 25, dtype=dtype), weights)
        np.testing.assert_array_equal(found.mean, np.tile(xi.astype(dtype), (25, 1)))
        for leaf in (found.trace, found.kl, found.entropy):
            np.testing.assert_array_equal(leaf, 0.0)


@pytest.mark.parametrize("x", [0.0, 1e-8, 0.3, 2.0, 30.0])
def test_two_opposite_patterns_follow_the_hyperbolic_tangent(x: float) -> None:
    a = np.asarray([0.6, 0.8])
    found = tilt(jnp.asarray([a, -a]), None, jnp.asarray(x * a), 0.7)
    log_cosh = x + np.log1p(np.exp(-2 * x)) - np.log(2)
    assert float(found.log_partition) == pytest.approx(log_cosh - 0.35, rel=1e-14)
    np.testing.assert_allclose(found.mean, a * np.tanh(x), rtol=1e-14, atol=1e-16)
    assert float(found.trace) == pytest.approx(1 / np.cosh(x) ** 2, rel=1e-13, abs=1e-15)
    assert float(found.kl) == pytest.approx(x * np.tanh(x) - log_cosh if x > 1e-4 else x * x / 2, rel=1e-12)


def multiprecision(xi: np.ndarray, q: np.ndarray, s: float, u: np.ndarray | None) -> tuple:
    """``(lse, m, tr C, KL, H)`` by the definition, to 60 digits."""
    with mpmath.workdps(PREC):
        rows, query = ([[mpmath.mpf(float(v)) for v in row] for row in a] for a in (xi, [q]))
        u = [mpmath.mpf(1)] * len(rows) if u is None else [mpmath.mpf(float(v)) for v in u]
        rows, u = zip(*[(x, v / sum(u)) for x, v in zip(rows, u, strict=True) if v > 0], strict=True)
        energy = [sum((a - b) ** 2 for a, b in zip(query[0], x, strict=True)) / (2 * mpmath.mpf(s) ** 2) for x in rows]
        least = min(energy)
        p = [v * mpmath.exp(least - e) for v, e in zip(u, energy, strict=True)]
        w = [v / sum(p) for v in p]
        m = [sum(v * x[j] for v, x in zip(w, rows, strict=True)) for j in range(len(q))]
        trace = sum(v * sum((a - b) ** 2 for a, b in zip(x, m, strict=True)) for v, x in zip(w, rows, strict=True))
        kl = sum(v * mpmath.log(v / n) for v, n in zip(w, u, strict=True) if v > 0)
        return mpmath.log(sum(p)) - least, m, trace, kl, -sum(v * mpmath.log(v) for v in w if v > 0)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("dtype", DTYPES)
def test_every_noise_level_from_a_millionth_to_a_million(dtype: str, weighted: bool) -> None:
    random = np.random.default_rng(2)
    xi, q = random.normal(size=(9, 3)).astype(dtype), random.normal(size=3).astype(dtype)
    u = prior(random, 9, dtype) if weighted else None
    levels = np.asarray([1e-6, 1e-4, 1e-2, 0.3, 1, 10, 1e2, 1e4, 1e6], dtype)
    found = fetch(
        jnp.asarray(xi), jnp.tile(jnp.asarray(q), (9, 1)), jnp.asarray(levels), None if u is None else jnp.asarray(u)
    )
    eps, radius = float(np.finfo(dtype).eps), float(np.linalg.norm(xi.astype(float), axis=1).max())
    for i, s in enumerate(levels):
        lse, mean, trace, kl, entropy = multiprecision(xi, q, float(s), u)
        rho = eps * max(1.0, min(10 / float(s) ** 2, 1e4)) + (0 if s > 10 else 10 * eps / float(kl))
        assert float(found.lse[i]) == pytest.approx(float(lse), rel=20 * rho)
        np.testing.assert_allclose(found.mean[i], np.asarray(mean, float), atol=20 * rho)
        assert float(found.trace[i]) == pytest.approx(float(trace), rel=20 * eps, abs=10 * eps * radius**2)
        assert float(found.kl[i]) == pytest.approx(float(kl), rel=20 * rho)
        assert float(found.entropy[i]) == pytest.approx(float(entropy), rel=20 * rho, abs=20 * eps)


@pytest.mark.parametrize(("dtype", "s", "tolerance"), [("float32", 1e4, 1e-5), ("float64", 1e6, 1e-6)])
@pytest.mark.parametrize("count", [9, 40_000])
def test_the_free_energy_from_the_partition_survives_large_noise(
    dtype: str, s: float, tolerance: float, count: int
) -> None:
    """``V = |y|^2/2 - s^2 A``: a naive float32 log-sum-exp gives 5.96 for 1.15 at s = 1e4."""
    random = np.random.default_rng(5)
    xi, y = random.normal(size=(count, 3)).astype(dtype), random.normal(size=3).astype(dtype)
    kappa = np.asarray(s**-2.0, dtype)
    found = tilt(jnp.asarray(xi), None, jnp.asarray(kappa * y), jnp.asarray(kappa))
    distance = ((y.astype(np.longdouble) - xi) ** 2).sum(1)
    energy = float(-np.log1p(np.mean(np.expm1(-distance / 2 / np.longdouble(s) ** 2))) * np.longdouble(s) ** 2)
    assert float(np.sum(y.astype(float) ** 2) / 2 - s**2 * float(found.log_partition)) == pytest.approx(
        energy, rel=tolerance
    )


@pytest.mark.parametrize("count", [50, 20_000])
def test_a_one_hot_posterior_is_exact_in_float32(count: int) -> None:
    """Logits of size 1e7 round to whole numbers: the trace must not see it."""
    random = np.random.default_rng(1)
    xi = (10 * random.normal(size=(count, 16))).astype("float32")
    queries = jnp.asarray(xi[:3] + np.float32(1e-3))
    found = fetch(jnp.asarray(xi), queries, 1e-3)
    np.testing.assert_array_equal(found.mean, xi[:3])
    np.testing.assert_array_equal(found.trace, np.zeros(3))
    np.testing.assert_array_equal(found.entropy, np.zeros(3))
    np.testing.assert_allclose(found.kl, np.log(count), rtol=1e-6)
    np.testing.assert_allclose(found.lse, -8.0 - np.log(count), rtol=1e-3)


DEGENERATE = {
    "one pattern": (np.ones((1, 2)), None),
    "all the same": (np.ones((6, 2)), None),
    "duplicates": (np.repeat(np.eye(2), 3, axis=0), None),
    "one coordinate": (np.arange(5.0)[:, None], None),
    "one weight": (np.eye(3), [0.0, 1.0, 0.0]),
    "far from the origin": (np.eye(3) + 1e3, [0.5, 0.5, 0.0]),
}


@pytest.mark.parametrize(("case", "dtype"), [*((case, "float32") for case in DEGENERATE), ("one weight", "float64")])
def test_nothing_is_ever_nan_or_negative(case: str, dtype: str) -> None:
    points, u = DEGENERATE[case]
    patterns = jnp.asarray(points, dtype)
    weights = None if u is None else jnp.asarray(u, dtype)
    levels = jnp.asarray([1e-6, 1e-3, 1.0, 1e3, 1e6], dtype)
    queries = jnp.full((5, patterns.shape[1]), 0.3, dtype)

    def total(queries: jax.Array, levels: jax.Array) -> tuple[jax.Array, Retrieval]:
        found = retrieve(patterns, queries, levels, weights)
        return jnp.sum(found.mean) + jnp.sum(found.trace + found.kl), found

    slopes, found = jax.jit(jax.grad(total, (0, 1), has_aux=True))(queries, levels)
    assert all(bool(jnp.all(jnp.isfinite(leaf))) for leaf in jax.tree.leaves((slopes, found)))
    for leaf in (found.trace, found.kl, found.entropy, -found.lse):
        assert float(jnp.min(leaf)) >= 0.0


def near_duplicates() -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(3)
    base = random.uniform(size=784)
    return (base + 1e-3 * random.normal(size=(64, 784))).astype("float32"), (
        base + 1e-3 * random.normal(size=(4, 784))
    ).astype("float32")


def test_mixed_precision_keeps_the_weights_of_near_duplicates() -> None:
    xi, queries = near_duplicates()
    exact = fetch(jnp.asarray(xi, "float64"), jnp.asarray(queries, "float64"), 3e-3)
    errors = {}
    for precision in ("input", "mixed"):
        found = fetch(jnp.asarray(xi), jnp.asarray(queries), 3e-3, precision=precision)
        assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(found))
        errors[precision] = float(jnp.max(jnp.abs(found.entropy.astype("float64") - exact.entropy)))
    assert errors["mixed"] < 1e-5 < 1e-3 < errors["input"]


def test_mixed_precision_has_the_scalars_of_float64_far_from_the_origin() -> None:
    """``E|xi|^2 - |m|^2`` keeps seven digits of |m|^2 less where ``m`` is averaged in float32."""
    random = np.random.default_rng(0)
    xi, query = (random.normal(size=(50, 3)) + 100).astype("float32"), (random.normal(size=3) + 100).astype("float32")
    exact = fetch(jnp.asarray(xi, "float64"), jnp.asarray(query, "float64"), 0.5)
    found = fetch(jnp.asarray(xi), jnp.asarray(query), 0.5, precision="mixed")
    for name in ("trace", "kl", "lse", "entropy"):
        assert float(getattr(found, name)) == pytest.approx(float(getattr(exact, name)), rel=1e-7), name


def test_mixed_precision_says_what_it_needs() -> None:
    xi, queries = near_duplicates()
    with jax.enable_x64(False), pytest.raises(ValueError, match="jax_enable_x64"):
        retrieve(jnp.asarray(xi), jnp.asarray(queries), 1.0, precision="mixed")


def test_without_x64_everything_is_float32() -> None:
    xi, queries = near_duplicates()
    with jax.enable_x64(False):
        found = retrieve(jnp.asarray(xi), jnp.asarray(queries), 1.0)
        assert {leaf.dtype for leaf in jax.tree.leaves(found)} == {jnp.dtype("float32")}


COUNT, SIZE = 8, 3
numbers = st.floats(-3, 3, allow_subnormal=False)
arrays = st.lists(numbers, min_size=COUNT * SIZE, max_size=COUNT * SIZE).map(lambda v: np.reshape(v, (COUNT, SIZE)))
vectors = st.lists(numbers, min_size=SIZE, max_size=SIZE).map(np.asarray)
levels = st.floats(0.2, 5)


def agree(a: Tilt | Retrieval, b: Tilt | Retrieval, tolerance: float = 1e-10) -> None:
    for left, right in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        np.testing.assert_allclose(left, right, rtol=tolerance, atol=tolerance)


@given(arrays, vectors, vectors, levels)
def test_moving_patterns_and_query_together_moves_the_mean(xi, q, move, s) -> None:
    here, there = fetch(jnp.asarray(xi), jnp.asarray(q), s), fetch(jnp.asarray(xi + move), jnp.asarray(q + move), s)
    agree(here, Retrieval(there.lse, there.mean - move, there.trace, there.kl, there.entropy))


@given(arrays, vectors, levels, st.permutations(range(COUNT)))
def test_the_order_of_patterns_does_not_matter(xi, q, s, order) -> None:
    agree(fetch(jnp.asarray(xi), jnp.asarray(q), s), fetch(jnp.asarray(xi[list(order)]), jnp.asarray(q), s))


@given(arrays, vectors, levels)
def test_a_duplicate_is_a_doubled_weight(xi, q, s) -> None:
    twice = fetch(jnp.asarray(np.concatenate([xi, xi[:2]])), jnp.asarray(q), s)
    u = np.ones(COUNT) + (np.arange(COUNT) < 2)
    once = fetch(jnp.asarray(xi), jnp.asarray(q), s, jnp.asarray(u / u.sum()))
    agree(*(Tilt(f.lse, f.mean, f.trace, f.kl) for f in (twice, once)))


@given(arrays, vectors, levels)
def test_a_zero_weight_is_an_absent_pattern(xi, q, s) -> None:
    u = np.arange(COUNT) / np.arange(COUNT).sum()
    agree(
        fetch(jnp.asarray(xi), jnp.asarray(q), s, jnp.asarray(u)),
        fetch(jnp.asarray(xi[1:]), jnp.asarray(q), s, jnp.asarray(u[1:])),
    )


@jax.jit
def in_parts(xi: jax.Array, log_u: jax.Array, eta: jax.Array, kappa: jax.Array) -> tuple:
    """Records of three parts, merged from the left, from the right and in another order."""
    a, b, c = (
        absorb(take(xi[rows], log_u[rows], len(xi[rows]), jnp.asarray(0), xi.dtype), eta[None], kappa[None])
        for rows in (slice(0, 3), slice(3, 4), slice(4, COUNT))
    )
    orders = merge(merge(a, b), c), merge(a, merge(b, c)), merge(merge(c, a), b)
    return *(normalise(carry, 0.0) for carry in orders), tilt_batch(xi, log_u, eta[None], kappa[None])


@given(arrays, vectors, levels, st.integers(0, COUNT - 1))
def test_merging_is_associative_and_gives_the_whole(xi, q, s, absent) -> None:
    log_u = np.where(np.arange(COUNT) == absent, -1e30, -np.log(COUNT - 1))
    *parts, whole = in_parts(jnp.asarray(xi), jnp.asarray(log_u), jnp.asarray(q / s**2), jnp.asarray(1 / s**2))
    for part in parts:
        agree(Tilt(*part[:4]), whole, 1e-9)


@given(st.integers(1, 5000), st.integers(1, 10**6), st.integers(1, 4000), st.sampled_from([4, 8]))
def test_a_plan_covers_everything_once_and_stays_small(queries: int, count: int, size: int, itemsize: int) -> None:
    cut = plan(queries, count, size, itemsize)
    rows, chunks = reverse_plan(count, size, itemsize)
    for part, parts, total in ((cut.tile, cut.tiles, queries), (cut.chunk, cut.chunks, count), (rows, chunks, count)):
        assert (parts - 1) * part < total <= parts * part
    assert cut.tile <= TILE_ROWS
    assert cut.chunk * size * itemsize <= CHUNK_BYTES
    assert cut.tile * cut.chunk * itemsize <= LOGIT_BYTES


def test_the_exponential_is_right_to_two_ulp() -> None:
    x = -np.concatenate([np.random.default_rng(0).uniform(0, 700, 20_000), np.logspace(-300, 2.8, 20_000), [0.0]])
    error = np.asarray(jax.jit(exp)(jnp.asarray(x))) / np.exp(x.astype(np.longdouble)) - 1
    assert np.max(np.abs(error)) <= 2 * np.finfo("float64").eps
    np.testing.assert_array_equal(exp(jnp.asarray([-701.0, -1e30, -jnp.inf])), 0.0)
