"""The symbolic domain against 200-bit balls, rule by rule, with mutants of each; and branches decided by intervals."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import sympy
from flint import arb, ctx

from dynamem.programs import (
    BALL,
    OPERATIONS,
    SYMBOLIC,
    TRUTH,
    UNDEFINED,
    Interval,
    Mark,
    Node,
    TranslationError,
    rational,
    symbolic,
    translate,
)
from tests.random_programs import REALS, SIZE, node_of


ANYWHERE = (-1.7e308, 1.7e308)
BROKEN = {
    "sign": lambda e: -e,
    "shifted": lambda e: e + sympy.Rational(1, 1000),
    "scaled": lambda e: e * sympy.Rational(1001, 1000) + sympy.Rational(1, 10**6),
}


@pytest.fixture(autouse=True)
def _precision():
    before, ctx.prec = ctx.prec, 200
    yield
    ctx.prec = before


def unknown(count, wide=ANYWHERE):
    lo, hi = (np.full((1, count), end) for end in wide)
    return Interval(lo, hi)


def mismatches(op, rule, seeds=3):
    """How often the rule's expressions, at random rational points, are not what balls find; and of how many."""
    wrong = compared = 0
    for seed in range(seeds):
        random = np.random.default_rng(seed)
        node = node_of(op, random)
        inputs = [sympy.symbols(f"x{k}_:{SIZE}", real=True) for k in range(OPERATIONS[op])]
        points = [np.round(random.normal(size=SIZE) * 64) / 64 for _ in inputs]
        with np.errstate(all="ignore"):
            made, _ = rule(node, *((list(line), unknown(SIZE)) for line in inputs))
        exact = BALL[op](node, *([(arb(float(v)),) * 2 for v in point] for point in points))
        at = {
            s: rational(v) for line, point in zip(inputs, points, strict=True) for s, v in zip(line, point, strict=True)
        }
        for entry, ball in zip(made, exact, strict=True):
            value = sympy.nan if entry is UNDEFINED else sympy.N(entry.xreplace(at), 30)
            if isinstance(ball, Mark):
                wrong += bool(value.is_real and value.is_finite)
                continue
            compared += 1
            wrong += not value.is_real or not abs(arb(str(value)) - ball[0]) < arb("1e-20") * (1 + abs(ball[0]))
    return wrong, compared


@pytest.mark.parametrize("op", REALS)
def test_expressions_are_what_balls_find(op):
    wrong, compared = mismatches(op, SYMBOLIC[op])
    assert wrong == 0
    assert compared


@pytest.mark.parametrize("mutation", BROKEN)
@pytest.mark.parametrize("op", REALS)
def test_each_rule_mutated_is_caught(op, mutation):
    def mutant(node, *pairs):
        entries, hull = SYMBOLIC[op](node, *pairs)
        return [entry if entry is UNDEFINED else BROKEN[mutation](entry) for entry in entries], hull

    assert mismatches(op, mutant)[0]


@pytest.mark.parametrize("op", sorted(TRUTH - {"and", "or", "not"}))
def test_comparisons(op):
    x, y = sympy.symbols("x y", real=True)
    (fact,), _ = SYMBOLIC[op](Node(op, (0, 1), 1), ([x], unknown(1)), ([y], unknown(1)))
    for pair in ((1, 2), (2, 1), (1, 1)):
        expected = {"lt": pair[0] < pair[1], "le": pair[0] <= pair[1], "eq": pair[0] == pair[1]}[op]
        assert bool(fact.xreplace({x: sympy.Integer(pair[0]), y: sympy.Integer(pair[1])})) is expected


def branch(x):
    return jnp.where(x > 1.0, jnp.exp(x), jnp.abs(x) + jnp.maximum(x, 0.5))


def test_a_branch_keeps_its_orientation():
    x = sympy.Symbol("x", real=True)
    ((made,),) = symbolic(translate(branch, ()), [[x]])
    for value in (sympy.Rational(3, 2), sympy.Rational(-3, 2), sympy.Rational(3, 4)):
        np.testing.assert_allclose(float(sympy.N(made.xreplace({x: value}))), branch(float(value)), rtol=1e-12)


def test_intervals_decide_branches_inside_bounds():
    x = sympy.Symbol("x", real=True)
    program = translate(branch, ())
    assert symbolic(program, [[x]], {x: (2.0, 3.0)}) == [[sympy.exp(x)]]
    assert symbolic(program, [[x]], {x: (0.6, 0.9)}) == [[2 * x]]
    assert symbolic(program, [[x]], {x: (-2.0, -1.0)}) == [[sympy.Rational(1, 2) - x]]


def test_a_wrong_translation_is_not_given_away(monkeypatch):
    from dynamem.programs import _symbolic

    x = sympy.Symbol("x", real=True)
    swapped = lambda node, which, yes, no: _symbolic._select(node, which, no, yes)  # noqa: E731
    monkeypatch.setitem(_symbolic.RULES, "select", swapped)
    with pytest.raises(TranslationError, match="a defect of dynamem"):
        symbolic(translate(branch, ()), [[x]])


def test_what_is_passed_through_or_used_twice_is_held_against_the_program_too():
    x = sympy.Symbol("x", real=True)
    found = symbolic(translate(lambda x: (x, jnp.stack([x, (1 - x) * x, (1 - x) ** 3])), ()), [[x]])
    assert [[sympy.expand(entry) for entry in entries] for entries in found] == [
        [x], [x, x - x**2, sympy.expand((1 - x) ** 3)]
    ]  # fmt: skip


def test_what_is_undefined_spoils_only_what_uses_it():
    x = sympy.Symbol("x", real=True)
    guarded = translate(lambda x: jnp.where(x > 0, jnp.log(jnp.where(x > 0, x, 1.0)), -jnp.inf), ())
    ((made,),) = symbolic(guarded, [[x]], {x: (0.5, 2.0)})
    assert made == sympy.log(x)
    ((never,),) = symbolic(translate(lambda x: x + jnp.log(-1.0 - 0 * x), ()), [[x]], {x: (0.5, 2.0)})
    assert never is sympy.nan


def test_constants_are_the_rationals_that_they_are():
    x = sympy.Symbol("x", real=True)
    ((made,),) = symbolic(translate(lambda x: 0.1 * x, ()), [[x]])
    assert made == sympy.Rational(3602879701896397, 2**55) * x


def test_derivatives_are_those_of_sympy():
    x = sympy.Symbol("x", real=True)

    def function(z):
        return jnp.tanh(z) * jnp.exp(-z * z) + jax.nn.softplus(z)

    ((made,),) = symbolic(translate(jax.grad(function), ()), [[x]])
    plain = sympy.tanh(x) * sympy.exp(-(x**2)) + sympy.log(1 + sympy.exp(x))
    gap = sympy.N((made - sympy.diff(plain, x)).xreplace({x: sympy.Rational(3, 7)}), 30)
    assert abs(gap) < 1e-20
