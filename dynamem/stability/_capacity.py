r"""Capacity: how many random patterns a memory holds, its critical load, and how that grows with the size.

Patterns of +1 and -1, D units, N patterns. The load is ``N/D^(n-1)`` for a memory with ``F = z^n`` (Krotov & Hopfield
2016, arXiv 1606.01164) and ``ln N/D`` for exponential ones (Demircigil et al. 2017, arXiv 1702.01929; Lucibello &
Mezard 2024, arXiv 2304.14964). A pattern is recalled if its cosine with what is retrieved from it (some of its signs
flipped, if asked for) reaches a stated overlap; the critical load is where half of the patterns are.

    classical, to the end, overlap 0.9   0.138 as D grows (Amit, Gutfreund & Sompolinsky 1985, Phys. Rev. Lett. 55:1530)
    one sweep, overlap 1 - 2 p           N = D^(n-1)/((2n-3)!! z_p^2) for a share p of wrong signs, with z_p the upper
                                         p-quantile of a normal law: no logarithm
    one sweep, overlap 1                 N = D^(n-1)/(2 (2n-3)!! ln D), error-free: the power n - 1 shows in N ln D

Loads of finite sizes are extrapolated by ``alpha(D) = alpha + a D^-b`` with ``b`` stated or fitted; its intervals are
about draws and not about that form. All intervals are percentiles over draws of the patterns, drawn again with
replacement (Efron 1979), since patterns of one draw are not independent.
"""

import dataclasses
import math
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from .._errors import InputError
from ._basins import silent
from ._retrievals import Retrieval
from ._sweep import Sweep


DRAWS = 1000


@dataclasses.dataclass(frozen=True)
class Capacity:
    """Recall against load.

    Attributes:
        retrieval: how patterns were retrieved.
        overlap: cosine from which a pattern counts as recalled.
        flips: share of signs flipped at the start.
        sizes: D, shape (S,).
        loads: shape (L,).
        patterns: N, shape (S, L).
        recalled: shape (S, L, T), NaN where a sweep was cut.
        tried: shape (S, L, T), NaN where a sweep was cut.
        level: of the intervals.
        seed: of the patterns and of the intervals.
    """

    retrieval: Retrieval
    overlap: float
    flips: float
    sizes: np.ndarray
    loads: np.ndarray
    patterns: np.ndarray
    recalled: np.ndarray
    tried: np.ndarray
    level: float
    seed: int

    @property
    def rate(self) -> np.ndarray:
        """The share that is recalled, shape (S, L); NaN where nothing was tried."""
        return _rate(self.recalled, self.tried)

    @property
    def critical(self) -> np.ndarray:
        """The load at which half of the patterns are recalled, interpolated; NaN if the loads hold none; shape (S,)."""
        return _crossings(self.loads, self.rate)

    def resampled(self, draws: int = DRAWS) -> np.ndarray:
        """Critical loads with the trials drawn again, shape (draws, S)."""
        random, trials = np.random.default_rng(self.seed), self.recalled.shape[2]
        found = np.full((draws, len(self.sizes)), np.nan)
        for draw in range(draws):
            some = random.integers(0, trials, (*self.recalled.shape[:2], trials))
            recalled, tried = (np.take_along_axis(one, some, axis=2) for one in (self.recalled, self.tried))
            found[draw] = _crossings(self.loads, _rate(recalled, tried))
        return found

    def interval(self) -> tuple[np.ndarray, np.ndarray]:
        """Ends of the intervals of the critical loads, shape (S,) each."""
        return _percentiles(self.resampled(), self.level)


@dataclasses.dataclass(frozen=True)
class Fit:
    """A number fitted over sizes, with its interval.

    Attributes:
        value: the load of infinite size, or the exponent.
        low: lower end.
        high: upper end.
        b: power of the correction ``a D^-b``; NaN for an exponent.
        a: its factor; for an exponent the logarithm of the factor.
        residual: root mean square of what the fit leaves, in loads (for an exponent in logarithms); 0 with as
            many sizes as numbers.
        points: number of sizes.
    """

    value: float
    low: float
    high: float
    b: float
    a: float
    residual: float
    points: int


def capacity(
    kind: str | Callable[[Any], Callable[[Any], Any]],
    sizes: Any,
    loads: Any,
    *,
    n: int = 2,
    beta: float = 1.0,
    sweeps: int = 50,
    blocks: int = 1,
    overlap: float = 0.9,
    flips: float = 0.0,
    trials: int = 8,
    probes: int = 128,
    load: str | None = None,
    level: float = 0.95,
    seed: int = 0,
    store: str | Path | None = None,
    tell: Callable[[str], None] = silent,
) -> Capacity:
    """Recall of random patterns against load, at zero temperature.

    Arguments:
        kind: "power", "rectified", "exponential", "log_sum_exp" (see `Retrieval`), or a function from patterns (N, D)
            to an update of a state (D,), as ``lambda xi: dm.LogSumExp(xi, 1.0).update``.
        sizes: D, whole numbers (S,).
        loads: increasing (L,).
        n: the power; "power" with 2 is the classical network.
        beta: of "log_sum_exp".
        sweeps: at most; 1 asks about the first update only.
        blocks: 1 updates in parallel, D one unit after the other, others so many blocks in turn.
        overlap: cosine from which a pattern is recalled; 1 means that no sign is wrong.
        flips: share of signs that are flipped at the start, rounded to whole units, at random places.
        trials: independent draws of the patterns.
        probes: patterns tried in each draw, at most.
        load: "power" (``N/D^(n-1)``) or "log" (``ln N/D``); by default that of the kind, "power" for a function.
        level: of the intervals.
        seed: of everything random; a trial's patterns depend on seed, D, N and the trial alone.
        store: a file by which the sweep resumes after a kill.
        tell: takes a sentence on progress.

    Raises:
        InputError: an argument that cannot be used, or a store of another sweep.
    """
    retrieval = Retrieval(kind, n, beta, sweeps, blocks)
    load = load or ("log" if kind in ("exponential", "log_sum_exp") else "power")
    units, steps = np.asarray(sizes, int), np.asarray(loads, float)
    _require(units, steps, overlap, flips, trials, probes, load, level)
    patterns = np.asarray([[_count(load, n, int(size), float(one)) for one in steps] for size in units])
    settings = {
        "kind": _name_of(kind, store), "n": n, "beta": beta,
        "sweeps": sweeps, "blocks": blocks, "overlap": overlap, "flips": flips, "probes": probes, "seed": seed,
    }  # fmt: skip
    points = [
        {"size": int(size), "patterns": int(count), "trial": trial}
        for size, row in zip(units, patterns, strict=True) for count in row for trial in range(trials)
    ]  # fmt: skip
    once = partial(recall_once, retrieval, overlap=overlap, flips=flips, probes=probes, seed=seed)
    done = Sweep("capacity", settings, store, tell).run(once, points).done
    flat = np.full((len(points), 2), np.nan)
    for row, (point, result) in zip(flat, done, strict=False):
        if not {"recalled", "tried"} <= result.keys():
            msg = f"store={str(store)!r} is damaged: the result of {point} has no 'recalled' and 'tried'; remove it"
            raise InputError(msg)
        row[:] = result["recalled"], result["tried"]
    recalled, tried = flat.T.reshape(2, len(units), len(steps), trials)
    return Capacity(retrieval, overlap, flips, units, steps, patterns, recalled, tried, level, seed)


def _name_of(kind: Any, store: Any) -> str:
    """What tells a store of one memory from that of another."""
    if isinstance(kind, str):
        return kind
    name = f"{getattr(kind, '__module__', '')}.{getattr(kind, '__qualname__', '')}"
    if store is not None and ("<" in name or name.endswith(".")):
        msg = (
            f"kind={kind!r:.60}, store={str(store)!r}: a store knows a memory by its name, give a function of a module"
        )
        raise InputError(msg)
    return name


def recall_once(
    retrieval: Retrieval, point: dict[str, Any], *, overlap: float, flips: float, probes: int, seed: int
) -> dict[str, Any]:
    """One draw of patterns: how many of the first ``probes`` are recalled, and their mean overlap."""
    size, count = point["size"], point["patterns"]
    random = np.random.default_rng([seed, size, count, point["trial"]])
    xi = np.where(random.integers(0, 2, (count, size), np.int8) > 0, 1, -1).astype(retrieval.dtype(size, count))
    cues = xi[:probes].copy()
    turned = round(flips * size)
    for cue in cues if turned else ():
        cue[random.choice(size, turned, replace=False)] *= -1
    x = np.asarray(retrieval(xi, cues), float)
    cosines = np.sum(x * xi[:probes], axis=1) / np.maximum(np.linalg.norm(x, axis=1) * math.sqrt(size), 1e-300)
    recalled = int(np.sum(cosines >= overlap - 1e-9))
    return {"recalled": recalled, "tried": len(cues), "overlap": float(np.mean(cosines))}


def finite_size(found: Capacity, b: float | None = 0.5) -> Fit:
    """The critical load of infinite size, ``alpha`` in ``alpha(D) = alpha + a D^-b`` (least squares over the sizes).

    Arguments:
        found: with at least 2 sizes whose critical load is known, 3 to fit ``b``.
        b: the power of the correction; None fits it, between 0.1 and 3.

    Raises:
        InputError: there are too few sizes.
    """
    powers = np.geomspace(0.1, 3, 60) if b is None else np.asarray([b])
    sizes, loads, again = _known(found, 3 if b is None else 2)

    def fit(values: np.ndarray) -> np.ndarray:
        tried = np.asarray([(*_line_fit(sizes**-power, values), np.full(len(values), power)) for power in powers])
        return tried[np.argmin(tried[:, 2], axis=0), :, np.arange(len(values))]

    value, a, residual, power = fit(loads[None])[0].tolist()
    low, high = _percentiles(fit(again)[:, 0], found.level)
    return Fit(value, float(low), float(high), power, a, residual, len(sizes))


def exponent(found: Capacity, *, log: bool = False) -> Fit:
    """How the critical number of patterns grows: the slope of ``ln N`` against ``ln D``, or of ``ln(N ln D)``.

    Arguments:
        found: with loads that are powers, and at least 2 sizes whose critical load is known.
        log: take ``ln(N ln D)``, for the error-free criterion, whose number has ``1/ln D`` as a factor.

    Raises:
        InputError: there are too few sizes.
    """
    sizes, loads, again = _known(found, 2)
    more = (found.retrieval.n - 1) * np.log(sizes) + (np.log(np.log(sizes)) if log else 0.0)

    def fit(values: np.ndarray) -> list[np.ndarray]:
        return list(_line_fit(np.log(sizes), np.log(values) + more[None, :]))

    a, value, residual = (one.item() for one in fit(loads[None]))
    low, high = _percentiles(fit(again)[1], found.level)
    return Fit(value, float(low), float(high), float("nan"), a, residual, len(sizes))


def _known(found: Capacity, least: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Sizes, critical loads, and resampled ones, where they are known."""
    critical, again = found.critical, found.resampled()
    good = np.isfinite(critical)
    if good.sum() < least:
        msg = f"found: {int(good.sum())} sizes have half of the patterns recalled within the loads, need {least}"
        raise InputError(msg)
    again = again[:, good]
    return found.sizes[good].astype(float), critical[good], again[np.all(np.isfinite(again), axis=1)]


def _line_fit(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Intercepts, slopes and root mean squares of the rest for rows ``y`` (n, S) over ``x`` (S,), shape (n,) each."""
    away = x - x.mean()
    slopes = y @ away / (away @ away)
    starts = y.mean(axis=1) - slopes * x.mean()
    rest = y - starts[:, None] - slopes[:, None] * x[None, :]
    return starts, slopes, np.sqrt(np.mean(rest**2, axis=1))


def _percentiles(draws: np.ndarray, level: float) -> tuple[np.ndarray, np.ndarray]:
    """Of the draws along the first axis; NaN unless nine in ten are known."""
    tails = (0.5 - level / 2, 0.5 + level / 2)
    if not len(draws):
        return np.full(draws.shape[1:], np.nan), np.full(draws.shape[1:], np.nan)
    good = np.mean(np.isfinite(draws), axis=0) >= 0.9
    filled = np.where(good, draws, 0.0)
    low, high = np.nanquantile(filled, tails, axis=0)
    return np.where(good, low, np.nan), np.where(good, high, np.nan)


def _rate(recalled: np.ndarray, tried: np.ndarray) -> np.ndarray:
    counts, total = np.nansum(recalled, axis=2), np.nansum(tried, axis=2)
    return np.divide(counts, total, where=total > 0, out=np.full(total.shape, np.nan))


def _crossings(loads: np.ndarray, rate: np.ndarray) -> np.ndarray:
    """For rows (n, L) the first load at which the share falls below 1/2, between it and the last known one before.

    NaN where there is no such pair.
    """
    places, rows = np.arange(len(loads)), np.arange(len(rate))
    below = rate < 0.5
    first = np.argmax(below, axis=1)
    before = np.max(np.where(np.isfinite(rate) & (places[None, :] < first[:, None]), places[None, :], -1), axis=1)
    good = below.any(axis=1) & (before >= 0)
    high, low = rate[rows, before], rate[rows, first]
    part = np.divide(high - 0.5, high - low, where=good, out=np.full(len(rate), np.nan))
    return loads[before] + part * (loads[first] - loads[before])


def _count(load: str, n: int, size: int, value: float) -> int:
    return max(1, round(math.exp(value * size) if load == "log" else value * float(size) ** (n - 1)))


def _require(
    sizes: np.ndarray,
    loads: np.ndarray,
    overlap: float,
    flips: float,
    trials: int,
    probes: int,
    load: str,
    level: float,
) -> None:
    if sizes.ndim != 1 or not len(sizes) or np.any(sizes < 2):
        msg = f"sizes={sizes.tolist()!r}: need numbers of units, at least 2 each"
        raise InputError(msg)
    if loads.ndim != 1 or not len(loads) or not np.all(loads > 0) or np.any(np.diff(loads) <= 0):
        msg = f"loads={loads.tolist()!r}: need positive loads in increasing order"
        raise InputError(msg)
    if not (0 < overlap <= 1 and 0 <= flips < 0.5 and trials >= 1 and probes >= 1 and 0 < level < 1):
        msg = (
            f"overlap={overlap!r}, flips={flips!r}, trials={trials!r}, probes={probes!r}, level={level!r}: need an "
            "overlap up to 1, fewer than half of the signs flipped, whole numbers >= 1, and a level between 0 and 1"
        )
        raise InputError(msg)
    if load not in ("power", "log"):
        msg = f"load={load!r}: choose 'power' or 'log'"
        raise InputError(msg)
