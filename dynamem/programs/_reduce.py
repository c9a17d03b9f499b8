r"""Reducing a program: polynomials of what is not polynomial in it are collected, exactly, before any interval is made.

    dot(K, c(t) (a + B u)) -> c(t) (K a + K B u),     |y|^2/s^2 - y.m/s^2 - ... -> what is left after all cancels,

softmax loses what all its arguments share, and is centred. Coefficients are exact rationals: what comes out is equal to
what went in, entry by entry, in real arithmetic.
"""

from fractions import Fraction
from typing import Any

import numpy as np

from ._polynomial import (
    MOST,
    Polynomials,
    added,
    atoms,
    fractions,
    joined,
    matrix_product,
    multiplied,
    numbers,
    summed,
    weighted,
)
from ._program import RUNS, TRUTH, Node, Program
from ._write import Writer


LONGEST_ATOMS = 96
LONGEST_CONSTANT = 4096
WHOLE = TRUTH | {"softmax", "gibbs"}
"""Lines whose entries are no atoms: weights mean something together only."""
FIXED_TERMS = 4
"""What depends on no input is one number, and not written out, if it has more terms than these."""
COARSE = 2.0**-20
"""Centres of softmax's arguments are whole multiples of their size times this: short constants."""


def reduced(program: Program) -> Program:
    """An equal program with its polynomials collected."""
    return _Reduction(program).run()


class _Reduction:
    def __init__(self, program: Program) -> None:
        self.program, self.writer = program, Writer()
        self.b = self.writer.b
        self.lines: dict[int, int] = {}
        self.polynomials: dict[int, Polynomials | None] = {}

    def run(self) -> Program:
        """Read line by line; write those that the outputs turn out to need."""
        for place, node in enumerate(self.program.nodes):
            self.b.lines.where = self.program.source[place] if self.program.source else ""
            if node.op == "input":
                self.lines[place] = self.b.lines.input(node.length)
                continue
            made = self._collected(node)
            if made is None:
                self.lines[place] = self._opaque(node)
            else:
                self.polynomials[place] = made
        outputs = [self.line(place) for place in self.program.outputs]
        return self.b.lines.finish([self.lines[place] for place in self.program.inputs], outputs)

    def line(self, place: int) -> int:
        """The new line of an old one."""
        if place not in self.lines:
            found = self.polynomials[place]
            assert found is not None
            self.lines[place] = self.writer.written(found)
        return self.lines[place]

    def polynomial(self, place: int) -> Polynomials | None:
        """An old line as polynomials; None if it is too long or not defined everywhere."""
        if place not in self.polynomials:
            line, length = self.lines[place], self.program.nodes[place].length
            plain = self.b.lines.exact(line)
            if plain is not None and plain.dtype != bool:
                self.polynomials[place] = numbers(plain) if length <= LONGEST_CONSTANT else None
            else:
                whole = self.program.nodes[place].op in WHOLE or not self.b.lines.total[line]
                self.polynomials[place] = None if whole or length > LONGEST_ATOMS else atoms(line, length)
        return self.polynomials[place]

    def _opaque(self, node: Node) -> int:
        """The line as it is, of new arguments."""
        b = self.b
        if node.op == "const":
            return b.const(node.data)
        if node.op == "softmax":
            return self._weights(node)
        args = [self.line(arg) for arg in node.args]
        if node.op == "take":
            return b.take(args, np.asarray(node.data))
        if node.op == "powi":
            return b.powi(args[0], node.data[0])
        if node.op in RUNS:
            return b.run(node.op, args[0], node.data[0])
        if node.op == "dot":
            return b.dot(*args, node.data)
        return self.writer.wide(b.apply(node.op, *args), node.length)

    def _weights(self, node: Node) -> int:
        """Softmax of what its arguments do not share."""
        whole = self.polynomial(node.args[0]) if node.data[0] == node.length else None
        if whole is None:
            return self.b.run("softmax", self.line(node.args[0]), node.data[0])
        rest = self._centred(whole)
        made = self.writer.gibbs(rest)
        return self.b.run("softmax", self.writer.written(rest), node.length) if made is None else made

    def _centred(self, whole: Polynomials) -> Polynomials:
        entries: list[dict] = [{} for _ in range(len(whole))]
        for key, value in whole.columns().items():
            lo, hi = min(value), max(value)
            if lo != hi:
                grain = Fraction(float(hi - lo) * COARSE)
                rest = value - round((lo + hi) / 2 / grain) * grain if grain else value
                for place in np.flatnonzero(rest).tolist():
                    entries[place][key] = rest[place]
        return Polynomials(entries)

    # Collecting

    def _collected(self, node: Node) -> Polynomials | None:
        """The line as polynomials of earlier ones, None if it is none, too long, or but a number of many terms."""
        rule = _RULES.get(node.op)
        made = None if rule is None else rule(self, node)
        if made is None or made.size > MOST:
            return None
        many = made.constant is None and max(map(len, made.entries)) > FIXED_TERMS
        return None if many and self.writer.fixed(made) else made

    def _both(self, node: Node) -> tuple[Polynomials, Polynomials] | None:
        left, right = (self.polynomial(arg) for arg in node.args)
        return None if left is None or right is None else (left, right)

    def _add(self, node: Node) -> Polynomials | None:
        pair = self._both(node)
        return None if pair is None else added(*pair, -1 if node.op == "sub" else 1)

    def _mul(self, node: Node) -> Polynomials | None:
        pair = self._both(node)
        return None if pair is None else multiplied(*pair)

    def _neg(self, node: Node) -> Polynomials | None:
        found = self.polynomial(node.args[0])
        return None if found is None else found.times((), -1)

    def _sum(self, node: Node) -> Polynomials | None:
        found = self.polynomial(node.args[0])
        return self._squares(node) if found is None else summed(found, node.data[0])

    def _squares(self, node: Node) -> Polynomials | None:
        """Sums of many squares of constants, such as the norms of patterns."""
        inner, size = self.program.nodes[node.args[0]], node.data[0]
        base = self._constant(inner.args[0]) if inner.op == "powi" and inner.data == (2,) else None
        if base is None or node.length > LONGEST_CONSTANT:
            return None
        return numbers(matrix_product(base, base, (node.length, 1, size, 1)))

    def _take(self, node: Node) -> Polynomials | None:
        parts = [self.polynomial(arg) for arg in node.args]
        known = [part for part in parts if part is not None]
        return joined(known).taken(np.asarray(node.data).tolist()) if len(known) == len(parts) else None

    def _powi(self, node: Node) -> Polynomials | None:
        base, power = self.polynomial(node.args[0]), node.data[0]
        if base is not None and power < 0:
            base, power = self._inverse(base), -power
        made = base
        for _ in range(power - 1):
            made = None if made is None or base is None else multiplied(made, base)
        return made

    def _div(self, node: Node) -> Polynomials | None:
        pair = self._both(node)
        inverse = None if pair is None else self._inverse(pair[1])
        return None if pair is None or inverse is None else multiplied(pair[0], inverse)

    def _inverse(self, found: Polynomials) -> Polynomials | None:
        """One over single terms of positive atoms."""
        positive = self.b.lines.positive
        entries = []
        for entry in found.entries:
            if len(entry) != 1:
                return None
            ((monomial, value),) = entry.items()
            if not all(positive[line] for (line, _), _ in monomial):
                return None
            entries.append({tuple((atom, -power) for atom, power in monomial): 1 / value})
        return Polynomials(entries)

    def _dot(self, node: Node) -> Polynomials | None:
        pair = [self.polynomial(arg) for arg in node.args]
        for side in (0, 1):
            here, there = pair[side], self._constant(node.args[1 - side])
            if here is not None and there is not None:
                return self._by_constants(node, here, there, side)
        return self._expanded(node, *pair) or self._pulled(node, *pair)

    def _constant(self, place: int) -> Any:
        if place in self.lines:
            return self.b.lines.exact(self.lines[place])
        found = self.polynomials[place]
        constant = None if found is None else found.constant
        return None if constant is None else fractions(constant)

    def _by_constants(self, node: Node, here: Polynomials, there: Any, side: int) -> Polynomials | None:
        b, m, k, n = node.data
        here = here.stretched(b * (m, n)[side] * k)
        if len(here.columns()) * b * m * n > MOST or len(here.columns()) * b * m * n * k > 100 * MOST:
            return None
        return weighted(here, there, node.data, side)

    def _expanded(self, node: Node, left: Polynomials | None, right: Polynomials | None) -> Polynomials | None:
        """Products of entries, then their sums over ``k``."""
        b, m, k, n = node.data
        if left is None or right is None or b * m * n * k > MOST:
            return None
        box, row, column, inner = np.indices((b, m, n, k)).reshape(4, -1)
        first = left.stretched(b * m * k).taken(((box * m + row) * k + inner).tolist())
        entries = multiplied(first, right.stretched(b * k * n).taken(((box * k + inner) * n + column).tolist()))
        return None if entries is None else summed(entries, k)

    def _pulled(self, node: Node, *pair: Polynomials | None) -> Polynomials | None:
        """``dot(w, g v) = g dot(w, v)``."""
        for side, here in enumerate(pair):
            factor = () if here is None else here.shared()
            if here is not None and factor and node.length <= LONGEST_ATOMS:
                inverse = tuple((atom, -power) for atom, power in factor)
                args = (self.writer.written(here.times(inverse)), self.line(node.args[1 - side]))
                made = self.b.dot(*(args if side == 0 else args[::-1]), node.data)
                return atoms(made, node.length).times(factor) if self.b.lines.total[made] else None
        return None


_RULES = {
    "add": _Reduction._add, "sub": _Reduction._add, "mul": _Reduction._mul, "neg": _Reduction._neg,
    "sum": _Reduction._sum, "take": _Reduction._take, "powi": _Reduction._powi, "div": _Reduction._div,
    "dot": _Reduction._dot,
}  # fmt: skip
