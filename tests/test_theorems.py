"""Dynamem's theorems, each proved and each caught when moved, and the collector."""

import json
import os
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest

from dynamem.cli import main as dynamem_command
from dynamem.theorems import STOPPED, collect, own_folder, prove, prove_named


ROOT = Path(__file__).resolve().parents[1]
NAMES = [f"A{k}" for k in range(1, 11)] + [f"D{k}" for k in range(1, 21)] + ["L1", "L2"]
QUICK = ["A1", "A6", "D6", "D11", "D12", "D17", "D18", "D20", "L1", "L2"]
LIBRARY = {one.name: one for one in collect([ROOT / "proofs"])}


# ------------------------------------------------------------- dynamem's theorems


def test_every_statement_has_its_file():
    assert sorted(LIBRARY) == sorted(NAMES)
    assert own_folder() == ROOT / "proofs"
    files = [file for file in (ROOT / "proofs").glob("*.py") if not file.name.startswith("_")]
    assert len(files) == len(NAMES)
    for name, one in LIBRARY.items():
        assert one.file.stem.lower().startswith(name.lower() if name[0] != "D" else f"d{int(name[1:]):02d}")
        assert "\nmain = " in one.file.read_text()
        assert one.theorem.constants, "a statement without a constant cannot be mutated"


def moved(one):
    """Outcomes of the theorem with each of its constants moved by one."""
    return {name: one.theorem.prove(**{name: value + 1}) for name, value in one.theorem.constants.items()}


@pytest.mark.parametrize("name", QUICK)
def test_quick_theorems_are_proved_and_others_like_them_are_not(name):
    outcome = LIBRARY[name].prove()
    assert outcome.status == "proved", outcome.reason
    assert {other: made.status for other, made in moved(LIBRARY[name]).items() if made.status == "proved"} == {}


@pytest.mark.long
def test_the_command_proves_all_of_them(tmp_path):
    """In less than five minutes, or of its own time if there is company."""
    file, start, own = tmp_path / "p.json", time.monotonic(), time.process_time()
    code = dynamem_command(["prove", "--json", str(file)])
    rows = json.loads(file.read_text())["theorems"]
    assert {row["name"]: row["reason"] for row in rows if row["status"] != "proved"} == {}
    assert sorted(row["name"] for row in rows) == sorted(NAMES)
    assert code == 0
    assert min(time.monotonic() - start, time.process_time() - own) < 300


@pytest.mark.long
@pytest.mark.parametrize("name", NAMES)
def test_others_like_a_theorem_are_not_proved(name):
    assert {other: made.status for other, made in moved(LIBRARY[name]).items() if made.status == "proved"} == {}


def test_the_wheel_carries_the_theorems(tmp_path):
    """Installed, without the repository beside it, `own_folder` finds the folder inside the package."""
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    with zipfile.ZipFile(next(tmp_path.glob("*.whl"))) as wheel:
        wheel.extractall(tmp_path / "site")
    code = "from dynamem.theorems import own, own_folder; print(own_folder(), own()['L1'].name)"
    env = os.environ | {"PYTHONPATH": str(tmp_path / "site")}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=env, check=True, capture_output=True, text=True
    )
    assert done.stdout.split() == [str(tmp_path / "site" / "dynamem" / "theorems" / "library"), "L1"]


# ----------------------------------------------------------------- the collector


HEAD = "from dynamem.theorems import symbols, theorem\nx = symbols('x')\n"
GOOD = HEAD + "@theorem('{name}', 'a title', domain='all x')\ndef argue(proof, *, one=1):\n    {body}\n"


def write(folder, **files):
    for name, body in files.items():
        (folder / f"{name}.py").write_text(GOOD.format(name=name.upper(), body=body))
    return folder


def command(folder, *options):
    file = folder / "out.json"
    code = dynamem_command(["prove", str(folder), "--json", str(file), *options])
    return code, json.loads(file.read_text())["theorems"] if file.exists() else []


def test_a_folder_of_ones_own(tmp_path, capsys):
    write(tmp_path, t1="proof.zero('z', x - x)", t2="proof.zero('z', x - one * x)")
    code, rows = command(tmp_path)
    assert code == 0
    assert [row["name"] for row in rows] == ["T1", "T2"]
    fields = {"name", "title", "status", "domain", "method", "seconds", "reason", "evidence"}
    assert all(set(row) == fields for row in rows)
    assert "2 theorems: 2 proved" in capsys.readouterr().out


def test_a_file_that_fails_leaves_the_rest(tmp_path):
    write(tmp_path, a="proof.zero('z', x - x)", z="proof.zero('z', x)")
    for name, text in {"b": "1/0\n", "c": "import no_such_module\n", "d": "x = 1\n", "e": "def (\n"}.items():
        (tmp_path / f"{name}.py").write_text(text)
    (tmp_path / "f.py").write_text("import sys\nsys.exit(3)\n")
    (tmp_path / "g.py").write_text("raise BaseException('bare')\n")
    write(tmp_path, h="raise BaseException('bare')")
    (tmp_path / "i.py").write_text("class Mute(BaseException):\n    def __str__(self):\n        1 / 0\nraise Mute\n")
    (tmp_path / "_helper.py").write_text("1/0\n")
    code, rows = command(tmp_path)
    assert code == 1
    assert {row["name"]: row["status"] for row in rows} == {"A": "proved"} | dict.fromkeys("bcdefgHiZ", "failed")
    reasons = {row["name"]: row["reason"] for row in rows}
    assert "ZeroDivisionError" in reasons["b"]
    assert "no_such_module" in reasons["c"]
    assert "no theorem" in reasons["d"]
    assert "SyntaxError" in reasons["e"]
    assert reasons["g"] == reasons["H"] == "BaseException: bare"
    assert "Mute" in reasons["i"]


def test_neighbours_are_imported_from_their_own_folder(tmp_path):
    for name, value in (("one", 1), ("two", 2)):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "_number.py").write_text(f"NUMBER = {value}\n")
        body = f"proof.holds('n', NUMBER == {value}); proof.zero('z', x - x)"
        (folder / "t.py").write_text("from _number import NUMBER\n" + GOOD.format(name="T", body=body))
    assert dynamem_command(["prove", str(tmp_path / "one"), str(tmp_path / "two")]) == 0


def test_selection_by_words(tmp_path, capsys):
    write(tmp_path, t1="proof.zero('z', x - x)", t2="proof.zero('z', x)", t3="proof.zero('z', x - x)")
    assert [row["name"] for row in command(tmp_path, "-k", "t1 or t3")[1]] == ["T1", "T3"]
    assert [row["name"] for row in command(tmp_path, "-k", "title and not t2")[1]] == ["T1", "T3"]
    for text in ("nothing", "t1 t2", "and", "t1 or", "not"):
        assert dynamem_command(["prove", str(tmp_path), "-k", text]) == 2
    assert capsys.readouterr().err.count("dynamem: error: -k") == 5


@pytest.mark.parametrize("place", ["missing", "file.txt", "empty"])
def test_a_place_without_files_is_a_usage_error(tmp_path, place, capsys):
    (tmp_path / "empty").mkdir()
    (tmp_path / "file.txt").write_text("")
    assert dynamem_command(["prove", str(tmp_path / place)]) == 2
    assert place in capsys.readouterr().err


def test_hostile_text_is_text(tmp_path):
    name = "__import__('os').abort()"
    (tmp_path / "t.py").write_text(
        HEAD.replace("'x'", repr(name)) + f"@theorem({name!r}, {name!r}, domain={name!r})\n"
        "def argue(proof, *, one=1):\n    proof.zero('z', x - one * x)\n"
    )
    code, rows = command(tmp_path)
    assert (code, rows[0]["name"], rows[0]["status"]) == (0, name, "proved")


def test_ctrl_c_keeps_what_is_decided(tmp_path):
    write(tmp_path, t1="proof.zero('z', x - x)", t2="raise KeyboardInterrupt", t3="proof.zero('z', x - x)")
    code, rows = command(tmp_path)
    assert code == 130
    assert [row["status"] for row in rows] == ["proved", "undecided", "undecided"]
    assert rows[2]["reason"] == STOPPED


def test_a_timeout_keeps_what_is_decided(tmp_path):
    write(tmp_path, t1="proof.zero('z', x - x)", t2="import time; time.sleep(30)", t3="proof.zero('z', x - x)")
    start = time.monotonic()
    code, rows = command(tmp_path, "--timeout", "1")
    assert code == 1
    assert [row["status"] for row in rows] == ["proved", "undecided", "undecided"]
    assert time.monotonic() - start < 10
    assert dynamem_command(["prove", str(tmp_path), "--timeout", "-1"]) == 2


def test_what_rests_on_an_unproved_theorem_is_undecided(tmp_path):
    cites = "proof.cites('{}'); proof.zero('z', x - x)"
    write(tmp_path, a=cites.format("B"), b=cites.format("C"), c="proof.zero('z', x)", d="proof.zero('z', x - x)")
    outcomes = prove(collect([tmp_path]))
    assert [one.status for one in outcomes] == ["undecided", "undecided", "failed", "proved"]
    assert outcomes[1].reason == "rests on C, which is failed"


def test_what_is_cited_is_proved_with_it(tmp_path):
    """Beside the chosen one in the same folder first, then among dynamem's own; a name of both is the folder's."""
    cites = "proof.cites('{}'); proof.zero('z', x - x)"
    write(tmp_path, a=cites.format("B"), b=cites.format("L1"), c="proof.zero('z', x)")
    assert [row["name"] for row in command(tmp_path, "-k", "b")[1]] == ["B", "L1"]
    write(tmp_path, l1="proof.zero('z', x)")
    code, rows = command(tmp_path, "-k", "b")
    assert (code, [(row["name"], row["status"]) for row in rows]) == (1, [("B", "undecided"), ("L1", "failed")])
    assert rows[0]["reason"] == "rests on L1, which is failed"


def test_named_theorems_come_with_what_they_cite():
    assert {name: one.status for name, one in prove_named(["D12", "NONE_SUCH"]).items()} == dict.fromkeys(
        ["D12", "D11", "L1"], "proved"
    )


@pytest.mark.parametrize(("cited", "why"), [("NONE_SUCH", "none of dynamem's"), ("A", "itself"), ("B", "itself")])
def test_what_rests_on_nothing_or_on_itself_is_undecided(tmp_path, cited, why):
    write(tmp_path, a=f"proof.cites('{cited}'); proof.zero('z', x - x)", b="proof.cites('A'); proof.zero('z', x - x)")
    outcomes = prove(collect([tmp_path]))
    assert [one.status for one in outcomes] == ["undecided", "undecided"]
    assert why in outcomes[0].reason


def test_the_librarys_theorems_that_one_cites_are_proved_with_it(tmp_path):
    write(tmp_path, a="proof.cites('L1'); proof.zero('z', x - x)")
    reported = []
    outcomes = prove(collect([tmp_path]), reported.append)
    assert [(one.name, one.status) for one in outcomes] == [("A", "proved"), ("L1", "proved")]
    assert [one.name for one in reported] == ["A", "L1"]
