"""Known answers of universal, sparse, Epanechnikov and random-feature memories."""

import itertools

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

import dynamem as dm
from dynamem.kernels import entmax_value
from tests.catalogue import XI, X


T = jnp.asarray(0.0)
RNG = np.random.default_rng(11)
SPHERE = (lambda a: a / np.linalg.norm(a, axis=1, keepdims=True))(RNG.normal(size=(8, 16)))


@eqx.filter_jit
def updated(memory, xs):
    return jax.vmap(memory.update)(jnp.asarray(xs))


@eqx.filter_jit
def stepped(memory, xs, length=1.0):
    """E before and after a step of a length, the bound ``E - |x' - x|^2/2`` of length 1, and ``x - grad E - x'``."""

    def one(x):
        to = x + jnp.asarray(length) * (memory.update(x) - x)
        energy, slope = jax.value_and_grad(memory, argnums=1)(T, x)
        return energy, memory(T, to), energy - 0.5 * (to - x) @ (to - x), x - slope - to

    return jax.vmap(one)(xs)


# ------------------------------------------------------------------ universal


SCORES = {
    "dot": lambda xi, x: xi @ x,
    "cosine": lambda xi, x: xi @ x / np.linalg.norm(xi, axis=1) / np.linalg.norm(x),
    "euclidean": lambda xi, x: -((xi - x) ** 2).sum(1),
    "manhattan": lambda xi, x: -np.abs(xi - x).sum(1),
}
SEPARATED = {
    "identity": lambda s: s,
    "polynomial": lambda s: s**3,
    "softmax": lambda s: np.exp(s) / np.exp(s).sum(),
    "argmax": lambda s: np.eye(len(s))[s.argmax()],
}
WITH_ENERGY = {(a, b) for a, b in itertools.product(("dot",), SEPARATED)} | {
    ("euclidean", "softmax"),
    ("euclidean", "argmax"),
}


@pytest.mark.parametrize("similarity", SCORES)
def test_universal_updates_are_their_formulas(similarity):
    """Millidge et al. 2022: z = P^T sep(beta sim(xi, q)), by NumPy; the energy exists where it should."""
    xi, x = np.asarray(XI), np.asarray(X[0])
    other = jnp.asarray(RNG.normal(size=(5, 2)))
    for separation, by_hand in SEPARATED.items():
        memory = dm.UniversalHopfield(XI, similarity, separation, beta=0.8)
        weights = by_hand(0.8 * SCORES[similarity](xi, x))
        np.testing.assert_allclose(memory.update(X[0]), weights @ xi, rtol=1e-12)
        across = dm.UniversalHopfield(XI, similarity, separation, other, beta=0.8)
        np.testing.assert_allclose(across.update(X[0]), weights @ np.asarray(other), rtol=1e-12)
        assert (memory.without_energy() == "") == ((similarity, separation) in WITH_ENERGY)
        for none in (across, memory) if memory.without_energy() else (across,):
            with pytest.raises(ValueError, match="this memory has no energy"):
                none(T, X[0])


@pytest.mark.parametrize("similarity", SCORES)
def test_an_energy_exists_where_the_jacobian_is_symmetric(similarity):
    for separation in ("identity", "polynomial", "softmax"):
        memory = dm.UniversalHopfield(XI, similarity, separation, beta=0.8)
        jacobian = np.asarray(jax.jacfwd(memory.update)(X[0]))
        skew = np.abs(jacobian - jacobian.T).max() / np.abs(jacobian).max()
        assert (skew < 1e-12) == ((similarity, separation) in WITH_ENERGY), (separation, skew)


@pytest.mark.parametrize(("similarity", "separation"), sorted(WITH_ENERGY))
def test_universal_updates_are_concave_convex_steps(similarity, separation):
    memory = dm.UniversalHopfield(XI, similarity, separation, beta=0.3)
    before, after, bound, gap = stepped(memory, jnp.asarray(RNG.normal(size=(200, 3))))
    np.testing.assert_allclose(gap, 0, atol=1e-10 * (1 + np.abs(after).max()))
    assert np.all(after <= bound + 1e-12 * (1 + np.abs(after) + np.abs(before)))


def test_an_even_power_is_not_convex_and_its_update_may_raise_the_energy():
    memory = dm.UniversalHopfield(jnp.asarray([[1.0, -2.0], [0.0, 4.0]]), separation="polynomial", n=2)
    before, after, _, _ = stepped(memory, jnp.asarray(RNG.uniform(-4, 4, size=(2000, 2))))
    assert np.any(after > before + 1e-3)


def test_the_softmax_of_distances_is_log_sum_exp():
    """|x - xi|^2 with beta is the log-sum-exp memory at 2 beta: one denoising step."""
    universal, known = dm.UniversalHopfield(XI, "euclidean", beta=0.75), dm.LogSumExp(XI, 1.5)
    np.testing.assert_allclose(universal(T, X[0]), known(T, X[0]), rtol=1e-13)
    np.testing.assert_allclose(universal.update(X[0]), known.update(X[0]), rtol=1e-12)


@pytest.mark.parametrize(
    "make",
    [lambda xi: dm.UniversalHopfield(xi, "euclidean", beta=1.2),
     lambda xi: dm.FenchelYoung(xi, 1.0, 1.5, norm_bias=True), lambda xi: dm.LogSumReLU(xi, 0.5, 1e-6)],
)  # fmt: skip
@pytest.mark.parametrize("far", [1.0, 131072.0])
def test_the_rounding_of_distances_is_that_about_the_mean(make, far):
    """A pattern far away takes part in the mean about which distances are computed, though it has no weight.

    So the energy at z about the other pattern is ``(z - xi)^2/2`` to 1e-7 alone, and the bound has to say so.
    """
    memory = make(jnp.asarray([[0.0], [far]]))
    there = np.asarray([[0.001], [0.003], [0.1]])
    found, bound = (
        np.asarray(jax.vmap(lambda x, f=f: f(T, x))(jnp.asarray(there))) for f in (memory, memory.magnitude)
    )
    exact = make(jnp.asarray([[0.0]]))
    wanted = np.asarray([float(exact(T, jnp.asarray(x))) for x in there])
    if far > 1:
        assert np.all(np.abs(found - wanted) <= dm.lyapunov.rounding_bound(jnp.asarray(bound)))
        assert np.max(np.abs(found - wanted)) > 1e-9
    else:
        assert np.all(bound < 20)


# ------------------------------------------------------------- Fenchel-Young


def sparsemax_by_sorting(z):
    """Martins & Astudillo 2016, algorithm 1."""
    ordered = np.sort(z)[::-1]
    support = 1 + np.arange(len(z)) * 1.0
    k = np.flatnonzero(1 + support * ordered > np.cumsum(ordered))[-1]
    return np.maximum(z - (np.cumsum(ordered)[k] - 1) / (k + 1), 0)


@eqx.filter_jit
def mapped(z, alpha):
    p, jacobian = dm.entmax(z, alpha), jax.jacrev(dm.entmax)(z, alpha)
    value, slopes = jax.value_and_grad(entmax_value, argnums=(0, 1))(z, alpha)
    return p, jacobian, jax.jacfwd(dm.entmax, argnums=1)(z, alpha), value, slopes


@pytest.mark.parametrize("alpha", [1.0, 1.0 + 1e-9, 1.2, 1.5, 2.0, 3.0])
def test_entmax_solves_its_problem(alpha):
    """The definition argmax p.z - Omega(p): no simplex point is better; derivatives against differences."""
    z, h = jnp.asarray([0.3, -0.4, 1.1, 0.9, -2.5]), 1e-6
    p, jacobian, by_alpha, value, (slope, steeper) = mapped(z, jnp.asarray(alpha))
    p, a = np.asarray(p), alpha - 1
    np.testing.assert_allclose(p.sum(), 1, rtol=1e-14)

    def objective(q):
        entropy = (q * np.log(np.where(q > 0, q, 1))).sum(-1) if a < 1e-6 else (q**alpha - q).sum(-1) / (alpha * a)
        return q @ np.asarray(z) - entropy

    np.testing.assert_allclose(value, objective(p), rtol=1e-7 if 0 < a < 1e-6 else 1e-13)
    assert np.all(objective(0.98 * p + 0.02 * RNG.dirichlet(np.ones(5), size=500)) < value)
    np.testing.assert_allclose(slope, p, atol=1e-14)
    moved = [mapped(z + e, jnp.asarray(alpha))[0] for e in h * np.concatenate([np.eye(5), -np.eye(5)])]
    np.testing.assert_allclose(jacobian.T, (np.array(moved[:5]) - np.array(moved[5:])) / (2 * h), atol=1e-8)
    ends = [mapped(z, jnp.asarray(alpha + e)) for e in (h, 0.0 if a == 0 else -h if a > h else 0.0)]
    width = h if a <= h else 2 * h
    tolerance = 1e-5 if a <= h else 1e-8
    np.testing.assert_allclose(by_alpha, (np.asarray(ends[0][0]) - np.asarray(ends[1][0])) / width, atol=tolerance)
    np.testing.assert_allclose(steeper, (ends[0][3] - ends[1][3]) / width, atol=tolerance)


def test_entmax_is_softmax_sparsemax_and_the_closed_form_between():
    z = jnp.asarray(RNG.normal(size=40))
    np.testing.assert_allclose(dm.entmax(z, 1.0), jax.nn.softmax(z), rtol=1e-13)
    np.testing.assert_allclose(dm.entmax(z, 2.0), sparsemax_by_sorting(np.asarray(z)), atol=1e-15)
    half = np.asarray(dm.entmax(z, 1.5))
    root = np.sqrt(half[half > 0])  # p = (z/2 - tau)^2 on the support: root - z/2 is one number there
    np.testing.assert_allclose(np.ptp(root - np.asarray(z)[half > 0] / 2), 0, atol=1e-14)
    assert np.all(dm.entmax(jnp.asarray([1e8, 0.0]), 2.0) == jnp.asarray([1.0, 0.0]))


@pytest.mark.parametrize("alpha", [1.0, 1.5, 2.0, 3.0])
def test_sparse_updates_are_concave_convex_steps(alpha):
    memory = dm.FenchelYoung(jnp.asarray(SPHERE), 4.0, alpha)
    xs = jnp.asarray(RNG.normal(size=(200, 16)))
    before, after, bound, gap = stepped(memory, xs, jnp.asarray(1.0))
    np.testing.assert_allclose(gap, 0, atol=1e-13)
    assert np.all(after <= bound + 1e-13)
    before, after, _, _ = stepped(memory, xs, jnp.asarray(2.5))
    assert np.any(after > before)


def test_order_one_is_the_log_sum_exp_memory():
    for biased in (False, True):
        sparse, known = dm.FenchelYoung(XI, 1.5, 1.0, biased), dm.LogSumExp(XI, 1.5, biased)
        np.testing.assert_allclose(sparse(T, X[0]), known(T, X[0]), rtol=1e-13)
        np.testing.assert_allclose(sparse.update(X[0]), known.update(X[0]), rtol=1e-12)


@pytest.mark.parametrize("alpha", [1.5, 2.0, 3.0])
def test_retrieval_is_exact_where_the_margin_holds_and_only_there(alpha):
    """Santos et al. 2024, Proposition: Delta_i >= 1/(beta (alpha - 1)); softmax misses by more than rounding."""
    xi = jnp.asarray(SPHERE)
    deltas = np.asarray(dm.FenchelYoung(xi, 1.0, alpha).separations())
    np.testing.assert_allclose(deltas, 1 - (SPHERE @ SPHERE.T - 2 * np.eye(8)).max(1), rtol=1e-12)
    beta = 1 / ((alpha - 1) * np.median(deltas))
    memory = dm.FenchelYoung(xi, beta, alpha)
    np.testing.assert_allclose(memory.margin(), np.median(deltas))
    error = np.abs(np.asarray(updated(memory, xi)) - SPHERE).max(1)
    np.testing.assert_array_equal(error == 0.0, deltas >= float(memory.margin()))
    assert 0 < np.sum(error == 0.0) < 8
    soft = np.abs(np.asarray(updated(dm.FenchelYoung(xi, beta, 1.0), xi)) - SPHERE).max(1)
    assert np.all(soft > 1e-6)


def test_retrieval_is_exact_from_the_ball_of_the_theorem():
    """Every x within eps of xi_i, if Delta_i >= 1/(beta (alpha - 1)) + 2 M eps: error 0.0."""
    memory, eps = dm.FenchelYoung(jnp.asarray(SPHERE), 5.0), 0.1
    deltas = np.asarray(memory.separations())
    sure = np.flatnonzero(deltas >= float(memory.margin()) + 2 * eps)
    assert len(sure) > 0
    kicks = RNG.normal(size=(50, len(sure), 16))
    starts = SPHERE[sure] + eps * kicks / np.linalg.norm(kicks, axis=-1, keepdims=True)
    ends = updated(memory, starts.reshape(-1, 16)).reshape(starts.shape)
    np.testing.assert_array_equal(ends, np.broadcast_to(SPHERE[sure], ends.shape))


# -------------------------------------------------------------- Epanechnikov


def centroids_by_force(xi, beta):
    """Proposition 2 of arXiv 2506.10801: centroids of sets of patterns that are the patterns within reach of them."""
    found = []
    for size in range(1, len(xi) + 1):
        for subset in itertools.combinations(range(len(xi)), size):
            centre = xi[list(subset)].mean(0)
            if set(np.flatnonzero(((xi - centre) ** 2).sum(1) < 2 / beta)) == set(subset):
                found.append(centre)
    return np.array(found)


@eqx.filter_jit
def rest(memory, xs):
    ends = jax.lax.fori_loop(0, 60, lambda _, x: jax.vmap(memory.update)(x), xs)
    return ends, jax.vmap(jax.grad(memory, argnums=1), (None, 0))(T, ends), jax.vmap(memory.active)(ends)


@pytest.mark.parametrize("beta", [1.0, 4.0])
def test_minima_are_the_centroids_of_what_reaches_them(beta):
    xi = np.random.default_rng(3).uniform(-1.5, 1.5, size=(8, 2))
    memory = dm.LogSumReLU(jnp.asarray(xi), beta)
    expected = centroids_by_force(xi, beta)
    starts = np.concatenate([xi, RNG.uniform(-1.5, 1.5, size=(4000, 2)), expected])
    ends, slopes, active = map(np.asarray, rest(memory, jnp.asarray(starts)))
    np.testing.assert_allclose(slopes, 0, atol=1e-9)
    met = np.unique(ends[active.any(1)].round(9), axis=0)
    np.testing.assert_allclose(met, expected[np.lexsort(expected.T[::-1])], atol=1e-8)
    assert len(expected) > 1


@pytest.mark.parametrize("share", [0.2, 0.49])
def test_exact_recall_in_the_ball_of_the_theorem(share):
    """Theorem 1: beta = 2/(r - Delta)^2 recalls every x nearer than Delta to a pattern in one update, Delta < r/2."""
    xi = RNG.normal(size=(6, 4))
    apart = np.linalg.norm(xi[:, None] - xi[None], axis=-1)[np.triu_indices(6, 1)].min()
    memory = dm.LogSumReLU(jnp.asarray(xi), 2 / (apart - share * apart) ** 2)
    kicks = RNG.normal(size=(200, 6, 4))
    starts = xi + 0.999 * share * apart * kicks / np.linalg.norm(kicks, axis=-1, keepdims=True)
    ends = updated(memory, starts.reshape(-1, 4)).reshape(starts.shape)
    np.testing.assert_array_equal(ends, np.broadcast_to(xi, ends.shape))


def test_beyond_half_the_distance_the_theorem_as_printed_fails():
    """Two patterns at distance 1 and Delta = 0.6 < r: the support has radius 0.4, and a state at 0.5 is flat."""
    memory = dm.LogSumReLU(jnp.asarray([[0.0], [1.0]]), 2 / 0.4**2, 1e-3)
    x = jnp.asarray([0.5])
    assert not np.any(memory.active(x))
    assert float(memory.update(x)[0]) == 0.5
    assert float(jax.grad(memory, argnums=1)(T, x)[0]) == 0.0
    np.testing.assert_allclose(memory(T, x), -np.log(1e-3) * 0.4**2 / 2, rtol=1e-13)


def test_an_epanechnikov_update_never_raises_the_energy():
    memory = dm.LogSumReLU(XI, 0.3, 0.01)
    xs = jnp.asarray(RNG.normal(size=(500, 3)))
    before, after, _, _ = stepped(memory, xs, jnp.asarray(1.0))
    assert np.all(after <= before + 1e-13)
    assert np.any(after < before - 0.1)
    before, after, _, _ = stepped(memory, xs, jnp.asarray(3.0))
    assert np.any(after > before + 0.1)


# ------------------------------------------------------------ random features


@eqx.filter_jit
def summed(memory, xs):
    return jax.vmap(lambda x: (memory.sum(x), memory(T, x)))(xs)


@pytest.mark.parametrize("beta", [0.01, 0.1, 1.0, 10.0])
def test_random_features_are_the_gaussian_kernel_to_a_few_over_the_root(beta):
    """DrDAM, arXiv 2410.24153: D = 2, 8 patterns, 2^15 features: the mean kernel within 0.02, at every beta."""
    xi, xs = RNG.uniform(-1, 1, size=(8, 2)), RNG.uniform(-1, 1, size=(50, 2))
    memory = dm.RandomFeatureMemory(jnp.asarray(xi), jnp.asarray(beta), 2**15, jr.key(1))
    sums, energies = map(np.asarray, summed(memory, jnp.asarray(xs)))
    exact = np.exp(-0.5 * beta * ((xs[:, None] - xi) ** 2).sum(-1)).sum(1)
    assert np.abs(sums - exact).max() / 8 < 4 / np.sqrt(2**15)
    near = exact > 0.5
    np.testing.assert_allclose(energies[near], -np.log(exact[near]) / beta, atol=0.4 / beta)


def test_patterns_are_added_and_leave_the_size_as_it_is():
    first = dm.RandomFeatureMemory(XI[:2], 0.5, 256, jr.key(0))
    all_of_them = dm.RandomFeatureMemory(XI, 0.5, 256, jr.key(0))
    grown = first.add(XI[2:])
    np.testing.assert_allclose(grown.memory, all_of_them.memory, atol=1e-13)
    assert first.memory.shape == grown.memory.shape
    np.testing.assert_allclose(grown.update(X[0]), X[0] - jax.grad(grown, argnums=1)(T, X[0]), rtol=1e-13)


def test_reading_at_another_temperature_than_writing_fails():
    """Written at beta = 1 and read at 10: the sum is far from the kernel's, which a memory cannot be made to do."""
    xi, beta = jnp.asarray(RNG.uniform(-2, 2, size=(8, 2))), 10.0
    written = dm.RandomFeatureMemory(xi, 1.0, 2**13, jr.key(1))
    read = eqx.tree_at(lambda one: one.beta, written, jnp.asarray(beta))
    right = dm.RandomFeatureMemory(xi, beta, 2**13, jr.key(1))
    exact = 1 + sum(float(jnp.exp(-0.5 * beta * jnp.sum((xi[0] - row) ** 2))) for row in xi[1:])
    assert abs(float(right.sum(xi[0])) - exact) < 0.1
    assert abs(float(read.sum(xi[0])) - exact) > 0.3


def test_where_the_sum_is_lost_the_energy_is_flat():
    memory = dm.RandomFeatureMemory(XI, 1.0, 64, jr.key(0), floor=3.0)
    x = jnp.full(3, 40.0)
    assert float(memory(T, x)) == -np.log(3.0)
    np.testing.assert_array_equal(memory.update(x), x)


# ------------------------------------------------------------------- refusals


def test_entmax_of_a_high_order_is_right_or_nan():
    """Two scores: ``p^a - q^a = a gap``, ``a = alpha - 1``. At order 20 ``q^a`` is below the rounding of the scores."""
    for alpha in (2.0, 5.0, 8.0, 20.0):
        p = 0.858
        gap = (p ** (alpha - 1) - (1 - p) ** (alpha - 1)) / (alpha - 1)
        found = np.asarray(dm.entmax(jnp.asarray([gap, 0.0]), alpha))
        assert np.isnan(found).all() if alpha == 20 else np.allclose(found, [p, 1 - p], atol=1e-9)


REFUSED = {
    "similarity='angle' is unknown": lambda: dm.UniversalHopfield(XI, "angle"),
    "separation='max' is unknown": lambda: dm.UniversalHopfield(XI, "dot", "max"),
    r"projection.shape=\(4, 2\): need a row for each of 5": lambda: dm.UniversalHopfield(
        XI, projection=jnp.ones((4, 2))
    ),
    r"projection.shape=\(1, 2\): need a row": lambda: dm.UniversalHopfield(XI, projection=[[1.0, 2.0]]),
    "n=0": lambda: dm.UniversalHopfield(XI, separation="polynomial", n=0),
    "alpha=0.5": lambda: dm.FenchelYoung(XI, 1.0, 0.5),
    "alpha=0.9": lambda: dm.entmax(jnp.ones(3), 0.9),
    "alpha=nan": lambda: dm.FenchelYoung(XI, 1.0, float("nan")),
    "beta=0.0": lambda: dm.FenchelYoung(XI, 0.0),
    "eps=0.0": lambda: dm.LogSumReLU(XI, 1.0, 0.0),
    "beta=-2.0": lambda: dm.LogSumReLU(XI, -2.0),
    "features=0": lambda: dm.RandomFeatureMemory(XI, 1.0, 0, jr.key(0)),
    "floor=0.0": lambda: dm.RandomFeatureMemory(XI, 1.0, 8, jr.key(0), floor=0.0),
    "need patterns of 3 coordinates": lambda: dm.RandomFeatureMemory(XI, 1.0, 8, jr.key(0)).add(jnp.ones((2, 4))),
}


@pytest.mark.parametrize("message", REFUSED)
def test_bad_arguments_are_named(message):
    with pytest.raises(ValueError, match=message):
        REFUSED[message]()


@pytest.mark.parametrize("build", [
    lambda xi: dm.LogSumReLU(xi, 2.0),
    lambda xi: dm.UniversalHopfield(xi, "euclidean", "argmax"),
    lambda xi: dm.FenchelYoung(xi, 2.0, norm_bias=True),
])  # fmt: skip
def test_patterns_far_from_the_origin_are_told_apart_in_float32(build):
    """About the mean nothing cancels: |x|^2 - 2 x.xi + |xi|^2 at an offset of 1e4 chose a wrong pattern each time."""
    xi = np.random.default_rng(0).normal(size=(8, 64)).astype(np.float32) + np.float32(1e4)
    memory = build(jnp.asarray(xi))
    near = jnp.asarray(xi + np.float32(0.05))
    ends = jax.vmap(memory.update)(near)
    np.testing.assert_allclose(ends, xi, atol=0.02)
