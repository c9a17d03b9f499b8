"""Time of whole solves on the scikit-learn digits against other libraries, from noise level 20 to 0.05.

    python tests/benchmarks/flows.py [--quick] [--cores 1] [--only flow sde]

``flow``: a probability flow with relative tolerance 1e-5, dynamem on the clock lam with Diffrax's Tsit5 against
torchdiffeq's dopri5 in sigma (as samplers are written) and in lam (so that the clock and the library can be told
apart), with the same exact denoiser in matrix form. ``sde``: the reverse SDE in 256 steps of Euler-Maruyama, dynamem
with Diffrax against a bare `jax.lax.scan` over the same denoiser and against torchsde. A batch is one solve.

The contestants take turns (A B A B ...), each call after a pause and a call that is not counted. ``min`` is the ratio
of the least times, ``median`` that of the turns' own ratios, always the contestant over dynamem: above 1 dynamem is
faster. Contestants that are not installed are left out.
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
    parser.add_argument("--only", nargs="*", choices=("flow", "sde"), default=("flow", "sde"))
    return parser.parse_args()


OPTIONS = arguments()
if hasattr(os, "sched_setaffinity"):
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[-OPTIONS.cores :])
for variable in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[variable] = str(OPTIONS.cores)

import diffrax as dfx  # noqa: E402
import equinox as eqx  # noqa: E402
import jax  # noqa: E402
import jax.numpy as jnp  # noqa: E402
import jax.random as jr  # noqa: E402
import numpy as np  # noqa: E402
from sklearn.datasets import load_digits  # noqa: E402

import dynamem as dm  # noqa: E402


try:
    import torch
except ImportError:
    torch = None
try:
    import torchdiffeq
except ImportError:
    torchdiffeq = None
try:
    import torchsde
except ImportError:
    torchsde = None

S_START, S_END, RTOL, ATOL, STEPS = 20.0, 0.05, 1e-5, 1e-5, 256
LAM = (-float(np.log(S_START)), -float(np.log(S_END)))
PAUSE = 0.1
TARGETS = {("flow", 256): "at least 1.8", ("flow", 1): "at least 5", ("sde", 256): "at least 0.91 against the scan"}


class Batched(eqx.Module):
    """A flow on a batch (B, D): one solve, one step size."""

    flow: dm.AbstractFlow

    def drift(self, t: Any, x: Any, args: Any) -> Any:
        """The flow's drift of every row."""
        return jax.vmap(self.flow.drift, in_axes=(None, 0, None))(t, x, args)

    def diffusion(self, t: Any, x: Any, args: Any) -> Any:
        """A multiple of the identity, whatever the shape."""
        return self.flow.diffusion(t, x, args)


@eqx.filter_jit
def solve_flow(batched: Batched, y: Any, lam: Any, rtol: Any, atol: Any) -> Any:
    """State at the end and number of steps."""
    solution = dfx.diffeqsolve(
        dfx.ODETerm(batched.drift),
        dfx.Tsit5(),
        lam[0],
        lam[1],
        None,
        y,
        stepsize_controller=dfx.PIDController(rtol=rtol, atol=atol),
        adjoint=dfx.ForwardMode(),
    )
    return solution.ys[0], solution.stats["num_steps"]


@eqx.filter_jit
def solve_sde(batched: Batched, y: Any, lam: Any, key: Any) -> Any:
    """State at the end of `STEPS` steps."""
    brownian = dfx.UnsafeBrownianPath(shape=jax.ShapeDtypeStruct(y.shape, y.dtype), key=key)
    return dfx.diffeqsolve(
        dfx.MultiTerm(dfx.ODETerm(batched.drift), dfx.ControlTerm(batched.diffusion, brownian)),
        dfx.Euler(),
        lam[0],
        lam[1],
        (lam[1] - lam[0]) / STEPS,
        y,
        adjoint=dfx.ForwardMode(),
        max_steps=STEPS + 1,
    ).ys[0]


@eqx.filter_jit
def scan_sde(law: dm.Empirical, y: Any, lam: Any, key: Any) -> Any:
    """The same steps with nothing around them."""
    h = (lam[1] - lam[0]) / STEPS

    def step(y: Any, k: Any) -> tuple[Any, None]:
        s = jnp.exp(-(lam[0] + h * k.astype(y.dtype)))
        mean = jax.vmap(law.denoise, in_axes=(0, None))(y, s)
        z = jr.normal(jr.fold_in(key, k), y.shape, y.dtype)
        return y + 2 * h * (mean - y) + s * jnp.sqrt(2 * h) * z, None

    return jax.lax.scan(step, y, jnp.arange(STEPS))[0]


def torch_mean(xi: Any) -> Callable:
    """``(y, s) -> m`` as two matrix products and a softmax."""
    half = 0.5 * (xi * xi).sum(1)
    keys = xi.T.contiguous()
    return lambda y, s: torch.softmax((y @ keys - half) / s**2, dim=1) @ xi


def torch_flow(mean: Callable, y: Any, clock: str) -> Any:
    """The dopri5 of torchdiffeq in sigma or in lam."""
    if clock == "sigma":
        field, ends = (lambda s, y: (y - mean(y, s)) / s), (S_START, S_END)
    else:
        field, ends = (lambda lam, y: mean(y, torch.exp(-lam)) - y), LAM
    with torch.no_grad():
        times = torch.tensor(ends, dtype=y.dtype)
        return torchdiffeq.odeint(field, y, times, rtol=RTOL, atol=ATOL, method="dopri5")[-1]


def torch_sde(mean: Callable, y: Any) -> Any:
    """The Euler of torchsde in lam."""

    class Reverse(torch.nn.Module):
        noise_type, sde_type = "diagonal", "ito"

        def f(self, lam: Any, y: Any) -> Any:
            return 2 * (mean(y, torch.exp(-lam)) - y)

        def g(self, lam: Any, y: Any) -> Any:
            return (torch.exp(-lam) * 2**0.5).expand_as(y)

    with torch.no_grad():
        times = torch.tensor(LAM, dtype=y.dtype)
        return torchsde.sdeint(Reverse(), y, times, method="euler", dt=(LAM[1] - LAM[0]) / STEPS)[-1]


def flow_contestants(xi: np.ndarray, y: np.ndarray) -> tuple[dict, str]:
    """Name to callable, and a line on how far the answers lie apart."""
    path = dm.DiffusionPath(dm.EDM(), dm.Empirical(jnp.asarray(xi)))
    batched, state = Batched(dm.ProbabilityFlow(path)), jnp.asarray(y)
    numbers = [jnp.asarray(value, state.dtype) for value in (LAM, RTOL, ATOL)]
    calls = {"dynamem": lambda: jax.block_until_ready(solve_flow(batched, state, *numbers))}
    end, steps = solve_flow(batched, state, *numbers)
    note = f"{int(steps)} steps"
    if torch is not None and torchdiffeq is not None:
        mean, start = torch_mean(torch.from_numpy(xi)), torch.from_numpy(y)
        for clock in ("sigma", "lam"):
            calls[f"torchdiffeq in {clock}"] = lambda clock=clock: torch_flow(mean, start, clock)
            gap = np.abs(calls[f"torchdiffeq in {clock}"]().numpy() - np.asarray(end)).max()
            note += f", end state {gap:.0e} from torchdiffeq in {clock}"
    return calls, note


def sde_contestants(xi: np.ndarray, y: np.ndarray) -> tuple[dict, str]:
    """Name to callable, and how near the ends come to patterns: mean distance to the nearest."""
    law = dm.Empirical(jnp.asarray(xi))
    batched, state = Batched(dm.ReverseSDE(dm.DiffusionPath(dm.EDM(), law))), jnp.asarray(y)
    lam, key = jnp.asarray(LAM, state.dtype), jr.key(0)
    calls = {
        "dynamem": lambda: jax.block_until_ready(solve_sde(batched, state, lam, key)),
        "bare scan": lambda: jax.block_until_ready(scan_sde(law, state, lam, key)),
    }
    if torch is not None and torchsde is not None:
        mean, start = torch_mean(torch.from_numpy(xi)), torch.from_numpy(y)
        calls["torchsde"] = lambda: torch_sde(mean, start)
    away = ", ".join(f"{nearest(np.asarray(call()), xi):.3f} ({name})" for name, call in calls.items())
    return calls, f"distance to the nearest pattern {away}"


def nearest(ends: np.ndarray, xi: np.ndarray) -> float:
    """Mean over states of the distance to the nearest pattern."""
    squares = np.sum(ends**2, 1)[:, None] - 2 * ends @ xi.T + np.sum(xi**2, 1)
    return float(np.sqrt(np.maximum(squares.min(1), 0)).mean())


def once(call: Callable) -> float:
    """Seconds of one call after a pause and a call that is not counted (torch's workers spin for a while)."""
    time.sleep(PAUSE)
    call()
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def measure(what: str, states: int, dtype: str, turns: int) -> None:
    """Print one group of lines."""
    xi = (load_digits().data / 16).astype(dtype)
    y = (S_START * np.random.default_rng(0).normal(size=(states, xi.shape[1]))).astype(dtype)
    calls, note = (flow_contestants if what == "flow" else sde_contestants)(xi, y)
    times = {name: [] for name in calls}
    for _ in range(turns):
        for name, call in calls.items():
            times[name].append(once(call))
    own = np.asarray(times.pop("dynamem"))
    target = TARGETS.get((what, states), "none")
    print(f"{what} {states:4} {dtype}  dynamem {1e3 * own.min():8.1f} ms  ({note}; target {target})")
    for name, values in times.items():
        ratios = np.asarray(values) / own
        least, middle = min(values) / own.min(), np.median(ratios)
        print(f"    {name:22} {1e3 * min(values):8.1f} ms  min {least:5.2f}  median {middle:5.2f}", flush=True)


def main() -> None:
    """Run and print every problem."""
    jax.config.update("jax_enable_x64", True)
    absent = [name for name in ("torch", "torchdiffeq", "torchsde") if globals()[name] is None]
    if absent:
        print(f"{', '.join(absent)} not installed, left out; the extra `bench` of this package names them")
    if torch is not None:
        torch.set_num_threads(OPTIONS.cores)
    turns = 3 if OPTIONS.quick else 15
    if "flow" in OPTIONS.only:
        for states in (256, 1):
            for dtype in ("float64", "float32"):
                measure("flow", states, dtype, turns)
    if "sde" in OPTIONS.only:
        for dtype in ("float64", "float32"):
            measure("sde", 256, dtype, turns)
    sys.stdout.flush()


if __name__ == "__main__":
    main()
