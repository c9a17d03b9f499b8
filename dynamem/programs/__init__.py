"""Programs: the jaxpr of the code that runs, read as a straight line of real arithmetic, and the domains it runs in.

`translate` makes a `Program`; `evaluate` runs it with one table of rules: `INTERVAL` (NumPy, outward rounded, many
boxes at once), `BALL` (Arb, any precision) or `SYMBOLIC` (SymPy, exact). Nothing here trusts floats that XLA computed.
Names are resolved on first use, so that a program can be read and run without JAX and NumPy.
"""

from typing import TYPE_CHECKING, Any


if TYPE_CHECKING:
    from ._ball import NEVER as NEVER
    from ._ball import Mark as Mark
    from ._ball_runs import BALL as BALL
    from ._evaluate import evaluate as evaluate
    from ._evaluate import prepared as prepared
    from ._interval import Interval as Interval
    from ._interval import Truth as Truth
    from ._interval import down as down
    from ._interval import mul as mul
    from ._interval import up as up
    from ._interval_runs import INTERVAL as INTERVAL
    from ._lower import UnknownPrimitive as UnknownPrimitive
    from ._pivots import pivots as pivots
    from ._program import OPERATIONS as OPERATIONS
    from ._program import RUNS as RUNS
    from ._program import TRUTH as TRUTH
    from ._program import Node as Node
    from ._program import Program as Program
    from ._program import exact as exact
    from ._program import plain as plain
    from ._quick import QUICK as QUICK
    from ._quick import quick as quick
    from ._reduce import reduced as reduced
    from ._slopes import slopes as slopes
    from ._symbolic import SYMBOLIC as SYMBOLIC
    from ._symbolic import UNDEFINED as UNDEFINED
    from ._symbolic import rational as rational
    from ._symbolic import symbolic as symbolic
    from ._trace import TranslationError as TranslationError
    from ._trace import enclose as enclose
    from ._trace import translate as translate

_FILES = {
    "_ball": "NEVER Mark",
    "_ball_runs": "BALL",
    "_evaluate": "evaluate prepared",
    "_interval": "Interval Truth down mul up",
    "_interval_runs": "INTERVAL",
    "_lower": "UnknownPrimitive",
    "_pivots": "pivots",
    "_program": "OPERATIONS RUNS TRUTH Node Program exact plain",
    "_quick": "QUICK quick",
    "_slopes": "slopes",
    "_reduce": "reduced",
    "_symbolic": "SYMBOLIC UNDEFINED rational symbolic",
    "_trace": "TranslationError enclose translate",
}
_PLACES = {name: file for file, names in _FILES.items() for name in names.split()}


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    import importlib

    return getattr(importlib.import_module(f"{__name__}.{_PLACES[name]}"), name)
