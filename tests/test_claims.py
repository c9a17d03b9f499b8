"""The theory against the audit's numbers: what agrees, what contradicts, and what nothing could have decided."""

import copy
import dataclasses

import numpy as np
import pytest

from dynamem.catalog import AuditOptions, DataSet
from dynamem.catalog._audit import _Bench
from dynamem.catalog._audit_types import AGREES, CONTRADICTED, NOT_EXERCISED
from dynamem.catalog._claims import claims_of
from dynamem.catalog._figures import figures_of
from dynamem.catalog._ledger import NAMES


SPREAD = 2.0 * np.random.default_rng(5).normal(size=(5, 3))
SYSTEMS = ("probability_flow/VP", "reverse_sde/VE")


def swept(patterns):
    bench = _Bench(AuditOptions(DataSet("small", patterns), states=8, systems=SYSTEMS, quick=True), {}, lambda _: None)
    return [bench.part(name).sweep for name in SYSTEMS]


@pytest.fixture(scope="module")
def measured():
    return swept(SPREAD)


def outcomes(ode, sde):
    return {claim.name: claim.outcome for claim in claims_of([ode], [sde])}


def test_on_data_with_a_spread_everything_agrees(measured):
    found = outcomes(*measured)
    assert found.pop("D1") == NOT_EXERCISED  # one schedule has nothing to differ from
    assert found.pop("D14") != CONTRADICTED  # so few paths may leave it undecided
    assert set(found.values()) == {AGREES}, found
    assert len(found) == 10


@pytest.mark.parametrize(
    "patterns",
    [
        pytest.param(SPREAD[:1], id="one", marks=pytest.mark.long),
        pytest.param(np.repeat(SPREAD[:1], 5, axis=0), id="copies"),
    ],
)
def test_a_single_pattern_exercises_less_and_contradicts_nothing(patterns):
    found = outcomes(*swept(patterns))
    idle = {name for name, outcome in found.items() if outcome == NOT_EXERCISED}
    assert CONTRADICTED not in found.values(), found
    assert {"D1", "D2", "D3", "D6"} <= idle
    assert found["D4"] == found["D5"] == found["D7"] == found["D8"] == AGREES


@pytest.mark.parametrize("scale", [1e8, 1e120])
def test_values_too_large_for_the_noise_contradict_nothing(scale):
    found = outcomes(*swept(scale * SPREAD))
    assert CONTRADICTED not in found.values(), found
    assert found["D2"] == NOT_EXERCISED


def with_rates(sweep, kind, energy, change):
    """The sweep with another rate of one energy at every probed state."""
    probes = copy.deepcopy(sweep.probes)
    total = probes[kind][0].total
    total[..., NAMES.index(energy)] = change(total[..., NAMES.index(energy)])
    return dataclasses.replace(sweep, probes=probes)


WRONG = [
    # claim, dynamics, energy, what becomes of its rate
    ("D2", "ode", "density", np.negative),
    ("D3", "ode", "density_canonical", np.negative),
    ("D4", "ode", "free", np.negative),
    ("D4", "ode", "free", lambda rate: 1.001 * rate),
    ("D5", "ode", "hopfield", np.negative),
    ("D5", "ode", "hopfield", lambda rate: 1.001 * rate),
    ("D8", "sde", "free_churn", np.negative),
    ("D8", "sde", "free_churn", lambda rate: 1.001 * rate),
    ("D8 (V)", "sde", "free", np.negative),
    ("D8 (VE)", "sde", "density", np.negative),
]


@pytest.mark.parametrize(("claim", "kind", "energy", "change"), WRONG)
def test_numbers_against_a_claim_contradict_it(measured, claim, kind, energy, change):
    ode, sde = measured
    changed = (
        (with_rates(ode, kind, energy, change), sde) if kind == "ode" else (ode, with_rates(sde, kind, energy, change))
    )
    found = outcomes(*changed)
    assert [name for name, outcome in found.items() if outcome == CONTRADICTED] == [claim]


@pytest.mark.parametrize(
    ("claim", "kind", "energy"), sorted({(claim, kind, energy) for claim, kind, energy, _ in WRONG})
)
def test_undefined_rates_exercise_nothing(measured, claim, kind, energy):
    ode, sde = measured
    nan = lambda rate: np.full_like(rate, np.nan)  # noqa: E731
    changed = (with_rates(ode, kind, energy, nan), sde) if kind == "ode" else (ode, with_rates(sde, kind, energy, nan))
    assert outcomes(*changed)[claim] == NOT_EXERCISED


def with_rows(sweep, change, **where):
    rows = [row | change if where.items() <= row.items() else row for row in sweep.rows]
    return dataclasses.replace(sweep, rows=rows)


def test_rows_against_a_claim_contradict_it(measured):
    ode, sde = measured
    risen = {"verdict": "broken", "rises": 3, "largest_rise": 1.0, "tolerance": 0.0}
    real, error = ({"attribution": {"discretisation": part}} for part in (0.0, 1.0))
    steps = {"energy": "free", "solver": "Tsit5"}
    assert outcomes(with_rows(ode, risen | real, **steps), sde)["D4"] == CONTRADICTED
    assert outcomes(with_rows(ode, risen | error, **steps), sde)["D4"] == AGREES  # the solver's error, not the flow
    assert outcomes(with_rows(ode, risen, energy="free", solver="DDIM"), sde)["D7"] == CONTRADICTED
    mean = {"energy": "free_churn", "solver": "DDPM", "statement": "mean"}
    assert outcomes(ode, with_rows(sde, risen, **mean))["D14"] == CONTRADICTED
    assert outcomes(ode, with_rows(sde, {"verdict": "holds"}, **mean))["D14"] == AGREES
    assert outcomes(ode, with_rows(sde, {"verdict": "undecided"}, **mean))["D14"] == NOT_EXERCISED


def test_failed_rows_exercise_nothing(measured):
    ode, sde = measured
    failed = {"verdict": "failed", "rises": 0}
    assert outcomes(with_rows(ode, failed, energy="free", solver="DDIM"), sde)["D7"] == NOT_EXERCISED
    assert outcomes(ode, with_rows(sde, failed, energy="free_churn", solver="DDPM"))["D14"] == NOT_EXERCISED


def test_schedules_that_end_elsewhere_contradict_the_one_flow(measured):
    ode, sde = measured
    first = ode.runs[0]
    run = dataclasses.replace(first.run, ys=first.run.ys + 0.1)
    other = dataclasses.replace(ode, runs=[dataclasses.replace(first, run=run), *ode.runs[1:]])
    assert {claim.name: claim.outcome for claim in claims_of([ode, ode], [sde])}["D1"] == AGREES
    assert {claim.name: claim.outcome for claim in claims_of([ode, other], [sde])}["D1"] == CONTRADICTED


def test_a_ledger_that_does_not_add_up_is_contradicted(measured):
    ode, sde = measured
    first = ode.runs[0]
    moments = first.moments | {"kl": 1.01 * first.moments["kl"]}
    other = dataclasses.replace(ode, runs=[dataclasses.replace(first, moments=moments), *ode.runs[1:]])
    assert outcomes(other, sde)["D11"] == CONTRADICTED


@pytest.mark.parametrize("patterns", [np.repeat(SPREAD[:1], 5, axis=0), np.outer(np.arange(5.0), [1, 2, 3])])
def test_patterns_on_one_line_have_no_map(measured, patterns):
    assert figures_of(measured[:1], [], None, DataSet("line", patterns), coarse=True).planes is None
    assert figures_of(measured[:1], [], None, DataSet("spread", SPREAD), coarse=True).planes is not None
