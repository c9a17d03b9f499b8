"""Which corruptions are undone: corrupted patterns are run as cues, and their ends held against what was stored."""

import dataclasses
import zlib

import jax.numpy as jnp
import jax.random as jr
import numpy as np

from ..catalog import Recall, corruption_of, wilson
from ._cell import Cell
from ._column import Column
from ._properties import Bench, nearest
from ._runs import ends


CUES = 64
SHOWN = 3
HALF = 0.5
KINDS = {
    "gaussian": ((0.25, 0.5, 1.0, 1.5, 2.0), "standard deviations of the data"),
    "mask": ((0.1, 0.25, 0.5, 0.75, 0.9), "part of the features"),
    "salt_and_pepper": ((0.05, 0.1, 0.2, 0.4, 0.6), "part of the features"),
    "blur": ((0.5, 0.75, 1.0, 1.5, 2.0), "pixels"),
}
"""Strengths of each corruption, and their unit."""
WRONG = {"told half the noise": 0.5, "told twice the noise": 2.0}


@dataclasses.dataclass(frozen=True)
class Curve:
    """Recall against the strength of one corruption: a cue is recalled if its run ends nearest to its own memory.

    Attributes:
        recall: cues recalled at each strength, with their intervals.
        unit: of the strengths.
        cue: part of the cues that lie nearest to their own memory themselves, shape (L,).
        left: median distance of the end from the memory, as part of the cue's, shape (L,).
        shown: a few memories, their cues of the middle strength, and the ends of these, shape (3, k, D).
    """

    recall: Recall
    unit: str
    cue: np.ndarray
    left: np.ndarray
    shown: np.ndarray

    @property
    def kind(self) -> str:
        """Of corruption."""
        return self.recall.corruption

    @property
    def middle(self) -> int:
        """Index of the strength that the table speaks of."""
        return len(self.recall.levels) // 2


def curves_of(bench: Bench, image_shape: tuple[int, int] | None, seed: int) -> list[Curve]:
    """Every kind of corruption, Gaussian noise also with the wrong level told where a level is told at all."""
    memories, column = bench.memories, bench.column
    kinds = [kind for kind in KINDS if kind != "blur" or image_shape is not None]
    found = [_curve(column, memories, image_shape, kind, seed) for kind in kinds]
    if column.told:
        found += [_curve(column, memories, image_shape, "gaussian", seed, *wrong) for wrong in WRONG.items()]
    return found


def _curve(
    column: Column, memories: np.ndarray, image_shape: tuple[int, int] | None, kind: str, seed: int, told: str = "",
    factor: float = 1.0,
) -> Curve:  # fmt: skip
    strengths, unit = (np.array(KINDS[kind][0]), KINDS[kind][1])
    spread = float(np.sqrt(np.mean((memories - memories.mean(axis=0)) ** 2))) or 1.0
    levels = strengths * (spread if kind == "gaussian" else 1.0)
    corrupt = corruption_of(kind, jnp.asarray(memories), levels, image_shape)
    pick, key = jr.split(jr.fold_in(jr.key(seed), zlib.crc32(kind.encode())))
    rows = np.asarray(jr.permutation(pick, len(memories)))[:CUES]
    own = memories[rows]
    right, closest, left, seen = [], [], [], []
    for level in levels:
        cues = np.asarray(corrupt(key, jnp.asarray(own), jnp.asarray(level)))
        away = np.linalg.norm(cues - own, axis=1)
        ended = ends(column, cues, factor * float(np.sqrt(np.mean(away**2) / cues.shape[1])), jr.key(seed))
        right.append(np.sum(nearest(memories, ended) == rows))
        closest.append(np.mean(nearest(memories, cues) == rows))
        left.append(np.median(np.linalg.norm(ended - own, axis=1) / np.maximum(away, 1e-300)))
        seen.append(np.stack([part[:SHOWN] for part in (own, cues, ended)]))
    name, recalled = f"{kind}, {told}" if told else kind, np.array(right)
    recall = Recall(name, strengths, recalled, len(rows), *wilson(recalled, len(rows)))
    return Curve(recall, unit, np.array(closest), np.array(left), seen[len(levels) // 2])


def undone(found: list[Curve]) -> Cell:
    """One cell: every kind at its middle strength.

    A corruption is undone where the runs lose no memory that their cues were nearest to, statistically, and end at
    less than half of the cues' distance.
    """
    middle = [(one, one.middle) for one in found]
    text = "; ".join(
        f"{one.kind} {one.recall.levels[k]:g}: {one.recall.rate[k]:.0%} right, {one.left[k]:.1%} of the distance left"
        for one, k in middle
    )
    evidence = {
        one.kind: {
            "unit": one.unit, "strength": one.recall.levels, "rate": one.recall.rate, "low": one.recall.low,
            "high": one.recall.high, "cue": one.cue, "distance_left": one.left, "cues": one.recall.tried,
        }
        for one in found
    }  # fmt: skip
    good = [bool(one.recall.high[k] >= one.cue[k] and one.left[k] < HALF) for one, k in middle]
    return Cell(text, "yes" if all(good) else "partly" if any(good) else "no", evidence)
