"""The named systems that an audit runs, and the audit itself.

Names are resolved on first use, so that the command line can list systems without loading JAX.
"""

from typing import TYPE_CHECKING, Any


if TYPE_CHECKING:
    from ._audit import run_audit as run_audit
    from ._audit_types import Audit as Audit
    from ._memories import memory as memory
    from ._names import DYNAMICS as DYNAMICS
    from ._names import LEARNED as LEARNED
    from ._names import MEMORIES as MEMORIES
    from ._names import system_names as system_names
    from ._options import S_END as S_END
    from ._options import S_START as S_START
    from ._options import AuditOptions as AuditOptions
    from ._options import DataSet as DataSet
    from ._recall import CORRUPTIONS as CORRUPTIONS
    from ._recall import Recall as Recall
    from ._recall import corruption_of as corruption_of
    from ._recall import overlap as overlap
    from ._recall import recall_rate as recall_rate
    from ._recall import wilson as wilson
    from ._runs import schedule_of as schedule_of
    from ._runs import starts as starts
    from ._subject import Subject as Subject
    from ._subject import subject as subject
    from ._system import System as System
    from ._system import imported as imported
    from ._system import is_noisy as is_noisy
    from ._system import load_system as load_system

_MODULES = {
    "DYNAMICS": "_names",
    "LEARNED": "_names",
    "MEMORIES": "_names",
    "S_END": "_options",
    "S_START": "_options",
    "CORRUPTIONS": "_recall",
    "Audit": "_audit_types",
    "AuditOptions": "_options",
    "DataSet": "_options",
    "Recall": "_recall",
    "Subject": "_subject",
    "System": "_system",
    "corruption_of": "_recall",
    "imported": "_system",
    "is_noisy": "_system",
    "load_system": "_system",
    "memory": "_memories",
    "overlap": "_recall",
    "recall_rate": "_recall",
    "run_audit": "_audit",
    "schedule_of": "_runs",
    "starts": "_runs",
    "subject": "_subject",
    "system_names": "_names",
    "wilson": "_recall",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    import importlib

    return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
