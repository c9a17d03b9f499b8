"""Slips that people make around a formula: a stale parameter, a wrong clock, a wrong gauge, a turned sign."""

from collections.abc import Callable
from typing import Any, NamedTuple

import diffrax as dfx
import equinox as eqx
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array

from ..flows import AbstractSDEFlow, Map
from ._subjects import SUBJECTS, Case


class Field(eqx.Module):
    """A drift, or an update ``x -> f(x)``, that is not what it was.

    Attributes:
        of: a flow, or a `Map`.
        slip: what is wrong with it.
    """

    of: Any
    slip: str = eqx.field(static=True)

    def __call__(self, t: Any, x: Any = None, args: Any = None) -> Array:
        """The drift ``(t, x, args) -> (D,)``; of an update ``(x) -> (D,)``."""
        if isinstance(self.of, Map):
            step = self.of(t) - t
            return t + self._changed(step)
        when = {"late clock": t + 0.5, "turned clock": -t}.get(self.slip, t)
        return self._changed(self.of.drift(when, x, args))

    def _changed(self, v: Array) -> Array:
        return -v if self.slip == "turned" else jnp.roll(v, 1) if self.slip == "rolled" else v


class Energy(eqx.Module):
    """An energy that is not what it was.

    Attributes:
        of: ``E(t, x)``.
        slip: what is wrong with it.
    """

    of: Callable
    slip: str = eqx.field(static=True)

    def __call__(self, t: Any, x: Array) -> Array:
        """``E(t, x)``, wrong."""
        match self.slip:
            case "scaled":
                return 1.5 * self.of(t, x)
            case "tilted":
                return self.of(t, x) + 0.125 * x[0]
            case "late energy":
                return self.of(t + 0.5, x)
            case "other gauge":  # x = alpha y of a path of unit variance in place of y
                return self.of(t, x / jnp.sqrt(1 + jnp.exp(-2 * t)))
            case "no temperature":
                return jnp.exp(2 * t) * self.of(t, x)
        msg = f"slip={self.slip!r} is none of an energy"
        raise ValueError(msg)


def terms_of(flow: Any, drift: Callable, size: int, noise: Callable | None = None) -> Any:
    """Diffrax terms of another drift, and of the flow's own noise if it has any (or another); a `Map` of a map."""
    if isinstance(flow, Map):
        return Map(drift)
    if not isinstance(flow, AbstractSDEFlow):
        return dfx.ODETerm(drift)
    path = dfx.UnsafeBrownianPath((size,), jr.key(0))
    return dfx.MultiTerm(dfx.ODETerm(drift), dfx.ControlTerm(flow.diffusion if noise is None else noise, path))


Built = Callable[[Array, Array], Case]


def _flow_of(change: Callable[[Array, Array], tuple[Array, Array]]) -> Callable[[Built, Array, Array], Case]:
    """The energy of these numbers, and the flow of others."""

    def made(build: Built, xi: Array, beta: Array) -> Case:
        right, other = build(xi, beta), build(*change(xi, beta))
        return Case(right.energy, other.flow, right.t0, right.t1, right.mobility)

    return made


def _field(slip: str) -> Callable[[Built, Array, Array], Case]:
    def made(build: Built, xi: Array, beta: Array) -> Case:
        right = build(xi, beta)
        flow = terms_of(right.flow, Field(right.flow, slip), xi.shape[1])
        return Case(right.energy, flow, right.t0, right.t1, right.mobility)

    return made


def _energy(slip: str) -> Callable[[Built, Array, Array], Case]:
    def made(build: Built, xi: Array, beta: Array) -> Case:
        right = build(xi, beta)
        return Case(Energy(right.energy, slip), right.flow, right.t0, right.t1, right.mobility)

    return made


class Slip(NamedTuple):
    """A slip.

    Attributes:
        words: what it is.
        made: ``(build, xi, beta) -> Case``.
        fits: names of the subjects in which it is one.
    """

    words: str
    made: Callable[[Built, Array, Array], Case]
    fits: frozenset[str]


def _names(*kinds: str) -> frozenset[str]:
    return frozenset(name for name in SUBJECTS if any(kind in name for kind in kinds))


ALL = frozenset(SUBJECTS)
OWN = _names("VP", "FlowMatching")  # subjects in the coordinates of a schedule
TIMED = _names("free_energy") - OWN
TEMPERED = _names("log_sum_exp", "sparse_memory", "universal")

SLIPS = {
    "turned": Slip("the drift has the wrong sign", _field("turned"), ALL),
    "rolled": Slip("the entries of the drift are one place off", _field("rolled"), ALL),
    "stale beta": Slip("the flow has another beta", _flow_of(lambda xi, beta: (xi, 1.25 * beta)), TEMPERED),
    "stale pattern": Slip("the flow has an old pattern", _flow_of(lambda xi, beta: (xi.at[0].add(0.5), beta)), ALL),
    "lost pattern": Slip("the flow lacks a pattern", _flow_of(lambda xi, beta: (xi[1:], beta)),
                         ALL - _names("krotov", "oscillators")),
    "late clock": Slip("the flow reads a later time", _field("late clock"), TIMED),
    "turned clock": Slip("the flow's time runs backward", _field("turned clock"), TIMED),
    "late energy": Slip("the energy reads a later time", _energy("late energy"), TIMED),
    "other gauge": Slip("the energy takes x for y", _energy("other gauge"), TIMED),
    "no temperature": Slip("-log Z in place of -s^2 log Z", _energy("no temperature"),
                           TIMED),
    "scaled": Slip("the energy has a factor 3/2", _energy("scaled"), ALL - OWN - _names("krotov", "update")),
    "tilted": Slip("the energy has a term too much", _energy("tilted"), ALL),
}  # fmt: skip
"""Each breaks what is true of the subjects that it fits."""
