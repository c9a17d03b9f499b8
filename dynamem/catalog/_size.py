"""How much an audit holds in memory, so that one that does not fit is refused before it starts. No JAX here."""

from collections.abc import Iterable

from ._names import STEPS


MOST_STEPS = 1024
"""Most steps of an adaptive solve; room for all of them is set aside for every state."""
PATHS = 4
"""Random paths from each state where there is noise."""
SOLVING = 2 * (MOST_STEPS + 1)  # an adaptive solve: what it saves, and the copy without gaps
KEPT = 3  # states, noise and posterior means of every run of a sweep, kept for the claims and the figures
FIXED = sum(steps + 1 for steps in STEPS)
ADAPTIVE = 200  # steps of an adaptive run that are used, and so kept
SOLVERS = 7  # of fixed steps, for each dynamics; fewer in a quick audit
SWEEPS = {"probability_flow": KEPT * (SOLVERS * FIXED + ADAPTIVE), "reverse_sde": KEPT * PATHS * SOLVERS * FIXED}


def states_held(systems: Iterable[str]) -> int:
    """States that an audit of these systems holds at once, for each initial one."""
    return SOLVING + sum(SWEEPS.get(name.partition("/")[0], 0) for name in systems)
