r"""Contraction: where all neighbouring states approach each other, at points and, certified, on boxes.

In the norm ``|v|_P^2 = v.P v``, ``P = L^T L``, neighbours approach at least at the rate ``c`` where

    lambda_max(S) <= -c,    S = (A + A^T)/2,    A = L J L^{-1}

(W. Lohmiller and J.-J. Slotine, Automatica 34 (1998) 683: generalised Jacobian; the logarithmic norm of ``J``). On a
convex region where this holds everywhere, any two trajectories that stay inside approach each other at that rate. Of a
`Map` the condition is ``|A|_2 <= e^-c``, which with ``S = (A^T A - e^{-2c})/2`` is ``S <= 0``.

On a box the Jacobian, differentiated line by line from the program that runs (see `programs.slopes`), is enclosed by
outward rounded intervals. With ``V`` the eigenvectors of its middle in floats, ``V^T (S + c) V`` is negative
semidefinite if no Gershgorin disc reaches above 0, and so is ``S + c``, if ``|V^T V - 1| < 1`` is verified as well.
Boxes that this does not settle are halved. Rounding of every step is bounded: nothing rests on a float eigenvalue.
"""

import dataclasses
import time
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, PyTree, Shaped

from .._errors import InputError
from .._types import Given
from .._validate import floats, require_finite
from ..lyapunov import along
from ..programs import INTERVAL, Interval, prepared, slopes, translate
from ._field import Field, field_of


BATCH = 256
MOST_BOXES = 2_000_000
THINNEST = 2.0**-40
"""Boxes thinner than this part of the region, in every direction, are not split further."""
EPS = 2.0**-52
TINY = 1e-290


@dataclasses.dataclass(frozen=True)
class Contraction:
    """Rates at points: what was computed there in floats, and nothing in between.

    Attributes:
        rates: ``lambda_max(S)``, of a map ``log |A|_2``, below 0 where neighbours approach, shape (B,); NaN where the
            Jacobian is not finite.
        worst: the largest; NaN if none is finite, infinity if some are not.
        witness: the state where it is, shape (D,).
        direction: the direction in which neighbours part fastest there, of unit length in the metric, shape (D,).
        finite: number of states whose Jacobian is finite.
    """

    rates: Float[np.ndarray, " B"]
    worst: float
    witness: Float[np.ndarray, " D"]
    direction: Float[np.ndarray, " D"]
    finite: int


@dataclasses.dataclass(frozen=True)
class ContractionCertificate:
    """Whether a flow contracts at a rate all over a box.

    Attributes:
        status: "certified" (by intervals, everywhere), "broken" (at `witness`, by intervals too) or "undecided".
        reason: one sentence.
        rate: the rate ``c`` that was claimed.
        box: shape (D, 2).
        t: the time that was held.
        root: ``L`` of the metric, shape (D, D).
        boxes: how many boxes were enclosed.
        open_share: part of the volume that was not decided.
        witness: a state at which ``lambda_max(S) > -c``, shape (D,); None unless broken.
        direction: ``v`` with ``v.(S + c) v > 0`` there, in the coordinates ``L x``, shape (D,).
        excess: a lower bound of ``v.(S + c) v / v.v`` (of a map, with its ``S`` in place of ``S + c``); None unless
            broken.
        seconds: wall time.
    """

    status: str
    reason: str
    rate: float
    box: Float[np.ndarray, "D 2"]
    t: float
    root: Float[np.ndarray, "D D"]
    boxes: int
    open_share: float
    witness: Float[np.ndarray, " D"] | None
    direction: Float[np.ndarray, " D"] | None
    excess: float | None
    seconds: float

    def replay(self, flow: Any, args: PyTree = None) -> float:
        """The excess at the witness, bounded from below again: above 0 if the certificate holds.

        Arguments:
            flow: the flow of the certificate.
            args: what its terms were given.

        Raises:
            InputError: there is no witness.
        """
        if self.witness is None or self.direction is None:
            msg = f"status={self.status!r}: only a broken certificate has a witness to replay"
            raise InputError(msg)
        field = field_of(flow, self.t, len(self.box), args)
        made, _ = _Matrices(field, self.root, self.rate)(self.witness[None], self.witness[None])
        return float(_form(made, self.direction[None])[0])


def _metric(metric: Any, size: int) -> np.ndarray:
    """``L`` of a metric."""
    if metric is None:
        return np.eye(size)
    given = np.asarray(floats("metric", metric), float)
    if given.shape != (size, size) or not np.allclose(given, given.T, rtol=1e-12, atol=0):
        msg = f"metric.shape={given.shape!r}: need a symmetric positive definite matrix of shape {(size, size)!r}"
        raise InputError(msg)
    try:
        return np.linalg.cholesky(given).T
    except np.linalg.LinAlgError as error:
        msg = f"metric has eigenvalue {float(np.linalg.eigvalsh(given)[0]):.3g}: it must be positive definite"
        raise InputError(msg) from error


class _Rate(eqx.Module):
    """``(t, x) -> `` the rate and its direction, in the coordinates of the state."""

    field: Field
    left: Float[jax.Array, "D D"]
    right: Float[jax.Array, "D D"]

    def __call__(self, t: Any, x: Any) -> tuple[Any, Any]:
        """Rate, direction (D,)."""
        del t
        jacobian = self.field.jacobian(x)
        if self.field.is_map:
            _, sizes, rows = jnp.linalg.svd(self.left @ (jacobian + jnp.eye(x.shape[0], dtype=x.dtype)) @ self.right)
            return jnp.log(sizes[0]), self.right @ rows[0]
        moved = self.left @ jacobian @ self.right
        values, vectors = jnp.linalg.eigh(0.5 * (moved + moved.T))
        return values[-1], self.right @ vectors[:, -1]


def contraction_rate(
    flow: Any,
    states: Shaped[Given, "*B D"],
    t: float | None = None,
    metric: Shaped[Given, "D D"] | None = None,
    *,
    args: PyTree = None,
) -> Contraction:
    """The largest eigenvalue of the symmetrised Jacobian at each state: below 0 where neighbours approach.

    Arguments:
        flow: a dynamem flow, Diffrax terms or a `Map`.
        states: shape (D,) or (B, D).
        t: the time that is held, where the flow reads it.
        metric: ``P``, symmetric positive definite, shape (D, D); the identity if not given.
        args: what the user's terms are given.

    Raises:
        InputError: an argument that cannot be used.
    """
    given = floats("states", states)
    require_finite("states", given)
    points = np.atleast_2d(np.asarray(given, float))
    left = _metric(metric, points.shape[1])
    field = field_of(flow, t, points.shape[1], args)
    rate = _Rate(field, *(jnp.asarray(one) for one in (left, np.linalg.inv(left))))
    rates, ways = along(rate, np.zeros(len(points)), points)
    finite = np.isfinite(rates)
    rates = np.where(np.isneginf(rates), rates, np.where(finite, rates, np.nan))
    fine = ~np.isnan(rates)
    worst = int(np.argmax(np.where(fine, rates, -np.inf)))
    most = float(rates[worst]) if fine.all() else np.inf if fine.any() else np.nan
    return Contraction(rates, most, points[worst], ways[worst], int(fine.sum()))


Bounds = tuple[np.ndarray, np.ndarray]
"""Lower and upper ends of matrices, shape (B, m, n) or (m, n)."""


def _times(x: Bounds, y: Bounds) -> Bounds:
    """The product of interval matrices by middle and radius; every rounding is paid for, twice or more."""
    (a, r), (b, q) = (_middle(part) for part in (x, y))
    units = (a.shape[-1] + 4) * EPS
    size_a, size_b = np.abs(a), np.abs(b)
    middle = a @ b
    radius = (size_a + r) @ q + r @ size_b
    radius = radius * (1 + 4 * units) + 2 * units * (size_a @ size_b) + TINY
    return middle - radius, middle + radius


def _middle(x: Bounds) -> Bounds:
    lo, hi = x
    if lo is hi:
        return lo, np.zeros_like(lo)
    middle = 0.5 * lo + 0.5 * hi
    return middle, np.maximum(hi - middle, middle - lo) * (1 + 4 * EPS) + TINY


def _plus(x: Bounds, y: Bounds) -> Bounds:
    lo, hi = x[0] + y[0], x[1] + y[1]
    return lo - 2 * EPS * np.abs(lo), hi + 2 * EPS * np.abs(hi)


def _turned(x: Bounds) -> Bounds:
    return x[0].swapaxes(-1, -2), x[1].swapaxes(-1, -2)


def _inverse(left: np.ndarray) -> Bounds:
    """The inverse of a matrix: with ``|1 - R L| = e < 1`` in the row-sum norm it is within ``e |R| / (1-e)`` of R."""
    eye, near = np.eye(len(left)), np.linalg.inv(left)
    low, high = _plus(_times((near, near), (-left, -left)), (eye, eye))
    gap = float(np.max(np.sum(np.maximum(np.abs(low), np.abs(high)), axis=1))) * (1 + len(left) * 4 * EPS)
    if not gap < 0.5:
        msg = "metric: too ill-conditioned for its square root to be inverted with certainty"
        raise InputError(msg)
    reach = 2.1 * gap * float(np.max(np.sum(np.abs(near), axis=1))) + TINY
    return near - reach, near + reach


class _Matrices:
    """Interval enclosures of ``2 (S + c)``, of a map ``A^T A - e^{-2c}``, on boxes."""

    def __init__(self, field: Field, left: np.ndarray, rate: float) -> None:
        self.size, self.rate, self.steps = len(left), rate, field.is_map
        moves: Any = field.dynamics if field.is_map else field
        program = slopes(translate(moves, (self.size,)))
        with np.errstate(all="ignore"):
            self.run = prepared(program, INTERVAL)
        plain = np.array_equal(left, np.eye(self.size))
        self.metric = None if plain else ((left, left), _inverse(left))

    @np.errstate(all="ignore")
    def __call__(self, lo: np.ndarray, hi: np.ndarray) -> tuple[Bounds, np.ndarray]:
        """Bounds of shape (B, D, D), and where the Jacobian is defined all over the box."""
        (found,) = self.run([Interval(lo, hi.copy())])
        flat, shape = (len(lo), self.size**2), (len(lo), self.size, self.size)
        fine: Any = np.ones(len(lo), bool) if found.ok is None else np.broadcast_to(found.ok, flat).all(axis=1)
        made: Any = tuple(np.broadcast_to(end, flat).reshape(shape) for end in (found.lo, found.hi))
        if self.metric is not None:
            made = _times(_times(self.metric[0], made), self.metric[1])
        if self.steps:
            edge = (np.exp(-2 * self.rate) * np.eye(self.size))[None]
            made = _plus(_times(_turned(made), made), (-edge * (1 + 8 * EPS), -edge * (1 - 8 * EPS)))
        else:
            twice = 2 * self.rate * np.eye(self.size)
            made = _plus(_plus(made, _turned(made)), (twice[None], twice[None]))
        return made, fine & np.isfinite(made[0]).all(axis=(1, 2)) & np.isfinite(made[1]).all(axis=(1, 2))


@np.errstate(all="ignore")
def _settled(made: Bounds) -> tuple[np.ndarray, np.ndarray]:
    """Which interval matrices are negative semidefinite for certain, and the top eigenvectors of their middles."""
    middle = 0.5 * (made[0] + made[1])
    middle = np.where(np.isfinite(middle), middle, 0.0)
    _, vectors = np.linalg.eigh(0.5 * (middle + middle.swapaxes(1, 2)))
    exact = (vectors, vectors)
    low, high = _times(_times(_turned(exact), (made[0], made[1])), exact)
    eye = np.eye(middle.shape[1])[None]
    size = np.maximum(np.abs(low), np.abs(high))
    discs = np.sum(size * (1 - eye), axis=2) * (1 + 4 * EPS * middle.shape[1]) + np.einsum("bii->bi", high)
    room = 4 * EPS * (np.sum(size, axis=2) + TINY)
    off = _plus(_times(_turned(exact), exact), (-eye, -eye))
    spread = np.max(np.sum(np.maximum(np.abs(off[0]), np.abs(off[1])), axis=2), axis=1)
    return np.all(discs + room <= 0, axis=1) & (spread < 0.5), vectors[:, :, -1]


@np.errstate(all="ignore")
def _form(made: Bounds, v: np.ndarray) -> np.ndarray:
    """Lower bounds of ``v.(S + c) v / v.v`` for ``v`` of shape (B, D)."""
    column = v[:, :, None]
    exact = (column, column)
    low, _ = _times(_times(_turned(exact), made), exact)
    value = 0.5 * low[:, 0, 0] / np.sum(v * v, axis=1)
    return value - 1e-12 * np.abs(value)


def certify_contraction(
    flow: Any,
    box: Shaped[Given, "D 2"],
    rate: float = 0.0,
    *,
    t: float | None = None,
    metric: Shaped[Given, "D D"] | None = None,
    budget_s: float = 20.0,
    args: PyTree = None,
) -> ContractionCertificate:
    """Whether ``lambda_max(S) <= -rate`` all over a box; of a map, whether ``|A|_2 <= e^-rate``.

    Arguments:
        flow: a dynamem flow, Diffrax terms or a `Map`; of a flow with noise the drift (two states that see the same
            noise approach, if it does not depend on the state).
        box: rows (lo, hi), finite, shape (D, 2).
        rate: ``c``; negative ones bound the growth.
        t: the time that is held, where the flow reads it.
        metric: ``P``, symmetric positive definite, shape (D, D); the identity if not given.
        budget_s: seconds of search.
        args: what the user's terms are given.

    Raises:
        InputError: an argument that cannot be used.
        UnknownPrimitive: the flow uses a primitive that has no rule for intervals.
    """
    begin = time.monotonic()
    region = np.asarray(floats("box", box), float)
    if region.ndim != 2 or region.shape[1] != 2 or not np.isfinite(region).all() or (region[:, 0] > region[:, 1]).any():
        msg = f"box.shape={region.shape!r}: need finite rows (lo, hi) with lo <= hi, shape (D, 2)"
        raise InputError(msg)
    if not np.isfinite(rate):
        msg = f"rate={rate!r}: must be finite"
        raise InputError(msg)
    left = _metric(metric, len(region))
    field = field_of(flow, t, len(region), args)
    found = _search(_Matrices(field, left, float(rate)), region, begin + budget_s)
    words = {
        "certified": f"everywhere in the box lambda_max(S) <= {-rate:.6g}",
        "broken": "at the witness neighbours part faster than claimed",
        "undecided": f"{found.open_share:.3g} of the box was not decided within {found.boxes} boxes",
    }
    return ContractionCertificate(
        found.status, words[found.status], float(rate), region, float(field.t), left, found.boxes,
        found.open_share, found.witness, found.direction, found.excess, time.monotonic() - begin,
    )  # fmt: skip


@dataclasses.dataclass
class _Found:
    """What a search ended with."""

    status: str = "undecided"
    boxes: int = 0
    open_share: float = 1.0
    witness: np.ndarray | None = None
    direction: np.ndarray | None = None
    excess: float | None = None


def _search(matrices: _Matrices, region: np.ndarray, stop: float) -> _Found:
    """Halve boxes until all are settled, one has a witness in its middle, or the time is over."""
    found, flat = _Found(), region[:, 1] == region[:, 0]
    sides = np.where(flat, 1.0, region[:, 1] - region[:, 0])
    lo, hi, thin = region[None, :, 0], region[None, :, 1], 0.0

    def share(lo: np.ndarray, hi: np.ndarray) -> float:
        return float(np.sum(np.prod(np.where(flat, 1.0, (hi - lo) / sides), axis=1)))

    while len(lo) and found.boxes < MOST_BOXES and not (found.boxes and time.monotonic() > stop):
        low, high, rest = lo[:BATCH], hi[:BATCH], (lo[BATCH:], hi[BATCH:])
        made, fine = matrices(low, high)
        settled, _ = _settled(made)
        found.boxes += len(low)
        low, high = (end[~(settled & fine)] for end in (low, high))
        middle = np.clip(0.5 * low + 0.5 * high, low, high)
        if len(middle) and _witnessed(found, matrices, middle):
            return found
        wide = np.max((high - low) / sides, axis=1) > THINNEST
        thin += share(low[~wide], high[~wide]) + TINY * np.sum(~wide)
        low, high, middle = low[wide], high[wide], middle[wide]
        left, right, rows = high.copy(), low.copy(), np.arange(len(low))
        widest = np.argmax((high - low) / sides, axis=1)
        left[rows, widest] = right[rows, widest] = middle[rows, widest]
        lo, hi = np.concatenate([rest[0], low, right]), np.concatenate([rest[1], left, high])
    found.open_share = share(lo, hi) + thin
    found.status = "certified" if not len(lo) and thin == 0 else "undecided"
    return found


def _witnessed(found: _Found, matrices: _Matrices, points: np.ndarray) -> bool:
    """Whether at one of these points the claim fails for certain."""
    made, fine = matrices(points, points)
    _, vectors = _settled(made)
    excess = np.where(fine, _form(made, vectors), -np.inf)
    best = int(np.argmax(np.nan_to_num(excess, nan=-np.inf)))
    if not excess[best] > 0:
        return False
    found.status, found.witness, found.direction = "broken", points[best], vectors[best]
    found.excess = float(excess[best])
    return True
