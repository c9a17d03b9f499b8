r"""Intervals over runs of neighbours: sums, extrema, products of matrices, log-sum-exp and softmax.

Softmax as a quotient of intervals knows nothing of the sum being one. Its bounds are those of

    w_i = 1 / (1 + sum_{j != i} exp(a_j - a_i)),

which falls in every ``a_j`` and rises in ``a_i``: attained at corners of the box, hence tight.
"""

from typing import Any

import numpy as np

from . import _interval as basic
from ._interval import EPS, TINY, Interval, down, flagged, hull_of_products, marks, sealed, up
from ._interval_functions import RULES as FUNCTIONS
from ._program import Node


WIDE, DEEPEST = 300.0, 750.0
"""Softmax of arguments whose largest ends are further apart is not bounded; how far below 0 exponents still count."""
DENSE, FEW, NARROW = 2_000_000, 256, 1e-10
"""Products of matrices are bounded term by term if there are few enough; against a constant, fewer than these."""


def _rows(array: np.ndarray, size: int) -> np.ndarray:
    return array.reshape(array.shape[0], -1, size)


def _marked(x: Interval, size: int, *, spread: bool = False) -> tuple[Any, Any]:
    """Marks of runs: a run is fine if all its entries are."""
    ok = None if x.ok is None else _rows(x.ok, size).all(axis=2)
    bad = None if x.bad is None else _rows(x.bad, size).any(axis=2)
    if spread:
        ok, bad = (None if mark is None else np.repeat(mark, size, axis=1) for mark in (ok, bad))
    return ok, bad


def _summed(lo: np.ndarray, hi: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sums over the last axis."""
    units = (lo.shape[-1] + 1) * EPS
    with np.errstate(invalid="ignore"):
        low = lo.sum(axis=-1) - units * np.abs(lo).sum(axis=-1)
        high = hi.sum(axis=-1) + units * np.abs(hi).sum(axis=-1)
    return low, high


def total(node: Any, x: Interval) -> Interval:
    """Sum of each run."""
    lo, hi = _summed(_rows(x.lo, node.data[0]), _rows(x.hi, node.data[0]))
    made = sealed(lo, hi)
    made.ok, made.bad = _marked(x, node.data[0])
    return made


def product(node: Any, x: Interval) -> Interval:
    """Product of each run."""
    lo, hi = _rows(x.lo, node.data[0]), _rows(x.hi, node.data[0])
    low, high = lo[..., 0], hi[..., 0]
    for place in range(1, node.data[0]):
        low, high = hull_of_products(low, high, lo[..., place], hi[..., place])
    made = sealed(low, high)
    made.ok, made.bad = _marked(x, node.data[0])
    return made


def extremum(which: Any) -> Any:
    """Least or greatest of each run, exact."""

    def rule(node: Any, x: Interval) -> Interval:
        size = node.data[0]
        return Interval(which(_rows(x.lo, size), axis=2), which(_rows(x.hi, size), axis=2), *_marked(x, size))

    return rule


def ordered(node: Any, x: Interval) -> Interval:
    """Each run in rising order: the k-th smallest rises in every entry."""
    size, shape = node.data[0], x.lo.shape
    ends = (np.sort(_rows(end, size), axis=2).reshape(shape) for end in (x.lo, x.hi))
    return Interval(*ends, *_marked(x, size, spread=True))


def lse(node: Any, x: Interval) -> Interval:
    """``log sum exp`` of each run: it rises in every entry."""
    size = node.data[0]
    lo, hi = _lse(_rows(x.lo, size), -1.0), _lse(_rows(x.hi, size), 1.0)
    made = sealed(lo, hi)
    made.ok, made.bad = _marked(x, size)
    return made


def _lse(a: np.ndarray, side: float) -> np.ndarray:
    top = a.max(axis=2)
    with np.errstate(invalid="ignore"):
        rest = np.log(np.exp(a - top[..., None]).sum(axis=2))
        return top + rest + side * EPS * (2 * np.abs(top) + 4 * np.abs(rest) + 2 * a.shape[2] + 32)


def softmax(node: Any, x: Interval) -> Interval:
    """``exp(a_i) / sum exp(a)`` within each run."""
    size, shape = node.data[0], x.lo.shape
    ends = [_rows(end, size) for end in ((x.lo,) if x.thin else (x.lo, x.hi))]
    tops = [end.max(axis=2, keepdims=True) for end in ends]
    with np.errstate(invalid="ignore", over="ignore"):
        below = [end - top for end, top in zip(ends, tops, strict=True)]
        gap = np.minimum(tops[-1] - tops[0], WIDE)
        parts = [np.exp(end) for end in below]
        low = _share(below[0], parts[0], parts[-1], gap, 1.0)
        high = _share(below[-1], parts[-1], parts[0], -gap, -1.0)
    hopeless = ~(tops[-1] - tops[0] <= WIDE)
    if np.any(hopeless):
        low, high = np.where(hopeless, 0.0, low), np.where(hopeless, 1.0, high)
    made = Interval(low.reshape(shape), high.reshape(shape))
    made.ok, made.bad = _marked(x, size, spread=True)
    return made


def _share(below: np.ndarray, own: np.ndarray, other: np.ndarray, gap: np.ndarray, side: float) -> np.ndarray:
    """``w_i = own_i / (own_i + e^gap sum_{j != i} other_j)`` from below (side 1) or above (side -1), ``own = e^below``.

    Exponents are differences, right to eps/2 of them, and none but the gap is above 0. So ``own`` is right to
    (|below|/2 + 4) eps where it is not below 1e-307, and the sum, whose largest term is 1, to 2 N + 8 eps. The rest
    costs less than TINY over the denominator, which is at least e^-|gap| where it is not ``own``.
    """
    loose = (2.0 * own.shape[2] + 32.0) * EPS
    rest = other.sum(axis=2, keepdims=True) * (1.0 + side * loose) - other
    if side < 0:
        np.maximum(rest, 0.0, out=rest)
    rest *= np.exp(gap) * (1.0 + side * (loose + 2.0 * np.abs(gap) * EPS))
    rest += own
    share = np.divide(own, rest, out=np.ones_like(rest), where=rest > 0)
    share *= 1.0 - side * (loose + 2.0 * EPS * np.minimum(-below, DEEPEST))
    share -= side * TINY * np.exp(np.abs(gap))
    return np.maximum(share, 0.0, out=share) if side > 0 else np.minimum(share, 1.0, out=share)


def gibbs(node: Any, k: Interval, x: Interval, c: Interval, g: Interval) -> Interval:
    r"""``softmax(g (K x + c))`` without what all its entries share, where ``K`` and ``c`` are fixed.

    With ``u`` the middle of the box and ``K_0`` the mean of the rows in the weights at ``u``, they are the weights of

        g (K_i u + c_i + (K_i - K_0) (x - u)),      |(K_i - K_0) (x - u)| <= sum_j |K_ij - K_0j| |x_j - u_j|.
    """
    n, width = node.data
    if len(k.lo) > 1 or len(c.lo) > 1 or any(mark is not None for mark in marks(k, x, c, g)):
        z = basic.add(node, dot(Node("dot", (), n, (1, n, width, 1)), k, x), c)
        return softmax(Node("softmax", (), n, (n,)), basic.mul(node, g, z))
    rows, low, high = 0.5 * (k.lo + k.hi).reshape(n, width), x.lo, x.hi
    offset, middle = 0.5 * (c.lo + c.hi), 0.5 * (low + high)
    radius = up(np.maximum(high - middle, middle - low))
    reach = np.abs(middle) + radius
    size = reach @ np.abs(rows).max(axis=0) + np.abs(offset).max()  # what is rounded is at most this
    loose = reach @ up(k.hi - k.lo).reshape(n, width).max(axis=0) + up(c.hi - c.lo).max()
    level = middle @ rows.T + offset
    level -= level.max(axis=1, keepdims=True)
    weights = np.exp(0.5 * (g.lo + g.hi) * level)
    mean = (weights @ rows) / weights.sum(axis=1, keepdims=True)
    spread = np.repeat(((4.0 * width + 16.0) * EPS * size + loose + TINY)[:, None], n, axis=1)
    for axis in range(width):
        spread += np.abs(rows[:, axis] - mean[:, axis, None]) * radius[:, axis, None]
    spread *= 1.0 + (width + 8.0) * EPS
    z = sealed(down(level - spread), up(level + spread))
    return softmax(Node("softmax", (), n, (n,)), basic.mul(node, g, z))


def dot(node: Any, x: Interval, y: Interval) -> Interval:
    """Products of matrices, term by term where there are few, by midpoint and radius where there are many."""
    b, m, k, n = node.data
    boxes = max(x.lo.shape[0], y.lo.shape[0])
    left = [end.reshape(end.shape[0], b, m, k) for end in (x.lo, x.hi)]
    right = [end.reshape(end.shape[0], b, k, n) for end in (y.lo, y.hi)]
    constant = b * m * k * n >= FEW and (_narrow(x) or _narrow(y))
    if boxes * b * m * k * n <= DENSE and not constant:
        ends = (*(end[:, :, :, None, :] for end in left), *(end.swapaxes(2, 3)[:, :, None] for end in right))
        if x.thin:
            ends = (ends[0], ends[0], *ends[2:])
        if y.thin:
            ends = (*ends[:2], ends[2], ends[2])
        lo, hi = _summed(*hull_of_products(*ends))
    else:
        lo, hi = _midpoint(left, right, k)
    made = sealed(lo.reshape(lo.shape[0], -1), hi.reshape(hi.shape[0], -1))
    for arg, shape, axis in ((x, (b, m, k), 3), (y, (b, k, n), 2)):
        _mark_products(made, arg, shape, axis, (b, m, n))
    return made


def _narrow(x: Interval) -> bool:
    """Whether it is one set of numbers for all boxes, up to rounding: then midpoint and radius lose nothing."""
    return x.thin or (len(x.lo) == 1 and bool(np.all(x.hi - x.lo <= NARROW * np.max(np.abs(x.lo), initial=0.0))))


def _mark_products(made: Interval, arg: Interval, shape: tuple, axis: int, result: tuple) -> None:
    if arg.ok is None and arg.bad is None:
        return

    def spread(mark: np.ndarray) -> np.ndarray:
        rows = mark.shape[0]
        met = np.expand_dims(mark.reshape(rows, *shape).any(axis=axis), 3 if axis == 3 else 2)
        return np.broadcast_to(met, (rows, *result)).reshape(rows, -1)

    none = np.zeros((1, made.lo.shape[1]), bool)
    flagged(made, none if arg.ok is None else spread(~arg.ok), none if arg.bad is None else spread(arg.bad))


def _midpoint(left: list[np.ndarray], right: list[np.ndarray], k: int) -> tuple[np.ndarray, np.ndarray]:
    """Rump's midpoint-radius product; the radius also pays for all rounding."""
    centres, radii = [], []
    for lo, hi in (left, right):
        centre = lo if lo is hi else 0.5 * lo + 0.5 * hi
        radius = np.zeros_like(lo) if lo is hi else up(np.maximum(hi - centre, centre - lo), 2.0) + TINY
        centres.append(centre)
        radii.append(radius)
    units = (2 * k + 16) * EPS
    sizes = [np.abs(centre) for centre in centres]
    middle = _matmul(centres[0], centres[1])
    spread = _matmul(sizes[0], radii[1] + units * sizes[1])
    if np.any(radii[0]):
        spread = spread + _matmul(radii[0], sizes[1] + radii[1])
    spread = np.where(np.isfinite(middle), spread * (1 + units) + (k + 1) * TINY, np.inf)
    return middle - spread, middle + spread


def _matmul(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Products for each box; one large product where a side is the same for all boxes."""
    if left.shape[1] == 1 and len(left) == 1 < len(right):
        boxes, _, k, n = right.shape
        made = right[:, 0].swapaxes(1, 2).reshape(boxes * n, k) @ left[0, 0].T
        return made.reshape(boxes, 1, n, -1).swapaxes(2, 3)
    if left.shape[1] == 1 and len(right) == 1 < len(left):
        boxes, _, m, k = left.shape
        return (left.reshape(boxes * m, k) @ right[0, 0]).reshape(boxes, 1, m, -1)
    return left @ right


INTERVAL = FUNCTIONS | {
    "const": basic.const, "take": basic.take, "neg": basic.neg, "add": basic.add, "sub": basic.sub, "mul": basic.mul,
    "div": basic.div, "powi": basic.powi, "abs": basic.absolute, "min": basic.least, "max": basic.greatest,
    "sign": basic.sign, "floor": basic.floor, "lt": basic.lt, "le": basic.le, "eq": basic.eq, "and": basic.both,
    "or": basic.either, "not": basic.negated, "select": basic.select,
    "sum": total, "prod": product, "least": extremum(np.min), "most": extremum(np.max), "sort": ordered, "lse": lse,
    "softmax": softmax, "dot": dot, "gibbs": gibbs,
}  # fmt: skip
"""Rules of the interval domain."""
