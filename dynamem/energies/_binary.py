r"""Hopfield's binary network (Hopfield 1982, PNAS 79:2554), and the energy of its synchronous updates.

    E(x) = -x.W x/2 - b.x,      x_i <- sign h_i,   h = W x + b,

where a unit without field (``h_i = 0``) stays as it is. One unit at a time, with ``W`` symmetric and ``W_ii >= 0``,

    E(x') - E(x) = -(x'_i - x_i) h_i - W_ii (x'_i - x_i)^2/2 <= 0      from every state with |x_i| <= 1.

All units at once E may rise (``W = [[0, -1], [-1, 0]]`` swaps the states (1, 1) and (-1, -1) for ever). What falls, for
a symmetric ``W`` with any diagonal, is the two-step energy (Goles & Olivos 1981)

    G_k = -x_{k+1}.W x_k - b.(x_k + x_{k+1}),      G_k - G_{k-1} = -(x_{k+1} - x_{k-1}).h(x_k) <= 0,

so that the states end in a fixed point or a cycle of two. Since ``x_{k+1}.h = sum_i |h_i|``, it is a function of one
state, ``G(x) = -sum_i |h_i(x)| - b.x``.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Scalar, Shaped

from .._errors import InputError
from .._types import Given, Time
from .._validate import concrete, floats, require_finite, require_state, require_symmetric
from ._base import AbstractEnergy


class Cycle(eqx.Module):
    """Where synchronous updates ended.

    Attributes:
        x: a state of the cycle, shape (D,).
        following: its update, shape (D,): the other state of a cycle of two.
        period: 1 (fixed point), 2, or 0 if neither was met within the steps allowed.
        steps: updates made before ``x``.
    """

    x: Float[Array, " D"]
    following: Float[Array, " D"]
    period: Int[Array, ""]
    steps: Int[Array, ""]


class BinaryHopfield(AbstractEnergy):
    """``E = -x.W x/2 - b.x`` on states of +1 and -1, with both of Hopfield's updates.

    Arguments:
        W: couplings, shape (D, D), from `hebb`, `pseudo_inverse` or `storkey` for instance.
        bias: ``b``, shape (D,), zero if not given.
        symmetric: False lets an asymmetric ``W`` in, for which nothing is guaranteed.

    Raises:
        InputError: a ``W`` that is not square, finite, or symmetric.
    """

    W: Float[Array, "D D"]
    bias: Float[Array, " D"]

    def __init__(
        self, W: Shaped[Given, "D D"], bias: Shaped[Given, " D"] | None = None, *, symmetric: bool = True
    ) -> None:
        self.W = floats("W", W)
        self.bias = jnp.zeros(self.W.shape[:1], self.W.dtype) if bias is None else floats("bias", bias)
        if self.W.ndim != 2 or self.W.shape != 2 * self.bias.shape:
            msg = f"W.shape={self.W.shape!r} and bias.shape={self.bias.shape!r}: need (D, D) and (D,)"
            raise InputError(msg)
        if symmetric:
            require_symmetric("W", self.W, "take (W + W.T)/2, or pass symmetric=False to do without the guarantee")

    def __check_init__(self) -> None:
        require_finite("W", self.W)
        require_finite("bias", self.bias)

    def __call__(self, t: Time, x: Float[Array, " D"]) -> Scalar:
        """``-x.W x/2 - b.x``."""
        require_state(x, "W", self.W)
        return -0.5 * (x @ (self.W @ x)) - self.bias @ x

    def magnitude(self, t: Time, x: Float[Array, " D"]) -> Scalar:
        """``|x|.|W||x|/2 + |b|.|x|``, absolute values entry by entry."""
        size = jnp.abs(x)
        return 0.5 * (size @ (jnp.abs(self.W) @ size)) + jnp.abs(self.bias) @ size

    def field(self, x: Float[Array, " D"]) -> Float[Array, " D"]:
        """``h = W x + b``, shape (D,)."""
        require_state(x, "W", self.W)
        return self.W @ x + self.bias

    def asynchronous(self, x: Float[Array, " D"], order: Int[Array, " K"] | None = None) -> Float[Array, " D"]:
        """One unit after the other takes the sign of its field: E never rises.

        Arguments:
            x: state, shape (D,), entries in [-1, 1] (0: not known).
            order: the units to update, in turn, shape (K,); all of them once if not given.

        Raises:
            InputError: a negative ``W_ii``, for which E may rise; a unit or an entry out of range.
        """
        require_state(x, "W", self.W)
        _require_cube(x)
        diagonal = concrete(jnp.diagonal(self.W))
        if diagonal is not None and diagonal.min() < 0:
            i = int(np.argmin(diagonal))
            msg = f"W[{i}, {i}]={diagonal[i]!s}: E falls unit by unit for W_ii >= 0 only; set the diagonal to zero"
            raise InputError(msg)
        order = jnp.arange(x.shape[0]) if order is None else order
        units = concrete(order)
        if units is not None and not np.all((units >= 0) & (units < x.shape[0])):
            msg = f"order={units!r:.60}: need units from 0 to {x.shape[0] - 1}"
            raise InputError(msg)

        def flip(state: Float[Array, " D"], i: Int[Array, ""]) -> tuple[Float[Array, " D"], None]:
            return state.at[i].set(_sign(self.W[i] @ state + self.bias[i], state[i])), None

        return jax.lax.scan(flip, x, order)[0]

    def synchronous(self, x: Float[Array, " D"]) -> Float[Array, " D"]:
        """All units take the sign of their fields at once: `GolesEnergy` never rises, E may."""
        _require_cube(x)
        return _sign(self.field(x), x)

    def cycle(self, x: Float[Array, " D"], max_steps: int = 10_000) -> Cycle:
        """Synchronous updates until a fixed point or a cycle of two is met, which a symmetric ``W`` makes certain."""

        def turning(states: tuple[Array, Array, Array, Array]) -> Bool[Array, ""]:
            before, now, after, steps = states
            return (steps < max_steps) & jnp.any(now != before) & jnp.any(after != before)

        def step(states: tuple[Array, Array, Array, Array]) -> tuple[Array, Array, Array, Array]:
            _, now, after, steps = states
            return now, after, self.synchronous(after), steps + 1

        first = self.synchronous(x)
        start = (x, first, self.synchronous(first), jnp.asarray(0))
        before, now, after, steps = jax.lax.while_loop(turning, step, start)
        period = jnp.where(jnp.all(now == before), 1, jnp.where(jnp.all(after == before), 2, 0))
        return Cycle(before, now, period, steps)


class GolesEnergy(AbstractEnergy):
    """The two-step energy ``G(x) = -x'.W x - b.(x + x') = -sum_i |h_i| - b.x`` with ``x'`` the synchronous update.

    It never rises under ``BinaryHopfield.synchronous`` from a state with entries in [-1, 1], if ``W`` is symmetric.

    Arguments:
        memory: the network.
    """

    memory: BinaryHopfield

    def __call__(self, t: Time, x: Float[Array, " D"]) -> Scalar:
        """``-sum_i |h_i| - b.x``."""
        return -jnp.sum(jnp.abs(self.memory.field(x))) - self.memory.bias @ x

    def magnitude(self, t: Time, x: Float[Array, " D"]) -> Scalar:
        """Sum of ``|W_ij||x_j|``, ``|b_i|`` and ``|b_i x_i|``."""
        size, bias = jnp.abs(x), jnp.abs(self.memory.bias)
        return jnp.sum(jnp.abs(self.memory.W) @ size + bias) + bias @ size


def _sign(h: Float[Array, "..."], x: Float[Array, "..."]) -> Float[Array, "..."]:
    """The sign of the field, or what was there where there is none."""
    return jnp.where(h == 0, x, jnp.sign(h))


def _require_cube(x: Float[Array, " D"]) -> None:
    known = concrete(x)
    if known is not None and not np.all(np.abs(known) <= 1):
        msg = f"state holds {known[~(np.abs(known) <= 1)][0]!s}: binary units are +1 or -1 (0 where not known)"
        raise InputError(msg)
