r"""The energy of guidance: what ``m_g`` is the retrieval of, and what guidance does to the guarantee.

For laws ``V = -s^2 log Z`` has ``grad V = y - m``, so that for ``m_g = m_u + w (m_c - m_u)``

    V_g = V_u + w (V_c - V_u),    grad V_g = y - m_g,
    dV_g/dlam = -|y - m_g|^2 - 2 s^2 ((1 - w) KL_u + w KL_c)

along the guided probability flow. For ``0 <= w <= 1`` it falls for all data. For every ``w > 1`` it rises where the
conditional posterior has nothing left to narrow down and the unconditional one has: at a single pattern asked for.
As ``KL <= log 1/min u``, adding ``b s^2`` with ``b >= (w - 1) log 1/min u_u`` (finite patterns; ``|w| log 1/min u_c``
for ``w < 0``) restores the descent; ``b s^2`` falls to 0 and leaves the gradient.

With a classifier ``V_g = V - w s^2 log p(c | y, s)``; by Bayes' rule this is the same with ``b = w log 1/P(c)``.
"""

from functools import partial

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, Scalar

from .._errors import InputError
from .._types import Clock, Time
from .._validate import require_positive
from ..energies import AbstractEnergy
from ._guidance import AbstractGuidance
from ._law import AbstractLaw
from ._path import DiffusionPath, require_clock
from ._point import Point


class GuidedEnergy(AbstractEnergy):
    """``V_g + gauge s^2``, evaluated at ``y`` on either clock; no claim where ``alpha = 0``.

    Arguments:
        path: a path whose denoiser is `ClassifierFreeGuidance` or `ClassifierGuidance` of laws.
        gauge: ``b``, non-negative.
        clock: "lam" (time ``-log s``, state ``y``) or "tau" (time ``1 - t``, state ``x``).
    """

    path: DiffusionPath
    gauge: Float[Array, ""] = eqx.field(default=0.0, converter=partial(jnp.asarray, dtype=float))
    clock: Clock = eqx.field(default="lam", static=True)

    def __check_init__(self) -> None:
        require_clock(self.clock)
        require_positive("gauge", self.gauge, zero=True, scalar=True)
        guide = self.path.law
        parts = guide.parts() if isinstance(guide, AbstractGuidance) else (guide,)
        if not isinstance(guide, AbstractGuidance) or not all(isinstance(part, AbstractLaw) for part in parts):
            names = ", ".join(type(part).__name__ for part in parts)
            msg = (
                f"path.law={type(guide).__name__} of {names}: need ClassifierFreeGuidance or ClassifierGuidance of "
                "laws (dm.Empirical, dm.GaussianMixture); other denoisers have no energy"
            )
            raise InputError(msg)

    def __call__(self, t: Time, x: Float[Array, " D"]) -> Scalar:
        """``s^2 (Q - A_g + b)`` at time ``t`` and state ``x`` (D,), ``Q = |y|^2/(2 s^2)``."""
        point, partition, _ = self._parts(t, x)
        return (point.half_square - partition + self.gauge.astype(x.dtype)) / point.kappa

    def magnitude(self, t: Time, x: Float[Array, " D"]) -> Scalar:
        """Sum of the absolute values of the terms added."""
        point, _, size = self._parts(t, x)
        return (point.half_square + size + self.gauge.astype(x.dtype)) / point.kappa

    def _parts(self, t: Time, x: Float[Array, " D"]) -> tuple[Point, Scalar, Scalar]:
        point, guide = self.path.locate(self.clock, t, x), self.path.law
        assert isinstance(guide, AbstractGuidance)
        return point, *guide.log_partition(point)
