"""DDIM against its closed formula, against Euler where the two coincide, and its order."""

import diffrax as dfx
import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

import dynamem as dm
from dynamem._errors import InputError
from tests.catalogue import SAMPLERS, SCHEDULES, WEIGHTS, XI, X, any_schedule, path, stepped


NAMES = list(SCHEDULES)


@eqx.filter_jit
def solve(flow, solver, lams, x0):
    """States at every entry of the grid `lams`, shape (n, D)."""
    solution = dfx.diffeqsolve(
        flow.terms(), solver, lams[0], lams[-1], None, x0, saveat=dfx.SaveAt(t0=True, steps=True),
        stepsize_controller=dfx.StepTo(lams), max_steps=lams.shape[0] - 1, throw=False,
    )  # fmt: skip
    return solution.ys


@eqx.filter_jit
def numbers(schedule, ts):
    return jax.vmap(lambda t: (schedule.alpha(t), schedule.sigma(t), schedule.lam(t)))(ts)


def denoise(y, s):
    xi = np.asarray(XI)
    w = np.asarray(WEIGHTS) * np.exp(-(((y - xi) ** 2).sum(1) - ((y - xi) ** 2).sum(1).min()) / (2 * s * s))
    return w @ xi / w.sum()


@pytest.mark.parametrize("index", range(len(NAMES)), ids=NAMES)
def test_ddim_is_the_closed_formula(index):
    ts = jnp.linspace(0.95, 0.05, 9)
    alpha, sigma, lams = jax.device_get(numbers(any_schedule(index), ts))
    found = solve(dm.ProbabilityFlow(path()), dm.DDIM(), jnp.asarray(lams), X[0] / alpha[0])
    x = np.asarray(X[0])
    for k in range(8):
        m = denoise(x / alpha[k], sigma[k] / alpha[k])
        x = alpha[k + 1] * m + sigma[k + 1] * (x - alpha[k] * m) / sigma[k]
        np.testing.assert_allclose(alpha[k + 1] * np.asarray(found[k + 1]), x, rtol=1e-9, atol=1e-10)


def euler_in_t(index):
    """Largest distance between DDIM's states and Euler's in t, over a grid of eight steps."""
    schedule, ts = any_schedule(index), jnp.linspace(0.9, 0.1, 9)
    alpha, _, lams = numbers(schedule, ts)
    found = solve(dm.ProbabilityFlow(path()), dm.DDIM(), lams, X[0] / alpha[0]) * alpha[:, None]
    own = solve(dm.ProbabilityFlow(path(schedule), "tau"), dfx.Euler(), 1 - ts, X[0])
    return float(jnp.max(jnp.abs(found - own)))


def test_ddim_is_euler_where_the_path_is_affine():
    assert euler_in_t(NAMES.index("EDM")) < 1e-10
    assert euler_in_t(NAMES.index("FlowMatching")) < 1e-10
    assert euler_in_t(NAMES.index("VP")) > 1e-3


def fitted_order(solver):
    span, start = (-1.0, 1.0), X[0]
    exact = dfx.diffeqsolve(
        dm.ProbabilityFlow(path()).terms(), dfx.Dopri8(), *span, None, start, throw=False,
        stepsize_controller=dfx.PIDController(rtol=1e-12, atol=1e-13), max_steps=4096,
    ).ys[0]  # fmt: skip
    counts = np.asarray([16, 32, 64, 128])
    ends = [solve(dm.ProbabilityFlow(path()), solver, jnp.linspace(*span, n + 1), start)[-1] for n in counts]
    errors = [float(jnp.linalg.norm(end - exact)) for end in ends]
    return -np.polyfit(np.log(counts), np.log(errors), 1)[0]


@pytest.mark.long
def test_ddim_converges_with_first_order():
    assert abs(fitted_order(dm.DDIM()) - 1) < 0.15
    assert fitted_order(dfx.Heun()) > 1.5


def test_ddim_is_exact_where_the_denoiser_is_constant():
    single = dm.DiffusionPath(dm.EDM(), dm.Empirical(XI[:1]))
    found = solve(dm.ProbabilityFlow(single), dm.DDIM(), jnp.asarray([-1.0, 0.3, 2.0]), X[1])
    for lam, state in zip((-1.0, 0.3, 2.0), found, strict=True):
        exact = XI[0] + np.exp(-(lam + 1.0)) * (X[1] - XI[0])
        np.testing.assert_allclose(np.asarray(state), np.asarray(exact), rtol=1e-13, atol=1e-13)
    euler = solve(dm.ProbabilityFlow(single), dfx.Euler(), jnp.asarray([-1.0, 0.3, 2.0]), X[1])
    assert float(jnp.max(jnp.abs(euler[1] - found[1]))) > 0.1


@eqx.filter_jit
def noisy_steps(eta, lams, x0, keys):
    """One step of DDIM(eta) and the increment that drove it, for every key."""
    flow = dm.ReverseSDE(path(), jnp.square(eta))

    def one(key):
        noise = dfx.UnsafeBrownianPath((3,), key)
        y1 = dm.DDIM(eta).step(flow.terms(noise), lams[0], lams[1], x0, None, None, False)[0]
        return y1, noise.evaluate(lams[0], lams[1])

    return jax.vmap(one)(keys)


@pytest.mark.parametrize("eta", [0.5, 1.0])
def test_ddim_eta_adds_the_noise_of_the_paper(eta):
    lams, x0 = jnp.asarray([-0.4, 0.5]), X[2]
    s, s1 = np.exp(0.4), np.exp(-0.5)
    ends, steps = noisy_steps(jnp.asarray(eta), lams, x0, jr.split(jr.key(4), 20_000))
    m, h = denoise(np.asarray(x0), s), 0.9
    # arXiv 2010.02502, eq. 12 and 16, in y: sigma_n is the noise, the rest of s1 points along the old noise.
    sigma_n = eta * s1 / s * np.sqrt(s**2 - s1**2)
    mean = m + np.sqrt(s1**2 - sigma_n**2) * (np.asarray(x0) - m) / s
    exact = mean + sigma_n * np.asarray(steps) / np.sqrt(h)
    np.testing.assert_allclose(np.asarray(ends), exact, rtol=1e-10, atol=1e-11)
    count = ends.shape[0]
    assert np.all(np.abs(np.mean(ends, axis=0) - mean) < 5 * sigma_n / np.sqrt(count))
    assert np.all(np.abs(np.var(ends, axis=0) / sigma_n**2 - 1) < 5 * np.sqrt(2 / count))


def one_step(flow, solver):
    terms = flow.terms(dfx.UnsafeBrownianPath((3,), jr.key(0))) if isinstance(flow, dm.ReverseSDE) else flow.terms()
    ends = jnp.asarray(-0.4), jnp.asarray(0.5)
    return solver.step(terms, *ends, X[0], None, solver.init(terms, *ends, X[0], None), False)[0]


REFUSED = {
    "eta=-1": lambda: dm.DDIM(-1.0),
    "eta=1.5: must be at most 1": lambda: dm.DDIM(1.5),
    r"eta.shape=\(2,\)": lambda: dm.DDIM(jnp.ones(2)),
    "clock='tau': DDIM steps on clock 'lam'": lambda: one_step(dm.ProbabilityFlow(path(), "tau"), dm.DDIM()),
    "clock='tau'": lambda: one_step(dm.ReverseSDE(path(), 1.0, "tau"), dm.DDIM(1.0)),
    "clock='tau': DPMSolver2M steps on": lambda: one_step(dm.ProbabilityFlow(path(), "tau"), dm.DPMSolver2M()),
    "churn=1.0: DPMSolver2M here is a step of the flow of churn 0.0": lambda: one_step(
        dm.ReverseSDE(path(), 1.0), dm.DPMSolver2M()
    ),
    "churn=0.5: EDMHeun here is a step of the flow of churn 1.0": lambda: one_step(
        dm.ReverseSDE(path(), 0.5), dm.EDMHeun()
    ),
    "churn=0.0: DDPM here": lambda: one_step(dm.ProbabilityFlow(path()), dm.DDPM()),
    "gamma=0.41.*: churn needs noise": lambda: one_step(dm.ProbabilityFlow(path()), dm.EDMHeun(9.0, steps=2)),
    "terms=ODETerm: DDPM needs noise": lambda: dm.DDPM().step(
        dfx.ODETerm(lambda t, y, args: -y), 0.0, 0.5, X[0], None, None, False
    ),
    "terms=ODETerm: BlindSampler needs noise": lambda: dm.BlindSampler().init(
        dfx.ODETerm(lambda t, y, args: -y), 0.0, 1.0, X[0], None
    ),
    "flow=ReverseSDE: it is told the noise level": lambda: dm.BlindSampler().init(
        dm.ReverseSDE(path()).terms(dfx.UnsafeBrownianPath((3,), jr.key(0))), 0.0, 1.0, X[0], None
    ),
    "variance='middle': choose": lambda: dm.DDPM("middle"),
    "r=1.5: must be at most 1": lambda: dm.DPMSolver2S(1.5),
    "S_max=nan: need one number": lambda: dm.EDMHeun(9.0, S_max=jnp.nan, steps=2),
    "S_churn=9.0, steps=None": lambda: dm.EDMHeun(9.0),
    "S_noise=-1": lambda: dm.EDMHeun(S_noise=-1.0),
    "eta=-0.5": lambda: dm.EulerAncestral(-0.5),
    "k=5: choose 2, 3 or 4": lambda: dm.ExponentialAB(5),
    "predictor='euler': choose": lambda: dm.PredictorCorrector("euler"),
    "corrections=-1": lambda: dm.PredictorCorrector(corrections=-1),
    "delta=0": lambda: dm.AnnealedLangevin(0.0),
    "repeats=0": lambda: dm.AnnealedLangevin(repeats=0),
    "h0=2.0: must be at most 1": lambda: dm.BlindSampler(2.0),
    "churn=1.0: DDIM here is a step of the flow of churn 0.0": lambda: one_step(dm.ReverseSDE(path(), 1.0), dm.DDIM()),
    r"churn=0.0: .* of churn 0.25, make it ReverseSDE\(path, 0.25\)": lambda: one_step(
        dm.ProbabilityFlow(path()), dm.DDIM(0.5)
    ),
}


@pytest.mark.parametrize("message", REFUSED)
def test_samplers_refuse_what_they_do_not_fit(message):
    with pytest.raises(InputError, match=message):
        REFUSED[message]()


def test_ddim_refuses_another_clock_in_a_solve():
    lams = jnp.asarray([0.2, 0.5])
    with pytest.raises(InputError, match="clock='tau'"):
        solve(dm.ProbabilityFlow(path(), "tau"), dm.DDIM(), lams, X[0])


def test_a_solve_of_another_churn_is_nan_and_never_a_number():
    lams = jnp.asarray([-0.4, 0.5])
    assert np.all(np.isnan(solve(dm.ProbabilityFlow(path()), dm.DDIM(0.5), lams, X[0])[-1]))
    found = dm.check(
        dm.FreeEnergy(path(), 0.25), dm.ReverseSDE(path(), 0.25), X, t0=-0.4, t1=0.5, solver=dm.DDIM(1.0), dt0=0.3,
        key=jr.key(0),
    )  # fmt: skip
    assert found.status == "failed"


CHECKED = [pytest.param(name, marks=() if name == "DPMSolver2M" else pytest.mark.long) for name in SAMPLERS]


@pytest.mark.parametrize("name", CHECKED)
def test_check_runs_with_every_sampler(name):
    """On one pattern V falls along an ODE and V + churn D s^2/2 in mean; corrections leave it open for so few paths."""
    sampler, where = SAMPLERS[name](), dm.DiffusionPath(dm.VP(), dm.Empirical(XI[:1]))
    grid = jnp.asarray([-1.0, -0.6, 0.1, 0.5, 1.0])
    flow = stepped(sampler, where)
    churn = getattr(flow, "churn", 0.0)
    found = dm.check(
        dm.FreeEnergy(where, churn), flow, jnp.tile(X, (16, 1)), t0=-1.0, t1=1.0, solver=sampler, key=jr.key(0),
        stepsize_controller=dfx.StepTo(grid),
    )  # fmt: skip
    assert found.status == "holds" or ("Corrector" in name and found.status == "undecided"), found.reason


@pytest.mark.long
def test_a_check_of_what_adds_noise_is_broken():
    """Annealed Langevin from a pattern, as its noise is walked off and not taken away."""
    where = dm.DiffusionPath(dm.VP(), dm.Empirical(XI[:1]))
    found = dm.check(
        dm.FreeEnergy(where, 1.0), dm.ReverseSDE(where), jnp.tile(XI[:1], (64, 1)), t0=0.0, t1=0.04, key=jr.key(0),
        solver=dm.AnnealedLangevin(repeats=3), stepsize_controller=dfx.StepTo(jnp.asarray([0.0, 0.02, 0.04])),
    )  # fmt: skip
    assert found.status == "broken", found.reason


def test_ddim_takes_the_flows_that_it_fits():
    assert np.all(np.isfinite(one_step(dm.ReverseSDE(path(), 0.0), dm.DDIM())))
    assert np.all(np.isfinite(one_step(dm.ReverseSDE(path(), 0.25), dm.DDIM(0.5))))
