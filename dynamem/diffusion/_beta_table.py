r"""Tables of discrete-time diffusion (DDPM: Ho, Jain & Abbeel 2020, arXiv 2006.11239) as schedules.

T rates ``beta_i`` give ``alpha_i = sqrt(prod_{j<=i} (1 - beta_j))`` and ``sigma_i = sqrt(1 - alpha_i^2)``, which stand
at the times ``t_i = (i + 1)/T``, with ``alpha = 1`` at ``t = 0``. In between, the loss ``1 - alpha`` is the monotone
cubic of Fritsch & Carlson (1980) through the table's values, with their harmonic means as slopes: exact at the table's
times, increasing, with a continuous derivative, so that ``g^2`` is continuous and ``lam`` falls strictly.

A table whose last rate is 1 has zero terminal SNR (Lin et al. 2024, arXiv 2305.08891): ``alpha(1) = 0``, where no
``y = x/alpha`` and no noise-predicting model is defined.
"""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Scalar

from .._errors import InputError
from .._types import Given, Time
from .._validate import concrete, floats, require_finite, unit_time
from ._schedule import AbstractSchedule


class BetaTable(AbstractSchedule):
    """The schedule of a table of rates, ``alpha^2 + sigma^2 = 1``.

    Arguments:
        betas: rates ``beta_0, ..., beta_{T-1}``, shape (T,), in (0, 1); the last one may be 1.
    """

    betas: Float[Array, " T"]
    loss: Float[Array, " knots"]
    slope: Float[Array, " knots"]

    def __init__(self, betas: Given) -> None:
        self.betas = floats("betas", betas)
        _require_rates(self.betas)
        logs = jnp.concatenate([jnp.zeros(1, self.betas.dtype), jnp.cumsum(jnp.log1p(-self.betas))])
        self.loss = -jnp.expm1(0.5 * logs)
        self.slope = _monotone_slopes(self.loss)

    @staticmethod
    def linear(steps: int = 1000, first: float = 1e-4, last: float = 0.02) -> "BetaTable":
        """Rates linear in the index: DDPM's table."""
        return BetaTable(jnp.linspace(first, last, _positive(steps)))

    @staticmethod
    def scaled_linear(steps: int = 1000, first: float = 0.00085, last: float = 0.012) -> "BetaTable":
        """Square roots of rates linear in the index: the table of latent diffusion (arXiv 2112.10752)."""
        return BetaTable(jnp.linspace(first**0.5, last**0.5, _positive(steps)) ** 2)

    @staticmethod
    def cosine(steps: int = 1000, offset: float = 0.008, most: float = 0.999) -> "BetaTable":
        """``alpha^2`` a squared cosine, rates capped (Nichol & Dhariwal 2021, arXiv 2102.09672, eq. 17)."""
        angles = (jnp.arange(_positive(steps) + 1) / steps + offset) / (1 + offset) * (jnp.pi / 2)
        kept = jnp.cos(angles) ** 2
        return BetaTable(jnp.minimum(1 - kept[1:] / kept[:-1], most))

    def zero_terminal_snr(self) -> "BetaTable":
        """The table with ``alpha`` moved and scaled to end at 0 and begin as before (arXiv 2305.08891, algorithm 1)."""
        alpha = 1 - self.loss[1:]
        alpha = (alpha - alpha[-1]) * (alpha[0] / (alpha[0] - alpha[-1]))
        kept = alpha**2
        betas = 1 - jnp.concatenate([kept[:1], kept[1:] / kept[:-1]])
        return BetaTable(betas.at[-1].set(1))

    def alpha(self, t: Time) -> Scalar:
        """One less the interpolated loss."""
        return 1 - _hermite(self.loss, self.slope, unit_time(t))

    def sigma(self, t: Time) -> Scalar:
        """``sqrt(loss (2 - loss))``, which is ``sqrt(1 - alpha^2)``."""
        loss = _hermite(self.loss, self.slope, unit_time(t))
        return jnp.sqrt(loss * (2 - loss))

    def times(self, indices: Int[Given, " n"]) -> Float[Array, " n"]:
        """The times ``(i + 1)/T`` of entries of the table, shape (n,)."""
        return (self._known(indices) + 1).astype(self.betas.dtype) / self.betas.size

    def levels(self, indices: Int[Given, " n"]) -> Float[Array, " n"]:
        """Noise levels ``s = sigma/alpha`` of entries of the table, shape (n,); one without signal raises.

        The step grid of a sampler on clock "lam" is ``-log`` of them. The last is not 0: the end of the grid still has
        the noise of the table's first entry.
        """
        loss = self.loss[self._known(indices) + 1]
        levels = jnp.sqrt(loss * (2 - loss)) / (1 - loss)
        known = concrete(levels)
        if known is not None and not np.all(np.isfinite(known)):
            where = np.asarray(indices)[~np.isfinite(known)][0]
            msg = (
                f"indices={where!s}: no signal is left there, as the terminal SNR is zero, and x/alpha does not exist; "
                "begin at a later step, or run on clock 'tau'"
            )
            raise InputError(msg)
        return levels

    def _known(self, indices: Int[Given, " n"]) -> Int[Array, " n"]:
        """The indices, if they are those of entries: JAX would take the nearest entry without a word."""
        indices = jnp.asarray(indices)
        known = concrete(indices)
        if known is not None and not np.all((known >= 0) & (known < self.betas.size)):
            where = known[~((known >= 0) & (known < self.betas.size))].flat[0]
            msg = f"indices={where!s}: the table has entries from 0 to {self.betas.size - 1}"
            raise InputError(msg)
        return indices


def _require_rates(betas: Array) -> None:
    if betas.ndim != 1 or betas.size < 2:
        msg = f"betas.shape={betas.shape!r}: need a table of at least two rates, shape (T,)"
        raise InputError(msg)
    require_finite("betas", betas)
    known = concrete(betas)
    if known is None:
        return
    good = (known > 0) & (known < 1)
    good[-1] |= known[-1] == 1
    if not np.all(good):
        place = int(np.argmin(good))
        msg = f"betas[{place}]={known[place]!s}: rates lie between 0 and 1, and only the last one may be 1"
        raise InputError(msg)


def _positive(steps: int) -> int:
    if steps < 2:
        msg = f"steps={steps!r}: a table has at least two entries"
        raise InputError(msg)
    return steps


def _monotone_slopes(values: Float[Array, " knots"]) -> Float[Array, " knots"]:
    """Slopes per piece: harmonic means of the rises beside a knot, at the ends the rise of the first and last piece.

    Each is at most twice the smaller of the rises beside it, so that no piece turns (Fritsch & Carlson 1980).
    """
    rise = jnp.diff(values)
    inner = 2 * rise[:-1] * rise[1:] / (rise[:-1] + rise[1:])
    return jnp.concatenate([rise[:1], inner, rise[-1:]])


def _hermite(values: Array, slopes: Array, t: Scalar) -> Scalar:
    """The cubic pieces through values and slopes at equally spaced knots of [0, 1]."""
    pieces = values.shape[0] - 1
    place = t.astype(values.dtype) * pieces
    k = jnp.clip(jnp.nan_to_num(jnp.floor(place)), 0, pieces - 1).astype(int)
    u = place - k.astype(values.dtype)
    rise, left, right = values[k + 1] - values[k], slopes[k], slopes[k + 1]
    return values[k] + u * (left + u * ((3 * rise - 2 * left - right) + u * (left + right - 2 * rise)))
