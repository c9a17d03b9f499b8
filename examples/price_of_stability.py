r"""What does it cost a denoiser to have an energy that falls whatever its weights?

The four networks of `train_denoiser.py`, trained on the same digits, beside the exact denoiser of those digits, which
remembers them and knows no other. For each, on digits held out and along its own DDIM-50 trajectories from noise:

- loss: the loss of training, on digits held out;
- nats: -log p of held-out digits at noise level 0.1, per pixel, by the change of variables (less is better);
- asymmetry: |J - J^T|/|J| of its Jacobian, median over the trajectories; 0 for a gradient field;
- margin: how often |m' - m|^2 <= 2V - tr C, the allowance within which the V of the training digits has to fall;
- V rises: how often a step raises that V; own rises: the network's own V; flow rises: the tracked V of its own law,
  along the flow, by more than 4 standard errors of its random probes.

    python examples/price_of_stability.py --folder weights        trains what the folder does not hold yet
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import diffrax as dfx
import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Float
from train_denoiser import KINDS, digits, fresh

import dynamem as dm
from dynamem.learning import loss_on


STEPS = {"mlp": 40_000, "unet": 4_000, "energy": 20_000, "concave": 40_000}
LEVEL, NOISE, DATA = 0.1, 10.0, 0.02  # of the likelihood, and from where to where trajectories go
GRID = -7 * np.log(np.linspace(NOISE ** (1 / 7), DATA ** (1 / 7), 51))  # the grid of Karras et al. 2022
HEAD = ("loss", "nats", "asymmetry", "margin", "V rises", "own rises", "flow rises")


class Price(NamedTuple):
    """A row of the table; NaN where there is no such thing."""

    loss: float
    nats: float
    nats_error: float
    asymmetry: float
    margin: float
    rises: float
    own_rises: float
    flow_rises: float


def _share(values: Float[Array, "B n"], errors: Float[Array, "B n"]) -> float:
    """The share of steps that raise a value by more than four standard errors, and by more than rounding."""
    return float(jnp.mean(jnp.diff(values, axis=1) > 4 * errors[:, 1:] + 1e-6))


@eqx.filter_jit
def sampled(model: dm.AbstractDenoiser, ys: Float[Array, "B D"]) -> Float[Array, "B n D"]:
    """States of DDIM on the grid, from ``ys``."""

    def one(y):
        def step(y, ends):
            after = y - jnp.expm1(ends[0] - ends[1]) * (model.denoise(y, jnp.exp(-ends[0])) - y)
            return after, after

        return jnp.concatenate([y[None], jax.lax.scan(step, y, np.stack([GRID[:-1], GRID[1:]], 1))[1]])

    return jax.lax.map(one, ys, batch_size=64)


@eqx.filter_jit
def along(model, law, states):
    """Asymmetry, margin and V of the law at each state of the trajectories, shape (B, n) each."""
    energy = dm.FreeEnergy(dm.DiffusionPath(dm.VE(), law))
    key = jr.key(3)

    def one(lam, y):
        s = jnp.exp(-lam)
        bent = dm.asymmetry(model, y, s, probes=4, key=key).value
        return bent, dm.margin(model, law, y, s).inside, energy(lam, y)

    return jax.lax.map(lambda row: jax.vmap(one)(GRID, row), states)


@eqx.filter_jit
def tracked(flow: dm.Tracked, ys: Float[Array, "B D"]) -> tuple[Float[Array, "B n"], Float[Array, "B n"]]:
    """Tracked V and its standard error on the grid, along the flow from ``ys``."""

    def one(y):
        how: dict[str, Any] = {"saveat": dfx.SaveAt(ts=GRID), "stepsize_controller": dfx.StepTo(GRID)}
        ys: Any = dfx.diffeqsolve(flow.terms(), dfx.Heun(), GRID[0], GRID[-1], None, flow.start(GRID[0], y), **how).ys
        track = jax.vmap(flow.read)(GRID, ys)
        return track.free_energy, track.error

    return jax.lax.map(one, ys, batch_size=16)


@eqx.filter_jit
def log_likelihoods(path: dm.DiffusionPath, ys: Float[Array, "B D"]) -> Float[Array, " B"]:
    """``log p`` at the noise level of the table."""
    how: dict[str, Any] = {"s": LEVEL, "s_start": 2 * NOISE, "rtol": 1e-4, "atol": 1e-4}
    keys = jr.split(jr.key(2), len(ys))

    def one(pair):
        return dm.log_likelihood(path, pair[0], trace="hutchinson", probes=4, key=pair[1], **how).value

    return jax.lax.map(one, (ys, keys), batch_size=16)


def priced(model: dm.AbstractDenoiser, law: dm.Empirical, held_out: np.ndarray, recipe: dm.Recipe, count: int) -> Price:
    """The row of one denoiser, from ``count`` trajectories and as many digits held out."""
    path = dm.DiffusionPath(dm.VE(), model)
    starts = NOISE * jr.normal(jr.key(0), (count, held_out.shape[1]))
    noisy = jnp.asarray(held_out[:count]) + LEVEL * jr.normal(jr.key(1), (count, held_out.shape[1]))
    if isinstance(model, dm.AbstractLaw):
        energy = dm.DensityEnergy(path)
        nats = jax.vmap(lambda y: energy(-jnp.log(LEVEL), y))(noisy) / noisy.shape[1]
    else:
        nats = -log_likelihoods(path, noisy) / noisy.shape[1]
    states = sampled(model, starts)
    bent, inside, free = along(model, law, states)
    own = float("nan")
    if isinstance(model, dm.AbstractPotential):
        own = _share(jax.vmap(jax.vmap(dm.LearnedEnergy(model)), (None, 0))(jnp.asarray(GRID), states), 0 * free)
    values, errors = tracked(dm.Tracked(path, "hutchinson", 8, jr.key(4)), starts[: max(2, count // 4)])
    error = float(jnp.std(nats) / count**0.5)
    return Price(
        float(loss_on(model, jnp.asarray(held_out), recipe)), float(jnp.mean(nats)), error, float(jnp.median(bent)),
        float(jnp.mean(inside)), _share(free, 0 * free), own, _share(values, errors),
    )  # fmt: skip


def main(argv: Sequence[str] | None = None) -> dict[str, Price]:
    """Print the table; returns its rows by kind."""
    parser = argparse.ArgumentParser(description="What it costs a denoiser to have an energy that falls.")
    parser.add_argument("--folder", type=Path, default=Path(), help="where checkpoints are, and go")
    parser.add_argument("--share", type=float, default=1.0, help="of the steps of training")
    parser.add_argument("--count", type=int, default=64, help="trajectories, and digits held out")
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    asked = parser.parse_args(argv)
    jax.config.update("jax_enable_x64", True)
    patterns, held_out = digits()
    law = dm.Empirical(jnp.asarray(patterns))
    models: dict[str, dm.AbstractDenoiser] = {"exact": law}
    recipe = dm.Recipe()
    for kind in asked.kinds:
        network, recipe = fresh(kind, patterns, 0)
        steps = max(1, round(asked.share * STEPS[kind]))
        models[kind] = dm.train(
            network, patterns, recipe, steps=steps, every=1000, checkpoint=asked.folder / f"{kind}.npz"
        ).denoiser
    print(f"| denoiser | {' | '.join(HEAD)} |\n|{'---|' * (len(HEAD) + 1)}")
    rows = {}
    for kind, model in models.items():
        row = rows[kind] = priced(model, law, held_out, recipe, asked.count)
        cells = [f"{row.loss:.3f}", f"{row.nats:.3f} ± {row.nats_error:.3f}", f"{row.asymmetry:.3f}"]
        cells += ["none" if np.isnan(value) else f"{100 * value:.1f} %" for value in row[4:]]
        print(f"| {kind} | {' | '.join(cells)} |", flush=True)
    return rows


if __name__ == "__main__":
    main(sys.argv[1:])
