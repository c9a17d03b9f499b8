"""The audit of one schedule: probability flow and reverse SDE against the energies of its path."""

import dataclasses
import time
from typing import Any

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np

from ..diffusion import AbstractLaw, times_of
from ..lyapunov import MeanTest, Rises, along, differences, mean_test
from ._attribution import attributed
from ._ledger import CLOCKS, NAMES, Along, Energies, Rates
from ._names import STEPS
from ._rows import fraction, listed, row
from ._runs import Run, Sampler


ODE = (("Tsit5", None), *((solver, steps) for solver in ("Euler", "DDIM", "Heun") for steps in STEPS))
SDE = tuple((solver, steps) for solver in ("EulerMaruyama", "DDPM") for steps in STEPS)
CHURN = 1.0
PATHS = 4
AFFINE = ("EDM", "FlowMatching")


@dataclasses.dataclass(frozen=True)
class Found:
    """A run with all energies along it: values, sizes and martingale parts (B, n, 6), and its moments."""

    run: Run
    values: np.ndarray
    sizes: np.ndarray
    slopes: np.ndarray
    moments: dict[str, np.ndarray]


@dataclasses.dataclass(frozen=True)
class Sweep:
    """All that was measured of one dynamics on one schedule, for the rows, the claims and the figures."""

    schedule: str
    sampler: Sampler
    runs: list[Found]
    rows: list[dict[str, Any]]
    probes: dict[str, Any]


def sweep(dynamics: str, name: str, law: AbstractLaw, states: Any, levels: tuple[float, float], key: Any) -> Sweep:
    """Run every solver of one dynamics on one schedule and judge every energy; ``states`` are canonical (B, D)."""
    sampler = Sampler(name, law, levels)
    energies = Energies(sampler.path, jnp.asarray(CHURN), jnp.zeros(()))
    rows: list[dict[str, Any]] = []
    if dynamics == "probability_flow":
        runs = [_evaluated(energies, sampler.ode(solver, steps, states)) for solver, steps in ODE]
        visited, names = runs[0], NAMES[:-1]
    else:
        many = jnp.tile(states, (PATHS, 1))
        keys = jax.vmap(lambda b: jr.fold_in(key, b))(jnp.arange(many.shape[0]))
        runs = [_evaluated(energies, sampler.sde(solver, steps, many, keys, CHURN)) for solver, steps in SDE]
        visited, names = runs[-1], NAMES
    for found in runs:
        rows += _pathwise(found, energies, dynamics, name, names)
        rows += _in_mean(found, name) if dynamics == "reverse_sde" else []
    probes = _probes(energies, visited.run, states.shape[0])
    rows += _rate_rows(probes, dynamics, name, names)
    return Sweep(name, sampler, runs, rows, probes)


def _evaluated(energies: Energies, run: Run) -> Found:
    values, sizes, slopes, moments = along(Along(energies), run.tau, run.ys, run.lam, run.noise)
    return Found(run, values, sizes, slopes, moments)


def _rises(found: Found, index: int) -> Rises:
    return differences(found.values[..., index], found.sizes[..., index], found.run.count)


def theorem_of(dynamics: str, energy: str, solver: str | None, schedule: str, statement: str) -> str | None:
    """The statement that speaks about this cell, None where there is none."""
    if dynamics == "reverse_sde":
        if statement == "rate" and energy in ("free", "free_churn"):
            return "D8"
        if statement == "rate" and energy == "density" and schedule == "VE":
            return "D8"
        return "D14" if statement == "mean" and energy == "free_churn" and solver == "DDPM" else None
    if solver in ("Tsit5", None):
        return {"density": "D2", "density_canonical": "D3", "hopfield": "D5", "frozen": "D6", "free": "D4"}[energy]
    if energy == "free" and (solver == "DDIM" or (solver == "Euler" and schedule in AFFINE)):
        return "D7"
    return None


def _base(found: Found, dynamics: str, schedule: str, energy: str, statement: str) -> dict[str, Any]:
    run = found.run
    return {
        "system": f"{dynamics}/{schedule}",
        "dynamics": dynamics,
        "schedule": schedule,
        "solver": run.solver,
        "steps": run.steps,
        "clock": CLOCKS[energy],
        "energy": energy,
        "statement": statement,
        "theorem": theorem_of(dynamics, energy, run.solver, schedule, statement),
        "states": int(run.ys.shape[0]),
        "seconds": run.seconds,
    }


def _failure(found: Found, rises: Rises) -> dict[str, Any] | None:
    run = found.run
    if not run.ok.all():
        return {
            "verdict": "failed",
            "reason": f"{int((~run.ok).sum())} of {run.ok.size} solves failed or left the finite numbers",
        }
    if rises.undefined:
        return {"verdict": "failed", "reason": "the energy is NaN or infinite on the way"}
    return None


def _pathwise(found: Found, energies: Energies, dynamics: str, schedule: str, names: tuple) -> list[dict[str, Any]]:
    """Rows of the statement 'no step raises the energy', with witness and attribution where one does."""
    rows, broken = [], []
    for energy in names:
        rises = _rises(found, NAMES.index(energy))
        base = _base(found, dynamics, schedule, energy, "pathwise")
        failure = _failure(found, rises)
        if failure is not None:
            rows.append(row(**base, **failure))
            continue
        count, pairs, place = int(rises.rising.sum()), int(rises.valid.sum()), rises.largest()
        reason = f"{count} of {pairs} steps rise" if count else f"no rise in {pairs} steps"
        made = row(
            **base,
            verdict="broken" if count else "holds",
            reason=reason,
            tolerance=rises.tolerance,
            rises=count,
            rise_fraction=fraction(count, pairs),
            largest_rise=float(rises.change[place]) if place else 0.0,
            first_rise=_first(found, rises, energy),
            witness=_witness(found, rises, energy, energies),
        )
        rows.append(made)
        if place is not None:
            broken.append((made, energy, *place))
    attributed(found, energies, broken, stochastic=dynamics == "reverse_sde")
    return rows


def _first(found: Found, rises: Rises, energy: str) -> dict[str, float] | None:
    """The earliest rise, on the row's clock and in ``lam``: the start of its step."""
    if not rises.rising.any():
        return None
    lam = np.where(rises.rising, found.run.lam[:, :-1], np.inf)
    place = np.unravel_index(int(np.argmin(lam)), lam.shape)
    clock = found.run.tau if CLOCKS[energy] == "tau" else found.run.lam
    return {"clock": float(clock[place]), "lam": float(lam[place])}


def _witness(found: Found, rises: Rises, energy: str, energies: Energies) -> dict[str, Any] | None:
    """The step with the largest rise, in the state of the row's clock, so that the energy itself replays it."""
    place = rises.largest()
    if place is None:
        return None
    (b, k), run = place, found.run
    own = CLOCKS[energy] == "tau"
    times = run.tau if own else run.lam
    schedule = energies.path.schedule
    scale = [float(schedule.alpha(1 - run.tau[b, j])) if own else 1.0 for j in (k, k + 1)]
    return {
        "kind": "step",
        "state": b,
        "step": k,
        "t0": float(times[b, k]),
        "x0": listed(scale[0] * run.ys[b, k]),
        "t1": float(times[b, k + 1]),
        "x1": listed(scale[1] * run.ys[b, k + 1]),
        "change": float(rises.change[b, k]),
    }


def _in_mean(found: Found, schedule: str) -> list[dict[str, Any]]:
    """Rows of the supermartingale statement, tested over paths step by step and below the noise floor."""
    rows = []
    for index, energy in enumerate(NAMES):
        rises = _rises(found, index)
        base = _base(found, "reverse_sde", schedule, energy, "mean")
        failure = _failure(found, rises)
        if failure is not None:
            rows.append(row(**base, **failure))
            continue
        martingale = found.slopes[:, :-1, index]
        result = _mean_result(mean_test(rises.change, martingale, rises.bound), found, energy)
        if energy in ("free", "free_churn"):
            result |= _floor_result(found, rises.change - martingale, rises.bound)
        rows.append(row(**base, **result))
    return rows


def _floor_result(found: Found, rest: np.ndarray, bound: np.ndarray) -> dict[str, Any]:
    """What a supermartingale must also pass: no mean rise over the (path, step) pairs of a set known at their start.

    The set is where V's own generator is positive, ``(1 + zeta)|y - m|^2 + 2 s^2 KL < zeta (D s^2 - tr C)``.
    """
    moments = {name: values[:, :-1] for name, values in found.moments.items()}
    level = np.exp(-2 * found.run.lam[:, :-1])
    spent = (1 + CHURN) * moments["residual"] + 2 * level * moments["kl"]
    inside = spent < CHURN * (found.run.ys.shape[-1] * level - moments["trace"])
    total = np.sum(rest * inside, axis=1, keepdims=True)
    test = mean_test(total, np.zeros_like(total), np.sum(bound * inside, axis=1, keepdims=True))
    if test.status != "broken":
        return {}
    low, mean = float(test.low[0]), float(test.mean[0])
    times = found.run.lam[:, :-1]
    place = np.unravel_index(int(np.argmin(np.where(inside, times, np.inf))), inside.shape)
    reason = (
        f"rises in mean below the noise floor: {int(inside.sum())} steps over {test.paths} paths, at confidence 0.999"
    )
    witness = {"kind": "mean", "mean": mean, "low": low, "high": float(test.high[0]), "paths": test.paths}
    first = {"clock": float(times[place]), "lam": float(times[place])}
    found_rise = {
        "verdict": "broken",
        "rises": int(inside.sum()),
        "rise_fraction": fraction(int(inside.sum()), inside.size),
    }
    return found_rise | {"reason": reason, "largest_rise": mean, "first_rise": first, "witness": witness}


def _mean_result(test: MeanTest, found: Found, energy: str) -> dict[str, Any]:
    surely = int(test.rising.sum())
    first = int(np.argmax(test.rising)) if surely else None
    clock = found.run.tau if CLOCKS[energy] == "tau" else found.run.lam
    detail = {"broken": f"{surely} surely rise", "holds": "none rises"}.get(test.status, f"{test.open} stay open")
    worst = int(np.argmax(test.low))
    return {
        "verdict": test.status,
        "reason": f"mean change of {test.mean.size} steps over {test.paths} paths at joint confidence 0.999: {detail}",
        "tolerance": float(test.bound.max()),
        "rises": surely,
        "rise_fraction": fraction(surely, test.mean.size),
        "largest_rise": float(test.mean[worst]) if surely else 0.0,
        "first_rise": None
        if first is None
        else {"clock": float(clock[0, first]), "lam": float(found.run.lam[0, first])},
        "witness": {
            "kind": "mean",
            "step": worst,
            "mean": float(test.mean[worst]),
            "low": float(test.low[worst]),
            "high": float(test.high[worst]),
            "paths": test.paths,
        }
        if surely
        else None,
    }


def _probes(energies: Energies, run: Run, count: int) -> dict[str, Any]:
    """Rates at the states of one run, and at states between pairs of its ends."""
    tau, lam, ys = (_thinned(values[:count]) for values in (run.tau, run.lam, run.ys))
    between = _between(energies, ys[:, -1], lam[:1])
    tau, lam, ys = (
        np.concatenate([tau, between[0]]),
        np.concatenate([lam, between[1]]),
        np.concatenate([ys, between[2]]),
    )
    start = time.perf_counter()
    ode, sde = along(Rates(energies), tau, ys, lam)
    _, _, _, moments = along(Along(energies), tau, ys, lam, np.zeros_like(ys))
    seconds = time.perf_counter() - start
    return {"tau": tau, "lam": lam, "ys": ys, "ode": ode, "sde": sde, "moments": moments, "seconds": seconds}


def _thinned(values: np.ndarray, width: int = 25) -> np.ndarray:
    """At most ``width`` columns, ends included, so that all probes share one shape."""
    return values[:, np.linspace(0, values.shape[1] - 1, width).round().astype(int)]


def _between(energies: Energies, ends: np.ndarray, lam: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Midpoints of neighbouring end states at every probed time: where two memories compete."""
    middle = 0.5 * (ends + np.roll(ends, 1, axis=0))[: max(1, len(ends) // 2)]
    grid = np.linspace(lam.min(), lam.max(), lam.shape[1])
    lams = np.broadcast_to(grid, (middle.shape[0], grid.size))
    times = 1 - np.asarray(times_of(energies.path.schedule, jnp.asarray(grid)))
    return np.broadcast_to(times, lams.shape), lams, np.repeat(middle[:, None], grid.size, axis=1)


def _rate_rows(probes: dict[str, Any], dynamics: str, schedule: str, names: tuple) -> list[dict[str, Any]]:
    """Rows of the statement 'the generator is never positive', at all probed states."""
    rate, bound = probes["ode" if dynamics == "probability_flow" else "sde"]
    rows = []
    for index, energy in enumerate(names):
        total, slack = rate.total[..., index], bound[..., index]
        base = {
            "system": f"{dynamics}/{schedule}",
            "dynamics": dynamics,
            "schedule": schedule,
            "solver": None,
            "steps": None,
            "clock": CLOCKS[energy],
            "energy": energy,
            "statement": "rate",
            "theorem": theorem_of(dynamics, energy, None, schedule, "rate"),
            "states": int(total.size),
            "seconds": probes["seconds"],
        }
        rows.append(row(**base, **_rate_result(probes, rate, total, slack, index)))
    return rows


def _rate_result(probes: dict[str, Any], rate: Any, total: np.ndarray, slack: np.ndarray, index: int) -> dict[str, Any]:
    if not np.all(np.isfinite(total)):
        return {"verdict": "failed", "reason": "the rate is NaN or infinite at a probed state"}
    rising = total > slack
    count, energy = int(rising.sum()), NAMES[index]
    clock = probes["tau"] if CLOCKS[energy] == "tau" else probes["lam"]
    place = np.unravel_index(int(np.argmax(np.where(rising, total, -np.inf))), total.shape)
    first = np.unravel_index(int(np.argmin(np.where(rising, probes["lam"], np.inf))), total.shape)
    parts = {name: float(getattr(rate, name)[(*place, index)]) for name in ("schedule", "dissipation", "drift", "ito")}
    return {
        "verdict": "broken" if count else "holds",
        "reason": f"the rate per unit of lam is positive at {count} of {total.size} states",
        "tolerance": float(slack.max()),
        "rises": count,
        "rise_fraction": fraction(count, total.size),
        "largest_rise": float(total[place]) if count else 0.0,
        "first_rise": {"clock": float(clock[first]), "lam": float(probes["lam"][first])} if count else None,
        "witness": {
            "kind": "rate",
            "lam": float(probes["lam"][place]),
            "y": listed(probes["ys"][place]),
            "change": float(total[place]),
        }
        if count
        else None,
        "attribution": parts | {"martingale": 0.0, "discretisation": 0.0} if count else None,
    }
