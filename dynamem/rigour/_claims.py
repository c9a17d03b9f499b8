r"""Claims in words: what `Question` writes and what a certificate may say, no other.

| words | sign of the program's number |
|---|---|
| ``LE <= 0``, ``LE + r E <= 0`` | at most 0 |
| ``LE < 0``, ``E > 0`` (the number is then ``-E``) | below 0 |

For a map ``E(f(x)) - E(x)`` stands in the place of ``LE``. Plain Python: whoever checks a certificate reads it.
"""

import math
import re


RATE, STEP, POSITIVE = "LE", "E(f(x)) - E(x)", "E > 0"
"""What falls along a flow, what falls by a step, and the claim about an energy alone."""
_FORM = re.compile(rf"(?P<number>{RATE}|{re.escape(STEP)}) (?:(?P<sign><=?) 0|\+ (?P<rate>[-+.0-9e]+) E <= 0)")


def falling(number: str, *, strict: bool = False, rate: float | None = None) -> str:
    """The claim that `RATE` or `STEP` is at most 0, or below it if ``strict``, or at most ``-rate E``."""
    if rate is None:
        return f"{number} {'<' if strict else '<='} 0"
    short = f"{rate:g}"
    return f"{number} + {short if float(short) == rate else repr(rate)} E <= 0"


def is_strict(words: str) -> bool:
    """Whether 0 refutes a claim.

    Raises:
        ValueError: no question has these words.
    """
    if words == POSITIVE:
        return True
    found = _FORM.fullmatch(words)
    if found is not None:
        number, sign, text = found.group("number", "sign", "rate")
        if text is None:
            return sign == "<"
        rate = float(text)
        if math.isfinite(rate) and falling(number, rate=rate) == words:
            return False
    msg = f"claim={words!r:.80}: no question has these words"
    raise ValueError(msg)
