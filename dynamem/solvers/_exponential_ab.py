r"""Exponential Adams-Bashforth on the clock ``lam``: DEIS (Zhang & Chen 2023, arXiv 2204.13902) for the denoiser.

``dy/dlam = m - y`` is solved exactly for the polynomial P of ``lam`` through the last k denoisers,

    y+ = rho y + int_0^h e^-(h-u) P(u) du,     rho = e^-h,

whose moments ``I_n = int_0^h e^-(h-u) u^n du`` follow from ``I_0 = 1 - rho``, ``I_n = h^n - n I_{n-1}``. The first
steps have fewer denoisers; order 1 is DDIM. On uniform grids order 2 can raise the free energy at every ``rho < 1/e``
(D20), higher orders beyond; see `dynamem list`. Limited, as `DPMSolver2M` is, no order raises it on any grid: what the
step adds to DDIM's is cut to ``I_0 |y - m|``, so that ``|m^ - m| <= |y - m|`` in D12.
"""

from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from .._errors import InputError
from .._types import Time
from ._sampler import AbstractSampler, Sight, shortened


class Past(eqx.Module):
    """Denoisers of the last steps, latest first.

    Attributes:
        lams: their times, shape (k,); distinct also where nothing has happened yet.
        means: the denoisers, shape (k, D).
        count: how many of them are real.
    """

    lams: Float[Array, " k"]
    means: Float[Array, "k D"]
    count: Int[Array, ""]


class ExponentialAB(AbstractSampler):
    """Exponential Adams-Bashforth for `ProbabilityFlow` on clock "lam", with any steps; see `AbstractSampler`.

    Arguments:
        k: order, 2, 3 or 4.
        limited: cut what is added to DDIM's step, so that no step raises the free energy (D12).
    """

    k: int = eqx.field(default=2, static=True)
    limited: bool = eqx.field(default=False, static=True)

    def __check_init__(self) -> None:
        if self.k not in (2, 3, 4):
            msg = f"k={self.k!r}: choose 2, 3 or 4; order 1 is DDIM"
            raise InputError(msg)

    def order(self, terms: Any) -> int:
        """Order k, from noise so high that the denoiser rests at first; else 2, as the first step is DDIM's."""
        del terms
        return self.k

    def churn(self, *, noisy: bool) -> float:
        """Zero: the probability flow."""
        del noisy
        return 0.0

    def start(self, t0: Time, y0: Float[Array, " D"]) -> Past:
        """No denoiser yet."""
        lams = jnp.asarray(t0, y0.dtype) - jnp.arange(1, self.k, dtype=y0.dtype)
        return Past(lams, jnp.zeros((self.k - 1, y0.size), y0.dtype), jnp.zeros((), int))

    def move(self, sight: Sight, y0: Float[Array, " D"], memory: Past) -> tuple[Float[Array, " D"], Past]:
        """Newton's form of P: divided differences times the integrals of its basis."""
        pull, lam = sight.pull(sight.t0, y0), jnp.asarray(sight.t0, y0.dtype)
        lams = jnp.concatenate([lam[None], memory.lams])
        means = jnp.concatenate([(y0 + pull)[None], memory.means])
        nodes, moments = lams - lam, _moments(sight.h, self.k)
        basis, differences, added = jnp.ones_like(nodes[:1]), means, jnp.zeros_like(y0)
        for n in range(1, self.k):
            differences = (differences[:-1] - differences[1:]) / (nodes[:-n] - nodes[n:])[:, None]
            basis = jnp.concatenate([jnp.zeros(1, basis.dtype), basis]) - nodes[n - 1] * jnp.append(basis, 0)
            added = added + jnp.where(n <= memory.count, (basis @ moments[: n + 1]) * differences[0], 0)
        if self.limited:
            added, _ = shortened(added, moments[0] ** 2 * (pull @ pull))
        return y0 + moments[0] * pull + added, Past(lams[:-1], means[:-1], jnp.minimum(memory.count + 1, self.k - 1))


def _moments(h: Float[Array, ""], k: int) -> Float[Array, " k"]:
    """``I_0`` to ``I_{k-1}``."""
    found = [-jnp.expm1(-h)]
    for n in range(1, k):
        found.append(h**n - n * found[-1])
    return jnp.stack(found)
