"""Lands records of a table in a state folder of its own, and looks for a word in every file of it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from cio_replicate.base.text import Secret
from cio_replicate.config.column_rules import ColumnRules, column_rules
from cio_replicate.config.table_options import AS_IS, Naming, SchemaChanges
from cio_replicate.pipeline.journal import TableRead
from cio_replicate.pipeline.staging import Staging
from cio_replicate.schema.table import DeclaredPartition, KnownColumns, Table
from cio_replicate.source.catalog import TABLES, table
from cio_replicate.source.catalog.selection import chosen
from cio_replicate.source.decode import RowDecoder
from cio_replicate.source.strategies.base import PageContent, Partition, ReadStats
from cio_replicate.source.stream import Chunk

SALT = Secret("a salt of more than sixteen characters")
BEGAN = 1_760_000_000
COLUMNS = {one.name: [column.name for column in one.columns] for one in TABLES}


def wanted(
    name: str,
    *texts: str,
    naming: Naming = AS_IS,
    policy: SchemaChanges = SchemaChanges.EVOLVE,
    salt: Secret = SALT,
) -> Table:
    """The table of that name by the rules for columns that the texts say."""
    return chosen(table(name), column_rules(texts, salt, COLUMNS).get(name, ColumnRules()), naming, policy)


def landed(
    state: Path, one: Table, *records: bytes, seen: Sequence[bytes] = ()
) -> tuple[list[dict[str, Any]], ReadStats, KnownColumns]:
    """The rows in the pages on disk after these records came in one page, the tally in the journal, and the fields."""
    with Staging(state) as folder:
        part = Partition("all")
        read = TableRead("r1", one.name, 0, BEGAN, BEGAN, None, [part])
        folder.journal.begin(read)
        fields = KnownColumns(one)
        content = PageContent(list(records), seen)
        page = RowDecoder(one, fields, 0).decode(content, DeclaredPartition("all"), BEGAN)
        chunk = Chunk(one.name, part.name, page.rows, page.seen, None, stats=page.stats, columns=page.columns)
        folder.append([(read, chunk)], BEGAN)
        kept = folder.journal.read_of(one.name)
        assert kept is not None
        pages = [pq.read_table(folder.file(page.file)) for page in folder.journal.pages(read)]
    rows = pa.concat_tables(pages).to_pylist() if pages else []
    return rows, kept.tally, fields


def holding(state: Path, word: str) -> list[str]:
    """The files below `state` that hold this word, as they are and, if they are landed pages, unpacked."""
    found = []
    for file in state.rglob("*"):
        if not file.is_file():
            continue
        content = file.read_bytes()
        if file.suffix == ".parquet":
            content += repr(pq.read_table(file).to_pylist()).encode()
        if word.encode() in content:
            found.append(file.name)
    return found
