"""The interpreter: one loop over a program's lines, whatever the domain."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ._program import Program


def evaluate(program: Program, rules: Mapping[str, Callable[..., Any]], inputs: Sequence[Any]) -> list[Any]:
    """Values of the outputs in the domain whose rules are given.

    Arguments:
        program: what to evaluate.
        rules: ``rules[op](node, *arguments)``; a rule sees the line for its length and data.
        inputs: one value for each input line.
    """
    values: list[Any] = [None] * len(program.nodes)
    last = _last_uses(program)
    for place, value in zip(program.inputs, inputs, strict=True):
        values[place] = value
    for place, node in enumerate(program.nodes):
        if node.op != "input":
            values[place] = rules[node.op](node, *(values[arg] for arg in node.args))
            for arg in node.args:
                if last[arg] == place:
                    values[arg] = None  # a wide program on many boxes would not fit otherwise
    return [values[place] for place in program.outputs]


def _last_uses(program: Program) -> list[int]:
    last = list(range(len(program.nodes)))
    for place, node in enumerate(program.nodes):
        for arg in node.args:
            last[arg] = place
    for place in (*program.outputs, *program.inputs):
        last[place] = len(program.nodes)
    return last
