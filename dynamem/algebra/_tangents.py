r"""What convexity and smoothness say of values of one function at several places: tangents below, parabolas above.

    f(b) >= f(a) + f'(a) (b - a),        f convex: log cosh, log-sum-exp, exp (log the other way round)
    f(b) <= f(a) + f'(a) (b - a) + L |b - a|^2 / 2,        L = 1 for log cosh, 1/2 for log-sum-exp.

The second place may be the constant part of an exponent: for the log-sum-exp of ``log u_i + a_i`` that is ``KL >= 0``.
"""

from collections.abc import Callable, Sequence
from typing import Any

from flint import fmpq, fmpq_mpoly

from ._functions import Functions, Rebase, Split, Undefined
from ._sos_basis import variables
from ._tower import Generator, Quotient, TooHard, TowerFull
from ._waves import weights


MOST_PLACES = 4
"""Of functions with more values than this no pairs are formed."""
KINDS = ("logcosh", "lse", "exp", "log")
Said = list[tuple[Quotient, str]]
"""Elements that are not below 0, each with its reason."""


def tangents(f: Functions) -> Said:
    """All that is said of the generators at hand."""
    groups: dict[tuple[str, int], list[Generator]] = {}
    for one in f.tower.gens:
        if one.kind in KINDS and any(arg.constant is None for arg in one.args):
            groups.setdefault((one.kind, len(one.args)), []).append(one)
    made: Said = []
    for (kind, _), group in groups.items():
        for first in group:
            if kind in ("logcosh", "lse"):
                made += _tried(_from_constant, f, first)
            for second in group if len(group) <= MOST_PLACES else ():
                if first is not second:
                    made += _tried(_pair, f, first, second)
    return made


def _tried(say: Callable[..., Said], *about: Any) -> Said:
    """Nothing where saying it would need cases, a finer base of the exponentials, or more room."""
    try:
        return say(*about)
    except (Undefined, TooHard, TowerFull, Rebase, Split, ZeroDivisionError):
        return []


def _pair(f: Functions, a: Generator, b: Generator) -> Said:
    """The value at ``b`` against the tangent at ``a``."""
    t = f.tower
    at, over = t.element(a), t.element(b)
    steps = [t.sub(q, p) for p, q in zip(a.args, b.args, strict=True)]
    words = f"{b.text} lies above the tangent at {a.text}"
    if a.kind == "log":
        return [(t.add(t.mul(a.args[0], t.sub(at, over)), steps[0]), words.replace("above", "below"))]
    if a.kind == "exp":
        return [(t.sub(over, t.mul(at, t.add(t.const(1), steps[0]))), words)]
    made = _between(f, a, t.sub(over, at), steps, words)
    if a.kind == "logcosh":  # an even function: the tangent at -a
        mirrored = [t.neg(t.add(a.args[0], b.args[0]))]
        made += _between(f, a, t.sub(over, at), mirrored, f"{words}, mirrored")
    return made


def _between(f: Functions, a: Generator, gap: Quotient, steps: Sequence[Quotient], words: str) -> Said:
    """``0 <= gap - slope . steps <= L |steps|^2 / 2``."""
    t = f.tower
    slopes = [f.tanh(a.args[0])] if a.kind == "logcosh" else weights(f, list(a.args))
    rise, square, whole = t.const(0), t.const(0), t.const(0)
    for slope, step in zip(slopes, steps, strict=False):
        rise = t.add(rise, t.mul(slope, step))
        square, whole = t.add(square, t.power(step, 2)), t.add(whole, step)
    above = t.sub(gap, rise)
    if a.kind == "logcosh":
        curve = t.scale(square, fmpq(1, 2))
    else:
        curve = t.scale(t.sub(square, t.scale(t.power(whole, 2), fmpq(1, len(steps) + 1))), fmpq(1, 4))
    return [(above, words), (t.sub(curve, above), words.replace("above the tangent", "below the parabola"))]


def _from_constant(f: Functions, a: Generator) -> Said:
    """The value at the constant part of the arguments against the tangent at ``a``."""
    t = f.tower
    if not all(arg.d.is_one() for arg in a.args):
        return []
    places = [Quotient(_constant_part(f, arg.n), t.one) for arg in a.args]
    exps = [f.exp(place) for place in places]
    if a.kind == "logcosh":
        value = f.log(t.scale(t.add(exps[0], t.power(exps[0], -1)), fmpq(1, 2)))
    else:
        total = t.const(1)
        for one in exps:
            total = t.add(total, one)
        value = f.log(total)
    steps = [t.sub(place, arg) for place, arg in zip(places, a.args, strict=True)]
    return _between(
        f, a, t.sub(value, t.element(a)), steps, f"its value at a constant lies above the tangent at {a.text}"
    )


def _constant_part(f: Functions, p: fmpq_mpoly) -> fmpq_mpoly:
    """The terms in which no coordinate occurs."""
    terms = {}
    for powers, coefficient in p.to_dict().items():
        stack, seen = [place for place, power in enumerate(powers) if power], set[int]()
        while stack:
            place = stack.pop()
            seen.add(place)
            stack += [one for arg in f.tower.gens[place].args for one in variables(arg.n, arg.d) - seen]
        if all(f.tower.gens[place].kind != "x" for place in seen):
            terms[powers] = coefficient
    return f.tower.ring.from_dict(terms)
