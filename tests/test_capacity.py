"""Capacity: updates against energies, criteria against theory, sweeps that are killed and go on."""

import functools
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import dynamem as dm
from dynamem._errors import InputError
from dynamem.energies import hebb
from dynamem.stability._capacity import Capacity, capacity, exponent, finite_size
from dynamem.stability._retrievals import Retrieval
from dynamem.stability._sweep import Sweep


def signs(*shape, seed=0):
    return np.where(np.random.default_rng(seed).random(shape) < 0.5, -1.0, 1.0)


@pytest.mark.parametrize(
    ("kind", "n", "F"),
    [("power", 2, "power"), ("power", 3, "power"), ("power", 4, "power"), ("rectified", 3, "rectified"),
     ("exponential", 2, "exp")],
)  # fmt: skip
def test_costs_of_flips_are_differences_of_energies(kind, n, F):
    xi, x = signs(6, 9), signs(9, seed=1)
    memory = dm.DenseMemory(xi, F=F, n=n)
    flipped = x[None] * (1 - 2 * np.eye(9))
    energies = jax.vmap(lambda one: memory(0.0, one))(jnp.asarray(flipped)) - memory(0.0, jnp.asarray(x))
    found = Retrieval(kind, n).costs(xi, (xi @ x)[:, None], x[:, None])[:, 0]
    factor = {"power": 4.0 if n == 2 else 1.0, "rectified": 1.0, "exponential": np.exp(np.max(xi @ x))}[kind]
    np.testing.assert_allclose(found * factor, energies, rtol=1e-9, atol=1e-9 * factor)


def test_the_classical_network_is_binary_hopfield():
    xi, x = signs(8, 40), signs(5, 40, seed=2)
    memory = dm.BinaryHopfield(hebb(xi))
    for blocks, update in ((1, memory.synchronous), (40, memory.asynchronous)):
        expected = np.asarray(jax.vmap(update)(jnp.asarray(x)))
        for dtype in (np.float32, np.float64):
            found = Retrieval("power", sweeps=1, blocks=blocks)(xi.astype(dtype), x)
            np.testing.assert_array_equal(found, expected)
    assert Retrieval("power").dtype(2000, 300) is np.float32
    assert Retrieval("power", 3).dtype(10, 10) is np.float64


def test_log_sum_exp_is_the_memorys_own_update():
    xi, x = signs(20, 12), np.random.default_rng(3).normal(size=(4, 12))
    memory = dm.LogSumExp(xi, 0.7, norm_bias=False)
    found = Retrieval("log_sum_exp", beta=0.7, sweeps=1)(xi, x)
    np.testing.assert_allclose(found, jax.vmap(memory.update)(jnp.asarray(x)), rtol=1e-12)
    users = Retrieval(lambda xi: dm.LogSumExp(xi, 0.7, norm_bias=False).update, sweeps=1)(xi, x)
    np.testing.assert_allclose(users, found, rtol=1e-12)


@pytest.mark.parametrize(("n", "sizes", "load"), [(2, (100, 200, 400), 0.3696), (3, (40, 80, 160), 0.1232)])
def test_small_error_capacity_and_its_exponent(n, sizes, load):
    """5 % of wrong signs in one sweep: N = D^(n-1)/((2n-3)!! 1.6449^2) as D grows."""
    loads = load * np.asarray([0.6, 0.8, 1.0, 1.2, 1.5])
    found = capacity("power", sizes, loads, n=n, sweeps=1, overlap=0.9, trials=6, probes=64)
    np.testing.assert_allclose(found.critical[-1], load, rtol=0.1)
    low, high = found.interval()
    assert np.all((low <= found.critical) & (found.critical <= high))
    slope = exponent(found)
    assert abs(slope.value - (n - 1)) < 0.15
    assert slope.low < slope.value < slope.high
    wrong = capacity("power", sizes, loads, n=n, sweeps=1, overlap=0.8, trials=2, probes=64)  # broken twin: 10 %
    assert not abs(np.nan_to_num(wrong.critical[-1]) - load) < 0.1 * load


def test_what_the_loads_do_not_hold_is_not_a_number():
    found = capacity("power", (60, 90), (0.01, 0.02), trials=2)
    assert np.all(np.isnan(found.critical))
    assert np.all(np.isnan(found.interval()[0]))
    with pytest.raises(ValueError, match="0 sizes have half"):
        finite_size(found)


@pytest.mark.parametrize(
    ("bad", "word"),
    [
        ({"kind": "cubic"}, "kind='cubic'"),
        ({"loads": (0.2, 0.1)}, "increasing order"),
        ({"flips": 0.5}, "flips=0.5"),
        ({"load": "linear"}, "load='linear'"),
        ({"sizes": ()}, "sizes="),
        ({"n": 1}, "n=1"),
    ],
)
def test_bad_input(bad, word):
    with pytest.raises(ValueError, match=word):
        capacity(**({"kind": "power", "sizes": (50,), "loads": (0.1,)} | bad))


def test_exponential_memories_lose_with_the_logarithm_of_the_load():
    for kind, more in (("log_sum_exp", {"beta": 1.0, "flips": 0.15}), ("exponential", {"flips": 0.15})):
        found = capacity(kind, (14,), (0.1, 0.3, 0.45, 0.6), sweeps=8, trials=3, probes=64, **more)
        assert np.all(np.diff(found.rate[0]) <= 0.0)
        assert found.rate[0, 0] > 0.9
        assert found.rate[0, -1] < 0.5
        np.testing.assert_array_equal(found.patterns[0], np.round(np.exp(14 * found.loads)))


def test_the_fit_finds_what_it_was_given():
    sizes, loads = np.asarray([50, 100, 200, 400]), np.asarray([0.1, 0.3])
    first = 0.5 / (1 - (0.138 + 0.4 * sizes**-0.5 - 0.1) / 0.2)  # interpolated, 1/2 is met where it should be
    recalled = np.stack([first, 0 * first], axis=1)[:, :, None]
    how = (sizes, loads, np.ones((4, 2), int), recalled, np.ones((4, 2, 1)), 0.95, 0)
    given = Capacity(Retrieval("power"), 0.9, 0.0, *how)
    for b, close in ((0.5, 1e-12), (None, 3e-3)):
        assert abs(finite_size(given, b).value - 0.138) < close
    assert abs(finite_size(given, None).b - 0.5) < 0.05
    assert abs(finite_size(given, 1.0).value - 0.138) > 0.01  # broken twin: another power


SQUARES = """
import sys, time
from dynamem.stability._sweep import Sweep

def square(point):
    if len(sys.argv) > 2:
        time.sleep(0.2)
    return {"value": point["x"] ** 0.5 / 3, "none": float("nan")}

found = Sweep("squares", {"seed": 1}, sys.argv[1], lambda words: print(words, flush=True))
print(found.run(square, [{"x": x} for x in range(12)]).done)
"""


def test_a_killed_sweep_goes_on_to_the_same_bits(tmp_path):
    script, store, whole = tmp_path / "squares.py", tmp_path / "cut.jsonl", tmp_path / "whole.jsonl"
    script.write_text(SQUARES)
    environment = os.environ | {"PYTHONPATH": str(Path(dm.__file__).parents[1])}
    command = [sys.executable, str(script), str(store)]
    with subprocess.Popen([*command, "slow"], env=environment, stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        while "3 of 12" not in running.stdout.readline():
            pass
        running.send_signal(signal.SIGKILL)
    kept = len(store.read_text().splitlines()) - 1
    assert 3 <= kept < 12
    with store.open("a") as stream:
        stream.write('{"point": {"x": 5}, "resu')  # what a kill in the middle of a line leaves
    seen = []

    def square(point):
        seen.append(point["x"])
        return {"value": point["x"] ** 0.5 / 3, "none": float("nan")}

    points = [{"x": x} for x in range(12)]
    resumed = Sweep("squares", {"seed": 1}, store).run(square, points)
    full = Sweep("squares", {"seed": 1}, whole).run(square, points)
    assert len(seen) - 12 == 12 - kept
    assert store.read_bytes() == whole.read_bytes()
    assert repr(resumed.done) == repr(full.done)


def test_sweeps_refuse_files_of_others_and_damage(tmp_path):
    store, points = tmp_path / "a.jsonl", [{"x": 1}]
    Sweep("a", {"seed": 1}, store).run(lambda point: {"y": 2}, points)
    for other in (Sweep("a", {"seed": 2}, store), Sweep("b", {"seed": 1}, store)):
        with pytest.raises(ValueError, match="is of another sweep"):
            other.run(lambda point: {"y": 2}, points)
    lines = store.read_text()
    store.write_text(lines + "nonsense\n")
    with pytest.raises(ValueError, match="is damaged in line 3"):
        Sweep("a", {"seed": 1}, store).run(lambda point: {"y": 2}, points)
    store.write_text("my notes")
    with pytest.raises(ValueError, match="is no file of a sweep"):
        Sweep("a", {"seed": 1}, store).run(lambda point: {"y": 2}, points)
    assert store.read_text() == "my notes"
    with pytest.raises(ValueError, match="a folder that exists"):
        Sweep("a", {}, tmp_path / "no" / "a.jsonl").run(lambda point: {"y": 2}, points)
    with pytest.raises(ValueError, match="plain numbers"):
        Sweep("a").run(lambda point: {"y": np.ones(2)}, points)


def test_ctrl_c_keeps_what_is_there(tmp_path):
    store = tmp_path / "a.jsonl"

    def stop(point):
        if point["x"] == 2:
            raise KeyboardInterrupt
        return {"y": point["x"]}

    found = Sweep("a", {}, store).run(stop, [{"x": x} for x in range(5)])
    assert found.interrupted
    assert [result["y"] for _, result in found.done] == [0, 1]
    assert len(store.read_text().splitlines()) == 3


def test_a_capacity_resumes(tmp_path):
    store, how = tmp_path / "capacity.jsonl", {"trials": 3, "probes": 16}
    full = capacity("power", (40, 60), (0.1, 0.2, 0.4), **how)
    part = capacity("power", (40,), (0.1, 0.2), **how, store=store)
    again = capacity("power", (40, 60), (0.1, 0.2, 0.4), **how, store=store)
    assert part.recalled.shape == (1, 2, 3)
    np.testing.assert_array_equal(again.recalled, full.recalled)
    assert len(store.read_text().splitlines()) == 1 + 18
    assert json.loads(store.read_text().splitlines()[0])["schema"] == "dynamem.sweep/1"
    with pytest.raises(ValueError, match="another sweep"):
        capacity("power", (40,), (0.1,), **how, store=store, seed=1)

    def stop(words):
        if words == "capacity: 7 of 18 points":
            raise KeyboardInterrupt

    cut = capacity("power", (40, 60), (0.1, 0.2, 0.4), **how, tell=stop)
    assert np.all(np.isfinite(cut.rate[0, :2]))
    assert np.all(np.isnan(cut.rate[1]))


@pytest.mark.long
def test_classical_capacity_by_extrapolation():
    """0.138 (Amit, Gutfreund & Sompolinsky 1985), with a correction of D^(-1/2)."""
    loads = (0.12, 0.14, 0.15, 0.16, 0.17, 0.19, 0.21)
    found = capacity("power", (500, 1000, 2000), loads, trials=4, probes=96, sweeps=60)
    fit = finite_size(found, 0.5)
    assert abs(fit.value - 0.138) < 0.015, fit


@pytest.mark.long
def test_the_exponent_of_the_quartic_memory():
    loads = 0.02464 * np.asarray([0.6, 0.8, 1.0, 1.2, 1.5])
    found = capacity("power", (40, 60, 80, 100), loads, n=4, sweeps=1, overlap=0.9, trials=6, probes=64)
    assert abs(exponent(found).value - 3) < 0.15


def test_a_store_knows_a_memory_by_its_name(tmp_path):
    """Two functions without a name of their own would share what they found."""
    how = {"sizes": (20,), "loads": (0.5,), "trials": 2, "probes": 8, "load": "power"}
    for kind in (lambda xi: dm.LogSumExp(xi, 8.0).update, functools.partial(nearest, 8.0)):
        with pytest.raises(InputError, match="give a function of a module"):
            capacity(kind, **how, store=tmp_path / "store")
    assert not (tmp_path / "store").exists()


def nearest(beta, xi):
    return dm.LogSumExp(xi, beta).update
