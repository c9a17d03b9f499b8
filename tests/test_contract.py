"""One contract for each kind of leaf, run for every entry of the catalogue, plain and under transformations."""

import itertools

import diffrax as dfx
import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

import dynamem as dm
from dynamem._errors import InputError
from dynamem.diffusion import Point
from dynamem.lyapunov import dynamics_of, laplacian
from dynamem.lyapunov._trajectory import controlled
from tests import catalogue
from tests.catalogue import (
    BLIND,
    DENOISERS,
    ENERGIES,
    FLOWS,
    LAWS,
    LEAF_SCHEDULES,
    SOLVERS,
    TABLES,
    WEIGHTS,
    XI,
    X,
    some_long,
)
from tests.sampler_reference import STEPS, Waves, walk


STEP = 1e-5
TIMES = jnp.asarray([0.05, 0.3, 0.5, 0.77, 0.95])


def agree(left, right, rtol=1e-9, atol=1e-9):
    np.testing.assert_allclose(np.asarray(left), np.asarray(right), rtol=rtol, atol=atol)


class Unlisted(dm.AbstractEnergy):
    def __call__(self, t, x):
        return x @ x

    def magnitude(self, t, x):
        return x @ x


@pytest.mark.parametrize("base", TABLES, ids=lambda base: base.__name__)
def test_every_leaf_is_in_the_catalogue(base):
    catalogue.import_all()
    assert len(catalogue.leaves(base)) > 0
    assert catalogue.missing(base, TABLES[base]) == set()


def test_a_leaf_that_is_not_listed_is_found():
    builders = TABLES[dm.AbstractEnergy]
    assert catalogue.missing(dm.AbstractEnergy, builders, __name__) == {"Unlisted"}
    assert "LogSumExp" in catalogue.missing(dm.AbstractEnergy, builders[:2])
    assert catalogue.missing(dm.AbstractFlow, TABLES[dm.AbstractFlow][:-2]) == {"TermDynamics"}


# ---------------------------------------------------------------- energies


@eqx.filter_jit
def derivatives(energy, t, xs, v):
    def one(x):
        slope_t, slope = jax.grad(energy, argnums=(0, 1))(t, x)
        along = jax.jvp(lambda z: energy(t, z), (x,), (v,))[1]
        trace = jnp.trace(jax.hessian(energy, argnums=1)(t, x))
        return energy(t, x), slope_t, slope, along, trace, energy.magnitude(t, x), laplacian(energy, t, x)

    return jax.vmap(one)(xs)


@eqx.filter_jit
def values(energy, ts, xs):
    return jax.vmap(energy)(ts, xs)


@pytest.mark.parametrize("name", some_long(ENERGIES))
def test_energy(name):
    build, time = ENERGIES[name]
    energy, t, v = build(), jnp.asarray(time), jnp.asarray([0.3, -1.0, 0.5])
    plain = energy(t, X[0])
    assert plain.shape == ()
    assert plain.dtype == jnp.float64
    value, slope_t, slope, along, trace, size, lap = derivatives(energy, t, X, v)
    agree(value[0], plain, 1e-12, 1e-13)
    agree(along, slope @ v)
    agree(lap, trace)
    assert np.all(size >= np.abs(value))
    moves = STEP * np.concatenate([np.eye(3), -np.eye(3)])
    around = jnp.asarray(np.asarray(X)[:, None] + moves).reshape(-1, 3)
    shifted = values(energy, jnp.full(24, t), around).reshape(4, 2, 3)
    agree((shifted[:, 0] - shifted[:, 1]) / (2 * STEP), slope, 1e-6, 1e-7)
    ts = jnp.repeat(t + jnp.asarray([STEP, -STEP]), 12)
    later = values(energy, ts, jnp.tile(X, (6, 1))).reshape(2, 3, 4)[:, 0]
    agree((later[0] - later[1]) / (2 * STEP), slope_t, 1e-6, 1e-7)


def test_a_wrong_laplacian_is_caught():
    energy, v = ENERGIES["FreeEnergy[lam]"][0](), jnp.asarray([0.3, -1.0, 0.5])
    found = derivatives(energy, jnp.asarray(0.3), X, v)
    with pytest.raises(AssertionError):
        agree(found[6], 1.001 * found[4])


# --------------------------------------------------------------- schedules


@eqx.filter_jit
def of_schedule(schedule, ts):
    def one(t):
        slope = jax.grad(schedule.lam)(t)
        first = (schedule.alpha(t), schedule.sigma(t), schedule.alpha_dot(t), schedule.sigma_dot(t))
        return first, (schedule.f(t), schedule.g2(t), schedule.s(t), schedule.lam(t), slope)

    return jax.vmap(one)(ts)


@eqx.filter_jit
def inverted(schedule, ts):
    lams = jax.vmap(schedule.lam)(ts)
    return jax.vmap(schedule.t_of_lam)(lams), jax.vmap(jax.grad(schedule.t_of_lam))(lams)


@pytest.mark.parametrize("name", LEAF_SCHEDULES)
def test_schedule(name):
    schedule = LEAF_SCHEDULES[name]()
    assert schedule.alpha(0.3).shape == schedule.sigma(0.3).shape == ()
    (alpha, sigma, alpha_dot, sigma_dot), (f, g2, s, lam, slope) = of_schedule(schedule, TIMES)
    agree(schedule.alpha(TIMES[1]), alpha[1], 1e-14)
    assert np.all(alpha > 0)
    assert np.all(sigma > 0)
    assert np.all(np.diff(lam) < 0)
    agree(s, sigma / alpha, 1e-13)
    agree(lam, np.log(alpha) - np.log(sigma), 1e-12, 1e-12)
    (up, down), (more, less) = of_schedule(schedule, TIMES + STEP)[0][:2], of_schedule(schedule, TIMES - STEP)[0][:2]
    agree(alpha_dot, (up - more) / (2 * STEP), 1e-6, 1e-6)
    agree(sigma_dot, (down - less) / (2 * STEP), 1e-6, 1e-6)
    agree(f, alpha_dot / alpha, 1e-11, 1e-12)
    agree(g2, 2 * sigma * sigma_dot - 2 * f * sigma**2)
    agree(g2, -2 * sigma**2 * slope)
    back, rate = inverted(schedule, TIMES)
    agree(back, TIMES, 1e-11)
    agree(rate, 1 / slope, 1e-8)


# -------------------------------------------------------------------- laws


def reference_log_z(law, y, s):
    """Log of E exp(-|y - xi|^2/2s^2) in NumPy: a point mass is a Gaussian of scale 0."""
    centres = np.asarray(law.xi if isinstance(law, dm.Empirical) else law.means)
    scales = np.zeros(5) if isinstance(law, dm.Empirical) else np.asarray(law.scales)
    weights = np.full(5, 0.2) if law.weights is None else np.asarray(law.weights)
    spread = s**2 + scales**2
    squares = ((y[..., None, :] - centres) ** 2).sum(-1)
    return np.log((weights * (s**2 / spread) ** 1.5 * np.exp(-squares / (2 * spread))).sum(-1))


def reference_mean(law, y, s):
    h = 1e-4 * np.eye(3)
    return y + s**2 * np.stack(
        [(reference_log_z(law, y + e, s) - reference_log_z(law, y - e, s)) / 2e-4 for e in h], axis=-1
    )


@eqx.filter_jit
def of_law(law, ys, s):
    def one(y):
        return law.moments(y, s), law.denoise(y, s), jax.jacfwd(law.denoise)(y, s)

    return jax.vmap(one)(ys)


@pytest.mark.parametrize("s", [0.5, 2.0])
@pytest.mark.parametrize("name", LAWS)
def test_law(name, s):
    law, ys = LAWS[name](), np.asarray(X)
    moments, mean, jacobian = of_law(law, X, jnp.asarray(s))
    agree(law.denoise(X[0], s), mean[0], 1e-11, 1e-12)
    log_z, centre = reference_log_z(law, ys, s), reference_mean(law, ys, s)
    agree(moments.log_z, log_z, 1e-10)
    agree(mean, centre, 1e-6, 1e-7)
    agree(moments.mean, mean, 1e-13, 1e-13)
    trace = s**2 * np.trace(np.asarray(jacobian), axis1=1, axis2=2)
    agree(moments.trace, trace)
    bumps = [(reference_mean(law, ys + e, s) - reference_mean(law, ys - e, s)) for e in 1e-3 * np.eye(3)]
    agree(moments.trace, s**2 * sum(b[:, k] for k, b in enumerate(bumps)) / 2e-3, 1e-4, 1e-5)
    squares = ((ys - np.asarray(mean)) ** 2).sum(-1)
    agree(moments.kl, -log_z - (squares + trace) / (2 * s**2), 1e-9, 1e-10)
    if isinstance(law, dm.Empirical):
        u = np.full(5, 0.2) if law.weights is None else np.asarray(WEIGHTS)
        w = u * np.exp(-((ys[:, None] - np.asarray(XI)) ** 2).sum(-1) / (2 * s**2))
        w = w / w.sum(-1, keepdims=True)
        ratio = np.log(np.where(u > 0, w, 1) / np.where(u > 0, u, 1))
        agree(moments.kl, (w * ratio).sum(-1), 1e-9, 1e-11)
        agree(mean, w @ np.asarray(XI), 1e-11, 1e-12)


# --------------------------------------------------------------- denoisers


@eqx.filter_jit
def of_denoiser(denoiser, xs, scales, noises, v):
    """Value and derivative along ``v`` at all places: one program for both clocks and for ``alpha = 0``."""

    def one(x, scale, noise):
        return jax.jvp(lambda z: denoiser.mean(Point(z, scale, noise)), (x,), (v,))

    return jax.vmap(one)(xs, scales, noises)


def places(t, shift=0.0):
    """Four states and their scales on the clock "tau", the same ones on "lam", and where ``alpha = 0``: (12,) each."""
    own = (1 - t) * X + shift
    xs = jnp.concatenate([own, own / (1 - t), own])
    return xs, jnp.repeat(jnp.asarray([1 - t, 1.0, 0.0]), 4), jnp.repeat(jnp.asarray([t, t / (1 - t), 1.0]), 4)


@pytest.mark.parametrize("name", some_long(DENOISERS))
def test_denoiser(name):
    denoiser, v, t = DENOISERS[name](), jnp.asarray([0.3, -1.0, 0.5]), 0.4
    xs, scales, noises = places(t)
    plain = denoiser.mean(Point(xs[0], scales[0], noises[0]))
    assert plain.shape == (3,)
    assert plain.dtype == jnp.float64
    value, along = of_denoiser(denoiser, xs, scales, noises, v)
    agree(value[0], plain, 1e-11, 1e-12)
    agree(value[4:8], value[:4], 1e-9, 1e-10)
    up, down = (of_denoiser(denoiser, *places(t, sign * STEP * v[None]), v)[0] for sign in (1, -1))
    agree(along[:4], (up - down)[:4] / (2 * STEP), 1e-6, 1e-7)
    noise = Point(xs[-1], scales[-1], noises[-1])
    if name in BLIND:
        assert np.all(np.isnan(value[8:]))
        with pytest.raises(InputError, match=r"alpha=0|lam=-inf"):
            denoiser.mean(noise)
    else:
        assert np.all(np.isfinite(value[8:]))
        agree(denoiser.mean(noise), value[-1], 1e-11, 1e-12)
    for energy in (dm.DensityEnergy, dm.HopfieldEnergy, dm.FreeEnergy):
        with pytest.raises(InputError, match=f"law={type(denoiser).__name__}: a denoiser has no energy"):
            energy(catalogue.path(law=denoiser))(0.3, X[0])


# ------------------------------------------------------------------- flows


@eqx.filter_jit
def ends(flow, solver, xs, span, keys):
    t0, t1 = span

    def one(x, key):
        noise = dfx.UnsafeBrownianPath(_noise_shape(flow), key)
        term = controlled(flow, noise)
        how = {"max_steps": 16, "throw": False, "adjoint": dfx.ForwardMode()}
        return dfx.diffeqsolve(term, solver, t0, t1, (t1 - t0) / 4, x, **how).ys[0]

    return jax.vmap(one)(xs, keys)


def _noise_shape(flow):
    operator = flow.diffusion(jnp.asarray(0.3), X[0], None)
    return (3,) if operator is None else (operator.in_size(),)


@eqx.filter_jit
def by_hand(flow, xs, span, keys):
    """Four steps of Euler-Maruyama, the noise taken from the same path."""
    t0, t1 = span
    grid = [t0]
    for _ in range(4):
        grid.append(grid[-1] + (t1 - t0) / 4)
    grid[-1] = t1

    def one(x, key):
        noise = dfx.UnsafeBrownianPath(_noise_shape(flow), key)
        for left, right in itertools.pairwise(grid):
            operator, move = flow.diffusion(left, x, None), (right - left) * flow.drift(left, x, None)
            x = x + move if operator is None else x + move + operator.mv(noise.evaluate(left, right))
        return x

    return jax.vmap(one)(xs, keys)


@eqx.filter_jit
def drifts(flow, t, xs):
    return jax.vmap(lambda x: jax.jvp(lambda z: flow.drift(t, z, None), (x,), (jnp.ones(3),)))(xs)


@pytest.mark.parametrize("name", some_long(FLOWS))
def test_flow(name):
    build, span = FLOWS[name]
    flow, span = build(), tuple(jnp.asarray(t) for t in span)
    keys = jr.split(jr.key(1), 4)
    drift = flow.drift(span[0], X[0], None)
    assert drift.shape == (3,)
    assert dynamics_of(flow) is flow
    batch, change = drifts(flow, span[0], X)
    agree(batch[0], drift, 1e-11, 1e-12)
    moved = [drifts(flow, span[0], X + sign * STEP)[0] for sign in (1, -1)]
    agree(change, (moved[0] - moved[1]) / (2 * STEP), 1e-6, 1e-7)
    agree(ends(flow, dfx.Euler(), X, span, keys), by_hand(flow, X, span, keys), 1e-10, 1e-11)
    mobility = flow.mobility(span[0], X[0])
    if mobility is not None:
        assert mobility.as_matrix().shape == (3, 3)
    noisy = flow.diffusion(span[0], X[0], None) is not None
    for solver in (dfx.Heun(),) if noisy else (dfx.Heun(), dfx.Tsit5()):
        assert np.all(np.isfinite(ends(flow, solver, X, span, keys)))


# ----------------------------------------------------------------- solvers


GRID = jnp.asarray([-1.0, -0.7, 0.4, 0.8, 1.6, 1.9])
PHASES = jnp.asarray([0.1, 0.8, 2.0, 4.0])


@eqx.filter_jit
def walked(flow, solver, xs, phases):
    """States of a solve from every state, on a grid of unequal steps, shape (B, n, D)."""

    def one(x, phase):
        how = {"saveat": dfx.SaveAt(t0=True, steps=True), "max_steps": 5, "throw": False, "adjoint": dfx.ForwardMode()}
        step_to = dfx.StepTo(GRID)
        return dfx.diffeqsolve(
            controlled(flow, Waves(phase)), solver, GRID[0], GRID[-1], None, x, stepsize_controller=step_to, **how
        ).ys

    return jax.vmap(one)(xs, phases)


VARIANTS = {name for name in SOLVERS if "[" in name and name != "EDMHeun[churn]"} | {"EDMHeun", "EulerAncestral"}


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.long if name in VARIANTS else ()) for name in SOLVERS]
)
def test_solver(name):
    """A solver's steps are its paper's, and each state of a batch goes its own way."""
    build, flow = SOLVERS[name]
    solver = build()
    found = np.asarray(walked(flow(), solver, X, PHASES))
    assert np.all(np.isfinite(found))
    agree(walked(flow(), solver, X[::-1], PHASES[::-1])[::-1], found, 1e-13)
    for x, phase, states in zip(X, np.asarray(PHASES), found, strict=True) if name in STEPS else ():
        agree(states, walk(STEPS[name], np.asarray(GRID), x, phase), 1e-9, 1e-10)
    narrow = jnp.zeros(3, jnp.float32)
    terms = [dfx.ODETerm(catalogue._pull), dfx.ControlTerm(catalogue._pull, Waves(narrow[0]))]
    terms = dfx.MultiTerm(*terms) if solver_is_noisy(flow()) else terms[0]
    own = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float32) if eqx.is_inexact_array(leaf) else leaf, solver)
    made = eqx.filter_eval_shape(one_step, own, terms, jnp.float32(0.0), jnp.float32(0.5), narrow)
    assert made.dtype == jnp.float32


def solver_is_noisy(flow):
    return flow.diffusion(jnp.asarray(0.0), X[0], None) is not None


def one_step(solver, terms, t0, t1, x):
    return solver.step(terms, t0, t1, x, None, solver.init(terms, t0, t1, x, None), False)[0]
