r"""Orders of convergence p, fitted to ``log e = c + p log h``, or to ``log e = c + p log h + a h``.

The term a h is the first correction of ``e = C h^p (1 + a h + ...)``, without which a ladder that is not yet
asymptotic shows a slope of no meaning; of the two fits that with the narrower interval is told. The error is the
median over states: a root mean square would be that of the few states near a ridge, which end in another memory.
Fitted is from the finest step upward, as long as the points keep to the curve within `STRAIGHT` (root mean square, in
natural logarithms; more with noise, as paths are few) and lie above the floor that rounding and the reference set.

The interval is that of the scatter about the curve, for the steps of the ladder. Where two powers of h compete, as h of
the drift and h^(1/2) of a small noise do for Euler-Maruyama, it is around the one that is greater at these steps.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import scipy.stats

from ._records import Order, Row


STRAIGHT = {"ode": 0.03, "strong": 0.1, "weak": 0.1}
LEAST = 4


def orders_of(rows: Iterable[Row], theory: dict[tuple[str, str], float | None], *, floor: float) -> list[Order]:
    """Orders of all fixed ladders, in the order in which they come.

    Arguments:
        rows: measurements.
        theory: orders that are known, by problem and method.
        floor: errors up to which are those of the reference, or rounding.
    """
    ladders: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        if row.steps is not None and row.error is not None and row.status == "ok":
            ladders.setdefault((row.problem, row.method), []).append(row)
    found = []
    for key, ladder in ladders.items():
        noisy = ladder[0].weak_error is not None
        kinds = {"strong": "typical_error", "weak": "weak_error"} if noisy else {"ode": "typical_error"}
        for kind, name in kinds.items():
            steps, errors = [row.steps for row in ladder], [getattr(row, name) for row in ladder]
            fit = fitted(steps, errors, floor=floor, straight=STRAIGHT[kind])
            if fit is not None:
                known = None if kind == "weak" else theory.get(key)
                found.append(Order(*key, kind, *fit[:3], known, fit[3]))
    return found


def fitted(
    steps: Sequence[Any], errors: Sequence[float], *, floor: float = 0.0, straight: float = STRAIGHT["ode"]
) -> tuple[float, float, float, int] | None:
    """Order, its 95 % interval and the number of points; None if fewer than `LEAST` points keep to a curve."""
    points = sorted((1 / n, np.log(e)) for n, e in zip(steps, errors, strict=True) if e > floor and np.isfinite(e))
    fits = [fit for terms in (2, 3) if (fit := _longest(points, terms, straight)) is not None]
    return min(fits, key=lambda fit: fit[2] - fit[1], default=None)


def _longest(points: Sequence[Any], terms: int, straight: float) -> tuple[float, float, float, int] | None:
    """The fit of so many terms to the most points from the finest step that keep to it."""
    best = None
    for count in range(LEAST, len(points) + 1):
        h, y = np.asarray(points[:count]).T
        X = np.stack([np.log(h), np.ones(count), h / h[-1]][:terms], axis=1)
        rest = y - X @ (found := np.linalg.lstsq(X, y)[0])
        if np.sqrt(np.mean(rest**2)) > straight:
            break
        variance = rest @ rest / (count - terms) * np.linalg.inv(X.T @ X)[0, 0]
        reach = scipy.stats.t.ppf(0.975, count - terms) * np.sqrt(variance)
        best = (float(found[0]), float(found[0] - reach), float(found[0] + reach), count)
    return best
