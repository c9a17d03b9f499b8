"""The page: sections through a template, and a file that is either whole or not there."""

import base64
import hashlib
import os
import secrets
import shutil
import stat
from contextlib import suppress
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from ..catalog._audit_types import Audit
from ._bars import bars_section
from ._curves import curves_section
from ._images import recalls_section
from ._matrix import matrix_section
from ._planes import planes_section
from ._summary import summary_of
from ._svg import style


TEMPLATE = "template.html.j2"


def write_html(audit: Audit, path: str | os.PathLike[str]) -> None:
    """Write the report of an audit as one page: no scripts, no network, the same bytes for the same audit.

    Args:
        audit: what was found.
        path: the file; an old one is replaced only once the new one is complete.

    Raises:
        OSError: if it cannot be written.
    """
    _write(Path(path), page(audit).encode())


def page(audit: Audit) -> str:
    """The report's HTML."""
    with style():
        sections = [
            matrix_section(audit.rows),
            curves_section(audit.figures.curves),
            planes_section(audit.figures),
            bars_section(audit.rows),
            recalls_section(audit.figures),
        ]
    return _render(summary=summary_of(audit), sections=sections)


def _render(**values: Any) -> str:
    environment = Environment(
        loader=PackageLoader("dynamem", "report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    css = files("dynamem.report").joinpath("style.css").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(css.encode()).digest()).decode()
    return environment.get_template(TEMPLATE).render(css=Markup(css), digest=digest, **values)


def _write(path: Path, text: bytes) -> None:
    path = path.resolve()
    if path.exists() and not stat.S_ISREG(path.stat().st_mode):  # /dev/stdout is written to, never replaced
        path.write_bytes(text)
        return
    draft = path.with_name(f".dynamem-{secrets.token_hex(6)}.tmp")
    try:
        draft.write_bytes(text)
        if path.exists():
            shutil.copymode(path, draft)
        draft.replace(path)
    finally:
        with suppress(OSError):
            draft.unlink(missing_ok=True)
