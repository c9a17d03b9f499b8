"""The lines that slopes are made of: one entry for each pair (entry, coordinate) that may differ from 0.

Plain Python, like all that reads a certificate. Equal lines are one line; factors of 1 drop out.
"""

import dataclasses
from collections.abc import Sequence
from fractions import Fraction
from typing import Any, NamedTuple

from ._program import Node, Program, plain


Pair = tuple[int, int]
SINGLE = 4096
"""Slopes of products of matrices are multiplied pair by pair up to so many products, else as matrices."""


class Slope(NamedTuple):
    """A line of slopes (-1 for a truth value), and to which (entry, coordinate) each belongs, in rising order."""

    line: int
    pairs: tuple[Pair, ...]


def _key(op: str, args: Sequence[int], length: int, data: Sequence[Any]) -> tuple[Any, ...]:
    """Equal for equal lines; truth values are no numbers, though ``True == 1.0``."""
    return op, tuple(args), length, tuple(data), op == "const" and isinstance(data[0], bool)


class SlopeLines:
    """A program's lines, and more of them."""

    def __init__(self, nodes: Sequence[Node]) -> None:
        self.nodes = [dataclasses.replace(node, data=plain(node.data)) for node in nodes]
        self.known = {_key(node.op, node.args, node.length, node.data): k for k, node in enumerate(self.nodes)}

    def emit(self, op: str, args: Sequence[int], length: int, data: Sequence[Any] = ()) -> int:
        """A line, or the number of an equal one."""
        key = _key(op, args, length, data)
        if key not in self.known:
            self.known[key] = len(self.nodes)
            self.nodes.append(Node(op, tuple(args), length, tuple(data)))
        return self.known[key]

    def const(self, values: Sequence[float | Fraction]) -> int:
        """Constants."""
        return self.emit("const", (), len(values), values)

    def apply(self, op: str, *args: int) -> int:
        """An operation entry by entry."""
        if op == "mul" and any(self._is_one(arg) for arg in args):
            one, other = args if self._is_one(args[0]) else args[::-1]
            if self.nodes[one].length in (1, self.nodes[other].length):
                return other
        return self.emit(op, args, max(self.nodes[arg].length for arg in args))

    def _is_one(self, line: int) -> bool:
        node = self.nodes[line]
        return node.op == "const" and all(value == 1.0 and value is not True for value in node.data)

    def powi(self, x: int, n: int) -> int:
        """``x^n``."""
        return x if n == 1 else self.emit("powi", (x,), self.nodes[x].length, (n,))

    def take(self, args: Sequence[int], index: Sequence[int]) -> int:
        """Entries of lines laid end to end, without the lines that none is taken from."""
        starts = [0]
        for arg in args:
            starts.append(starts[-1] + self.nodes[arg].length)
        used, moved, shift, wanted = [], {}, 0, {*index}
        for place, arg in enumerate(args):
            mine = range(starts[place], starts[place + 1])
            if not wanted.isdisjoint(mine):
                used.append(arg)
                moved |= {old: shift + old - mine.start for old in mine}
                shift += len(mine)
        made = tuple(moved[old] for old in index)
        if len(used) == 1:
            node = self.nodes[used[0]]
            if made == tuple(range(node.length)):
                return used[0]
            if node.op == "const":
                return self.const([node.data[old] for old in made])
            if node.op == "take":
                return self.take(node.args, [node.data[old] for old in made])
        return self.emit("take", used, len(made), made)

    # Slopes

    def spread(self, slope: Slope | None, length: int, wanted: int) -> Slope | None:
        """Slopes of one entry that goes with many."""
        if slope is None or length == wanted:
            return slope
        pairs = tuple((entry, i) for entry in range(wanted) for _, i in slope.pairs)
        line = -1 if slope.line < 0 else self.take([slope.line], [*range(len(slope.pairs))] * wanted)
        return Slope(line, pairs)

    def of_entries(self, line: int, slope: Slope) -> int:
        """For each slope, the entry that it belongs to."""
        return line if self.nodes[line].length == 1 else self.take([line], [entry for entry, _ in slope.pairs])

    def scaled(self, factor: int, slope: Slope | None) -> Slope | None:
        """Slopes times the factors of their entries."""
        if slope is None:
            return None
        return Slope(self.apply("mul", self.of_entries(factor, slope), slope.line), slope.pairs)

    def negative(self, slope: Slope | None) -> Slope | None:
        """``-slope``."""
        return None if slope is None else Slope(self.apply("neg", slope.line), slope.pairs)

    def everywhere(self, line: int, like: Slope | None) -> Slope | None:
        """A line's entries as slopes along all that ``like`` has slopes along."""
        return (
            None if like is None else Slope(self._stretched(self.of_entries(line, like), len(like.pairs)), like.pairs)
        )

    def _stretched(self, line: int, length: int) -> int:
        return line if self.nodes[line].length == length else self.take([line], [0] * length)

    def union(self, terms: Sequence[Any]) -> tuple[Pair, ...]:
        """All pairs along which one of several terms has slopes."""
        return tuple(sorted({pair for term in terms if term.slope is not None for pair in term.slope.pairs}))

    def filled(self, slope: Slope | None, pairs: tuple[Pair, ...]) -> int:
        """The line of slopes for these pairs, 0 where there is none."""
        if slope is None:
            return self.const([0.0] * len(pairs))
        if slope.pairs == pairs:
            return slope.line
        at = {pair: place for place, pair in enumerate(slope.pairs)}
        return self.take([slope.line, self.const([0.0])], [at.get(pair, len(at)) for pair in pairs])

    def sum_of(self, a: Slope | None, b: Slope | None) -> Slope | None:
        """Sums, pair by pair."""
        if a is None or b is None:
            return a if b is None else b
        if a.pairs == b.pairs:
            return Slope(self.apply("add", a.line, b.line), a.pairs)
        places = [{pair: place for place, pair in enumerate(one.pairs)} for one in (a, b)]
        pairs = tuple(sorted(places[0].keys() | places[1].keys()))
        both = [pair for pair in a.pairs if pair in places[1]]
        parts, at = [a.line, b.line], {pair: len(a.pairs) + place for pair, place in places[1].items()} | places[0]
        if both:
            ends = (self.take([one.line], [at[pair] for pair in both])
                    for one, at in zip((a, b), places, strict=True))  # fmt: skip
            parts.append(self.apply("add", *ends))
            shift = len(a.pairs) + len(b.pairs)
            at |= {pair: shift + place for place, pair in enumerate(both)}
        return Slope(self.take(parts, [at[pair] for pair in pairs]), pairs)

    def jump(self, which: int, yes: int, no: int) -> int:
        """``yes`` or ``no`` where it is decided which, undefined where it is open."""
        undefined = self.emit("log", (self.const([-1.0]),), 1)
        inner = self.apply("select", self.apply("not", which), no, undefined)
        return self.apply("select", which, yes, inner)

    def either(self, which: int, a: Slope | None, b: Slope | None, jumps: Slope | None = None) -> Slope | None:
        """The slopes of the branch that is taken, of both where that is open; none there along what ``jumps``."""
        every = {pair for one in (a, b, jumps) if one is not None for pair in one.pairs}
        if not every:
            return None
        pairs = tuple(sorted(every))
        made = Slope(-1, pairs)
        ends, fact = [self.filled(one, pairs) for one in (a, b)], self.of_entries(which, made)
        if jumps is None:
            return Slope(self.apply("select", fact, *ends), pairs)
        return Slope(self.jump(fact, *ends), pairs)

    def picked(self, slopes: Sequence[Slope | None], lengths: Sequence[int], index: Sequence[int]) -> Slope | None:
        """Slopes of entries taken from lines laid end to end."""
        rows: dict[int, list[tuple[int, int]]] = {}
        lines, start, shift = [], 0, 0
        for slope, length in zip(slopes, lengths, strict=True):
            for place, (entry, i) in enumerate(slope.pairs if slope else ()):
                rows.setdefault(start + entry, []).append((shift + place, i))
            if slope is not None:
                lines.append(slope.line)
                shift += len(slope.pairs)
            start += length
        found = [(made, i, place) for made, old in enumerate(index) for place, i in rows.get(old, ())]
        if not found:
            return None
        return Slope(self.take(lines, [place for *_, place in found]), tuple((made, i) for made, i, _ in found))

    def part(self, x: Any, index: Sequence[int]) -> Any:
        """Entries of a term."""
        return x._replace(
            line=self.take([x.line], index), length=len(index), slope=self.picked([x.slope], [x.length], index)
        )

    def joined(self, terms: Sequence[Any], order: Sequence[int]) -> Any:
        """Terms laid end to end, entries in this order."""
        lengths = [term.length for term in terms]
        slope = self.picked([term.slope for term in terms], lengths, order)
        return terms[0]._replace(line=self.take([t.line for t in terms], order), length=len(order), slope=slope)

    def run_sums(self, slope: Slope | None, size: int) -> Slope | None:
        """Sums over runs of ``size`` entries."""
        if slope is None:
            return None
        return self._grouped(slope.line, [(entry // size, i) for entry, i in slope.pairs])

    def _grouped(self, line: int, pairs: Sequence[Pair]) -> Slope:
        """Sums of the entries that belong to the same pair, groups of the same size together."""
        groups: dict[Pair, list[int]] = {}
        for place, pair in enumerate(pairs):
            groups.setdefault(pair, []).append(place)
        lines, at, shift = [], {}, 0
        for size in sorted({len(group) for group in groups.values()}):
            same = [(pair, group) for pair, group in groups.items() if len(group) == size]
            taken = self.take([line], [place for _, group in same for place in group])
            lines.append(taken if size == 1 else self.emit("sum", (taken,), len(same), (size,)))
            at |= {pair: shift + place for place, (pair, _) in enumerate(same)}
            shift += len(same)
        every = tuple(sorted(groups))
        return Slope(self.take(lines, [at[pair] for pair in every]), every)

    def products(self, slope: Slope, other: int, shape: Sequence[int], *, right: bool) -> Slope:
        """Slopes of ``b`` products (m, k) by (k, n) from those of the right factors, or of the left ones."""
        b, m, k, n = shape
        fan = m if right else n
        if len(slope.pairs) * fan <= SINGLE or self.nodes[other].length == 1:
            return self._products_singly(slope, other, (b, m, k, n), right=right)
        across = sorted({i for _, i in slope.pairs})
        c = len(across)
        if right:
            dense = tuple((entry, i) for entry in range(b * k * n) for i in across)
            made = self.emit("dot", (other, self.filled(slope, dense)), b * m * n * c, (b, m, k, n * c))
            return Slope(made, tuple((entry, i) for entry in range(b * m * n) for i in across))
        dense = tuple(((row * k + j), i) for row in range(b * m) for i in across for j in range(k))
        made = self.emit("dot", (self.filled(slope, dense), other), b * m * n * c, (b, m * c, k, n))
        index = [(row * c + at) * n + j for row in range(b * m) for j in range(n) for at in range(c)]
        pairs = tuple((row * n + j, i) for row in range(b * m) for j in range(n) for i in across)
        return Slope(self.take([made], index), pairs)

    def _products_singly(self, slope: Slope, other: int, shape: Sequence[int], *, right: bool) -> Slope:
        _, m, k, n = shape
        rows = []
        for place, (entry, i) in enumerate(slope.pairs):
            if right:
                batch, inner, column = entry // (k * n), entry // n % k, entry % n
                rows += [
                    (place, (batch * m + row) * k + inner, ((batch * m + row) * n + column, i)) for row in range(m)
                ]
            else:
                row, inner = entry // k, entry % k
                rows += [(place, (row // m * k + inner) * n + column, (row * n + column, i)) for column in range(n)]
        factors = other if self.nodes[other].length == 1 else self.take([other], [at for _, at, _ in rows])
        made = self.apply("mul", self.take([slope.line], [place for place, *_ in rows]), factors)
        return self._grouped(made, [pair for *_, pair in rows])

    def behind(self, outputs: Sequence[int]) -> set[int]:
        """The lines that some lines need, themselves too."""
        needed: set[int] = set()
        stack = list(outputs)
        while stack:
            place = stack.pop()
            if place not in needed:
                needed.add(place)
                stack.extend(self.nodes[place].args)
        return needed

    def finish(self, inputs: Sequence[int], output: int) -> Program:
        """The program of one output."""
        order = sorted(self.behind([output]) | {*inputs})
        new = {old: place for place, old in enumerate(order)}
        kept = (self.nodes[old] for old in order)
        nodes = tuple(Node(node.op, tuple(new[arg] for arg in node.args), node.length, node.data) for node in kept)
        return Program(nodes, tuple(new[place] for place in inputs), (new[output],))
