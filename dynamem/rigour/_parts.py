r"""What Arb shows of one part of a region: by its natural form, by slopes, or by curvature around a summit.

A number ``f`` is at most 0 on a box ``X`` (below 0, for a strict claim) where one of these holds, all over the box
defined:

    v:   f(X) <= 0,                                                       by interval arithmetic;
    m:   f(c) + sum_i |d_i f(X)| |X_i - c_i| <= 0,                        the sum over the ``i`` along which f may turn;
    e:   f(p) <= 0,  d_i f(p) (x_i - p_i) <= 0 for all x in X and all i,  f concave on the hull of X and p.

For ``m`` the slopes have to be defined all over the box (see `slopes`); ``c_i`` is the upper end where the slope along
``i`` is nowhere negative, the lower end where it is nowhere positive, else the middle. ``e`` closes what no cutting
closes, the boxes around a maximum of height 0, as at an equilibrium: there ``d_i f(p)`` is exactly 0. A function with
defined second slopes is concave where these are all negative semidefinite matrices.

Plain Python: this is what replays a certificate.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any

from flint import arb, ctx

from ..programs import BALL, Mark, Program, evaluate, pivots, prepared, quick, slopes


Ends = Sequence[tuple[float, float]]
EXACT = 1024
"""Bits at single points, so that sums and products of some floats are exact."""


class Parts:
    """Bounds by Arb, at its current precision.

    Arguments:
        program: outputs ``(number, constraints...)``; its first input are the coordinates.
    """

    def __init__(self, program: Program) -> None:
        self.program = program

    @functools.cached_property
    def _values(self) -> Callable[[Sequence[Any]], list[Any]]:
        return prepared(self.program, BALL)

    @functools.cached_property
    def _sloped(self) -> Program:
        return slopes(self.program)

    @functools.cached_property
    def _slopes(self) -> Callable[[Sequence[Any]], list[Any]]:
        return prepared(self._sloped, BALL)

    @functools.cached_property
    def _pivots(self) -> Callable[[Sequence[Any]], list[Any]]:
        return prepared(pivots(slopes(self._sloped)), BALL)

    @functools.cached_property
    def _quick(self) -> tuple[Callable[..., Any], Callable[..., Any]]:
        return quick(self.program), quick(self._sloped)

    def values(self, here: Ends) -> list[Any]:
        """Number and constraints on a box: pairs of ends, or marks."""
        return [output[0] for output in self._values([_ends(here)])]

    def decided(self, here: Ends, word: str, *, strict: bool) -> bool:
        """Whether the number has its sign on a box by the form that the word ``v`` or ``m`` names."""
        for top in (self._quick_top, self._top):
            found = top(here, word)
            if found is not None and (found < 0 if strict else found <= 0):
                return True
        return False

    def _top(self, here: Ends, word: str) -> arb | None:
        """The upper bound of one form, None where the question or its slopes may be undefined."""
        outputs = self.values(here)
        if _undefined(outputs):
            return None
        if word == "v":
            return outputs[0][1]
        (found,) = self._slopes([_ends(here)])
        if _undefined(found):
            return None
        centre, spread = _centred(here, [(slope[0] >= 0, slope[1] <= 0, (-slope[0]).max(slope[1])) for slope in found])
        number = self.values([(value, value) for value in centre])[0]
        return None if isinstance(number, Mark) else number[1] + spread

    def _quick_top(self, here: Ends, word: str) -> arb | None:
        """The same from single balls."""
        values, sloped = self._quick
        balls = [arb(lo).union(arb(hi)) for lo, hi in here]
        outputs = values(balls)
        if outputs is None or word == "v":
            return None if outputs is None else outputs[0][0]
        found = sloped(balls)
        if found is None:
            return None
        centre, spread = _centred(here, [(slope >= 0, slope <= 0, abs(slope)) for slope in found[0]])
        number = values([arb(value) for value in centre])
        return None if number is None else number[0][0] + spread

    def summit(self, point: Sequence[float]) -> list[tuple[bool, bool]] | None:
        """Whether the number is at most 0 at a point, and then for each slope there whether it is >= 0, is <= 0."""
        before, ends = ctx.prec, _ends([(value, value) for value in point])
        ctx.prec = EXACT
        try:
            number = evaluate(self.program, BALL, [ends])[0][0]
            (found,) = evaluate(self._sloped, BALL, [ends])
        finally:
            ctx.prec = before
        if isinstance(number, Mark) or not number[1] <= 0 or _undefined(found):
            return None
        return [(bool(slope[0] >= 0), bool(slope[1] <= 0)) for slope in found]

    def concave(self, here: Ends) -> bool:
        """Whether the number is defined and concave all over a box."""
        ends = _ends(here)
        if _undefined(self.values(here)) or _undefined(self._slopes([ends])[0]):
            return False
        (found,) = self._pivots([ends])
        return not _undefined(found) and all(pivot[0] >= 0 for pivot in found)


def _centred(here: Ends, slopes: Sequence[tuple[bool, bool, arb]]) -> tuple[list[float], arb]:
    """The point ``c``, and what slopes (nowhere negative, nowhere positive, greatest size) add to the number there."""
    centre, spread = [], arb(0)
    for (lo, hi), (rises, falls, size) in zip(here, slopes, strict=True):
        at = hi if rises else lo if falls else middle(lo, hi)
        centre.append(at)
        if not (rises or falls):
            spread += size * (arb(hi) - arb(at)).max(arb(at) - arb(lo))
    return centre, spread


def middle(lo: float, hi: float) -> float:
    """A number about half-way from the one to the other, never beyond either: where boxes are cut."""
    return min(max(0.5 * lo + 0.5 * hi, lo), hi)


def downhill(point: Sequence[float], signs: Sequence[tuple[bool, bool]], here: Ends) -> bool:
    """Whether no slope at a point leads up to any point of a box."""
    return all(
        (not_negative or lo >= at) and (not_positive or hi <= at)
        for at, (not_negative, not_positive), (lo, hi) in zip(point, signs, here, strict=True)
    )


def hull(point: Sequence[float], here: Ends) -> list[tuple[float, float]]:
    """The smallest box around a box and a point."""
    return [(min(lo, at), max(hi, at)) for at, (lo, hi) in zip(point, here, strict=True)]


def _ends(here: Ends) -> list[tuple[arb, arb]]:
    made = []
    for lo, hi in here:
        low = arb(lo)
        made.append((low, low if lo == hi else arb(hi)))
    return made


def _undefined(entries: Sequence[Any]) -> bool:
    return any(isinstance(entry, Mark) for entry in entries)
