"""What is certified: an energy, its flow, and the points through which a slice is laid."""

import dataclasses
import math
from typing import Any

import jax.numpy as jnp
import jax.random as jr
import numpy as np

from .._errors import InputError
from .._types import EnergyFn
from ..diffusion import DiffusionPath, Empirical
from ..flows import ProbabilityFlow, ReverseSDE
from ._ledger import CLOCKS, NAMES, Energies
from ._memories import memory
from ._names import DYNAMICS
from ._options import DataSet
from ._runs import schedule_of
from ._system import load_system


CHURN = 1.0


@dataclasses.dataclass(frozen=True)
class Subject:
    """One energy along one flow.

    Attributes:
        energy: ``E(t, x)``.
        flow: on the energy's clock.
        points: patterns, or the initial states of a system of one's own, shape (N, D).
        clock: "lam" or "tau".
        title: in words.
    """

    energy: EnergyFn
    flow: Any
    points: np.ndarray
    clock: str
    title: str


def subject(name: str, data: DataSet | None, energy: str | None) -> Subject:
    """The subject that a name stands for.

    Arguments:
        name: one of `system_names`, or ``module:attribute``.
        data: patterns, for built-in names.
        energy: one of the energies of a path; None for ``density_canonical``, or for a system's own.

    Raises:
        InputError: the energy is unknown, or the system has only its own.
    """
    dynamics, _, schedule = name.partition("/")
    if dynamics not in DYNAMICS:
        if energy not in (None, "own"):
            msg = f"energy={energy!r}: {name!r} has its own energy only; leave --energy out"
            raise InputError(msg)
        return _system(name, data)
    assert data is not None
    chosen = energy or "density_canonical"
    if chosen not in NAMES:
        msg = f"energy={energy!r}: choose one of {', '.join(NAMES)}"
        raise InputError(msg)
    weights = None if data.weights is None else jnp.asarray(data.weights)
    path = DiffusionPath(schedule_of(schedule), Empirical(jnp.asarray(data.patterns), weights))
    clock = CLOCKS[chosen]
    found = Energies(path, jnp.asarray(CHURN), jnp.zeros(())).parts()[NAMES.index(chosen)]
    flow = (
        ProbabilityFlow(path, clock=clock) if dynamics == "probability_flow" else ReverseSDE(path, CHURN, clock=clock)
    )
    return Subject(found, flow, data.patterns, clock, f"{chosen} along {name} on {data.name}")


def _system(name: str, data: DataSet | None) -> Subject:
    if ":" in name:
        found = load_system(name)
        points, where = np.asarray(found.states), ""
    else:
        assert data is not None
        found = memory(name, jnp.asarray(data.patterns), 1, jr.key(0))
        points, where = data.patterns, f" on {data.name}"
    clock = getattr(found.flow, "clock", "tau")
    return Subject(found.energy, found.flow, points, clock, f"own energy of {name}{where}")


def noise_of(clock: str, t: float) -> str:
    """A time in words, with the noise level that it stands for on "lam"."""
    return f"λ = {t:.3g} (s = {math.exp(-t):.3g})" if clock == "lam" else f"t = {t:.3g}"
