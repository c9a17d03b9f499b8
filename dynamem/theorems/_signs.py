"""Expressions that are seen to be non-negative, each with why: what a rate is shown to be minus the sum of.

A `Sign` is ``factor core(x, ...)`` with the core of one of four rules, so that the expression and the premises that are
checked are made of the same parts and neither can be given without the other.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import sympy

from ._field import Field


class Rule(NamedTuple):
    """Why a core is non-negative, what it is, which of its arguments have to be, and what of them has to be zero."""

    why: str
    core: Callable[..., sympy.Expr]
    positive: Callable[..., tuple[sympy.Expr, ...]] = lambda *parts: ()
    zero: Callable[..., tuple[tuple[str, sympy.Expr], ...]] = lambda *parts: ()


SQUARES = Rule("a sum of squares", lambda v: sympy.Add(*(entry**2 for entry in v)))
PRODUCT = Rule("a product of non-negative factors", lambda v: sympy.Mul(*v), lambda v: v)
GIBBS = Rule(
    "Gibbs' inequality",
    lambda p, q: sympy.Add(*(a * (sympy.log(a) - sympy.log(b)) for a, b in zip(p, q, strict=True))),
    lambda p, q: (*p, *q),
    lambda p, q: tuple((f"that weights sum to one ({name})", sympy.Add(*w) - 1) for name, w in (("p", p), ("q", q))),
)
LOG_GAP = Rule("x - 1 >= log x", lambda v: v[0] - 1 - sympy.log(v[0]), lambda v: v)
RULES = (SQUARES, PRODUCT, GIBBS, LOG_GAP)


@dataclasses.dataclass(frozen=True)
class Sign:
    """``expression = factor core(parts) >= 0`` by a rule; `fault` checks its premises."""

    rule: Rule
    parts: tuple[tuple[sympy.Expr, ...], ...]
    factor: sympy.Expr

    @property
    def expression(self) -> sympy.Expr:
        """What is non-negative."""
        return self.factor * self.rule.core(*self.parts)

    @property
    def why(self) -> str:
        """The rule in words."""
        return self.rule.why

    def fault(self) -> str | None:
        """The first premise that is not seen to hold: an expression that is not zero, or one that is not positive."""
        if self.rule not in RULES:
            return "it is none of dynamem's rules"
        for name, expression in self.rule.zero(*self.parts):
            if not Field([expression]).is_zero(expression):
                return f"{name} is not shown"
        for expression in (self.factor, *self.rule.positive(*self.parts)):
            if not is_nonnegative(expression):
                return f"{expression!s:.60} is not seen to be non-negative"
        return None


def is_nonnegative(expression: sympy.Expr) -> bool:
    """Whether SymPy sees it from the signs of symbols, exponentials, sums, products and even powers."""
    return bool(expression.is_nonnegative)


def square(vector: Any, factor: Any = 1) -> Sign:
    """``factor sum_i v_i^2`` for a factor that is seen to be non-negative."""
    return _sign(SQUARES, factor, vector)


def product(*factors: sympy.Expr) -> Sign:
    """A product of expressions each seen to be non-negative."""
    return _sign(PRODUCT, 1, factors)


def divergence(p: Any, q: Any, factor: Any = 1) -> Sign:
    """``factor sum_i p_i log(p_i/q_i)``, non-negative by Gibbs' inequality for positive ``p``, ``q`` of sum one."""
    return _sign(GIBBS, factor, p, q)


def log_gap(x: sympy.Expr, factor: Any = 1) -> Sign:
    """``factor (x - 1 - log x)``, non-negative for positive ``x`` (L1); with ``x = e^d`` it is ``e^d - 1 - d``."""
    return _sign(LOG_GAP, factor, x)


def _sign(rule: Rule, factor: Any, *vectors: Any) -> Sign:
    parts = tuple(tuple(map(_exact, np.ravel(np.asarray(vector, object)))) for vector in vectors)
    return Sign(rule, parts, _exact(factor))


def _exact(entry: Any) -> sympy.Expr:
    return sympy.Integer(entry) if isinstance(entry, int) else entry
