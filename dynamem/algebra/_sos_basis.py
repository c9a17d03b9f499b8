"""Which squares can occur: monomials inside half the Newton polytope, on groups of variables that belong together."""

import itertools
from collections.abc import Iterable, Sequence

import numpy as np
from flint import fmpq_mpoly

from ._sos import Block


MOST_MONOMIALS = 70
"""A basis of more monomials than this is not tried."""


def variables(*polynomials: fmpq_mpoly) -> set[int]:
    """Places of the generators that occur."""
    return {place for p in polynomials if not p.is_zero() for place, degree in enumerate(p.degrees()) if degree}


def groups(polynomials: Iterable[fmpq_mpoly], places: Sequence[int]) -> list[frozenset[int]]:
    """Maximal cliques of a chordal graph in which variables that meet in a monomial are joined."""
    near: dict[int, set[int]] = {place: set() for place in places}
    for p in polynomials:
        for powers in p.monoms():
            here = [place for place in places if powers[place]]
            for place in here:
                near[place] |= set(here)
    found: list[frozenset[int]] = []
    left = set(places)
    while left:
        place = min(left, key=lambda one: (len(near[one] & left), one))
        clique = (near[place] & left) | {place}
        for one in clique:
            near[one] |= clique
        if not any(clique <= other for other in found):
            found.append(frozenset(clique))
        left.remove(place)
    return found


def blocks(
    target: fmpq_mpoly,
    weights: Sequence[tuple[str, fmpq_mpoly]],
    cliques: Sequence[frozenset[int]],
    *,
    degree: int | None,
    folded: dict[int, int],
) -> list[Block] | None:
    """Bases for each weight (1 among them) on each clique.

    Arguments:
        target: the polynomial to be written.
        weights: polynomials that are not negative.
        cliques: groups of variables.
        degree: None for monomials that stay in the Newton polytope of the target, otherwise all up to this degree.
        folded: for generators with a relation the degree that is rewritten.
    """
    size = len(target.degrees())
    outer = _Polytope(np.asarray(target.monoms(), np.int64)) if degree is None else None
    made: list[Block] = []
    for text, weight in weights:
        support, mine = np.asarray(weight.monoms(), np.int64), variables(weight)
        used: set[tuple[int, ...]] = set()
        for clique in [one for one in cliques if mine <= one] or [frozenset(mine)]:
            top = int(target.total_degree()) if degree is None else degree
            room = (top - int(support.sum(axis=1).max() if degree is not None else support.sum(axis=1).min())) // 2
            candidates = _monomials(sorted(clique), room, size, folded)
            if outer is not None:
                candidates = outer.inside(candidates, support)
            if len(candidates) > MOST_MONOMIALS:
                return None
            if candidates and not set(candidates) <= used:
                used |= set(candidates)
                ring = target.context()
                made.append(Block(text, weight, [ring.from_dict({m: 1}) for m in candidates]))
    return made


def _monomials(places: Sequence[int], degree: int, size: int, folded: dict[int, int]) -> list[tuple[int, ...]]:
    if degree < 0 or len(places) > 16:
        return []
    made = []
    for total in range(degree + 1):
        for chosen in itertools.combinations_with_replacement(places, total):
            powers = [0] * size
            for place in chosen:
                powers[place] += 1
            if all(powers[place] < most for place, most in folded.items()):
                made.append(tuple(powers))
            if len(made) > 40 * MOST_MONOMIALS:
                return made
    return made


class _Polytope:
    """The convex hull of some exponents, from outside: directions along which it ends."""

    def __init__(self, points: np.ndarray) -> None:
        size = points.shape[1]
        used = np.flatnonzero(points.any(axis=0))
        directions = [*np.eye(size, dtype=np.int64), *-np.eye(size, dtype=np.int64)]
        for i, j in itertools.combinations(used, 2):
            for a, b in ((1, 1), (1, -1), (-1, 1), (-1, -1), (1, 2), (2, 1), (1, -2), (2, -1), (-1, 2), (-2, 1)):
                direction = np.zeros(size, np.int64)
                direction[i], direction[j] = a, b
                directions.append(direction)
        every = np.zeros(size, np.int64)
        every[used] = 1
        directions += [every, -every]
        random = np.random.default_rng(0).integers(-3, 4, (200, size))
        self.directions = np.concatenate([np.asarray(directions), random * every])
        self.ends = (self.directions @ points.T).max(axis=1)

    def inside(self, candidates: list[tuple[int, ...]], support: np.ndarray) -> list[tuple[int, ...]]:
        """Those monomials whose squares times a weight of this support may be inside."""
        if not candidates:
            return []
        lead = (self.directions @ support.T).max(axis=1)
        fits = np.all(2 * self.directions @ np.asarray(candidates).T + lead[:, None] <= self.ends[:, None], axis=0)
        return [one for one, fit in zip(candidates, fits, strict=True) if fit]
