r"""What a network predicts, and each prediction from each other one.

With ``x = alpha x_0 + sigma eps`` each is a combination of the two, ``factor value = a x_0 + b eps``:

| of | value | a | b | factor | determinant | source |
|---|---|---|---|---|---|---|
| x0 | ``x_0`` | 1 | 0 | 1 | ``-sigma`` | |
| eps | ``eps`` | 0 | 1 | 1 | ``alpha`` | arXiv 2006.11239 |
| score | ``grad log p_t(x) = -eps/sigma`` | 0 | 1 | ``-sigma`` | ``alpha`` | arXiv 2011.13456 |
| v | ``alpha eps - sigma x_0`` | ``-sigma`` | ``alpha`` | 1 | ``alpha^2 + sigma^2`` | arXiv 2202.00512 |
| velocity | ``dx/dt`` | ``alpha'`` | ``sigma'`` | 1 | ``alpha sigma' - sigma alpha'`` | arXiv 2210.02747 |
| edm | ``F``, below | ``sigma/(c r)`` | ``-alpha c/r`` | 1 | ``-r/c`` | arXiv 2206.00364 |

``v`` takes any ``alpha`` and ``sigma``; ``t`` grows with the noise, so that ``velocity`` is ``eps - x_0`` on a straight
path. ``edm`` is the network inside ``D = c_skip y + c_out F(c_in y, c_noise)`` (table 1, ``y = x/alpha``), for data of
standard deviation ``c``, with ``r = sqrt(sigma^2 + alpha^2 c^2)``: ``c_skip y = alpha c^2 x/r^2``,
``c_out = c sigma/r``, ``c_in y = x/r``, all finite where ``alpha = 0``.

``x`` itself is the combination ``(alpha, sigma)``, so that by Cramer's rule

    a' x_0 + b' eps = ((a' b - b' a) x + (alpha b' - sigma a') factor value)/(alpha b - sigma a).

The determinant below says where a prediction leaves the pattern unknown. ``eps`` and ``score`` do where ``alpha = 0``
(zero terminal SNR): ``x_0`` comes out wrong by the error of ``eps`` times ``sigma/alpha``. ``x0`` does for the noise
where ``sigma = 0``, by ``alpha/sigma``. ``v``, ``velocity`` and ``edm`` are well conditioned at both ends.
"""

from typing import Literal, NamedTuple, get_args

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Scalar

from .._errors import InputError
from .._types import Time
from .._validate import concrete


Parametrisation = Literal["x0", "eps", "score", "v", "velocity", "edm"]
PARAMETRISATIONS = get_args(Parametrisation)
_PARALLEL = {"score": "eps"}


class _Form(NamedTuple):
    """``factor value = a x_0 + b eps``."""

    a: Scalar
    b: Scalar
    factor: Scalar


def convert(
    value: Float[Array, "..."],
    x: Float[Array, "..."],
    alpha: Time,
    sigma: Time,
    *,
    of: Parametrisation,
    to: Parametrisation,
    slopes: tuple[Time, Time] | None = None,
    sigma_data: Time = 0.5,
) -> Float[Array, "..."]:
    """A prediction in another parametrisation: exact, and its own inverse with ``of`` and ``to`` exchanged.

    Arguments:
        value: the prediction, shape of ``x``.
        x: the noisy state ``alpha x_0 + sigma eps``.
        alpha: signal scale, a number.
        sigma: noise scale, a number.
        of: what ``value`` is: "x0", "eps", "score", "v", "velocity" or "edm".
        to: what is wanted, one of the same.
        slopes: ``(alpha', sigma')``, for "velocity"; ``(-1, 1)`` on a straight path.
        sigma_data: standard deviation of the data, for "edm".

    Raises:
        InputError: an unknown name, "velocity" without slopes, shapes that differ; or ``alpha`` and ``sigma`` are known
            and ``of`` leaves there unknown what is wanted (traced ones give NaN).
    """
    require_parametrisation("of", of)
    require_parametrisation("to", to)
    if value.shape != x.shape:
        msg = f"value.shape={value.shape!r}, x.shape={x.shape!r}: a prediction has the shape of its state"
        raise InputError(msg)
    if of == to:
        return value
    alpha, sigma = jnp.asarray(alpha, x.dtype), jnp.asarray(sigma, x.dtype)
    one, other = (_form(name, alpha, sigma, slopes, jnp.asarray(sigma_data, x.dtype)) for name in (of, to))
    value = one.factor * value
    if _PARALLEL.get(of, of) != _PARALLEL.get(to, to):
        share, keep = other.a * one.b - other.b * one.a, alpha * other.b - sigma * other.a
        value = (share * x + keep * value) / nonzero(alpha * one.b - sigma * one.a, alpha, sigma, of, to)
    return value / nonzero(other.factor, alpha, sigma, of, to)


def require_parametrisation(name: str, of: str) -> None:
    """Raise unless ``of`` is one of the names in the table."""
    if of not in PARAMETRISATIONS:
        msg = f"{name}={of!r}: choose one of {', '.join(map(repr, PARAMETRISATIONS))}"
        raise InputError(msg)


def nonzero(divisor: Scalar, alpha: Scalar, sigma: Scalar, of: str, to: str) -> Scalar:
    """The divisor: where it is zero a known one raises, a traced one becomes NaN."""
    known = concrete(divisor)
    if known is not None and np.any(known == 0):
        msg = (
            f"alpha={alpha!s}, sigma={sigma!s}: {of!r} does not determine {to!r} there (zero terminal SNR is "
            "alpha=0): stay where both are positive, or use 'v', 'velocity' or 'edm'"
        )
        raise InputError(msg)
    return jnp.where(divisor == 0, jnp.asarray(jnp.nan, divisor.dtype), divisor)


def _form(name: str, alpha: Scalar, sigma: Scalar, slopes: tuple[Time, Time] | None, data: Scalar) -> _Form:
    zero, one = jnp.zeros_like(alpha), jnp.ones_like(alpha)
    if name == "x0":
        return _Form(one, zero, one)
    if name == "eps":
        return _Form(zero, one, one)
    if name == "score":
        return _Form(zero, one, -sigma)
    if name == "v":
        return _Form(-sigma, alpha, one)
    if name == "edm":
        r = jnp.hypot(sigma, alpha * data)
        return _Form(sigma / (data * r), -alpha * data / r, one)
    if slopes is None:
        msg = "slopes=None: 'velocity' is alpha' x_0 + sigma' eps, give slopes=(alpha', sigma')"
        raise InputError(msg)
    return _Form(jnp.asarray(slopes[0], alpha.dtype), jnp.asarray(slopes[1], alpha.dtype), one)
