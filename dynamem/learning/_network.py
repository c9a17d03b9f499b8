r"""What learned denoisers share: weights of their own precision, and the preconditioning of EDM.

A network that is asked about all noise levels has to see inputs of unit size and to answer with outputs of unit size.
Karras et al. 2022 (arXiv 2206.00364, table 1) write the denoiser as

    m(y, s) = c_skip y + c_out F(c_in y, c_noise),
    c_skip = sigma_d^2/(s^2 + sigma_d^2),  c_out = s sigma_d/sqrt(s^2 + sigma_d^2),  c_in = 1/sqrt(s^2 + sigma_d^2),

``sigma_d`` the standard deviation of the data, so that ``F`` has to predict a target of unit variance at every level.
Here ``y`` is counted from the data's mean, and ``c_noise = log(s/sigma_d)/4`` is held within ``log(1000)/4``, beyond
which ``c_skip`` knows all. In the natural parameters of a point all of it is finite where ``alpha = 0``.
"""

import abc
from typing import NamedTuple, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
from jax import lax
from jaxtyping import Array, Float, PRNGKeyArray, Scalar

from .._errors import InputError
from .._validate import require_positive
from ..diffusion import AbstractDenoiser, Point


SINGLE = jnp.float32
WAVES = 8
_FURTHEST = 1000.0


class AbstractNetwork(AbstractDenoiser):
    """A denoiser with weights. They are kept in float32 and used in the precision of the state."""

    @property
    @abc.abstractmethod
    def sizes(self) -> dict[str, int]:
        """The numbers from which its class makes a network of this shape, for files of weights."""


_Network = TypeVar("_Network", bound=AbstractNetwork)


class Scalings(NamedTuple):
    """``z = c_in (y - centre)``, shape (D,), and ``keep = c_skip``, ``out = c_out``, ``noise = c_noise``, shape ()."""

    z: Float[Array, " D"]
    keep: Scalar
    out: Scalar
    noise: Scalar


def precondition(point: Point, centre: Float[Array, " D"], sigma_data: Scalar) -> Scalings:
    """The scalings of EDM at a point, for data of mean ``centre`` (D,) and standard deviation ``sigma_data``."""
    centre, sigma_data = lax.stop_gradient(centre), lax.stop_gradient(sigma_data)
    data = point.scale * sigma_data
    total = point.noise**2 + data**2
    ratio = jnp.clip(data / point.noise, 1 / _FURTHEST, _FURTHEST)
    shifted = point.x - point.scale * centre
    root = jnp.sqrt(total)
    return Scalings(
        shifted / root, point.scale * sigma_data**2 / total, point.noise * sigma_data / root, -0.25 * jnp.log(ratio)
    )


class AbstractPreconditioned(AbstractNetwork):
    """A network in the preconditioning of EDM.

    Attributes:
        centre: mean of the data, shape (D,); not trained.
        sigma_data: standard deviation of the data about it, all coordinates alike; not trained.
    """

    centre: eqx.AbstractVar[Float[Array, " D"]]
    sigma_data: eqx.AbstractVar[Float[Array, ""]]

    @abc.abstractmethod
    def field(self, z: Float[Array, " D"], noise: Scalar) -> Float[Array, " D"]:
        """``F(z, c_noise)``, shape (D,)."""

    def mean(self, point: Point) -> Float[Array, " D"]:
        """``centre + c_skip (y - centre) + c_out F``, shape (D,)."""
        net = as_precise(self, point.x)
        at = precondition(point, net.centre, net.sigma_data)
        shifted = point.x - point.scale * lax.stop_gradient(net.centre)
        return lax.stop_gradient(net.centre) + at.keep * shifted + at.out * net.field(at.z, at.noise)


def as_precise(network: _Network, x: Float[Array, " D"]) -> _Network:
    """The network with all its floats in the precision of a state ``x`` (D,), which has to be of its size."""
    size = network.sizes["size"]
    if x.shape != (size,):
        msg = f"state.shape={x.shape!r}: this {type(network).__name__} takes ({size},), jax.vmap for more states"
        raise InputError(msg)
    return jax.tree.map(lambda leaf: leaf.astype(x.dtype) if eqx.is_inexact_array(leaf) else leaf, network)


def waves(noise: Scalar) -> Float[Array, " n"]:
    """``cos(k c)``, ``sin(k c)`` of the noise label, ``k = 1..8``, shape (16,)."""
    phase = jnp.arange(1, WAVES + 1, dtype=noise.dtype) * noise
    return jnp.concatenate([jnp.cos(phase), jnp.sin(phase)])


def about_data(
    size: int, centre: Float[Array, "..."] | None, sigma_data: Float[Array, ""] | float
) -> tuple[Float[Array, " D"], Float[Array, ""]]:
    """Mean and standard deviation of the data as float32 arrays, judged."""
    if size < 1:
        msg = f"size={size!r}: need at least one coordinate"
        raise InputError(msg)
    middle = jnp.zeros(size, SINGLE) if centre is None else jnp.asarray(centre).astype(SINGLE)
    if middle.shape != (size,):
        msg = f"centre.shape={middle.shape!r}: need the mean of the data, shape ({size},)"
        raise InputError(msg)
    require_positive("sigma_data", sigma_data, scalar=True)
    return middle, jnp.asarray(sigma_data).astype(SINGLE)


def keys(key: PRNGKeyArray, count: int) -> list[PRNGKeyArray]:
    """``count`` independent keys."""
    return list(jr.split(key, count))
