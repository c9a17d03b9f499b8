"""Copies of the room `programs` with a line changed, to see that the tests would notice; unchanged, as a fast one.

A copy is imported under a name of its own, so that no run-time type checks are woven into it.
"""

import functools
import importlib
import itertools
import shutil
import sys
import tempfile
import types
from pathlib import Path

import dynamem.programs


ROOM = Path(dynamem.programs.__file__).parent
COUNTER = itertools.count()
KEPT = tempfile.TemporaryDirectory()


def copied(folder, file="", old="", new=""):
    """The room with ``old`` replaced by ``new`` in one of its files, which has to hold it once."""
    name = f"copy_of_dynamem_{next(COUNTER)}"
    root = Path(folder) / name
    shutil.copytree(ROOM, root / "programs", ignore=shutil.ignore_patterns("__pycache__"))
    (root / "__init__.py").write_text("")
    (root / "_errors.py").write_text("from dynamem._errors import DynamemError, InputError\n")
    (root / "kernels.py").write_text("from dynamem.kernels import dense, dynamem_retrieval\n")
    if file:
        text = (root / "programs" / file).read_text()
        assert text.count(old) == 1, f"{file} has {old!r} {text.count(old)} times"
        (root / "programs" / file).write_text(text.replace(old, new))
    sys.path.insert(0, str(folder))
    try:
        importlib.invalidate_caches()
        room = importlib.import_module(f"{name}.programs")
        room.Builder = importlib.import_module(f"{name}.programs._build").Builder
        return room
    finally:
        sys.path.remove(str(folder))


@functools.cache
def fast():
    """The room as it is, without run-time type checks, which cost programs of many small calls 30 times their time."""
    return copied(KEPT.name)


def with_rules(interval=None, ball=None):
    """The fast room with rules of its domains replaced by others."""
    room = fast()
    return types.SimpleNamespace(
        evaluate=room.evaluate, Interval=room.Interval, INTERVAL=room.INTERVAL | (interval or {}),
        BALL=room.BALL | (ball or {}),
    )  # fmt: skip
