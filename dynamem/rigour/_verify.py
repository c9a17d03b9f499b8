"""Check a certificate with python-flint and the standard library: no JAX, no NumPy, no rounding of the processor."""

from pathlib import Path

from flint import ctx

from ..programs import Mark
from ._document import Certificate, Unreadable, load
from ._parts import Ends, Parts, downhill, hull, middle


PRECISION = 96
SHOWN = 4
"""Sides of a box that a sentence names."""


def verify(path: str | Path) -> tuple[bool, str]:
    """Whether a certificate holds, and a sentence on what was checked or what does not.

    What is checked is the claim about the program in the file, in real arithmetic. That it is the program of somebody's
    code no file can say: `certify` holds the two against each other when it reads the code.

    Raises:
        Unreadable: the file is missing, too large, no JSON, or no certificate that this version knows.
    """
    certificate = load(Path(path))
    if certificate is None:
        return False, "the hash does not match: some field was changed"
    before = ctx.prec
    ctx.prec = PRECISION
    try:
        return _Replay(certificate).run()
    except Exception as error:  # whatever a hostile program brings about is its fault, not its reader's
        msg = f"{path}: the certificate cannot be replayed: {type(error).__name__}: {error!s:.200}"
        raise Unreadable(msg) from None
    finally:
        ctx.prec = before


class _Replay:
    """One walk through the cuts."""

    def __init__(self, certificate: Certificate) -> None:
        self.file, self.parts = certificate, Parts(certificate.program)
        self.signs: dict[int, list[tuple[bool, bool]] | None] = {}

    def run(self) -> tuple[bool, str]:
        """Bound the number on every part."""
        stack, count, inside = [self.file.box], 0, False
        for word in self.file.cuts:
            if not stack:
                return False, "there are more cuts than parts"
            here = stack.pop()
            if word.isdecimal():
                axis = int(word)
                if axis >= len(here):
                    return False, f"a cut along axis {axis} of {len(here)}"
                lo, hi = here[axis]
                between = middle(lo, hi)
                if not lo < between < hi:
                    return False, f"a cut along axis {axis}, between whose ends {lo!r} and {hi!r} there is no number"
                stack.append([*here[:axis], (between, hi), *here[axis + 1 :]])
                stack.append([*here[:axis], (lo, between), *here[axis + 1 :]])
                continue
            count += 1
            inside = inside or word[0] != "c"
            reason = self._part(here, word)
            if reason:
                return False, reason
        if stack:
            return False, f"{len(stack)} parts of the region are not decided"
        if not inside:
            return False, "the region is empty, as some constraint fails on every part: nothing is claimed"
        return True, self._told(count)

    def _told(self, count: int) -> str:
        """What was checked."""
        within = f", where its {self.file.constraints} constraints are at most 0" if self.file.constraints else ""
        return (
            f"{self.file.claim}, about the program in the file, for coordinates in {_box(self.file.box)}{within}: "
            f"{count} parts, checked by Arb at {PRECISION} bits"
        )

    def _part(self, here: Ends, word: str) -> str:
        """Why a part is not decided as the word says, or nothing."""
        kind, place = word[0], int(word[1:] or 0)
        if kind == "c" and place < self.file.constraints:
            bound = self.parts.values(here)[1 + place]
            good = not isinstance(bound, Mark) and bound[0] > 0
            return "" if good else f"constraint {place} may hold on {_box(here)}"
        if kind == "e" and place < len(self.file.points):
            return "" if self._summit(place, here) else f"point {place} does not decide {_box(here)}"
        if kind not in "vm":
            return f"unknown word {word!r}"
        good = self.parts.decided(here, word, strict=self.file.strict)
        return "" if good else f"the number may be positive or undefined on {_box(here)}"

    def _summit(self, place: int, here: Ends) -> bool:
        """Whether the number is at most 0 on a part by its curvature."""
        point = self.file.points[place]
        if place not in self.signs:
            self.signs[place] = self.parts.summit(point)
        signs = self.signs[place]
        if self.file.strict or signs is None or not downhill(point, signs, here):
            return False
        return self.parts.concave(hull(point, here))


def _box(here: Ends) -> str:
    """A box in words."""
    sides = [f"[{lo!r}, {hi!r}]" for lo, hi in here[:SHOWN]]
    return " x ".join([*sides, *([f"{len(here) - SHOWN} more"] if len(here) > SHOWN else [])])
