"""The two numeric domains against each other: what 200-bit balls find at points of a box lies in its interval."""

import numpy as np
import pytest
from flint import arb

from dynamem.programs import BALL, INTERVAL, TRUTH, Interval, Node, enclose
from tests.mutants import fast, with_rules
from tests.random_programs import (
    REALS,
    SIZE,
    at_box,
    at_points,
    ball_failures,
    boxes,
    interval_failures,
    mark_of,
    one_line,
    points_of,
    sampled,
)


def failures(op, domain, mutant=None, *, count=100, seeds=range(4)):
    """(entry, point) pairs that one operation of a domain gets wrong."""
    wrong = compared = 0
    for seed in seeds:
        random = np.random.default_rng(seed)
        program = one_line(op, random)
        ends, points = sampled(random, program, count)
        exact = at_points(program, points)
        room = with_rules(**{domain: {} if mutant is None else {op: mutant}})
        tally = {"interval": interval_failures, "ball": ball_failures}[domain](program, ends, exact, room)
        wrong, compared = wrong + len(tally.wrong), compared + tally.compared
        if mutant is not None and wrong:
            break
    return wrong, compared


@pytest.mark.parametrize("op", REALS)
@pytest.mark.parametrize("domain", ["interval", "ball"])
def test_a_box_holds_what_many_bits_find_at_its_points(op, domain):
    wrong, compared = failures(op, domain)
    assert wrong == 0
    assert compared > 200


def _moved(low, high):
    """A mutation of intervals that moves the ends by so many units, relative and absolute."""
    return lambda made: Interval(
        made.lo + low * (np.abs(made.lo) + 1.0), made.hi + high * (np.abs(made.hi) + 1.0), made.ok, made.bad
    )


def _each_ball(change):
    return lambda found: [change(*entry) if isinstance(entry, tuple) else entry for entry in found]


MUTATIONS = {
    "lower end raised": (_moved(1e-13, 0.0), _each_ball(lambda lo, hi: (lo + 1e-13 * (1 + abs(lo)), hi))),
    "upper end lowered": (_moved(0.0, -1e-13), _each_ball(lambda lo, hi: (lo, hi - 1e-13 * (1 + abs(hi))))),
    "sign": (lambda made: Interval(-made.hi, -made.lo, made.ok, made.bad), _each_ball(lambda lo, hi: (-hi, -lo))),
    "one end for both": (
        lambda made: Interval(made.hi, made.hi, made.ok, made.bad), _each_ball(lambda lo, hi: (hi, hi)),
    ),
    "the other end for both": (
        lambda made: Interval(made.lo, made.lo, made.ok, made.bad), _each_ball(lambda lo, hi: (lo, lo)),
    ),
}  # fmt: skip


@pytest.mark.parametrize("mutation", MUTATIONS)
@pytest.mark.parametrize("op", REALS)
@pytest.mark.parametrize("domain", ["interval", "ball"])
def test_each_rule_mutated_is_caught(op, mutation, domain):
    change, rule = MUTATIONS[mutation][domain == "ball"], getattr(fast(), domain.upper())[op]
    assert failures(op, domain, lambda node, *args: change(rule(node, *args)))[0]


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


def nested(op, seed, count=100):
    """A program of one operation, boxes, and boxes within them."""
    random = np.random.default_rng(seed)
    program = one_line(op, random)
    outer, _ = sampled(random, program, count)
    shares = [np.sort(random.choice([0.0, 0.25, 0.5, 1.0], (2, *lo.shape)), axis=0) for lo, _ in outer]
    inner = [tuple(np.clip(lo + share * (hi - lo), lo, hi)) for (lo, hi), share in zip(outer, shares, strict=True)]
    return program, outer, inner


def marks(found, like, default):
    return np.broadcast_to(default if found is None else found, like.shape)


@pytest.mark.parametrize("op", REALS)
def test_intervals_shrink_with_their_box(op):
    """Inclusion isotonicity, beyond the last digits; marks too."""
    program, *pair = nested(op, 3)
    large, small = (enclose(program, ends)[0] for ends in pair)
    fine, inner_fine = (np.broadcast_to(True if one.ok is None else one.ok, one.lo.shape) for one in (large, small))
    never, inner_never = (
        np.broadcast_to(False if one.bad is None else one.bad, one.lo.shape) for one in (large, small)
    )
    assert np.all(inner_fine | ~fine)
    assert np.all(inner_never | ~never)
    slack = 1e-12 * np.where(np.isfinite(large.hi - large.lo), np.abs(large.lo) + np.abs(large.hi), 0.0) + 1e-300
    held = (small.lo >= large.lo - slack) & (small.hi <= large.hi + slack)
    huge = np.maximum(np.abs(large.lo), np.abs(large.hi)) > 1e300  # what overflows has no bound on that side
    assert np.all(~fine | huge | held)
    assert np.any(fine)


@pytest.mark.parametrize("op", REALS)
def test_balls_shrink_with_their_box(op):
    program, *pair = nested(op, 4)
    compared = 0
    for row in range(len(pair[0][0][0])):
        large, small = (at_box(program, [(lo[row], hi[row]) for lo, hi in ends]) for ends in pair)
        for outer, inner in zip(large, small, strict=True):
            if mark_of(outer) is not None:
                assert mark_of(outer) == "OPEN" or mark_of(inner) == "NEVER"
                continue
            slack = 2.0**-48 * max(abs(float(outer[0])), abs(float(outer[1])))
            assert inner[0] >= outer[0] - slack
            assert inner[1] <= outer[1] + slack
            compared += 1
    assert compared


def test_products_of_matrices_that_overflow_have_no_bound(monkeypatch):
    from dynamem.programs import _interval_runs

    monkeypatch.setattr(_interval_runs, "DENSE", 0)
    huge = np.full((1, 2), 1e200)
    with np.errstate(over="ignore", invalid="ignore"):
        found = INTERVAL["dot"](Node("dot", (0, 1), 1, (1, 1, 2, 1)), Interval(huge, huge.copy()), Interval(huge, huge))
    assert (found.lo[0, 0], found.hi[0, 0]) == (-np.inf, np.inf)


@pytest.mark.parametrize("exponent", [-(10**40), 10**40])
def test_floors_of_what_no_float_holds(exponent):
    end = arb(exponent).exp().mid()
    for one in (end, -end):
        ((lo, hi),) = BALL["floor"](Node("floor", (0,), 1), [(one, one)])
        assert lo == hi == (one if exponent > 0 else arb(min(int(one > 0) * 2 - 1, 0)))
