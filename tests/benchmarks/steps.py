"""Time of 1,000 cheap fixed steps against a bare `jax.lax.scan` of the same step: what the loop costs.

    python tests/benchmarks/steps.py [--quick] [--cores 1] [--only ddim em]

``ddim``: DDIM on the probability flow of three patterns in the plane. ``em``: Euler-Maruyama on their reverse SDE, with
normals keyed by the step (`UnsafeBrownianPath`) and with Brownian motion read off a tree (`VirtualBrownianTree`); the
bare scan draws normals keyed by the step's number. Each from one state and from 64, which are 64 solves under `vmap`.

A row is the median of warm runs in microseconds and its ratio to the scan that keeps as much (the end only, or all
states). Contestants take turns; what a first call takes, compilation with it, is printed apart. ``library`` rows are
`dynamem.lyapunov.solve`, `dm.check` and `compare` (one solve with its counts) as users call them, energies included.
"""

import argparse
import os
import sys
import time
from collections.abc import Callable
from typing import Any


def arguments() -> argparse.Namespace:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="few turns")
    parser.add_argument("--cores", type=int, default=1, choices=(1, 2))
    parser.add_argument("--only", nargs="*", choices=("ddim", "em"), default=("ddim", "em"))
    return parser.parse_args()


OPTIONS = arguments()
if hasattr(os, "sched_setaffinity"):
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[-OPTIONS.cores :])

import diffrax as dfx  # noqa: E402
import equinox as eqx  # noqa: E402
import jax  # noqa: E402
import jax.numpy as jnp  # noqa: E402
import jax.random as jr  # noqa: E402
import numpy as np  # noqa: E402

import dynamem as dm  # noqa: E402
from dynamem.lyapunov import solve  # noqa: E402


N, STATES = 1000, 64
ENDS = (-float(np.log(20.0)), -float(np.log(0.05)))
ADJOINTS = {
    "": dfx.RecursiveCheckpointAdjoint(), "ForwardMode": dfx.ForwardMode(), "Direct": dfx.DirectAdjoint(),
}  # fmt: skip


def patterns() -> dm.Empirical:
    """Three in the plane."""
    return dm.Empirical(jnp.asarray([[1.0, 0.0], [-0.5, 0.8], [-0.6, -0.7]]))


class Bare(eqx.Module):
    """The step written by hand, and a scan around it."""

    law: dm.Empirical
    noisy: bool = eqx.field(static=True)
    keep: bool = eqx.field(static=True)

    def run(self, y: Any, lams: Any, key: Any) -> Any:
        """End state (D,), or all states (n, D)."""

        def step(y: Any, ends: Any) -> tuple[Any, Any]:
            k, lam, after = ends
            h, s = after - lam, jnp.exp(-lam)
            pull = self.law.denoise(y, s) - y
            if self.noisy:
                z = jr.normal(jr.fold_in(key, k), y.shape, y.dtype)
                y = y + 2 * h * pull + s * jnp.sqrt(2 * h) * z
            else:
                y = y + (1 - jnp.exp(-h)) * pull
            return y, (y if self.keep else None)

        end, kept = jax.lax.scan(step, y, (jnp.arange(N), lams[:-1], lams[1:]))
        return kept if self.keep else end


class Diffrax(eqx.Module):
    """The same by `diffrax.diffeqsolve`."""

    flow: Any
    solver: Any
    adjoint: Any
    path: str = eqx.field(static=True, default="")
    keep: bool = eqx.field(static=True, default=False)
    throw: bool = eqx.field(static=True, default=False)
    grid: bool = eqx.field(static=True, default=False)
    limit: int = eqx.field(static=True, default=N)

    def run(self, y: Any, lams: Any, key: Any) -> Any:
        """End state (1, D), or all states (n, D)."""
        t0, t1 = lams[0], lams[-1]
        terms = self.flow.terms(motion(self.path, y, lams, key)) if self.path else self.flow.terms()
        return dfx.diffeqsolve(
            terms, self.solver, t0, t1, None if self.grid else (t1 - t0) / N, y,
            saveat=dfx.SaveAt(steps=True) if self.keep else dfx.SaveAt(t1=True), adjoint=self.adjoint,
            stepsize_controller=dfx.StepTo(lams) if self.grid else dfx.ConstantStepSize(), max_steps=self.limit,
            throw=self.throw,
        ).ys  # fmt: skip


class Scan(eqx.Module):
    """The same by `dm.scan_solve`."""

    flow: Any
    solver: Any
    path: str = eqx.field(static=True, default="")
    keep: bool = eqx.field(static=True, default=False)

    def run(self, y: Any, lams: Any, key: Any) -> Any:
        """End state (1, D), or all states (n + 1, D)."""
        terms = self.flow.terms(motion(self.path, y, lams, key)) if self.path else self.flow.terms()
        return dm.scan_solve(terms, self.solver, lams, y, steps=self.keep).ys


def motion(path: str, y: Any, lams: Any, key: Any) -> Any:
    """A Brownian motion."""
    if path == "unsafe":
        return dfx.UnsafeBrownianPath(shape=y.shape, key=key)
    t0, t1 = lams[0], lams[-1]
    return dfx.VirtualBrownianTree(t0, t1, tol=1e-4 * (t1 - t0), shape=y.shape, key=key)


@eqx.filter_jit
def one(run: Any, ys: Any, lams: Any, keys: Any) -> Any:
    """From the first state."""
    return run.run(ys[0], lams, keys[0])


@eqx.filter_jit
def many(run: Any, ys: Any, lams: Any, keys: Any) -> Any:
    """From all states."""
    return jax.vmap(run.run, in_axes=(0, None, 0))(ys, lams, keys)


def contestants(what: str, how: Callable, ys: Any, lams: Any, keys: Any) -> dict[str, tuple[Callable, str]]:
    """Name to a callable and the name of the scan it is held to."""
    law = patterns()
    path = dm.DiffusionPath(dm.EDM(), law)
    noisy = what == "em"
    flow: Any = dm.ReverseSDE(path, 1.0) if noisy else dm.ProbabilityFlow(path)
    solver: Any = dfx.Euler() if noisy else dm.DDIM()
    count = STATES if how is many else 1
    found: dict[str, tuple[Any, str]] = {
        "scan, end": (Bare(law, noisy, False), "scan, end"), "scan, all": (Bare(law, noisy, True), "scan, all"),
    }  # fmt: skip
    for kind in ("unsafe", "tree") if noisy else ("",):
        for keep in (False, True):
            held, tail = ("scan, all", "all") if keep else ("scan, end", "end")
            found[f"scan_solve {kind}, {tail}"] = Scan(flow, solver, kind, keep), held
            for label, adjoint in ADJOINTS.items():
                if kind == "unsafe" and label != "ForwardMode":
                    continue  # Diffrax refuses it
                own = Diffrax(flow, solver, adjoint, kind, keep)
                found[f"diffrax {kind} {label or 'default'}, {tail}"] = own, held
        own = Diffrax(flow, solver, ADJOINTS["ForwardMode"], kind, throw=True)
        found[f"diffrax {kind} ForwardMode throw, end"] = own, "scan, end"
        own = Diffrax(flow, solver, ADJOINTS["ForwardMode"], kind, grid=True)
        found[f"diffrax {kind} ForwardMode StepTo, end"] = own, "scan, end"
        own = Diffrax(flow, solver, ADJOINTS["ForwardMode"], kind, True, grid=True)
        found[f"diffrax {kind} ForwardMode StepTo, all"] = own, "scan, all"
        own = Diffrax(flow, solver, ADJOINTS["ForwardMode"], kind, limit=4096)
        found[f"diffrax {kind} ForwardMode 4096, end"] = own, "scan, end"
    calls: dict[str, tuple[Callable, str]] = {
        name: ((lambda run=run: how(run, ys, lams, keys)), held) for name, (run, held) in found.items()
    }
    step, some, given = (lams[-1] - lams[0]) / N, ys[:count], keys[:count] if noisy else None
    span = (lams[0], lams[-1])
    for label, controller, dt0 in (("", dfx.ConstantStepSize(), step), (" StepTo", dfx.StepTo(lams), None)):
        for shared in (False, True) if noisy else (False,):
            calls[f"library solve{label}{' shared' if shared else ''}"] = (
                lambda controller=controller, dt0=dt0, shared=shared: solve(
                    flow, some, span, solver, controller, dt0, given, max_steps=N + 2, shared=shared
                ),
                "scan, all",
            )
    ends, energy = {"t0": float(lams[0]), "t1": float(lams[-1])}, dm.FreeEnergy(path, churn=1.0 if noisy else 0.0)
    key = jr.key(0) if noisy else None
    if count > 1 or not noisy:
        calls["library check"] = (
            lambda: dm.check(energy, flow, some, **ends, solver=solver, dt0=float(step), key=key).status,
            "scan, all",
        )
    problem = dm.Problem("steps", flow, some, ends["t0"], ends["t1"], {"free": energy})
    problem = dm.Problem(**(vars(problem) | {"exact": np.zeros(some.shape)}))
    method = dm.Method(solver, (N,))
    calls["library compare"] = (lambda: dm.compare(problem, [method], limits=False), "scan, all")
    return calls


def measure(what: str, how: Callable, turns: int) -> None:
    """Print one group of rows."""
    ys = 20.0 * jr.normal(jr.key(0), (STATES, 2))
    lams, keys = jnp.linspace(*ENDS, N + 1), jr.split(jr.key(1), STATES)
    calls = contestants(what, how, ys, lams, keys)
    firsts, times = {}, {name: [] for name in calls}
    for name, (call, _) in calls.items():
        start = time.perf_counter()
        jax.block_until_ready(call())
        firsts[name] = time.perf_counter() - start
    for _ in range(turns):
        for name, (call, _) in calls.items():
            start = time.perf_counter()
            jax.block_until_ready(call())
            times[name].append(time.perf_counter() - start)
    middle = {name: float(np.median(values)) for name, values in times.items()}
    print(f"{what}, {N} steps of {STATES if how is many else 1} states")
    for name, (_, held) in calls.items():
        ratio = middle[name] / middle[held]
        print(f"    {name:42} {1e6 * middle[name]:9.0f} us  {ratio:7.2f} of the scan   first {firsts[name]:5.2f} s")
    sys.stdout.flush()


def main() -> None:
    """Run and print every group."""
    jax.config.update("jax_enable_x64", True)
    for what in OPTIONS.only:
        for how in (one, many):
            measure(what, how, 3 if OPTIONS.quick else 15)


if __name__ == "__main__":
    main()
