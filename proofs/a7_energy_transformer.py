r"""A7: the Energy Transformer (Hoover et al. 2023, arXiv 2302.07253) descends as a memory with Lagrangians does.

Each token's Lagrangian is that of a LayerNorm with gain ``gamma >= 0``, ``L = D gamma sqrt(sum (x - mean)^2/D + eps) +
b.x``:

    v.(Hess L) v = gamma/S^3 (eps |v_c|^2 + (|v_c|^2 |x_c|^2 - (x_c.v_c)^2)/D) >= 0,   S^2 = |x_c|^2/D + eps,

with ``c`` for centred, by Lagrange's identity. The energy is attention plus Hopfield, ``-LSE/beta`` over the other
tokens and ``-sum relu^2/2`` over memories, in the outputs ``g``; ``tau x' = -dE/dg``.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import sympy

import dynamem as dm
from dynamem.theorems import product, symbols, theorem, traced


D, TOKENS = 3, 2


def norm_lagrangian(gamma, eps, b, x):
    """``L`` of one token, shape (D,); its gradient is LayerNorm's output."""
    centred = x - jnp.mean(x)
    return x.shape[0] * gamma * jnp.sqrt(jnp.sum(centred**2) / x.shape[0] + eps) + b @ x


def attention_and_memories(keys, memories, beta):
    """``E_syn``: attention of each token to the others, and the memories of a Hopfield network."""

    def energy(rows):
        count = rows.shape[0]
        others = np.array([[j for j in range(count) if j != i] for i in range(count)])
        scores = beta * (rows @ keys @ rows.T)[np.arange(count)[:, None], others]
        attention = -jnp.sum(jax.nn.logsumexp(scores, axis=1)) / beta
        return attention - 0.5 * jnp.sum(jnp.square(jax.nn.relu(rows @ memories.T)))

    return energy


class Transformer(dm.AbstractLagrangianEnergy):
    """Energy of a block in the tokens ``x``, flattened from (tokens, D)."""

    gamma: jax.Array
    eps: jax.Array
    b: jax.Array
    synapses: Callable

    def lagrangian(self, x):
        """Sum of the tokens' Lagrangians."""
        return jnp.sum(jax.vmap(lambda row: norm_lagrangian(self.gamma, self.eps, self.b, row))(self.rows(x)))

    def rows(self, x):
        """Tokens, shape (tokens, D)."""
        return x.reshape(-1, self.b.shape[0])

    def __call__(self, t, x):
        """``x.g - L + E_syn(g)``."""
        g = jax.grad(self.lagrangian)(x)
        return x @ g - self.lagrangian(x) + self.synapses(self.rows(g))

    def magnitude(self, t, x):
        """Not needed here."""
        return jnp.ones(())

    def dual_gradient(self, t, x):
        """``x + dE_syn/dg``."""
        return x + jax.grad(lambda g: self.synapses(self.rows(g)))(jax.grad(self.lagrangian)(x))

    def slope(self, x):
        """Diagonal of ``Hess L``."""
        return jnp.diag(jax.hessian(self.lagrangian)(x))


def rate(gamma, eps, b, synapses, tau, x):
    """The generator's rate along ``LagrangianFlow``, and ``x'.(Hess L) x'``."""
    energy = Transformer(gamma, eps, b, synapses)
    flow = dm.LagrangianFlow(energy, tau)
    v = flow.drift(0.0, x, None)
    return dm.generator(energy, flow)(0.0, x).total, v @ jax.jvp(jax.grad(energy.lagrangian), (x,), (v,))[1]


def any_synapses(gamma, eps, b, slopes, tau, x):
    """The same for synapses of any slopes: the rate knows nothing else of them."""
    return rate(gamma, eps, b, lambda rows: jnp.sum(slopes * rows), tau, x)


def bend(gamma, eps, b, x, v):
    """``v.(Hess L) v`` of one token."""
    return v @ jax.jvp(jax.grad(lambda z: norm_lagrangian(gamma, eps, b, z)), (x,), (v,))[1]


@theorem(
    "A7",
    "The Energy Transformer descends: dE/dt = -tau x'.(Hess L) x' <= 0 for a LayerNorm of gain >= 0",
    domain="all gains and eps > 0, every E_syn (by its slopes), 2 tokens at D = 3; traced through dynamem's "
    "LagrangianFlow and generator on an energy written in the proof",
)
def energy_transformer(proof, *, factor=1):
    proof.cites("A3")
    gamma, eps, tau = (symbols(name, positive=True) for name in ("gamma", "eps", "tau"))
    b, x, v = symbols("b", D), symbols("x", D), symbols("v", D)
    xc, vc = x - sum(x) / D, v - sum(v) / D
    scale = sympy.sqrt(xc @ xc / D + eps)
    parts = [product(gamma / scale**3, eps, one**2) for one in vc]
    parts += [product(gamma / scale**3 / D, (xc[i] * vc[j] - xc[j] * vc[i]) ** 2) for i in range(D) for j in range(i)]
    proof.falls("Hess L >= 0", -factor * traced(bend, gamma, eps, b, x, v), parts)
    tokens, slopes = symbols("x", TOKENS * D), symbols("slope", TOKENS, D)
    total, quadratic = traced(any_synapses, gamma, eps, b, slopes, tau, tokens)
    proof.zero("rate", total + factor * tau * quadratic)
    numbers(proof)


def numbers(proof):
    """Four tokens of five coordinates with attention and memories, and a negative gain."""
    rng = np.random.default_rng(0)
    b, keys, memories, x = (jnp.asarray(rng.normal(size=shape)) for shape in (5, (5, 5), (7, 5), 20))
    rest = (jnp.asarray(1e-3), b, attention_and_memories(keys, memories, 0.5), jnp.asarray(2.0), x)
    total, quadratic = rate(jnp.asarray(0.8), *rest)
    proof.close("rate", total, -2.0 * quadratic)
    proof.below("it falls", total)
    proof.witness("gain -0.8: it rises", rate(jnp.asarray(-0.8), *rest)[0])


main = energy_transformer.prove
