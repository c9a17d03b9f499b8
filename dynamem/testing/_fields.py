"""Is this field what it says? A gradient, the gradient of that energy, a map that commutes with a symmetry."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PyTree

from .._errors import InputError
from .._types import EnergyFn, Given
from ..lyapunov import dynamics_of
from ._told import aim, eps, fail, literal, mapped, some_states


ROUNDING = 1e3
"""Rounding units that are forgiven, relative to the sizes compared, where no tolerance is given."""


def assert_gradient_flow(
    energy: EnergyFn, flow: Any, states: Given, *, t: float = 0.0, args: PyTree = None,
    preconditioner: Callable | Given | None = None, rtol: float | None = None,
) -> None:  # fmt: skip
    """The drift is ``-M grad E``, up to ``rtol`` of the sizes of the two.

    Arguments:
        energy: any ``E(t, x)``.
        flow: a dynamem flow or any Diffrax terms; of one with noise the drift is asked for.
        states: float32 or float64, shape (B, D).
        t: the time.
        args: what the terms are given.
        preconditioner: ``M``: a diagonal (D,), a matrix (D, D), or a function ``v -> M v``; the identity if not given.
        rtol: 1,000 rounding units of the states' precision if not given.

    Raises:
        AssertionError: they differ; with the state and both vectors.
        InputError: an argument that cannot be used.
    """
    xs = some_states(states)
    field, time = dynamics_of(flow), jnp.asarray(t, xs.dtype)
    _require("energy", lambda x: energy(time, x), xs, ())
    _require("drift", lambda x: field.drift(time, x, args), xs, xs.shape[1:])
    made, wanted = (np.asarray(part) for part in _both(field, energy, time, jnp.asarray(xs), args, preconditioner))
    _compare("the drift is not -M grad E", xs, (made, wanted), ("drift", "-M grad E"), rtol,
             "np.testing.assert_allclose(flow.drift(t, x, None), -jax.grad(energy, argnums=1)(t, x), rtol={rtol})",
             {"t": float(t)})  # fmt: skip


@eqx.filter_jit
def _both(field: Any, energy: Callable, t: Array, xs: Array, args: PyTree, m: Any) -> tuple[Array, Array]:
    def one(x: Array) -> tuple[Array, Array]:
        slope: Any = jax.grad(energy, argnums=1)(t, x)
        if callable(m):
            slope = m(slope)
        elif m is not None:
            weight = jnp.asarray(m, x.dtype)
            slope = weight * slope if weight.ndim < 2 else weight @ slope
        return field.drift(t, x, args), -slope

    return jax.vmap(one)(xs)


def assert_score_is_gradient(
    score: Callable, states: Given, *, energy: Callable | None = None, rtol: float | None = None
) -> None:
    """The field ``score(x)`` has a symmetric Jacobian at the states: only then is it the gradient of anything there.

    Learned scores have not (see `dm.asymmetry`, which measures it): give ``rtol`` what you accept.

    Arguments:
        score: ``x (D,) -> (D,)``, a score or a denoiser at one noise level.
        states: float32 or float64, shape (B, D).
        energy: ``E(x)``; if given, the score has to be ``-grad E`` too.
        rtol: largest ``|J - J^T| / |J|``, in Frobenius norms; 1,000 rounding units if not given.

    Raises:
        AssertionError: it is no gradient; with the state and the pair of coordinates that differ most.
        InputError: an argument that cannot be used.
    """
    xs = some_states(states)
    _require("score", score, xs, xs.shape[1:])
    slopes = np.asarray(_jacobians(score, jnp.asarray(xs)))
    allowed = ROUNDING * eps(xs.dtype) if rtol is None else rtol
    sizes = np.linalg.norm(slopes, axis=(1, 2))
    skew = np.linalg.norm(slopes - slopes.transpose(0, 2, 1), axis=(1, 2)) / np.where(sizes > 0, sizes, 1.0)
    row = int(np.argmax(np.where(np.isfinite(skew), skew, np.inf)))
    aim(float(skew[row] / allowed), "asymmetry of a Jacobian")
    if not skew[row] <= allowed:
        apart = np.abs(slopes[row] - slopes[row].T)
        i, j = (int(k) for k in np.unravel_index(int(np.argmax(apart)), apart.shape))
        facts = {"x": xs[row], "|J - J^T| / |J|": float(skew[row]), "allowed": allowed,
                 f"d score_{i} / d x_{j}": float(slopes[row, i, j]),
                 f"d score_{j} / d x_{i}": float(slopes[row, j, i])}  # fmt: skip
        test = (
            f"x = {literal(xs[row])}\nJ = jax.jacfwd(score)(x)\n"
            f"assert jnp.linalg.norm(J - J.T) <= {allowed!r} * jnp.linalg.norm(J)"
        )
        fail("the score is no gradient: its Jacobian is not symmetric", facts, test)
    if energy is not None:
        found = tuple(np.asarray(part) for part in _scores(score, energy, jnp.asarray(xs)))
        _compare("the score is not -grad E", xs, found, ("score", "-grad E"), rtol,
                 "np.testing.assert_allclose(score(x), -jax.grad(energy)(x), rtol={rtol})", {})  # fmt: skip


@eqx.filter_jit
def _jacobians(score: Callable, xs: Array) -> Array:
    return jax.vmap(jax.jacfwd(score))(xs)


@eqx.filter_jit
def _scores(score: Callable, energy: Callable, xs: Array) -> tuple[Array, Array]:
    return jax.vmap(score)(xs), jax.vmap(lambda x: -jax.grad(energy)(x))(xs)


def assert_equivariant(
    function: Callable, action: Callable, states: Given, *, invariant: bool = False, rtol: float | None = None
) -> None:
    """``f(g x) = g f(x)``, or ``f(g x) = f(x)`` of an energy.

    Arguments:
        function: ``x (D,) -> (D,)``, or ``x -> ()`` of an energy.
        action: the symmetry ``g``, ``(D,) -> (D,)``, linear.
        states: float32 or float64, shape (B, D).
        invariant: whether the values stay, as those of an energy do.
        rtol: 1,000 rounding units if not given.

    Raises:
        AssertionError: they differ; with the state and both sides.
        InputError: an argument that cannot be used.
    """
    xs = some_states(states)
    _require("action", action, xs, xs.shape[1:])
    _require("function", function, xs, () if invariant else xs.shape[1:])
    moved, stayed = (np.asarray(part) for part in _sides(function, action, jnp.asarray(xs), invariant))
    pair = (moved.reshape(len(xs), -1), stayed.reshape(len(xs), -1))
    right = "function(x)" if invariant else "action(function(x))"
    _compare("the function does not commute with the action", xs, pair, ("function(action(x))", right), rtol,
             f"np.testing.assert_allclose(function(action(x)), {right}, rtol={{rtol}})", {})  # fmt: skip


@eqx.filter_jit
def _sides(function: Callable, action: Callable, xs: Array, invariant: bool) -> tuple[Array, Array]:
    moved = jax.vmap(lambda x: function(action(x)))(xs)
    return moved, jax.vmap(lambda x: function(x) if invariant else action(function(x)))(xs)


def _require(name: str, function: Callable, xs: np.ndarray, shape: tuple) -> None:
    found = mapped(name, function, jax.ShapeDtypeStruct(xs.shape[1:], xs.dtype))
    if jnp.shape(found) != shape:
        msg = f"{name} returns shape {jnp.shape(found)!r} for a state of shape {xs.shape[1:]!r}: need {shape!r}"
        raise InputError(msg)


def _compare(
    what: str, xs: np.ndarray, pair: tuple, names: tuple[str, str], rtol: float | None, test: str, facts: dict[str, Any]
) -> None:
    """Fail unless two arrays (B, m) agree, row by row, relative to their sizes."""
    allowed = ROUNDING * eps(xs.dtype) if rtol is None else rtol
    sizes = np.linalg.norm(pair[0], axis=1) + np.linalg.norm(pair[1], axis=1)
    off = np.linalg.norm(pair[0] - pair[1], axis=1) / np.where(sizes > 0, sizes, 1.0)
    row = int(np.argmax(np.where(np.isfinite(off), off, np.inf)))
    aim(float(off[row] / allowed), what)
    if not off[row] <= allowed:
        told = facts | {"x": xs[row], names[0]: pair[0][row], names[1]: pair[1][row],
                        "relative difference": float(off[row]), "allowed": allowed}  # fmt: skip
        times = "".join(f"{name} = {value!r}\n" for name, value in facts.items())
        fail(what, told, f"x = {literal(xs[row])}\n{times}{test.format(rtol=allowed)}")
