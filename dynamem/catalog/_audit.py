"""The audit: every built-in system, or those named, on one data set."""

import concurrent.futures
import importlib.metadata
import platform
import threading
import zlib
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import jax.random as jr

from .._errors import InputError
from ..diffusion import Empirical
from ..lyapunov import Trajectory
from ._audit_types import Audit
from ._claims import claims_of
from ._diffusion import Sweep, sweep
from ._figures import figures_of
from ._memories import memory, system_rows
from ._names import MEMORIES, system_names
from ._options import AuditOptions
from ._runs import starts
from ._system import load_system


def run_audit(options: AuditOptions, progress: Callable[[str, int, int], None]) -> Audit:
    """Run the audit that the options ask for; ``progress(label, done, total)`` is called after each part.

    Two threads share the work, since most of a first run is compilation: the probability flow in one, memories and
    the reverse SDE in the other. What is computed does not depend on their order.
    """
    if not jax.config.read("jax_enable_x64"):
        msg = "jax_enable_x64=False: an audit needs float64; call jax.config.update('jax_enable_x64', True) first"
        raise InputError(msg)
    chosen = options.systems or tuple(system_names())
    alone = [name for name in chosen if name in MEMORIES or ":" in name]
    report = _Counted(progress, len(chosen) + 1)
    bench = _Bench(options, report)
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        first = pool.submit(lambda: [bench.sweep(name) for name in chosen if name.startswith("probability_flow/")])
        second = pool.submit(lambda: [bench.system(name) for name in alone])
        third = pool.submit(lambda: [bench.sweep(name) for name in chosen if name.startswith("reverse_sde/")])
        odes, systems, sdes = first.result(), second.result(), third.result()
    rows = [row for made, _ in systems for row in made] + [row for one in (*odes, *sdes) for row in one.rows]
    memory_run = next((run for name, (_, run) in zip(alone, systems, strict=True) if name == "log_sum_exp"), None)
    figures = figures_of(odes, sdes, memory_run, options.data, coarse=options.quick)
    report("figures")
    return Audit(rows, environment(options), claims_of(odes, sdes), figures)


class _Counted:
    """Progress from several threads: how many parts are done."""

    def __init__(self, progress: Callable[[str, int, int], None], total: int) -> None:
        self.progress, self.total, self.done, self.lock = progress, total, 0, threading.Lock()

    def __call__(self, label: str) -> None:
        with self.lock:
            self.done += 1
            self.progress(label, self.done, self.total)


class _Bench:
    """The data, initial states and keys that all parts of one audit share."""

    def __init__(self, options: AuditOptions, report: Callable[[str], None]) -> None:
        weights = options.data.weights
        self.options, self.report = options, report
        self.patterns = jnp.asarray(options.data.patterns)
        self.law = Empirical(self.patterns, None if weights is None else jnp.asarray(weights))
        self.levels = (options.s_start, options.s_end)
        self.states = starts(self.patterns, options.states, options.s_start, keyed(options.seed, "starts"))

    def system(self, name: str) -> tuple[list[dict[str, Any]], Trajectory | None]:
        """Rows of a memory or of the user's own system, and the run that the pictures show."""
        key = keyed(self.options.seed, name)
        system = load_system(name) if ":" in name else memory(name, self.patterns, self.options.states, key)
        found = system_rows(name, system, key)
        self.report(name)
        return found

    def sweep(self, name: str) -> Sweep:
        """Everything about ``dynamics/schedule``."""
        dynamics, _, schedule = name.partition("/")
        found = sweep(dynamics, schedule, self.law, self.states, self.levels, keyed(self.options.seed, "paths"))
        self.report(name)
        return found


def keyed(seed: int, name: str) -> jax.Array:
    """The key of a name: the same whatever else is run."""
    return jr.fold_in(jr.key(seed), zlib.crc32(name.encode()))


def environment(options: AuditOptions) -> dict[str, Any]:
    """What a reader needs to run the audit again."""
    packages = ("dynamem", "jax", "jaxlib", "diffrax", "equinox", "numpy")
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "device": jax.devices()[0].device_kind,
        "precision": "float64",
        "packages": {name: _version(name) for name in packages},
        "data": {"name": options.data.name, "shape": list(options.data.patterns.shape)},
        "seed": options.seed,
        "states": options.states,
        "noise_levels": [options.s_start, options.s_end],
        "quick": options.quick,
    }


def _version(name: str) -> str | None:
    """A package's version, None where it runs from a source tree that was never installed."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None
