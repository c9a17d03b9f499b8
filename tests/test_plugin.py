"""The pytest plugin, in runs of pytest of its own: what it hears, writes, certifies, and refuses."""

import json
import subprocess
import sys

import pytest

from dynamem import _journal
from dynamem._journal import Entry, note, recorded
from dynamem.report._testing import verdict_sections
from dynamem.testing._ledger import Ledger, counts


SUITE = """
import diffrax as dfx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import dynamem as dm
from dynamem import testing

jax.config.update("jax_enable_x64", True)


def energy(t, x):
    return 0.5 * jnp.sum(x**2)


def field(t, x, args):
    return x * (1 - 4 * x**2)


X = np.asarray([[-1.0], [2.0]])


@pytest.fixture
def checked():
    return dm.check(energy, dfx.ODETerm(lambda t, x, args: -x), X, t0=0.0, t1=1.0, solver=dfx.Euler(), dt0=0.5)


def test_fixture(checked):
    assert checked.status == "holds"


@pytest.mark.dynamem(certify=5)
def test_climbs():
    testing.assert_lyapunov(energy, dfx.ODETerm(lambda t, x, args: -x), X)


@pytest.mark.dynamem(certify=5)
def test_between():
    testing.assert_lyapunov(energy, dfx.ODETerm(field), X)


def test_only_at_its_states():
    testing.assert_lyapunov(energy, dfx.ODETerm(field), X)


@pytest.mark.parametrize("name", ["<b>"])
def test_expected(name):
    for scale in (3.0, 0.3):
        with pytest.raises(AssertionError):
            testing.assert_lyapunov(energy, dfx.ODETerm(field), scale * np.asarray([[0.1]]))
    with pytest.raises(ValueError):
        testing.assert_lyapunov(energy, dfx.ODETerm(field), X.astype(int))


def test_nothing():
    pass
"""
EXAMPLES = """
from hypothesis import given, settings, strategies as st


@given(st.integers())
def test_settings(k):
    assert settings().max_examples == 1000


def test_default():
    assert settings().deadline is None
"""


def run(folder, *options, code="import pytest, sys; sys.exit(pytest.main(sys.argv[1:]))"):
    return subprocess.run(
        [sys.executable, "-c", code, "-p", "no:cacheprovider", *options], cwd=folder, capture_output=True, text=True,
        check=False, timeout=240,
    )  # fmt: skip


def rows_of(folder):
    found = json.loads((folder / "r.json").read_text())
    assert found["schema"] == "dynamem.testing/1"
    return {one["test"].partition("::")[2]: one for one in found["tests"]}, found


@pytest.fixture(scope="module")
def reported(tmp_path_factory):
    folder = tmp_path_factory.mktemp("plugin")
    (folder / "test_suite.py").write_text(SUITE)
    reports = ("--dynamem-report=r.json", "--dynamem-report=r.html")
    return folder, run(folder, "-q", *reports, "--dynamem-certificates=kept")


def test_what_a_run_found(reported):
    folder, done = reported
    assert done.returncode == 1, done.stderr
    tests, found = rows_of(folder)
    assert found["environment"]["tests"] == 6
    assert "test_nothing" not in tests
    assert tests["test_fixture"]["verdicts"][0]["asked"] == "check"
    assert {name: one["outcome"] for name, one in tests.items()} == {
        "test_fixture": "passed", "test_climbs": "passed", "test_between": "failed",
        "test_only_at_its_states": "failed", "test_expected[<b>]": "passed",
    }  # fmt: skip
    row, refused = tests["test_expected[<b>]"]["verdicts"]
    assert row["calls"] == {"broken": 2}
    assert "x: [0.03]" in row["reason"]  # the last of the worst
    assert (row["margin"] > 1, refused["status"]) == (True, "failed")
    assert "test_suite.py:" in row["place"]


def test_certificates_replay_and_rises_between_states_fail(reported):
    folder, done = reported
    tests, _ = rows_of(folder)
    up = tests["test_climbs"]["verdicts"][0]["climbed"]
    assert (up["status"], "x0 in [-1, 2]" in up["region"]) == ("certified", True)
    verify = [sys.executable, "-m", "dynamem", "verify", up["certificate"]]
    assert subprocess.run(verify, check=False, capture_output=True).returncode == 0
    assert tests["test_between"]["verdicts"][0]["status"] == "holds"
    assert "held at its states, but not between: LE <= 0 is false" in done.stdout
    assert "on whole boxes: 1 certified, 2 broken" in done.stdout


def test_the_page(reported):
    text = (reported[0] / "r.html").read_text()
    assert "test_expected[&lt;b&gt;]" in text
    assert "<b>" not in text
    assert "How near to a failure" in text


def test_processes_hand_their_rows_on(reported, tmp_path):
    (tmp_path / "test_suite.py").write_text(SUITE)
    done = run(tmp_path, "-q", "-n", "2", "--dynamem-report=r.json", "-k", "not between and not climbs")
    assert done.returncode == 0, done.stdout  # nothing climbs: what holds at its states passes
    alone, together = rows_of(reported[0])[0], rows_of(tmp_path)[0]
    for name in ("test_fixture", "test_expected[<b>]"):
        assert together[name]["verdicts"] == alone[name]["verdicts"]


def test_profiles(tmp_path):
    (tmp_path / "test_examples.py").write_text(EXAMPLES)
    assert run(tmp_path, "--dynamem-profile=thorough").returncode == 0
    assert run(tmp_path, "--dynamem-profile=ci").returncode == 1


@pytest.mark.parametrize(
    ("option", "words"),
    [("--dynamem-report=r.txt", "ends in .html or .json"), ("--dynamem-report=no/\0/r.json", "cannot be written"),
     ("--dynamem-report=.html", "ends in .html"), ("--dynamem-profile=slow", "invalid choice")],
)  # fmt: skip
def test_options_that_cannot_be_used(tmp_path, option, words):
    code = f"import pytest, sys; sys.exit(pytest.main([{option!r}]))"
    done = run(tmp_path, code=code)
    assert done.returncode == 4, done.stdout
    assert words in done.stderr + done.stdout


def test_it_needs_neither_jax_nor_hypothesis():
    code = "import sys, dynamem.testing.plugin; print(sorted({'jax', 'hypothesis', 'numpy'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout == "[]\n"


WITHOUT = """
import sys
import pytest


class Missing:
    def find_spec(self, name, *where):
        if name.partition(".")[0] == "hypothesis":
            raise ModuleNotFoundError(name)


sys.meta_path.insert(0, Missing())
sys.exit(pytest.main(sys.argv[1:]))
"""


def test_without_hypothesis(tmp_path):
    (tmp_path / "test_one.py").write_text("def test_one():\n    pass\n")
    done = run(tmp_path, "-p", "no:hypothesispytest", "--dynamem-profile=ci", code=WITHOUT)
    assert (done.returncode, "needs Hypothesis: pip install hypothesis" in done.stderr) == (4, True)
    assert run(tmp_path, "-p", "no:hypothesispytest", "--dynamem-report=r.json", code=WITHOUT).returncode == 0
    assert rows_of(tmp_path)[1]["tests"] == []


# --------------------------------------------------------------------------------------- its parts


@pytest.fixture
def heard():
    entries = []
    _journal.LISTENERS.append(entries.append)
    yield entries
    _journal.LISTENERS.remove(entries.append)


@recorded
def inner(size):
    note(margin=size, region="here")
    if size > 1:
        raise AssertionError(size)


@recorded
def outer(*sizes):
    for size in sizes:
        inner(size)


def test_calls_within_calls_are_one(heard):
    outer(0.5, float("nan"), 0.25)
    with pytest.raises(AssertionError):
        outer(0.5, 3.0)
    with pytest.raises(TypeError):
        inner()
    with pytest.raises(KeyboardInterrupt):
        recorded(interrupted)()
    assert [(one.asked, one.status, one.margin) for one in heard] == [
        ("outer", "holds", 0.5), ("outer", "broken", 3.0), ("inner", "failed", None)
    ]  # fmt: skip


def interrupted():
    raise KeyboardInterrupt


def test_without_listeners_nothing_is_kept():
    outer(0.5)
    assert _journal._open.get() is None


def test_the_worst_stays():
    ledger = Ledger()
    for status, reason in [("proved", "a"), ("broken", "b"), ("holds", "c"), ("broken", "d"), ("failed", "e")]:
        ledger.enter(Entry("check", "f.py:1", status, reason))
    (row,) = ledger.rows()
    assert (row["status"], row["reason"]) == ("broken", "d")
    assert row["calls"] == {"proved": 1, "broken": 2, "holds": 1, "failed": 1}
    assert counts([row, row]) == "2 verdicts: 2 broken"


def test_a_run_that_asked_nothing_has_a_page():
    assert all(not section.blocks for section in verdict_sections([]))
