"""Attribution of the audit's witnesses, many at once: the rates of all energies along one exact solve."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from ..diffusion import times_of
from ..flows import ProbabilityFlow
from ..lyapunov import along, exact_nodes
from ._ledger import NAMES, Energies, Rates
from ._rows import PARTS


WIDTH = 8


def attributed(found: Any, energies: Energies, broken: list[tuple], *, stochastic: bool) -> None:
    """Fill in ``attribution`` of broken rows, given as (row, energy, state, step)."""
    if not broken:
        return
    run = found.run
    rows, steps = np.asarray([one[2] for one in broken]), np.asarray([one[3] for one in broken])
    ends = (run.lam[rows, steps], run.ys[rows, steps], run.lam[rows, steps + 1])
    if stochastic:
        rate, _ = along(Rates(energies), run.tau[rows, steps], ends[1], ends[0])[1]
        weight = (ends[2] - ends[0])[:, None]
        parts = jax.tree.map(lambda part: part * weight, rate)
        martingale = found.slopes[rows, steps]
    else:
        parts, martingale = _exactly(energies, *ends), np.zeros((len(rows), len(NAMES)))
    for place, (made, energy, _, _) in enumerate(broken):
        index = NAMES.index(energy)
        known = {name: float(getattr(parts, name)[place, index]) for name in PARTS[:4]}
        known["martingale"] = float(martingale[place, index])
        made["attribution"] = known | {"discretisation": made["largest_rise"] - sum(known.values())}


def _exactly(energies: Energies, lam0: np.ndarray, y0: np.ndarray, lam1: np.ndarray) -> Any:
    """Parts (W, 6) of the rates integrated along the exact flow, solved in canonical coordinates."""
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
