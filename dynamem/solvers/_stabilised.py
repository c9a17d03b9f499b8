r"""Any solver of the probability flow, held within the margin in which the free energy cannot rise (D12).

On the clock ``lam`` a step from (y, s) to ``s+`` is written ``y+ = rho y + (1 - rho) m^`` with ``rho = s+/s``. If

    |m^ - m|^2 <= Q = |y - m|^2 + 2 s^2 KL(w || u)

then ``V+ <= V``, m being the exact denoiser, w the weights and u the prior. `Stabilised` moves ``m^`` straight toward m
until it lies within; at ``m^ = m`` the step is DDIM's. For a step with noise it makes V fall along every path, which is
more than the reverse SDE does: its samples then follow another law, and D14's statement in mean is not needed.
"""

from collections.abc import Callable
from typing import Any, ClassVar

import diffrax as dfx
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from .._errors import InputError
from ..diffusion import AbstractLaw, DiffusionPath
from ..flows import ProbabilityFlow, ReverseSDE
from ._sampler import flows_of, shortened


class Stabilised(dfx.AbstractAdaptiveSolver, dfx.AbstractItoSolver):
    """A solver whose steps never raise the free energy ``V = -s^2 log Z`` of a path's law, on clock "lam".

    Each step costs one evaluation of the law's moments beside the solver's own calls.

    Arguments:
        solver: any Diffrax solver or sampler of `ProbabilityFlow` (or `ReverseSDE`, along paths).
        path: whose law's V must not rise; that of the flow behind the terms if None. A flow of a learned denoiser
            needs one with the law of the data.
    """

    solver: dfx.AbstractSolver
    path: DiffusionPath | None = None
    interpolation_cls: ClassVar[Callable[..., dfx.LocalLinearInterpolation]] = dfx.LocalLinearInterpolation

    def __check_init__(self) -> None:
        if not isinstance(self.solver, dfx.AbstractSolver):
            msg = f"solver={type(self.solver).__name__}: need a Diffrax solver"
            raise InputError(msg)
        if self.path is not None and not isinstance(self.path.law, AbstractLaw):
            msg = "path has a denoiser in place of a law, which has no free energy: give the path of the data's law"
            raise InputError(msg)

    @property
    def term_structure(self) -> Any:
        """That of the solver."""
        return self.solver.term_structure

    @property
    def term_compatible_contr_kwargs(self) -> Any:
        """That of the solver."""
        return self.solver.term_compatible_contr_kwargs

    def order(self, terms: Any) -> int | None:
        """That of the solver, where no step is changed."""
        return self.solver.order(terms)

    def strong_order(self, terms: Any) -> Any:
        """That of the solver, where no step is changed."""
        return self.solver.strong_order(terms)

    def error_order(self, terms: Any) -> Any:
        """That of the solver."""
        return self.solver.error_order(terms)

    def init(self, terms: Any, t0: Any, t1: Any, y0: Array, args: Any) -> tuple[Any, Bool[Array, ""]]:
        """The solver's state, and whether the last step was changed."""
        return self.solver.init(terms, t0, t1, y0, args), jnp.asarray(False)

    def step(
        self, terms: Any, t0: Any, t1: Any, y0: Array, args: Any, solver_state: tuple, made_jump: Any
    ) -> tuple[Array, Any, dict, tuple, dfx.RESULTS]:
        """The solver's step, moved into the margin; after a change the solver is told of a jump."""
        inner, changed = solver_state
        y1, y_error, _, inner, result = self.solver.step(terms, t0, t1, y0, args, inner, made_jump | changed)
        kept, changed = within_margin(self._path(terms), t0, t1, y0, y1)
        return kept, y_error, {"y0": y0, "y1": kept}, (inner, changed), result

    def func(self, terms: Any, t0: Any, y0: Array, args: Any) -> Any:
        """The vector field."""
        return self.solver.func(terms, t0, y0, args)

    def _path(self, terms: Any) -> DiffusionPath:
        for flow in flows_of(terms):
            if isinstance(flow, ProbabilityFlow | ReverseSDE):
                if flow.clock != "lam":
                    msg = f"clock={flow.clock!r}: Stabilised steps on clock 'lam', make the flow with clock='lam'"
                    raise InputError(msg)
                if self.path is None and isinstance(flow.path.law, AbstractLaw):
                    return flow.path
        if self.path is None:
            msg = "path=None: the terms have no law, give Stabilised(solver, path) the path of the data's law"
            raise InputError(msg)
        return self.path


def within_margin(
    path: DiffusionPath, t0: Any, t1: Any, y0: Float[Array, " D"], y1: Float[Array, " D"]
) -> tuple[Float[Array, " D"], Bool[Array, ""]]:
    """The end of a step, with ``m^`` moved toward m into the margin of D12, and whether it was moved."""
    s = jnp.exp(-jnp.asarray(t0, y0.dtype))
    rho, fall = jnp.exp(-jnp.asarray(t1 - t0, y0.dtype)), -jnp.expm1(-jnp.asarray(t1 - t0, y0.dtype))
    law: Any = path.law
    moments = law.moments(y0, s)
    move = y0 - moments.mean
    off = y1 - moments.mean - rho * move  # (1 - rho)(m^ - m)
    allowed = fall**2 * (move @ move + 2 * s**2 * moments.kl)
    kept, outside = shortened(off, allowed)
    return jnp.where(outside, moments.mean + rho * move + kept, y1), outside
