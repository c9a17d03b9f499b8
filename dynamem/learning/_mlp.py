r"""A fully connected denoiser: ``h = silu(A [z, waves])``, ``h <- h + silu(B h)`` for each layer, ``F = C h``.

Its ``m - y`` is in general no gradient field: the matrix ``dm/dy`` is not symmetric, and no energy need exist.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray, Scalar

from .._errors import InputError
from ._network import SINGLE, WAVES, AbstractPreconditioned, about_data, keys, waves


class Layers(eqx.Module):
    """``[z, waves(c)] -> (D,)``, through ``depth`` hidden layers of ``width`` units."""

    first: eqx.nn.Linear
    hidden: list[eqx.nn.Linear]
    last: eqx.nn.Linear

    def __init__(self, size: int, width: int, depth: int, key: PRNGKeyArray) -> None:
        if width < 1 or depth < 1:
            msg = f"width={width!r}, depth={depth!r}: need at least one layer of at least one unit"
            raise InputError(msg)
        first, last, *rest = keys(key, depth + 1)
        self.first = eqx.nn.Linear(size + 2 * WAVES, width, dtype=SINGLE, key=first)
        self.hidden = [eqx.nn.Linear(width, width, dtype=SINGLE, key=one) for one in rest]
        self.last = eqx.nn.Linear(width, size, dtype=SINGLE, key=last)

    def __call__(self, z: Float[Array, " D"], noise: Scalar) -> Float[Array, " D"]:
        """The output at an input ``z`` (D,) and a noise label, shape (D,)."""
        h = jax.nn.silu(self.first(jnp.concatenate([z, waves(noise)])))
        for layer in self.hidden:
            h = h + jax.nn.silu(layer(h))
        return self.last(h)


class MLPDenoiser(AbstractPreconditioned):
    """A fully connected network in the preconditioning of EDM (Karras et al. 2022, arXiv 2206.00364).

    Arguments:
        size: coordinates D of a state.
        width: units of a hidden layer.
        depth: hidden layers.
        centre: mean of the data, shape (D,); zero if not given.
        sigma_data: standard deviation of the data about it.
        key: JAX key of the random initial weights.

    Raises:
        InputError: a size that is not positive, or a mean of another size.
    """

    layers: Layers
    centre: Float[Array, " D"]
    sigma_data: Float[Array, ""]
    size: int = eqx.field(static=True)
    width: int = eqx.field(static=True)
    depth: int = eqx.field(static=True)

    def __init__(
        self,
        size: int,
        width: int = 224,
        depth: int = 3,
        *,
        centre: Float[Array, "..."] | None = None,
        sigma_data: Float[Array, ""] | float = 1.0,
        key: PRNGKeyArray,
    ) -> None:
        self.centre, self.sigma_data = about_data(size, centre, sigma_data)
        self.layers = Layers(size, width, depth, key)
        self.size, self.width, self.depth = size, width, depth

    @property
    def sizes(self) -> dict[str, int]:
        """``size``, ``width`` and ``depth``."""
        return {"size": self.size, "width": self.width, "depth": self.depth}

    def field(self, z: Float[Array, " D"], noise: Scalar) -> Float[Array, " D"]:
        """The network itself."""
        return self.layers(z, noise)
