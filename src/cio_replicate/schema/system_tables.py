"""System columns and tables of a copy, and the checkpoint of a table."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from cio_replicate.schema.table import Column, boolean, integer, json, number, string, timestamp

KEY = string(
    "_cio_key", "The key's value as text, or `#` and a digest of the record when it has none; rows are matched by it."
)
EXTRA = json("_cio_extra", "Values that did not fit their column's type, by field, as received; null when all did.")
SYNCED_AT = timestamp("_cio_synced_at", "When the row was last written because it was new or had changed.")
DELETED_AT = timestamp(
    "_cio_deleted_at",
    "When a complete read no longer had it, or the activity log said so of a person; null while it exists.",
)

SYSTEM_COLUMNS: tuple[Column, ...] = (KEY, EXTRA, SYNCED_AT, DELETED_AT)

#: In every place but DuckDB, where rows are compared with what is there.
DIGEST = string(
    "_cio_digest",
    "A digest of the row, by which a later run tells whether it changed; not in DuckDB, which compares the columns.",
)

#: In the mode *history*.
HISTORY_COLUMNS: tuple[Column, ...] = (
    string("_cio_version", "The row's key and the number of the commit that brought it; unique."),
    timestamp("_cio_valid_from", "When this version was first read."),
    timestamp("_cio_valid_to", "When it was replaced, or found deleted; null while it holds."),
    boolean("_cio_is_current", "Whether it holds."),
)

#: In the tables of changes, of the mode *changes*, before the columns of the table and the system's.
CHANGE_COLUMNS: tuple[Column, ...] = (
    integer("_cio_sequence", "Rises with every change, and is unique in the table."),
    string("_cio_operation", "`insert`, `update` or `delete`; a row that comes back is an insert."),
    timestamp("_cio_changed_at", "When the change was read."),
    string("_cio_run", "The run that found it."),
    json("_cio_before", "Of an update, what the changed columns held before, as an object; moments as text in UTC."),
)
CHANGES_SUFFIX = "__changes"

#: Which copy it is, in one row.
COPY = "_cio_copy"
COPY_COLUMNS: tuple[Column, ...] = (
    string("copy_id", "Which copy this is: made up when it was begun."),
    timestamp("created_at", "When it was begun."),
    integer("commits", "How many commits it has seen."),
    json("facts", "What it must hold by what was loaded, and which columns were found, for a run."),
)

#: How far each table is read, one row each.
POSITIONS = "_cio_positions"
POSITION_COLUMNS: tuple[Column, ...] = (
    string("table_name", "The table."),
    json("position", "How far it is read, as an object of unix seconds."),
    string("run_id", "The run that moved the position."),
    timestamp("moved_at", "When it did."),
)


@dataclass(frozen=True, slots=True)
class Record:
    """A table about runs, in the copy: what it is called, what it tells, its columns, and by which its rows differ."""

    name: str
    about: str
    columns: tuple[Column, ...]
    key: str


COUNTS = (
    integer("rows_read", "Records received."),
    integer("inserted", "Rows that were new."),
    integer("updated", "Rows that had changed or came back."),
    integer("deleted", "Rows that were gone."),
)

RUNS = Record(
    "_cio_runs",
    "One row per run.",
    (
        string("run_id", "The run."),
        timestamp("started", "When it began."),
        timestamp("ended", "When it ended; null while it goes on, and when it was killed."),
        string("status", "`complete`, `failed`, or `interrupted`, which is also that of one under way."),
        integer("requests", "Requests that were sent."),
        integer("throttled", "How many of them were answered 429."),
        *COUNTS,
        string("error", "Why the run as a whole ended badly; null if it did not."),
        string("version", "The version of cio-replicate."),
    ),
    "run_id",
)

RUN_TABLES = Record(
    "_cio_run_tables",
    "One row per run and table.",
    (
        string("run_table", "The run and the table, joined by a slash; unique."),
        string("run_id", "The run."),
        string("table_name", "The table."),
        string("status", "`complete`, `failed` or `interrupted`."),
        string("mode", "The change mode."),
        *COUNTS,
        integer("requests", "Requests that were sent for it."),
        integer("misfits", "Values that did not fit their column and are kept in `_cio_extra`."),
        number("seconds", "How long it took."),
        string("error", "Why it failed; null if it did not."),
    ),
    "run_table",
)

PROOF = Record(
    "_cio_proof",
    "One row per table and run, and per table and `verify`: whether the copy is true.",
    (
        string("run_table", "The run and the table, joined by a slash; unique."),
        string("run_id", "The run, or the call of `verify`."),
        string("table_name", "The table."),
        timestamp("proved_at", "When it was found out."),
        string("verdict", "`proved`, `consistent`, `unproved` or `short`."),
        string("why", "The reason, in a sentence."),
        integer("source_rows", "How many rows the source says it has; null where it does not."),
        string("source_basis", "Where that count comes from."),
        integer("rows_read", "Records received by the run."),
        integer("live_rows", "Rows in the copy that are not deleted."),
        string("key_digest", "The digest of their keys, read back from the copy."),
        string("landed_digest", "The digest of the keys that were loaded, less those that went."),
    ),
    "run_table",
)

MERGES = Record(
    "_cio_merges",
    "One row per person who was merged into another, as far as the activity log tells.",
    (
        string("cio_id", "The person who was merged, whom older messages and activities name."),
        string("into_cio_id", "The person into whom; that one may have been merged later, too."),
        timestamp("merged_at", "When."),
        string("activity_id", "The entry of the log that tells it, an `activities.id`."),
        string("run_id", "The run that noted it."),
    ),
    "cio_id",
)

ERASURES = Record(
    "_cio_erasures",
    "One row per erasure of a person: what was blanked, and when.",
    (
        string("run_person", "The run and the person, joined by a slash; unique."),
        string("cio_id", "The person, by the `cio_id` alone, as `customers._cio_key` has it."),
        timestamp("erased_at", "When everything was blanked."),
        string("run_id", "The run that did it."),
        json("rows_blanked", "How many rows about the person, as an object from table to number."),
        json(
            "named_otherwise",
            "The keys of those of them that lack the `cio_id`, as an object from table to array, so that they stay "
            "blank when they are read again; null when there are none.",
        ),
        timestamp(
            "returned_at",
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
    was staged. `target`: what the table is called in the copy; "" in positions of earlier versions.
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
