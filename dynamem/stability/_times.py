r"""All critical times of one data set and one schedule, each with its criterion.

For the patterns +1 and -1 the times of the literature differ though they are all 'the' critical time: curvature of
``-log p`` at ``s = 1`` (OU time 0.3466), the drift potential of the reverse SDE at ``s = 1.189`` (0.4407), and
``log(Lambda)/2 = 0``, an asymptotic formula. So a table names the criterion of each (see `_curvature`, `_speciation`,
`_collapse`, `_onset` for what they are), and `CriticalTimes` has no order.
"""

import math
import time
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from .._errors import InputError
from ..diffusion import EDM, AbstractSchedule, DensityEnergy, DiffusionPath, Empirical, GaussianMixture
from ..flows import ProbabilityFlow
from ._collapse import collapse_level, excesses, nats_of, normal_collapse, spectra_of
from ._critical_time import CriticalTime, CriticalTimes, critical_time, estimated, level_of_ou, scan
from ._curvature import DENSE, Loss, curvature_at, kappa_of, lost_stability, prior_moments, top_eigenvalue
from ._onset import Onset, onset_bound, violation_onset
from ._speciation import CHOSEN, chosen, classes_of, clones, speciation_time


BIROLI, RAYA = "Biroli et al. 2024, arXiv 2402.18491", "Raya & Ambrogioni 2023, arXiv 2305.19693"
CONDENSED = 0.05
"""Excess entropy, as a share of ``log n``, below which a posterior counts as condensed."""
NEVER = "the condition is met at no level"
AT_ONCE = "the condition is met already at the highest level"


def critical_times(
    path_or_law: Any, *, schedule: AbstractSchedule | None = None, classes: Any = None,
    n: int = 256, seed: int = 0,
) -> CriticalTimes:  # fmt: skip
    """The critical times of a data set, by every criterion that applies to it.

    Entries: "variance", "curvature", "curvature_mean", "speciation"; "drift" with a schedule; "clones" with classes;
    "collapse_formula", "collapse_normal", "collapse_entropy" of patterns; "onset_bound", "onset_mean", "onset_median",
    "onset_earliest" of the density energy in canonical coordinates, and the same with "_own" in the schedule's.

    Arguments:
        path_or_law: an `Empirical` law or a `GaussianMixture`, or a path of one.
        schedule: for times ``t``, for "drift" and for the schedule's own coordinates; the path's by default.
        classes: labels of the patterns, shape (N,); the components of a mixture by default.
        n: states, and runs, from which the estimated ones are estimated.
        seed: of all random numbers.

    Raises:
        InputError: another law, data all in one point, labels that do not fit, fewer than two states.
    """
    law = path_or_law.law if isinstance(path_or_law, DiffusionPath) else path_or_law
    schedule = path_or_law.schedule if schedule is None and isinstance(path_or_law, DiffusionPath) else schedule
    if not isinstance(law, Empirical | GaussianMixture) or n < 2:
        msg = f"law={type(law).__name__}, n={n!r}: need dm.Empirical or dm.GaussianMixture, and at least two states"
        raise InputError(msg)
    about = _About(law, schedule, classes, n, jr.key(seed))
    times, seconds = [], {}
    for name, part in (("curvature", _curvature), ("classes", _classes), ("collapse", _collapse), ("onset", _onset)):
        began = time.perf_counter()
        times += part(about)
        seconds[name] = time.perf_counter() - began
    facts = {"size": float(about.size), "top": about.top, "total": about.total}
    return CriticalTimes(tuple(times), None if schedule is None else type(schedule).__name__, facts, seconds)


class _About:
    """What all criteria need to know of the data."""

    def __init__(self, law: Any, schedule: AbstractSchedule | None, classes: Any, n: int, key: PRNGKeyArray) -> None:
        self.law, self.schedule, self.n, self.key = law, schedule, n, key
        self.centres = law.xi if isinstance(law, Empirical) else law.means
        self.size = self.centres.shape[1]
        mean, total = prior_moments(law, jnp.zeros(self.size, jnp.result_type(float)))
        self.mean: Array = mean
        self.total = float(total)
        if not self.total > 0:
            msg = f"law: all {len(self.centres)} patterns are one point; critical times need data that differ"
            raise InputError(msg)
        self.top = top_eigenvalue(law, mean)
        several = isinstance(law, GaussianMixture) and len(self.centres) > 1
        self.classes = classes_of(law, classes) if classes is not None or several else None
        self.labels = classes
        self.high, self.low = 4 * math.sqrt(self.total), 0.02 * math.sqrt(self.total / self.size)

    def span(self) -> tuple[float, float]:
        """Levels that the schedule reaches, from four times ``high`` down to ``low``."""
        if self.schedule is None:
            return self.high, self.low
        least, most = (float(jnp.exp(-self.schedule.lam(t))) for t in (0.0, 1.0))
        inside = 1e-9
        return min(4 * self.high, most * (1 - inside)), max(self.low, least * (1 + inside))

    def entry(self, name: str, criterion: str, s: float, **more: Any) -> CriticalTime:
        """An entry; no level is NaN with a note."""
        if not (math.isfinite(s) and s > 0):
            more["note"] = more.get("note") or (AT_ONCE if s == math.inf else NEVER)
            s, more["interval"] = math.nan, None
        return critical_time(name, criterion, s, self.schedule, **more)


def _curvature(about: _About) -> list[CriticalTime]:
    exact = "eigenvalue (LAPACK)" if about.size <= DENSE else "eigenvalue (Lanczos, matrix-free)"
    lost = _followed(about, lambda s: 1.0, (about.high, None))
    held = curvature_at(about.law, about.mean, about.high, about.low)
    found = [
        about.entry("variance", "s^2 = lambda_max(Cov data)", math.sqrt(max(about.top, 0.0)), method=exact,
                    source=f"{BIROLI}: t = log(1 + Lambda)/2", unit="OU time"),
        about.entry("curvature", "lambda_max(C(y*, s)) = s^2 on the branch y* of high noise", _level(lost),
                    method=f"Newton along the branch, {exact}", source="THEORY.md, D3", note=_told(lost)),
        about.entry("curvature_mean", "lambda_max(C(y, s)) = s^2 at y = mean of the data, largest s", held,
                    method=f"bisection (Brent), {exact}", source="THEORY.md, D3"),
    ]  # fmt: skip
    if about.schedule is not None:
        start, end = about.span()
        drift = _followed(about, kappa_of(about.schedule, 1.0), (start, end))
        criterion = "reverse SDE drift in own coordinates: lambda_max of its Jacobian = 0 at its fixed point"
        found.append(
            about.entry("drift", criterion, _level(drift), method=f"Newton along the branch, {exact}",
                        source=f"{RAYA}, eq. 9", note=_told(drift), unit="OU time")
        )  # fmt: skip
    return found


def _followed(about: _About, kappa: Callable[[float], float], span: tuple[float, float | None]) -> Loss | str:
    try:
        return lost_stability(about.law, kappa, start=span[0], end=span[1])
    except InputError as error:
        return str(error)


def _level(lost: Loss | str) -> float:
    return math.nan if isinstance(lost, str) else lost.s


def _told(lost: Loss | str) -> str:
    if isinstance(lost, str):
        return lost
    if lost.kind == "none":
        return f"the branch from s={lost.start:.4g} stays stable: it goes over into one memory or stays one minimum"
    return {"fold": "the branch ends in a fold", "crossing": "the fixed point stays and loses its stability"}[lost.kind]


def _classes(about: _About) -> list[CriticalTime]:
    t = speciation_time(about.top)
    name = f"{BIROLI}: t_S = log(Lambda)/2"
    note = "" if t > 0 else f"Lambda={about.top:.4g} is below 1, where the formula, for large Lambda, says nothing"
    found = [
        about.entry("speciation", "OU time log(lambda_max(Cov data))/2", level_of_ou(t), method="formula", source=name,
                    note=note, unit="OU time")
    ]  # fmt: skip
    if about.classes is None:
        return found
    known, keys = about.classes, jr.split(jr.fold_in(about.key, 1), about.n)
    s, interval = estimated(lambda s: chosen(known, keys, s), CHOSEN, scan(about.high, about.low))
    note = ""
    if math.isfinite(s):
        run = clones(about.law, s, jr.fold_in(about.key, 2), classes=about.labels, n=about.n)
        note = f"runs there: {run.same} of {run.pairs} pairs end in one class [{run.low:.3f}, {run.high:.3f}]; "
        note += f"predicted {run.predicted:.3f}"
    criterion = f"(phi - phi_0)/(1 - phi_0) = {CHOSEN:.4f}, phi = P(two clones end in one class)"
    found.append(
        about.entry("clones", criterion, s, method=f"class posteriors at {about.n} states, bisection", source=BIROLI,
                    interval=interval, note=note, unit="OU time")
    )  # fmt: skip
    return found


def _collapse(about: _About) -> list[CriticalTime]:
    """Of patterns only: a continuous law does not collapse."""
    law = about.law
    if not isinstance(law, Empirical) or not nats_of(law) > 0:
        return []
    nats, variance = nats_of(law), about.total / about.size
    formula = collapse_level(math.exp(nats), about.size, variance)
    found = [
        about.entry("collapse_formula", "D log(1 + c^2/s^2)/2 = log n, c^2 = tr Cov/D", formula, method="formula",
                    source=f"{BIROLI}: t_C = log(1 + c^2/(n^(2/D) - 1))/2", unit="OU time")
    ]  # fmt: skip
    if about.size <= DENSE:
        spectra, weights = spectra_of(np.asarray(law.xi), about.labels)
        s = normal_collapse(spectra, weights, nats)
        inside = "" if about.labels is None else " within classes, + H(classes)"
        found.append(
            about.entry("collapse_normal", f"log det(1 + Cov/s^2)/2{inside} = log n", s, method="root (Brent)",
                        source=BIROLI, unit="OU time")
        )  # fmt: skip
    keys = jr.split(jr.fold_in(about.key, 3), about.n)
    s, interval = estimated(lambda s: -excesses(law, keys, s), -CONDENSED, scan(about.high, about.low))
    found.append(
        about.entry("collapse_entropy", f"excess entropy 1 - E KL(w || u)/log n = {CONDENSED}", s,
                    method=f"{about.n} states of p_s, bisection", source=BIROLI, interval=interval, unit="OU time")
    )  # fmt: skip
    return found


def _onset(about: _About) -> list[CriticalTime]:
    canonical = DiffusionPath(EDM(), about.law)  # no schedule enters on clock "lam"
    found = _onsets(about, canonical, "lam", "")
    if about.schedule is not None:
        found += _onsets(about, DiffusionPath(about.schedule, about.law), "tau", "_own")
    return found


def _onsets(about: _About, path: DiffusionPath, clock: Any, suffix: str) -> list[CriticalTime]:
    """The four onsets of the density energy on one clock."""
    start, end = about.span() if suffix else (about.high, about.low)
    where = f"{type(path.schedule).__name__} coordinates" if suffix else "canonical coordinates"
    condition = f"tr C > D c(s), {where}"
    flow = ProbabilityFlow(path, clock)
    key = jr.fold_in(about.key, 4)
    onset: Onset = violation_onset(DensityEnergy(path, clock), flow, key, s_start=start, s_end=end, n=about.n)
    looked = {"source": "THEORY.md, D2", "method": f"{about.n} runs of the probability flow"}
    ends = onset.mean_interval
    found = [
        about.entry(f"onset_mean{suffix}", f"E tr C = D c(s): {condition}, in mean over p_s", onset.mean,
                    method=f"{about.n} states of p_s, bisection", source="THEORY.md, D2", interval=ends),
        about.entry(f"onset_median{suffix}", f"{condition}, first time of half of the runs", onset.median,
                    interval=onset.median_interval, **looked),
        about.entry(f"onset_earliest{suffix}", f"{condition}, first time of any of {about.n} runs", onset.earliest,
                    **looked),
    ]  # fmt: skip
    if isinstance(about.law, Empirical):
        radius = _radius(about.centres, about.mean)
        none = "D c(s) stays below R^2: nothing is excluded"
        bound = onset_bound(radius, about.size, path.schedule if suffix else None, start, end)
        found.append(
            about.entry(f"onset_bound{suffix}", f"D c(s) = R^2, R = {radius:.4g}: no rise above it, {where}", bound,
                        method="largest distance from the mean", source="THEORY.md, D3",
                        note="" if math.isfinite(bound) else none)
        )  # fmt: skip
    return found


def _radius(xi: Float[Array, "N D"], mean: Float[Array, " D"]) -> float:
    """The largest distance of a pattern from the mean, by matrix products."""
    squares = jnp.sum(xi * xi, axis=1) - 2 * (xi @ mean) + mean @ mean
    return math.sqrt(max(float(jnp.max(squares)), 0.0))
