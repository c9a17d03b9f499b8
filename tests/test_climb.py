"""Rows of an audit climb to `proved` only where a proved theorem covers them, and a rise there is a contradiction."""

import dataclasses

import numpy as np
import pytest

from dynamem.catalog import AuditOptions, DataSet, _diffusion, _systems, run_audit
from dynamem.catalog._climb import COVERED, climb, is_covered, theorems_of
from dynamem.catalog._rows import row
from dynamem.theorems import Outcome


SCHEDULES = ("VP", "SubVP", "VE", "Cosine", "EDM", "FlowMatching")
CELLS = [
    *(
        one
        for dynamics in ("probability_flow", "reverse_sde")
        for name in SCHEDULES
        for one in _diffusion.planned(dynamics, name)
    ),
    *(one for name in ("log_sum_exp", "dense_memory", "hopfield_1984") for one in _systems.planned(name, None)),
]
PROVED = {name: Outcome(name, "a title", "proved", "all", "1 symbolic", 0.0) for name in {cell[0] for cell in COVERED}}


def made(verdict, **cell):
    return [row(**one, verdict=verdict, reason="why", largest_rise=1.0) for one in CELLS if cell.items() <= one.items()]


def test_what_is_covered():
    found = {
        (one["theorem"], one["schedule"], one["energy"], one["solver"], one["statement"])
        for one in CELLS
        if is_covered(one)
    }
    for name in SCHEDULES:
        assert ("D4", name, "free", None, "rate") in found
        assert ("D7", name, "free", "DDIM", "pathwise") in found
        assert ("D13", name, "free", "DPMSolver2S", "pathwise") in found
        affine = name in ("EDM", "FlowMatching")
        assert (("D7", name, "free", "Euler", "pathwise") in found) is affine
        assert (("D8", name, "density", None, "rate") in found) is (name == "VE")
    assert {one[3] for one in found} == {None, "DDIM", "DPMSolver2S", "Euler", "DDPM"}, (
        "no adaptive solver, no Heun, no Euler-Maruyama"
    )
    assert not {one[2] for one in found} & {"hopfield", "frozen", "density_canonical"}
    assert not [
        one for one in CELLS if is_covered(one) and one["energy"] == "free" and one["dynamics"] == "reverse_sde"
    ]
    assert not [
        one for one in CELLS if is_covered(one) and one["statement"] == "pathwise" and one["dynamics"] == "reverse_sde"
    ]


def test_only_what_holds_climbs():
    for verdict in ("failed", "undecided", "broken"):
        rows = made(verdict)
        climb(rows, PROVED)
        assert {one["verdict"] for one in rows} == {verdict}
    rows = made("holds")
    assert climb(rows, PROVED) == []
    assert all((one["verdict"] == "proved") is is_covered(one) for one in rows)


def test_a_theorem_that_is_not_proved_lifts_nothing_and_says_so():
    unproved = {name: dataclasses.replace(one, status="undecided", reason="open") for name, one in PROVED.items()}
    rows = made("holds")
    told = climb(rows, unproved)
    assert {one["verdict"] for one in rows} == {"holds"}
    assert len(told) == len(PROVED)


def test_a_rise_against_a_proof_is_told():
    rows = made("broken", energy="free", solver="DDIM", schedule="VP")
    told = climb(rows, PROVED)
    assert len(told) == len(rows) == 2
    assert all("CONTRADICTION of D7" in text for text in told)


@pytest.mark.parametrize("steps", [3, 2])
def test_a_step_beyond_two_is_not_covered(steps):
    cell = next(one for one in CELLS if one["theorem"] == "A5" and one["solver"] == "Euler")
    assert is_covered(cell)
    assert not is_covered(cell | {"steps": steps})


@pytest.mark.long
def test_an_audit_that_proves():
    patterns = 2.0 * np.random.default_rng(5).normal(size=(5, 3))
    chosen = AuditOptions(DataSet("five", patterns), states=4, quick=True, systems=("log_sum_exp",), prove=True)
    audit = run_audit(chosen, lambda *_: None)
    assert audit.errors == []
    assert theorems_of(audit.rows) == ["A5"]
    for one in audit.rows:
        assert (one["verdict"] == "proved") is (one["solver"] == "Euler"), one
    assert all("by A5" in one["reason"] for one in audit.rows if one["verdict"] == "proved")
