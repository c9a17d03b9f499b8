"""The verdicts of a run of pytest as a file."""

import json
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .._output import staged
from .._versions import version_of


SCHEMA = "dynamem.testing/1"
PACKAGES = ("dynamem", "pytest", "hypothesis", "jax", "diffrax", "equinox", "numpy")


def write(path: Path, found: Mapping[str, Mapping[str, Any]], command: Sequence[str]) -> None:
    """Write the tests that asked anything, as JSON or as a page, by the ending of the name.

    Arguments:
        path: ends in ``.json`` or ``.html``.
        found: test -> outcome, seconds, verdicts.
        command: arguments of pytest.

    Raises:
        InputError: the file cannot be written.
    """
    tests = [{"test": name, **one} for name, one in sorted(found.items()) if one["verdicts"]]
    environment = {"python": platform.python_version(), "platform": platform.platform(),
                   "packages": {name: version_of(name) for name in PACKAGES}, "command": ["pytest", *command],
                   "tests": len(found)}  # fmt: skip
    if path.suffix == ".html":
        from ..report import write_testing_html

        write_testing_html(tests, environment, path)
        return
    document = {"schema": SCHEMA, "environment": environment, "tests": tests}
    with staged("--dynamem-report", path) as draft:
        draft.write_text(json.dumps(document, indent=1, allow_nan=False) + "\n", encoding="utf-8")
