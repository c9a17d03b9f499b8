"""Matplotlib figures as images of a page: SVG in a data URI, the same bytes for the same numbers."""

import base64
import dataclasses
import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter


INK = "#1b1f24"
QUIET = "#59636e"
FALL = "#0072b2"
RISE = "#d55e00"
SETTINGS: dict[Any, Any] = {
    "svg.fonttype": "none",  # text stays text: smaller, and sharp at any size
    "svg.hashsalt": "dynamem",  # the names of clip paths and markers are drawn at random without it
    "text.parse_math": False,  # a dollar sign in a name is a dollar sign
    "font.size": 9.0,
    "axes.titlesize": 9.5,
    "axes.titlelocation": "left",
    "axes.edgecolor": QUIET,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.7,
    "xtick.color": QUIET,
    "ytick.color": QUIET,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "text.color": INK,
    "hatch.linewidth": 0.6,
    "path.simplify_threshold": 0.2,
}
PLAIN = {"Date": None, "Creator": None, "Format": None, "Type": None}
FAMILY = re.compile(r"font-family: [^;\"]*;?\s*")
PATH = re.compile(r" d=\"[^\"]*\"")
DIGITS = re.compile(r"(\.\d\d)\d+")
SHARED = "*{stroke-linejoin:round;stroke-linecap:butt}text{font-family:'DejaVu Sans',Verdana,Arial,sans-serif}"


@dataclasses.dataclass(frozen=True)
class Image:
    """An image of the page, with its text for those who do not see it and its size in pixels."""

    src: str
    alt: str
    width: int
    height: int


@contextmanager
def style() -> Iterator[None]:
    """Matplotlib's settings for the block, whatever the reader's own are; they are restored afterwards."""
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(SETTINGS)
        yield


def image(figure: Figure, alt: str) -> Image:
    """Draw a figure, within `style`."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="svg", metadata=PLAIN)
    width, height = (round(float(side) * 96) for side in figure.get_size_inches())
    data = base64.b64encode(_smaller(buffer.getvalue().decode()).encode()).decode()
    return Image(f"data:image/svg+xml;base64,{data}", alt, width, height)


def _smaller(text: str) -> str:
    """The same drawing without what matplotlib repeats: fonts for every word, line ends for every point."""
    text = text[text.index("<svg") :]
    text = re.sub(r"<style type=\"text/css\">[^<]*</style>", f'<style type="text/css">{SHARED}</style>', text)
    text = FAMILY.sub("", text)
    text = PATH.sub(lambda path: DIGITS.sub(r"\1", path[0]), text)
    return re.sub(r"\s*\n\s*", "\n", text)


def bare(axes: Axes) -> None:
    """Axes without ticks and frame."""
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_visible(False)


RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def power(value: float, place: Any = None) -> str:
    """A power of ten for an axis; mathematical text is off."""
    del place
    exponent = round(float(np.log10(value)))
    known = {0: "1", 1: "10", 2: "100"}
    return known.get(exponent) or "10" + str(exponent).translate(RAISED)


def logarithmic(axis: Any, count: int = 7) -> None:
    """Powers of ten, and no small ticks between that carry names."""
    axis.set_major_locator(LogLocator(numticks=count))
    axis.set_major_formatter(FuncFormatter(power))
    axis.set_minor_formatter(NullFormatter())


def few_decades(axis: Any) -> None:
    """Ticks at 1, 2 and 5 of each decade, as plain numbers: for logarithmic axes of a few decades."""
    axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())
