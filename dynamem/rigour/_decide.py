"""What a single point settles, in Arb at rising precision: a rise, no rise, or a question that has no answer there."""

from collections.abc import Sequence

from flint import arb, ctx

from ..programs import BALL, NEVER, Mark, Program, evaluate


PRECISIONS = (64, 128, 256, 512, 1024)


def decide(program: Program, constraints: int, point: Sequence[float], *, strict: bool) -> str:
    """``"rise"``, ``"fall"``, ``"hole"`` (undefined), ``"outside"`` (of the region) or ``"open"``.

    Arguments:
        program: outputs ``(number, constraints..., ...)``.
        constraints: how many of them there are.
        point: floats, taken as exact.
        strict: whether zero counts as a rise.
    """
    before = ctx.prec
    try:
        for precision in PRECISIONS:
            ctx.prec = precision
            found = _decided(program, constraints, point, strict=strict)
            if found != "open":
                return found
        return "open"
    finally:
        ctx.prec = before


def _decided(program: Program, constraints: int, point: Sequence[float], *, strict: bool) -> str:
    exact = [arb(value) for value in point]
    outputs = evaluate(program, BALL, [[(end, end) for end in exact]])
    bounds = [output[0] for output in outputs[1 : 1 + constraints]]
    if any(bound[0] > 0 for bound in bounds if not isinstance(bound, Mark)):
        return "outside"
    if any(bound is NEVER for bound in bounds):
        return "hole"
    if any(isinstance(bound, Mark) for bound in bounds):
        return "open"
    if not all(bound[1] <= 0 for bound in bounds):
        return "open"
    number = outputs[0][0]
    if isinstance(number, Mark):
        return "hole" if number is NEVER else "open"
    if number[0] > 0 or (strict and number[0] >= 0):
        return "rise"
    below = number[1] < 0 if strict else number[1] <= 0
    return "fall" if below else "open"
