"""`check` names what it refuses; attribution adds up to the change that it explains."""

import subprocess
import sys

import diffrax as dfx
import equinox as eqx
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

import dynamem as dm
from dynamem._errors import DynamemError, InputError
from dynamem.lyapunov import Attribution, attribute
from tests.catalogue import XI, X, path


MEMORY = dm.LogSumExp(XI, 4.0)
FLOW, NOISY = dm.GradientFlow(MEMORY), dm.Langevin(MEMORY, 0.1)
RUN = {"t0": 0.0, "t1": 2.0, "solver": dfx.Euler(), "dt0": 0.25}


def run(energy=MEMORY, flow=FLOW, states=X, **changes):
    return dm.check(energy, flow, states, **{**RUN, **changes})


REFUSED = {
    r"t0=2\.0, t1=2\.0: need finite times with t0 < t1": lambda: run(t0=2.0),
    r"t0=3\.0, t1=2\.0": lambda: run(t0=3.0),
    "t1=inf": lambda: run(t1=float("inf")),
    "t0=nan": lambda: run(t0=float("nan")),
    "states hold NaN or infinity": lambda: run(states=X.at[1, 1].set(jnp.nan)),
    r"states\.shape=\(0, 3\)": lambda: run(states=X[:0]),
    "key=None: a flow with noise needs a JAX key": lambda: run(flow=NOISY),
    "solver=None: name a Diffrax solver": lambda: run(solver=None),
    "dt0=None: constant steps need a positive dt0": lambda: run(dt0=None),
    r"dt0=0\.0": lambda: run(dt0=0.0),
    r"dt0=-0\.25": lambda: run(dt0=-0.25),
    "flow=function": lambda: run(flow=lambda x: x),
    "status='fine'": lambda: dm.Verdict("fine", "", "", 0.0, None, {}),
    "a broken verdict, and no other, carries a witness": lambda: dm.Verdict("broken", "", "", 0.0, None, {}),
    "has no end point": lambda: dm.Witness("step", 0.0, X[0], None, None, 1.0).replay(MEMORY),
}


@pytest.mark.parametrize("message", REFUSED)
def test_bad_arguments_are_named(message):
    with pytest.raises(InputError, match=message):
        REFUSED[message]()
    assert issubclass(InputError, ValueError)
    assert issubclass(InputError, DynamemError)


# Wrong shapes and words: here the runtime type checks would answer first, so a plain interpreter is asked.
PLAIN = """
import jax
jax.config.update("jax_enable_x64", True)
import jax.numpy as jnp, diffrax as dfx, dynamem as dm
xi = jnp.ones((5, 3))
memory = dm.LogSumExp(xi, 4.0)
where = dm.DiffusionPath(dm.VP(), dm.Empirical(xi))
run = dict(t0=0.0, t1=1.0, solver=dfx.Euler(), dt0=0.5)
cases = {
    "states.shape=(3,)": lambda: dm.check(memory, dm.GradientFlow(memory), xi[0], **run),
    "weights.shape=(4,)": lambda: dm.Empirical(xi, jnp.full(4, 0.25)),
    "xi.shape=(3,)": lambda: dm.Empirical(xi[0]),
    "means.shape=(3,)": lambda: dm.GaussianMixture(xi[0], jnp.ones(3)),
    "scales.shape=(4,)": lambda: dm.GaussianMixture(xi, jnp.ones(4)),
    "clock='t'": lambda: dm.ProbabilityFlow(where, "t"),
    "clock='mu'": lambda: dm.ReverseSDE(where, 1.0, "mu"),
    "clock='sigma'": lambda: dm.FreeEnergy(where, clock="sigma"),
    "preconditioner.shape=(1, 1, 3)": lambda: dm.GradientFlow(memory, jnp.ones((1, 1, 3))),
    "W.shape=(2, 3)": lambda: dm.Hopfield(jnp.ones((2, 3))),
    "interpretation='klimontovich'": lambda: dm.generator(memory, dm.GradientFlow(memory), "klimontovich"),
    "of='epsilon': choose one of 'x0', 'eps'": lambda: dm.Prediction(jnp.sin, "epsilon", dm.VP()),
    "model=3": lambda: dm.Prediction(3, "eps", dm.VP()),
    "to='noise': choose one of": lambda: dm.convert(xi, xi, 0.5, 0.5, of="x0", to="noise"),
    "function=None: need a function": lambda: dm.HostModel(None),
    "vjp=2: need a function": lambda: dm.HostModel(jnp.sin, vjp=2),
    "weight.shape=(2,)": lambda: dm.ClassifierFreeGuidance(where.law, where.law, jnp.ones(2)),
    "gauge.shape=(2,)": lambda: dm.GuidedEnergy(where, jnp.ones(2)),
    "x0.shape=(5, 3), x1.shape=(2, 2)": lambda: dm.Interpolant(xi, jnp.ones((2, 2))),
    "gamma.shape=(2,)": lambda: dm.Interpolant(xi, xi, jnp.ones(2)),
}
for message, case in cases.items():
    try:
        case()
    except ValueError as error:
        if message not in str(error) or "\\n" in str(error):
            print("MESSAGE", message, "|", error)
    except Exception as error:
        print("TYPE", message, type(error).__name__, error)
    else:
        print("ACCEPTED", message)
print("done", len(cases))
"""


def test_wrong_shapes_and_words_are_named_without_the_type_checks():
    done = subprocess.run([sys.executable, "-c", PLAIN], capture_output=True, text=True, timeout=300, check=False)
    assert done.stdout.strip() == "done 20", done.stdout + done.stderr[-2000:]


# ---------------------------------------------------------------- attribution


@eqx.filter_jit
def parts_of(energy, flow, step, kick):
    return attribute(energy, flow, step, kick), energy(step[2], step[3]) - energy(step[0], step[1])


def summed(parts):
    assert isinstance(parts, Attribution)
    return sum(float(getattr(parts, name)) for name in Attribution.__dataclass_fields__)


def test_the_parts_of_an_ode_step_add_up():
    where = path()
    energy, flow = dm.FreeEnergy(where), dm.ProbabilityFlow(where)
    t0, t1 = jnp.asarray(-0.5), jnp.asarray(0.3)
    y1 = dm.DDIM().step(flow.terms(), t0, t1, X[0], None, None, False)[0]
    parts, change = parts_of(energy, flow, (t0, X[0], t1, y1), None)
    np.testing.assert_allclose(summed(parts), change, rtol=1e-12)
    assert float(parts.schedule) < 0
    assert float(parts.dissipation) < 0
    assert float(parts.ito) == float(parts.martingale) == 0.0
    assert abs(float(parts.discretisation)) > 1e-6
    exact = dfx.diffeqsolve(
        flow.terms(), dfx.Dopri8(), t0, t1, None, X[0], throw=False,
        stepsize_controller=dfx.PIDController(rtol=1e-12, atol=1e-13),
    ).ys[0]  # fmt: skip
    parts, change = parts_of(energy, flow, (t0, X[0], t1, exact), None)
    assert abs(float(parts.discretisation)) < 1e-8
    np.testing.assert_allclose(summed(parts), change, rtol=1e-12)


def test_the_parts_of_an_overshooting_step_blame_the_solver():
    t0, t1 = jnp.asarray(0.0), jnp.asarray(2.5)
    far = X[0] + 2.5 * FLOW.drift(t0, X[0], None)
    parts, change = parts_of(MEMORY, FLOW, (t0, X[0], t1, far), None)
    np.testing.assert_allclose(summed(parts), change, rtol=1e-10)
    assert float(parts.dissipation) < 0
    assert float(parts.discretisation) > 0


def test_the_parts_of_a_noisy_step_add_up():
    where, h = path(), 1e-3
    energy, flow = dm.FreeEnergy(where, 1.0), dm.ReverseSDE(where, 1.0)
    t0, t1 = jnp.asarray(-0.5), jnp.asarray(-0.5 + h)
    kick = flow.diffusion(t0, X[0], None).mv(jnp.sqrt(h) * jr.normal(jr.key(0), (3,)))
    y1 = X[0] + h * flow.drift(t0, X[0], None) + kick
    parts, change = parts_of(energy, flow, (t0, X[0], t1, y1), kick)
    np.testing.assert_allclose(summed(parts), change, rtol=1e-12)
    assert float(parts.ito) > 0
    assert abs(float(parts.martingale)) > 5 * abs(float(parts.discretisation))
