"""Attribution of the audit's witnesses, many at once: the rates of all energies at the starts of steps, or along them.

As `dynamem.lyapunov.attribute` has it: an ODE's parts are integrated along the exact flow from the step's start, an
SDE's are the rates at the step's start times its length.
"""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from ..diffusion import times_of
from ..flows import ProbabilityFlow
from ..lyapunov import along, exact_nodes
from ._ledger import Energies, Rates
from ._runs import Run


WIDTH = 32


def parts_of(energies: Energies, places: list[tuple[Run, np.ndarray, np.ndarray]], *, noisy: bool) -> Any:
    """A `Rate` with leaves (P, 6): parts of the changes that all energies make in steps of several runs.

    They add up, noise and the solver's error apart, to the changes. ``places`` names a run, paths and steps of it.
    """
    taken = [
        (run.tau[paths, steps], run.lam[paths, steps], run.ys[paths, steps], run.lam[paths, steps + 1])
        for run, paths, steps in places
    ]
    tau, lam, ys, end = (np.concatenate(part) for part in zip(*taken, strict=True))
    if not noisy:
        return _exactly(energies, lam, ys, end)
    rate, _ = along(Rates(energies), tau, ys, lam)[1]
    return jax.tree.map(lambda part: part * (end - lam)[:, None], rate)


def _exactly(energies: Energies, lam0: np.ndarray, y0: np.ndarray, lam1: np.ndarray) -> Any:
    """Parts (P, 6) of the rates integrated along the exact flow, solved in canonical coordinates."""
    count = len(lam0)
    padded = [np.concatenate([part, np.repeat(part[-1:], -count % WIDTH, axis=0)]) for part in (lam0, y0, lam1)]
    flow = ProbabilityFlow(energies.path)
    lam, ys, weights = (np.asarray(part)[:count] for part in _nodes(flow, *(jnp.asarray(part) for part in padded)))
    tau = 1 - np.asarray(times_of(energies.path.schedule, jnp.asarray(lam.ravel()))).reshape(lam.shape)
    rate, _ = along(Rates(energies), tau, ys, lam)[0]
    return jax.tree.map(lambda part: np.einsum("wn,wne->we", weights, part), rate)


@eqx.filter_jit
def _nodes(flow: ProbabilityFlow, lam0: Array, y0: Array, lam1: Array) -> tuple[Array, Array, Array]:
    return jax.vmap(lambda *ends: exact_nodes(flow, *ends))(lam0, y0, lam1)
