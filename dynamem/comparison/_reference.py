"""Final states to compare with: exact, or by a fine solve that a coarser one has to agree with."""

from typing import Any

import diffrax as dfx
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .._errors import InputError
from ..flows import AbstractFlow
from ..lyapunov import brownian, controlled, levy_area
from ._ahead import Ahead
from ._evaluations import fixed_step
from ._solving import Asked, reason_of


TOLERANCES = (1e-12, 1e-10)
"""Relative ones of a reference without noise, by Dopri8, and of the solve that has to agree with it."""
MOST_STEPS = 65536
LEVELS = (11, 10)
"""A stochastic reference takes ``2^11`` steps of SPaRK, of strong order 1.5 for additive noise."""


def prepare_reference(ahead: Ahead, ask: Asked) -> None:
    """Have the fine solves made that `reference` asks for."""
    if ask.problem.exact is None:
        ahead.run(_name(ask), _ends, [_fine(ask, level) for level in (0, 1)])


def reference(ask: Asked, ahead: Ahead | None = None) -> tuple[Float[np.ndarray, "B D"], float]:
    """Final states to compare with, and the median distance of what had to agree with them (0 if they are exact).

    Raises:
        InputError: if they cannot be had.
    """
    exact = ask.problem.exact
    if callable(exact):
        given = (ask.states, *ask.span) if ask.keys is None else (ask.states, *ask.span, _brownian_ends(ask))
        exact = exact(*given)
    if exact is not None:
        ends = np.asarray(exact)
        if ends.shape != ask.states.shape:
            msg = f"exact of problem {ask.problem.name!r} has shape {ends.shape!r}: need {ask.states.shape!r}"
            raise InputError(msg)
        return ends, 0.0
    if ahead is None:
        with Ahead() as own:
            prepare_reference(own, ask)
            return reference(ask, own)
    try:
        (fine, well), (rough, too) = ahead.results(_name(ask))
    except Exception as error:  # of a flow of the user's
        msg = f"problem {ask.problem.name!r} has no reference: {reason_of(error)}; give it `exact`"
        raise InputError(msg) from error
    if not (well.all() and too.all()):
        msg = f"problem {ask.problem.name!r} has no reference: the fine solve fails; give it `exact`"
        raise InputError(msg)
    gap = float(np.max(np.abs(fine - rough), initial=0.0))
    allowed = (1e-8 if ask.keys is None else 1e-1) * (1 + float(np.max(np.abs(fine))))
    if not gap <= allowed:
        msg = f"problem {ask.problem.name!r} has no reference: two fine solves differ by {gap:.2g}; give it `exact`"
        raise InputError(msg)
    return fine, float(np.median(distances(fine, rough)))


def distances(ends: Float[np.ndarray, "B D"], goal: Float[np.ndarray, "B D"]) -> Float[np.ndarray, " B"]:
    """``|x - y|/sqrt(D)`` of each state."""
    return np.sqrt(np.mean((ends - goal) ** 2, axis=1))


def _name(ask: Asked) -> tuple:
    return "reference", id(ask)


def _fine(ask: Asked, level: int) -> tuple:
    """Arguments of `_ends`; both levels share a program."""
    if ask.keys is None:
        rtol = jnp.asarray(TOLERANCES[level])
        how: tuple = dfx.Dopri8(), dfx.PIDController(rtol=rtol, atol=1e-2 * rtol), None, MOST_STEPS
    else:
        how = dfx.SPaRK(), dfx.ConstantStepSize(), fixed_step(ask.span, 2 ** LEVELS[level]), 2 ** LEVELS[0] + 2
    return ask.flow, ask.states, ask.span, ask.keys, *how


@eqx.filter_jit
def _ends(
    flow: AbstractFlow, states: Array, span: tuple, keys: Any, solver: Any, controller: Any, dt0: Any, most: int
) -> tuple[Array, Array]:
    """Final states, and which solves went well."""

    def one(x0: Array, key: Any) -> tuple[Array, Array]:
        noise = None if key is None else flow.diffusion(span[0], x0, None)
        control = None if key is None else brownian(noise, span, True, levy_area(solver), key)
        solution: Any = dfx.diffeqsolve(
            controlled(flow, control), solver, *span, dt0, x0, stepsize_controller=controller,
            adjoint=dfx.ForwardMode(), max_steps=most, throw=False,
        )  # fmt: skip
        x1 = solution.ys[0]
        return x1, dfx.is_okay(solution.result) & jnp.all(jnp.isfinite(x1))

    return jax.vmap(one, in_axes=(0, None if keys is None else 0))(states, keys)


def _brownian_ends(ask: Asked) -> Array:
    """The Brownian motions of all paths at the end, shape (B, m)."""
    t0, t1 = ask.span

    def one(x0: Array, key: Any) -> Array:
        path = brownian(ask.flow.diffusion(t0, x0, None), ask.span, True, levy_area(None), key)
        return path.evaluate(t0, t1)

    return jax.vmap(one)(ask.states, ask.keys)
