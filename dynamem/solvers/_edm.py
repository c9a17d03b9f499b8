r"""EDM's Heun sampler (Karras et al. 2022, arXiv 2206.00364, algorithms 1 and 2) on the clock ``lam``.

In ``y = x/alpha``, a step first raises the noise from s to ``s^ = (1 + gamma) s`` and then falls to ``s+`` by Heun's
rule in s for ``dy/ds = (y - m)/s``: with ``rho = s+/s^``,

    y^ = y + S_noise sqrt(s^^2 - s^2) z,     y' = y^ + (1 - rho)(m^ - y^),
    y+ = y^ + (1 - rho)/2 ((m^ - y^) + (m' - y')/rho),

``gamma = min(S_churn/N, sqrt 2 - 1)`` for N steps where ``S_min <= s <= S_max``, else 0. The paper's last step, to
``s+ = 0``, is Euler's and lands on ``m``: it is the caller's end, as ``lam`` is infinite there.

Without noise no step with ``rho >= (sqrt 2 - 1)/2`` raises the free energy, and at every smaller rho one can (D13).
Churn raises ``V + D s^2/2`` in mean: it adds noise without lowering s.
"""

from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, Scalar

from .._errors import InputError
from .._types import Time
from .._validate import concrete, require_positive
from ._sampler import AbstractSampler, Sight


def _count(steps: Any) -> Array | None:
    return None if steps is None else jnp.asarray(steps, float)


class EDMHeun(AbstractSampler):
    """EDM's Heun for `ProbabilityFlow`, or with churn for `ReverseSDE` with churn 1, on clock "lam".

    See `AbstractSampler`.

    Arguments:
        S_churn: how much noise is added over the whole run, non-negative; 0 is the deterministic algorithm 1.
        S_min: least noise level s at which it is.
        S_max: largest one.
        S_noise: scale of the noise that is added.
        steps: N of the grid, over which the churn is spread.
    """

    S_churn: Float[Array, ""] = eqx.field(default=0.0, converter=jnp.asarray)
    S_min: Float[Array, ""] = eqx.field(default=0.0, converter=jnp.asarray)
    S_max: Float[Array, ""] = eqx.field(default=jnp.inf, converter=jnp.asarray)
    S_noise: Float[Array, ""] = eqx.field(default=1.0, converter=jnp.asarray)
    steps: Float[Array, ""] | None = eqx.field(default=None, converter=_count)

    def __check_init__(self) -> None:
        for name in ("S_churn", "S_min", "S_noise"):
            require_positive(name, getattr(self, name), zero=True, scalar=True)
        most = concrete(self.S_max)
        if jnp.shape(self.S_max) != () or (most is not None and not most >= 0):
            msg = f"S_max={self.S_max!s}: need one number, the largest noise level with churn; infinity for no limit"
            raise InputError(msg)
        known = concrete(self.S_churn)
        if self.steps is None and known is not None and known > 0:
            msg = f"S_churn={self.S_churn!s}, steps=None: say over how many steps the churn is spread"
            raise InputError(msg)
        if self.steps is not None:
            require_positive("steps", self.steps, scalar=True)

    def order(self, terms: Any) -> int:
        """Second order where there is no churn."""
        del terms
        return 2

    def churn(self, *, noisy: bool) -> float:
        """One for terms with noise, zero for the probability flow."""
        return 1.0 if noisy else 0.0

    def start(self, t0: Time, y0: Float[Array, " D"]) -> None:
        """Nothing."""
        del t0, y0

    def move(self, sight: Sight, y0: Float[Array, " D"], memory: None) -> tuple[Float[Array, " D"], None]:
        """Raise the noise, then Heun's rule in s."""
        rise, hat, y_hat = self._raised(sight, y0)
        fall = jnp.expm1(-(sight.h + rise))
        pull = sight.pull(hat, y_hat)
        later = sight.pull(sight.t1, y_hat - fall * pull)
        return y_hat - 0.5 * fall * (pull + jnp.exp(sight.h + rise) * later), None

    def _raised(self, sight: Sight, y0: Float[Array, " D"]) -> tuple[Scalar, Scalar, Float[Array, " D"]]:
        """``log(1 + gamma)``, the ``lam`` of ``s^``, and ``y^``."""
        lam = jnp.asarray(sight.t0, y0.dtype)
        if concrete(self.S_churn) == 0:
            return jnp.zeros_like(lam), lam, y0
        s = jnp.exp(-lam)
        rate = (self.S_churn / (jnp.nan if self.steps is None else self.steps)).astype(s.dtype)
        rate = jnp.where(self.S_churn > 0, rate, 0)
        inside = (self.S_min.astype(s.dtype) <= s) & (s <= self.S_max.astype(s.dtype))
        gamma = jnp.where(inside, jnp.minimum(rate, jnp.asarray(2**0.5 - 1, s.dtype)), 0)
        rise = jnp.log1p(gamma)
        if sight.control is None:
            return rise, lam, jnp.where(_still(gamma), y0, jnp.asarray(jnp.nan, y0.dtype))
        size = self.S_noise.astype(s.dtype) * s * jnp.sqrt(gamma * (2 + gamma))
        return rise, lam - rise, y0 + size * sight.normal()


def _still(gamma: Scalar) -> Array:
    """Whether there is no churn; raise where it is known that there is some and terms have no noise."""
    known = concrete(gamma)
    if known is not None and known > 0:
        msg = f"gamma={known!s}: churn needs noise, step ReverseSDE(path, churn=1) or leave S_churn=0"
        raise InputError(msg)
    return gamma == 0
