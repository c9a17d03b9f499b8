"""What an audit returns: rows, claims and the numbers behind the figures. Plain NumPy, no JAX."""

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np


if TYPE_CHECKING:
    from ..rigour import RateMap


AGREES, CONTRADICTED, NOT_EXERCISED = "agrees", "contradicted", "not exercised"


@dataclasses.dataclass(frozen=True)
class Claim:
    """A statement of the theory held against the audit's own numbers.

    Attributes:
        name: of the statement.
        statement: what it says.
        outcome: `AGREES`, `CONTRADICTED`, or `NOT_EXERCISED` where nothing was met that could decide.
        measured: the numbers.
    """

    name: str
    statement: str
    outcome: str
    measured: str


@dataclasses.dataclass(frozen=True)
class Curve:
    """One energy along probability-flow trajectories: ``lam`` (n,), ``values`` (B, n), ``rising`` (B, n - 1)."""

    energy: str
    title: str
    schedule: str
    lam: np.ndarray
    values: np.ndarray
    rising: np.ndarray


@dataclasses.dataclass(frozen=True)
class Plane:
    """``tr C`` on a plane through three patterns at several noise levels, with each schedule's threshold.

    Attributes:
        u: first plane coordinate, shape (G,).
        v: second plane coordinate, shape (G,).
        corners: plane coordinates of the patterns, shape (3, 2).
        corner_images: the patterns, shape (3, D).
        lams: noise levels as ``lam``, shape (L,).
        trace: ``tr C`` in the order (lam, v, u), shape (L, G, G).
        thresholds: ``D c(t)`` at those levels by schedule, each (L,).
        dimension: D.
    """

    u: np.ndarray
    v: np.ndarray
    corners: np.ndarray
    corner_images: np.ndarray
    lams: np.ndarray
    trace: np.ndarray
    thresholds: dict[str, np.ndarray]
    dimension: int


@dataclasses.dataclass(frozen=True)
class Certified:
    """Where the density energy in canonical coordinates certainly falls and rises, on the plane of `Plane`.

    Attributes:
        maps: one for each noise level.
        lams: noise levels as ``lam``, shape (L,).
        corners: plane coordinates of the patterns, shape (3, 2).
        patterns: shape (N, D) of the data.
    """

    maps: "list[RateMap]"
    lams: np.ndarray
    corners: np.ndarray
    patterns: tuple[int, int]


@dataclasses.dataclass(frozen=True)
class Recall:
    """Start, end and nearest stored pattern of a few runs, each (k, D), with distances (k,)."""

    label: str
    starts: np.ndarray
    ends: np.ndarray
    nearest: np.ndarray
    distance: np.ndarray


@dataclasses.dataclass(frozen=True)
class Figures:
    """Numbers behind the report's figures."""

    curves: list[Curve]
    planes: Plane | None
    recalls: list[Recall]
    image_shape: tuple[int, int] | None
    certified: Certified | None = None


@dataclasses.dataclass(frozen=True)
class Audit:
    """Everything an audit found; ``errors`` says of each part that raised where and why."""

    rows: list[dict[str, Any]]
    environment: dict[str, Any]
    claims: list[Claim]
    figures: Figures
    errors: list[str] = dataclasses.field(default_factory=list)
