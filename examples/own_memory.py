r"""A memory of one's own: an energy written as a plain function, audited in ten lines.

Stored patterns are wells with heavy tails, ``E = -log sum_i 1/(1 + |x - xi_i|^2/w^2)``. Its gradient flow descends it
by construction (check and search agree); the same flow in Euler steps that are too long does not.

    python examples/own_memory.py
    cd examples && dynamem audit --system own_memory:system
"""

from typing import Any

import diffrax as dfx
import jax
import jax.numpy as jnp
import numpy as np

import dynamem as dm


RANDOM = np.random.default_rng(0)
PATTERNS = RANDOM.normal(size=(5, 3))
STATES = PATTERNS + 0.4 * RANDOM.normal(size=(5, 3))  # corrupted patterns
WIDTH = 0.5


def energy(t, x):
    del t
    distances = jnp.sum((x[None] - PATTERNS) ** 2, axis=1)
    return -jnp.log(jnp.sum(1 / (1 + distances / WIDTH**2)))


flow = dm.GradientFlow(energy)
system = dm.System(energy, flow, STATES, 0.0, 8.0)  # what `--system own_memory:system` names


def main() -> dict[str, dm.Verdict]:
    """Verdicts by what was asked."""
    jax.config.update("jax_enable_x64", True)
    span: dict[str, Any] = {"t0": 0.0, "t1": 8.0}
    adaptive = dfx.PIDController(rtol=1e-8, atol=1e-10)
    found = {
        "adaptive steps": dm.check(energy, flow, STATES, solver=dfx.Tsit5(), stepsize_controller=adaptive, **span),
        "long Euler steps": dm.check(energy, flow, STATES, solver=dfx.Euler(), dt0=0.5, **span),
        "search": dm.falsify(energy, flow, STATES, key=jax.random.key(0), **span),
    }
    for question, verdict in found.items():
        print(f"{question}: {verdict.status}: {verdict.reason}")
    return found


if __name__ == "__main__":
    main()
