"""Questions at which a verdict could go wrong: jumps, numbers that wrap around, regions without a point, holes."""

import diffrax as dfx
import jax
import jax.numpy as jnp
import pytest

import dynamem as dm


FLOW = dfx.ODETerm(lambda t, x, args: -x)
UNIT = jnp.asarray([(0.0, 1.0)])
ASKED = [dm.certify, dm.prove]


@pytest.mark.parametrize("asked", ASKED)
def test_an_angle_jumps_at_its_cut(asked):
    """Its slope is small on both sides of the cut, and says nothing of the jump by 2 pi between them."""
    energy = lambda t, x: 1.0 + jnp.arctan2((x[0] - 0.3) ** 2 - 1e-14, -1.0)  # noqa: E731
    assert energy(0.0, jnp.asarray([0.3])) < 0
    assert asked(energy, FLOW, box=UNIT, claim="positive").status == "broken"


@pytest.mark.parametrize("asked", ASKED)
def test_numbers_that_wrap_around_are_refused(asked):
    """0 - 1 is 255 in uint8: on a part of the region that no sample meets, this would pass every other check."""

    def energy(t, x):
        inside = (x[0] > 0.3137) & (x[0] < 0.313701)
        return 1.0 - (jnp.where(inside, 0, 1).astype(jnp.uint8) - jnp.uint8(1)).astype(float)

    assert energy(0.0, jnp.asarray([0.3137005])) == -254
    with pytest.raises(dm.UnknownPrimitive, match=r"uint8, which wraps around.*test_hard_questions"):
        asked(energy, FLOW, box=UNIT, claim="positive")


@pytest.mark.parametrize("asked", ASKED)
def test_whole_numbers_are_divided_as_whole_numbers(asked):
    energy = lambda t, x: 0.4 + ((x[0] > 0.5).astype(int) // 2).astype(float)  # noqa: E731
    assert asked(energy, FLOW, box=UNIT, claim="positive").status in ("certified", "proved")
    assert asked(lambda t, x: energy(t, x) - 0.41, FLOW, box=UNIT, claim="positive").status == "broken"


@pytest.mark.parametrize("asked", ASKED)
def test_a_region_without_a_point_is_no_question(asked):
    verdict = asked(lambda t, x: x @ x, FLOW, box=UNIT, constraints=[lambda t, x: 1.0 + jnp.exp(x[0])])
    assert verdict.status == "failed"
    assert "empty" in verdict.reason


@pytest.mark.parametrize("asked", ASKED)
def test_a_hole_counts_more_than_a_rise(asked):
    """The rate of a norm is undefined at 0, which halving [-2, 3] does not meet, and rises everywhere else."""
    grows = dfx.ODETerm(lambda t, x, args: jnp.sign(x) + x)
    verdict = asked(lambda t, x: jnp.sqrt(2 * x[0] ** 2), grows, box=jnp.asarray([(-2.0, 3.0)]))
    assert verdict.status == "failed", verdict.reason


LOGITS = jnp.asarray([[1.0, 0.5], [-0.3, 2.0], [0.2, -1.0]])
CAUSAL = jnp.where(jnp.tril(jnp.ones((3, 3))) > 0, 0.0, -jnp.inf)
MASKED = {
    "a weight beside one that is masked": lambda x: jax.nn.softmax(LOGITS @ x, where=jnp.asarray([True, False, True]))[
        0
    ],
    "a log-sum-exp": lambda x: 9.0 + jax.nn.logsumexp(jnp.append(x, -jnp.inf)),
    "attention": lambda x: 9.0 + jnp.sum(jax.nn.softmax(CAUSAL + jnp.outer(LOGITS @ x, LOGITS @ x), axis=1) @ LOGITS),
}
UNMASKED = {
    "all of it": lambda x: 9.0 + jax.nn.logsumexp(jnp.full(2, -jnp.inf)) + x[0],
    "what is undefined is not masked": lambda x: 9.0 + jnp.exp(jnp.log(x[0]) + jnp.asarray(-jnp.inf)),
    "nor beside a masked entry": lambda x: jnp.exp(
        jnp.stack([jnp.log(x[0]), -jnp.inf]) + jnp.stack([-jnp.inf, jnp.log(2 + x[0])])
    ).sum() + 1.0,
    "infinity less itself": lambda x: 9.0 + jnp.exp(jnp.append(x, -jnp.inf) - jnp.append(x, -jnp.inf)).sum(),
    "plus infinity": lambda x: x[0] + jnp.inf,
}  # fmt: skip


@pytest.mark.parametrize("asked", ASKED)
@pytest.mark.parametrize("name", [*MASKED, *UNMASKED])
def test_minus_infinity_masks_what_is_defined(asked, name):
    energy = (MASKED | UNMASKED)[name]
    verdict = asked(lambda t, x: energy(x), FLOW, box=jnp.asarray([(-0.5, 0.5)] * 2), claim="positive")
    assert (verdict.status == "failed") is (name in UNMASKED), verdict.reason
    assert verdict.status != "broken"


POLES = {
    "a tangent": lambda t, x: 2 + jnp.cos(jnp.tan(2 * x[0])),
    "a rise beside a pole": lambda t, x: 1 + 1 / (jnp.cos(x[0]) - x[0]),
    "in one entry of two": lambda t, x: 1 + jnp.sum((1 / (x[0] ** 3 - jnp.asarray([0.3, -7.0]))) ** 2),
    "an even power": lambda t, x: (x[0] ** 3 - 0.3) ** -2,
}
NO_POLES = {
    "a step": lambda t, x: 3 + 1 / jnp.where(x[0] > 0.5, 1.0, -1.0),
    "an entry that is not used": lambda t, x: (1 / jnp.stack([x[0] - 0.3, x[0] + 1]))[1],
    "a branch that is not taken": lambda t, x: jnp.where(x[0] > 0.5, 1 / (x[0] - 0.3), x[0] ** 2 + 1),
    "a tangent between its poles": lambda t, x: 2 + jnp.tan(x[0]),
}


@pytest.mark.parametrize("asked", ASKED)
@pytest.mark.parametrize("name", [*POLES, *NO_POLES])
def test_a_pole_that_no_float_meets_is_a_hole(asked, name):
    verdict = asked((POLES | NO_POLES)[name], FLOW, box=UNIT, claim="positive")
    assert verdict.status in (("failed",) if name in POLES else ("certified", "proved")), verdict.reason


def test_huge_numbers_are_taken_or_refused():
    """Slopes that overflow do not lead the search away, and a box has a finite width."""
    same = [lambda t, x: (x[0] - 2 - jnp.minimum(x[0], x[0])) ** 2]
    everywhere = jnp.asarray([(-jnp.inf, jnp.inf)])
    moved = dm.Map(jnp.exp)
    verdict = dm.prove(lambda t, x: x[0], moved, box=everywhere, constraints=same, claim="strict_decrease")
    assert verdict.status in ("failed", "undecided")
    for asked in ASKED:
        with pytest.raises(ValueError, match="at most 1e"):
            asked(lambda t, x: x @ x, FLOW, box=jnp.asarray([(-1.7e308, 1.7e308)]))


def test_a_hole_far_from_a_rise_is_found():
    energy = lambda t, x: -x[0] - jnp.sqrt(8 - x[0] - x[1] ** 2)  # noqa: E731
    verdict = dm.prove(energy, FLOW, box=jnp.asarray([(0.0, jnp.inf), (0.0, 1.0)]), claim="positive")
    assert verdict.status == "failed", verdict.reason
