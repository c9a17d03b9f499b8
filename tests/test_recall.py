"""Rates of recall: what a corruption does, who recalls, the interval, and the memories on digits."""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
import scipy.ndimage
import scipy.stats
from sklearn.datasets import load_digits

import dynamem as dm
from dynamem.catalog import CORRUPTIONS
from dynamem.catalog._recall import wilson


SIGNS = np.where(np.random.default_rng(0).random((30, 64)) < 0.5, -1.0, 1.0)


def seen(corruption, level, xi=SIGNS, **how):
    """The states that an update is given."""
    states = []

    def watch(x):
        states.append(np.asarray(x))
        return x

    dm.recall_rate(watch, xi, corruption, [level], jr.key(0), jit=False, batch=len(xi), **how)
    return states[0]


def test_corruptions_do_what_they_say():
    order = np.asarray(jr.permutation(jr.split(jr.key(0))[0], 30))
    xi, count = SIGNS[order], SIGNS.size
    assert scipy.stats.kstest((seen("gaussian", 0.7) - xi).ravel(), "norm", (0, 0.7)).pvalue > 0.01
    for name, level in (("mask", 0.3), ("flip", 0.2), ("salt_and_pepper", 0.4)):
        found = seen(name, level)
        changed = np.mean(found != xi)
        expected = level / 2 if name == "salt_and_pepper" else level
        assert abs(changed - expected) < 4 * np.sqrt(expected / count), name
        assert set(np.unique(found)) == ({-1.0, 0.0, 1.0} if name == "mask" else {-1.0, 1.0})
    assert set(CORRUPTIONS) == {"gaussian", "mask", "salt_and_pepper", "flip", "blur"}
    for name in CORRUPTIONS:
        np.testing.assert_allclose(seen(name, 0.0, image_shape=(8, 8)), xi, atol=1e-15)


def test_blur_is_scipys_in_the_interior():
    xi = np.zeros((1, 225))
    xi[0, 112] = 1.0
    found = seen("blur", 1.2, xi, image_shape=(15, 15)).reshape(15, 15)
    np.testing.assert_allclose(found, scipy.ndimage.gaussian_filter(xi.reshape(15, 15), 1.2, truncate=6.0), atol=1e-6)
    np.testing.assert_allclose(found.sum(), 1.0, rtol=1e-4)  # rows are normalised inside the image


def test_levels_share_their_numbers_and_a_function_serves_as_corruption():
    low, high = seen("flip", 0.1), seen("flip", 0.4)
    order = np.asarray(jr.permutation(jr.split(jr.key(0))[0], 30))
    assert np.all((low != SIGNS[order]) <= (high != SIGNS[order]))

    def away(key, x, level):
        return x + level

    np.testing.assert_allclose(seen(away, 0.25), SIGNS[order] + 0.25)


def test_rates_are_counted_by_hand():
    """Identity as retrieval: recalled iff the cue is within a quarter of the distance to the nearest other pattern."""
    xi = np.random.default_rng(1).normal(size=(70, 5))

    def push(key, x, level):
        return x + level * jnp.asarray([1.0, 0, 0, 0, 0])[None]

    found = dm.recall_rate(lambda x: x, xi, push, [0.0, 0.25, 0.4, 9.0], jr.key(0), batch=32)
    apart = np.linalg.norm(xi[:, None] - xi[None], axis=-1) + 1e9 * np.eye(70)
    by_hand = [(level <= 0.25 * apart.min(1)).sum() for level in (0.0, 0.25, 0.4, 9.0)]
    np.testing.assert_array_equal(found.recalled, by_hand)
    assert found.recalled[0] == found.tried == 70
    assert 0 < found.recalled[2] < found.recalled[1] < 70
    assert found.recalled[3] == 0
    np.testing.assert_allclose(found.rate, np.array(by_hand) / 70)


def test_wilsons_interval_is_scipys_and_covers():
    for k in (0, 3, 50):
        known = scipy.stats.binomtest(k, 50).proportion_ci(0.95, "wilson")
        np.testing.assert_allclose(np.ravel(wilson(np.array([k]), 50)), [known.low, known.high], atol=1e-12)
    low, high = wilson(np.random.default_rng(0).binomial(60, 0.9, 4000), 60)
    assert 0.93 < np.mean((low <= 0.9) & (high >= 0.9)) < 0.98


def test_a_memory_recalls_and_a_wrong_one_does_not():
    memory = dm.BinaryHopfield(dm.pseudo_inverse(SIGNS[:5]))
    good = dm.recall_rate(eqx.filter_vmap(memory.asynchronous), SIGNS[:5], "flip", [0.05], jr.key(0), batch=8)
    wrong = dm.recall_rate(eqx.filter_vmap(memory.asynchronous), SIGNS, "flip", [0.05], jr.key(0), batch=32)
    assert good.rate[0] == 1.0
    assert wrong.rate[0] < 0.5


def test_overlap_is_the_share_of_equal_signs():
    found = dm.overlap(jnp.asarray(SIGNS[:3]), jnp.asarray(SIGNS))
    np.testing.assert_allclose(found, SIGNS[:3] @ SIGNS.T / 64, atol=1e-15)
    assert float(dm.overlap(jnp.zeros(64), jnp.asarray(SIGNS))[0]) == 0.0


REFUSED = {
    "corruption='fog' is unknown": lambda: dm.recall_rate(jnp.asarray, SIGNS, "fog", [0.1], jr.key(0)),
    "levels=-0.1": lambda: dm.recall_rate(jnp.asarray, SIGNS, "flip", [-0.1], jr.key(0)),
    "'mask' takes probabilities": lambda: dm.recall_rate(jnp.asarray, SIGNS, "mask", [1.5], jr.key(0)),
    "xi holds 0.5: need": lambda: dm.recall_rate(jnp.asarray, 0.5 * SIGNS, "flip", [0.1], jr.key(0)),
    "image_shape=None: 'blur' needs": lambda: dm.recall_rate(jnp.asarray, SIGNS, "blur", [0.1], jr.key(0)),
    r"image_shape=\(8, 9\): 'blur' needs": lambda: dm.recall_rate(
        jnp.asarray, SIGNS, "blur", [0.1], jr.key(0), image_shape=(8, 9)
    ),
    "tolerance=0.7": lambda: dm.recall_rate(jnp.asarray, SIGNS, "flip", [0.1], jr.key(0), tolerance=0.7),
}


@pytest.mark.parametrize("message", REFUSED)
def test_bad_arguments_are_named(message):
    with pytest.raises(ValueError, match=message):
        REFUSED[message]()


# -------------------------------------------------------------------- digits


class Repeated(eqx.Module):
    """An update applied some times."""

    f: Callable
    times: int = eqx.field(default=5, static=True)

    def __call__(self, xs):
        return jax.lax.fori_loop(0, self.times, lambda _, x: jax.vmap(self.f)(x), xs)


DATA = load_digits().data
DIGITS = jnp.asarray((DATA - DATA.mean(0)) / DATA.std())  # the nearest two are 0.88 apart, a typical pair 2.7
BINARY = jnp.where(DIGITS > 0, 1.0, -1.0)
FEW = DIGITS[:10]


def universal(similarity):
    return dm.UniversalHopfield(DIGITS, similarity, "argmax").update


def binary(rule, count):
    return dm.BinaryHopfield(rule(BINARY[:count])).asynchronous


# memory, patterns, corruption, level, and the share recalled (found with this key, to 0.02)
ON_DIGITS = {
    "log-sum-exp": (lambda: dm.LogSumExp(DIGITS, 20.0).update, DIGITS, "gaussian", 0.5, 1.0),
    "log-sum-exp, without norm bias": (lambda: dm.LogSumExp(DIGITS, 20.0, False).update, DIGITS, "gaussian", 0.5, 0.75),
    "log-sum-exp, masked": (lambda: dm.LogSumExp(DIGITS, 20.0).update, DIGITS, "mask", 0.3, 0.87),
    "sparsemax": (lambda: dm.FenchelYoung(DIGITS, 20.0, norm_bias=True).update, DIGITS, "gaussian", 0.5, 1.0),
    "1.5-entmax, blurred": (lambda: dm.FenchelYoung(DIGITS, 20.0, 1.5, True).update, DIGITS, "blur", 0.5, 1.0),
    "log-sum-ReLU, inside its supports": (lambda: dm.LogSumReLU(DIGITS, 50.0).update, DIGITS, "gaussian", 0.01, 1.0),
    "log-sum-ReLU, outside all": (lambda: dm.LogSumReLU(DIGITS, 50.0).update, DIGITS, "gaussian", 0.25, 0.0),
    "Euclidean, salt and pepper": (lambda: universal("euclidean"), DIGITS, "salt_and_pepper", 0.3, 0.14),
    "Manhattan, salt and pepper": (lambda: universal("manhattan"), DIGITS, "salt_and_pepper", 0.3, 1.0),
    "cosine, masked": (lambda: universal("cosine"), DIGITS, "mask", 0.6, 0.61),
    "random features, ten digits": (
        lambda: dm.RandomFeatureMemory(FEW, 0.25, 2**14, jr.key(0)).update,
        *(FEW, "gaussian", 0.5, 1.0),
    ),
    "random features, all digits": (
        lambda: dm.RandomFeatureMemory(DIGITS, 1.0, 2**12, jr.key(0)).update,
        *(DIGITS, "gaussian", 0.25, 0.0),
    ),
    "Hebb, ten digits": (lambda: binary(dm.hebb, 10), BINARY[:10], "flip", 0.05, 0.0),
    "Storkey, ten digits": (lambda: binary(dm.storkey, 10), BINARY[:10], "flip", 0.05, 0.6),
    "pseudo-inverse, ten digits": (lambda: binary(dm.pseudo_inverse, 10), BINARY[:10], "flip", 0.1, 1.0),
}


@pytest.mark.long
@pytest.mark.parametrize("name", ON_DIGITS)
def test_recall_on_digits(name):
    """Manhattan wins against salt and pepper (Millidge 2022), and correlated patterns are too much for Hebb."""
    build, xi, corruption, level, share = ON_DIGITS[name]
    how = {"image_shape": (8, 8), "trials": 256, "batch": min(256, len(xi))}
    found = dm.recall_rate(Repeated(build()), xi, corruption, [level], jr.key(0), **how)
    assert abs(found.rate[0] - share) <= 0.02, found
    assert found.low[0] - 0.02 <= share <= found.high[0] + 0.02


@pytest.mark.long
def test_sparse_recall_of_digits_has_no_error_at_all():
    """Every pattern's separation is above the margin: 1797 exact zeros; softmax leaves an error on each."""
    sparse = dm.FenchelYoung(DIGITS, 3.0, norm_bias=True)
    assert np.all(sparse.separations() >= sparse.margin())
    error = {
        alpha: np.abs(Repeated(dm.FenchelYoung(DIGITS, 3.0, alpha, True).update, 1)(DIGITS) - DIGITS).max(1)
        for alpha in (1.0, 2.0)
    }
    assert np.all(error[2.0] == 0.0)
    assert np.mean(error[1.0] > 0) > 0.9
