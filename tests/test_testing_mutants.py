"""The attack on the assertions: slips are slips, what sees nothing is told, what changes nothing is told apart."""

import dataclasses
import json

import hypothesis.strategies as st
import jax.numpy as jnp
import numpy as np
import pytest

from dynamem.cli import _mutants, main
from dynamem.testing._attack import KNOWN, _apart, attack, correct, run_attack
from dynamem.testing._families import KINDS, Family, _of_part, _of_solver
from dynamem.testing._mutations import RULES, Mutated, slips_of


def formula(w, x):
    """Every rule fits one of its operations."""
    z = w @ x
    shift = jnp.max(z)
    value = jnp.log(jnp.sum(jnp.exp(z - shift))) + shift
    return value + z[0] + jnp.sqrt(jnp.sum(x**2)) + jnp.where(x[0] > 0, x[1], 2 * x[1])


W, X = jnp.asarray([[1.0, 0.3], [-0.2, 2.0]]), jnp.asarray([0.7, -1.2])


def test_every_rule_changes_the_value_and_none_does_not():
    slips = slips_of(formula, W, X, most=dict.fromkeys(RULES, 20))
    assert {rule for rule, _ in slips} == set(RULES)
    assert Mutated(formula, slips, -1)(W, X) == formula(W, X)
    values = {rule: [] for rule in RULES}
    for k, (rule, _) in enumerate(slips):
        values[rule].append(np.nan_to_num(abs(float(Mutated(formula, slips, k)(W, X) - formula(W, X))), nan=np.inf))
    for rule in set(RULES) - {"unshifted"}:  # whose shift cancels here
        assert max(values[rule]) > 1e-9, rule
    big = Mutated(formula, slips, [rule for rule, _ in slips].index("unshifted"))(1e4 * W, X)
    assert not np.isfinite(big)


def some(of, *rules):
    """The family with the first slip of some rules; the numbers of the slips stay."""
    kept = [k for k, (slip, _) in enumerate(of.slips) if slip.partition(" ")[0] in rules]
    return of._replace(
        slips=tuple(of.slips[k] for k in kept), ask=lambda drawn, k: of.ask(drawn, kept[k] if k >= 0 else -1),
        values=lambda drawn, k: of.values(drawn, kept[k] if k >= 0 else -1),
    )  # fmt: skip


def test_slips_in_a_drift_are_killed_and_shrink():
    few = some(_of_part("log_sum_exp, no bias", "drift"), "sign", "index", "unshifted")
    assert correct(few, examples=5) is None
    found = list(attack(few, examples=10))
    assert {one.found for one in found} == {"killed"}
    assert all(one.patterns <= 3 and one.dimensions <= 2 for one in found)


def toy(ask, values):
    slips = (("sign 0", "a wrong sign"),)
    return Family("toy", "toy", slips, st.integers(0, 9), ask, values, lambda _: None)


def failing(drawn, k):
    assert k < 0 or drawn < 5


def test_what_becomes_of_a_mutant():
    (one,) = attack(toy(failing, lambda drawn, k: [jnp.asarray(drawn)]))
    assert (one.found, one.kind) == ("killed", "toy")
    (one,) = attack(toy(lambda drawn, k: None, lambda drawn, k: [jnp.asarray(drawn)]))
    assert (one.found, "the same numbers, to 1e-09" in one.why) == ("equivalent", True)
    (one,) = attack(toy(lambda drawn, k: None, lambda drawn, k: [jnp.asarray(float(drawn + k))]))
    assert one.found == "survived"
    alarm = correct(toy(lambda drawn, k: failing(drawn, 0), None))
    assert alarm is not None


def test_equality_is_asked_where_a_slip_could_show():
    """Times of the next step change a multistep solver's numbers, and a time-dependent drift is asked at four times."""
    solver = _of_solver("DPMSolver2M")
    assert _apart(solver.values(None, len(solver.slips) - 1), solver.values(None, -1)) > 1e-3
    drift = _of_part("free_energy", "drift")
    drawn = np.asarray([[0.5, -1.0], [1.5, 0.25], [-0.75, 2.0]]), 2.0, np.ones((2, 2))
    assert drift.values(drawn, -1)[0].shape[:2] == (4, 2)
    power = next(k for k, (slip, _) in enumerate(drift.slips) if slip.startswith("power"))
    assert _apart(drift.values(drawn, power), drift.values(drawn, -1)) > 1e-3  # and not so at lam = 0, where s = 1


@pytest.mark.parametrize("key", KNOWN)
def test_known_reasons_name_mutants_that_are_there(key):
    part, name, slip = key
    family = _of_solver(name) if part == "sampler" else _of_part(name, part)
    assert slip in {rule for words, _ in family.slips for rule in (words, words.partition(" ")[0])}


@pytest.mark.parametrize("n", [2, 3])
@pytest.mark.parametrize(("slip", "of"), [("factor 20", lambda v: v / 2), ("float32 20", lambda v: np.float32(v) - v)])
def test_a_constant_that_falls_with_the_noise_is_no_slip(slip, of, n):
    """``E + c s^2``, told apart from E at a state, with c > 0: it falls along what E falls along."""
    family = _of_part("free_energy, FlowMatching", "energy")
    k = next(k for k, (name, _) in enumerate(family.slips) if name == slip)
    xi, c = np.asarray([[0.5, -1.0], [1.5, 0.25], [-0.75, 2.0]])[:n], of(np.log(n))
    assert c > 0
    wrong, right = (family.values((xi, 2.0, xi), k)[0] for k in (k, -1))
    s = (1 - np.linspace(0.125, 0.875, 4)) / np.linspace(0.125, 0.875, 4)
    apart = np.asarray(wrong - right)
    np.testing.assert_allclose(
        apart, np.broadcast_to(c * (s**2 - s[0] ** 2)[:, None], apart.shape), rtol=3e-3, atol=1e-13
    )


def test_the_command(tmp_path, capsys):
    file = tmp_path / "m.json"
    assert main(["mutants", "--kind", "noise", "--examples", "5", "--draws", "3", "--json", str(file)]) == 0
    told = capsys.readouterr().out
    assert "no false alarm in 3 draws" in told
    document = json.loads(file.read_text())
    assert document["schema"] == "dynamem.mutants/1"
    assert _mutants.KINDS == KINDS
    assert {one["kind"] for one in document["mutants"]} == {"noise"}
    assert main(["mutants", "--least", "2"]) == 2
    assert main(["mutants", "--kind", "noise", "--examples", "0"]) == 2


def test_scores_count_what_is_no_equivalent():
    found = run_attack(("noise",), examples=3, draws=1)
    few = dataclasses.replace(found, mutants=tuple(
        dataclasses.replace(found.mutants[0], found=word) for word in ("killed", "killed", "survived", "equivalent")
    ))  # fmt: skip
    assert few.score() == pytest.approx(2 / 3)
    assert np.isnan(few.score("drift"))
    none = dataclasses.replace(found, mutants=())
    assert json.loads(_mutants.document(none))["score"] is None
    assert "nan" in _mutants.table(none)


@pytest.mark.long
def test_the_assertions_see_nearly_every_slip():
    found = run_attack(("schedule", "sampler", "noise"), examples=20, draws=10)
    assert found.alarms == ()
    assert len(found.mutants) > 100
    assert found.score() >= 0.97
