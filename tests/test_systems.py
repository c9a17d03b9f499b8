"""Systems of the user's: what is refused before a run, what fails in it, and what their rows say."""

import json
import sys

import diffrax as dfx
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

import dynamem as dm
from dynamem._errors import InputError
from dynamem.catalog import AuditOptions, DataSet, _regions, run_audit
from dynamem.catalog._memories import between, memory
from dynamem.catalog._system import load_system
from dynamem.catalog._systems import ODE, planned, system_rows
from dynamem.cli import _memory, main
from dynamem.cli._systems import check_own
from tests.audit_cases import IDENTITY, assert_attributed, replayed_mean


HEAD = """
import diffrax as dfx, jax, jax.numpy as jnp, jax.random as jr, numpy as np
import dynamem as dm
energy = lambda t, x: x @ x
flow = dm.GradientFlow(energy)
states = np.ones((2, 3))
"""
MANY = "np.zeros((2, 3)) + np.array([[0.0], [np.nan]])"

# what the user wrote, what the message says
REFUSED = {
    "energy of shape (2,)": ("dm.System(lambda t, x: x[:2], flow, states, 0.0, 1.0)", "has shape (2,); it must be"),
    "energy of shape (1,)": ("dm.System(lambda t, x: x[:1], flow, states, 0.0, 1.0)", "has shape (1,); it must be"),
    "two energies": ("dm.System(lambda t, x: (x @ x, x), flow, states, 0.0, 1.0)", "it must be a scalar"),
    "drift too long": (
        "dm.System(energy, dfx.ODETerm(lambda t, x, args: jnp.ones(4)), states, 0.0, 1.0)",
        "the drift at one state has shape (4,); it must be (3,)",
    ),
    "drift that broadcasts": (
        "dm.System(energy, dfx.ODETerm(lambda t, x, args: -x[:1]), states, 0.0, 1.0)",
        "the drift at one state has shape (1,); it must be (3,)",
    ),
    "noise of wrong shape": (
        "dm.System(energy, dfx.MultiTerm(dfx.ODETerm(lambda t, x, args: -x), dfx.ControlTerm(lambda t, x, args: "
        "jnp.ones((2, 2)), dfx.UnsafeBrownianPath((2,), jr.key(0)))), states, 0.0, 1.0)",
        "diffusion.shape=(2, 2)",
    ),
    "NaN states": (f"dm.System(energy, flow, {MANY}, 0.0, 1.0)", "states[1] holds NaN or infinity"),
    "infinite end": ("dm.System(energy, flow, states, 0.0, np.inf)", "t1=inf: need finite times"),
    "infinite start": ("dm.System(energy, flow, states, -np.inf, 1.0)", "t0=-inf, t1=1.0: need finite times"),
    "times in the wrong order": ("dm.System(energy, flow, states, 1.0, 0.0)", "t0 < t1"),
    "no states": ("dm.System(energy, flow, states[:0], 0.0, 1.0)", "(0, 3)"),
    "float32 states": ("dm.System(energy, flow, states.astype('f4'), 0.0, 1.0)", "float32; an audit needs float64"),
}  # fmt: skip


@pytest.fixture
def module(monkeypatch, tmp_path):
    """Write a module of the user's that defines ``system``, in the working folder, and give its name."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    name = "module_of_a_user"
    monkeypatch.delitem(sys.modules, name, raising=False)

    def write(text):
        (tmp_path / f"{name}.py").write_text(f"{HEAD}\nsystem = {text}\n")
        return f"{name}:system"

    yield write
    sys.modules.pop(name, None)


@pytest.mark.parametrize(("text", "says"), REFUSED.values(), ids=REFUSED)
def test_a_system_that_cannot_be_run_is_refused(module, capsys, text, says):
    assert main(["audit", "--system", module(text), "--json", "a.json"]) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert err.startswith("dynamem: error: ")
    assert says in err


def test_integer_states_are_converted_with_a_note(module):
    name = module("dm.System(energy, flow, states.astype(int), 0.0, 1.0)")
    notes = check_own(["log_sum_exp", name], load_system)
    assert notes == [f"system={name!r}: states converted from int64 to float64"]
    assert load_system(name).states.dtype == jnp.float64


def test_states_that_do_not_fit_are_refused(module, monkeypatch):
    name = module("dm.System(energy, flow, states, 0.0, 1.0)")
    monkeypatch.setattr(_memory, "available", lambda: 8 * 6 * 2049)
    with pytest.raises(InputError, match="fewer states"):
        check_own([name], load_system)
    monkeypatch.setattr(_memory, "available", lambda: 8 * 6 * 2050)
    assert check_own([name], load_system) == []


PATTERNS = np.eye(3)
DATA = DataSet("three", PATTERNS)


def audited(*systems, progress=lambda *_: None):
    return run_audit(AuditOptions(DATA, states=4, quick=True, systems=systems), progress)


@pytest.mark.long
@pytest.mark.parametrize("raiser", ["energy", "flow"])
def test_what_a_user_raises_fails_its_rows_and_no_others(module, raiser):
    raising = "lambda *_: 1 / 0"
    text = {
        "energy": f"dm.System({raising}, flow, states, 0.0, 1.0)",
        "flow": f"dm.System(energy, dfx.ODETerm({raising}), states, 0.0, 1.0)",
    }[raiser]
    name = module(text)
    done = []
    found = audited(name, "log_sum_exp", progress=lambda label, *_: done.append(label))
    own = [row for row in found.rows if row["system"] == name]
    assert len(own) == len(ODE) + 1
    assert {(row["verdict"], row["reason"]) for row in own} == {("failed", "ZeroDivisionError: division by zero")}
    others = [row["verdict"] for row in found.rows if row["system"] == "log_sum_exp"]
    assert set(others) == {"holds"}
    (told,) = found.errors
    assert told.startswith(f"{name} failed: ZeroDivisionError: division by zero (")
    assert "module_of_a_user.py:" in told
    assert sorted(done) == sorted([name, "log_sum_exp", "figures"])


@pytest.mark.long
@pytest.mark.parametrize("system", ["memory", "sde"])
def test_failed_rows_are_the_rows_that_would_have_been(system):
    noisy = noisy_system()
    name, given = ("log_sum_exp", None) if system == "memory" else ("mine:sde", noisy)
    built = given or memory(name, jnp.asarray(PATTERNS), 4, jr.key(0))
    rows, _ = system_rows(name, built, jr.key(0), lambda: None)
    assert [{key: row[key] for key in IDENTITY} for row in rows] == planned(name, given)


def noisy_system():
    """``dx = x dt + dW``: |x|^2 rises, from the drift and from the noise."""
    terms = dfx.MultiTerm(dfx.ODETerm(_outwards), dfx.ControlTerm(_noise, dfx.UnsafeBrownianPath((2,), jr.key(0))))
    return dm.System(_square, terms, jnp.asarray([[1.0, 0.0], [0.0, 2.0], [1.0, 1.0]]), 0.0, 0.5)


def _square(t, x):
    return x @ x


def _outwards(t, x, args):
    return x


def _noise(t, x, args):
    return jnp.eye(2, dtype=x.dtype)


@pytest.fixture(scope="module")
def noisy_rows():
    return system_rows("mine:sde", noisy_system(), jr.key(3), lambda: None)[0]


def test_an_sde_of_ones_own_is_broken_with_all_evidence(noisy_rows):
    assert {row["statement"] for row in noisy_rows} == {"pathwise", "mean", "rate"}
    for row in noisy_rows:
        assert row["verdict"] == "broken"
        assert (row["dynamics"], row["clock"]) == ("gradient", "tau")
        assert row["first_rise"]["clock"] == 0.0 or row["statement"] == "rate"
        assert_attributed(row)


def test_its_steps_replay(noisy_rows):
    for row in [row for row in noisy_rows if row["statement"] == "pathwise"]:
        witness, parts = row["witness"], row["attribution"]
        x0, x1 = np.asarray(witness["x0"]), np.asarray(witness["x1"])
        length = witness["t1"] - witness["t0"]
        assert x1 @ x1 - x0 @ x0 == pytest.approx(witness["change"])
        kick = x1 - x0 - length * x0  # what Euler-Maruyama has added
        assert parts["drift"] + parts["dissipation"] == pytest.approx(2 * x0 @ x0 * length)
        assert parts["ito"] == pytest.approx(2 * length)
        assert parts["martingale"] == pytest.approx(2 * x0 @ kick)


def test_its_mean_replays_from_the_row(noisy_rows):
    for row in [row for row in noisy_rows if row["statement"] == "mean"]:
        assert replayed_mean(row["witness"]) == pytest.approx(
            [row["witness"][part] for part in ("mean", "low", "high")]
        )
        assert row["largest_rise"] == row["witness"]["mean"]
        assert row["rises"] == round(row["rise_fraction"] * row["steps"])
        assert row["witness"]["paths"] == row["states"] == 12
        length = row["witness"]["t1"] - row["witness"]["t0"]
        assert length == pytest.approx(0.5 / row["steps"])
        assert row["attribution"]["ito"] == pytest.approx(2 * length)
        assert row["attribution"]["martingale"] == 0.0


def test_its_rate_replays(noisy_rows):
    (row,) = [row for row in noisy_rows if row["statement"] == "rate"]
    system, witness = noisy_system(), row["witness"]
    rate = dm.generator(system.energy, system.flow)(witness["t0"], jnp.asarray(witness["x0"]))
    assert float(rate.total) == pytest.approx(witness["change"])
    assert row["attribution"]["ito"] == pytest.approx(2.0)


def test_a_row_is_on_the_clock_that_its_system_runs_on():
    path = dm.DiffusionPath(dm.VE(), dm.Empirical(jnp.asarray(PATTERNS)))
    flow, energy = dm.ProbabilityFlow(path), dm.FreeEnergy(path)
    frozen = dm.Frozen(energy, 0.0)
    cases = [(energy, flow, "lam"), (_square, flow, "lam"), (_square, dfx.ODETerm(flow.drift), "lam")]
    cases += [(energy, dfx.ODETerm(_outwards), "lam"), (frozen, dm.GradientFlow(frozen), "tau")]
    for one, along, clock in cases:
        system = dm.System(one, along, jnp.asarray(PATTERNS + 0.1), 0.0, 1.0)
        assert {row["clock"] for row in planned("mine:own", system)} == {clock}
    assert {row["clock"] for row in planned("log_sum_exp", None)} == {"tau"}


@pytest.mark.parametrize("width", [1, 3])
def test_states_between_those_of_the_dense_memory_are_on_its_sphere(width):
    xs = np.random.default_rng(0).normal(size=(4, 5, width))
    xs /= np.linalg.norm(xs, axis=-1, keepdims=True)
    xs[1] = -xs[0, ::-1]  # opposite to what they are paired with
    middle = between("dense_memory", xs)
    np.testing.assert_allclose(np.linalg.norm(middle, axis=-1), 1.0)
    assert np.abs(np.linalg.norm(between("log_sum_exp", xs), axis=-1)).min() < 1e-12


def test_the_dense_memory_runs_in_one_dimension():
    patterns = jnp.asarray([[0.0], [1.0], [3.0]])
    rows, _ = system_rows("dense_memory", memory("dense_memory", patterns, 4, jr.key(0)), jr.key(0), lambda: None)
    assert {row["verdict"] for row in rows} == {"holds"}


def test_an_interrupt_ends_a_system_between_its_solvers():
    calls = iter([None, None])

    def proceed():
        if next(calls, 1):
            raise KeyboardInterrupt

    system = memory("log_sum_exp", jnp.asarray(PATTERNS), 4, jr.key(0))
    with pytest.raises(KeyboardInterrupt):
        system_rows("log_sum_exp", system, jr.key(0), proceed)


REGIONS = {
    "falls all over": (lambda t, x, args: -x, "certified"),
    "turns, which all cancels": (lambda t, x, args: jnp.stack([x[1], -x[0]]), "certified"),
    "rises between its states": (
        lambda t, x, args: -x * (1 - 3 * jnp.exp(-100.0 * jnp.sum((x - jnp.asarray([0.31, -0.17])) ** 2))), "broken",
    ),
    "falls as time goes on": (lambda t, x, args: -x * (1 + t), "certified"),
    "undefined between them": (lambda t, x, args: -x / jnp.abs(x[0] - 0.3), "holds"),
}  # fmt: skip


SEEN = dm.Verdict("holds", "seen", "some states", 0.0, None, {})


@pytest.mark.parametrize("name", REGIONS)
def test_rates_of_small_systems_climb_to_a_region(name, monkeypatch):
    monkeypatch.setattr(_regions, "BUDGET_S", 3.0)
    field, status = REGIONS[name]
    states = jnp.asarray([[1.0, -1.0], [-1.0, 0.5], [0.7, 1.0]])
    found = _regions.on_region(dm.System(lambda t, x: x @ x, dfx.ODETerm(field), states, 0.0, 1.0), SEEN)
    assert found.status in {"certified": ("certified", "proved")}.get(status, (status,)), found.reason
    assert (found.witness is not None) is (status == "broken")
    assert "x0 in [-1, 1]" in found.reason
    assert ("t in [0, 1]" in found.reason) is (name == "falls as time goes on")


@pytest.mark.long
def test_an_audit_certifies_when_it_is_asked_to(module, tmp_path):
    name = module("system = dm.System(energy, flow, np.eye(3)[:, :2], 0.0, 1.0)")
    out = tmp_path / "audit.json"
    assert main(["audit", "--system", name, "--certify", "--states", "2", "--json", str(out)]) == 0
    rows = json.loads(out.read_text())["rows"]
    assert [row["verdict"] for row in rows if row["statement"] == "rate"] in (["certified"], ["proved"])
    assert {row["verdict"] for row in rows if row["statement"] == "pathwise"} == {"holds"}


def test_larger_systems_keep_their_verdict():
    system = dm.System(lambda t, x: x @ x, dfx.ODETerm(lambda t, x, a: x), jnp.eye(4), 0.0, 1.0)
    assert _regions.on_region(system, SEEN) is SEEN
