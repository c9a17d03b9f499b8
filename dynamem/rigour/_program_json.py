"""Programs as JSON, and back: what is read is judged line by line, so that every rule meets what it expects."""

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

from ..programs import OPERATIONS, RUNS, TRUTH, Node, Program, plain


MOST_ENTRIES, MOST_SCALARS, LARGEST_POWER = 10**7, 10**9, 2**31
"""Entries of all lines, scalar operations times coordinates (slopes take so many), and whole powers of a file."""


def written(program: Program) -> dict[str, Any]:
    """A program's lines ``[op, args, length, data]``; constants as bits, fractions ``p/q`` or truth values."""
    nodes = []
    for node in program.nodes:
        data: list[Any] = [] if node.op == "input" else list(plain(node.data))
        if node.op == "const":
            data = [_written_constant(value) for value in data]
        nodes.append([node.op, list(node.args), node.length, data])
    return {"nodes": nodes, "inputs": list(program.inputs), "outputs": list(program.outputs)}


def _written_constant(value: Any) -> bool | str:
    if isinstance(value, bool):
        return value
    return f"{value.numerator}/{value.denominator}" if isinstance(value, Fraction) else float(value).hex()


def read(body: dict[str, Any], rows: int, outputs: int) -> Program:
    """The program of one input of ``rows`` entries and of ``outputs`` outputs of one.

    Raises:
        ValueError: it is no such program; other errors where the JSON has other kinds of values than it should.
    """
    nodes: list[Node] = []
    truths: list[bool] = []
    entries = scalars = 0
    for place, (op, args, length, data) in enumerate(body["nodes"]):
        if OPERATIONS.get(op) is None:
            _refuse(place, f"{op!r:.40}", "operation")
        if not all(_whole(arg) and arg < place for arg in args) or not (_whole(length) and length):
            _refuse(place, op, "arguments")
        if OPERATIONS[op] not in (-1, len(args)):
            _refuse(place, op, "arguments")
        node = Node(op, tuple(args), length, tuple(map(_constant, data) if op == "const" else data))
        lengths = [nodes[arg].length for arg in args]
        if not _fits(node, lengths):
            _refuse(place, op, "data")
        entries, scalars = entries + length, scalars + rows * _scalars(node, lengths)
        if entries > MOST_ENTRIES or scalars > MOST_SCALARS:
            msg = f"line {place} ({op}): more than {MOST_ENTRIES} entries, or {MOST_SCALARS} operations, up to here"
            raise ValueError(msg)
        if not _kinds(node, [truths[arg] for arg in args]):
            _refuse(place, op, "kinds of arguments")
        nodes.append(node)
        truths.append(_is_truth(node, truths))
    inputs, last = [place for place, node in enumerate(nodes) if node.op == "input"], body["outputs"]
    fine = body["inputs"] == inputs and len(inputs) == 1 and nodes[inputs[0]].length == rows
    if not fine or len(last) != outputs or not all(_whole(k) and nodes[k].length == 1 and not truths[k] for k in last):
        msg = "it does not fit the region and its constraints"
        raise ValueError(msg)
    return Program(tuple(nodes), tuple(inputs), tuple(last))


def _refuse(place: int, op: str, what: str) -> None:
    msg = f"line {place} ({op}) has wrong {what}"
    raise ValueError(msg)


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _constant(value: Any) -> bool | float | Fraction:
    if isinstance(value, bool):
        return value
    above, slash, below = value.partition("/")
    made = Fraction(int(above), int(below)) if slash else float.fromhex(value)
    if _written_constant(made) != value:
        msg = f"{value!r:.40} is not how a constant is written"
        raise ValueError(msg)
    return made


def _fits(node: Node, lengths: Sequence[int]) -> bool:
    """Whether data and length are what the operation makes of arguments of these lengths."""
    op, data, length = node.op, node.data, node.length
    if op == "const":
        finite = all(isinstance(value, Fraction) or math.isfinite(value) for value in data)
        return finite and len(data) == length and len({isinstance(value, bool) for value in data}) == 1
    if op == "take":
        return len(data) == length and all(_whole(index) and index < sum(lengths) for index in data)
    if op == "powi":
        return len(data) == 1 and _whole(abs(data[0])) and abs(data[0]) <= LARGEST_POWER and lengths == [length]
    if op in RUNS:
        runs, rest = divmod(lengths[0], data[0]) if len(data) == 1 and _whole(data[0]) and data[0] else (0, 1)
        return not rest and length == (lengths[0] if op in ("sort", "softmax") else runs)
    if op == "dot":
        b, m, k, n = data
        whole = all(_whole(one) and one for one in data)
        return whole and length == b * m * n and lengths[0] == b * m * k and lengths[1] == b * k * n
    if op == "gibbs":
        n, k = data
        return all(_whole(one) and one for one in data) and length == n and list(lengths) == [n * k, k, n, 1]
    return not data and all(one in (1, length) for one in lengths) and (op == "input" or length in lengths)


def _scalars(node: Node, lengths: Sequence[int]) -> int:
    """Scalar operations that a line costs."""
    if node.op == "dot":
        return node.length * node.data[2]
    if node.op in ("sort", "softmax"):
        return node.length * node.data[0]
    if node.op == "gibbs":
        return node.length * node.data[1]
    return max(node.length, *lengths) if node.op in RUNS else node.length


def _kinds(node: Node, truths: Sequence[bool]) -> bool:
    """Whether truth values stand where they should, and nowhere else."""
    if node.op in ("and", "or", "not"):
        return all(truths)
    if node.op == "take":
        return len(set(truths)) == 1
    return list(truths) == [True, False, False] if node.op == "select" else not any(truths)


def _is_truth(node: Node, truths: Sequence[bool]) -> bool:
    if node.op == "take":
        return truths[node.args[0]]
    return node.op in TRUTH or (node.op == "const" and isinstance(node.data[0], bool))
