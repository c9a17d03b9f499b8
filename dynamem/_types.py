"""The words that every room shares: shapes, callables and what counts as a state.

Axis letters: ``B`` states in a batch, ``N`` stored patterns, ``D`` coordinates of a state.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from jaxtyping import Array, Float, Scalar


if TYPE_CHECKING:
    Time = Any
else:
    Time = float | int | Float[Array, ""] | Float[np.ndarray, ""] | np.floating
Given = Array | np.ndarray
"""An array as a user gives it, of any dtype: `floats` makes it one of floats."""
State = Float[Array, " D"]
States = Float[Array, "B D"]
Patterns = Float[Array, "N D"]
Weights = Float[Array, " N"]
Number = Float[Array, ""]

Clock = Literal["lam", "tau"]
EnergyFn = Callable[[Any, Any], Scalar]
