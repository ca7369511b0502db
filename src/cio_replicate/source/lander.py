"""Lands pages of one table: shapes and encodes their records, and makes rows and position durable together."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, replace

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from cio_replicate.pipeline.read import Partition, ReadStats, TableRead
from cio_replicate.pipeline.staging import Staging
from cio_replicate.schema.table import LONGEST_NAME, KnownColumns, Table
from cio_replicate.source.decode import DecodedRows, RowEncoder
from cio_replicate.source.pages import Cursor
from cio_replicate.source.redact import Redactor
from cio_replicate.source.strategies.base import slice_of

MOST_NAMED, OTHERS = 50, "…"  # new fields that are counted one by one, and all that come after them


@dataclass(frozen=True, slots=True)
class PageContent:
    """What a page brings: records that become rows, records that are only seen, how many came without their content.

    `more` are the parts that read what is left of its part, which ends with this page.
    """

    records: Sequence[bytes | msgspec.Raw]
    seen: Sequence[bytes] = ()
    left_out: int = 0
    more: Sequence[Partition] = ()


class RowDecoder:
    """Lands the pages of one read. Its methods block on the disk and belong on one landing thread."""

    def __init__(self, table: Table, read: TableRead, fields: KnownColumns, folder: Staging) -> None:
        self.table = table
        self.read = read
        self._fields = fields
        self._folder = folder
        self._encoder = RowEncoder(fields)
        self._redactor = Redactor(table)
        self._column = table.replication_key or table.start_date_column

    def land(self, part: Partition, page: PageContent, place: Cursor, at: int) -> tuple[int, int | None]:
        """Make the records of a page durable and move the part to `place`.

        Returns the rows landed and the oldest moment among them (unix seconds), if the table has one.

        When this returns, the page is never asked for again; when the process dies before, it is as if it had not been
        asked for. No value that the table's rules take away reaches the disk.
        """
        tally = self.read.tally
        known = len(self._fields.discovered)
        records = self._redactor.apply(self._shaped(part, page.records))
        only_seen = self._redactor.apply(page.seen)
        rows = self._encoder.encode(records.records, at)
        table = self._before_start(rows.table)
        if page.seen:
            others = self._encoder.encode(only_seen.records, at).table
            index = others.schema.get_field_index("_cio_seen_only")
            others = others.set_column(index, "_cio_seen_only", pa.repeat(pa.scalar(value=True), len(others)))
            table = pa.concat_tables([table, others], promote_options="default")
        before = (part.place, _copy(tally))
        tally.rows += len(page.records)
        tally.seen += len(page.seen)
        tally.misfits += rows.misfits
        tally.left_out += page.left_out
        tally.withheld += records.withheld
        _add_ignored(tally, rows)
        part.place = place
        oldest = self._note_bounds(rows.table)
        try:
            if not len(table):
                self._folder.journal.settle(self.read, part, at, page.more)
                self.read.parts += page.more
                return 0, oldest
            name = f"{uuid.uuid4().hex}.parquet"
            self._folder.write(name, table)
            found = self._fields.discovered[known:]
            self._folder.journal.land(self.read, part, name, len(table), found, at, page.more)
            self.read.parts += page.more
        except BaseException:
            part.place, self.read.tally = before
            raise
        return len(page.records), oldest

    def skip(self, part: Partition, reason: str, at: int) -> None:
        """Record that a part does not exist."""
        self.read.tally.skipped.append(reason)
        self.move(part, replace(part.place, done=True), at)

    def move(self, part: Partition, place: Cursor, at: int) -> None:
        """Move a part without a page."""
        part.place = place
        self._folder.journal.settle(self.read, part, at)

    def _shaped(self, part: Partition, records: Sequence[bytes | msgspec.Raw]) -> Sequence[bytes | msgspec.Raw]:
        shape = self.table.shape
        if shape is None:
            return records
        declared = slice_of(self.table, part)
        return [shape(msgspec.Raw(record), declared) for record in records]

    def _before_start(self, table: pa.Table) -> pa.Table:
        """Mark the rows before the start date as only seen; a row without that date is kept.

        A date of 1970 or before is none either: 0 stands for "never" in more than one list.
        """
        name = self.table.start_date_column
        if name is None:
            return table
        start = pa.scalar(self.read.start * 1_000_000, pa.int64()).cast(table.schema.field(name).type)
        never = pa.scalar(0, pa.int64()).cast(start.type)
        early = pc.and_(pc.less(table[name], start), pc.greater(table[name], never))
        early = pc.fill_null(early, fill_value=False)
        index = table.schema.get_field_index("_cio_seen_only")
        return table.set_column(index, "_cio_seen_only", early)

    def _note_bounds(self, table: pa.Table) -> int | None:
        if self._column is None:
            return None
        bounds = pc.min_max(table[self._column].cast(pa.int64())).as_py()
        if bounds["max"] is None:
            return None
        low, high = bounds["min"] // 1_000_000, bounds["max"] // 1_000_000
        tally = self.read.tally
        tally.latest = high if tally.latest is None else max(tally.latest, high)
        tally.earliest = low if tally.earliest is None else min(tally.earliest, low)
        return int(low)


def _copy(tally: ReadStats) -> ReadStats:
    return msgspec.structs.replace(tally, skipped=list(tally.skipped), ignored=dict(tally.ignored))


def _add_ignored(tally: ReadStats, rows: DecodedRows) -> None:
    for path, count in rows.ignored.items():
        name = ".".join(path)[:LONGEST_NAME]
        if name not in tally.ignored and len(tally.ignored) >= MOST_NAMED:
            name = OTHERS
        tally.ignored[name] = tally.ignored.get(name, 0) + count
