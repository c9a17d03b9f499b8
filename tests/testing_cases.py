"""A memory, its flow and states, and what an assertion says when it fails."""

import jax.numpy as jnp
import numpy as np
import pytest

import dynamem as dm


XI = np.asarray([[1.0, 0.5], [-1.0, 0.0], [0.5, -1.5]])
X = XI + np.asarray([[0.3, -0.2]])
MEMORY = dm.LogSumExp(jnp.asarray(XI), 4.0)
FLOW = dm.GradientFlow(MEMORY)


def message(call, *args, **how):
    with pytest.raises(AssertionError) as told:
        call(*args, **how)
    return str(told.value)
