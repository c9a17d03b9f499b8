r"""Convex splitting (Eyre 1998, MRS Proc. 529): ``E = A - B``, both convex, A taken implicitly and B explicitly.

    y = x - h M (grad A(y) - grad B(x)).

A lies above its tangent at y and B above that at x, so that, with ``z = y - x`` and the residual ``r = z + h M (grad
A(y) - grad B(x))``,

    E(y) - E(x) <= (grad A(y) - grad B(x)).z = -z.M^-1 z/h + z.M^-1 r/h:

E falls at every h, and the equation, which is that of a strictly convex minimum for symmetric M, has one solution. As
``h -> inf`` the step becomes ``grad A(y) = grad B(x)``, the concave-convex procedure (Yuille & Rangarajan 2003, Neural
Comput. 15), which for ``A = |x|^2/2`` and `LogSumExp` is its update (A5). As ``-M grad E`` at x is what the terms say,

    y = x + h (f(x) + M (grad A(x) - grad A(y)))

needs A alone, B being what is left. For ``A = L |x|^2/2``, with B convex iff ``Hess E <= L I``, and M the identity it
is explicit Euler with the step ``h/(1 + L h)``, whose limit ``1/L`` is half of what Euler may take (A8).
"""

from typing import Any

import diffrax as dfx
import equinox as eqx
import jax
import jax.numpy as jnp
import optimistix as optx
from jaxtyping import Array, Float, Scalar

from .._errors import InputError
from .._types import EnergyFn
from .._validate import require_positive
from ..energies import DenseMemory, FenchelYoung, LogSumExp
from ..flows import GradientFlow
from ._implicit import AbstractImplicit, Held, damped


def _part(convex: Any) -> Any:
    return convex if convex is None or callable(convex) else jnp.asarray(convex)


class ConvexSplitting(AbstractImplicit):
    """Steps of a gradient flow that take a convex part A of its energy implicitly and the rest explicitly.

    Where ``B = A - E`` is convex too, E falls at every h.

    Arguments:
        convex: A, a convex function ``A(t, x)``, or a number L for ``L |x|^2/2`` (non-negative). None for memories
            whose splitting is known: `LogSumExp` and `FenchelYoung` (L = 1), and `DenseMemory` of "exp", "rectified"
            or an even power (L = 0: their energy is concave, and every explicit step lowers it).
        flow: the `GradientFlow` whose energy and preconditioner these are; that behind the terms if None.
        root_finder: any Optimistix root finder.
        most: its iterations.
    """

    convex: EnergyFn | Float[Array, ""] | None = eqx.field(default=None, converter=_part)
    flow: GradientFlow | None = None
    root_finder: optx.AbstractRootFinder = optx.Newton(rtol=1e-10, atol=1e-12)
    most: int = eqx.field(default=256, static=True)

    def __check_init__(self) -> None:
        if self.convex is not None and not callable(self.convex):
            require_positive("convex", self.convex, zero=True, scalar=True)

    def order(self, terms: Any) -> int:
        """First order."""
        del terms
        return 1

    def move(self, known: Held, h: Scalar, x: Float[Array, " D"], first: Float[Array, " D"]) -> tuple[Array, Any]:
        """Solve ``z = first - h M (grad A(x + z) - grad A(x))``; in closed form for ``L |x|^2/2`` where M is 1."""
        A = splitting_of(known.at) if self.convex is None else self.convex
        if not callable(A):
            L = jnp.asarray(A, x.dtype)
            if known.mobility is None:
                return first / (1 + L * h), dfx.RESULTS.successful
            slope = lambda y: L * y  # noqa: E731
        else:
            slope = jax.grad(lambda y: A(known.t, y))
        here = slope(x)
        solved = optx.root_find(
            lambda z, _: (z - first + h * known.apply(slope(x + z) - here)) / (1 + h), self.root_finder,
            damped(lambda z: known.energy(x + z), first), throw=False, max_steps=self.most,
        )  # fmt: skip
        return solved.value, dfx.RESULTS.promote(solved.result)


def splitting_of(energy: EnergyFn) -> float:
    """The L of ``A = L |x|^2/2`` of a memory whose splitting is known."""
    if isinstance(energy, LogSumExp | FenchelYoung):
        return 1.0
    if isinstance(energy, DenseMemory) and (
        energy.F in ("exp", "rectified") or (energy.F == "power" and energy.n % 2 == 0)
    ):
        return 0.0
    msg = f"convex=None: no splitting of {type(energy).__name__} is known, give a convex A(t, x), or L >= its curvature"
    raise InputError(msg)
