r"""Gradient flow ``dx/dt = -M grad E``: ``dE/dt = -grad E . M grad E <= 0`` if ``M + M^T`` is positive semidefinite."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import lineax as lx
import numpy as np
from jaxtyping import Array, Float, PyTree

from .._errors import InputError
from .._types import EnergyFn, Time
from .._validate import concrete
from ._base import AbstractODEFlow


class GradientFlow(AbstractODEFlow):
    """``dx/dt = -M grad E(t, x)``.

    Arguments:
        energy: any function ``E(t, x)``.
        preconditioner: ``M``: None (identity), a diagonal (D,), a matrix (D, D), a Lineax operator, or a function
            ``(t, x) -> one of these`` for one that depends on the state. Known arrays must be positive definite.
    """

    energy: EnergyFn
    preconditioner: Float[Array, " D"] | Float[Array, "D D"] | lx.AbstractLinearOperator | Callable | None = None

    def __check_init__(self) -> None:
        known = concrete(self.preconditioner)
        if known is None:
            return
        if known.ndim not in (1, 2):
            msg = f"preconditioner.shape={known.shape!r}: need a diagonal (D,) or a matrix (D, D)"
            raise InputError(msg)
        least = known.min() if known.ndim == 1 else np.linalg.eigvalsh(0.5 * (known + known.T)).min()
        if not least > 0:
            msg = f"preconditioner has eigenvalue {float(least):.3g}: its symmetric part must be positive definite"
            raise InputError(msg)

    def drift(self, t: Time, x: Float[Array, " D"], args: PyTree) -> Float[Array, " D"]:
        """``-M grad E``."""
        slope = jax.grad(self.energy, argnums=1)(t, x)
        operator = self.mobility(t, x)
        return -slope if operator is None else -operator.mv(slope)

    def mobility(self, t: Time, x: Float[Array, " D"]) -> lx.AbstractLinearOperator | None:
        """``M`` as an operator."""
        given = self.preconditioner
        if callable(given) and not isinstance(given, lx.AbstractLinearOperator):
            given = given(t, x)
        if given is None or isinstance(given, lx.AbstractLinearOperator):
            return given
        matrix = jnp.asarray(given, x.dtype)
        if matrix.shape not in (x.shape, 2 * x.shape):
            msg = f"preconditioner.shape={matrix.shape!r}: need (D,) or (D, D) with D={x.shape[0]}, as the states have"
            raise InputError(msg)
        return lx.DiagonalLinearOperator(matrix) if matrix.ndim == 1 else lx.MatrixLinearOperator(matrix)
