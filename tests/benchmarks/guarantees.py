"""What a guarantee costs: evaluations of a controller that rejects rises, error of a sampler held within D12's margin.

    python tests/benchmarks/guarantees.py [--quick]

The controller: `dm.LyapunovController` around a `diffrax.PIDController`, on a memory and on the probability flow of
five Gaussians and of the digits, for the energy that falls along the exact flow. ``calls`` is the largest ratio of
steps tried, of states whose run by the wrapped controller alone rose nowhere: 1.3 at most is promised; ``rose`` is how
many others there were; ``rises`` are those along all runs of the held controller, ``failed`` the runs that ended badly.

The margin: `dm.Stabilised` around samplers on steps uniform in lam, on the counterexamples of `dynamem.comparison` (the
ratio of noise levels beside the name) and on both flows: steps that raise the free energy and the error at the end
against a fine solve (median over states), alone and held.
"""

import argparse
import itertools
from typing import Any

import diffrax as dfx
import jax
import jax.numpy as jnp
import numpy as np
from sklearn.datasets import load_digits

import dynamem as dm
from dynamem.catalog import DataSet
from dynamem.comparison import COUNTEREXAMPLES, Method, problem
from dynamem.comparison._reference import distances, reference
from dynamem.comparison._solving import Asked, asked, solved
from dynamem.lyapunov import rises_of


jax.config.update("jax_enable_x64", True)
SOLVERS = (dfx.Heun(), dfx.Bosh3(), dfx.Tsit5(), dfx.Dopri5(), dfx.Dopri8())
TOLERANCES = (1e-1, 1e-2, 1e-3, 1e-5)
SAMPLERS = {
    "Euler": dfx.Euler(), "Heun": dfx.Heun(), "Bosh3": dfx.Bosh3(), "EDMHeun": dm.EDMHeun(),
    "DPMSolver2M": dm.DPMSolver2M(), "ExponentialAB 3": dm.ExponentialAB(3),
}  # fmt: skip
STEPS = (2, 3, 5, 10)


def risen(ask: Asked, run: Any) -> np.ndarray:
    """Rises of the first energy in each state's run."""
    energy = next(iter(ask.problem.energies.values()))
    return np.asarray(rises_of(energy, run.ts, run.xs, run.count).rising.sum(axis=1))


def controllers(ask: Asked, solvers: Any) -> None:
    """A row for each solver and tolerance."""
    energy = next(iter(ask.problem.energies.values()))
    for solver, rtol in itertools.product(solvers, TOLERANCES):
        plain = solved(ask, Method(solver, tolerances=(rtol,)), None, rtol).run
        pid = lambda tol: dm.LyapunovController(dfx.PIDController(rtol=tol, atol=1e-3 * tol), energy)  # noqa: E731
        held = solved(ask, Method(solver, tolerances=(rtol,), controller=pid), None, rtol).run
        tried = [np.asarray(run.count) - 1 + np.asarray(run.rejected) for run in (plain, held)]
        fell = risen(ask, plain) == 0
        ratio = float(np.max(tried[1][fell] / tried[0][fell], initial=0.0))
        print(
            f"{ask.problem.name:13s} {type(solver).__name__:7s} {rtol:7.0e} {ratio:7.3f} {np.sum(~fell):5d}"
            f" of {len(fell)} {int(risen(ask, held).sum()):6d} {int(np.sum(~np.asarray(held.ok))):7d}",
            flush=True,
        )


def margins(ask: Asked, solver: Any, name: str, ladder: Any) -> None:
    """A row for each number of steps."""
    goal = reference(ask)[0]
    kinds = [Method(one, ladder, name=name) for one in (solver, dm.Stabilised(solver))]
    for steps in ladder:
        runs = [solved(ask, method, steps, None).run for method in kinds]
        told = [
            f"{int(risen(ask, run).sum()):6d} {np.median(distances(np.asarray(run.xs)[:, -1], goal)):10.2e}"
            for run in runs
        ]
        print(f"{ask.problem.name:13s} {name:26s} {steps:3d} " + " ".join(told), flush=True)


def between_patterns(one: Any) -> Asked:
    """The problem of a counterexample, between the patterns 0 and 1."""
    law = dm.Empirical(jnp.asarray([[0.0], [1.0]]), jnp.asarray([1 - one.weight, one.weight]))
    path = dm.DiffusionPath(dm.VE(), law)
    start = -float(np.log(one.noise))
    end, free = start - one.steps * float(np.log(one.ratio)), {"free": dm.FreeEnergy(path)}
    return asked(dm.Problem("pair", dm.ProbabilityFlow(path), jnp.asarray([[one.start]]), start, end, free), 0)


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a solver, a sampler and few states")
    quick = parser.parse_args().quick
    data = DataSet("digits", load_digits(return_X_y=True)[0] / 16)
    asks = [
        asked(problem(name, data, states=8 if quick else 64), 0) for name in ("memory", "flow_mixture", "flow_digits")
    ]
    print(f"{'problem':13s} {'solver':7s} {'rtol':>7s} {'calls':>7s} {'rose':>11s} {'rises':>6s} {'failed':>7s}")
    for ask in asks:
        controllers(ask, SOLVERS[:1] if quick else SOLVERS)
    print(f"\n{'problem':13s} {'sampler':26s} {'n':>3s} {'rises':>6s} {'error':>10s} {'held':>6s} {'error':>10s}")
    for one in COUNTEREXAMPLES[:1] if quick else COUNTEREXAMPLES:
        margins(between_patterns(one), one.solver, f"{one.name}, {one.ratio:g}", (one.steps,))
    for ask, (name, solver) in itertools.product(asks[1:], list(SAMPLERS.items())[: 1 if quick else None]):
        margins(ask, solver, name, STEPS)


if __name__ == "__main__":
    main()
