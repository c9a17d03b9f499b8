r"""A7: the Energy Transformer (Hoover et al. 2023, arXiv 2302.07253) descends as a memory with Lagrangians does.

Each token's Lagrangian is that of a LayerNorm with gain ``gamma >= 0``, ``L = D gamma sqrt(sum (x - mean)^2/D + eps) +
delta.x``:

    v.(Hess L) v = gamma/S^3 (eps |v_c|^2 + (|v_c|^2 |x_c|^2 - (x_c.v_c)^2)/D) >= 0,   S^2 = |x_c|^2/D + eps,

with ``c`` for centred, by Lagrange's identity. The energy is attention plus Hopfield, ``-LSE/beta`` over the other
tokens and ``-sum relu^2/2`` over memories, in the outputs ``g``; ``tau x' = -dE/dg``.
"""

import jax.numpy as jnp
import numpy as np
import sympy

import dynamem as dm
from dynamem.theorems import product, symbols, theorem, traced


D, TOKENS = 3, 2


def rate(block):
    """The generator's rate of a block along ``LagrangianFlow``, and ``x'.(tau Hess L) x'``."""

    def function(x):
        flow = dm.LagrangianFlow(block)
        v = flow.drift(0.0, x, None)
        return dm.generator(block, flow)(0.0, x).total, v @ (block.tau * block.lagrangian.hessian(x).mv(v))

    return function


def any_synapses(gamma, eps, delta, slopes, tau, x):
    """The same for synapses of any slopes: the rate knows nothing else of them."""
    layer = dm.Layer((TOKENS, D), dm.LayerNorm(gamma, delta, eps), None, tau)
    return rate(dm.HAM({"x": layer}, [dm.Synapse(lambda g: jnp.sum(slopes * g), ("x",))]))(x)


def bend(gamma, eps, delta, x, v):
    """``v.(Hess L) v`` of one token."""
    return v @ dm.LayerNorm(gamma, delta, eps).hessian(x).mv(v)


@theorem(
    "A7",
    "The Energy Transformer descends: dE/dt = -tau x'.(Hess L) x' <= 0 for a LayerNorm of gain >= 0",
    domain="all gains and eps > 0, every E_syn (by its slopes), 2 tokens at D = 3; traced: dynamem's "
    "HAM, LayerNorm, LagrangianFlow and generator",
)
def energy_transformer(proof, *, factor=1):
    proof.cites("A3")
    gamma, eps, tau = (symbols(name, positive=True) for name in ("gamma", "eps", "tau"))
    delta, x, v = symbols("delta", D), symbols("x", D), symbols("v", D)
    xc, vc = x - sum(x) / D, v - sum(v) / D
    scale = sympy.sqrt(xc @ xc / D + eps)
    parts = [product(gamma / scale**3, eps, one**2) for one in vc]
    parts += [product(gamma / scale**3 / D, (xc[i] * vc[j] - xc[j] * vc[i]) ** 2) for i in range(D) for j in range(i)]
    proof.falls("Hess L >= 0", -factor * traced(bend, gamma, eps, delta, x, v), parts)
    tokens, slopes = symbols("x", TOKENS * D), symbols("slope", TOKENS, D)
    total, quadratic = traced(any_synapses, gamma, eps, delta, slopes, tau, tokens)
    proof.zero("rate", total + factor * quadratic)
    numbers(proof)


def numbers(proof):
    """Four tokens of five coordinates with attention by two heads and seven memories, and a negative gain."""
    rng = np.random.default_rng(0)
    keys, queries, memories, delta, x = (rng.normal(size=shape) for shape in ((2, 3, 5), (2, 3, 5), (7, 5), 5, 20))
    how = {"tokens": 4, "delta": delta, "eps": 1e-3, "beta": 0.5, "tau": 2.0}
    block = dm.EnergyTransformer(keys, queries, memories, gamma=0.8, **how)
    total, quadratic = rate(block)(jnp.asarray(x))
    proof.close("rate", total, -quadratic)
    proof.below("it falls", total)
    turned = dm.EnergyTransformer(keys, queries, memories, gamma=-0.8, nonconvex=True, **how)
    proof.witness("gain -0.8: it rises", rate(turned)(jnp.asarray(x))[0])


main = energy_transformer.prove
