"""The lines of a program under construction: each is stored once, with what is known of its value.

A line is *fixed* if it depends on no input, *total* if it is defined for all inputs, *positive* if it is above zero
wherever it is defined. The last two are read off its operation and its arguments, or off the interval that a fixed line
is in; what cannot be seen so counts as unknown.
"""

import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

from ._interval import Interval, Truth
from ._interval_runs import INTERVAL
from ._program import PARTIAL, TRUTH, Node, Program


POSITIVE = {"exp", "cosh", "logistic", "softmax", "gibbs"}
LONGEST_FIXED = 4096
"""Fixed lines of more entries are not enclosed while the program is built."""


def _key(data: np.ndarray) -> Any:
    return tuple(data) if data.dtype == object else data.tobytes() + data.dtype.char.encode()


def _defined(value: Interval | Truth) -> bool:
    return value.ok is None or bool(np.all(value.ok))


def _above_zero(value: Interval | Truth | None) -> bool:
    return isinstance(value, Interval) and value.bad is None and bool(np.all(value.lo > 0))


class Lines:
    """Lines and their numbers."""

    def __init__(self) -> None:
        self.nodes: list[Node] = []
        self.total: list[bool] = []
        self.positive: list[bool] = []
        self.source: list[str] = []
        self.where = ""
        self.known: dict[Any, int] = {}
        self.infinite: dict[int, float] = {}
        self.fixed: list[bool] = []
        self.values: dict[int, Interval | Truth] = {}

    def emit(self, op: str, args: Sequence[int], length: int, data: Any = ()) -> int:
        """A line as it stands, or the number of an equal one."""
        key = (
            op,
            tuple(args),
            length,
            _key(data) if isinstance(data, np.ndarray) else data,
        )
        if op != "input" and key in self.known:
            return self.known[key]
        node = Node(op, tuple(args), length, data)
        value = self._value(node)
        if value is not None:
            self.values[len(self.nodes)] = value
        self.nodes.append(node)
        self.fixed.append(op != "input" and all(self.fixed[arg] for arg in args))
        self.positive.append(self._positive(op, args, data) or _above_zero(value))
        self.total.append(self._total(op, args, data) or (value is not None and _defined(value)))
        self.source.append(self.where)
        self.known[key] = len(self.nodes) - 1
        return self.known[key]

    def input(self, length: int) -> int:
        """A new input."""
        return self.emit("input", (), length, (len(self.nodes),))

    def const(self, values: Any) -> int:
        """Constants; equal ones are stored once."""
        flat = np.asarray(values).reshape(-1)
        if flat.dtype == object:
            return self._rational(flat)
        flat = flat if flat.dtype == bool else flat.astype(np.float64)
        if flat.dtype != bool and not np.all(np.isfinite(flat)):
            return self._infinite(flat)
        if flat.size > 1 and np.all(flat == flat[0]):
            return self.spread(self.const(flat[:1]), flat.size)
        return self.emit("const", (), flat.size, flat)

    def _rational(self, flat: np.ndarray) -> int:
        """Fractions; as floats where they are floats."""
        floats = np.asarray([float(value) for value in flat])
        if all(map(operator.eq, floats.tolist(), flat.tolist())):
            return self.const(floats)
        if flat.size > 1 and np.all(flat == flat[0]):
            return self.spread(self.const(flat[:1]), flat.size)
        return self.emit("const", (), flat.size, flat)

    def _infinite(self, flat: np.ndarray) -> int:
        """Constants of which some are no real numbers: those entries are undefined, as the logarithm of -1 is.

        Code has them where they do no harm, as the start of a maximum or in the branch of a ``where`` not taken.
        """
        if np.all(flat == flat[0]) and np.isinf(flat[0]):
            made = self.emit("log", (self.const([-1.0 if flat[0] < 0 else -2.0]),), 1)
            self.infinite[made] = float(flat[0])
            return made if flat.size == 1 else self.spread(made, flat.size)
        rest = [self.emit("log", (self.const([-3.0]),), 1), self.const([-np.inf]), self.const([np.inf])]
        kind = np.where(np.isnan(flat), 0, np.where(flat < 0, 1, 2))
        index = np.where(np.isfinite(flat), np.arange(flat.size), flat.size + kind)
        return self.take([self.const(np.where(np.isfinite(flat), flat, 0.0)), *rest], index)

    def spread(self, arg: int, length: int) -> int:
        """The single entry of ``arg``, ``length`` times."""
        return self.take([arg], np.zeros(length, np.int64))

    def stretched(self, arg: int, length: int) -> int:
        """The line, its single entry repeated if it has one."""
        return arg if self.nodes[arg].length == length else self.spread(arg, length)

    def take(self, args: Sequence[int], index: np.ndarray) -> int:
        """Entries ``index`` of the arguments laid end to end."""
        index = np.asarray(index, np.int64).reshape(-1)
        chosen = np.concatenate([self.entries(arg) for arg in args], axis=1)[:, index]
        leaves = sorted(set(chosen[0].tolist()))
        if all(self.nodes[leaf].op == "const" for leaf in leaves) and (
            len(leaves) > 1 or self.nodes[leaves[0]].length > 1
        ):
            kinds = [self.nodes[leaf].data.dtype for leaf in leaves]
            values = np.empty(index.size, object if object in kinds else kinds[0])
            for leaf in leaves:
                mine = chosen[0] == leaf
                values[mine] = self.nodes[leaf].data[chosen[1][mine]]
            return self.const(values)
        base, start = {}, 0
        for leaf in leaves:
            base[leaf] = start
            start += self.nodes[leaf].length
        flat = np.asarray([base[leaf] for leaf in leaves])[np.searchsorted(leaves, chosen[0])] + chosen[1]
        if len(leaves) == 1 and flat.size == start and np.array_equal(flat, np.arange(start)):
            return leaves[0]
        return self.emit("take", leaves, index.size, flat)

    def entries(self, arg: int) -> np.ndarray:
        """For each entry the line and the place it is taken from, shape (2, length)."""
        node = self.nodes[arg]
        if node.op != "take":
            return np.stack([np.full(node.length, arg), np.arange(node.length)])
        lengths = [self.nodes[leaf].length for leaf in node.args]
        starts = np.cumsum([0, *lengths[:-1]])
        owner = np.searchsorted(starts, node.data, side="right") - 1
        return np.stack([np.asarray(node.args)[owner], np.asarray(node.data) - starts[owner]])

    def source_of(self, arg: int) -> int:
        """The line that all entries of ``arg`` are taken from, ``arg`` itself if it takes from several."""
        node = self.nodes[arg]
        return node.args[0] if node.op == "take" and len(node.args) == 1 else arg

    def unspread(self, arg: int) -> int:
        """The single entry that ``arg`` repeats, or ``arg``."""
        node = self.nodes[arg]
        return (
            node.args[0] if node.op == "take" and len(node.args) == 1 and self.nodes[node.args[0]].length == 1 else arg
        )

    def equals(self, arg: int, value: float) -> bool:
        """Whether every entry is this constant."""
        node = self.nodes[self.unspread(arg)]
        return node.op == "const" and node.data.dtype != bool and bool(np.all(node.data == value))

    def truth(self, op: str, args: Sequence[int], length: int) -> np.ndarray | None:
        """What a comparison of fixed lines says, if their intervals decide it."""
        value = self._value(Node(op, tuple(args), length)) if op in TRUTH else None
        if not isinstance(value, Truth) or not _defined(value) or np.any(value.may == value.may_not):
            return None
        return np.broadcast_to(value.may[0], (length,))

    def _value(self, node: Node) -> Interval | Truth | None:
        """The enclosure of a fixed line."""
        if node.op == "input" or node.length > LONGEST_FIXED or any(arg not in self.values for arg in node.args):
            return None
        with np.errstate(all="ignore"):
            return INTERVAL[node.op](node, *(self.values[arg] for arg in node.args))

    def exact(self, arg: int) -> np.ndarray | None:
        """The values of a line of constants."""
        node = self.nodes[self.unspread(arg)]
        return np.broadcast_to(node.data, (self.nodes[arg].length,)) if node.op == "const" else None

    def _positive(self, op: str, args: Sequence[int], data: Any) -> bool:
        here = [self.positive[arg] for arg in args]
        if op == "const":
            return data.dtype != bool and bool(np.all(data > 0))
        if op in POSITIVE:
            return True
        if op == "add":
            return all(here) or (any(here) and all(p or self.square(arg) for p, arg in zip(here, args, strict=True)))
        if op in ("mul", "div", "min", "sqrt", "cbrt", "powi", "take", "sum", "prod", "least", "most", "sort"):
            return all(here)
        if op == "select":
            return here[2] and (here[1] or self._guarded(args[0], args[1]))
        return op == "max" and any(here)

    def _guarded(self, predicate: int, arg: int) -> bool:
        """Whether the predicate says that ``arg`` is above zero, as in ``where(u > 0, u, 1)``."""
        node = self.nodes[predicate]
        if node.op != "lt" or node.args[1] != arg:
            return False
        floor = self.nodes[self.unspread(node.args[0])]
        return floor.op == "const" and bool(np.all(floor.data >= 0))

    def square(self, arg: int) -> bool:
        """Whether it is seen never to be negative: even powers, absolute values, and positive sums of them."""
        node = self.nodes[arg]
        even = node.op == "powi" and node.data[0] > 0 and node.data[0] % 2 == 0
        scaled = node.op == "mul" and all(self.square(one) or self.positive[one] for one in node.args)
        return (
            even
            or scaled
            or (node.op in ("sum", "take", "abs") and (node.op == "abs" or all(map(self.square, node.args))))
        )

    def _total(self, op: str, args: Sequence[int], data: Any) -> bool:
        if not all(self.total[arg] for arg in args):
            return False
        if op == "powi":
            return data[0] > 0 or self.positive[args[0]]
        if op in PARTIAL:
            within = self.positive[args[-1]] or (op == "sqrt" and self.square(args[-1]))
            return op in ("div", "log", "sqrt", "log1p") and within
        return True

    def finish(self, inputs: Sequence[int], outputs: Sequence[int]) -> Program:
        """The program without the lines that no output needs."""
        needed, stack = set(inputs), list(outputs)
        while stack:
            place = stack.pop()
            if place not in needed or place in outputs:
                stack.extend(arg for arg in self.nodes[place].args if arg not in needed)
            needed.add(place)
        order = sorted(needed)
        new = {old: place for place, old in enumerate(order)}
        nodes = tuple(
            Node(node.op, tuple(new[arg] for arg in node.args), node.length, node.data)
            for node in (self.nodes[old] for old in order)
        )
        source = tuple(self.source[old] for old in order)
        return Program(nodes, tuple(new[old] for old in inputs), tuple(new[old] for old in outputs), source)
