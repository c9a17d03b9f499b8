r"""Predictor-corrector sampling (Song et al. 2021, arXiv 2011.13456, algorithms 2 and 4) on the clock ``lam``.

In ``y = x/alpha``, with ``rho = s+/s`` and normals z, a predictor and then corrections at the new level:

    predictor   y <- m + rho^2 (y - m) + n z,   n^2 = s+^2 (1 - rho^2) (ancestral) or s^2 - s+^2 (reverse diffusion)
    corrector   y <- y + eps g + sqrt(2 eps) z,   g = (m - y)/s+^2,   eps = 2 (snr |z|/|g|)^2.

The paper's predictor for VE is the reverse diffusion. On every schedule this is its VE form, as y is a VE process; the
norms are those of one state, where its code takes means over a batch. Where ``g = 0`` nothing is corrected. The
predictors do not raise ``V + D s^2/2`` in mean (D14); the corrector, which adds noise at a fixed level, does.
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


class PredictorCorrector(AbstractSampler):
    """Predictor-corrector sampling for `ReverseSDE` with churn 1 on clock "lam"; see `AbstractSampler`.

    Arguments:
        predictor: "reverse_diffusion" or "ancestral".
        snr: signal-to-noise ratio of a correction, non-negative; 0.16 in the paper for VE.
        corrections: how many after each prediction.
    """

    predictor: str = eqx.field(default="reverse_diffusion", static=True)
    snr: Float[Array, ""] = eqx.field(default=0.16, converter=jnp.asarray)
    corrections: int = eqx.field(default=1, static=True)

    def __check_init__(self) -> None:
        require_positive("snr", self.snr, zero=True, scalar=True)
        if self.predictor not in ("reverse_diffusion", "ancestral"):
            msg = f"predictor={self.predictor!r}: choose 'reverse_diffusion' or 'ancestral'"
            raise InputError(msg)
        if self.corrections < 0:
            msg = f"corrections={self.corrections!r}: take none or more"
            raise InputError(msg)

    def order(self, terms: Any) -> int:
        """First order where nothing is corrected."""
        del terms
        return 1

    def churn(self, *, noisy: bool) -> float:
        """One."""
        del noisy
        return 1.0

    def start(self, t0: Time, y0: Float[Array, " D"]) -> None:
        """Nothing."""
        del t0, y0

    def move(self, sight: Sight, y0: Float[Array, " D"], memory: None) -> tuple[Float[Array, " D"], None]:
        """A prediction, then the corrections."""
        parts, lost = 1 + self.corrections, -jnp.expm1(-2 * sight.h)
        s, s1 = (jnp.exp(-jnp.asarray(lam, y0.dtype)) for lam in (sight.t0, sight.t1))
        size = (s1 if self.predictor == "ancestral" else s) * jnp.sqrt(lost)
        y1 = y0 + lost * sight.pull(sight.t0, y0) + size * sight.normal(0, parts)

        def correct(y: Float[Array, " D"], k: Array) -> tuple[Float[Array, " D"], None]:
            z, slope = sight.normal(k.astype(sight.h.dtype), parts), sight.pull(sight.t1, y) / s1**2
            square = slope @ slope
            ratio = jnp.square(self.snr).astype(y.dtype) * (z @ z) / jnp.where(square > 0, square, 1)
            step = jnp.where(square > 0, 2 * ratio, 0)
            return y + step * slope + jnp.sqrt(2 * step) * z, None

        return jax.lax.scan(correct, y1, jnp.arange(1, parts))[0], None
