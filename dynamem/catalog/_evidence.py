"""From one energy along many runs to the fields of a row: verdict, counts, witness and attribution.

Memories, systems of the user's, probability flows and reverse SDEs share these, so that a field means the same in all
rows; `_rows` says what.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from ..lyapunov import MeanTest, Rises, mean_test
from ._rows import PARTS, fraction, listed


@dataclasses.dataclass(frozen=True)
class Course:
    """One energy along the runs of one solver, on its own clock.

    Attributes:
        times: of all steps, shape (B, n).
        lam: the same times as ``lam``, shape (B, n), None where there is no noise level.
        state: ``(path, step) -> `` the state there, shape (D,).
        rises: what the energy did.
        ok: which solves ended well, shape (B,).
    """

    times: np.ndarray
    lam: np.ndarray | None
    state: Callable[[int, int], Any]
    rises: Rises
    ok: np.ndarray

    def failure(self) -> dict[str, Any] | None:
        """Why there is no verdict, None if there is one."""
        if not self.ok.all():
            return {"reason": f"{int((~self.ok).sum())} of {self.ok.size} solves failed or left the finite numbers"}
        return {"reason": "the energy is NaN or infinite on the way"} if self.rises.undefined else None

    def first(self, rising: np.ndarray) -> dict[str, float | None] | None:
        """Where the earliest step begins that rises, of ``rising`` (B, n - 1) or (n - 1,)."""
        return first_of(self.times[:, :-1], None if self.lam is None else self.lam[:, :-1], rising)


class Rise(NamedTuple):
    """A rise that waits for its attribution: ``share`` times the changes of (path, step) pairs adds up to it."""

    row: dict[str, Any]
    energy: int
    paths: np.ndarray
    steps: np.ndarray
    share: float
    martingale: float


def first_of(times: np.ndarray, lam: np.ndarray | None, rising: np.ndarray) -> dict[str, float | None] | None:
    """The earliest time, on its clock and as ``lam``, where ``rising`` holds; None if nowhere."""
    if not rising.any():
        return None
    place = np.unravel_index(int(np.argmin(np.where(rising, times, np.inf))), times.shape)
    return {"clock": float(times[place]), "lam": None if lam is None else float(lam[place])}


def pathwise(course: Course) -> dict[str, Any]:
    """Fields of 'no step raises the energy', all but the attribution."""
    failure, rises = course.failure(), course.rises
    if failure is not None:
        return failure
    count, pairs, place = int(rises.rising.sum()), int(rises.valid.sum()), rises.largest()
    found = {"tolerance": rises.tolerance, "rises": count, "rise_fraction": fraction(count, pairs)}
    if place is None:
        return found | {"verdict": "holds", "reason": f"no rise in {pairs} steps", "largest_rise": 0.0}
    change = float(rises.change[place])
    return found | {
        "verdict": "broken",
        "reason": f"{count} of {pairs} steps rise",
        "largest_rise": change,
        "first_rise": course.first(rises.rising),
        "witness": {"kind": "step", "state": place[0], "step": place[1], **_ends(course, *place), "change": change},
    }


def _ends(course: Course, b: int, k: int) -> dict[str, Any]:
    times = course.times[b]
    start, end = {"t0": float(times[k]), "x0": listed(course.state(b, k))}, listed(course.state(b, k + 1))
    return start | {"t1": float(times[k + 1]), "x1": end}


def step_rise(made: dict[str, Any], energy: int, martingale: np.ndarray | None) -> list[Rise]:
    """What a row of `pathwise` leaves to attribute; ``martingale`` (B, n - 1) of an SDE."""
    if made["verdict"] != "broken":
        return []
    b, k = made["witness"]["state"], made["witness"]["step"]
    noise = 0.0 if martingale is None else float(martingale[b, k])
    return [Rise(made, energy, np.asarray([b]), np.asarray([k]), 1.0, noise)]


def in_mean(course: Course, martingale: np.ndarray) -> dict[str, Any]:
    """Fields of 'no step raises the energy in the mean over paths', all but the attribution."""
    failure, rises = course.failure(), course.rises
    if failure is not None:
        return failure
    test = tested(rises.change, martingale, rises.bound)
    if test.status == "failed":
        return {"reason": "the martingale part of the energy is NaN or infinite on the way"}
    surely = int(test.rising.sum())
    detail = {"broken": f"{surely} surely rise", "holds": "none rises"}.get(test.status, f"{test.open} stay open")
    found = {
        "verdict": test.status,
        "reason": f"mean change of {test.mean.size} steps over {test.paths} paths at joint confidence 0.999: {detail}",
        "tolerance": float(test.bound.max()),
        "rises": surely,
        "rise_fraction": fraction(surely, test.mean.size),
        "largest_rise": 0.0,
    }
    if not surely:
        return found
    worst = int(np.argmax(np.where(test.rising, test.mean, -np.inf)))
    times = {"t0": float(course.times[0, worst]), "t1": float(course.times[0, worst + 1])}
    paths = (rises.change[:, worst], martingale[:, worst])
    return found | {
        "largest_rise": float(test.mean[worst]),
        "first_rise": course.first(test.rising),
        "witness": mean_witness(test, worst, paths) | {"step": worst} | times,
    }


def tested(change: np.ndarray, martingale: np.ndarray, bound: np.ndarray) -> MeanTest:
    """`mean_test`; an infinite spread, of changes whose squares overflow, decides nothing and needs no warning."""
    with np.errstate(over="ignore"):
        return mean_test(change, martingale, bound)


def mean_witness(test: MeanTest, column: int, paths: tuple[np.ndarray, np.ndarray]) -> dict[str, Any]:
    """One column of a test with its inputs: changes and martingale parts, each (B,)."""
    return {
        "kind": "mean",
        "step": None,
        "paths": test.paths,
        "steps": int(test.mean.size),
        "error": test.error,
        "mean": float(test.mean[column]),
        "low": float(test.low[column]),
        "high": float(test.high[column]),
        "changes": listed(paths[0]),
        "martingale": listed(paths[1]),
    }


def mean_rise(made: dict[str, Any], energy: int, inside: np.ndarray | None = None) -> list[Rise]:
    """What a row in mean leaves to attribute: all paths of its step, or the pairs ``inside`` (B, n - 1)."""
    if made["verdict"] != "broken":
        return []
    count = made["witness"]["paths"]
    paths, steps = (np.arange(count), np.full(count, made["witness"]["step"])) if inside is None else np.nonzero(inside)
    return [Rise(made, energy, paths, steps, 1 / count, 0.0)]


def places(rises: list[Rise]) -> tuple[np.ndarray, np.ndarray]:
    """Paths and steps of all rises in their order, each (P,)."""
    none = np.zeros(0, int)
    return np.concatenate([none, *(one.paths for one in rises)]), np.concatenate([none, *(one.steps for one in rises)])


def attribute_all(rises: list[Rise], parts: Any) -> None:
    """Fill in the attribution of rows; ``parts``: a `Rate` of their steps' changes, in the order of `places`."""
    begin = 0
    for one in rises:
        end = begin + one.paths.size
        known = {name: one.share * float(getattr(parts, name)[begin:end, one.energy].sum()) for name in PARTS[:4]}
        known["martingale"] = one.martingale
        one.row["attribution"] = known | {"discretisation": one.row["largest_rise"] - sum(known.values())}
        begin = end


def rates(times: np.ndarray, lam: np.ndarray | None, state: Callable, rate: Any, bound: np.ndarray) -> dict[str, Any]:
    """Fields of 'the rate is never positive' from rates at points.

    Arguments:
        times: of the points on the row's clock, shape (B, n).
        lam: the same times as ``lam``, None where there is no noise level.
        state: ``(b, k) ->`` the state there, shape (D,).
        rate: a `Rate` with leaves (B, n), per unit of the clock.
        bound: rounding of its total, shape (B, n).
    """
    total = rate.total
    if not np.all(np.isfinite(total) & np.isfinite(bound)):  # a NaN energy can have a finite rate, but no bound
        return {"reason": "the rate is NaN or infinite at a probed state"}
    rising = total > bound
    count = int(rising.sum())
    found = {
        "verdict": "broken" if count else "holds",
        "reason": f"the rate is positive at {count} of {total.size} states",
        "tolerance": float(bound.max()),
        "rises": count,
        "rise_fraction": fraction(count, total.size),
        "largest_rise": 0.0,
    }
    if not count:
        return found
    b, k = (int(i) for i in np.unravel_index(int(np.argmax(np.where(rising, total, -np.inf))), total.shape))
    return found | {"first_rise": first_of(times, lam, rising)} | worst_rate(times[b, k], state(b, k), _at(rate, b, k))


def _at(rate: Any, b: int, k: int) -> dict[str, float]:
    return {name: float(getattr(rate, name)[b, k]) for name in ("total", *PARTS[:4])}


def worst_rate(t0: float, x0: Any, rate: dict[str, float]) -> dict[str, Any]:
    """The largest rate, its witness and its parts; no solver is involved, so that there is no discretisation."""
    parts = {name: rate[name] for name in PARTS[:4]} | {"martingale": 0.0, "discretisation": 0.0}
    witness = {"kind": "rate", "t0": float(t0), "x0": listed(x0), "change": rate["total"]}
    return {"largest_rise": rate["total"], "witness": witness, "attribution": parts}
