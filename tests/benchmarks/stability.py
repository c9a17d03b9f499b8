"""Time of four questions about a landscape against a loop over SciPy with the same compiled field.

    python tests/benchmarks/stability.py [--quick]

``points``: the fixed points of a log-sum-exp memory of 64 digits (D = 64), from 200 of them with noise, by Newton's
method without deflation; SciPy's `optimize.root` ("hybr", with the Jacobian) from each start. ``search``: the same with
the defaults, a damped method and rounds in which the points that are known are divided out, which SciPy's does not do.
``basins``: where 500 states of it end, at one relative
tolerance; SciPy's RK45, a state after the other. ``exponents``: of Lorenz's system over 100 units of time in 500
segments; SciPy's RK45 on the tangents, and NumPy's QR after each. SciPy calls fields that JAX has compiled; it finds no
spectra, families, labels or times, which dynamem does in the time that is told.

Contestants take turns (A B A B ...) after a call of each that is not counted, and which is told as the first.
``ratio`` is the median of the ratios of turns, SciPy over dynamem: above 1 dynamem is faster. ``apart`` is how far the
two answers are from one another; of points, how far a root of SciPy's is at most from the nearest of ours, and ``lost``
how many of those where SciPy claims success are no roots (``|F|`` above 1e-8: it asks how short the last step was).
One core.
"""

import argparse
import os
import sys
import time
from collections.abc import Callable
from typing import Any


if hasattr(os, "sched_setaffinity"):
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[-1:])

import diffrax as dfx
import jax
import jax.numpy as jnp
import numpy as np
import optimistix as optx
import scipy.integrate
import scipy.optimize
from sklearn.datasets import load_digits

import dynamem as dm


jax.config.update("jax_enable_x64", True)
DIGITS = load_digits(return_X_y=True)[0] / 16.0
BETA, STARTS, STATES, END, RTOL = 8.0, 200, 500, 20.0, 1e-6
TIME, SEGMENTS = 100.0, 500


def compiled(drift: Callable) -> tuple[Callable, Callable]:
    """Field and Jacobian as NumPy functions of ``(t, x)``."""
    field, slope = jax.jit(lambda x: drift(0.0, x, None)), jax.jit(jax.jacfwd(lambda x: drift(0.0, x, None)))
    return lambda t, x: np.asarray(field(x)), lambda t, x: np.asarray(slope(x))


def noisy(count: int) -> np.ndarray:
    """Digits with noise."""
    random = np.random.default_rng(0)
    return DIGITS[random.integers(0, len(DIGITS), count)] + 0.3 * random.normal(size=(count, DIGITS.shape[1]))


def points(**how: Any) -> tuple[Callable, Callable, Callable]:
    """Ours, SciPy's, and how far a root of SciPy's is at most from the nearest of ours."""
    flow, starts = dm.GradientFlow(dm.LogSumExp(jnp.asarray(DIGITS[::28][:64]), BETA)), noisy(STARTS)
    field, slope = compiled(flow.drift)

    def theirs() -> np.ndarray:
        runs = [scipy.optimize.root(lambda x: field(0, x), x0, jac=lambda x: slope(0, x), tol=1e-10) for x0 in starts]
        return np.stack([one.x for one in runs if one.success])

    def apart(a: Any, b: np.ndarray) -> float:
        sizes = np.asarray([np.linalg.norm(field(0, x)) for x in b])
        print(f"lost: {np.sum(sizes > 1e-8)} of {len(b)}", flush=True)
        b = b[sizes <= 1e-8]
        return float(np.linalg.norm(a.x[:, None] - b[None], axis=2).min(axis=0).max())

    return lambda: dm.fixed_points(flow, starts, **how), theirs, apart


def shares() -> tuple[Callable, Callable, Callable]:
    """Ours, SciPy's, and the largest distance of two end states."""
    flow, states = dm.GradientFlow(dm.LogSumExp(jnp.asarray(DIGITS[::28][:64]), BETA)), noisy(STATES)
    field, _ = compiled(flow.drift)
    rest = np.stack([one.x for one in dm.fixed_points(flow, states[:STARTS]).stable])

    def theirs() -> np.ndarray:
        how: Any = {"rtol": RTOL, "atol": 1e-3 * RTOL, "t_eval": (END,)}
        return np.stack([scipy.integrate.solve_ivp(field, (0, END), x0, **how).y[:, -1] for x0 in states])

    return (
        lambda: dm.basins(flow, states, rest, t1=END), theirs, lambda a, b: float(np.abs(a.ends - b).max())
    )  # fmt: skip


def exponents() -> tuple[Callable, Callable, Callable]:
    """Ours, SciPy's, and the largest difference; both are finite-time estimates of a chaotic system."""

    def lorenz(t: Any, x: Any, args: Any) -> Any:
        return jnp.stack([10 * (x[1] - x[0]), x[0] * (28 - x[2]) - x[1], x[0] * x[1] - 8 / 3 * x[2]])

    term, x0 = dfx.ODETerm(lorenz), np.asarray([1.0, 2.0, 20.0])
    field, slope = compiled(lorenz)

    def tangents(t: float, whole: np.ndarray) -> np.ndarray:
        x, q = whole[:3], whole[3:].reshape(3, 3)
        return np.concatenate([field(t, x), (slope(t, x) @ q).ravel()])

    def theirs() -> np.ndarray:
        state, sums = np.concatenate([x0, np.eye(3).ravel()]), np.zeros(3)
        for _ in range(SEGMENTS):
            run = scipy.integrate.solve_ivp(tangents, (0, TIME / SEGMENTS), state, rtol=1e-9, atol=1e-9)
            q, r = np.linalg.qr(run.y[3:, -1].reshape(3, 3))
            sums += np.log(np.abs(np.diag(r)))
            state = np.concatenate([run.y[:3, -1], q.ravel()])
        return sums / TIME

    return (
        lambda: dm.lyapunov_exponents(term, x0, t1=TIME, segments=SEGMENTS), theirs,
        lambda a, b: float(np.abs(np.asarray(a.values) - b).max()),
    )  # fmt: skip


def timed(call: Callable) -> tuple[float, Any]:
    """Seconds, and what it returned."""
    begin = time.perf_counter()
    found = call()
    return time.perf_counter() - begin, found


def main() -> int:
    """Print a row for each question."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="few turns")
    turns = 2 if parser.parse_args().quick else 5
    print(f"{'question':10s} {'dynamem':>9s} {'SciPy':>9s} {'ratio':>7s} {'first':>7s} {'apart':>9s}")
    newton: dict[str, Any] = {"deflate": 0, "solver": optx.Newton(rtol=1e-9, atol=1e-11)}
    asked = {"points": lambda: points(**newton), "search": points, "basins": shares, "exponents": exponents}
    for name, question in asked.items():
        ours, theirs, apart = question()
        (first, a), (_, b) = timed(ours), timed(theirs)
        pairs = np.asarray([(timed(ours)[0], timed(theirs)[0]) for _ in range(turns)])
        mine, other = np.median(pairs, axis=0)
        ratio = float(np.median(pairs[:, 1] / pairs[:, 0]))
        print(f"{name:10s} {mine:8.3f}s {other:8.3f}s {ratio:7.2f} {first:6.1f}s {apart(a, b):9.1e}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
