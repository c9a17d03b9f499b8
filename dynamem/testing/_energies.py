"""Does this energy fall? Along a flow, in mean over noise, and under a solver's steps of any size."""

import functools
from collections.abc import Callable
from typing import Any

import diffrax as dfx
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from .._errors import InputError
from .._journal import note, recorded
from .._types import EnergyFn, Given
from .._validate import require_positive
from ..energies import AbstractEnergy
from ..flows import Map
from ..lyapunov import Rate, Sense, check, controlled, dynamics_of, generator, magnitude, rates_at, rounding_bound
from ..lyapunov._inputs import Question, question
from ._boxes import on_the_box
from ._told import aim, fail, fits, known_size, literal, some_states
from ._values import assert_slopes


TIMES = 9
STEPS = tuple(float(h) for h in np.geomspace(1e-3, 1e3, 13))


@recorded
def assert_lyapunov(
    energy: EnergyFn, flow: Any, states: Given, *, t0: float = 0.0, t1: float = 1.0, args: PyTree = None,
    tolerance: float = 0.0, times: int = TIMES, interpretation: Sense = "ito",
) -> None:  # fmt: skip
    """The rate ``L E`` of the energy is at most 0, up to rounding, at every state and at times from t0 to t1.

    With noise the rate is that of the generator (the mean rate). Rounding: `dynamem.lyapunov` bounds it from the sizes
    of the terms that are added, in the precision of the states; ``tolerance`` is forgiven on top. Rates come from
    derivatives: in float64, and where no tolerance is given, E has to change over short steps as they say.

    Arguments:
        energy: any ``E(t, x)`` on the flow's clock. Modules of arrays compile once; a new lambda compiles each time.
        flow: a dynamem flow, any Diffrax terms, or a `Map` (then the change over an update is asked for).
        states: where it is asked for, float32 or float64, shape (B, D).
        t0: first time.
        t1: last time.
        args: what the terms are given.
        tolerance: rate that is forgiven.
        times: how many times.
        interpretation: sense of the noise, "ito" or "stratonovich".

    Raises:
        AssertionError: the energy rises, with the state, the rate and what it is made of; or it is no number.
        InputError: an argument that cannot be used.
    """
    xs = some_states(states)
    ask = _question(energy, flow, xs, (t0, t1), args, tolerance, interpretation)
    ts = np.asarray(np.linspace(t0, t1, times), xs.dtype)
    grid, where = np.repeat(ts, len(xs)), np.tile(xs, (times, 1))
    value, bound = _gains(ask, grid, where)
    bad = ~(np.isfinite(value) & np.isfinite(bound))
    if bad.any():
        place = int(np.argmax(bad))
        fail("the energy, or its rate, is no number", {"t": grid[place], "x": where[place], "rate": value[place]})
    excess = value - bound - tolerance
    if np.any(excess > 0) and isinstance(energy, AbstractEnergy) and not isinstance(ask.dynamics, Map):
        bound = np.fmax(bound, np.asarray(_shaken(ask, jnp.asarray(grid), jnp.asarray(where))))
        excess = value - bound - tolerance
    place = int(np.argmax(excess))
    aim(float(excess[place] / max(bound[place], np.finfo(xs.dtype).tiny)), "rate over its rounding")
    note(margin=float(np.max(value / np.maximum(bound + tolerance, np.finfo(xs.dtype).tiny))))
    if excess[place] > 0:
        _rises(ask, grid[place], where[place], value[place], bound[place], float(np.mean(excess > 0)))
    if not tolerance:
        assert_slopes(energy, float(t0), xs)
    note(climb=functools.partial(on_the_box, ask, xs, (t0, t1)))


def _question(
    energy: Any, flow: Any, xs: np.ndarray, span: tuple, args: Any, tolerance: float, interpretation: Sense = "ito"
) -> Question:  # fmt: skip
    if not (np.isfinite(span).all() and span[0] <= span[1]):
        msg = f"t0={span[0]!r}, t1={span[1]!r}: need finite times, t0 <= t1"
        raise InputError(msg)
    require_positive("tolerance", tolerance, zero=True)
    dynamics = flow if isinstance(flow, Map) else dynamics_of(flow)
    at = jnp.asarray(span[0], xs.dtype), jnp.asarray(xs[0])
    fits("energy", energy, None, *at)
    fits("flow", dynamics.f, None, at[1]) if isinstance(dynamics, Map) else fits(
        "flow", dynamics.drift, None, *at, args
    )
    noisy = _fitting(energy, dynamics, jnp.asarray(xs[:1]), (float(span[0]), float(span[1])), args)
    return Question(energy, dynamics, args, tolerance, interpretation, noisy=bool(noisy))


@eqx.filter_jit
def _fitting(energy: Any, dynamics: Any, xs: Array, span: tuple[float, float], args: PyTree) -> Array:
    """Whether there is noise, once all is known to fit together; compiled, so that it is seen once for all examples."""
    with jax.ensure_compile_time_eval():  # times that are known
        ends = (jnp.asarray(span[0], xs.dtype), jnp.asarray(span[1], xs.dtype))
    return jnp.asarray(question(energy, dynamics, xs, ends, args=args, tolerance=0.0).noisy)


def _gains(ask: Question, ts: np.ndarray, xs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rates, or changes over an update, and their rounding bounds."""
    if isinstance(ask.dynamics, Map):
        change, bound = _changes(ask.energy, ask.dynamics, jnp.asarray(ts), jnp.asarray(xs))
        return np.asarray(change), np.asarray(bound)
    return rates_at(ask.energy, ask.dynamics, ts, xs, args=ask.args, interpretation=ask.interpretation)


@eqx.filter_jit
def _shaken(ask: Question, ts: Float[Array, " n"], xs: Float[Array, "n D"]) -> Array:
    """Rounding of the rate with that of the weights in it, NaN where there is none to read off.

    Halfway between patterns 1e5 apart the softmax of logits of 1e10 moves by 1e-6, and a gradient that is 0 is 1.
    Magnitudes of our energies speak of the terms of their values, and do not see that.
    """
    rate = generator(ask.energy, ask.dynamics, ask.interpretation)

    def one(t: Array, x: Array) -> Array:
        bound = rounding_bound(known_size(lambda z: rate(t, z, ask.args).total, x))
        return jnp.where(jnp.isfinite(bound), bound, jnp.nan)

    return jax.vmap(one)(ts, xs)


@eqx.filter_jit
def _changes(energy: EnergyFn, update: Map, ts: Float[Array, " n"], xs: Float[Array, "n D"]) -> tuple[Array, Array]:
    def one(t: Array, x: Array) -> tuple[Array, Array]:
        after = update(x)
        size = magnitude(energy, t + 1, after) + magnitude(energy, t, x)
        shaken = rounding_bound(_sizes(update, x))
        ends = [energy(t + 1, end) for end in (after, after - shaken, after + shaken)]
        off = jnp.maximum(jnp.abs(ends[1] - ends[0]), jnp.abs(ends[2] - ends[0]))
        return ends[0] - energy(t, x), rounding_bound(size) + off

    return jax.vmap(one)(ts, xs)


def _sizes(update: Map, x: Array) -> Array:
    """What each coordinate of an update adds: at patterns of size 1e6 its softmax moves by the rounding of 1e12."""
    return jax.vmap(lambda one: known_size(lambda z: jnp.sum(one * update(z)), x))(jnp.eye(len(x), dtype=x.dtype))


def _rises(ask: Question, t: Any, x: np.ndarray, value: float, bound: float, share: float) -> None:
    facts = {"t": float(t), "x": x, "rate": float(value), "rounding": float(bound), "tolerance": ask.tolerance,
             "share of what was asked": f"{share:.2%}"}  # fmt: skip
    if isinstance(ask.dynamics, Map):
        test = f"x, t = {literal(x)}, {float(t)!r}\nassert energy(t + 1, update(x)) <= energy(t, x) + {float(bound)!r}"
        fail("the energy rises over an update", facts, test)
    rate = _parts(ask, jnp.asarray(t), jnp.asarray(x))
    parts = {name: float(getattr(rate, name)) for name in ("schedule", "dissipation", "drift", "ito")}
    facts["made of"] = ", ".join(f"{name} {part:.6g}" for name, part in parts.items())
    most, sense = float(bound) + ask.tolerance, "" if ask.interpretation == "ito" else f", {ask.interpretation!r}"
    test = (
        f"x, t = {literal(x)}, {float(t)!r}\n"
        f"rate = dm.generator(energy, flow{sense})(t, x, {_name(ask.args)}).total\nassert rate <= {most!r}"
    )
    fail("the energy rises", facts, test)


def _name(args: PyTree) -> str:
    """What the terms were given, as the lines of a printed test call it."""
    return "None" if args is None else "args"


@eqx.filter_jit
def _parts(ask: Question, t: Array, x: Array) -> Rate:
    """Compiled, as Hypothesis fails hundreds of times while it shrinks."""
    return generator(ask.energy, ask.dynamics, ask.interpretation)(t, x, ask.args)


@recorded
def assert_supermartingale(
    energy: EnergyFn, flow: Any, states: Given, *, t0: float, t1: float, solver: dfx.AbstractSolver, dt0: float,
    key: PRNGKeyArray, args: PyTree = None, error: float = 1e-6, rounds: int = 4,
) -> int:  # fmt: skip
    """The mean of the energy rises in no step of a solver, as far as paths can tell.

    A sequential test: each round doubles the paths and spends a half of what is left of ``error``, so that a correct
    energy fails with a chance of at most ``error`` in all, whatever the number of rounds. It ends where no step can
    rise any more; after the last round what is still open passes, since nothing rose.

    Arguments:
        energy: any ``E(t, x)`` on the flow's clock.
        flow: a flow with noise, or Diffrax terms with a Brownian path.
        states: where the first round's paths start, float64, shape (B, D).
        t0: start.
        t1: end.
        solver: any Diffrax solver for such terms.
        dt0: its step.
        key: JAX key.
        args: what the terms are given.
        error: chance that this fails for an energy that does not rise in mean.
        rounds: of twice the paths each.

    Returns:
        The number of rounds.

    Raises:
        AssertionError: a step rises in mean, or the solve or the energy fails.
        InputError: an argument that cannot be used.
    """
    if not (0 < error < 1 and rounds >= 1):
        msg = f"error={error!r}, rounds={rounds!r}: need a chance between 0 and 1, and at least one round"
        raise InputError(msg)
    xs = some_states(states)
    how: Any = {"t0": t0, "t1": t1, "solver": solver, "dt0": dt0, "args": args}
    for number in range(rounds):
        paths = np.tile(xs, (2**number, 1))
        fresh = jax.random.fold_in(key, number)
        verdict = check(energy, flow, paths, key=fresh, error=error / 2 ** (number + 1), **how)
        if verdict.status in ("broken", "failed"):
            facts: dict[str, Any] = {"paths": len(paths), "region": verdict.region, "error": error}
            if verdict.witness is not None:
                facts |= {"t": verdict.witness.t0, "x": verdict.witness.x0, "change": verdict.witness.change}
            fail(f"in mean: {verdict.reason}", facts)
        if verdict.status == "holds":
            return number + 1
    return rounds


@recorded
def assert_energy_stable(
    solver: dfx.AbstractSolver, energy: EnergyFn, flow: Any, states: Given, *, t0: float = 0.0,
    steps: tuple[float, ...] = STEPS, args: PyTree = None, tolerance: float = 0.0,
) -> None:  # fmt: skip
    """One step of the solver, of each of these sizes and from each state, does not raise the energy.

    Rounding is forgiven, from the sizes of what both energies add; a step that the solver says it could not make, or
    that is not finite, fails.

    Arguments:
        solver: any Diffrax solver for ODEs.
        energy: any ``E(t, x)`` on the flow's clock.
        flow: a dynamem flow without noise, or an ODE term.
        states: float32 or float64, shape (B, D).
        t0: start of the steps.
        steps: their sizes; by default six decades.
        args: what the terms are given.
        tolerance: rise that is forgiven, the residual of an implicit solve for instance.

    Raises:
        AssertionError: the energy rises, with the state and the step.
        InputError: an argument that cannot be used.
    """
    xs = some_states(states)
    sizes = np.asarray(steps, xs.dtype)
    if sizes.ndim != 1 or not len(sizes) or not np.all(np.isfinite(sizes) & (sizes > 0)):
        msg = f"steps={steps!r:.60}: need positive sizes of steps"
        raise InputError(msg)
    ask = _question(energy, flow, xs, (t0, t0), args, tolerance)
    if ask.noisy or isinstance(ask.dynamics, Map):
        msg = "flow has noise, or is a map: need an ODE (assert_supermartingale and assert_lyapunov take those)"
        raise InputError(msg)
    terms = controlled(dynamics_of(flow), None)
    ends = _stepped(solver, energy, terms, jnp.asarray(xs), jnp.asarray(t0, xs.dtype), jnp.asarray(sizes), args)
    change, bound, made = (np.asarray(part) for part in ends)
    excess = np.where(made, change - bound - tolerance, np.inf)
    h, row = np.unravel_index(int(np.argmax(excess)), excess.shape)
    aim(float(excess[h, row] / max(bound[h, row], np.finfo(xs.dtype).tiny)), "rise in a step over its rounding")
    note(margin=float(np.max(change / np.maximum(bound + tolerance, np.finfo(xs.dtype).tiny))))
    if not excess[h, row] <= 0:
        facts = {"solver": type(solver).__name__, "step": float(sizes[h]), "x": xs[row], "rise": float(change[h, row]),
                 "rounding": float(bound[h, row]), "share of steps": f"{np.mean(~(excess <= 0)):.2%}"}  # fmt: skip
        test = (
            f"x, t, h = {literal(xs[row])}, {float(t0)!r}, {float(sizes[h])!r}\n"
            f"terms = {'flow' if isinstance(flow, dfx.AbstractTerm) else 'flow.terms()'}\n"
            f"memory = solver.init(terms, t, t + h, x, {_name(args)})\n"
            f"y = solver.step(terms, t, t + h, x, {_name(args)}, memory, False)[0]\n"
            f"assert energy(t + h, y) <= energy(t, x) + {float(bound[h, row]) + tolerance!r}"
        )
        fail("a step raises the energy" if made[h, row] else "a step failed", facts, test)


@eqx.filter_jit
def _stepped(
    solver: Any, energy: Callable, terms: Any, xs: Array, t0: Array, sizes: Array, args: PyTree
) -> tuple[Array, Array, Array]:
    """Change, its rounding bound, and whether the step was made, each of shape (steps, B)."""

    def one(h: Array, x: Array) -> tuple[Array, Array, Array]:
        memory = solver.init(terms, t0, t0 + h, x, args)
        y, _, _, _, result = solver.step(terms, t0, t0 + h, x, args, memory, False)
        change = energy(t0 + h, y) - energy(t0, x)
        bound = rounding_bound(magnitude(energy, t0 + h, y) + magnitude(energy, t0, x))
        return change, bound, dfx.is_okay(result) & jnp.isfinite(change) & jnp.isfinite(bound)

    return jax.vmap(lambda h: jax.vmap(lambda x: one(h, x))(xs))(sizes)
