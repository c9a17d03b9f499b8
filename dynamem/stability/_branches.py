r"""Branches of fixed points as one parameter varies: pseudo-arclength continuation, and what happens on the way.

A step predicts along the tangent, ``u + h du/ds``, and corrects by Newton's method (Optimistix) on the bordered system

    F(x, p) = 0,    du/ds . (u - prediction) = 0,

which is regular also where the branch turns back in ``p`` (H. B. Keller, 1977). A step is halved where the correction
fails or the tangent turns by more than 20 degrees. What happens within a step is found by sign changes at its ends
(see `_bifurcations`): two events that cancel within one step are missed, so that a smaller ``step`` is the remedy.
At branch points all branches that leave are followed too, each once.
"""

import dataclasses
import inspect
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Int, PyTree, Shaped

from .._errors import InputError
from .._types import Given
from .._validate import floats, require_finite
from ..flows import Map
from ._bifurcations import Event, Point, Segment, Zeros, arms, critical_vector, events, nearest, refined, solved
from ._field import field_of


SMALLEST = 1e-7
"""Steps below this part of the first one end a branch."""
LARGEST = 4.0
SPHERE = 0.05
"""Radius of the sphere about a branch point, in steps."""
UNFINISHED = ("being followed", "being followed")
SHARP, STRAIGHT = 0.94, 0.995
"""Cosines of the angle between neighbouring tangents: a step that turns more is halved, one that turns less grows."""


@dataclasses.dataclass(frozen=True)
class Branch:
    """A curve of fixed points, in order of arclength.

    Attributes:
        ps: parameters, shape (K,).
        xs: fixed points, shape (K, D).
        index: number of growing directions at each, shape (K,).
        stable: whether all directions decay, shape (K,).
        ends: why it starts and ends where it does, two sentences.
    """

    ps: Float[np.ndarray, " K"]
    xs: Float[np.ndarray, "K D"]
    index: Int[np.ndarray, " K"]
    stable: Bool[np.ndarray, " K"]
    ends: tuple[str, str]


@dataclasses.dataclass(frozen=True)
class Bifurcation:
    """A place where fixed points change in number or in stability.

    Attributes:
        kind: "fold", "pitchfork", "transcritical", "branch" (a branch point of another kind, such as one with a kernel
            of several dimensions), "hopf", "flip" (a multiplier of -1) or "torus" (a pair of multipliers of size 1).
        p: the parameter.
        x: the fixed point, shape (D,).
        vector: the direction that loses its stability, of length 1, shape (D,); complex at a pair.
        frequency: of a pair, in radians per unit of time (of a map: per step), 0 otherwise.
        nullity: dimension of the kernel.
        branches: the branches that meet there, as numbers of `Diagram.branches`.
        residual: ``|F|``.
    """

    kind: str
    p: float
    x: Float[np.ndarray, " D"]
    vector: Shaped[np.ndarray, " D"]
    frequency: float
    nullity: int
    branches: tuple[int, ...]
    residual: float


@dataclasses.dataclass(frozen=True)
class Diagram:
    """A bifurcation diagram.

    Attributes:
        branches: the curves.
        bifurcations: the places, in the order in which they were found.
        notes: what was cut short or could not be located, one sentence each; empty if nothing was.
        span: least and largest parameter.
    """

    branches: tuple[Branch, ...]
    bifurcations: tuple[Bifurcation, ...]
    notes: tuple[str, ...]
    span: tuple[float, float]

    def of(self, *kinds: str) -> tuple[Bifurcation, ...]:
        """The bifurcations of these kinds, by parameter."""
        return tuple(sorted((one for one in self.bifurcations if one.kind in kinds), key=lambda one: one.p))


def branches(
    family: Callable,
    x0: Shaped[Given, "*K D"],
    span: tuple[float | int, float | int],
    *,
    start: float | int | None = None,
    step: float | None = None,
    switch: bool = True,
    max_points: int = 500,
    max_branches: int = 32,
    t: float | None = None,
    args: PyTree = None,
    seed: int = 0,
) -> Diagram:
    """Follow fixed points in a parameter, through folds and, with ``switch``, onto all branches that they meet.

    Arguments:
        family: ``parameter -> flow`` (a dynamem flow, Diffrax terms, a `Map`), or a field ``F(x, p)`` of two arguments.
            Parameters are traced: one compilation serves all.
        x0: a guess of a fixed point, shape (D,), or several, shape (K, D).
        span: least and largest parameter.
        start: the parameter that ``x0`` belongs to, ``span[0]`` if not given; branches are followed both ways.
        step: arclength of the first step, in units of ``(x, p)``; a hundredth of the span if not given. Steps grow up
            to 4 times that and shrink as needed.
        switch: whether to follow the branches that leave a branch point.
        max_points: of one branch.
        max_branches: of all.
        t: the time that is held, where the flow reads it.
        args: what the user's terms are given.
        seed: of the directions that are tried at kernels of several dimensions.

    Raises:
        InputError: an argument that cannot be used. What fails on the way is told in the diagram.
    """
    low, high = (float(end) for end in span)
    first = low if start is None else float(start)
    if not low < high or not np.isfinite([low, high]).all() or not low <= first <= high:
        msg = f"span={span!r}, start={start!r}: need finite span[0] < span[1], and start between them"
        raise InputError(msg)
    step = (high - low) / 100 if step is None else float(step)
    if not (np.isfinite(step) and step > 0) or max_points < 2 or max_branches < 1:
        msg = f"step={step!r}, max_points={max_points!r}, max_branches={max_branches!r}: need positive ones"
        raise InputError(msg)
    x0 = floats("x0", x0)
    require_finite("x0", x0)
    guesses = np.atleast_2d(np.asarray(x0, float))
    if not jax.config.read("jax_enable_x64"):
        msg = "jax_enable_x64=False: bifurcations are located in float64; jax.config.update('jax_enable_x64', True)"
        raise InputError(msg)
    zeros = _zeros(family, first, guesses.shape[1], t, args)
    walk = _Walk(zeros, (low, high), step, switch, (max_points, max_branches), seed)
    for guess in guesses:
        walk.begin(np.append(guess, first))
    return walk.diagram()


def _zeros(family: Callable, p: float, size: int, t: float | None, args: PyTree) -> Zeros:
    """The field of a family, tried once."""
    try:
        given = inspect.signature(family).parameters.values()
        count = sum(one.default is one.empty and one.kind in (0, 1) for one in given)
    except (TypeError, ValueError) as error:
        msg = f"family={family!r:.60}: need a function of the parameter, or of state and parameter"
        raise InputError(msg) from error
    if count not in (1, 2):
        msg = f"family: takes {count} arguments; need parameter -> flow, or F(x, p)"
        raise InputError(msg)
    held = jnp.asarray(0.0 if t is None else t, jnp.result_type(float))
    if count == 2:
        found: Any = jax.eval_shape(family, jnp.zeros(size), jnp.asarray(p))
        if getattr(found, "shape", None) != (size,):
            msg = f"family: F(x, p) gives {found!r:.60} for a state of shape {(size,)!r}, need the shape of the state"
            raise InputError(msg)
        return Zeros(family, held, args, True, False)
    flow = family(jnp.asarray(p))
    return Zeros(family, field_of(flow, t, size, args).t, args, False, isinstance(flow, Map))


@dataclasses.dataclass
class _Place:
    """A bifurcation that is being explored: its arms, and which of them have been walked."""

    event: Event
    u: np.ndarray
    residual: float
    kind: str
    arms: list[Point]
    used: list[bool]
    meets: list[int]


class _Walk:
    """The state of one exploration."""

    def __init__(
        self, zeros: Zeros, span: tuple[float, float], step: float, switch: bool, most: tuple[int, int], seed: int
    ) -> None:
        self.zeros, self.span, self.step, self.switch, self.seed = zeros, span, step, switch, seed
        self.max_points, self.max_branches = most
        self.radius = SPHERE * step
        self.made: list[Branch] = []
        self.places: list[_Place] = []
        self.notes: list[str] = []

    def begin(self, guess: np.ndarray) -> None:
        """Correct a guess, follow its branch both ways, then all that leave it."""
        up = np.zeros_like(guess)
        up[-1] = 1.0
        point = solved(self.zeros, guess, up, guess) or nearest(self.zeros, guess)
        if point is None:
            self.notes.append(f"no fixed point was reached from x0 at p = {guess[-1]:.6g}")
            return
        if point.sizes[-1] < 1e-9 * point.sizes[0]:
            self.notes.append(
                f"at p = {guess[-1]:.6g} the fixed point is not isolated on its branch ([J, dF/dp] is singular there): "
                "a continuous family of fixed points, or a branch point; start elsewhere"
            )
            return
        if self._known(point):
            return
        number = len(self.made)
        self.made.append(self._branch([point], UNFINISHED))
        ahead, end = self._follow(point, number)
        back: list[Point] = []
        start = end
        if end != "closed":
            back, start = self._follow(dataclasses.replace(point, tangent=-point.tangent), number)
        self.made[number] = self._branch([*back[::-1], point, *ahead], (start, end))
        while self.switch and self._next():
            pass

    def _next(self) -> bool:
        """Walk one arm that nobody has walked."""
        for number, place in enumerate(self.places):
            for k, (arm, used) in enumerate(zip(place.arms, place.used, strict=True)):
                if used or not self.span[0] <= arm.u[-1] <= self.span[1]:
                    continue
                if len(self.made) >= self.max_branches:
                    self.notes.append(f"more than max_branches={self.max_branches}: some were not followed")
                    return False
                place.used[k] = True
                own = len(self.made)
                place.meets.append(own)
                self.made.append(self._branch([arm], UNFINISHED))
                ahead, end = self._follow(arm, own)
                foot = dataclasses.replace(place.event.point, u=place.u)
                self.made[own] = self._branch([foot, arm, *ahead], (f"leaves bifurcation {number}", end))
                return True
        return False

    def _follow(self, here: Point, branch: int) -> tuple[list[Point], str]:
        """Points after the first, and why there are no more."""
        first, points, h = here, [], self.step
        while len(points) < self.max_points:
            trial = here.u + h * here.tangent
            new = solved(self.zeros, trial, here.tangent, trial)
            turn = -1.0 if new is None else float(new.tangent @ here.tangent)
            if new is None or turn < SHARP or np.linalg.norm(new.u - trial) > 0.5 * h:
                h *= 0.5
                if h < SMALLEST * self.step:
                    return points, f"Newton's method did not converge beyond p = {here.u[-1]:.6g}"
                continue
            left = not self.span[0] <= new.u[-1] <= self.span[1]
            new = self._at_edge(here, new) if left else new
            if new is None:
                return points, f"the span's end was not reached from p = {here.u[-1]:.6g}"
            closed = len(points) > 2 and _passes(here, new, first)
            joined = self._happens(here, new, branch) if np.any(new.u != here.u) else None
            points.append(new)
            if left or closed or joined:
                return points, joined or ("closed" if closed else "leaves the span")
            here = new
            h = min(1.4 * h, LARGEST * self.step) if turn > STRAIGHT else h
        return points, f"max_points={self.max_points} reached"

    def _at_edge(self, here: Point, new: Point) -> Point | None:
        """The point where the branch crosses the end of the span."""
        edge = self.span[1] if new.u[-1] > self.span[1] else self.span[0]
        up = np.zeros_like(new.u)
        up[-1] = 1.0
        run = new.u[-1] - here.u[-1]
        centre = here.u + (edge - here.u[-1]) / run * (new.u - here.u) if run else new.u
        centre[-1] = edge
        found = solved(self.zeros, centre, up, centre)
        return None if found is None else found.towards(new.u - here.u)

    def _happens(self, here: Point, new: Point, branch: int) -> str | None:
        """Note what happens within a step; a sentence if the branch runs into one that was walked."""
        found, lost = events(self.zeros, here, new)
        self.notes += lost
        for event in found:
            if event.kind != "branch":
                self._note(event, branch)
            else:
                joined = self._branch_point(event, Segment(self.zeros, here, new), branch)
                if joined:
                    return joined
        return None

    def _note(self, event: Event, branch: int) -> None:
        u = event.point.u
        if not any(np.linalg.norm(u - one.u) < 0.1 * self.radius and one.kind == event.kind for one in self.places):
            self.places.append(_Place(event, u, event.point.residual, event.kind, [], [], [branch]))

    def _branch_point(self, event: Event, segment: Segment, branch: int) -> str | None:
        u, residual = refined(segment, event, self.radius)
        near = [n for n, one in enumerate(self.places) if one.arms and np.linalg.norm(u - one.u) < self.radius]
        if near:
            number = near[0]
        else:
            number = len(self.places)
            made = arms(self.zeros, event, u, self.radius, self.seed + number)
            self.places.append(_Place(event, u, residual, _kind(event, u, made), made, [False] * len(made), []))
        place = self.places[number]
        place.meets.append(branch)
        for side in (-1.0, 1.0):
            k = _arm(place, side * segment.normal)
            if k is None:
                continue
            if side > 0 and place.used[k] and near:
                return f"runs into bifurcation {number}, whose other branches were followed already"
            place.used[k] = True
        return None

    def _known(self, point: Point) -> bool:
        """Whether a branch passes here already."""
        for branch in self.made:
            near = int(np.argmin(np.linalg.norm(branch.xs - point.u[:-1], axis=1) + np.abs(branch.ps - point.u[-1])))
            up = np.zeros_like(point.u)
            up[-1] = 1.0
            found = solved(self.zeros, np.append(branch.xs[near], point.u[-1]), up, point.u)
            if found is not None and np.linalg.norm(found.u - point.u) < 1e-8 * (1 + np.linalg.norm(point.u)):
                return True
        return False

    def _branch(self, points: list[Point], ends: tuple[str, str]) -> Branch:
        us = np.stack([point.u for point in points])
        index = np.asarray([point.index for point in points])
        stable = np.asarray([bool(point.growth[0] < 0) for point in points])
        return Branch(us[:, -1], us[:, :-1], index, stable, ends)

    def diagram(self) -> Diagram:
        """What was found."""
        steps, made = self.zeros.steps, []
        for place in self.places:
            value, vector = place.event.value, critical_vector(place.event, steps=steps)
            pair = place.kind in ("hopf", "torus")
            frequency = (abs(np.angle(value)) if steps else abs(value.imag)) if pair else 0.0
            meets = tuple(sorted(set(place.meets)))
            where, kernel = (float(place.u[-1]), place.u[:-1]), vector if pair else np.real(vector)
            made.append(
                Bifurcation(place.kind, *where, kernel, float(frequency), place.event.nullity, meets, place.residual)
            )
        return Diagram(tuple(self.made), tuple(made), tuple(dict.fromkeys(self.notes)), self.span)


def _arm(place: _Place, direction: np.ndarray) -> int | None:
    """The arm that points along a direction."""
    if not place.arms:
        return None
    ways = np.stack([arm.u - place.u for arm in place.arms])
    cosines = ways @ direction / np.linalg.norm(ways, axis=1)
    best = int(np.argmax(cosines))
    return best if cosines[best] > 0.7 else None


def _kind(event: Event, u: np.ndarray, made: list[Point]) -> str:
    """Of four arms in two pairs one pair leaves at constant ``p`` in a pitchfork, none in a transcritical point."""
    if event.nullity != 1 or len(made) != 4:
        return "branch"
    ways = np.stack([arm.u - u for arm in made])
    radius = np.linalg.norm(ways[0])
    slopes = np.abs(ways[:, -1]) / radius
    flat = slopes < np.sqrt(radius)
    if np.sum(flat) == 2:
        a, b = ways[flat]
        return "pitchfork" if np.sign(a[-1]) == np.sign(b[-1]) else "branch"
    return "transcritical" if not np.any(flat) else "branch"


def _passes(here: Point, new: Point, first: Point) -> bool:
    """Whether a step passes the first point again, the same way."""
    way = new.u - here.u
    length = float(np.linalg.norm(way))
    along = float((first.u - here.u) @ way) / length**2
    off = float(np.linalg.norm(first.u - here.u - along * way))
    return 0 < along <= 1 and off < 0.05 * length and float(first.tangent @ way) > 0.9 * length
