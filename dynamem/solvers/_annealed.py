r"""Annealed Langevin dynamics (Song & Ermon 2019, arXiv 1907.05600, algorithm 1) on the clock ``lam``.

At each noise level T steps of Langevin dynamics for the density of ``y = x/alpha`` there, whose score is ``(m -
y)/s^2``; the paper's step ``epsilon s_i^2/s_L^2 = delta s_i^2`` keeps its ratio to the noise:

    y <- y + delta/2 (m - y) + s+ sqrt(delta) z,     z ~ N(0, I),     T times at the level ``s+`` of the step's end.

A step of this solver is one level. It is no step of a flow: the noise is not taken away but only walked off, and it
raises ``V + D s^2/2`` in mean wherever a corrector does.
"""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from .._errors import InputError
from .._types import Time
from .._validate import require_positive
from ._sampler import AbstractSampler, Sight


class AnnealedLangevin(AbstractSampler):
    """Annealed Langevin dynamics with the drift of `ReverseSDE` with churn 1 on clock "lam"; see `AbstractSampler`.

    Arguments:
        delta: step over ``s^2``, positive; the paper's ``epsilon/s_L^2``, 0.2 for its images.
        repeats: T, steps at each level; 100 in the paper.
    """

    delta: Float[Array, ""] = eqx.field(default=0.2, converter=jnp.asarray)
    repeats: int = eqx.field(default=100, static=True)

    def __check_init__(self) -> None:
        require_positive("delta", self.delta, scalar=True)
        if self.repeats < 1:
            msg = f"repeats={self.repeats!r}: take at least one step at each level"
            raise InputError(msg)

    def order(self, terms: Any) -> int:
        """None: it approximates the density of each level, not a flow."""
        del terms
        return 0

    def churn(self, *, noisy: bool) -> float:
        """One."""
        del noisy
        return 1.0

    def start(self, t0: Time, y0: Float[Array, " D"]) -> None:
        """Nothing."""
        del t0, y0

    def move(self, sight: Sight, y0: Float[Array, " D"], memory: None) -> tuple[Float[Array, " D"], None]:
        """T steps at the level of the step's end."""
        delta, s1 = self.delta.astype(y0.dtype), jnp.exp(-jnp.asarray(sight.t1, y0.dtype))

        def walk(y: Float[Array, " D"], k: Array) -> tuple[Float[Array, " D"], None]:
            z = sight.normal(k.astype(sight.h.dtype), self.repeats)
            return y + delta / 2 * sight.pull(sight.t1, y) + s1 * jnp.sqrt(delta) * z, None

        return jax.lax.scan(walk, y0, jnp.arange(self.repeats))[0], None
