"""The audit: every built-in system, or those named, on one data set."""

import dataclasses
import platform
import threading
import traceback
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import jax.random as jr

from .._errors import InputError
from .._versions import version_of
from ..diffusion import Empirical
from ..lyapunov import Trajectory
from ..theorems import prove_named
from . import _diffusion, _systems
from ._audit_types import Audit
from ._claims import claims_of
from ._climb import climb, theorems_of
from ._figures import certified_map, figures_of
from ._memories import memory
from ._names import DYNAMICS, system_names
from ._options import DIGITS, AuditOptions
from ._rows import failed_rows, reason_of
from ._runs import starts
from ._system import System, load_system


def run_audit(options: AuditOptions, progress: Callable[[str, int, int], None]) -> Audit:
    """Run the audit that the options ask for; ``progress(label, done, total)`` is called after each part.

    Two threads share the work, since most of a first run is compilation: the probability flow in one, memories and
    the reverse SDE in the other. What is computed does not depend on their order. A part that raises has failed rows,
    and a sentence in `Audit.errors`; the others stand. Where this call is interrupted, neither thread begins with
    anything else.
    """
    if not jax.config.read("jax_enable_x64"):
        msg = "jax_enable_x64=False: an audit needs float64; call jax.config.update('jax_enable_x64', True) first"
        raise InputError(msg)
    chosen = options.systems or tuple(system_names(quick=options.quick, digits=options.data.name == DIGITS))
    own = {name: load_system(name) for name in chosen if ":" in name}
    report = _Counted(progress, len(chosen) + 1)
    bench = _Bench(options, own, report)
    lanes = (ThreadPoolExecutor(1), ThreadPoolExecutor(1))
    try:
        futures = [lanes[name.startswith("probability_flow/")].submit(bench.part, name) for name in chosen]
        parts = [future.result() for future in futures]
    finally:
        bench.stop.set()
        for lane in lanes:
            lane.shutdown(wait=False, cancel_futures=True)
    odes, sdes = ([part.sweep for part in parts if part.sweep and part.dynamics == name] for name in DYNAMICS)
    shown = next((part.run for part in parts if part.name == "log_sum_exp"), None)
    figures = figures_of(odes, sdes, shown, options.data, coarse=options.quick)
    ordered = sorted(parts, key=lambda part: ["", *DYNAMICS].index(part.dynamics))
    rows = [row for part in ordered for row in part.rows]
    errors = [part.error for part in ordered if part.error]
    try:
        if not options.quick:
            figures = dataclasses.replace(figures, certified=certified_map(odes, options.data, figures.planes))
    except Exception as error:
        errors.append(_told("certified map", error))
    report("figures")
    if options.prove:
        errors += climb(rows, prove_named(theorems_of(rows)))
    return Audit(rows, environment(options), claims_of(odes, sdes), figures, errors)


class _Counted:
    """Progress from several threads: how many parts are done."""

    def __init__(self, progress: Callable[[str, int, int], None], total: int) -> None:
        self.progress, self.total, self.done, self.lock = progress, total, 0, threading.Lock()

    def __call__(self, label: str) -> None:
        with self.lock:
            self.done += 1
            self.progress(label, self.done, self.total)


class _Part(NamedTuple):
    """What became of one name: rows in any case, and what the claims and the figures need."""

    name: str
    rows: list[dict[str, Any]]
    sweep: _diffusion.Sweep | None = None
    run: Trajectory | None = None
    error: str = ""

    @property
    def dynamics(self) -> str:
        """One of `DYNAMICS`, empty for a memory or a system of the user's."""
        return _split(self.name)[0]


def _split(name: str) -> tuple[str, str]:
    """Dynamics and schedule of a name, both empty for a memory or a system of the user's."""
    dynamics, _, schedule = name.partition("/")
    return (dynamics, schedule) if dynamics in DYNAMICS else ("", "")


class _Bench:
    """The data, initial states and keys that all parts of one audit share, and the sign to stop."""

    def __init__(self, options: AuditOptions, own: dict[str, System], report: Callable[[str], None]) -> None:
        weights = options.data.weights
        self.options, self.own, self.report, self.stop = options, own, report, threading.Event()
        self.patterns = jnp.asarray(options.data.patterns)
        self.law = Empirical(self.patterns, None if weights is None else jnp.asarray(weights))
        self.levels = (options.s_start, options.s_end)
        self.states = starts(self.patterns, options.states, options.s_start, keyed(options.seed, "starts"))

    def part(self, name: str) -> _Part:
        """Everything about one name."""
        self.proceed()
        found = self._sweep(name) if _split(name)[0] else self._system(name)
        self.report(name)
        return found

    def proceed(self) -> None:
        """Leave this thread if the audit was interrupted."""
        if self.stop.is_set():
            raise KeyboardInterrupt

    def _sweep(self, name: str) -> _Part:
        key = keyed(self.options.seed, "paths")
        what, quick = _split(name), self.options.quick
        try:
            found = _diffusion.sweep(*what, self.law, self.states, self.levels, key, self.proceed, quick=quick)
        except Exception as error:
            return _Part(name, failed_rows(_diffusion.planned(*what, quick=quick), error), error=_told(name, error))
        return _Part(name, found.rows, sweep=found)

    def _system(self, name: str) -> _Part:
        key, planned = keyed(self.options.seed, name), _systems.planned(name, self.own.get(name))
        try:
            system = self.own.get(name) or memory(name, self.patterns, self.options.states, key)
            rows, run = _systems.system_rows(name, system, key, self.proceed, certify=self.options.certify)
        except Exception as error:
            return _Part(name, failed_rows(planned, error), error=_told(name, error))
        return _Part(name, rows, run=run)


def _told(name: str, error: Exception) -> str:
    """What to tell about a part that raised: its rows have the reason, this has the place too."""
    place = traceback.extract_tb(error.__traceback__)[-1]
    return f"{name} failed: {reason_of(error)} ({place.filename}:{place.lineno})"


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
        "packages": {name: version_of(name) for name in packages},
        "data": {"name": options.data.name, "shape": list(options.data.patterns.shape)},
        "seed": options.seed,
        "states": options.states,
        "noise_levels": [options.s_start, options.s_end],
        "quick": options.quick,
    }
