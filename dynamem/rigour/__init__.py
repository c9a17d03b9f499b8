"""Rigour: the sign of a rate on a whole region, for the program that runs, with evidence that replays.

Search is done by outward rounded intervals in NumPy, decisions by Arb; no float that XLA computed is trusted.
Names are resolved on first use, so that a certificate can be checked without JAX and NumPy.
"""

from typing import TYPE_CHECKING, Any


if TYPE_CHECKING:
    from ._affine import plane as plane
    from ._certify import certify as certify
    from ._document import Unreadable as Unreadable
    from ._map import RateMap as RateMap
    from ._map import rate_map as rate_map
    from ._map import rate_maps as rate_maps
    from ._prove import prove as prove
    from ._question import reads_time as reads_time
    from ._verify import verify as verify

_MODULES = {
    "certify": "_certify",
    "RateMap": "_map",
    "rate_map": "_map",
    "rate_maps": "_map",
    "plane": "_affine",
    "prove": "_prove",
    "reads_time": "_question",
    "Unreadable": "_document",
    "verify": "_verify",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    import importlib

    return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
