"""What a page is made of: figures with captions, and tables."""

import dataclasses
from collections.abc import Sequence

from ._svg import Image


@dataclasses.dataclass(frozen=True)
class Table:
    """A table; the first cell of a row names it.

    Attributes:
        caption: what is in it.
        head: column names.
        rows: cells as text, each row as long as ``head``.
    """

    caption: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclasses.dataclass(frozen=True)
class Block:
    """A figure of one or more images, with its caption and its numbers.

    Attributes:
        title: heading.
        images: side by side where there is room.
        caption: what is shown, and how to read it.
        tables: the numbers.
        wide: a single image that scrolls sideways where the screen is narrow.
    """

    title: str
    images: Sequence[Image]
    caption: str
    tables: Sequence[Table]
    wide: bool = False


@dataclasses.dataclass(frozen=True)
class Section:
    """A part of the page: an introduction and blocks; ``absent`` says why there are none."""

    key: str
    title: str
    lead: str
    blocks: Sequence[Block]
    absent: str = ""
