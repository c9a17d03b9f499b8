"""Expressions that are seen to be non-negative, each with why: what a rate is shown to be minus the sum of."""

import dataclasses
from typing import Any

import numpy as np
import sympy

from ._field import Field


@dataclasses.dataclass(frozen=True)
class Sign:
    """``expression >= 0``, because of ``why``; `fault` checks the premises."""

    expression: sympy.Expr
    why: str
    premises: tuple[tuple[str, sympy.Expr], ...] = ()
    positive: tuple[sympy.Expr, ...] = ()

    def fault(self) -> str | None:
        """The first premise that is not seen to hold: an expression that is not zero, or one that is not positive."""
        if not (self.premises or self.positive):
            return "no premise is given"
        for name, expression in self.premises:
            if not Field([expression]).is_zero(expression):
                return f"{name} is not shown"
        for expression in self.positive:
            if not is_nonnegative(expression):
                return f"{expression!s:.60} is not seen to be non-negative"
        return None


def is_nonnegative(expression: sympy.Expr) -> bool:
    """Whether SymPy sees it from the signs of symbols, exponentials, sums, products and even powers."""
    return bool(expression.is_nonnegative)


def square(vector: Any, factor: Any = 1) -> Sign:
    """``factor sum_i v_i^2`` for a factor that is seen to be non-negative."""
    factor = sympy.Integer(factor) if isinstance(factor, int) else factor
    total = sympy.Add(*(entry**2 for entry in np.ravel(np.asarray(vector, object))))
    return Sign(factor * total, "a sum of squares", (), (factor,))


def product(*factors: sympy.Expr) -> Sign:
    """A product of expressions each seen to be non-negative."""
    return Sign(sympy.Mul(*factors), "a product of non-negative factors", (), tuple(factors))


def divergence(p: Any, q: Any, factor: Any = 1) -> Sign:
    """``factor sum_i p_i log(p_i/q_i)``, non-negative by Gibbs' inequality for positive ``p``, ``q`` of sum one."""
    factor = sympy.Integer(factor) if isinstance(factor, int) else factor
    p, q = np.ravel(p), np.ravel(q)
    total = sympy.Add(*(a * (sympy.log(a) - sympy.log(b)) for a, b in zip(p, q, strict=True)))
    sums = tuple((f"that weights sum to one ({name})", sympy.Add(*side) - 1) for name, side in (("p", p), ("q", q)))
    return Sign(factor * total, "Gibbs' inequality", sums, (factor, *p, *q))


def log_gap(x: sympy.Expr, factor: Any = 1) -> Sign:
    """``factor (x - 1 - log x)``, non-negative for positive ``x`` (L1); with ``x = e^d`` it is ``e^d - 1 - d``."""
    factor = sympy.Integer(factor) if isinstance(factor, int) else factor
    return Sign(factor * (x - 1 - sympy.log(x)), "x - 1 >= log x", (), (factor, x))
