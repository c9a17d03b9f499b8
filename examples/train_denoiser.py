r"""Train a denoiser on the scikit-learn digits, kill it when you like, and go on where it was.

Four networks learn the same thing, the pattern behind a noisy one: `mlp` and `unet` are free vector fields, `energy` is
the gradient of a network, and `concave` has an energy that falls at every step of its sampler, whatever its weights. A
sixth of the digits is held out. Prints the training loss, the held-out loss of the averaged weights, and images/s.
Where the checkpoint exists, the training goes on from it, with the bits it would have had.

    python examples/train_denoiser.py mlp --steps 20000
    python examples/train_denoiser.py unet --steps 3000 --checkpoint unet.npz

The weights of `dm.pretrained("digits")` are those of

    python examples/train_denoiser.py mlp --steps 40000 --export dynamem/learning/digits.npz
"""

import argparse
import sys
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from sklearn.datasets import load_digits

import dynamem as dm


KINDS: dict[str, Callable[..., dm.AbstractNetwork]] = {
    "mlp": dm.MLPDenoiser,
    "unet": dm.UNetDenoiser,
    "energy": dm.EnergyDenoiser,
    "concave": dm.ConcaveDenoiser,
}


def digits() -> tuple[np.ndarray, np.ndarray]:
    """Digits to learn and digits held out, (1497, 64) and (300, 64), scaled to [0, 1]."""
    images = np.asarray(load_digits(return_X_y=True)[0]) / 16.0
    order = np.random.default_rng(0).permutation(len(images))
    return images[order[300:]], images[order[:300]]


def fresh(kind: str, patterns: np.ndarray, seed: int) -> tuple[dm.AbstractNetwork, dm.Recipe]:
    """A network with random weights that knows the mean and the size of the data, and how to train it."""
    spread = float(np.sqrt(patterns.var(axis=0).mean()))
    key, centre = jax.random.key(seed), jnp.asarray(patterns.mean(axis=0))
    network = KINDS[kind](patterns.shape[1], centre=centre, sigma_data=spread, key=key)
    return network, dm.Recipe(sigma_data=spread, seed=seed)


def show(now: dm.Training) -> None:
    print(
        f"step {now.step}: loss {now.loss:.4f}, held out {now.held_out:.4f}, {now.images_per_s:,.0f} images/s",
        flush=True,
    )


def main(argv: Sequence[str] | None = None) -> dm.Training:
    """Train as the command line says; returns where the training stands."""
    parser = argparse.ArgumentParser(description="Train a denoiser on the scikit-learn digits.")
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("--steps", type=int, default=20_000, help="steps in all, those in the checkpoint included")
    parser.add_argument("--every", type=int, default=1000, help="steps between lines, and between checkpoints")
    parser.add_argument("--seed", type=int, default=0, help="of the weights and of all noise")
    parser.add_argument("--checkpoint", metavar="FILE", help="an .npz file to go on from, and to keep the training in")
    parser.add_argument("--export", metavar="FILE", help="write the averaged weights in half precision")
    asked = parser.parse_args(argv)
    patterns, held_out = digits()
    network, recipe = fresh(asked.kind, patterns, asked.seed)
    found = dm.train(
        network, patterns, recipe, steps=asked.steps, every=asked.every, held_out=held_out,
        checkpoint=asked.checkpoint, report=show,
    )  # fmt: skip
    if asked.export:
        dm.save_denoiser(asked.export, found.denoiser, half=True)
        print(f"weights in {asked.export}")
    return found


if __name__ == "__main__":
    main(sys.argv[1:])
