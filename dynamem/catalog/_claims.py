"""The theory held against the audit's own numbers: each claim agrees, is contradicted, or was not exercised.

A claim is contradicted by a number against it, agrees if there is none and something was met that could have been,
and is not exercised otherwise: a single pattern has no spread that could raise a density energy.
"""

import dataclasses

import jax.numpy as jnp
import numpy as np

from ..lyapunov import rounding_bound
from ._audit_types import AGREES, CONTRADICTED, NOT_EXERCISED, Claim
from ._diffusion import CHURN, Found, Sweep
from ._ledger import NAMES


LOOSE = 1e-9
"""Relative error up to which a computed rate counts as equal to its formula."""
SAME = 1e-4
"""Difference of end states, relative to the largest of them or 1, up to which two solves ended in the same one."""


def claims_of(odes: list[Sweep], sdes: list[Sweep]) -> list[Claim]:
    """Claims D1-D8, D11 and D14 for whatever dynamics were run."""
    claims: list[Claim] = []
    if odes:
        claims += [_same_flow(odes), _density(odes, "density", "D2"), _density(odes, "density_canonical", "D3")]
        claims += [_free_rate(odes), _hopfield(odes), _frozen(odes), _ddim(odes), _ledger(odes)]
    if sdes:
        claims += [_churned(sdes), _uncorrected(sdes), *_contrast(sdes), _ancestral(sdes)]
    return claims


def _judged(name: str, statement: str, measured: str, *, wrong: bool, exercised: bool) -> Claim:
    outcome = CONTRADICTED if wrong else AGREES if exercised else NOT_EXERCISED
    return Claim(name, statement, outcome, measured)


@dataclasses.dataclass(frozen=True)
class Probed:
    """One energy's rates at the probed states of a sweep where they are finite, shape (P,), with what formulas need.

    Attributes:
        total: rates per unit of ``lam``.
        bound: their rounding.
        level: ``s^2``.
        c: the schedule's threshold, ``-s^2 d log(sigma)/d lam``.
        trace: ``tr C``.
        residual: ``|y - m|^2``.
        kl: of the posterior to the prior.
        dimension: D.
    """

    total: np.ndarray
    bound: np.ndarray
    level: np.ndarray
    c: np.ndarray
    trace: np.ndarray
    residual: np.ndarray
    kl: np.ndarray
    dimension: int

    @property
    def rises(self) -> np.ndarray:
        """Where the rate is positive beyond rounding."""
        return self.total > self.bound

    @property
    def falls(self) -> np.ndarray:
        """Where it is negative beyond rounding."""
        return self.total < -self.bound

    def error(self, formula: np.ndarray) -> float:
        """Largest error beyond rounding, relative to the larger of the formula's value and the rounding bound."""
        return float(np.max(np.abs(self.total - formula) / (np.abs(formula) + self.bound / LOOSE), initial=0.0))


def _probed(sweep: Sweep, energy: str) -> Probed:
    probes, index = sweep.probes, NAMES.index(energy)
    rate, bound = probes["ode" if sweep.dynamics == "probability_flow" else "sde"]
    moments = probes["moments"]
    c = threshold(sweep, probes["tau"], probes["lam"])
    parts = (rate.total[..., index], bound[..., index], np.exp(-2 * probes["lam"]), c)
    parts += (moments["trace"], moments["residual"], moments["kl"])
    finite = np.logical_and.reduce([np.isfinite(part) for part in parts])
    return Probed(*(part[finite] for part in parts), probes["ys"].shape[-1])


def _all_probed(sweeps: list[Sweep], energy: str) -> list[Probed]:
    return [_probed(sweep, energy) for sweep in sweeps]


def _count(parts: list[np.ndarray]) -> int:
    return sum(int(np.sum(part)) for part in parts)


def threshold(sweep: Sweep, tau: np.ndarray, lam: np.ndarray) -> np.ndarray:
    """``c = -s^2 d log(sigma)/d lam`` of a schedule, from its ``sigma'`` and ``g^2``."""
    _, sigma, sigma_dot, g2 = sweep.sampler.coefficients(1 - tau)
    return np.exp(-2 * lam) * (sigma_dot / sigma) * 2 * sigma**2 / g2


def _same_flow(sweeps: list[Sweep]) -> Claim:
    ends = [sweep.runs[0].run.ys[:, -1] for sweep in sweeps if sweep.runs[0].run.ok.all()]
    scale = max((float(np.abs(end).max()) for end in ends), default=1.0)
    gap = max((float(np.abs(end - ends[0]).max()) for end in ends), default=0.0)
    statement = "Every schedule integrates one and the same canonical flow, so that all end at the same states."
    measured = f"end states of {len(ends)} schedules differ by at most {gap:.1e}"
    return _judged("D1", statement, measured, wrong=gap > SAME * max(1.0, scale), exercised=len(ends) > 1)


def _density(sweeps: list[Sweep], energy: str, name: str) -> Claim:
    wrong = seen = rising = 0
    for found in _all_probed(sweeps, energy):
        limit = found.dimension * (found.c if energy == "density" else found.level)
        margin, slack = found.trace - limit, 1e-9 * (found.trace + limit)
        clear = (found.rises | found.falls) & (np.abs(margin) > slack)
        wrong += int(np.sum(clear & (found.rises != (margin > 0))))
        seen, rising = seen + int(clear.sum()), rising + int(np.sum(clear & found.rises))
    where = "D c(t), a threshold its schedule sets" if energy == "density" else "D s^2"
    coordinates = "own" if energy == "density" else "canonical"
    statement = f"The density energy in {coordinates} coordinates rises exactly where tr C exceeds {where}."
    measured = f"{rising} of {seen} probed states rise; {wrong} disagree with the threshold"
    return _judged(name, statement, measured, wrong=wrong > 0, exercised=rising > 0)


def _free_rate(sweeps: list[Sweep]) -> Claim:
    probed = _all_probed(sweeps, "free")
    worst = max(found.error(-found.residual - 2 * found.level * found.kl) for found in probed)
    rises = _count([found.rises for found in probed])
    rises += sum(row["rises"] for row in _rows(sweeps, "free", "Tsit5", "pathwise") if not _made_by_solver(row))
    statement = "The free energy V falls along every probability flow: dV/dlam = -|y-m|^2 - 2 s^2 KL."
    measured = f"{rises} rises of the flow at probed states and Tsit5 steps; relative error {worst:.1e}"
    falls = _count([found.falls for found in probed])
    return _judged("D4", statement, measured, wrong=rises > 0 or worst >= LOOSE, exercised=falls > 0)


def _made_by_solver(row: dict) -> bool:
    """Whether a row's largest rise is an error of the solver: without it the step, taken exactly, would not rise."""
    return bool(row["attribution"]) and row["largest_rise"] - row["attribution"]["discretisation"] <= row["tolerance"]


def _hopfield(sweeps: list[Sweep]) -> Claim:
    probed = _all_probed(sweeps, "hopfield")
    worst = max(found.error(found.trace / found.level) for found in probed)
    rises, falls = (_count([getattr(found, way) for found in probed]) for way in ("rises", "falls"))
    seen = sum(found.total.size for found in probed)
    statement = "The Hopfield energy -log Z never falls: its rate is tr C/s^2."
    measured = f"{rises} of {seen} probed states rise, {falls} fall; relative error {worst:.1e}"
    return _judged("D5", statement, measured, wrong=falls > 0 or worst >= LOOSE, exercised=seen > 0)


def _frozen(sweeps: list[Sweep]) -> Claim:
    probed = _all_probed(sweeps, "frozen")
    rises, seen = _count([found.rises for found in probed]), sum(found.total.size for found in probed)
    statement = "An energy frozen at one noise level is not monotone along the probability flow."
    return _judged("D6", statement, f"it rises at {rises} of {seen} probed states", wrong=False, exercised=rises > 0)


def _ddim(sweeps: list[Sweep]) -> Claim:
    runs = [row for row in _rows(sweeps, "free", "DDIM", "pathwise") if row["verdict"] != "failed"]
    rises = sum(row["rises"] for row in runs)
    statement = "No DDIM step raises the free energy, however coarse, on any schedule."
    measured = f"{rises} rises in {len(runs)} runs of all states"
    return _judged("D7", statement, measured, wrong=rises > 0, exercised=bool(runs))


def _rows(sweeps: list[Sweep], energy: str, solver: str, statement: str) -> list[dict]:
    asked = {"energy": energy, "solver": solver, "statement": statement}
    return [row for sweep in sweeps for row in sweep.rows if asked.items() <= row.items()]


def _ledger(sweeps: list[Sweep]) -> Claim:
    gaps, positive = [], 0
    for found in (found for sweep in sweeps for found in sweep.runs if found.run.ok.all()):
        error, bad = _ledger_of(found)
        gaps.append(error)
        positive += bad if found.run.solver == "DDIM" else 0
    worst = max(gaps, default=0.0)
    statement = "Each step's change of V is the sum of residual, annealing and re-weighting; for DDIM none is positive."
    measured = f"error at most {worst:.1e} of rounding in {len(gaps)} runs; {positive} positive terms of DDIM"
    return _judged("D11", statement, measured, wrong=worst >= 1 or positive > 0, exercised=bool(gaps))


def _ledger_of(found: Found) -> tuple[float, int]:
    """Largest error of the ledger in units of rounding, and how many of its terms are positive."""
    run, moments = found.run, found.moments
    kappa = np.exp(2 * run.lam)
    valid = np.arange(1, run.lam.shape[1])[None, :] < run.count[:, None]
    eta, mean = kappa[..., None] * run.ys, moments["mean"]
    second = moments["trace"] + np.sum(mean**2, axis=-1)
    level, after = 1 / kappa[:, :-1], 1 / kappa[:, 1:]
    moved = np.sum((eta[:, :-1] - eta[:, 1:]) * mean[:, :-1], axis=-1)
    again = moved - 0.5 * (kappa[:, :-1] - kappa[:, 1:]) * second[:, :-1] + np.diff(moments["log_partition"], axis=1)
    residual = 0.5 * (np.sum((run.ys[:, 1:] - mean[:, :-1]) ** 2, axis=-1) - moments["residual"][:, :-1])
    annealing, reweighting = -(level - after) * moments["kl"][:, :-1], -after * again
    index = NAMES.index("free")
    change = np.diff(found.values[..., index], axis=1)
    sizes = found.sizes[..., index]
    size = np.asarray(rounding_bound(jnp.maximum(sizes[:, 1:], sizes[:, :-1])))
    error = np.abs(change - residual - annealing - reweighting) / (4 * size)
    terms = np.stack([residual, annealing, reweighting])
    return float(np.max(error[valid])), int(np.sum(terms[:, valid] > 4 * size[valid]))


def _churned(sweeps: list[Sweep]) -> Claim:
    probed = _all_probed(sweeps, "free_churn")
    worst = max(found.error(_spent(found) - CHURN * found.trace) for found in probed)
    rises, falls = (_count([getattr(found, way) for found in probed]) for way in ("rises", "falls"))
    statement = "V + churn D s^2/2 is a supermartingale of the reverse SDE: its generator is never positive."
    measured = f"{rises} probed states with a positive rate; relative error {worst:.1e}"
    return _judged("D8", statement, measured, wrong=rises > 0 or worst >= LOOSE, exercised=falls > 0)


def _spent(found: Probed) -> np.ndarray:
    """The part of the generator of V that never is positive."""
    return -(1 + CHURN) * found.residual - 2 * found.level * found.kl


def _uncorrected(sweeps: list[Sweep]) -> Claim:
    wrong = rises = 0
    for found in _all_probed(sweeps, "free"):
        rate = _spent(found) + CHURN * (found.dimension * found.level - found.trace)
        wrong += int(np.sum((found.rises | found.falls) & (found.rises != (rate > 0))))
        rises += int(found.rises.sum())
    statement = "V itself is not a supermartingale: it rises in mean exactly below the noise floor."
    measured = f"{rises} probed states rise; {wrong} disagree with the floor"
    return _judged("D8 (V)", statement, measured, wrong=wrong > 0, exercised=rises > 0)


def _contrast(sweeps: list[Sweep]) -> list[Claim]:
    chosen = [_probed(sweep, "density") for sweep in sweeps if sweep.schedule == "VE"]
    if not chosen:
        return []
    rises, falls = int(chosen[0].rises.sum()), int(chosen[0].falls.sum())
    statement = "Under VE the density energy is a supermartingale of the reverse SDE with churn 1."
    measured = f"{rises} of {chosen[0].total.size} probed states have a positive rate"
    return [_judged("D8 (VE)", statement, measured, wrong=rises > 0, exercised=falls > 0)]


def _ancestral(sweeps: list[Sweep]) -> Claim:
    verdicts = [row["verdict"] for row in _rows(sweeps, "free_churn", "DDPM", "mean")]
    statement = "Ancestral sampling (DDPM) never raises V + churn D s^2/2 in mean, at any step size."
    measured = ", ".join(f"{verdicts.count(kind)} {kind}" for kind in sorted(set(verdicts)))
    wrong, exercised = "broken" in verdicts, "holds" in verdicts
    return _judged("D14", statement, f"{len(verdicts)} runs: {measured}", wrong=wrong, exercised=exercised)
