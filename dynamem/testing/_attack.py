"""The assertions attacked: each mutant is a property that Hypothesis has to break, each correct program one to keep."""

import dataclasses
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import hypothesis.strategies as st
import jax
import numpy as np
from hypothesis import HealthCheck, Phase, Verbosity, given, seed, settings
from jax import tree

from .._errors import InputError
from ._families import KINDS, Family, families


NAN = float("nan")
PHASES = (Phase.generate, Phase.target, Phase.shrink)
SAME = 1e-9
"""Largest relative difference of values that a slip may make and count as none."""
COMPARED = 60
"""Draws in which values are compared."""
LIKE = {
    "sign": "a value that is squared, or cancels",
    "factor": "a scale that cancels",
    "index": "entries that are summed",
    "missing": "an operand that is neutral",
    "transposed": "a matrix that is symmetric",
    "power": "a value that is 0 or 1",
    "branch": "a guard that is not reached",
    "float32": "a value that is exact in float32, or cancels",
    "unshifted": "a shift that cancels where nothing overflows",
    "next": "times that are not read",
}
"""What usually makes a slip change nothing; that it changes nothing is measured, why is not."""


@dataclasses.dataclass(frozen=True)
class Mutant:
    """What became of one mutant.

    Attributes:
        kind: of the family.
        name: of the subject.
        slip: name of the slip.
        words: what it is.
        found: "killed", "equivalent", or "survived".
        why: the assertion's first line, or what makes it equivalent.
        patterns: of the shrunk counterexample, None without patterns.
        dimensions: likewise.
        seconds: spent.
    """

    kind: str
    name: str
    slip: str
    words: str
    found: str
    why: str
    patterns: int | None
    dimensions: int | None
    seconds: float


def attack(family: Family, *, number: int = 0, examples: int = 40) -> Iterator[Mutant]:
    """Every slip of a family, asked as properties.

    Arguments:
        family: the mutants.
        number: seed of Hypothesis.
        examples: drawn for each mutant; four times as many where these show nothing.
    """
    for k, (slip, words) in enumerate(family.slips):
        begin = time.perf_counter()
        broken = _broken(family, k, number, examples)
        reason = None if broken else _same(family, k, slip, number)
        if broken is None and reason is None:
            broken = _broken(family, k, number + 1, 4 * examples)
        found = "killed" if broken else "equivalent" if reason else "survived"
        why = broken[1] if broken else reason or "no assertion failed, and other numbers come out"
        size = family.size(broken[0]) if broken else None
        yield Mutant(family.kind, family.name, slip, words, found, why, *(size or (None, None)),
                     time.perf_counter() - begin)  # fmt: skip


def correct(family: Family, *, number: int = 0, examples: int = 40) -> str | None:
    """What an assertion says of the correct program, None if nothing: a false alarm.

    Arguments:
        family: whose program.
        number: seed of Hypothesis.
        examples: how many draws.
    """
    alarm = _broken(family, -1, number, examples)
    return None if alarm is None else alarm[1]


def _broken(family: Family, k: int, number: int, examples: int) -> tuple[Any, str] | None:
    """The shrunk example and what the assertion said of it."""
    last: list[Any] = []

    def property_(drawn: Any) -> None:
        try:
            family.ask(drawn, k)
        except AssertionError as error:
            last[:] = [drawn, str(error).splitlines()[0]]
            raise

    try:
        _run(property_, family.drawn, number, examples)
    except AssertionError:
        return last[0], last[1]
    return None


def _run(asked: Callable[[Any], None], drawn: st.SearchStrategy, number: int, examples: int) -> None:
    how: Any = {"deadline": None, "database": None, "suppress_health_check": list(HealthCheck), "print_blob": False,
                "verbosity": Verbosity.quiet, "report_multiple_bugs": False, "phases": PHASES}  # fmt: skip
    seed(number)(settings(max_examples=examples, **how)(given(drawn)(asked)))()


def _same(family: Family, k: int, slip: str, number: int) -> str | None:
    """Why a mutant is none: it computes what the correct program does, or all that is asked is true of it too."""
    rule = slip.partition(" ")[0]
    known = KNOWN.get((family.kind, family.name, slip)) or KNOWN.get((family.kind, family.name, rule))
    if known is not None or family.kind == "slip":
        return known
    worst = [0.0]

    def compared(drawn: Any) -> None:
        worst[0] = max(worst[0], _apart(family.values(drawn, k), family.values(drawn, -1)))

    _run(compared, family.drawn, number, COMPARED)
    if worst[0] > SAME:
        return None
    return f"the same numbers, to {SAME:g}, in up to {COMPARED} draws; like {LIKE[rule]}"


def _apart(left: Any, right: Any) -> float:
    """The largest difference, over the largest value."""
    a, b = (np.concatenate([np.ravel(np.asarray(leaf, float)) for leaf in tree.leaves(side)]) for side in (left, right))
    if not np.array_equal(np.isfinite(a), np.isfinite(b)):
        return float("inf")
    kept = np.isfinite(b)
    size = np.abs(b[kept]).max(initial=0.0)
    return float(np.abs(a - b)[kept].max(initial=0.0) / size) if size else float(np.any(a[kept]))


KNOWN: dict[tuple[str, str, str], str] = {
    ("energy", "free_energy, FlowMatching", "factor 20"): "E + log(N) s^2/2 falls with s, and has E's slopes",
    ("energy", "free_energy, FlowMatching", "float32 20"): "E + c s^2 with c > 0 falls with s, and has E's slopes",
    ("noise", "free_energy, churn", "sign"): "dW and -dW have one law",
    ("sampler", "Euler", "next"): "y + h f(t + h, y) has order 1 too",
    ("sampler", "DDIM", "next"): "the denoiser one step late has order 1 too, and is exact on a point",
}
"""Mutants that change values, and of which everything that is asked is true all the same, with the reason."""


@dataclasses.dataclass(frozen=True)
class Attack:
    """What came of all mutants.

    Attributes:
        mutants: one by one.
        alarms: of correct programs, names and what was said of them; there should be none.
        draws: examples of correct programs.
        seed: of Hypothesis.
        seconds: spent.
    """

    mutants: tuple[Mutant, ...]
    alarms: tuple[str, ...]
    draws: int
    seed: int
    seconds: float

    def score(self, kind: str = "") -> float:
        """Killed, of those of a kind (all, if not given) that are not equivalent; NaN of none."""
        counted = [one for one in self.mutants if one.kind == (kind or one.kind) and one.found != "equivalent"]
        return sum(one.found == "killed" for one in counted) / len(counted) if counted else float("nan")

    def median(self) -> tuple[float, float]:
        """Patterns and dimensions of the median counterexample; NaN of none."""
        sized = [one for one in self.mutants if one.patterns is not None]
        if not sized:
            return NAN, NAN
        sides = ([one.patterns or 0 for one in sized], [one.dimensions or 0 for one in sized])
        return statistics.median(sides[0]), statistics.median(sides[1])


def run_attack(
    kinds: Sequence[str] = KINDS, *, number: int = 0, examples: int = 40, draws: int = 40,
    tell: Callable[[str], None] = lambda _: None,
) -> Attack:  # fmt: skip
    """Attack the assertions with every mutant of some kinds.

    Arguments:
        kinds: of `KINDS`.
        number: seed of Hypothesis.
        examples: for each mutant; four times as many where these show nothing.
        draws: of each correct program.
        tell: takes a sentence on each family.

    Raises:
        InputError: another kind, or none; no examples.
    """
    wrong = [kind for kind in kinds if kind not in KINDS]
    if wrong or not kinds or examples < 1 or draws < 1:
        msg = f"kinds={kinds!r}, examples={examples!r}, draws={draws!r}: need kinds of {KINDS}, and at least one draw"
        raise InputError(msg)
    begin, found, alarms, drawn = time.perf_counter(), [], [], 0
    for family in families(kinds):
        alarm, drawn = correct(family, number=number, examples=draws), drawn + draws
        if alarm is not None:
            alarms.append(f"{family.kind} {family.name}: {alarm}")
        made = list(attack(family, number=number, examples=examples))
        found += made
        killed, same = (sum(one.found == word for one in made) for word in ("killed", "equivalent"))
        tell(f"{family.kind} {family.name}: {killed} of {len(made) - same} killed, {same} equivalent")
        jax.clear_caches()  # each program is some pieces of memory, and Linux grants 65,530
    return Attack(tuple(found), tuple(alarms), drawn, number, time.perf_counter() - begin)
