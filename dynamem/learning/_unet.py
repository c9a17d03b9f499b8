r"""A small U-Net (Ronneberger et al. 2015, arXiv 1505.04597; for diffusion Ho et al. 2020, arXiv 2006.11239).

The image goes through convolutions at full and at half resolution, and what the fine half knew joins the way back. The
noise label enters each block as a shift of its channels. States are flat: ``(side^2,)``.
"""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray, Scalar

from .._errors import InputError
from ._network import SINGLE, WAVES, AbstractPreconditioned, about_data, keys, waves


def _conv(inputs: int, outputs: int, key: PRNGKeyArray, stride: int = 1) -> eqx.nn.Conv2d:
    return eqx.nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, dtype=SINGLE, key=key)


class Block(eqx.Module):
    """``h + conv(silu(conv(silu(h)) + shift(noise)))``."""

    first: eqx.nn.Conv2d
    shift: eqx.nn.Linear
    second: eqx.nn.Conv2d

    def __init__(self, channels: int, key: PRNGKeyArray) -> None:
        first, shift, second = keys(key, 3)
        self.first, self.second = _conv(channels, channels, first), _conv(channels, channels, second)
        self.shift = eqx.nn.Linear(2 * WAVES, channels, dtype=SINGLE, key=shift)

    def __call__(self, h: Float[Array, "C S S"], label: Float[Array, " n"]) -> Float[Array, "C S S"]:
        """Another image of the same shape."""
        inner = self.first(jax.nn.silu(h)) + self.shift(label)[:, None, None]
        return h + self.second(jax.nn.silu(inner))


class UNetDenoiser(AbstractPreconditioned):
    """A U-Net for small square images, in the preconditioning of EDM (Karras et al. 2022, arXiv 2206.00364).

    Arguments:
        size: pixels of an image, ``side^2`` with an even side (64 for 8 x 8); a state is flat.
        channels: channels at full resolution, twice as many at half.
        centre: mean of the data, shape (size,); zero if not given.
        sigma_data: standard deviation of the data about it.
        key: JAX key of the random initial weights.

    Raises:
        InputError: sizes that are none, or a mean of another size.
    """

    enter: eqx.nn.Conv2d
    fine: Block
    down: eqx.nn.Conv2d
    coarse: list[Block]
    up: eqx.nn.Conv2d
    join: eqx.nn.Conv2d
    back: Block
    leave: eqx.nn.Conv2d
    centre: Float[Array, " D"]
    sigma_data: Float[Array, ""]
    size: int = eqx.field(static=True)
    channels: int = eqx.field(static=True)

    def __init__(
        self,
        size: int,
        channels: int = 24,
        *,
        centre: Float[Array, "..."] | None = None,
        sigma_data: Float[Array, ""] | float = 1.0,
        key: PRNGKeyArray,
    ) -> None:
        side = math.isqrt(max(size, 0))
        if side * side != size or side % 2 or side == 0 or channels < 1:
            msg = f"size={size!r}, channels={channels!r}: need the pixels of a square image of even side, and channels"
            raise InputError(msg)
        enter, fine, down, one, two, up, join, back, leave = keys(key, 9)
        self.centre, self.sigma_data = about_data(size, centre, sigma_data)
        self.enter, self.fine = _conv(1, channels, enter), Block(channels, fine)
        self.down = _conv(channels, 2 * channels, down, stride=2)
        self.coarse = [Block(2 * channels, one), Block(2 * channels, two)]
        self.up, self.join = _conv(2 * channels, channels, up), _conv(2 * channels, channels, join)
        self.back, self.leave = Block(channels, back), _conv(channels, 1, leave)
        self.size, self.channels = size, channels

    @property
    def sizes(self) -> dict[str, int]:
        """``size`` and ``channels``."""
        return {"size": self.size, "channels": self.channels}

    def field(self, z: Float[Array, " D"], noise: Scalar) -> Float[Array, " D"]:
        """The network itself."""
        side, label = math.isqrt(self.size), waves(noise)
        fine = self.fine(self.enter(z.reshape(1, side, side)), label)
        coarse = self.down(fine)
        for block in self.coarse:
            coarse = block(coarse, label)
        wide = jnp.repeat(jnp.repeat(coarse, 2, axis=1), 2, axis=2)
        back = self.join(jnp.concatenate([fine, self.up(wide)]))
        return self.leave(jax.nn.silu(self.back(back, label))).reshape(-1)
