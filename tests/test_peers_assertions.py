"""Code of others under `dynamem.testing`, unmodified: what holds, what breaks, and that an altered copy is caught.

HAMUX's memories descend in x by ``dx/dt = -dE/dg``, g the activations. Samplers of diffusers run in ``y = x/alpha`` as
Diffrax solvers (`examples.code_of_others.Peer`); their tables and steps are float32 inside.
"""

import importlib
from functools import partial
from types import SimpleNamespace

import diffrax as dfx
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import dynamem as dm
from dynamem import testing
from dynamem.testing._samplers import MEAN, SPREAD


pytestmark = [pytest.mark.peers, pytest.mark.filterwarnings("ignore")]
others = importlib.import_module("examples.code_of_others")
X = others.STATES
PLANE = X[:, :2]
LAGRANGIANS = [
    "identity",
    "relu",
    "rexp",
    "exp",
    "tanh",
    "sigmoid",
    "softmax",
    "layernorm",
    "spherical_norm",
    "ghostmax",
]
MULTISTEP = {"more": 0, "final_sigmas_type": "sigma_min"}


def told(call, *args, **how):
    with pytest.raises(AssertionError) as broken:
        call(*args, **how)
    return str(broken.value)


def hamux(name):
    return getattr(importlib.import_module("hamux"), name)


@pytest.mark.parametrize("name", LAGRANGIANS)
def test_energies_of_hamux_fall(name):
    testing.assert_lyapunov(*others.memory(hamux(f"lagr_{name}")), X)


def test_a_lagrangian_that_is_not_convex_is_caught():
    """``gamma = -1`` makes the spherical norm concave."""
    energy, flow = others.memory(lambda x: hamux("lagr_spherical_norm")(x, gamma=-1.0))
    assert "the energy rises" in told(testing.assert_lyapunov, energy, flow, X)


def test_its_descent_is_a_gradient_in_the_activations():
    """By design: ``-dE/dg`` is ``-grad_x E`` for the identity alone, else ``-M grad_x E`` with ``M = 1/g'(x)``."""
    identity, tanh = hamux("lagr_identity"), hamux("lagr_tanh")
    testing.assert_gradient_flow(*others.memory(identity, identity), X)
    energy, flow = others.memory(tanh, tanh)
    assert "is not -M grad E" in told(testing.assert_gradient_flow, energy, flow, X)
    for x in X:
        testing.assert_gradient_flow(energy, flow, x, preconditioner=1 / (1 - np.tanh(x) ** 2))


@pytest.mark.parametrize(("step", "falls"), [(0.1, True), (10.0, False)])
def test_its_update_descends_in_short_steps_only(step, falls):
    """By design: ``x - step dE/dg`` is an Euler step."""
    energy, flow = others.memory(hamux("lagr_layernorm"))
    ask = partial(testing.assert_lyapunov, energy, dm.Map(lambda x: x + step * flow.vf(0.0, x, None)), X)
    assert ask() is None if falls else "rises over an update" in told(ask)


def test_its_memory_has_the_symmetry_of_its_weights():
    ham = importlib.import_module("hamux")
    layers = {name: ham.NeuronLayer(hamux("lagr_softmax"), (3,)) for name in "ab"}
    cyclic = jnp.asarray([[1.0, 0.25, -0.5], [-0.5, 1.0, 0.25], [0.25, -0.5, 1.0]])

    def energy(weight, x):
        one = ham.HAM(layers, {"w": ham.LinearSynapse(weight)}, [(("a", "b"), "w")])
        xs = {"a": x[:3], "b": x[3:]}
        return one.energy(one.activations(xs), xs)

    def turn(x):
        return jnp.concatenate([jnp.roll(x[:3], 1), jnp.roll(x[3:], 1)])

    x = np.concatenate([X, PLANE[::-1]], axis=1)
    testing.assert_equivariant(partial(energy, cyclic), turn, x, invariant=True)
    bent = partial(energy, cyclic.at[0, 0].add(0.1))
    assert "does not commute" in told(testing.assert_equivariant, bent, turn, x, invariant=True)


@pytest.mark.parametrize(("name", "right"), [("softmax", True), ("exp", True), ("tanh", False), ("sigmoid", False)])
def test_derivatives_by_an_inverse_temperature(name, right):
    """Those of the tanh and the sigmoid are zero: a rule for derivatives leaves beta out."""
    score = jax.grad(lambda z: hamux(f"lagr_{name}")(z[1:], z[0]))
    ask = partial(testing.assert_score_is_gradient, score, np.abs(X))
    assert ask() is None if right else "its Jacobian is not symmetric" in told(ask)


@pytest.mark.parametrize("name", ["layernorm", "spherical_norm"])
def test_a_shift_of_a_norm_is_counted_once_a_row(name):
    """The documented activation ``gamma x/|x| + delta`` is the gradient for one row; for n rows delta is n times it."""
    room = importlib.import_module("hamux.lagrangians")
    norm, lagrangian = getattr(room, f"_simple_{name}"), getattr(room, f"lagr_{name}")

    def asked(rows, delta):
        shape = (rows, 4 // rows)
        energy = lambda x: -lagrangian(x.reshape(shape), delta=delta)  # noqa: E731
        return partial(testing.assert_score_is_gradient, lambda x: norm(x.reshape(shape), delta=delta).ravel(), X,
                       energy=energy)  # fmt: skip

    asked(1, 0.5)()
    asked(2, 0.0)()
    assert "the score is not -grad E" in told(asked(2, 0.5))


@pytest.mark.parametrize("name", ["tanh", "sigmoid"])
def test_far_states_overflow(name):
    """``log cosh`` and ``log(1 + exp)`` as they are written: infinite from 710 on."""
    asked = partial(testing.assert_lyapunov, states=1e3 * np.abs(X))
    assert "is no number" in told(asked, *others.memory(hamux(f"lagr_{name}")))
    asked(*others.memory(dm.Elementwise(name, beta=1.0)))


def scheduler(name, **how):
    return getattr(importlib.import_module("diffusers"), name)(**how)


def schedule(alpha, sigma):
    """A table as a schedule, linear between its entries."""
    times = np.linspace(0.0, 1.0, len(sigma))

    def between(values):
        return lambda t: jnp.interp(t, jnp.asarray(times, t.dtype), jnp.asarray(values, t.dtype))

    return SimpleNamespace(alpha=between(alpha), sigma=between(sigma)), times


@pytest.mark.parametrize("zero", [False, True])
@pytest.mark.parametrize("kind", ["linear", "scaled_linear", "squaredcos_cap_v2", "sigmoid"])
def test_tables_of_ddpm_are_schedules(kind, zero):
    others.table("DDPMScheduler", beta_schedule=kind, rescale_betas_zero_snr=zero)()


@pytest.mark.parametrize("name", ["EulerDiscrete", "EulerAncestralDiscrete", "DPMSolverMultistep", "UniPCMultistep"])
def test_a_table_of_zero_terminal_snr_turns_back(name):
    """They replace the last ``alpha^2 = 0`` by 2^-24: more signal than the entry before it has, 4.2e-9 when linear."""
    name, zero = f"{name}Scheduler", {"rescale_betas_zero_snr": True}
    assert "sigma/alpha does not rise" in told(others.table(name, **zero))
    kept = scheduler(name, **zero).alphas_cumprod.numpy()
    assert kept[-2] < 5e-9 < kept[-1] == 2**-24
    others.table(name, **zero, beta_schedule="scaled_linear")()
    others.table(name)()


def test_the_laplace_table_has_another_law():
    """``log SNR = -b sgn(1/2 - t) log(1 - 2|1/2 - t|)`` has ``alpha^2 = SNR/(1 + SNR)``; the table takes its root.

    arXiv 2407.03297, with b = 1/2; the table adds 1e-6 to the argument of the logarithm.
    """
    t = np.arange(1, 1001) / 1000
    snr = np.exp(-0.5 * np.sign(0.5 - t) * np.log(1 - 2 * np.abs(0.5 - t) + 1e-6))
    kept = scheduler("DDPMScheduler", beta_schedule="laplace").alphas_cumprod.numpy()
    paper = snr / (1 + snr)

    def asked(square):
        one, times = schedule(np.sqrt(square), np.sqrt(1 - square))
        one.lam = lambda at: jnp.interp(at, jnp.asarray(times, at.dtype), jnp.asarray(0.5 * np.log(snr), at.dtype))
        return partial(testing.assert_schedule, one, times=times, rtol=0.05, clean=0.3)

    asked(paper)()
    assert "lam(t) is not what alpha and sigma say" in told(asked(kept))
    np.testing.assert_allclose(kept[:-1], np.sqrt(paper[:-1]), rtol=1e-3)


@pytest.mark.parametrize(
    ("name", "how"),
    [("FlowMatchEulerDiscrete", {}), ("FlowMatchEulerDiscrete", {"shift": 3.0}), ("EDMEuler", {}),
     ("EDMEuler", {"sigma_schedule": "exponential"})],
)  # fmt: skip
def test_levels_are_a_schedule_and_swapped_ones_are_not(name, how):
    sigma = scheduler(f"{name}Scheduler", **how).sigmas.double().numpy()[::-1]
    sigma = sigma[sigma > 0]
    alpha = 1 - sigma if name.startswith("Flow") else np.ones_like(sigma)
    one, times = schedule(alpha, sigma)
    testing.assert_schedule(one, times=times)
    places = [*range(500), 501, 500, *range(502, len(sigma))]
    turned, _ = schedule(alpha[places], sigma[places])
    assert "does not rise" in told(testing.assert_schedule, turned, times=times)


def ends_at_zero(name, **how):
    """A scheduler on its own steps, which end at s = 0, and the level that each call starts from."""

    def make(count):
        one = scheduler(name, **how)
        one.set_timesteps(count)
        if "sigmas" in vars(one):
            return one, one.sigmas.double().numpy()
        kept = one.alphas_cumprod.double().numpy()[one.timesteps.numpy()]
        return one, np.append(np.sqrt(1 / kept - 1), 0.0)

    return make


def own_steps(order, make, steps, **how):
    """``lam = 12`` stands for s = 0."""
    span = (-np.log(make(8)[1][0]), 12.0)
    run = others.Run(make, span=span, **how)
    return partial(testing.assert_sampler_consistent, others.Peer(run, 1), order=order, steps=steps, span=span)


@pytest.mark.parametrize(
    ("order", "name", "how", "run"),
    [(1, "DDIM", {"clip_sample": False}, {}), (1, "EulerDiscrete", {}, {"scale": np.ones_like}),
     (2, "HeunDiscrete", {}, {"scale": np.ones_like, "stages": 2}), (2, "DPMSolverMultistep", MULTISTEP, {}),
     (2, "DEISMultistep", {"more": 0}, {}), (3, "UniPCMultistep", MULTISTEP | {"lower_order_final": False}, {})],
)  # fmt: skip
def test_samplers_have_their_order_in_equal_steps_of_lam(order, name, how, run):
    """UniPC's corrector adds one to its order 2."""
    others.sampler(order, others.on_lam(f"{name}Scheduler", **how), **run)()


def test_flow_matching_has_order_one():
    def make(count):
        one, s = scheduler("FlowMatchEulerDiscreteScheduler"), np.exp(-np.linspace(*others.SPAN, count + 1))
        one.set_timesteps(sigmas=list(s / (1 + s)))
        levels = one.sigmas.double().numpy()[:-1]
        return one, levels / (1 - levels)

    how = {"scale": lambda s: 1 / (1 + s)}
    others.sampler(1, make, output=lambda y, m, s: (y - m) / s - m, **how)()
    assert "has not the order" in told(others.sampler(1, make, output=lambda y, m, s: (y - m) / s - 0.9 * m, **how))


def test_ddim_clips_what_it_predicts():
    """By design: to [-1, 1] unless told otherwise, which data that reach further do not survive."""
    assert "has not the order" in told(others.sampler(1, others.on_lam("DDIMScheduler")))


def test_ddim_is_exact_on_a_point_but_for_its_float32_table():
    plain = others.on_lam("DDIMScheduler", clip_sample=False)

    def double(count):
        one, levels = plain(count)
        one.alphas_cumprod = importlib.import_module("torch").tensor(1 / (1 + levels[::-1] ** 2))
        return one, levels

    assert "is not exact on one point" in told(others.sampler(1, plain), exact_on_point=True)
    others.sampler(1, double)(exact_on_point=True)


@pytest.mark.parametrize("spacing", ["linspace", "trailing"])
def test_ddim_steps_elsewhere_unless_the_number_of_steps_divides_1000(spacing):
    """Its previous timestep is ``t - 1000 // n``; the next one of these spacings is another, 1000/n from it."""
    make = ends_at_zero("DDIMScheduler", timestep_spacing=spacing, clip_sample=False)
    own_steps(1, make, (20, 50, 125))()
    assert "has not the order" in told(own_steps(1, make, (32, 64, 128)))


@pytest.mark.parametrize(("karras", "steps"), [(True, (32, 128)), (False, (64, 500))])
def test_dpm_solver_has_order_two_on_other_steps_than_its_own(karras, steps):
    """By design: in steps equal in t the last one, to s = 0 and of order 1, starts from ``s^2 ~ 1/n``."""
    ask = own_steps(2, ends_at_zero("DPMSolverMultistepScheduler", use_karras_sigmas=karras), steps)
    assert ask() > 1.9 if karras else "has not the order" in told(ask)


def test_unipc_lowers_its_order_at_the_end_of_any_number_of_steps():
    """`lower_order_final` is documented as only valid for fewer than 15 steps."""
    assert "has not the order" in told(others.sampler(3, others.on_lam("UniPCMultistepScheduler", **MULTISTEP)))


def test_deis_of_order_three_cancels_in_float32():
    """More steps are worse, as far as its levels are float32; with the same levels in float64 it has order 2."""
    plain = others.on_lam("DEISMultistepScheduler", more=0, solver_order=3)

    def double(count):
        one, levels = plain(count)
        one.sigmas = importlib.import_module("torch").tensor(np.exp(-np.linspace(*others.SPAN, count + 1)))
        return one, levels

    assert "has not the order" in told(others.sampler(0, plain))
    assert others.sampler(2, double)() > 1.9


def power(n):
    return lambda t, y: jnp.sum(y**n) / n


def test_the_field_of_the_demo_descends_a_quartic():
    """``dy/dt = y^3 A`` has ``d/dt sum y^4/4 = y^3 A.y^3 <= 0``, as A + A^T is negative; ``|y|^2`` rises in places."""
    flow = others.spiral()
    testing.assert_lyapunov(power(4), flow, PLANE)
    assert "the energy rises" in told(testing.assert_lyapunov, power(2), flow, PLANE)


def test_the_field_of_the_demo_is_a_turned_gradient():
    """``-M grad E`` with ``M = -A^T``, and it commutes with quarter turns alone."""
    flow, m = others.spiral(), np.asarray([[0.1, 2.0], [-2.0, 0.1]])
    testing.assert_gradient_flow(power(4), flow, PLANE, preconditioner=m)
    assert "is not -M grad E" in told(testing.assert_gradient_flow, power(4), flow, PLANE)
    function = partial(flow.vf, jnp.asarray(0.0), args=None)
    testing.assert_equivariant(function, lambda y: jnp.stack([-y[1], y[0]]), PLANE)
    eighth = lambda y: jnp.stack([y[0] - y[1], y[0] + y[1]]) / np.sqrt(2)  # noqa: E731
    assert "does not commute" in told(testing.assert_equivariant, function, eighth, PLANE)


class Odeint(dfx.Euler):
    """A method of torchdiffeq on the flow of the assertion's Gaussian, each step from the start on: it has a past."""

    method: str = eqx.field(static=True)
    options: tuple = eqx.field(static=True, default=())

    def init(self, terms, t0, t1, y0, args):
        return y0, t0

    def step(self, terms, t0, t1, y0, args, solver_state, made_jump):
        y = jax.pure_callback(self.run, y0, *solver_state, t0, t1, vmap_method="sequential")
        return y, None, {"y0": y0, "y1": y}, solver_state, dfx.RESULTS.successful

    def run(self, y, *ends):
        torch, torchdiffeq = (importlib.import_module(name) for name in ("torch", "torchdiffeq"))
        mean, (first, before, after) = torch.tensor(MEAN, dtype=torch.float64), map(float, ends)
        grid = torch.linspace(first, after, round((after - first) / (after - before)) + 1, dtype=torch.float64)

        def drift(lam, y):
            return -(y - mean) / (1 + SPREAD**2 * torch.exp(2 * lam))

        how = {"method": self.method, "options": dict(self.options)}
        return torchdiffeq.odeint(drift, torch.tensor(np.asarray(y)), grid, **how)[-1].numpy()


def integrated(order, method, **options):
    solver = Odeint(method, tuple(options.items()))
    return testing.assert_sampler_consistent(solver, order=order, steps=(32, 64))


@pytest.mark.parametrize(
    ("method", "order"), [("euler", 1), ("midpoint", 2), ("heun2", 2), ("heun3", 3), ("rk4", 4), ("implicit_adams", 4)]
)
def test_methods_of_torchdiffeq_have_their_order(method, order):
    integrated(order, method)


def test_explicit_adams_is_unstable_as_it_comes():
    """Its default order, 12, is stable in steps of some thousandths; `max_order=4` is order 3."""
    assert "has not the order" in told(integrated, 1, "explicit_adams")
    assert integrated(2.9, "explicit_adams", max_order=4) == pytest.approx(3, abs=0.1)


def test_an_sde_of_stratonovich_is_not_one_of_ito():
    """Terms are read as Ito's. ``dy = mu y dt + nu y o dW`` has the drift ``(mu + nu^2/2) y`` there.

    With mu = -0.2, nu = 0.5 the mean of |y|^2 falls as ``exp(2 mu + nu^2)`` or rises as ``exp(2 mu + 2 nu^2)``.
    """
    torch, torchsde = (importlib.import_module(name) for name in ("torch", "torchsde"))
    testing.assert_lyapunov(power(2), others.geometric(-0.2, 0.5), PLANE)
    assert "the energy rises" in told(testing.assert_lyapunov, power(2), others.geometric(-0.2 + 0.125, 0.5), PLANE)
    for kind, wanted in (("ito", np.exp(-0.15)), ("stratonovich", np.exp(0.1))):
        torch.manual_seed(0)
        how = {"noise_type": "diagonal", "sde_type": kind}
        sde = SimpleNamespace(**how, f=lambda t, y: -0.2 * y, g=lambda t, y: 0.5 * y)
        ends = torchsde.sdeint(sde, torch.ones(20_000, 1), torch.tensor([0.0, 1.0]), dt=0.125)[-1]
        assert float((ends**2).mean()) == pytest.approx(wanted, abs=0.05)


def test_a_float32_field_asks_for_float32_states():
    """Cast from float64 it is the same up to float32's rounding, which the assertion cannot see: give ``rtol``."""
    torch = importlib.import_module("torch")

    class Cubed(torch.nn.Module):
        def forward(self, y, t):
            return -(y**3) / 3

    model = dm.torch_model(Cubed().eval(), (2,))
    flow = dfx.ODETerm(lambda t, y, args: model(y, t))
    asked = partial(testing.assert_gradient_flow, lambda t, y: jnp.sum(y**4) / 12, flow)
    asked((PLANE + 0.1).astype(np.float32))
    assert "is not -M grad E" in told(asked, PLANE + 0.1)
    asked(PLANE + 0.1, rtol=1e-6)


def test_the_example_finds_what_it_says():
    rows = {row[3]: row[4] for row in others.main()}
    assert len(rows) == 16
    holds = {what for what, found in rows.items() if found == "holds"}
    assert holds == {
        "E falls along -dE/dg", "DDPM, zero terminal SNR", "the same without clipping", "Heun has order 2",
        "DPM++ 2M has order 2", "sum y^4/4 falls along y^3 A", "y.y/2 falls in mean, Ito",
    }  # fmt: skip
