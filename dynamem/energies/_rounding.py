r"""How large a rise floating point alone can make.

Model: a number computed as a sum of terms of total absolute size ``M`` carries an error of at most ``C eps M`` with
``C = 32``, so that a difference of two is trusted beyond ``C eps (M_0 + M_1)``. Energies of dynamem state ``M``
themselves; for a function of the user's the checks read it off the function's program, for the energy and for its
rate alike, so that it scales with the energy, the state and the clock: nothing is forgiven in absolute terms. The
constant covers what one operation may add, the sums of some hundred terms among them (errors add like square roots);
it is a model that the tests measure, not a bound that has been proved, and callers can add a tolerance of their own.
"""

import jax.numpy as jnp
from jaxtyping import Array, Float


CONSTANT = 32.0


def rounding_bound(size: Float[Array, "*n"]) -> Float[Array, "*n"]:
    """``C eps M`` for magnitudes ``M``."""
    return CONSTANT * jnp.finfo(size.dtype).eps * size
