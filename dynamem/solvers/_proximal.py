r"""Proximal steps: implicit Euler as a minimisation (Martinet 1970; De Giorgi's minimising movements).

A step of length h of ``dx/dt = -M grad E``, for a symmetric M, goes from x to

    y = argmin  E(y) + (y - x).M^-1 (y - x)/2h,

whose gradient is implicit Euler's equation ``y = x - h M grad E(y)``. At any y, minimal or not, where what is minimised
is not above its value at ``y = x``,

    E(y) <= E(x) - (y - x).M^-1 (y - x)/2h,

so that E does not rise at any h. The step asks for just this, up to rounding, and else says that it has failed. If
``M^{1/2} (Hess E) M^{1/2} >= -mu I``, then y is unique and implicit Euler's for ``h < 1/mu``; at longer steps it is one
of several, of which descent holds all the same.
"""

from typing import Any

import diffrax as dfx
import equinox as eqx
import optimistix as optx
from jaxtyping import Array, Float, Scalar

from ..energies import magnitude, rounding_bound
from ..flows import GradientFlow
from ._implicit import AbstractImplicit, Held, damped


class Proximal(AbstractImplicit):
    """Steps of a gradient flow that minimise ``E(y) + |y - x|^2/2h``, and never raise E beyond rounding.

    Arguments:
        flow: the `GradientFlow` whose energy and (symmetric) preconditioner these are; that behind the terms if None.
        minimiser: any Optimistix minimiser.
        most: its iterations.
    """

    flow: GradientFlow | None = None
    minimiser: optx.AbstractMinimiser = optx.BFGS(rtol=1e-8, atol=1e-10)
    most: int = eqx.field(default=256, static=True)

    def order(self, terms: Any) -> int:
        """First order."""
        del terms
        return 1

    def move(self, known: Held, h: Scalar, x: Float[Array, " D"], first: Float[Array, " D"]) -> tuple[Array, Any]:
        """Minimise from explicit Euler's z, cut to where what is minimised is not above its value at ``z = 0``."""
        here = known.energy(x)

        def merit(z: Float[Array, " D"]) -> Scalar:
            return (h * (known.energy(x + z) - here) + 0.5 * (z @ known.undo(z))) / (1 + h)

        start = damped(merit, first)
        solved = optx.minimise(lambda z, _: merit(z), self.minimiser, start, throw=False, max_steps=self.most)
        size = magnitude(known.at, known.t, x) + magnitude(known.at, known.t, x + solved.value)
        descends = merit(solved.value) <= h / (1 + h) * rounding_bound(size)
        result: Any = dfx.RESULTS.promote(solved.result)
        failed: Any = dfx.RESULTS.nonlinear_divergence
        return solved.value, dfx.RESULTS.where(descends, result, failed)
