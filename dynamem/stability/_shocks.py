r"""The minimal shock: the smallest displacement of an attractor from which the state ends elsewhere.

Menck et al. 2013 ask for the volume of a basin; its thickness is the distance to the boundary (Klinshov, Nekorkin &
Kurths 2016, New J. Phys. 18:013004, stability threshold). Along a direction the boundary is found by bisection between
a state that returns and one that does not. From there it is walked along: close to the boundary the final state
depends on the initial one by the unstable direction of the saddle that the solution passes, so that the gradient of the
final distance, through the solve, is the normal n of the boundary; at the smallest shock d is parallel to n, and steps
turn d toward n as long as the boundary gets nearer.

Every size is that of a state that ended elsewhere in a plain solve: an upper bound of the smallest shock. A certified
sublevel set gives a lower one.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import diffrax as dfx
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PyTree, Shaped

from .._errors import ContradictionError, InputError
from .._types import Given
from .._validate import require_positive
from ..flows import Map
from ._basins import deterministic, judged, silent, solving
from ._ends import ESCAPED, How, Judge, found_none, run_map, solved
from ._sublevel import SublevelSet


BATCH = 64
SCAN = 16
REST = 1e-9
"""Moves of what is at rest, in tolerances."""
KEPT = 4
TURNS = np.asarray([1.0, 0.5, 0.25, 0.1, 0.03])
"""Parts of the way from d to n that are tried."""
COARSE, FINE = 16, 40
"""Halvings while directions are compared, and in the end."""
MARGIN = 1e-8
"""What is added to a shock, so that it does not hang on the last bits of a solve, nor on the last moment of it."""
GAIN = 1e-4
"""A turn has to bring the boundary nearer by this part."""
MOMENTS = (0.05, 0.1, 0.2, 0.35, 0.6, 1.0)
AFTER = (1, 2, 4, 8, 16, 32)
"""Times, in parts of the whole, and steps of a map at which the final distance is differentiated."""


@dataclasses.dataclass(frozen=True)
class Shock:
    """The smallest displacement found that changes where a state ends.

    Attributes:
        size: ``|d|``, an upper bound of the smallest one; infinite if none was found within the reach.
        shock: ``d``, shape (D,), NaN if none was found.
        ends: which of the others ``attractor + d`` ends at; -1 if it escapes or none was found.
        returns: the largest size tried in the direction of d, below ``size``, that came back: the gap is the precision.
        lower: a certified lower bound of the smallest shock, 0 without a sublevel set.
        straight: the smallest size before directions were optimised, after a few halvings.
        radii: the size in each direction tried first, infinite where none was found; toward the others come first.
        replayed: whether ``attractor + d``, solved again by itself, ended at ``ends``.
    """

    size: float
    shock: np.ndarray
    ends: int
    returns: float
    lower: float
    straight: float
    radii: np.ndarray
    replayed: bool


def minimal_shock(
    flow: Any,
    attractor: Shaped[Given, " D"],
    others: Shaped[Given, "K D"],
    *,
    t0: float = 0.0,
    t1: float | None = None,
    solver: dfx.AbstractSolver | None = None,
    stepsize_controller: dfx.AbstractStepSizeController | None = None,
    dt0: float | None = None,
    tolerance: float | None = None,
    bound: float | None = None,
    steps: int = 1000,
    max_steps: int = 4096,
    reach: float | None = None,
    directions: int = 32,
    rounds: int = 20,
    seed: int = 0,
    sublevel: SublevelSet | None = None,
    args: PyTree = None,
    tell: Callable[[str], None] = silent,
) -> Shock:
    """The smallest displacement found from which the state ends at another attractor, or escapes.

    Arguments:
        flow: a flow without noise, any Diffrax terms, or a `Map`. Of a map whose steps have no derivative (signs)
            directions are searched but not optimised.
        attractor: shape (D,).
        others: what counts as elsewhere, shape (K, D); a state that ends at none of them, nor escapes, does not count.
        t0: start.
        t1: end; a map needs none.
        solver: as for `basins`.
        stepsize_controller: as for `basins`.
        dt0: first step.
        tolerance: as for `basins`.
        bound: norm beyond which a state has escaped, as for `basins`.
        steps: of a map, at most.
        max_steps: of a solve, at most.
        reach: largest shock tried; 1.2 times the distance to the farthest of the others if not given.
        directions: random ones, half of them the opposites of the other half, tried beside those to the others.
        rounds: of the optimisation, at most.
        seed: of the random directions.
        sublevel: a certified set around this attractor, for the lower bound.
        args: what the user's terms are given.
        tell: takes a sentence after every round.

    Raises:
        InputError: an argument that cannot be used, or the attractor does not come back to itself.
        ContradictionError: a shock below the certified bound: a defect.
    """
    pair = np.concatenate([np.atleast_2d(np.asarray(attractor)), np.asarray(others)])
    given, judge = judged(pair, pair, tolerance, 0.0, bound)
    judge = eqx.tree_at(lambda one: one.rest, judge, judge.tolerance * REST)  # a saddle is no place to stop at
    how = None if isinstance(flow, Map) else solving(judge, t0, t1, solver, stepsize_controller, dt0, args, max_steps)
    shots = _Shots(flow if isinstance(flow, Map) else deterministic(flow), judge, how, given[0], steps)
    if directions < 0 or rounds < 0:
        msg = f"directions={directions!r}, rounds={rounds!r}: need whole numbers, not negative"
        raise InputError(msg)
    if shots.labels(given[:1]).item() != 0:
        msg = "attractor: a state put there does not stay within the tolerance; solve for the fixed point first"
        raise InputError(msg)
    apart = given[1:] - given[0]
    reach = 1.2 * float(np.max(np.linalg.norm(apart, axis=1))) if reach is None else reach
    require_positive("reach", reach, scalar=True)
    lower = _lower(sublevel, given[0])
    tried = _directions(apart, directions, seed)
    low, high = shots.scanned(tried, reach)
    low, high = shots.halved(tried, low, high, COARSE)
    if not np.any(np.isfinite(high)):
        nothing = np.full(len(given[0]), np.nan)
        return Shock(float("inf"), nothing, -1, reach, lower, float("inf"), high, replayed=False)
    straight = float(np.min(high))
    best = np.argsort(high)[:KEPT]
    direction, low_high = _optimised(shots, tried[best], low[best], high[best], rounds, tell)
    return _verdict(shots, direction, low_high, lower, straight, high)


def _verdict(
    shots: "_Shots", direction: np.ndarray, ends: tuple[float, float], lower: float, straight: float, radii: np.ndarray
) -> Shock:
    low, high = shots.halved(direction[None], np.asarray(ends[:1]), np.asarray(ends[1:]), FINE)
    safe = shots.leave(direction[None], high * (1 + MARGIN)).item()
    shock = direction * high[0] * (1 + MARGIN if safe else 1)
    label = int(shots.labels((shots.start + shock)[None])[0])
    size = float(np.linalg.norm(shock))
    if size < lower * (1 - GAIN):
        msg = f"a shock of {size!r} leads elsewhere, within the certified radius {lower!r}"
        raise ContradictionError(msg, lower, shock)
    where = label - 1 if label >= 1 else -1
    return Shock(size, shock, where, float(low[0]), lower, straight, radii, label >= 1 or label == ESCAPED)


def _leaves(labels: np.ndarray) -> np.ndarray:
    return (labels >= 1) | (labels == ESCAPED)


@dataclasses.dataclass(frozen=True)
class _Shots:
    """States displaced from an attractor, and where they end."""

    flow: Any
    judge: Judge
    how: How | None
    start: np.ndarray
    steps: int

    def labels(self, points: np.ndarray) -> np.ndarray:
        """Where points (n, D) end, by batches of one size, shape (n,)."""
        padded = np.concatenate([points, np.repeat(points[-1:], -len(points) % BATCH, axis=0)])
        found = found_none(padded)
        if self.how is None:
            run_map(self.flow, self.judge, padded, self.steps, found, chunk=BATCH, tell=silent)
            return found.labels[: len(points)]
        for start in range(0, len(padded), BATCH):
            part = slice(start, start + BATCH)
            got = solved(self.flow, self.judge, jnp.asarray(padded[part]), self.how, None, nodes=0)
            found.labels[part] = np.asarray(got.labels)
        return found.labels[: len(points)]

    def leave(self, u: np.ndarray, r: np.ndarray) -> np.ndarray:
        """Whether the shocks ``r u`` lead elsewhere, shape (n,)."""
        return _leaves(self.labels(self.start[None] + r[:, None] * u))

    def scanned(self, u: np.ndarray, reach: float) -> tuple[np.ndarray, np.ndarray]:
        """The last radius that returns and the first that leaves on each ray; (reach, inf) where none does."""
        radii = np.linspace(0, reach, SCAN + 1)[1:]
        left = self.leave(np.repeat(u, SCAN, axis=0), np.tile(radii, len(u))).reshape(len(u), SCAN)
        first = np.argmax(left, axis=1)
        some = left.any(axis=1)
        before = np.concatenate([[0.0], radii])[first]
        return np.where(some, before, reach), np.where(some, radii[first], np.inf)

    def halved(self, u: np.ndarray, low: np.ndarray, high: np.ndarray, times: int) -> tuple[np.ndarray, np.ndarray]:
        """Brackets halved: ``high`` leaves, ``low`` is not known to."""
        low, high = low.copy(), high.copy()
        some = np.flatnonzero(np.isfinite(high))
        for _ in range(times if len(some) else 0):
            middle = 0.5 * (low[some] + high[some])
            left = self.leave(u[some], middle)
            high[some] = np.where(left, middle, high[some])
            low[some] = np.where(left, low[some], middle)
        return low, high

    def normals(self, u: np.ndarray, high: np.ndarray) -> np.ndarray:
        """Outward unit normals of the boundary near the points ``high u``, NaN where there is no derivative."""
        points = jnp.asarray(self.start[None] + high[:, None] * u)
        slopes = np.asarray(_slopes(self.flow, self.how, points, jnp.asarray(self.start)))
        sizes = np.where(np.isfinite(slopes).all(axis=2), np.linalg.norm(slopes, axis=2), 0.0)
        best = np.argmax(sizes, axis=1)
        rows = np.arange(len(u))
        with np.errstate(invalid="ignore", divide="ignore"):
            n = slopes[rows, best] / sizes[rows, best][:, None]
        return n * np.where(np.sum(n * u, axis=1) < 0, -1.0, 1.0)[:, None]


@eqx.filter_jit
def _slopes(flow: Any, how: How | None, points: Float[Array, "n D"], start: Float[Array, " D"]) -> Array:
    """Gradients of ``|x(T) - a|^2`` by the initial state, at some times T, shape (n, moments, D)."""

    def far(x: Array) -> Array:
        return jnp.sum((x - start) ** 2)

    def of_map(x0: Array) -> Array:
        ends = jax.lax.scan(lambda x, _: (flow(x), flow(x)), x0, None, length=max(AFTER))[1]
        return jnp.stack([far(ends[steps - 1]) for steps in AFTER])

    def of_flow(x0: Array, how: How, part: Array) -> Array:
        t0, t1 = how.span
        solution: Any = dfx.diffeqsolve(
            dfx.ODETerm(flow.drift), how.solver, t0, t0 + part * (t1 - t0),
            how.dt0, x0, how.args, max_steps=how.max_steps, stepsize_controller=how.controller, throw=False,
        )  # fmt: skip
        return far(solution.ys[0])

    if how is None:
        return jax.vmap(jax.jacrev(of_map))(points)
    parts = jnp.asarray(MOMENTS, points.dtype)
    return jax.vmap(lambda x0: jax.vmap(lambda part: jax.grad(of_flow)(x0, how, part))(parts))(points)


def _optimised(
    shots: _Shots, u: np.ndarray, low: np.ndarray, high: np.ndarray, rounds: int, tell: Callable[[str], None]
) -> tuple[np.ndarray, tuple[float, float]]:
    """Turn directions toward the normals as long as the boundary gets nearer; the best one with its bracket."""
    u, low, high = u.copy(), low.copy(), high.copy()
    for number in range(rounds):
        normals = shots.normals(u, high)
        ways = (1 - TURNS)[None, :, None] * u[:, None] + TURNS[None, :, None] * normals[:, None]
        sizes = np.linalg.norm(ways, axis=2, keepdims=True)
        ways = np.where(np.isfinite(ways) & (sizes > 0), ways / np.where(sizes > 0, sizes, 1.0), u[:, None])
        flat = ways.reshape(-1, u.shape[1])
        limits = np.repeat(high * (1 - GAIN), len(TURNS))
        nearer = np.where(shots.leave(flat, limits), limits, np.inf)
        tops = shots.halved(flat, np.zeros(len(flat)), nearer, COARSE)
        lows, highs = (one.reshape(len(u), -1) for one in tops)
        best, rows = np.argmin(highs, axis=1), np.arange(len(u))
        better = highs[rows, best] < high
        if not np.any(better):
            break
        u = np.where(better[:, None], ways[rows, best], u)
        low, high = np.where(better, lows[rows, best], low), np.where(better, highs[rows, best], high)
        tell(f"minimal shock: {high.min():.6g} after {number + 1} rounds")
    first = int(np.argmin(high))
    return u[first], (float(low[first]), float(high[first]))


def _directions(apart: np.ndarray, count: int, seed: int) -> np.ndarray:
    random = np.random.default_rng(seed).normal(size=(count // 2, apart.shape[1]))
    tried = np.concatenate([apart, random, -random])
    return tried / np.linalg.norm(tried, axis=1, keepdims=True)


def _lower(sublevel: SublevelSet | None, attractor: np.ndarray) -> float:
    if sublevel is None or sublevel.status != "certified":
        return 0.0
    gap = float(np.linalg.norm(sublevel.attractor - attractor))
    return max(sublevel.radius - gap, 0.0)
