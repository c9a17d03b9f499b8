"""Cases for the theorems: drawn ones for properties, fixed ones for broken twins, and a NumPy reference."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from hypothesis import strategies as st

import dynamem as dm
from tests.catalogue import any_schedule


SHAPES = [(5, 3), (4, 2)]
TOL = 1e-8


class Case(eqx.Module):
    """Patterns (N, D), prior (N,), state y (D,), noise level s, and three more drawn numbers."""

    xi: jax.Array
    u: jax.Array
    y: jax.Array
    s: jax.Array
    rho: jax.Array
    zeta: jax.Array
    kind: jax.Array


def make(shape, seed, scale, log_s, rho, zeta, kind):
    rng = np.random.default_rng(seed)
    xi, u = scale * rng.normal(size=shape), rng.dirichlet(np.full(shape[0], 1.5))
    s = scale * np.exp(log_s)
    near = xi[rng.integers(shape[0])] if rng.uniform() < 0.5 else xi.mean(axis=0)
    y = near + s * rng.choice([0.05, 1.0, 2.0]) * rng.normal(size=shape[1])
    return Case(*(jnp.asarray(part) for part in (xi, u, y, s, rho, zeta, kind)))


def drawn():
    unit = st.floats(0.0, 1.0)
    return st.builds(
        make, st.sampled_from(SHAPES), st.integers(0, 9999), st.floats(0.3, 3.0), st.floats(-2.5, 2.0), unit,
        st.floats(0.0, 3.0), st.integers(0, 5),
    )  # fmt: skip


def fixed():
    rng = np.random.default_rng(3)
    for k in range(20):
        shape = SHAPES[k % 2]
        yield make(shape, k, 1.0, rng.uniform(-2.0, 0.7), rng.uniform(), rng.uniform(0.2, 3.0), k % 6)


def caught(claim):
    """Whether a claim fails on one of the fixed cases."""
    return any(not claim(case) for case in fixed())


def posterior(case, s=None, y=None):
    """Weights, mean, trace, KL and V in plain NumPy."""
    xi, u = np.asarray(case.xi), np.asarray(case.u)
    s, y = float(case.s if s is None else s), np.asarray(case.y if y is None else y)
    d = ((y - xi) ** 2).sum(1)
    a = np.log(u) - d / (2 * s * s)
    log_z = a.max() + np.log(np.exp(a - a.max()).sum())
    w = np.exp(a - log_z)
    m = w @ xi
    kl = (w * np.where(w > 0, a - log_z - np.log(u), 0.0)).sum()
    return w, m, (w * ((xi - m) ** 2).sum(1)).sum(), kl, -s * s * log_z


def close(left, right, size=1.0):
    return np.all(np.abs(np.asarray(left) - np.asarray(right)) <= TOL * (size + np.abs(np.asarray(right))))


def path(case):
    return dm.DiffusionPath(any_schedule(case.kind), dm.Empirical(case.xi, case.u))


@eqx.filter_jit
def rate(energy, flow, t, x):
    return dm.generator(energy, flow)(t, x)


def lam(case):
    return -jnp.log(case.s)
