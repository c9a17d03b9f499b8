"""How fast boxes are enclosed and points decided: the generator of a path through three patterns in the plane.

    python -m tests.benchmarks.rigour [--quick]

The function is the orbital derivative of an energy along the probability flow (VE, clock lam) over (x_1, x_2, lam).
Each entry is a rate a second, the best of several turns; ``reduced`` is the program that maps and searches bound, with
what cancels taken out exactly. ``natif`` is immrax's natural inclusion function of the same
JAX function, under jit: its ends are not rounded outward, so it proves nothing, but it is what one would use otherwise.
It knows no ``custom_jvp``, hence the row in which the rate of the free energy is written out by hand.
The second table is how much of [-2, 2]^2 x s in [0.2, 2] is decided (falls or rises, by volume in s) in how long.
z3 gives its opinion on the reference questions where it is installed (``dm.prove(..., referee=True)``).
"""

import argparse
import collections
import contextlib
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import jax
import jax.numpy as jnp
import numpy as np
from flint import arb
from rich.console import Console
from rich.table import Table

import dynamem as dm
from dynamem.programs import BALL, INTERVAL, Interval, evaluate, prepared, reduced, translate
from tests.reference_cases import CASES, problem


immrax = z3 = None
with contextlib.suppress(ImportError):
    import immrax
with contextlib.suppress(ImportError):
    import z3

PATTERNS = ((1.0, 0.0), (-0.5, 0.8), (-0.4, -0.9))
BATCH, SIDE, TURNS = 2048, 0.05, 5
TARGET, BUDGETS = 300_000, (3, 10)
ENERGIES = {"free": dm.FreeEnergy, "density": dm.DensityEnergy}


def generator_of(energy):
    """The orbital derivative as a function of (x_1, x_2, lam)."""
    path = dm.DiffusionPath(dm.VE(), dm.Empirical(jnp.asarray(PATTERNS)))
    rate = dm.generator(energy(path, clock="lam"), dm.ProbabilityFlow(path, clock="lam"))
    return lambda point: rate(point[2], point[:2], None).total


def written_out(point):
    """The rate of the free energy, ``-|y - m|^2 - 2 s^2 KL``, without a shift and without library functions."""
    y, s2, xi = point[:2], jnp.exp(-2.0 * point[2]), jnp.asarray(PATTERNS)
    logits = -jnp.sum((y[None] - xi) ** 2, axis=1) / (2.0 * s2)
    weights = jnp.exp(logits)
    total = jnp.sum(weights)
    share = weights / total
    return -jnp.sum((y - share @ xi) ** 2) - 2.0 * s2 * (share @ logits - jnp.log(total / len(xi)))


def boxes(count):
    """Lower and upper ends of boxes of one size, shape (count, 3)."""
    lo = np.random.default_rng(0).uniform(-2.0, 2.0, (count, 3))
    return lo, lo + SIDE


def best(call, count, seconds):
    """The highest rate of several turns, in so many things a call a second."""
    call()
    rates, start = [], time.perf_counter()
    while time.perf_counter() - start < seconds or len(rates) < TURNS:
        turn = time.perf_counter()
        call()
        rates.append(count / (time.perf_counter() - turn))
    return max(rates)


def enclosures(program, threads, seconds):
    """Natural enclosures a second, the batches shared among threads."""
    run, ends = prepared(program, INTERVAL), [boxes(BATCH)] * (4 * threads)
    once = np.errstate(all="ignore")(lambda pair: run([Interval(*pair)]))
    with ThreadPoolExecutor(threads) as pool:
        return best(lambda: list(pool.map(once, ends)), BATCH * len(ends), seconds)


def decided(energy, budget_s):
    """Boxes bounded, and the part of the volume where the sign is certain, after so many seconds."""
    path = dm.DiffusionPath(dm.VE(), dm.Empirical(jnp.asarray(PATTERNS)))
    box = [(-2.0, 2.0), (-2.0, 2.0), (-np.log(2.0), -np.log(0.2))]
    found = dm.rate_map(energy(path), dm.ProbabilityFlow(path), box, boxes=10**9, budget_s=budget_s)
    area = np.prod((found.hi - found.lo)[:, :2], axis=1)
    volume = area * (np.exp(-found.lo[:, 2]) - np.exp(-found.hi[:, 2]))
    return found.bounded, float(np.sum(volume[found.signs != 0]) / np.sum(volume))


def decisions(program, seconds):
    """Evaluations at one point a second, in Arb."""
    points = [[(arb(value),) * 2 for value in row] for row in boxes(64)[0].tolist()]
    return best(lambda: [evaluate(program, BALL, [point]) for point in points], len(points), seconds)


def natif(function, seconds):
    """Enclosures a second of immrax, or why there are none."""
    if immrax is None:
        return "not installed"
    try:
        inclusion = immrax.natif(function)
        compiled = jax.jit(jax.vmap(lambda lo, hi: inclusion(immrax.interval(lo, hi)).upper))
        lo, hi = map(jnp.asarray, boxes(BATCH))
        return best(lambda: jax.block_until_ready(compiled(lo, hi)), BATCH, seconds)
    except Exception as error:  # whatever a peer trips over
        return f"{type(error).__name__}: {str(error).splitlines()[0][:60]}"


def opinions(names):
    """What z3 says beside `dm.prove`, by kind."""
    found = collections.Counter()
    for name in names:
        words = dm.prove(**problem(name), referee=True).evidence.get("referee", "not asked")
        found["out of reach" if "no rule" in words else words] += 1
    return ", ".join(f"{words}: {count}" for words, count in found.most_common())


def main():
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="shorter turns, fewer questions for z3")
    quick = parser.parse_args().quick
    jax.config.update("jax_enable_x64", True)
    seconds = 0.5 if quick else 3.0
    table = Table(
        "energy",
        "operations",
        "1 thread",
        "2 threads",
        "2, reduced",
        "target",
        "Arb points",
        "immrax natif",
        "ratio",
        title="a second",
    )
    functions = {name: generator_of(energy) for name, energy in ENERGIES.items()} | {"free, by hand": written_out}
    points = jnp.asarray(boxes(16)[0])
    np.testing.assert_allclose(jax.vmap(written_out)(points), jax.vmap(functions["free"])(points), rtol=1e-9)
    for name, function in functions.items():
        program = translate(function, (3,))
        small = enclosures(reduced(translate(function, (3,), centred=True)), 2, seconds)
        one, two = (enclosures(program, threads, seconds) for threads in (1, 2))
        peer = natif(function, seconds)
        said = (peer, "") if isinstance(peer, str) else (f"{peer:,.0f}", f"{two / peer:.2f}")
        rates = f"{one:,.0f}", f"{two:,.0f}", f"{small:,.0f}", f"{TARGET:,}", f"{decisions(program, seconds):,.0f}"
        table.add_row(name, str(program.size()), *rates, *said)
    Console(width=max(120, Console().width)).print(table)
    maps = Table(
        "energy", *(f"{budget} s: {what}" for budget in BUDGETS for what in ("boxes", "decided")), title="maps"
    )
    for name, energy in (ENERGIES | {"hopfield": dm.HopfieldEnergy}).items():
        decided(energy, 1.0)
        runs = [decided(energy, float(budget)) for budget in BUDGETS]
        maps.add_row(name, *(cell for count, share in runs for cell in (f"{count:,}", f"{100 * share:.2f} %")))
    Console(width=max(120, Console().width)).print(maps)
    print("z3:", "not installed" if z3 is None else opinions(list(CASES)[: 8 if quick else None]))


if __name__ == "__main__":
    sys.exit(main())
