"""Networks as denoisers: their contract, and the energy that falls whatever the weights are."""

import diffrax as dfx
import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

import dynamem as dm
from dynamem.diffusion import Point
from dynamem.learning import loss
from dynamem.learning._network import precondition
from tests.catalogue import NETWORKS, WEIGHTS, XI


SIZE = {name: build().sizes["size"] for name, build in NETWORKS.items()}


def agree(left, right, rtol=1e-9, atol=1e-9):
    np.testing.assert_allclose(np.asarray(left), np.asarray(right), rtol=rtol, atol=atol)


@eqx.filter_jit
def of_denoiser(model, ys, s):
    def one(y):
        slope = jax.jacfwd(model.denoise)(y, s)
        return model.denoise(y, s), slope, model.mean(Point(3 * y, 3 * jnp.ones(()), 3 * s))

    return jax.vmap(one)(ys)


@pytest.mark.parametrize("name", NETWORKS)
def test_denoiser(name):
    model, ys = NETWORKS[name](), jr.normal(jr.key(1), (4, SIZE[name]))
    mean, slope, scaled = of_denoiser(model, ys, jnp.asarray(0.7))
    assert mean.dtype == jnp.float64
    agree(model.denoise(ys[0], 0.7), mean[0], 1e-12, 1e-12)
    agree(scaled, mean, 1e-12, 1e-12)  # a point of any scale is the same point
    moves = 1e-6 * jnp.eye(SIZE[name])
    around = [
        of_denoiser(model, jnp.tile(ys[:1], (SIZE[name], 1)) + sign * moves, jnp.asarray(0.7))[0] for sign in (1, -1)
    ]
    agree((around[0] - around[1]).T / 2e-6, slope[0], 1e-6, 1e-7)
    single = model.denoise(ys[0].astype(jnp.float32), jnp.asarray(0.7, jnp.float32))
    assert single.dtype == jnp.float32
    agree(single, mean[0], 1e-4, 1e-5)
    assert np.all(np.isfinite(model.mean(Point(ys[0], jnp.zeros(()), jnp.ones(())))))  # where alpha = 0


@pytest.mark.parametrize("s", [0.01, 1.0, 40.0])
def test_preconditioning_is_that_of_edm(s):
    """Karras et al. 2022, table 1, with the data's mean taken out; and unit variance of inputs and targets."""
    centre, sigma = jnp.asarray([0.3, -0.1, 0.2]), jnp.asarray(0.8)
    point = Point(XI[0], jnp.asarray(1.0), jnp.asarray(s))
    found = precondition(point, centre, sigma)
    agree(found.z, (XI[0] - centre) / np.sqrt(s**2 + 0.64), 1e-12)
    agree(found.keep, 0.64 / (s**2 + 0.64), 1e-12)
    agree(found.out, s * 0.8 / np.sqrt(s**2 + 0.64), 1e-12)
    agree(found.noise, np.log(s / 0.8) / 4, 1e-12, 1e-12)
    # Var(x - c_skip y) = (1 - c_skip)^2 sigma_d^2 + c_skip^2 s^2 = c_out^2
    agree((1 - found.keep) ** 2 * 0.64 + found.keep**2 * s**2, found.out**2, 1e-12)


def test_the_loss_is_least_at_the_posterior_mean():
    law, key = dm.Empirical(XI), jr.key(5)
    rows = jnp.tile(XI, (200, 1))
    noises, levels = jr.normal(key, rows.shape), jnp.full(1000, 0.8)
    worse = dm.GaussianMixture(XI + 0.1, jnp.zeros(5))
    best = loss(law, rows, noises, levels, 1.0)
    assert best < loss(worse, rows, noises, levels, 1.0)
    # E |m - x|^2 = E tr C, weighted with (s^2 + 1)/s^2 and divided by D
    traces = jax.vmap(lambda y: law.moments(y, 0.8).trace)(rows + 0.8 * noises)
    agree(best, 1.64 / 0.64 * jnp.mean(traces) / 3, 0.05)


# ------------------------------------------------- an energy by construction


def wild(key, size=3, scale=2.0):
    """A concave denoiser with large random weights of every kind."""
    model = dm.ConcaveDenoiser(size, 5, 4, key=key)
    leaves, form = jax.tree.flatten(model)
    keys = jr.split(key, len(leaves))
    return jax.tree.unflatten(form, [scale * jr.normal(k, a.shape) for k, a in zip(keys, leaves, strict=True)])


class Bent(eqx.Module):
    """A potential with something added that takes one of its two properties away."""

    model: eqx.Module
    square: float = 0.0
    heat: float = 0.0

    def potential(self, point):
        return self.model.potential(point) + self.square * (point.x @ point.x) - self.heat * point.noise**2


@eqx.filter_jit
def curvature_and_entropy(model, ys, levels):
    """Largest eigenvalue of the Hessian of ``V - |y|^2/2`` in ``(y, s^2)``, over its size, and ``dV/d(s^2)``."""

    def one(y, s):
        def lifted(z):
            return model.potential(Point(z[:-1], jnp.ones(()), jnp.sqrt(z[-1]))) - z[:-1] @ z[:-1] / 2

        z = jnp.append(y, s**2)
        eigenvalues = jnp.linalg.eigvalsh(jax.hessian(lifted)(z))
        return jnp.max(eigenvalues) / (1 + jnp.max(jnp.abs(eigenvalues))), jax.grad(lifted)(z)[-1]

    return jax.vmap(one)(ys, levels)


def test_the_energy_is_concave_and_grows_with_noise_whatever_the_weights():
    ys, levels = 3 * jr.normal(jr.key(7), (64, 3)), jnp.exp(jr.uniform(jr.key(8), (64,), float, -2, 2))
    for seed in range(8):
        top, entropy = curvature_and_entropy(wild(jr.key(seed)), ys, levels)
        assert np.max(top) < 1e-9
        assert np.min(entropy) > -1e-9
    model = wild(jr.key(0))
    assert np.max(curvature_and_entropy(Bent(model, square=0.2), ys, levels)[0]) > 0.1
    assert np.min(curvature_and_entropy(Bent(model, heat=2.0), ys, levels)[1]) < -0.1
    assert np.max(curvature_and_entropy(NETWORKS["EnergyDenoiser"](), ys, levels)[0]) > 1e-3


@eqx.filter_jit
def sampled(model, energy, ys, lams):
    """Energies (steps + 1, B) along DDIM through the noise levels ``exp(-lams)``, each state with its own grid."""

    def one(y, lam):
        def step(y, ends):
            s, later = jnp.exp(-ends[0]), jnp.exp(-ends[1])
            y1 = y + (1 - later / s) * (model.denoise(y, s) - y)
            return y1, energy(ends[1], y1)

        return jnp.append(energy(lam[0], y), jax.lax.scan(step, y, jnp.stack([lam[:-1], lam[1:]], 1))[1])

    return jax.vmap(one)(ys, lams).T


def rises(values):
    return int(np.sum(np.diff(values, axis=0) > 1e-9 * (1 + np.abs(values[:-1]))))


def test_no_step_of_ddim_raises_the_energy_whatever_the_weights_and_the_grid():
    lams = jnp.sort(jr.uniform(jr.key(9), (64, 13), float, -2, 4), axis=1)
    ys = jnp.exp(-lams[:, :1]) * jr.normal(jr.key(10), (64, 3))
    for seed in range(8):
        model = wild(jr.key(seed))
        assert rises(sampled(model, dm.LearnedEnergy(model), ys, lams)) == 0
    net = jax.tree.map(lambda leaf: 3 * leaf, NETWORKS["EnergyDenoiser"]())
    assert rises(sampled(net, dm.LearnedEnergy(net), ys, lams)) > 20


@pytest.mark.long
def test_the_checks_take_a_learned_energy():
    ys = jnp.exp(2.0) * jr.normal(jr.key(10), (16, 3))
    found = []
    for model in (wild(jr.key(0)), jax.tree.map(lambda leaf: 3 * leaf, NETWORKS["EnergyDenoiser"]())):
        flow = dm.ProbabilityFlow(dm.DiffusionPath(dm.VE(), model))
        energy = dm.LearnedEnergy(model)
        found.append(dm.check(energy, flow, ys, t0=-2.0, t1=3.0, solver=dm.DDIM(), dt0=0.5).status)
    assert found == ["holds", "broken"]


def test_without_units_it_is_a_mixture_of_gaussians():
    """`GaussianMixture` is the independent reference: it has no network and no gradient of a log normaliser."""
    weights, scales = 0.5 * WEIGHTS + 0.1, jnp.asarray([0.5, 0.2, 1.2, 0.3, 0.7])
    law = dm.GaussianMixture(XI, scales, weights)
    like = dm.ConcaveDenoiser(3, 5, 0, key=jr.key(0))
    parts = [XI, jnp.log(weights), jnp.zeros(5), jnp.log(jnp.expm1(scales**2))]
    model = eqx.tree_at(lambda m: [m.patterns, m.biases, m.heights, m.widths], like, parts)
    energies = dm.FreeEnergy(dm.DiffusionPath(dm.VP(), law)), dm.LearnedEnergy(model)
    y, levels = jnp.asarray([0.4, -1.0, 2.0]), jnp.asarray([0.05, 0.6, 3.0, 1e3])

    @jax.jit
    def both(s):
        return (law.denoise(y, s), energies[0](-jnp.log(s), y)), (model.denoise(y, s), energies[1](-jnp.log(s), y))

    (mean, energy), (ours, own) = jax.vmap(both)(levels)
    agree(ours, mean, 1e-11, 1e-12)
    agree(own[:3], energy[:3], 1e-10)
    agree(own[3], energy[3], 1e-6)  # s^2 times what is left of log Z, which is near 0


@pytest.mark.parametrize("name", ["EnergyDenoiser", "ConcaveDenoiser"])
def test_the_energy_is_the_one_of_the_denoiser(name):
    model = NETWORKS[name]()
    y, lam = jnp.asarray([0.4, -1.0, 2.0]), jnp.asarray(0.3)
    slope = jax.grad(dm.LearnedEnergy(model), argnums=1)(lam, y)
    agree(y - slope, model.denoise(y, jnp.exp(-lam)), 1e-9)


WRONG = {
    "no coordinates": (lambda: dm.MLPDenoiser(0, key=jr.key(0)), "size=0"),
    "no layers": (lambda: dm.EnergyDenoiser(3, 8, 0, key=jr.key(0)), "depth=0"),
    "no image": (lambda: dm.UNetDenoiser(9, key=jr.key(0)), "even side"),
    "no components": (lambda: dm.ConcaveDenoiser(3, 0, key=jr.key(0)), "components=0"),
    "a mean of another size": (lambda: dm.MLPDenoiser(3, centre=jnp.ones(2), key=jr.key(0)), r"centre.shape=\(2,\)"),
    "a state of another size": (lambda: NETWORKS["MLPDenoiser"]().denoise(jnp.ones(2), 0.5), r"state.shape=\(2,\)"),
    "a state too long": (lambda: NETWORKS["ConcaveDenoiser"]().denoise(jnp.ones(4), 0.5), r"takes \(3,\)"),
    "no spread": (lambda: dm.MLPDenoiser(3, sigma_data=0.0, key=jr.key(0)), "sigma_data=0.0"),
}


@pytest.mark.parametrize(("build", "message"), WRONG.values(), ids=WRONG)
def test_a_wrong_network_is_refused(build, message):
    with pytest.raises(ValueError, match=message):
        build()


def test_a_network_has_no_energy_of_a_law():
    energy = dm.FreeEnergy(dm.DiffusionPath(dm.VP(), NETWORKS["MLPDenoiser"]()))
    with pytest.raises(ValueError, match=r"dm\.Tracked"):
        energy(0.3, jnp.ones(3))
    assert isinstance(dm.ProbabilityFlow(energy.path).terms(), dfx.ODETerm)
