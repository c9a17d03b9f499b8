"""What the verdicts say to a script: the exit code of `--expect`."""

from collections.abc import Iterable


RUNGS = ("holds", "certified", "proved")  # from the weakest; DESIGN's other verdicts are on no rung
MET, BROKEN_OR_WEAKER, UNDECIDED, FAILED = 0, 1, 3, 4


def exit_code(verdicts: Iterable[str], expected: str | None) -> int:
    """The exit code of a finished run.

    Args:
        verdicts: one of each row.
        expected: the weakest rung that every row has to be on, or None if any verdict will do.

    Returns:
        0 without an expectation; otherwise 4 if a row failed (or has a verdict that is not known here, or there is
        no row at all: nothing is no evidence), else 1 if one is broken or on a weaker rung, else 3 if one is
        undecided, else 0.
    """
    if expected is None:
        return MET
    found = set(verdicts)
    enough = set(RUNGS[RUNGS.index(expected) :])
    short = {"broken", *RUNGS} - enough
    if not found or found - enough - short - {"undecided"}:
        return FAILED
    if found & short:
        return BROKEN_OR_WEAKER
    return UNDECIDED if "undecided" in found else MET
