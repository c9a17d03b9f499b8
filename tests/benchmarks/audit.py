"""What an audit costs on the command line: wall time and peak memory, each beside its target.

    python tests/benchmarks/audit.py [--quick]

Every line is one process. "cold" starts with an empty folder of compiled programs, "warm" with one that the same
command has filled. ``--quick`` leaves the default audit out.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from typing import NamedTuple


HELP_RUNS = 5
JAX_CACHE = ("JAX_COMPILATION_CACHE_DIR", "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS")


class Cost(NamedTuple):
    """Wall seconds and peak resident memory in GB of one process."""

    seconds: float
    gigabytes: float


def cost(folder: str, *arguments: str) -> Cost:
    """Run ``dynamem`` with its compiled programs in ``folder``; stops with its message if it fails."""
    environment = {name: value for name, value in os.environ.items() if name not in JAX_CACHE}
    with tempfile.TemporaryFile() as log:
        start = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, "-m", "dynamem", *arguments],
            env=environment | {"DYNAMEM_CACHE": folder},
            stdout=subprocess.DEVNULL,
            stderr=log,
        )
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            log.seek(0)
            sys.exit(f"dynamem {' '.join(arguments)} ended with {process.returncode}:\n{log.read().decode()[-2000:]}")
    unit = 1 if sys.platform == "darwin" else 1024
    return Cost(seconds, usage.ru_maxrss * unit / 1e9)


def say(what: str, found: Cost, seconds: float | None, gigabytes: float | None = None) -> None:
    """One line of the table."""
    time_target = "" if seconds is None else f"target {seconds:g} s"
    memory_target = "" if gigabytes is None else f"target {gigabytes:g} GB"
    print(f"{what:22} {found.seconds:7.2f} s  {time_target:13}  {found.gigabytes:5.2f} GB  {memory_target}", flush=True)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="without the default audit")
    options = parser.parse_args()
    cost("off", "--help")  # reads the files once, so that the disk is not what is measured
    helps = [cost("off", "--help") for _ in range(HELP_RUNS)]
    say("--help", min(helps), 0.3)
    with tempfile.TemporaryDirectory() as folder:
        say("audit --quick, cold", cost(folder, "audit", "--quick"), None)
        say("audit --quick, warm", cost(folder, "audit", "--quick"), 15)
    if not options.quick:
        with tempfile.TemporaryDirectory() as folder:
            say("audit, cold", cost(folder, "audit"), 60, 2)


if __name__ == "__main__":
    main()
