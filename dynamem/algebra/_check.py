"""Elements and facts held against the program at points, in Arb: a slip in an identity is an error, not a proof."""

from collections.abc import Callable, Sequence

from flint import arb, ctx, fmpq, fmpq_mpoly

from ..programs import BALL, Mark, Program, TranslationError, evaluate
from ._facts import Fact, Knowledge
from ._tower import Generator, Quotient, Tower


PRECISION = 160
ENOUGH = 4


class NoValue(Exception):
    """A generator has no value at a point."""


def hold_at_points(
    know: Knowledge, q: Quotient, program: Program, points: Sequence[Sequence[fmpq]], more: Sequence[Fact] = ()
) -> None:
    """Compare an element with the program's first output, and all facts with their claims, at points of the case.

    Raises:
        TranslationError: they disagree, beyond what balls of this precision can be blamed for.
    """
    before, ctx.prec, seen = ctx.prec, PRECISION, 0
    try:
        for point in points:
            seen += _held(know, q, program, point, more)
            if seen >= ENOUGH:
                return
    finally:
        ctx.prec = before


def _held(know: Knowledge, q: Quotient, program: Program, point: Sequence[fmpq], more: Sequence[Fact]) -> bool:
    try:
        values = generator_values(know.tower, point)
    except NoValue:
        return False
    if any(valued(fact.p, values) < 0 or not valued(fact.p, values) >= 0 for fact in know.facts if fact.assumed):
        return False
    for fact in (*know.facts, *more):
        if valued(fact.p, values) < 0:
            msg = f"at {point} the fact {fact.text!r} is false: a defect of dynamem, please report it"
            raise TranslationError(msg)
    for one in know.tower.gens:
        low, high, value = one.range.lo, one.range.hi, values[one.place]
        if (low is not None and value < arb(low)) or (high is not None and value > arb(high)):
            msg = f"at {point} {one.text} is {value}, outside its bounds: a defect of dynamem, please report it"
            raise TranslationError(msg)
    (found,) = evaluate(program, BALL, [[(arb(x), arb(x)) for x in point]])
    bottom = valued(q.d, values)
    if isinstance(found[0], Mark) or bottom.contains(0):
        return False
    value = valued(q.n, values) / bottom
    if value < found[0][0] or value > found[0][1]:
        msg = f"at {point} the element is {value} and the program's value in {found[0]}: a defect of dynamem"
        raise TranslationError(msg)
    return True


def valued(p: fmpq_mpoly, values: Sequence[arb]) -> arb:
    """A polynomial at values of its generators."""
    total = arb(0)
    for powers, coefficient in p.to_dict().items():
        term = arb(coefficient)
        for place, power in enumerate(powers):
            if power:
                term *= values[place] ** int(power)
        total += term
    return total


def generator_values(tower: Tower, point: Sequence[fmpq]) -> list[arb]:
    """Values of all generators; the coordinates that are generators are named by their place in the point."""
    values: list[arb] = []
    for one in tower.gens:
        values.append(arb(point[tower.places[one.place]]) if one.kind == "x" else _value(one, values))
        if not values[-1].is_finite():
            raise NoValue
    return values


def _value(one: Generator, values: list[arb]) -> arb:
    args = []
    for q in one.args:
        bottom = valued(q.d, values)
        if bottom.contains(0):
            raise NoValue
        args.append(valued(q.n, values) / bottom)
    if one.kind.startswith("softmax"):
        return args[int(one.kind[7:])].exp() / (1 + sum((a.exp() for a in args), start=arb(0)))
    return KINDS[one.kind](*args)


def _log(a: arb) -> arb:
    if not a > 0:
        raise NoValue
    return a.log()


def _sqrt(a: arb) -> arb:
    if not a >= 0:
        raise NoValue
    return a.sqrt()


def _cbrt(a: arb) -> arb:
    if not (a > 0 or a < 0):
        raise NoValue
    return a.root(3) if a > 0 else -((-a).root(3))


KINDS: dict[str, Callable[..., arb]] = {
    "pi": arb.pi, "exp": arb.exp, "tanh": arb.tanh, "cosh": arb.cosh, "log": _log,
    "logcosh": lambda a: a.cosh().log(), "sqrt": _sqrt, "cbrt": _cbrt, "sin": arb.sin, "cos": arb.cos,
    "atan": arb.atan, "asin": arb.asin, "erf": arb.erf,
    "lse": lambda *args: (1 + sum((a.exp() for a in args), start=arb(0))).log(),
}  # fmt: skip
