"""The quick Arb domain, one ball for each entry: it holds what the exact one finds, or it gives up."""

import dataclasses

import numpy as np
import pytest
from flint import arb

from dynamem.programs import BALL, OPERATIONS, QUICK, Mark, Node, Program, _quick, quick
from tests.random_programs import REALS, SIZE, boxes, node_of, points_of


def quick_failures(op, seed):
    """Points whose exact value the quick ball of their box does not hold, and how many balls there were."""
    random = np.random.default_rng(seed)
    node, arity = node_of(op, random), OPERATIONS[op]
    parts = [Node("take", (0,), SIZE, tuple(range(k * SIZE, (k + 1) * SIZE))) for k in range(arity)]
    last = dataclasses.replace(node, args=tuple(range(1, arity + 1)))
    bounds = quick(Program((Node("input", (), arity * SIZE), *parts, last), (0,), (arity + 1,)))
    missed = made = 0
    for _ in range(60):
        lo, hi = boxes(random, 1, arity * SIZE)
        point = points_of(random, lo, hi)[0].tolist()
        balls = [arb(a).union(arb(b)) for a, b in zip(lo[0].tolist(), hi[0].tolist(), strict=True)]
        exact = BALL[op](node, *([(arb(v),) * 2 for v in point[k * SIZE : (k + 1) * SIZE]] for k in range(arity)))
        found = bounds(balls)
        for ball, entry in zip([] if found is None else found[0], exact, strict=found is not None):
            made += 1
            missed += isinstance(entry, Mark) or not ball.overlaps(arb.union(*entry))
    return missed, made


@pytest.mark.parametrize("op", sorted(set(REALS) & QUICK))
def test_quick_balls_hold_what_is_exact(op, monkeypatch):
    missed, made = quick_failures(op, 0)
    assert missed == 0
    assert made > 10
    wrong = lambda rule: lambda *args: rule(*args) * arb(1.001)  # noqa: E731
    for name, rule in _quick.FUNCTIONS.items():
        monkeypatch.setitem(_quick.FUNCTIONS, name, wrong(rule))
    power = _quick._power
    monkeypatch.setattr(_quick, "_power", lambda n: wrong(power(n)))
    for name, rule in _quick.RUNS.items():
        monkeypatch.setitem(_quick.RUNS, name, lambda push, row, rule=rule: [
            push(lambda value: value * arb(1.001), at) for at in rule(push, row)])  # fmt: skip
    assert op == "dot" or any(quick_failures(op, seed)[0] for seed in range(3))  # products are made of other lines


def test_the_quick_domain_gives_up_where_it_cannot_tell():
    lines = [Node("input", (), 1), Node("const", (), 1, (0.25,))]
    less, branch = Node("lt", (0, 1), 1), Node("select", (2, 0, 1), 1)
    open_, undefined = (
        Program((*lines, *more), (0,), (1 + len(more),)) for more in ([less, branch], [Node("log", (0,), 1)])
    )
    for program in (open_, undefined):
        assert quick(program)([arb(0).union(arb(1))]) is None
        assert quick(program)([arb(1).union(arb(2))]) is not None
    assert quick(Program((*lines, Node("sort", (0,), 1, (1,))), (0,), (2,)))([arb(1)]) is None
    passed = Program((*lines, Node("log", (0,), 1), Node("lt", (0, 1), 1), Node("select", (3, 1, 2), 1)), (0,), (4,))
    assert quick(passed)([arb(-1)]) == [[arb(0.25)]]
