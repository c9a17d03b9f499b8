r"""Lagrangians of normalised activations (Krotov 2021, arXiv 2107.06446; Hoover et al. 2023, arXiv 2302.07253).

Spherical norm: ``L = gamma r``, ``r = sqrt(|x|^2 + eps)``, ``g = gamma x/r``,

    Hess L = gamma/r (I - x x^T/r^2),        v.(Hess L) v = gamma/r^3 (eps |v|^2 + |x|^2 |v|^2 - (x.v)^2) >= 0.

Layer norm: ``L = D gamma S + delta.x``, ``S = sqrt(|x_c|^2/D + eps)`` with ``x_c = x - mean(x)``, ``g = gamma x_c/S +
delta``, so the spherical norm of ``x_c`` with ``sqrt(D) gamma`` and ``D eps``. Its gain is one number: with a vector
there is no Lagrangian. Both are convex if and only if ``gamma >= 0``.
"""

from functools import partial

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, Scalar

from .._errors import InputError
from .._validate import concrete, floats, require_finite, require_positive
from ._lagrangian import AbstractLagrangian


class SphericalNorm(AbstractLagrangian):
    """``L = gamma sum sqrt(|x|^2 + eps)`` over vectors along the last axis; the activation is ``gamma x/|x|``.

    Arguments:
        gamma: gain, one non-negative number.
        eps: positive, small against ``|x|^2``; the larger it is, the softer the norm.
        nonconvex: allow a negative gain; the energy then rises.
    """

    gamma: Float[Array, ""] = eqx.field(default=1.0, converter=partial(floats, "gamma"))
    eps: Float[Array, ""] = eqx.field(default=1e-5, converter=jnp.asarray)
    nonconvex: bool = eqx.field(default=False, static=True)

    def __check_init__(self) -> None:
        _require_gain(self.gamma, self.eps, self.nonconvex)

    def __call__(self, x: Float[Array, "..."]) -> Scalar:
        """``gamma sum r``."""
        return self.gamma.astype(x.dtype) * jnp.sum(_radius(x, self.eps))

    def g(self, x: Float[Array, "..."]) -> Float[Array, "..."]:
        """``gamma x/r``."""
        return self.gamma.astype(x.dtype) * x / _radius(x, self.eps)

    def solve(self, x: Float[Array, "..."], v: Float[Array, "..."]) -> Float[Array, "..."]:
        """``r/gamma (I + x x^T/eps) v``, the inverse."""
        return _unbent(_radius(x, self.eps), self.gamma, self.eps, x, v)

    def size(self, x: Float[Array, "..."]) -> Scalar:
        """``|gamma| sum r``."""
        return jnp.abs(self.gamma).astype(x.dtype) * jnp.sum(_radius(x, self.eps))


class LayerNorm(AbstractLagrangian):
    """``L = sum D gamma S + delta.x`` over vectors of D entries along the last axis.

    The activation is that of layer normalisation, ``gamma (x - mean)/sqrt(variance + eps) + delta``.

    Arguments:
        gamma: gain, one non-negative number.
        delta: shift, one number or shape (D,).
        eps: positive, added to the variance.
        nonconvex: allow a negative gain; the energy then rises.
    """

    gamma: Float[Array, ""] = eqx.field(default=1.0, converter=partial(floats, "gamma"))
    delta: Float[Array, "..."] = eqx.field(default=0.0, converter=partial(floats, "delta"))
    eps: Float[Array, ""] = eqx.field(default=1e-5, converter=jnp.asarray)
    nonconvex: bool = eqx.field(default=False, static=True)

    def __check_init__(self) -> None:
        _require_gain(self.gamma, self.eps, self.nonconvex)
        require_finite("delta", jnp.atleast_1d(self.delta))

    def __call__(self, x: Float[Array, "..."]) -> Scalar:
        """``D gamma sum S + sum delta.x``."""
        return self._scale(x) * jnp.sum(_deviation(_centred(x), self.eps)) + jnp.sum(self._shift(x) * x)

    def g(self, x: Float[Array, "..."]) -> Float[Array, "..."]:
        """``gamma x_c/S + delta``."""
        centred = _centred(x)
        return self.gamma.astype(x.dtype) * centred / _deviation(centred, self.eps) + self._shift(x)

    def solve(self, x: Float[Array, "..."], v: Float[Array, "..."]) -> Float[Array, "..."]:
        """``S/gamma (I + x_c x_c^T/(D eps)) v``, the inverse on vectors whose entries sum to 0."""
        centred = _centred(x)
        return _unbent(_deviation(centred, self.eps), self.gamma, x.shape[-1] * self.eps, centred, v)

    def size(self, x: Float[Array, "..."]) -> Scalar:
        """``D |gamma| sum S + sum |delta|.|x|``."""
        norm = jnp.abs(self._scale(x)) * jnp.sum(_deviation(_centred(x), self.eps))
        return norm + jnp.sum(jnp.abs(self._shift(x) * x))

    def _scale(self, x: Float[Array, "..."]) -> Scalar:
        """``D gamma``."""
        return x.shape[-1] * self.gamma.astype(x.dtype)

    def _shift(self, x: Float[Array, "..."]) -> Float[Array, "..."]:
        if self.delta.shape not in ((), x.shape[-1:]):
            msg = f"delta.shape={self.delta.shape!r}: need one number or {x.shape[-1:]!r}, as the layer's last axis"
            raise InputError(msg)
        return jnp.broadcast_to(self.delta.astype(x.dtype), x.shape)


def _centred(x: Float[Array, "..."]) -> Float[Array, "..."]:
    return x - jnp.mean(x, axis=-1, keepdims=True)


def _radius(x: Float[Array, "..."], eps: Scalar) -> Float[Array, "..."]:
    """``sqrt(|x|^2 + eps)`` along the last axis, which is kept."""
    return jnp.sqrt(jnp.sum(x * x, axis=-1, keepdims=True) + eps.astype(x.dtype))


def _deviation(centred: Float[Array, "..."], eps: Scalar) -> Float[Array, "..."]:
    """``S = sqrt(variance + eps)`` along the last axis, which is kept."""
    return jnp.sqrt(jnp.mean(centred * centred, axis=-1, keepdims=True) + eps.astype(centred.dtype))


def _unbent(
    norm: Float[Array, "..."], gain: Scalar, eps: Scalar, x: Float[Array, "..."], v: Float[Array, "..."]
) -> Float[Array, "..."]:
    """``norm/gain (v + x (x.v)/eps)``, 0 where the gain is."""
    gain, flat = gain.astype(x.dtype), gain == 0
    along = jnp.sum(x * v, axis=-1, keepdims=True) / eps.astype(x.dtype)
    scale = norm / jnp.where(flat, jnp.ones_like(gain), gain)
    return jnp.where(flat, jnp.zeros_like(v), scale * (v + x * along))


def _require_gain(gamma: Float[Array, "..."], eps: Float[Array, "..."], nonconvex: bool) -> None:
    require_positive("eps", eps, scalar=True)
    if jnp.shape(gamma) != ():
        msg = f"gamma.shape={jnp.shape(gamma)!r}: need one number; with a gain for each unit there is no Lagrangian"
        raise InputError(msg)
    require_finite("gamma", jnp.atleast_1d(gamma))
    known = concrete(gamma)
    if known is not None and known < 0 and not nonconvex:
        msg = (
            f"gamma={known!s}: a negative gain makes the Lagrangian concave and the energy rise; "
            "give a non-negative one, or nonconvex=True to see it rise"
        )
        raise InputError(msg)
