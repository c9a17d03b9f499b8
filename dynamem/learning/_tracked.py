r"""The free energy followed along the probability flow of any denoiser, by one more equation.

With ``m`` the posterior mean of a law, ``a = V/s^2 = -log Z`` and second-order Tweedie, ``tr C = s^2 tr dm/dy``, give

    dy/dlam = m - y,      da/dlam = tr dm/dy,      that is  dV/dlam = tr C - 2 V.

A denoiser ``m'`` that is no posterior mean transports some density ``q`` all the same: by the instantaneous change of
variables (Chen et al. 2018, arXiv 1806.07366, theorem 1) ``d log q/dlam = D - tr dm'/dy``, and what is followed is
``V = -s^2 (log q + (D/2) log 2 pi s^2)``: the free energy of the model's own law. It is that of the data's law just as
far as the model is its denoiser. Whether it falls is a question to be asked: `dm.check(flow.free_energy, flow, ...)`.

The trace costs D derivatives, or one for each random sign vector ``v`` (Hutchinson 1990): ``E v.(dm/dy) v`` is the
trace. The vectors are drawn once and kept along a run, as in Grathwohl et al. 2019 (arXiv 1810.01367), so that each of
them has an ``a`` of its own, without bias, and their spread gives the standard error.
"""

from typing import Literal, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, Float, PRNGKeyArray, PyTree, Scalar

from .._errors import InputError
from .._types import Time
from ..diffusion import AbstractLaw, DiffusionPath
from ..flows import AbstractODEFlow


UNCOVERED = 0.01
"""Largest ``D (tr J/D)^2`` at which a denoiser may start, in nats of doubt about its first density."""


class Track(NamedTuple):
    """``y`` (D,), the free energy ``V`` and its standard error, 0 where the trace is exact."""

    y: Float[Array, " D"]
    free_energy: Scalar
    error: Scalar


class Tracked(AbstractODEFlow):
    """The probability flow on the clock "lam" with the free energy of what it transports.

    A state is ``y`` (D,) followed by ``a = V/s^2``, once for the exact trace and once for each probe: `start` makes
    it, `read` reads it.

    Arguments:
        path: schedule and law, or a denoiser in its place.
        trace: "exact", or "hutchinson" for random probes.
        probes: number of probes, at least 2, which a standard error needs; for the exact trace it has no meaning.
        key: JAX key of the probes, needed for them.

    Raises:
        InputError: another trace, too few probes, or no key for them.
    """

    path: DiffusionPath
    trace: Literal["exact", "hutchinson"] = eqx.field(default="exact", static=True)
    probes: int = eqx.field(default=16, static=True)
    key: PRNGKeyArray | None = None

    def __check_init__(self) -> None:
        if self.trace not in ("exact", "hutchinson"):
            msg = f"trace={self.trace!r}: choose 'exact' or 'hutchinson'"
            raise InputError(msg)
        if self.trace == "hutchinson" and (self.key is None or self.probes < 2):
            msg = f"probes={self.probes!r}, key={self.key!r}: random probes need a key, and at least 2 a standard error"
            raise InputError(msg)

    def start(self, lam: Time, y: Float[Array, " D"]) -> Float[Array, " n"]:
        """The state at ``y`` (D,) and ``lam``, of D + 1 or D + probes numbers.

        With a law ``a`` is exact there. A denoiser has to begin where the noise covers the data, and ``a`` is that of
        the Gaussian whose posterior mean has its ``u = y - m`` and ``J = dm/dy``, ``u.(1 - J)^-1 u/(2 s^2) - log
        det(1 - J)/2``, to first order in ``J - r``, ``r = tr J/D``: wrong by ``O(D (variance/s^2)^2)``. Where ``D r^2``
        is above 0.01 the noise does not cover the data, and ``a`` is NaN.
        """
        point = self.path.locate("lam", lam, y)
        if isinstance(self.path.law, AbstractLaw):
            action = point.half_square - self.path.tilt(point).log_partition
            return jnp.concatenate([y, jnp.broadcast_to(action[None], (self._count,))])
        r = self._traces(lam, y) / y.shape[0]
        mean, bent = jax.jvp(lambda at: self._mean(lam, at), (y,), (y - self._mean(lam, y),))
        u = y - mean
        square = u @ u + (u @ bent - r * (u @ u)) / (1 - r)
        action = 0.5 * point.kappa * square / (1 - r) - 0.5 * y.shape[0] * jnp.log1p(-r)
        covered = y.shape[0] * jnp.square(jnp.mean(r)) <= UNCOVERED
        return jnp.concatenate([y, jnp.where(covered, action, jnp.nan)])

    def read(self, lam: Time, x: Float[Array, " n"]) -> Track:
        """``y``, ``V`` and its standard error in a state at ``lam``."""
        y, actions = x[: -self._count], x[-self._count :]
        heat = jnp.exp(-2 * jnp.asarray(lam, x.dtype))
        spread = jnp.zeros_like(heat) if self._count == 1 else jnp.std(actions, ddof=1) / self._count**0.5
        return Track(y, heat * jnp.mean(actions), heat * spread)

    def free_energy(self, t: Time, x: Float[Array, " n"]) -> Scalar:
        """``V`` in a state at ``lam = t``: an energy of this flow, for the checks."""
        return self.read(t, x).free_energy

    def drift(self, t: Time, x: Float[Array, " n"], args: PyTree) -> Float[Array, " n"]:
        """``(m - y, tr dm/dy)``."""
        y = x[: -self._count]
        return jnp.concatenate([self._mean(t, y) - y, self._traces(t, y)])

    def mobility(self, t: Time, x: Float[Array, " n"]) -> None:
        """None: the identity."""

    @property
    def _count(self) -> int:
        return 1 if self.key is None or self.trace == "exact" else self.probes

    def _mean(self, lam: Time, y: Float[Array, " D"]) -> Float[Array, " D"]:
        return self.path.mean(self.path.locate("lam", lam, y))

    def _traces(self, lam: Time, y: Float[Array, " D"]) -> Float[Array, " p"]:
        """``tr dm/dy``, or its estimate by each probe."""

        def mean(at: Float[Array, " D"]) -> Float[Array, " D"]:
            return self._mean(lam, at)

        if self.key is None or self.trace == "exact":
            return jnp.trace(jax.jacfwd(mean)(y))[None]
        signs = jr.rademacher(self.key, (self.probes, y.shape[0]), y.dtype)
        return jax.vmap(lambda v: v @ jax.jvp(mean, (y,), (v,))[1])(signs)
