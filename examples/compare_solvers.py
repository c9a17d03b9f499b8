r"""Solvers on a problem of one's own: what they cost, how near they come, and from which step on they raise the energy.

The energy is a tilted ring, ``E(x) = (|x|^2 - 1)^2/4 + x_1/10``, written here from scratch. Long steps of Euler and
Heun raise it, beyond a step that `dm.compare` finds by bisection; a discrete gradient never does, and a step controller
that watches the energy makes any other solver safe.

    python examples/compare_solvers.py
"""

import diffrax as dfx
import jax
import jax.numpy as jnp
import numpy as np

import dynamem as dm


def energy(t, x):
    del t
    return (x @ x - 1) ** 2 / 4 + 0.1 * x[0]


def main() -> dm.Comparison:
    """The comparison."""
    jax.config.update("jax_enable_x64", True)
    states = jnp.asarray(np.random.default_rng(0).normal(scale=0.6, size=(16, 2)))
    problem = dm.Problem("ring", dm.GradientFlow(energy), states, 0.0, 8.0, {"own": energy}, title="a tilted ring")
    watched = lambda rtol: dm.LyapunovController(dfx.PIDController(rtol=rtol, atol=rtol), energy)  # noqa: E731
    methods = [
        *(dm.Method(solver, steps=(8, 16, 32, 64, 128)) for solver in (dfx.Euler(), dfx.Heun())),
        dm.Method(dm.DiscreteGradient(), steps=(8, 16, 32, 64, 128)),
        dm.Method(dfx.Tsit5(), tolerances=(1e-2, 1e-5), controller=watched, name="Tsit5, watched"),
    ]
    found = dm.compare(problem, methods)
    for row in found.rows:
        told = row.reason
        if row.judged is not None:
            told = f"error {row.error:.1e}, {row.judged.rises} of {row.judged.pairs} steps raise E"
        print(f"{row.method:17s} {row.evaluations:5.0f} calls, {told}")
    for one in found.orders:
        print(f"{one.method:17s} order {one.order:.2f} in [{one.low:.2f}, {one.high:.2f}], theory {one.theory}")
    for one in found.limits:
        beyond = "no limit found" if np.isinf(one.unsafe) else f"not at {one.unsafe:.4g}"
        print(f"{one.method:17s} safe up to h = {one.safe:.4g}, {beyond}")
    return found


if __name__ == "__main__":
    main()
