"""IEEE 1788 by example: for each operation its special points, as boxes with the tight hull and the decoration.

A row is ``(op, data, arguments, hull, decoration)``; arguments and hull are lists of pairs. Decorations: ``com``
(defined all over the box), ``trv`` (undefined somewhere), ``ill`` (defined nowhere). Bounds that are no float are
written as infinite; a hull of None says nothing of them.
"""

import math


INF, PI = math.inf, math.pi
TINY, HUGE = 5e-324, 1e300


def _one(op, decoration, *rows):
    """Rows of one argument: ``(lo, hi, least, most)``."""
    return [(op, (), [[row[:2]]], [row[2:]] if len(row) > 2 else None, decoration) for row in rows]


def _two(op, decoration, *rows):
    """Rows of two arguments: ``(lo, hi, lo, hi, least, most)``."""
    return [(op, (), [[row[:2]], [row[2:4]]], [row[4:]] if len(row) > 4 else None, decoration) for row in rows]


def _power(n, decoration, *rows):
    return [("powi", (n,), [[row[:2]]], [row[2:]] if len(row) > 2 else None, decoration) for row in rows]


def _run(op, *rows):
    return [(op, (len(entries),), [entries], hull, "com") for entries, hull in rows]


REAL_CASES = [
    *_one("neg", "com", (-1, 2, -2, 1), (0.0, 0.0, 0, 0), (-INF, 1, -1, INF), (TINY, HUGE, -HUGE, -TINY)),
    *_one("abs", "com", (-3, 2, 0, 3), (-3, -2, 2, 3), (1, 2, 1, 2), (-0.0, 0.0, 0, 0), (-INF, INF, 0, INF)),
    *_one("sign", "com", (-2, 0, -1, 0), (0, 3, 0, 1), (-TINY, TINY, -1, 1), (0, 0, 0, 0), (-INF, -TINY, -1, -1)),
    *_one("floor", "com", (-0.5, 0.5, -1, 0), (1, 1.75, 1, 1), (-HUGE, HUGE, -HUGE, HUGE), (-TINY, 0, -1, 0)),
    *_one("floor", "com", (2, 2, 2, 2)),
    *_one("floor", "com", (-1.5, -1.25, -2, -2), (-3, -2.5, -3, -3), (2.0**60, 2.0**60, 2.0**60, 2.0**60)),
    *_one("exp", "com", (0, 0, 1, 1), (-INF, 0, 0, 1), (0, 1, 1, math.e), (-800, -800, 0, 0), (0, 1e5, 1, INF)),
    *_one("expm1", "com", (-HUGE, 0, -1, 0), (0, 1, 0, math.e - 1), (TINY, TINY, 0, 0), (-1, 0, math.expm1(-1), 0)),
    *_one("log", "com", (1, 1, 0, 0), (1, math.e, 0, 1), (TINY, 1, math.log(TINY), 0)),
    *_one("log", "com", (HUGE, HUGE, *[math.log(HUGE)] * 2)),
    *_one("log", "trv", (0, 1, -INF, 0), (-1, math.e, -INF, 1), (-0.0, INF, -INF, INF)),
    *_one("log", "ill", (-2, -1), (0, 0), (-1, -0.0), (-INF, -TINY)),
    *_one("log1p", "com", (0, 0, 0, 0), (-0.5, 1, -math.log(2), math.log(2)), (TINY, TINY, 0, 0)),
    *_one("log1p", "trv", (-1, 0, -INF, 0), (-3, 1, -INF, math.log(2))),
    *_one("log1p", "ill", (-1, -1), (-2, -1.5), (-HUGE, -1)),
    *_one("sqrt", "com", (0, 4, 0, 2), (0, 0, 0, 0), (-0.0, 0.0, 0, 0), (4, 9, 2, 3)),
    *_one("sqrt", "com", (TINY, TINY, *[math.sqrt(TINY)] * 2)),
    *_one("sqrt", "trv", (-1, 4, 0, 2), (-TINY, 0, 0, 0), (-INF, INF, 0, INF)),
    *_one("sqrt", "ill", (-2, -1), (-TINY, -TINY)),
    *_one("cbrt", "com", (-8, 27, -2, 3), (0, 0, 0, 0), (8, 8, 2, 2), (-1, -1, -1, -1)),
    *_one("sin", "com", (0, 0, 0, 0), (1, 2, math.sin(1), 1), (4, 5, -1, math.sin(4)), (0, 7, -1, 1)),
    *_one("sin", "com", (HUGE, 2e300, -1, 1)),
    *_one("sin", "com", (-1, 1, -math.sin(1), math.sin(1)), (2, 3, math.sin(3), math.sin(2)), (1, 5, -1, 1)),
    *_one("sin", "com", (-2, -1, -1, -math.sin(1)), (7, 8.5, math.sin(7), 1), (-INF, INF, -1, 1)),
    *_one("sin", "com", (-1, 2, -math.sin(1), 1)),
    *_one("cos", "com", (0, 0, 1, 1), (-1, 1, math.cos(1), 1), (3, 4, -1, math.cos(4))),
    *_one("cos", "com", (1, 2, math.cos(2), math.cos(1))),
    *_one("cos", "com", (-4, -3, -1, math.cos(4)), (6, 7, math.cos(7), 1), (-1, 4, -1, 1), (HUGE, 2e300, -1, 1)),
    *_one("tan", "com", (0, 0, 0, 0), (-1, 1, -math.tan(1), math.tan(1)), (2, 4, math.tan(2), math.tan(4))),
    *_one("tan", "trv", (1, 2), (0, 4), (-2, -1), (-HUGE, HUGE), (-INF, 0), (7, 8)),
    *_one("asin", "com", (-1, 1, -PI / 2, PI / 2), (0, 0, 0, 0), (0.5, 0.5, PI / 6, PI / 6)),
    *_one("asin", "trv", (0, 2, 0, PI / 2), (1, 2, PI / 2, PI / 2), (-2, -0.5, -PI / 2, -PI / 6)),
    *_one("asin", "ill", (2, 3), (-3, -2), (1.0000001, 1.0000001)),
    *_one("acos", "com", (-1, 1, 0, PI), (1, 1, 0, 0), (0, 0.5, PI / 3, PI / 2)),
    *_one("acos", "trv", (0, 2, 0, PI / 2), (-2, 0, PI / 2, PI), (-2, 2, 0, PI)),
    *_one("acos", "ill", (2, 3), (-3, -2)),
    *_one("atan", "com", (-1, 1, -PI / 4, PI / 4), (0, 0, 0, 0), (-INF, INF, -PI / 2, PI / 2)),
    *_one("atan", "com", (HUGE, HUGE, PI / 2, PI / 2)),
    *_one("sinh", "com", (0, 0, 0, 0), (-1, 2, -math.sinh(1), math.sinh(2)), (-1e5, 0, -INF, 0)),
    *_one("cosh", "com", (0, 0, 1, 1), (-1, 2, 1, math.cosh(2)), (1, 2, math.cosh(1), math.cosh(2))),
    *_one("cosh", "com", (-2, 0, 1, math.cosh(2))),
    *_one("cosh", "com", (-2, -1, math.cosh(1), math.cosh(2)), (0, 1e5, 1, INF), (0, 1, 1, math.cosh(1))),
    *_one("tanh", "com", (0, 0, 0, 0), (-INF, INF, -1, 1), (-1, 2, -math.tanh(1), math.tanh(2)), (HUGE, HUGE, 1, 1)),
    *_one("logistic", "com", (0, 0, 0.5, 0.5), (-800, 800, 0, 1), (-INF, INF, 0, 1)),
    *_one("logistic", "com", (0, 1, 0.5, 1 / (1 + math.exp(-1)))),
    *_one("erf", "com", (0, 0, 0, 0), (-10, 10, -1, 1), (0, 1, 0, math.erf(1)), (-INF, INF, -1, 1)),
    *_power(0, "com", (-1, 2, 1, 1), (0, 0, 1, 1)), *_power(1, "com", (-1, 2, -1, 2)),
    *_power(2, "com", (-1, 2, 0, 4), (-3, -2, 4, 9), (2, 3, 4, 9), (0, 0, 0, 0), (-INF, INF, 0, INF)),
    *_power(2, "com", (1e-200, 1e-200, 0, 0)),
    *_power(4, "com", (-2, 1, 0, 16), (-2, -1, 1, 16), (1, 2, 1, 16), (-1e100, 0, 0, INF)),
    *_power(3, "com", (-1, 2, -1, 8), (-2, -1, -8, -1), (0, 0, 0, 0), (-INF, INF, -INF, INF)),
    *_power(3, "com", (-1e-200, 1e-200, 0, 0)),
    *_power(-1, "com", (1, 2, 0.5, 1), (-2, -1, -1, -0.5)), *_power(-2, "com", (-2, -1, 0.25, 1), (1, 2, 0.25, 1)),
    *_power(-3, "com", (1, 2, 0.125, 1), (-2, -1, -1, -0.125)),
    *_power(-1, "trv", (0, 1), (-1, 0), (-1, 1)), *_power(-2, "trv", (0, 1), (-1, 1)), *_power(-1, "ill", (0, 0)),
    *_power(-2, "ill", (-0.0, 0.0)),
    *_two("add", "com", (1, 2, 3, 4, 4, 6), (-1, 1, -1, 1, -2, 2), (0, 0, -0.0, 0.0, 0, 0)),
    *_two("add", "com", (-INF, 0, 0, INF, -INF, INF)),
    *_two("add", "com", (1, 1, TINY, TINY, 1, 1), (TINY, TINY, TINY, TINY, 1e-323, 1e-323), (1, 2, -2, -1, -1, 1)),
    *_two("sub", "com", (1, 2, 3, 4, -3, -1), (1, 2, 1, 2, -1, 1), (0, 0, 0, 0, 0, 0), (0, INF, 0, INF, -INF, INF)),
    *_two("mul", "com", (-1, 2, 3, 4, -4, 8), (-1, 2, -3, 4, -6, 8), (-2, -1, -4, -3, 3, 8)),
    *_two("mul", "com", (0, 0, -HUGE, HUGE, 0, 0)),
    *_two("mul", "com", (2, 2, -1, 3, -2, 6), (-1, 3, 2, 2, -2, 6), (1e-200, 1e-200, 1e-200, 1e-200, 0, 0)),
    *_two("mul", "com", (1, 2, -4, -3, -8, -3), (-2, 1, -4, -3, -4, 8), (HUGE, INF, 1, HUGE, HUGE, INF)),
    *_two("div", "com", (1, 2, 4, 8, 0.125, 0.5), (0, 0, 1, 2, 0, 0), (-1, 1, -2, -1, -1, 1), (-4, -2, 1, 2, -4, -1)),
    *_two("div", "com", (TINY, TINY, HUGE, HUGE, 0, 0), (2, 4, -2, -1, -4, -1), (-4, 2, 1, 2, -4, 2)),
    *_two("div", "com", (3, 3, 2, 2, 1.5, 1.5)),
    *_two("div", "trv", (1, 1, 0, 1), (1, 1, -1, 0), (1, 2, -1, 1), (0, 0, -1, 1)),
    *_two("div", "ill", (0, 0, 0, 0), (1, 2, -0.0, 0.0), (-1, 1, 0, 0)),
    *_two("min", "com", (1, 4, 2, 3, 1, 3), (-INF, 0, 1, 2, -INF, 0), (0, 5, 1, 9, 0, 5)),
    *_two("max", "com", (1, 4, 2, 3, 2, 4), (-INF, 0, 1, 2, 1, 2), (0, 5, 1, 9, 1, 9)),
    *_two("pow", "com", (1, 4, 0.5, 2, 1, 16), (0, 4, 1, 2, 0, 16), (0, 0, 1, 1, 0, 0), (0.5, 1, -1, 0, 1, 2)),
    *_two("pow", "com", (4, 4, 0.5, 0.5, 2, 2), (0, 0.25, 0.5, 1, 0, 0.5), (0.5, 2, -1, 1, 0.5, 2)),
    *_two("pow", "trv", (-1, 1, 2, 2), (0, 0, -1, 1), (0, 1, 0, 1), (0, 1, -1, -1), (-1, 0, 1, 1)),
    *_two("pow", "ill", (-2, -1, 2, 2), (0, 0, 0, 0), (0, 0, -2, -1), (-1, 0, -1, -1)),
    *_two("atan2", "com", (1, 1, 1, 1, PI / 4, PI / 4), (0, 0, 1, 2, 0, 0), (-1, 1, 1, 1, -PI / 4, PI / 4)),
    *_two("atan2", "com", (1, 2, -1, 1, PI / 4, 3 * PI / 4), (-1, 1, -2, -1, -PI, PI), (1, 1, -INF, INF, 0, PI)),
    *_two("atan2", "com", (-2, -1, -1, 1, -3 * PI / 4, -PI / 4)),
    *_two("atan2", "com", (1, 2, -2, -1, math.atan2(2, -1), math.atan2(1, -2))),
    *_two("atan2", "trv", (-1, 1, -1, 1), (0, 1, 0, 1), (0, 0, 0, 1), (0, 0, -1, 0), (-1, 0, 0, 0)),
    *_two("atan2", "ill", (0, 0, 0, 0), (-0.0, 0.0, -0.0, 0.0)),
    *_run("sum", ([(1, 2), (3, 4), (-1, 0)], [(3, 6)]), ([(0, 0), (0, 0)], [(0, 0)])),
    *_run("prod", ([(-1, 2), (3, 4)], [(-4, 8)]), ([(-1, 1), (-2, -1), (3, 3)], [(-6, 6)])),
    *_run("prod", ([(0, 0), (1, 2)], [(0, 0)])),
    *_run("least", ([(1, 4), (2, 3), (5, 6)], [(1, 3)])), *_run("most", ([(1, 4), (2, 3), (-5, 0)], [(2, 4)])),
    *_run("sort", ([(3, 5), (1, 4), (2, 2)], [(1, 2), (2, 4), (3, 5)])),
    *_run("lse", ([(0, 0), (0, 0)], [(math.log(2), math.log(2))]), ([(1, 2), (-HUGE, -HUGE)], [(1, 2)])),
    *_run("lse", ([(1000, 1000), (1000, 1000)], [(1000 + math.log(2), 1000 + math.log(2))])),
    *_run("softmax", ([(0, 0), (0, 0)], [(0.5, 0.5), (0.5, 0.5)]), ([(1000, 1000), (0, 0)], [(1, 1), (0, 0)])),
    *_run("softmax", ([(0, 1), (0, 0)], [(0.5, 1 / (1 + math.exp(-1))), (1 / (1 + math.e), 0.5)])),
    *_run("softmax", ([(3, 3)], [(1, 1)])),
    *_run("softmax", ([(-HUGE, HUGE), (0, 0)], [(0, 1), (0, 1)])),
    ("dot", (1, 1, 2, 1), [[(1, 2), (-1, 1)], [(3, 4), (5, 5)]], [(-2, 13)], "com"),
    ("dot", (1, 2, 1, 2), [[(1, 2), (-1, 1)], [(3, 4), (5, 5)]], [(3, 8), (5, 10), (-4, 4), (-5, 5)], "com"),
    ("dot", (2, 1, 1, 1), [[(1, 2), (-1, 1)], [(3, 4), (5, 5)]], [(3, 8), (-5, 5)], "com"),
]  # fmt: skip

YES, NO, OPEN = (True, False), (False, True), (True, True)
"""Whether a truth value may hold, and may fail."""

TRUTH_CASES = [
    ("lt", (1, 2), (3, 4), YES), ("lt", (1, 2), (2, 3), OPEN), ("lt", (2, 3), (1, 2), NO),
    ("lt", (0.0, 0.0), (-0.0, 0.0), NO),
    ("lt", (0, 3), (1, 2), OPEN), ("lt", (-INF, 0), (TINY, INF), YES), ("lt", (1, 1), (1, 1), NO),
    ("lt", (0, 1), (1, 1), OPEN),
    ("le", (1, 2), (2, 3), YES), ("le", (2, 3), (1, 2), OPEN), ("le", (3, 4), (1, 2), NO),
    ("le", (0.0, 0.0), (-0.0, 0.0), YES),
    ("le", (0, 3), (1, 2), OPEN), ("le", (TINY, 1), (-1, 0), NO), ("le", (1, 1), (1, 1), YES),
    ("le", (1, 2), (1, 1), OPEN),
    ("eq", (1, 1), (1, 1), YES), ("eq", (0.0, 0.0), (-0.0, -0.0), YES), ("eq", (1, 2), (3, 4), NO),
    ("eq", (3, 4), (1, 2), NO),
    ("eq", (1, 2), (2, 3), OPEN), ("eq", (2, 3), (1, 2), OPEN), ("eq", (1, 2), (1, 2), OPEN),
    ("eq", (1, 1), (1, 2), OPEN),
    ("eq", (1, 2), (1, 1), OPEN), ("eq", (TINY, TINY), (0, 0), NO),
]  # fmt: skip

LOGIC_CASES = [
    ("and", YES, YES, YES), ("and", YES, NO, NO), ("and", YES, OPEN, OPEN), ("and", NO, OPEN, NO),
    ("and", OPEN, OPEN, OPEN),
    ("and", NO, NO, NO), ("and", OPEN, NO, NO), ("and", NO, YES, NO),
    ("or", YES, YES, YES), ("or", YES, NO, YES), ("or", YES, OPEN, YES), ("or", NO, OPEN, OPEN),
    ("or", OPEN, OPEN, OPEN),
    ("or", NO, NO, NO), ("or", OPEN, NO, OPEN), ("or", NO, YES, YES),
    ("not", YES, NO), ("not", NO, YES), ("not", OPEN, OPEN),
]  # fmt: skip
