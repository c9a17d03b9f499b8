r"""Retrieval of random patterns of +1 and -1 by many units at once, as products of matrices.

For an energy ``E = -sum_mu F(m_mu)`` of the overlaps ``m_mu = xi_mu.x`` unit i is flipped where that lowers E (Krotov &
Hopfield 2016, arXiv 1606.01164, eq. 5). Since ``xi_mu,i x_i = s`` is +1 or -1, ``F(m - 2 s)`` is linear in s, and

    E(flipped) - E = A + x_i sum_mu xi_mu,i B_mu,     A = sum_mu F(m) - (F(m + 2) + F(m - 2))/2,
                                                      B_mu = (F(m + 2) - F(m - 2))/2,

which needs two products of matrices for all units of all states. ``F = z^2`` is Hopfield's network with Hebb's
couplings without diagonal: a quarter of it is ``x_i sum_mu xi_mu,i m_mu - N``, whole numbers, which float32 has exactly
up to 2^24; ``z^n`` in float64 is exact up to 2^53. For ``e^z`` all is divided by ``e^max(m)``, which changes no sign.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from .._errors import InputError


KINDS = ("power", "rectified", "exponential", "log_sum_exp")
EXACT32 = 2**24
STILL = 1e-6


@dataclasses.dataclass(frozen=True)
class Retrieval:
    """How patterns are retrieved.

    Attributes:
        kind: "power" (``F = z^n``; n = 2 is Hopfield's network), "rectified" (``max(z, 0)^n``), "exponential"
            (``F = e^z``), "log_sum_exp" (``x <- sum_mu softmax(beta xi x) xi``, states of real numbers), or a function
            from patterns (N, D) to an update from state (D,) to state (D,).
        n: the power.
        beta: of "log_sum_exp".
        sweeps: how often every unit is updated, at most; fewer where nothing moves any more.
        blocks: 1 updates all units in parallel, D one after the other, others so many blocks in turn.
    """

    kind: str | Callable[[Any], Callable[[Any], Any]]
    n: int = 2
    beta: float = 1.0
    sweeps: int = 50
    blocks: int = 1

    def __post_init__(self) -> None:
        if not (callable(self.kind) or self.kind in KINDS):
            msg = f"kind={self.kind!r}: choose one of {KINDS}, or a function from patterns to an update"
            raise InputError(msg)
        if self.n < 2 or self.sweeps < 1 or self.blocks < 1 or not self.beta > 0:
            msg = (
                f"n={self.n!r}, sweeps={self.sweeps!r}, blocks={self.blocks!r}, beta={self.beta!r}: need n >= 2, the "
                "others positive"
            )
            raise InputError(msg)

    def __call__(self, xi: np.ndarray, cues: np.ndarray) -> np.ndarray:
        """What is retrieved from ``cues`` (B, D) with patterns ``xi`` (N, D): states (B, D)."""
        if self.kind == "log_sum_exp":
            step = self._softmax
        elif callable(self.kind):
            step = _users(self.kind, xi)
        else:
            step = self._flips
        x = np.array(cues, xi.dtype)
        active = np.arange(len(x))
        for _ in range(self.sweeps):
            after = step(xi, x[active])
            moved = np.linalg.norm(after - x[active], axis=1) > STILL
            x[active] = after
            active = active[moved]
            if not len(active):
                break
        return x

    def dtype(self, size: int, count: int) -> type:
        """The dtype in which ``count`` patterns of ``size`` units are exact, or float64."""
        whole = self.kind == "power" and self.n == 2 and size * count < EXACT32
        return np.float32 if whole else np.float64

    def _flips(self, xi: np.ndarray, x: np.ndarray) -> np.ndarray:
        states, m = x.T.copy(), xi @ x.T
        for block in np.array_split(np.arange(xi.shape[1]), min(self.blocks, xi.shape[1])):
            old, some = states[block], xi[:, block[0] : block[-1] + 1]
            states[block] = np.where(self.costs(some, m, old) < 0, -old, old)
            if self.blocks > 1:
                m += some @ (states[block] - old)
        return states.T

    def costs(self, xi: np.ndarray, m: np.ndarray, x: np.ndarray) -> np.ndarray:
        """``E(flipped) - E`` up to a positive factor, for each unit of ``xi`` (N, d) and each state of ``x`` (d, B)."""
        if self.kind == "power" and self.n == 2:
            return x * (xi.T @ m) - np.asarray(len(m), m.dtype)
        m = m - m.max(axis=0, keepdims=True) if self.kind == "exponential" else m
        up, down = self._values(m + 2), self._values(m - 2)
        constant = np.sum(self._values(m) - (up + down) / 2, axis=0)
        return constant[None, :] + x * (xi.T @ ((up - down) / 2))

    def _values(self, z: np.ndarray) -> np.ndarray:
        if self.kind == "exponential":
            return np.exp(z)
        return (np.maximum(z, 0) if self.kind == "rectified" else z) ** self.n

    def _softmax(self, xi: np.ndarray, x: np.ndarray) -> np.ndarray:
        logits = self.beta * (x @ xi.T)
        weights = np.exp(logits - logits.max(axis=1, keepdims=True))
        return (weights / weights.sum(axis=1, keepdims=True)) @ xi


def _users(
    kind: Callable[[Any], Callable[[Any], Any]], xi: np.ndarray
) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    update = kind(jnp.asarray(xi))
    run = eqx.filter_jit(lambda update, x: jax.vmap(update)(x))

    def step(xi: np.ndarray, x: np.ndarray) -> np.ndarray:
        padded = np.concatenate([x, np.repeat(x[-1:], -len(x) % 16, axis=0)])  # few shapes, hence few compilations
        return np.asarray(run(update, jnp.asarray(padded)))[: len(x)]

    return step
