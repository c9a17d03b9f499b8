r"""A diffusion model of one's own: any Diffrax terms and any energy function, audited in ten lines.

The terms are written here from scratch, on the clock ``lam = -log s``: the probability flow ``dy/dlam = m - y`` and the
reverse SDE ``dy = 2 (m - y) dlam + s sqrt(2) dW``, with the denoiser ``m = y + s^2 grad log Z``. Along the flow the
density energy rises and the free energy ``V = -s^2 log Z`` does not. Along the SDE, in steps of ancestral sampling
(`DDIM` with ``eta = 1``), ``V + D s^2/2`` falls in mean.

    python examples/own_diffusion.py
"""

from typing import Any

import diffrax as dfx
import jax
import jax.numpy as jnp
import numpy as np

import dynamem as dm


PATTERNS = np.array([[2.0, 0.0, 0.0], [-2.0, 0.0, 0.0], [0.0, 2.0, 0.0], [0.0, -2.0, 0.0]])
NOISE = np.random.default_rng(0).normal(size=(64, 3))
SPAN: dict[str, Any] = {"t0": -3.0, "t1": 3.0}  # from s = e^3 down to e^-3


def log_z(lam, y):
    squares = jnp.sum((y[None] - PATTERNS) ** 2, axis=1)
    return jax.nn.logsumexp(-0.5 * squares * jnp.exp(2 * lam)) - np.log(len(PATTERNS))


def density(lam, y):
    return -log_z(lam, y) - y.size * lam  # -log p(y), up to a constant


def free(lam, y):
    return -jnp.exp(-2 * lam) * log_z(lam, y)


def free_churn(lam, y):
    return free(lam, y) + 0.5 * y.size * jnp.exp(-2 * lam)


def drift(lam, y, args):
    del args
    return jnp.exp(-2 * lam) * jax.grad(log_z, argnums=1)(lam, y)


def reverse_drift(lam, y, args):
    return 2 * drift(lam, y, args)


def noise(lam, y, args):
    del args
    return np.sqrt(2) * jnp.exp(-lam) * jnp.eye(y.size, dtype=y.dtype)


def main() -> dict[str, dm.Verdict]:
    """Verdicts by energy."""
    jax.config.update("jax_enable_x64", True)
    key, start = jax.random.key(0), np.exp(3.0) * NOISE
    ode = dfx.ODETerm(drift)
    brownian = dfx.UnsafeBrownianPath(shape=(3,), key=key)
    sde = dfx.MultiTerm(dfx.ODETerm(reverse_drift), dfx.ControlTerm(noise, brownian))
    adaptive: dict[str, Any] = {"solver": dfx.Tsit5(), "stepsize_controller": dfx.PIDController(rtol=1e-8, atol=1e-10)}
    found = {
        "density along the flow": dm.check(density, ode, start, **adaptive, **SPAN),
        "V along the flow": dm.check(free, ode, start, **adaptive, **SPAN),
        "V, by search": dm.falsify(free, ode, start, key=key, **SPAN),
        "V + D s^2/2 in mean": dm.check(free_churn, sde, start, solver=dm.DDIM(1.0), dt0=0.1, key=key, **SPAN),
    }
    for question, verdict in found.items():
        print(f"{question}: {verdict.status}: {verdict.reason}")
    return found


if __name__ == "__main__":
    main()
