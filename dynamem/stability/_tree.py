r"""The tree of memories of a diffusion path: its stable fixed points at each noise level, and how they merge.

At a held noise ``s`` the canonical flow is ``dy/dtau = m(y, s) - y``, the descent of the free energy
``V = -s^2 log Z`` (`FreeEnergy`); its stable fixed points are the modes of the noisy data. At low noise every distinct
pattern has one, at high noise there is one in all. The tree is followed upward in noise, on a geometric ladder of
levels; the points of a level are where those of the next start, and descend V to its modes (see `_modes`). Points that
arrive at one place have merged. A mode that vanishes in a fold runs to another one: that, too, is a merger, *of the
tree as followed*. Where few points are left, levels are put in between until each merger is known closely: a point that
vanished may go elsewhere if the step is large.

Apart from the tree, the mode of high noise is followed downward to where it becomes unstable: there the largest
eigenvalue of the posterior covariance ``C`` at the mode is ``s^2`` (symmetry breaking: the curvature criterion, see
`Breaking`). Where other modes appear by folds before it does, the last merger has the higher noise.
"""

import dataclasses
import itertools
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import Float, Int, Shaped
from scipy.optimize import brentq
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from .._errors import InputError
from .._types import Given
from .._validate import floats, require_patterns
from ..diffusion import AbstractLaw, DiffusionPath, Empirical, GaussianMixture
from ._modes import followed, settle, slacks


MERGED = 1e-4
"""Points nearer than this part of the noise are one."""
SETTLED = 1e-7
"""Steps that count as none on the ladder, in units of the noise: points are right to this over the slack."""
FIRST = 0.35
"""The first level, in units of the least distance: two patterns merge at 0.5."""


@dataclasses.dataclass(frozen=True)
class Merger:
    """Two points of the tree that become one as the noise grows.

    Attributes:
        child: the pattern that names the point which ends.
        parent: the pattern that names the point which goes on.
        level: number of the last level at which there are two.
        low: highest noise known at which there are two.
        high: least noise known at which there is one.
        share: prior weight of the patterns that come along with the child.
        slack: the lesser ``1 - lambda_max(C)/s^2`` of the two at ``low``: near 0, as one of them becomes unstable or
            folds there; NaN for a merger that was not refined, whose parent may be another than it seems.
    """

    child: int
    parent: int
    level: int
    low: float
    high: float
    share: float
    slack: float

    @property
    def sigma(self) -> float:
        """The geometric mean of ``low`` and ``high``."""
        return float(np.sqrt(self.low * self.high))


@dataclasses.dataclass(frozen=True)
class Breaking:
    """Where the mode of high noise loses its stability, by three criteria.

    Data without symmetry have an imperfect bifurcation: followed downward the mode may stay stable and turn into one
    memory, while the others appear in folds beside it. Then ``sigma`` is NaN and ``softest`` is what is left of it.

    Attributes:
        sigma: the noise at which ``lambda_max(C) = s^2`` at the mode, or at which it ends in a fold; else NaN.
        softest: the noise, of the levels, with the least slack ``1 - lambda_max(C)/s^2`` at the mode (``sigma``, if
            that is a number).
        slack: the least slack.
        y: the mode at ``softest``, shape (D,).
        direction: the eigenvector of ``C`` there, shape (D,).
        at_mean: the highest noise at which ``lambda_max(C) = s^2`` at the mean of the starts, whether or not that is a
            fixed point; NaN if there is none between the levels.
        estimate: the square root of the starts' largest variance: both are near it if the noise is large.
    """

    sigma: float
    softest: float
    slack: float
    y: Float[np.ndarray, " D"]
    direction: Float[np.ndarray, " D"]
    at_mean: float
    estimate: float

    @property
    def words(self) -> str:
        """What became of the mode of high noise, in a sentence."""
        if np.isfinite(self.sigma):
            return f"The one point of high noise becomes unstable at s = {self.sigma:.6g}."
        return (
            f"The one point of high noise stays stable (an imperfect bifurcation: 1 - lambda_max(C)/s^2 is least, "
            f"{self.slack:.2g}, at s = {self.softest:.4g}); the others appear beside it, in folds."
        )


@dataclasses.dataclass(frozen=True)
class Tree:
    """Stable fixed points of the frozen canonical flow, from low noise to high.

    Attributes:
        sigmas: the noise levels, rising, shape (L,).
        names: for each level and start, the start that names the point it has come to, shape (L, N).
        points: for each level the points, in the order of `leaders`, shape (K, D).
        mergers: by noise, rising; the last ones between levels that are near.
        breaking: where the mode of high noise loses its stability; None if the last level has several points.
        unsettled: how many points of each level had not settled when the iteration was cut, shape (L,).
        weights: prior weight of each start, shape (N,).
        tolerance: distance at which points are one, relative to the noise.
        seconds: wall time.
    """

    sigmas: Float[np.ndarray, " L"]
    names: Int[np.ndarray, "L N"]
    points: tuple[Float[np.ndarray, "_ D"], ...]
    mergers: tuple[Merger, ...]
    breaking: Breaking | None
    unsettled: Int[np.ndarray, " L"]
    weights: Float[np.ndarray, " N"]
    tolerance: float
    seconds: float

    @property
    def lams(self) -> Float[np.ndarray, " L"]:
        """``-log sigma``, the flow's time, falling."""
        return -np.log(self.sigmas)

    @property
    def counts(self) -> Int[np.ndarray, " L"]:
        """Number of points of each level."""
        return np.asarray([len(one) for one in self.points])

    def leaders(self, level: int) -> Int[np.ndarray, " K"]:
        """The starts that name the points of a level."""
        return np.unique(self.names[level])

    def shares(self, level: int) -> Float[np.ndarray, " K"]:
        """Prior weight of what has come to each point of a level."""
        return np.asarray([self.weights[self.names[level] == name].sum() for name in self.leaders(level)])


def memory_tree(
    path: DiffusionPath | AbstractLaw,
    *,
    lam0: float | int | None = None,
    lam1: float | int | None = None,
    levels: int = 40,
    starts: Shaped[Given, "N D"] | None = None,
    refine: int = 50,
    precision: float = 5e-3,
    report: Callable[[str], None] | None = None,
) -> Tree:
    """Follow the stable fixed points of the frozen canonical flow from noise ``exp(-lam1)`` up to ``exp(-lam0)``.

    Arguments:
        path: a path, or its law (the canonical flow knows no schedule).
        lam0: where the tree ends; if not given, where one point is left (but not beyond twice the largest standard
            deviation of the starts).
        lam1: where it starts; if not given, at 0.35 of the least distance between two different starts (two patterns
            merge at 0.5).
        levels: noise levels between them, in equal ratios; further ones are added if ``lam0`` is not given.
        starts: what is followed, shape (N, D): the patterns, or the means of the components, if not given.
        refine: how many of the last mergers are refined, by levels in between, at which all points are followed.
        precision: how far ``high/low`` may be above 1 there.
        report: called with a line for every few levels.

    Raises:
        InputError: the law has no patterns and ``starts`` is not given, or a number makes no sense.
    """
    begin = time.perf_counter()
    law: Any = path.law if isinstance(path, DiffusionPath) else path
    points, weights = _starts(law, starts)
    spread = float(np.sqrt(max(np.linalg.eigvalsh(np.atleast_2d(np.cov(points.T, aweights=weights, ddof=0)))[-1], 0)))
    ladder, further = _ladder(points, spread, lam0, lam1, levels)
    if refine < 0 or not 0 < precision < 1:
        msg = f"refine={refine!r}, precision={precision!r}: need a number of mergers, and a ratio below 1"
        raise InputError(msg)
    climb = _Climb(law, points, weights)
    for k, sigma in enumerate(ladder):
        climb.rise(float(sigma), refine, precision)
        if report is not None and k % 8 == 0:
            report(f"sigma {sigma:.4g}: {len(climb.last)} points")
    ratio = ladder[-1] / ladder[-2]
    while further and len(climb.last) > 1 and climb.sigmas[-1] < 2 * spread:
        climb.rise(float(climb.sigmas[-1] * ratio), refine, precision)
    breaking = climb.breaking(spread, weights @ points) if len(climb.last) == 1 else None
    return Tree(
        np.asarray(climb.sigmas), np.stack(climb.names), tuple(climb.points),
        tuple(climb.mergers(precision)), breaking, np.asarray(climb.unsettled), weights, MERGED,
        time.perf_counter() - begin,
    )  # fmt: skip


def _starts(law: Any, starts: Any) -> tuple[np.ndarray, np.ndarray]:
    """Starts and their prior weights."""
    if not isinstance(law, AbstractLaw):
        msg = f"path: law={type(law).__name__} has no posterior of its own: give a path with a law"
        raise InputError(msg)
    own = law.xi if isinstance(law, Empirical) else law.means if isinstance(law, GaussianMixture) else None
    if starts is None and own is None:
        msg = f"starts=None: law={type(law).__name__} lists no patterns; give the states to follow, shape (N, D)"
        raise InputError(msg)
    points = np.asarray(floats("starts", own if starts is None else starts), float)
    require_patterns("starts", points)
    weights = getattr(law, "weights", None) if starts is None else None
    return points, np.full(len(points), 1 / len(points)) if weights is None else np.asarray(weights, float)


def _ladder(
    points: np.ndarray, spread: float, lam0: float | int | None, lam1: float | int | None, levels: int
) -> tuple[np.ndarray, bool]:
    """The levels, and whether more may be added."""
    low = FIRST * _nearest(points) if lam1 is None else float(np.exp(-lam1))
    high = 1.02 * spread if lam0 is None else float(np.exp(-lam0))
    if not low > 0:
        low, high = 1.0, max(high, 2.0)  # one point in all
    if lam0 is None and high <= low:
        high = 2 * low
    if levels < 2 or not (np.isfinite([low, high]).all() and low < high):
        msg = f"lam0={lam0!r}, lam1={lam1!r}, levels={levels!r}: need finite lam0 < lam1 and at least two levels"
        raise InputError(msg)
    return np.geomspace(low, high, levels), lam0 is None


def _squares(points: np.ndarray) -> np.ndarray:
    """Squared distances, shape (K, K), the diagonal infinite."""
    centred = points - points.mean(axis=0)
    norms = np.sum(centred**2, axis=1)
    found = np.maximum(norms[:, None] + norms[None] - 2 * centred @ centred.T, 0)
    np.fill_diagonal(found, np.inf)
    return found


def _groups(points: np.ndarray, reach: float) -> tuple[int, np.ndarray]:
    """How many points there are if those within reach are one, and which is which."""
    pairs = np.nonzero(_squares(points) <= reach**2)
    graph = coo_array((np.ones(len(pairs[0]), bool), pairs), shape=(len(points),) * 2)
    return connected_components(graph, directed=False)


def _nearest(points: np.ndarray) -> float:
    """The least distance between two different points, 0 if there are none."""
    if len(points) < 2:
        return 0.0
    found = _squares(points)
    found[found <= 1e-12 * np.sum(np.var(points, axis=0))] = np.inf
    least = float(np.sqrt(found.min()))
    return least if np.isfinite(least) else 0.0


class _Climb:
    """The levels so far: of each the points, and which start has come to which."""

    def __init__(self, law: Any, points: np.ndarray, weights: np.ndarray) -> None:
        self.law, self.weights = law, weights
        self.sigmas: list[float] = []
        self.points: list[np.ndarray] = []
        self.names: list[np.ndarray] = []
        self.unsettled: list[int] = []
        self.merged: list[tuple[int, int, int]] = []
        self.last, self.leaders, self.name = points, np.arange(len(points)), np.arange(len(points))

    def rise(self, sigma: float, most: int, precision: float) -> None:
        """Go to a noise level; where points merge on the way and there are few, by halves of the step."""
        targets = [sigma]
        while targets:
            few = bool(self.points) and len(self.last) <= most + 1
            at = np.full(len(self.last), targets[-1])
            found, left = settle(self.law, self.last, at, SETTLED, careful=few)
            count, groups = _groups(found, MERGED * targets[-1])
            if few and count < len(self.last) and targets[-1] > (1 + precision) * self.sigmas[-1]:
                targets.append(float(np.sqrt(targets[-1] * self.sigmas[-1])))
            else:
                self._keep(targets.pop(), found, groups, left)

    def _keep(self, sigma: float, found: np.ndarray, groups: np.ndarray, left: np.ndarray) -> None:
        """Make it a level: points that met are one, named as the one that moved least."""
        moved = np.linalg.norm(found - self.last, axis=1)
        order = np.lexsort((self.leaders, moved, groups))
        first = np.ones(len(order), bool)
        first[1:] = groups[order][1:] != groups[order][:-1]
        starts = [*np.flatnonzero(first), len(order)]
        target = np.arange(len(self.name))
        for a, b in itertools.pairwise(starts):
            members = [int(name) for name in self.leaders[order[a:b]]]
            target[members] = members[0]
            if self.points:  # at the first level starts are joined, not points of a level
                self.merged += [(len(self.points) - 1, child, members[0]) for child in members[1:]]
        self.name = target[self.name]
        kept = np.sort(order[first])
        self.last, self.leaders = found[kept], self.leaders[kept]
        self.sigmas.append(sigma)
        self.points.append(self.last)
        self.names.append(self.name.copy())
        self.unsettled.append(int(np.sum(left[kept])))

    def mergers(self, precision: float) -> list[Merger]:
        """All mergers; the slack of those that were bracketed."""
        made, fine, ends = [], [], []
        for level, child, parent in self.merged:
            low, high = self.sigmas[level : level + 2]
            share = float(self.weights[self.names[level] == child].sum())
            made.append(Merger(child, parent, level, low, high, share, np.nan))
            if high <= (1 + precision) * low:
                place = np.searchsorted(np.unique(self.names[level]), [child, parent])
                fine.append(len(made) - 1)
                ends.append((self.points[level][place], np.full(2, low)))
        if ends:
            least = slacks(self.law, *(np.concatenate(part) for part in zip(*ends, strict=True)))
            for at, slack in zip(fine, least.reshape(-1, 2).min(axis=1), strict=True):
                made[at] = dataclasses.replace(made[at], slack=float(slack))
        return made

    def breaking(self, spread: float, mean: np.ndarray) -> Breaking:
        """Follow the last point downward, in steps that shrink where it is lost; the same criterion at the mean."""
        found = followed(self.law, self.last[0], self.sigmas[-1])
        least = found or (self.last[0], np.nan, np.full_like(self.last[0], np.nan))
        here, at = least[0], np.log(self.sigmas[-1])
        softest, end, whole = at, np.log(self.sigmas[0]), np.log(self.sigmas[-1] / self.sigmas[-2])
        h = whole
        while at > end and h > 1e-10:
            found = followed(self.law, here, float(np.exp(max(at - h, end))))
            if found is None or not found[1] > 0:
                h *= 0.5
                continue
            here, at, h = found[0], max(at - h, end), min(1.5 * h, whole)
            if not found[1] >= least[1]:
                softest, least = at, found
        lost = at > end
        sigma = float(np.exp(at)) if lost else np.nan
        y, slack, direction = least
        return Breaking(sigma, float(np.exp(softest)), slack, y, direction, self._at_mean(mean), spread)

    def _at_mean(self, mean: np.ndarray) -> float:
        """The highest noise at which the slack at a point changes its sign."""
        levels = np.asarray(self.sigmas)
        slack = slacks(self.law, np.broadcast_to(mean, (len(levels), len(mean))), levels)
        below = np.flatnonzero(slack <= 0)
        if not len(below) or below[-1] == len(levels) - 1:
            return float("nan")

        def number(log_sigma: float) -> float:
            return float(slacks(self.law, mean[None], np.exp([log_sigma]))[0])

        ends = np.log(levels[[below[-1], below[-1] + 1]])
        root: Any = brentq(number, *ends, xtol=1e-13)
        return float(np.exp(root))
