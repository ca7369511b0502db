"""A store that is killed at a certain write, and counts the writes until then."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import pyarrow as pa

from cio_replicate.schema.table import ColumnType
from cio_replicate.sinks.backend import ChangeSet, Condition, StoredTable, TableBackend


class Killed(BaseException):
    """What nobody catches."""


class FragileStore:
    """`store`, killed as it is to write once more than `lives` times, or, if `late`, just after it has."""

    def __init__(self, store: TableBackend, lives: int, *, late: bool = False) -> None:
        self.rows_at_once = store.rows_at_once
        self.whole_edits = store.whole_edits
        self.transactional = store.transactional
        self.writes: list[str] = []  # that have come true
        self._within: list[str] | None = None  # those of the transaction that is open
        self._store = store
        self._lives = lives
        self._late = late

    def accepts_name(self, name: str) -> bool:
        """As the store."""
        return self._store.accepts_name(name)

    def open(self) -> None:
        """As the store."""
        self._store.open()

    def columns(self, table: str) -> Mapping[str, ColumnType]:
        """As the store."""
        return self._store.columns(table)

    def read(
        self, shape: StoredTable, columns: Sequence[str], conditions: Sequence[Condition] = ()
    ) -> pa.RecordBatchReader:
        """As the store."""
        return self._store.read(shape, columns, conditions)

    def count(self, shape: StoredTable, conditions: Sequence[Condition] = ()) -> int:
        """As the store."""
        return self._store.count(shape, conditions)

    def write(self, edit: ChangeSet) -> None:
        """As the store, as long as it lives."""
        with self._mortal(edit.shape.name):
            self._store.write(edit)

    def drop(self, table: str) -> None:
        """As the store, as long as it lives."""
        with self._mortal(f"drop {table}"):
            self._store.drop(table)

    @contextmanager
    def transaction(self, table: str) -> Iterator[None]:
        """As the store, as long as it lives; a commit is a moment to be killed at, too."""
        if not self.transactional:
            yield
            return
        self._within = []
        try:
            with self._store.transaction(table):
                yield
                within, self._within = self._within, None
                self._pass("commit", early=True)
            self.writes += within
            self._pass("commit", early=False)
        finally:
            self._within = None

    def close(self) -> None:
        """As the store."""
        self._store.close()

    @contextmanager
    def _mortal(self, what: str) -> Iterator[None]:
        self._pass(what, early=True)
        yield
        (self.writes if self._within is None else self._within).append(what)
        self._pass(what, early=False)

    def _pass(self, what: str, *, early: bool) -> None:
        """Die here, before or after something, if it is time."""
        self._lives -= early
        if self._lives < 0 and self._late is not early:
            raise Killed(what)
