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


WIDTH = 8


class Parts:
    """``(paths, steps) -> `` parts (P, 6) of the changes that all energies make in those steps of a run."""

    def __init__(self, energies: Energies, run: Run, noisy: bool) -> None:
        self.energies, self.run, self.noisy = energies, run, noisy

    def __call__(self, paths: np.ndarray, steps: np.ndarray) -> Any:
        """A `Rate` whose parts add up, noise and the solver's error apart, to the changes."""
        run = self.run
        lam, ys, end = run.lam[paths, steps], run.ys[paths, steps], run.lam[paths, steps + 1]
        if not self.noisy:
            return _exactly(self.energies, lam, ys, end)
        rate, _ = along(Rates(self.energies), run.tau[paths, steps], ys, lam)[1]
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
