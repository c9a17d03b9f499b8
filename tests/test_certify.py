"""`certify` on problems with known answers, on dynamem's own energies, and on bad input."""

import diffrax as dfx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import dynamem as dm
from dynamem.programs import TranslationError
from tests.certify_cases import CASES


RUNGS = {"certified": ("certified", "proved")}
"""Where boxes take long, algebra may come first."""


@pytest.mark.parametrize("name", CASES)
def test_known_answers(name):
    energy, flow, box, constraints, claim, status = CASES[name]
    budget = 1.0 if status == "undecided" else 20.0
    verdict = dm.certify(energy, flow, box, constraints=constraints, claim=claim, budget_s=budget)
    assert verdict.status in RUNGS.get(status, (status,)), verdict.reason
    if status == "broken":
        assert _is_a_rise(np.asarray(verdict.evidence["point"]), energy, flow, box, constraints, claim)
    if status == "undecided":
        assert 0 < verdict.evidence["open_share"] <= 1


def _is_a_rise(point, energy, flow, box, constraints, claim):
    """The witness by float64 JAX: inside the region, and of the wrong sign."""
    assert np.all((np.asarray(box)[:, 0] <= point) & (point <= np.asarray(box)[:, 1]))
    timed = len(point) == 2 and energy(0.0, jnp.ones(1)).shape == ()
    for size in (len(point), len(point) - 1):
        x, t = jnp.asarray(point[:size]), jnp.asarray(point[-1] if size < len(point) else 0.0)
        try:
            value = _number(energy, flow, claim, t, x)
        except (TypeError, ValueError, IndexError):
            continue
        if size == len(point) and timed and value <= 0:
            continue
        assert all(float(one(t, x)) <= 1e-12 for one in constraints)
        return value > 0
    return False


def _number(energy, flow, claim, t, x):
    if claim == "positive":
        return -float(energy(t, x))
    if isinstance(flow, dm.Map):
        return float(energy(t, flow(x)) - energy(t, x))
    total = float(dm.generator(energy, flow)(t, x, None).total)
    return total + claim[1] * float(energy(t, x)) if isinstance(claim, tuple) else total


def test_a_broken_verdict_carries_a_witness_that_replays():
    energy, flow, box, constraints, claim, _ = CASES["energy and flow at different temperatures"]
    verdict = dm.certify(energy, flow, box, constraints=constraints, claim=claim)
    assert verdict.witness is not None
    assert verdict.witness.replay(energy, flow) == verdict.witness.change > 0


def test_where_the_density_energy_falls_and_where_it_rises():
    """D3 on the code that Diffrax integrates: tr C < D s^2 near a pattern, tr C > D s^2 between two."""
    path = dm.DiffusionPath(dm.VE(), dm.Empirical(jnp.asarray([[1.0, 0.0], [-1.0, 0.0]])))
    energy, flow = dm.DensityEnergy(path), dm.ProbabilityFlow(path)
    lam = (float(-np.log(0.4)), float(-np.log(0.35)))
    near = dm.certify(energy, flow, jnp.asarray([(0.8, 1.2), (-0.2, 0.2), lam]), claim="strict_decrease")
    assert near.status in RUNGS["certified"], near.reason
    between = dm.certify(energy, flow, jnp.asarray([(-0.2, 0.2), (-0.2, 0.2), lam]))
    assert between.status == "broken", between.reason


def test_the_free_energy_falls_on_a_region_of_space_and_noise():
    """D4, away from the fixed point: the traced generator of V with three patterns, weights given."""
    xi = jnp.asarray([[1.0, 0.0], [-1.0, 0.5], [0.2, -1.0]])
    path = dm.DiffusionPath(dm.VP(), dm.Empirical(xi, jnp.asarray([0.5, 0.3, 0.2])))
    energy, flow = dm.FreeEnergy(path), dm.ProbabilityFlow(path)
    verdict = dm.certify(energy, flow, jnp.asarray([(-2.0, 2.0), (1.2, 2.0), (-0.5, 0.5)]), claim="strict_decrease")
    assert verdict.status in RUNGS["certified"], verdict.reason


def test_a_wrong_program_is_an_error(monkeypatch):
    """Each translation is held against JAX: a rule that lies does not get through."""
    from dynamem.programs import _rules

    monkeypatch.setitem(_rules.RULES, "tanh", _rules.RULES["sin"])
    with pytest.raises(TranslationError, match="in JAX and in"):
        dm.certify(lambda t, x: jnp.sum(jnp.tanh(x)), dfx.ODETerm(lambda t, x, a: -x), jnp.asarray([(0.5, 2.0)]))


@pytest.mark.parametrize(
    ("box", "claim", "match"),
    [
        ([(0.0, jnp.inf)], "nonincrease", "only bounded regions"),
        ([(0.0, jnp.nan)], "nonincrease", "only bounded regions"),
        ([(1.0, 0.0)], "nonincrease", "is empty"),
        ([1.0, 2.0], "nonincrease", "need rows"),
        ([(0.0, 1.0)], "decrease", "choose one of"),
        ([(0.0, 1.0)], ("rate", float("nan")), "must be finite"),
    ],
)
def test_bad_input(box, claim, match):
    with pytest.raises(ValueError, match=match):
        dm.certify(lambda t, x: x @ x, dfx.ODETerm(lambda t, x, a: -x), jnp.asarray(box), claim=claim)


def test_a_box_that_fits_no_state():
    field = dfx.ODETerm(lambda t, x, args: jnp.stack([-x[0], -x[1]]))
    with pytest.raises(ValueError, match="box has 5 rows"):
        dm.certify(lambda t, x: x @ x, field, jnp.zeros((5, 2)))


def test_an_unknown_primitive_is_named_with_its_line():
    def energy(t, x):
        return jax.scipy.special.gammaln(x[0])

    with pytest.raises(dm.UnknownPrimitive, match=r"gamma.*test_certify\.py"):
        dm.certify(energy, dfx.ODETerm(lambda t, x, a: -x), jnp.asarray([(1.0, 2.0)]))


def test_time_is_a_row_where_the_flow_takes_one_coordinate_less():
    """The size that the drift accepts decides, not whether anything reads the time."""
    field = dfx.ODETerm(lambda t, x, args: jnp.stack([-x[0], -x[1]]))
    box = jnp.asarray([(0.1, 1), (0.1, 1), (0, 1)])
    verdict = dm.certify(lambda t, x: x @ x, field, box, claim="strict_decrease", algebra=False)
    assert verdict.status == "certified"
    assert "t in [0, 1]" in verdict.region


def test_derivatives_that_code_declares_are_not_believed():
    """The program is differentiated, not the code: `stop_gradient` and a rule that lies hide no needle."""

    @jax.custom_jvp
    def flat(x):
        return jnp.exp(-(((x - 0.3137) / 1e-4) ** 2))

    flat.defjvp(lambda primals, tangents: (flat(primals[0]), 0.0 * tangents[0]))
    for hidden in (flat, lambda x: jax.lax.stop_gradient(jnp.exp(-(((x - 0.3137) / 1e-4) ** 2)))):
        energy = lambda t, x, hidden=hidden: 0.5 - hidden(x[0])  # noqa: E731
        verdict = dm.certify(energy, dm.Map(lambda x: x), [(0.0, 1.0)], claim="positive")
        assert verdict.status == "broken", verdict.reason
