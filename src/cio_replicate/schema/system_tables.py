"""System columns and tables of a copy, and the checkpoint of a table."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from cio_replicate.schema.table import Column, ColumnType

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
    "When a complete read no longer had it, or the activity log said so of a person; null while it exists.",
)

SYSTEM_COLUMNS: tuple[Column, ...] = (KEY, EXTRA, SYNCED_AT, DELETED_AT)

#: In every place but DuckDB, where rows are compared with what is there.
DIGEST = Column(
    "_cio_digest",
    ColumnType.STRING,
    "A digest of the row, by which a later run tells whether it changed; not in DuckDB, which compares the columns.",
)

#: In the mode *history*.
HISTORY_COLUMNS: tuple[Column, ...] = (
    Column("_cio_version", ColumnType.STRING, "The row's key and the number of the commit that brought it; unique."),
    Column("_cio_valid_from", ColumnType.TIMESTAMP, "When this version was first read."),
    Column("_cio_valid_to", ColumnType.TIMESTAMP, "When it was replaced, or found deleted; null while it holds."),
    Column("_cio_is_current", ColumnType.BOOLEAN, "Whether it holds."),
)

#: In the tables of changes, of the mode *changes*, before the columns of the table and the system's.
CHANGE_COLUMNS: tuple[Column, ...] = (
    Column("_cio_sequence", ColumnType.INTEGER, "Rises with every change, and is unique in the table."),
    Column("_cio_operation", ColumnType.STRING, "`insert`, `update` or `delete`; a row that comes back is an insert."),
    Column("_cio_changed_at", ColumnType.TIMESTAMP, "When the change was read."),
    Column("_cio_run", ColumnType.STRING, "The run that found it."),
    Column(
        "_cio_before",
        ColumnType.JSON,
        "Of an update, what the changed columns held before, as an object; moments as text in UTC.",
    ),
)
CHANGES_SUFFIX = "__changes"

#: Which copy it is, in one row.
COPY = "_cio_copy"
COPY_COLUMNS: tuple[Column, ...] = (
    Column("copy_id", ColumnType.STRING, "Which copy this is: made up when it was begun."),
    Column("created_at", ColumnType.TIMESTAMP, "When it was begun."),
    Column("commits", ColumnType.INTEGER, "How many commits it has seen."),
    Column("facts", ColumnType.JSON, "What it must hold by what was loaded, and which columns were found, for a run."),
)

#: How far each table is read, one row each.
POSITIONS = "_cio_positions"
POSITION_COLUMNS: tuple[Column, ...] = (
    Column("table_name", ColumnType.STRING, "The table."),
    Column("position", ColumnType.JSON, "How far it is read, as an object of unix seconds."),
    Column("run_id", ColumnType.STRING, "The run that moved the position."),
    Column("moved_at", ColumnType.TIMESTAMP, "When it did."),
)


@dataclass(frozen=True, slots=True)
class Record:
    """A table about runs, in the copy: what it is called, what it tells, its columns, and by which its rows differ."""

    name: str
    about: str
    columns: tuple[Column, ...]
    key: str


RUNS = Record(
    "_cio_runs",
    "One row per run.",
    (
        Column("run_id", ColumnType.STRING, "The run."),
        Column("started", ColumnType.TIMESTAMP, "When it began."),
        Column("ended", ColumnType.TIMESTAMP, "When it ended; null while it goes on, and when it was killed."),
        Column(
            "status", ColumnType.STRING, "`complete`, `failed`, or `interrupted`, which is also that of one under way."
        ),
        Column("requests", ColumnType.INTEGER, "Requests that were sent."),
        Column("throttled", ColumnType.INTEGER, "How many of them were answered 429."),
        Column("rows_read", ColumnType.INTEGER, "Records received."),
        Column("inserted", ColumnType.INTEGER, "Rows that were new."),
        Column("updated", ColumnType.INTEGER, "Rows that had changed or came back."),
        Column("deleted", ColumnType.INTEGER, "Rows that were gone."),
        Column("error", ColumnType.STRING, "Why the run as a whole ended badly; null if it did not."),
        Column("version", ColumnType.STRING, "The version of cio-replicate."),
    ),
    "run_id",
)

RUN_TABLES = Record(
    "_cio_run_tables",
    "One row per run and table.",
    (
        Column("run_table", ColumnType.STRING, "The run and the table, joined by a slash; unique."),
        Column("run_id", ColumnType.STRING, "The run."),
        Column("table_name", ColumnType.STRING, "The table."),
        Column("status", ColumnType.STRING, "`complete`, `failed` or `interrupted`."),
        Column("mode", ColumnType.STRING, "The change mode."),
        Column("rows_read", ColumnType.INTEGER, "Records received."),
        Column("inserted", ColumnType.INTEGER, "Rows that were new."),
        Column("updated", ColumnType.INTEGER, "Rows that had changed or came back."),
        Column("deleted", ColumnType.INTEGER, "Rows that were gone."),
        Column("requests", ColumnType.INTEGER, "Requests that were sent for it."),
        Column("misfits", ColumnType.INTEGER, "Values that did not fit their column and are kept in `_cio_extra`."),
        Column("seconds", ColumnType.NUMBER, "How long it took."),
        Column("error", ColumnType.STRING, "Why it failed; null if it did not."),
    ),
    "run_table",
)

PROOF = Record(
    "_cio_proof",
    "One row per table and run, and per table and `verify`: whether the copy is true.",
    (
        Column("run_table", ColumnType.STRING, "The run and the table, joined by a slash; unique."),
        Column("run_id", ColumnType.STRING, "The run, or the call of `verify`."),
        Column("table_name", ColumnType.STRING, "The table."),
        Column("proved_at", ColumnType.TIMESTAMP, "When it was found out."),
        Column("verdict", ColumnType.STRING, "`proved`, `consistent`, `unproved` or `short`."),
        Column("why", ColumnType.STRING, "The reason, in a sentence."),
        Column("source_rows", ColumnType.INTEGER, "How many rows the source says it has; null where it does not."),
        Column("source_basis", ColumnType.STRING, "Where that count comes from."),
        Column("rows_read", ColumnType.INTEGER, "Records received by the run."),
        Column("live_rows", ColumnType.INTEGER, "Rows in the copy that are not deleted."),
        Column("key_digest", ColumnType.STRING, "The digest of their keys, read back from the copy."),
        Column("landed_digest", ColumnType.STRING, "The digest of the keys that were loaded, less those that went."),
    ),
    "run_table",
)

MERGES = Record(
    "_cio_merges",
    "One row per person who was merged into another, as far as the activity log tells.",
    (
        Column("cio_id", ColumnType.STRING, "The person who was merged, whom older messages and activities name."),
        Column("into_cio_id", ColumnType.STRING, "The person into whom; that one may have been merged later, too."),
        Column("merged_at", ColumnType.TIMESTAMP, "When."),
        Column("activity_id", ColumnType.STRING, "The entry of the log that tells it, an `activities.id`."),
        Column("run_id", ColumnType.STRING, "The run that noted it."),
    ),
    "cio_id",
)

ERASURES = Record(
    "_cio_erasures",
    "One row per erasure of a person: what was blanked, and when.",
    (
        Column("run_person", ColumnType.STRING, "The run and the person, joined by a slash; unique."),
        Column("cio_id", ColumnType.STRING, "The person, by the `cio_id` alone, as `customers._cio_key` has it."),
        Column("erased_at", ColumnType.TIMESTAMP, "When everything was blanked."),
        Column("run_id", ColumnType.STRING, "The run that did it."),
        Column("rows_blanked", ColumnType.JSON, "How many rows about the person, as an object from table to number."),
        Column(
            "named_otherwise",
            ColumnType.JSON,
            "The keys of those of them that lack the `cio_id`, as an object from table to array, so that they stay "
            "blank when they are read again; null when there are none.",
        ),
        Column(
            "returned_at",
            ColumnType.TIMESTAMP,
            "When the person was found in the list again, from where on rows hold their values; null until then.",
        ),
    ),
    "run_person",
)

RECORDS: tuple[Record, ...] = (RUNS, RUN_TABLES, PROOF, MERGES, ERASURES)


# How far a table has been read, as it is stored with the data and in the journal.


class Checkpoint(msgspec.Struct, frozen=True, kw_only=True):
    """What complete reads of a table cover. All times are unix seconds.

    `start`: the earliest moment replicated. `through`: when the last complete read began; everything that the source
    held then is in the copy, but for what its rules leave to a later read. `latest`: the highest value of the
    replication key (or of the start date's column) seen. `whole`: when the last read began that left out nothing; in
    positions of earlier versions, whose reads never did, it is missing. `read`: the read that brought this position,
    so that two positions are the same only if one read made them. `rules`: the rules for columns and names by which it
    was landed. `target`: what the table is called in the copy; "" in positions of earlier versions.
    """

    read: str
    start: int
    through: int
    latest: int | None = None
    whole: int | None = None
    rules: str = ""
    target: str = ""

    @property
    def last_whole(self) -> int:
        """When the last read began that left out nothing."""
        return self.through if self.whole is None else self.whole


_decoder = msgspec.json.Decoder(Checkpoint)


def to_text(position: Checkpoint) -> str:
    """The position as JSON."""
    return msgspec.json.encode(position).decode()


def from_text(text: str) -> Checkpoint:
    """The position in a JSON text that `to_text` wrote."""
    return _decoder.decode(text)
