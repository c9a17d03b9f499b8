r"""The two-layer memory of Krotov & Hopfield 2021 (arXiv 2008.06996, eqs. 1 and 6), as a `HAM`.

    tau_v v' = xi^T f(h) - v + b,     tau_h h' = xi g(v) - h,
    E = [(v - b).g - L_v] + [h.f - L_h] - f.xi g,

    dE/dt = -tau_v v'.(Hess L_v) v' - tau_h h'.(Hess L_h) h'.

With fast hidden units, ``tau_h -> 0``, it is a memory of the visible ones (`Effective`): ``h = xi g(v)`` and
``E = (v - b).g - L_v - L_h(xi g(v))``, so that for ``L_v = |v|^2/2`` log-sum-exp gives `LogSumExp` without norm
bias, and a sum over hidden units gives `DenseMemory` plus ``|v|^2/2``.
"""

from collections.abc import Callable
from typing import Any

from jaxtyping import Shaped

from .._types import Given
from .._validate import floats, require_patterns
from ._ham import HAM
from ._lagrangian import AbstractLagrangian
from ._layer import Layer
from ._synapses import DenseSynapse


def KrotovHopfield(
    xi: Shaped[Given, "N D"],
    hidden: AbstractLagrangian | str | Callable = "softmax",
    visible: AbstractLagrangian | str | Callable = "identity",
    *,
    bias: Given | None = None,
    tau_v: Any = 1.0,
    tau_h: Any = 1.0,
) -> HAM:
    """A `HAM` of visible units ``v`` (D,) and hidden units ``h`` (N,), one a pattern; states are (D + N,).

    Arguments:
        xi: patterns, shape (N, D).
        hidden: Lagrangian of the hidden units, as for `Layer`.
        visible: Lagrangian of the visible units.
        bias: input ``b`` to the visible units, shape (D,).
        tau_v: time constant of the visible units.
        tau_h: time constant of the hidden units.
    """
    patterns = floats("xi", xi)
    require_patterns("xi", patterns)
    count, size = patterns.shape
    layers = {"v": Layer((size,), visible, bias, tau_v), "h": Layer((count,), hidden, None, tau_h)}
    return HAM(layers, [DenseSynapse(patterns, ("h", "v"))])
