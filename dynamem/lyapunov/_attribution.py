r"""Attribution: the parts of an observed change of energy over one step, adding up to it exactly.

For an ODE the rate's parts are integrated along the exact flow from the step's start (Tsit5 at rtol 1e-10, composite
Gauss-Legendre), and ``discretisation`` is the remainder: the numerical step minus the exact flow. For an SDE there is
no exact flow of one path without its noise in between: the parts are the rates at the step's start times its length,
``martingale`` is ``grad E . g dW`` with the step's own noise, and ``discretisation`` again the remainder.
"""

import diffrax as dfx
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PyTree, Scalar

from .._types import EnergyFn
from ..flows import AbstractFlow
from ._generator import Rate, generator


_PANELS = 4
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(8)


class Attribution(eqx.Module):
    """Parts of a change of energy; their sum is the change. See `Rate` for the first four."""

    schedule: Scalar
    dissipation: Scalar
    drift: Scalar
    ito: Scalar
    martingale: Scalar
    discretisation: Scalar


def attribute(
    energy: EnergyFn,
    flow: AbstractFlow,
    step: tuple[Scalar, Float[Array, " D"], Scalar, Float[Array, " D"]],
    kick: Float[Array, " D"] | None = None,
    args: PyTree = None,
) -> Attribution:
    """Parts of ``E(t1, x1) - E(t0, x0)`` for the step ``(t0, x0, t1, x1)``; ``kick`` is ``g dW`` of an SDE's step."""
    t0, x0, t1, x1 = step
    change = energy(t1, x1) - energy(t0, x0)
    if kick is None:
        parts, martingale = _integrated(energy, flow, (t0, x0, t1), args), jnp.zeros_like(change)
    else:
        rate = generator(energy, flow)(t0, x0, args)
        parts = jax.tree.map(lambda part: part * (t1 - t0), rate)
        martingale = jax.grad(energy, argnums=1)(t0, x0) @ kick
    known = parts.schedule + parts.dissipation + parts.drift + parts.ito + martingale
    return Attribution(parts.schedule, parts.dissipation, parts.drift, parts.ito, martingale, change - known)


def exact_nodes(flow: AbstractFlow, t0: Scalar, x0: Float[Array, " D"], t1: Scalar, args: PyTree = None) -> tuple:
    """Times (n,), states (n, D) of the exact flow and weights (n,) of a quadrature over ``[t0, t1]``."""
    within = (np.arange(_PANELS)[:, None] + 0.5 * (_NODES + 1)[None, :]).ravel() / _PANELS
    weights = (t1 - t0) * jnp.asarray(np.tile(0.5 * _WEIGHTS / _PANELS, _PANELS), x0.dtype)
    ts = t0 + (t1 - t0) * jnp.asarray(within, x0.dtype)
    exact = dfx.diffeqsolve(
        dfx.ODETerm(flow.drift),
        dfx.Tsit5(),
        t0,
        t1,
        None,
        x0,
        args,
        saveat=dfx.SaveAt(ts=ts),
        stepsize_controller=dfx.PIDController(rtol=1e-10, atol=1e-12),
        max_steps=8192,
        throw=False,
    )
    return ts, exact.ys, weights


def _integrated(energy: EnergyFn, flow: AbstractFlow, ends: tuple, args: PyTree) -> Rate:
    """The rate's parts integrated along the exact flow."""
    ts, xs, weights = exact_nodes(flow, *ends, args)
    rates = jax.lax.map(lambda pair: generator(energy, flow)(pair[0], pair[1], args), (ts, xs))
    return jax.tree.map(lambda part: weights @ part, rates)
