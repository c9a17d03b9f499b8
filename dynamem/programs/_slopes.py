r"""Derivatives of programs, as programs: forward mode, line by line.

    f(v, w):    d_i f = (df/dv) d_i v + (df/dw) d_i w

for every pair (entry, coordinate ``i``) that may differ from 0. What comes out is a program again. So one reading
serves all domains (over intervals a slope bounds the derivative at each point of the box), slopes of slopes are second
derivatives, what is 0 or constant costs nothing, and whoever checks a certificate differentiates its lines himself and
believes no slope that somebody wrote down.

Where its slopes are defined all over a box, a function is Lipschitz there, and between any two points ``x, y`` of it

    f(y) - f(x) in sum_i (d_i f) (y_i - x_i)

with the slopes' bounds over the box: at the kinks of ``abs``, ``min``, ``max``, ``least``, ``most`` and ``sort`` these
hold the slopes of all branches, and so Clarke's generalised gradient (its chain rule, and Lebourg's mean value theorem;
F. H. Clarke, Optimization and Nonsmooth Analysis, 1983, theorems 2.3.7 and 2.3.9). Where a jump may lie in the box, at
a ``select``, ``sign`` or ``floor`` that is open there, and where a derivative may be infinite, slopes are undefined.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from ._program import TRUTH, Node, Program
from ._slope_lines import Slope, SlopeLines


class Term(NamedTuple):
    """An argument: its line, its entries, its slope (None: it depends on no coordinate)."""

    line: int
    length: int
    slope: Slope | None


Rule = Callable[..., Slope | None]


def slopes(program: Program) -> Program:
    """The slopes of a program's first output along the entries of its first input.

    Arguments:
        program: what to differentiate; of several outputs the others are left out.

    Returns:
        A program of the same inputs whose only output has ``length * n`` entries: the slopes of the output's first
        entry along all ``n`` coordinates, then those of the second, ... Of ``slopes`` of ``slopes`` it is the Hessian.
    """
    to, count, wanted = SlopeLines(program.nodes), program.nodes[program.inputs[0]].length, program.outputs[0]
    needed = to.behind([wanted])
    found: dict[int, Slope | None] = {}
    for place, node in enumerate(program.nodes):
        if place == program.inputs[0]:
            found[place] = Slope(to.const([1.0] * count), tuple((i, i) for i in range(count)))
        elif place in needed and node.op != "input":
            found[place] = slope_of(to, node, place, [found.get(arg) for arg in node.args])
    every = tuple((entry, i) for entry in range(program.nodes[wanted].length) for i in range(count))
    return to.finish(program.inputs, to.filled(found.get(wanted), every))


def slope_of(to: SlopeLines, node: Node, place: int, slopes: Sequence[Slope | None]) -> Slope | None:
    """The slope of a line from those of its arguments; a truth value's only says what it depends on."""
    if all(slope is None for slope in slopes):
        return None
    args = [Term(arg, to.nodes[arg].length, slope) for arg, slope in zip(node.args, slopes, strict=True)]
    if node.op in ENTRYWISE or node.op in TRUTH:
        args = [arg._replace(slope=to.spread(arg.slope, arg.length, node.length)) for arg in args]
    if node.op in TRUTH:
        return Slope(-1, to.union(args))
    return (ENTRYWISE | RUNS)[node.op](to, node, place, *args)


# Entry by entry


def _unary(derivative: Callable[[SlopeLines, int, int], int]) -> Rule:
    """From ``derivative(lines, x, f(x))``."""
    return lambda to, node, place, x: to.scaled(derivative(to, x.line, place), x.slope)


def _over(to: SlopeLines, below: int, above: float = 1.0) -> int:
    return to.apply("div", to.const([above]), below)


def _bell(to: SlopeLines, x: int, value: int) -> int:
    """``2 exp(-x^2) / sqrt(pi)``."""
    root = to.apply("sqrt", to.apply("mul", to.const([4.0]), to.apply("atan", to.const([1.0]))))
    return to.apply("div", to.apply("mul", to.const([2.0]), to.apply("exp", to.apply("neg", to.powi(x, 2)))), root)


def _circle(to: SlopeLines, x: int) -> int:
    """``sqrt(1 - x^2)``."""
    return to.apply("sqrt", to.apply("sub", to.const([1.0]), to.powi(x, 2)))


def _hill(to: SlopeLines, x: int, value: int) -> int:
    """``1 / (2 cosh(x/2))^2``: the logistic function's slope, without its value twice."""
    half = to.apply("mul", to.const([0.5]), x)
    return to.powi(to.apply("mul", to.const([2.0]), to.apply("cosh", half)), -2)


def _one_plus(to: SlopeLines, x: int) -> int:
    return to.apply("add", to.const([1.0]), x)


def _powi(to: SlopeLines, node: Node, place: int, x: Term) -> Slope | None:
    n = node.data[0]
    if n in (0, 1):
        return x.slope if n else None
    return to.scaled(to.apply("mul", to.const([float(n)]), to.powi(x.line, n - 1)), x.slope)


def _mul(to: SlopeLines, node: Node, place: int, x: Term, y: Term) -> Slope | None:
    return to.sum_of(to.scaled(y.line, x.slope), to.scaled(x.line, y.slope))


def _div(to: SlopeLines, node: Node, place: int, x: Term, y: Term) -> Slope | None:
    above = x.slope if y.slope is None else to.sum_of(x.slope, to.scaled(to.apply("neg", place), y.slope))
    assert above is not None
    return Slope(to.apply("div", above.line, to.of_entries(y.line, above)), above.pairs)


def _pow(to: SlopeLines, node: Node, place: int, x: Term, y: Term) -> Slope | None:
    lower = to.apply("pow", x.line, to.apply("sub", y.line, to.const([1.0])))
    base = to.scaled(to.apply("mul", y.line, lower), x.slope)
    return to.sum_of(base, to.scaled(to.apply("mul", place, to.apply("log", x.line)), y.slope) if y.slope else None)


def _atan2(to: SlopeLines, node: Node, place: int, y: Term, x: Term) -> Slope | None:
    """Its jump is at ``y = 0`` where ``x`` is not above 0, seen from below."""
    zero = to.const([0.0])
    square = to.apply("add", to.powi(x.line, 2), to.powi(y.line, 2))
    above = to.sum_of(to.scaled(x.line, y.slope), to.scaled(to.apply("neg", y.line), x.slope))
    assert above is not None
    jump = to.apply("select", to.apply("lt", zero, x.line), zero, to.jump(to.apply("lt", y.line, zero), zero, zero))
    made = to.apply("div", above.line, to.of_entries(square, above))
    return Slope(to.apply("add", made, to.of_entries(jump, above)), above.pairs)


def _sign(to: SlopeLines, node: Node, place: int, x: Term) -> Slope | None:
    zero = to.const([0.0])
    below, not_above = (to.jump(to.apply(op, x.line, zero), zero, zero) for op in ("lt", "le"))
    return to.everywhere(to.apply("add", below, not_above), x.slope)


def _floor(to: SlopeLines, node: Node, place: int, x: Term) -> Slope | None:
    """Compared with itself, as another line: surely equal only where its bounds are one number."""
    zero = to.const([0.0])
    same = to.apply("eq", place, to.apply("neg", to.apply("neg", place)))
    return to.everywhere(to.jump(same, zero, zero), x.slope)


def _abs(to: SlopeLines, node: Node, place: int, x: Term) -> Slope | None:
    return to.either(to.apply("le", to.const([0.0]), x.line), x.slope, to.negative(x.slope))


def _select(to: SlopeLines, node: Node, place: int, which: Term, a: Term, b: Term) -> Slope | None:
    return to.either(which.line, a.slope, b.slope, jumps=which.slope)


def _lesser(to: SlopeLines, node: Node, place: int, x: Term, y: Term) -> Slope | None:
    return to.either(to.apply("le", x.line, y.line), x.slope, y.slope)


def _greater(to: SlopeLines, node: Node, place: int, x: Term, y: Term) -> Slope | None:
    return to.either(to.apply("le", y.line, x.line), x.slope, y.slope)


# Entries that meet


def _take(to: SlopeLines, node: Node, place: int, *args: Term) -> Slope | None:
    entries = [(arg, entry) for arg in args for entry in range(arg.length)]
    wanted = [entries[int(index)] for index in node.data]
    if any(arg.slope is not None and arg.slope.line < 0 for arg in args):  # truth values
        known = {id(arg): set(arg.slope.pairs) if arg.slope else set() for arg in args}
        of = [(made, i) for made, (arg, entry) in enumerate(wanted) for e, i in known[id(arg)] if e == entry]
        return Slope(-1, tuple(sorted(of))) if of else None
    return to.picked([arg.slope for arg in args], [arg.length for arg in args], [int(index) for index in node.data])


def _sum(to: SlopeLines, node: Node, place: int, x: Term) -> Slope | None:
    return to.run_sums(x.slope, node.data[0])


def _pairwise(op: str, rule: Rule) -> Rule:
    """Runs by halves: first with second entries, and so on, until one is left."""

    def derive(to: SlopeLines, node: Node, place: int, x: Term) -> Slope | None:
        size = node.data[0]
        while size > 1:
            half, runs = size // 2, range(0, x.length, size)
            first, second = (to.part(x, [s + k + side * half for s in runs for k in range(half)]) for side in (0, 1))
            made = _pair(to, op, rule, first, second)
            if size % 2:
                rest = to.part(x, [s + size - 1 for s in runs])
                order = [k + r * half if k < half else r + len(runs) * half
                         for r in range(len(runs)) for k in range(half + 1)]  # fmt: skip
                made = to.joined([made, rest], order)
            x, size = made, half + size % 2
        return x.slope

    return derive


def _pair(to: SlopeLines, op: str, rule: Rule, a: Term, b: Term) -> Term:
    value = to.apply(op, a.line, b.line)
    slope = None if a.slope is None and b.slope is None else rule(to, to.nodes[value], value, a, b)
    return Term(value, to.nodes[value].length, slope)


def _sort(to: SlopeLines, node: Node, place: int, x: Term) -> Slope | None:
    """A network of comparators: neighbours in rising order, as often as it takes."""
    size, starts = node.data[0], range(0, x.length, node.data[0])
    for turn in range(size):
        lows = [s + k for s in starts for k in range(turn % 2, size - 1, 2)]
        if not lows:
            continue
        paired = {k for low in lows for k in (low, low + 1)}
        rest = [k for k in range(x.length) if k not in paired]
        ends = to.part(x, lows), to.part(x, [low + 1 for low in lows])
        made = [_pair(to, "min", _lesser, *ends), _pair(to, "max", _greater, *ends)]
        order = [*lows, *(low + 1 for low in lows), *rest]
        back = sorted(range(x.length), key=order.__getitem__)
        x = to.joined([*made, to.part(x, rest)] if rest else made, back)
    return x.slope


def _lse(to: SlopeLines, node: Node, place: int, x: Term) -> Slope | None:
    share = to.emit("softmax", (x.line,), x.length, node.data)
    return to.run_sums(to.scaled(share, x.slope), node.data[0])


def _softmax(to: SlopeLines, node: Node, place: int, x: Term) -> Slope | None:
    """``w_i (d a_i - sum_j w_j d a_j)``."""
    size = node.data[0]
    mean = to.run_sums(to.scaled(place, x.slope), size)
    runs = x.length // size
    below = to.picked([to.negative(mean)], [runs], [entry // size for entry in range(x.length)])
    return to.scaled(place, to.sum_of(x.slope, below))


def _gibbs(to: SlopeLines, node: Node, place: int, k: Term, x: Term, c: Term, g: Term) -> Slope | None:
    """As for softmax, of ``g (K x + c)``."""
    n, shape = node.length, (1, *node.data, 1)
    inner = to.sum_of(_dot(to, Node("dot", (k.line, x.line), n, shape), place, k, x), c.slope)
    slope = to.scaled(g.line, inner)
    if g.slope is not None:
        line = to.apply("add", to.emit("dot", (k.line, x.line), n, shape), c.line)
        slope = to.sum_of(slope, to.scaled(line, to.spread(g.slope, 1, n)))
    return _softmax(to, Node("softmax", (), n, (n,)), place, Term(place, n, slope))


def _dot(to: SlopeLines, node: Node, place: int, x: Term, y: Term) -> Slope | None:
    left = to.products(x.slope, y.line, node.data, right=False) if x.slope else None
    return to.sum_of(left, to.products(y.slope, x.line, node.data, right=True) if y.slope else None)


ENTRYWISE: dict[str, Rule] = {
    "powi": _powi, "mul": _mul, "div": _div, "pow": _pow, "atan2": _atan2, "sign": _sign, "floor": _floor, "abs": _abs,
    "select": _select, "min": _lesser, "max": _greater,
    "add": lambda to, node, place, x, y: to.sum_of(x.slope, y.slope),
    "sub": lambda to, node, place, x, y: to.sum_of(x.slope, to.negative(y.slope)),
    "neg": lambda to, node, place, x: to.negative(x.slope),
    "exp": _unary(lambda to, x, value: value), "expm1": _unary(lambda to, x, value: to.apply("exp", x)),
    "log": _unary(lambda to, x, value: _over(to, x)), "log1p": _unary(lambda to, x, value: _over(to, _one_plus(to, x))),
    "sqrt": _unary(lambda to, x, value: _over(to, value, 0.5)),
    "cbrt": _unary(lambda to, x, value: _over(to, to.apply("mul", to.const([3.0]), to.powi(value, 2)))),
    "sin": _unary(lambda to, x, value: to.apply("cos", x)),
    "cos": _unary(lambda to, x, value: to.apply("neg", to.apply("sin", x))),
    "tan": _unary(lambda to, x, value: _one_plus(to, to.powi(value, 2))),
    "asin": _unary(lambda to, x, value: _over(to, _circle(to, x))),
    "acos": _unary(lambda to, x, value: _over(to, _circle(to, x), -1.0)),
    "atan": _unary(lambda to, x, value: _over(to, _one_plus(to, to.powi(x, 2)))),
    "sinh": _unary(lambda to, x, value: to.apply("cosh", x)), "cosh": _unary(lambda to, x, value: to.apply("sinh", x)),
    "tanh": _unary(lambda to, x, value: to.powi(to.apply("cosh", x), -2)), "logistic": _unary(_hill),
    "erf": _unary(_bell),
}  # fmt: skip
"""Rules of operations that take entries one by one."""
RUNS: dict[str, Rule] = {
    "take": _take, "sum": _sum, "prod": _pairwise("mul", _mul), "least": _pairwise("min", _lesser),
    "most": _pairwise("max", _greater), "sort": _sort, "lse": _lse, "softmax": _softmax, "dot": _dot,
    "gibbs": _gibbs,
}  # fmt: skip
"""Rules of operations where entries meet or move."""
