"""Merge batches into a table of DuckDB: the statements, and their order for every write mode."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import duckdb
import msgspec
import pyarrow as pa

from cio_replicate.config.table_options import WriteMode
from cio_replicate.schema.system_tables import CHANGE_COLUMNS, DIGEST, EXTRA, SYSTEM_COLUMNS
from cio_replicate.schema.table import Column, ColumnType, schema_for
from cio_replicate.sinks.backend import ChangeSet, StoredTable
from cio_replicate.sinks.port import Batch, Changes, Digests

TYPES = {
    ColumnType.STRING: "VARCHAR",
    ColumnType.INTEGER: "BIGINT",
    ColumnType.NUMBER: "DOUBLE",
    ColumnType.BOOLEAN: "BOOLEAN",
    ColumnType.TIMESTAMP: "TIMESTAMP WITH TIME ZONE",
    ColumnType.JSON: "JSON",
}
KINDS = {name: kind for kind, name in TYPES.items()}
KEY = "_cio_key"
NOT_COMPARED = frozenset({KEY, "_cio_synced_at", "_cio_deleted_at"})
NUL_WRITTEN = "\\u0000"  # how a NUL is written in a key, where no text can hold one
_ESCAPED = re.compile(r"\\\\|\\u0000")
#: So many changes of one commit have a sequence number of their own.
ROOM = 100_000_000
#: Bytes of staged pages of which the rows are compared together: a whole batch of them would wait for the disk, since
#: it needs more memory than there is (measured).
COMPARED_AT_ONCE = 8_000_000
ROWS_IN_A_PIECE = 20_000  # of a change set


class Execute(Protocol):
    """Executes a statement on a connection to DuckDB."""

    def __call__(self, statement: str, values: Sequence[object] = ..., /) -> duckdb.DuckDBPyConnection:
        """Execute it with the values for its parameters."""
        ...


def connected(file: Path, *, read_only: bool = False, **settings: str | int) -> duckdb.DuckDBPyConnection:
    """Open a database file. Nothing is fetched from elsewhere, not even to open a file that is another program's."""
    config: dict[str, str | bool | int | float | list[str]] = {
        "preserve_insertion_order": False,
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
        **settings,
    }
    return duckdb.connect(str(file), read_only=read_only, config=config)


def spill_folder(file: Path) -> Path:
    """Return where DuckDB writes what memory does not hold, beside a database file: it goes with the process."""
    return file.with_name(f"{file.name}.tmp")


def remove_spilled(file: Path) -> None:
    """Remove what a killed process has left there. Only who has the file open for writing may: nobody else has then."""
    with suppress(OSError):
        for left in spill_folder(file).glob("duckdb_temp_*"):
            left.unlink()
        spill_folder(file).rmdir()


class Scratch:
    """A DuckDB database with temporary tables, into which the rows of a backend are taken to be changed."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._connection = connection
        self._given: pa.RecordBatchReader | None = None  # the rows of the newest edit

    def close(self) -> None:
        """Let go of the file."""
        self._connection.close()

    def run(self, statement: str, values: Sequence[object] = ()) -> duckdb.DuckDBPyConnection:
        """Execute a statement."""
        return self._connection.execute(statement, list(values))

    def column(self, query: str) -> pa.Array:
        """The values of a query of one column."""
        return self._connection.sql(query).to_arrow_table().column(0).combine_chunks()

    def take(self, table: str, rows: pa.RecordBatchReader, query: str = "SELECT * FROM taken") -> None:
        """Add rows to a table, by the names of their columns; `query` may make others of them, which it calls taken."""
        self._connection.register("taken", rows)
        try:
            self.run(f"INSERT INTO {table} BY NAME {query}")
        finally:
            self._connection.unregister("taken")

    def edit(self, table: str, shape: StoredTable, gone: pa.Array) -> ChangeSet:
        """An edit that puts the rows of a table in; nothing else may run here until it is written."""
        schema = schema_for(shape.columns)
        (count,) = self.run(f"SELECT count(*) FROM {table}").fetchall()[0]
        rows = self._connection.sql(f"SELECT {', '.join(map(_selected, shape.columns))} FROM {table}")
        self._given = rows.to_arrow_reader(ROWS_IN_A_PIECE)
        pieces = (_cast(piece, schema) for piece in self._given)
        return ChangeSet(shape, pa.RecordBatchReader.from_batches(schema, pieces), int(count), gone)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All that is done within is done together, or not at all."""
        self.run("BEGIN")
        try:
            yield
        except BaseException:
            with suppress(duckdb.Error):
                if self._given is not None:
                    self._given.close()  # of rows that a store has not taken to their end; nothing may run before
                self.run("ROLLBACK")
            raise
        self.run("COMMIT")


def _selected(column: Column) -> str:
    name = quoted(column.name)
    return f"{name}::VARCHAR AS {name}" if column.type is ColumnType.JSON else name


def _cast(piece: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    arrays = [array.cast(field.type) for array, field in zip(piece.columns, schema, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def key_number(key: str = KEY) -> str:
    """The first 64 bits of the MD5 of a key; `md5_number_lower` takes the last ones, and thrice the time (measured)."""
    return f"('0x' || substr(md5({key}), 1, 16))::UBIGINT"


def key_sum() -> str:
    """The sum of such numbers; like a count, it grows and shrinks by what comes and goes."""
    return f"coalesce(sum({key_number()}), 0)"


def quoted(name: str) -> str:
    """An identifier."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """A text constant."""
    return "'" + text.replace("'", "''") + "'"


def json_name(name: str) -> str:
    """A name as a JSON text."""
    return msgspec.json.encode(name).decode()


def create(target: str, columns: Sequence[Column], *, temporary: bool = False) -> str:
    """The statement that makes a table."""
    body = ", ".join(f"{quoted(column.name)} {TYPES[column.type]}" for column in columns)
    return f"{'CREATE OR REPLACE TEMP TABLE' if temporary else 'CREATE TABLE'} {target} ({body})"


def files(paths: Iterable[str]) -> str:
    """A scan of staged pages that also tells from which page and row each record comes.

    A folder called `id=7` on the way to a page is no partition, whose value would replace that of the column.
    """
    listed = ", ".join(literal(path) for path in paths)
    options = "union_by_name = true, filename = '_cio_file', file_row_number = true, hive_partitioning = false"
    return f"read_parquet([{listed}], {options})"


@dataclass(frozen=True, slots=True)
class ErasedColumns:
    """What is blank in rows about people who were erased: the condition for these rows, and the columns."""

    rows: str
    names: frozenset[str]


@dataclass(frozen=True, slots=True)
class StagedColumns:
    """What staged rows get besides their columns, in places that do not compare by themselves.

    `digest`: the digest of their content. `without_nul`: texts without the character NUL, with the whole text in
    `_cio_extra`. `aside`: columns that the place cannot have, whose values go there too. `wanted_only`: only rows whose
    key is in the table `wanted`. `blanked`, everywhere: what is left out.
    """

    digest: bool = False
    without_nul: bool = False
    aside: tuple[Column, ...] = ()
    wanted_only: bool = False
    blanked: ErasedColumns | None = None


AS_IT_IS = StagedColumns()


def key_of(staging: StagedColumns) -> str:
    """The key of a staged row as it is stored."""
    if not staging.without_nul:
        return KEY
    escaped = f"replace(replace({KEY}, '\\', '\\\\'), chr(0), '{NUL_WRITTEN}')"
    return f"CASE WHEN contains({KEY}, chr(0)) OR contains({KEY}, '{NUL_WRITTEN}') THEN {escaped} ELSE {KEY} END"


def stored_key(key: str) -> str:
    """A key as `key_of` writes it where no text can hold NUL: no two keys are written alike."""
    if "\0" not in key and NUL_WRITTEN not in key:
        return key
    return key.replace("\\", "\\\\").replace("\0", NUL_WRITTEN)


def given_key(stored: str) -> str:
    """The key that `stored_key` wrote."""
    if NUL_WRITTEN not in stored:
        return stored
    return _ESCAPED.sub(lambda found: "\\" if found[0] == "\\\\" else "\0", stored)


def keys(paths: Sequence[str], staging: StagedColumns) -> str:
    """Set down the keys of the rows in the pages, as `staged_keys`; rows only seen have no part in it."""
    semi = f" SEMI JOIN wanted USING ({KEY})" if staging.wanted_only else ""
    staged = f"SELECT {key_of(staging)} AS {KEY} FROM {files(paths)} WHERE NOT _cio_seen_only"
    return f"CREATE TEMP TABLE staged_keys AS SELECT {KEY} FROM ({staged}){semi}"


def stale(paths: Sequence[str], staging: StagedColumns) -> str:
    """Set down, as `stale`, where the rows stand whose key comes again later in the pages."""
    order = ", ".join(f"({literal(path)}, {number})" for number, path in enumerate(paths))
    return (
        f"CREATE TEMP TABLE stale AS SELECT _cio_file, file_row_number "
        f"FROM {files(paths)} JOIN (VALUES {order}) AS listed(_cio_name, _cio_number) ON _cio_file = _cio_name "
        f"WHERE NOT _cio_seen_only "
        f"QUALIFY row_number() OVER (PARTITION BY {key_of(staging)} "
        f"ORDER BY _cio_number DESC, file_row_number DESC) > 1"
    )


def stage(
    run: Execute, columns: Sequence[Column], paths: Sequence[str], staging: StagedColumns, *, repeats: bool
) -> None:
    """Set down the newest row of each key in the pages, in the types of the table, as the view `staged`.

    With `repeats` the rows in `stale` are left out. It is a view, since most statements need one column of it, and a
    copy of all costs as much as the rest of a merge (measured).
    """
    present = {row[0] for row in run(f"DESCRIBE SELECT * FROM {files(paths)}").fetchall()}
    chosen = [
        f"CAST({quoted(c.name) if c.name in present else 'NULL'} AS {TYPES[c.type]}) AS {quoted(c.name)}"
        for c in (*columns, *staging.aside, *SYSTEM_COLUMNS)
        if c.name != "_cio_deleted_at"
    ]
    newest = "ANTI JOIN stale USING (_cio_file, file_row_number) " if repeats else ""
    rows = (
        f"SELECT {', '.join(chosen)}, NULL::TIMESTAMPTZ AS _cio_deleted_at "
        f"FROM {files(paths)} {newest}WHERE NOT _cio_seen_only"
    )
    if staging.without_nul or staging.aside:
        left_out = f"EXCLUDE ({', '.join(quoted(c.name) for c in staging.aside)}) " if staging.aside else ""
        rows = f"SELECT * {left_out}REPLACE ({', '.join(_as_it_can_be(columns, staging))}) FROM ({rows})"
    if staging.blanked is not None:
        marked = f"SELECT *, coalesce({staging.blanked.rows}, false) AS _cio_is_blank FROM ({rows})"
        rows = (
            f"SELECT * EXCLUDE (_cio_is_blank) REPLACE ({', '.join(_blank(staging.blanked, columns))}) FROM ({marked})"
        )
    if staging.wanted_only:
        rows = f"SELECT * FROM ({rows}) SEMI JOIN wanted USING ({KEY})"
    if staging.digest:
        rows = f"SELECT *, {digest(columns)} AS _cio_digest FROM ({rows})"
    run(f"CREATE OR REPLACE TEMP VIEW staged AS {rows}")


def _as_it_can_be(columns: Sequence[Column], staging: StagedColumns) -> list[str]:
    """The replacements that take out of a row what its place cannot hold, and keep that in `_cio_extra`, by column."""
    texts = [c.name for c in columns if c.type is ColumnType.STRING] if staging.without_nul else []
    cases = [(name, f"contains({quoted(name)}, chr(0))") for name in texts]
    cases += [(column.name, f"{quoted(column.name)} IS NOT NULL") for column in staging.aside]
    clean = [f"replace({quoted(name)}, chr(0), '') AS {quoted(name)}" for name in texts]
    clean.append(f"{key_of(staging)} AS {KEY}")
    if not cases:
        return clean
    moved = [
        f"CASE WHEN {case} THEN {literal(json_name(name) + ':')} || to_json({quoted(name)})::VARCHAR END"
        for name, case in cases
    ]
    some = f"concat_ws(',', {', '.join(moved)})"
    rest = "CASE WHEN _cio_extra IS NULL THEN '}' ELSE ',' || substr(_cio_extra::VARCHAR, 2) END"
    clean.append(f"CASE WHEN {some} = '' THEN _cio_extra ELSE ('{{' || {some} || {rest})::JSON END AS _cio_extra")
    return clean


def _blank(blanked: ErasedColumns, columns: Sequence[Column]) -> list[str]:
    """The replacements that leave columns empty in rows that are to be blank."""
    names = [column.name for column in (*columns, EXTRA) if column.name in blanked.names]
    return [f"CASE WHEN _cio_is_blank THEN NULL ELSE {quoted(name)} END AS {quoted(name)}" for name in names]


def digest(columns: Sequence[Column]) -> str:
    """The digest of a row: of all values that are not null, each with its column's name and its length.

    A column that is added later and holds null leaves it as it was.
    """
    parts = []
    for column in (*columns, EXTRA):
        name = quoted(column.name)
        text = f"epoch_us({name})::VARCHAR" if column.type is ColumnType.TIMESTAMP else f"{name}::VARCHAR"
        parts.append(f"{literal(column.name + '=')} || length({text}) || ':' || {text}")
    return f"md5(concat_ws(',', {', '.join(parts)}))"


def live_rows(there: Iterable[str]) -> str:
    """The condition for a row that holds, in a table with these columns."""
    return "_cio_is_current" if "_cio_is_current" in there else "_cio_deleted_at IS NULL"


def gone(live: str, paths: Sequence[str], key: str = KEY) -> str:
    """Set down, as `gone`, the keys of the live rows (a query) that none of the pages has."""
    seen = f"(SELECT {key} AS {KEY} FROM {files(paths)})" if paths else f"(SELECT NULL::VARCHAR AS {KEY} WHERE false)"
    return f"CREATE OR REPLACE TEMP TABLE gone AS SELECT {KEY} FROM ({live}) AS t ANTI JOIN {seen} AS s USING ({KEY})"


def known_gone(live: str) -> str:
    """Set down, as `gone`, those keys of the live rows (a query) that are in a list, which is the parameter."""
    return (
        f"CREATE OR REPLACE TEMP TABLE gone AS SELECT {KEY} FROM ({live}) AS t "
        f"WHERE {KEY} IN (SELECT unnest(?::VARCHAR[]))"
    )


COUNT_GONE = f"SELECT count(*), {key_sum()} FROM gone"


class Merge:
    """One batch, merged into a table and the one for its changes, within a transaction of the caller's.

    Both go by their full quoted names. `left` are columns that the table has, though they are copied no more: rows that
    come hold null there. Counts what it changed, and by how much the keys of live rows changed.
    """

    def __init__(
        self,
        run: Execute,
        batch: Batch,
        commit: int,
        staging: StagedColumns,
        *,
        table: str,
        changes: str,
        left: Sequence[Column],
    ) -> None:
        self._run = run
        self._batch = batch
        self._mode, self._versions = batch.treatment.mode, batch.treatment.versions
        self._commit = commit
        self._staging = staging
        self._table = table
        self._changes = changes
        own = (*SYSTEM_COLUMNS, *((DIGEST,) if staging.digest else ()))
        self._columns = (*batch.columns, *left)
        self._compared = (*self._columns, *own)
        self._names = [column.name for column in self._compared]
        self._noted_names = [column.name for column in (*batch.columns, *own)]
        self._noted = commit * ROOM
        self.inserted = self.updated = self.deleted = 0
        self.came, self.went = Digests(), Digests()

    @property
    def changes(self) -> Changes:
        """What really changed."""
        return Changes(self.inserted, self.updated, self.deleted)

    def add(self, paths: Sequence[str]) -> None:
        """Take in the rows of staged pages, in the order in which they were staged.

        Only what these rows need is done: those of a first sync are compared with nothing, and where nothing is new,
        nothing is inserted.
        """
        self._run(keys(paths, self._staging))
        rows, different = self._row(f"SELECT count(*), count(DISTINCT {KEY}) FROM staged_keys")
        if rows:
            repeats = rows > different
            if repeats:
                self._run(stale(paths, self._staging))
            # to make keys different costs, where they are not
            self._run(f"CREATE TEMP VIEW different AS SELECT {'DISTINCT ' if repeats else ''}{KEY} FROM staged_keys")
            found, alive, coming = self._find()
            self._run("DROP VIEW different")
            self.came += Digests(different - alive, coming)
            for some in _together(paths) if found else ():
                stage(self._run, self._columns, some, self._staging, repeats=repeats)
                self._change()
            if alive < different if self._versions else found < different:
                stage(self._run, self._columns, paths, self._staging, repeats=repeats)
                self._insert(some_found=found > 0, back=found - alive)
            self._run("DROP VIEW staged")
            self._run("DROP TABLE IF EXISTS stale")
        self._run("DROP TABLE staged_keys")

    def remove_gone(self, at: int) -> None:
        """Take away, mark or end the rows of the keys in the table `gone`, at a moment (unix seconds)."""
        table, matching = self._table, f"FROM gone AS s WHERE t.{KEY} = s.{KEY}"
        count, total = self._row(COUNT_GONE)
        self.went += Digests(count, total)
        self.deleted += count
        if count and self._mode is WriteMode.CHANGES:
            values = ", ".join(
                "to_timestamp(?)" if name == "_cio_deleted_at" else f"t.{quoted(name)}" for name in self._noted_names
            )
            self._note(
                f"t.{KEY}",
                f"'delete', to_timestamp(?), ?, NULL, {values} "
                f"FROM {table} AS t SEMI JOIN gone USING ({KEY}) WHERE t._cio_deleted_at IS NULL",
                at,
                self._batch.run_id,
                at,
            )
        if self._batch.treatment.removes:  # those too that an earlier mode has left marked as deleted
            self._run(f"DELETE FROM {table} WHERE _cio_deleted_at IS NOT NULL OR {KEY} IN (SELECT {KEY} FROM gone)")
        elif count and self._versions:
            self._run(
                f"UPDATE {table} AS t SET _cio_valid_to = to_timestamp(?), _cio_is_current = false, "
                f"_cio_deleted_at = to_timestamp(?) {matching} AND t._cio_is_current",
                [at, at],
            )
        elif count:
            self._run(
                f"UPDATE {table} AS t SET _cio_deleted_at = to_timestamp(?) {matching} AND t._cio_deleted_at IS NULL",
                [at],
            )
        self._run("DROP TABLE gone")

    def _find(self) -> tuple[int, ...]:
        """Count the different keys that the table has, those of them in a live row, and sum up all others.

        The sum is made of those that are not live only, since to add one up costs as much as to look it up (measured).
        """
        live = live_rows(["_cio_is_current"] if self._versions else [])
        rows = f"SELECT {KEY}, {live} AS _cio_live FROM {self._table}"
        if self._versions:
            rows = f"SELECT {KEY}, bool_or(_cio_live) AS _cio_live FROM ({rows}) GROUP BY {KEY}"
        return self._row(
            f"SELECT count(t.{KEY}), count(*) FILTER (WHERE t._cio_live), "
            f"coalesce(sum(CASE WHEN t._cio_live THEN 0 ELSE {key_number('s.' + KEY)} END), 0) "
            f"FROM different AS s LEFT JOIN ({rows}) AS t ON t.{KEY} = s.{KEY}"
        )

    def _change(self) -> None:
        """Bring the staged rows in that differ from the table's row of their key, or come back."""
        table, same_key = self._table, f"t.{KEY} = s.{KEY}"
        compared = [quoted(one.name) for one in self._compared if one.name not in NOT_COMPARED]
        differs = " OR ".join(f"t.{name} IS DISTINCT FROM s.{name}" for name in compared)
        current = "t._cio_is_current AND " if self._versions else ""
        self._run(
            f"CREATE TEMP TABLE changed AS SELECT s.* FROM staged AS s JOIN {table} AS t ON {same_key} "
            f"WHERE {current}({differs} OR t._cio_deleted_at IS NOT NULL)"
        )
        if self._mode is WriteMode.CHANGES:  # with what the table still holds
            self._note(
                f"s.{KEY}",
                "CASE WHEN t._cio_deleted_at IS NULL THEN 'update' ELSE 'insert' END, s._cio_synced_at, ?, "
                f"CASE WHEN t._cio_deleted_at IS NULL THEN {_before(self._batch.columns)} END, "
                f"{_listed(self._noted_names, 's')} FROM changed AS s JOIN {table} AS t ON {same_key}",
                self._batch.run_id,
            )
        if self._versions:
            self.updated += self._count(
                f"UPDATE {table} AS t SET _cio_valid_to = s._cio_synced_at, _cio_is_current = false "
                f"FROM changed AS s WHERE {same_key} AND t._cio_is_current"
            )
            self._begin_versions("changed")
        else:
            sets = ", ".join(f"{quoted(name)} = s.{quoted(name)}" for name in self._names if name != KEY)
            self.updated += self._count(f"UPDATE {table} AS t SET {sets} FROM changed AS s WHERE {same_key}")
        self._run("DROP TABLE changed")

    def _insert(self, *, some_found: bool, back: int) -> None:
        """Bring the staged rows in that the table lacks; `back` of them it had once, where it has versions."""
        if self._versions:
            self.inserted += self._begin_versions("staged") - back
            self.updated += back
            return
        new = f" ANTI JOIN (SELECT {KEY} FROM {self._table}) USING ({KEY})" if some_found else ""
        if self._mode is WriteMode.CHANGES:
            values = f"'insert', _cio_synced_at, ?, NULL, {_listed(self._noted_names, 's')} FROM staged AS s{new}"
            self._note(KEY, values, self._batch.run_id)
        listed = ", ".join(map(quoted, self._names))
        self.inserted += self._count(f"INSERT INTO {self._table} ({listed}) SELECT {listed} FROM staged{new}")

    def _note(self, order: str, rows: str, *values: object) -> None:
        """Add rows to the table of changes, numbered by their keys."""
        listed = ", ".join(map(quoted, [*(column.name for column in CHANGE_COLUMNS), *self._noted_names]))
        numbered = f"SELECT row_number() OVER (ORDER BY {order}) + ?, {rows}"
        self._noted += self._count(f"INSERT INTO {self._changes} ({listed}) {numbered}", [self._noted, *values])

    def _begin_versions(self, source: str) -> int:
        """Add the rows of `source` whose key has no current version, as one; returns how many."""
        own = "_cio_version, _cio_valid_from, _cio_valid_to, _cio_is_current"
        return self._count(
            f"INSERT INTO {self._table} ({', '.join(map(quoted, self._names))}, {own}) "
            f"SELECT {_listed(self._names, 's')}, s.{KEY} || '@' || ?::VARCHAR, s._cio_synced_at, NULL, true "
            f"FROM {source} AS s ANTI JOIN (SELECT {KEY} FROM {self._table} WHERE _cio_is_current) USING ({KEY})",
            [self._commit],
        )

    def _row(self, statement: str) -> tuple[int, ...]:
        (row,) = self._run(statement).fetchall()
        return tuple(int(value) for value in row)

    def _count(self, statement: str, values: Sequence[object] = ()) -> int:
        row = self._run(statement, values).fetchone()
        return int(row[0]) if row else 0


def keys_seen(run: Execute, paths: Sequence[str], key: str = KEY) -> Digests | None:
    """The keys of all rows in the pages of a complete read: what must be live after it, whatever was before.

    None when some keys were only seen: whether the table ever had their rows does not show in the pages.
    """
    if not paths:
        return Digests()
    ((rows, total, only),) = run(
        f"SELECT count(*), {key_sum()}, count(*) FILTER (WHERE no_row) FROM "
        f"(SELECT {key} AS {KEY}, bool_and(_cio_seen_only) AS no_row FROM {files(paths)} GROUP BY 1)"
    ).fetchall()
    return None if only else Digests() + Digests(int(rows), int(total))


def _together(paths: Sequence[str]) -> Iterator[Sequence[str]]:
    """The pages in their order, so many at a time as may be compared at once, and at least one."""
    some: list[str] = []
    size = 0
    for path in paths:
        weight = os.stat(path).st_size  # noqa: PTH116 - a plain text is what DuckDB is given
        if some and size + weight > COMPARED_AT_ONCE:
            yield some
            some, size = [], 0
        some.append(path)
        size += weight
    yield some


def _listed(names: Sequence[str], alias: str) -> str:
    return ", ".join(f"{alias}.{quoted(name)}" for name in names)


def _before(columns: Sequence[Column]) -> str:
    """The old values of the columns that differ, as one JSON object."""
    parts = []
    for column in (*columns, EXTRA):
        if column.name in NOT_COMPARED:
            continue
        name = quoted(column.name)
        value = f"t.{name}"
        if column.type is ColumnType.TIMESTAMP:  # text in UTC, without the need to know time zones
            value = f"(replace(make_timestamp(epoch_us({value}))::VARCHAR, ' ', 'T') || 'Z')"
        text = f"coalesce(to_json({value})::VARCHAR, 'null')"
        parts.append(
            f"CASE WHEN t.{name} IS DISTINCT FROM s.{name} THEN {literal(json_name(column.name) + ':')} || {text} END"
        )
    return f"('{{' || concat_ws(',', {', '.join(parts)}) || '}}')::JSON"


def first_versions(target: str) -> str:
    """Make each row of a table without versions the first version of its key."""
    return (
        f"UPDATE {target} SET _cio_version = {KEY} || '@0', _cio_valid_from = _cio_synced_at, "
        "_cio_valid_to = _cio_deleted_at, _cio_is_current = _cio_deleted_at IS NULL"
    )


def no_versions(target: str) -> str:
    """Take from each row of a table, which has one per key, what makes it a version."""
    return (
        f"UPDATE {target} SET _cio_version = NULL, _cio_valid_from = NULL, _cio_valid_to = NULL, _cio_is_current = NULL"
    )


def count_ended(target: str) -> str:
    """How many versions are not the last of their key: what a table without versions cannot hold."""
    return f"SELECT count(*) - count(DISTINCT {KEY}) FROM {target}"
