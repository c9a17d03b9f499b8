"""Samplers against the schedulers of diffusers, step by step, on one denoiser and the same noise.

diffusers is run in double precision where it allows it (its tables are made double; Euler ancestral, DPM-Solver++
multistep and its step grids are float32 inside). Differences from the papers are switched off: no clipping, no last
step of lower order. A last step to s = 0, which ours leave to the caller, is not compared.
"""

import importlib
import warnings

import diffrax as dfx
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import dynamem as dm
from tests.catalogue import path
from tests.sampler_reference import denoise


pytestmark = [pytest.mark.peers, pytest.mark.filterwarnings("ignore::DeprecationWarning")]
TOLERANCE = 1e-5
TABLE = {"num_train_timesteps": 1000, "beta_schedule": "linear", "beta_start": 1e-4, "beta_end": 0.02}
PLAIN = TABLE | {"prediction_type": "sample"}


def scheduler_of(module, **config):
    """A scheduler of diffusers with double tables, its module, and torch."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch = importlib.import_module("torch")
        room = importlib.import_module(f"diffusers.schedulers.scheduling_{module}")
        name = next(name for name in dir(room) if name.endswith("Scheduler") and name.lower()[:-9] == plain(module))
        made = getattr(room, name)(**config)
    made.alphas_cumprod = made.alphas_cumprod.double()
    return made, room, torch


def plain(module):
    return module.replace("_", "")


class Listed(dfx.AbstractPath):
    """A control whose increments over the steps of a grid are the given normals times their deviations."""

    lams: jax.Array
    z: jax.Array
    t0 = -jnp.inf
    t1 = jnp.inf

    def evaluate(self, t0, t1=None, left=True):
        return self.z[jnp.argmin(jnp.abs(self.lams - t0))] * jnp.sqrt(t1 - t0)


@eqx.filter_jit
def ours(solver, flow, lams, z, y0):
    terms = flow.terms(Listed(lams, z)) if isinstance(flow, dm.ReverseSDE) else flow.terms()
    return dfx.diffeqsolve(
        terms, solver, lams[0], lams[-1], None, y0, stepsize_controller=dfx.StepTo(lams), throw=False,
        saveat=dfx.SaveAt(t0=True, steps=True), max_steps=lams.shape[0] - 1,
    ).ys  # fmt: skip


def compared(solver, churn, levels, theirs, z):
    """Assert that both go through the same states ``y``."""
    flow = dm.ReverseSDE(path(), churn) if churn else dm.ProbabilityFlow(path())
    lams = jnp.asarray(-np.log(levels))
    found = np.asarray(ours(solver, flow, lams, jnp.asarray(z), jnp.asarray(theirs[0])))
    assert found.shape == theirs.shape
    assert len(theirs) > 5
    np.testing.assert_array_less(np.abs(found - theirs), TOLERANCE * (1 + np.abs(theirs)))
    moved = np.abs(np.diff(theirs, axis=0)).max(axis=1)
    assert moved.min() > 100 * TOLERANCE  # the comparison sees every step


def start(level):
    return level * np.random.default_rng(3).normal(size=3)


def normals(count):
    return np.random.default_rng(4).normal(size=(count, 3))


def given_noise(monkeypatch, room, torch, z):
    """Let the module draw these normals, one a call."""
    rows = iter(z)
    monkeypatch.setattr(room, "randn_tensor", lambda *_, **__: torch.from_numpy(next(rows)[None]))


def preserving(scheduler, torch, z, **how):
    """States ``y`` and levels of a scheduler in ``x = alpha y`` that reads its table at whole timesteps."""
    scheduler.set_timesteps(10)
    kept = scheduler.alphas_cumprod.numpy()
    stops = scheduler.timesteps.numpy()
    levels = np.sqrt((1 - kept[stops]) / kept[stops])
    x = torch.from_numpy(start(levels[0])[None] * np.sqrt(kept[stops[0]]))
    ys = [x / np.sqrt(kept[stops[0]])]
    for t, following, s in zip(stops[:-1], stops[1:], levels[:-1], strict=True):
        m = denoise(ys[-1].numpy()[0], s)
        x = scheduler.step(torch.from_numpy(m[None]), int(t), x, **how).prev_sample
        ys.append(x / np.sqrt(kept[following]))
    return np.concatenate([y.numpy() for y in ys]), levels


@pytest.mark.parametrize(("variance", "name"), [("posterior", "fixed_small"), ("upper", "fixed_large")])
def test_ddpm(monkeypatch, variance, name):
    made, room, torch = scheduler_of("ddpm", **PLAIN, variance_type=name, clip_sample=False, timestep_spacing="leading")
    z = normals(10)
    given_noise(monkeypatch, room, torch, z)
    ys, levels = preserving(made, torch, z)
    compared(dm.DDPM(variance), 1.0, levels, ys, z)


@pytest.mark.parametrize("eta", [0.0, 0.6, 1.0])
def test_ddim(monkeypatch, eta):
    """Its previous timestep is ``t - 1000 // 10``, which fits no other spacing than "leading"."""
    made, room, torch = scheduler_of("ddim", **PLAIN, clip_sample=False, timestep_spacing="leading")
    z = normals(10)
    given_noise(monkeypatch, room, torch, z)
    ys, levels = preserving(made, torch, z, eta=eta)
    compared(dm.DDIM(eta), eta**2, levels, ys, z)


def exploding(scheduler, torch, stride=1, predict="epsilon"):
    """States and levels of a scheduler in ``y``; every ``stride``-th call ends a step."""
    sigmas = scheduler.sigmas = scheduler.sigmas.double()
    levels = sigmas.numpy()
    y = torch.from_numpy(start(levels[0])[None])
    ys, used = [y], [float(levels[0])]
    for k, t in enumerate(scheduler.timesteps):
        if levels[min(k + 1, len(levels) - 1)] == 0:
            break
        scheduler.scale_model_input(y, t)
        s = float(levels[k])
        m = torch.from_numpy(denoise(y.double().numpy()[0], s)[None])
        y = scheduler.step(m if predict == "sample" else (y - m) / s, t, y).prev_sample
        if (k + 1) % stride == 0:
            ys.append(y)
            used.append(float(levels[k + 1]))
    return np.concatenate([y.double().numpy() for y in ys]), np.asarray(used)


def test_euler_ancestral(monkeypatch):
    made, room, torch = scheduler_of("euler_ancestral_discrete", **TABLE)
    z = normals(10)
    given_noise(monkeypatch, room, torch, z)
    made.set_timesteps(10)
    ys, levels = exploding(made, torch)
    compared(dm.EulerAncestral(), 1.0, levels, ys, z)


def test_edm_heun():
    """Without churn, which its Heun does not have; on Karras's levels."""
    made, _, torch = scheduler_of("heun_discrete", **PLAIN, use_karras_sigmas=True)
    made.set_timesteps(12)
    ys, levels = exploding(made, torch, stride=2, predict="sample")
    compared(dm.EDMHeun(), 0.0, levels, ys, normals(12))


def multistep(algorithm, torch, made, z):
    """States ``y``; noise is an argument of its step."""
    made.set_timesteps(10)
    made.sigmas = made.sigmas.double()
    levels = made.sigmas.numpy()
    scale = np.sqrt(1 + levels**2)
    x = torch.from_numpy(start(levels[0])[None] / scale[0])
    ys = [x * scale[0]]
    for k, t in enumerate(made.timesteps):
        m = torch.from_numpy(denoise(ys[-1].numpy()[0], levels[k])[None])
        noise = {"variance_noise": torch.from_numpy(z[k][None])} if algorithm.startswith("sde") else {}
        x = made.step(m, t, x, **noise).prev_sample
        ys.append(x * scale[k + 1])
    return np.concatenate([y.numpy() for y in ys]), levels


@pytest.mark.parametrize("algorithm", ["dpmsolver++", "sde-dpmsolver++"])
def test_dpm_solver_multistep(algorithm):
    """Its last steps are of lower order below 15 steps, or to zero; both are switched off."""
    how = {"algorithm_type": algorithm, "lower_order_final": False, "final_sigmas_type": "sigma_min"}
    made, _, torch = scheduler_of("dpmsolver_multistep", **PLAIN, **how)
    z = normals(10)
    ys, levels = multistep(algorithm, torch, made, z)
    solver, churn = (dm.DPMSolver2M(), 0.0) if algorithm == "dpmsolver++" else (dm.DPMSolverSDE(), 1.0)
    compared(solver, churn, levels, ys, z)


def test_dpm_solver_singlestep():
    """Two of its steps are one of ours, with r where its grid puts the stop between them."""
    how = {"lower_order_final": False, "final_sigmas_type": "sigma_min", "solver_order": 2}
    made, _, torch = scheduler_of("dpmsolver_singlestep", **PLAIN, **how)
    ys, levels = multistep("dpmsolver++", torch, made, normals(10))
    lams, terms = -np.log(levels), dm.ProbabilityFlow(path()).terms()
    for k in range(0, 10, 2):
        r = (lams[k + 1] - lams[k]) / (lams[k + 2] - lams[k])
        ends = jnp.asarray(lams[k]), jnp.asarray(lams[k + 2])
        found = dm.DPMSolver2S(r).step(terms, *ends, jnp.asarray(ys[k]), None, None, False)[0]
        np.testing.assert_array_less(np.abs(found - ys[k + 2]), TOLERANCE * (1 + np.abs(ys[k + 2])))


@pytest.mark.parametrize("kind", ["linear", "scaled_linear", "squaredcos_cap_v2"])
def test_tables(kind):
    made, _, _ = scheduler_of("ddpm", num_train_timesteps=1000, beta_schedule=kind)
    table = {"linear": dm.BetaTable.linear, "squaredcos_cap_v2": dm.BetaTable.cosine}.get(kind)
    table = dm.BetaTable.scaled_linear(1000, 1e-4, 0.02) if table is None else table()
    np.testing.assert_allclose(table.betas, made.betas.double().numpy(), rtol=2e-5)
    np.testing.assert_allclose((1 - table.loss[1:]) ** 2, made.alphas_cumprod.numpy(), rtol=1e-3, atol=1e-6)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        rescaled = importlib.import_module("diffusers.schedulers.scheduling_ddim").rescale_zero_terminal_snr(made.betas)
    np.testing.assert_allclose(
        table.zero_terminal_snr().betas, rescaled.double().numpy(), rtol=2e-3 if kind != "squaredcos_cap_v2" else 2e-2,
        atol=1e-6,
    )  # fmt: skip


@pytest.mark.parametrize("spacing", ["leading", "trailing", "linspace"])
@pytest.mark.parametrize("steps", [10, 7, 50])
def test_index_grids(spacing, steps):
    made, _, _ = scheduler_of("ddim", **TABLE, timestep_spacing=spacing)
    made.set_timesteps(steps)
    assert made.timesteps.tolist() == dm.index_grid(1000, steps, spacing).tolist()


def test_another_sampler_is_told_apart():
    made, _, torch = scheduler_of("heun_discrete", **PLAIN, use_karras_sigmas=True)
    made.set_timesteps(12)
    ys, levels = exploding(made, torch, stride=2, predict="sample")
    for other in (dm.DDIM(), dm.DPMSolver2S()):
        with pytest.raises(AssertionError):
            compared(other, 0.0, levels, ys, normals(12))
