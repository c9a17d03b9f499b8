"""Numbers of one size for a solver in floats: coordinates in units of their range, polynomials up to a factor."""

from collections.abc import Callable

from flint import fmpq, fmpq_mpoly

from ._tower import Tower


def normal(p: fmpq_mpoly) -> fmpq_mpoly:
    """Up to a positive factor, so that floats are of one size."""
    size = max(abs(value) for value in p.coeffs())
    scale = fmpq(1)
    while size / scale >= 2:
        scale *= 2
    while size / scale < 1:
        scale /= 2
    return p / scale


class Scaling:
    """Coordinates in units of their range, by powers of two: floats see numbers of one size."""

    def __init__(self, tower: Tower, places: set[int]) -> None:
        self.tower = tower
        ring, gens = tower.ring, tower.gens
        inward, outward = list(ring.gens()), list(ring.gens())
        self.plain = True
        for place in places:
            here = gens[place].range
            if gens[place].kind == "x" and here.lo is not None and here.hi is not None:
                size, unit = max(abs(here.lo), abs(here.hi)), fmpq(1)
                while unit < size:
                    unit *= 2
                while size != 0 and unit >= 2 * size:
                    unit /= 2
                if unit != 1 and size != 0:
                    inward[place], outward[place] = unit * inward[place], outward[place] / unit
                    self.plain = False
        self._inward, self._outward = inward, outward

    def inward(self, p: fmpq_mpoly) -> fmpq_mpoly:
        """In scaled variables."""
        return p if self.plain else p.compose(*self._inward)

    def outward(self, p: fmpq_mpoly) -> fmpq_mpoly:
        """In the variables themselves."""
        return p if self.plain else p.compose(*self._outward)

    @property
    def reduce(self) -> Callable[[fmpq_mpoly], fmpq_mpoly]:
        """The relations, in scaled variables."""
        folded, relations = self.tower.folded, self.tower.reductions
        if not relations:
            return lambda p: p
        return (lambda p: folded(p)) if self.plain else (lambda p: self.inward(folded(self.outward(p))))
