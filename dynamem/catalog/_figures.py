"""Numbers behind the report's figures."""

import jax.numpy as jnp
import numpy as np

from .._errors import InputError
from ..diffusion import DensityEnergy, times_of
from ..flows import ProbabilityFlow
from ..lyapunov import Trajectory, along
from ..rigour import plane, rate_maps
from ._audit_types import Certified, Curve, Figures, Plane, Recall
from ._claims import threshold
from ._diffusion import Found, Sweep
from ._ledger import NAMES
from ._options import DataSet


LEVELS = (0.3, 0.2, 0.15, 0.1, 0.07)
SHOWN_CERTIFIED, MOST_CERTIFIED = 3, 2_000_000
COST = 72_000_000
"""Boxes times patterns of one certified map."""
SHOWN = 8


def figures_of(
    odes: list[Sweep], sdes: list[Sweep], memory: Trajectory | None, data: DataSet, *, coarse: bool
) -> Figures:
    """Curves, maps and images from what the audit has computed; ``memory`` is a run of the log-sum-exp memory."""
    recalls = [_sampled("probability flow", "Tsit5", sweep, sweep.runs[0], data) for sweep in odes[:1]]
    recalls += [_sampled("reverse SDE", "DDPM 50 steps", sweep, sweep.runs[-1], data) for sweep in sdes[:1]]
    if memory is not None:
        recalls.append(_remembered(memory, data))
    planes = _plane(odes, data, 25 if coarse else 41) if odes and len(data.patterns) >= 3 else None
    return Figures(_curves(odes), planes, recalls, data.image_shape)


def _curves(sweeps: list[Sweep]) -> list[Curve]:
    """Every energy along the first schedule's Heun run of 50 steps, and the own density along every schedule's."""
    curves = []
    for place, sweep in enumerate(sweeps):
        for index, energy in enumerate(NAMES[:-1]):
            if energy != "density" and place:
                continue
            found = sweep.runs[-1]
            values, lam = found.values[:SHOWN, :, index], found.run.lam[0]
            bound = found.sizes[:SHOWN, :, index] * 32 * np.finfo(float).eps
            rising = np.diff(values, axis=1) > bound[:, 1:] + bound[:, :-1]
            curves.append(
                Curve(energy, f"{energy}, {sweep.schedule}, Heun 50 steps", sweep.schedule, lam, values, rising)
            )
    return curves


def _plane(sweeps: list[Sweep], data: DataSet, size: int) -> Plane | None:
    """``tr C`` on the plane through three patterns far from each other, and the thresholds of all schedules.

    None where the patterns lie on one line.
    """
    patterns = data.patterns
    away = np.linalg.norm(patterns - patterns[0], axis=1)
    far = int(np.argmax(away))
    third = int(np.argmax(np.minimum(away, np.linalg.norm(patterns - patterns[far], axis=1))))
    corners = patterns[[0, far, third]]
    try:
        origin, directions, flat = plane(corners)
    except InputError:
        return None
    low, high = flat.min(), flat.max()
    grid = np.linspace(low - 0.35 * (high - low), high + 0.35 * (high - low), size)
    points = origin + np.stack(np.meshgrid(grid, grid), axis=-1) @ directions.T
    lams = -np.log(np.asarray(LEVELS))
    shape = (len(lams), size, size)
    trace = along(
        sweeps[0].sampler.trace(),
        np.broadcast_to(lams[:, None, None], shape),
        np.broadcast_to(points, (*shape, points.shape[-1])),
    )
    thresholds = {}
    for sweep in sweeps:
        tau = 1 - np.asarray(times_of(sweep.sampler.schedule, jnp.asarray(lams)))
        thresholds[sweep.schedule] = patterns.shape[1] * threshold(sweep, tau, lams)
    return Plane(grid, grid, flat, corners, lams, trace, thresholds, patterns.shape[1])


def certified_map(sweeps: list[Sweep], data: DataSet, drawn: Plane | None) -> Certified | None:
    """Boxes of a plane through three patterns where the density energy of ``y`` certainly falls, and where it rises.

    None where there is no such plane, or the patterns are too many for it.
    """
    count, size = data.patterns.shape
    if drawn is None or count * size > MOST_CERTIFIED:
        return None
    path, (origin, directions, corners) = sweeps[0].sampler.path, plane(drawn.corner_images)
    side, lams = (float(drawn.u[0]), float(drawn.u[-1])), drawn.lams[:SHOWN_CERTIFIED]
    maps = rate_maps(
        DensityEnergy(path), ProbabilityFlow(path), [side, side], lams.tolist(), affine=(origin, directions),
        boxes=max(200, COST // count), budget_s=120.0,
    )  # fmt: skip
    return Certified(maps, lams, corners, (count, size))


def _sampled(label: str, solver: str, sweep: Sweep, found: Found, data: DataSet) -> Recall:
    ys = found.run.ys[:SHOWN]
    return _recall(f"{label}, {sweep.schedule}, {solver}", ys[:, 0], ys[:, -1], data)


def _remembered(run: Trajectory, data: DataSet) -> Recall:
    xs = np.asarray(run.xs)
    return _recall("log-sum-exp memory, Tsit5", xs[:SHOWN, 0], xs[:SHOWN, -1], data)


def _recall(label: str, starts: np.ndarray, ends: np.ndarray, data: DataSet) -> Recall:
    """Ends beside their nearest stored patterns."""
    distance = np.sum(data.patterns**2, axis=1)[None, :] - 2 * ends @ data.patterns.T
    nearest = data.patterns[np.argmin(distance, axis=1)]
    return Recall(label, starts, ends, nearest, np.linalg.norm(ends - nearest, axis=1))
