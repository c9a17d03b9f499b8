"""Slopes of every operation, in both numeric domains, hold what lies between any two points of a box.

So it is with kinks; where there may be a jump they are undefined. Second slopes hold JAX's Hessians.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flint import arb, ctx

from dynamem.programs import BALL, INTERVAL, OPERATIONS, RUNS, TRUTH, Interval, Mark, Node, Program, evaluate, slopes
from dynamem.programs import _slopes as rules
from dynamem.programs._slope_lines import Slope, SlopeLines
from tests.test_certify_lowering import FUNCTIONS


BOXES = 16
DIFFERENTIATED = sorted(set(OPERATIONS) - TRUTH - {"input", "const"})
JUMPS = {"sign", "floor", "select", "atan2"}
KINKS = {"abs", "min", "max", "least", "most", "sort"}
POWERS = (-2, -1, 0, 1, 2, 3, 4)


@pytest.fixture(autouse=True)
def _precision():
    before, ctx.prec = ctx.prec, 200
    yield
    ctx.prec = before


def programs(op):
    """Programs that are one operation of inputs, in all the ways in which it meets its arguments."""
    if op == "powi":
        return [_program([("powi", (0,), 2, (n,))], 2) for n in POWERS]
    if op == "take":
        return [_program([("take", (0,), 4, (1, 0, 1, 1))], 2),
                _program([("exp", (0,), 2, ()), ("take", (0, 1), 3, (3, 0, 2))], 2)]  # fmt: skip
    if op == "select":
        half = ("const", (), 1, (0.25,))
        return [_program([half, ("lt", (0, 1), 2, ()), ("neg", (0,), 2, ()), ("select", (2, 0, 3), 2, ())], 2)]
    if op == "dot":
        weights = ("const", (), 4, (1.0, -2.0, 0.5, 3.0))
        return [_program([weights, ("dot", (1, 0), 2, (1, 2, 2, 1))], 2),
                _program([("sin", (0,), 4, ()), ("dot", (0, 1), 4, (1, 2, 2, 2))], 4),
                _program([("dot", (0, 0), 2, (2, 1, 2, 1))], 4)]  # fmt: skip
    if op == "gibbs":
        matrix, factor = ("const", (), 6, (1.0, -2.0, 0.5, 3.0, 1.0, 1.0)), ("const", (), 1, (0.7,))
        x, g = ("take", (0,), 2, (0, 1)), ("take", (0,), 1, (2,))
        return [_program([matrix, ("const", (), 3, (0.1, 0.0, -0.3)), factor, (op, (1, 0, 2, 3), 3, (3, 2))], 2),
                _program([matrix, x, g, ("sin", (0,), 3, ()), (op, (1, 2, 4, 3), 3, (3, 2))], 3)]  # fmt: skip
    if op in RUNS:
        sizes = {"sum": (2, 4), "softmax": (2, 3), "lse": (2, 3)}.get(op, (2, 3, 5))
        return [_program([(op, (0,), k if op in ("sort", "softmax") else 1, (k,))], k) for k in sizes]
    if OPERATIONS[op] == 1:
        return [_program([(op, (0,), 2, ())], 2)]
    first, second = ("take", (0,), 2, (0, 1)), ("take", (0,), 2, (2, 3))
    alone, fixed = ("take", (0,), 1, (2,)), ("const", (), 1, (1.5,))
    return [_program([first, second, (op, (1, 2), 2, ())], 4), _program([first, alone, (op, (1, 2), 2, ())], 4),
            *(_program([first, fixed, (op, way, 2, ())], 2) for way in ((1, 2), (2, 1)))]  # fmt: skip


def _program(lines, entries):
    nodes = (Node("input", (), entries), *(Node(*line) for line in lines))
    return Program(nodes, (0,), (len(nodes) - 1,))


def boxes(random, entries):
    """Boxes of all widths, about numbers where kinks, jumps and poles are, and elsewhere."""
    middle = random.choice([0.0, 0.25, 0.5, 1.0, -0.5], (BOXES, entries)) + random.normal(size=(BOXES, entries)) * (
        random.uniform(size=(BOXES, 1)) < 0.7
    )
    radius = 10.0 ** random.uniform(-4, 0.2, (BOXES, 1)) * random.uniform(0.3, 1.0, (BOXES, entries))
    lo, hi = middle - radius, middle + radius
    alike = random.uniform(size=(BOXES, 1)) < 0.3  # entries that are near each other
    return np.where(alike, lo[:, :1], lo), np.where(alike, hi[:, :1], hi)


def ends_of(random, lo, hi):
    """Two points of each box."""
    share = [random.choice([0.0, 1.0, 0.5, 0.3, 0.51], lo.shape) for _ in range(2)]
    return [np.clip(lo + part * (hi - lo), lo, hi) for part in share]


def exactly(program, point):
    return evaluate(program, BALL, [[(arb(v), arb(v)) for v in point.tolist()]])[0]


def misses(program, domain, seed, differentiate=slopes):
    """Differences of values between points of a box that its slopes do not hold, and how many were compared."""
    random = np.random.default_rng(seed)
    lo, hi = boxes(random, program.nodes[0].length)
    first, second = ends_of(random, lo, hi)
    found = bounds_of(differentiate(program), domain, lo, hi)
    missed = compared = 0
    for row in range(BOXES):
        values = [exactly(program, end[row]) for end in (first, second)]
        steps = [arb(float(b)) - arb(float(a)) for a, b in zip(first[row], second[row], strict=True)]
        for entry, (a, b) in enumerate(zip(*values, strict=True)):
            mine = found[row][entry * len(steps) : (entry + 1) * len(steps)]
            if isinstance(a, Mark) or isinstance(b, Mark) or None in mine:
                continue
            compared += 1
            total = sum((arb.union(*end) * step for end, step in zip(mine, steps, strict=True)), arb(0))
            missed += not (arb.union(*b) - arb.union(*a)).overlaps(total)
    return missed, compared


def bounds_of(program, domain, lo, hi):
    """Slopes of each box as pairs of Arb numbers, None where they are undefined."""
    if domain == "ball":
        rows = [list(zip(map(arb, a), map(arb, b), strict=True)) for a, b in zip(lo.tolist(), hi.tolist(), strict=True)]
        made = [evaluate(program, BALL, [row])[0] for row in rows]
        return [[None if isinstance(entry, Mark) else entry for entry in row] for row in made]
    with np.errstate(all="ignore"):
        (found,) = evaluate(program, INTERVAL, [Interval(lo, hi)])
    shape = (len(lo), program.nodes[program.outputs[0]].length)
    low, high = (np.broadcast_to(end, shape).tolist() for end in (found.lo, found.hi))
    fine = np.broadcast_to(True if found.ok is None else found.ok, shape) & np.isfinite(low) & np.isfinite(high)
    return [
        [(arb(a), arb(b)) if ok else None for a, b, ok in zip(*row, strict=True)]
        for row in zip(low, high, fine.tolist(), strict=True)
    ]


@pytest.mark.parametrize("domain", ["interval", "ball"])
@pytest.mark.parametrize("op", DIFFERENTIATED)
def test_slopes_hold_all_differences(op, domain):
    for seed, program in enumerate(programs(op)):
        missed, compared = misses(program, domain, seed)
        assert missed == 0
        assert compared >= 4, program


@pytest.mark.long
@pytest.mark.parametrize("op", DIFFERENTIATED)
def test_slopes_hold_all_differences_of_many_boxes(op):
    for program in programs(op):
        for seed in range(100, 140):
            assert misses(program, "interval", seed)[0] == misses(program, "ball", seed)[0] == 0


def _larger(to, slope):
    return Slope(to.apply("mul", to.const([1.05]), slope.line), slope.pairs)


MUTATIONS = {
    "a factor": lambda to, slope: _larger(to, slope),
    "a sign": lambda to, slope: to.negative(slope),
    "none": lambda to, slope: None,
}


FORMLESS = {"sign", "floor"}  # a slope that is 0 has neither sign nor size
MUTANTS = [(op, kind) for op in DIFFERENTIATED for kind in (["none"] if op in FORMLESS else MUTATIONS)]
QUICK = [
    pytest.param(*one, marks=[pytest.mark.long] * (one[1] != "a factor" and one[0] not in FORMLESS)) for one in MUTANTS
]


@pytest.mark.parametrize(("op", "mutation"), QUICK)
def test_each_rule_mutated_is_caught(op, mutation, monkeypatch):
    table = rules.ENTRYWISE if op in rules.ENTRYWISE else rules.RUNS
    rule, change = table[op], MUTATIONS[mutation]

    def mutant(to, *args):
        made = rule(to, *args)
        return made if made is None or made.line < 0 else change(to, made)

    monkeypatch.setitem(table, op, mutant)
    assert any(misses(program, "interval", seed)[0] for seed in range(16) for program in programs(op))


@pytest.mark.parametrize("op", sorted(JUMPS))
def test_a_jump_forgotten_is_caught(op, monkeypatch):
    monkeypatch.setattr(SlopeLines, "jump", lambda to, which, yes, no: to.apply("select", which, yes, no))
    assert any(misses(program, "interval", seed)[0] for seed in range(16) for program in programs(op))


@pytest.mark.parametrize("op", sorted(KINKS))
def test_a_branch_forgotten_is_caught(op, monkeypatch):
    monkeypatch.setattr(SlopeLines, "either", lambda to, which, a, b, jumps=None: a)
    assert any(misses(program, "interval", seed)[0] for seed in range(16) for program in programs(op))


SHORT = {"units", "extrema", "matrices", "norm and gradient", "log-softmax"}


@pytest.mark.parametrize("name", [pytest.param(n, marks=[pytest.mark.long] * (n not in SHORT)) for n in FUNCTIONS])
def test_slopes_and_second_slopes_of_code_are_those_of_jax(name):
    from dynamem.programs import enclose, translate

    function, shape = FUNCTIONS[name]
    flat = lambda x: jnp.concatenate([jnp.ravel(one) for one in jax.tree.leaves(function(jnp.reshape(x, shape)))])  # noqa: E731
    size = int(np.prod(shape))
    first = slopes(translate(flat, (size,)))
    points = np.random.default_rng(0).uniform(0.1, 0.9, (8, size))
    once = jax.jacfwd(flat)
    for program, derivative in ((first, once), (slopes(first), jax.jacfwd(once))):
        (found,) = enclose(program, [(points, points.copy())])
        exact = np.asarray(jax.jit(jax.vmap(derivative))(points)).reshape(len(points), -1)
        slack = 1e-9 * (1 + np.abs(exact))
        assert np.all((found.lo - slack <= exact) & (exact <= found.hi + slack))
        assert found.ok is None or np.all(found.ok)


def test_what_is_constant_or_0_costs_nothing():
    """Ten coordinates that do not meet: one slope an entry, and those of a matrix product are constants."""
    separate = _program([("tanh", (0,), 10, ())], 10)
    assert max(node.length for node in slopes(separate).nodes[:-1]) == 10
    weights = _program([("const", (), 20, tuple(map(float, range(20)))), ("dot", (1, 0), 2, (1, 2, 10, 1))], 10)
    made = slopes(weights)
    behind = {0: set()}
    for place, node in enumerate(made.nodes):
        behind[place] = {place} if node.op == "input" else set().union(*(behind[arg] for arg in node.args), set())
    assert not behind[made.outputs[0]]


def test_large_products_are_differentiated_as_matrices(monkeypatch):
    from dynamem.programs import _slope_lines

    random = np.random.default_rng(0)
    weights = ("const", (), 6, tuple(random.normal(size=6).tolist()))
    cases = [
        _program([weights, ("dot", (1, 0), 4, (1, 2, 3, 2))], 6),
        _program([("sin", (0,), 12, ()), ("dot", (0, 1), 8, (2, 2, 3, 2))], 12),
    ]
    for program in cases:
        lo = random.normal(size=(5, program.nodes[0].length))
        singly = bounds_of(slopes(program), "interval", lo, lo + 0.1)
        monkeypatch.setattr(_slope_lines, "SINGLE", 0)
        whole = bounds_of(slopes(program), "interval", lo, lo + 0.1)
        monkeypatch.undo()
        for one, other in zip(np.ravel(np.asarray(singly, float)), np.ravel(np.asarray(whole, float)), strict=True):
            assert abs(one - other) < 1e-12
