r"""Building a program: equal lines are one line, what is neutral drops out, and softmax is found wherever it hides.

    log sum_i exp(z_i) -> lse(z),    exp(z)/sum exp(z), exp(z - lse z) -> softmax(z),    lse(z - c) -> lse(z) - c,

the last of which removes the shift by the maximum, which is there for floats alone. Every rewriting is an identity of
real arithmetic that keeps where the expression is defined: a term is dropped only if it is defined everywhere.
"""

from fractions import Fraction

import numpy as np

from ._limits import limit_of, without_neutral
from ._lines import Lines
from ._program import RUNS, TRUTH, Node


EXACT_FOLDS = 64  # constants of at most so many entries are folded


class Builder:
    """Adds lines, one method for each kind, and gives back their numbers."""

    def __init__(self) -> None:
        self.lines = Lines()
        self.take, self.const, self.spread = self.lines.take, self.lines.const, self.lines.spread

    def apply(self, op: str, *args: int) -> int:
        """An operation entry by entry; arguments of length 1 go with every entry of the others."""
        length = max(self.lines.nodes[arg].length for arg in args)
        limits = limit_of(self.lines, op, args, length)
        if limits is not None:
            constants, kept, place = limits
            return self.take([*map(self.const, constants), *([self.apply(op, *kept)] if kept else [])], place)
        plain = [self.lines.unspread(arg) for arg in args]
        if all(self.lines.nodes[arg].length == 1 for arg in plain):
            made = self._simplified(op, plain, 1)
            return made if length == 1 else self.spread(made, length)
        made = self._simplified(op, plain, length)
        return made if self.lines.nodes[made].length == length else self.spread(made, length)

    def powi(self, arg: int, power: int) -> int:
        """``arg ** power`` for a whole power."""
        if power == 1:
            return arg
        if power == 0 and self.lines.total[arg]:
            return self.spread(self.const([1.0]), self.lines.nodes[arg].length)
        plain, length = self.lines.unspread(arg), self.lines.nodes[arg].length
        node = self.lines.nodes[plain]
        if node.op == "powi" and node.data[0] > 0 and power > 0:
            return self.powi_of(node.args[0], node.data[0] * power, length)
        return self.powi_of(plain, power, length)

    def powi_of(self, plain: int, power: int, length: int) -> int:
        """`powi` without looking at the argument."""
        made = self.lines.emit("powi", (plain,), self.lines.nodes[plain].length, (power,))
        return made if self.lines.nodes[made].length == length else self.spread(made, length)

    def run(self, op: str, arg: int, size: int) -> int:
        """``sum``, ``prod``, ``least``, ``most``, ``sort``, ``lse`` or ``softmax`` over runs of ``size`` entries."""
        arg, size = without_neutral(self.lines, op, arg, size)
        node = self.lines.nodes[arg]
        if size == 1 and op != "softmax":
            return arg
        if size == 1 and self.lines.total[arg]:
            return self.spread(self.const([1.0]), node.length)
        if op in ("lse", "softmax"):
            shift = self._shift(arg, size)
            if shift is not None:
                rest, lift = shift
                made = self.run(op, rest, size)
                return made if op == "softmax" else self.apply("sub", made, lift)
        if op == "sum" and self.lines.equals(arg, 0.0):
            return self.spread(self.const([0.0]), node.length // size)
        return self.lines.emit(op, (arg,), node.length if op in ("sort", "softmax") else node.length // size, (size,))

    def dot(self, left: int, right: int, shape: tuple[int, int, int, int]) -> int:
        """``b`` products of (m, k) and (k, n) matrices; ``shape = (b, m, k, n)``."""
        b, m, k, n = shape
        if (self.lines.equals(left, 0.0) and self.lines.total[right]) or (
            self.lines.equals(right, 0.0) and self.lines.total[left]
        ):
            return self.spread(self.const([0.0]), b * m * n)
        if m == n == 1:
            return (
                self.run("sum", self.apply("mul", left, right), k)
                if left == right or b > 1
                else self.lines.emit("dot", (left, right), 1, shape)
            )
        return self.lines.emit("dot", (left, right), b * m * n, shape)

    # Rewriting

    def _simplified(self, op: str, args: list[int], length: int) -> int:
        nodes = [self.lines.nodes[arg] for arg in args]
        if length <= EXACT_FOLDS and all(node.op == "const" for node in nodes):
            folded = _folded(op, [node.data for node in nodes])
            if folded is not None:
                return self.const(folded)
        neutral = self._neutral(op, args)
        if neutral is not None:
            return neutral
        hidden = self._hidden(op, args)
        if hidden is not None:
            return hidden
        truth = self.lines.truth(op, args, length)
        if truth is not None:
            return self.const(truth)
        if op in ("add", "mul", "min", "max", "eq", "and", "or"):
            args = sorted(args)
        return self.lines.emit(op, args, length)

    def _neutral(self, op: str, args: list[int]) -> int | None:
        """The line that this one is equal to for a simple reason."""
        a, b = args[0], args[-1]
        if op == "neg" and self.lines.nodes[a].op == "neg":
            return self.lines.nodes[a].args[0]
        if op == "abs" and (self.lines.positive[a] or self.lines.square(a)):
            return a
        if op == "sqrt" and self.lines.nodes[a].op == "powi" and self.lines.nodes[a].data == (2,):
            return self.apply("abs", self.lines.nodes[a].args[0])
        if op == "select":
            return self._selected(args)
        if len(args) == 2:
            return self._neutral_pair(op, a, b)
        return None

    def _neutral_pair(self, op: str, a: int, b: int) -> int | None:
        if op in ("min", "max", "and", "or") and a == b:
            return a
        if op in ("min", "max"):
            return self._extremum(op, a, b)
        if op == "eq" and a == b and self.lines.total[a]:
            return self.spread(self.const([True]), self.lines.nodes[a].length)
        if op in ("eq", "lt", "le"):
            return self._beyond(op, a, b) or (op == "eq" and (self._tie(a, b) or self._tie(b, a))) or None
        if op == "add":
            return b if self.lines.equals(a, 0.0) else a if self.lines.equals(b, 0.0) else self._restored(a, b)
        if op == "sub":
            return self._difference(a, b)
        if op == "mul":
            return self._product(a, b)
        return a if op == "div" and self.lines.equals(b, 1.0) else None

    def _difference(self, a: int, b: int) -> int | None:
        if self.lines.equals(b, 0.0):
            return a
        if self.lines.nodes[b].op == "const":
            return self.apply("add", a, self.apply("neg", b))
        if self.lines.equals(a, 0.0):
            return self.apply("neg", b)
        if a == b and self.lines.total[a]:
            return self.spread(self.const([0.0]), self.lines.nodes[a].length)
        return None

    def _beyond(self, op: str, a: int, b: int) -> int | None:
        """A comparison with an infinite constant, which no real number reaches."""
        ends = [self.lines.infinite.get(one) for one in (a, b)]
        if (ends[0] is None) == (ends[1] is None):
            return None
        other = b if ends[1] is None else a
        truth = op != "eq" and (ends[1] or 0.0) - (ends[0] or 0.0) > 0
        same = self.lines.emit("eq", (other, other), self.lines.nodes[other].length)  # true where it is defined
        return same if truth else self.apply("not", same)

    def _tie(self, x: int, other: int) -> int | None:
        """``x = max(x, y)`` is ``y <= x``: the form in which JAX differentiates a maximum decides nothing on a box."""
        node = self.lines.nodes[other]
        if node.op not in ("min", "max") or x not in node.args or not all(self.lines.total[arg] for arg in node.args):
            return None
        y = node.args[1] if node.args[0] == x else node.args[0]
        return self.apply("le", *((y, x) if node.op == "max" else (x, y)))

    def _extremum(self, op: str, a: int, b: int) -> int | None:
        """An infinite end that never wins, or zero against what is never positive."""
        for one, other in ((a, b), (b, a)):
            if self.lines.infinite.get(one) == (np.inf if op == "min" else -np.inf):
                return other
            node = self.lines.nodes[other]
            if (
                self.lines.equals(one, 0.0)
                and node.op == "sub"
                and self._among(*node.args) is not None
                and self.lines.total[other]
            ):
                return self.spread(one, node.length) if op == "max" else other
        return None

    def _product(self, a: int, b: int) -> int | None:
        for one, other in ((a, b), (b, a)):
            if self.lines.equals(one, 1.0):
                return other
            if self.lines.equals(one, -1.0):
                return self.apply("neg", other)
            if self.lines.equals(one, 0.0) and self.lines.total[other]:
                return self.spread(self.const([0.0]), self.lines.nodes[other].length)
            power = self.lines.nodes[one]
            if power.op == "powi" and power.args[0] == other and power.data[0] > 0:
                return self.powi(other, power.data[0] + 1)
        return self.powi(a, 2) if a == b else None

    def _restored(self, a: int, b: int) -> int | None:
        """``(p - c) + c = p``."""
        for one, other in ((a, b), (b, a)):
            node = self.lines.nodes[one]
            if node.op == "sub" and node.args[1] == other and self._implied(other, node.args[0], 1):
                return node.args[0]
        return None

    def _selected(self, args: list[int]) -> int | None:
        predicate, yes, no = args
        node = self.lines.nodes[predicate]
        if yes == no and self.lines.total[predicate]:
            return yes
        if node.op == "const" and (np.all(node.data) or not np.any(node.data)):
            return yes if node.data[0] else no
        if node.op == "const":
            length = node.length
            index = np.where(node.data, np.arange(length), length + np.arange(length))
            return self.take([self.lines.stretched(arg, length) for arg in (yes, no)], index)
        return None

    def _shift(self, arg: int, size: int) -> tuple[int, int] | None:
        """``(z, c)`` if ``arg = z - c`` with one ``c`` for each run."""
        node = self.lines.nodes[arg]
        if node.op != "sub" or not self._implied(node.args[1], node.args[0], size):
            return None
        lift = self._level(node.args[1], node.length // size, size)
        whole = self.lines.nodes[node.args[0]].length == node.length
        return (node.args[0], lift) if whole and lift is not None else None

    def _implied(self, level: int, by: int, size: int) -> bool:
        """Whether each entry of ``level`` is defined wherever the entries of ``by`` in its run of ``size`` are."""
        if self.lines.total[level]:
            return True
        length = max(self.lines.nodes[level].length, self.lines.nodes[by].length)
        levels, entries = (
            [*map(tuple, np.broadcast_to(self.lines.entries(one), (2, length)).T.tolist())] for one in (level, by)
        )
        for start in range(0, length, size):
            given = set(entries[start : start + size])
            given |= {one for entry in given for one in self._made_of(entry)}
            needed = [self._made_of(entry) for entry in set(levels[start : start + size])]
            if not all(entries and entries <= given for entries in needed):
                return False
        return True

    def _made_of(self, entry: tuple[int, int]) -> set[tuple[int, int]]:
        """The entries of the run that an entry is the result of; none if it is not the result of a run."""
        node = self.lines.nodes[entry[0]]
        if node.op not in RUNS:
            return set()
        size = node.data[0]
        start = entry[1] // size * size if node.op in ("sort", "softmax") else entry[1] * size
        return {*map(tuple, self.lines.entries(node.args[0])[:, start : start + size].T.tolist())}

    def _level(self, arg: int, runs: int, size: int) -> int | None:
        """The vector with one entry for each run of which ``arg`` is made."""
        node = self.lines.nodes[arg]
        if node.length == 1:
            return arg if runs == 1 else self.spread(arg, runs)
        if node.op == "take":
            rows = np.asarray(node.data).reshape(runs, size)
            if np.all(rows == rows[:, :1]):
                return self.take(node.args, rows[:, 0])
        return None

    def _hidden(self, op: str, args: list[int]) -> int | None:
        """A softmax or a log-sum-exp written out."""
        node = self.lines.nodes[args[0]]
        if op == "log" and node.op == "sum" and self.lines.nodes[node.args[0]].op == "exp":
            return self.run("lse", self.lines.nodes[node.args[0]].args[0], node.data[0])
        if op == "exp" and node.op == "sub":
            return self._normalised(*node.args)
        if op == "add":
            return self._pair(*args) or self._pair(*args[::-1])
        if op == "div":
            return self._quotient(*args)
        if op == "mul":
            for one, other in (args, args[::-1]):
                if self.lines.nodes[one].op == "div" and self.lines.nodes[other].op == "exp":
                    share = self._quotient(other, self.lines.nodes[one].args[1])
                    if share is not None:
                        return self.apply("mul", self.lines.nodes[one].args[0], share)
        return None

    def _normalised(self, z: int, level: int) -> int | None:
        """``exp(z - lse z)``."""
        found = self._among(z, level)
        if found is None:
            return None
        node, index = found
        return self.take([self.run("softmax", node.args[0], node.data[0])], index)

    def _among(self, z: int, level: int) -> tuple[Node, np.ndarray] | None:
        """The log-sum-exp that ``level`` is, and where each entry of ``z`` stands among its arguments."""
        node = self.lines.nodes[self.lines.source_of(level)]
        if node.op != "lse":
            return None
        length = max(self.lines.nodes[z].length, self.lines.nodes[level].length)
        runs = np.broadcast_to(self.lines.entries(level)[1], (length,))
        wanted = np.broadcast_to(self.lines.entries(z), (2, length))
        have = self.lines.entries(node.args[0]).reshape(2, node.length, -1)[:, runs]
        same = np.all(have == wanted[:, :, None], axis=0)
        if not np.all(same.any(axis=1)):
            return None
        return node, runs * node.data[0] + same.argmax(axis=1)

    def _pair(self, top: int, rest: int) -> int | None:
        """``max(a, b) + log1p(exp(-|a - b|))``."""
        chain = [self.lines.nodes[rest]]
        for op in ("log1p", "exp", "neg", "abs"):
            if chain[-1].op != op:
                return None
            chain.append(self.lines.nodes[chain[-1].args[0]])
        if self.lines.nodes[top].op != "max":
            return None
        a, b = self.lines.nodes[top].args
        gap = chain[-2].args[0]
        if gap not in (self.apply("sub", a, b), self.apply("sub", b, a)):
            return None
        length = max(self.lines.nodes[a].length, self.lines.nodes[b].length)
        pair = [arg if self.lines.nodes[arg].length == length else self.spread(arg, length) for arg in (a, b)]
        return self.run("lse", self.take(pair, np.arange(2 * length).reshape(2, length).T), 2)

    def _quotient(self, top: int, bottom: int) -> int | None:
        """``exp(z)/sum exp(z)``, and sums of ``exp(z) x`` over it."""
        total = self.lines.nodes[self.lines.source_of(bottom)]
        if total.op != "sum" or self.lines.nodes[total.args[0]].op != "exp":
            return None
        weights, size = total.args[0], total.data[0]
        z, node = self.lines.nodes[weights].args[0], self.lines.nodes[top]
        if top == weights and self._level(bottom, total.length, size) == self.lines.source_of(bottom):
            return self.run("softmax", z, size)
        if self.lines.source_of(bottom) != bottom and total.length > 1:
            return None
        if node.op == "sum" and node.data == (size,) and node.length == total.length:
            product = self.lines.nodes[node.args[0]]
            if product.op == "mul" and weights in product.args:
                other = product.args[1] if product.args[0] == weights else product.args[0]
                return self.run("sum", self.apply("mul", self.run("softmax", z, size), other), size)
        if node.op == "dot" and total.length == 1 and weights in node.args:
            share = self.run("softmax", z, size)
            left, right = (share if arg == weights else arg for arg in node.args)
            return self.dot(left, right, node.data) if node.args[0] != node.args[1] else None
        return None


def _folded(op: str, values: list[np.ndarray]) -> np.ndarray | None:
    """The result on constants where it is exact in floats."""
    length = max(value.size for value in values)
    rows = list(zip(*(np.broadcast_to(value, (length,)).tolist() for value in values), strict=True))
    if op in TRUTH:
        return np.asarray([_TRUTHS[op](*row) for row in rows])
    if op not in _FOLDS or any(value.dtype == object or not np.all(np.isfinite(value)) for value in values):
        return None
    made = [_FOLDS[op](*map(Fraction, row)) for row in rows]
    floats = np.asarray([float(value) for value in made])
    return floats if all(Fraction(float(value)) == value for value in made) else None


_FOLDS = {
    "neg": lambda a: -a, "abs": abs, "add": lambda a, b: a + b, "sub": lambda a, b: a - b, "mul": lambda a, b: a * b,
    "min": min, "max": max,
}  # fmt: skip
_TRUTHS = {
    "lt": lambda a, b: a < b, "le": lambda a, b: a <= b, "eq": lambda a, b: a == b,
    "and": lambda a, b: a and b, "or": lambda a, b: a or b, "not": lambda a: not a,
}  # fmt: skip
