r"""Speciation (Biroli, Bonnaire, de Bortoli & Mezard 2024, arXiv 2402.18491): when a run has chosen its class.

In the Ornstein-Uhlenbeck process ``dx = -x dt + sqrt(2) dW``, with ``Lambda`` the largest eigenvalue of the covariance,

    t_S = log(Lambda)/2,  that is s^2 = Lambda - 1;     finite form log(1 + Lambda)/2,  that is s^2 = Lambda.

By clones: two runs of the reverse SDE from one state of ``p_t``, with noises of their own, end in one class with
probability phi. For ``N(-+m, c^2)``, in canonical coordinates, with ``r = m/sqrt(c^2 + s^2)`` and ``G-+ = N(-+r, 1)``,

    phi = 1/2 int (G+^2 + G-^2)/(G+ + G-) dx,           0.7752 at r = 1, which is t_S for m^2 = d, c = 1.

Along the reverse SDE posterior probabilities are martingales (THEORY.md, D15). So for any law and any classes

    phi(s) = E_{y ~ p_s} sum_c P(c | y, s)^2,

exactly and without a run; `clones` runs them nevertheless, and both must agree. For K classes of shares p_c the
criterion is ``(phi - phi_0)/(1 - phi_0) = 0.5504``, ``phi_0 = sum p_c^2``, which is phi = 0.7752 for two equal ones.
"""

import dataclasses
import math
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import scipy.integrate
import scipy.stats
from jaxtyping import Array, Float, Int, PRNGKeyArray, Scalar

from .._errors import InputError
from .._validate import require_positive
from ..catalog import wilson
from ..diffusion import EDM, DiffusionPath, Empirical, GaussianMixture
from ..flows import ReverseSDE
from ..kernels import log_prior, tilt
from ..lyapunov import brownian, levy_area
from ..solvers import DPMSolverSDE, scan_solve
from ._critical_time import LEVEL, Z
from ._draws import level_of, states_at


CHUNK = 8192
"""Runs at a time."""


@dataclasses.dataclass(frozen=True)
class Clones:
    """How often two clones end in one class.

    Attributes:
        s: noise level of the state they share.
        predicted: ``E sum_c P(c | y, s)^2`` over the states that the runs began from.
        predicted_interval: 95 %, by the central limit theorem.
        same: pairs that ended in one class.
        pairs: out of how many.
        low: lower end of Wilson's 95 % interval of ``same/pairs``.
        high: upper end.
    """

    s: float
    predicted: float
    predicted_interval: tuple[float, float]
    same: int
    pairs: int
    low: float
    high: float

    @property
    def share(self) -> float:
        """``same/pairs``."""
        return self.same / self.pairs


def speciation_time(top: float | int) -> float:
    """``t_S = log(Lambda)/2`` in OU time, for the largest eigenvalue ``top`` of the covariance; negative below 1."""
    require_positive("top", top)
    return 0.5 * math.log(top)


def clone_overlap(r: float | int) -> float:
    """``phi`` of two classes ``N(-+r, 1)`` of equal weight, by adaptive quadrature to about 1e-12."""
    require_positive("r", r, zero=True)

    def integrand(x: float) -> float:
        plus, minus = (float(scipy.stats.norm.pdf(x, at)) for at in (r, -r))
        return 0.5 * (plus * plus + minus * minus) / (plus + minus)

    reach = r + 12.0
    return float(scipy.integrate.quad(integrand, -reach, reach, points=[-r, 0.0, r], epsabs=1e-13, limit=400)[0])


PHI = clone_overlap(1.0)
"""0.7752: phi at ``t_S``."""
CHOSEN = 2 * PHI - 1
"""0.5504: the same, counted from chance (0) to certainty (1)."""


class Classes(eqx.Module):
    """``P(c | y, s)`` for the classes of an empirical law or the components of a mixture.

    An empirical law's come from one pass of the kernel over patterns extended by their class as a unit vector, which
    the posterior mean then averages. A mixture whose components have one width is reduced to the span of its means:
    the rest is independent of the class.

    Attributes:
        law: the law that runs follow.
        marks: unit vectors (N, K) of the classes of patterns or components.
    """

    law: Empirical | GaussianMixture
    marks: Float[Array, "N K"]

    def posterior(self, y: Float[Array, " D"], s: Scalar) -> Float[Array, " K"]:
        """Probabilities of the classes, shape (K,)."""
        if isinstance(self.law, GaussianMixture):
            return jax.nn.softmax(self._gains(self.law, y, s)) @ self.marks
        size, kappa = y.shape[0], 1 / (s * s)
        log_u = None if self.law.weights is None else log_prior(self.law.weights)
        extended = jnp.concatenate([self.law.xi, self.marks.astype(self.law.xi.dtype)], axis=1)
        eta = jnp.concatenate([kappa * y, jnp.zeros(self.marks.shape[1], y.dtype)])
        return tilt(extended, log_u, eta, kappa).mean[size:]

    @staticmethod
    def _gains(law: GaussianMixture, y: Float[Array, " D"], s: Scalar) -> Float[Array, " N"]:
        spread = law.scales**2 + s * s
        away = jnp.sum(law.means**2, axis=1) - 2 * (law.means @ y) + y @ y
        return log_prior(law.weights) - 0.5 * away / spread - 0.5 * y.shape[0] * jnp.log(spread)

    @property
    def prior(self) -> Float[Array, " K"]:
        """Shares of the classes, shape (K,)."""
        weights = self.law.weights
        return jnp.mean(self.marks, axis=0) if weights is None else weights @ self.marks


def classes_of(law: Any, classes: Int[np.ndarray, " N"] | None) -> Classes:
    """The classes of a law: labels of its patterns, or by default the components of a mixture.

    Arguments:
        law: an `Empirical` law or a `GaussianMixture`.
        classes: whole numbers, one for each pattern or component, shape (N,).

    Raises:
        InputError: another law, labels that do not fit, or fewer than two classes.
    """
    if not isinstance(law, Empirical | GaussianMixture):
        msg = f"law={type(law).__name__}: classes are known for dm.Empirical and dm.GaussianMixture"
        raise InputError(msg)
    count = (law.xi if isinstance(law, Empirical) else law.means).shape[0]
    if classes is None and isinstance(law, Empirical):
        msg = "classes=None: patterns have no classes of their own, give one whole number for each"
        raise InputError(msg)
    labels = np.arange(count) if classes is None else np.asarray(classes)
    if labels.shape != (count,) or labels.dtype.kind not in "iub":
        msg = f"classes of shape {labels.shape!r}, {labels.dtype}: need whole numbers of shape ({count},)"
        raise InputError(msg)
    names, index = np.unique(labels, return_inverse=True)
    if len(names) < 2:
        msg = f"classes: all are {names[0]!s}; need at least two classes"
        raise InputError(msg)
    marks = jnp.asarray(np.eye(len(names))[index])
    return Classes(_reduced(law) if isinstance(law, GaussianMixture) else law, marks)


def _reduced(law: GaussianMixture) -> GaussianMixture:
    """The mixture in the span of its means, where all its scales are one."""
    scales = np.asarray(law.scales)
    if np.ptp(scales) > 0:
        return law
    centred = np.asarray(law.means - (law.weights @ law.means)[None])
    _, sizes, axes = np.linalg.svd(centred, full_matrices=False)
    kept = axes[sizes > 1e-12 * max(float(sizes[0]), 1e-300)]
    return GaussianMixture(centred @ kept.T, law.scales, law.weights) if 0 < len(kept) < centred.shape[1] else law


@eqx.filter_jit
def agreements(classes: Classes, states: Float[Array, "B D"], s: Scalar) -> Float[Array, " B"]:
    """``sum_c P(c | y, s)^2`` at each state, shape (B,)."""
    return jax.vmap(lambda y: jnp.sum(classes.posterior(y, s) ** 2))(states)


@eqx.filter_jit
def _ends(classes: Classes, states: Float[Array, "B D"], s: Scalar) -> Int[Array, " B"]:
    return jax.vmap(lambda y: jnp.argmax(classes.posterior(y, s)))(states)


def chosen(classes: Classes, keys: Array, s: float) -> Float[np.ndarray, " B"]:
    """``(sum_c P^2 - phi_0)/(1 - phi_0)`` at states of ``p_s``: its mean is 0 by chance, 1 if all is decided."""
    level, chance = level_of(s), float(jnp.sum(classes.prior**2))
    return (np.asarray(agreements(classes, states_at(classes.law, keys, level), level)) - chance) / (1 - chance)


def clones(
    law: Empirical | GaussianMixture, s: float, key: PRNGKeyArray, *, classes: Any = None, n: int = 1000,
    steps: int = 96, s_end: float | None = None,
) -> Clones:  # fmt: skip
    """Pairs of runs of the reverse SDE from common states at level ``s``: how often they end in one class.

    The runs are Diffrax solves of ``ReverseSDE(churn=1)`` by `DPMSolverSDE`, uniform in ``lam``; a run's class is the
    likeliest one at its end. (Coarse steps decide too often: `DDPM` by 0.02 at 32 steps, this one by 0.006 at 48, not
    measurably at 96.)

    Arguments:
        law: patterns or a mixture.
        s: noise level of the states, positive.
        key: of states and noises.
        classes: labels (N,); the components of a mixture by default.
        n: pairs.
        steps: of each run.
        s_end: where runs end, ``s/100`` by default.

    Raises:
        InputError: what cannot be used, or a run that ends in what is no number.
    """
    require_positive("s", s, scalar=True)
    known = classes_of(law, classes)
    end = s / 100 if s_end is None else s_end
    if not 0 < end < s or n < 2 or steps < 1:
        msg = f"s_end={end!r}, n={n!r}, steps={steps!r}: need 0 < s_end < s, two pairs and one step"
        raise InputError(msg)
    level, last = level_of(s), level_of(end)
    start, *noises = jr.split(key, 3)
    states = states_at(known.law, jr.split(start, n), level)
    found = [np.asarray(_ends(known, _run(known, states, one, (s, end, steps)), last)) for one in noises]
    same, values = int(np.sum(found[0] == found[1])), np.asarray(agreements(known, states, level))
    reach = Z * float(values.std(ddof=1)) / math.sqrt(n)
    mean = float(values.mean())
    low, high = (float(side[0]) for side in wilson(np.array([same]), n, LEVEL))
    return Clones(s, mean, (mean - reach, mean + reach), same, n, low, high)


def _run(classes: Classes, states: Float[Array, "B D"], key: PRNGKeyArray, grid: tuple) -> Float[Array, "B D"]:
    """Final states of the runs, in chunks of one size."""
    high, low, steps = grid
    ts = jnp.linspace(-math.log(high), -math.log(low), steps + 1)
    flow = ReverseSDE(DiffusionPath(EDM(), classes.law))  # no schedule enters on clock "lam"
    size, ends = min(len(states), CHUNK), []
    for first in range(0, len(states), size):
        part = states[jnp.arange(first, first + size) % len(states)]
        last = _solved(flow, part, ts, jr.split(jr.fold_in(key, first), size))
        if not bool(jnp.all(jnp.isfinite(last))):
            msg = f"s={high!r}: {int(jnp.sum(~jnp.isfinite(last)))} numbers at the ends of runs are not finite"
            raise InputError(msg)
        ends.append(last)
    return jnp.concatenate(ends)[: len(states)]


@eqx.filter_jit
def _solved(flow: ReverseSDE, states: Array, ts: Array, keys: Array) -> Array:
    solver = DPMSolverSDE()

    def one(y: Array, key: PRNGKeyArray) -> Array:
        control = brownian(flow.diffusion(ts[0], y, None), (ts[0], ts[-1]), False, levy_area(solver), key)
        last: Any = scan_solve(flow.terms(control), solver, ts, y).ys
        return last[-1]

    return jax.vmap(one)(states, keys)
