"""Where a sampler raises the free energy: the largest rise over starts, for each ratio of noise levels and each noise.

Two patterns, 0 and 1, of equal weight on a line; starts lie all over the line and, densely, between the patterns,
where the denoiser changes over a distance of ``s^2``. What no start of the grid shows may still exist.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from ..solvers import DDIM, AbstractSampler, DPMSolver2M, DPMSolver2S, EDMHeun, ExponentialAB
from ._counterexamples import two_pattern_runs


FINE = np.geomspace(1e-6, 6.0, 400)
STARTS = np.concatenate([-FINE, FINE, np.linspace(-1.0, 2.0, 61)])
BETWEEN = 2 * FINE.size  # of these, distances from the middle in units of s^2


@dataclasses.dataclass(frozen=True)
class RiseMap:
    """Largest rise of V in a step, over the squared noise at its start, 0 where none was found.

    Attributes:
        name: the sampler.
        ratios: ``s+/s``, shape (R,).
        noises: s at the start of a run, shape (S,).
        rise: shape (S, R).
        steps: steps of a run.
        bound: ratio below which theory has a rise or above which it has none, None if there is no theorem.
    """

    name: str
    ratios: Float[np.ndarray, " R"]
    noises: Float[np.ndarray, " S"]
    rise: Float[np.ndarray, "S R"]
    steps: int
    bound: float | None


def rise_map(
    name: str, solver: AbstractSampler, *, ratios: Any, noises: Any, steps: int = 4,
    bound: float | None = None,
) -> RiseMap:  # fmt: skip
    """The map of one sampler; see the module."""
    r, s = np.asarray(ratios, float), np.asarray(noises, float)
    noise, ratio, start = (part.ravel() for part in np.meshgrid(s, r, STARTS, indexing="ij"))
    near = np.tile(np.arange(len(STARTS)) < BETWEEN, s.size * r.size)
    y = np.where(near, 0.5 + noise**2 * start, start)
    half = np.full_like(y, 0.5)
    found = two_pattern_runs(solver, *(jnp.asarray(part) for part in (half, y, noise, ratio)), steps=steps)
    rise = found.rises().max(axis=1).reshape(s.size, r.size, -1).max(axis=2)
    return RiseMap(name, r, s, rise, steps, bound)


def rise_maps(progress: Callable[[str, int, int], None]) -> list[RiseMap]:
    """Maps of the samplers of the probability flow, with the ratios that the theorems D13 and D20 name.

    Args:
        progress: told ``(label, done, total)`` after each map.
    """
    ratios, noises = np.linspace(0.04, 0.96, 47), np.geomspace(0.02, 2.0, 13)
    asked = (
        ("DDIM", DDIM(), None),
        ("DPM-Solver++(2S)", DPMSolver2S(), None),
        ("EDM's Heun", EDMHeun(), (2**0.5 - 1) / 2),
        ("DPM-Solver++(2M)", DPMSolver2M(), 1 / 3),
        ("Adams-Bashforth 2", ExponentialAB(2), float(np.exp(-1))),
        ("Adams-Bashforth 3", ExponentialAB(3), None),
    )
    maps = []
    for name, solver, bound in asked:
        maps.append(rise_map(name, solver, ratios=ratios, noises=noises, bound=bound))
        progress(f"map: {name}", len(maps), len(asked))
    return maps
