r"""D15: for churn 1 each posterior weight is a martingale, so ``P(end at xi_i) = w_i(y, lam)``.

    L w_i = 0,    L H(w) = -tr C/s^2,    along the flow  w_i' = (w_i/s^2)[(y-m).(xi_i-m) - |xi_i-m|^2 + tr C].

A bounded martingale that ends in 0 or 1 is the probability of ending in 1; and by Ville's inequality for ``1 - w_i``,
once ``w_i >= 1 - delta``, the probability that it ever reaches ``1/2`` again is at most ``2 delta``. Both are cited,
not proved here.
"""

import jax
import jax.numpy as jnp
import numpy as np
from _posterior import LAM, S2, XI, U, Y, draws, over, path, posterior

import dynamem as dm
from dynamem.theorems import dot, square, theorem, traced


def weights(xi, u, t, y):
    """``w``, from the logits of the posterior."""
    logits = jnp.log(u) - 0.5 * jnp.sum((y[None] - xi) ** 2, axis=1) * jnp.exp(2 * t)
    return jax.nn.softmax(logits)


def rates(xi, u, lam, y):
    """Generator of ``w_1`` along the SDE of churn 1 and along the flow, that of the entropy, and the moments."""
    where = path(xi, u)
    noisy, flow = dm.ReverseSDE(where, 1.0), dm.ProbabilityFlow(where)

    def first(t, z):
        return weights(xi, u, t, z)[0]

    def entropy(t, z):
        w = weights(xi, u, t, z)
        return -w @ jnp.log(w)

    moments = where.law.moments(y, jnp.exp(-lam))
    mixed = dm.generator(entropy, noisy)(lam, y).total
    return dm.generator(first, noisy)(lam, y).total, dm.generator(first, flow)(lam, y).total, mixed, moments


@theorem(
    "D15",
    "For churn 1 the posterior weights are martingales (L w_i = 0) and L H(w) = -tr C/s^2",
    domain="all weights, states and s; the traced generator at N = 3, D = 2; optional stopping and Ville cited",
)
def commitment(proof, *, spread=1, churn=1):
    still, along, entropy, moments = traced(rates, XI, U, LAM, Y)
    w, _ = posterior(Y, S2)
    mean, trace = moments.mean, moments.trace
    proof.zero("L w_i", still * churn + (churn - 1) * along)
    proof.zero("L H(w)", entropy + spread * trace / S2)
    proof.falls("H falls in mean", entropy, [square(row - mean, p / S2) for row, p in zip(XI, w, strict=True)])
    own = XI[0] - mean
    proof.zero("along the flow", along - spread * w[0] / S2 * (dot(Y - mean, own) - dot(own, own) + trace))
    xi, u, y, lam = draws()
    still, _, entropy, moments = over(rates, xi, u, lam, y)
    proof.close("L w_1, 64 draws", still, np.zeros(len(lam)), 1e-8)
    proof.close("L H, 64 draws", entropy, -moments.trace * np.exp(2 * lam), 1e-7)
    proof.witness("along the flow it is none", np.abs(over(rates, xi, u, lam, y)[1]).max())


main = commitment.prove
