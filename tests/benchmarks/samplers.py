"""Time of sampling 256 digits: one compiled solve against the loop over a scheduler of diffusers, the same denoiser.

    python tests/benchmarks/samplers.py [--quick] [--cores 1]

DDIM in 50 steps and Heun in 25, which is 50 denoisers each, from noise level 80 to 0.02 on Karras's levels, in
float32. The denoiser is the exact one of the scikit-learn digits, a compiled JAX function; diffusers calls it from its
Python loop, and arrays cross over without copies. ``in torch`` is that loop with the denoiser as two matrix products
and a softmax in torch, so that nothing crosses. In ``y`` DDIM is Euler in the noise level, which is the scheduler used.

The contestants take turns (A B A B ...), each call after a pause and a call that is not counted. ``min`` is the ratio
of the least times, ``median`` that of the turns' own ratios, always the contestant over dynamem: above 1 dynamem is
faster. Without diffusers only dynamem runs.
"""

import argparse
import os
import sys
import time
import warnings
from collections.abc import Callable
from typing import Any


def arguments() -> argparse.Namespace:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="few turns")
    parser.add_argument("--cores", type=int, default=1, choices=(1, 2))
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
import numpy as np  # noqa: E402
from sklearn.datasets import load_digits  # noqa: E402

import dynamem as dm  # noqa: E402


try:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import torch
        from diffusers import EulerDiscreteScheduler, HeunDiscreteScheduler
except ImportError:
    torch = None

STATES, HIGH, LOW, PAUSE = 256, 80.0, 0.02, 0.1
SAMPLERS = {"DDIM-50": (dm.DDIM(), 50), "Heun-25": (dm.EDMHeun(), 25)}


class Batched(eqx.Module):
    """The probability flow on a batch (B, D): one solve."""

    flow: dm.ProbabilityFlow

    def drift(self, t: Any, x: Any, args: Any) -> Any:
        """The flow's drift of every row."""
        return jax.vmap(self.flow.drift, in_axes=(None, 0, None))(t, x, args)


@eqx.filter_jit
def sample(batched: Batched, sampler: dm.AbstractSampler, lams: Any, y: Any) -> Any:
    """All steps in one compiled program."""
    return dfx.diffeqsolve(
        dfx.ODETerm(batched.drift),
        sampler,
        lams[0],
        lams[-1],
        None,
        y,
        stepsize_controller=dfx.StepTo(lams),
        adjoint=dfx.ForwardMode(),
        max_steps=lams.shape[0] - 1,
        throw=False,
    ).ys[0]


@eqx.filter_jit
def denoise(law: dm.Empirical, y: Any, s: Any) -> Any:
    """Posterior means of a batch."""
    return jax.vmap(law.denoise, in_axes=(0, None))(y, s)


def scheduler_of(name: str, levels: np.ndarray) -> Any:
    """A scheduler of diffusers on these levels, in the state ``y``; its DDIM in ``y`` is its Euler."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        kind = EulerDiscreteScheduler if name.startswith("DDIM") else HeunDiscreteScheduler
        made = kind(prediction_type="sample") if kind is HeunDiscreteScheduler else kind(prediction_type="epsilon")
        made.set_timesteps(len(levels) - 1)
    grid = torch.tensor(levels, dtype=torch.float32)
    made.sigmas = grid if name.startswith("DDIM") else torch.cat([grid[:1], grid[1:].repeat_interleave(2)])
    calls = len(made.sigmas) - 1
    made.timesteps = torch.arange(calls, dtype=torch.float32)
    made.is_scale_input_called = True
    return made


def loop(name: str, levels: np.ndarray, y: Any, mean: Callable) -> Any:
    """The loop of a pipeline of diffusers."""
    made = scheduler_of(name, levels)
    made.set_begin_index(0)
    stops = [float(s) for s in made.sigmas]
    with torch.no_grad():
        for k, t in enumerate(made.timesteps):
            m = mean(y, stops[k])
            y = made.step((y - m) / stops[k] if name.startswith("DDIM") else m, t, y).prev_sample
    return y


def contestants(name: str, xi: np.ndarray, y: np.ndarray) -> tuple[dict[str, Callable], str]:
    """Name to callable, and how far their samples lie apart."""
    sampler, steps = SAMPLERS[name]
    levels = np.asarray(dm.karras_grid(HIGH, LOW, steps), np.float32)
    law = dm.Empirical(jnp.asarray(xi))
    batched = Batched(dm.ProbabilityFlow(dm.DiffusionPath(dm.EDM(), law)))
    lams, start = -jnp.log(jnp.asarray(levels)), jnp.asarray(y)
    calls: dict[str, Callable] = {"dynamem": lambda: jax.block_until_ready(sample(batched, sampler, lams, start))}
    if torch is None:
        return calls, "alone"
    patterns, half = torch.from_numpy(xi), 0.5 * torch.from_numpy(xi).square().sum(1)

    def jax_mean(y: Any, s: float) -> Any:
        return torch.from_dlpack(denoise(law, jnp.from_dlpack(y.contiguous()), jnp.asarray(s, jnp.float32)))

    def torch_mean(y: Any, s: float) -> Any:
        return torch.softmax((y @ patterns.T - half) / s**2, dim=1) @ patterns

    for label, mean in (("diffusers", jax_mean), ("diffusers in torch", torch_mean)):
        calls[label] = lambda mean=mean: loop(name, levels, torch.from_numpy(y), mean)
    ends = {label: np.asarray(call()) for label, call in calls.items()}
    away = np.abs(ends["dynamem"] - ends["diffusers"]).max(axis=1)
    return calls, f"{int(np.sum(away < 1e-2))} of {STATES} samples within 0.01 of diffusers'"


def once(call: Callable) -> float:
    """Seconds of one call after a pause and a call that is not counted (torch's workers spin for a while)."""
    time.sleep(PAUSE)
    call()
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def measure(name: str, turns: int) -> None:
    """Print one group of lines."""
    xi = (load_digits().data / 16).astype(np.float32)
    y = (HIGH * np.random.default_rng(0).normal(size=(STATES, xi.shape[1]))).astype(np.float32)
    calls, note = contestants(name, xi, y)
    times: dict[str, list[float]] = {label: [] for label in calls}
    for _ in range(turns):
        for label, call in calls.items():
            times[label].append(once(call))
    own = np.asarray(times.pop("dynamem"))
    print(f"{name}  {STATES} digits  dynamem {1e3 * own.min():8.1f} ms  ({note}; target at least 1.0)")
    for label, values in times.items():
        least, middle = min(values) / own.min(), np.median(np.asarray(values) / own)
        print(f"    {label:22} {1e3 * min(values):8.1f} ms  min {least:5.2f}  median {middle:5.2f}", flush=True)


def main() -> None:
    """Run and print both samplers."""
    if torch is None:
        print("diffusers not installed, left out; the extra `peers` of this package names it")
    else:
        torch.set_num_threads(OPTIONS.cores)
    for name in SAMPLERS:
        measure(name, 3 if OPTIONS.quick else 15)
    sys.stdout.flush()


if __name__ == "__main__":
    main()
