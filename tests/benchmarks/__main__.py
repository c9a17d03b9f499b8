"""Run the benchmarks one after the other, each in a process of its own: `python -m tests.benchmarks [name ...]`."""

import subprocess
import sys
import time
from pathlib import Path


HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]


def names():
    """The benchmarks: every script of this folder whose name has no leading underscore."""
    return sorted(path.stem for path in HERE.glob("[!_]*.py"))


def main(chosen):
    """Run the chosen benchmarks, all if none is chosen; 1 if one fails, 2 if there is none of that name."""
    unknown = sorted(set(chosen) - set(names()))
    if unknown:
        print(f"no benchmark is called {', '.join(unknown)}; there are {', '.join(names())}", file=sys.stderr)
        return 2
    failed = []
    for name in chosen or names():
        print(f"== {name}", flush=True)
        start = time.perf_counter()
        if subprocess.run([sys.executable, "-m", f"tests.benchmarks.{name}"], cwd=ROOT, check=False).returncode:
            failed.append(name)
        print(f"-- {name}: {time.perf_counter() - start:.1f} s", flush=True)
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
