r"""Poles that no float meets: a denominator that is above 0 at one point and below 0 at another.

If it is continuous it is 0 between the two, and a number that needs the quotient is undefined there. So ``tan`` has no
value somewhere on [1, 2], though it has one at each float of it.
"""

import numpy as np

from ..programs import INTERVAL, Interval, Node, Program, evaluate


JUMPS = {"select", "sign", "floor", "atan2", "lt", "le", "eq", "and", "or", "not"}
SLACK = 1e-9


def pole_between(program: Program, points: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """Two of the points (B, n) of a convex region between which the first output is surely undefined somewhere."""
    smooth, places = _smooth(program), []
    for place in sorted(_needed(program)):
        node = program.nodes[place]
        pole = node.op in ("div", "tan") or (node.op == "powi" and node.data[0] < 0)
        if pole and smooth[node.args[-1]]:
            places.append(place)
    asked = Program(program.nodes, program.inputs, tuple(program.nodes[place].args[-1] for place in places))
    with np.errstate(all="ignore"):
        found = evaluate(asked, INTERVAL, [Interval(points, points.copy())])
    for place, value in zip(places, found, strict=True):
        sides = _branches(value) if program.nodes[place].op == "tan" else _sides(value)
        for column in np.where(_defined(value, sides), sides, np.nan).T:
            known = column[~np.isnan(column)]
            if len(column) == len(points) and len(known) and known.max() > known.min():
                return points[np.nanargmin(column)], points[np.nanargmax(column)]
    return None


def _needed(program: Program) -> set[int]:
    """Lines of which the first output needs every entry."""
    found, stack = set(), [program.outputs[0]]
    while stack:
        place = stack.pop()
        if place not in found:
            found.add(place)
            node = program.nodes[place]
            stack += node.args[:1] if node.op == "select" else _taken(program, node) if node.op == "take" else node.args
    return found


def _taken(program: Program, node: Node) -> list[int]:
    """The arguments of a ``take`` from which it takes every entry."""
    used, start, whole = {int(index) for index in node.data}, 0, []
    for arg in node.args:
        stop = start + program.nodes[arg].length
        whole += [arg] if used.issuperset(range(start, stop)) else []
        start = stop
    return whole


def _smooth(program: Program) -> list[bool]:
    """Which lines are continuous wherever they are defined."""
    made: list[bool] = []
    for node in program.nodes:
        made.append(node.op not in JUMPS and all(made[arg] for arg in node.args))
    return made


def _defined(value: Interval, sides: np.ndarray) -> np.ndarray:
    return np.ones(sides.shape, bool) if value.ok is None else np.broadcast_to(value.ok, sides.shape)


def _sides(value: Interval) -> np.ndarray:
    """1 where it is above 0, -1 where it is below, NaN where that is open."""
    return np.where(value.lo > 0, 1.0, np.where(value.hi < 0, -1.0, np.nan))


def _branches(value: Interval) -> np.ndarray:
    """Between which poles of the tangent it lies, NaN where that is open."""
    low, high = (np.floor(end / np.pi - 0.5 + side * SLACK) for end, side in ((value.lo, -1), (value.hi, 1)))
    return np.where((low == high) & (np.abs(high) < 1.0 / SLACK**0.5), low, np.nan)
