r"""What happens near a fixed point: eigenvalues of the Jacobian, the unstable ones among them, and its null space.

A flow is stable where every eigenvalue ``mu`` of ``dF/dx`` has a negative real part, a map ``x -> x + F(x)`` where
every ``|1 + mu|`` is below 1. A symmetric Jacobian (that of a gradient flow) is treated as one. How far an eigenvalue
``e`` may be off is told by how much the Jacobian changes over twice the last Newton step: at a double root, where no
iteration comes close, that is as much as the eigenvalue itself, at a simple one it is rounding.
"""

import dataclasses
from typing import Any

import jax.numpy as jnp
import numpy as np
import scipy.sparse.linalg as sparse
from jaxtyping import Complex, Float

from ._field import Field
from ._newton import DENSE, product, value_and_jacobian


ROUNDING = 1e-8
"""Eigenvalues and singular values below this part of the largest are 0."""
SYMMETRIC = 1e-9
EXTREME = 6
"""Eigenvalues at either end, where the matrix is not formed."""


@dataclasses.dataclass(frozen=True)
class Spectrum:
    """The linearisation at a point.

    Attributes:
        eigenvalues: of ``dF/dx``, the least stable first; real if it is symmetric. Shape (D,), or (k,) if only the
            ``k`` extreme ones are known.
        index: number of unstable directions that were found.
        exact: whether there are no more of them than that.
        marginal: number of eigenvalues at the edge of stability, to tolerance.
        null: an orthonormal basis of the null space to tolerance, shape (D, n).
        step: length of one more Newton step, by least squares; None where the matrix is not formed.
    """

    eigenvalues: Float[np.ndarray, " k"] | Complex[np.ndarray, " k"]
    index: int
    exact: bool
    marginal: int
    null: Float[np.ndarray, "D n"]
    step: float | None


def spectrum_at(field: Field, x: np.ndarray, size: float) -> Spectrum:
    """The spectrum at a point (D,).

    Arguments:
        field: ``F``.
        x: a point where ``F`` is 0, or nearly.
        size: a typical size of the Jacobian elsewhere, so that one that vanishes at ``x`` is seen to be small.
    """
    if len(x) > DENSE:
        return _extreme(field, x, size)
    value, matrix = _numbers(field, x)
    least = ROUNDING * max(float(np.linalg.norm(matrix, 2)), size)
    step = np.linalg.lstsq(matrix, value, rcond=1e-12)[0]
    _, moved = _numbers(field, x - 2 * step)
    off = 2 * float(np.linalg.norm(moved - matrix, 2))
    level = max(least, off if np.isfinite(off) else np.inf)
    _, values, rows = np.linalg.svd(matrix)
    eigenvalues = _eigenvalues(matrix)
    growth = _growth(field, eigenvalues)
    found = int(np.sum(growth > level)), True, int(np.sum(np.abs(growth) <= level))
    return Spectrum(eigenvalues[np.argsort(-growth, kind="stable")], *found, rows[values <= level].T, _length(step))


def _length(step: np.ndarray) -> float:
    return float(np.linalg.norm(step))


def _numbers(field: Field, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    value, matrix = value_and_jacobian(field, jnp.asarray(x))
    return np.asarray(value), np.asarray(matrix)


def _eigenvalues(matrix: np.ndarray) -> np.ndarray:
    if np.max(np.abs(matrix - matrix.T)) <= SYMMETRIC * np.max(np.abs(matrix), initial=0.0):
        return np.linalg.eigvalsh(0.5 * (matrix + matrix.T))
    return np.linalg.eigvals(matrix)


def _growth(field: Field, eigenvalues: np.ndarray) -> np.ndarray:
    """Positive for what is unstable: the real part, of a map ``|1 + mu| - 1``."""
    return np.abs(1 + eigenvalues) - 1 if field.is_map else np.real(eigenvalues)


def _extreme(field: Field, x: np.ndarray, size: float) -> Spectrum:
    """The extreme eigenvalues by ARPACK, which only multiplies by the Jacobian."""
    count, at = len(x), jnp.asarray(x)

    def times(v: np.ndarray) -> np.ndarray:
        return np.asarray(product(field, at, jnp.asarray(v.reshape(-1).astype(float))))

    operator: Any = sparse.LinearOperator((count, count), matvec=times, dtype=np.float64)  # type: ignore[call-arg]
    random = np.random.default_rng(0)
    u, v, v0 = random.standard_normal((3, count))
    symmetric = abs(u @ times(v) - v @ times(u)) <= SYMMETRIC * np.linalg.norm(u) * np.linalg.norm(times(v))
    solve: Any = sparse.eigsh if symmetric else sparse.eigs
    sides = ("LA", "SA") if symmetric else ("LR", "SR")
    if field.is_map and not symmetric:
        ends = [_largest(operator, v0)]
    else:
        ends = [np.asarray(solve(operator, EXTREME, which=end, v0=v0, return_eigenvectors=False)) for end in sides]
    eigenvalues = np.concatenate(ends)
    growth = _growth(field, eigenvalues)
    level = ROUNDING * max(float(np.max(np.abs(eigenvalues))), size)
    # the others lie between the ends: none is unstable if something stable is at each end where they could be
    sides = ends if field.is_map else ends[:1]
    exact = all(bool(np.min(_growth(field, side)) < -level) for side in sides)
    order = np.argsort(-growth, kind="stable")
    found = int(np.sum(growth > level)), exact, int(np.sum(np.abs(growth) <= level))
    return Spectrum(eigenvalues[order], *found, np.zeros((count, 0)), None)


def _largest(operator: Any, v0: np.ndarray) -> np.ndarray:
    """Eigenvalues ``mu`` with the largest ``|1 + mu|``."""

    def times(v: np.ndarray) -> np.ndarray:
        return v.reshape(-1) + operator.matvec(v)

    whole: Any = sparse.LinearOperator(operator.shape, matvec=times, dtype=np.float64)  # type: ignore[call-arg]
    return np.asarray(sparse.eigs(whole, EXTREME, which="LM", v0=v0, return_eigenvectors=False)) - 1
