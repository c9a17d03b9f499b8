"""Which corruptions are undone: corrupted patterns are run as cues, and their ends held against what was stored."""

import dataclasses
import zlib

import jax.random as jr
import numpy as np
from scipy.stats import norm

from ._cell import Cell
from ._column import Column
from ._corruptions import KINDS, Context
from ._properties import Bench, nearest
from ._runs import ends


SURE = 0.95
CUES = 64
SHOWN = 3
HALF = 0.5
WRONG = {"told half the noise": 0.5, "told twice the noise": 2.0}


@dataclasses.dataclass(frozen=True)
class Recall:
    """Recall against the strength of one corruption.

    Attributes:
        kind: of corruption.
        unit: of its strength.
        strengths: shape (L,).
        rate: part of the cues whose run ends nearest to the right memory, shape (L,).
        low: lower end of its 95 % interval (Wilson), shape (L,).
        high: upper end.
        cue: part of the cues that lie nearest to the right memory themselves, shape (L,).
        left: median distance of the end from the memory, as part of the cue's, shape (L,).
        count: cues of each strength.
        shown: a few patterns, their cues of the middle strength, and the ends of these, shape (3, k, D).
    """

    kind: str
    unit: str
    strengths: np.ndarray
    rate: np.ndarray
    low: np.ndarray
    high: np.ndarray
    cue: np.ndarray
    left: np.ndarray
    count: int
    shown: np.ndarray

    @property
    def middle(self) -> int:
        """Index of the strength that the table speaks of."""
        return len(self.strengths) // 2


def recalls(bench: Bench, image_shape: tuple[int, int] | None, seed: int) -> list[Recall]:
    """Every kind of corruption, Gaussian noise also with the wrong level told where a level is told at all."""
    memories, column = bench.memories, bench.column
    context = Context.of(memories, image_shape)
    kinds = [kind for kind in KINDS if kind != "blur" or image_shape is not None]
    found = [_recall(column, memories, context, kind, seed) for kind in kinds]
    if column.told:
        found += [_recall(column, memories, context, "gaussian", seed, *wrong) for wrong in WRONG.items()]
    return found


def _recall(
    column: Column, memories: np.ndarray, context: Context, kind: str, seed: int, told: str = "", factor: float = 1.0
) -> Recall:
    corrupt, strengths, unit = KINDS[kind]
    rng = np.random.default_rng([seed, zlib.crc32(kind.encode())])
    count = min(CUES, len(memories))
    rows = rng.permutation(len(memories))[:count]
    right, closest, left, seen = [], [], [], []
    for strength in strengths:
        cues = corrupt(memories[rows], strength, rng, context)
        away = np.linalg.norm(cues - memories[rows], axis=1)
        level = factor * float(np.sqrt(np.mean(away**2) / cues.shape[1]))
        ended = ends(column, cues, level, jr.key(seed))
        right.append(np.mean(nearest(memories, ended) == rows))
        closest.append(np.mean(nearest(memories, cues) == rows))
        left.append(np.median(np.linalg.norm(ended - memories[rows], axis=1) / np.maximum(away, 1e-300)))
        seen.append(np.stack([part[:SHOWN] for part in (memories[rows], cues, ended)]))
    rate, name = np.array(right), f"{kind}, {told}" if told else kind
    curves = (rate, *wilson(rate, count), np.array(closest), np.array(left))
    return Recall(name, unit, np.array(strengths), *curves, count, seen[len(strengths) // 2])


def wilson(rate: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """The 95 % interval of a proportion (Wilson 1927)."""
    z = float(norm.ppf(0.5 + SURE / 2))
    centre = (rate + z**2 / (2 * count)) / (1 + z**2 / count)
    half = z / (1 + z**2 / count) * np.sqrt(rate * (1 - rate) / count + z**2 / (4 * count**2))
    return np.clip(centre - half, 0, 1), np.clip(centre + half, 0, 1)


def undone(found: list[Recall]) -> Cell:
    """One cell: every kind at its middle strength.

    A corruption is undone where the runs lose no memory that their cues were nearest to, statistically, and end at
    less than half of the cues' distance.
    """
    middle = [(one, one.middle) for one in found]
    text = "; ".join(
        f"{one.kind} {one.strengths[k]:g}: {one.rate[k]:.0%} right, {one.left[k]:.1%} of the distance left"
        for one, k in middle
    )
    evidence = {
        one.kind: {
            "unit": one.unit, "strength": one.strengths, "rate": one.rate, "low": one.low, "high": one.high,
            "cue": one.cue, "distance_left": one.left, "cues": one.count,
        }
        for one in found
    }  # fmt: skip
    good = [bool(one.high[k] >= one.cue[k] and one.left[k] < HALF) for one, k in middle]
    return Cell(text, "yes" if all(good) else "partly" if any(good) else "no", evidence)
