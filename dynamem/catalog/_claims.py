"""The theory held against the audit's own numbers: each claim agrees or is contradicted, with what was measured."""

import jax.numpy as jnp
import numpy as np

from ..lyapunov import rounding_bound
from ._audit_types import Claim
from ._diffusion import CHURN, Found, Sweep
from ._ledger import NAMES


LOOSE = 1e-9
"""Relative error up to which a computed rate counts as equal to its formula."""


def claims_of(odes: list[Sweep], sdes: list[Sweep]) -> list[Claim]:
    """Claims D1-D8, D11 and D14 for whatever dynamics were run."""
    claims: list[Claim | None] = []
    if odes:
        claims += [_same_flow(odes), _density(odes, "density", "D2"), _density(odes, "density_canonical", "D3")]
        claims += [_free_rate(odes), _hopfield(odes), _frozen(odes), _ddim(odes), _ledger(odes)]
    if sdes:
        claims += [_churned(sdes), _uncorrected(sdes), _contrast(sdes), _ancestral(sdes)]
    return [claim for claim in claims if claim is not None]


def _rates(sweep: Sweep, kind: str, energy: str) -> tuple[np.ndarray, np.ndarray]:
    rate, bound = sweep.probes[kind]
    return rate.total[..., NAMES.index(energy)], bound[..., NAMES.index(energy)]


def _relative(found: np.ndarray, want: np.ndarray, slack: np.ndarray) -> float:
    """Largest error beyond rounding, relative to the larger of the value and its rounding bound."""
    return float(np.max(np.abs(found - want) / (np.abs(want) + slack / LOOSE)))


def _same_flow(sweeps: list[Sweep]) -> Claim:
    ends = [sweep.runs[0].run.ys[:, -1] for sweep in sweeps]
    gap = max(float(np.abs(end - ends[0]).max()) for end in ends)
    statement = "Every schedule integrates one and the same canonical flow, so that all end at the same states."
    return Claim("D1", statement, gap < 1e-4, f"largest difference of end states over {len(ends)} schedules: {gap:.2e}")


def _density(sweeps: list[Sweep], energy: str, name: str) -> Claim:
    wrong = seen = rising = 0
    for sweep in sweeps:
        total, bound = _rates(sweep, "ode", energy)
        margin, slack = _margin(sweep, energy)
        clear = (np.abs(total) > bound) & (np.abs(margin) > slack)
        wrong += int(np.sum(clear & ((total > 0) != (margin > 0))))
        seen, rising = seen + int(clear.sum()), rising + int(np.sum(clear & (total > 0)))
    where = "D c(t), a threshold its schedule sets" if energy == "density" else "D s^2"
    coordinates = "own" if energy == "density" else "canonical"
    statement = f"The density energy in {coordinates} coordinates rises exactly where tr C exceeds {where}."
    return Claim(
        name, statement, wrong == 0, f"{rising} of {seen} probed states rise; {wrong} disagree with the threshold"
    )


def _margin(sweep: Sweep, energy: str) -> tuple[np.ndarray, np.ndarray]:
    """``tr C - D c`` and its rounding, at the probed states."""
    probes = sweep.probes
    level = np.exp(-2 * probes["lam"])
    c = level if energy == "density_canonical" else threshold(sweep, probes["tau"], probes["lam"])
    trace, dimension = probes["moments"]["trace"], probes["ys"].shape[-1]
    return trace - dimension * c, 1e-9 * (trace + dimension * c)


def threshold(sweep: Sweep, tau: np.ndarray, lam: np.ndarray) -> np.ndarray:
    """``c = -s^2 d log(sigma)/d lam`` of a schedule, from its ``sigma'`` and ``g^2``."""
    sigma, sigma_dot, g2 = sweep.sampler.coefficients(1 - tau)
    return np.exp(-2 * lam) * (sigma_dot / sigma) * 2 * sigma**2 / g2


def _free_rate(sweeps: list[Sweep]) -> Claim:
    worst, rises = 0.0, 0
    for sweep in sweeps:
        total, bound = _rates(sweep, "ode", "free")
        moments, level = sweep.probes["moments"], np.exp(-2 * sweep.probes["lam"])
        worst = max(worst, _relative(total, -moments["residual"] - 2 * level * moments["kl"], bound))
        rises += int(np.sum(total > bound)) + sum(row["rises"] for row in _select(sweep, "free", "Tsit5"))
    statement = "The free energy V falls along every probability flow: dV/dlam = -|y-m|^2 - 2 s^2 KL."
    measured = f"{rises} rises at probed states and Tsit5 steps; largest relative error of the rate {worst:.1e}"
    return Claim("D4", statement, rises == 0 and worst < LOOSE, measured)


def _hopfield(sweeps: list[Sweep]) -> Claim:
    worst, falls, rises = 0.0, 0, 0
    for sweep in sweeps:
        total, bound = _rates(sweep, "ode", "hopfield")
        level = np.exp(-2 * sweep.probes["lam"])
        worst = max(worst, _relative(total, sweep.probes["moments"]["trace"] / level, bound))
        falls, rises = falls + int(np.sum(total < -bound)), rises + int(np.sum(total > bound))
    statement = "The Hopfield energy -log Z never falls: its rate is tr C/s^2."
    measured = f"{rises} probed states rise, {falls} fall, the rest is within rounding; relative error {worst:.1e}"
    return Claim("D5", statement, falls == 0 and rises > 0 and worst < LOOSE, measured)


def _frozen(sweeps: list[Sweep]) -> Claim:
    rises = sum(int(np.sum(_rates(sweep, "ode", "frozen")[0] > _rates(sweep, "ode", "frozen")[1])) for sweep in sweeps)
    seen = sum(_rates(sweep, "ode", "frozen")[0].size for sweep in sweeps)
    statement = "An energy frozen at one noise level is not monotone along the probability flow."
    return Claim("D6", statement, rises > 0, f"it rises at {rises} of {seen} probed states")


def _ddim(sweeps: list[Sweep]) -> Claim:
    runs = [row for sweep in sweeps for solver in ("DDIM",) for row in _select(sweep, "free", solver)]
    rises = sum(row["rises"] for row in runs)
    statement = "No DDIM step raises the free energy, however coarse, on any schedule."
    return Claim("D7", statement, rises == 0 and bool(runs), f"{rises} rises in {len(runs)} runs of all states")


def _select(sweep: Sweep, energy: str, solver: str | None) -> list[dict]:
    return [
        row
        for row in sweep.rows
        if row["energy"] == energy and row["solver"] == solver and row["statement"] == "pathwise"
    ]


def _ledger(sweeps: list[Sweep]) -> Claim:
    gaps, positive = [], 0
    for sweep in sweeps:
        for found in sweep.runs:
            error, bad = _ledger_of(found)
            gaps.append(error)
            positive += bad if found.run.solver == "DDIM" else 0
    statement = "Each step's change of V is the sum of residual, annealing and re-weighting; for DDIM none is positive."
    measured = (
        f"largest error over {len(gaps)} runs {max(gaps):.1e} of the rounding bound; {positive} positive terms of DDIM"
    )
    return Claim("D11", statement, max(gaps) < 1 and positive == 0, measured)


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
    worst, rises = 0.0, 0
    for sweep in sweeps:
        total, bound = _rates(sweep, "sde", "free_churn")
        moments, level = sweep.probes["moments"], np.exp(-2 * sweep.probes["lam"])
        want = -(1 + CHURN) * moments["residual"] - 2 * level * moments["kl"] - CHURN * moments["trace"]
        worst, rises = max(worst, _relative(total, want, bound)), rises + int(np.sum(total > bound))
    statement = "V + churn D s^2/2 is a supermartingale of the reverse SDE: its generator is never positive."
    measured = f"{rises} probed states with a positive rate; largest relative error of the formula {worst:.1e}"
    return Claim("D8", statement, rises == 0 and worst < LOOSE, measured)


def _uncorrected(sweeps: list[Sweep]) -> Claim:
    wrong = rises = 0
    for sweep in sweeps:
        total, bound = _rates(sweep, "sde", "free")
        moments, level = sweep.probes["moments"], np.exp(-2 * sweep.probes["lam"])
        dimension = sweep.probes["ys"].shape[-1]
        floor = (
            CHURN * (dimension * level - moments["trace"])
            - (1 + CHURN) * moments["residual"]
            - 2 * level * moments["kl"]
        )
        wrong += int(np.sum((np.abs(total) > bound) & ((total > 0) != (floor > 0))))
        rises += int(np.sum(total > bound))
    statement = "V itself is not a supermartingale: it rises in mean exactly below the noise floor."
    return Claim(
        "D8 (V)", statement, wrong == 0 and rises > 0, f"{rises} probed states rise; {wrong} disagree with the floor"
    )


def _contrast(sweeps: list[Sweep]) -> Claim | None:
    chosen = [sweep for sweep in sweeps if sweep.schedule == "VE"]
    if not chosen:
        return None
    total, bound = _rates(chosen[0], "sde", "density")
    rises = int(np.sum(total > bound))
    statement = "Under VE the density energy is a supermartingale of the reverse SDE with churn 1."
    return Claim("D8 (VE)", statement, rises == 0, f"{rises} of {total.size} probed states have a positive rate")


def _ancestral(sweeps: list[Sweep]) -> Claim:
    rows = [
        r
        for s in sweeps
        for r in s.rows
        if r["solver"] == "DDPM" and r["statement"] == "mean" and r["energy"] == "free_churn"
    ]
    verdicts = [row["verdict"] for row in rows]
    statement = "Ancestral sampling (DDPM) never raises V + churn D s^2/2 in mean, at any step size."
    measured = ", ".join(f"{verdicts.count(kind)} {kind}" for kind in sorted(set(verdicts)))
    return Claim("D14", statement, bool(rows) and "broken" not in verdicts, f"{len(rows)} runs: {measured}")
