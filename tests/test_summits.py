"""Equilibria: boxes around a maximum of height 0 are decided by curvature, and certificates say what decides each part.

Certificates made by hand, with a hash that fits: each is refused, or its claim is true.
"""

import json
import math
from fractions import Fraction

import diffrax as dfx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import dynamem as dm
from dynamem.programs import INTERVAL, Interval, Node, Program, evaluate, pivots, translate
from dynamem.rigour import verify
from dynamem.rigour._claims import falling
from dynamem.rigour._document import SCHEMA, SEMANTICS, digest
from dynamem.rigour._program_json import written
from dynamem.rigour._summits import simplest


ode = lambda f: dfx.ODETerm(lambda t, x, args: f(x))  # noqa: E731
square = lambda t, x: x @ x  # noqa: E731
well = lambda t, x: jnp.sum((x**2 - 1) ** 2) / 4  # noqa: E731
XI = jnp.asarray([[1.0, 1.0, -1.0], [1.0, -1.0, 1.0]])
memory = lambda t, x: x @ x / 2 - 2 * jax.nn.logsumexp(XI @ x / 2)  # noqa: E731
ball = ((-0.9, 0.9), (-0.9, 0.9))

EQUILIBRIA = {
    "a cubic": (square, ode(lambda x: -x + x**3), ball),
    "a cubic, 0 on no cut": (square, ode(lambda x: -x + x**3), ((-0.9, 0.7), (-0.3, 0.85))),
    "two minima, a maximum and saddles": (well, dm.GradientFlow(well), ((-1.5, 1.5), (-1.5, 1.5))),
    "a memory about its mean": (memory, dm.GradientFlow(memory), ((-0.2, 0.3),) * 3),
    "coordinates that meet": (
        lambda t, x: x @ x + x[0] * x[1], ode(lambda x: -x + 0.3 * jnp.tanh(x[::-1])), ((-1, 1), (-1, 1)),
    ),
    "a map": (square, dm.Map(lambda x: 0.5 * jnp.sin(x)), ((-1, 1), (-1, 1))),
}  # fmt: skip


QUICK = {"a cubic", "coordinates that meet"}


@pytest.mark.parametrize("name", [pytest.param(n, marks=[pytest.mark.long] * (n not in QUICK)) for n in EQUILIBRIA])
def test_boxes_alone_certify_around_equilibria(name, tmp_path):
    energy, flow, box = EQUILIBRIA[name]
    verdict = dm.certify(energy, flow, jnp.asarray(box), algebra=False)
    assert verdict.status == "certified", verdict.reason
    assert replayed(tmp_path, verdict.evidence["certificate"]) == ""


BROKEN = {
    "a saddle": (lambda t, x: x[0] ** 2 - x[1] ** 2, ode(lambda x: -x), ball),
    "a rise of 1e-300": (lambda t, x: x[0], ode(lambda x: 1e-300 - x**2), ((-1, 1),)),
    "a rise without curvature": (lambda t, x: x[0] ** 4, ode(lambda x: x), ((-1, 1),)),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_no_maximum_of_height_0_is_broken(name):
    energy, flow, box = BROKEN[name]
    assert dm.certify(energy, flow, jnp.asarray(box), algebra=False).status == "broken"


# Certificates by hand


def by_hand(number, box, cuts, points=(), *, strict=False):
    """A certificate of ``number(x) <= 0`` on a box, with these cuts."""
    program = number if not callable(number) else translate(number, (len(box),))
    hexed = lambda rows: [[float(value).hex() for value in row] for row in rows]  # noqa: E731
    body = {
        "schema": SCHEMA, "dynamem": "0", "claim": falling("LE", strict=strict), "strict": strict, "timed": False,
        "semantics": SEMANTICS,
        "constraints": 0, "box": hexed(box), "points": hexed(points), "program": written(program), "cuts": cuts,
    }  # fmt: skip
    return body | {"sha256": digest(body)}


def replayed(folder, body):
    """Why a certificate does not replay, or nothing."""
    file = folder / "certificate.json"
    file.write_text(json.dumps(body))
    good, reason = verify(file)
    return "" if good else reason


UNIT, ORIGIN = ((-1.0, 1.0), (-1.0, 1.0)), ((0.0, 0.0),)
REFUSED = {
    "a saddle": (lambda x: x[0] ** 2 - x[1] ** 2, UNIT, "e0", ORIGIN, "does not decide"),
    "a height of 1e-300": (lambda x: 1e-300 - x @ x, UNIT, "e0", ORIGIN, "does not decide"),
    "a rise of fourth order": (lambda x: x[0] ** 4, ((-1.0, 1.0),), "e0", ((0.0,),), "does not decide"),
    "a slope at the point": (lambda x: x[0] * 1e-9 - x @ x, UNIT, "e0", ORIGIN, "does not decide"),
    "a point that is not there": (lambda x: -x @ x, UNIT, "e1", ORIGIN, "unknown word"),
    "a kink": (lambda x: jnp.abs(x[0]) - 10 * x @ x, UNIT, "e0", ORIGIN, "does not decide"),
    "a jump": (lambda x: jnp.where(x[0] > 0.5, 1e-3, -1.0) + 0.1 * x[1], UNIT, "m", (), "undefined"),
    "a jump far from the middle": (lambda x: jnp.sign(x[0] - 0.9) + 1e-9 * x[1], UNIT, "m", (), "undefined"),
    "a floor": (lambda x: jnp.floor(x[0]) + 0.5 - 0.1 * x[1], ((0.0, 1.0), (0.0, 1.0)), "m", (), "undefined"),
    "a pole": (lambda x: -1.0 / (x[0] - 0.5), UNIT, "m", (), "undefined"),
    "a rise by slopes": (lambda x: x[0] - 0.99, UNIT, "m", (), "may be positive"),
    "naturally a rise": (lambda x: x[0] * x[1] - 0.5, UNIT, "v", (), "may be positive"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_forged_leaves_are_refused(name, tmp_path):
    number, box, cuts, points, match = REFUSED[name]
    assert match in replayed(tmp_path, by_hand(number, box, cuts, points))


ACCEPTED = {
    "a maximum": (lambda x: -x[0] ** 2 - x[0] * x[1] - x[1] ** 2, UNIT, "e0", ORIGIN),
    "a ridge": (lambda x: -(x[0] ** 2), UNIT, "e0", ORIGIN),
    "a maximum without curvature": (lambda x: -(x[0] ** 4), ((-1.0, 1.0),), "e0", ((0.0,),)),
    "a maximum outside the part": (lambda x: -x @ x, ((-1.0, 1.5), (0.25, 1.0)), "0 e0 e0", ORIGIN),
    "a maximum at a corner": (lambda x: -x[0] - x @ x, ((0.0, 1.0), (-1.0, 1.0)), "e0", ORIGIN),
    "a kink, by slopes": (lambda x: jnp.abs(x[0]) + x[1] - 2.0, UNIT, "m", ()),
    "an end where it rises": (lambda x: x[0] - 1.0 - x[1] ** 2 * 0.0, UNIT, "m", ()),
}  # fmt: skip


@pytest.mark.parametrize("name", ACCEPTED)
def test_leaves_by_hand_that_are_true(name, tmp_path):
    number, box, cuts, points = ACCEPTED[name]
    assert replayed(tmp_path, by_hand(number, box, cuts, points)) == ""


@pytest.mark.parametrize("name", [name for name in ACCEPTED if "e0" in ACCEPTED[name][2]])
def test_a_strict_claim_has_no_summits(name, tmp_path):
    number, box, cuts, points = ACCEPTED[name]
    assert replayed(tmp_path, by_hand(number, box, cuts, points, strict=True)) != ""


NUMBERS = {
    name: (translate(case[0], (len(case[1]),)), jax.jit(jax.vmap(case[0])), len(case[1]))
    for name, case in (REFUSED | ACCEPTED).items()
}


TINY, HUGE, NEAR = Fraction(1, 10**400), Fraction(10**400, 3), 1 + Fraction(1, 10**20)
RATIONALS = {
    "a third": (Fraction(1, 3), Fraction(1, 3) * NEAR, True),
    "above it": (Fraction(1, 3) * NEAR, Fraction(1, 3), False),
    "below all floats": (TINY, TINY * NEAR, True),
    "below them, a rise": (TINY * NEAR, TINY, False),
    "above all floats": (HUGE, HUGE * NEAR, True),
    "above them, a rise": (HUGE * NEAR, HUGE, False),
}


@pytest.mark.parametrize("name", RATIONALS)
def test_rational_constants_are_what_they_are(name, tmp_path):
    """``x a - b <= 0`` on ``x`` in [0, 1], with constants that no float is near."""
    a, b, holds = RATIONALS[name]
    lines = [Node("input", (), 1), *(Node("const", (), 1, np.asarray([one], object)) for one in (a, b))]
    program = Program((*lines, Node("mul", (0, 1), 1), Node("sub", (3, 2), 1)), (0,), (4,))
    assert (replayed(tmp_path, by_hand(program, ((0.0, 1.0),), "v")) == "") is holds
    assert (replayed(tmp_path, by_hand(program, ((0.0, 1.0),), "m")) == "") is holds
    for value in (a, -a, b):
        bounds = INTERVAL["const"](Node("const", (), 1, np.asarray([value], object)))
        lo, hi = (float(end[0, 0]) for end in (bounds.lo, bounds.hi))
        assert math.isinf(lo) or Fraction(lo) < value
        assert math.isinf(hi) or value < Fraction(hi)
        assert not (math.isinf(lo) and math.isinf(hi))


@given(
    name=st.sampled_from(sorted(NUMBERS)),
    ends=st.lists(st.tuples(st.sampled_from([-1.0, -0.5, 0.0, 0.25]), st.sampled_from([0.25, 0.5, 1.0])), min_size=2),
    cuts=st.recursive(
        st.sampled_from(["v", "m", "e0", "e1"]),
        lambda halves: st.tuples(st.sampled_from(["0", "1"]), halves, halves).map(" ".join),
        max_leaves=4,
    ),
    points=st.lists(st.lists(st.sampled_from([0.0, 0.5, -0.25, 1.0]), min_size=2, max_size=2), min_size=2, max_size=2),
    strict=st.booleans(),
)
def test_a_certificate_by_hand_is_refused_or_true(tmp_path_factory, name, ends, cuts, points, strict):
    program, number, size = NUMBERS[name]
    box = ends[:size]
    body = by_hand(program, box, cuts, [point[:size] for point in points], strict=strict)
    if replayed(tmp_path_factory.mktemp("hand"), body) == "":
        grid = np.stack([axis.ravel() for axis in np.meshgrid(*(np.linspace(lo, hi, 33) for lo, hi in box))], axis=1)
        values = np.asarray(number(jnp.asarray(grid)))
        assert np.all(values < 1e-15), (name, box, cuts)
        assert not strict or np.all(values < 0)


# Parts


def test_pivots_decide_what_eigenvalues_do():
    random = np.random.default_rng(0)
    for n in (1, 2, 4):
        shifts = np.linspace(0, 6, 12)
        matrices = [
            a + a.T - shift * np.eye(n) for a, shift in zip(random.normal(size=(12, n, n)), shifts, strict=True)
        ]
        for matrix in matrices:
            made = pivots(translate(lambda x, m=matrix: jnp.ravel(jnp.asarray(m) * (1.0 + 0.0 * x[0])), (n,)))
            point = np.zeros((1, n))
            with np.errstate(all="ignore"):
                (found,) = evaluate(made, INTERVAL, [Interval(point, point.copy())])
            fine = (found.ok is None or bool(found.ok.all())) and bool(np.all(found.lo >= 0))
            assert fine == bool(np.all(np.linalg.eigvalsh(matrix) <= 0))


def test_the_simplest_number_of_an_interval():
    ends = [(-1.0, 2.0), (0.3, 0.9), (-0.9, -0.3), (0.3, 0.31), (5.0, 5.0), (0.7, 0.7), (1e-300, 3e-300), (3.0, 100.0)]
    lo, hi = np.asarray(ends).T
    found = simplest(lo, hi)
    assert np.all((lo <= found) & (found <= hi))
    assert found[:5].tolist() == [0.0, 0.5, -0.5, 0.3046875, 5.0]
    assert found[-1] == 64.0
