"""Evidence of a proof: exact tests for zero, signs and their premises, and statuses that are honest."""

import contextlib

import numpy as np
import pytest
import sympy
from hypothesis import given
from hypothesis import strategies as st

from dynamem._errors import InputError
from dynamem.theorems import (
    Field,
    NotAlgebraicError,
    NotProvedError,
    Proof,
    Sign,
    Theorem,
    divergence,
    log_gap,
    product,
    square,
    symbols,
    theorem,
    traced,
)


X, Y, P, Q = symbols("x"), symbols("y"), symbols("p", positive=True), symbols("q", positive=True)


# ------------------------------------------------------------ exact tests for zero


ZEROS = {
    "fractions": 1 / (X + Y) + 1 / (X - Y) - 2 * X / (X**2 - Y**2),
    "exponents add": sympy.exp(X + Y) - sympy.exp(X) * sympy.exp(Y),
    "exponents with a common part": sympy.exp(X / 2) * sympy.exp(X / 3) - sympy.exp(5 * X / 6),
    "exponents cancel": sympy.exp((X**2 - Y**2) / (X - Y)) - sympy.exp(X) * sympy.exp(Y),
    "logarithms of products": sympy.log(6 * P * Q) - sympy.log(2) - sympy.log(3) - sympy.log(P) - sympy.log(Q),
    "logarithms of sums": sympy.log(P**2 + P * Q) - sympy.log(P) - sympy.log(P + Q),
    "logarithms of exponentials": sympy.log(P * sympy.exp(X)) - X - sympy.log(P),
    "exponentials of logarithms": sympy.exp(X + 2 * sympy.log(P)) - P**2 * sympy.exp(X),
    "roots": 1 / (sympy.sqrt(P) + 1) - (sympy.sqrt(P) - 1) / (P - 1),
    "waves": sympy.sin(X) ** 4 - (1 - sympy.cos(X) ** 2) ** 2,
    "tanh": sympy.tanh(X) - (sympy.exp(X) - sympy.exp(-X)) / (sympy.exp(X) + sympy.exp(-X)),
    "any power": P**X - sympy.exp(X * sympy.log(P)),
    "tower": sympy.exp(sympy.exp(X) + sympy.exp(-X)) - sympy.exp(2 * sympy.cosh(X)),
    "open functions": sympy.Function("f")(X) * Y - Y * sympy.Function("f")(X),
}


@pytest.mark.parametrize("zero", ZEROS.values(), ids=ZEROS)
def test_what_is_zero_is_seen(zero):
    assert Field([zero]).is_zero(zero)


@pytest.mark.parametrize("zero", ZEROS.values(), ids=ZEROS)
@pytest.mark.parametrize("more", [sympy.Rational(1, 10**30), X, sympy.exp(Y)], ids=["tiny", "x", "exp"])
def test_what_is_not_zero_is_never_called_zero(zero, more):
    assert not Field([zero + more]).is_zero(zero + more)


def test_no_sign_is_assumed_where_none_is_known():
    """``log x^2 = 2 log x`` and ``exp log x = x`` need ``x > 0``; so does ``log(x y) = log x + log y``."""
    for wrong in (sympy.log(X * Y) - sympy.log(X) - sympy.log(Y), sympy.sqrt(X**2 + 0 * Y) - X):
        assert not Field([wrong]).is_zero(wrong)


TERMS = st.recursive(
    st.sampled_from([X, Y, P, sympy.Integer(2), sympy.Rational(-1, 3)]),
    lambda inner: st.one_of(
        st.builds(lambda a, b: a + b, inner, inner),
        st.builds(lambda a, b: a * b, inner, inner),
        st.builds(lambda a: sympy.exp(a), inner),
        st.builds(lambda a: 1 / (1 + a**2), inner),
        st.builds(lambda a: sympy.log(1 + sympy.exp(a)), inner),
    ),
    max_leaves=5,
)


@given(TERMS, TERMS)
def test_random_expressions_are_zero_only_if_their_numbers_are(left, right):
    at = {X: sympy.Rational(3, 7), Y: sympy.Rational(-5, 8), P: sympy.Rational(2, 3)}
    for e in (left - right, (left + right) ** 2 - left**2 - 2 * left * right - right**2, left * right - right * left):
        value = sympy.N(e.xreplace(at), 50)
        close = bool(abs(value) < 10**-30 * (1 + abs(sympy.N(left.xreplace(at)))))
        assert close or not Field([e]).is_zero(e)
    expanded = (left + right) ** 2 - (left**2 + 2 * left * right + right**2)
    assert Field([expanded]).is_zero(expanded)


def test_what_has_no_rule_is_refused_by_name():
    with pytest.raises(NotAlgebraicError, match="Piecewise"):
        Field([X]).is_zero(sympy.Piecewise((X, X > 0), (Y, True)))
    with pytest.raises(NotAlgebraicError, match="division"):
        Field([X]).is_zero(1 / (sympy.exp(X) * sympy.exp(-X) - sympy.cos(X) ** 2 - sympy.sin(X) ** 2))


# ------------------------------------------------------------------------- signs


W = np.array([P, Q], object) / (P + Q)
BAD_SIGNS = {
    "a factor of unknown sign": square([X], Y),
    "a product with one": product(P, X),
    "weights that do not sum to one": divergence([P, Q], W),
    "reference weights that do not": divergence(W, [P, Q]),
    "weights of unknown sign": divergence([X, 1 - X], W),
    "a gap at an argument of unknown sign": log_gap(X),
    "a rule of its own": Sign(product(P).rule._replace(positive=lambda v: ()), ((X,),), sympy.Integer(1)),
}


@pytest.mark.parametrize("bad", BAD_SIGNS.values(), ids=BAD_SIGNS)
def test_a_sign_without_its_premises_proves_nothing(bad):
    outcome = theorem("T", "t", domain="d")(lambda proof: proof.falls("s", -bad.expression, [bad])).prove()
    assert outcome.status == "undecided"


def test_signs_with_their_premises():
    for good in (square([X, Y], P), product(P, X**2), divergence(W, W[::-1], Q), log_gap(sympy.exp(X))):
        Proof().falls("s", -good.expression, [good])


def swallowed(proof):
    with contextlib.suppress(NotProvedError):
        proof.zero("a", X - Y)
    proof.zero("b", X - X)


def left(proof):
    proof.zero("z", X - X)
    raise SystemExit(0)


CLAIMS = {
    "zero of nothing": (lambda proof: proof.zero("z", *[]), "undecided"),
    "zero of an empty array": (lambda proof: proof.zero("z", np.zeros((0, 2), object)), "undecided"),
    "no numbers": (lambda proof: (proof.zero("z", X - X), proof.close("c", [], [])), "undecided"),
    "a text is no fact": (lambda proof: proof.holds("h", "False"), "failed"),
    "a step that fails is not forgotten": (swallowed, "failed"),
    "an exit is no success": (left, "failed"),
    "evidence is not forged": (lambda proof: (proof.zero("z", X - X), proof.steps.append(3)), "failed"),
    "a step's name is a text": (lambda proof: proof.zero(X, X - X), "failed"),
    "a cited name is a text": (lambda proof: (proof.zero("z", X - X), proof.cites(3)), "failed"),
    "bounds stand in the evidence": (lambda proof: traced(lambda z: z, X, within={X: (0.0, 1.0)}), "failed"),
    "not zero": (lambda proof: proof.zero("z", X - Y), "failed"),
    "rises": (lambda proof: proof.falls("f", X**2, [square([X])]), "failed"),
    "numbers differ": (lambda proof: proof.close("c", [1.0], [1.1]), "failed"),
    "NaN is close to nothing": (lambda proof: proof.close("c", [np.nan], [1.0]), "failed"),
    "NaN is below nothing": (lambda proof: proof.below("b", [np.nan]), "failed"),
    "a witness that is none": (lambda proof: proof.witness("w", 0.0), "failed"),
    "a witness that is NaN": (lambda proof: proof.witness("w", np.nan), "failed"),
    "a defect": (lambda proof: 1 / 0, "failed"),
    "numbers alone": (lambda proof: proof.close("c", [1.0], [1.0]), "undecided"),
    "nothing": (lambda proof: None, "undecided"),
    "a part that is open": (lambda proof: (proof.zero("z", X - X), proof.leaves_open("the rest")), "undecided"),
    "proved": (lambda proof: proof.zero("z", X - X), "proved"),
}


@pytest.mark.parametrize(("claim", "status"), CLAIMS.values(), ids=CLAIMS)
def test_statuses_are_honest(claim, status):
    outcome = theorem("T", "t", domain="d")(claim).prove()
    assert outcome.status == status
    assert bool(outcome.reason) is (status != "proved")


def test_what_is_traced_is_what_runs():
    x = symbols("x", 2)
    made = traced(lambda z: {"a": z @ z, "b": 2 * z}, x)
    assert made["a"] == x[0] ** 2 + x[1] ** 2
    assert list(made["b"]) == [2 * x[0], 2 * x[1]]


def test_a_region_is_named_with_the_method():
    def argue(proof):
        proof.zero("z", traced(lambda z: abs(z), P, within=proof.region({P: (0.5, 2.0)})) - P)

    assert theorem("T", "t", domain="d")(argue).prove().method == "1 symbolic, where p in [0.5, 2]"


@pytest.mark.parametrize("bad", [{"name": ""}, {"title": " "}, {"domain": ""}], ids=str)
def test_a_theorem_needs_its_texts(bad):
    texts = {"name": "T", "title": "t", "domain": "d"} | bad
    with pytest.raises(InputError, match=next(iter(bad))):
        theorem(texts["name"], texts["title"], domain=texts["domain"])(swallowed)
    with pytest.raises(InputError, match="argue"):
        Theorem("T", "t", "d", lambda: None)
