"""Random straight lines: what a domain says of a box holds at its points, with and without the builder's rewritings.

The reference is the line as it was written down, unsimplified, in Arb at 200 bits; for some of them, in mpmath.
"""

import mpmath
import numpy as np
import pytest

from dynamem.programs._build import Builder
from tests.idioms import IDIOMS
from tests.random_programs import (
    OPERATIONS,
    Tally,
    at_points,
    ball_failures,
    idiom,
    interval_failures,
    mark_of,
    sampled,
    straight_line,
)


BOXES = 64
BEFORE = (None, "log", "sqrt", "asin")


def lines(seeds, builder=Builder):
    """Programs as written and as rewritten, boxes, and the exact values at a point of each."""
    for seed in seeds:
        random = np.random.default_rng(seed)
        plain, built = straight_line(random, int(random.integers(1, 9)), builder)
        ends, points = sampled(random, plain, BOXES)
        yield seed, plain, built, ends, points, at_points(plain, points)


def soundness(seeds):
    """Both domains over both forms of each line: intervals over both, balls at 53 and 96 bits by turns."""
    intervals, balls, seen = Tally(), Tally(), set()
    for seed, plain, built, ends, _, exact in lines(seeds):
        for program in (plain, built):
            tally = interval_failures(program, ends, exact)
            intervals += Tally(tally.compared, [(seed, *where) for where in tally.wrong])
        tally = ball_failures(built if seed % 2 else plain, ends, exact, bits=53 if seed % 4 < 2 else 96)
        balls += Tally(tally.compared, [(seed, *where) for where in tally.wrong])
        seen |= {str(node.op) for node in (*plain.nodes, *built.nodes)}
    return intervals, balls, seen


def test_boxes_hold_their_points():
    intervals, balls, seen = soundness(range(300))
    assert intervals.wrong == balls.wrong == []
    assert intervals.compared > 30_000
    assert balls.compared > 15_000
    assert seen == set(OPERATIONS)


@pytest.mark.long
@pytest.mark.parametrize("part", range(8))
def test_boxes_hold_their_points_a_million_times(part):
    """With 8 parts, 10^6 triples of program, box and point in each domain."""
    intervals, balls, _ = soundness(range(10**6 + 2200 * part, 10**6 + 2200 * (part + 1)))
    assert intervals.wrong == balls.wrong == []
    assert intervals.compared > 250_000
    assert balls.compared > 125_000


def idiom_failures(name, builder=Builder):
    """Where the rewritten form of an idiom is not what was written, for arguments that may be undefined too."""
    tally = Tally()
    for seed, before in enumerate(BEFORE):
        for length in (1, 2, 3):
            plain, built = idiom(name, length, builder, before)
            ends, points = sampled(np.random.default_rng(seed), plain, 24)
            exact = at_points(plain, points)
            tally += interval_failures(built, [(point, point) for point in points], exact)
            tally += ball_failures(built, [(point, point) for point in points], exact, bits=96)
            tally += interval_failures(built, ends, exact)
    return tally


@pytest.mark.parametrize("name", IDIOMS)
def test_a_rewriting_keeps_values_and_where_they_are_defined(name):
    tally = idiom_failures(name)
    assert tally.wrong == []
    assert tally.compared


def exactly(program, point):
    """What the lines of a program mean, by mpmath, None where nothing; None for a program with large values."""
    values = [None] * len(program.nodes)
    for place, inputs in zip(program.inputs, point, strict=True):
        values[place] = [mpmath.mpf(value) for value in inputs.tolist()]
    for place, node in enumerate(program.nodes):
        if node.op != "input":
            values[place] = MEANING[node.op](node, *(values[arg] for arg in node.args))
            if any(value is not None and not 1e-30 < abs(value) < 1e6 for value in values[place] if value):
                return None  # towers of exponentials take forever
    return values[program.outputs[0]]


def _each(function):
    def meaning(node, *args):
        rows = [[arg[place] if len(arg) > 1 else arg[0] for arg in args] for place in range(node.length)]
        return [None if any(one is None for one in row) else function(*row) for row in rows]

    return meaning


def _runs(function):
    def meaning(node, x):
        size, made = node.data[0], []
        for row in (x[start : start + size] for start in range(0, len(x), size)):
            count = size if node.op in ("sort", "softmax") else 1
            made += [None] * count if any(one is None for one in row) else function(row)
        return made

    return meaning


def _where(inside, function):
    return _each(lambda *args: function(*args) if inside(*args) else None)


def _chosen(node, which, yes, no):
    rows = [[arg[place] if len(arg) > 1 else arg[0] for arg in (which, yes, no)] for place in range(node.length)]
    return [None if fact is None else a if fact else b for fact, a, b in rows]


def _product(node, x, y):
    b, m, k, n = node.data
    x, y = (one if len(one) > 1 else one * size for one, size in ((x, b * m * k), (y, b * k * n)))
    made = []
    for batch, row, column in np.ndindex(b, m, n):
        pairs = [(x[(batch * m + row) * k + i], y[(batch * k + i) * n + column]) for i in range(k)]
        made.append(None if any(None in pair for pair in pairs) else mpmath.fsum(p * q for p, q in pairs))
    return made


def _power(x, y):
    return mpmath.mpf(0) if x == 0 else mpmath.exp(y * mpmath.log(x))


def _shares(row):
    weights = [mpmath.exp(one - max(row)) for one in row]
    return [weight / mpmath.fsum(weights) for weight in weights]


MEANING = {
    "const": lambda node: [value if isinstance(value, bool) else mpmath.mpf(value) for value in node.data.tolist()],
    "take": lambda node, *args: [[one for arg in args for one in arg][index] for index in node.data.tolist()],
    "powi": lambda node, x: _where(lambda a: a != 0 or node.data[0] >= 0, lambda a: a ** node.data[0])(node, x),
    "neg": _each(lambda a: -a), "abs": _each(abs), "sign": _each(mpmath.sign), "floor": _each(mpmath.floor),
    "exp": _each(mpmath.exp), "expm1": _each(mpmath.expm1), "log": _where(lambda a: a > 0, mpmath.log),
    "log1p": _where(lambda a: a > -1, mpmath.log1p), "sqrt": _where(lambda a: a >= 0, mpmath.sqrt),
    "cbrt": _each(lambda a: mpmath.sign(a) * mpmath.cbrt(abs(a))), "sin": _each(mpmath.sin), "cos": _each(mpmath.cos),
    "tan": _each(mpmath.tan), "asin": _where(lambda a: abs(a) <= 1, mpmath.asin), "atan": _each(mpmath.atan),
    "acos": _where(lambda a: abs(a) <= 1, mpmath.acos), "sinh": _each(mpmath.sinh), "cosh": _each(mpmath.cosh),
    "tanh": _each(mpmath.tanh), "logistic": _each(lambda a: 1 / (1 + mpmath.exp(-a))), "erf": _each(mpmath.erf),
    "add": _each(lambda a, b: a + b), "sub": _each(lambda a, b: a - b), "mul": _each(lambda a, b: a * b),
    "div": _where(lambda a, b: b != 0, lambda a, b: a / b), "min": _each(min), "max": _each(max),
    "pow": _where(lambda a, b: a > 0 or (a == 0 and b > 0), _power),
    "atan2": _where(lambda y, x: x != 0 or y != 0, mpmath.atan2), "sum": _runs(lambda row: [mpmath.fsum(row)]),
    "prod": _runs(lambda row: [mpmath.fprod(row)]), "least": _runs(lambda row: [min(row)]), "sort": _runs(sorted),
    "most": _runs(lambda row: [max(row)]), "softmax": _runs(_shares), "dot": _product, "select": _chosen,
    "lse": _runs(lambda row: [max(row) + mpmath.log(mpmath.fsum(mpmath.exp(one - max(row)) for one in row))]),
    "lt": _each(lambda a, b: a < b), "le": _each(lambda a, b: a <= b), "eq": _each(lambda a, b: a == b),
    "and": _each(lambda a, b: a and b), "or": _each(lambda a, b: a or b), "not": _each(lambda a: not a),
}  # fmt: skip
"""The operations once more, from their definitions alone."""


def test_the_reference_agrees_with_another_one():
    """200-bit balls against mpmath with 80 digits, at points where all values are of moderate size."""
    compared = 0
    with mpmath.workdps(80):
        for _, plain, _, _, points, exact in lines(range(500, 620)):
            for row in range(BOXES // 4):
                values = exactly(plain, [point[row] for point in points])
                for value, ball in () if values is None else zip(values, exact[row], strict=True):
                    if mark_of(ball) is not None:
                        assert value is None or mark_of(ball) == "OPEN"
                        continue
                    middle, radius = (mpmath.mpf(str(end)) for end in map(float, (ball[0], ball[1] - ball[0])))
                    assert value is not None
                    assert abs(value - middle) <= radius + 1e-15 * abs(middle) + mpmath.mpf("1e-320")
                    compared += 1
    assert compared > 300
