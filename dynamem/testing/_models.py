"""Strategies of Hypothesis for whole models: schedules, mixtures, systems that are right, and their broken twins."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import diffrax as dfx
import equinox as eqx
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from hypothesis.extra import numpy as npst
from jaxtyping import Array

from .._errors import InputError
from ..catalog import System
from ..diffusion import EDM, VE, VP, Cosine, FlowMatching, GaussianMixture, SubVP, Trigonometric
from ._slips import SLIPS
from ._strategies import SHAPES, betas, eighths, patterns, states, weights
from ._subjects import SUBJECTS, Case, built


FAMILIES: dict[str, tuple[Any, list[tuple[float, ...]]]] = {
    "VP": (VP, [(low, high) for high in (20.0, 10.0, 5.0) for low in (0.1, 0.5, 1.0)]),
    "SubVP": (SubVP, [(low, high) for high in (20.0, 10.0, 5.0) for low in (0.1, 0.5, 1.0)]),
    "VE": (VE, [(0.01, 50.0), (0.01, 10.0), (0.01, 100.0)]),
    "Cosine": (Cosine, [(0.008,), (0.05,)]),
    "EDM": (EDM, [(80.0,), (10.0,)]),
    "FlowMatching": (FlowMatching, [()]),
    "Trigonometric": (Trigonometric, [()]),
}
"""Families of schedules and what they are made with, plain settings first."""


def schedules(families: Sequence[str] = tuple(FAMILIES)) -> st.SearchStrategy[Any]:
    """Schedules of dynamem's families.

    Raises:
        InputError: another family, or none.
    """
    wrong = [family for family in families if family not in FAMILIES]
    if wrong or not families:
        msg = f"families={families!r}: choose some of {tuple(FAMILIES)}"
        raise InputError(msg)
    some = [(FAMILIES[family][0], how) for family in families for how in FAMILIES[family][1]]
    return st.sampled_from(some).map(lambda pair: pair[0](*pair[1]))


class Knots(eqx.Module):
    """A variance-preserving schedule whose ``lam`` is linear between knots in equal steps of t.

    Attributes:
        knots: ``lam`` from t = 0 to t = 1, falling, shape (K,).
    """

    knots: Array = eqx.field(converter=jnp.asarray)

    def lam(self, t: Array) -> Array:
        """``log(alpha/sigma)``."""
        at = jnp.linspace(0.0, 1.0, len(self.knots), dtype=t.dtype)
        return jnp.interp(t, at, self.knots.astype(t.dtype))

    def alpha(self, t: Array) -> Array:
        """``1/sqrt(1 + exp(-2 lam))``."""
        return jnp.sqrt(jax.nn.sigmoid(2 * self.lam(t)))

    def sigma(self, t: Array) -> Array:
        """``1/sqrt(1 + exp(2 lam))``."""
        return jnp.sqrt(jax.nn.sigmoid(-2 * self.lam(t)))


def monotone_schedules(sizes: Sequence[int] = (5,)) -> st.SearchStrategy[Knots]:
    """Schedules of one's own: knots of ``lam`` that fall by 1/8 to 3 each, from 2 to 8 at t = 0."""
    if not sizes or min(sizes) < 2:
        msg = f"sizes={sizes!r}: need numbers of knots, at least 2"
        raise InputError(msg)

    def made(drawn: tuple[np.ndarray, int]) -> Knots:
        falls, top = drawn
        return Knots(np.concatenate([[float(top)], top - np.cumsum(falls) / 8]))

    def drawn(size: int) -> st.SearchStrategy[tuple[np.ndarray, int]]:
        falls = npst.arrays(np.int64, size - 1, elements=st.integers(1, 24), fill=st.just(8))
        return st.tuples(falls, st.integers(2, 8))

    return st.sampled_from(list(sizes)).flatmap(drawn).map(made)


SCHEDULE_SLIPS = ("turned", "flat", "noisy", "negative", "half g2")


class BrokenSchedule(eqx.Module):
    """A schedule with one slip.

    Attributes:
        of: the schedule.
        slip: "turned" runs from noise to data, "flat" adds no noise from t = 1/2 on, "noisy" starts with noise,
            "negative" has a negative sigma, "half g2" a diffusion that its alpha and sigma do not have.
    """

    of: Any
    slip: str = eqx.field(static=True)

    def alpha(self, t: Array) -> Array:
        """The signal."""
        return self.of.alpha(self._when(t))

    def sigma(self, t: Array) -> Array:
        """The noise."""
        sigma = self.of.sigma(self._when(t))
        return {"noisy": sigma + self.of.alpha(t) / 2, "negative": -sigma}.get(self.slip, sigma)

    def g2(self, t: Array) -> Array:
        """The square of the diffusion, right for "half g2" alone."""
        return 0.5 * self.of.g2(t)

    def _when(self, t: Array) -> Array:
        return {"turned": 1 - t, "flat": jnp.minimum(t, jnp.asarray(0.5, t.dtype))}.get(self.slip, t)


def broken_schedules() -> st.SearchStrategy[BrokenSchedule]:
    """Schedules with one slip each, which `assert_schedule` sees."""
    return st.builds(BrokenSchedule, schedules(), st.sampled_from(SCHEDULE_SLIPS))


def mixtures(
    shapes: Sequence[tuple[int, int]] = SHAPES,
) -> st.SearchStrategy[GaussianMixture]:
    """Gaussian mixtures of K components in D coordinates, with scales from 1/8 to 1."""

    def made(xi: np.ndarray) -> st.SearchStrategy[GaussianMixture]:
        scales = npst.arrays(np.int64, len(xi), elements=st.integers(1, 8), fill=st.just(4)).map(lambda k: k / 8)
        return st.tuples(scales, weights(len(xi))).map(
            lambda pair: GaussianMixture(jnp.asarray(xi), *map(jnp.asarray, pair))
        )

    return patterns(shapes).flatmap(made)


def _system(case: Case, x: np.ndarray, xi: np.ndarray) -> System:
    last = case.t1 if case.t1 > case.t0 else 4.0
    same = x.shape[1] == xi.shape[1]
    return System(case.energy, case.flow, x, case.t0, last, jnp.asarray(xi) if same else None)


STEADY = tuple(name for name in SUBJECTS if "update" not in name)
"""Names of the systems that flow; the others are updates."""


def systems(
    shapes: Sequence[tuple[int, int]] = SHAPES, names: Sequence[str] = STEADY
) -> st.SearchStrategy[System]:  # fmt: skip
    """Systems whose energy falls by theorem, over the catalogue: energies with flows, and states about the patterns.

    Arguments:
        shapes: of patterns.
        names: of `STEADY`.

    Raises:
        InputError: another name, or none.
    """
    _require_names(names)

    def made(name: str) -> st.SearchStrategy[System]:
        return drawn_case(name, shapes).map(lambda drawn: _system(built(name, *drawn[:2]), drawn[2], drawn[0]))

    return st.sampled_from(list(names)).flatmap(made)


def _require_names(names: Sequence[str]) -> None:
    if not names or any(name not in STEADY for name in names):
        msg = f"names={names!r:.80}: choose some of {STEADY}"
        raise InputError(msg)


def drawn_case(name: str, shapes: Sequence[tuple[int, int]]) -> st.SearchStrategy[tuple[np.ndarray, float, np.ndarray]]:
    """Patterns, an inverse temperature, and states of a subject."""
    subject = SUBJECTS[name]
    return patterns(shapes, subject.kinds).flatmap(
        lambda xi: st.tuples(st.just(xi), betas(0.5, 8.0), states(xi).map(lambda x: subject.states(xi, x)))
    )


class Twin(NamedTuple):
    """A system with one slip.

    Attributes:
        system: energy and flow, which do not belong together.
        slip: of `SLIPS`.
        words: what is wrong.
    """

    system: System
    slip: str
    words: str


def twins(
    shapes: Sequence[tuple[int, int]] = SHAPES, names: Sequence[str] = STEADY, slips: Sequence[str] = tuple(SLIPS)
) -> st.SearchStrategy[Twin]:  # fmt: skip
    """Broken twins of `systems`, one slip each; `assert_gradient_flow` or `assert_lyapunov` sees it, but at rest.

    Arguments:
        shapes: of patterns.
        names: of `STEADY`.
        slips: of `SLIPS`.

    Raises:
        InputError: another name, or no slip that fits one of the names.
    """
    _require_names(names)
    pairs = [(name, slip) for name in names for slip in slips if slip in SLIPS and name in SLIPS[slip].fits]
    if not pairs:
        msg = f"slips={slips!r:.80}, names={names!r:.80}: choose some of {tuple(SLIPS)} that fit the names"
        raise InputError(msg)

    def made(pair: tuple[str, str]) -> st.SearchStrategy[Twin]:
        name, slip = pair

        def broken(drawn: tuple[np.ndarray, float, np.ndarray]) -> Twin:
            xi, beta, x = drawn
            case = SLIPS[slip].made(SUBJECTS[name].build, jnp.asarray(xi), jnp.asarray(beta))
            return Twin(_system(case, x, xi), slip, SLIPS[slip].words)

        return drawn_case(name, shapes).map(broken)

    return st.sampled_from(pairs).flatmap(made)


class Quadratic(eqx.Module):
    """``x.P x/2``."""

    p: Array

    def __call__(self, t: Array, x: Array) -> Array:
        """The energy, which ignores the time."""
        del t
        return 0.5 * x @ (self.p @ x)


class Linear(eqx.Module):
    """``A x``, and the noise ``B + x b^T``."""

    a: Array
    noise: Array
    factor: Array

    def drift(self, t: Any, x: Any, args: Any) -> Array:
        """``A x``."""
        return self.a @ x

    def diffusion(self, t: Any, x: Any, args: Any) -> Array:
        """``B + x b^T``, shape (D, D)."""
        return self.noise + x[:, None] * self.factor[None]


class Process(NamedTuple):
    """A linear SDE and a quadratic energy, of which the mean rate is known.

    Attributes:
        energy: ``x.P x/2``.
        terms: Diffrax terms of ``dx = A x dt + (B + x b^T) dW``.
        rate: ``(t, x) -> x.P A x + tr(g^T P g)/2`` with ``g = B + x b^T``, in the Ito sense.
    """

    energy: Quadratic
    terms: Any
    rate: Callable[[Any, np.ndarray], float]


def processes(size: int = 2) -> st.SearchStrategy[Process]:
    """SDEs of ``size`` coordinates with a known generator."""

    def made(entries: np.ndarray) -> Process:
        a, b, p = entries[: 3 * size * size].reshape(3, size, size)
        p, factor = 0.5 * (p + p.T), entries[3 * size * size :]
        field = Linear(*map(jnp.asarray, (a, b, factor)))
        path = dfx.UnsafeBrownianPath((size,), jr.key(0))

        def rate(t: Any, x: np.ndarray) -> float:
            del t
            g = b + x[:, None] * factor[None]
            return float(x @ p @ a @ x + 0.5 * np.trace(g.T @ p @ g))

        terms = dfx.MultiTerm(dfx.ODETerm(field.drift), dfx.ControlTerm(field.diffusion, path))
        return Process(Quadratic(jnp.asarray(p)), terms, rate)

    return eighths((3 * size * size + size,), 8).map(made)
