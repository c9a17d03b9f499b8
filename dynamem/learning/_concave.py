r"""A network whose sampler is energy-stable by construction.

Let ``A(eta, kappa)`` be jointly convex with ``A(0, 0) = 0``, ``eta = y/s^2``, ``kappa = 1/s^2``. Then

    V(y, s) = |y|^2/2 - s^2 A(y/s^2, 1/s^2),      m = y - grad V = dA/d eta

has a ``V - |y|^2/2`` that is jointly concave in ``(y, s^2)`` (minus the perspective of a convex function), and

    dV/d(s^2) = eta . dA/d eta + kappa dA/d kappa - A = A(0, 0) - [the tangent of A at (eta, kappa), at 0] >= 0.

These are the two hypotheses under which ``V`` falls along the probability flow and no step of DDIM raises it, however
coarse. For a law of data ``A`` is the log normaliser of the tilted law and ``dV/d(s^2)`` is KL(w || u). Here

    A = log sum_k exp( b_k + a_k.eta + c_k kappa + q_k + sum_j W_kj log(1 + exp(f_j + d_j.eta + e_j kappa)) ) - A(0, 0),
    q_k = l_k |eta - kappa a_k|^2/(2 (1 + l_k kappa)) - D log(1 + l_k kappa)/2,     W_kj >= 0, l_k >= 0,

an input-convex network (Amos et al. 2017, arXiv 1609.07152). With ``W = 0``, ``c_k = -|a_k|^2/2`` and ``b_k = log u_k``
it is the mixture of Gaussians ``N(a_k, l_k I)``; each of the units ``j`` is a switch that moves the pattern by ``d_j``.
"""

import jax
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, Float, PRNGKeyArray, Scalar

from .._errors import InputError
from ..diffusion import Point
from ._energy import AbstractPotential
from ._network import SINGLE, AbstractNetwork, about_data, as_precise, keys


class ConcaveDenoiser(AbstractNetwork, AbstractPotential):
    """A denoiser with an energy that falls along its own flow and at every step of DDIM, whatever its weights.

    Arguments:
        size: coordinates D of a state.
        components: terms ``k`` of the outer sum.
        units: switches ``j`` that they share.
        centre: mean of the data, shape (D,), about which the initial patterns lie; zero if not given.
        sigma_data: standard deviation of the data about it.
        key: JAX key of the random initial weights.

    Attributes:
        patterns: ``a``, shape (components, D).
        biases: ``b``, shape (components,).
        heights: ``c + |a|^2/2``, shape (components,).
        widths: ``l`` before a softplus, shape (components,).
        moves: ``d``, shape (units, D).
        costs: ``e``, shape (units,).
        odds: ``f``, shape (units,).
        links: ``W`` before a softplus, shape (components, units).

    Raises:
        InputError: a size that is not positive, or a mean of another size.
    """

    patterns: Float[Array, "K D"]
    biases: Float[Array, " K"]
    heights: Float[Array, " K"]
    widths: Float[Array, " K"]
    moves: Float[Array, "J D"]
    costs: Float[Array, " J"]
    odds: Float[Array, " J"]
    links: Float[Array, "K J"]

    def __init__(
        self,
        size: int,
        components: int = 256,
        units: int = 128,
        *,
        centre: Float[Array, "..."] | None = None,
        sigma_data: Float[Array, ""] | float = 1.0,
        key: PRNGKeyArray,
    ) -> None:
        if components < 1 or units < 0:
            msg = f"components={components!r}, units={units!r}: need at least one component, and no fewer than 0 units"
            raise InputError(msg)
        middle, spread = about_data(size, centre, sigma_data)
        first, second, third = keys(key, 3)
        self.patterns = middle[None] + spread * jr.normal(first, (components, size), SINGLE)
        self.biases, self.heights = jnp.zeros(components, SINGLE), jnp.zeros(components, SINGLE)
        self.widths = jnp.full(components, jnp.log(jnp.expm1(0.25 * spread**2)), SINGLE)
        self.moves = 0.3 * spread * jr.normal(second, (units, size), SINGLE)
        self.costs, self.odds = -0.5 * jnp.sum(self.moves**2, axis=1), jnp.zeros(units, SINGLE)
        self.links = jr.normal(third, (components, units), SINGLE) - 2

    @property
    def sizes(self) -> dict[str, int]:
        """``size``, ``components`` and ``units``."""
        (components, size), units = self.patterns.shape, self.moves.shape[0]
        return {"size": size, "components": components, "units": units}

    def log_partition(self, eta: Float[Array, " D"], kappa: Scalar) -> Scalar:
        """``A(eta, kappa)``: jointly convex, and 0 at 0."""
        net = as_precise(self, eta)
        start = net.biases + jax.nn.softplus(net.links) @ jax.nn.softplus(net.odds)
        return jax.nn.logsumexp(net._terms(eta, kappa)) - jax.nn.logsumexp(start)

    def _terms(self, eta: Float[Array, " D"], kappa: Scalar) -> Float[Array, " K"]:
        norms, width = jnp.sum(self.patterns**2, axis=1), jax.nn.softplus(self.widths)
        along, total = self.patterns @ eta, 1 + width * kappa
        affine = self.biases + along + (self.heights - 0.5 * norms) * kappa
        square = jnp.maximum(eta @ eta - 2 * kappa * along + kappa**2 * norms, 0)
        spread = width * square / (2 * total) - 0.5 * eta.shape[0] * jnp.log(total)
        switches = jax.nn.softplus(self.odds + self.moves @ eta + self.costs * kappa)
        return affine + spread + jax.nn.softplus(self.links) @ switches

    def mean(self, point: Point) -> Float[Array, " D"]:
        """``dA/d eta``, shape (D,)."""
        return jax.grad(self.log_partition)(point.eta, point.kappa)

    def potential(self, point: Point) -> Scalar:
        """``V = s^2 (|y|^2/(2 s^2) - A)`` at a point."""
        return (point.half_square - self.log_partition(point.eta, point.kappa)) / point.kappa
