"""What an audit is asked: data and numbers, without importing JAX."""

import dataclasses

import numpy as np


S_START, S_END = 20.0, 0.05
"""Noise levels between which samplers run."""
DIGITS = "digits"
"""Name of the default data, the scikit-learn digits in [0, 1]."""


@dataclasses.dataclass(frozen=True)
class DataSet:
    """Stored patterns, shape (N, D) in float64, with the shape of an image if they are images."""

    name: str
    patterns: np.ndarray
    image_shape: tuple[int, int] | None = None
    weights: np.ndarray | None = None


@dataclasses.dataclass(frozen=True)
class AuditOptions:
    """An audit's inputs.

    Attributes:
        data: the patterns.
        states: number of initial states of each ODE; SDEs use four paths for each.
        seed: seed of every random number, folded by name.
        quick: fewer points in maps and fewer samplers (the number of states is the caller's).
        systems: names of `system_names` or ``module:attribute``; empty for all built-in ones.
        s_start: noise level at which sampling starts.
        s_end: noise level at which it ends.
        prove: prove the theorems that cover rows, which then climb from ``holds`` to ``proved``.
        certify: ask about the rates of small systems of the user's on a whole region, see `on_region`.
    """

    data: DataSet
    states: int = 32
    seed: int = 0
    quick: bool = False
    systems: tuple[str, ...] = ()
    s_start: float = S_START
    s_end: float = S_END
    prove: bool = False
    certify: bool = False
