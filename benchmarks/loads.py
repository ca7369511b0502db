"""How fast landed rows get into each kind of destination, against the engine's own bulk load of the same Arrow data."""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from statistics import median

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.own_loads import OWN
from benchmarks.places import fresh, missing
from cio_replicate.pipeline.staging import SEEN_ONLY
from cio_replicate.schema.system_tables import Checkpoint
from cio_replicate.schema.table import KnownColumns
from cio_replicate.sinks.addresses import destination
from cio_replicate.sinks.kinds import destination_at
from cio_replicate.sinks.port import Batch, Close, Owner
from cio_replicate.source.catalog import table
from cio_replicate.source.decode import RowEncoder
from customerio_simulator import WorkspaceSpec
from customerio_simulator.workspace import Workspace

ROWS = 100_000
PAGE = 1_000
AT = 1_760_000_000


class Load(msgspec.Struct, kw_only=True):
    """One kind: seconds for the first load, the same again, one in ten changed, and for the engine's own load."""

    kind: str
    rows: int
    first: float
    same: float
    changed: float
    own: float

    @property
    def ratio(self) -> float:
        """The seconds of the first load to those of the engine's own."""
        return self.first / self.own


def loads(kinds: Sequence[str], runs: int, scale: float) -> Iterator[Load]:
    """Measure each kind so many times; the median of each figure. Kinds that cannot run here are left out."""
    with tempfile.TemporaryDirectory() as folder:
        pages = _Pages(Path(folder), max(PAGE, int(ROWS * scale)))
        for kind in kinds:
            if not missing(kind):
                lines = [_measured(kind, pages, Path(folder) / f"{kind}-{run}") for run in range(runs)]
                yield Load(
                    kind=kind,
                    rows=pages.count,
                    **{name: median(getattr(line, name) for line in lines) for name in _FIGURES},
                )


_FIGURES = ("first", "same", "changed", "own")


class _Pages:
    """Pages of messages as they are landed, and the same with one row in ten changed."""

    def __init__(self, folder: Path, count: int) -> None:
        self.fields = KnownColumns(table("messages"))
        workspace = Workspace(WorkspaceSpec(messages=count, people=1_000, activities=0, hostile=False))
        records = [bytes(one).replace(b"\\u0000", b"") for one in workspace.truth("messages")]  # which no engine takes
        self.count = len(records)
        self.first = self._landed(folder / "first", records)
        edited = [_edited(one) if number % 10 == 0 else one for number, one in enumerate(records)]
        self.changed = self._landed(folder / "changed", edited)
        self.rows = pa.concat_tables(
            [pq.read_table(page).drop_columns([SEEN_ONLY.name]) for page in self.first], promote_options="default"
        )

    def _landed(self, folder: Path, records: Sequence[bytes]) -> list[Path]:
        folder.mkdir()
        encoder = RowEncoder(self.fields)
        pages = []
        for first in range(0, len(records), PAGE):
            pages.append(folder / f"{first:09}.parquet")
            rows = encoder.encode(records[first : first + PAGE], AT).table
            rows = rows.append_column(SEEN_ONLY, pa.array([False] * len(rows)))
            pq.write_table(rows, pages[-1], store_schema=False)
        return pages


def _edited(record: bytes) -> bytes:
    return json.dumps({**json.loads(record), "subject": "edited"}).encode()


def _measured(kind: str, pages: _Pages, folder: Path) -> Load:
    folder.mkdir()
    place = fresh(kind, folder)
    address = destination(place.to, place.variables or os.environ)
    copy = destination_at(address, "customerio", folder)
    copy.open()
    copy.open(Owner(AT))

    def written(files: Sequence[Path]) -> Callable[[], None]:
        def write() -> None:
            at_once = max(1, copy.batch_rows // PAGE)
            for first in range(0, len(files), at_once):
                some = files[first : first + at_once]
                last = first + at_once >= len(files)
                position = Checkpoint(read="bench", start=0, through=AT)
                close = Close(position, None, AT) if last else None
                copy.write(Batch(pages.fields.table, pages.fields.all, some, "bench", close))

        return write

    try:
        return Load(
            kind=kind,
            rows=pages.count,
            first=_seconds(written(pages.first)),
            same=_seconds(written(pages.first)),
            changed=_seconds(written(pages.changed)),
            own=_seconds(lambda: OWN[kind](place, pages.rows)),
        )
    finally:
        copy.close()


def _seconds(work: Callable[[], None]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began
