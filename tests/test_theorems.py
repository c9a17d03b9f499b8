"""Theorems: exact tests for zero, signs and their premises, proofs that can fail, and the collector."""

import contextlib
import json
import os
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
import sympy
from hypothesis import given
from hypothesis import strategies as st

from dynamem._errors import InputError
from dynamem.cli import main as dynamem_command
from dynamem.theorems import (
    STOPPED,
    Field,
    NotAlgebraicError,
    NotProvedError,
    Proof,
    Sign,
    Theorem,
    collect,
    divergence,
    library,
    log_gap,
    product,
    prove,
    prove_named,
    select,
    square,
    symbols,
    theorem,
    traced,
)


ROOT = Path(__file__).resolve().parents[1]
NAMES = [f"A{k}" for k in range(1, 9)] + [f"D{k}" for k in range(1, 19)] + ["L1", "L2"]
QUICK = ["A1", "A6", "D6", "D11", "D12", "D17", "D18", "L1", "L2"]
X, Y, P, Q = symbols("x"), symbols("y"), symbols("p", positive=True), symbols("q", positive=True)
LIBRARY = {one.name: one for one in collect([ROOT / "proofs"])}


# ------------------------------------------------------------ exact tests for zero


ZEROS = {
    "fractions": 1 / (X + Y) + 1 / (X - Y) - 2 * X / (X**2 - Y**2),
    "exponents add": sympy.exp(X + Y) - sympy.exp(X) * sympy.exp(Y),
    "exponents with a common part": sympy.exp(X / 2) * sympy.exp(X / 3) - sympy.exp(5 * X / 6),
    "exponents cancel": sympy.exp((X**2 - Y**2) / (X - Y)) - sympy.exp(X) * sympy.exp(Y),
    "logarithms of products": sympy.log(6 * P * Q) - sympy.log(2) - sympy.log(3) - sympy.log(P) - sympy.log(Q),
    "logarithms of sums": sympy.log(P**2 + P * Q) - sympy.log(P) - sympy.log(P + Q),
    "logarithms of exponentials": sympy.log(P * sympy.exp(X)) - X - sympy.log(P),
    "exponentials of logarithms": sympy.exp(X + 2 * sympy.log(P)) - P**2 * sympy.exp(X),
    "roots": 1 / (sympy.sqrt(P) + 1) - (sympy.sqrt(P) - 1) / (P - 1),
    "waves": sympy.sin(X) ** 4 - (1 - sympy.cos(X) ** 2) ** 2,
    "tanh": sympy.tanh(X) - (sympy.exp(X) - sympy.exp(-X)) / (sympy.exp(X) + sympy.exp(-X)),
    "any power": P**X - sympy.exp(X * sympy.log(P)),
    "tower": sympy.exp(sympy.exp(X) + sympy.exp(-X)) - sympy.exp(2 * sympy.cosh(X)),
    "open functions": sympy.Function("f")(X) * Y - Y * sympy.Function("f")(X),
}


@pytest.mark.parametrize("zero", ZEROS.values(), ids=ZEROS)
def test_what_is_zero_is_seen(zero):
    assert Field([zero]).is_zero(zero)


@pytest.mark.parametrize("zero", ZEROS.values(), ids=ZEROS)
@pytest.mark.parametrize("more", [sympy.Rational(1, 10**30), X, sympy.exp(Y)], ids=["tiny", "x", "exp"])
def test_what_is_not_zero_is_never_called_zero(zero, more):
    assert not Field([zero + more]).is_zero(zero + more)


def test_no_sign_is_assumed_where_none_is_known():
    """``log x^2 = 2 log x`` and ``exp log x = x`` need ``x > 0``; so does ``log(x y) = log x + log y``."""
    for wrong in (sympy.log(X * Y) - sympy.log(X) - sympy.log(Y), sympy.sqrt(X**2 + 0 * Y) - X):
        assert not Field([wrong]).is_zero(wrong)


TERMS = st.recursive(
    st.sampled_from([X, Y, P, sympy.Integer(2), sympy.Rational(-1, 3)]),
    lambda inner: st.one_of(
        st.builds(lambda a, b: a + b, inner, inner),
        st.builds(lambda a, b: a * b, inner, inner),
        st.builds(lambda a: sympy.exp(a), inner),
        st.builds(lambda a: 1 / (1 + a**2), inner),
        st.builds(lambda a: sympy.log(1 + sympy.exp(a)), inner),
    ),
    max_leaves=5,
)


@given(TERMS, TERMS)
def test_random_expressions_are_zero_only_if_their_numbers_are(left, right):
    at = {X: sympy.Rational(3, 7), Y: sympy.Rational(-5, 8), P: sympy.Rational(2, 3)}
    for e in (left - right, (left + right) ** 2 - left**2 - 2 * left * right - right**2, left * right - right * left):
        value = sympy.N(e.xreplace(at), 50)
        close = bool(abs(value) < 10**-30 * (1 + abs(sympy.N(left.xreplace(at)))))
        assert close or not Field([e]).is_zero(e)
    expanded = (left + right) ** 2 - (left**2 + 2 * left * right + right**2)
    assert Field([expanded]).is_zero(expanded)


def test_what_has_no_rule_is_refused_by_name():
    with pytest.raises(NotAlgebraicError, match="Piecewise"):
        Field([X]).is_zero(sympy.Piecewise((X, X > 0), (Y, True)))
    with pytest.raises(NotAlgebraicError, match="division"):
        Field([X]).is_zero(1 / (sympy.exp(X) * sympy.exp(-X) - sympy.cos(X) ** 2 - sympy.sin(X) ** 2))


# ------------------------------------------------------------------------- signs


W = np.array([P, Q], object) / (P + Q)
BAD_SIGNS = {
    "a factor of unknown sign": square([X], Y),
    "a product with one": product(P, X),
    "weights that do not sum to one": divergence([P, Q], W),
    "reference weights that do not": divergence(W, [P, Q]),
    "weights of unknown sign": divergence([X, 1 - X], W),
    "a gap at an argument of unknown sign": log_gap(X),
    "a rule of its own": Sign(product(P).rule._replace(positive=lambda v: ()), ((X,),), sympy.Integer(1)),
}


@pytest.mark.parametrize("bad", BAD_SIGNS.values(), ids=BAD_SIGNS)
def test_a_sign_without_its_premises_proves_nothing(bad):
    outcome = theorem("T", "t", domain="d")(lambda proof: proof.falls("s", -bad.expression, [bad])).prove()
    assert outcome.status == "undecided"


def test_signs_with_their_premises():
    for good in (square([X, Y], P), product(P, X**2), divergence(W, W[::-1], Q), log_gap(sympy.exp(X))):
        Proof().falls("s", -good.expression, [good])


def swallowed(proof):
    with contextlib.suppress(NotProvedError):
        proof.zero("a", X - Y)
    proof.zero("b", X - X)


def left(proof):
    proof.zero("z", X - X)
    raise SystemExit(0)


CLAIMS = {
    "zero of nothing": (lambda proof: proof.zero("z", *[]), "undecided"),
    "zero of an empty array": (lambda proof: proof.zero("z", np.zeros((0, 2), object)), "undecided"),
    "no numbers": (lambda proof: (proof.zero("z", X - X), proof.close("c", [], [])), "undecided"),
    "a text is no fact": (lambda proof: proof.holds("h", "False"), "failed"),
    "a step that fails is not forgotten": (swallowed, "failed"),
    "an exit is no success": (left, "failed"),
    "evidence is not forged": (lambda proof: (proof.zero("z", X - X), proof.steps.append(3)), "failed"),
    "a step's name is a text": (lambda proof: proof.zero(X, X - X), "failed"),
    "a cited name is a text": (lambda proof: (proof.zero("z", X - X), proof.cites(3)), "failed"),
    "bounds stand in the evidence": (lambda proof: traced(lambda z: z, X, within={X: (0.0, 1.0)}), "failed"),
    "not zero": (lambda proof: proof.zero("z", X - Y), "failed"),
    "rises": (lambda proof: proof.falls("f", X**2, [square([X])]), "failed"),
    "numbers differ": (lambda proof: proof.close("c", [1.0], [1.1]), "failed"),
    "NaN is close to nothing": (lambda proof: proof.close("c", [np.nan], [1.0]), "failed"),
    "NaN is below nothing": (lambda proof: proof.below("b", [np.nan]), "failed"),
    "a witness that is none": (lambda proof: proof.witness("w", 0.0), "failed"),
    "a witness that is NaN": (lambda proof: proof.witness("w", np.nan), "failed"),
    "a defect": (lambda proof: 1 / 0, "failed"),
    "numbers alone": (lambda proof: proof.close("c", [1.0], [1.0]), "undecided"),
    "nothing": (lambda proof: None, "undecided"),
    "a part that is open": (lambda proof: (proof.zero("z", X - X), proof.leaves_open("the rest")), "undecided"),
    "proved": (lambda proof: proof.zero("z", X - X), "proved"),
}


@pytest.mark.parametrize(("claim", "status"), CLAIMS.values(), ids=CLAIMS)
def test_statuses_are_honest(claim, status):
    outcome = theorem("T", "t", domain="d")(claim).prove()
    assert outcome.status == status
    assert bool(outcome.reason) is (status != "proved")


def test_what_is_traced_is_what_runs():
    x = symbols("x", 2)
    made = traced(lambda z: {"a": z @ z, "b": 2 * z}, x)
    assert made["a"] == x[0] ** 2 + x[1] ** 2
    assert list(made["b"]) == [2 * x[0], 2 * x[1]]


def test_a_region_is_named_with_the_method():
    def argue(proof):
        proof.zero("z", traced(lambda z: abs(z), P, within=proof.region({P: (0.5, 2.0)})) - P)

    assert theorem("T", "t", domain="d")(argue).prove().method == "1 symbolic, where p in [0.5, 2]"


@pytest.mark.parametrize("bad", [{"name": ""}, {"title": " "}, {"domain": ""}], ids=str)
def test_a_theorem_needs_its_texts(bad):
    texts = {"name": "T", "title": "t", "domain": "d"} | bad
    with pytest.raises(InputError, match=next(iter(bad))):
        theorem(texts["name"], texts["title"], domain=texts["domain"])(swallowed)
    with pytest.raises(InputError, match="argue"):
        Theorem("T", "t", "d", lambda: None)


# ------------------------------------------------------------- dynamem's theorems


def test_every_statement_has_its_file():
    assert sorted(LIBRARY) == sorted(NAMES)
    assert library() == ROOT / "proofs"
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
@pytest.mark.parametrize("name", NAMES)
def test_every_theorem_is_proved_and_others_like_it_are_not(name):
    outcome = LIBRARY[name].prove()
    assert outcome.status == "proved", outcome.reason
    assert {other: made.status for other, made in moved(LIBRARY[name]).items() if made.status == "proved"} == {}


@pytest.mark.long
def test_all_of_it_takes_less_than_five_minutes(tmp_path):
    start = time.monotonic()
    assert dynamem_command(["prove", "--json", str(tmp_path / "p.json")]) == 0
    assert time.monotonic() - start < 300
    rows = json.loads((tmp_path / "p.json").read_text())["theorems"]
    assert sorted(row["name"] for row in rows) == sorted(NAMES)
    assert {row["status"] for row in rows} == {"proved"}


def test_the_wheel_carries_the_theorems(tmp_path):
    """Installed, without the repository beside it, `library` finds the folder inside the package."""
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    with zipfile.ZipFile(next(tmp_path.glob("*.whl"))) as wheel:
        wheel.extractall(tmp_path / "site")
    code = "from dynamem.theorems import collect, library as l, select; print(l(), *(one.name for one in select(collect([l()]), 'l1')))"
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
    (tmp_path / "_helper.py").write_text("1/0\n")
    code, rows = command(tmp_path)
    assert code == 1
    assert {row["name"]: row["status"] for row in rows} == {"A": "proved"} | dict.fromkeys("bcdefgHZ", "failed")
    reasons = {row["name"]: row["reason"] for row in rows}
    assert "ZeroDivisionError" in reasons["b"]
    assert "no_such_module" in reasons["c"]
    assert "no theorem" in reasons["d"]
    assert "SyntaxError" in reasons["e"]
    assert reasons["g"] == reasons["H"] == "BaseException: bare"


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
