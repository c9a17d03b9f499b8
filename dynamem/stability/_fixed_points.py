r"""Fixed points of a flow or a map, found from many starts: where, of what kind, and how stable.

Newton's method from every start, then deflation (see `_newton`) to look for more from the same starts. What is found
is a lower bound: `enclose_fixed_points` says whether there are others. A point is one whose ``|F|`` is at most
``tolerance`` times the median ``|F|`` of the starts, and from which one more Newton step is short (asked up to 500
coordinates); points nearer than ``apart`` times the spread of the starts are one. Where the Jacobian has a null space
and zeros are found a step along it, to both sides, the point belongs to a continuous family.
"""

import dataclasses
import math
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optimistix as optx
from jaxtyping import Array, Complex, Float, PyTree, Scalar

from .._errors import InputError
from .._types import EnergyFn
from .._validate import concrete, floats, require_finite
from ..flows import Map
from ..lyapunov import dynamics_of
from ._field import Field, field_of
from ._kinds import Patterns, patterns_of
from ._newton import DENSE, land, polish, sizes_at
from ._spectrum import Spectrum, spectrum_at


SHORT = 1e-3
"""The last Newton step may be this part of the spread of the starts, or of the state's norm."""
ENOUGH = 1e-2
"""A solve that ends with ``|F|`` below this part of the tolerance has arrived."""
NEARLY = 1e-4
"""Solves that end with ``|F|`` below this part of the median are worth polishing."""
STRIDE = 0.05
"""Step along a null space, as a part of the spread, after which a zero must be there again."""


@dataclasses.dataclass(frozen=True)
class FixedPoint:
    """A fixed point.

    Attributes:
        x: the state, shape (D,).
        residual: ``|F(x)|``, of a map ``|f(x) - x|``.
        eigenvalues: of ``dF/dx`` (of a map ``f' - 1``), the least stable first; real where it is symmetric. More than
            500 coordinates: six from either end.
        index: number of unstable directions.
        index_exact: whether there are no more of them; False where only extreme eigenvalues are known and all of the
            upper ones are unstable: then ``index`` is the least number.
        stable: whether every direction is stable, none at the edge of stability.
        kind: ``"memory"``, ``"mixture"`` (stable, with and without a pattern near by), ``"attractor"`` (stable, no
            patterns known), ``"saddle"``, ``"repeller"``, or ``"degenerate"`` (an eigenvalue at the edge of stability,
            to tolerance).
        arrived: how many starts ended here, before any deflation.
        pattern: the nearest pattern, None where none are known.
        distance: to it.
        patterns: patterns whose weight is at least a tenth of the largest, by falling weight.
        weights: their weights in the posterior, or by least squares (see `_kinds`).
        energy: ``E(t, x)``, None where no energy was given.
    """

    x: Float[np.ndarray, " D"]
    residual: float
    eigenvalues: Float[np.ndarray, " k"] | Complex[np.ndarray, " k"]
    index: int
    index_exact: bool
    stable: bool
    kind: str
    arrived: int
    pattern: int | None = None
    distance: float | None = None
    patterns: tuple[int, ...] = ()
    weights: tuple[float, ...] = ()
    energy: float | None = None


@dataclasses.dataclass(frozen=True)
class Family:
    """Fixed points that are not isolated: those of one dimension and index, whether or not they are connected.

    Attributes:
        dimension: of the family: null directions along which there are zeros.
        index: number of unstable directions.
        x: those that were found, shape (M, D).
    """

    dimension: int
    index: int
    x: Float[np.ndarray, "M D"]


@dataclasses.dataclass(frozen=True)
class FixedPoints:
    """The fixed points that were found; there may be others.

    Attributes:
        points: isolated ones, stable ones first, by falling number of starts.
        families: continuous ones.
        starts: number of starts.
        failed: how many of them arrived nowhere.
        reason: what was found, in words; with no point, the least ``|F|`` and where.
        apart: points nearer than this are one.
        tolerance: the largest ``|F|`` of a fixed point.
        rounds: rounds of deflation that were run.
    """

    points: tuple[FixedPoint, ...]
    families: tuple[Family, ...]
    starts: int
    failed: int
    reason: str
    apart: float
    tolerance: float
    rounds: int

    @property
    def x(self) -> Float[np.ndarray, "K D"]:
        """The isolated points, shape (K, D); (0, 0) if there are none."""
        return np.stack([point.x for point in self.points]) if self.points else np.zeros((0, 0))

    @property
    def stable(self) -> tuple[FixedPoint, ...]:
        """Those that are stable."""
        return tuple(point for point in self.points if point.stable)


def fixed_points(
    flow: Any,
    starts: Any,
    *,
    t: float | Scalar | None = None,
    args: PyTree = None,
    memories: Any = None,
    energy: EnergyFn | None = None,
    tolerance: float = 1e-10,
    apart: float = 1e-4,
    deflate: int = 4,
    solver: Any = None,
) -> FixedPoints:
    """Fixed points of a flow, from many starts.

    Arguments:
        flow: a dynamem flow (of one with noise the drift), Diffrax terms, or a `Map`.
        starts: float64, shape (B, D); a single state (D,) is one start.
        t: the time that is held, on the flow's clock; needed where the flow reads it.
        args: what the user's terms are given.
        memories: patterns (N, D) that points are held against; those of the energy or flow if not given.
        energy: ``E(t, x)``, for its value at each point.
        tolerance: largest ``|F|`` at a fixed point, as a part of its median over the starts.
        apart: least distance between two points, as a part of the spread of the starts.
        deflate: rounds of deflation at most; they end when one finds nothing new.
        solver: an Optimistix root finder or least-squares solver in place of the default.

    Raises:
        InputError: an argument that cannot be used. A flow without fixed points is an answer, no error.
    """
    states = _states(starts)
    for name, value in (("tolerance", tolerance), ("apart", apart)):
        if not (0 < value < 1):
            msg = f"{name}={value!r}: need a number between 0 and 1"
            raise InputError(msg)
    field = field_of(flow, t, states.shape[1], args)
    patterns = patterns_of(field, energy, memories, states.shape[1])
    search = _Search(field, states, tolerance, apart, solver)
    rounds = search.run(deflate)
    families, alone = search.families()
    points = [_described(search, place, patterns, energy) for place in alone]
    points.sort(key=lambda one: (not one.stable, -one.arrived, one.index))
    failed = int(np.sum(search.home < 0))
    words = _words(search, points, families, failed)
    return FixedPoints(
        tuple(points), families, len(states), failed, words, search.apart, search.tolerance, rounds
    )  # fmt: skip


def _states(starts: Any) -> np.ndarray:
    given = floats("starts", starts)
    require_finite("starts", given)
    if given.dtype != jnp.float64:
        msg = f"starts.dtype={str(given.dtype)!r}: need float64, call jax.config.update('jax_enable_x64', True) first"
        raise InputError(msg)
    states = np.asarray(given)
    states = states[None] if states.ndim == 1 else states
    if states.ndim != 2 or 0 in states.shape:
        msg = f"starts.shape={states.shape!r}: need states (B, D), one start a row"
        raise InputError(msg)
    return states


class _Search:
    """Points that were found so far, with their spectra."""

    def __init__(self, field: Field, starts: np.ndarray, tolerance: float, apart: float, solver: Any) -> None:
        self.field, self.starts, self.solver = field, starts, solver
        spread = float(np.max(np.ptp(starts, axis=0)))
        self.length = spread if spread > 0 else max(1.0, float(np.max(np.abs(starts))))
        sizes = np.asarray(sizes_at(field, jnp.asarray(starts)))
        finite = sizes[np.isfinite(sizes) & (sizes > 0)]
        self.size = float(np.median(finite)) if len(finite) else 1.0
        self.tolerance, self.apart = tolerance * self.size, apart * self.length
        self.x = np.zeros((0, starts.shape[1]))
        self.residuals: list[float] = []
        self.spectra: list[Spectrum] = []
        self.home = np.full(len(starts), -1)
        self.least: tuple[float, np.ndarray] = (math.inf, starts[0])

    def run(self, most: int) -> int:
        """Solve, then deflate until nothing new is found; the number of rounds of deflation."""
        landed, sizes = self._land(self.starts, self.x)
        self.home = self._absorb(landed, sizes)
        for done in range(most):
            before = len(self.x)
            if not before:
                return done
            landed, sizes = self._land(self.starts, self.x)
            self._absorb(landed, sizes)
            if len(self.x) == before:
                return done + 1
        return most

    def _land(self, starts: np.ndarray, known: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        xs, sizes = land(self.field, starts, known, (self.length, self.size), self.solver, ENOUGH * self.tolerance)
        creeping = np.flatnonzero((sizes > self.tolerance) & (sizes <= NEARLY * self.size))
        if len(creeping) and starts.shape[1] <= DENSE:
            finer, less = polish(self.field, xs[creeping], self.size)
            better = less < sizes[creeping]
            xs, sizes = xs.copy(), sizes.copy()
            xs[creeping[better]], sizes[creeping[better]] = finer[better], less[better]
        return xs, sizes

    def _absorb(self, landed: np.ndarray, sizes: np.ndarray) -> np.ndarray:
        """Add new points, best first; for each row the point it is, -1 for none."""
        home = np.full(len(landed), -1)
        best = int(np.argmin(sizes))
        if sizes[best] < self.least[0]:
            self.least = (float(sizes[best]), landed[best])
        for row in np.argsort(sizes, kind="stable").tolist():
            if not sizes[row] <= self.tolerance:
                break
            home[row] = self._place(landed[row], float(sizes[row]))
        return home

    def _place(self, x: np.ndarray, size: float) -> int:
        away = np.sqrt(np.sum((self.x - x) ** 2, axis=1))
        if len(away) and np.min(away) <= self.apart:
            return int(np.argmin(away))
        spectrum = spectrum_at(self.field, x, self.size / self.length)
        longest = SHORT * max(self.length, float(np.linalg.norm(x)))
        if spectrum.step is not None and not spectrum.step <= longest:
            return -1
        self.x = np.concatenate([self.x, x[None]])
        self.residuals.append(size)
        self.spectra.append(spectrum)
        return len(self.x) - 1

    def families(self) -> tuple[tuple[Family, ...], list[int]]:
        """Families, and which points are isolated."""
        groups: dict[tuple[int, int], list[int]] = {}
        alone = []
        for place, spectrum in enumerate(self.spectra):
            dimension = self._dimension(self.x[place], spectrum.null)
            if dimension:
                groups.setdefault((dimension, spectrum.index), []).append(place)
            else:
                alone.append(place)
        made = (Family(*key, self.x[places]) for key, places in sorted(groups.items()))
        return tuple(made), alone

    def _dimension(self, x: np.ndarray, null: np.ndarray) -> int:
        """Null directions along which there are zeros again, half a stride away or more."""
        stride = STRIDE * self.length
        ends = np.concatenate([x + stride * null.T, x - stride * null.T])
        if not len(ends):
            return 0
        landed, sizes = self._land(ends, self.x[:0])
        kept = (sizes <= self.tolerance) & (np.linalg.norm(landed - ends, axis=1) <= 0.5 * stride)
        return int(np.sum(kept.reshape(2, -1).all(axis=0)))


def _described(search: _Search, place: int, patterns: Patterns | None, energy: EnergyFn | None) -> FixedPoint:
    x, spectrum = search.x[place], search.spectra[place]
    like = None if patterns is None else patterns.likeness(x)
    stable = spectrum.index == 0 and spectrum.exact and spectrum.marginal == 0
    if spectrum.marginal:
        kind = "degenerate"
    elif stable:
        kind = "attractor" if like is None else "memory" if like.near else "mixture"
    else:
        kind = "repeller" if spectrum.index == len(x) else "saddle"
    rest = (None, None, (), ()) if like is None else (like.pattern, like.distance, like.patterns, like.weights)
    value = None if energy is None else float(_value(energy, search.field.t, jnp.asarray(x)))
    return FixedPoint(
        x,
        search.residuals[place],
        spectrum.eigenvalues,
        spectrum.index,
        spectrum.exact,
        stable,
        kind,
        int(np.sum(search.home == place)),
        *rest,
        value,
    )


@eqx.filter_jit
def _value(energy: EnergyFn, t: Scalar, x: Float[Array, " D"]) -> Scalar:
    return energy(t, x)


def _words(search: _Search, points: list[FixedPoint], families: tuple[Family, ...], failed: int) -> str:
    starts = f"{len(search.starts) - failed} of {len(search.starts)} starts arrived"
    if points or families:
        stable = sum(point.stable for point in points)
        curves = "".join(
            f", a continuous family of dimension {one.dimension} ({len(one.x)} of its points)" for one in families
        )
        return f"{len(points)} isolated fixed points, {stable} of them stable{curves}; {starts}"
    least, where = search.least
    at = f"the least |F| seen is {least:.3g} at {np.round(where, 6).tolist()[:8]}"
    small = least <= search.tolerance
    at += ", where Newton's step is too long" if small else f", where {search.tolerance:.3g} is wanted"
    return f"no fixed point was found: {at}; {starts}"


def fixed_point(
    flow: Any, x0: Float[Array, " D"], *, t: Any = None, args: PyTree = None, solver: Any = None, throw: bool = True
) -> Float[Array, " D"]:
    r"""One fixed point, from one start; differentiable, by the implicit function theorem, in every array of the flow.

        F(x*, p) = 0    =>    dx*/dp = -(dF/dx)^{-1} dF/dp,

    with Optimistix's `ImplicitAdjoint`: the derivative does not depend on how ``x*`` was found. The start has none.

    Arguments:
        flow: a dynamem flow, Diffrax terms, or a `Map`.
        x0: where to start, float64, shape (D,).
        t: the time that is held; may be traced.
        args: what the user's terms are given; differentiable too.
        solver: an Optimistix root finder in place of Newton's method.
        throw: whether a solve that fails raises (in a compiled function too); else it ends at NaN.

    Raises:
        InputError: an argument that cannot be used.
        RuntimeError: no fixed point was reached, if ``throw``.
    """
    start = jax.lax.stop_gradient(jnp.asarray(x0))
    if start.ndim != 1 or start.dtype != jnp.float64:
        msg = f"x0.shape={start.shape!r}, x0.dtype={str(start.dtype)!r}: need one state (D,) of float64"
        raise InputError(msg)
    if t is None or concrete(t) is not None:
        field = field_of(flow, t, start.shape[0], args)
    else:
        field = Field(flow if isinstance(flow, Map) else dynamics_of(flow), jnp.asarray(t), args)
    return _root(field, start, solver or optx.Newton(rtol=1e-11, atol=1e-13), throw)


@eqx.filter_jit
def _root(field: Field, start: Float[Array, " D"], solver: Any, throw: bool) -> Float[Array, " D"]:
    solution = optx.root_find(
        lambda x, given: given(x), solver, start, field, throw=throw, max_steps=256, adjoint=optx.ImplicitAdjoint()
    )
    good = (solution.result == optx.RESULTS.successful) & jnp.all(jnp.isfinite(solution.value))
    return jnp.where(good, solution.value, jnp.nan)
