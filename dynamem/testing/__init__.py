"""Property-based testing of memories and diffusion models: Hypothesis strategies, and assertions that explain.

Strategies are nouns (`patterns`, `betas`, `schedules`, ...); their arrays are NumPy's, of few shapes, so that a
property compiles its programs once. Assertions take plain JAX callables, dynamem's flows and Diffrax terms; within a
test of Hypothesis they tell it how near to a violation an example came (`hypothesis.target`), so that it climbs there.

Names are resolved on first use: the pytest plugin (`dynamem.testing.plugin`) loads with every run of pytest in an
environment that has dynamem, and needs neither JAX nor Hypothesis.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any


if TYPE_CHECKING:
    from ._attack import Attack as Attack
    from ._attack import Mutant as Mutant
    from ._attack import run_attack as run_attack
    from ._energies import assert_energy_stable as assert_energy_stable
    from ._energies import assert_lyapunov as assert_lyapunov
    from ._energies import assert_supermartingale as assert_supermartingale
    from ._fields import assert_equivariant as assert_equivariant
    from ._fields import assert_gradient_flow as assert_gradient_flow
    from ._fields import assert_score_is_gradient as assert_score_is_gradient
    from ._models import broken_schedules as broken_schedules
    from ._models import mixtures as mixtures
    from ._models import monotone_schedules as monotone_schedules
    from ._models import processes as processes
    from ._models import schedules as schedules
    from ._models import systems as systems
    from ._models import twins as twins
    from ._samplers import assert_sampler_consistent as assert_sampler_consistent
    from ._schedules import assert_schedule as assert_schedule
    from ._strategies import KINDS as KINDS
    from ._strategies import SHAPES as SHAPES
    from ._strategies import betas as betas
    from ._strategies import couplings as couplings
    from ._strategies import patterns as patterns
    from ._strategies import preconditioners as preconditioners
    from ._strategies import states as states
    from ._strategies import step_grids as step_grids
    from ._strategies import weights as weights

_MODULES = {
    "_attack": "Attack Mutant run_attack",
    "_energies": "assert_energy_stable assert_lyapunov assert_supermartingale",
    "_fields": "assert_equivariant assert_gradient_flow assert_score_is_gradient",
    "_samplers": "assert_sampler_consistent",
    "_schedules": "assert_schedule",
    "_models": "broken_schedules mixtures monotone_schedules processes schedules systems twins",
    "_strategies": "KINDS SHAPES betas couplings patterns preconditioners states step_grids weights",
}
_HOME = {name: module for module, names in _MODULES.items() for name in names.split()}
__all__ = sorted(_HOME)  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    try:
        import_module("hypothesis")
    except ImportError as error:
        missing = "dynamem.testing needs Hypothesis: pip install 'dynamem[test]', or pip install hypothesis"
        raise ImportError(missing) from error
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
