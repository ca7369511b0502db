"""What a copy must hold in each change mode, one row at a time in plain Python: the reference of the matrix."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from cio_replicate.config.table_options import Deletes, WriteMode, WriteOptions
from cio_replicate.sinks.port import Changes, Digests

TREATMENTS = {
    "full": WriteOptions(WriteMode.FULL),
    "apply": WriteOptions(WriteMode.APPLY),
    "apply-hard": WriteOptions(WriteMode.APPLY, Deletes.HARD),
    "changes": WriteOptions(WriteMode.CHANGES),
    "changes-hard": WriteOptions(WriteMode.CHANGES, Deletes.HARD),
    "history": WriteOptions(WriteMode.HISTORY),
    "history-hard": WriteOptions(WriteMode.HISTORY, Deletes.HARD),
}

Value = str | int | None


@dataclass(frozen=True)
class Content:
    """What a record says besides its key: the columns that are looked at, moments in unix seconds."""

    name: str | None = None
    created: int | None = None
    surprise: int | None = None
    extra: str | None = None  # the value of `created` that was no moment

    @classmethod
    def of(cls, record: Mapping[str, Value]) -> Content:
        """As a landed page has it."""
        created, name, surprise = (record.get(one) for one in ("created", "name", "surprise"))
        assert isinstance(name, str | None)
        assert isinstance(surprise, int | None)
        if isinstance(created, str):
            return cls(name, None, surprise, created)
        return cls(name, created, surprise)

    def before(self, after: Content, *, without_surprise: bool) -> dict[str, object]:
        """The values of the columns that `after` has otherwise, as `_cio_before` has them: of those still copied."""
        shown = {
            "name": self.name,
            "created": None
            if self.created is None
            else datetime.fromtimestamp(self.created, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "surprise": self.surprise,
            "_cio_extra": None if self.extra is None else {"created": self.extra},
        }
        same = {"_cio_extra": self.extra == after.extra}
        same |= {one: getattr(self, one) == getattr(after, one) for one in ("name", "created", "surprise")}
        same["surprise"] |= without_surprise
        return {one: value for one, value in shown.items() if not same[one]}


@dataclass(frozen=True)
class Row:
    """A row of the table; the last three count only where the table has a row per version."""

    key: str
    content: Content
    synced: int
    deleted: int | None = None
    valid_from: int | None = None
    valid_to: int | None = None
    current: bool | None = None


@dataclass(frozen=True)
class Note:
    """A row of the table of changes."""

    key: str
    operation: str
    at: int
    before: Mapping[str, object] | None
    content: Content
    deleted: int | None = None


@dataclass(frozen=True)
class Page:
    """Records that landed together; those of `seen` were only seen."""

    records: Sequence[Mapping[str, Value]]
    seen: Sequence[Mapping[str, Value]] = ()


@dataclass(frozen=True)
class Step:
    """A batch: its pages, and whether and how it closes the read that it belongs to."""

    pages: Sequence[Page] = ()
    closes: bool = True
    absence_deletes: bool = True
    without_surprise: bool = False  # the column `surprise` is no longer a column of the batch


class Refused(Exception):
    """The table cannot be brought into the mode."""


@dataclass
class Model:
    """A copy of one table: its rows, its noted changes commit by commit, and what the read under way has seen."""

    rows: list[Row] = field(default_factory=list)
    notes: list[dict[str, Note]] = field(default_factory=list)
    versions: bool = False
    seen: set[str] = field(default_factory=set)

    def write(self, step: Step, treatment: WriteOptions, synced: int, at: int) -> Changes:
        """The same batch; its pages were landed at `synced`, and it closes the read, if it does, at `at`."""
        self._fit(treatment)
        self.seen |= {str(one["id"]) for page in step.pages for one in (*page.records, *page.seen)}
        newest = {str(one["id"]): Content.of(one) for page in step.pages for one in page.records}
        known, notes = {row.key for row in self.rows}, {}
        inserted = updated = 0
        for key, content in newest.items():
            old = self._live(key)
            if old is not None and old.content == content:
                continue
            self._put(Row(key, content, synced), old)
            inserted, updated = inserted + (key not in known), updated + (key in known)
            if old is None:
                notes[key] = Note(key, "insert", synced, None, content)
            else:
                notes[key] = Note(
                    key, "update", synced, old.content.before(content, without_surprise=step.without_surprise), content
                )
        gone = [row for row in self.rows if self._holds(row) and row.key not in self.seen]
        if not (step.closes and step.absence_deletes):
            gone = []
        for row in gone:
            self._end(row, at)
            told = replace(row.content, surprise=None) if step.without_surprise else row.content
            notes[row.key] = Note(row.key, "delete", at, None, told, at)
        if step.closes and step.absence_deletes and treatment.removes:
            self.rows = [row for row in self.rows if row.deleted is None]
        if treatment.mode is WriteMode.CHANGES and notes:
            self.notes.append(notes)
        if step.closes:
            self.seen = set()
        return Changes(inserted, updated, len(gone))

    @property
    def keys(self) -> Digests:
        """The keys of the live rows."""
        total = Digests()
        for row in self.rows:
            if self._holds(row):
                total += Digests(1, int(hashlib.md5(row.key.encode(), usedforsecurity=False).hexdigest()[:16], 16))
        return total

    def _fit(self, treatment: WriteOptions) -> None:
        if treatment.versions and not self.versions:
            self.rows = [
                replace(row, valid_from=row.synced, valid_to=row.deleted, current=row.deleted is None)
                for row in self.rows
            ]
        if self.versions and not treatment.versions:
            if len(self.rows) > len({row.key for row in self.rows}):
                raise Refused
            self.rows = [replace(row, valid_from=None, valid_to=None, current=None) for row in self.rows]
        self.versions = treatment.versions

    def _holds(self, row: Row) -> bool:
        return bool(row.current) if self.versions else row.deleted is None

    def _live(self, key: str) -> Row | None:
        return next((row for row in self.rows if row.key == key and self._holds(row)), None)

    def _put(self, row: Row, old: Row | None) -> None:
        if not self.versions:
            self.rows = [one for one in self.rows if one.key != row.key] + [row]
            return
        if old is not None:
            self.rows.remove(old)
            self.rows.append(replace(old, valid_to=row.synced, current=False))
        self.rows.append(replace(row, valid_from=row.synced, current=True))

    def _end(self, row: Row, at: int) -> None:
        self.rows.remove(row)
        ended = replace(row, valid_to=at, current=False) if self.versions else row
        self.rows.append(replace(ended, deleted=at))
