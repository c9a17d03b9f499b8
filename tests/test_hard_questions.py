"""Questions at which a verdict could go wrong: jumps, numbers that wrap around, regions without a point, holes."""

import diffrax as dfx
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
