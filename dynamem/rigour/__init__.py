"""Rigour: the sign of a rate on a whole region, for the program that runs, with evidence that replays.

Search is done by outward rounded intervals in NumPy, decisions by Arb; no float that XLA computed is trusted.
Names are resolved on first use, so that a certificate can be checked without JAX and NumPy.
"""

from typing import TYPE_CHECKING, Any


if TYPE_CHECKING:
    from ._affine import plane as plane
    from ._certify import certify as certify
    from ._prove import prove as prove
    from ._verify import Unreadable as Unreadable
    from ._verify import verify as verify

_MODULES = {
    "certify": "_certify",
    "plane": "_affine",
    "prove": "_prove",
    "Unreadable": "_verify",
    "verify": "_verify",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    import importlib

    return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
