"""Regions that are finitely many points, such as the states of binary units: ``x_i^2 = 1``, written as inequalities."""

import itertools
import math

from flint import fmpq

from ._case import Case, Task
from ._functions import Rebase, Split, Undefined
from ._line import rational_points
from ._sos_basis import variables
from ._tower import TooHard, TowerFull


MOST_POINTS = 1 << 16


def points_of(task: Task) -> list[tuple[fmpq, ...]] | None:
    """Points that hold the whole region, None unless its constraints on single coordinates leave finitely many."""
    if len(task.program.outputs) < 2:
        return None
    case = Case(task, {}, {}, len(task.names) + 8)
    try:
        facts = case.limits()
    except (Rebase, Split, Undefined, TooHard, TowerFull, ZeroDivisionError):
        return None
    if facts is None:
        return None
    axes: list[list[fmpq]] = []
    places = {point: generator for generator, point in case.tower.places.items()}
    for place in range(len(task.names)):
        lo, hi = task.box[place]
        if lo is not None and lo == hi:
            axes.append([lo])
            continue
        own = {places[place]}
        here = [(fact.p, fact.strict) for fact in (*facts, *case.prover.ranges(own)) if variables(fact.p) == own]
        found = rational_points(places[place], here)
        if found is None or math.prod(map(len, [*axes, found])) > MOST_POINTS:
            return None
        axes.append(found)
    return list(itertools.product(*axes))
