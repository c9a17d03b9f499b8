"""The rows of the survey's table (Hoover et al. 2023, arXiv 2309.16750, table 1), each computed for one system.

Nothing is quoted: a cell says what was measured on this system, and its evidence has the numbers.
"""

import math
from collections.abc import Callable
from typing import Any

import diffrax as dfx
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array

from ..lyapunov import Verdict, along, check
from ._cell import Cell, number, share
from ._column import Column, equation_of
from ._field import Held, asymmetry, reach, residual, safe_step, work
from ._runs import runs, visited


SAME = 1e-8
"""Relative difference below which two numbers of float64 computations are the same."""
LOOPS = 8
ROUGH = 1e-4
"""Difference of two rules, relative to the work, beyond which an integral is taken for unknown."""
HOLD = 3.0
"""Lengths of the run for which a system goes on after its end."""
REST = 1e-3
"""Part of the typical distance between memories that a state at rest may still move in as long again."""
SDE_STEPS = 50


class Bench:
    """One column with what several rows need: the states along its runs."""

    def __init__(self, column: Column, key: Array) -> None:
        self.column, self.key = column, key
        self.ts, self.xs = visited(column, jr.fold_in(key, 0))
        kept = np.asarray(np.isfinite(self.xs).all(axis=(1, 2)))
        if not kept.any():
            msg = f"none of the {len(kept)} runs from the initial states ends with finite numbers"
            raise FloatingPointError(msg)
        self.ts, self.xs, self.lost = self.ts[kept], self.xs[kept], int((~kept).sum())

    @property
    def memories(self) -> np.ndarray:
        """What should be recalled (N, D): stated, or the ends of the system's own runs."""
        given = self.column.memories
        return self.xs[:, -1] if given is None else given

    def unit(self) -> float:
        """Median distance of a memory from the nearest other one; how far the runs go where all memories are one."""
        some = self.memories[:512]
        squares = (some**2).sum(axis=1)
        away = np.maximum(squares[:, None] - 2 * some @ some.T + squares, 0)
        np.fill_diagonal(away, np.inf)
        spacing = float(np.sqrt(np.median(away.min(axis=1)))) if len(some) > 1 else 0.0
        spread = float(np.sqrt(np.mean(np.sum((self.xs[:, 0] - self.xs[:, -1]) ** 2, axis=-1))))
        return spacing if spacing > SAME**0.5 * spread else spread or 1.0


def parametrised(bench: Bench) -> Cell:
    """Is there an energy: is the field's Jacobian symmetric, and is the field the descent of the energy it names?"""
    column = bench.column
    found = asymmetry(column.flow, bench.ts, bench.xs, bench.key)
    evidence: dict[str, Any] = {"asymmetry": found, "points": int(bench.ts.size), "residual": None}
    if not math.isfinite(found):
        return Cell("the field's Jacobian is not finite along the runs", None, evidence)
    if column.energy is None:
        text = f"a score, no energy: |J-J^T|/|J| = {number(found)}" if found > SAME else "a gradient field"
        return Cell(text, "no" if found > SAME else "yes", evidence)
    left = evidence["residual"] = residual(column.flow, column.energy, bench.ts, bench.xs)
    if not math.isfinite(left):
        return Cell("the energy's gradient is not finite along the runs", None, evidence)
    if column.noisy:
        return Cell(f"an energy for the drift (|J-J^T|/|J| = {number(found)}), and noise", "partly", evidence)
    if left <= SAME:
        return Cell(f"an energy: F = -M grad E to {number(left)}", "yes", evidence)
    return Cell(f"the field is not the descent of E: residual {number(left)}", "no", evidence)


def continuous(bench: Bench) -> Cell:
    """The continuous update, and whether the energy that it descends changes with time."""
    column, text = bench.column, equation_of(bench.column.flow)
    if column.energy is None:
        return Cell(text, None, {})
    energy, x = column.energy, jnp.asarray(bench.xs[0, -1])
    values = [float(energy(jnp.asarray(t, x.dtype), x)) for t in column.span]
    moving = abs(values[1] - values[0]) > SAME * max(map(abs, values))
    evidence = {"energy_at_one_state": {"t0": values[0], "t1": values[1]}}
    return Cell(f"{text}; E changes with time" if moving else f"{text}; E is fixed", None, evidence)


def discrete(bench: Bench) -> Cell:
    """The largest step ``x + h F`` that raises the energy nowhere along the runs."""
    column = bench.column
    name = column.questions[-1].name
    judge = name if "energy" in name else f"{name} energy"
    if not np.isfinite(along(column.judge, bench.ts[:, :-1], bench.xs[:, :-1])).all():
        return Cell(f"x + h F: the {judge} is not finite along the runs", None, {"energy": judge})
    safe, first = safe_step(column.flow, column.judge, bench.ts[:, :-1], bench.xs[:, :-1])
    evidence = {"safe": safe, "first_rise": first, "energy": judge, "points": int(bench.ts[:, :-1].size)}
    if not math.isfinite(first):
        return Cell(f"x + h F: no rise up to h = {number(safe)}", "yes", evidence)
    if safe == 0:
        return Cell(f"x + h F: the {judge} rises at every h tried", "no", evidence)
    return Cell(f"x + h F: safe up to h = {number(safe)} ({judge})", "yes", evidence)


def domain(bench: Bench) -> Cell:
    """At which times the field exists, and whether a run may go on after its end."""
    column, (t0, t1) = bench.column, bench.column.span
    length = t1 - t0
    before, after = (reach(column.flow, t, sign * length, bench.xs[0, k]) for t, sign, k in ((t0, -1, 0), (t1, 1, -1)))
    low, high = ("-inf" if math.isinf(before) else number(t0 - before * length),
                 "inf" if math.isinf(after) else number(t1 + after * length))  # fmt: skip
    evidence = {"run_from": t0, "run_to": t1, "finite_from": low, "finite_to": high}
    text = f"run over [{number(t0)}, {number(t1)}]; finite over [{low}, {high}]"
    return Cell(text, "yes" if math.isinf(after) else "no", evidence)


def attractors(bench: Bench) -> Cell:
    """Past the end of a run, does its state come to rest, and near the same memory, the clock held or going on?"""
    column, ended = bench.column, bench.xs[:, -1]
    (t0, t1), unit = column.span, bench.unit()
    length = HOLD * (t1 - t0)
    ways = {"held": (Held(column.flow, t1), t1, False), "going on": (column.flow, t1, column.noisy)}
    evidence: dict[str, Any] = {"unit": unit, "time": length, "runs": len(ended)}
    for name, (flow, start, noisy) in ways.items():
        there = runs(flow, ended, (start, start + length), bench.key, noisy=noisy)[:, -1]
        later = runs(flow, there, (start + length, start + 2 * length), bench.key, noisy=noisy)[:, -1]
        rest = np.linalg.norm(later - there, axis=1) <= REST * unit
        closest = [bench.memories[nearest(bench.memories, states)] for states in (ended, there)]
        kept = np.isfinite(there).all(axis=1) & (np.linalg.norm(closest[1] - closest[0], axis=1) <= REST * unit)
        moved = float(np.median(np.linalg.norm(there - ended, axis=1)) / unit)
        evidence[name] = {"rest": int(rest.sum()), "same_memory": int(kept.sum()), "median_move": moved}
    held, on = evidence["held"], evidence["going on"]
    text = (
        f"{share(held['rest'], len(ended))} come to rest after moving {number(held['median_move'])} (clock held; going "
        f"on: {on['rest']}), {held['same_memory']} at the memory they had"
    )
    good = min(held["rest"], held["same_memory"])
    return Cell(text, "yes" if good == len(ended) else "no" if good == 0 else "partly", evidence)


def nearest(memories: np.ndarray, states: np.ndarray) -> np.ndarray:
    """Index of the nearest memory (N, D) to each state (B, D), shape (B,); -1 where a state is not finite."""
    squares = (memories**2).sum(axis=1) - 2 * states @ memories.T
    return np.where(np.isfinite(states).all(axis=1), np.argmin(squares, axis=1), -1)


def tractable(bench: Bench) -> Cell:
    """Is there a number at each state: does the work of ``-F`` between states not depend on the way?"""
    column, middle = bench.column, bench.xs.shape[1] // 2
    t, states = float(bench.ts[0, middle]), bench.xs[:, middle]
    if len(states) < 3:
        return Cell("fewer than three runs", None, {})
    picks = np.stack([np.roll(np.arange(len(states)), -k)[:LOOPS] for k in range(3)], axis=1)
    corners = states[picks]
    edges, size, doubt = work(column.flow, t, corners)
    loop = float(np.max(np.abs(edges.sum(axis=1)) / np.maximum(size.sum(axis=1), 1e-300)))
    evidence: dict[str, Any] = {"loop": loop, "rule": doubt, "loops": len(picks), "time": t, "against_energy": None}
    identity = column.flow.mobility(jnp.asarray(t), jnp.asarray(states[0])) is None
    if not doubt <= ROUGH and (column.energy is None or column.noisy or identity):
        return Cell(f"not known: two rules for the work differ by {number(doubt)} of it", None, evidence)
    if column.energy is None or column.noisy:
        if loop <= max(SAME, 10 * doubt):
            return Cell(f"a value up to a constant: closed loops give {number(loop)}", "yes", evidence)
        return Cell(f"the work around a loop is {loop:.1%} of that along it", "no", evidence)
    if not identity:
        return Cell("in closed form (the field is M times its gradient)", "yes", evidence)
    energy, when = column.energy, jnp.asarray(t)
    values = np.array([[float(energy(when, jnp.asarray(x))) for x in row] for row in corners])
    gap = float(np.max(np.abs(np.roll(values, -1, axis=1) - values - edges) / np.maximum(size, 1e-300)))
    evidence["against_energy"] = gap
    good = gap <= max(SAME, 10 * doubt)
    return Cell(f"E(b) - E(a) is the work of -F to {number(gap)}", "yes" if good else "no",
                evidence)  # fmt: skip


def guarantees(bench: Bench) -> Cell:
    """The verdict on every energy along the dynamics, from the checks."""
    found = {question.name: _checked(bench.column, question, bench.key) for question in bench.column.questions}
    counts = {name: _counts(verdict) for name, verdict in found.items()}
    text = "; ".join(f"{name}: {verdict.status}{counts[name]}" for name, verdict in found.items())
    evidence = {
        name: {field: getattr(verdict, field) for field in ("status", "reason", "tolerance", "region")}
        for name, verdict in found.items()
    }
    good = [verdict.status == "holds" for verdict in found.values()]
    if not any(verdict.status == "broken" for verdict in found.values()) and not all(good):
        return Cell(text, "partly" if any(good) else None, evidence)  # nothing rose, and not all is known
    return Cell(text, "yes" if all(good) else "partly" if any(good) else "no", evidence)


def _checked(column: Column, question: Any, key: Array) -> Verdict:
    t0, t1 = question.span
    if column.noisy:
        how: dict[str, Any] = {"solver": dfx.Euler(), "dt0": (t1 - t0) / SDE_STEPS, "key": key}
    else:
        how = {"solver": dfx.Tsit5(), "stepsize_controller": dfx.PIDController(rtol=1e-8, atol=1e-10)}
    return check(question.energy, question.flow, question.states, t0=t0, t1=t1, **how)


def _counts(verdict: Verdict) -> str:
    steps = verdict.evidence.get("steps", {})
    return f" ({share(steps['rises'], steps['pairs'])} steps rise)" if verdict.status == "broken" and steps else ""


ROWS: tuple[tuple[str, str, Callable[[Bench], Cell]], ...] = (
    ("parametrises", "is the field F the descent -M grad E of an energy: what is left; asymmetry of the Jacobian",
     parametrised),
    ("continuous update", "the equation, and the energy at one state at both ends of the time", continuous),
    ("discrete update", "the largest explicit Euler step that raises the energy at no state of the runs", discrete),
    ("valid time domain", "where the field is finite, looked for up to 1000 times the run's length away", domain),
    ("fixed-point attractors", f"runs gone on with for {HOLD:g} lengths and as long again: at rest where the second "
     f"move is below {REST:g} of the distance between memories", attractors),
    ("tractable energy", "work along the edges of triangles of states, against zero and against the energy", tractable),
    ("Lyapunov guarantee", "the energy at every step of the runs, by Tsit5 at 1e-8 (Euler-Maruyama, in mean, with "
     "noise)", guarantees),
)  # fmt: skip
"""The rows apart from the corruptions: name, what is measured, and how."""
