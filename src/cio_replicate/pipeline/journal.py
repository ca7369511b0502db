"""The journal: reads, partitions, staged pages and runs, in one SQLite file that is always consistent."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from cio_replicate.base.errors import StagingFailed, StateFolderError
from cio_replicate.base.text import quoted
from cio_replicate.schema.system_tables import Checkpoint, from_text, to_text
from cio_replicate.schema.table import Column, ColumnType
from cio_replicate.source.pages import Cursor
from cio_replicate.source.strategies.base import Partition, ReadStats

VERSION = 1
PRAGMAS = "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA foreign_keys=ON;"

SCHEMA = """
CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS reads (
  id TEXT PRIMARY KEY, table_name TEXT NOT NULL UNIQUE, start INTEGER NOT NULL, began INTEGER NOT NULL,
  touched INTEGER NOT NULL, base TEXT, tally TEXT NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS parts (
  read_id TEXT NOT NULL REFERENCES reads ON DELETE CASCADE, name TEXT NOT NULL, query TEXT NOT NULL, path TEXT NOT NULL,
  place TEXT NOT NULL, PRIMARY KEY (read_id, name)) STRICT;
CREATE TABLE IF NOT EXISTS pages (
  number INTEGER PRIMARY KEY AUTOINCREMENT, read_id TEXT NOT NULL REFERENCES reads ON DELETE CASCADE,
  file TEXT NOT NULL, rows INTEGER NOT NULL, loaded INTEGER NOT NULL DEFAULT 0) STRICT;
CREATE TABLE IF NOT EXISTS discovered (
  table_name TEXT NOT NULL, name TEXT NOT NULL, type TEXT NOT NULL, path TEXT NOT NULL,
  PRIMARY KEY (table_name, name)) STRICT;
CREATE TABLE IF NOT EXISTS done (
  table_name TEXT PRIMARY KEY, read_id TEXT NOT NULL, at INTEGER NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS kept_pages (
  number INTEGER PRIMARY KEY, table_name TEXT NOT NULL, read_id TEXT NOT NULL, file TEXT NOT NULL,
  rows INTEGER NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS kept_reads (
  table_name TEXT NOT NULL, read_id TEXT PRIMARY KEY, position TEXT NOT NULL, tells_gone INTEGER NOT NULL,
  at INTEGER NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS runs (
  id TEXT PRIMARY KEY, started INTEGER NOT NULL, report TEXT NOT NULL) STRICT;
"""

_place = msgspec.json.Decoder(Cursor)
_tally = msgspec.json.Decoder(ReadStats)
_strings = msgspec.json.Decoder(dict[str, str])
_path = msgspec.json.Decoder(tuple[str, ...])


def _text(value: object) -> str:
    return msgspec.json.encode(value).decode()


@dataclass(slots=True)
class TableRead:
    """One read of one table, from its first request until its position has moved in the destination.

    `start` is the start date it applies, `began` when it began, `touched` when a page was last staged (unix
    seconds), `base` the checkpoint it started from.
    """

    id: str
    table: str
    start: int
    began: int
    touched: int
    base: Checkpoint | None
    parts: list[Partition]
    tally: ReadStats = field(default_factory=ReadStats)
    recorded: bool = field(default=False, compare=False)  # whether the journal knows it

    @property
    def finished(self) -> bool:
        """Whether every partition was read to its end."""
        return all(part.cursor.done for part in self.parts)

    @property
    def whole(self) -> bool:
        """Whether it saw everything that the source lists, so that what is missing is gone."""
        tally = self.tally
        return self.finished and not tally.skipped and not (tally.parents_gone and not tally.rows)


@dataclass(frozen=True, slots=True)
class StagedGroup:
    """What some chunks of one read change in the journal: their rows are in one file, if they have any.

    `cursors` are by the names of partitions, `stats` those of the read with these chunks.
    """

    read: TableRead
    cursors: Mapping[str, Cursor]
    stats: ReadStats
    added: Sequence[Partition] = ()
    columns: Sequence[Column] = ()
    file: str = ""
    rows: int = 0


@dataclass(frozen=True, slots=True)
class StagedPage:
    """A file of staged rows: its number in the order of staging, name, rows, and whether the destination has it."""

    number: int
    file: str
    rows: int
    loaded: bool


@dataclass(frozen=True, slots=True)
class KeptRead:
    """A read that is kept beyond its loading: the checkpoint that it brought, its pages in their order, when it ended.

    With `tells_gone` a row that it does not have is deleted.
    """

    position: Checkpoint
    pages: list[StagedPage]
    tells_gone: bool
    at: int  # unix seconds


class Journal:
    """One task's journal. Every method is one transaction that is on disk when it returns; any thread may call it."""

    def __init__(self, file: Path) -> None:
        self._lock = threading.Lock()
        self._file = file
        with self._readable():
            self._sqlite = sqlite3.connect(file, check_same_thread=False, isolation_level=None)
            version = self._sqlite.execute("PRAGMA user_version").fetchone()[0]
            if version not in (0, VERSION):
                raise StateFolderError(
                    f"The journal {file} was written by another version of this program ({version}, not {VERSION}).",
                    "Use that version, or choose another ‹state_dir›: the destination knows how far it was read.",
                )
            self._sqlite.executescript(f"{PRAGMAS} {SCHEMA} PRAGMA user_version={VERSION};")

    def close(self) -> None:
        """Let go of the file."""
        self._sqlite.close()

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._lock, self._readable():
            self._sqlite.execute("BEGIN IMMEDIATE")
            try:
                yield self._sqlite
                self._sqlite.execute("COMMIT")
            except BaseException:
                if self._sqlite.in_transaction:  # SQLite itself ends one for which the disk has no room
                    self._sqlite.execute("ROLLBACK")
                raise

    @contextmanager
    def _readable(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.OperationalError as error:
            raise StagingFailed(
                f"The journal {self._file} cannot be written ({quoted(error)}).",
                "Make room or choose another ‹state_dir›, then run again; what is landed is kept.",
            ) from None
        except sqlite3.DatabaseError as error:
            if type(error) is not sqlite3.DatabaseError:  # a misuse, which no user can fix
                raise
            raise StateFolderError(
                f"The journal {self._file} is damaged ({quoted(error)}).",
                f"Remove the folder {self._file.parent} and run again: the destination knows how far it was read.",
            ) from None

    def fact(self, name: str) -> str | None:
        """A single remembered value."""
        with self._transaction() as sql:
            row = sql.execute("SELECT value FROM facts WHERE name = ?", (name,)).fetchone()
        return str(row[0]) if row else None

    def remember(self, name: str, value: str) -> None:
        """Set a single remembered value."""
        with self._transaction() as sql:
            sql.execute("INSERT OR REPLACE INTO facts VALUES (?, ?)", (name, value))

    def begin(self, read: TableRead) -> None:
        """Record a new read and its partitions. The table must have no read yet."""
        with self._transaction() as sql:
            self._begin(sql, read)
        read.recorded = True

    def extend(self, read: TableRead, parts: list[Partition]) -> None:
        """Add parts to a read."""
        with self._transaction() as sql:
            self._add_parts(sql, read.id, parts)

    def read_of(self, table: str) -> TableRead | None:
        """The read of a table that has begun and is not closed, with every part as it stands."""
        with self._transaction() as sql:
            row = sql.execute(
                "SELECT id, start, began, touched, base, tally FROM reads WHERE table_name = ?", (table,)
            ).fetchone()
            if row is None:
                return None
            parts = sql.execute(
                "SELECT name, query, path, place FROM parts WHERE read_id = ? ORDER BY rowid", (row[0],)
            ).fetchall()
        return TableRead(
            id=row[0],
            table=table,
            start=row[1],
            began=row[2],
            touched=row[3],
            base=from_text(row[4]) if row[4] else None,
            tally=_tally.decode(row[5]),
            recorded=True,
            parts=[
                Partition(name, _strings.decode(q), _strings.decode(p), _place.decode(at)) for name, q, p, at in parts
            ],
        )

    def stage(self, groups: Sequence[StagedGroup], at: int) -> None:
        """Record `at` (unix seconds) what groups of chunks bring, whose files are on disk: all of it or nothing."""
        with self._transaction() as sql:
            for one in groups:
                read = one.read
                if not read.recorded:
                    self._begin(sql, read)
                self._add_parts(sql, read.id, one.added)
                sql.executemany(
                    "UPDATE parts SET place = ? WHERE read_id = ? AND name = ?",
                    [(_text(cursor), read.id, name) for name, cursor in one.cursors.items()],
                )
                sql.execute("UPDATE reads SET touched = ?, tally = ? WHERE id = ?", (at, _text(one.stats), read.id))
                sql.executemany(
                    "INSERT OR IGNORE INTO discovered VALUES (?, ?, ?, ?)",
                    [(read.table, column.name, column.type.value, _text(column.path)) for column in one.columns],
                )
                if one.file:
                    sql.execute(
                        "INSERT INTO pages (read_id, file, rows) VALUES (?, ?, ?)", (read.id, one.file, one.rows)
                    )

    def pages(self, read: TableRead) -> list[StagedPage]:
        """The staged pages of a read, in their order."""
        with self._transaction() as sql:
            rows = sql.execute(
                "SELECT number, file, rows, loaded FROM pages WHERE read_id = ? ORDER BY number", (read.id,)
            ).fetchall()
        return [StagedPage(number, file, count, bool(loaded)) for number, file, count, loaded in rows]

    def loaded(self, numbers: list[int], commit: int, *, drop: bool) -> None:
        """Record that pages are in the destination since its commit of that number; forget them if `drop`."""
        with self._transaction() as sql:
            change = "DELETE FROM pages" if drop else "UPDATE pages SET loaded = 1"
            sql.executemany(f"{change} WHERE number = ?", [(number,) for number in numbers])
            sql.execute("INSERT OR REPLACE INTO facts VALUES ('commit', ?)", (str(commit),))

    def forget(self, read: TableRead) -> None:
        """Remove a read with its parts and pages, kept ones too: it is worth nothing any more."""
        with self._transaction() as sql:
            sql.execute("DELETE FROM reads WHERE id = ?", (read.id,))
            sql.execute("DELETE FROM kept_reads WHERE read_id = ?", (read.id,))
            sql.execute("DELETE FROM kept_pages WHERE read_id = ?", (read.id,))

    def closed(self, read: TableRead, commit: int, at: int) -> None:
        """Remove a read whose position is in the destination, and remember that this run is done with its table.

        Its pages are kept if `keep_read` said so.
        """
        with self._transaction() as sql:
            sql.execute("DELETE FROM reads WHERE id = ?", (read.id,))
            sql.execute(
                "DELETE FROM kept_pages WHERE read_id = ? AND read_id NOT IN (SELECT read_id FROM kept_reads)",
                (read.id,),
            )
            sql.execute("INSERT OR REPLACE INTO done VALUES (?, ?, ?)", (read.table, read.id, at))
            sql.execute("INSERT OR REPLACE INTO facts VALUES ('commit', ?)", (str(commit),))

    def done(self) -> dict[str, tuple[str, int]]:
        """The tables that a run which never ended was done with: the read, and when it was closed (unix seconds)."""
        with self._transaction() as sql:
            return {name: (read, at) for name, read, at in sql.execute("SELECT table_name, read_id, at FROM done")}

    def last_sign_of_life(self) -> int:
        """When a page was last staged or a table was last closed by a run which never ended (unix seconds); else 0."""
        with self._transaction() as sql:
            row = sql.execute(
                "SELECT max(at) FROM (SELECT at FROM done UNION ALL SELECT touched FROM reads)"
            ).fetchone()
        return int(row[0] or 0)

    def run_ended(self) -> None:
        """The run came to its end, so the next one is another run and reads every table."""
        with self._transaction() as sql:
            sql.execute("DELETE FROM done")

    def files(self) -> set[str]:
        """The names of all staged files that the journal knows."""
        with self._transaction() as sql:
            return {row[0] for row in sql.execute("SELECT file FROM pages UNION SELECT file FROM kept_pages")}

    def discovered(self, table: str) -> list[Column]:
        """The columns of a table that were found in what the API sent."""
        with self._transaction() as sql:
            rows = sql.execute(
                "SELECT name, type, path FROM discovered WHERE table_name = ? ORDER BY rowid", (table,)
            ).fetchall()
        return [
            Column(name, ColumnType(kind), "Sent by the API though not in its documentation.", _path.decode(path))
            for name, kind, path in rows
        ]

    def forget_copy(self) -> None:
        """Forget what was known of a destination that is no longer there: its discovered columns, and what was done."""
        with self._transaction() as sql:
            sql.execute("DELETE FROM discovered")
            sql.execute("DELETE FROM done")

    def keep(self, read: TableRead, pages: Sequence[StagedPage]) -> None:
        """Keep pages beyond their loading."""
        with self._transaction() as sql:
            sql.executemany(
                "INSERT OR IGNORE INTO kept_pages VALUES (?, ?, ?, ?, ?)",
                [(page.number, read.table, read.id, page.file, page.rows) for page in pages],
            )

    def keep_read(self, read: TableRead, position: Checkpoint, *, tells_gone: bool, alone: bool, at: int) -> bool:
        """Keep a read that is closed at that moment; with `alone` none before it is needed any more.

        Returns whether it is kept: not when some of its pages are gone, nor when it goes on from a read that is not
        kept.
        """
        with self._transaction() as sql:
            (rows,) = sql.execute(
                "SELECT coalesce(sum(rows), 0) FROM kept_pages WHERE read_id = ?", (read.id,)
            ).fetchone()
            before = [row[0] for row in sql.execute("SELECT read_id FROM kept_reads WHERE read_id != ?", (read.id,))]
            follows = alone or read.base is None or read.base.read in before
            if rows < read.tally.rows + read.tally.seen or not follows:
                return False
            sql.execute(
                "INSERT OR REPLACE INTO kept_reads VALUES (?, ?, ?, ?, ?)",
                (read.table, read.id, to_text(position), tells_gone, at),
            )
            if alone:
                older = (read.table, read.id)
                sql.execute("DELETE FROM kept_reads WHERE table_name = ? AND read_id != ?", older)
                sql.execute("DELETE FROM kept_pages WHERE table_name = ? AND read_id != ?", older)
        return True

    def kept(self, table: str) -> list[KeptRead]:
        """The reads of a table that are kept, each standing on those before it."""
        with self._transaction() as sql:
            reads = sql.execute(
                "SELECT read_id, position, tells_gone, at FROM kept_reads WHERE table_name = ? ORDER BY rowid", (table,)
            ).fetchall()
            pages = sql.execute(
                "SELECT read_id, number, file, rows FROM kept_pages WHERE table_name = ? ORDER BY number", (table,)
            ).fetchall()
        found = []
        for read, position, tells_gone, at in reads:
            own = [StagedPage(number, file, rows, loaded=False) for of, number, file, rows in pages if of == read]
            found.append(KeptRead(from_text(position), own, bool(tells_gone), at))
        return found

    def kept_files(self) -> set[str]:
        """The names of the files that are kept beyond their loading."""
        with self._transaction() as sql:
            return {row[0] for row in sql.execute("SELECT file FROM kept_pages")}

    def forget_table(self, table: str) -> None:
        """Remove all that is known of a table, its kept pages too; files that nothing names are removed later."""
        with self._transaction() as sql:
            sql.execute("DELETE FROM reads WHERE table_name = ?", (table,))
            sql.execute("DELETE FROM done WHERE table_name = ?", (table,))
            sql.execute("DELETE FROM kept_reads WHERE table_name = ?", (table,))
            sql.execute("DELETE FROM kept_pages WHERE table_name = ?", (table,))
            sql.execute("DELETE FROM discovered WHERE table_name = ?", (table,))

    def reads(self) -> list[TableRead]:
        """All reads that have begun and are not closed."""
        with self._transaction() as sql:
            names = [row[0] for row in sql.execute("SELECT table_name FROM reads")]
        return [read for read in map(self.read_of, names) if read is not None]

    def record_run(self, run_id: str, started: int, report: str) -> None:
        """Keep a run's report; the newest hundred are kept."""
        with self._transaction() as sql:
            sql.execute("INSERT OR REPLACE INTO runs VALUES (?, ?, ?)", (run_id, started, report))
            sql.execute(
                "DELETE FROM runs WHERE id NOT IN (SELECT id FROM runs ORDER BY started DESC, rowid DESC LIMIT 100)"
            )

    def runs(self, newest: int) -> list[str]:
        """The reports of the newest runs, newest first."""
        with self._transaction() as sql:
            rows = sql.execute(
                "SELECT report FROM runs ORDER BY started DESC, rowid DESC LIMIT ?", (newest,)
            ).fetchall()
        return [row[0] for row in rows]

    def _begin(self, sql: sqlite3.Connection, read: TableRead) -> None:
        base = to_text(read.base) if read.base else None
        sql.execute(
            "INSERT INTO reads VALUES (?, ?, ?, ?, ?, ?, ?)",
            (read.id, read.table, read.start, read.began, read.began, base, _text(read.tally)),
        )
        self._add_parts(sql, read.id, read.parts)

    def _add_parts(self, sql: sqlite3.Connection, read_id: str, parts: Sequence[Partition]) -> None:
        sql.executemany(
            "INSERT OR IGNORE INTO parts VALUES (?, ?, ?, ?, ?)",
            [(read_id, part.name, _text(part.query), _text(part.path), _text(part.cursor)) for part in parts],
        )
