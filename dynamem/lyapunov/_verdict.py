"""Verdicts: an answer with its evidence, never a bare bool.

Strongest first: ``proved`` (symbolic), ``certified`` (a region, by interval arithmetic), ``holds`` (samples, no rise:
evidence, no proof), ``broken`` (a witness that replays), ``undecided``, ``failed`` (the computation, or the question).
"""

from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from .._errors import InputError
from ._generator import Sense, generator


STATUSES = ("proved", "certified", "holds", "broken", "undecided", "failed")


class Witness(eqx.Module):
    """One place where an energy rises: a step from ``(t0, x0)`` to ``(t1, x1)``, or a rate at ``(t0, x0)``.

    Attributes:
        kind: "step" (values at the ends of a solver's step) or "rate" (generator, `x1` is None).
        t0: time at the start, on the energy's clock.
        x0: state at the start, shape (D,).
        t1: time at the end of the step.
        x1: state at the end of the step.
        change: ``E(t1, x1) - E(t0, x0)``, or the rate.
        martingale: the part of ``change`` that the noise ``grad E . g dW`` of this very step made, 0 where a step is
            judged by all of its change: a step of an SDE counts for ``change - martingale``.
        interpretation: sense of the noise in a rate, "ito" or "stratonovich".
    """

    kind: str
    t0: float
    x0: Float[Array, " D"]
    t1: float | None
    x1: Float[Array, " D"] | None
    change: float
    martingale: float = 0.0
    interpretation: Sense = "ito"

    def replay(self, energy: Any, flow: Any = None, args: PyTree = None) -> float:
        """Compute ``change`` again from the stored states; it must come out the same, up to rounding.

        Arguments:
            energy: the energy of the verdict.
            flow: its flow or terms; a step needs none.
            args: what the terms were given.
        """
        t0 = jnp.asarray(self.t0, self.x0.dtype)
        if self.kind == "rate":
            return float(generator(energy, flow, self.interpretation)(t0, self.x0, args).total)
        if self.t1 is None or self.x1 is None:
            msg = f"witness kind={self.kind!r} has no end point: it cannot be replayed as a step"
            raise InputError(msg)
        return float(energy(jnp.asarray(self.t1, self.x0.dtype), self.x1) - energy(t0, self.x0))


class Verdict(eqx.Module):
    """What was found, where, to what tolerance, and on what evidence.

    Attributes:
        status: one of `STATUSES`.
        reason: one sentence that a person can act on.
        region: the states and times that were examined, and the arithmetic.
        tolerance: rise that counts as rounding, the largest over what was examined.
        witness: where it broke, None otherwise.
        evidence: counts and sizes by kind (steps, dense output, rate, mean; climbs of a search).
    """

    status: str
    reason: str
    region: str
    tolerance: float
    witness: Witness | None
    evidence: dict[str, Any]

    def __check_init__(self) -> None:
        if self.status not in STATUSES:
            msg = f"status={self.status!r}: choose one of {STATUSES}"
            raise InputError(msg)
        if (self.status == "broken") != (self.witness is not None):
            msg = f"status={self.status!r}: a broken verdict, and no other, carries a witness"
            raise InputError(msg)
