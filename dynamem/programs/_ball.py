r"""The domain that decides: intervals whose ends are exact Arb numbers, at any precision, in plain Python.

python-flint and the standard library are all that is needed, so that a certificate can be checked without JAX, NumPy
or the processor's rounding. An entry is a pair ``(lo, hi)`` of exact numbers; every operation is done by Arb, with its
own proved error bounds, at the ends (for what is monotone) or by its shape, and rounded outward. Balls as such are too
loose (``x^2`` around 0 loses its sign), pairs of ends are not.

`OPEN` stands for an entry that may be undefined somewhere in the box, `NEVER` for one that is defined nowhere in it.
"""

from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any

from flint import arb, fmpq, fmpz


class Mark:
    """A value without bounds."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return self.name


OPEN, NEVER = Mark("OPEN"), Mark("NEVER")
Entry = Any
ZERO, ONE = arb(0), arb(1)


def number(value: float | Fraction | int) -> tuple[arb, arb]:
    """Ends of a constant: a float is exact, a fraction rounded outward."""
    if isinstance(value, Fraction):
        return outward(arb(fmpq(fmpz(value.numerator), fmpz(value.denominator))))
    exact = arb(value)
    return exact, exact


def outward(ball: arb) -> Entry:
    """Exact ends of a ball; `OPEN` if it is no finite number."""
    if not ball.is_finite():
        return OPEN
    if ball.is_exact():
        return ball, ball
    return _exact(ball.lower()), _exact(ball.upper())


def _exact(end: arb) -> arb:
    return end if end.is_exact() else end.mid()


def marked(entries: Sequence[Entry]) -> Mark | None:
    """The worst mark among entries, None if there is none."""
    marks = [entry for entry in entries if isinstance(entry, Mark)]
    return None if not marks else NEVER if NEVER in marks else OPEN


def each(function: Callable[..., Entry]) -> Callable[..., list[Entry]]:
    """A rule entry by entry; an argument of length 1 goes with every entry of the others."""

    def rule(node: Any, *args: list[Entry]) -> list[Entry]:
        made = []
        for place in range(node.length):
            row = [arg[place] if len(arg) > 1 else arg[0] for arg in args]
            made.append(marked(row) or function(*row))
        return made

    return rule


def _increasing(function: Callable[[arb], arb]) -> Callable[[Entry], Entry]:
    def ends(x: Entry) -> Entry:
        low, high = outward(function(x[0])), outward(function(x[1])) if x[0] is not x[1] else None
        high = low if high is None else high
        return marked([low, high]) or (low[0], high[1])

    return ends


def _on(least: arb, strict: bool, function: Callable[[arb], arb]) -> Callable[[Entry], Entry]:
    """An increasing function that is defined above ``least`` (at it too unless ``strict``)."""
    inner = _increasing(function)

    def ends(x: Entry) -> Entry:
        outside = (lambda end: end <= least) if strict else (lambda end: end < least)
        if outside(x[0]):
            return NEVER if outside(x[1]) else OPEN
        return inner(x)

    return ends


def _add(x: Entry, y: Entry) -> Entry:
    return outward(x[0] + y[0])[0], outward(x[1] + y[1])[1]


def _neg(x: Entry) -> Entry:
    return -x[1], -x[0]


def mul(x: Entry, y: Entry) -> Entry:
    """The hull of the products of the ends."""
    products = [outward(a * b) for a in set_of(x) for b in set_of(y)]
    return least([one[0] for one in products]), most([one[1] for one in products])


def set_of(x: Entry) -> tuple[arb, ...]:
    """The ends, once if they are one."""
    return (x[0],) if x[0] is x[1] else x


def least(ends: Sequence[arb]) -> arb:
    """The smallest of exact numbers."""
    found = ends[0]
    for end in ends[1:]:
        found = end if end < found else found
    return found


def most(ends: Sequence[arb]) -> arb:
    """The largest of exact numbers."""
    found = ends[0]
    for end in ends[1:]:
        found = end if end > found else found
    return found


def _div(x: Entry, y: Entry) -> Entry:
    if y[0] <= 0 and y[1] >= 0:
        return NEVER if y[0] == 0 and y[1] == 0 else OPEN
    quotients = [outward(a / b) for a in set_of(x) for b in set_of(y)]
    return least([one[0] for one in quotients]), most([one[1] for one in quotients])


def powi(x: Entry, n: int) -> Entry:
    """``x^n`` for a whole ``n``: even powers are never negative."""
    if n < 0:
        positive = powi(x, -n)
        return _div((ONE, ONE), positive)
    if n == 0:
        return ONE, ONE
    if n % 2 or x[0] >= 0:
        return _increasing(lambda end: end**n)(x)
    if x[1] <= 0:
        return _increasing(lambda end: end**n)(_neg(x))
    return ZERO, most([outward(end**n)[1] for end in x])


def _abs(x: Entry) -> Entry:
    if x[0] >= 0:
        return x
    return _neg(x) if x[1] <= 0 else (ZERO, most([-x[0], x[1]]))


def _sign(x: Entry) -> Entry:
    return tuple(ONE if end > 0 else -ONE if end < 0 else ZERO for end in x)


def _floor(x: Entry) -> Entry:
    return tuple(_whole(end) for end in x)


def _whole(end: arb) -> arb:
    """The floor of an exact number."""
    mantissa, exponent = end.man_exp()
    shift, size = int(exponent), int(mantissa).bit_length()
    if shift >= 0:
        return end
    return arb(mantissa >> -shift) if size + shift > 0 else -ONE if end < 0 else ZERO


def _sin(x: Entry) -> Entry:
    return _wave(x, arb.sin, arb(1) / 2)


def _cos(x: Entry) -> Entry:
    return _wave(x, arb.cos, arb(0))


def _wave(x: Entry, function: Callable[[arb], arb], top: arb) -> Entry:
    """Ends, and 1 or -1 where ``(top + 2k) pi`` or ``(top + 1 + 2k) pi`` may lie between."""
    ends = [outward(function(end)) for end in set_of(x)]
    lo, hi = least([one[0] for one in ends]), most([one[1] for one in ends])
    if x[0] is not x[1]:
        hi = ONE if _meets(x, top, 2) else hi
        lo = -ONE if _meets(x, top + 1, 2) else lo
    return most([lo, -ONE]), least([hi, ONE])


def _meets(x: Entry, point: arb, period: int) -> bool:
    """Whether ``(point + k period) pi`` may lie in ``x``."""
    turns = [(end / arb.pi() - point) / period for end in x]
    low, high = outward(turns[0])[0], outward(turns[1])[1]
    return bool(_whole(high) >= -_whole(-low))


def _tan(x: Entry) -> Entry:
    if x[0] is not x[1] and _meets(x, arb(1) / 2, 1):
        return OPEN
    return _increasing(arb.tan)(x)


def _cosh(x: Entry) -> Entry:
    return _increasing(arb.cosh)(_abs(x))


def _cbrt(end: arb) -> arb:
    return end if end == 0 else end.root(3) if end > 0 else -((-end).root(3))


def _asin(x: Entry) -> Entry:
    if x[0] < -1 or x[1] > 1:
        return NEVER if x[1] < -1 or x[0] > 1 else OPEN
    return _increasing(arb.asin)(x)


def _acos(x: Entry) -> Entry:
    found = _asin(x)
    if isinstance(found, Mark):
        return found
    return outward(x[1].acos())[0], outward(x[0].acos())[1]


def _atan2(y: Entry, x: Entry) -> Entry:
    if x[0] <= 0 and y[0] <= 0 and y[1] >= 0:
        if x[1] >= 0:
            return NEVER if x[0] == 0 == x[1] and y[0] == 0 == y[1] else OPEN
        pi = outward(arb.pi())[1]
        return (-pi, pi) if y[0] != y[1] else outward(arb.pi())
    corners = [outward(arb.atan2(b, a)) for a in x for b in y]
    return least([one[0] for one in corners]), most([one[1] for one in corners])


def _logistic(end: arb) -> arb:
    return 1 / (1 + (-end).exp())


def _pow(x: Entry, y: Entry) -> Entry:
    if x[0] == 0 and y[0] > 0:
        if x[1] == 0:
            return ZERO, ZERO
        top = _pow((x[1], x[1]), y)
        if isinstance(top, Mark):
            return top
        return ZERO, most([top[1], ONE]) if x[1] > 1 else top[1]
    logs = FUNCTIONS["log"](x)
    if logs is NEVER and x[0] <= 0 <= x[1] and y[1] > 0:
        return OPEN
    return logs if isinstance(logs, Mark) else FUNCTIONS["exp"](mul(logs, y))


FUNCTIONS: dict[str, Callable[..., Entry]] = {
    "neg": _neg, "add": _add, "sub": lambda x, y: _add(x, _neg(y)), "mul": mul, "div": _div, "abs": _abs,
    "sign": _sign, "floor": _floor, "sin": _sin, "cos": _cos, "tan": _tan, "cosh": _cosh, "asin": _asin, "acos": _acos,
    "atan2": _atan2, "pow": _pow,
    "min": lambda x, y: (least([x[0], y[0]]), least([x[1], y[1]])),
    "max": lambda x, y: (most([x[0], y[0]]), most([x[1], y[1]])),
    "log": _on(ZERO, True, arb.log), "log1p": _on(-ONE, True, arb.log1p), "sqrt": _on(ZERO, False, arb.sqrt),
    "exp": _increasing(arb.exp), "expm1": _increasing(arb.expm1), "atan": _increasing(arb.atan),
    "sinh": _increasing(arb.sinh), "tanh": _increasing(arb.tanh), "erf": _increasing(arb.erf),
    "cbrt": _increasing(_cbrt), "logistic": _increasing(_logistic),
}  # fmt: skip
