r"""The log-likelihood of a denoiser, by the change of variables along its probability flow.

    log p_s(y) = log p_S(y_S) + integral (D - tr dm/dy) dlam      from ``S`` to ``s``,

along the trajectory that passes through ``y`` at noise level ``s`` and comes from ``y_S`` (Song et al. 2021, arXiv
2011.13456, eq. 39). It is the density of ``y = x + s eps``: stored patterns have none themselves, so the level is part
of the question. Where the trajectory starts, the noise ``S`` covers the data, and ``p_S`` is the Gaussian of `Tracked`.
"""

from typing import Literal, NamedTuple

import diffrax as dfx
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray, Scalar

from .._types import Time
from .._validate import require_positive
from ..diffusion import DiffusionPath
from ._tracked import Tracked


class LogLikelihood(NamedTuple):
    """``log p_s(y)`` in nats, and its standard error, 0 where the trace is exact. NaN where the solver failed."""

    value: Scalar
    error: Scalar


def log_likelihood(
    path: DiffusionPath,
    y: Float[Array, " D"],
    *,
    s: Time,
    s_start: Time = 50.0,
    trace: Literal["exact", "hutchinson"] = "exact",
    probes: int = 16,
    key: PRNGKeyArray | None = None,
    rtol: Time = 1e-7,
    atol: Time = 1e-8,
    max_steps: int = 4096,
) -> LogLikelihood:
    """The log density of a noisy state under a law, or under a denoiser's own flow.

    Arguments:
        path: schedule and law, or a denoiser; the schedule has no say, the flow is the same in ``y`` for all.
        y: the state in canonical coordinates, shape (D,); `jax.vmap` for more.
        s: its noise level.
        s_start: noise level at which the flow starts: well above the standard deviation of the data, else NaN.
        trace: "exact", or "hutchinson" for random probes.
        probes: number of probes.
        key: JAX key of the probes, needed for them.
        rtol: relative tolerance of the solver (Tsit5).
        atol: absolute tolerance of the solver, in the units of the data and in nats.
        max_steps: steps after which the solver gives up.

    Raises:
        InputError: a noise level that is not positive, or probes without a key.
    """
    require_positive("s", s)
    require_positive("s_start", s_start)
    flow = Tracked(path, trace, probes, key)
    end, begin = (-jnp.log(jnp.asarray(level, y.dtype)) for level in (s, s_start))
    blank = jnp.zeros_like(flow.start(end, y)).at[: y.shape[0]].set(y)
    controller = dfx.PIDController(jnp.asarray(rtol, y.dtype), jnp.asarray(atol, y.dtype))
    solved = dfx.diffeqsolve(
        flow.terms(), dfx.Tsit5(), end, begin, None, blank,
        stepsize_controller=controller, max_steps=max_steps, throw=False,
    )  # fmt: skip
    assert solved.ys is not None
    back = solved.ys[0]
    whole = flow.start(begin, back[: y.shape[0]]) - back  # a at s, for each probe
    found = flow.read(jnp.zeros_like(end), whole)
    good = solved.result == dfx.RESULTS.successful
    floor = 0.5 * y.shape[0] * jnp.log(2 * jnp.pi * jnp.exp(-2 * end))
    return LogLikelihood(jnp.where(good, -found.free_energy - floor, jnp.nan), jnp.where(good, found.error, jnp.nan))
