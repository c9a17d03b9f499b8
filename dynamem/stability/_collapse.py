r"""Collapse (Biroli, Bonnaire, de Bortoli & Mezard 2024, arXiv 2402.18491): when a run is bound to one training datum.

The information that a noisy state has about which of n data it came from, ``I = E KL(w || u)``, is that of the law they
were drawn from as long as data are many; it cannot exceed ``log n``, and once it reaches that the posterior ``w`` has
condensed on one datum. With ``alpha = log n/D`` the excess entropy per nat is

    f = 1 - I(s)/log n,        for N(0, c^2 I):  I = D/2 log(1 + c^2/s^2),    f = 0 at  s^2 = c^2/(n^(2/D) - 1),

which in OU time is ``t_C = log(1 + c^2/(n^(2/D) - 1))/2``. Where the data have classes that are told apart, ``I`` has
their entropy in addition, ``-sum p_c log p_c`` (log 2 for two equal ones): without it theory and simulation differ by
``log 2/log n``. For data of any law the normal one of the same covariance (in each class) stands in for it, and
`excess_entropy` measures the thing itself.
"""

import dataclasses
import math
from typing import Any

import equinox as eqx
import jax
import jax.random as jr
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray, Scalar

from .._errors import InputError
from .._validate import require_positive
from ..diffusion import Empirical
from ._critical_time import Z, crossing, ou_time, scan
from ._draws import level_of, states_at


@dataclasses.dataclass(frozen=True)
class Excess:
    """Excess entropy ``f = 1 - E KL(w || u)/H(u)`` of a data set at one level.

    Attributes:
        s: noise level.
        share: ``f``: 1 where nothing is known of the datum, 0 where the posterior is one datum.
        low: lower end of the 95 % interval, by the central limit theorem over ``states``.
        high: upper end.
        states: how many states were drawn.
    """

    s: float
    share: float
    low: float
    high: float
    states: int


def collapse_level(n: float | int, size: int, variance: float | int) -> float:
    """``s_C``, ``s^2 = c^2/(n^(2/D) - 1)``: collapse of n data drawn from ``N(0, c^2 I)`` in D dimensions.

    Arguments:
        n: number of data, above 1; of classes that are told apart, the number in one class.
        size: D.
        variance: ``c^2`` of each coordinate, positive.
    """
    require_positive("variance", variance)
    if not (n > 1 and size >= 1):
        msg = f"n={n!r}, size={size!r}: need more than one datum, and at least one coordinate"
        raise InputError(msg)
    return math.sqrt(variance / math.expm1(2 * math.log(n) / size))


def collapse_time(n: float | int, size: int, variance: float | int = 1.0) -> float:
    """``t_C = log(1 + c^2/(n^(2/D) - 1))/2`` in OU time: 1.2988 for n = 20,000, D = 256 and unit variance."""
    return ou_time(collapse_level(n, size, variance))


def normal_information(spectrum: Float[np.ndarray, " D"], s: float) -> float:
    """``sum log(1 + lambda_i/s^2)/2``: what a state at level ``s`` tells of a normal pattern, in nats."""
    return 0.5 * float(np.sum(np.log1p(np.maximum(spectrum, 0) / s**2)))


def class_entropy(weights: Float[np.ndarray, " K"]) -> float:
    """``-sum p log p`` in nats, shares (K,) of classes."""
    some = weights[weights > 0]
    return -float(np.sum(some * np.log(some)))


def normal_excess(spectra: Float[np.ndarray, "K D"], weights: Float[np.ndarray, " K"], s: float, nats: float) -> float:
    """``f = 1 - (sum_c p_c I_c(s) + H(p))/log n``: normal classes, all told apart.

    Arguments:
        spectra: eigenvalues of the covariance of each class, shape (K, D).
        weights: shares of the classes, shape (K,); one class of share 1 for none.
        s: noise level.
        nats: ``log n``, or the entropy of the prior.
    """
    inside = sum(float(p) * normal_information(one, s) for p, one in zip(weights, spectra, strict=True))
    return 1 - (inside + class_entropy(weights)) / nats


def normal_collapse(spectra: Float[np.ndarray, "K D"], weights: Float[np.ndarray, " K"], nats: float) -> float:
    """Where `normal_excess` vanishes, solved to 1e-12; NaN where the classes alone take up all nats.

    Arguments:
        spectra: eigenvalues in each class, shape (K, D).
        weights: shares of the classes, shape (K,).
        nats: ``log n``.
    """
    if not nats > class_entropy(weights):
        return math.nan
    top = math.sqrt(float(np.sum(spectra.max(axis=0)))) or 1.0
    high = top * math.sqrt(1 / (nats - class_entropy(weights)) + 1)  # there I < sum lambda/2 s^2 < nats/2
    return crossing(lambda s: -normal_excess(spectra, weights, s, nats), scan(high, 1e-9 * top, 0.5))


def spectra_of(xi: Float[np.ndarray, "N D"], labels: Any) -> tuple[Float[np.ndarray, "K D"], Float[np.ndarray, " K"]]:
    """Eigenvalues (K, D) of the covariance of each class of patterns, and its share (K,); one class without labels."""
    marks = np.zeros(len(xi), int) if labels is None else np.unique(labels, return_inverse=True)[1]
    parts = [xi[marks == k] for k in range(int(marks.max()) + 1)]
    found = [np.linalg.svd(part - part.mean(axis=0), compute_uv=False) ** 2 / len(part) for part in parts]
    spectra = np.zeros((len(parts), xi.shape[1]))
    for row, values in zip(spectra, found, strict=True):
        row[: len(values)] = values
    return spectra, np.array([len(part) for part in parts]) / len(xi)


@eqx.filter_jit
def _information(law: Empirical, states: Float[Array, "B D"], s: Scalar) -> Float[Array, " B"]:
    return jax.vmap(lambda y: law.moments(y, s).kl)(states)


def nats_of(law: Empirical) -> float:
    """Entropy of the prior in nats: ``log n`` for equal weights."""
    return math.log(len(law.xi)) if law.weights is None else class_entropy(np.asarray(law.weights))


def excesses(law: Empirical, keys: Array, s: float) -> Float[np.ndarray, " B"]:
    """``1 - KL(w || u)/H(u)`` at states of ``p_s``, one for each key, shape (B,)."""
    level = level_of(s)
    return 1 - np.asarray(_information(law, states_at(law, keys, level), level)) / nats_of(law)


def excess_entropy(law: Empirical, s: float, key: PRNGKeyArray, *, n: int = 512) -> Excess:
    """The excess entropy of a data set at level ``s``, measured on ``n`` states of ``p_s``.

    Arguments:
        law: the data, at least two.
        s: noise level, positive.
        key: of the states.
        n: how many.

    Raises:
        InputError: one datum alone, a level that is none, or fewer than two states.
    """
    require_positive("s", s, scalar=True)
    if n < 2 or not nats_of(law) > 0:
        msg = f"n={n!r}, N={len(law.xi)!r}: need at least two states and two data of positive weight"
        raise InputError(msg)
    values = excesses(law, jr.split(key, n), s)
    mean, reach = float(values.mean()), Z * float(values.std(ddof=1)) / math.sqrt(n)
    return Excess(s, mean, mean - reach, mean + reach, n)
