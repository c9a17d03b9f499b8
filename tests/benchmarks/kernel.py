"""Time of the retrieval kernel against what it cannot do without: two bare matrix products of the same shape.

    python tests/benchmarks/kernel.py [--quick] [--cores 2]

Every line is one run in which the contestants take turns (A B A B ...), so that what else the machine does hits
them all alike: ``ratio`` is kernel / (X K^T and P K in NumPy), ``sdpa`` is kernel / torch's attention and ``keops``
kernel / KeOps' softmax reduction where those are installed, each as the minimum over the turns and the median of the
turns' own ratios. ``extra`` is the memory that the compiled kernel holds beyond its arguments and results.
"""

import argparse
import os
import sys
import time


def arguments() -> argparse.Namespace:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="few turns, smaller shapes only")
    parser.add_argument("--cores", type=int, default=1, choices=(1, 2))
    parser.add_argument("--only", type=int, nargs="*", help="indices of the shapes to run")
    parser.add_argument("--dtype", choices=("float32", "float64"), nargs="*", default=("float32", "float64"))
    return parser.parse_args()


OPTIONS = arguments()
if hasattr(os, "sched_setaffinity"):
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[-OPTIONS.cores :])
for variable in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[variable] = str(OPTIONS.cores)

import jax  # noqa: E402
import jax.numpy as jnp  # noqa: E402
import numpy as np  # noqa: E402

from dynamem.kernels import tilt_batch  # noqa: E402


try:
    import torch
except ImportError:
    torch = None
try:
    from pykeops.torch import LazyTensor
except ImportError:
    LazyTensor = None

SHAPES = ((256, 1797, 64), (64, 60000, 784), (1, 60000, 784), (1024, 10000, 256), (16, 1000000, 64))
QUICK = ((256, 1797, 64), (1, 60000, 784), (256, 10000, 256))
TARGETS = {(256, 1797, 64): 1.25}
PAUSE = 0.1


def contestants(shape: tuple[int, int, int], dtype: str) -> tuple[dict, float]:
    """Name to callable, and the kernel's extra memory in MiB."""
    queries, patterns, coordinates = shape
    random = np.random.default_rng(0)
    xi = random.normal(size=(patterns, coordinates)).astype(dtype)
    eta = random.normal(size=(queries, coordinates)).astype(dtype) / np.asarray(coordinates**0.5, dtype)
    p = np.full((queries, patterns), 1.0 / patterns, dtype)
    operands = (jnp.asarray(xi), jnp.asarray(eta), jnp.full((queries,), 0.3, dtype))
    compiled = jax.jit(lambda xi, eta, kappa: tilt_batch(xi, None, eta, kappa)).lower(*operands).compile()
    logits, values = np.empty((queries, patterns), dtype), np.empty((queries, coordinates), dtype)

    def products() -> None:
        np.matmul(eta, xi.T, out=logits)
        np.matmul(p, xi, out=values)

    found = {"kernel": lambda: jax.block_until_ready(compiled(*operands)), "products": products}
    if torch is not None:
        torch.set_num_threads(OPTIONS.cores)
        q, k = torch.from_numpy(eta)[None, None], torch.from_numpy(xi)[None, None]
        attention = torch.nn.functional.scaled_dot_product_attention
        found["sdpa"] = lambda: attention(q, k, k, scale=1.0)
    if torch is not None and LazyTensor is not None:
        rows, columns = LazyTensor(q[0, 0][:, None, :]), LazyTensor(k[0, 0][None, :, :])
        found["keops"] = lambda: (rows | columns).sumsoftmaxweight(columns, dim=1)
    return found, compiled.memory_analysis().temp_size_in_bytes / 2**20


def once(call: object, warm: bool) -> float:
    """Seconds of one call; ``warm``: after a pause and a call that is not counted (spinning BLAS workers)."""
    if warm:
        time.sleep(PAUSE)
        call()
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def measure(shape: tuple[int, int, int], dtype: str, seconds: float) -> str:
    """One line of the table."""
    calls, extra = contestants(shape, dtype)
    warm = OPTIONS.cores > 1
    for call in calls.values():
        call()
    times = {name: [] for name in calls}
    start = time.perf_counter()
    while time.perf_counter() - start < seconds or len(times["kernel"]) < 5:
        for name, call in calls.items():
            times[name].append(once(call, warm))
    line = f"{shape!s:22} {dtype:8} kernel {1e3 * min(times['kernel']):9.2f} ms  extra {extra:6.2f} MiB"
    for name, label in (("products", "ratio"), ("sdpa", "sdpa"), ("keops", "keops")):
        if name in times:
            ratios = np.asarray(times["kernel"]) / np.asarray(times[name])
            line += f"  {label} min {min(times['kernel']) / min(times[name]):5.2f} median {np.median(ratios):5.2f}"
    return line + f"  target {TARGETS.get(shape, 1.2)}"


def main() -> None:
    """Run and print every shape and dtype."""
    jax.config.update("jax_enable_x64", True)
    shapes = QUICK if OPTIONS.quick else SHAPES
    for index, shape in enumerate(shapes):
        for dtype in OPTIONS.dtype:
            if OPTIONS.only is None or index in OPTIONS.only:
                sys.stdout.write(measure(shape, dtype, 1.0 if OPTIONS.quick else 5.0) + "\n")
                sys.stdout.flush()


if __name__ == "__main__":
    main()
