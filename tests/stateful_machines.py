"""Machines that drive the step-size controller in any order, alone and within Diffrax.

What is under test is an attribute of the machine, so that a broken twin can take its place.
"""

import itertools
import math

import diffrax as dfx
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

import dynamem as dm
from dynamem.energies import magnitude, rounding_bound


# ------------------------------------------------------------------------------- the controller

KINDS = ("constant", "grid", "pid", "fussy")
FACTORS = (0.0, -0.5, 0.25, 0.999, 1.0, 1 + 2.0**-51, 1.001, 2.0, 5.0, 1e160, math.inf, math.nan)
STEPS = 8
OK = dfx.RESULTS.successful
EPS = float(np.finfo(float).eps)
ROUNDING = float(rounding_bound(np.ones(())))


class Fussy(dfx.AbstractStepSizeController):
    """A grid, with steps tried again at 0.7 of their length where they move the state too far."""

    ts: jax.Array

    def wrap(self, direction):
        return Fussy(self.ts * direction)

    def init(self, terms, t0, t1, y0, dt0, args, func, error_order):
        return self.ts[1], None

    def adapt_step_size(self, t0, t1, y0, y1_candidate, args, y_error, error_order, controller_state):
        keep = jnp.max(jnp.abs(y1_candidate - y0)) < 2.0
        after = jnp.min(jnp.where(self.ts > t1, self.ts, jnp.inf))
        after = jnp.where(jnp.isfinite(after), after, self.ts[-1])
        less = jnp.maximum(t0 + 0.7 * (t1 - t0), jnp.nextafter(t0, jnp.inf))
        return keep, jnp.where(keep, t1, t0), jnp.where(keep, after, less), False, None, OK


def energy(t, y):
    """A bowl that grows steeper with time."""
    return 0.5 * (y @ y) * (2 + jnp.tanh(t))


@eqx.filter_jit
def told(t, y):
    """Energy and size of its terms."""
    return energy(t, y), magnitude(energy, t, y)


@eqx.filter_jit
def begun(controller, t0, t1, y, dt):
    return controller.init(None, t0, t1, y, dt, None, None, 2)


@eqx.filter_jit
def adapted(controller, t0, t1, y0, y1, error, state):
    *found, result = controller.adapt_step_size(t0, t1, y0, y1, None, error, 2, state)
    return *found, result == OK


def put_away(state):
    """A controller's state as bytes and back."""
    arrays, rest = eqx.partition(state, eqx.is_array)
    stored = jax.tree.map(lambda one: (one.dtype, one.shape, np.asarray(one).tobytes()), arrays)
    back = jax.tree.map(
        lambda one: jnp.asarray(np.frombuffer(one[2], one[0]).reshape(one[1])), stored,
        is_leaf=lambda one: isinstance(one, tuple) and len(one) == 3 and isinstance(one[2], bytes),
    )  # fmt: skip
    return eqx.combine(back, rest)


def answer(found):
    """Kept or not, the next interval, and whether the solve goes on."""
    keep, step0, step1, _, _, okay = found
    return [bool(keep), float(step0), float(step1), bool(okay)]


class Steps(RuleBasedStateMachine):
    """The controller, called as Diffrax calls it, with candidates and error estimates of any kind."""

    controller, kinds = dm.LyapunovController, KINDS

    @initialize(
        kind=st.integers(0, 3), t0=st.sampled_from((0.0, -1.0, 0.3, 1e12)), forward=st.booleans(),
        dt=st.sampled_from((0.1, 1.0, 1e-3)), level=st.sampled_from((None, None, 0.25)),
        tolerance=st.sampled_from((0.0, 0.0, 0.5)),
    )  # fmt: skip
    def begin(self, kind, t0, forward, dt, level, tolerance):
        self.kind = self.kinds[kind % len(self.kinds)]
        self.sign, self.level, self.tolerance = 1 if forward else -1, level, tolerance
        self.ts = jnp.asarray(t0) + jnp.asarray(dt) * jnp.arange(STEPS + 1.0)
        self.dt = None if self.kind == "grid" else self.ts[1] - self.ts[0]
        self.t, self.end, self.y = self.ts[0], self.ts[-1], jnp.asarray([1.0, -0.5])
        self.calls, self.over, self.accepted = [], False, 0
        self.build()
        self.after, self.state = begun(self.watched, self.t, self.end, self.y, self.dt)
        self.goal, self.inner = begun(self.bare, self.t, self.end, self.y, self.dt)
        assert self.after == self.goal, "the first step is not the wrapped controller's"
        self.goal, self.planned, self.first = float(self.goal), float(self.goal - self.t), self.state
        self.value, self.size = map(float, told(self.sign * self.t, self.y))
        self.top = None if level is None else self.value / level

    def build(self):
        """The controllers, made from nothing but their settings."""
        sign = jnp.where(True, self.sign, 1)
        made = {
            "constant": dfx.ConstantStepSize, "grid": lambda: dfx.StepTo(self.ts * sign),
            "pid": lambda: dfx.PIDController(rtol=1e-2, atol=1e-2), "fussy": lambda: Fussy(self.ts * sign),
        }[self.kind]()  # fmt: skip
        outer = self.controller(made, energy, tolerance=self.tolerance, error=self.level)
        self.bare, self.watched = made.wrap(sign), outer.wrap(sign)

    def asked(self, *call):
        return adapted(self.watched, *call)

    @precondition(lambda self: not self.over)
    @rule(factor=st.sampled_from(FACTORS), error=st.sampled_from((0.0, 1e-5, 5e-3, 1.0, math.inf)))
    def step(self, factor, error):
        call = (self.t, self.after, self.y, self.y * factor, np.full(2, error))
        found = self.asked(*call, self.state)
        self.calls.append((call, found))
        self.judge(call, found, adapted(self.bare, *call, self.inner))
        keep, step0, step1, _, self.state, okay = found
        self.y = call[3] if keep else self.y
        self.t = jnp.minimum(step0, self.end)
        self.after = jnp.minimum(step1, self.end)
        self.over = bool(self.t >= self.end) or not bool(okay) or bool(self.after <= self.t)

    @precondition(lambda self: not self.over)
    @rule(times=st.integers(2, 14))
    def rise_again_and_again(self, times):
        for _ in range(times):
            if not self.over:
                self.step(5.0, 0.0)

    @precondition(lambda self: not self.over)
    @rule()
    def rest(self):
        """The state stays, and time alone changes the energy."""
        self.step(1.0, 0.0)

    @rule()
    def interrupt(self):
        self.state = put_away(self.state)
        self.build()

    @precondition(lambda self: self.over)
    @rule(dt=st.sampled_from((0.1, 1e-3)), forward=st.booleans(), kind=st.integers(0, 3))
    def again(self, dt, forward, kind):
        self.teardown()
        self.begin(kind, 100.0, forward, dt, None, 0.0)

    def judge(self, call, found, inner):
        """One answer of the controller against those of the energy and of the wrapped controller."""
        t0, t1 = float(call[0]), float(call[1])
        (keep, step0, step1, okay), (stays, *next_, fine) = answer(found), answer(inner)
        value, size = map(float, told(self.sign * call[1], call[3]))
        limit = (self.value if self.top is None else self.top) + self.tolerance
        bound = ROUNDING * (self.size + size)
        falls = math.isfinite(value) and value <= limit + 0.99 * bound
        rises = not math.isfinite(value) or value > limit + 1.01 * bound
        own = self.kind == "pid" or t1 >= self.goal - 16 * EPS * max(abs(self.goal), self.planned)
        theirs = not stays and math.isfinite(next_[1])  # rejected by the wrapped controller, which knows how to go on
        assert not (keep and rises), "a rise was accepted"
        assert not (keep and not stays), "the wrapped controller had rejected this"
        assert keep or not (falls and stays), "rejected, and nobody objects"
        assert step0 == (t1 if keep else t0), "the next interval does not begin where it should"
        decided = theirs or (falls and (own or not stays))
        if decided:
            assert [keep, step0, step1, okay] == [stays, *next_, fine], "the wrapped controller's decision is changed"
        middle = t0 + 0.5 * (t1 - t0)
        room = 0.5 * (t1 - t0) >= 1e-4 * self.planned and t0 < middle < t1
        assert okay or (rises and not room), "the solve ends for nothing"
        assert not okay or not rises or room or theirs, "no shorter step is left, and the solve goes on"
        if okay and not (keep and t1 >= self.end):
            assert math.isfinite(step1), "the next time is no number"
            assert step1 > step0 or theirs, "time stands still or goes back"
            assert keep or step1 < t1 or theirs, "what was rejected is tried again with no shorter step"
        assert own or not keep or step1 <= self.goal, "a time of the grid is passed over"
        if decided:
            self.inner, self.goal, self.planned = inner[4], step1, step1 - step0
        if keep:
            self.value, self.size = value, size

    def teardown(self):
        """The run again, uninterrupted."""
        state, self.hidden = getattr(self, "first", None), None
        for call, found in getattr(self, "calls", ()):
            again = self.asked(*call, state)
            state = again[4]
            assert answer(again) == answer(found), "an interruption changes the run"


# ------------------------------------------------------------------------------- solves in legs

MOST = 12
QUARTIC = dm.GradientFlow(lambda t, x: jnp.sum(x**4) / 4 + x @ x / 2)


@eqx.filter_jit
def leg(solver, controller, t0, t1, dt0, y, state):
    """A solve that goes on from a controller's state: its times, states, count of tries, and state."""
    found = dfx.diffeqsolve(
        QUARTIC.terms(), solver, t0, t1, dt0, y, stepsize_controller=controller, max_steps=MOST, throw=False,
        controller_state=state, saveat=dfx.SaveAt(steps=True, controller_state=True),
    )  # fmt: skip
    ended = found.result == dfx.RESULTS.dt_min_reached
    return (
        found.ts,
        found.ys,
        found.stats["num_accepted_steps"],
        found.stats["num_steps"],
        found.controller_state,
        ended,
    )


def height(ys):
    """The energy of states, by NumPy."""
    with np.errstate(over="ignore", invalid="ignore"):
        return np.sum(ys**4 / 4 + ys**2 / 2, axis=-1)


class Legs(RuleBasedStateMachine):
    """Solves by Diffrax that end, or run out of steps, and go on from the state of the controller."""

    controller, kinds = dm.LyapunovController, ("constant",)

    @initialize(dt=st.sampled_from((0.1, 0.3, 1.7)), t0=st.sampled_from((0.0, 0.7)), kind=st.integers(0, 1))
    def begin(self, dt, t0, kind):
        self.dt, self.calm = np.asarray(dt), True
        self.kind = self.kinds[kind % len(self.kinds)]
        self.solver, inner = {
            "constant": (dfx.Euler(), dfx.ConstantStepSize()),
            "pid": (dfx.Heun(), dfx.PIDController(rtol=0.3, atol=0.3)),
        }[self.kind]  # fmt: skip
        self.both, self.at = [inner, self.controller(inner, QUARTIC.energy)], []
        for one in self.both:
            now, y = np.asarray(t0), np.asarray([1.0, -0.5])
            after, state = begun(one, now, now + self.dt, y, self.dt)
            self.at.append((now, y, state, np.asarray(after) - now))

    @rule(steps=st.integers(1, 4))
    def go_on(self, steps):
        end = self.at[1][0] + steps * self.dt
        runs = [
            leg(self.solver, one, t, end, dt, y, state)
            for one, (t, y, state, dt) in zip(self.both, self.at, strict=True)
        ]
        bare, held = ([np.asarray(part) for part in run[:4]] for run in runs)
        before, falls = self.at[1], []
        for place, (ts, ys, count, _) in enumerate((bare, held)):
            t, y, _, _ = self.at[place]
            times, states = np.append(t, ts[:count]), np.concatenate([y[None], ys[:count]])
            values, state = height(states), runs[place][4]
            falls.append(all(after <= now + 1e-13 * bool(place) for now, after in itertools.pairwise(values)))
            cut = place and self.kind == "constant" and times[-1] < end
            dt = np.asarray(state.goal) - times[-1] if cut else self.dt
            self.at[place] = (times[-1], states[-1], state, dt)
        self.calm &= falls[0]
        assert not runs[1][5], "the solve ends though short steps descend"
        assert falls[1], "the energy rises"
        assert np.all(np.diff(np.append(before[0], held[0][: held[2]])) > 0), "time stands still or goes back"
        assert held[3] == MOST or self.at[1][0] == end, "the solve ends before its end"
        if self.calm:
            assert all(map(np.array_equal, bare, held)), "a run that rises nowhere is changed"
