"""The built-in memories: each has its name and its line, and is built on few patterns, even on one."""

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

from dynamem._errors import InputError
from dynamem.catalog._memories import BUILDERS, memory
from dynamem.catalog._names import LEARNED, MEMORIES, QUICK, system_names


PATTERNS = jnp.asarray(2.0 * np.random.default_rng(5).normal(size=(5, 3)))


def test_names_and_builders_agree():
    assert list(BUILDERS) == list(MEMORIES)
    assert set(system_names()) - set(system_names(quick=True)) == set(MEMORIES) - set(QUICK)


@pytest.mark.parametrize("count", [5, pytest.param(1, marks=pytest.mark.long)])
@pytest.mark.parametrize("name", [name for name in BUILDERS if name != LEARNED])
def test_a_memory_starts_from_finite_states_and_descends(name, count):
    system = memory(name, PATTERNS[:count], 4, jr.key(0))
    t, x = jnp.asarray(0.0), system.states[0]
    slope, drift = jax.grad(system.energy, argnums=1)(t, x), system.flow.drift(t, x, None)
    assert np.all(np.isfinite(system.states))
    assert np.all(np.isfinite(drift))
    assert float(slope @ drift) <= 1e-12


def test_the_learned_denoiser_is_for_the_digits_only():
    assert LEARNED not in system_names(digits=False)
    with pytest.raises(InputError, match="64 pixels"):
        memory(LEARNED, PATTERNS, 4, jr.key(0))
