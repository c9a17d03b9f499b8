"""What may happen to a stored pattern before it is shown: noise of the right kind, and other kinds.

Each takes patterns (B, D), a strength and a NumPy generator, and returns cues (B, D). ``Context`` holds what a kind
needs to know of all patterns: their range and mean, and the shape of an image, without which blurring has no meaning.
"""

import dataclasses
from collections.abc import Callable

import numpy as np
from scipy.ndimage import gaussian_filter


@dataclasses.dataclass(frozen=True)
class Context:
    """Facts about the stored patterns (N, D): lowest, highest and mean value of each feature, spread, image shape."""

    low: np.ndarray
    high: np.ndarray
    mean: np.ndarray
    spread: float
    image_shape: tuple[int, int] | None

    @staticmethod
    def of(patterns: np.ndarray, image_shape: tuple[int, int] | None) -> "Context":
        """The context of patterns."""
        low, high, mean = patterns.min(axis=0), patterns.max(axis=0), patterns.mean(axis=0)
        return Context(low, high, mean, float(np.sqrt(np.mean((patterns - mean) ** 2))) or 1.0, image_shape)


def gaussian(xi: np.ndarray, strength: float, rng: np.random.Generator, context: Context) -> np.ndarray:
    """``xi + strength * spread * eps``."""
    return xi + strength * context.spread * rng.standard_normal(xi.shape)


def masking(xi: np.ndarray, strength: float, rng: np.random.Generator, context: Context) -> np.ndarray:
    """A part ``strength`` of the features, drawn for each cue, replaced by their means."""
    return np.where(_drawn(xi.shape, strength, rng), context.mean, xi)


def salt_and_pepper(xi: np.ndarray, strength: float, rng: np.random.Generator, context: Context) -> np.ndarray:
    """A part ``strength`` of the features at their lowest or highest value, by a fair coin."""
    coins = np.where(rng.random(xi.shape) < 0.5, context.low, context.high)
    return np.where(_drawn(xi.shape, strength, rng), coins, xi)


def blur(xi: np.ndarray, strength: float, rng: np.random.Generator, context: Context) -> np.ndarray:
    """Images convolved with a Gaussian of ``strength`` pixels."""
    del rng
    assert context.image_shape is not None
    images = xi.reshape(-1, *context.image_shape)
    return gaussian_filter(images, (0, strength, strength)).reshape(xi.shape)


def _drawn(shape: tuple[int, ...], part: float, rng: np.random.Generator) -> np.ndarray:
    """For each row, ``round(part * D)`` places without replacement."""
    order = np.argsort(rng.random(shape), axis=1)
    return order < round(part * shape[1])


Corruption = Callable[[np.ndarray, float, np.random.Generator, Context], np.ndarray]

KINDS: dict[str, tuple[Corruption, tuple[float, ...], str]] = {
    "gaussian": (gaussian, (0.25, 0.5, 1.0, 1.5, 2.0), "standard deviations of the data"),
    "masking": (masking, (0.1, 0.25, 0.5, 0.75, 0.9), "part of the features"),
    "salt and pepper": (salt_and_pepper, (0.05, 0.1, 0.2, 0.4, 0.6), "part of the features"),
    "blur": (blur, (0.5, 0.75, 1.0, 1.5, 2.0), "pixels"),
}
"""Name, function, strengths, and their unit."""
