"""The columns that every table has besides its own."""

from __future__ import annotations

from cio_replicate.tables.declare import Column, ColumnType

KEY = Column(
    "_cio_key",
    ColumnType.STRING,
    "The key's value as text, or `#` and a digest of the record when it has none; rows are matched by it.",
)
EXTRA = Column(
    "_cio_extra",
    ColumnType.JSON,
    "Values that did not fit their column's type, by field, as received; null when all did.",
)
SYNCED_AT = Column(
    "_cio_synced_at",
    ColumnType.TIMESTAMP,
    "When the row was last written because it was new or had changed.",
)
DELETED_AT = Column(
    "_cio_deleted_at",
    ColumnType.TIMESTAMP,
    "When a complete read no longer had it; null while it exists.",
)

SYSTEM_COLUMNS: tuple[Column, ...] = (KEY, EXTRA, SYNCED_AT, DELETED_AT)
