r"""The Lagrangian of softmax, ``L(x) = log sum_i exp(beta x_i) / beta``, with Hessian ``beta (diag p - p p^T)``."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Scalar

from .._validate import require_positive
from ._lagrangian import AbstractLagrangian


class Softmax(AbstractLagrangian):
    """``L = sum LSE(beta x)/beta`` over the last axis; the activation is ``p = softmax(beta x)``.

    Source: Krotov & Hopfield 2021, arXiv 2008.06996, model B.

    Arguments:
        beta: inverse temperature, positive.
    """

    beta: Float[Array, ""] = eqx.field(default=1.0, converter=jnp.asarray)

    def __check_init__(self) -> None:
        require_positive("beta", self.beta, scalar=True)

    def __call__(self, x: Float[Array, "..."]) -> Scalar:
        """``LSE(beta x)/beta``, summed over all but the last axis."""
        beta = self.beta.astype(x.dtype)
        return jnp.sum(jax.nn.logsumexp(beta * x, axis=-1)) / beta

    def g(self, x: Float[Array, "..."]) -> Float[Array, "..."]:
        """``softmax(beta x)``."""
        return jax.nn.softmax(self.beta.astype(x.dtype) * x, axis=-1)

    def solve(self, x: Float[Array, "..."], v: Float[Array, "..."]) -> Float[Array, "..."]:
        """``v/(beta p)``: what ``p p^T`` adds to it is a multiple of ``sum v = 0``."""
        p = self.g(x)
        gone = p == 0
        scale = self.beta.astype(x.dtype) * jnp.where(gone, jnp.ones_like(p), p)
        return jnp.where(gone, jnp.zeros_like(v), v / scale)

    def size(self, x: Float[Array, "..."]) -> Scalar:
        """The largest ``|x|`` and ``log K / beta``, summed like ``L``."""
        beta = self.beta.astype(x.dtype)
        count = jnp.log(jnp.asarray(x.shape[-1] + 1.0, x.dtype))
        return jnp.sum(jnp.max(jnp.abs(x), axis=-1) + count / beta)
