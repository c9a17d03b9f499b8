r"""What a vector field ``F(t, x)`` is, measured: whether it is a gradient, where it is finite, which steps are safe.

A field is the gradient of an energy where its Jacobian is symmetric, and then its work around a closed loop is zero.
Both are measured: the first at points, from products with random vectors; the second on triangles between states.
"""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Scalar

from .._types import EnergyFn
from ..flows import AbstractFlow, AbstractODEFlow
from ..learning import skewness
from ..lyapunov import along, magnitude, rounding_bound


PANELS, NODES = 16, 8
SAFE_STEPS = 2.0 ** (np.arange(-24, 25) / 4)
REFINED = 17


class Held(AbstractODEFlow):
    """The drift of a flow with its time held: what it does once its schedule has ended."""

    flow: AbstractFlow
    t: Float[Array, ""] = eqx.field(converter=jnp.asarray)

    def drift(self, t: Any, x: Float[Array, " D"], args: Any) -> Float[Array, " D"]:
        """``F(self.t, x)``."""
        del t
        return self.flow.drift(self.t, x, args)

    def mobility(self, t: Any, x: Float[Array, " D"]) -> Any:
        """That of the flow, at the held time."""
        del t
        return self.flow.mobility(self.t, x)


class Field(eqx.Module):
    """``(t, x) -> F`` without arguments."""

    flow: AbstractFlow

    def __call__(self, t: Scalar, x: Float[Array, " D"]) -> Float[Array, " D"]:
        """The drift, shape (D,)."""
        return self.flow.drift(t, x, None)


class Asymmetry(eqx.Module):
    """``(t, x) -> (|(J - J^T) v|^2, |J v|^2)`` summed over random vectors ``v``, the rows of ``probes`` (P, D)."""

    flow: AbstractFlow
    probes: Float[Array, "P D"]

    def __call__(self, t: Scalar, x: Float[Array, " D"]) -> tuple[Scalar, Scalar]:
        """Both sums."""
        skews, wholes = skewness(lambda z: self.flow.drift(t, z, None), x, self.probes)
        return jnp.sum(skews), jnp.sum(wholes)


class Residual(eqx.Module):
    """``(t, x) -> (|F + M grad E|, |F|)``: zero first where the field is the descent of the energy.

    A flow that names its mobility may also move where no energy sees it (softmax's inputs, all by the same amount):
    then it is the rates, ``|grad E.F + grad E.M grad E|`` and ``|grad E.F|``, that are compared.
    """

    flow: AbstractFlow
    energy: EnergyFn

    def __call__(self, t: Scalar, x: Float[Array, " D"]) -> tuple[Scalar, Scalar]:
        """Both sizes."""
        slope, drift = jax.grad(self.energy, argnums=1)(t, x), self.flow.drift(t, x, None)
        mobility = self.flow.mobility(t, x)
        if mobility is None:
            return jnp.linalg.norm(drift + slope), jnp.linalg.norm(drift)
        return jnp.abs(slope @ (drift + mobility.mv(slope))), jnp.abs(slope @ drift)


class EulerRise(eqx.Module):
    """``(t, x, h) -> `` by how much the energy rises in one step ``x + h F``, ``t + h``, beyond rounding."""

    flow: AbstractFlow
    energy: EnergyFn

    def __call__(self, t: Scalar, x: Float[Array, " D"], h: Scalar) -> Scalar:
        """Positive where it rises."""
        ends = (t, x), (t + h, x + h * self.flow.drift(t, x, None))
        size = sum((magnitude(self.energy, *end) for end in ends), start=jnp.zeros_like(h))
        return self.energy(*ends[1]) - self.energy(*ends[0]) - rounding_bound(size)


def asymmetry(flow: AbstractFlow, ts: np.ndarray, xs: np.ndarray, key: Array, probes: int = 8) -> float:
    """``|J - J^T|/|J|`` (Frobenius) over all points together, estimated with ``probes`` random vectors; NaN stays."""
    vectors = jax.random.rademacher(key, (probes, xs.shape[-1]), jnp.result_type(float))
    odd, whole = along(Asymmetry(flow, vectors), ts, xs)
    return 0.0 if whole.sum() == 0 else float(np.sqrt(odd.sum() / whole.sum()))


def residual(flow: AbstractFlow, energy: EnergyFn, ts: np.ndarray, xs: np.ndarray) -> float:
    """`Residual` over all points together, as a part of the whole; NaN stays."""
    left, whole = along(Residual(flow, energy), ts, xs)
    return 0.0 if np.all(whole == 0) else float(np.linalg.norm(left) / np.linalg.norm(whole))


def reach(flow: AbstractFlow, t: float, unit: float, x: np.ndarray) -> float:
    """How far beyond ``t``, in units of ``unit`` (either sign) up to 1000, the field at ``x`` (D,) is still finite."""
    steps = np.concatenate([[0.0], np.geomspace(0.01, 1000.0, 61)])
    values = along(Field(flow), t + unit * steps, np.broadcast_to(x, (len(steps), len(x))))
    bad = ~np.isfinite(values).all(axis=-1)
    return float(steps[np.argmax(bad) - 1]) if bad.any() else float("inf")


def work(flow: AbstractFlow, t: float, corners: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """Work of ``-F(t, .)`` along the three edges of triangles ``corners`` (T, 3, D), and what integration adds to it.

    Returns:
        ``int -F.dx`` of each edge, shape (T, 3); ``int |F||dx|`` likewise; and the largest difference of two rules,
        relative to the latter's sum over a triangle.
    """
    edges = np.roll(corners, -1, axis=1) - corners
    found = []
    for panels in (PANELS, PANELS // 2):
        nodes, weights = np.polynomial.legendre.leggauss(NODES)
        where = ((np.arange(panels)[:, None] + 0.5 * (nodes + 1)) / panels).ravel()
        weights = np.tile(weights / (2 * panels), panels)
        places = corners[:, :, None] + where[:, None] * edges[:, :, None]
        force = -along(Field(flow), np.full(places.shape[:-1], t), places)
        size = np.linalg.norm(force, axis=-1) @ weights * np.linalg.norm(edges, axis=-1)
        found.append((np.einsum("akpd,akd,p->ak", force, edges, weights), size))
    (fine, size), (coarse, _) = found
    total = np.maximum(size.sum(axis=1), 1e-300)
    return fine, size, float(np.max(np.abs((fine - coarse).sum(axis=1)) / total))


def safe_step(flow: AbstractFlow, energy: EnergyFn, ts: np.ndarray, xs: np.ndarray) -> tuple[float, float]:
    """The largest step of explicit Euler tried that raises the energy at none of the points, and the first that does.

    Steps are tried from 1/64 to 64, four to a factor of two, then finer between the two that were found.
    """

    def rises(steps: np.ndarray) -> np.ndarray:
        grid = np.broadcast_to(steps, (*ts.shape, len(steps)))
        points = np.broadcast_to(xs[..., None, :], (*grid.shape, xs.shape[-1]))
        with np.errstate(all="ignore"):
            rise = along(EulerRise(flow, energy), np.broadcast_to(ts[..., None], grid.shape), points, grid)
        return ~(rise <= 0).reshape(-1, len(steps)).all(axis=0)

    low, high, steps = 0.0, float("inf"), SAFE_STEPS
    for _ in range(2):
        bad = rises(steps)
        if not bad.any():
            return float(steps[-1]), high
        first = int(np.argmax(bad))
        low, high = float(steps[first - 1]) if first else low, float(steps[first])
        steps = np.linspace(low, high, REFINED)[1:]
    bad = rises(steps)
    first = int(np.argmax(bad))
    return (float(steps[first - 1]) if first else low), float(steps[first])
