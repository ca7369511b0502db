"""The metadata of a connection: what is known of every table, joined with what was found out with its key."""

from __future__ import annotations

import msgspec

from cio_replicate.jobs.ports import ProbeResult, TableProbe
from cio_replicate.schema.system_tables import SYSTEM_COLUMNS
from cio_replicate.schema.table import Table
from cio_replicate.source.catalog import TABLES, facts_of


class ColumnMetadata(msgspec.Struct, frozen=True, kw_only=True):
    """A column of a table."""

    name: str
    type: str
    about: str
    key: bool
    personal: bool


class TableMetadata(msgspec.Struct, frozen=True, kw_only=True):
    """A table: how it is read, what it holds, and whether this key may read it; None where that was not asked yet.

    `rows` are approximate. `least` and `most` are the requests of a whole read; `most` is null where there is no
    telling.
    """

    name: str
    about: str
    method: str
    key: list[str]
    replication_key: str | None
    reads: str
    reference: str
    notes: list[str]
    columns: list[ColumnMetadata]
    readable: bool | None = None
    cause: str = ""
    fix: str = ""
    rows: int | None = None
    least: int | None = None
    most: int | None = None
    basis: str = ""


class Metadata(msgspec.Struct, frozen=True, kw_only=True):
    """Metadata of a connection as it was opened `at` a moment, in unix seconds; None: nothing was asked yet.

    `cause` and `fix` say why nothing was found out.
    """

    at: int | None
    api: str
    region: str | None
    requests: int
    cause: str
    fix: str
    tables: list[TableMetadata]

    def table(self, name: str) -> TableMetadata | None:
        """The table of that name."""
        return next((one for one in self.tables if one.name == name), None)


def joined(found: ProbeResult | None, at: int | None) -> Metadata:
    """Return what is known of all tables, and of each what was found out."""
    found = found or ProbeResult()
    by_name = {one.name: one for one in found.tables}
    return Metadata(
        at=at,
        api=found.api,
        region=found.region,
        requests=found.requests,
        cause=found.cause,
        fix=found.fix,
        tables=[_table(one, by_name.get(one.name)) for one in TABLES],
    )


def _table(table: Table, found: TableProbe | None) -> TableMetadata:
    return TableMetadata(
        **(msgspec.structs.asdict(found) if found is not None else {"name": table.name}),
        about=table.about,
        method=table.method,
        key=list(table.key),
        replication_key=table.replication_key,
        reads=f"{table.http_method} {table.path}",
        reference=table.reference,
        notes=[*table.notes, *facts_of(table)],
        columns=[
            ColumnMetadata(
                name=column.name,
                type=column.type,
                about=column.about,
                key=column.name in table.key,
                personal=column.personal,
            )
            for column in (*table.columns, *SYSTEM_COLUMNS)
        ],
    )
