"""Training: it learns, a killed run goes on with the same bits, and files that are wrong are refused."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

import dynamem as dm
from dynamem.learning import loss
from dynamem.learning._recipe import noise_levels
from dynamem.learning._train import loss_on
from examples.train_denoiser import digits
from tests.catalogue import NETWORKS


ROOT = Path(__file__).resolve().parents[1]
XI = np.random.default_rng(5).normal(size=(40, 3)).astype(np.float32)
RECIPE = dm.Recipe(batch=16, warmup=5, hold=50, average=0.9, sigma_data=1.0)


def network():
    return dm.MLPDenoiser(3, 16, 1, key=jr.key(0))


def same_bits(left, right):
    pairs = zip(jax.tree.leaves(left), jax.tree.leaves(right), strict=True)
    return all(np.asarray(a).tobytes() == np.asarray(b).tobytes() for a, b in pairs)


KILLED = """
import sys
import jax.random as jr
import numpy as np
import dynamem as dm
xi = np.random.default_rng(5).normal(size=(40, 3)).astype(np.float32)
recipe = dm.Recipe(batch=16, warmup=5, hold=50, average=0.9, sigma_data=1.0)
network = dm.MLPDenoiser(3, 16, 1, key=jr.key(0))
say = lambda now: print(now.step, flush=True)
dm.train(network, xi, recipe, steps=10**9, every=20, checkpoint=sys.argv[1], report=say)
"""


def test_a_killed_run_goes_on_with_the_same_bits(tmp_path):
    file = tmp_path / "run.npz"
    environment = {**os.environ, "JAX_ENABLE_X64": "1"}
    run = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(file)], cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True
    )
    try:
        assert [run.stdout.readline() for _ in range(3)] == ["20\n", "40\n", "60\n"]
    finally:
        run.send_signal(signal.SIGKILL)
        run.communicate()
    steps = int(np.load(file)[".step"]) + 30
    assert steps >= 90
    resumed = dm.train(network(), XI, RECIPE, steps=steps, every=20, checkpoint=file)
    whole = dm.train(network(), XI, RECIPE, steps=steps, every=1000)
    assert resumed.step == whole.step == steps
    assert same_bits(resumed.denoiser, whole.denoiser)
    other = dm.train(network(), XI, RECIPE._replace(seed=1), steps=steps, every=1000)
    assert not same_bits(other.denoiser, whole.denoiser)


@pytest.mark.long
def test_training_learns_what_there_is_to_learn():
    """Two patterns on a line: the loss comes near that of their posterior mean, the least that there is."""
    xi = np.asarray([[1.0], [-1.0]])
    recipe = dm.Recipe(batch=256, rate=5e-3, warmup=20, hold=200, average=0.98, low=0.2, high=3.0, sigma_data=1.0)
    seen = []
    net = dm.MLPDenoiser(1, 32, 2, key=jr.key(0))
    found = dm.train(net, xi, recipe, steps=600, every=200, held_out=xi, report=seen.append)
    assert [now.step for now in seen] == [200, 400, 600]
    assert seen[-1] == found
    assert found.images_per_s > 0
    rows, key = jnp.tile(jnp.asarray(xi), (2048, 1)), jr.key(9)
    noises, levels = jr.normal(key, rows.shape), noise_levels(recipe, jr.key(8), 4096).astype(float)
    least = loss(dm.Empirical(jnp.asarray(xi)), rows, noises, levels, 1.0)
    untrained, trained = (loss(one, rows, noises, levels, 1.0) for one in (net, found.denoiser))
    assert least <= trained < least + 0.2 * (untrained - least)
    assert found.held_out == pytest.approx(float(trained), rel=0.1)


def test_noise_levels_lie_where_the_recipe_says():
    for levels, share in {"uniform": 1.0, "lognormal": 0.954}.items():
        recipe = dm.Recipe(levels=levels, low=0.02, high=10.0)
        s = np.asarray(noise_levels(recipe, jr.key(0), 20_000))
        assert np.mean((s >= 0.02) & (s <= 10.0)) == pytest.approx(share, abs=0.01)
        assert np.median(s) == pytest.approx(np.sqrt(0.2), rel=0.05)


@pytest.mark.parametrize("name", NETWORKS)
def test_weights_come_back_as_they_were(name, tmp_path):
    model, file = NETWORKS[name](), tmp_path / "weights.npz"
    dm.save_denoiser(file, model)
    back = dm.load_denoiser(file)
    assert type(back) is type(model)
    assert same_bits(back, model)
    dm.save_denoiser(file, model, half=True)
    for half, whole in zip(jax.tree.leaves(dm.load_denoiser(file)), jax.tree.leaves(model), strict=True):
        np.testing.assert_allclose(half, whole, rtol=1e-3, atol=1e-4)
    assert [one.name for one in tmp_path.iterdir()] == ["weights.npz"]  # nothing is left beside it


def test_a_checkpoint_holds_the_averaged_weights(tmp_path):
    file = tmp_path / "run.npz"
    found = dm.train(network(), XI, RECIPE, steps=10, checkpoint=file)
    assert same_bits(dm.load_denoiser(file), found.denoiser)
    assert not same_bits(network(), found.denoiser)


def test_the_pretrained_denoiser_knows_digits():
    """Held-out loss: 0.637 when it was made; predicting the mean alone costs 1, by the preconditioning."""
    model = dm.pretrained("digits")
    assert isinstance(model, dm.MLPDenoiser)
    patterns, held_out = digits()
    spread = float(np.sqrt(patterns.var(axis=0).mean()))
    recipe = dm.Recipe(sigma_data=spread)
    assert float(loss_on(model, jnp.asarray(held_out, jnp.float32), recipe)) == pytest.approx(0.637, abs=0.002)
    assert (Path(dm.__file__).parent / "learning" / "digits.npz").stat().st_size < 300 * 1024


DAMAGED = {
    "other patterns": (lambda file: dm.train(network(), XI[:20], RECIPE, steps=20, checkpoint=file), "its patterns is"),
    "another recipe": (
        lambda file: dm.train(network(), XI, RECIPE._replace(rate=1e-3), steps=20, checkpoint=file),
        "its recipe is",
    ),
    "another network": (
        lambda file: dm.train(dm.EnergyDenoiser(3, 16, 1, key=jr.key(0)), XI, RECIPE, steps=20, checkpoint=file),
        "its kind is 'MLPDenoiser'",
    ),
    "other sizes": (
        lambda file: dm.train(dm.MLPDenoiser(3, 8, 1, key=jr.key(0)), XI, RECIPE, steps=20, checkpoint=file),
        "its sizes is",
    ),
}


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    file = tmp_path_factory.mktemp("training") / "run.npz"
    dm.train(network(), XI, RECIPE, steps=10, checkpoint=file)
    return file


@pytest.mark.parametrize(("use", "message"), DAMAGED.values(), ids=DAMAGED)
def test_a_checkpoint_of_another_training_is_refused(use, message, checkpoint):
    with pytest.raises(ValueError, match=message):
        use(checkpoint)


def altered(file, place, **changes):
    arrays = {**np.load(file), **changes}
    np.savez(place, **{name: array for name, array in arrays.items() if array is not None})
    return place


BIAS = ".average.layers.first.bias"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({BIAS: None}, f"array '{BIAS}' is missing"),
        ({BIAS: np.zeros(2, np.float32)}, r"of shape \(2,\)"),
        ({BIAS: np.zeros(16, np.int32)}, "type int32"),
        ({BIAS: np.full(16, np.nan, np.float32)}, "NaN or infinity"),
        ({"about": None}, "no weights of dynamem"),
        ({"about": np.asarray("[1]")}, "no weights of dynamem"),
        ({"about": np.asarray('{"kind": "list", "sizes": {}}')}, "kind='list'"),
        ({"about": np.asarray('{"kind": "MLPDenoiser", "sizes": {"size": -1}}')}, "make no MLPDenoiser"),
        ({"about": np.asarray('{"kind": "MLPDenoiser", "sizes": {"sides": 1}}')}, "make no MLPDenoiser"),
        ({"about": np.asarray([{}], dtype=object)}, "no weights of dynamem"),
    ],
)
def test_damaged_weights_are_refused(changes, message, checkpoint, tmp_path):
    with pytest.raises(ValueError, match=message):
        dm.load_denoiser(altered(checkpoint, tmp_path / "bad.npz", **changes))


def test_files_that_are_none_are_refused(tmp_path):
    with pytest.raises(ValueError, match="does not exist"):
        dm.load_denoiser(tmp_path / "none.npz")
    (tmp_path / "text.npz").write_text("weights")
    with pytest.raises(ValueError, match="no weights of dynamem"):
        dm.load_denoiser(tmp_path / "text.npz")
    with pytest.raises(ValueError, match="choose 'digits'"):
        dm.pretrained("letters")
    with pytest.raises(ValueError, match="cannot be written"):
        dm.save_denoiser(tmp_path / "none" / "weights.npz", network())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"levels": "all"}, "levels='all'"),
        ({"low": 2.0, "high": 1.0}, "low=2.0, high=1.0"),
        ({"average": 1.0}, "average=1.0"),
        ({"rate": float("nan")}, "rate=nan"),
        ({"batch": 0}, "batch=0"),
    ],
)
def test_a_wrong_recipe_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        dm.train(network(), XI, RECIPE._replace(**changes), steps=1)


def test_wrong_patterns_are_refused():
    with pytest.raises(ValueError, match="steps=0"):
        dm.train(network(), XI, RECIPE, steps=0)
    with pytest.raises(ValueError, match=r"patterns\[1\] holds NaN"):
        dm.train(network(), np.asarray([[0.0, 1.0, 2.0], [np.nan, 0.0, 1.0]]), RECIPE, steps=1)
    with pytest.raises(ValueError, match=r"patterns.shape=\(40, 2\)"):
        dm.train(network(), XI[:, :2], RECIPE, steps=1)
    for others, message in (
        (XI[:0], r"held_out.shape=\(0, 3\)"),
        (XI[:, :2], r"held_out.shape=\(40, 2\): need patterns of 3"),
        (np.full((1, 3), np.nan), r"held_out\[0\] holds NaN"),
    ):
        with pytest.raises(ValueError, match=message):
            dm.train(network(), XI, RECIPE, steps=1, held_out=others)


def test_a_training_that_diverges_says_so_and_leaves_the_checkpoint(tmp_path):
    file, wild = tmp_path / "run.npz", RECIPE._replace(rate=1e25, warmup=1)
    with pytest.raises(ValueError, match=r"rate=1e\+25: by step 20 the weights are not finite"):
        dm.train(network(), XI, wild, steps=20, checkpoint=file)
    assert not file.exists()


def test_what_could_not_be_read_again_is_not_written(tmp_path):
    large = eqx.tree_at(lambda one: one.layers.last.bias, network(), network().layers.last.bias + 1e6)
    with pytest.raises(ValueError, match=r"half=True: array .* would hold NaN or infinity"):
        dm.save_denoiser(tmp_path / "half.npz", large, half=True)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("flipped", [(4, 0xFF), (6, 0x01), (8, 0xFF)], ids=["version", "encrypted", "method"])
def test_a_damaged_header_is_refused(flipped, checkpoint, tmp_path):
    """Fields of the first entry in the archive's directory, which begins with PK 1 2."""
    held, (place, bits) = bytearray(checkpoint.read_bytes()), flipped
    held[held.index(b"PK\x01\x02") + 2 + place] ^= bits
    (tmp_path / "bad.npz").write_bytes(bytes(held))
    with pytest.raises(ValueError, match="no weights of dynamem"):
        dm.load_denoiser(tmp_path / "bad.npz")
