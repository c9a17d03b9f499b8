r"""Certified inner estimates of a basin: sublevel sets ``S_c = {x in box: E(x) <= c}``.

All of S_c ends at one fixed point if intervals show, with ``y = L^T (x - a)`` around the given attractor a, for some
positive definite ``M = L L^T`` and some radius rho:

    faces        E > c on every face of the box             no solution leaves S_c while E falls
    decrease     dE/dt < 0 where E <= c and |y| >= rho      it gets to the core: E is bounded below on S_c
    contraction  the symmetric part of L^T J L^-T is at most ``-m < 0`` on a box around the core |y| <= rho,
                 and ``|L^T F(a)| <= m rho/2``              the core is invariant, holds one fixed point, and ends at it

The first two are La Salle's argument (Khalil, Nonlinear Systems, section 8.2), the third is contraction (Lohmiller &
Slotine 1998, Automatica 34:683): ``d|y|/dt <= -m |y| + |L^T F(a)|``. The bound m is Gershgorin's, of the matrix in the
basis of its eigenvectors at a, each row certified by itself; M solves ``J^T M + M J = -1`` at a, so that a positive m
exists wherever a is linearly stable. Signs are certified by `certify`, in real arithmetic. M, the basis and the radius
are floats: that the basis is orthonormal to rounding only, and that ``F(a)`` is a float, is covered by the factor 2 in
the last condition (ill-conditioned M are refused).
"""

import dataclasses
import time
from collections.abc import Callable, Sequence
from typing import Any

import diffrax as dfx
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import scipy.linalg
from jaxtyping import Array, Float, Scalar, Shaped

from .._errors import InputError
from .._types import EnergyFn, Given
from .._validate import floats, require_patterns
from ..catalog import wilson
from ..flows import Map
from ..lyapunov import Verdict
from ..rigour import certify, reads_time
from ._basins import silent
from ._field import Field, field_of


SHARES = (0.98, 0.9, 0.75, 0.5, 0.25, 0.1)
"""Levels tried, between that of the core and the least on the faces; then bisection."""
RADII = (0.995, 0.98, 0.95, 0.9, 0.8, 0.6)
SAMPLES = 20_000
FACE, CORE = 2000, 256
"""Points tried on each face, and in a core before it is certified."""
FOR_LEVEL, FOR_RADIUS = 0.25, 5.0
"""A question about a level is given this part of the time at most; one about a ball so many seconds."""
PRECISE = 0.01
"""Bisection ends at this part of the level above that of the attractor."""
NONE = "no level was certified: the energy may rise where it should fall, or time is short"
WORST = 1e5
"""Condition number of L beyond which floats are not trusted."""


class Level(eqx.Module):
    """``E(x) - c`` at the held time, and with ``sign`` -1 its negative."""

    energy: EnergyFn
    t: Scalar
    c: Float[Array, ""]
    sign: int = eqx.field(static=True, default=1)

    def __call__(self, t: Any, x: Float[Array, " D"]) -> Scalar:
        """``sign (E(x) - c)``."""
        return self.sign * (self.energy(self.t, x) - self.c)


class Held(eqx.Module):
    """The energy at the held time."""

    energy: EnergyFn
    t: Scalar

    def __call__(self, t: Any, x: Float[Array, " D"]) -> Scalar:
        """``E(x)``."""
        return self.energy(self.t, x)


class Outside(eqx.Module):
    """``r^2 - |L^T (x - a)|^2``, and with ``sign`` -1 its negative: at most 0 outside, or inside, of an ellipsoid."""

    a: Float[Array, " D"]
    L: Float[Array, "D D"]
    r: Float[Array, ""]
    sign: int = eqx.field(static=True, default=1)

    def __call__(self, t: Any, x: Float[Array, " D"]) -> Scalar:
        """At most 0 where it is met."""
        y = self.L.T @ (x - self.a)
        return self.sign * (self.r * self.r - jnp.sum(y * y))


class Still(eqx.Module):
    """A field as the vector field of a Diffrax term."""

    field: Field

    def __call__(self, t: Any, x: Float[Array, " D"], args: Any) -> Float[Array, " D"]:
        """``F(x)``."""
        return self.field(x)


class Row(eqx.Module):
    """How negative a row of the symmetric Jacobian is, beyond what its other entries can make good (Gershgorin)."""

    field: Field
    left: Float[Array, "D D"]
    right: Float[Array, "D D"]
    m: Float[Array, ""]
    row: int = eqx.field(static=True)

    def __call__(self, t: Any, x: Float[Array, " D"]) -> Scalar:
        """``-G_ii - sum_j |G_ij| - m``, positive where the row shows a rate of contraction above m."""
        J = self.left @ self.field.jacobian(x) @ self.right
        entries = [(J[self.row, j] + J[j, self.row]) / 2 for j in range(J.shape[0])]
        others = [jnp.abs(entry) for j, entry in enumerate(entries) if j != self.row]
        return -entries[self.row] - sum(others, start=jnp.zeros_like(self.m)) - self.m


@dataclasses.dataclass(frozen=True)
class SublevelSet:
    """``{x in box: E(x) <= c}``, all of which ends at one fixed point, if certified.

    Attributes:
        status: "certified", or "undecided".
        reason: what is shown, or what was open.
        c: the level, NaN if undecided.
        attractor: the point that was given, shape (D,): the fixed point is within ``core`` of it.
        core: largest distance of the fixed point from it.
        box: shape (D, 2).
        radius: a ball around the attractor that certainly lies in the set, 0 if none was found: a lower bound of every
            shock that leads elsewhere.
        volume: estimate of the set's volume by uniform samples of the box.
        volume_low: lower end of its interval (Wilson) at 95 %.
        volume_high: upper end.
        refused: the lowest level that was tried and not certified, infinite if there is none.
        verdicts: by name, each with its certificate in ``evidence["certificate"]``.
        seconds: wall time.
    """

    status: str
    reason: str
    c: float
    attractor: np.ndarray
    core: float
    box: np.ndarray
    radius: float
    volume: float
    volume_low: float
    volume_high: float
    refused: float
    verdicts: dict[str, Verdict]
    seconds: float


@dataclasses.dataclass(frozen=True)
class _Core:
    """An ellipsoid ``|L^T (x - a)| <= rho`` all of which ends at the fixed point in it, which is within reach of a."""

    rho: float
    L: np.ndarray
    reach: float
    verdicts: dict[str, Verdict]


def certified_basin(
    energy: EnergyFn, flow: Any, attractor: Shaped[Given, " D"], *, box: Any, t: float | None = None,
    levels: Sequence[float] | None = None, budget_s: float = 60.0, samples: int = SAMPLES, seed: int = 0,
    tell: Callable[[str], None] = silent,
) -> SublevelSet:  # fmt: skip
    """The largest level found whose sublevel set in a box is certified to lie in the basin of an attractor.

    Arguments:
        energy: any ``E(t, x)`` that falls along the flow near the attractor.
        flow: a flow without noise, or any Diffrax terms; it must not depend on time, or be held (`dm.Frozen`).
        attractor: a linearly stable fixed point, to rounding, shape (D,).
        box: rows (lo, hi) around it.
        t: the time at which flow and energy are held; None where nothing reads the time.
        levels: which levels to try, the highest first, with no bisection; found by samples if not given.
        budget_s: seconds for all of it, to within that of one question.
        samples: points for the volume and for the first guess of the level.
        seed: of these points.
        tell: takes a sentence about every level.

    Raises:
        InputError: a `Map` (its steps may jump over the faces), a flow that depends on time, an attractor outside
            the box.
    """
    begun = time.monotonic()
    box, a, field = _asked(energy, flow, attractor, box, t)
    points = np.random.default_rng(seed).uniform(box[:, 0], box[:, 1], (samples, len(a)))
    held = Held(energy, field.t)
    values = np.asarray(_values(held, jnp.asarray(points)))
    core = _core(field, a, box, budget_s / 3)
    if isinstance(core, str):
        return _undecided(core, a, box, float("inf"), begun)
    search = _Search(held, field, a, box, core, begun + budget_s, budget_s * FOR_LEVEL, tell)
    c, verdicts, refused = search.run(points, None if levels is None else sorted(levels, reverse=True))
    if c is None:
        return _undecided(NONE, a, box, refused, begun)
    radius, inside = _radius(held, field, a, box, c, points[~(values <= c)])
    count = int(np.sum(values <= c))
    (low,), (high,) = wilson(np.asarray([count]), samples)
    whole = float(np.prod(box[:, 1] - box[:, 0]))
    reason = f"E <= {c:.6g} in the box ends at a fixed point within {core.reach:.2g} of the attractor"
    found = (radius, whole * count / samples, whole * float(low), whole * float(high), refused)
    verdicts = verdicts | core.verdicts | inside
    return SublevelSet("certified", reason, c, a, core.reach, box, *found, verdicts, time.monotonic() - begun)


def _undecided(reason: str, a: np.ndarray, box: np.ndarray, refused: float, begun: float) -> SublevelSet:
    nan = float("nan")
    return SublevelSet("undecided", reason, nan, a, nan, box, 0.0, nan, nan, nan, refused, {}, time.monotonic() - begun)


def _asked(energy: Any, flow: Any, attractor: Any, box: Any, t: float | None) -> tuple[np.ndarray, np.ndarray, Field]:
    if isinstance(flow, Map):
        msg = "flow=Map: a step may jump over the faces of the box; certified basins are those of flows"
        raise InputError(msg)
    a, box = np.asarray(floats("attractor", attractor), float), np.asarray(box, float)
    require_patterns("attractor[None]", a[None])
    if box.shape != (len(a), 2) or not np.all(np.isfinite(box)) or not np.all((box[:, 0] < a) & (a < box[:, 1])):
        msg = f"box={box.tolist()!r:.80}: need {len(a)} finite rows (lo, hi) with the attractor inside"
        raise InputError(msg)
    if t is None and reads_time(energy, flow, (), len(a)):
        msg = "t=None: flow or energy depends on time; name the time t at which they are held"
        raise InputError(msg)
    return box, a, field_of(flow, t, len(a))


def _core(field: Field, a: np.ndarray, box: np.ndarray, budget_s: float) -> _Core | str:
    """The largest core of a few sizes that is certified to contract, or why there is none."""
    J, speed = np.asarray(field.jacobian(jnp.asarray(a))), np.asarray(field(jnp.asarray(a)))
    if not (np.all(np.isfinite(J)) and np.max(np.linalg.eigvals(J).real) < 0):
        return "the attractor is not linearly stable: its Jacobian has an eigenvalue of real part 0 or more"
    L = np.linalg.cholesky(scipy.linalg.solve_continuous_lyapunov(J.T, -np.eye(len(a))))
    if np.linalg.cond(L) > WORST:
        return "the attractor is stable by too little for the floats of the contraction argument"
    inverse = np.linalg.inv(L)
    G = L.T @ J @ inverse.T
    rates, Q = np.linalg.eigh((G + G.T) / 2)
    m, pull = float(-rates.max()) / 4, float(np.linalg.norm(L.T @ speed))
    rows = [Row(field, *map(jnp.asarray, (Q.T @ L.T, inverse.T @ Q, m)), row) for row in range(len(a))]
    across = np.sqrt(np.sum(inverse**2, axis=0))  # |x_i - a_i| <= across_i |y|
    room = float(np.min(np.minimum(a - box[:, 0], box[:, 1] - a) / across))
    deadline = time.monotonic() + budget_s
    ways = np.random.default_rng(0).uniform(-1, 1, (CORE, len(a)))
    for rho in room * 0.5 ** np.arange(1, 14):  # half of one that samples allow: boxes decide what has room to spare
        probes = jnp.asarray(a + 2 * rho * across * ways)
        if not all(np.all(np.asarray(_values(row, probes)) > 0) for row in rows):
            continue
        if not pull <= m * rho / 2:
            return (
                f"no core: |F| = {np.linalg.norm(speed):.2g} at the attractor; solve for the fixed point more closely"
            )
        around = np.stack([a - rho * across, a + rho * across], axis=1)
        asked = {f"contraction {i}": _Question(one, field, around, (), "positive") for i, one in enumerate(rows)}
        verdicts = _all(asked, deadline, budget_s)
        if _every(verdicts, asked):
            return _Core(float(rho), L, 2 * pull / m * float(np.linalg.norm(inverse, 2)), verdicts)
    return "contraction around the attractor was not certified"


@dataclasses.dataclass(frozen=True)
class _Question:
    """What `certify` is asked."""

    energy: Any
    field: Field
    box: np.ndarray
    constraints: tuple
    claim: str

    def __call__(self, seconds: float) -> Verdict:
        term = dfx.ODETerm(Still(self.field))
        how = {"constraints": self.constraints, "claim": self.claim, "budget_s": seconds, "algebra": False}
        return certify(self.energy, term, self.box, **how)


def _all(asked: dict[str, _Question], deadline: float, each: float) -> dict[str, Verdict]:
    """Verdicts of some questions in turn, up to the first that is not shown or not asked for lack of time."""
    found = {}
    for name, question in asked.items():
        left = deadline - time.monotonic()
        if left <= 0:
            break
        found[name] = question(min(left, each))
        if not _shown(found[name]):
            break
    return found


def _every(found: dict[str, Verdict], asked: dict[str, _Question]) -> bool:
    return len(found) == len(asked) and all(map(_shown, found.values()))


def _shown(verdict: Verdict) -> bool:
    return verdict.status in ("certified", "proved")


@dataclasses.dataclass(frozen=True)
class _Search:
    """The levels of one energy, and which of them are certified."""

    held: Held
    field: Field
    a: np.ndarray
    box: np.ndarray
    core: _Core
    deadline: float
    each: float
    tell: Callable[[str], None]

    def run(self, points: np.ndarray, levels: list[float] | None) -> tuple[float | None, dict[str, Verdict], float]:
        """The highest level that was certified, its verdicts, and the lowest that was refused."""
        least, top = self.least(points)
        best, verdicts, refused = None, {}, float("inf")
        left = [least + share * (top - least) for share in SHARES if top > least] if levels is None else levels
        while left and time.monotonic() < self.deadline:
            c = left.pop(0)
            found, asked = self.ask(c)
            if _every(found, asked):
                best, verdicts = c, found
            else:
                refused = min(refused, c)
            self.tell(f"certified basin: level {c:.6g} {'certified' if best == c else 'open'}")
            if best is not None:
                above = min(refused, top)
                wide = levels is None and above - best > PRECISE * (best - least)
                left = [0.5 * (best + above)] if wide else []
        return best, verdicts, refused

    def least(self, points: np.ndarray) -> tuple[float, float]:
        """The level at the attractor, and one that no certified set can pass by what samples show."""
        faces = [self.on_face(points[:FACE], row, side) for row in range(len(self.a)) for side in (0, 1)]
        y = (points - self.a) @ self.core.L
        outside = np.sum(y * y, axis=1) >= self.core.rho**2
        rates = np.asarray(_rates(self.held, self.field, jnp.asarray(points)))
        values = np.asarray(_values(self.held, jnp.asarray(np.concatenate([*faces, points, self.a[None]]))))
        rising = values[-len(points) - 1 : -1][outside & ~(rates < 0)]
        return float(values[-1]), float(min(values[: -len(points) - 1].min(), rising.min(initial=np.inf)))

    def on_face(self, points: np.ndarray, row: int, side: int) -> np.ndarray:
        """Points moved onto a face of the box."""
        moved = points.copy()
        moved[:, row] = self.box[row, side]
        return moved

    def ask(self, c: float) -> tuple[dict[str, Verdict], dict[str, _Question]]:
        """What has to be shown of a level, and how far it is."""
        above = Level(self.held.energy, self.held.t, jnp.asarray(c))
        asked = {}
        for row in range(len(self.a)):
            for side in (0, 1):
                face = self.box.copy()
                face[row] = self.box[row, side]
                asked[f"face {row} {('low', 'high')[side]}"] = _Question(above, self.field, face, (), "positive")
        a, L, rho = map(jnp.asarray, (self.a, self.core.L, self.core.rho))
        out = Outside(a, L, rho)
        asked["decrease"] = _Question(self.held, self.field, self.box, (above, out), "strict_decrease")
        return _all(asked, self.deadline, self.each), asked


def _radius(
    held: Held, field: Field, a: np.ndarray, box: np.ndarray, c: float, beyond: np.ndarray
) -> tuple[float, dict[str, Verdict]]:
    """A ball that certainly lies in the set, with its verdict: not larger than samples allow."""
    room = float(np.min(np.minimum(a - box[:, 0], box[:, 1] - a)))
    most = min(room, float(np.min(np.linalg.norm(beyond - a, axis=1), initial=np.inf)))
    below = Level(held.energy, held.t, jnp.asarray(c), -1)
    for share in RADII:
        r = share * most
        ball = Outside(jnp.asarray(a), jnp.eye(len(a)), jnp.asarray(r), -1)
        around = np.stack([a - r, a + r], axis=1)
        verdict = _Question(below, field, around, (ball,), "positive")(FOR_RADIUS)
        if _shown(verdict):
            return r, {"radius": verdict}
    return 0.0, {}


@eqx.filter_jit
def _values(energy: Any, points: Float[Array, "n D"]) -> Float[Array, " n"]:
    return jax.vmap(lambda x: energy(0.0, x))(points)


@eqx.filter_jit
def _rates(energy: Any, field: Field, points: Float[Array, "n D"]) -> Float[Array, " n"]:
    return jax.vmap(lambda x: jax.jvp(lambda z: energy(0.0, z), (x,), (field(x),))[1])(points)
