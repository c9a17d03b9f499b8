"""The table of an audit: it fits, shows every row, and says what needs attention."""

import sys
from types import SimpleNamespace

import pytest

from dynamem.catalog._names import DYNAMICS, ENERGIES, SCHEDULES, SOLVERS
from dynamem.catalog._rows import row
from dynamem.cli._table import WIDTH, audit_table, mark


def a_row(verdict="holds", **found):
    fields = {"system": "s", "dynamics": "probability_flow", "schedule": "VP", "solver": "DDIM", "steps": 10}
    fields |= {"clock": "lam", "energy": "free", "statement": "pathwise", "reason": "because", "states": 2}
    return row(**(fields | {"verdict": verdict} | found))


def full_matrix(verdict, share):
    """Wider than any audit: every energy under every solver and statement of every dynamics."""
    solvers = [("Tsit5", None), *((solver, steps) for solver in SOLVERS for steps in (10, 50)), (None, None)]
    return [
        a_row(verdict, rise_fraction=share, dynamics=dynamics, schedule=schedule, system=f"{dynamics}/{schedule}",
              solver=solver, steps=steps, energy=energy, statement=statement if solver else "rate")
        for dynamics in ("gradient", *DYNAMICS) for statement in ("pathwise", "mean") for schedule in SCHEDULES[-2:]
        for solver, steps in solvers for energy in ENERGIES
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("verdict", "share"), [("broken", 1.0), ("broken", 0.999), ("undecided", None), ("failed", None)]
)
def test_the_table_fits(verdict, share):
    rows = full_matrix(verdict, share)
    rows.append(a_row("failed", schedule=None, system="my.long.package.of.models:with_a_long_attribute", energy="own",
                      reason="a long reason " * 20))  # fmt: skip
    text = audit_table(rows)
    assert max(map(len, text.splitlines())) <= WIDTH
    assert text.isascii()
    assert "\x1b" not in text
    assert all(f"{solver} 50" in text for solver in SOLVERS)


def test_every_row_has_its_cell():
    share = {"probability_flow": 0.11, "reverse_sde": 0.22, "gradient": 0.33}
    rows = [found | {"rise_fraction": share[found["dynamics"]]} for found in full_matrix("broken", None)]
    rows = [found for found in rows if found["solver"]]
    text = audit_table(rows)
    for percent in (11, 22, 33):
        assert text.count(f"broken {percent}%") == len(rows) / 3
    assert f"{len(rows)} rows: {len(rows)} broken" in text


def test_of_rows_in_one_cell_the_worst_is_shown():
    text = audit_table([a_row("holds"), a_row("broken", rise_fraction=0.5, clock="tau")])
    assert "  DDIM 10  broken 50%\n" in text
    assert "2 rows: 1 broken, 1 holds" in text


def test_the_table_tells_what_needs_attention():
    broken = a_row("broken", rise_fraction=0.5, theorem="D7", reason="5 of 10 steps rise")
    allowed = a_row("broken", rise_fraction=0.5, theorem="D2", energy="density", reason="as it should")
    failed = [a_row("failed", steps=n, reason=f"NaN at [{n}]") for n in range(25)]
    text = audit_table([broken, allowed, *failed])
    assert "1 row contradict" in text
    assert "probability_flow VP DDIM 10, free (pathwise) [D7]: 5 of 10 steps rise" in text
    assert "as it should" not in text
    assert "25 rows failed" in text
    assert "NaN at [0]" in text
    assert "and 5 more" in text
    assert "Theory" not in text


CLAIMS = [
    SimpleNamespace(name="D7", statement="No step rises.", outcome="contradicted", measured="5 rises"),
    SimpleNamespace(name="D8 (VE)", statement="It falls.", outcome="agrees", measured="0 of 300 rise " * 8),
    SimpleNamespace(name="D2", statement="It rises.", outcome="not exercised", measured="0 of 0 rise"),
]


def test_every_claim_has_its_line():
    lines = audit_table([a_row()], CLAIMS).splitlines()
    start = lines.index("Theory: 1 of 3 statements agree, 1 contradicted, 1 not exercised")
    assert lines[start + 1 : start + 3] == [
        "  D7       contradicted   5 rises",
        "                          against: No step rises.",
    ]
    assert lines[start + 3].startswith("  D8 (VE)  agrees         0 of 300 rise 0 of 300")
    assert "  D2       not exercised  0 of 0 rise" in lines
    assert max(map(len, lines)) <= WIDTH


@pytest.mark.parametrize("columns", [60, 80, 200])
def test_a_narrow_terminal_gets_several_matrices(monkeypatch, columns):
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("TERM", "dumb")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    rows = [found for found in full_matrix("broken", 0.999) if found["solver"]]
    lines = audit_table(rows, CLAIMS).splitlines()
    assert max(map(len, lines)) <= columns
    assert sum(line.count("broken >99%") for line in lines) == len(rows)
    assert any(line.startswith("PredictorCorrector 10 broken") for line in lines)


def test_systems_of_ones_own_are_not_called_memories_only():
    noisy = a_row(dynamics="gradient", schedule=None, system="mine:sde", solver="EulerMaruyama", energy="own")
    text = audit_table([noisy, noisy | {"verdict": "failed", "statement": "mean"}])
    assert "Memories and systems of your own: no step raises the energy\n" in text
    assert "  mine:sde EulerMaruyama 10, own (mean): because" in text
    assert "gradient" not in text


@pytest.mark.parametrize(
    ("share", "cell"),
    [(0.12, "12%"), (0.004, "<1%"), (0.999, ">99%"), (1.0, "100%"), (None, ""), (float("nan"), "")],
)
def test_marks(share, cell):
    assert mark(a_row("broken", rise_fraction=share)) == f"broken {cell}".strip()
    assert mark(a_row("holds", rise_fraction=0.0)) == "holds"


def test_colours_only_on_a_terminal(monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert "\x1b" not in audit_table([a_row()])
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    assert "\x1b" in audit_table([a_row()])
