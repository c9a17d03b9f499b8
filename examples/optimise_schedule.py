r"""Ten steps of DDIM on the digits, put where they do most: a grid found by gradient through the solve.

Karras's grid, steps uniform in ``lam = -log s`` and steps uniform in VP's time ("trailing") are each given ten calls of
the denoiser. `dm.optimise_schedule` starts from the best of them and moves its times to lower the final error, against
a fine solve, of 64 states; all four are then compared on 128 states that it has not seen. None raises the free energy.

    python examples/optimise_schedule.py [picture.svg]
"""

import sys
from pathlib import Path
from typing import Any

import diffrax as dfx
import jax
import jax.numpy as jnp
import jax.random as jr
import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from sklearn.datasets import load_digits

import dynamem as dm


START, END, STEPS = 20.0, 0.05, 10
FITTED, HELD, SEEDS = 64, 128, (0, 1, 2)
COLOURS = {"optimised": "#d1495b", "trailing": "#0b6e99", "uniform": "#7a5195", "karras": "#5c6870"}


def grids() -> dict[str, Any]:
    """The usual ones, as times lam, by name."""
    levels = {
        "karras": dm.karras_grid(START, END, STEPS),
        "uniform": dm.geometric_grid(START, END, STEPS),
        "trailing": dm.time_grid(dm.VP(), START, END, STEPS),
    }
    return {name: -np.log(np.asarray(one)) for name, one in levels.items()}


def states(xi: Any, count: int, key: Any) -> Any:
    """Patterns with noise of level `START`."""
    which, noise = jr.split(key)
    return xi[jr.randint(which, (count,), 0, len(xi))] + START * jr.normal(noise, (count, xi.shape[1]))


def fine(flow: Any) -> Any:
    """Final states by an adaptive solve, as a function of states and ends."""

    def one(x: Any, t0: Any, t1: Any) -> Any:
        steps = dfx.PIDController(rtol=1e-8, atol=1e-8)
        found: Any = dfx.diffeqsolve(flow.terms(), dfx.Tsit5(), t0, t1, None, x, stepsize_controller=steps)
        return found.ys[0]

    return jax.jit(jax.vmap(one, in_axes=(0, None, None)))


def search(xi: Any, seed: int, rounds: int) -> dict[str, Any]:
    """The usual grids and the optimised one, each with its error on states that were held out."""
    path = dm.DiffusionPath(dm.VP(), dm.Empirical(xi))
    flow, keys, free = dm.ProbabilityFlow(path), jr.split(jr.key(seed)), {"free": dm.FreeEnergy(path)}
    t0, t1 = -float(np.log(START)), -float(np.log(END))
    problem = dm.Problem("digits", flow, states(xi, FITTED, keys[0]), t0, t1, free, exact=fine(flow))
    held = states(xi, HELD, keys[1])
    tried = {
        name: dm.optimise_schedule(problem, dm.DDIM(), ts, held_out=held, rounds=0) for name, ts in grids().items()
    }
    best = min(tried.values(), key=lambda one: one.before.error).before
    found = dm.optimise_schedule(problem, dm.DDIM(), best.ts, held_out=held, rounds=rounds)
    return {"optimised": found.after} | {name: one.before for name, one in tried.items()}


def picture(found: list[dict[str, Any]]) -> Figure:
    """Where the steps lie, and what they leave."""
    figure = Figure(figsize=(9.6, 3.4), layout="constrained", facecolor="white")
    left, right = figure.subplots(1, 2, width_ratios=(3, 2))
    for row, (name, colour) in enumerate(COLOURS.items()):
        for seed, schedules in enumerate(found):
            height = -row - 0.22 * (seed - 1) * (name == "optimised")
            ts = schedules[name].ts
            left.plot(np.exp(-ts), np.full(len(ts), height), "|-", color=colour, markersize=9, linewidth=0.5)
            right.plot(schedules[name].held_error, -row - 0.22 * (seed - 1), "o", color=colour, markersize=5)
    left.set(xscale="log", xlabel="noise level s, falling", title="Ten steps, from noise to data")
    left.invert_xaxis()
    right.set(xlim=(0, None), xlabel="error at the end, states held out", title="What they leave, three seeds")
    for axes in (left, right):
        axes.set_yticks(-np.arange(len(COLOURS)), list(COLOURS) if axes is left else [""] * len(COLOURS))
        axes.tick_params(axis="y", length=0)
        axes.spines[["top", "right", "left"]].set_visible(False)
        axes.title.set_fontsize(10.5)
    return figure


def main(picture_path: str | Path = "optimise_schedule.svg", rounds: int = 150) -> list[dict[str, Any]]:
    """Draw the picture; returns the schedules of each seed by name."""
    jax.config.update("jax_enable_x64", True)
    xi = jnp.asarray(load_digits(return_X_y=True)[0]) / 16.0
    found = [search(xi, seed, rounds) for seed in SEEDS]
    print("| grid | " + " | ".join(f"seed {seed}" for seed in SEEDS) + " | rises |\n|---|" + "---|" * (len(SEEDS) + 1))
    for name in COLOURS:
        errors = [f"{schedules[name].held_error:.4f}" for schedules in found]
        rises = sum(schedules[name].rises + schedules[name].held_rises for schedules in found)
        print(f"| {name} | {' | '.join(errors)} | {rises} |")
    with mpl.rc_context({"svg.hashsalt": "dynamem", "font.size": 9.5, "axes.titlepad": 8.0}):
        undated = {"Date": None} if Path(picture_path).suffix == ".svg" else None  # the same file at every run
        picture(found).savefig(picture_path, metadata=undated)
    return found


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "optimise_schedule.svg")
