"""The page: sections through a template, and a file that is either whole or not there."""

import base64
import hashlib
import os
import secrets
import shutil
import stat
from collections.abc import Mapping, Sequence
from contextlib import suppress
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from ..catalog._audit_types import Audit
from ._bars import bars_section
from ._blocks import Table
from ._compare import compare_sections
from ._curves import curves_section
from ._images import recalls_section
from ._matrix import matrix_section
from ._planes import planes_section
from ._recall import recall_sections
from ._signs import maps_block
from ._stability import stability_sections
from ._summary import settings_table, summary_of
from ._svg import style
from ._testing import verdict_sections


if TYPE_CHECKING:
    import numpy as np

    from ..comparison import Comparison, Counterexample, Course, RiseMap
    from ..rigour import RateMap
    from ..stability import Study
    from ..survey import SurveyTable

TEMPLATE, CERTIFY, SURVEY, SECTIONS = "template.html.j2", "certify.html.j2", "survey.html.j2", "sections.html.j2"
COMPARED = (
    "Which solver and which steps keep the energies falling, and at what cost. All numbers are measured, on the "
    "problems and with the settings at the end of this page; a run without a rise is evidence and no proof."
)
STUDIED = (
    "Fixed points, who arrives there and how firmly they are held; where a diffusion model decides. Shares have "
    "intervals, since states are samples; what is called certified holds for all states of the box that it names."
)

TESTED = (
    "Verdicts of the checks and assertions that this run of pytest called, a row for each call in a test's source. A "
    "call that held at its states is evidence and no proof; certified and proved speak of the whole region they name."
)


def write_html(audit: Audit, path: str | os.PathLike[str]) -> None:
    """Write the report of an audit as one page: no scripts, no network, the same bytes for the same audit.

    Args:
        audit: what was found.
        path: the file; an old one is replaced only once the new one is complete.

    Raises:
        OSError: if it cannot be written.
    """
    _write(Path(path), page(audit).encode())


def write_certify_html(
    title: str, verdict: Mapping[str, str], maps: "Sequence[RateMap]", titles: Sequence[str],
    marks: "Mapping[str, np.ndarray]", path: str | os.PathLike[str],
) -> None:  # fmt: skip
    """Write one verdict on a region as a page, with maps of where the rate falls and rises.

    Args:
        title: what was asked.
        verdict: names and texts, in order.
        maps: of one or two coordinates; none if the region has more.
        titles: one for each.
        marks: points with a name, in the coordinates of the maps.
        path: the file; an old one is replaced only once the new one is complete.
    """
    with style():
        block = maps_block(maps, titles, marks)
    table = Table("On the region", ("", "verdict"), list(verdict.items()))
    text = _render(CERTIFY, title=title, verdict=table, block=block)
    _write(Path(path), text.encode())


def write_survey_html(
    table: "SurveyTable", environment: Mapping[str, Any], image_shape: tuple[int, int] | None,
    path: str | os.PathLike[str],
) -> None:  # fmt: skip
    """Write the survey's table as a page, with the recall curves behind its last row.

    Args:
        table: what was computed.
        environment: settings and versions.
        image_shape: height and width of the patterns if they are images.
        path: the file; an old one is replaced only once the new one is complete.
    """
    with style():
        sections = recall_sections(table, image_shape)
    settings = settings_table(environment)
    text = _render(SURVEY, title="Memories and diffusion models, property by property", table=table,
                   sections=sections, environment=settings)  # fmt: skip
    _write(Path(path), text.encode())


def write_compare_html(
    found: "Comparison", maps: "Sequence[RiseMap]", exhibits: "Sequence[tuple[Counterexample, Course]]",
    environment: Mapping[str, Any], path: str | os.PathLike[str],
) -> None:  # fmt: skip
    """Write a comparison of solvers as a page.

    Args:
        found: rows, orders, limits and curves.
        maps: where samplers raise the free energy.
        exhibits: counterexamples with their runs.
        environment: settings and versions.
        path: the file; an old one is replaced only once the new one is complete.
    """
    with style():
        sections = compare_sections(found, maps, exhibits)
    text = _render(SECTIONS, title="Solvers and schedules, by what they do to an energy", lead=COMPARED,
                   errors=found.errors, sections=sections, environment=settings_table(environment))  # fmt: skip
    _write(Path(path), text.encode())


def write_stability_html(
    found: "Study", environment: Mapping[str, Any], shape: tuple[int, int] | None, path: str | os.PathLike[str]
) -> None:
    """Write a study of stability as a page.

    Args:
        found: landscapes, tree, critical times and capacities.
        environment: settings and versions.
        shape: height and width of the patterns if they are images.
        path: the file; an old one is replaced only once the new one is complete.
    """
    with style():
        sections = stability_sections(found, shape)
    text = _render(SECTIONS, title="Where memories and diffusion models come to rest", lead=STUDIED,
                   errors=found.errors, sections=sections, environment=settings_table(environment))  # fmt: skip
    _write(Path(path), text.encode())


def write_testing_html(
    tests: Sequence[Mapping[str, Any]], environment: Mapping[str, Any], path: str | os.PathLike[str]
) -> None:
    """Write the verdicts of a run of pytest as a page.

    Args:
        tests: name, outcome, seconds and verdicts of each.
        environment: settings and versions.
        path: the file; an old one is replaced only once the new one is complete.
    """
    with style():
        sections = verdict_sections(tests)
    text = _render(SECTIONS, title="What the tests found", lead=TESTED, errors=[], sections=sections,
                   environment=settings_table(environment))  # fmt: skip
    _write(Path(path), text.encode())


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
    return _render(TEMPLATE, summary=summary_of(audit), sections=sections)


def _render(template: str, /, **values: Any) -> str:
    environment = Environment(
        loader=PackageLoader("dynamem", "report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    css = files("dynamem.report").joinpath("style.css").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(css.encode()).digest()).decode()
    return environment.get_template(template).render(css=Markup(css), digest=digest, **values)


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
