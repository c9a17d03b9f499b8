r"""A critical time is a noise level and the criterion that it satisfies; without the criterion it means nothing.

The literature has many (onset of a second minimum, speciation, collapse, ...), on many clocks. Here each is a noise
level ``s = sigma/alpha`` of the canonical state ``y = x/alpha``, from which every clock follows: ``lam = -log s``, the
time ``t`` of a schedule, and the time of the Ornstein-Uhlenbeck process ``dx = -x dt + sqrt(2) dW`` in which Biroli et
al. count, ``log(1 + s^2)/2``.
"""

import dataclasses
import itertools
import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import scipy.optimize
from jaxtyping import Float

from .._errors import InputError
from ..diffusion import AbstractSchedule


LEVEL = 0.95
"""Confidence of every interval."""
Z = 1.959963984540054
"""The normal quantile of it."""


@dataclasses.dataclass(frozen=True)
class CriticalTime:
    """One noise level, with the criterion that names it.

    Attributes:
        name: a word for tables.
        criterion: the condition that holds at it, as a formula.
        s: the noise level; NaN where the condition is met at none (``note`` says why).
        lam: ``-log s``.
        t: noise time of the schedule; NaN without one, or where it does not reach ``s``.
        value: the number that the source quotes.
        unit: what ``value`` is: "s", "OU time" or another.
        method: how it was computed.
        interval: 95 % confidence for ``s`` where it was estimated from samples, None where no sampling enters.
        source: paper and equation.
        note: what else has to be said, "" if nothing.
    """

    name: str
    criterion: str
    s: float
    lam: float
    t: float
    value: float
    unit: str
    method: str
    interval: tuple[float, float] | None
    source: str
    note: str = ""

    def row(self) -> dict[str, Any]:
        """Plain numbers and words for JSON; NaN and infinity become None."""
        fields = dataclasses.asdict(self)
        ends = None if self.interval is None else [_plain(end) for end in self.interval]
        return {key: _plain(value) for key, value in fields.items()} | {"interval": ends}


@dataclasses.dataclass(frozen=True)
class CriticalTimes:
    """The table of a data set: ``table[name]`` is a `CriticalTime`.

    Attributes:
        times: the entries.
        schedule: class name of the schedule that ``t`` belongs to, None without one.
        facts: what the data are: "size", "top" (the largest eigenvalue of their covariance), "total" (its trace), ...
        seconds: time taken for each group of criteria.
    """

    times: tuple[CriticalTime, ...]
    schedule: str | None
    facts: dict[str, float]
    seconds: dict[str, float]

    def __getitem__(self, name: str) -> CriticalTime:
        for one in self.times:
            if one.name == name:
                return one
        msg = f"name={name!r}: this table has {tuple(one.name for one in self.times)}"
        raise InputError(msg)

    def __iter__(self) -> Iterator[CriticalTime]:
        return iter(self.times)

    def __len__(self) -> int:
        return len(self.times)

    def rows(self) -> list[dict[str, Any]]:
        """One dict of plain numbers and words for each entry."""
        return [one.row() for one in self.times]


def _plain(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def ou_time(s: float) -> float:
    """Time of ``dx = -x dt + sqrt(2) dW`` at noise level ``s``: ``log(1 + s^2)/2``, dimensionless."""
    return 0.5 * math.log1p(s * s)


def level_of_ou(t: float) -> float:
    """Noise level ``s = sqrt(e^(2t) - 1)`` at OU time ``t``; NaN for a time that is not positive."""
    return math.sqrt(math.expm1(2 * t)) if t > 0 else math.nan


def time_of(schedule: AbstractSchedule | None, s: float) -> float:
    """The schedule's noise time at level ``s``, NaN without a schedule or where it does not reach ``s``."""
    if schedule is None or not (math.isfinite(s) and s > 0):
        return math.nan
    try:
        return float(schedule.t_of_lam(-math.log(s)))
    except InputError:
        return math.nan


def critical_time(
    name: str, criterion: str, s: float, schedule: AbstractSchedule | None, *, method: str, source: str,
    unit: str = "s", interval: tuple[float, float] | None = None, note: str = "",
) -> CriticalTime:  # fmt: skip
    """An entry from its noise level: the other clocks follow.

    Arguments:
        name: of the entry.
        criterion: the condition.
        s: the noise level, NaN for none.
        schedule: for ``t``, or None.
        method: how ``s`` was found.
        source: where the criterion is from.
        unit: "s" or "OU time": what ``value`` shall be.
        interval: of ``s``.
        note: anything else.
    """
    known = math.isfinite(s) and s > 0
    lam = -math.log(s) if known else math.nan
    value = s if unit == "s" or not known else ou_time(s)
    t = time_of(schedule, s)
    if known and schedule is not None and math.isnan(t):
        note = f"{note}; " * bool(note) + f"{type(schedule).__name__} does not reach this level"
    return CriticalTime(name, criterion, s, lam, t, value, unit, method, interval, source, note)


def scan(high: float, low: float, ratio: float = 0.9) -> Float[np.ndarray, " L"]:
    """Levels from ``high`` down to ``low``, each ``ratio`` times the one before it or a little more, shape (L,)."""
    count = max(2, 1 + math.ceil(math.log(low / high) / math.log(ratio)))
    return np.geomspace(high, low, count)


def crossing(gap: Callable[[float], float], levels: Float[np.ndarray, " L"], *, xtol: float = 1e-12) -> float:
    """The largest level at which ``gap`` turns from negative to positive as noise falls, relatively to ``xtol``.

    Arguments:
        gap: a function of the level.
        levels: where it is looked at first, falling, shape (L,): a pair of crossings between two of them can be missed.
        xtol: relative accuracy.

    Returns:
        The level; NaN if ``gap`` stays negative, infinity if it is not negative at the first level.
    """
    if not gap(float(levels[0])) < 0:
        return math.inf
    for above, below in itertools.pairwise(map(float, levels)):
        if gap(below) >= 0:
            root: Any = scipy.optimize.brentq(lambda u: gap(math.exp(u)), math.log(below), math.log(above), xtol=xtol)
            return math.exp(root)
    return math.nan


def estimated(
    sample: Callable[[float], Float[np.ndarray, " n"]], level: float, levels: Float[np.ndarray, " L"]
) -> tuple[float, tuple[float, float]]:
    """Where the mean of samples rises to ``level`` as noise falls, and where its 95 % band does.

    Arguments:
        sample: ``s -> values (n,)``, with the same random numbers at every ``s``.
        level: of the mean, which has to be below it at the first of the levels.
        levels: where it is looked at first, falling, shape (L,).

    Returns:
        The level as of `crossing`, and the interval between the crossings of the ends of the band ``mean -+ 1.96
        standard errors``: its lower end is the last of the levels where that end of the band does not cross, its upper
        end infinity where that one is above ``level`` at first.
    """
    known: dict[float, tuple[float, float]] = {}

    def band(s: float, shift: float) -> float:
        if s not in known:
            values = np.asarray(sample(s), float)
            known[s] = float(values.mean()), float(values.std(ddof=1)) / math.sqrt(len(values))
        mean, error = known[s]
        return mean + shift * error - level

    middle, lower, upper = (crossing(lambda s, k=k: band(s, k), levels, xtol=1e-6) for k in (0.0, -Z, Z))
    low = float(levels[-1])
    return middle, (low if math.isnan(lower) else lower, low if math.isnan(upper) else upper)
