"""How a problem is cut: chunks of patterns that stay in cache, tiles of queries that keep the logits there.

    chunk x D x itemsize <= CHUNK_BYTES,    tile <= TILE_ROWS,    tile x chunk x itemsize <= LOGIT_BYTES.

All of it is decided from shapes, at trace time.
"""

import math
from typing import NamedTuple


CHUNK_BYTES = 1 << 20
LOGIT_BYTES = 1 << 22
TILE_ROWS = 512
DENSE_LOGITS = 1 << 14
"""At most this many logits B*N are corrected in straight-line code; above it the corrections sit in a ``cond``."""
REVERSE_ROWS = 1024
"""Longest chunk of a derivative pass, whose queries are not tiled: it holds B x REVERSE_ROWS logits."""


class Plan(NamedTuple):
    """``tiles`` blocks of ``tile`` queries by ``chunks`` chunks of ``chunk`` patterns; the last ones may overlap."""

    tile: int
    tiles: int
    chunk: int
    chunks: int


def _even(total: int, most: int) -> tuple[int, int]:
    """Sizes of the fewest equal parts of ``total``, none longer than ``most``: (size, count)."""
    count = max(1, math.ceil(total / max(1, most)))
    return math.ceil(total / count), count


def plan(queries: int, patterns: int, coordinates: int, itemsize: int) -> Plan:
    """The cut for ``queries`` (B) against ``patterns`` (N) of ``coordinates`` (D)."""
    tile, tiles = _even(queries, TILE_ROWS)
    rows = min(CHUNK_BYTES // (coordinates * itemsize), LOGIT_BYTES // (tile * itemsize))
    chunk, chunks = _even(patterns, rows)
    return Plan(tile, tiles, chunk, chunks)


def reverse_plan(patterns: int, coordinates: int, itemsize: int) -> tuple[int, int]:
    """Chunk length and count of a derivative pass over N patterns of D coordinates."""
    return _even(patterns, min(CHUNK_BYTES // (coordinates * itemsize), REVERSE_ROWS))
