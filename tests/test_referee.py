"""The second opinion: what is asked of the referee is what was judged, and what comes of its answer.

z3 is optional, so a stand-in plays its part: its terms are fractions, and its solver says what it is told to.
"""

import functools
from fractions import Fraction

import jax.numpy as jnp
import numpy as np
import pytest
from flint import arb

import dynamem as dm
from dynamem.programs import BALL, Mark, evaluate, translate
from dynamem.rigour import _prove, _referee
from tests.certify_cases import CASES


REGION = np.asarray([[-1.0, np.inf]])


class Terms:
    """z3's constructors on numbers."""

    BoolVal = staticmethod(bool)
    RealVal = staticmethod(Fraction)
    If = staticmethod(lambda fact, a, b: a if fact else b)
    And = staticmethod(lambda *facts: all(facts))
    Or = staticmethod(lambda *facts: any(facts))
    Not = staticmethod(lambda fact: not fact)


class Solver:
    def __init__(self, answer):
        self.answer, self.told = answer, []

    def set(self, name, value):
        assert (name, value) == ("timeout", 10_000)

    def add(self, *formulas):
        self.told += formulas

    def check(self):
        return self.answer

    def reason_unknown(self):
        return "timeout"

    def model(self):
        return self

    def eval(self, unknown, *, model_completion):
        return unknown


def module(answer):
    class Module(Terms):
        Real = staticmethod(lambda name: Fraction(1, 2))
        SolverFor = staticmethod(lambda logic: Solver(answer))

    return Module


def rational(x):
    """Every operation that the referee knows, but the root."""
    y = jnp.where(x > 0.25, x / (1 + x**2), jnp.abs(x) ** -3)
    z = jnp.clip(jnp.stack([x @ y, jnp.max(x) - jnp.min(y), jnp.prod(x[:2]), jnp.sign(x[0])]), -3.0, 4.0)
    odd = jnp.where((z[0] <= z[1]) & ~(z[2] == z[3]) | (x[0] < 0), z[0] - z[1], z[2])
    return odd + jnp.sum(jnp.outer(x, y) @ x) - jnp.maximum(z[0], z[3]) * jnp.minimum(z[1], 0.5)


def test_the_formula_is_the_program():
    program = translate(rational, (3,))
    for point in np.random.default_rng(0).integers(-64, 64, (40, 3)) / 32 + 1 / 64:
        rules = _referee.Rules(Terms)
        ((value, defined),) = evaluate(program, rules.table, [[(Fraction(one), True) for one in point.tolist()]])[0]
        (ball,) = evaluate(program, BALL, [[(arb(one),) * 2 for one in point.tolist()]])[0]
        assert defined
        assert not isinstance(ball, Mark)
        assert abs(float(value) - float(ball[0])) <= 1e-12 * (1 + abs(float(value)))


def test_a_point_refutes_where_it_is_in_the_region_and_all_is_defined():
    program = translate(lambda x: (jnp.where(x[0] > 0, 1 / x[0], x[0]), x[0] - 2), (1,))
    refutes = lambda x, strict=False: all(  # noqa: E731
        _referee.formula(program, [Fraction(x)], REGION, strict=strict, z3=Terms)
    )
    assert [refutes(x) for x in (-2, -1, 1, 2, 3)] == [False, False, True, True, False]
    edge = translate(lambda x: (x[0] - 1,), (1,))
    made = [all(_referee.formula(edge, [Fraction(1)], REGION, strict=strict, z3=Terms)) for strict in (False, True)]
    assert made == [False, True]


def test_roots_are_new_unknowns():
    rules = _referee.Rules(module("unsat"))
    program = translate(lambda x: jnp.sqrt(x[0]), (1,))
    ((value, defined),) = evaluate(program, rules.table, [[(Fraction(1, 4), True)]])[0]
    assert (value, defined, rules.aside) == (Fraction(1, 2), True, [True])
    ((_, defined),) = evaluate(program, rules.table, [[(Fraction(-1), True)]])[0]
    assert not defined


def said(answer, function=lambda x: x[0] - 1):
    return _referee.opinion(translate(lambda x: (function(x),), (1,)), REGION, strict=False, z3=module(answer))


@pytest.mark.parametrize(
    ("status", "answer", "words"),
    [
        ("proved", "unsat", "z3 agrees"),
        ("broken", "sat", "z3 agrees"),
        ("proved", "unknown", "z3 says unknown: timeout"),
    ],
)
def test_what_the_referee_says_is_evidence(status, answer, words):
    assert _referee.hold_against(said(answer), status, "by a test", None)["referee"] == words


@pytest.mark.parametrize(("status", "answer"), [("proved", "sat"), ("broken", "unsat")])
def test_a_contradiction_raises_with_both_artefacts(status, answer):
    with pytest.raises(dm.ContradictionError, match=f"dynamem says {status}.* and z3 says") as caught:
        _referee.hold_against(said(answer), status, "by a test", "artefact")
    assert caught.value.proof == "artefact"
    assert caught.value.witness == said(answer)


def test_what_is_transcendental_is_out_of_reach():
    found = said("unsat", lambda x: jnp.sin(x[0]))
    assert (found.status, found.reason) == ("unknown", "no rule for sin: not polynomial or rational")


@pytest.mark.parametrize("answer", ["unsat", "sat"])
def test_prove_asks_the_referee(answer, monkeypatch):
    energy, flow, box, constraints, claim, _ = CASES["linear"]
    monkeypatch.setattr(_referee, "_z3", module(answer))
    ask = functools.partial(dm.prove, energy, flow, box=box, constraints=constraints, claim=claim, referee=True)
    if answer == "unsat":
        assert ask().evidence["referee"] == "z3 agrees"
    else:
        with pytest.raises(dm.ContradictionError, match="z3 says broken"):
            ask()


def test_without_z3_the_message_says_how_to_install_it(monkeypatch):
    monkeypatch.setattr(_referee, "_z3", None)
    energy, flow, box, *_ = CASES["linear"]
    with pytest.raises(ValueError, match=r"pip install 'dynamem\[referee\]'"):
        _prove.prove(energy, flow, box=box, referee=True)
