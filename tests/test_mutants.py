"""Rules broken once each: a sign, an end, an orientation, a rounding, a neutral element, a mark, a wrong branch."""

import numpy as np
import pytest

from tests.mutants import copied, fast
from tests.random_programs import REALS, at_points, ball_failures, interval_failures, one_line, sampled
from tests.special_cases import REAL_CASES
from tests.test_soundness import IDIOMS, idiom_failures, lines
from tests.test_special_points import (
    ball_is_wrong,
    branches_are_wrong,
    facts_are_wrong,
    interval_is_wrong,
    marks_are_lost,
)


MUTANTS = [
    ("_interval.py", "return x - np.abs(x) * (units * EPS)", "return x + np.abs(x) * (units * EPS)"),
    ("_interval.py", "return x + np.abs(x) * (units * EPS)", "return x"),
    ("_interval.py", "lo = -x.hi", "lo = -x.lo"),
    ("_interval.py", "sealed(down(x.lo + y.lo), up(x.hi + y.hi), x, y)", "sealed(x.lo + y.lo, x.hi + y.hi, x, y)"),
    (
        "_interval.py",
        "sealed(down(x.lo - y.hi), up(x.hi - y.lo), x, y)",
        "sealed(down(x.lo - y.lo), up(x.hi - y.hi), x, y)",
    ),
    ("_interval.py", "ends = [(a, c), (a, d), (b, c), (b, d)]", "ends = [(a, c), (b, d)]"),
    ("_interval.py", "np.maximum(low - TINY, 0.0), low - TINY)", "low, low)"),
    ("_interval.py", "through = (y.lo <= 0) & (y.hi >= 0)", "through = (y.lo < 0) & (y.hi > 0)"),
    ("_interval.py", "flagged(made, through, (y.lo == 0) & (y.hi == 0))", "flagged(made, through, through)"),
    ("_interval.py", "    if n % 2:\n", "    if True:\n"),
    ("_interval.py", "return Truth(x.lo < y.hi, x.hi >= y.lo", "return Truth(x.lo < y.hi, x.hi > y.lo"),
    ("_interval.py", "return Truth(x.lo <= y.hi, x.hi > y.lo", "return Truth(x.lo < y.hi, x.hi > y.lo"),
    ("_interval.py", "(x.lo <= y.hi) & (y.lo <= x.hi), ~surely", "(x.lo <= y.hi) & (y.lo <= x.hi), surely"),
    ("_interval.py", "Truth(x.may & y.may, x.may_not | y.may_not", "Truth(x.may & y.may, x.may_not & y.may_not"),
    ("_interval.py", "Truth(x.may | y.may, x.may_not & y.may_not", "Truth(x.may & y.may, x.may_not & y.may_not"),
    ("_interval.py", "Truth(x.may_not, x.may, x.ok, x.bad)", "Truth(x.may, x.may_not, x.ok, x.bad)"),
    ("_interval.py", "which.may & ~which.may_not, which.may_not & ~which.may", "which.may, ~which.may"),
    (
        "_interval.py",
        "np.where(only_yes, yes.lo, np.where(only_no, no.lo",
        "np.where(only_no, yes.lo, np.where(only_yes, no.lo",
    ),
    (
        "_interval.py",
        "(yes, only_no, only_yes), (no, only_yes, only_no)",
        "(yes, only_yes, only_no), (no, only_no, only_yes)",
    ),
    (
        "_interval.py",
        "ok = value.ok if ok is None else ok & value.ok",
        "ok = value.ok if ok is None else ok | value.ok",
    ),
    ("_interval_functions.py", "(x.lo <= edge, x.hi <= edge)", "(x.lo < edge, x.hi < edge)"),
    ("_interval_functions.py", "(x.lo < 0, x.hi < 0), lambda end", "(x.lo <= 0, x.hi <= 0), lambda end"),
    ("_interval_functions.py", "low, high = down(lo, units) - TINY, up(hi, units) + TINY", "low, high = lo, hi"),
    ("_interval_functions.py", "_between(a, b, top + np.pi), -1.0, lo)", "_between(a, b, top), -1.0, lo)"),
    ("_interval_functions.py", "hi = np.where(_between(a, b, top), 1.0, hi)", "hi = hi"),
    (
        "_interval_functions.py",
        "lo = np.where((x.lo <= 0) & (x.hi >= 0), 1.0, np.minimum(*ends))",
        "lo = np.minimum(*ends)",
    ),
    ("_interval_functions.py", "cut = (x.lo <= 0) & (y.lo <= 0) & (y.hi >= 0)", "cut = np.zeros(np.shape(x.lo), bool)"),
    (
        "_interval_functions.py",
        "np.arccos(np.clip(x.hi, -1, 1)), np.arccos(np.clip(x.lo",
        "np.arccos(np.clip(x.lo, -1, 1)), np.arccos(np.clip(x.hi",
    ),
    ("_interval_functions.py", "zero = (x.lo == 0) & (y.lo > 0)", "zero = x.lo == 0"),
    ("_interval_runs.py", "low = lo.sum(axis=-1) - units", "low = lo.sum(axis=-1) + units"),
    (
        "_interval_runs.py",
        "_share(below[0], parts[0], parts[-1], gap, 1.0)",
        "_share(below[0], parts[0], parts[0], gap, 1.0)",
    ),
    ("_interval_runs.py", "parts[0], -gap, -1.0)", "parts[0], gap, -1.0)"),
    ("_interval_runs.py", "share *= 1.0 - side * (loose", "share *= 1.0 + side * (loose"),
    ("_interval_runs.py", "_lse(_rows(x.lo, size), -1.0)", "_lse(_rows(x.lo, size), 1.0)"),
    ("_interval_runs.py", "_rows(x.ok, size).all(axis=2)", "_rows(x.ok, size).any(axis=2)"),
    (
        "_interval_runs.py",
        '"least": extremum(np.min), "most": extremum(np.max)',
        '"least": extremum(np.max), "most": extremum(np.min)',
    ),
    ("_ball.py", "return -x[1], -x[0]", "return -x[0], -x[1]"),
    (
        "_ball.py",
        "return outward(x[0] + y[0])[0], outward(x[1] + y[1])[1]",
        "return outward(x[0] + y[0])[1], outward(x[1] + y[1])[0]",
    ),
    (
        "_ball.py",
        "return least([one[0] for one in products]), most",
        "return least([one[1] for one in products]), most",
    ),
    (
        "_ball.py",
        "    if y[0] <= 0 and y[1] >= 0:\n        return NEVER",
        "    if y[0] < 0 and y[1] > 0:\n        return NEVER",
    ),
    ("_ball.py", "return ZERO, most([outward(end**n)[1] for end in x])", "return ZERO, outward(x[1] ** n)[1]"),
    ("_ball.py", "(ZERO, most([-x[0], x[1]]))", "(ZERO, x[1])"),
    ("_ball.py", "lo = -ONE if _meets(x, top + 1, 2) else lo", "lo = lo"),
    (
        "_ball.py",
        "outward(x[1].acos())[0], outward(x[0].acos())[1]",
        "outward(x[0].acos())[0], outward(x[1].acos())[1]",
    ),
    ("_ball.py", "(lambda end: end <= least) if strict", "(lambda end: end < least) if strict"),
    ("_ball.py", "NEVER if NEVER in marks else OPEN", "OPEN"),
    (
        "_ball_runs.py",
        "True if x[1] < y[0] else False if x[0] >= y[1]",
        "True if x[0] < y[0] else False if x[0] >= y[1]",
    ),
    (
        "_ball_runs.py",
        "True if x[1] <= y[0] else False if x[0] > y[1]",
        "True if x[1] <= y[0] else False if x[0] >= y[1]",
    ),
    ("_ball_runs.py", "return False if x[1] < y[0] or y[1] < x[0] else None", "return None"),
    ("_ball_runs.py", "made.append(a if fact else b)", "made.append(b if fact else a)"),
    ("_ball_runs.py", "made.append((least([a[0], b[0]]), most([a[1], b[1]])))", "made.append(a)"),
    ("_ball_runs.py", "return outward(low)[0], outward(high)[1]", "return low, high"),
    ("_ball_runs.py", "zip(rests[::-1], own, strict=True)", "zip(rests, own, strict=True)"),
]
REWRITINGS = [
    ("self.lines.positive[a] or self.lines.square(a)", "True"),
    ('return self.apply("abs", self.lines.nodes[a].args[0])', "return self.lines.nodes[a].args[0]"),
    ('op == "eq" and a == b and self.lines.total[a]', 'op == "eq" and a == b'),
    (
        "return b if self.lines.equals(a, 0.0) else a if self.lines.equals(b, 0.0)",
        "return b if self.lines.equals(a, 1.0) else a if self.lines.equals(b, 1.0)",
    ),
    ('return self.apply("add", a, self.apply("neg", b))', 'return self.apply("add", a, b)'),
    ('            return self.apply("neg", b)\n        if a == b', "            return b\n        if a == b"),
    (
        "if a == b and self.lines.total[a]:\n            return self.spread(self.const([0.0])",
        "if a == b:\n            return self.spread(self.const([0.0])",
    ),
    (
        "if self.lines.equals(one, 1.0):\n                return other",
        "if self.lines.equals(one, 0.0):\n                return other",
    ),
    ('return self.apply("neg", other)', "return other"),
    ("self.lines.equals(one, 0.0) and self.lines.total[other]", "self.lines.equals(one, 0.0)"),
    ("return self.powi(other, power.data[0] + 1)", "return self.powi(other, power.data[0])"),
    ("return self.powi(a, 2) if a == b else None", "return self.powi(a, 3) if a == b else None"),
    ('return a if op == "div" and self.lines.equals(b, 1.0)', 'return a if op == "div" and self.lines.equals(a, 1.0)'),
    ('(y, x) if node.op == "max" else (x, y)', '(x, y) if node.op == "max" else (y, x)'),
    (
        'return self.spread(one, node.length) if op == "max" else other',
        'return self.spread(one, node.length) if op == "min" else other',
    ),
    (
        'if node.op == "sub" and node.args[1] == other and self._implied(other, node.args[0], 1):',
        'if node.op == "sub" and node.args[1] == other:',
    ),
    ("if yes == no and self.lines.total[predicate]:", "if yes == no:"),
    ("return yes if node.data[0] else no", "return no if node.data[0] else yes"),
    ('node.op == "const" and (np.all(node.data) or not np.any(node.data))', 'node.op == "const"'),
    ('return made if op == "softmax" else self.apply("sub", made, lift)', "return made"),
    ("if size == 1 and self.lines.total[arg]:", "if size == 1:"),
    ("if power == 0 and self.lines.total[arg]:", "if power == 0:"),
    (
        "return self.powi_of(node.args[0], node.data[0] * power, length)",
        "return self.powi_of(node.args[0], node.data[0] + power, length)",
    ),
    ('if node.op == "powi" and node.data[0] > 0 and power > 0:', 'if node.op == "powi":'),
    (
        'self.take([self.run("softmax", node.args[0], node.data[0])], index)',
        'self.take([self.run("softmax", node.args[0], node.data[0])], index[::-1])',
    ),
    ("(share if arg == weights else arg for arg in node.args)", "(share for arg in node.args)"),
]


def is_caught(room):
    """Whether some test of the domains would fail."""
    rules, balls = room.INTERVAL, room.BALL
    if facts_are_wrong(rules, balls) or branches_are_wrong(room):
        return True
    if any(interval_is_wrong(rules, case) or ball_is_wrong(balls, case) for case in REAL_CASES):
        return True
    if any(marks_are_lost(op, room) for op in (*REALS, "lt", "le", "eq")):
        return True
    for op in REALS:
        program = one_line(op, np.random.default_rng(0))
        ends, points = sampled(np.random.default_rng(1), program, 60)
        exact = at_points(program, points)
        if interval_failures(program, ends, exact, room).wrong or ball_failures(program, ends, exact, room).wrong:
            return True
    return False


def fails(room):
    """Whether it is caught, or cannot even be run."""
    try:
        return is_caught(room)
    except (TypeError, ValueError):
        return True


def test_what_is_not_mutated_is_not_caught():
    assert not is_caught(fast())


@pytest.mark.parametrize(
    "mutant", [pytest.param(one, marks=[pytest.mark.long] if k % 5 else []) for k, one in enumerate(MUTANTS)]
)
def test_a_rule_that_is_broken_is_caught(mutant, tmp_path):
    assert fails(copied(tmp_path, *mutant))


@pytest.mark.parametrize(
    ("old", "new"), [pytest.param(*one, marks=[pytest.mark.long] if k % 4 else []) for k, one in enumerate(REWRITINGS)]
)
def test_a_rewriting_that_is_broken_is_caught(old, new, tmp_path):
    builder = copied(tmp_path, "_build.py", old, new).Builder
    assert any(idiom_failures(name, builder).wrong for name in IDIOMS) or any(
        interval_failures(built, ends, exact).wrong for _, _, built, ends, _, exact in lines(range(60), builder)
    )
