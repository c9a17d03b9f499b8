"""The interpreter: one loop over a program's lines, whatever the domain."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ._program import Program


Rules = Mapping[str, Callable[..., Any]]


def evaluate(program: Program, rules: Rules, inputs: Sequence[Any]) -> list[Any]:
    """Values of the outputs in the domain whose rules are given.

    Arguments:
        program: what to evaluate.
        rules: ``rules[op](node, *arguments)``; a rule sees the line for its length and data.
        inputs: one value for each input line.
    """
    return prepared(program, rules)(inputs)


def prepared(program: Program, rules: Rules) -> Callable[[Sequence[Any]], list[Any]]:
    """`evaluate` for many inputs: the lines that depend on none are evaluated once, now."""
    known: list[Any] = [None] * len(program.nodes)
    fixed: set[int] = set()
    for place, node in enumerate(program.nodes):
        if node.op != "input" and fixed.issuperset(node.args):
            known[place] = rules[node.op](node, *(known[arg] for arg in node.args))
            fixed.add(place)
    last = _last_uses(program)
    steps = []
    for place, node in enumerate(program.nodes):
        if node.op != "input" and place not in fixed:
            done = [arg for arg in node.args if last[arg] == place and arg not in fixed]
            steps.append((place, rules[node.op], node, node.args, done))

    def run(inputs: Sequence[Any]) -> list[Any]:
        values = list(known)
        for place, value in zip(program.inputs, inputs, strict=True):
            values[place] = value
        for place, rule, node, args, done in steps:
            values[place] = rule(node, *[values[arg] for arg in args])
            for arg in done:
                values[arg] = None  # a wide program on many boxes would not fit otherwise
        return [values[place] for place in program.outputs]

    return run


def _last_uses(program: Program) -> list[int]:
    last = list(range(len(program.nodes)))
    for place, node in enumerate(program.nodes):
        for arg in node.args:
            last[arg] = place
    for place in (*program.outputs, *program.inputs):
        last[place] = len(program.nodes)
    return last
