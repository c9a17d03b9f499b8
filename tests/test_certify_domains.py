"""The two numeric domains against each other: what 200-bit balls find at points of a box lies in its interval."""

import math

import numpy as np
import pytest
from flint import arb, ctx

from dynamem.programs import BALL, INTERVAL, NEVER, OPERATIONS, RUNS, TRUTH, Interval, Mark, Node, Truth


SIZE = 3
SPECIAL = [0.0, -0.0, 1.0, -1.0, 5e-324, -5e-324, 1e-300, 1e300, -1e300, 0.5 * math.pi, math.pi, 709.0, -745.0, 1e-8]
REALS = sorted(set(OPERATIONS) - TRUTH - {"input", "const", "take", "select", "dot"})


@pytest.fixture(autouse=True)
def _precision():
    before, ctx.prec = ctx.prec, 200
    yield
    ctx.prec = before


def boxes(random, count, entries):
    """Boxes of all widths and places, special points among their ends."""
    scale = 10.0 ** random.uniform(-3, 1.5, (count, entries))
    middle = random.normal(size=(count, entries)) * scale
    middle = np.where(random.uniform(size=middle.shape) < 0.15, random.choice(SPECIAL, middle.shape), middle)
    radius = np.abs(middle) * 10.0 ** random.uniform(-16, 0.7, middle.shape) * (random.uniform(size=middle.shape) < 0.8)
    with np.errstate(over="ignore"):
        return np.clip(middle - radius, -1e300, 1e300), np.clip(middle + radius, -1e300, 1e300)


def points_of(random, lo, hi):
    """A point of each box, often a corner."""
    share = random.choice([0.0, 0.5, 1.0, -1.0], lo.shape)
    share = np.where(share < 0, random.uniform(size=lo.shape), share)
    return np.clip(lo + share * (hi - lo), lo, hi)


def node_of(op, random):
    """A line with one or more entries of result."""
    if op == "powi":
        return Node(op, (0,), SIZE, (int(random.choice([-3, -2, -1, 2, 3, 4, 7])),))
    if op in RUNS:
        return Node(op, (0,), SIZE if op in ("sort", "softmax") else 1, (SIZE,))
    return Node(op, tuple(range(OPERATIONS[op])), SIZE)


def failures(op, rule, count, seed=0):
    """How many of ``count`` (box, point) pairs are not contained, with the number that were compared."""
    random = np.random.default_rng(seed)
    node = node_of(op, random)
    ends = [boxes(random, count, SIZE) for _ in range(OPERATIONS[op])]
    inside = [points_of(random, lo, hi) for lo, hi in ends]
    with np.errstate(all="ignore"):
        found = rule(node, *(Interval(lo, hi) for lo, hi in ends))
    wrong = compared = 0
    for row in range(count):
        exact = BALL[op](node, *([(arb(float(v)),) * 2 for v in point[row]] for point in inside))
        for place, entry in enumerate(exact):
            fine = found.ok is None or bool(np.broadcast_to(found.ok, found.lo.shape)[row, place])
            never = found.bad is not None and bool(np.broadcast_to(found.bad, found.lo.shape)[row, place])
            compared += 1
            if isinstance(entry, Mark):
                wrong += fine and entry is NEVER
                continue
            lo, hi = float(found.lo[row, place]), float(found.hi[row, place])
            missed = math.isnan(lo) or math.isnan(hi) or arb(lo) > entry[1] or arb(hi) < entry[0]
            wrong += never or missed
    return wrong, compared


@pytest.mark.parametrize("op", REALS)
def test_intervals_hold_what_balls_find(op):
    for seed in range(4):
        wrong, compared = failures(op, INTERVAL[op], 200, seed)
        assert wrong == 0
        assert compared > 100


@pytest.mark.long
@pytest.mark.parametrize("op", REALS)
def test_intervals_hold_what_balls_find_many_times(op):
    """With the operations of two and three entries, more than 10^6 triples of program, box and point in all."""
    for seed in range(20):
        assert failures(op, INTERVAL[op], 600, 100 + seed)[0] == 0


MUTATIONS = {
    "lower end raised": lambda made: Interval(made.lo + 1e-13 * np.abs(made.lo) + 1e-13, made.hi, made.ok, made.bad),
    "upper end lowered": lambda made: Interval(made.lo, made.hi - 1e-13 * np.abs(made.hi) - 1e-13, made.ok, made.bad),
    "sign": lambda made: Interval(-made.hi, -made.lo, made.ok, made.bad),
    "inward rounding": lambda made: Interval(
        np.nextafter(np.nextafter(made.lo, np.inf), np.inf), np.nextafter(np.nextafter(made.hi, -np.inf), -np.inf),
        made.ok, made.bad,
    ),
    "one end for both": lambda made: Interval(made.hi, made.hi, made.ok, made.bad),
}  # fmt: skip


@pytest.mark.parametrize("mutation", ["lower end raised", "upper end lowered", "sign", "one end for both"])
@pytest.mark.parametrize("op", REALS)
def test_each_rule_mutated_is_caught(op, mutation):
    mutant = lambda node, *args: MUTATIONS[mutation](INTERVAL[op](node, *args))  # noqa: E731
    assert any(failures(op, mutant, 200, seed)[0] for seed in range(4))


@pytest.mark.parametrize("op", sorted(TRUTH - {"and", "or", "not"}))
def test_comparisons_are_never_made_end_by_end(op):
    random = np.random.default_rng(0)
    lo, hi = boxes(random, 400, SIZE)
    other = [np.where(random.uniform(size=lo.shape) < 0.5, end, boxes(random, 400, SIZE)[0]) for end in (lo, hi)]
    other = [np.minimum(*other), np.maximum(*other)]
    found = INTERVAL[op](Node(op, (0, 1), SIZE), Interval(lo, hi), Interval(*other))
    first, second = points_of(random, lo, hi), points_of(random, *other)
    truth = {"lt": first < second, "le": first <= second, "eq": first == second}[op]
    assert np.all(np.where(truth, found.may, found.may_not))


def test_a_branch_that_is_not_taken_may_be_undefined():
    node = Node("select", (0, 1, 2), 1)
    nowhere = Interval(np.full((1, 1), -np.inf), np.full((1, 1), np.inf), np.zeros((1, 1), bool), np.ones((1, 1), bool))
    one = Interval(np.ones((1, 1)), np.ones((1, 1)))
    yes = INTERVAL["select"](node, Truth(np.ones((1, 1), bool), np.zeros((1, 1), bool)), one, nowhere)
    assert yes.ok is None or bool(yes.ok.all())
    assert (yes.lo, yes.hi) == (1.0, 1.0)
    both = INTERVAL["select"](node, Truth(np.ones((1, 1), bool), np.ones((1, 1), bool)), one, nowhere)
    assert both.ok is not None
    assert not both.ok.any()
    assert both.bad is None or not both.bad.any()


def test_products_of_matrices_term_by_term_and_by_midpoint(monkeypatch):
    from dynamem.programs import _interval_runs

    random = np.random.default_rng(0)
    node = Node("dot", (0, 1), 8, (1, 2, 30, 4))
    ends = [np.sort(random.normal(size=(2, 20, size)), axis=0) for size in (60, 120)]
    args = [Interval(*pair) for pair in ends]
    exact = [
        BALL["dot"](node, *([(arb(v), arb(w)) for v, w in zip(*pair[:, row].tolist(), strict=True)] for pair in ends))
        for row in range(20)
    ]
    for limit in (10**9, 0):
        monkeypatch.setattr(_interval_runs, "DENSE", limit)
        found = INTERVAL["dot"](node, *args)
        for row, entries in enumerate(exact):
            for place, (lo, hi) in enumerate(entries):
                assert arb(float(found.lo[row, place])) <= lo
                assert arb(float(found.hi[row, place])) >= hi
                assert found.hi[row, place] - found.lo[row, place] <= 2.5 * float(hi - lo)


def test_softmax_is_tight():
    """Each weight is attained at corners, as no quotient of intervals could be."""
    node = Node("softmax", (0,), 3, (3,))
    lo, hi = np.asarray([[-1.0, -2.0, 0.0]]), np.asarray([[2.0, 1.0, 1.0]])
    found = INTERVAL["softmax"](node, Interval(lo, hi))
    low = np.exp(-1.0) / (np.exp(-1.0) + np.exp(1.0) + np.exp(1.0))
    high = np.exp(2.0) / (np.exp(2.0) + np.exp(-2.0) + np.exp(0.0))
    np.testing.assert_allclose([found.lo[0, 0], found.hi[0, 0]], [low, high], rtol=1e-12)


def test_bounds_shrink_with_their_box():
    """Inclusion isotonicity, beyond the last digits."""
    random = np.random.default_rng(3)
    for op in REALS:
        node = node_of(op, random)
        outer = [boxes(random, 200, SIZE) for _ in range(OPERATIONS[op])]
        inner = [(lo + 0.25 * (hi - lo), hi - 0.25 * (hi - lo)) for lo, hi in outer]
        with np.errstate(all="ignore"):
            large = INTERVAL[op](node, *(Interval(*pair) for pair in outer))
            small = INTERVAL[op](node, *(Interval(*pair) for pair in inner))
            slack = (
                1e-12 * np.where(np.isfinite(large.hi - large.lo), np.abs(large.lo) + np.abs(large.hi), 0.0) + 1e-300
            )
        seen = np.ones(large.lo.shape, bool) if large.ok is None else np.broadcast_to(large.ok, large.lo.shape)
        assert np.all(~seen | (small.lo >= large.lo - slack)), op
        assert np.all(~seen | (small.hi <= large.hi + slack)), op
