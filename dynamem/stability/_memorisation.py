r"""From memorising to generalising as data grow (Pham, Raya, Negri, Zaki, Ambrogioni & Krotov 2025, arXiv 2505.21777).

A sample is, by the distances to the nearest training datum and to the nearest other sample,

    memorised    d_train <= delta_m,
    spurious     d_train >  delta_m  and  d_sample <= delta_s     (an attractor of several samples that is no datum),
    generalised  otherwise.

The exact denoiser of K data, run to the end, ends at data whatever K. At a level ``s > 0`` its landscape
``-2 s^2 log sum exp(-|x - xi|^2/2 s^2)`` has minima that are no data: for two patterns ``-+m`` the midpoint alone, iff
``s >= m``. So runs stop at ``s_end`` and then take ``settle`` steps ``y <- m(y, s_end)``: one is DDIM's last step, many
find the minima. Distances are matrix products, in chunks.
"""

import dataclasses
import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray, Scalar, Shaped

from .._errors import InputError
from .._types import Given
from .._validate import floats, require_patterns, require_positive
from ..catalog import wilson
from ..diffusion import EDM, AbstractDenoiser, AbstractSchedule, DiffusionPath, Empirical
from ..flows import ProbabilityFlow
from ..solvers import DDIM, scan_solve
from ._critical_time import LEVEL, CriticalTime, critical_time


KINDS = ("memorised", "spurious", "generalised")
CHUNK = 1024
SOURCE = "Pham et al. 2025, arXiv 2505.21777"


@dataclasses.dataclass(frozen=True)
class Kinds:
    """What samples are.

    Attributes:
        kind: index into ``KINDS`` of each sample, shape (B,).
        to_train: distance to the nearest training datum, shape (B,).
        to_sample: distance to the nearest other sample, infinity where there is none, shape (B,).
    """

    kind: Int[np.ndarray, " B"]
    to_train: Float[np.ndarray, " B"]
    to_sample: Float[np.ndarray, " B"]

    @property
    def counts(self) -> dict[str, int]:
        """Samples of each kind."""
        return {name: int(np.sum(self.kind == k)) for k, name in enumerate(KINDS)}


@dataclasses.dataclass(frozen=True)
class Sampling:
    """How samples are made and judged; all of it belongs to a figure that is quoted.

    Attributes:
        delta_m: a sample is memorised within this distance of a training datum. It has to be well below the distance
            between data, or new samples of their law count as memorised.
        delta_s: one that is not is spurious within this distance of another sample. It has to be well below the
            distance at which that many samples of the data's law would lie, or they count as spurious.
        s_start: level at which runs begin, as ``mean + s z``.
        s_end: level at which they end.
        samples: how many.
        steps: of DDIM, uniform in ``lam``.
        settle: steps ``y <- m(y, s_end)`` after that: 1 is DDIM's step to ``s = 0``, 0 none, many find a minimum.
        seed: of the order of the data and of the noise, which is the same for all sizes.
    """

    delta_m: float
    delta_s: float
    s_start: float
    s_end: float
    samples: int = 256
    steps: int = 20
    settle: int = 1
    seed: int = 0


@dataclasses.dataclass(frozen=True)
class Memorisation:
    """Shares of the three kinds of samples against the number of training data.

    Attributes:
        rows: one dict of plain numbers for each size, as of `memorisation_at`.
    """

    rows: tuple[dict[str, Any], ...]

    def shares(self, kind: str) -> Float[np.ndarray, "3 S"]:
        """Shares of one of ``KINDS`` with the ends of their Wilson 95 % intervals: rows share, low, high."""
        if kind not in KINDS:
            msg = f"kind={kind!r}: choose one of {KINDS}"
            raise InputError(msg)
        return np.array([[row[f"{kind}_{part}"] for row in self.rows] for part in ("share", "low", "high")], float)


@jax.jit
def _nearest(x: Float[Array, "B D"], xi: Float[Array, "N D"], own: Int[Array, " B"]) -> Float[Array, " B"]:
    """Squared distance to the nearest row of ``xi``, the row ``own`` left out."""
    squares = jnp.sum(x * x, axis=1)[:, None] + jnp.sum(xi * xi, axis=1)[None, :] - 2 * (x @ xi.T)
    return jnp.min(jnp.where(own[:, None] == jnp.arange(xi.shape[0])[None, :], jnp.inf, squares), axis=1)


def nearest_distances(
    x: Shaped[Given, "B D"], xi: Shaped[Given, "N K"], *, others: bool = False
) -> Float[np.ndarray, " B"]:
    """Distance from each row of ``x`` to the nearest row of ``xi``, as matrix products, shape (B,).

    Both are centred first; what is left of rounding is some 1e-8 of their spread.

    Arguments:
        x: shape (B, D).
        xi: shape (N, D).
        others: whether row i of ``x`` is row i of ``xi`` and not to be compared with itself; the distance is infinite
            where nothing else is.

    Raises:
        InputError: arrays that are no patterns, or of different widths.
    """
    states, rows = (floats(name, one).astype(jnp.result_type(float)) for name, one in (("x", x), ("xi", xi)))
    require_patterns("x", states)
    require_patterns("xi", rows)
    if states.shape[1] != rows.shape[1]:
        msg = f"x.shape={states.shape!r}, xi.shape={rows.shape!r}: need rows of one length"
        raise InputError(msg)
    centre = jnp.mean(rows, axis=0)[None]
    states, rows = states - centre, rows - centre
    count, size, found = len(states), min(len(states), CHUNK), []
    for first in range(0, count, size):
        index = jnp.arange(first, first + size) % count
        found.append(_nearest(states[index], rows, index if others else jnp.full_like(index, -1)))
    return np.sqrt(np.maximum(np.asarray(jnp.concatenate(found))[:count], 0))


def classify_samples(
    samples: Shaped[Given, "B D"], train: Shaped[Given, "N K"], *, delta_m: float, delta_s: float
) -> Kinds:
    """Memorised, spurious or generalised: what each sample is, by two distances.

    Arguments:
        samples: shape (B, D).
        train: the training data, shape (N, D).
        delta_m: see `Sampling`.
        delta_s: see `Sampling`.

    Raises:
        InputError: distances that are not positive, arrays that do not fit or hold NaN.
    """
    require_positive("delta_m", delta_m, scalar=True)
    require_positive("delta_s", delta_s, scalar=True)
    to_train, to_sample = nearest_distances(samples, train), nearest_distances(samples, samples, others=True)
    kind = np.where(to_train <= delta_m, 0, np.where(to_sample <= delta_s, 1, 2))
    return Kinds(kind, to_train, to_sample)


@eqx.filter_jit
def _ddim(denoiser: AbstractDenoiser, states: Array, ts: Array, settle: Array) -> Array:
    """DDIM along ``ts``, then ``settle`` steps ``y <- m(y, s_end)``."""
    terms = ProbabilityFlow(DiffusionPath(EDM(), denoiser)).terms()  # no schedule enters on clock "lam"
    s = jnp.exp(-ts[-1])

    def one(y: Array) -> Array:
        last: Any = scan_solve(terms, DDIM(), ts, y).ys
        return jax.lax.fori_loop(0, settle, lambda _, z: denoiser.denoise(z, s).astype(z.dtype), last[-1])

    return jax.vmap(one)(states)


def ddim_ends(
    denoiser: AbstractDenoiser, states: Float[Array, "B D"], s_start: float, s_end: float, *, steps: int = 20,
    settle: int = 1,
) -> Float[Array, "B D"]:  # fmt: skip
    """Where DDIM carries states from level ``s_start`` to ``s_end`` in steps uniform in ``lam``, and on.

    Arguments:
        denoiser: any denoiser, an exact law's or a network.
        states: canonical states, shape (B, D).
        s_start: their noise level.
        s_end: of the last state.
        steps: of DDIM.
        settle: see `Sampling`.

    Raises:
        InputError: levels that do not fall, or counts that are none.
    """
    if not 0 < s_end < s_start < math.inf or steps < 1 or settle < 0:
        msg = f"s_start={s_start!r}, s_end={s_end!r}, steps={steps!r}, settle={settle!r}: need 0 < s_end < s_start"
        raise InputError(msg)
    ts = jnp.linspace(-math.log(s_start), -math.log(s_end), steps + 1).astype(states.dtype)
    count, size, found = len(states), min(len(states), CHUNK), []
    for first in range(0, count, size):
        part = states[jnp.arange(first, first + size) % count]
        found.append(_ddim(denoiser, part, ts, jnp.asarray(settle)))
    return jnp.concatenate(found)[:count]


def memorisation_at(
    size: int, train: Shaped[Given, "N D"], sampling: Sampling, denoiser: Callable[[Any], AbstractDenoiser] = Empirical
) -> dict[str, Any]:
    """One point of a sweep: ``size`` training data, a denoiser of them, its samples, and what those are.

    Arguments:
        size: how many of the rows of ``train``, in an order that depends on the seed alone: smaller sets are parts of
            larger ones.
        train: all training data, shape (N, D).
        sampling: thresholds and settings.
        denoiser: ``patterns (K, D) -> denoiser``: the exact one by default, or a training of a network.

    Returns:
        Plain numbers: "size", those of ``sampling``, and for each kind its "..._count", "..._share", and the ends
        "..._low" and "..._high" of its Wilson 95 % interval.

    Raises:
        InputError: more data than there are, samples that are not finite, or anything of `ddim_ends`.
    """
    pool = floats("train", train)
    require_patterns("train", pool)
    count = sampling.samples
    if not 1 <= size <= len(pool) or count < 2:
        msg = f"size={size!r}, samples={count!r}: train has {len(pool)} rows; need 1 to that many, and two samples"
        raise InputError(msg)
    order, noise = jr.split(jr.key(sampling.seed))
    chosen = pool[jr.permutation(order, len(pool))[:size]]
    starts = jnp.mean(pool, axis=0)[None] + sampling.s_start * jr.normal(noise, (count, pool.shape[1]), pool.dtype)
    ends = ddim_ends(
        denoiser(chosen), starts, sampling.s_start, sampling.s_end, steps=sampling.steps, settle=sampling.settle
    )
    kinds = classify_samples(ends, chosen, delta_m=sampling.delta_m, delta_s=sampling.delta_s)
    row = {"size": size} | dataclasses.asdict(sampling)
    for name, found in kinds.counts.items():
        low, high = (float(side[0]) for side in wilson(np.array([found]), count, LEVEL))
        parts = {"count": found, "share": found / count, "low": low, "high": high}
        row |= {f"{name}_{part}": value for part, value in parts.items()}
    return row


def memorisation(
    train: Shaped[Given, "N D"],
    sizes: Sequence[int],
    sampling: Sampling,
    denoiser: Callable[[Any], AbstractDenoiser] = Empirical,
    *,
    rows: Iterable[dict[str, Any]] = (),
    tell: Callable[[dict[str, Any]], object] = lambda _: None,
) -> Memorisation:
    """Memorised, spurious and generalised samples against the number of training data.

    Arguments:
        train: all training data, shape (N, D).
        sizes: numbers of training data.
        sampling: thresholds and settings.
        denoiser: ``patterns (K, D) -> denoiser``.
        rows: of an earlier sweep that was cut: a size that has one with the same settings is not done again. Rows do
            not know the data or the denoiser: give those of the same.
        tell: called with each new row as it is ready, to show it or to keep it.

    Raises:
        InputError: no sizes, or anything of `memorisation_at`.
    """
    if not len(sizes):
        msg = f"sizes={sizes!r}: name at least one number of training data"
        raise InputError(msg)
    settings, known, done = dataclasses.asdict(sampling), list(rows), []
    for size in sizes:
        same = [
            row for row in known if {key: row.get(key) for key in ("size", *settings)} == {"size": size, **settings}
        ]
        done.append(same[0] if same else memorisation_at(size, train, sampling, denoiser))
        if not same:
            known.append(done[-1])
            tell(done[-1])
    return Memorisation(tuple(done))


@eqx.filter_jit
def _noisy(patterns: Float[Array, "B D"], key: PRNGKeyArray, s: Scalar) -> Float[Array, "B D"]:
    return patterns + s.astype(patterns.dtype) * jr.normal(key, patterns.shape, patterns.dtype)


def recovery_time(
    denoiser: AbstractDenoiser, patterns: Shaped[Given, "N D"], levels: Shaped[Given, " L"], key: PRNGKeyArray, *,
    delta: float, s_end: float, share: float = 0.9, trials: int = 10, steps: int = 20,
    schedule: AbstractSchedule | None = None,
) -> CriticalTime:  # fmt: skip
    """The largest noise from which patterns come back: P(end within ``delta``) >= ``share`` there and at less noise.

    Arguments:
        denoiser: any denoiser.
        patterns: those to recover, shape (N, D).
        levels: noise levels to try, rising, all above ``s_end``, shape (L,).
        key: of the noise, the same numbers at every level.
        delta: distance within which a pattern counts as recovered.
        s_end: level at which DDIM takes its last step, to ``s = 0``.
        share: that has to come back.
        trials: for each pattern.
        steps: of DDIM.
        schedule: for ``t``.

    Returns:
        The time; its interval has the largest levels up to which Wilson's lower, and upper, 95 % end is at least
        ``share`` (0 where it is at no level). NaN where ``share`` is reached at no level.

    Raises:
        InputError: levels that do not rise, or anything of `ddim_ends`.
    """
    xi, tried = floats("patterns", patterns), np.asarray(levels, float)
    require_patterns("patterns", xi)
    require_positive("delta", delta, scalar=True)
    if tried.ndim != 1 or not len(tried) or not np.all(np.diff(tried) > 0) or not tried[0] > s_end or trials < 1:
        msg = f"levels of shape {tried.shape!r}, trials={trials!r}: need rising levels above s_end={s_end!r}, a trial"
        raise InputError(msg)
    repeated, counts = jnp.repeat(xi, trials, axis=0), []
    for s in tried:
        ends = ddim_ends(denoiser, _noisy(repeated, key, jnp.asarray(s)), float(s), s_end, steps=steps)
        counts.append(int(jnp.sum(jnp.linalg.norm(ends - repeated, axis=1) <= delta)))
    found = np.array(counts)
    middle, lower, upper = (
        _held(tried, part >= share) for part in (found / len(repeated), *wilson(found, len(repeated), LEVEL))
    )
    note = f"the share is below {share:g} at the least level {tried[0]:g}" if middle == 0 else ""
    if middle == tried[-1]:
        note = "the share is reached at the highest level tried: the time is at least this"
    criterion = f"P(end within {delta:g} of the pattern) >= {share:g} up to this level"
    return critical_time(
        "recovery", criterion, middle or math.nan, schedule,
        method=f"{len(repeated)} runs of DDIM, {steps} steps, at {len(tried)} levels", source=SOURCE,
        interval=(lower, upper), note=note,
    )  # fmt: skip


def _held(levels: Float[np.ndarray, " L"], good: Any) -> float:
    """The largest level up to which all are good, 0 if the first is not."""
    count = len(levels) if np.all(good) else int(np.argmin(good))
    return float(levels[count - 1]) if count else 0.0
