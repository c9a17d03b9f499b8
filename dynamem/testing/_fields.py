"""Is this field what it says? A gradient, the gradient of that energy, a map that commutes with a symmetry."""

from collections.abc import Callable
from typing import Any, NamedTuple

import diffrax as dfx
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PyTree

from .._journal import note, recorded
from .._types import EnergyFn, Given
from ..flows import Map
from ..lyapunov import dynamics_of, rounding_bound
from ._told import aim, eps, fail, fits, known_size, literal, some_states
from ._values import assert_slopes


ROUNDING = 1e3
"""Rounding units that are forgiven, relative to the sizes compared, where no tolerance is given."""


class _Ways(eqx.Module):
    """``f(x) - x`` of an update, as a drift."""

    update: Map

    def drift(self, t: Array, x: Array, args: PyTree) -> Array:
        del t, args
        return self.update(x) - x


class _Gradients(eqx.Module):
    """The drift, and ``-M grad E``."""

    field: Any
    energy: Callable
    t: Array
    args: PyTree
    m: Any

    def __call__(self, x: Array) -> tuple[Array, Array]:
        slope: Any = jax.grad(self.energy, argnums=1)(self.t, x)
        if callable(self.m):
            slope = self.m(self.t, x, slope)
        elif self.m is not None:
            weight = jnp.asarray(self.m, x.dtype)
            slope = weight * slope if weight.ndim < 2 else weight @ slope
        return self.field.drift(self.t, x, self.args), -slope


class _Jacobians(eqx.Module):
    """A Jacobian, and its transpose."""

    score: Callable

    def __call__(self, x: Array) -> tuple[Array, Array]:
        slopes = jax.jacfwd(self.score)(x)
        return slopes, slopes.T


class _Scores(eqx.Module):
    """A score, and ``-grad E``."""

    score: Callable
    energy: Callable

    def __call__(self, x: Array) -> tuple[Array, Array]:
        return self.score(x), -jax.grad(self.energy)(x)


class _Sides(eqx.Module):
    """``f(g x)``, and ``g f(x)`` or ``f(x)``."""

    function: Callable
    action: Callable
    invariant: bool = eqx.field(static=True)

    def __call__(self, x: Array) -> tuple[Array, Array]:
        value = self.function(x)
        return self.function(self.action(x)), value if self.invariant else self.action(value)


@recorded
def assert_gradient_flow(
    energy: EnergyFn, flow: Any, states: Given, *, t: float = 0.0, args: PyTree = None,
    preconditioner: Callable | Given | None = None, rtol: float | None = None,
) -> None:  # fmt: skip
    """The drift is ``-M grad E``, up to ``rtol`` of their sizes, and the rounding of what they add and cancel.

    In float64, unless ``rtol`` is given, E has to change over short steps as its gradient says, too: a value that is
    rounded to float32 inside, or a wrong custom derivative, is no energy of the drift.

    Arguments:
        energy: any ``E(t, x)``.
        flow: a dynamem flow or any Diffrax terms; of one with noise the drift is asked for; of a `Map` ``f(x) - x``.
        states: float32 or float64, shape (B, D).
        t: the time.
        args: what the terms are given.
        preconditioner: ``M``: a diagonal (D,), a matrix (D, D), or a function
            ``(t, x, v) -> M v``; the identity if not given.
        rtol: 1,000 rounding units of the states' precision if not given.

    Raises:
        AssertionError: they differ; with the state and both vectors.
        InputError: an argument that cannot be used.
    """
    xs = some_states(states)
    field, time = _Ways(flow) if isinstance(flow, Map) else dynamics_of(flow), jnp.asarray(t, xs.dtype)
    fits("energy", _Energy(energy, time), (), jnp.asarray(xs[0]))
    fits("drift", _Drift(field, time, args), xs.shape[1:], jnp.asarray(xs[0]))
    given = "None" if args is None else "args"
    name = "flow.vf" if isinstance(flow, dfx.AbstractTerm) else "flow.drift"
    drift = "flow(x) - x" if isinstance(flow, Map) else f"{name}(t, x, {given})"
    slope = "jax.grad(energy, argnums=1)(t, x)"
    right = _sloped(preconditioner, slope)
    test = f"np.testing.assert_allclose({drift}, {right}, {{within}})"
    told = _Told("the drift is not -M grad E", ("drift", "-M grad E"), test, {"t": float(t)})
    _compare(_Gradients(field, energy, time, args, preconditioner), xs, rtol, told)
    if rtol is None:
        assert_slopes(energy, float(t), xs)


def _sloped(preconditioner: Any, slope: str) -> str:
    """``-M grad E`` as a line of Python."""
    if preconditioner is None:
        return f"-{slope}"
    if callable(preconditioner):
        return f"-M(t, x, {slope})"
    return f"-M {'*' if np.ndim(preconditioner) < 2 else '@'} {slope}"


@recorded
def assert_score_is_gradient(
    score: Callable, states: Given, *, energy: Callable | None = None, rtol: float | None = None
) -> None:
    """The field ``score(x)`` has a symmetric Jacobian at the states: only then is it the gradient of anything there.

    Learned scores have not (see `dm.asymmetry`, which measures it): give ``rtol`` what you accept.

    Arguments:
        score: ``x (D,) -> (D,)``, a score or a denoiser at one noise level.
        states: float32 or float64, shape (B, D).
        energy: ``E(x)``; if given, the score has to be ``-grad E`` too.
        rtol: largest ``|J - J^T| / (2 |J|)``, in Frobenius norms, and difference from the gradient, beside the
            rounding of what is added and cancels; 1,000 rounding units if not given.

    Raises:
        AssertionError: it is no gradient; with the state, or both vectors.
        InputError: an argument that cannot be used.
    """
    xs = some_states(states)
    fits("score", score, xs.shape[1:], jnp.asarray(xs[0]))
    test = "J = jax.jacfwd(score)(x)\nnp.testing.assert_allclose(J, J.T, {within})"
    told = _Told("the score is no gradient: its Jacobian is not symmetric", ("Jacobian", "its transpose"), test, {})
    _compare(_Jacobians(score), xs, rtol, told)
    if energy is not None:
        test = "np.testing.assert_allclose(score(x), -jax.grad(energy)(x), {within})"
        _compare(_Scores(score, energy), xs, rtol, _Told("the score is not -grad E", ("score", "-grad E"), test, {}))


@recorded
def assert_equivariant(
    function: Callable, action: Callable, states: Given, *, invariant: bool = False, rtol: float | None = None
) -> None:
    """``f(g x) = g f(x)``, or ``f(g x) = f(x)`` of an energy.

    Arguments:
        function: ``x (D,) -> (D,)``, or ``x -> ()`` of an energy.
        action: the symmetry ``g``, ``(D,) -> (D,)``.
        states: float32 or float64, shape (B, D).
        invariant: whether the values stay, as those of an energy do.
        rtol: 1,000 rounding units if not given, beside the rounding of what is added and cancels.

    Raises:
        AssertionError: they differ; with the state and both sides.
        InputError: an argument that cannot be used.
    """
    xs = some_states(states)
    fits("action", action, xs.shape[1:], jnp.asarray(xs[0]))
    fits("function", function, () if invariant else xs.shape[1:], jnp.asarray(xs[0]))
    names = ("function(action(x))", "function(x)" if invariant else "action(function(x))")
    test = f"np.testing.assert_allclose({names[0]}, {names[1]}, {{within}})"
    told = _Told("the function does not commute with the action", names, test, {})
    _compare(_Sides(function, action, invariant), xs, rtol, told)


class _Energy(eqx.Module):
    """``x -> E(t, x)``."""

    energy: Callable
    t: Array

    def __call__(self, x: Array) -> Array:
        return self.energy(self.t, x)


class _Drift(eqx.Module):
    """``x -> drift``."""

    field: Any
    t: Array
    args: PyTree

    def __call__(self, x: Array) -> Array:
        return self.field.drift(self.t, x, self.args)


class _Told(NamedTuple):
    """The words of a failure: what, names of both sides, a line that tests it, and what goes before."""

    what: str
    names: tuple[str, str]
    test: str
    facts: dict[str, Any]


def _compare(pair: Callable, xs: np.ndarray, rtol: float | None, told: _Told) -> None:
    """Fail unless both sides agree at each state."""
    part = ROUNDING * eps(xs.dtype) if rtol is None else rtol
    left, right, rounding = (np.asarray(side) for side in _judged(pair, jnp.asarray(xs)))
    first, second = left.reshape(len(xs), -1), right.reshape(len(xs), -1)
    off = np.linalg.norm(first - second, axis=1)
    allowed = part * (np.linalg.norm(first, axis=1) + np.linalg.norm(second, axis=1)) + rounding
    ratio = off / np.maximum(allowed, np.finfo(xs.dtype).tiny)
    row = int(np.argmax(np.where(np.isfinite(ratio), ratio, np.inf)))
    aim(float(ratio[row]), told.what)
    note(margin=float(ratio[row]))
    if not ratio[row] <= 1:
        facts = told.facts | {"x": xs[row], told.names[0]: left[row], told.names[1]: right[row],
                              "apart": float(off[row]), "allowed": float(allowed[row])}  # fmt: skip
        times = "".join(f"{name} = {value!r}\n" for name, value in told.facts.items())
        within = f"rtol={part!r}, atol={float(rounding[row])!r}"
        fail(told.what, facts, f"x = {literal(xs[row])}\n{times}{told.test.format(within=within)}")


@eqx.filter_jit
def _judged(pair: Callable, xs: Array) -> tuple[Array, Array, Array]:
    """Both sides at each state, and a bound of the rounding of the distance between them."""

    def one(x: Array) -> tuple[Array, Array, Array]:
        left, right = pair(x)
        apart = left - right
        size = jnp.linalg.norm(apart)
        way = apart / jnp.where(size > 0, size, 1)

        def along(z: Array) -> Array:
            a, b = pair(z)
            return jnp.sum(way * (a - b))

        return left, right, rounding_bound(known_size(along, x))

    return jax.vmap(one)(xs)
