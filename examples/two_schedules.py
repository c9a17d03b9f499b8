r"""Where two schedules break the same flow: one data set, one canonical flow, two thresholds.

In ``y = x/alpha`` against ``lam = -log s`` the trajectories of VP and of VE coincide. The density energy in each
schedule's own coordinates does not: it rises exactly where ``tr C > D c``, with ``c = sigma^2 = s^2/(1 + s^2)`` for VP
and ``c = s^2`` for VE. VP therefore loses the guarantee while the noise still covers both clusters; VE only where
they separate. The free energy ``V`` falls along both throughout.

    python examples/two_schedules.py [picture.svg]
"""

import sys
from pathlib import Path
from typing import Any, NamedTuple

import diffrax as dfx
import jax
import jax.numpy as jnp
import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

import dynamem as dm


CENTRE, RADIUS, CLUSTER = 1.38, 0.2, 6
LEVELS = np.geomspace(20.0, 0.05, 241)
"""Noise levels ``s`` at which energies are compared, falling."""
STARTS = np.array([[-1.1, 0.5], [-0.45, -0.9], [-0.15, 0.3], [-0.02, 0.8], [0.08, -0.5], [0.3, 0.1], [0.8, -1.0]])
"""States at the first level, in units of ``s``."""
COLOURS = {"VP": "#0b6e99", "VE": "#7a5195"}
RISE, PALE = "#d1495b", "#9aa5ad"


class Run(NamedTuple):
    """Along one schedule's trajectories: canonical states (B, n, D), energies (B, n), ``tr C/D`` (B, n), ``c`` (n,)."""

    states: np.ndarray
    density: np.ndarray
    free: np.ndarray
    spread: np.ndarray
    threshold: np.ndarray

    @property
    def rising(self) -> np.ndarray:
        """Which of the intervals between levels the density energy rises over, (B, n - 1)."""
        return np.diff(self.density, axis=1) > 1e-9

    @property
    def onset(self) -> float:
        """The noise level at which a first trajectory begins to rise."""
        return float(LEVELS[np.argmax(self.rising.any(axis=0))])


def patterns() -> np.ndarray:
    """Two rings of patterns, at ``-CENTRE`` and ``+CENTRE`` on the first axis."""
    angles = 2 * np.pi * np.arange(CLUSTER) / CLUSTER
    ring = RADIUS * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    shift = np.array([CENTRE, 0.0])
    return np.concatenate([ring - shift, ring + shift])


def run(schedule: dm.AbstractSchedule, law: dm.Empirical) -> Run:
    """Solve from noise to data on the schedule's own clock and evaluate the energies at `LEVELS`."""
    path = dm.DiffusionPath(schedule, law)
    flow = dm.ProbabilityFlow(path, clock="tau")
    density, free = dm.DensityEnergy(path, clock="tau"), dm.FreeEnergy(path, clock="tau")
    noise_times = jax.vmap(schedule.t_of_lam)(-jnp.log(LEVELS))
    times, alpha = 1 - noise_times, jax.vmap(schedule.alpha)(noise_times)

    def solve(x: Any) -> Any:
        return dfx.diffeqsolve(
            flow.terms(),
            dfx.Tsit5(),
            times[0],
            times[-1],
            None,
            x,
            saveat=dfx.SaveAt(ts=times),
            stepsize_controller=dfx.PIDController(rtol=1e-10, atol=1e-12),
        ).ys

    def trace(x: Any, alpha: Any, s: Any) -> Any:
        return law.moments(x / alpha, s).trace

    xs = jax.jit(jax.vmap(solve))(alpha[0] * LEVELS[0] * jnp.asarray(STARTS))
    along = jax.vmap(jax.vmap(density), in_axes=(None, 0)), jax.vmap(jax.vmap(free), in_axes=(None, 0))
    energies = [np.asarray(jax.jit(energy)(times, xs)) for energy in along]
    traces = jax.vmap(jax.vmap(trace), in_axes=(0, None, None))(xs, alpha, jnp.asarray(LEVELS))
    sigma_dot, sigma = jax.vmap(schedule.sigma_dot)(noise_times), jax.vmap(schedule.sigma)(noise_times)
    speed = -0.5 * jax.vmap(schedule.g2)(noise_times) / sigma**2  # d lam / dt
    threshold = -(LEVELS**2) * (sigma_dot / sigma) / speed
    return Run(
        np.asarray(xs) / np.asarray(alpha)[:, None], *energies, np.asarray(traces) / xs.shape[-1], np.asarray(threshold)
    )


def picture(runs: dict[str, Run]) -> Figure:
    """Four panels over one axis of noise levels."""
    figure = Figure(figsize=(9.6, 6.4), layout="constrained", facecolor="white")
    axes = figure.subplots(2, 2, sharex=True)
    _flow(axes[0, 0], runs)
    _thresholds(axes[0, 1], runs)
    for axis, (name, found) in zip(axes[1], runs.items(), strict=True):
        _energy(axis, name, found)
    axes[0, 0].set_xscale("log")
    axes[0, 0].set_xlim(LEVELS[0], LEVELS[-1])
    axes[0, 0].set_xticks([20, 10, 5, 2, 1, 0.5, 0.2, 0.1, 0.05], minor=False)
    axes[0, 0].xaxis.set_major_formatter("{x:g}")
    axes[0, 0].xaxis.set_minor_locator(NullLocator())
    for axis in axes.flat:
        axis.spines[["top", "right"]].set_visible(False)
        axis.title.set_fontsize(10.5)
    for axis in axes[1]:
        axis.set_xlabel("noise level s, falling from noise to data")
    return figure


def _flow(axis: Any, runs: dict[str, Run]) -> None:
    axis.set_title("One flow: both schedules, the same trajectories", loc="left")
    axis.plot(LEVELS, runs["VP"].states[..., 0].T, color=COLOURS["VP"], linewidth=1.6)
    axis.plot(LEVELS[::12], runs["VE"].states[:, ::12, 0].T, "o", color=COLOURS["VE"], markersize=2.6)
    axis.set_ylim(-3.2, 3.2)
    axis.set_ylabel("first coordinate of y = x/α")
    axis.plot([], [], color=COLOURS["VP"], label="VP")
    axis.plot([], [], "o", color=COLOURS["VE"], markersize=3, label="VE")
    axis.legend(frameon=False, loc="upper right")


def _thresholds(axis: Any, runs: dict[str, Run]) -> None:
    axis.set_title("Two thresholds: a rise where tr C / D > c", loc="left")
    axis.plot(LEVELS, runs["VP"].spread.T, color=PALE, linewidth=1)
    labels = {"VP": ("c of VP: s²/(1 + s²)", (18, 1.04)), "VE": ("c of VE: s²", (0.92, 1.2))}
    for name, (label, where) in labels.items():
        axis.plot(LEVELS, runs[name].threshold, color=COLOURS[name], linewidth=2)
        axis.axvline(runs[name].onset, color=COLOURS[name], linewidth=0.8, linestyle=":")
        axis.annotate(label, where, color=COLOURS[name])
    axis.annotate("tr C / D\nof each trajectory", (0.48, 0.7), color="#5c6870")
    axis.set_ylim(0, 1.5)


def _energy(axis: Any, name: str, found: Run) -> None:
    axis.set_title(f"{name}: density energy, own coordinates, rises in red", loc="left")
    axis.plot(LEVELS, found.density.T, color=PALE, linewidth=1)
    for values, rising in zip(found.density, found.rising, strict=True):
        shown = np.append(rising, False) | np.append(False, rising)
        axis.plot(LEVELS, np.where(shown, values, np.nan), color=RISE, linewidth=2.2)
    axis.axvline(found.onset, color=COLOURS[name], linewidth=0.8, linestyle=":")
    label, where = f" first rise at s = {found.onset:.2f}", (found.onset, 0.03)
    axis.annotate(label, where, xycoords=("data", "axes fraction"), color=COLOURS[name])
    axis.set_ylabel("-log p")


def main(picture_path: str | Path = "two_schedules.svg") -> dict[str, float]:
    """Draw the picture; returns the noise level of the first rise by schedule."""
    jax.config.update("jax_enable_x64", True)
    law = dm.Empirical(jnp.asarray(patterns()))
    runs = {"VP": run(dm.VP(), law), "VE": run(dm.VE(), law)}
    for name, found in runs.items():
        crossing = LEVELS[np.argmax((found.spread > found.threshold).any(axis=0))]
        falls = bool(np.all(np.diff(found.free, axis=1) < 1e-9))
        print(f"{name}: first rise at s = {found.onset:.2f}, tr C/D > c from s = {crossing:.2f}, V falls: {falls}")
    with mpl.rc_context({"svg.hashsalt": "dynamem", "font.size": 9.5, "axes.titlepad": 8.0}):
        undated = {"Date": None} if Path(picture_path).suffix == ".svg" else None  # the same file at every run
        picture(runs).savefig(picture_path, metadata=undated)
    return {name: found.onset for name, found in runs.items()}


if __name__ == "__main__":
    main(*sys.argv[1:2])
