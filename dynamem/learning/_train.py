r"""Training that can be killed: a run that was stopped and resumed has the bits of one that was not.

Step ``k`` is a function of the state before it and of ``fold_in(key(seed), k)`` alone. The state (step, weights,
moments of Adam, moving average of the weights) is written to a file whole or not at all.
"""

import dataclasses
import hashlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Float, PyTree, Scalar, Shaped

from .._errors import InputError
from .._types import Given
from .._validate import floats, require_patterns
from ..diffusion import AbstractDenoiser
from ._files import about_network, read_arrays, write_arrays
from ._network import SINGLE, AbstractNetwork
from ._recipe import Recipe, loss, noise_levels, optimiser, require_recipe


SCHEMA = "dynamem.training/1"
_JUDGED = 4096


class TrainingState(eqx.Module):
    """What a step of training changes.

    Attributes:
        step: steps done, shape (), int32.
        denoiser: the weights that are moved.
        moments: the optimiser's state.
        average: the moving average of the weights.
    """

    step: Array
    denoiser: AbstractNetwork
    moments: PyTree
    average: AbstractNetwork


@dataclasses.dataclass(frozen=True)
class Training:
    """Where a training stands.

    Attributes:
        denoiser: the moving average of the weights.
        step: steps done.
        loss: mean of the training loss since the last report; NaN before any step.
        held_out: loss of ``denoiser`` on the patterns held out, at noises that are the same each time; NaN without any.
        images_per_s: patterns trained on in a second since the last report, without compilation; NaN before any step.
    """

    denoiser: AbstractNetwork
    step: int
    loss: float
    held_out: float
    images_per_s: float


def train(
    denoiser: AbstractNetwork,
    patterns: Shaped[Given, "N D"],
    recipe: Recipe | None = None,
    *,
    steps: int,
    every: int = 500,
    held_out: Shaped[Given, "M K"] | None = None,
    checkpoint: str | Path | None = None,
    report: Callable[[Training], object] | None = None,
) -> Training:
    """Train a denoiser by denoising score matching; where the checkpoint exists, go on from it.

    Arguments:
        denoiser: the network with its initial weights; left as it is.
        patterns: what to learn, shape (N, D).
        recipe: batch, step sizes, noise levels, seed; `Recipe` with the patterns' standard deviation by default.
        steps: steps in all, those in the checkpoint included.
        every: steps between reports, and between checkpoints.
        held_out: patterns to judge by, shape (M, D).
        checkpoint: a file (`.npz`) to resume from where it exists, and to write; a write replaces the file at once.
        report: called with a `Training` every ``every`` steps and at the end.

    Raises:
        InputError: a recipe that cannot be followed, patterns that are none, a checkpoint of another training, or
            weights that are no longer finite; the checkpoint is then the last one with weights that are.
    """
    xi = floats("patterns", patterns).astype(SINGLE)
    require_patterns("patterns", xi)
    if steps < 1 or every < 1:
        msg = f"steps={steps!r}, every={every!r}: must be positive"
        raise InputError(msg)
    size = denoiser.sizes["size"]
    if xi.shape[1] != size:
        msg = f"patterns.shape={xi.shape!r}: this {type(denoiser).__name__} takes states of {size} numbers, (N, {size})"
        raise InputError(msg)
    recipe = Recipe(sigma_data=float(jnp.sqrt(jnp.mean(jnp.var(xi, axis=0))))) if recipe is None else recipe
    require_recipe(recipe)
    others = None if held_out is None else _judges(held_out, size)
    about = {"schema": SCHEMA, **about_network(denoiser), "recipe": recipe._asdict(), "patterns": fingerprint(xi)}
    state = start(denoiser, recipe)
    file = None if checkpoint is None else Path(checkpoint)
    if file is not None and file.exists():
        state = read_arrays(file, state, about)
    return _run(state, xi, recipe, others, _Plan(steps, every, file, report, about))


def _judges(held_out: Shaped[Given, "M K"], size: int) -> Float[Array, "M D"]:
    others = floats("held_out", held_out).astype(SINGLE)
    require_patterns("held_out", others)
    if others.shape[1] != size:
        msg = f"held_out.shape={others.shape!r}: need patterns of {size} numbers, (M, {size})"
        raise InputError(msg)
    return others


def fingerprint(xi: Float[Array, "N D"]) -> str:
    """Shape and SHA-256 of the patterns, so that a checkpoint goes on with what it began with."""
    return f"{xi.shape[0]} x {xi.shape[1]}, sha256 {hashlib.sha256(np.asarray(xi).tobytes()).hexdigest()}"


def start(denoiser: AbstractNetwork, recipe: Recipe) -> TrainingState:
    """The state before the first step."""
    moments = optimiser(recipe).init(eqx.filter(denoiser, eqx.is_inexact_array))
    return TrainingState(jnp.asarray(0, jnp.int32), denoiser, moments, denoiser)


@eqx.filter_jit
def advance(state: TrainingState, patterns: Float[Array, "N D"], recipe: Recipe) -> tuple[TrainingState, Scalar]:
    """The state one step later, and the loss on the way."""
    which, level, noise = jr.split(jr.fold_in(jr.key(recipe.seed), state.step), 3)
    chosen = jr.randint(which, (recipe.batch,), 0, patterns.shape[0], jnp.int32)
    levels = noise_levels(recipe, level, recipe.batch)
    noises = jr.normal(noise, (recipe.batch, patterns.shape[1]), SINGLE)
    value, slope = eqx.filter_value_and_grad(loss)(state.denoiser, patterns[chosen], noises, levels, recipe.sigma_data)
    with jax.numpy_dtype_promotion("standard"):  # Optax raises floats to integer powers
        move, moments = optimiser(recipe).update(slope, state.moments)
    denoiser = eqx.apply_updates(state.denoiser, move)

    def nearer(old: Any, new: Any) -> Any:
        return old + (1 - recipe.average) * (new - old) if eqx.is_inexact_array(old) else old

    average = jax.tree.map(nearer, state.average, denoiser)
    return TrainingState(state.step + 1, denoiser, moments, average), value


@eqx.filter_jit
def loss_on(denoiser: AbstractDenoiser, patterns: Float[Array, "M D"], recipe: Recipe) -> Scalar:
    """The loss on patterns (M, D), each at several noises and levels that depend on the seed alone."""
    level, noise = jr.split(jr.fold_in(jr.key(recipe.seed), jnp.iinfo(jnp.int32).max))
    count = patterns.shape[0] * max(1, _JUDGED // patterns.shape[0])
    repeated = patterns[jnp.arange(count, dtype=jnp.int32) % patterns.shape[0]]
    noises = jr.normal(noise, repeated.shape, SINGLE).astype(repeated.dtype)
    return loss(
        denoiser, repeated, noises, noise_levels(recipe, level, count).astype(repeated.dtype), recipe.sigma_data
    )


@dataclasses.dataclass(frozen=True)
class _Plan:
    steps: int
    every: int
    file: Path | None
    report: Callable[[Training], object] | None
    about: dict[str, Any]


def _run(
    state: TrainingState, xi: Float[Array, "N D"], recipe: Recipe, others: Float[Array, "M D"] | None, plan: _Plan
) -> Training:
    def judge() -> float:
        return float("nan") if others is None else float(loss_on(state.average, others, recipe))

    step = int(state.step)
    found = Training(state.average, step, float("nan"), judge(), float("nan"))
    values, began = [], time.perf_counter()
    while step < plan.steps:
        state, value = advance(state, xi, recipe)
        values.append(value)
        if len(values) == 1:
            value.block_until_ready()
            began = time.perf_counter()
        step += 1
        if step % plan.every == 0 or step == plan.steps:
            mean = float(np.mean(values))
            seconds, counted = time.perf_counter() - began, len(values) - 1
            speed = recipe.batch * counted / seconds if counted else float("nan")
            _require_finite(state, step, recipe)
            if plan.file is not None:
                write_arrays(plan.file, state, plan.about)
            found = Training(state.average, step, mean, judge(), speed)
            if plan.report is not None:
                plan.report(found)
            values = []
    return found


def _require_finite(state: TrainingState, step: int, recipe: Recipe) -> None:
    """Raise where a training has diverged, before its state takes the place of one that has not."""
    if not all(bool(jnp.all(jnp.isfinite(leaf))) for leaf in jax.tree.leaves(eqx.filter(state, eqx.is_inexact_array))):
        msg = f"rate={recipe.rate!r}: by step {step} the weights are not finite any more; take a smaller rate"
        raise InputError(msg)
