r"""A layer of units: the shape of its array, its Lagrangian, its bias and its time constant."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Scalar

from .._errors import InputError
from .._types import Given
from .._validate import floats, require_finite, require_positive
from ._elementwise import NAMES, Elementwise
from ._lagrangian import AbstractLagrangian, Lagrangian, require_convex
from ._norms import LayerNorm, SphericalNorm
from ._softmax import Softmax


COUPLED = {"softmax": Softmax, "spherical_norm": SphericalNorm, "layer_norm": LayerNorm}


class Layer(eqx.Module):
    """Units of one kind: state ``x`` and activation ``g = dL/dx`` are arrays of one shape.

    Arguments:
        shape: shape of the layer's array, a whole number for a vector.
        lagrangian: a Lagrangian, the name of one ("identity", "relu", "tanh", "sigmoid", "exp", "softmax",
            "spherical_norm", "layer_norm"), or a convex scalar function ``L`` of the layer's array, which is
            searched for negative curvature.
        bias: ``b``, of the layer's shape; zero if not given.
        tau: time constant, one positive number.
    """

    shape: tuple[int, ...] = eqx.field(static=True)
    lagrangian: AbstractLagrangian
    bias: Float[Array, "..."]
    tau: Float[Array, ""]

    def __init__(
        self,
        shape: int | Sequence[int],
        lagrangian: AbstractLagrangian | str | Callable = "identity",
        bias: Given | None = None,
        tau: Any = 1.0,
    ) -> None:
        self.shape = (shape,) if isinstance(shape, int) else tuple(shape)
        self.lagrangian = _as_lagrangian(lagrangian)
        self.bias = jnp.zeros(self.shape) if bias is None else floats("bias", bias)
        self.tau = floats("tau", float(tau) if isinstance(tau, int) else tau)

    def __check_init__(self) -> None:
        if not all(isinstance(size, int) and size > 0 for size in self.shape):
            msg = f"shape={self.shape!r}: need positive whole numbers"
            raise InputError(msg)
        if self.bias.shape != self.shape:
            msg = f"bias.shape={self.bias.shape!r}: need the layer's shape, {self.shape!r}"
            raise InputError(msg)
        require_finite("bias", jnp.atleast_1d(self.bias))
        require_positive("tau", self.tau, scalar=True)
        if isinstance(self.lagrangian, Lagrangian) and not self.lagrangian.nonconvex:
            require_convex("lagrangian", self.lagrangian, self.shape)

    @property
    def size(self) -> int:
        """Number of units."""
        return math.prod(self.shape)


def _as_lagrangian(given: AbstractLagrangian | str | Callable) -> AbstractLagrangian:
    if isinstance(given, AbstractLagrangian):
        return given
    if isinstance(given, str):
        if given in COUPLED:
            return COUPLED[given]()
        if given not in NAMES:
            msg = f"lagrangian={given!r} is unknown; choose one of {sorted([*NAMES, *COUPLED])} or pass a function"
            raise InputError(msg)
        return Elementwise(given)
    return Lagrangian(given)


class LayersLagrangian(AbstractLagrangian):
    """The sum of the layers' Lagrangians, in the flat state of all of them one after another."""

    layers: tuple[Layer, ...]

    def split(self, x: Float[Array, " D"]) -> list[Float[Array, "..."]]:
        """The layers' arrays in a flat state of shape (D,)."""
        sizes = [layer.size for layer in self.layers]
        if x.shape != (sum(sizes),):
            msg = f"state.shape={x.shape!r}: need ({sum(sizes)},), the units of all layers; jax.vmap for more states"
            raise InputError(msg)
        ends = [sum(sizes[: k + 1]) for k in range(len(sizes))]
        starts = [end - size for end, size in zip(ends, sizes, strict=True)]
        parts = (x[start:end] for start, end in zip(starts, ends, strict=True))
        return [part.reshape(layer.shape) for part, layer in zip(parts, self.layers, strict=True)]

    def join(self, arrays: Sequence[Float[Array, "..."]]) -> Float[Array, " D"]:
        """The flat state, shape (D,), of the layers' arrays."""
        for array, layer in zip(arrays, self.layers, strict=True):
            if jnp.shape(array) != layer.shape:
                msg = f"array.shape={jnp.shape(array)!r}: need the layer's shape, {layer.shape!r}"
                raise InputError(msg)
        return jnp.concatenate([jnp.reshape(array, -1) for array in arrays])

    def __call__(self, x: Float[Array, " D"]) -> Scalar:
        """``sum_a L_a(x_a)``."""
        return self._sum([layer.lagrangian(part) for layer, part in self._pairs(x)])

    def g(self, x: Float[Array, " D"]) -> Float[Array, " D"]:
        """All activations, shape (D,)."""
        return self.join([layer.lagrangian.g(part) for layer, part in self._pairs(x)])

    def solve(self, x: Float[Array, " D"], v: Float[Array, " D"]) -> Float[Array, " D"]:
        """Layer by layer."""
        pairs = zip(self._pairs(x), self.split(v), strict=True)
        return self.join([layer.lagrangian.solve(part, piece) for (layer, part), piece in pairs])

    def size(self, x: Float[Array, " D"]) -> Scalar:
        """Sum of the layers' sizes."""
        return self._sum([layer.lagrangian.size(part) for layer, part in self._pairs(x)])

    def _pairs(self, x: Float[Array, " D"]) -> list[tuple[Layer, Float[Array, "..."]]]:
        return list(zip(self.layers, self.split(x), strict=True))

    def _sum(self, parts: list[Scalar]) -> Scalar:
        return jax.tree.reduce(jnp.add, parts)
