"""What landed pages tell by themselves."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq


def different_keys(files: Sequence[Path], *, seen_too: bool) -> int:
    """How many different keys the rows of pages have; with `seen_too` also those that are only seen.

    Raises OSError and ArrowException for a page that is gone or damaged.
    """
    columns = ["_cio_key", "_cio_seen_only"]
    found = []
    for file in files:
        page = pq.read_table(file, columns=columns)
        found.append(page["_cio_key"] if seen_too else page.filter(pc.invert(page["_cio_seen_only"]))["_cio_key"])
    keys = pa.chunked_array([chunk for one in found for chunk in one.chunks], pa.string())
    return int(pc.count_distinct(keys).as_py())
