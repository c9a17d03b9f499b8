"""Clocks: an energy and a flow can only be compared where both read the same time and the same state."""

from typing import Any

from .._errors import InputError
from .._types import Clock
from ..diffusion import AbstractPathEnergy, Frozen, GuidedEnergy
from ..flows import GradientFlow, Langevin, ProbabilityFlow, ReverseSDE
from ._dynamics import TermDynamics


def clock_of(thing: Any) -> tuple[Clock | None, bool]:
    """The clock of an energy or a flow, None where it has none, and whether time runs on it (no, if it is frozen)."""
    if isinstance(thing, AbstractPathEnergy | GuidedEnergy | ProbabilityFlow | ReverseSDE):
        return thing.clock, True
    if isinstance(thing, Frozen):
        return clock_of(thing.energy)[0], False
    if isinstance(thing, GradientFlow | Langevin):
        return clock_of(thing.energy)
    if isinstance(thing, TermDynamics):
        owners = (getattr(term.vector_field, "__self__", None) for term in thing.drifts)
        return next((found for found in map(clock_of, owners) if found[0] is not None), (None, False))
    return None, False


def require_one_clock(energy: Any, flow: Any) -> None:
    """Raise if energy and flow both have a clock and these differ."""
    mine, theirs = clock_of(energy)[0], clock_of(flow)[0]
    if None not in (mine, theirs) and mine != theirs:
        msg = (
            f"energy.clock={mine!r}, flow.clock={theirs!r}: their times and states differ; build both with "
            f"clock={theirs!r} or both with clock={mine!r}"
        )
        raise InputError(msg)


def require_times(things: tuple[Any, ...], t0: float, t1: float) -> None:
    """Raise if times lie outside [0, 1] though an energy or a flow runs on "tau"."""
    if ("tau", True) in map(clock_of, things) and not (t0 >= 0 and t1 <= 1):
        msg = f"t0={t0!r}, t1={t1!r}: clock 'tau' runs from 0 (noise) to 1 (data); choose times in [0, 1]"
        raise InputError(msg)
