"""A scan of fixed steps against Diffrax's own loop on the same grid."""

import diffrax as dfx
import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import optimistix as optx
import pytest

import dynamem as dm
from dynamem._errors import InputError


PATH = dm.DiffusionPath(dm.VP(), dm.Empirical(jnp.asarray([[1.0, 0.0], [-0.5, 0.8], [-0.6, -0.7]])))
LAMS = jnp.linspace(-2.0, 2.0, 13)
START = jnp.asarray([3.0, -5.0])
NEWTON = optx.Newton(rtol=1e-8, atol=1e-10)
SOLVERS = {
    "ddim": dm.DDIM(), "2M": dm.DPMSolver2M(), "Tsit5": dfx.Tsit5(), "Kvaerno3": dfx.Kvaerno3(root_finder=NEWTON),
    "ancestral": dm.EulerAncestral(), "Euler": dfx.Euler(), "ShARK": dfx.ShARK(),
}  # fmt: skip
NOISY = ("ancestral", "Euler", "ShARK")


def terms(name):
    if name not in NOISY:
        return dm.ProbabilityFlow(PATH).terms()
    area = dfx.SpaceTimeLevyArea if name == "ShARK" else dfx.BrownianIncrement
    return dm.ReverseSDE(PATH, 1.0).terms(dfx.UnsafeBrownianPath(shape=(2,), key=jr.key(0), levy_area=area))


@pytest.mark.parametrize("name", [*("ddim", "Euler"), *(pytest.param(n, marks=pytest.mark.long) for n in SOLVERS)])
def test_the_numbers_are_those_of_diffrax(name):
    solver, given = SOLVERS[name], terms(name)
    ours = eqx.filter_jit(dm.scan_solve)(given, solver, LAMS, START, steps=True)
    how = {"stepsize_controller": dfx.StepTo(LAMS), "max_steps": len(LAMS) - 1, "adjoint": dfx.ForwardMode()}
    theirs = dfx.diffeqsolve(
        given, solver, LAMS[0], LAMS[-1], None, START, saveat=dfx.SaveAt(t0=True, steps=True), throw=False, **how
    )
    np.testing.assert_allclose(ours.ys, theirs.ys, rtol=1e-13, atol=1e-13)
    np.testing.assert_array_equal(ours.ts, theirs.ts)
    assert ours.stats["num_steps"] == theirs.stats["num_steps"] == 12
    assert ours.result == theirs.result == dfx.RESULTS.successful


def test_the_last_state_alone_and_its_derivative():
    def end(y):
        return dm.scan_solve(terms("ddim"), dm.DDIM(), LAMS, y).ys[0]

    kept = dm.scan_solve(terms("ddim"), dm.DDIM(), LAMS, START, steps=True).ys
    np.testing.assert_array_equal(kept[0], START)
    np.testing.assert_allclose(kept[-1], end(START), rtol=1e-14)
    np.testing.assert_allclose(jax.jacrev(end)(START), jax.jacfwd(end)(START), atol=1e-12)


def test_a_step_that_fails_says_so():
    """Implicit Euler with one Newton step allowed, on a field that needs more."""
    solver = dfx.ImplicitEuler(root_finder=dfx.VeryChord(rtol=1e-12, atol=1e-12))
    term = dfx.ODETerm(lambda t, x, args: -jnp.exp(8 * x))
    found = dm.scan_solve(term, solver, jnp.linspace(0.0, 5.0, 3), jnp.asarray([1.0]))
    assert found.result != dfx.RESULTS.successful


@pytest.mark.parametrize("ts", [[0.0], [0.0, 1.0, 1.0], [1.0, 0.0]])
def test_times_that_do_not_increase_are_refused(ts):
    with pytest.raises(InputError, match="increasing"):
        dm.scan_solve(terms("ddim"), dm.DDIM(), jnp.asarray(ts), START)
