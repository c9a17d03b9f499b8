"""Comparisons of what cannot be asked, and references."""

import diffrax as dfx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dynamem._errors import InputError
from dynamem.comparison import Method, compare, compare_all
from dynamem.comparison._reference import reference
from dynamem.comparison._solving import asked
from tests.comparison_cases import decay, geometric


EULER = [Method(dfx.Euler(), (8,))]


def broken(t, x, args):
    msg = "of its own"
    raise ZeroDivisionError(msg)


BAD = {
    "no method": (decay(), [], "name at least one"),
    "no steps": (decay(), [Method(dfx.Euler())], "numbers of steps"),
    "no step": (decay(), [Method(dfx.Euler(), (0, 8))], "increasing"),
    "falling": (decay(), [Method(dfx.Euler(), (8, 4))], "increasing"),
    "tolerance": (decay(), [Method(dfx.Tsit5(), tolerances=(0.0,))], "above 0"),
    "grid": (decay(), [Method(dfx.Euler(), (8,), "karras")], "uniform"),
    "falling grid": (
        decay(grids={"back": lambda n: jnp.linspace(1.0, 0.0, n + 1)}), [Method(dfx.Euler(), (8,), "back")], "falling",
    ),
    "clock": (decay(t0=1.0, t1=0.0), EULER, "need t0 < t1"),
    "energy": (decay(energies={"e": lambda t, x: x}), EULER, "need ()"),
    "energy of more": (decay(energies={"e": lambda t, x: x @ jnp.ones(5)}), EULER, "takes no states"),
    "exact": (decay(exact=np.zeros((3, 1))), EULER, "exact of problem"),
    "no reference": (
        decay(flow=dfx.ODETerm(lambda t, x, args: x * x), states=jnp.full((1, 1), 2.0), exact=None, energies={}),
        EULER, "no reference",
    ),
    "a field that raises": (
        decay(flow=dfx.ODETerm(broken), exact=None, energies={}), EULER, "no reference: ZeroDivisionError: of its own",
    ),
    "scipy steps": (decay(), [Method("scipy:RK45", (8,))], "need tolerances"),
    "scipy name": (decay(), [Method("scipy:RK99", tolerances=(1e-3,))], "one of"),
    "scipy noise": (geometric(1.0, 0.5), [Method("scipy:RK45", tolerances=(1e-3,))], "has noise"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_named(name):
    problem, methods, words = BAD[name]
    with pytest.raises(InputError) as told:
        compare(problem, methods, limits=False)
    assert words in str(told.value)


def test_a_problem_that_cannot_be_asked_leaves_the_others():
    bad = decay(name="bad", flow=dfx.ODETerm(broken), exact=None, energies={})
    found = compare_all([(bad, EULER), (decay(), EULER)], limits=False, progress=lambda *_: None)
    assert {row.problem for row in found.rows} == {"decay"}
    assert [one.name for one in found.problems] == ["decay"]
    assert [error.partition(":")[0] for error in found.errors] == ["bad"]


def test_references_are_in_the_precision_of_the_context_that_asks():
    """They run in threads, which no context reaches: only tracing may ask for the setting."""
    jax.config.update("jax_enable_x64", False)
    try:
        with jax.enable_x64(True):
            goal, gap = reference(asked(decay(exact=None), 0))
            exact = decay().exact
    finally:
        jax.config.update("jax_enable_x64", True)
    np.testing.assert_allclose(goal, exact, rtol=0, atol=1e-11)
    assert goal.dtype == np.float64
    assert gap < 1e-9
