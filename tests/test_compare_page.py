"""The page and the tables of a comparison, from records that were made up; and the maps and runs that it draws."""

import dataclasses
import json
import sys
from html.parser import HTMLParser

import numpy as np
import pytest

import dynamem as dm
from dynamem.cli import main as dynamem_command
from dynamem.cli._compare import document, verdict_of
from dynamem.cli._ladders import compare_text
from dynamem.cli._table import WIDTH
from dynamem.comparison import (
    COUNTEREXAMPLES,
    Ascent,
    Comparison,
    Course,
    Curve,
    Order,
    Row,
    Setting,
    StepLimit,
    gallery,
    rise_map,
)
from dynamem.report import write_compare_html


CLEAN = Ascent(160, 0, 0.0, 0.0, None, 0, 0.0)
RISEN = Ascent(160, 3, 2e-3, 5e-3, 0.25, 1, 1e-9)


def a_row(method="Euler", steps=8, error=0.1, *, energies=None, **more):
    fields = {
        "problem": "flow <digits>", "method": method, "grid": "uniform", "steps": steps, "tolerance": None,
        "evaluations": 8.0, "accepted": 8.0, "rejected": 0.0, "seconds": 1e-3, "compile_seconds": 0.2, "error": error,
        "typical_error": error, "weak_error": None, "energies": {"free": CLEAN} if energies is None else energies,
        "recalled": 0.5, "status": "ok", "reason": "", "tags": ("explicit",),
    }  # fmt: skip
    return Row(**(fields | more))


def failed(**more):
    return a_row("Heun", error=None, evaluations=None, energies={}, status="failed", reason="not finite", **more)


def made_up():
    """Every kind of row, and a name that is markup."""
    rows = [a_row(), a_row(steps=16, error=0.02, energies={"free": RISEN}), failed(), a_row("<b>mine", error=1e-3)]
    adaptive = a_row("Tsit5", None, 1e-9, grid=None, tolerance=1e-8)
    values, rising = np.asarray([1.0, 0.5, 0.7, 0.1, 1e-3]), np.asarray([False, True, False, False])
    curve = Curve("flow <digits>", "Euler 8", "free", np.arange(5.0), values, rising)
    setting = Setting("flow <digits>", "a flow", ("diffusion",), ("free",), 16, 64, -2.0, 3.0, 1e-12)
    orders = [Order("flow <digits>", "Euler", "ode", 1.01, 0.9, 1.1, 1.0, 4)]
    limits = [StepLimit("flow <digits>", "Euler", "free", 2.0, float("inf"), 2.0, None)]
    return Comparison([setting], [*rows, adaptive], orders, limits, [curve], ["one failed"])


def test_the_text_has_a_line_for_each_method():
    lines = compare_text(made_up()).splitlines()
    assert max(map(len, lines)) <= WIDTH
    assert lines[0] == "flow <digits>: a flow, 16 states of 64 coordinates"
    euler = next(line for line in lines if line.startswith("Euler"))
    assert euler.split() == ["Euler", "8", "2.0e-02", "1.01", "+-0.11", "(1)", "3", "(2e-03)", ">=", "2", "(2)"]
    assert next(line for line in lines if line.startswith("Heun")).split() == ["Heun", "failed"]
    assert any("5 runs, 1 failed." in line for line in lines)


def test_the_text_counts_rises_in_mean_where_there_is_noise():
    noisy = a_row("SDE", energies={"free": dataclasses.replace(RISEN, mean_rises=0)})
    found = dataclasses.replace(made_up(), rows=[noisy], orders=[], limits=[])
    assert next(line for line in compare_text(found).splitlines() if line.startswith("SDE")).split()[-1] == "0"


def test_verdicts_of_rows():
    assert [verdict_of(row) for row in made_up().rows] == ["holds", "broken", "failed", "holds", "holds"]
    noisy = dataclasses.replace(RISEN, mean_rises=0)
    assert verdict_of(a_row(energies={"free": noisy})) == "holds"
    assert verdict_of(a_row(energies={"free": dataclasses.replace(noisy, mean_rises=2)})) == "broken"


class Parsed(HTMLParser):
    def __init__(self, text):
        HTMLParser.__init__(self)
        self.tags, self.alts = [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        if tag == "img":
            self.alts.append(dict(attrs)["alt"])


def test_the_page_is_whole_and_has_no_script(tmp_path):
    found, path = made_up(), tmp_path / "page.html"
    one = COUNTEREXAMPLES[0]
    course = Course(
        *(np.asarray(part) for part in ([0.0, 1.0, 2.0], [1.0, 0.5, 0.7], [1.0, 0.1, 0.2], [1.0, 1.0, 1.0]))
    )
    maps = [rise_map("EDM's <Heun>", dm.EDMHeun(), ratios=[0.1, 0.15, 0.5], noises=[0.1, 1.0], bound=0.2071)]
    write_compare_html(found, maps, [(one, course)], {"seed": 0}, path)
    text = path.read_text()
    page = Parsed(text)
    assert "script" not in page.tags
    assert "<b>mine" not in text
    assert "&lt;b&gt;mine" in text
    assert page.tags.count("section") == 7
    assert len(page.alts) == 4
    assert all(page.alts)
    assert "1 of them" in page.alts[0]
    assert "EDM's <Heun>: rises for ratios up to 0.15, of 6 cells 4 have one." in page.alts
    assert "one failed" in text
    write_compare_html(Comparison([], [], [], [], [], []), [], [], {}, path)
    assert "Nothing was run." in path.read_text()


def test_the_document_is_json():
    parsed = json.loads(json.dumps(document(made_up(), {"seed": 0}), allow_nan=False))
    assert parsed["schema"] == "dynamem.compare/1"
    assert set(parsed["rows"][0]) == {field.name for field in dataclasses.fields(Row)}
    assert parsed["rows"][1]["energies"]["free"]["rises"] == 3
    assert parsed["limits"][0]["unsafe"] is None
    assert parsed["curves"][0]["rising"] == [False, True, False, False]
    assert parsed["problems"][0]["energies"] == ["free"]


OWN = """
import dynamem as dm
import jax.numpy as jnp
well = lambda t, x: jnp.sum((x**2 - 1) ** 2) / 4
states = jnp.asarray([[0.3, -1.5], [1.2, 0.1]])
problem = dm.Problem("well", dm.GradientFlow(well), states, 0.0, 4.0, {"own": well}, title="two wells")
known = dm.Problem("known", dm.GradientFlow(well), states, 0.0, 4.0, {"own": well}, exact=jnp.sign(states))
"""


@pytest.fixture
def own(tmp_path, monkeypatch):
    """A module of a user, in the folder where the command runs."""
    (tmp_path / "own_wells.py").write_text(OWN)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "own_wells", raising=False)


def test_the_command_compares_a_problem_of_ones_own(own, tmp_path, capsys):
    ask = ["compare", "own_wells:problem", "--solver", "euler", "--tag", "explicit", "--steps", "8", "1", "16"]
    assert dynamem_command([*ask, "--json", "found.json"]) == 0
    told = capsys.readouterr().out.splitlines()
    assert told[0] == "well: two wells, 2 states of 2 coordinates"
    parsed = json.loads((tmp_path / "found.json").read_text())
    assert [(row["method"], row["steps"], row["evaluations"]) for row in parsed["rows"]] == [
        ("Euler", 1, 1.0), ("Euler", 8, 8.0), ("Euler", 16, 16.0)
    ]  # fmt: skip
    assert [row["energies"]["own"]["rises"] > 0 for row in parsed["rows"]] == [True, False, False]
    assert parsed["rows"][2]["error"] < parsed["rows"][1]["error"]
    limit = parsed["limits"][0]
    assert limit["safe"] < limit["witness"]["step"] == limit["unsafe"]
    assert parsed["environment"]["seed"] == 0


def test_the_command_expects_no_rise_and_no_failure(own, capsys):
    ask = ["own_wells:known", "--solver", "heun", "--expect", "holds", "--steps"]
    assert dynamem_command(["compare", *ask, "16"]) == 0
    assert dynamem_command(["compare", *ask, "1", "16"]) == 1


@pytest.mark.parametrize(
    ("ask", "told"),
    [
        (["nowhere"], "nowhere"),
        (["linear", "--steps", "0"], "steps=0"),
        (["linear", "--solver", "nobody"], "solver=['nobody']"),
        (["linear", "--states", "0"], "states=0"),
        (["linear", "--json", "."], "json"),
        (["own_wells:states"], "own_wells:states"),
    ],
)
def test_the_command_refuses(own, ask, told, capsys):
    assert dynamem_command(["compare", *ask]) == 2
    assert told in capsys.readouterr().err


def test_maps_find_no_rise_where_there_is_none_and_the_one_that_there_is():
    """D7; and D20: at low noise 2M rises just below 1/3, and no start of the grid does above."""
    ratios, noises = [0.05, 0.3, 0.34, 0.6], [0.05]
    assert not rise_map("DDIM", dm.DDIM(), ratios=ratios, noises=noises).rise.any()
    found = rise_map("2M", dm.DPMSolver2M(), ratios=ratios, noises=noises).rise[0] > 0
    assert found.tolist() == [True, True, False, False]


@pytest.mark.long
def test_every_exhibit_rises():
    for one, course in gallery():
        assert course.rises().max() > 1e-4, one.name
        assert len(course.values) == one.steps + 1
