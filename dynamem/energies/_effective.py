r"""The energy that is left when some layers are so fast that they have settled (Krotov & Hopfield 2021, section 3).

A fast layer ``h`` sits where ``dE/dg_h = 0``, that is ``x_h = b_h - dE_syn/dg_h``. If ``E_syn`` is linear in ``g_h``
this is the minimum of ``E`` over ``x_h``, and

    E_eff(x) = min_{x_h} E(x, x_h) = sum_slow [(x-b).g - L] + E_syn of slow layers - L_h(b_h - dE_syn/dg_h),

with ``dE_eff/dg = dE/dg`` at the settled state (the envelope theorem), so that it falls as ``E`` does.
"""

from collections.abc import Sequence

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, Scalar

from .._errors import InputError
from .._types import Time
from ._base import AbstractLagrangianEnergy
from ._ham import HAM
from ._layer import Layer, LayersLagrangian
from ._synapses import ConvSynapse, DenseSynapse


class Effective(AbstractLagrangianEnergy):
    """Energy of a memory in the state of its slow layers, shape (D,), while the fast ones are settled.

    Arguments:
        ham: the memory.
        fast: names of the fast layers, of which no two are joined, and to which only dense and convolutional synapses
            lead, since these are linear in each layer's activations.
    """

    ham: HAM
    fast: tuple[str, ...] = eqx.field(static=True, converter=tuple)

    def __check_init__(self) -> None:
        unknown = [name for name in self.fast if name not in self.ham.names]
        if unknown or not self.fast or len(set(self.fast)) == len(self.ham.names):
            msg = f"fast={self.fast!r}: need some, not all, of the layers {list(self.ham.names)!r}"
            raise InputError(msg)
        for synapse in self.ham.synapses:
            touched = [name for name in synapse.between if name in self.fast]
            if len(touched) > 1 or (touched and not isinstance(synapse, DenseSynapse | ConvSynapse)):
                msg = (
                    f"fast={self.fast!r}: the {type(synapse).__name__} between {synapse.between!r} is not linear in "
                    "activations of fast layers, so that they do not settle in one step; choose other layers"
                )
                raise InputError(msg)

    @property
    def lagrangian(self) -> LayersLagrangian:
        """The Lagrangian of the slow layers."""
        return LayersLagrangian(tuple(layer for _, layer in self._slow))

    @property
    def tau(self) -> Float[Array, " D"]:
        """Time constants of the slow units, shape (D,)."""
        return jnp.concatenate([jnp.broadcast_to(layer.tau, layer.size) for _, layer in self._slow])

    def settled(self, x: Float[Array, " D"]) -> Float[Array, " M"]:
        """The state of all layers: the slow ones as in ``x`` (D,), the fast ones where they rest."""
        slow = {name: part for (name, _), part in zip(self._slow, self.lagrangian.split(x), strict=True)}
        pairs = zip(self.ham.names, self.ham.layers, strict=True)
        whole = {name: slow[name] if name in slow else jnp.zeros(layer.shape, x.dtype) for name, layer in pairs}
        return self.ham.update(self.ham.join(whole), layers=self.fast)

    def __call__(self, t: Time, x: Float[Array, " D"]) -> Scalar:
        """``min E`` over the fast layers."""
        return self.ham(t, self.settled(x))

    def magnitude(self, t: Time, x: Float[Array, " D"]) -> Scalar:
        """That of the memory at the settled state."""
        return self.ham.magnitude(t, self.settled(x))

    def dual_gradient(self, t: Time, x: Float[Array, " D"]) -> Float[Array, " D"]:
        """``dE/dg`` of the slow layers at the settled state, shape (D,)."""
        found = self.ham.split(self.ham.dual_gradient(t, self.settled(x)))
        return self.lagrangian.join([found[name] for name, _ in self._slow])

    @property
    def _slow(self) -> Sequence[tuple[str, Layer]]:
        pairs = zip(self.ham.names, self.ham.layers, strict=True)
        return [(name, layer) for name, layer in pairs if name not in self.fast]
