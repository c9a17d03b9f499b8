"""The rule of IEEE 1788 for each operation, in both numeric domains, by the table of special points."""

import math

import numpy as np
import pytest

from dynamem import programs
from dynamem.programs import BALL, INTERVAL, RUNS, Interval, Node, Truth
from tests.random_programs import OPERATIONS, mark_of, pair_of
from tests.special_cases import LOGIC_CASES, NO, OPEN, REAL_CASES, TRUTH_CASES, YES


FACTS = {YES: True, NO: False, OPEN: None}
MARKS = {"com": None, "trv": "OPEN", "ill": "NEVER"}


def columns(entries):
    """The interval of a list of pairs."""
    lo, hi = (np.asarray([[float(pair[side]) for pair in entries]]) for side in (0, 1))
    return Interval(lo, hi)


def ends(entries):
    return [pair_of(float(lo), float(hi)) for lo, hi in entries]


def near(found, wanted, *, outward):
    """Whether an end lies at the wanted one or outside it by some last digits; where it is infinite, anywhere."""
    slack = 2e-13 * abs(wanted) + 1e-300
    return math.isinf(wanted) or -slack / 100 <= outward * (wanted - found) <= slack


def hull_is_missed(found, hull):
    return not all(
        near(lo, least, outward=1) and near(hi, most, outward=-1)
        for (lo, hi), (least, most) in zip(found, hull, strict=True)
    )


def interval_is_wrong(rules, case):
    op, data, args, hull, decoration = case
    node = Node(op, tuple(range(len(args))), len(hull) if hull else 1, data)
    with np.errstate(all="ignore"):
        found = rules[op](node, *map(columns, args))
    fine, never = found.ok is None or bool(found.ok.all()), found.bad is not None and bool(found.bad.all())
    if (fine, never) != {"com": (True, False), "trv": (False, False), "ill": (False, True)}[decoration]:
        return True
    return hull is not None and hull_is_missed(zip(found.lo[0].tolist(), found.hi[0].tolist(), strict=True), hull)


def ball_is_wrong(rules, case):
    op, data, args, hull, decoration = case
    if any(math.isinf(end) for arg in args for pair in arg for end in pair):
        return False  # certificates have bounded boxes only
    node = Node(op, tuple(range(len(args))), len(hull) if hull else 1, data)
    found = rules[op](node, *map(ends, args))
    marks = {mark_of(entry) for entry in found}
    if decoration != "com" or marks != {None}:
        return marks != {MARKS[decoration]}
    return hull_is_missed([(float(lo), float(hi)) for lo, hi in found], hull)


@pytest.mark.parametrize("case", REAL_CASES, ids=lambda case: f"{case[0]}{list(case[1])} of {case[2]}")
def test_real(case):
    assert not interval_is_wrong(INTERVAL, case)
    assert not ball_is_wrong(BALL, case)


def test_every_operation_has_its_points():
    told = {case[0] for case in (*REAL_CASES, *TRUTH_CASES, *LOGIC_CASES)}
    assert told == set(OPERATIONS) - {"input", "const", "take", "select"}


def facts_are_wrong(rules, balls):
    """The comparisons and connectives that a table of rules gets wrong."""
    wrong = []
    for op, *args, wanted in TRUTH_CASES:
        node = Node(op, (0, 1), 1)
        made = rules[op](node, *(columns([arg]) for arg in args))
        (fact,) = balls[op](node, *(ends([arg]) for arg in args))
        wrong += [op] * ((bool(made.may[0, 0]), bool(made.may_not[0, 0])) != wanted or fact is not FACTS[wanted])
    for op, *args, wanted in LOGIC_CASES:
        node = Node(op, tuple(range(len(args))), 1)
        made = rules[op](node, *(truth(*arg) for arg in args))
        (fact,) = balls[op](node, *([FACTS[arg]] for arg in args))
        wrong += [op] * ((bool(made.may[0, 0]), bool(made.may_not[0, 0])) != wanted or fact is not FACTS[wanted])
    return wrong


def truth(may, may_not):
    return Truth(np.full((1, 1), may), np.full((1, 1), may_not))


def test_truth():
    assert facts_are_wrong(INTERVAL, BALL) == []


def test_a_value_is_equal_to_itself():
    """The entry is the same one, whatever it is; ``isnan`` asks for this."""
    node, x, y = Node("eq", (0, 0), 1), columns([(1, 2)]), ends([(1, 2)])
    assert not INTERVAL["eq"](node, x, x).may_not.any()
    assert BALL["eq"](node, y, y) == [True]


BRANCHES = [
    (YES, "com", "ill", "com", (1, 2)), (YES, "ill", "com", "ill", None), (YES, "trv", "com", "trv", None),
    (NO, "ill", "com", "com", (4, 5)), (NO, "com", "ill", "ill", None), (NO, "com", "trv", "trv", None),
    (OPEN, "com", "com", "com", (1, 5)), (OPEN, "com", "ill", "trv", None), (OPEN, "ill", "com", "trv", None),
    (OPEN, "trv", "com", "trv", None), (OPEN, "ill", "ill", "trv", None), (YES, "com", "com", "com", (1, 2)),
    (NO, "com", "com", "com", (4, 5)),
]  # fmt: skip
"""Truth, decorations of both branches, that of the result and its hull; branches are [1, 2] and [4, 5]."""


def decorated(pair, decoration, room):
    """An interval and a ball with a mark."""
    made = columns([pair])
    if decoration != "com":
        made.ok = np.zeros((1, 1), bool)
        made.bad = np.ones((1, 1), bool) if decoration == "ill" else None
    return made, {"com": ends([pair]), "trv": [room.Mark("OPEN")], "ill": [room.NEVER]}[decoration]


def branches_are_wrong(room):
    """Rows of `BRANCHES` that the domains get wrong; two undefined branches may count as either mark."""
    wrong, node = [], Node("select", (0, 1, 2), 1)
    for which, yes, no, decoration, hull in BRANCHES:
        (first, first_ball), (second, second_ball) = decorated((1, 2), yes, room), decorated((4, 5), no, room)
        made = room.INTERVAL["select"](node, truth(*which), first, second)
        (entry,) = room.BALL["select"](node, [FACTS[which]], first_ball, second_ball)
        fine, never = made.ok is None or bool(made.ok.all()), made.bad is not None and bool(made.bad.any())
        good = fine is (decoration == "com") and (never is (decoration == "ill") or (yes, no) == ("ill", "ill"))
        good = good and (mark_of(entry) == MARKS[decoration] or (yes, no) == ("ill", "ill"))
        if good and hull is not None:
            good = (float(made.lo[0, 0]), float(made.hi[0, 0])) == hull == (float(entry[0]), float(entry[1]))
        wrong += [] if good else [(which, yes, no)]
    return wrong


def test_branches():
    assert branches_are_wrong(programs) == []


def marks_are_lost(op, room):
    """Whether an argument that is undefined, somewhere or everywhere, leaves the result of an operation defined."""
    size = 2 if op in RUNS or op == "dot" else 1
    data = {"powi": (2,), "dot": (1, 1, 2, 1)}.get(op, (size,) if op in RUNS else ())
    count, length = OPERATIONS[op], size if op in ("sort", "softmax") else 1
    node = Node(op, tuple(range(count)), length, data)
    for place in range(count):
        for decoration in ("trv", "ill"):
            args = [columns([(0.25, 0.5)] * size) for _ in range(count)]
            pairs = [ends([(0.25, 0.5)] * size) for _ in range(count)]
            for arg in args:
                arg.ok, arg.bad = np.ones((1, size), bool), np.zeros((1, size), bool)
            args[place].ok = np.asarray([[True] * (size - 1) + [False]])
            args[place].bad = (
                np.asarray([[False] * (size - 1) + [True]]) if decoration == "ill" else np.zeros((1, size), bool)
            )
            pairs[place][-1] = room.NEVER if decoration == "ill" else room.Mark("OPEN")
            made, found = room.INTERVAL[op](node, *args), room.BALL[op](node, *pairs)
            never = made.bad is not None and bool(made.bad.all())
            if made.ok is None or made.ok.any() or never is (decoration != "ill"):
                return True
            if {mark_of(entry) for entry in found} != {MARKS[decoration]}:
                return True
    return False


@pytest.mark.parametrize("op", sorted(set(OPERATIONS) - {"input", "const", "take", "select", "and", "or", "not"}))
def test_what_is_undefined_stays_undefined(op):
    assert not marks_are_lost(op, programs)


def test_entries_are_laid_end_to_end_with_their_marks():
    node = Node("take", (0, 1), 4, np.asarray([2, 0, 1, 2]))
    first, second = columns([(1, 2), (3, 4)]), columns([(5, 6)])
    first.ok, second.bad = np.asarray([[True, False]]), np.ones((1, 1), bool)
    made = INTERVAL["take"](node, first, second)
    assert made.lo.tolist() == [[5, 1, 3, 5]]
    assert made.hi.tolist() == [[6, 2, 4, 6]]
    assert made.ok.tolist() == [[True, True, False, True]]
    assert made.bad.tolist() == [[True, False, False, True]]
    assert BALL["take"](node, ["a", "b"], ["c"]) == ["c", "a", "b", "c"]
    alone = INTERVAL["take"](Node("take", (0,), 2, np.asarray([1, 0])), first)
    assert (alone.lo.tolist(), alone.hi.tolist(), alone.ok.tolist()) == ([[3, 1]], [[4, 2]], [[False, True]])
