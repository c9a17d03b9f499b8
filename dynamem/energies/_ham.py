r"""Hierarchical associative memories: layers with Lagrangians, joined by synapses in any graph.

    E = sum_a [(x_a - b_a).g_a - L_a(x_a)] + sum_s E_s(g),      tau_a dx_a/dt = -dE/dg_a = b_a - x_a - dE_syn/dg_a,

    dE/dt = -sum_a tau_a x_a'.(Hess L_a) x_a' <= 0        for convex L_a.

Source: Krotov 2021 (arXiv 2107.06446); Hoover et al. 2022 (HAMUX); Krotov & Hopfield 2021 (arXiv 2008.06996) for two
layers. Nothing is asked of the synapses. There is a discrete update as well, layer after layer:

    x_a <- x_a - alpha dE/dg_a,      at alpha = 1:  x_a <- b_a - dE_syn/dg_a,

which never raises ``E`` for ``0 <= alpha <= 1`` if each ``L_a`` is convex and ``E_syn`` is concave in each ``g_a``
while the others are held: dense and convolutional synapses between different layers are, being linear in each. For
with ``c = dE_syn/dg_a`` at ``x`` and ``z = b_a - c``, concavity gives

    E(x') <= Q(x') = (x'_a - z).g(x'_a) - L(x'_a) + rest        for all x'_a, with equality at x' = x,

and at ``x'_a = x_a + alpha (z - x_a)`` the slope of ``Q`` in ``alpha`` is ``-(1 - alpha)(z - x_a).(Hess L)(z - x_a)``.
For a linear ``E_syn`` equality holds throughout, and ``x_a = z`` is the minimum of ``E`` over ``x_a``. This is the
concave-convex procedure (Yuille & Rangarajan 2003), layer by layer.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Scalar

from .._errors import InputError
from .._types import Time
from ._base import AbstractLagrangianEnergy
from ._layer import Layer, LayersLagrangian
from ._synapses import AbstractSynapse


class HAM(AbstractLagrangianEnergy):
    """The energy of layers and synapses in the flat state, shape (D,): the layers' arrays one after another.

    Run it with `LagrangianFlow`, which takes the layers' time constants, or layer by layer with ``dm.Map(ham.update)``,
    ``dm.Map(eqx.Partial(ham.update, alpha=0.5))`` for shorter steps.

    Arguments:
        layers: names and layers, in the order of the state.
        synapses: energies of activations, each with the names of the layers that it joins.
    """

    names: tuple[str, ...] = eqx.field(static=True)
    lagrangian: LayersLagrangian
    synapses: tuple[AbstractSynapse, ...]

    def __init__(self, layers: Mapping[str, Layer], synapses: Sequence[AbstractSynapse] = ()) -> None:
        self.names = tuple(layers)
        self.lagrangian = LayersLagrangian(tuple(layers.values()))
        self.synapses = tuple(synapses)

    def __check_init__(self) -> None:
        if not self.names:
            msg = "layers={}: need at least one layer"
            raise InputError(msg)
        shapes = {name: jax.ShapeDtypeStruct(one.shape, one.bias.dtype) for name, one in self._named(self.layers)}
        for synapse in self.synapses:
            unknown = [name for name in synapse.between if name not in shapes]
            if unknown:
                msg = f"between={synapse.between!r}: there is no layer {unknown[0]!r}, only {list(self.names)!r}"
                raise InputError(msg)
            _require_scalar(synapse, [shapes[name] for name in synapse.between])

    @property
    def layers(self) -> tuple[Layer, ...]:
        """The layers, in the order of the state."""
        return self.lagrangian.layers

    @property
    def tau(self) -> Float[Array, " D"]:
        """Time constants of all units, shape (D,)."""
        return jnp.concatenate([jnp.broadcast_to(layer.tau, layer.size) for layer in self.layers])

    def split(self, x: Float[Array, " D"]) -> dict[str, Float[Array, "..."]]:
        """The layers' arrays by name, from a flat state."""
        return dict(self._named(self.lagrangian.split(x)))

    def join(self, arrays: Mapping[str, Float[Array, "..."]]) -> Float[Array, " D"]:
        """The flat state, shape (D,), of the layers' arrays by name."""
        if set(arrays) != set(self.names):
            msg = f"arrays={sorted(arrays)!r}: need one array for each of the layers {list(self.names)!r}"
            raise InputError(msg)
        return self.lagrangian.join([arrays[name] for name in self.names])

    def activations(self, x: Float[Array, " D"]) -> dict[str, Float[Array, "..."]]:
        """``g`` of each layer by name."""
        return dict(self._named(self._activations(self.lagrangian.split(x))))

    def __call__(self, t: Time, x: Float[Array, " D"]) -> Scalar:
        """``sum (x - b).g - L + E_syn``."""
        parts = self.lagrangian.split(x)
        gs = self._activations(parts)
        pairs = zip(self.layers, parts, gs, strict=True)
        dual = [jnp.sum((part - self._bias(layer, part)) * g) for layer, part, g in pairs]
        return jax.tree.reduce(jnp.add, dual) - self.lagrangian(x) + self._synaptic(gs)

    def magnitude(self, t: Time, x: Float[Array, " D"]) -> Scalar:
        """Sum of the absolute values of all terms, as far as the synapses state them."""
        parts = self.lagrangian.split(x)
        gs = self._activations(parts)
        pairs = zip(self.layers, parts, gs, strict=True)
        dual = [jnp.sum((jnp.abs(part) + jnp.abs(self._bias(layer, part))) * jnp.abs(g)) for layer, part, g in pairs]
        sizes = [synapse.magnitude(*self._at(synapse, gs)) for synapse in self.synapses]
        return jax.tree.reduce(jnp.add, [*dual, self.lagrangian.size(x), *sizes])

    def dual_gradient(self, t: Time, x: Float[Array, " D"]) -> Float[Array, " D"]:
        """``x - b + dE_syn/dg``."""
        parts = self.lagrangian.split(x)
        pulls = jax.grad(self._synaptic)(self._activations(parts))
        pairs = zip(self.layers, parts, pulls, strict=True)
        return self.lagrangian.join([part - self._bias(layer, part) + pull for layer, part, pull in pairs])

    def update(
        self, x: Float[Array, " D"], alpha: Any = 1.0, layers: Sequence[str] | None = None
    ) -> Float[Array, " D"]:
        """One layer after another, ``x_a <- x_a - alpha dE/dg_a``, each seeing the new activations of those before.

        Arguments:
            x: flat state, shape (D,).
            alpha: step, one number; up to 1 it never raises the energy under the conditions that the module states.
            layers: names of the layers to update, in this order; all, in the order of the state, if not given.
        """
        parts = self.lagrangian.split(x)
        gs, alpha = self._activations(parts), jnp.asarray(alpha, x.dtype)
        for name in self.names if layers is None else layers:
            k = self._place(name)
            pull = jax.grad(lambda g, k=k: self._synaptic([*gs[:k], g, *gs[k + 1 :]]))(gs[k])
            parts[k] = parts[k] - alpha * (parts[k] - self._bias(self.layers[k], parts[k]) + pull)
            gs[k] = self.layers[k].lagrangian.g(parts[k])
        return self.lagrangian.join(parts)

    def _activations(self, parts: list[Float[Array, "..."]]) -> list[Float[Array, "..."]]:
        return [layer.lagrangian.g(part) for layer, part in zip(self.layers, parts, strict=True)]

    def _synaptic(self, gs: list[Float[Array, "..."]]) -> Scalar:
        zero = jnp.zeros((), gs[0].dtype)
        return jax.tree.reduce(jnp.add, [synapse(*self._at(synapse, gs)) for synapse in self.synapses], zero)

    def _at(self, synapse: AbstractSynapse, gs: list[Float[Array, "..."]]) -> list[Float[Array, "..."]]:
        return [gs[self._place(name)] for name in synapse.between]

    def _place(self, name: str) -> int:
        if name not in self.names:
            msg = f"layers={name!r}: there is no such layer, only {list(self.names)!r}"
            raise InputError(msg)
        return self.names.index(name)

    def _named(self, values: Sequence[Any]) -> zip:
        return zip(self.names, values, strict=True)

    def _bias(self, layer: Layer, part: Float[Array, "..."]) -> Float[Array, "..."]:
        return layer.bias.astype(part.dtype)


def _require_scalar(synapse: AbstractSynapse, shapes: list[jax.ShapeDtypeStruct]) -> None:
    """Raise unless the synapse takes arrays of these shapes and returns one number."""
    kind, given = type(synapse).__name__, [shape.shape for shape in shapes]
    try:
        found = eqx.filter_eval_shape(synapse, *shapes)
    except (TypeError, ValueError) as error:
        first = next(iter(str(error).strip().splitlines()), type(error).__name__)
        msg = f"{kind} between {synapse.between!r} cannot take arrays of shapes {given!r} ({first}): make them fit"
        raise InputError(msg) from error
    if getattr(found, "shape", None) != ():
        msg = f"{kind} between {synapse.between!r} returns {found!r}: an energy is one number"
        raise InputError(msg)
