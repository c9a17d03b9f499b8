"""``softmax(g (K x + c))``: every domain holds what is exact, closer than softmax of ``g (K x + c)`` does."""

import numpy as np
import pytest
import sympy
from flint import arb, ctx

from dynamem.programs import BALL, INTERVAL, Interval, Mark, Node, Program, evaluate, slopes
from dynamem.programs._symbolic import RULES


N, K = 5, 2
NODE = Node("gibbs", (0, 1, 2, 3), N, (N, K))


@pytest.fixture(autouse=True)
def _precision():
    before, ctx.prec = ctx.prec, 128
    yield
    ctx.prec = before


def case(seed, fixed=True):
    """Ends of a matrix, a vector, an offset and a factor for many boxes, and a point of each."""
    random = np.random.default_rng(seed)
    count = 40
    matrix, offset = 5.0 + random.normal(size=(1, N * K)), random.normal(size=(1, N))
    grain = (0.0 if seed % 2 else 1e-15, 0.0) if fixed else (0.1, 0.1)
    middle, radius = random.normal(size=(count, K)), 10.0 ** random.uniform(-4, 0, (count, 1))
    factor = 10.0 ** random.uniform(-1, 1.5, (count, 1)) * random.choice([1.0, -1.0], (count, 1))
    rows = count if not fixed else 1
    ends = [
        (np.repeat(matrix - grain[0], rows, 0), np.repeat(matrix + grain[0], rows, 0)),
        (middle - radius, middle + radius),
        (np.repeat(offset - grain[1], rows, 0), np.repeat(offset + grain[1], rows, 0)),
        (factor - 0.001 * np.abs(factor), factor + 0.001 * np.abs(factor)),
    ]
    points = [np.broadcast_to(lo + random.uniform(size=lo.shape) * (hi - lo), (count, lo.shape[1])) for lo, hi in ends]
    return ends, points


def exact(points, row):
    """The weights at a point, by their definition, in Arb."""
    k, x, c, g = ([arb(value) for value in part[row].tolist()] for part in points)
    level = [g[0] * (sum(k[K * i + j] * x[j] for j in range(K)) + c[i]) for i in range(N)]
    parts = [(one - level[0]).exp() for one in level]
    return [part / sum(parts) for part in parts]


def plain(ends):
    """Bounds by the parts, which forget what the entries share."""
    k, x, c, g = (Interval(*pair) for pair in ends)
    z = INTERVAL["add"](None, INTERVAL["dot"](Node("dot", (), N, (1, N, K, 1)), k, x), c)
    return INTERVAL["softmax"](Node("softmax", (), N, (N,)), INTERVAL["mul"](None, g, z))


def missed(bound, points):
    rows = range(len(points[1]))
    pairs = [(row, i, weight) for row in rows for i, weight in enumerate(exact(points, row))]
    return sum(weight < float(bound.lo[row, i]) or weight > float(bound.hi[row, i]) for row, i, weight in pairs)


@pytest.mark.parametrize("fixed", [True, False])
def test_intervals_hold_the_weights_and_are_narrower(fixed):
    for seed in range(4):
        ends, points = case(seed, fixed)
        bound = INTERVAL["gibbs"](NODE, *(Interval(*pair) for pair in ends))
        assert missed(bound, points) == 0
        loose = plain(ends)
        if fixed:
            some = (loose.hi - loose.lo > 1e-3) & (loose.hi - loose.lo < 0.9)
            assert np.median(((bound.hi - bound.lo) / (loose.hi - loose.lo))[some]) < 0.8


def test_a_row_left_out_of_the_spread_is_seen(monkeypatch):
    """The broken twin: boxes as if ``x`` did not move."""
    from dynamem.programs import _interval_runs

    monkeypatch.setattr(_interval_runs, "up", lambda x, units=1.0: 0.0 * x)
    ends, points = case(0)
    assert missed(INTERVAL["gibbs"](NODE, *(Interval(*pair) for pair in ends)), points) > 5


def test_balls_hold_the_weights_too():
    ends, points = case(1)
    count = len(points[1])
    whole = [[np.broadcast_to(end, (count, end.shape[1])) for end in pair] for pair in ends]
    for row in range(count):
        args = [[(arb(a), arb(b)) for a, b in zip(*(end[row].tolist() for end in pair), strict=True)] for pair in whole]
        for (lo, hi), weight in zip(BALL["gibbs"](NODE, *args), exact(points, row), strict=True):
            assert not weight < lo
            assert not weight > hi
    marked = BALL["gibbs"](NODE, [Mark("OPEN")] * (N * K), *args[1:])
    assert all(isinstance(one, Mark) for one in marked)


def test_many_weights_in_balls():
    """Beyond a few, sums without one term are differences."""
    n = 40
    node, random = Node("softmax", (0,), n, (n,)), np.random.default_rng(0)
    middle = random.normal(size=n) * 20
    row = [(arb(a), arb(b)) for a, b in zip((middle - 0.5).tolist(), (middle + 0.5).tolist(), strict=True)]
    few = BALL["softmax"](Node("softmax", (0,), 3, (3,)), row[:3])
    assert all(hi - lo < 1 for lo, hi in few)
    weights = np.exp(middle - middle.max()) / np.sum(np.exp(middle - middle.max()))
    for (lo, hi), weight in zip(BALL["softmax"](node, row), weights.tolist(), strict=True):
        assert float(lo) <= weight * (1 + 1e-12)
        assert float(hi) >= weight * (1 - 1e-12)
        assert float(hi) <= max(1e-30, 4 * weight)


def test_slopes_are_those_of_the_weights():
    lines = [
        Node("input", (), K + 1), Node("take", (0,), K, (0, 1)), Node("take", (0,), 1, (2,)),
        Node("const", (), N * K, np.random.default_rng(3).normal(size=N * K)), Node("const", (), N, np.arange(5.0) / 3),
    ]  # fmt: skip
    made = Program((*lines, Node("gibbs", (3, 1, 4, 2), N, (N, K))), (0,), (5,))
    dot = [Node("dot", (3, 1), N, (1, N, K, 1)), Node("add", (5, 4), N), Node("mul", (2, 6), N)]
    same = Program((*lines, *dot, Node("softmax", (7,), N, (N,))), (0,), (8,))
    point = np.asarray([[0.3, -0.2, 0.7]])
    found, wanted = (evaluate(slopes(one), INTERVAL, [Interval(point, point.copy())])[0] for one in (made, same))
    np.testing.assert_allclose(found.lo, wanted.lo, rtol=1e-9, atol=1e-12)


def test_expressions():
    k, x, c, g = (sympy.symbols(f"{name}:{size}") for name, size in (("k", N * K), ("x", K), ("c", N), ("g", 1)))
    weights = RULES["gibbs"](NODE, *(list(part) for part in (k, x, c, g)))
    level = [g[0] * (sum(k[K * i + j] * x[j] for j in range(K)) + c[i]) for i in range(N)]
    assert sympy.simplify(weights[0] - sympy.exp(level[0]) / sum(map(sympy.exp, level))) == 0
