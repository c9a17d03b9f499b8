"""Fixed steps as one `jax.lax.scan`: for steps so cheap that the loop of `diffrax.diffeqsolve` costs more than they do.

From one state that loop takes some microseconds a step, for what fixed steps do not need: a choice of step sizes,
rejected steps, events. From many states at once the difference is lost among the steps.
"""

from typing import Any

import diffrax as dfx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PyTree

from .._errors import InputError
from .._validate import concrete


def scan_solve(
    terms: PyTree[dfx.AbstractTerm], solver: dfx.AbstractSolver, ts: Float[Array, " n"], y0: Any, args: Any = None,
    *, steps: bool = False,
) -> dfx.Solution:  # fmt: skip
    """What ``diffeqsolve(..., stepsize_controller=StepTo(ts), throw=False)`` gives, up to the last bit or so.

    A step that fails does not end the scan, as it ends Diffrax's loop: the result is that of the first such step, and
    the states after it mean nothing. Derivatives are JAX's own, in either mode.

    Arguments:
        terms: any Diffrax terms, of a flow `flow.terms()`.
        solver: any Diffrax solver.
        ts: times of the steps, increasing, shape (n,).
        y0: initial state.
        args: what the vector fields are given.
        steps: whether all states are kept, leading axis n with the first; else the last alone.

    Raises:
        InputError: fewer than two times, or times that do not increase.
    """
    ts = jnp.asarray(ts)
    known = concrete(ts)
    if ts.ndim != 1 or len(ts) < 2 or (known is not None and not np.all(np.diff(known) > 0)):
        msg = f"ts of shape {ts.shape!r}: need increasing times, at least two"
        raise InputError(msg)

    def step(carry: tuple, ends: tuple) -> tuple[tuple, Any]:
        y, memory, result = carry
        y, _, _, memory, outcome = solver.step(terms, *ends, y, args, memory, made_jump=False)
        result = dfx.RESULTS.where(result == dfx.RESULTS.successful, outcome, result)
        return (y, memory, result), (y if steps else None)

    memory = solver.init(terms, ts[0], ts[1], y0, args)
    first = (y0, memory, dfx.RESULTS.successful)
    (y, memory, result), kept = jax.lax.scan(step, first, (ts[:-1], ts[1:]))
    ys = jax.tree.map(lambda a, b: jnp.concatenate([jnp.asarray(a)[None], b]), y0, kept) if steps else None
    count = jnp.asarray(len(ts) - 1)
    return dfx.Solution(
        ts[0], ts[-1], ts if steps else ts[-1:], ys if steps else jax.tree.map(lambda a: a[None], y), None,
        {"num_steps": count, "num_accepted_steps": count, "num_rejected_steps": jnp.asarray(0)}, result, memory, None,
        None, None,
    )  # fmt: skip
