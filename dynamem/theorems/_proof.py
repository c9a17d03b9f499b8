"""Evidence for one statement: identities, signs, numbers of the running code, and witnesses for its hypotheses."""

import dataclasses
from collections.abc import Iterable
from typing import Any, Literal

import numpy as np
import sympy

from .._errors import DynamemError
from ..programs import rational
from ._field import Field
from ._signs import Sign
from ._symbols import Region


Kind = Literal["symbolic", "numerical", "witness", "cited", "region"]
DIGITS = 40
TRIES = 3


class NotProvedError(DynamemError):
    """A step of a proof does not hold (``refuted``, with numbers that show it) or was not decided."""

    def __init__(self, message: str, *, refuted: bool) -> None:
        self.args = (message,)
        self.refuted = refuted


@dataclasses.dataclass(frozen=True)
class Step:
    """What kind of evidence, for what, and the number it comes with ("" for an identity)."""

    kind: Kind
    name: str
    detail: str = ""


class Proof:
    """Collects the steps of a proof; a step that does not hold ends it."""

    def __init__(self) -> None:
        self._steps: list[Step] = []
        self._open: list[str] = []
        self.fault: NotProvedError | None = None
        """The first step that did not hold: it counts also where the proof's code goes on."""

    @property
    def steps(self) -> tuple[Step, ...]:
        """The evidence so far."""
        return tuple(self._steps)

    @property
    def open(self) -> tuple[str, ...]:
        """The parts that are said to be open."""
        return tuple(self._open)

    def zero(self, name: str, *expressions: Any) -> None:
        """Each expression (or entry of an array) is identically zero, wherever it is defined."""
        entries = [entry for expression in expressions for entry in np.ravel(np.asarray(expression, object))]
        if not entries:
            msg = f"{name}: nothing was given that could be zero"
            raise self._stopped(msg, refuted=False)
        for entry in entries:
            if not Field([entry]).is_zero(entry):
                raise self._refused(name, entry)
        self._add("symbolic", name)

    def falls(self, name: str, rate: sympy.Expr, parts: Iterable[Sign]) -> None:
        """``rate <= 0``: it is identically minus a sum of parts that are non-negative, each for a reason it names."""
        parts = list(parts)
        for part in parts:
            fault = part.fault()
            if fault is not None:
                msg = f"{name}: {part.why} does not apply, {fault}"
                raise self._stopped(msg, refuted=False)
        self.zero(name, rate + sympy.Add(*(part.expression for part in parts)))

    def holds(self, name: str, fact: bool) -> None:
        """A fact that was decided exactly: by SymPy's assumptions, or over rational numbers."""
        if fact not in (True, False):
            msg = f"{name}: {fact!r:.60} is no truth value"
            raise self._stopped(msg, refuted=True)
        if not fact:
            msg = f"{name}: does not hold"
            raise self._stopped(msg, refuted=True)
        self._add("symbolic", name)

    def cites(self, *lemmas: str) -> None:
        """Lemmas, proved in files of their own, that the proof rests on: they are proved with it."""
        for lemma in lemmas:
            self._add("cited", lemma)

    def region(self, bounds: dict[sympy.Symbol, tuple[float, float]]) -> Region:
        """Bounds of symbols for `traced`, where the code branches: what is shown of it then, is shown there.

        They stand in the evidence and with the method, so that no proof is narrower than it says.
        """
        self._add("region", ", ".join(f"{name} in [{low:g}, {high:g}]" for name, (low, high) in bounds.items()))
        return Region(dict(bounds))

    def close(self, name: str, left: Any, right: Any, tolerance: float = 1e-9) -> None:
        """The running code gives the same numbers, to ``tolerance`` relative to the larger of the two and 1."""
        left, right = np.asarray(left, float), np.asarray(right, float)
        if not left.size or not right.size:
            msg = f"{name}: no numbers were given"
            raise self._stopped(msg, refuted=False)
        error = np.abs(left - right) / np.maximum(1.0, np.maximum(np.abs(left), np.abs(right)))
        worst = float(np.max(error))
        if not worst <= tolerance:
            msg = f"{name}: numbers differ by {worst:.2e} (at most {tolerance:.0e} expected)"
            raise self._stopped(msg, refuted=True)
        self._add("numerical", name, f"{worst:.1e}")

    def below(self, name: str, values: Any, bound: Any = 0.0, tolerance: float = 1e-9) -> None:
        """The running code never gives more than ``bound``, beyond ``tolerance``."""
        excess = float(np.max(np.asarray(values, float) - np.asarray(bound, float)))
        if not excess <= tolerance:
            msg = f"{name}: exceeded by {excess:.3e}"
            raise self._stopped(msg, refuted=True)
        self._add("numerical", name, f"{excess:.1e}")

    def witness(self, name: str, value: Any, above: float = 0.0) -> None:
        """Without the hypothesis the statement fails: a value of the running code that is greater than ``above``."""
        value = float(np.asarray(value))
        if not value > above:
            msg = f"{name}: {value:.6g} is not above {above:g}, so that the hypothesis is not shown to be needed"
            raise self._stopped(msg, refuted=True)
        self._add("witness", name, f"{value:.6g}")

    def leaves_open(self, what: str) -> None:
        """A part of the statement that is not proved: the theorem is then `undecided`, whatever else holds."""
        self._open.append(str(what))

    def _add(self, kind: Kind, name: str, detail: str = "") -> None:
        if not isinstance(name, str):
            msg = f"name={name!r:.60}: a step of a proof needs a text here"
            raise TypeError(msg)
        self._steps.append(Step(kind, name, detail))

    def _refused(self, name: str, entry: sympy.Expr) -> NotProvedError:
        found = _value_somewhere(entry)
        if found is None:
            return self._stopped(f"{name}: not shown to be zero", refuted=False)
        value, where = found
        return self._stopped(f"{name}: {value:.6g} instead of 0 at {where}", refuted=True)

    def _stopped(self, message: str, *, refuted: bool) -> NotProvedError:
        error = NotProvedError(message, refuted=refuted)
        self.fault = self.fault or error
        return error


def _value_somewhere(entry: sympy.Expr) -> tuple[float, str] | None:
    """A value that is surely not zero, at a rational point; None if none is found."""
    random = np.random.default_rng(0)
    for _ in range(TRIES):
        at = {}
        for symbol in sorted(entry.free_symbols, key=str):
            low = 0.25 if symbol.is_nonnegative else -1.0
            at[symbol] = rational(round(float(random.uniform(low, 1.5)) * 64) / 64)
        value = sympy.N(entry.xreplace(at), DIGITS)
        if value.is_real and value.is_finite and abs(value) > 10.0**-20:
            return float(value), ", ".join(f"{symbol}={number}" for symbol, number in at.items())
    return None
