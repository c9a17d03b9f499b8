"""The command line: usage, exit codes, the table, and files that are whole or not there."""

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from dynamem import catalog
from dynamem._errors import DynamemError, InputError
from dynamem._output import check, staged
from dynamem.catalog._audit_types import Claim
from dynamem.catalog._names import ENERGIES, SCHEDULES, SOLVERS, system_names
from dynamem.catalog._rows import row
from dynamem.cli import _progress, main
from dynamem.cli._expect import exit_code
from dynamem.cli._json import audit_text
from dynamem.cli._table import WIDTH


ROOT = Path(__file__).resolve().parents[1]


def a_row(verdict="holds", **found):
    fields = {"system": "s", "dynamics": "probability_flow", "schedule": "VP", "solver": "DDIM", "steps": 10}
    fields |= {"clock": "lam", "energy": "free", "statement": "pathwise", "reason": "because", "states": 2}
    return row(**(fields | {"verdict": verdict} | found))


def an_audit(*rows, claims=(), errors=()):
    return SimpleNamespace(rows=list(rows), environment={"seed": 0}, claims=list(claims), errors=list(errors))


@pytest.fixture
def audit(monkeypatch, tmp_path, capsys):
    """Run `dynamem audit` in an empty folder, on an audit that computes nothing."""
    monkeypatch.chdir(tmp_path)
    asked = []

    def run(*args, found=None):
        def run_audit(options, progress):
            asked.append(options)
            progress("part", 0, 1)
            if isinstance(found, BaseException):
                raise found
            return found or an_audit(a_row())

        monkeypatch.setattr(catalog, "run_audit", run_audit)
        code = main(["audit", *args])
        out, err = capsys.readouterr()
        return SimpleNamespace(code=code, out=out, err=err, options=asked[-1] if asked else None)

    return run


def files():
    return sorted(str(path) for path in Path().rglob("*"))


BAD_USAGE = {
    "no command": ([], "COMMAND"),
    "unknown command": (["audti"], "audti"),
    "unknown option": (["audit", "--sede", "1"], "--sede"),
    "abbreviated option": (["audit", "--verb"], "--verb"),
    "states of zero": (["audit", "--states", "0"], "states=0"),
    "negative states": (["audit", "--states", "-3"], "states=-3"),
    "states that are no integer": (["audit", "--states", "2.5"], "2.5"),
    "more states than memory": (["audit", "--states", "1000000000000000"], "available; give fewer states"),
    "data without a name": (["audit", "--data", ""], "data='' names no file"),
    "weights without a name": (["audit", "--weights", ""], "weights='' names no file"),
    "system without its dynamics": (["audit", "--system", "ve"], "'probability_flow/VE' or 'reverse_sde/VE'?"),
    "negative seed": (["audit", "--seed", "-1"], "seed=-1"),
    "seed of too many bits": (["audit", "--seed", str(2**63)], "seed="),
    "unknown expectation": (["audit", "--expect", "certain"], "certain"),
    "misspelt system": (["audit", "--system", "probability_flow/VQ"], "'probability_flow/VP'"),
    "unlike any system": (["audit", "--system", "zzzzzz"], "dynamem list"),
    "unlike any problem": (["compare", "zzzzzz"], "problem='zzzzzz' is unknown; there are memory, memory_stiff"),
    "misspelt problem": (["compare", "flow_digit"], "problem='flow_digit' is unknown; did you mean 'flow_digits'"),
    "expression for a system": (["audit", "--system", "os:system('true')"], "module:attribute"),
    "no attribute": (["audit", "--system", "json:"], "module:attribute"),
    "no such module": (["audit", "--system", "no_such_module:memory"], "no_such_module"),
    "no such attribute": (["audit", "--system", "json:none"], "module 'json' has no attribute 'none'; give"),
    "no system": (["audit", "--system", "json:dumps"], "'dumps' is of type function; it must be a dynamem.System"),
    "module that raises": (["audit", "--system", "raises:memory"], "ZeroDivisionError"),
    "module that exits": (["audit", "--system", "leaves:memory"], "SystemExit"),
    "output without a name": (["audit", "--json", ""], "json=''"),
    "output named -": (["audit", "--json", "-"], "json='-'"),
    "output that is a folder": (["audit", "--json", "."], "folder"),
    "output that ends like a folder": (["audit", "--html", "new/"], "folder"),
    "output below a file": (["audit", "--json", "raises.py/a.json"], "raises.py"),
    "output in a folder that takes none": (["audit", "--json", "/proc/a.json"], "/proc/a.json"),
    "output with too long a name": (["audit", "--json", "a" * 300], "cannot be written"),
    "output with a null character": (["audit", "--json", "a\0b"], "cannot be written"),
    "two outputs in one file": (["audit", "--json", "a", "--html", "./a"], "same file as json"),
    "output over the data": (["audit", "--data", "xi.csv", "--json", "xi.csv"], "same file as data"),
}


@pytest.mark.parametrize(("args", "says"), BAD_USAGE.values(), ids=BAD_USAGE)
def test_bad_usage_is_one_line_and_writes_nothing(monkeypatch, tmp_path, capsys, args, says):
    def run_audit(*_):
        pytest.fail("the computation started")

    monkeypatch.setattr(catalog, "run_audit", run_audit)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.chdir(tmp_path)
    Path("raises.py").write_text("1 / 0\n")
    Path("leaves.py").write_text("raise SystemExit(0)\n")
    Path("xi.csv").write_text("0,1\n1,0\n")
    before = files()
    assert main(args) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("dynamem: error: ")
    assert err.count("\n") == 1
    assert says in err
    assert files() == before


def test_write_protected_output_is_refused(monkeypatch, tmp_path):
    path = tmp_path / "a.json"
    path.write_text("old")
    monkeypatch.setattr(os, "access", lambda *_: False)  # root may write to any file
    with pytest.raises(InputError, match="write-protected"):
        check("json", str(path))


def test_errors_are_one_tree():
    assert issubclass(InputError, DynamemError)
    assert issubclass(InputError, ValueError)


def test_help_and_list_import_nothing_heavy():
    heavy = {"jax", "numpy", "rich", "scipy", "sklearn", "matplotlib", "diffrax", "equinox", "jinja2"}
    asked = [["--help"], ["audit", "--help"], ["compare", "--help"], ["list", "--help"], ["list"], ["--version"]]
    script = (
        "import sys; from dynamem.cli import main\n"
        f"codes = [main(a) for a in {asked!r}]\n"
        f"sys.stderr.write(repr((codes, sorted({heavy!r} & set(sys.modules)))))"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stderr == "([0, 0, 0, 0, 0, 0], [])"


def test_module_is_a_command():
    done = subprocess.run(
        [sys.executable, "-m", "dynamem", "audit", "--states", "x"], cwd=ROOT, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("dynamem: error: ")


def test_a_reader_that_leaves_is_no_error():
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "dynamem", "list"], cwd=ROOT, stdout=writing, stderr=subprocess.PIPE, text=True
        )
    finally:
        os.close(writing)
    assert (done.returncode, done.stderr) == (0, "")


def test_list_names_everything_the_audit_knows(capsys):
    assert main(["list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    listed = {line.split()[0]: line for line in lines if line.startswith("  ") and line.strip()}
    for name in (*system_names(), *SCHEDULES, *ENERGIES, *SOLVERS):
        assert len(listed[name].split()) > 2, name  # with a description
    assert max(map(len, lines)) <= WIDTH


def test_options_reach_the_audit(audit):
    done = audit("--seed", "7", "--states", "3", "--quick", "--system", "log_sum_exp", "reverse_sde/VP")
    assert done.code == 0
    assert (done.options.seed, done.options.states, done.options.quick) == (7, 3, True)
    assert done.options.systems == ("log_sum_exp", "reverse_sde/VP")
    assert done.options.data.patterns.shape == (1797, 64)
    assert done.options.data.image_shape == (8, 8)


def test_without_options_all_systems_run_and_standard_error_is_silent(audit):
    done = audit()
    assert (done.code, done.options.systems, done.err) == (0, (), "")
    assert audit("--quick").options.states < done.options.states


def test_verbose_tells_progress_in_lines(audit):
    assert audit("--verbose").err == "dynamem: 0/1 part\n"


def test_a_terminal_gets_a_bar(monkeypatch, capsys):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    with _progress.progress(verbose=False) as report:
        report("[part]", 1, 2)
    assert capsys.readouterr().out == ""


OWN = """
import jax.numpy as jnp
import dynamem as dm
energy = dm.LogSumExp(jnp.eye(2), 4.0)
memory = dm.System(energy, dm.GradientFlow(energy), jnp.ones((1, 2)), 0.0, 1.0)
"""


def test_a_system_of_ones_own_comes_from_the_working_folder(audit, tmp_path):
    (tmp_path / "my_models_for_this_test.py").write_text(OWN)
    path = list(sys.path)
    done = audit("--system", "my_models_for_this_test:memory")
    assert (done.code, done.options.systems) == (0, ("my_models_for_this_test:memory",))
    assert sys.path == path


EXPECTED = [
    # verdicts, --expect, exit code
    ("broken failed undecided", None, 0),
    ("holds certified proved", "holds", 0),
    ("certified proved", "certified", 0),
    ("proved proved", "proved", 0),
    ("holds proved", "certified", 1),
    ("certified", "proved", 1),
    ("holds", "proved", 1),
    ("holds broken", "holds", 1),
    ("broken undecided", "holds", 1),
    ("holds undecided", "certified", 1),
    ("holds undecided", "holds", 3),
    ("proved undecided", "proved", 3),
    ("undecided", "holds", 3),
    ("failed holds", "holds", 4),
    ("failed broken undecided", "holds", 4),
    ("failed", "proved", 4),
    ("holds surely", "holds", 4),
    ("", "holds", 4),
]


@pytest.mark.parametrize(("verdicts", "expected", "code"), EXPECTED)
def test_exit_code(verdicts, expected, code):
    assert exit_code(verdicts.split(), expected) == code
    assert exit_code(reversed(verdicts.split()), expected) == code


@pytest.mark.parametrize(("verdict", "code"), [("holds", 0), ("broken", 1), ("undecided", 3), ("failed", 4)])
def test_expectations_reach_the_exit_code(audit, verdict, code):
    found = an_audit(a_row(), a_row(verdict, energy="own"))
    assert audit("--expect", "holds", found=found).code == code
    assert audit(found=found).code == 0


def test_interrupt_is_130_and_leaves_no_file(audit):
    done = audit("--json", "new/a.json", "--html", "a.html", found=KeyboardInterrupt())
    assert (done.code, done.out, done.err) == (130, "", "dynamem: interrupted\n")
    assert files() == []


def test_a_defect_is_no_verdict(audit):
    done = audit("--json", "a.json", found=RuntimeError("two\nlines"))
    assert done.code == 70
    assert "Traceback" in done.err
    assert done.err.endswith("dynamem: defect: RuntimeError: two lines; please report it\n")
    assert files() == []


def test_json_and_html_are_written(audit, monkeypatch):
    monkeypatch.setattr("dynamem.report.write_html", lambda _, path: path.write_text("<p>"), raising=False)
    done = audit("--json", "out put/a.json", "--html", "out put/a.html")
    assert done.code == 0
    assert files() == ["out put", "out put/a.html", "out put/a.json"]
    document = json.loads(Path("out put/a.json").read_text())
    assert document == {"schema": "dynamem.audit/1", "environment": {"seed": 0}, "claims": [], "rows": [a_row()]}
    assert Path("out put/a.html").read_text() == "<p>"


def test_a_broken_report_loses_neither_table_nor_json(audit, monkeypatch):
    def write_html(_, path):
        path.write_text("<p")
        raise ZeroDivisionError

    monkeypatch.setattr("dynamem.report.write_html", write_html, raising=False)
    done = audit("--json", "a.json", "--html", "a.html")
    assert done.code == 70
    assert "holds" in done.out
    assert files() == ["a.json"]


def test_what_could_not_be_written_was_printed(audit):
    done = audit("--json", "/dev/full")
    assert done.code == 2
    assert "1 rows: 1 holds" in done.out
    assert "json='/dev/full' cannot be written" in done.err


def test_json_has_the_claims():
    claim = Claim("D4", "V falls.", "agrees", "0 rises")
    assert json.loads(audit_text({}, [], [claim]))["claims"] == [dataclasses.asdict(claim)]


def test_a_part_that_raised_is_told_about(audit):
    done = audit(found=an_audit(a_row("failed"), errors=["reverse_sde/VP failed: ValueError: two\nlines (a.py:3)"]))
    assert done.code == 0
    assert done.err == "dynamem: note: reverse_sde/VP failed: ValueError: two lines (a.py:3)\n"


def test_json_has_null_for_what_json_lacks():
    found = {"a": float("nan"), "b": [np.inf, np.float64(1.5)], "c": np.array([[1.0, np.nan]]), "d": np.int64(3)}
    text = audit_text({"x": -np.inf}, [found | {"e": np.bool_(True), "f": None, "g": (True, "NaN")}])
    assert json.loads(text, parse_constant=pytest.fail) == {
        "schema": "dynamem.audit/1",
        "environment": {"x": None},
        "claims": [],
        "rows": [{"a": None, "b": [None, 1.5], "c": [[1.0, None]], "d": 3, "e": True, "f": None, "g": [True, "NaN"]}],
    }


@pytest.mark.parametrize("error", [KeyboardInterrupt, ZeroDivisionError, OSError])
def test_a_file_half_written_is_never_seen(tmp_path, error):
    path = tmp_path / "a.json"
    path.write_text("old")
    with pytest.raises(InputError if error is OSError else error), staged("json", path) as draft:  # noqa: PT012
        draft.write_text("ne")
        assert path.read_text() == "old"
        raise error
    assert [file.name for file in tmp_path.iterdir()] == ["a.json"]
    assert path.read_text() == "old"


def test_a_written_file_keeps_its_rights_and_its_link(tmp_path):
    path, link = tmp_path / "a.json", tmp_path / "link"
    path.write_text("old")
    path.chmod(0o640)
    link.symlink_to(path)
    with staged("json", check("json", str(link))) as draft:
        draft.write_text("new")
    assert link.is_symlink()
    assert path.read_text() == "new"
    assert path.stat().st_mode & 0o777 == 0o640


def test_a_device_is_written_to_and_not_replaced():
    with staged("json", check("json", os.devnull)) as draft:
        draft.write_text("gone")
    assert Path(os.devnull).is_char_device()


FIELDS = {
    *("system", "dynamics", "schedule", "solver", "steps", "clock", "energy", "statement", "verdict", "reason"),
    *("tolerance", "theorem", "states", "rises", "rise_fraction", "largest_rise", "first_rise", "witness"),
    *("attribution", "seconds"),
}


@pytest.mark.long
def test_an_audit_from_end_to_end(tmp_path):
    np.save(tmp_path / "xi.npy", np.eye(3))
    args = ["--data", "xi.npy", "--system", "log_sum_exp", "--states", "2", "--quick", "--expect", "holds"]
    args += ["--json", "a.json", "--html", "a.html"]
    env = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
    done = subprocess.run(
        [sys.executable, "-m", "dynamem", "audit", *args], cwd=tmp_path, env=env, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "log_sum_exp" in done.stdout
    document = json.loads((tmp_path / "a.json").read_text(), parse_constant=pytest.fail)
    assert document["schema"] == "dynamem.audit/1"
    assert all(set(found) == FIELDS and found["verdict"] == "holds" for found in document["rows"])
    assert (tmp_path / "a.html").read_text().startswith("<!")
