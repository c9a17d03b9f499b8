r"""A program: straight-line real arithmetic on flat vectors, which is what a jaxpr becomes before anything is proved.

    v_0, v_1, ... with v_k = op(v_i, v_j, ...),      every v a vector of reals (or of truth values).

Shapes are gone: whatever only moves entries about is one operation, ``take``, which holds the indices. So a domain (of
intervals, of balls, of expressions) needs one rule for each name in `OPERATIONS` and nothing else, and a certificate
holds the whole program in a few lines of JSON. Plain Python: a checker that reads it needs neither JAX nor NumPy.

Semantics: real arithmetic. An operation outside its domain of definition (a division by zero, the logarithm of a
number that is not positive) makes the result undefined, unless a ``select`` passes it over.
"""

import dataclasses
from fractions import Fraction
from typing import Any


OPERATIONS: dict[str, int] = {
    "input": 0, "const": 0, "take": -1,
    "neg": 1, "abs": 1, "sign": 1, "floor": 1, "exp": 1, "expm1": 1, "log": 1, "log1p": 1, "sqrt": 1, "cbrt": 1,
    "sin": 1, "cos": 1, "tan": 1, "asin": 1, "acos": 1, "atan": 1, "sinh": 1, "cosh": 1, "tanh": 1,
    "logistic": 1, "erf": 1, "powi": 1,
    "add": 2, "sub": 2, "mul": 2, "div": 2, "min": 2, "max": 2, "pow": 2, "atan2": 2,
    "sum": 1, "prod": 1, "least": 1, "most": 1, "sort": 1, "lse": 1, "softmax": 1, "dot": 2, "gibbs": 4,
    "lt": 2, "le": 2, "eq": 2, "and": 2, "or": 2, "not": 1, "select": 3,
}  # fmt: skip
"""Name to number of arguments (-1: any). ``sum`` to ``softmax`` work on runs of ``size`` neighbours; ``gibbs`` is
``softmax(g (K x + c))`` of a matrix, a vector, a vector and a number, for bounds that know what its arguments share."""

TRUTH = {"lt", "le", "eq", "and", "or", "not"}
RUNS = {"sum", "prod", "least", "most", "sort", "lse", "softmax"}
PARTIAL = {"log", "log1p", "sqrt", "tan", "asin", "acos", "div", "pow", "atan2"}
"""Operations that are not defined everywhere (``powi`` with a negative power is another)."""


@dataclasses.dataclass(frozen=True)
class Node:
    """One line of a program.

    Attributes:
        op: its name, one of `OPERATIONS`.
        args: numbers of earlier lines.
        length: entries of its value.
        data: ``take``: indices into the arguments laid end to end; ``const``: the values, as floats, fractions or
            truth values; ``powi``: (n,); a run: (size,); ``dot``: (b, m, k, n) for b products of (m, k) by (k, n);
            ``gibbs``: (n, k), the shape of its matrix.
    """

    op: str
    args: tuple[int, ...]
    length: int
    data: Any = ()


@dataclasses.dataclass(frozen=True)
class Program:
    """Lines, which of them are inputs, and which the outputs.

    Attributes:
        nodes: the lines, arguments before their use.
        inputs: numbers of the input lines, in the order of the inputs.
        outputs: numbers of the output lines.
        source: for each line, where in the user's code it comes from ("" where unknown).
    """

    nodes: tuple[Node, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    source: tuple[str, ...] = ()

    def size(self) -> int:
        """Number of scalar operations: what one evaluation costs."""
        return sum(node.length * (node.data[2] if node.op == "dot" else 1) for node in self.nodes)


def exact(value: Any) -> Fraction:
    """A constant as the rational number that it is (0.1 is 3602879701896397/2^55)."""
    return value if isinstance(value, Fraction) else Fraction(value)


def plain(data: Any) -> tuple[Any, ...]:
    """A line's data without NumPy."""
    return tuple(data if isinstance(data, list | tuple) else data.tolist())
