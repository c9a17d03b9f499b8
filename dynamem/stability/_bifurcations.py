r"""Where branches of fixed points turn, meet or lose their stability: found within a step, and located.

With ``u = (x, p)`` and ``F(u) = 0`` a branch is a curve of arclength ``s``. Along it these numbers change sign:

| number | event |
|---|---|
| ``dp/ds`` | fold: ``J = dF/dx`` is singular, ``[J, dF/dp]`` has full rank |
| ``det [J, dF/dp; du/ds]`` | branch point: ``[J, dF/dp]`` is rank deficient |
| the k-th growth rate in order of size | an eigenvalue crosses: real (the above), a pair (Hopf), of a map -1 (flip) |

A growth rate is the real part of an eigenvalue of ``J``, of a map ``|mu| - 1`` with ``mu`` one of ``f'``. The zero is
found by Brent's method in ``s`` (SciPy), every trial corrected onto the curve. At a simple branch point the correction
is singular, so it is found again as a regular zero of ``F + b w = 0, w.[J, dF/dp] = 0, |w| = 1`` in ``(u, w, b)``
(by SciPy's ``hybr``; W. Govaerts, Numerical Methods for Bifurcations of Dynamical Equilibria, 2000). Its branches are
where the solution set meets a small sphere about it, by Newton's method from many points of the kernel's sphere. So
kernels of several dimensions, which symmetric patterns have, are served too; of these no completeness is claimed.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optimistix as optx
from jaxtyping import Array, Float, PyTree, Scalar
from scipy.optimize import brentq, least_squares, root

from ..flows import Map
from ..lyapunov import dynamics_of
from ._field import Field


NEWTON_STEPS = 20
ROUNDING = 1e-11
"""Residual that counts as zero, relative to ``1 + |dF/du| |u|``."""
FLAT = 1e-11
"""Growth rates below this part of the Jacobian's norm are zero to rounding, and cross nothing."""
SINGULAR = 1e-5
"""Singular values below this part of the largest one are zero at a located point."""
APART = 0.02
"""Directions that differ by less are one."""


class Zeros(eqx.Module):
    """``u = (x, p) -> F``, the field of a family of dynamics.

    Attributes:
        family: ``parameter -> flow``, or a field ``F(x, p)``.
        t: the time that is held.
        args: what the user's terms are given.
        plain: whether the family is a field.
        steps: whether it is a family of maps.
    """

    family: Callable
    t: Float[Array, ""]
    args: PyTree
    plain: bool = eqx.field(static=True)
    steps: bool = eqx.field(static=True)

    def __call__(self, u: Float[Array, " n"]) -> Float[Array, " D"]:
        """``F(x, p)``, shape (D,)."""
        x, p = u[:-1], u[-1]
        if self.plain:
            return jnp.asarray(self.family(x, p))
        flow = self.family(p)
        return Field(flow if isinstance(flow, Map) else dynamics_of(flow), self.t, self.args)(x)


@dataclasses.dataclass(frozen=True)
class Point:
    """A point of a branch.

    Attributes:
        u: state and parameter, shape (D + 1,).
        matrix: ``dF/du``, shape (D, D + 1).
        tangent: unit vector along the branch, shape (D + 1,).
        values: eigenvalues of ``J`` (of a map: multipliers), the fastest growing first, shape (D,).
        growth: real parts, of a map ``|mu| - 1``, shape (D,).
        sizes: singular values of ``dF/du``, shape (D,).
        residual: ``|F|``.
    """

    u: np.ndarray
    matrix: np.ndarray
    tangent: np.ndarray
    values: np.ndarray
    growth: np.ndarray
    sizes: np.ndarray
    residual: float

    @property
    def index(self) -> int:
        """Number of growing directions."""
        return int(np.sum(self.growth > 0))

    @property
    def side(self) -> float:
        """Sign of ``det [dF/du; tangent]``."""
        return float(np.linalg.slogdet(np.concatenate([self.matrix, self.tangent[None]]))[0])

    def towards(self, direction: np.ndarray) -> "Point":
        """The same point with its tangent along a direction."""
        return dataclasses.replace(self, tangent=self.tangent if self.tangent @ direction >= 0 else -self.tangent)


@eqx.filter_jit
def _corrected(zeros: Zeros, start: Array, normal: Array, centre: Array, radius: Scalar) -> tuple[Array, Array, Array]:
    """A zero on the plane ``normal.(u - centre) = 0``, or on a sphere if the radius is not 0; ``F``; ``dF/du``."""

    def system(u: Array, args: None) -> Array:
        away = u - centre
        sphere = (away @ away - radius**2) / jnp.where(radius > 0, radius, jnp.ones_like(radius))
        return jnp.concatenate([zeros(u), jnp.where(radius > 0, sphere, normal @ away)[None]])

    solver = optx.Newton(rtol=1e-11, atol=1e-14)
    u = optx.root_find(system, solver, start, max_steps=NEWTON_STEPS, throw=False).value
    return u, zeros(u), jax.jacfwd(zeros)(u)


@eqx.filter_jit
def _evaluated(zeros: Zeros, u: Array) -> tuple[Array, Array]:
    return zeros(u), jax.jacfwd(zeros)(u)


def solved(zeros: Zeros, start: np.ndarray, normal: np.ndarray, centre: np.ndarray) -> Point | None:
    """The zero near ``start`` on the plane through ``centre``, tangent along ``normal``; None where none is reached."""
    parts = (jnp.asarray(part) for part in (start, normal, centre, 0.0))
    u, value, matrix = map(np.asarray, _corrected(zeros, *parts))
    return _point(zeros, u, value, matrix, normal)


def nearest(zeros: Zeros, guess: np.ndarray) -> Point | None:
    """A zero at the parameter of a guess by least squares, which a singular Jacobian does not stop; None without."""

    def at(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        value, matrix = map(np.asarray, _evaluated(zeros, jnp.asarray(np.append(x, guess[-1]))))
        return value, matrix

    if not np.all(np.isfinite(at(guess[:-1])[0])):
        return None
    tight: dict[str, Any] = {
        "xtol": 1e-15,
        "ftol": 1e-15,
        "gtol": 1e-15,
        "max_nfev": 50,
        "jac": lambda x: at(x)[1][:, :-1],
    }
    try:
        found = least_squares(lambda x: at(x)[0], guess[:-1], **tight)
    except ValueError:  # not finite on the way
        return None
    return _point(zeros, np.append(found.x, guess[-1]), *at(found.x), np.append(np.zeros_like(found.x), 1.0))


def _point(
    zeros: Zeros, u: np.ndarray, value: np.ndarray, matrix: np.ndarray, along: np.ndarray, *, loose: bool = False
) -> Point | None:
    """The point, None where it is no zero (which a ``loose`` one need not be) or not finite."""
    residual = float(np.linalg.norm(value))
    if not (np.all(np.isfinite(u)) and np.all(np.isfinite(matrix)) and np.isfinite(residual)):
        return None
    if not (loose or residual <= limit_of(u, matrix)):
        return None
    _, sizes, rows = np.linalg.svd(matrix)
    values = np.linalg.eigvals(matrix[:, :-1]) + (1.0 if zeros.steps else 0.0)
    growth = np.abs(values) - 1 if zeros.steps else values.real
    order = np.lexsort((-values.imag, -growth))
    return Point(u, matrix, rows[-1], values[order], growth[order], sizes, residual).towards(along)


class Segment:
    """The piece of a branch between two of its points, each place of which can be had.

    Arguments:
        zeros: the field.
        first: where it starts.
        last: where it ends.
    """

    def __init__(self, zeros: Zeros, first: Point, last: Point) -> None:
        self.zeros, self.first, self.last = zeros, first, last
        self.length = float(np.linalg.norm(last.u - first.u))
        self.normal = (last.u - first.u) / self.length
        self.scale = float(max(first.sizes[0], last.sizes[0]))
        self.known = {0.0: first, 1.0: last}

    def at(self, share: float) -> Point:
        """The point on the plane that cuts the chord at ``share`` of its length; beyond its ends if asked for.

        Close to a branch point Newton's method fails, or lands on the other branch: there the point between the
        neighbours that are known stands in.
        """
        known = sorted(self.known)
        place = min(max(int(np.searchsorted(known, share)), 1), len(known) - 1)
        low, high = known[place - 1], known[place]
        ends = self.known[low].u, self.known[high].u
        centre = ends[0] + (share - low) / (high - low) * (ends[1] - ends[0])
        found = self.known.get(share) or solved(self.zeros, centre, self.normal, centre)
        if found is None or np.linalg.norm(found.u - centre) > 0.3 * np.linalg.norm(ends[1] - ends[0]):
            value, matrix = map(np.asarray, _evaluated(self.zeros, jnp.asarray(centre)))
            found = _point(self.zeros, centre, value, matrix, self.normal, loose=True)
        if found is None:
            raise Lost
        self.known[share] = found
        return found

    def root(self, number: Callable[[Point], float]) -> tuple[float, Point]:
        """Where a number changes sign, to rounding."""
        tight: dict[str, Any] = {"xtol": 1e-14, "rtol": 1e-14, "maxiter": 200}
        share: Any = brentq(lambda at: number(self.at(at)), 0.0, 1.0, **tight)
        return share, self.at(share)


class Lost(Exception):
    """A place of a segment could not be reached."""


@dataclasses.dataclass(frozen=True)
class Event:
    """A located place of a segment.

    Attributes:
        kind: "fold", "branch", "hopf", "flip" or "torus".
        share: where on the segment.
        point: the branch there.
        value: the eigenvalue that crosses.
        nullity: dimension of the kernel of ``J`` (of ``f' + 1`` at a flip).
    """

    kind: str
    share: float
    point: Point
    value: complex
    nullity: int


def events(zeros: Zeros, first: Point, last: Point) -> tuple[list[Event], list[str]]:
    """What happens between two neighbours, in order, and what was seen but could not be located."""
    segment, found, lost = Segment(zeros, first, last), [], []
    tests: list[Callable[[Point], float]] = []
    for level in range(*sorted((first.index, last.index))):
        flat = FLAT * segment.scale
        if abs(first.growth[level]) > flat or abs(last.growth[level]) > flat:
            tests.append(lambda point, level=level: float(point.growth[level]))
    if first.side * last.side < 0:
        tests.append(_singularity)
    if first.tangent[-1] * last.tangent[-1] < 0:
        tests.append(lambda point: float(point.tangent[-1]))
    for test in tests:
        if not test(first) * test(last) < 0:
            continue
        try:
            event = _event(segment, *segment.root(test), test)
        except Lost:
            lost.append(f"something changes near p = {0.5 * (first.u[-1] + last.u[-1]):.6g} that could not be located")
            continue
        if not any(_same(event, other, segment) for other in found):
            found.append(event)
    return sorted(found, key=lambda event: event.share), lost


def _singularity(point: Point) -> float:
    """The least singular value of ``dF/du`` with the sign of the determinant that it makes."""
    return point.side * float(point.sizes[-1])


def _same(one: Event, other: Event, segment: Segment) -> bool:
    return abs(one.share - other.share) * segment.length < 1e-6 * (1 + segment.length) and one.kind == other.kind


def _event(segment: Segment, share: float, point: Point, test: Callable[[Point], float]) -> Event:
    critical, steps = int(np.argmin(np.abs(point.growth))), segment.zeros.steps
    value, scale = complex(point.values[critical]), segment.scale
    tilted = point.tangent[-1] if test is not _singularity else 1.0
    deficient = int(np.sum(point.sizes < SINGULAR * scale))
    if not deficient and point.residual > limit_of(point.u, point.matrix):
        raise Lost
    aside = abs(value.imag) > SINGULAR * scale
    if deficient:
        return Event("branch", share, point, value, deficient)
    if abs(tilted) < SINGULAR or (not aside and abs(value - (1.0 if steps else 0.0)) < SINGULAR * scale):
        return Event("fold", share, point, value, 1)
    if aside:
        return Event("torus" if steps else "hopf", share, point, value, 2)
    return Event("flip", share, point, value, int(np.sum(np.abs(point.values + 1) < SINGULAR * scale)))


def limit_of(u: np.ndarray, matrix: np.ndarray) -> float:
    """The residual that counts as zero."""
    return ROUNDING * (1 + float(np.linalg.norm(matrix)) * float(np.linalg.norm(u)))


def critical_vector(event: Event, *, steps: bool) -> np.ndarray:
    """The direction that loses its stability, of unit length, complex for a pair."""
    values, vectors = np.linalg.eig(event.point.matrix[:, :-1])
    return vectors[:, np.argmin(np.abs(values + (1.0 if steps else 0.0) - event.value))]


def refined(segment: Segment, event: Event, reach: float) -> tuple[np.ndarray, float]:
    """A branch point from a regular problem, and the residual of ``F``; what is known already where that fails."""
    zeros, point = segment.zeros, event.point
    if event.nullity > 1:
        try:
            return _between(segment, event, reach)
        except Lost:
            return point.u, point.residual
    n = len(point.u)

    def system(unknown: np.ndarray) -> np.ndarray:
        u, w, b = unknown[:n], unknown[n:-1], unknown[-1]
        value, matrix = map(np.asarray, _evaluated(zeros, jnp.asarray(u)))
        return np.concatenate([value + b * w, w @ matrix, [w @ w - 1]])

    begin = np.concatenate([point.u, np.linalg.svd(point.matrix)[0][:, -1], [0.0]])
    found: Any = root(system, begin, method="hybr", options={"xtol": 1e-14})
    u, left = found.x[:n], float(np.linalg.norm(found.fun))
    limit = limit_of(u, point.matrix)
    good = np.all(np.isfinite(u)) and np.linalg.norm(u - point.u) < reach and left <= limit
    return (u, float(np.linalg.norm(found.fun[: n - 1]))) if good else (point.u, point.residual)


def _between(segment: Segment, event: Event, reach: float) -> tuple[np.ndarray, float]:
    """A kernel of several dimensions: where the mean of its eigenvalues is 0, by a quintic from both sides."""
    apart = np.asarray([-3.0, -2.0, -1.0, 1.0, 2.0, 3.0])
    near = [segment.at(event.share + reach / segment.length * place) for place in apart]
    means = [np.mean(point.growth[np.argsort(np.abs(point.growth))[: event.nullity]]) for point in near]
    zeros = np.roots(np.polyfit(apart, means, 5))
    best = zeros[np.argmin(np.abs(zeros))]
    if not abs(best) < 0.5:
        raise Lost
    u = np.stack([point.u for point in near])
    made = np.asarray([np.polyval(np.polyfit(apart, column, 5), best.real) for column in u.T])
    return made, float(np.linalg.norm(np.asarray(_evaluated(segment.zeros, jnp.asarray(made))[0])))


def arms(zeros: Zeros, event: Event, centre: np.ndarray, radius: float, seed: int) -> list[Point]:
    """Where the solution set meets a small sphere about a branch point, tangents pointing outward."""
    size = event.nullity + 1
    kernel = np.linalg.svd(event.point.matrix)[2][-size:]
    if size == 2:
        angles = 2 * np.pi * (np.arange(24) + 0.25) / 24
        parts = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    else:
        parts = np.random.default_rng(seed).normal(size=(min(64 * event.nullity, 256), size))
        parts = np.concatenate([parts, np.eye(size), -np.eye(size)])
    parts = parts / np.linalg.norm(parts, axis=1, keepdims=True)
    made: list[Point] = []
    for start in centre + radius * parts @ kernel:
        sphere = (jnp.asarray(part) for part in (start, np.zeros_like(centre), centre, radius))
        u, value, matrix = map(np.asarray, _corrected(zeros, *sphere))
        point = _point(zeros, u, value, matrix, u - centre)
        if point is None or not abs(np.linalg.norm(u - centre) / radius - 1) < 1e-6:
            continue
        if all(np.linalg.norm(u - other.u) > APART * radius for other in made):
            made.append(point)
    return made
