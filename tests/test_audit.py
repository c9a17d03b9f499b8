"""The audit on small data: every row's evidence replays, parts fail alone, and an interrupt ends it."""

import os
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import dynamem as dm
from dynamem.catalog import AuditOptions, DataSet, _audit, _diffusion, run_audit
from dynamem.catalog._audit import _Bench
from dynamem.catalog._diffusion import CHURN, floor_fields, planned
from dynamem.catalog._evidence import Course
from dynamem.catalog._names import system_names
from dynamem.catalog._size import KEPT, SWEEPS, states_held
from dynamem.lyapunov import Rises
from tests.audit_cases import IDENTITY, assert_attributed, replayed_mean


PATTERNS = 2.0 * np.random.default_rng(5).normal(size=(5, 3))
SWEPT = {"probability_flow/VP": "VP", "reverse_sde/VP": "VP", "reverse_sde/VE": "VE"}
STATES = 8


def options(*systems, patterns=PATTERNS, states=STATES):
    return AuditOptions(DataSet("five", patterns), states=states, quick=True, systems=systems)


@pytest.fixture(scope="module")
def sweeps():
    bench = _Bench(options(), {}, lambda _: None)
    return {name: bench.part(name).sweep for name in SWEPT}


@pytest.fixture(scope="module")
def rows(sweeps):
    return [row for sweep in sweeps.values() for row in sweep.rows]


def flow_and_energy(row):
    """What a row is about, from the public names alone."""
    path = dm.DiffusionPath(getattr(dm, row["schedule"])(), dm.Empirical(jnp.asarray(PATTERNS)))
    clock = row["clock"]
    flow = (
        dm.ProbabilityFlow(path, clock) if row["dynamics"] == "probability_flow" else dm.ReverseSDE(path, CHURN, clock)
    )
    energies = {
        "density": lambda: dm.DensityEnergy(path, clock=clock),
        "density_canonical": lambda: dm.DensityEnergy(path, clock=clock),
        "hopfield": lambda: dm.HopfieldEnergy(path, clock=clock),
        "frozen": lambda: dm.Frozen(dm.FreeEnergy(path, clock=clock), 0.0),
        "free": lambda: dm.FreeEnergy(path, clock=clock),
        "free_churn": lambda: dm.FreeEnergy(path, CHURN, clock),
    }
    return flow, energies[row["energy"]]()


def broken(rows, statement):
    found = [row for row in rows if (row["statement"], row["verdict"]) == (statement, "broken")]
    assert {row["energy"] for row in found} >= {"density", "hopfield"}
    return found


def test_every_row_has_its_evidence(rows):
    for row in rows:
        assert_attributed(row)


def test_a_step_replays_from_its_row(rows):
    for row in broken(rows, "pathwise"):
        _, energy = flow_and_energy(row)
        witness = row["witness"]
        ends = [(jnp.asarray(witness[f"t{end}"]), jnp.asarray(witness[f"x{end}"])) for end in "01"]
        assert float(energy(*ends[1]) - energy(*ends[0])) == pytest.approx(witness["change"], rel=1e-6), row["energy"]
        assert row["largest_rise"] == witness["change"]


def test_a_rate_replays_from_its_row(rows):
    for row in broken(rows, "rate"):
        flow, energy = flow_and_energy(row)
        witness = row["witness"]
        rate = dm.generator(energy, flow)(witness["t0"], jnp.asarray(witness["x0"]))
        assert float(rate.total) == pytest.approx(witness["change"], rel=1e-6), row["energy"]
        for part in ("schedule", "dissipation", "drift", "ito"):
            assert float(getattr(rate, part)) == pytest.approx(row["attribution"][part], rel=1e-6, abs=1e-6)


def test_a_mean_replays_from_its_row(rows):
    for row in broken(rows, "mean"):
        witness = row["witness"]
        assert replayed_mean(witness) == pytest.approx([witness[name] for name in ("mean", "low", "high")])
        assert witness["low"] <= row["largest_rise"] == witness["mean"] <= witness["high"]
        assert row["rises"] == round(row["rise_fraction"] * row["steps"]) > 0
        assert row["first_rise"]["clock"] <= witness["t0"] < witness["t1"]


def test_a_mean_change_is_attributed_to_the_means_of_its_parts(sweeps, rows):
    row = next(row for row in broken(rows, "mean") if row["energy"] == "hopfield")
    flow, energy = flow_and_energy(row)
    run = next(found.run for found in sweeps[row["system"]].runs if found.run.steps == row["steps"])
    k = row["witness"]["step"]
    rate = jax.vmap(dm.generator(energy, flow))(jnp.asarray(run.lam[:, k]), jnp.asarray(run.ys[:, k]))
    length = row["witness"]["t1"] - row["witness"]["t0"]
    for part in ("schedule", "dissipation", "drift", "ito"):
        assert row["attribution"][part] == pytest.approx(length * float(getattr(rate, part).mean()))
    assert row["attribution"]["martingale"] == 0.0


def test_planned_rows_are_the_rows_that_are_made(sweeps):
    for name, sweep in sweeps.items():
        assert [{key: row[key] for key in IDENTITY} for row in sweep.rows] == planned(*name.split("/"), quick=True)


def test_what_a_sweep_keeps_is_within_its_bound(sweeps):
    for name, sweep in sweeps.items():
        kept = sum(KEPT * found.run.ys.shape[0] * found.run.ys.shape[1] for found in sweep.runs)
        assert kept <= STATES * SWEEPS[name.partition("/")[0]]
    assert states_held(["log_sum_exp"]) < states_held(["log_sum_exp", "reverse_sde/VP"]) < states_held(system_names())


def failing(*_, **__):
    msg = "two\nlines"
    raise RuntimeError(msg)


def test_a_sweep_that_raises_fails_alone(monkeypatch):
    monkeypatch.setattr(_diffusion, "sweep", failing)
    found = run_audit(options("reverse_sde/EDM", "log_sum_exp", states=2), lambda *_: None)
    failed = [row for row in found.rows if row["verdict"] == "failed"]
    assert [{key: row[key] for key in IDENTITY} for row in failed] == planned("reverse_sde", "EDM", quick=True)
    assert {row["reason"] for row in failed} == {"RuntimeError: two lines"}
    assert {row["verdict"] for row in found.rows if row["system"] == "log_sum_exp"} == {"holds"}
    assert found.errors[0].startswith("reverse_sde/EDM failed: RuntimeError: two lines (")
    assert __file__ in found.errors[0]
    assert found.claims == []


def test_an_interrupt_begins_nothing_more(monkeypatch):
    begun, lanes, both = [], [], threading.Barrier(2)

    def lane(size):
        lanes.append(ThreadPoolExecutor(size))
        return lanes[-1]

    def endless(dynamics, schedule, *rest, **_):
        begun.append((dynamics, schedule))
        if both.wait(timeout=60) == 0:
            os.kill(os.getpid(), signal.SIGINT)
        while True:
            rest[-1]()
            time.sleep(0.01)

    monkeypatch.setattr(_diffusion, "sweep", endless)
    monkeypatch.setattr(_audit, "ThreadPoolExecutor", lane)
    kinds = ("reverse_sde", "probability_flow")
    with pytest.raises(KeyboardInterrupt):
        run_audit(options(*(f"{kind}/{schedule}" for kind in kinds for schedule in ("VP", "VE"))), lambda *_: None)
    for one in lanes:
        one.shutdown()  # waits for what was begun
    assert sorted(begun) == sorted((kind, "VP") for kind in kinds)


# ------------------------------------------------------------------ below the noise floor


def course(change):
    """Changes (B, n - 1) on steps of length 0.1."""
    times = np.broadcast_to(0.1 * np.arange(change.shape[1] + 1), (change.shape[0], change.shape[1] + 1))
    values = np.concatenate([np.zeros((len(change), 1)), np.cumsum(change, axis=1)], axis=1)
    rises = Rises(values, change, np.full(change.shape, 1e-12), np.ones(change.shape, bool))
    return Course(times, times, lambda b, k: np.zeros(1), rises, np.ones(len(change), bool))


def test_the_floor_counts_the_steps_that_rose():
    rng = np.random.default_rng(0)
    change = np.tile([-3.0, 0.5, -0.1, 0.4, 0.0], (40, 1)) + 0.01 * rng.normal(size=(40, 5))
    inside = np.zeros((40, 5), bool)
    inside[:, 1:3], inside[:20, 3] = True, True
    noise = 0.05 * rng.normal(size=change.shape)
    found = floor_fields(course(change + noise), noise, inside)
    assert found["verdict"] == "broken"
    assert (found["rises"], found["rise_fraction"]) == (2, 0.4)
    assert found["largest_rise"] == pytest.approx(0.4 + 0.2, abs=0.01)
    assert found["first_rise"] == {"clock": 0.1, "lam": 0.1}
    witness = found["witness"]
    assert (witness["step"], witness["t0"], witness["t1"]) == (None, 0.1, pytest.approx(0.4))
    assert replayed_mean(witness) == pytest.approx([witness[name] for name in ("mean", "low", "high")])
    assert floor_fields(course(-np.abs(change)), noise, inside) == {}
