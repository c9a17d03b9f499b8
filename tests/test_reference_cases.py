"""`prove` and `certify` on problems from the literature: no wrong verdict, and next to none undecided."""

import pytest

import dynamem as dm
from tests.reference_cases import CASES, STATUSES, problem


OPEN_TO_ALGEBRA = ("lyznet_two_machine_ok", "needle_1e-3_ok")
"""Transcendental with a tight margin: boxes certify them."""
SLOW = (
    "lyznet_10d_box14", "papaprajna6_mut10_far", "lean_cubic_expV", "lyznet_sosV_origin", "sriram4d", "deg5_theta001",
    "lean_cubic_quadV", "vp_pf_unit", "hopfield_sym", "rigidbody_energy_conserved", "ahmed_ex6", "moore_greitzer_pos",
    "fossil_poly1_typo", "kuramoto_sym", "fossil_nonpoly3_orthant", "lyznet_vdp1_level_ok", "akp_quadV_unitball",
    "parrilo_level_71114_10000", "norm_energy", "fossil_nonpoly1_ball1", *OPEN_TO_ALGEBRA,
)  # fmt: skip


@pytest.mark.parametrize("name", [name for name in CASES if name not in SLOW])
def test_prove(name):
    verdict = dm.prove(**problem(name))
    assert verdict.status in STATUSES[CASES[name]["verdict"]], verdict.reason


@pytest.mark.long
@pytest.mark.parametrize("name", SLOW)
def test_prove_slowly(name):
    allowed = (*STATUSES[CASES[name]["verdict"]], *(("undecided",) if name in OPEN_TO_ALGEBRA else ()))
    assert dm.prove(**problem(name)).status in allowed


@pytest.mark.long
@pytest.mark.parametrize("name", CASES)
def test_certify(name):
    verdict = dm.certify(**problem(name))
    assert verdict.status in STATUSES[CASES[name]["verdict"]], verdict.reason
    assert verdict.evidence.get("seconds", 0.0) < 20.0
