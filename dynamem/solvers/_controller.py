r"""A step-size controller that rejects steps which raise an energy.

It wraps any other controller, whose decision stands wherever it rejects a step, or the energy does not rise beyond
rounding: a run that rises nowhere is not changed. A step that raises it is rejected and tried again with half its
length. Where the wrapped controller has a grid of its own
(`diffrax.ConstantStepSize`, `diffrax.StepTo`) the shorter steps lead back to it: they double again until its next time
is reached. A flow that raises the energy by itself cannot be helped by short steps: once a step is shorter than a part
``smallest`` of the one that was asked for, the solve fails with `RESULTS.dt_min_reached`.

For an SDE descent is no statement about single steps. What holds for a non-negative supermartingale V (D8: the free
energy plus ``zeta D s^2/2``) is Ville's inequality, ``P(sup V >= V(start)/error) <= error``. With ``error`` given a
step is rejected if it leaves ``V <= V(start)/error``: the exact dynamics does so with at most that probability, so
that what is rejected is, but for these paths, the solver's doing. Rejected noise has to be seen again, so the
Brownian path must be a `diffrax.VirtualBrownianTree`.
"""

from typing import Any

import diffrax as dfx
import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Scalar

from .._errors import InputError
from .._types import EnergyFn
from .._validate import require_positive
from ..energies import magnitude, rounding_bound


SHRINK, GROW, ROUNDING = 0.5, 2.0, 16.0


class Watched(eqx.Module):
    """What the controller remembers.

    Attributes:
        inner: state of the wrapped controller.
        value: energy at the start of the step.
        size: total size of its terms.
        level: what the energy may reach, for an SDE.
        goal: end of the step that the wrapped controller asked for.
        planned: length of that step.
    """

    inner: Any
    value: Scalar
    size: Scalar
    level: Scalar
    goal: Scalar
    planned: Scalar


class LyapunovController(dfx.AbstractAdaptiveStepSizeController):
    """Rejects steps that raise ``E(t, x)``, and otherwise does what the wrapped controller does.

    It costs an evaluation of the energy for each step tried and no call of the vector field. Of a function that is not
    an `AbstractEnergy` it takes the gradient too, from which rounding is judged.

    Arguments:
        controller: any Diffrax controller.
        energy: any ``E(t, x)`` on the clock of the flow.
        tolerance: rise that is forgiven on top of rounding.
        smallest: part of an asked step below which a rise ends the solve.
        error: None for descent in every step (ODEs); for SDEs the probability in Ville's inequality.
    """

    controller: dfx.AbstractStepSizeController
    energy: EnergyFn
    tolerance: Float[Array, ""] = eqx.field(default=0.0, converter=jnp.asarray)
    smallest: Float[Array, ""] = eqx.field(default=1e-4, converter=jnp.asarray)
    error: Float[Array, ""] | None = eqx.field(default=None, converter=lambda e: None if e is None else jnp.asarray(e))
    direction: Any = 1

    def __check_init__(self) -> None:
        if not isinstance(self.controller, dfx.AbstractStepSizeController):
            msg = f"controller={type(self.controller).__name__}: need a Diffrax step-size controller to wrap"
            raise InputError(msg)
        if not callable(self.energy):
            msg = f"energy={type(self.energy).__name__}: need a function E(t, x)"
            raise InputError(msg)
        require_positive("tolerance", self.tolerance, zero=True, scalar=True)
        require_positive("smallest", self.smallest, scalar=True)
        if self.error is not None:
            require_positive("error", self.error, scalar=True)

    @property
    def adaptive(self) -> bool:
        """Whether the wrapped controller chooses steps by error estimates."""
        return isinstance(self.controller, dfx.AbstractAdaptiveStepSizeController)

    @property
    def rtol(self) -> Any:
        """Relative tolerance of the wrapped controller, by which implicit solvers choose theirs."""
        return self._tolerance_of("rtol", 1e-6)

    @property
    def atol(self) -> Any:
        """Absolute tolerance of the wrapped controller."""
        return self._tolerance_of("atol", 1e-9)

    @property
    def norm(self) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Norm of the wrapped controller."""
        return self._tolerance_of("norm", lambda x: jnp.sqrt(jnp.mean(jnp.square(x))))

    def _tolerance_of(self, name: str, otherwise: Any) -> Any:
        return getattr(self.controller, name) if self.adaptive else otherwise

    def wrap(self, direction: Any) -> "LyapunovController":
        """The controller for a direction of time, 1 or -1."""
        inner = self.controller.wrap(direction)
        return eqx.tree_at(lambda one: (one.controller, one.direction), self, (inner, direction))

    def _energy(self, t: Any, y: Array) -> tuple[Scalar, Scalar]:
        """Value and size at a time that runs forward."""
        t = jnp.asarray(t) * self.direction
        value = self.energy(t, y)
        if jnp.shape(value) != ():
            msg = f"energy has values of shape {jnp.shape(value)!r} on states of shape {jnp.shape(y)!r}: need ()"
            raise InputError(msg)
        return value, magnitude(self.energy, t, y)

    def init(
        self, terms: Any, t0: Any, t1: Any, y0: Any, dt0: Any, args: Any, func: Any, error_order: Any
    ) -> tuple[Any, Watched]:
        """The wrapped controller's first step, and the energy at the start."""
        end, inner = self.controller.init(terms, t0, t1, y0, dt0, args, func, error_order)
        value, size = self._energy(t0, y0)
        level = jnp.asarray(jnp.inf, value.dtype) if self.error is None else value / self.error.astype(value.dtype)
        end = jnp.asarray(end)
        return end, Watched(inner, value, size, level, end, end - t0)

    def adapt_step_size(
        self, t0: Any, t1: Any, y0: Any, y1_candidate: Any, args: Any, y_error: Any, error_order: Any,
        controller_state: Watched,
    ) -> tuple[Any, Any, Any, Any, Watched, dfx.RESULTS]:  # fmt: skip
        """Reject a rise; on the way back to a fixed grid, go on with longer steps; else the wrapped decision."""
        was, (value, size) = controller_state, self._energy(t1, y1_candidate)
        keep, next0, next1, jump, inner, result = self.controller.adapt_step_size(
            t0, t1, y0, y1_candidate, args, y_error, error_order, was.inner
        )
        # What is rejected anyway is tried again as it would be, unless the error was no number and so is that time.
        rose = (keep | ~jnp.isfinite(next1)) & self._rose(was, value, size)
        # What rounding leaves of the way to a time is no step.
        near = was.goal - ROUNDING * jnp.finfo(was.goal.dtype).eps * jnp.maximum(jnp.abs(was.goal), was.planned)
        detour = jnp.asarray(False) if self.adaptive else keep & ~rose & (t1 < near)
        half, again = t0 + SHRINK * (t1 - t0), t1 + GROW * (t1 - t0)
        short = SHRINK * (t1 - t0) < self.smallest.astype(was.planned.dtype) * was.planned
        tiny = rose & (short | ~((t0 < half) & (half < t1)))  # or the clock has no time in between
        back = jnp.where(again < near, again, was.goal)
        result = dfx.RESULTS.where(tiny, dfx.RESULTS.dt_min_reached, dfx.RESULTS.where(
            rose | detour, dfx.RESULTS.successful, result))  # fmt: skip
        keep = ~rose & keep
        step1 = jnp.where(rose, half, jnp.where(detour, back, next1))
        step0 = jnp.where(rose, t0, jnp.where(detour, t1, next0))
        own = ~(rose | detour)
        now = Watched(
            _where(own, inner, was.inner), _where(keep, value, was.value), _where(keep, size, was.size), was.level,
            _where(own, step1, was.goal), _where(own, step1 - step0, was.planned),
        )  # fmt: skip
        return keep, step0, step1, own & jump, now, result

    def _rose(self, was: Watched, value: Scalar, size: Scalar) -> Bool[Array, ""]:
        """Whether the step is to be rejected; one to an energy that is no finite number is."""
        bound = rounding_bound(size + was.size) + self.tolerance.astype(value.dtype)
        highest = was.value if self.error is None else was.level
        return ~((value <= highest + bound) & jnp.isfinite(value))


def _where(choose: Any, new: Any, old: Any) -> Any:
    """Leaf by leaf, for states that hold plain numbers, and things that are none, too."""
    arrays, rest = eqx.partition(new, eqx.is_array_like)
    before, _ = eqx.partition(old, eqx.is_array_like)
    return eqx.combine(jax.tree.map(lambda a, b: jnp.where(choose, a, b), arrays, before), rest)
