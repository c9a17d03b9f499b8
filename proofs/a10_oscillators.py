r"""A10: oscillators on spheres (Kuramoto 1975; AKOrN: Miyato et al. 2024) descend for symmetric couplings.

    dx_i/dt = Omega_i x_i + P_i F_i,   F_i = c_i + sum_j J_ij x_j,   P_i = I - x_i x_i^T/|x_i|^2,   J = J^T:
    dE/dt = -sum_i |P_i F_i|^2 - sum_i F_i.Omega_i x_i,      d|x_i|^2/dt = 0.

Without frequencies, or where all turn alike, there is no bias and couplings are numbers (then ``sum_i F_i.Omega x_i``
vanishes, as ``Omega`` is antisymmetric and ``J`` symmetric; matrices would have to commute with ``Omega``), E falls. In
the plane, ``|P F|^2 = (x_1 F_2 - x_2 F_1)^2/|x|^2``, and the phases obey
``dth_i/dt = omega_i + sum_j J_ij sin(th_j - th_i)``.
"""

import jax.numpy as jnp
import numpy as np
import sympy

import dynamem as dm
from dynamem.theorems import square, symbols, theorem, traced


N, D = 2, 2


def motion(couplings, bias, omega, x):
    """The rate of E, the drift, and the forces."""
    energy = dm.Oscillators(couplings, bias, symmetric=False)
    flow = dm.OscillatorFlow(energy, omega)
    return dm.generator(energy, flow)(0.0, x, None).total, flow.drift(0.0, x, None), energy.force(x)


@theorem(
    "A10",
    "Oscillators: dE/dt = -sum |P_i F_i|^2 - sum F_i.Omega_i x_i, lengths are conserved, J = J^T",
    domain="the traced code for two oscillators in the plane, all J = J^T, c, Omega and states (no coordinate "
    "zero, where the code branches); more of them, and more dimensions, in numbers",
)
def oscillators(proof, *, work=1, loss=1):
    x = np.array([sympy.Symbol(f"x_{k}", real=True, nonzero=True) for k in range(N * D)], object)
    bias, omega, upper = symbols("c", N, D), symbols("w", N), symbols("J", 3)
    couplings = np.array([[upper[0], upper[1]], [upper[1], upper[2]]], object)
    total, drift, force = traced(motion, couplings, bias, omega, x)
    vectors = x.reshape(N, D)
    crossed = [v[0] * f[1] - v[1] * f[0] for v, f in zip(vectors, force, strict=True)]
    lost = sum(c**2 / (v @ v) for c, v in zip(crossed, vectors, strict=True))
    turned = sum(w * (f[1] * v[0] - f[0] * v[1]) for w, v, f in zip(omega, vectors, force, strict=True))
    proof.zero("rate", total + loss * lost + work * turned)
    proof.zero("lengths", *(v @ d for v, d in zip(vectors, drift.reshape(N, D), strict=True)))
    still, _, force = traced(motion, couplings, bias, np.zeros(N, object), x)
    parts = [square([c], 1 / (v @ v)) for c, v in zip(crossed, vectors, strict=True)]
    proof.falls("without frequencies", still, parts)
    alike = np.array([omega[0]] * N, object)
    common, _, force = traced(motion, couplings, np.zeros((N, D), object), alike, x)
    crossed = [v[0] * f[1] - v[1] * f[0] for v, f in zip(vectors, force, strict=True)]
    parts = [square([c], 1 / (v @ v)) for c, v in zip(crossed, vectors, strict=True)]
    proof.falls("all turning alike, no bias", common, parts)
    numbers(proof)


def numbers(proof):
    """Five oscillators in three dimensions with matrices as couplings; Kuramoto's phases; what breaks it."""
    rng = np.random.default_rng(0)
    half = rng.normal(size=(5, 5, 3, 3))
    couplings, bias = half + half.transpose(1, 0, 3, 2), rng.normal(size=(5, 3))
    turns = (lambda a: a - a.swapaxes(1, 2))(rng.normal(size=(5, 3, 3)))
    x = rng.normal(size=(5, 3))
    total, _, force = motion(couplings, bias, turns, jnp.asarray(x.ravel()))
    tangent = force - x * (np.sum(x * force, 1) / np.sum(x * x, 1))[:, None]
    work = np.einsum("ia,iab,ib->", force, turns, x)
    proof.close("five in three dimensions", total, -np.sum(tangent**2) - work)
    angles, omega = rng.uniform(-3, 3, 5), rng.normal(size=5)
    numbers_ = half[:, :, 0, 0]
    x = np.stack([np.cos(angles), np.sin(angles)], 1)
    drift = motion(numbers_, np.zeros((5, 2)), omega, jnp.asarray(x.ravel()))[1].reshape(5, 2)
    phases = omega + np.sum(numbers_ * np.sin(angles[None, :] - angles[:, None]), 1)
    proof.close("Kuramoto's phases", np.sum(drift * np.stack([-x[:, 1], x[:, 0]], 1), 1), phases)
    pair, apart = np.array([[0.0, 1.0], [1.0, 0.0]]), jnp.asarray([1.0, 0.0, 0.8, 0.6])
    proof.witness("frequencies raise E", motion(pair, np.zeros((2, 2)), np.array([-2.0, 2.0]), apart)[0])
    skew, flat = np.array([[0.0, 3.0, 0.0], [0.0, 0.0, 3.0], [3.0, 0.0, 0.0]]) - np.ones((3, 3)), np.zeros((3, 2))
    states = rng.normal(size=(20, 6))
    risen = max(float(motion(skew, flat, np.zeros(3), jnp.asarray(one))[0]) for one in states)
    proof.witness("J not symmetric: E rises", risen)


main = oscillators.prove
