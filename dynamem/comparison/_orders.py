"""Orders of convergence: slopes of log error against log step, with intervals.

Only the straight part of a ladder is fitted: from the finest step upward, as long as the points keep to a line within
`STRAIGHT` (root mean square, in natural logarithms) and lie above the floor that rounding and the reference set.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import scipy.stats

from ._records import Order, Row


FLOOR = 1e-10
STRAIGHT = 0.05
LEAST = 3


def orders_of(rows: Iterable[Row], theory: dict[tuple[str, str], float | None]) -> list[Order]:
    """Orders of all fixed ladders, in the order in which they come.

    Arguments:
        rows: measurements.
        theory: orders that are known, by problem and method.
    """
    ladders: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        if row.steps is not None and row.error is not None and row.status == "ok":
            ladders.setdefault((row.problem, row.method), []).append(row)
    found = []
    for key, ladder in ladders.items():
        noisy = ladder[0].weak_error is not None
        kinds = [("strong", "error"), ("weak", "weak_error")] if noisy else [("ode", "error")]
        for kind, name in kinds:
            steps, errors = [row.steps for row in ladder], [getattr(row, name) for row in ladder]
            fit = fitted(steps, errors)
            if fit is not None:
                known = None if kind == "weak" else theory.get(key)
                found.append(Order(*key, kind, *fit[:3], known, fit[3]))
    return found


def fitted(steps: Sequence[Any], errors: Sequence[float]) -> tuple[float, float, float, int] | None:
    """Slope, its 95 % interval and the number of points; None if fewer than `LEAST` points are straight."""
    points = sorted((-np.log(n), np.log(e)) for n, e in zip(steps, errors, strict=True) if e > FLOOR and np.isfinite(e))
    best = None
    for count in range(LEAST, len(points) + 1):
        x, y = np.asarray(points[:count]).T
        line: Any = scipy.stats.linregress(x, y)
        rest = y - line.intercept - line.slope * x
        if np.sqrt(np.mean(rest**2)) > STRAIGHT:
            break
        reach = scipy.stats.t.ppf(0.975, count - 2) * line.stderr
        best = (float(line.slope), float(line.slope - reach), float(line.slope + reach), count)
    return best
