"""Every energy of a path at one point, in one pass of the kernel: what the audit evaluates along its runs."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Scalar

from .._types import Clock
from ..diffusion import DensityEnergy, DiffusionPath, FreeEnergy, Frozen, HopfieldEnergy, Point
from ..flows import ProbabilityFlow, ReverseSDE
from ..kernels import Tilt
from ..lyapunov import laplacian, magnitude, rate_bound, split


NAMES: tuple[str, ...] = ("density", "density_canonical", "hopfield", "frozen", "free", "free_churn")
CLOCKS: dict[str, Clock] = {name: "tau" if name == "density" else "lam" for name in NAMES}


class Energies(eqx.Module):
    """The six energies of a path; the density in own coordinates reads ``x``, the others ``y = x/alpha``.

    Attributes:
        path: schedule and law.
        churn: of ``free_churn``.
        level: ``lam`` at which ``frozen`` stands.
    """

    path: DiffusionPath
    churn: Float[Array, ""]
    level: Float[Array, ""]

    def parts(self) -> tuple:
        """The energies in the order of `NAMES`, each on its own clock."""
        free = FreeEnergy(self.path)
        return (
            DensityEnergy(self.path, clock="tau"),
            DensityEnergy(self.path),
            HopfieldEnergy(self.path),
            Frozen(free, self.level),
            free,
            FreeEnergy(self.path, churn=self.churn),
        )

    def values(self, lam: Scalar, y: Float[Array, " D"]) -> tuple[Float[Array, "6"], Float[Array, "6"], Point, Tilt]:
        """Energies and magnitudes (6,) at canonical time and state, with the shared moments."""
        tau = 1 - self.path.schedule.t_of_lam(lam)
        return self.values_at(tau, lam, y)

    def values_at(self, tau: Scalar, lam: Scalar, y: Float[Array, " D"]) -> tuple:
        """`values` where the own time ``tau`` is known already."""
        own = self.path.locate("tau", tau, self.path.schedule.alpha(1 - tau) * y)
        point = self.path.locate("lam", lam, y)
        tilt = self.path.tilt(point)
        density, canonical, hopfield, frozen, free, churned = self.parts()
        shared = ((density, own), (canonical, point), (hopfield, point), (free, point), (churned, point))
        value = [energy.of(at, tilt) for energy, at in shared]
        size = [energy.magnitude_of(at, tilt) for energy, at in shared]
        value.insert(3, frozen(lam, y))
        size.insert(3, frozen.magnitude(lam, y))
        return jnp.stack(value), jnp.stack(size), point, tilt


class Along(eqx.Module):
    """``(tau, y, lam, v) -> (energies, magnitudes, grad E . v in y, moments)`` at a visited point."""

    energies: Energies

    def __call__(self, tau: Scalar, y: Float[Array, " D"], lam: Scalar, v: Float[Array, " D"]) -> tuple:
        """``v`` is a displacement of ``y``, for instance the realised noise of a step."""

        def values(z: Float[Array, " D"]) -> tuple:
            value, size, _, tilt = self.energies.values_at(tau, lam, z)
            return value, (size, tilt.log_partition, jnp.sum((z - tilt.mean) ** 2), tilt.trace, tilt.kl, tilt.mean)

        value, slope, (size, log_partition, residual, trace, kl, mean) = jax.jvp(values, (y,), (v,), has_aux=True)
        moments = {"log_partition": log_partition, "residual": residual, "trace": trace, "kl": kl, "mean": mean}
        return value, size, slope, moments


class Rates(eqx.Module):
    """Rates of all energies along the probability flow and the reverse SDE at one point, per unit of ``lam``.

    What `generator` computes energy by energy, with the drifts and the posterior shared between them.
    """

    energies: Energies

    def __call__(self, tau: Scalar, y: Float[Array, " D"], lam: Scalar) -> tuple:
        """``(Rate, bound)`` of the ODE, then of the SDE; leaves of shape (6,)."""
        path, churn = self.energies.path, self.energies.churn
        t = 1 - tau
        x = path.schedule.alpha(t) * y
        units = {"tau": path.schedule.g2(t) / (2 * path.schedule.sigma(t) ** 2), "lam": jnp.ones_like(lam)}
        points: dict[Clock, tuple] = {"tau": (tau, x), "lam": (lam, y)}
        flows = {clock: (ProbabilityFlow(path, clock=clock), ReverseSDE(path, churn, clock=clock)) for clock in points}
        drifts = {clock: [flow.drift(*points[clock], None) for flow in flows[clock]] for clock in points}
        noises = {clock: flows[clock][1].noise(points[clock][0], points[clock][1]) for clock in points}
        found: tuple[list, list] = ([], [])
        for energy, name in zip(self.energies.parts(), NAMES, strict=True):
            clock = CLOCKS[name]
            at, unit = points[clock], units[clock]
            schedule, slope = jax.grad(energy, argnums=(0, 1))(*at)
            ito = 0.5 * jnp.square(noises[clock]) * laplacian(energy, *at)
            size = magnitude(energy, *at)
            for kind, heat in enumerate((jnp.zeros_like(ito), ito)):
                rate = split(schedule, slope, drifts[clock][kind], None, heat)
                rate = jax.tree.map(lambda part, unit=unit: part / unit, rate)
                found[kind].append((rate, rate_bound(rate, size)))  # on "lam" noise halves in a time of order 1
        return tuple(jax.tree.map(lambda *leaves: jnp.stack(leaves), *kind) for kind in found)
