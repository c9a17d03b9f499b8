r"""What is asked: the sign of one number over a region, as a program of that number.

| claim | number | wanted |
|---|---|---|
| ``"nonincrease"`` | ``LE``, for a map ``E(f(x)) - E(x)`` | at most 0 |
| ``"strict_decrease"`` | the same | below 0 |
| ``"positive"`` | ``-E`` | below 0 |
| ``("rate", r)`` | ``LE + r E`` | at most 0 |

``L`` is the generator (Ito), for an ODE the orbital derivative. The inputs of every program are the coordinates of the
state and, where there is one, the time, one input for each: entry ``i`` of a point is row ``i`` of the box.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Scalar

from .._errors import InputError
from .._types import EnergyFn
from ..flows import Map
from ..lyapunov import dynamics_of, generator
from ..programs import Program, reduced, translate
from ._affine import Affine
from ._claims import POSITIVE, RATE, STEP, falling


CLAIMS = ("nonincrease", "strict_decrease", "positive")


@dataclasses.dataclass(frozen=True)
class Question:
    """A number, the constraints of its region, and the sign it should have.

    Attributes:
        number: ``point (n,) -> scalar``, in JAX.
        constraints: functions ``point (n,) -> scalar`` that are at most 0 in the region.
        strict: whether the number should be below 0, not at most 0.
        rows: entries of a point, time included.
        timed: whether the last one is time.
        words: the claim in words.
        affine: the slice of which the others are coordinates, None where they are those of the state.
    """

    number: Callable[[Array], Scalar]
    constraints: tuple[Callable[[Array], Scalar], ...]
    strict: bool
    rows: int
    timed: bool
    words: str
    affine: Affine | None = None

    def names(self) -> tuple[str, ...]:
        """Names of the rows of a box."""
        letter = "x" if self.affine is None else "u"
        return (*(f"{letter}{place}" for place in range(self.rows - self.timed)), *(("t",) if self.timed else ()))

    def where(self, point: Array) -> tuple[Array, Array]:
        """Time and state at a point."""
        return _parts(point, self.rows - self.timed, self.affine)

    def pinned(self, region: np.ndarray) -> "Question":
        """The same, with the coordinates that have but one value in a region as constants of the code."""
        single = region[:, 0] == region[:, 1]
        if not np.any(single):
            return self

        def at(function: Callable[[Array], Scalar]) -> Callable[[Array], Scalar]:
            def pinned(point: Array) -> Scalar:
                ends = zip(single.tolist(), region[:, 0].tolist(), point, strict=True)
                return function(jnp.stack([jnp.asarray(value) if one else entry for one, value, entry in ends]))

            return pinned

        bounds = tuple(at(one) for one in self.constraints)
        return dataclasses.replace(self, number=at(self.number), constraints=bounds)

    def program(self, *, narrow: bool = False) -> Program:
        """Number and constraints as one program; a ``narrow`` one is rewritten for intervals (see `reduced`)."""

        def everything(point: Array) -> tuple[Scalar, ...]:
            return self.number(point), *(one(point) for one in self.constraints)

        made = translate(everything, (self.rows,), centred=narrow)
        return reduced(made) if narrow else made


def question(
    energy: EnergyFn,
    flow: Any,
    rows: int | None,
    constraints: Sequence[Callable],
    claim: str | tuple[str, float],
    affine: Affine | None = None,
) -> Question:
    """The question that a call of ``certify`` or ``prove`` asks.

    Arguments:
        energy: any ``E(t, x)``.
        flow: a dynamem flow, Diffrax terms, or a `Map`.
        rows: rows of the box, None where there is none (then the state's size has to be found from the flow alone).
        constraints: functions ``c(t, x)``; the region is where all are at most 0.
        claim: one of `CLAIMS` or ``("rate", r)``.
        affine: a slice, if the rows of the box are its coordinates.
    """
    rate = _rate_of(claim)
    size, timed = (
        _size(energy, flow, rows, constraints) if affine is None else _sliced(energy, flow, rows, constraints, affine)
    )

    def parts(point: Array) -> tuple[Array, Array]:
        return _parts(point, size, affine)

    base = _number(energy, flow)

    def number(point: Array) -> Scalar:
        t, x = parts(point)
        if claim == "positive":
            return -energy(t, x)
        # 0 * E: where the energy is undefined, so is the question, though its slopes may have values there
        return base(t, x) + (0.0 if rate is None else rate) * energy(t, x)

    bounds = tuple(_at(one, parts) for one in constraints)
    strict = claim in ("strict_decrease", "positive")
    return Question(number, bounds, strict, size + timed, timed, _words(claim, flow), affine)


def _parts(point: Array, size: int, affine: Affine | None) -> tuple[Array, Array]:
    """Time (0 where there is none) and state at a point of ``size`` coordinates and perhaps time."""
    t = point[size] if point.shape[0] > size else jnp.zeros((), point.dtype)
    x = point[:size] if point.shape[0] > size else point
    return t, x if affine is None else jnp.asarray(affine.a) + jnp.matmul(jnp.asarray(affine.b), x)


def _rate_of(claim: str | tuple[str, float]) -> float | None:
    if isinstance(claim, tuple) and len(claim) == 2 and claim[0] == "rate":
        if not np.isfinite(float(claim[1])):
            msg = f"claim={claim!r}: the rate must be finite"
            raise InputError(msg)
        return float(claim[1])
    if claim not in CLAIMS:
        msg = f"claim={claim!r}: choose one of {CLAIMS} or ('rate', r)"
        raise InputError(msg)
    return None


def _words(claim: str | tuple[str, float], flow: Any) -> str:
    if claim == "positive":
        return POSITIVE
    rate = float(claim[1]) if isinstance(claim, tuple) else None
    return falling(STEP if isinstance(flow, Map) else RATE, strict=claim == "strict_decrease", rate=rate)


def _at(constraint: Callable, parts: Callable) -> Callable[[Array], Scalar]:
    def bound(point: Array) -> Scalar:
        return jnp.asarray(constraint(*parts(point)))

    return bound


def _number(energy: EnergyFn, flow: Any) -> Callable[[Array, Array], Scalar]:
    if isinstance(flow, Map):
        return lambda t, x: energy(t, flow(x)) - energy(t, x)
    rate = generator(energy, flow)
    return lambda t, x: rate(t, x, None).total


def _size(energy: EnergyFn, flow: Any, rows: int | None, constraints: Sequence[Callable]) -> tuple[int, bool]:
    """Entries of the state, and whether time is a row of the box."""
    if rows is None:
        msg = "box=None: give box=, one row (lo, hi) for each coordinate of the state (infinite ends are allowed)"
        raise InputError(msg)
    errors = []
    for size, timed in ((rows, False), (rows - 1, True)):
        if size < 1:
            continue
        try:
            reads = reads_time(energy, flow, constraints, size)
        except (TypeError, ValueError, IndexError) as error:  # JAX on a shape that does not fit
            errors.append(f"{size}: {str(error).splitlines()[0] if str(error) else type(error).__name__}")
            continue
        if timed or not reads:
            return size, timed
        errors.append(f"{size}: time is read and the box has no row for it")
    msg = f"box has {rows} rows, which fit neither a state nor a state and time ({'; '.join(errors)})"
    raise InputError(msg)


def _sliced(
    energy: EnergyFn, flow: Any, rows: int | None, constraints: Sequence[Callable], affine: Affine
) -> tuple[int, bool]:
    """Coordinates of the slice, and whether time is a row of the box."""
    try:
        reads = reads_time(energy, flow, constraints, len(affine.a))
    except (TypeError, ValueError, IndexError) as error:
        why = str(error).splitlines()[0] if str(error) else type(error).__name__
        msg = f"affine: states of {len(affine.a)} entries do not fit the energy and the flow: {why}"
        raise InputError(msg) from error
    width = affine.width
    if rows not in ((width + 1,) if reads else (width, width + 1)):
        need = f"{width + 1}, the last for time" if reads else f"{width}"
        msg = f"box has {rows} rows: a slice of {width} dimensions needs {need}"
        raise InputError(msg)
    return width, rows == width + 1


def reads_time(energy: EnergyFn, flow: Any, constraints: Sequence[Callable], size: int) -> bool:
    """Whether anything mentions ``t``; raises where a state of this size is not accepted."""
    x, t = jax.ShapeDtypeStruct((size,), jnp.float64), jax.ShapeDtypeStruct((), jnp.float64)
    if isinstance(flow, Map):
        moved = jax.eval_shape(flow, x)
        readers: list[Callable] = [energy, *constraints]
    else:
        dynamics = dynamics_of(flow)
        moved = jax.eval_shape(lambda t, x: dynamics.drift(t, x, None), t, x)
        readers = [lambda t, x: dynamics.drift(t, x, None), lambda t, x: _noise(dynamics, t, x), energy, *constraints]
    if moved.shape != (size,):
        msg = f"the flow gives shape {moved.shape}"
        raise ValueError(msg)
    return any(_mentions(jax.make_jaxpr(reader)(t, x)) for reader in readers)


def _noise(dynamics: Any, t: Array, x: Array) -> Array:
    noise = dynamics.diffusion(t, x, None)
    return jnp.zeros(()) if noise is None else noise.as_matrix()


def _mentions(closed: Any) -> bool:
    first = closed.jaxpr.invars[0]
    used = [atom for equation in closed.jaxpr.eqns for atom in equation.invars]
    return any(atom is first for atom in (*used, *closed.jaxpr.outvars))
