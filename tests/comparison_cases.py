"""Problems with known answers for comparisons."""

import diffrax as dfx
import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np

from dynamem.comparison import Problem


class Line(eqx.Module):
    """``x' = -L x`` with noise ``s x dW``, and ``|x|^2/2``."""

    L: jax.Array
    s: jax.Array

    def drift(self, t, x, args):
        return -self.L * x

    def noise(self, t, x, args):
        return self.s * x

    def energy(self, t, x):
        return 0.5 * (x @ x)


def line(rate, s=0.0):
    return Line(jnp.asarray(rate), jnp.asarray(s))


def decay(**more):
    """``x' = -x`` up to 1, whose exact end is ``x0/e``."""
    f, x = line(1.0), jnp.asarray([[1.0, 2.0], [0.5, -1.0]])
    fields = {
        "name": "decay", "flow": dfx.ODETerm(f.drift), "states": x, "t0": 0.0, "t1": 1.0,
        "energies": {"own": f.energy}, "exact": np.asarray(x) * np.exp(-1.0),
    }  # fmt: skip
    return Problem(**(fields | more))


def geometric(a, s, count=1):
    """``dx = -a x dt + s x dW`` (Ito), with its exact solution on the same paths."""
    f = line(a, s)
    path = dfx.VirtualBrownianTree(0.0, 1.0, tol=1e-3, shape=(), key=jr.key(0))
    terms = dfx.MultiTerm(dfx.ODETerm(f.drift), dfx.ControlTerm(f.noise, path))

    def exact(x, t0, t1, w):
        return x * jnp.exp((-a - s**2 / 2) * (t1 - t0) + s * w)

    return Problem("geometric", terms, jnp.ones((count, 1)), 0.0, 1.0, {"own": f.energy}, exact=exact)
