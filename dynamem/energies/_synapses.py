r"""Synapses: an energy ``E_syn(g_a, g_b, ...)`` of the activations of the layers that it joins.

What a synapse sends to a layer is ``-dE_syn/dg``, so that its weights act both ways alike: an asymmetric coupling has
no energy. Signs are those of memories: ``E_syn = -g_a.W g_b`` is low where activations agree with the weights.
"""

import abc
from collections.abc import Callable
from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Scalar

from .._errors import InputError
from .._validate import floats, require_finite


class AbstractSynapse(eqx.Module):
    """A scalar function of the activations of the layers named in ``between``, in this order."""

    between: eqx.AbstractVar[tuple[str, ...]]

    @abc.abstractmethod
    def __call__(self, *g: Float[Array, "..."]) -> Scalar:
        """``E_syn``."""

    @abc.abstractmethod
    def magnitude(self, *g: Float[Array, "..."]) -> Scalar:
        """Sum of the absolute values of the terms added in ``E_syn``."""


class Synapse(AbstractSynapse):
    """Any scalar function of activations.

    Arguments:
        function: ``E_syn(*g)``, one array a layer.
        between: names of these layers.
    """

    function: Callable
    between: tuple[str, ...] = eqx.field(static=True, converter=tuple)

    def __call__(self, *g: Float[Array, "..."]) -> Scalar:
        """``function(*g)``."""
        return self.function(*g)

    def magnitude(self, *g: Float[Array, "..."]) -> Scalar:
        """``|E_syn| + sum |g|.|dE_syn/dg|``, the effect of rounding the activations."""
        value, slopes = jax.value_and_grad(lambda gs: self.function(*gs))(g)
        return jnp.abs(value) + sum(jnp.sum(jnp.abs(one * slope)) for one, slope in zip(g, slopes, strict=True))


class DenseSynapse(AbstractSynapse):
    """``E_syn = -sum_ij g_i W_ij g'_j`` between all units of two layers, or of one layer and itself.

    Arguments:
        W: weights, shape (units of the first layer, units of the second).
        between: the names of the two layers.
    """

    W: Float[Array, "M K"] = eqx.field(converter=partial(floats, "W"))
    between: tuple[str, ...] = eqx.field(static=True, converter=tuple)

    def __check_init__(self) -> None:
        if self.W.ndim != 2:
            msg = f"W.shape={self.W.shape!r}: need a matrix, units of one layer by units of the other"
            raise InputError(msg)
        require_finite("W", self.W)
        _require_two(self.between)

    def __call__(self, *g: Float[Array, "..."]) -> Scalar:
        """``-g.W g'``, arrays of any shape taken as vectors."""
        first, second = (one.reshape(-1) for one in g)
        return -jnp.sum(first * (self.W.astype(first.dtype) @ second))

    def magnitude(self, *g: Float[Array, "..."]) -> Scalar:
        """``|g|.|W| |g'|``."""
        first, second = (jnp.abs(one).reshape(-1) for one in g)
        return first @ (jnp.abs(self.W).astype(first.dtype) @ second)


class ConvSynapse(AbstractSynapse):
    """``E_syn = -sum g' . (kernel * g)``: a convolution from the first layer to the second, transposed on the way back.

    Arrays have their channels last, as many spatial axes before them as the kernel has.

    Arguments:
        kernel: shape (channels of the second layer, channels of the first, *window).
        between: the names of the two layers.
        strides: steps of the window, one number or one for each spatial axis.
        padding: "SAME" or "VALID".
    """

    kernel: Float[Array, "..."] = eqx.field(converter=partial(floats, "kernel"))
    between: tuple[str, ...] = eqx.field(static=True, converter=tuple)
    strides: int | tuple[int, ...] = eqx.field(default=1, static=True)
    padding: str = eqx.field(default="SAME", static=True)

    def __check_init__(self) -> None:
        if self.kernel.ndim < 3 or 0 in self.kernel.shape:
            msg = f"kernel.shape={self.kernel.shape!r}: need (channels out, channels in, *window)"
            raise InputError(msg)
        if self.padding not in ("SAME", "VALID"):
            msg = f"padding={self.padding!r}: choose 'SAME' or 'VALID'"
            raise InputError(msg)
        require_finite("kernel", self.kernel)
        _require_two(self.between)

    def __call__(self, *g: Float[Array, "..."]) -> Scalar:
        """``-sum g' . (kernel * g)``."""
        return -jnp.sum(g[1] * self._convolved(self.kernel, g[0]))

    def magnitude(self, *g: Float[Array, "..."]) -> Scalar:
        """``sum |g'| . (|kernel| * |g|)``."""
        return jnp.sum(jnp.abs(g[1]) * self._convolved(jnp.abs(self.kernel), jnp.abs(g[0])))

    def _convolved(self, kernel: Float[Array, "..."], g: Float[Array, "..."]) -> Float[Array, "..."]:
        axes = "XYZTUVW"[: kernel.ndim - 2]
        strides = (self.strides,) * len(axes) if isinstance(self.strides, int) else tuple(self.strides)
        layout = (f"N{axes}C", f"OI{axes}", f"N{axes}C")
        found = jax.lax.conv_general_dilated(
            g[None], kernel.astype(g.dtype), strides, self.padding, dimension_numbers=layout
        )
        return found[0]


def _require_two(between: tuple[str, ...]) -> None:
    if len(between) != 2:
        msg = f"between={between!r}: need the names of two layers"
        raise InputError(msg)
