"""A real network of diffusers, randomly initialised and briefly trained on digits, as a denoiser."""

import itertools

import diffrax as dfx
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.datasets import load_digits

import dynamem as dm
from dynamem._errors import InputError


pytestmark = pytest.mark.peers

X = jnp.asarray(np.random.default_rng(0).normal(size=(4, 64)))
V = jnp.asarray(np.random.default_rng(1).normal(size=64))
T = jnp.asarray(0.3)


def network(seed=0, precision="float64"):
    """Some 180,000 parameters, with attention and group normalisation, on images of 8 by 8."""
    import torch
    from diffusers import UNet2DModel

    torch.manual_seed(seed)
    torch.set_num_threads(1)
    attend, plain = ("AttnDownBlock2D", "AttnUpBlock2D"), ("DownBlock2D", "UpBlock2D")
    net = UNet2DModel(
        sample_size=8,
        in_channels=1,
        out_channels=1,
        layers_per_block=1,
        block_out_channels=(16, 32),
        norm_num_groups=8,
        attention_head_dim=8,
        down_block_types=(plain[0], attend[0]),
        up_block_types=(attend[1], plain[1]),
    )
    return net.to(getattr(torch, precision)).eval()


@pytest.fixture(scope="module")
def net():
    return network()


@pytest.fixture(scope="module")
def model(net):
    return dm.torch_model(net, (1, 8, 8), 1000.0)


def direct(net, x, t):
    """The network as its users call it: images and timesteps."""
    import torch

    with torch.no_grad():
        images = torch.tensor(np.asarray(x), dtype=next(net.parameters()).dtype).reshape(-1, 1, 8, 8)
        return net(images, 1000 * torch.full((len(images),), float(t))).sample.reshape(-1, 64).numpy()


def test_values_alone_in_batches_and_compiled(net, model):
    exact = direct(net, X, T)
    assert np.abs(exact).max() > 0.1
    for found in (jax.vmap(lambda x: model(x, T))(X), eqx.filter_jit(jax.vmap(lambda x: model(x, T)))(X)):
        np.testing.assert_allclose(found, exact, rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(model(X[0], T), exact[0], rtol=1e-9, atol=1e-10)


def test_derivatives_in_both_modes(net, model):
    """Against differences, against PyTorch's own gradient, and against each other: ``g.(J v) = (J^T g).v``."""
    import torch

    along = jax.jvp(lambda x: model(x, T), (X[0],), (V,))[1]
    apart = (model(X[0] + 1e-5 * V, T) - model(X[0] - 1e-5 * V, T)) / 2e-5
    np.testing.assert_allclose(along, apart, atol=1e-7)
    assert np.abs(along).max() > 0.1
    back = jax.grad(lambda x: model(x, T) @ V)(X[0])
    image = torch.tensor(np.asarray(X[0])).reshape(1, 1, 8, 8).requires_grad_()
    (net(image, torch.tensor([300.0])).sample.reshape(64) @ torch.tensor(np.asarray(V))).backward()
    np.testing.assert_allclose(back, image.grad.reshape(64), rtol=1e-9, atol=1e-11)
    np.testing.assert_allclose(back @ V, along @ V, rtol=1e-10)
    in_time = jax.jvp(lambda t: model(X[0], t), (T,), (1.0,))[1]
    apart = (model(X[0], T + 1e-4) - model(X[0], T - 1e-4)) / 2e-4  # its embedding of time is in float32
    np.testing.assert_allclose(in_time, apart, atol=1e-2 * np.abs(in_time).max())
    batch = eqx.filter_jit(jax.vmap(lambda x: jax.jvp(lambda z: model(z, T), (x,), (V,))[1]))(X)
    np.testing.assert_allclose(batch[0], along, rtol=1e-9, atol=1e-11)


def test_sampling_with_diffrax_and_with_ddim(net, model):
    """DDIM by its published update in PyTorch's numbers, eps-form (arXiv 2010.02502, eq. 12), on a VP schedule."""
    schedule = dm.VP()
    flow = dm.ProbabilityFlow(dm.DiffusionPath(schedule, dm.Prediction(model, "eps", schedule)))
    lams = np.linspace(-1.0, 1.5, 6)
    times = [float(schedule.t_of_lam(lam)) for lam in lams]
    x = float(schedule.alpha(times[0])) * np.asarray(X[0])
    for now, later in itertools.pairwise(times):
        eps = direct(net, x[None], now)[0]
        alpha, sigma, onto, rest = (float(f(t)) for t in (now, later) for f in (schedule.alpha, schedule.sigma))
        x = onto * (x - sigma * eps) / alpha + rest * eps
    grid = dfx.StepTo(jnp.asarray(lams))
    found = dfx.diffeqsolve(
        flow.terms(), dm.DDIM(), lams[0], lams[-1], None, X[0], stepsize_controller=grid, throw=False
    )
    np.testing.assert_allclose(found.ys[0] * float(schedule.alpha(times[-1])), x, rtol=1e-6, atol=1e-7)
    tau = dm.ProbabilityFlow(flow.path, "tau")
    heun = dfx.diffeqsolve(tau.terms(), dfx.Heun(), 1 - times[0], 1 - times[-1], 0.05, x, throw=False, max_steps=64)
    assert np.all(np.isfinite(heun.ys))


def test_weights_survive_a_file(net, tmp_path):
    from safetensors.torch import load_file, save_file

    save_file(net.state_dict(), tmp_path / "net.safetensors")
    other = network(seed=1)
    assert np.abs(direct(other, X, T) - direct(net, X, T)).max() > 1e-3
    other.load_state_dict(load_file(tmp_path / "net.safetensors"))
    again = dm.torch_model(other, (1, 8, 8), 1000.0)
    np.testing.assert_array_equal(jax.vmap(lambda x: again(x, T))(X), direct(net, X, T))


def test_parametrisations_are_those_of_diffusers():
    """v, the straight path and EDM's preconditioning by the schedulers of diffusers, in float32."""
    import torch
    from diffusers import DDPMScheduler, EDMEulerScheduler, FlowMatchEulerDiscreteScheduler

    x0, eps = (torch.tensor(part, dtype=torch.float32) for part in np.random.default_rng(2).normal(size=(2, 1, 64)))

    def ours(value, x, alpha, sigma, **kw):
        return dm.convert(*(jnp.asarray(part.numpy()) for part in (value, x)), alpha, sigma, **kw)

    table, step = DDPMScheduler(), torch.tensor([400])
    alpha, sigma = (float(part[400]) for part in (table.alphas_cumprod**0.5, (1 - table.alphas_cumprod) ** 0.5))
    x, v = table.add_noise(x0, eps, step), table.get_velocity(x0, eps, step)
    np.testing.assert_allclose(ours(eps, x, alpha, sigma, of="eps", to="v"), v, atol=1e-5)
    np.testing.assert_allclose(ours(v, x, alpha, sigma, of="v", to="x0"), x0, atol=1e-5)
    straight = FlowMatchEulerDiscreteScheduler()
    level = float(straight.sigmas[300])
    x = straight.scale_noise(x0, straight.timesteps[300:301], eps)
    found = ours(eps - x0, x, 1 - level, level, of="velocity", to="x0", slopes=(-1.0, 1.0))
    np.testing.assert_allclose(found, x0, atol=1e-5)
    edm, s = EDMEulerScheduler(sigma_data=0.5), torch.tensor(1.7)
    y, seen = x0 + s * eps, {}

    def silent(inside, c_noise):
        seen["x"], seen["c_noise"] = inside, c_noise
        return jnp.asarray(eps.numpy()[0])

    found = dm.Prediction(silent, "edm").denoise(jnp.asarray(y.numpy()[0]), 1.7)
    np.testing.assert_allclose(found, edm.precondition_outputs(y, eps, s)[0], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(seen["x"], edm.precondition_inputs(y, s)[0], rtol=1e-5)
    np.testing.assert_allclose(seen["c_noise"], edm.precondition_noise(s), rtol=1e-6)


def test_training_on_digits():
    """Half a minute of denoising score matching, v-prediction: the loss falls, and so does the error of its denoiser.

    The loss on fixed noise; the error of ``m`` against the exact posterior mean of the same digits, at three levels.
    """
    import torch

    net, schedule = network(precision="float32").train(), dm.VP()
    digits = (load_digits().data / 8.0 - 1.0).astype(np.float32)
    data, optimiser = torch.tensor(digits), torch.optim.Adam(net.parameters(), 2e-3)

    def loss(rows, seed):
        generator = torch.Generator().manual_seed(seed)
        t = torch.rand((len(rows), 1), generator=generator)
        half = 0.5 * (0.1 * t + 9.95 * t * t)
        alpha, sigma = torch.exp(-half), torch.sqrt(-torch.expm1(-2 * half))
        eps = torch.randn(rows.shape, generator=generator)
        found = net((alpha * rows + sigma * eps).reshape(-1, 1, 8, 8), 1000 * t[:, 0]).sample.reshape(-1, 64)
        return ((found - (alpha * eps - sigma * rows)) ** 2).mean()

    def error():
        denoiser = dm.Prediction(dm.torch_model(net.eval(), (1, 8, 8), 1000.0), "v", schedule)
        law, apart = dm.Empirical(jnp.asarray(digits.astype(float))), []
        for s in (0.3, 1.0, 3.0):
            y = law.xi[:16] + s * jax.random.normal(jax.random.key(0), (16, 64))
            ours, exact = (jax.vmap(lambda one, f=f, s=s: f.denoise(one, s))(y) for f in (denoiser, law))
            apart.append(float(jnp.mean((ours - exact) ** 2)))
        net.train()
        return np.asarray(apart)

    with torch.no_grad():
        first = float(loss(data[:512], 0))
    before = error()
    for step in range(300):
        optimiser.zero_grad()
        rows = data[torch.randint(len(data), (64,), generator=torch.Generator().manual_seed(step))]
        loss(rows, step + 1).backward()
        optimiser.step()
    with torch.no_grad():
        last = float(loss(data[:512], 0))
    after = error()
    assert last < 0.5 * first
    assert np.all(after < 0.5 * before)


def test_what_cannot_be_used_is_named(net, model):
    import torch

    bad = {
        "module=function: need a torch.nn.Module": lambda: dm.torch_model(network, (1, 8, 8)),
        "module=Linear is in training mode": lambda: dm.torch_model(torch.nn.Linear(2, 2), (2,)),
        "time_scale=nan": lambda: dm.torch_model(net, (1, 8, 8), float("nan")),
        r"shape=\(1, 8, 8\): the states have 9 coordinates": lambda: model(jnp.ones(9), T),
        r"module=Narrow: gives \(1, 1\) for states of shape \(1, 3\)": lambda: dm.torch_model(narrow(), (3,))(V[:3], T),
    }
    for message, wrong in bad.items():
        with pytest.raises(InputError, match=message):
            wrong()
    with pytest.raises(RuntimeError, match="channels"):
        dm.torch_model(net, (2, 4, 8))(X[0], T)


def test_a_module_of_any_precision_is_taken():
    import torch

    class Half(torch.nn.Module):
        def __init__(self):
            torch.nn.Module.__init__(self)
            self.gain = torch.nn.Parameter(torch.tensor(0.5, dtype=torch.bfloat16))

        def forward(self, x, t):
            return self.gain * x

    half = dm.torch_model(Half().eval(), (4,))
    np.testing.assert_array_equal(half(jnp.arange(4.0), T), [0.0, 0.5, 1.0, 1.5])


def narrow():
    import torch

    class Narrow(torch.nn.Module):
        def forward(self, x, t):
            return x[:, :1]

    return Narrow().eval()
